package config

import (
	"net"
	"net/netip"
	"net/url"
)

// checkAdmin keeps the admin listener, which asks for no key, off addresses that the
// whole internet can reach.
func checkAdmin(p *problems, c *Config) {
	if PublicAddress(c.AdminListen) && !c.AdminPublic {
		p.add(at("admin_listen"), "is an address of the public internet, and asks nobody for a key: "+
			"listen on a private one, or set admin_public: true if a firewall stands in front of it")
	}
}

// PublicAddress reports whether a host and a port name an address of the public
// internet. A name, and no host at all, may be anything: they are not reported.
func PublicAddress(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsGlobalUnicast() && !ip.Unmap().IsPrivate() && !sharedAddresses(ip)
}

// sharedAddresses are those of a carrier's own network (RFC 6598), which many private
// clouds use.
func sharedAddresses(ip netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(ip.Unmap())
}

// checkTracing checks what the schema cannot.
func checkTracing(p *problems, t *Tracing) {
	if t == nil {
		return
	}
	u, err := url.Parse(t.Endpoint)
	switch where := at("tracing", "endpoint"); {
	case p.has(where):
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		p.add(where, "must be a URL such as http://127.0.0.1:4318")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		p.add(where, "must be a plain URL: give credentials in the variable OTEL_EXPORTER_OTLP_HEADERS")
	}
}
