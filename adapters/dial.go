package adapters

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
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

// RefusePrivate refuses loopback, private, shared, link-local, multicast, reserved
// and unspecified addresses: nothing that a provider's public API could live at.
func RefusePrivate(ip net.IP) error {
	addr, ok := netip.AddrFromSlice(ip)
	if !ok || !public(addr.Unmap()) {
		return fmt.Errorf("address %s is not public: set insecure_providers to allow it for stand-ins", ip)
	}
	return nil
}

func public(a netip.Addr) bool {
	if nat64 := netip.MustParsePrefix("64:ff9b::/96"); nat64.Contains(a) { // RFC 6052: an IPv4 address in its last bytes
		b := a.As16()
		return public(netip.AddrFrom4([4]byte(b[12:])))
	}
	if a.Is6() && !netip.MustParsePrefix("2000::/3").Contains(a) { // all that IANA has given out as global unicast
		return false
	}
	return a.IsGlobalUnicast() && !a.IsPrivate() &&
		!slices.ContainsFunc(reserved(), func(p string) bool { return netip.MustParsePrefix(p).Contains(a) })
}

// reserved are the special-purpose blocks that package netip does not know
// (IANA special-purpose address registries, RFC 6890).
func reserved() []string {
	return []string{
		"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4",
		"2001:db8::/32", "2002::/16",
	}
}
