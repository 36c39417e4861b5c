package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// auditActions are what a file tells, without what the log tells of itself.
func auditActions(t *testing.T, args ...string) []string {
	t.Helper()
	code, stdout, stderr := execute(t, append([]string{"audit", "list", "--json"}, args...)...)
	require.Equal(t, exitOK, code, stderr)
	var out []string
	for line := range strings.Lines(stdout) {
		var e struct {
			Action string
			Status int
		}
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		if !strings.HasPrefix(e.Action, "audit.") {
			out = append(out, e.Action)
		}
	}
	return out
}

func TestServeKeepsAnAuditLog(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	log := filepath.Join(e.folder, "audit.log")
	e.more = "audit: {file: " + log + "}\n"
	e.write(t)
	r := start(t, "serve", "--config", e.file())
	api, admin := address(t, r, "listening"), address(t, r, "admin listening")
	status, body := request(t, "POST", api+"/v1/instruments", e.key, cardBody, "Idempotency-Key", "one")
	require.Equal(t, 201, status, body)
	var created struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(body), &created))
	request(t, "GET", api+"/v1/instruments/"+created.ID, "pv_test_nonsense", "")
	put(t, e.file(), strings.Replace(e.text(), "audit: {", "audit: {sync: always, ", 1))
	until(t, api, "it is taken into use", func(r ready) bool { return r.Generation == 2 })
	put(t, e.file(), "not: [valid")
	until(t, api, "it is refused", func(r ready) bool { return r.Error != nil })
	put(t, e.file(), e.text()+"reads: {stale_if_error: 5h}\n")
	until(t, api, "it is taken into use", func(r ready) bool { return r.Generation == 3 })
	// A configuration is in force a moment before it is told of.
	require.Eventually(t, func() bool { return len(auditActions(t, log)) == 6 }, 10*time.Second, 10*time.Millisecond)
	status, _ = request(t, "GET", admin+"/backup", "", "")
	require.Equal(t, 200, status)
	_, metrics := request(t, "GET", admin+"/metrics", "", "")
	require.Contains(t, metrics, "polyvault_audit_failing 0\n")
	require.Contains(t, metrics, "polyvault_audit_lost_total 0\n")
	require.Equal(t, exitOK, r.stop(t), r.stderr.String())

	want := []string{"gateway.start", "instrument.create", "instrument.read", "config.apply", "config.refuse", "config.apply", "store.backup", "gateway.stop"}
	require.Equal(t, want, auditActions(t, log))
	code, stdout, stderr := execute(t, "audit", "list", "--instrument", created.ID, log)
	require.Equal(t, exitOK, code, stderr)
	require.Regexp(t, `^20\S+Z instrument.create acme/\S+ 127.0.0.1 201 outcome=applied instrument=`+created.ID+` customer=cus-1 provider=first request=\S+ gateway=\S+\n`+
		`20\S+Z instrument.read - 127.0.0.1 401 code=invalid_api_key instrument=`+created.ID+` request=\S+ gateway=\S+\n$`, stdout)
	require.Equal(t, []string{"instrument.read"}, auditActions(t, "--code", "invalid_api_key", log))
	require.Equal(t, []string{"instrument.create"}, auditActions(t, "--customer", "cus-1", "--tenant", "acme", "--config", e.file(), log))
	require.Empty(t, auditActions(t, "--since", time.Now().Add(time.Hour).Format(time.RFC3339), log))
	require.Len(t, auditActions(t, "--since", "1h", log), len(want))
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	for _, secret := range []string{"4111111111111111", "canary", "sk_sandbox", e.key, "Lovelace", "pv_test_nonsense"} {
		require.NotContains(t, string(text), secret)
	}
	require.Contains(t, string(text), `"changed":["audit.sync"]`)
	require.Regexp(t, `"action":"config.apply",.*"generation":2,"digest":"[0-9a-f]{64}"`, string(text))

	// The head that the log on stderr has is that of the file.
	var last struct{ Hash string }
	require.NoError(t, json.Unmarshal([]byte(find(t, r, &r.stderr, "the audit log's head, at its end")), &last))
	code, stdout, stderr = execute(t, "audit", "verify", "--config", e.file(), "--expect-head", last.Hash, log)
	require.Equal(t, exitOK, code, stdout+stderr)
	require.Contains(t, stdout, "head "+last.Hash)
	require.Contains(t, stdout, "the expected head is entry")
	require.True(t, strings.HasSuffix(stdout, "ok\n"))
	code, stdout, _ = execute(t, "audit", "verify", log)
	require.Equal(t, exitOK, code)
	require.Contains(t, stdout, "NOT CHECKED")

	// Another start goes on, and what a crash left of a line is put aside.
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(`{"seq":`)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	code, stdout, _ = execute(t, "audit", "verify", "--config", e.file(), log)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, "it does not end")
	put(t, e.file(), e.text())
	again := start(t, "serve", "--config", e.file())
	address(t, again, "listening")
	require.Equal(t, exitOK, again.stop(t))
	all, err := filepath.Glob(log + "*")
	require.NoError(t, err)
	require.Len(t, all, 2)
	code, stdout, stderr = execute(t, append([]string{"audit", "verify", "--config", e.file(), "--expect-head", last.Hash}, all...)...)
	require.Equal(t, exitOK, code, stdout)
	require.Contains(t, stderr, "holds what a crash left")

	text, err = os.ReadFile(log)
	require.NoError(t, err)
	text[len(text)/2] ^= 1
	changed := writeFile(t, "audit.log", string(text))
	code, stdout, stderr = execute(t, "audit", "verify", "--config", e.file(), changed)
	require.Equal(t, exitFailure, code)
	require.Regexp(t, `FAULT \S+audit.log, line \d+: it `, stdout)
	require.Contains(t, stderr, "the audit log is not as it was written (faults: 1)")
	code, stdout, _ = execute(t, "audit", "verify", "--config", e.file(), "--expect-head", strings.Repeat("0", 64), log)
	require.Equal(t, exitFailure, code)
	require.Contains(t, stdout, "no entry has the expected head")
}

func TestAGatewayDoesNotStartWithoutItsAuditLog(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	e.more = "audit: {file: " + filepath.Join(e.folder, "nowhere", "audit.log") + "}\n"
	e.write(t)
	code, _, stderr := execute(t, "serve", "--config", e.file())
	require.Equal(t, exitFailure, code)
	require.Contains(t, stderr, "the audit log cannot be written: open ")
}

func TestAuditUsage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "verify or list", []string{"audit"}},
		{exitUsage, "requires at least 1 arg", []string{"audit", "verify"}},
		{exitUsage, "64 hexadecimal digits", []string{"audit", "verify", "--expect-head", "x", "f"}},
		{exitFailure, "no such file", []string{"audit", "verify", "/nonexistent"}},
		{exitUsage, "--since must be a time", []string{"audit", "list", "--since", "yesterday", "f"}},
		{exitUsage, "none of these files", []string{"audit", "list", "a.torn-1"}},
	} {
		code, _, stderr := execute(t, tc.args...)
		require.Equal(t, tc.code, code, tc.args)
		require.Contains(t, stderr, tc.says)
	}
}
