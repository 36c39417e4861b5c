//go:build !linux

package main

// noCoreDumps does nothing here: what a crash leaves behind is the system's setting.
func noCoreDumps() error { return nil }
