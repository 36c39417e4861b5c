package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	apiKey      = "pv_test_benchkey_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" //nolint:gosec // opens nothing but the bench's own gateway
	rebillyKey  = "sk_sandbox_polyvault"
	bigToken    = "sandbox-token"
	importPath  = "/stores/sandbox/v3/payments/stored-instruments"
	rebillyPath = "/organizations/org_sandbox/payment-instruments/"
)

// world is everything that is measured, running.
type world struct {
	dir                          string
	processes                    []*exec.Cmd
	rebilly, big, gateway, redis string
	bare, bareInstrument         string // the gateway without what -cost measures, and what is read there
	admin                        string // where the other gateway has its metrics, with -cost
	cybersource                  string
	rebillyProxy, bigProxy       string
	instrument, rebillyID        string
	sequence                     atomic.Int64
}

// startWorld starts everything. With cost, the gateway has all on that makes it safe to
// run, and one more runs with none of it.
func startWorld(ctx context.Context, cost bool) (w *world, err error) {
	w = &world{}
	defer func() {
		if err != nil {
			w.stop()
		}
	}()
	if w.dir, err = os.MkdirTemp("", "polyvault-bench-"); err != nil {
		return w, err
	}
	for _, addr := range []*string{&w.rebilly, &w.big, &w.cybersource, &w.gateway, &w.redis, &w.rebillyProxy, &w.bigProxy} {
		if *addr, err = freeAddr(ctx); err != nil {
			return w, err
		}
	}
	bin := filepath.Join(w.dir, "polyvault")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/polyvault").CombinedOutput(); err != nil { //nolint:gosec // a folder of our own
		return w, fmt.Errorf("build (run it from the project's root): %w: %s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		return w, err
	}
	_, port, _ := net.SplitHostPort(w.redis)
	config := filepath.Join(w.dir, "polyvault.yaml")
	text := w.config(w.gateway, "pv:")
	if cost {
		if text, err = w.safe(ctx, text); err != nil {
			return w, err
		}
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
		return w, err
	}
	for _, args := range [][]string{
		{"redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--maxmemory-policy", "noeviction", "--dir", w.dir},
		{bin, "sandbox", "--cybersource", w.cybersource, "--rebilly", w.rebilly, "--bigcommerce", w.big},
		{self, "-proxy", w.rebillyProxy + "=" + w.rebilly},
		{self, "-proxy", w.bigProxy + "=" + w.big},
	} {
		if err := w.spawn(ctx, args); err != nil {
			return w, err
		}
	}
	for _, addr := range []string{w.redis, w.rebilly, w.big, w.rebillyProxy, w.bigProxy} {
		if err := waitForPort(ctx, addr); err != nil {
			return w, err
		}
	}
	if err := w.spawn(ctx, []string{bin, "serve", "--config", config}); err != nil {
		return w, err
	}
	if err := waitForPort(ctx, w.gateway); err != nil {
		return w, err
	}
	if cost {
		if err := w.startBare(ctx); err != nil {
			return w, err
		}
	}
	return w, w.seed(ctx, w.gateway, "reader", &w.instrument)
}

func (w *world) config(listen, prefix string) []byte {
	sum := sha256.Sum256([]byte(apiKey))
	return fmt.Appendf(nil, `
listen: %s
store:
  redis: {url: "redis://%s/0", durability: standard, key_prefix: %q}
keys: {reference: env:BENCH_REFERENCE_KEY}
tenants:
  - name: bench
    accept_raw_card: true
    duplicates: allow
    api_keys:
      - {name: bench, sha256: %q, scopes: [instruments:read, instruments:write, instruments:resolve, customers:write, references:read]}
providers:
  - {name: rebilly-main, type: rebilly, charges: {currencies: [USD, CAD], countries: [US, CA]}, config: {base_url: "http://%s", organization_id: org_sandbox, api_key: %s}}
  - {name: bigcommerce-main, type: bigcommerce, config: {base_url: "http://%s", store_hash: sandbox, access_token: %s}}
routes:
  - {name: all, providers: [rebilly-main, bigcommerce-main]}
insecure_providers: true
log: {level: warn, format: json}
`, listen, w.redis, prefix, hex.EncodeToString(sum[:]), w.rebilly, rebillyKey, w.big, bigToken)
}

func (w *world) spawn(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // our own binaries
	cmd.Dir, cmd.Stderr = w.dir, os.Stderr
	cmd.Env = append(os.Environ(), "BENCH_REFERENCE_KEY=YmVuY2htYXJrLXJlZmVyZW5jZS1rZXktMzItYnl0ZXM=",
		"BENCH_ENCRYPTION_KEY=YmVuY2htYXJrLWVuY3J5cHRpb25rZXktMzItYnl0ZXM=", "BENCH_EVENTS_SECRET=whsec_YmVuY2htYXJrLWV2ZW50cy1zZWNyZXQtMzItYnl0ZXM=")
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w (is it installed?)", args[0], err)
	}
	w.processes = append(w.processes, cmd)
	return nil
}

func (w *world) stop() {
	for _, p := range w.processes {
		_ = p.Process.Signal(syscall.SIGTERM)
	}
	for _, p := range w.processes {
		_ = p.Wait()
	}
	_ = os.RemoveAll(w.dir)
}

// seed stores the instrument that is read, and the customers that import into.
func (w *world) seed(ctx context.Context, gateway, reader string, id *string) error {
	for n := range 100 {
		body := fmt.Sprintf(`{"provider_references":{"bigcommerce-main":"%d"}}`, n+1)
		if _, err := call(ctx, gateway, http.MethodPut, fmt.Sprintf("/v1/customers/cus-%d", n), "", body); err != nil {
			return err
		}
	}
	answer, err := call(ctx, gateway, http.MethodPost, "/v1/instruments", "seed", fmt.Sprintf(`{"customer_id":%q,"provider":"rebilly-main",
		"sources":[{"type":"card","number":"4111111111111111","exp_month":12,"exp_year":2031}],
		"billing_address":{"first_name":"Ada","last_name":"Byron","line1":"12 Analytical Way","city":"Austin","region":"TX","postal_code":"78701","country":"US"}}`, reader))
	if err != nil {
		return err
	}
	var ins struct {
		ID     string `json:"id"`
		Tokens []struct {
			References map[string]string `json:"references"`
		} `json:"provider_tokens"`
	}
	if err := json.Unmarshal(answer, &ins); err != nil {
		return err
	}
	*id, w.rebillyID = ins.ID, ins.Tokens[0].References["instrument"]
	return nil
}

func call(ctx context.Context, gateway, method, path, key, body string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+gateway+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode > 299 {
		err = fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, out)
	}
	return out, err
}

// comparisons are the operations that are measured. The direct and the proxied
// call are the very call that the gateway makes.
func (w *world) comparisons() []comparison {
	get := "GET " + rebillyPath + w.rebillyID + "?expand=customer HTTP/1.1\r\nHost: " + w.rebilly + "\r\nREB-APIKEY: " + rebillyKey + "\r\nAccept: application/json\r\n\r\n"
	direct := func(name, addr string) target {
		return w.target(name, addr, 200, func(int64) []byte { return []byte(get) })
	}
	read := func(query string) target {
		return w.target("gateway", w.gateway, 200, func(int64) []byte {
			return []byte("GET /v1/instruments/" + w.instrument + query + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + apiKey + "\r\n\r\n")
		})
	}
	return []comparison{
		{name: "live GET", direct: direct("direct", w.rebilly), proxy: direct("proxy", w.rebillyProxy), gateway: read(""), minRatio: 0.6, maxAdded: 400 * time.Microsecond},
		{name: "stored GET (against the provider's GET)", direct: direct("direct", w.rebilly), proxy: direct("proxy", w.rebillyProxy), gateway: read("?read=stored"), minRatio: 1.5},
		{name: "resolve (against the provider's GET)", direct: direct("direct", w.rebilly), proxy: direct("proxy", w.rebillyProxy), gateway: w.resolver(), minRatio: 1.5},
		{name: "create", direct: w.importer("direct", w.big), proxy: w.importer("proxy", w.bigProxy), gateway: w.creator(), maxOverProxy: 1500 * time.Microsecond},
	}
}

func (w *world) target(name, addr string, status int, next func(int64) []byte) target {
	return target{name: name, addr: addr, status: status, next: next, sequence: &w.sequence}
}

// importer is the call that a create makes at BigCommerce.
func (w *world) importer(name, addr string) target {
	return w.target(name, addr, 200, func(n int64) []byte {
		body := fmt.Sprintf(`[{"payment_method_id":"braintree.credit_card","currency_code":"USD","customer_id":%d,"instrument":{"vault_token":"direct-%d",`+
			`"provider_customer_id":"321123","type":"credit_card","brand":"visa","expiry_year":2031,"expiry_month":12,"last_4":"%04d","iin":"411111"},`+
			`"billing_address":{"first_name":"Ada","last_name":"Byron","street_1":"12 Analytical Way","city":"Austin","state_or_province_code":"TX","country_code":"US","postal_code":"78701"}}]`,
			n%100+1, n, n%10000)
		return request("POST "+importPath, w.big, "X-Auth-Token: "+bigToken+"\r\nAccept: application/json", body)
	})
}

func (w *world) resolver() target {
	resolve := request("POST /v1/instruments/"+w.instrument+"/resolve", "gateway", "Authorization: Bearer "+apiKey, `{"currency":"USD","country":"US"}`)
	return w.target("gateway", w.gateway, 200, func(int64) []byte { return resolve })
}

func (w *world) creator() target {
	return w.target("gateway", w.gateway, 201, func(n int64) []byte {
		body := fmt.Sprintf(`{"customer_id":"cus-%d","provider":"bigcommerce-main","sources":[{"type":"vaulted_token","payment_method_id":"braintree.credit_card",`+
			`"currency":"USD","vault_token":"gateway-%d","provider_customer_id":"321123","instrument_type":"card","brand":"visa","bin":"411111","last4":"%04d","exp_month":12,"exp_year":2031}],`+
			`"billing_address":{"first_name":"Ada","last_name":"Byron","line1":"12 Analytical Way","city":"Austin","region":"TX","country":"US","postal_code":"78701"}}`,
			n%100, n, n%10000)
		return request("POST /v1/instruments", "gateway", fmt.Sprintf("Authorization: Bearer %s\r\nIdempotency-Key: bench-%d", apiKey, n), body)
	})
}

func request(line, host, headers, body string) []byte {
	return fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%s\r\n\r\n%s", line, host, len(body), headers, body)
}

// serveProxy is the yardstick: Go's own reverse proxy, with as many idle
// connections as the gateway keeps.
func serveProxy(ctx context.Context, spec string) error {
	listen, to, _ := strings.Cut(spec, "=")
	backend := &url.URL{Scheme: "http", Host: to}
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(backend); r.Out.Host = r.In.Host },
		Transport: &http.Transport{MaxIdleConns: 128, MaxIdleConnsPerHost: 128, MaxConnsPerHost: 128},
	}
	srv := &http.Server{Addr: listen, Handler: proxy, ReadHeaderTimeout: 5 * time.Second}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		select {
		case <-stop:
		case <-ctx.Done():
		}
		_ = srv.Close()
	}()
	if err := srv.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func freeAddr(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String(), nil
}

func waitForPort(ctx context.Context, addr string) error {
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s does not answer: %w", addr, err)
		}
	}
}
