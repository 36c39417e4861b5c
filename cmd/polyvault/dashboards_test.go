package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/gateway/storetest/redistest"
)

// scraped is what a gateway shows, by metric (a histogram's under its series' names).
type scraped map[string]map[string][]string // metric, label, values

func (s scraped) add(metric string, labels []*dto.LabelPair, more ...string) {
	if s[metric] == nil {
		s[metric] = map[string][]string{}
	}
	for _, l := range labels {
		s[metric][l.GetName()] = append(s[metric][l.GetName()], l.GetValue())
	}
	for _, l := range more {
		s[metric][l] = append(s[metric][l], "")
	}
}

// scrape reads a gateway's metrics as Prometheus does.
func scrape(t *testing.T, admin string) (scraped, map[string]*dto.MetricFamily) {
	t.Helper()
	status, text := request(t, "GET", admin+"/metrics", "", "")
	require.Equal(t, 200, status)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	out := scraped{"up": {}}
	for name, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetType() != dto.MetricType_HISTOGRAM {
				out.add(name, m.GetLabel())
				continue
			}
			out.add(name+"_bucket", m.GetLabel(), "le")
			out.add(name+"_sum", m.GetLabel())
			out.add(name+"_count", m.GetLabel())
		}
	}
	return out, families
}

// busyGateway is a gateway over Redis that has met what can be made to happen: creates
// that fail over, a breaker that opens, callers without a key.
func busyGateway(t *testing.T) (admin string) {
	t.Helper()
	behind := httptest.NewServer(rebillytest.New(rebillytest.Options{}))
	t.Cleanup(behind.Close)
	spans := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(spans.Close)
	key, line := newKey(t, "instruments:read,instruments:write,providers:read,providers:write")
	e := edited{url: behind.URL, line: line, key: key, folder: t.TempDir(), route: "down, second"}
	put(t, e.folder+"/key", "sk_sandbox_polyvault")
	put(t, e.folder+"/reference", "Y2FuYXJ5LXJlZmVyZW5jZS1rZXktb2YtMzItYnl0ZXM=")
	put(t, e.folder+"/events", "whsec_Y2FuYXJ5LWV2ZW50cy1zZWNyZXQtMzItYnl0ZXM=")
	put(t, e.folder+"/webhook", "canary-webhook-password")
	told := make(chan struct{}, 100)
	shop := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { told <- struct{}{} }))
	t.Cleanup(shop.Close)
	e.line = strings.Replace(line, "}", ", not_after: 2126-01-31T12:00:00Z}", 1)
	e.more = fmt.Sprintf("tracing: {endpoint: %q}\naudit: {file: %s/audit.log}\n", spans.URL, e.folder) +
		"limits: {tenant: {rate: 1000}, key: {rate: 1000}, creates_per_customer: {limit: 3}, creates_per_address: {limit: 1000}, declines_per_customer: {limit: 3}}\n"
	text := strings.Replace(e.text(), "store: {bolt: {path: "+e.folder+"/p.db}}", "store: {"+onRedis(redistest.Start(t, "--appendonly", "yes"))+"}", 1)
	text = strings.Replace(text, "name: first\n    type: rebilly\n    config: {base_url: \""+behind.URL, "name: down\n    type: rebilly\n    config: {base_url: \"http://127.0.0.1:1", 1)
	text = strings.Replace(text, "    accept_raw_card: true\n", "    accept_raw_card: true\n"+
		fmt.Sprintf("    events: {endpoints: [{url: %q, secrets: [file:events]}]}\n", shop.URL), 1)
	text = strings.Replace(text, "api_key: sk_sandbox_polyvault}", "api_key: sk_sandbox_polyvault, webhook_credentials: [{username: rebilly, password: file:webhook}]}", 1)
	put(t, e.file(), text)
	r := start(t, "serve", "--config", e.file())
	api := address(t, r, "listening")
	for i := range 7 {
		require.Equal(t, "second", e.stores(t, api, fmt.Sprintf("cus-%d", i)))
	}
	status, body := request(t, "GET", api+"/v1/instruments", key, "")
	require.Equal(t, 200, status)
	var page struct{ Data []struct{ ID string } }
	require.NoError(t, json.Unmarshal([]byte(body), &page))
	status, _ = request(t, "GET", api+"/v1/instruments/"+page.Data[0].ID, key, "")
	require.Equal(t, 200, status)
	for path, want := range map[string]int{"/v1/instruments/x": 404, "/nowhere": 404, "/readyz": 200} {
		status, _ = request(t, "GET", api+path, key, "")
		require.Equal(t, want, status, path)
	}
	status, _ = request(t, "GET", api+"/v1/providers", "nonsense", "")
	require.Equal(t, 401, status)
	status, _ = request(t, "POST", api+"/v1/webhooks/second", "", "{}")
	require.Equal(t, 401, status)
	<-told
	admin = address(t, r, "admin listening")
	require.Eventually(t, func() bool {
		_, text := request(t, "GET", admin+"/metrics", "", "")
		return strings.Contains(text, "polyvault_encryption_key_age_seconds{")
	}, 20*time.Second, 10*time.Millisecond, "the store is walked")
	return admin
}

// expression is one of the dashboard or of the alerts.
type expression struct{ where, text string }

func dashboard(t *testing.T) (out []expression) {
	t.Helper()
	b, err := os.ReadFile("../../deploy/grafana/polyvault.json")
	require.NoError(t, err)
	var d struct {
		Panels []struct {
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int } `json:"gridPos"`
			Targets []struct{ Expr string }
		}
		Annotations struct {
			List []struct{ Name, Expr string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	require.NoError(t, json.Unmarshal(b, &d))
	for _, p := range d.Panels {
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		require.True(t, p.Type == "row" || len(p.Targets) > 0, p.Title)
		for _, target := range p.Targets {
			out = append(out, expression{"panel " + p.Title, target.Expr})
		}
	}
	for _, a := range d.Annotations.List {
		out = append(out, expression{"annotation " + a.Name, a.Expr})
	}
	for _, v := range d.Templating.List {
		if m := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Query); m != nil {
			out = append(out, expression{"variable " + v.Name, "count by (" + m[2] + ") (" + m[1] + ")"})
		}
	}
	for i := range out {
		out[i].text = strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(out[i].text)
		require.NotContains(t, out[i].text, "$", out[i].where)
	}
	return out
}

// alert is a rule of Prometheus.
type alert struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func alerts(t *testing.T) (out []alert) {
	t.Helper()
	b, err := os.ReadFile("../../deploy/prometheus/alerts.yml")
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Name  string
			Rules []alert
		}
	}
	require.NoError(t, yaml.Unmarshal(b, &file))
	for _, g := range file.Groups {
		out = append(out, g.Rules...)
	}
	return out
}

// unseen are values of labels that the traffic of the test does not make, and that exist.
func unseen() map[string][]string {
	return map[string][]string{
		"code": {"internal_error"}, "outcome": {"unknown"}, "job": {"polyvault"},
	}
}

// check says what an expression refers to that a gateway does not have; "" if nothing.
func (s scraped) check(expr string) string {
	q, err := parsePromQL(expr)
	if err != nil {
		return err.Error()
	}
	if len(q.selectors) == 0 {
		return "it refers to no metric"
	}
	target := func(label string) bool { return label == "job" || label == "instance" }
	for _, sel := range q.selectors {
		labels, ok := s[sel.metric]
		if !ok {
			return "there is no metric " + sel.metric
		}
		for _, m := range sel.matchers {
			values, ok := labels[m.label]
			if !ok && !target(m.label) {
				return fmt.Sprintf("%s has no label %s", sel.metric, m.label)
			}
			fits, err := regexp.Compile("^(?:" + m.value + ")$")
			if err != nil {
				return err.Error()
			}
			known := slices.Concat(values, unseen()[m.label])
			switch {
			case m.op == "=~" && m.value == ".*", m.op == "=~" && m.value == "5..":
			case m.op == "=" && !slices.Contains(known, m.value), m.op == "!=" && !slices.Contains(known, m.value),
				m.op == "=~" && !slices.ContainsFunc(known, fits.MatchString):
				return fmt.Sprintf("%s never has %s%s%q", sel.metric, m.label, m.op, m.value)
			}
		}
		for _, label := range q.grouping {
			if _, ok := labels[label]; !ok && !target(label) {
				return fmt.Sprintf("%s has no label %s to group by", sel.metric, label)
			}
		}
	}
	return ""
}

// Whatever the dashboard shows and the alerts watch exists in a running gateway, under
// those names and labels.
func TestDashboardAndAlertsMatchTheMetrics(t *testing.T) {
	t.Parallel()
	has, families := scrape(t, busyGateway(t))
	expressions := dashboard(t)
	require.Greater(t, len(expressions), 75)
	for _, a := range alerts(t) {
		expressions = append(expressions, expression{"alert " + a.Alert, a.Expr})
	}
	for _, e := range expressions {
		require.Empty(t, has.check(e.text), "%s: %s", e.where, e.text)
	}
	for text, want := range map[string]string{
		`rate(polyvault_http_request_total[5m])`:                  "there is no metric",
		`polyvault_create_failovers_total{tenant="x"}`:            "has no label tenant",
		`polyvault_redis_connections{state="busy"}`:               `never has state="busy"`,
		`sum by (tenant) (polyvault_provider_calls_total)`:        "has no label tenant to group by",
		`polyvault_provider_operations_total{code=~"nonsense.+"}`: "never has code",
	} {
		require.Contains(t, has.check(text), want, "the check itself")
	}
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "polyvault_") {
			require.NotEmpty(t, f.GetHelp(), f.GetName())
		}
	}
	checkMetricsTable(t, has, families)
}

// checkMetricsTable holds the table against a scrape: every metric of ours is in it, with
// its labels, and nothing else is.
func checkMetricsTable(t *testing.T, has scraped, families map[string]*dto.MetricFamily) {
	t.Helper()
	b, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(polyvault_[a-z_]+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(b), -1) {
		rows[m[1]] = m[2] + " " + strings.ReplaceAll(m[3], "`", "")
	}
	want := map[string]string{}
	for name, f := range families {
		if !strings.HasPrefix(name, "polyvault_") {
			continue
		}
		labels := has[name]
		if f.GetType() == dto.MetricType_HISTOGRAM {
			labels = has[name+"_sum"]
		}
		want[name] = strings.ToLower(f.GetType().String()) + " " + cmp.Or(strings.Join(slices.Sorted(maps.Keys(labels)), ", "), "–")
	}
	require.Equal(t, want, rows, "docs/operations.md has a row for each metric: | `name` | type | labels |")
}

func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	names := map[string]bool{}
	for _, a := range alerts(t) {
		require.Regexp(t, `^Polyvault[A-Za-z]+$`, a.Alert)
		require.False(t, names[a.Alert], "%s is there twice", a.Alert)
		names[a.Alert] = true
		require.Contains(t, []string{"page", "ticket"}, a.Labels["severity"], a.Alert)
		require.NotEmpty(t, a.Annotations["summary"], a.Alert)
		require.Greater(t, len(a.Annotations["description"]), 20, "%s: say what to do", a.Alert)
		if a.For != "" {
			_, err := model.ParseDuration(a.For)
			require.NoError(t, err, a.Alert)
		}
		require.Contains(t, string(docs), "| "+a.Alert+" | "+a.Labels["severity"]+" |", "docs/operations.md")
	}
	for _, m := range regexp.MustCompile(`(?m)^\| (Polyvault\w+) \|`).FindAllStringSubmatch(string(docs), -1) {
		require.True(t, names[m[1]], "docs/operations.md has an alert that is not: %s", m[1])
	}
}
