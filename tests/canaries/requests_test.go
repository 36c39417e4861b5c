package canaries

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// next gives out the numbers in turn, in the forms in which people write them.
type next struct{ n int }

func (c *next) number() string { c.n++; return canaries()[c.n%len(canaries())] }

func (c *next) text() string {
	number := c.number()
	switch c.n / len(canaries()) % 4 {
	case 1:
		return grouped(number, " ")
	case 2:
		return grouped(number, "-")
	case 3:
		return "my card " + number + "."
	default:
		return number
	}
}

func card(number string) object {
	return object{"type": "card", "number": number, "exp_month": 12, "exp_year": 2031, "cvc": securityCode, "holder_name": "Ada Byron"}
}

// sources are one of each type, each valid or nearly so.
func sources(number string) []object {
	return []object{
		card(number),
		{"type": "bank_account", "account_number": "123456789", "routing_number": "021000021", "account_type": "checking", "holder_name": "Ada Byron"},
		{"type": "cybersource_instrument_identifier", "instrument_identifier": "7010000000016241111", "exp_month": 12, "exp_year": 2031, "brand": "visa"},
		{"type": "cybersource_transient_token", "transient_token": "eyJhbGciOiJSUzI1NiJ9.eyJqdGkiOiIxIn0.c2ln"},
		{"type": "rebilly_token", "token": "4f6cf35x-2c4y-483z-a0a9-158621f77a21"},
		{
			"type": "vaulted_token", "payment_method_id": "braintree.credit_card", "currency": "USD", "vault_token": "vt-" + fmt.Sprint(len(number)),
			"provider_customer_id": "321123", "instrument_type": "card", "brand": "visa", "bin": number[:6], "last4": number[len(number)-4:], "exp_month": 12, "exp_year": 2031,
		},
		{"type": "provider_reference", "provider": rebilly, "references": object{"instrument": "inst_1", "customer": "cus_1"}},
	}
}

func create(customer string, source object) object {
	return object{
		"customer_id": customer, "sources": []any{source}, "country": "US", "metadata": object{"tier": "gold", "note": marker},
		"billing_address": object{
			"first_name": "Ada", "last_name": "Byron", "line1": "12 Analytical Way", "city": "Austin", "region": "TX", "postal_code": "78701", "country": "US",
		},
	}
}

// bodies are the requests that an operation's members are put into: more than one where
// a member has several forms.
func bodies(id, number, instrument string) []any {
	var out []any
	switch id {
	case "createInstrument", "importInstruments", "addProviderToken", "updateInstrument":
		for _, s := range sources(number) {
			switch id {
			case "createInstrument":
				out = append(out, create("cus-1", s))
			case "importInstruments":
				item := create("cus-1", s)
				item["idempotency_key"] = "import-" + number
				out = append(out, object{"items": []any{item}})
			case "addProviderToken":
				out = append(out, object{"sources": []any{s}, "provider": rebilly})
			default:
				out = append(out, object{"source": s, "card": object{"exp_month": 11, "exp_year": 2032}, "metadata": object{"note": marker}})
			}
		}
	case "bulkDeleteInstruments":
		out = append(out, object{"ids": []any{instrument}, "scope": "gateway"})
	case "putCustomer":
		out = append(out, object{"provider_references": object{bigcommerce: "1"}})
	case "explainRoutes":
		out = append(out, object{"source_types": []any{"card"}, "customer_id": "cus-1", "bin": "41111111"})
	case "syncInstruments":
		out = append(out, object{"customer_id": "cus-1"})
	default:
		out = append(out, object{})
	}
	return out
}

// flood sends the numbers to every member of every endpoint.
func (w *world) flood(t *testing.T, c *next, instrument string) {
	t.Helper()
	for _, e := range endpoints(t) {
		path := w.path(e, instrument, "", "")
		for _, p := range e.params {
			for range 3 {
				w.send(t, e.method, w.path(e, instrument, p, c.text()), "in-a-path-"+fmt.Sprint(c.n), bodies(e.id, c.number(), instrument)[0])
			}
		}
		for _, name := range append(e.query, "unknown", "$NUMBER", "metadata[k]", "metadata[$NUMBER]", "filter") {
			for range 2 {
				q := url.Values{strings.ReplaceAll(name, "$NUMBER", c.text()): {c.text()}}
				w.send(t, e.method, path+"?"+q.Encode(), "", nil)
			}
		}
		w.send(t, e.method, path+"?q="+c.number()+";"+c.number()+"%zz", "", nil)
		w.headers(t, e, path, c)
		w.members(t, e, path, c, instrument)
		w.broken(t, e, path, c)
	}
}

// path fills in an operation's path; the parameter named by param is value.
func (w *world) path(e endpoint, instrument, param, value string) string {
	at := e.path
	for _, p := range e.params {
		v := map[string]string{"instrument_id": instrument, "operation_id": instrument, "customer_id": "cus-1", "provider": rebilly, "provider_name": rebilly, "asset": "start.js", "event_id": w.event}[p]
		switch {
		case p == param:
			v = value
		case v == "":
			v = "any" // of an operation that came later
		}
		if strings.Contains(e.path, "drain") && p != param {
			v = bigcommerce // nobody's creates go there
		}
		at = strings.Replace(at, "{"+p+"}", url.PathEscape(v), 1)
	}
	return at
}

// headers sends the numbers in every header that the contract or custom knows.
func (w *world) headers(t *testing.T, e endpoint, path string, c *next) {
	t.Helper()
	for _, name := range append(slices.Clone(e.headers), "Idempotency-Key", "X-Request-ID", "If-Match", "If-None-Match", "User-Agent", "Authorization", "Content-Type", "Accept",
		"Cookie", "Referer", "Origin", "X-Forwarded-For", "Forwarded", "Traceparent", "Tracestate", "Baggage", "X-Card-Number", "Expect", "Accept-Language", "Prefer") {
		forms := []string{"%s", `"%s"`, "Bearer %s", "Bearer pv_test_%s_" + strings.Repeat("A", 43), "application/json; charset=%s", "00-%s-00f067aa0ba902b7-01", "pan=%s"}
		if !*full { // as it is, and another one each time
			forms = []string{forms[0], forms[1+c.n%6]}
		}
		for _, form := range forms {
			req := w.request(t, e.method, path, bodies(e.id, "4111111111111111", "ins_none")[0])
			req.Header.Set("Idempotency-Key", fmt.Sprint("in-a-header-", c.n))
			req.Header.Set(name, fmt.Sprintf(form, c.text()))
			_, err := w.do(req)
			require.NoError(t, err, "%s %s with %s", e.method, path, name)
		}
	}
}

// members sends the numbers in each member of the body, as text and as a JSON number.
func (w *world) members(t *testing.T, e endpoint, path string, c *next, instrument string) {
	t.Helper()
	for _, pointer := range e.members {
		for i, body := range bodies(e.id, c.number(), instrument) {
			if !*full && i > 0 && strings.Contains(pointer, "address") {
				continue // where the source makes no difference
			}
			var values []any
			if strings.HasSuffix(pointer, "/cvc") {
				values = append(values, longCode)
			}
			for _, v := range append(values, c.text(), json.Number(c.number())) {
				at := strings.Split(strings.ReplaceAll(pointer, "$NUMBER", c.text()), "/")[1:]
				if pointer == "" {
					at = nil
				}
				w.send(t, e.method, path, fmt.Sprint("in-a-member-", c.n), with(body, at, v))
			}
		}
	}
}

// broken sends the numbers in what is no JSON, or not the right one.
func (w *world) broken(t *testing.T, e endpoint, path string, c *next) {
	t.Helper()
	n := c.number()
	source := `{"type":"card","number":"` + n + `","exp_month":12,"exp_year":2031,"cvc":"` + securityCode + `"}`
	for _, body := range []string{
		n, `"` + n + `"`, `[` + n + `]`, `{"` + n, `{"customer_id":"` + n, `{"customer_id":` + n + `,`, `{"customer_id":"cus-1","sources":[` + source,
		`{"customer_id":"` + n + `","customer_id":"` + n + `"}`, `{"` + n + `":1,"` + n + `":2}`, `{"sources":[` + source + `]} ` + n,
		"{\"customer_id\":\"" + n + "\xff\"}", `{"customer_id":"` + n + `\ud800"}`, `{"customer_id":'` + n + `'}`, `{` + n + `:1}`, n + `{`,
		strings.Repeat(`{"`+n+`":`, 40) + "1" + strings.Repeat("}", 40), `{"sources":[` + source + `],"note":"` + strings.Repeat(n+" ", 5000) + `"}`,
		`{"sources":"` + n + `"}`, `{"sources":[` + n + `]}`, `{"sources":{"` + n + `":"` + n + `"}}`, `{"customer_id":1` + n + `.5e3}`,
		"--" + n + "\r\nContent-Disposition: form-data; name=\"" + n + "\"\r\n\r\n" + n + "\r\n--" + n + "--", "number=" + n + "&cvc=" + securityCode,
	} {
		w.send(t, e.method, path, fmt.Sprint("broken-", c.n), body)
	}
	for _, media := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=" + n, n} {
		req := w.request(t, e.method, path, `{"sources":[`+source+`]}`)
		req.Header.Set("Content-Type", media)
		_, err := w.do(req)
		require.NoError(t, err)
	}
	req := w.request(t, e.method, path, `{"sources":[`+source+`]}`)
	req.Header.Set("Content-Encoding", "gzip")
	_, err := w.do(req)
	require.NoError(t, err)
}

// refused sends valid cards where they are not accepted, or to nobody.
func (w *world) refused(t *testing.T, c *next) {
	t.Helper()
	for range 2 * len(canaries()) {
		number := c.number()
		for _, key := range []string{apiKey("refuses0"), apiKey("limited0"), apiKey("unknown0"), "Basic " + number, number} {
			req := w.request(t, http.MethodPost, "/v1/instruments", create("cus-1", card(number)))
			req.Header.Set("Authorization", "Bearer "+key)
			req.Header.Set("Idempotency-Key", "refused-"+fmt.Sprint(c.n))
			a, err := w.do(req)
			require.NoError(t, err)
			require.True(t, a.status >= 400 || key == apiKey("limited0"), "%d", a.status)
		}
		for _, path := range []string{"/" + number, "/v1/" + number, "/v1/instruments/" + number + "/" + number, "/v1/cards/" + url.PathEscape(grouped(number, " ")), "/docs/" + number, "//" + number} {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead, http.MethodOptions, "M" + number} {
				w.send(t, method, path+"?card="+number, "", nil)
			}
		}
	}
}

// raw writes what no client of net/http would.
func (w *world) raw(t *testing.T, c *next) {
	t.Helper()
	for _, text := range []string{
		"GET /%s HTTP/9.9\r\nHost: x\r\n\r\n", "%s / HTTP/1.1\r\nHost: x\r\n\r\n", "GET / %s\r\n\r\n", "GET /v1/instruments HTTP/1.1\r\nHost: %s\r\n\r\n",
		"GET /v1/instruments HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n", "GET /v1/instruments HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n",
		"POST /v1/instruments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n", "GET /v1/instruments HTTP/1.1\r\nHost: x\r\nX-Large: " + strings.Repeat("%[1]s ", 2000) + "\r\n\r\n",
		"POST /v1/instruments HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: %s\r\n\r\n", "GET /v1/instruments HTTP/1.1\r\nHost: x\r\n\x00%s: 1\r\n\r\n", "%s\r\n\r\n", "GET /%%zz%s HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /v1/instruments HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n{\"number\":\"%s\"", "CONNECT %s HTTP/1.1\r\nHost: x\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n%s",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(w.url, "http://"))
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(300*time.Millisecond)))
		_, _ = fmt.Fprintf(conn, text, c.number())
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		raw, _ := io.ReadAll(bufio.NewReader(conn))
		w.keep(0, raw)
		_ = conn.Close()
	}
}
