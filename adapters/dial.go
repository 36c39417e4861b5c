package adapters

import (
	"fmt"
	"net"
	"syscall"
)

// controlAddress runs check on every address that is about to be dialled, after
// DNS, so that a name which resolves to a private address is refused as well.
func controlAddress(check func(net.IP) error) func(string, string, syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return err
		}
		ip := net.ParseIP(host)
		if ip == nil {
			return fmt.Errorf("not an address: %q", host)
		}
		return check(ip)
	}
}

// RefusePrivate refuses loopback, private, link-local, multicast and unspecified
// addresses: nothing that a provider's public API could live at.
func RefusePrivate(ip net.IP) error {
	if ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsLinkLocalMulticast() ||
		ip.IsMulticast() || ip.IsUnspecified() {
		return fmt.Errorf("address %s is not public: set insecure_providers to allow it for stand-ins", ip)
	}
	return nil
}
