package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/polyvault/polyvault/normalize"
)

// defaultAuthFailures is how many failed authentications one address may have in a minute.
const defaultAuthFailures = 300

// Door is how callers are met before it is known who they are.
type Door struct {
	MaxAuthFailures int            // as in [Config]
	TrustedProxies  []netip.Prefix // as in [Config]
}

type door struct {
	maxFailures int
	address     echo.IPExtractor
}

func newDoor(d Door) door {
	out := door{maxFailures: d.MaxAuthFailures, address: echo.ExtractIPDirect()}
	if out.maxFailures == 0 {
		out.maxFailures = defaultAuthFailures
	}
	if len(d.TrustedProxies) == 0 {
		// The peer's address and nothing that a caller could write into a header.
		return out
	}
	// Echo trusts private and local networks unless it is told not to.
	trust := []echo.TrustOption{echo.TrustLoopback(false), echo.TrustLinkLocal(false), echo.TrustPrivateNet(false)}
	for _, p := range d.TrustedProxies {
		trust = append(trust, echo.TrustIPRange(&net.IPNet{
			IP: p.Masked().Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen()),
		}))
	}
	forwarded := echo.ExtractIPFromXFFHeader(trust...)
	out.address = func(r *http.Request) string { return forwarded(r) }
	return out
}

func (d door) failures() int { return d.maxFailures }

// network is what of an address is counted as one caller: an IPv4 address, or the
// /64 of an IPv6 one, of which one customer has all. What is no address stays as it is.
func network(address string) string {
	if !strings.Contains(address, ":") {
		return address
	}
	a, err := netip.ParseAddr(address)
	if err != nil || a.Unmap().Is4() {
		return address
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

// keyInText finds what has the form of an API key.
var keyInText = regexp.MustCompile(`pv_[a-z0-9]{1,16}_[0-9A-Za-z]{8}_[0-9A-Za-z]{22,128}`)

// refuseKeyInQuery refuses a request with an API key in its query, valid or not: what
// stands there is in the logs of every proxy on the way, and its holder should know.
func refuseKeyInQuery(query string) error {
	if query == "" {
		return nil
	}
	if strings.Contains(query, "%") {
		// What cannot be decoded is searched as it is; the query's own check refuses it.
		if plain, err := url.QueryUnescape(query); err == nil {
			query = plain
		}
	}
	if !keyInText.MatchString(query) {
		return nil
	}
	return &normalize.Error{
		Code: normalize.InvalidAPIKey, Outcome: normalize.NotSent,
		Msg: "the query holds an API key: send it in the Authorization header, and replace this one, since queries stay in logs",
	}
}
