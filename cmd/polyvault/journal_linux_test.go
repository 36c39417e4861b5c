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

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// C26 of the design: the disk of the journal is full. No provider is called.
func TestAFullJournalRefusesCreatesBeforeAnyCall(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("a small file system cannot be mounted here (%v): run this test as root", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(folder, 0)) })
	v := newVault(t)
	file := v.config(t, withJournal(onRedis(redistest.Start(t)), filepath.Join(folder, "journal")))
	r := start(t, "serve", "--config", file)
	t.Cleanup(func() { r.stop(t) }) // before the unmount
	api := address(t, r, "listening")
	first := v.create(t, api, visa, "one")

	filler := filepath.Join(folder, "filler")
	require.ErrorIs(t, os.WriteFile(filler, bytes.Repeat([]byte("x"), 1<<20), 0o600), syscall.ENOSPC)
	create := func(number, key string) (status int, body string) {
		return request(t, "POST", api+"/v1/instruments", v.key, strings.Replace(cardBody, visa, number, 1), "Idempotency-Key", key)
	}
	// What room the last page still has is used up first.
	for n := 0; ; n++ {
		require.Less(t, n, 10)
		if status, _ := create(mastercard, fmt.Sprint("last-page-", n)); status == 503 {
			break
		}
	}
	before := requests(t, v)
	status, body := create(amex, "two")
	require.Equal(t, 503, status, body)
	var problem struct{ Code, Outcome string }
	require.NoError(t, json.Unmarshal([]byte(body), &problem))
	require.Equal(t, "store_unavailable", problem.Code)
	require.Equal(t, "not_sent", problem.Outcome)
	require.Equal(t, before, requests(t, v), "no provider was called")
	status, body = request(t, "GET", api+"/v1/instruments/"+first, v.key, "")
	require.Equal(t, 200, status, "reads go on: %s", body)

	require.NoError(t, os.Remove(filler))
	v.create(t, api, amex, "two")
	require.Equal(t, first, v.create(t, api, visa, "one"))
}

// requests counts what the provider was asked to change.
func requests(t *testing.T, v *vault) (n int) {
	t.Helper()
	_, state := request(t, "GET", v.provider.URL+"/_sandbox/state", "", "")
	var ledger struct{ Requests []struct{ Method string } }
	require.NoError(t, json.Unmarshal([]byte(state), &ledger))
	for _, r := range ledger.Requests {
		if r.Method != "GET" {
			n++
		}
	}
	return n
}
