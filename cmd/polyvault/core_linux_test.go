package main

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

//nolint:paralleltest // it changes the process
func TestNoCoreDumps(t *testing.T) {
	require.NoError(t, noCoreDumps())
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_CORE, &limit))
	require.Zero(t, limit.Cur)
	require.Zero(t, limit.Max, "nothing can raise it again")
	dumpable, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_GET_DUMPABLE, 0, 0)
	require.Zero(t, errno)
	require.Zero(t, dumpable)
}
