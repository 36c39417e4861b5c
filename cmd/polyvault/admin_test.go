package main

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestAnAdminListenerThatOthersReachIsWarnedOf(t *testing.T) {
	t.Parallel()
	for addr, warned := range map[string]int{
		"127.0.0.1:9090": 0, "[::1]:9090": 0, "localhost:9090": 0,
		":9090": 1, "0.0.0.0:9090": 1, "[::]:9090": 1, "10.0.0.1:9090": 1, "gateway:9090": 1,
	} {
		core, logs := observer.New(zap.WarnLevel)
		warnOfReach(addr, zap.New(core))
		require.Equal(t, warned, logs.Len(), addr)
	}
}

// Profiles of locks and of blocking cost every request something: nobody has turned them
// on, and their pages are empty.
func TestCostlyProfilesAreOff(t *testing.T) {
	t.Parallel()
	e := newEdited(t)
	e.write(t)
	r := start(t, "serve", "--config", e.file())
	admin := address(t, r, "admin listening")
	require.Equal(t, "first", e.stores(t, address(t, r, "listening"), "cus-1"))
	require.Zero(t, runtime.SetMutexProfileFraction(-1))
	for _, profile := range []string{"block", "mutex"} {
		status, body := request(t, "GET", admin+"/debug/pprof/"+profile+"?debug=1", "", "")
		require.Equal(t, 200, status)
		for line := range strings.Lines(body) {
			require.True(t, strings.HasPrefix(line, "---") || strings.HasPrefix(line, "cycles/second=") || strings.HasPrefix(line, "sampling period="), "%s: %s", profile, line)
		}
	}
}
