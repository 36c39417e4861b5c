package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The disk of the audit log is full. If the log is required nothing is changed, and no
// provider called; if it is not, everything goes on. Either way the log is whole in the end.
func TestAFullAuditDisk(t *testing.T) {
	t.Parallel()
	for _, required := range []bool{true, false} {
		t.Run(fmt.Sprintf("required %t", required), func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=256k"); err != nil {
				t.Skipf("a small file system cannot be mounted here (%v): run this test as root", err)
			}
			t.Cleanup(func() { require.NoError(t, syscall.Unmount(folder, 0)) })
			v := newVault(t)
			log := filepath.Join(folder, "audit.log")
			file := gatewayConfigFile(t, v.provider.URL, v.line, fmt.Sprintf("store: {%s}\naudit: {file: %q, required: %t, sync: always}\n",
				onBolt(filepath.Join(t.TempDir(), "p.db")), log, required))
			r := start(t, "serve", "--config", file)
			t.Cleanup(func() { r.stop(t) }) // before the unmount
			api, admin := address(t, r, "listening"), address(t, r, "admin listening")
			first := v.create(t, api, visa, "one")

			filler := filepath.Join(folder, "filler")
			require.ErrorIs(t, os.WriteFile(filler, bytes.Repeat([]byte("x"), 1<<20), 0o600), syscall.ENOSPC)
			failing := func() bool {
				_, metrics := request(t, "GET", admin+"/metrics", "", "")
				return strings.Contains(metrics, "polyvault_audit_failing 1\n")
			}
			for n := 0; !failing(); n++ { // what room the last page still has is used up first
				require.Less(t, n, 100)
				request(t, "DELETE", api+"/v1/instruments/ins_0h7kq2m4n6p8r0s2t4v6w8x0z2", v.key, "")
			}
			find(t, r, &r.stderr, "THE AUDIT LOG FAILS")
			before := requests(t, v)
			status, body := request(t, "POST", api+"/v1/instruments", v.key, strings.Replace(cardBody, visa, amex, 1), "Idempotency-Key", "two")
			if required {
				require.Equal(t, 503, status, body)
				var problem struct{ Code, Outcome, Retry string }
				require.NoError(t, json.Unmarshal([]byte(body), &problem))
				require.Equal(t, "audit_unavailable not_sent safe", problem.Code+" "+problem.Outcome+" "+problem.Retry)
				require.Equal(t, before, requests(t, v), "no provider was called")
				status, _ = request(t, "GET", admin+"/backup", "", "")
				require.Equal(t, 503, status)
			} else {
				require.Equal(t, 201, status, body)
			}
			status, body = request(t, "GET", api+"/v1/instruments/"+first, v.key, "")
			require.Equal(t, 200, status, "reads go on: %s", body)

			require.NoError(t, os.Remove(filler))
			require.Eventually(t, func() bool { return !failing() }, 10*time.Second, 50*time.Millisecond, "it goes on by itself")
			v.create(t, api, amex, "two")
			code, stdout, stderr := execute(t, "audit", "verify", "--config", file, log)
			require.Equal(t, exitOK, code, stdout+stderr)
			code, stdout, _ = execute(t, "audit", "list", "--action", "instrument.create", log)
			require.Equal(t, exitOK, code)
			require.Equal(t, 3, strings.Count(stdout, "\n"), "with those of the time without a disk: %s", stdout)
		})
	}
}
