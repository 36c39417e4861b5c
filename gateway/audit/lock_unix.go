//go:build unix && !solaris && !aix

package audit

import (
	"os"
	"syscall"
)

// lock keeps other gateways away from the file until it is closed, or its process dies.
func lock(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
