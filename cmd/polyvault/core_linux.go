package main

import (
	"fmt"
	"syscall"
)

// noCoreDumps keeps what is in memory out of files: card numbers are there while their
// requests run. The limit is for the kernel's own files. Where the kernel hands a dump
// to a program, it asks no limit, so that the process is not dumpable either; that also
// keeps other processes of the same user from reading its memory. The environment's
// GOTRACEBACK=crash then ends the process without a file.
func noCoreDumps() error {
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}); err != nil {
		return fmt.Errorf("core dumps cannot be switched off: %w", err)
	}
	if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0); errno != 0 {
		return fmt.Errorf("core dumps cannot be switched off: %w", errno)
	}
	return nil
}
