package fault_test

import (
	"context"
	"errors"
	"io"
	"log"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/polyvault/polyvault/adapters/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const answer = `{"id":"0123456789"}`

// misbehaving is a server with faults in front of a handler that counts.
type misbehaving struct {
	set      *fault.Set
	executed *atomic.Int64
	url      string
	client   *http.Client
	refused  *atomic.Int64
}

func start(t *testing.T) misbehaving {
	t.Helper()
	m := misbehaving{set: &fault.Set{}, executed: &atomic.Int64{}, refused: &atomic.Int64{}}
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		m.executed.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Body", string(body))
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, answer)
	})
	srv := httptest.NewUnstartedServer(m.set.Handler(next, fault.Options{
		RateLimited: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Own", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		Refuse: func(d time.Duration) { m.refused.Store(int64(d)) },
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	m.url, m.client = srv.URL, srv.Client()
	return m
}

// send posts, and returns what it could read.
func (m misbehaving) send(ctx context.Context, t *testing.T, path string) (status int, header http.Header, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+path, strings.NewReader("in"))
	require.NoError(t, err)
	req.GetBody = nil
	resp, err := m.client.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var n int64
	var b strings.Builder
	n, err = io.Copy(&b, io.LimitReader(resp.Body, 3<<20))
	if n == 3<<20 {
		err = errors.New("huge")
	}
	return resp.StatusCode, resp.Header, b.String(), err
}

func TestEachFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule     fault.Rule
		executed bool
		status   int
		fails    bool
		body     string // what the body begins with, if it is not ""
	}{
		"refuse":              {fault.Rule{Fault: fault.Refuse}, false, 0, true, ""},
		"reset":               {fault.Rule{Fault: fault.Reset}, false, 0, true, ""},
		"hang":                {fault.Rule{Fault: fault.Hang, DelayMS: 1}, false, 0, true, ""},
		"delay":               {fault.Rule{Fault: fault.Delay, DelayMS: 1}, true, 201, false, answer},
		"status":              {fault.Rule{Fault: fault.Status, Status: 418}, false, 418, false, `{"message"`},
		"status by default":   {fault.Rule{Fault: fault.Status}, false, 500, false, `{"message"`},
		"status after commit": {fault.Rule{Fault: fault.StatusAfterCommit, Status: 502}, true, 502, false, `{"message"`},
		"commit then drop":    {fault.Rule{Fault: fault.CommitThenDrop}, true, 0, true, ""},
		"commit then hang":    {fault.Rule{Fault: fault.CommitThenHang, DelayMS: 1}, true, 0, true, ""},
		"truncate":            {fault.Rule{Fault: fault.Truncate}, true, 201, true, answer[:len(answer)/2]},
		"slow body":           {fault.Rule{Fault: fault.SlowBody, DelayMS: 1}, true, 201, false, answer},
		"huge body":           {fault.Rule{Fault: fault.HugeBody}, true, 201, true, answer + "   "},
		"gzip bomb":           {fault.Rule{Fault: fault.GzipBomb}, true, 201, true, answer + "   "},
		"malformed JSON":      {fault.Rule{Fault: fault.MalformedJSON}, true, 201, false, `{"id":"brok`},
		"HTML":                {fault.Rule{Fault: fault.HTML}, true, 201, false, "<!doctype html>"},
		"rate limited":        {fault.Rule{Fault: fault.RateLimited}, false, 429, false, ""},
		"echo":                {fault.Rule{Fault: fault.Echo, Status: 422}, false, 422, false, `{"card":{"bin":"4111111111111111"`},
		"echo by default":     {fault.Rule{Fault: fault.Echo}, false, 400, false, `{"card"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := start(t)
			c.rule.Times = 1
			m.set.Add(c.rule)
			status, header, body, err := m.send(t.Context(), t, "/x")
			require.Equal(t, c.fails, err != nil, "%v", err)
			require.Equal(t, c.status, status)
			require.True(t, strings.HasPrefix(body, c.body), "%.40q", body)
			require.Equal(t, c.executed, m.executed.Load() == 1)
			if c.rule.Fault == fault.Delay {
				require.Equal(t, "in", header.Get("X-Body"), "the request is executed with its body")
			}
			if c.rule.Fault == fault.RateLimited {
				require.Equal(t, "1", header.Get("X-Own"), "the provider's own 429")
			}
			status, header, body, err = m.send(t.Context(), t, "/x")
			require.NoError(t, err, "the fault is used up")
			require.Equal(t, []any{201, "in", answer}, []any{status, header.Get("X-Body"), body})
		})
	}
}

func TestRefuseTellsItsPause(t *testing.T) {
	t.Parallel()
	m := start(t)
	m.set.Add(fault.Rule{Fault: fault.Refuse, Times: 1})
	_, _, _, err := m.send(t.Context(), t, "/") //nolint:dogsled // only that it fails
	require.Error(t, err)
	require.Equal(t, time.Second, time.Duration(m.refused.Load()))
	m.set.Add(fault.Rule{Fault: fault.Refuse, Times: 1, DelayMS: 20})
	_, _, _, err = m.send(t.Context(), t, "/") //nolint:dogsled // only that it fails
	require.Error(t, err)
	require.Equal(t, 20*time.Millisecond, time.Duration(m.refused.Load()))
}

func TestHangsEndWithTheClient(t *testing.T) {
	t.Parallel()
	for _, kind := range []fault.Kind{fault.Hang, fault.CommitThenHang, fault.SlowBody} {
		m := start(t)
		m.set.Add(fault.Rule{Fault: kind})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		_, _, _, err := m.send(ctx, t, "/") //nolint:dogsled // only that it fails
		require.ErrorIs(t, err, context.DeadlineExceeded, "%s: the default is a long time", kind)
		cancel()
	} // and closing the servers does not wait for a minute
}

func TestWithoutOptions(t *testing.T) {
	t.Parallel()
	var set fault.Set
	srv := httptest.NewServer(set.Handler(http.NotFoundHandler(), fault.Options{}))
	t.Cleanup(srv.Close)
	m := misbehaving{url: srv.URL, client: srv.Client()}
	set.Add(fault.Rule{Fault: fault.RateLimited, Times: 1})
	set.Add(fault.Rule{Fault: fault.Refuse, Times: 1})
	status, _, body, err := m.send(t.Context(), t, "/")
	require.NoError(t, err)
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Contains(t, body, "429")
	_, _, _, err = m.send(t.Context(), t, "/") //nolint:dogsled // only that it fails
	require.Error(t, err)
}

func TestHTTP2StreamIsEnded(t *testing.T) {
	t.Parallel()
	var set fault.Set
	srv := httptest.NewUnstartedServer(set.Handler(http.NotFoundHandler(), fault.Options{}))
	srv.EnableHTTP2 = true
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	m := misbehaving{url: srv.URL, client: srv.Client()}
	for _, kind := range []fault.Kind{fault.Reset, fault.CommitThenDrop} {
		set.Add(fault.Rule{Fault: kind, Times: 1})
		_, _, _, err := m.send(t.Context(), t, "/") //nolint:dogsled // only that it fails
		require.Error(t, err, kind)
	}
	status, _, _, err := m.send(t.Context(), t, "/")
	require.NoError(t, err)
	require.Equal(t, http.StatusNotFound, status)
}

func TestTake(t *testing.T) {
	t.Parallel()
	var set fault.Set
	require.NoError(t, set.Put([]fault.Rule{
		{Method: "post", Path: "/v1/*/cards", Fault: fault.Reset, Times: 2},
		{Path: "/v1/a/cards", Fault: fault.Hang},
		{Method: http.MethodDelete, Fault: fault.Status, Times: 1},
	}))
	for i, c := range []struct {
		method, path string
		want         fault.Kind
	}{
		{"POST", "/v1/a/cards", fault.Reset},
		{"POST", "/v1/a/b/cards", ""},
		{"GET", "/v1/b/cards", ""},
		{"POST", "/v1/b/cards", fault.Reset},
		{"POST", "/v1/b/cards", ""},
		{"POST", "/v1/a/cards", fault.Hang},
		{"POST", "/v1/a/cards", fault.Hang},
		{"DELETE", "/any/thing", fault.Status},
		{"DELETE", "/any/thing", ""},
	} {
		rule, ok := set.Take(c.method, c.path)
		require.Equal(t, c.want, rule.Fault, "step %d", i)
		require.Equal(t, c.want != "", ok, "step %d", i)
	}
	require.Equal(t, []fault.Rule{{Path: "/v1/a/cards", Fault: fault.Hang}}, set.Rules())
	set.Clear()
	require.Empty(t, set.Rules())
	require.NotNil(t, set.Rules(), "an empty list in JSON, not null")
}

func TestPutRefuses(t *testing.T) {
	t.Parallel()
	var set fault.Set
	good := fault.Rule{Fault: fault.Reset}
	require.NoError(t, set.Put([]fault.Rule{good}))
	for name, r := range map[string]fault.Rule{
		"an unknown fault":       {Fault: "explode"},
		"no fault":               {},
		"negative times":         {Fault: fault.Hang, Times: -1},
		"a negative delay":       {Fault: fault.Hang, DelayMS: -1},
		"a delay too long":       {Fault: fault.Hang, DelayMS: 600_001},
		"a status of 100":        {Fault: fault.Status, Status: 100},
		"a status of 600":        {Fault: fault.Status, Status: 600},
		"a pattern that is none": {Fault: fault.Reset, Path: "/["},
		"a chance below 0":       {Fault: fault.Reset, Probability: -0.1},
		"a chance above 1":       {Fault: fault.Reset, Probability: 1.1},
		"a chance of no number":  {Fault: fault.Reset, Probability: math.NaN()},
	} {
		require.Error(t, set.Put([]fault.Rule{good, r}), name)
		require.Equal(t, []fault.Rule{good}, set.Rules(), "%s: none is replaced", name)
		require.Panics(t, func() { set.Add(r) }, name)
	}
}

func TestTakeInParallelHitsAsOftenAsItSays(t *testing.T) {
	t.Parallel()
	var set fault.Set
	set.Add(fault.Rule{Fault: fault.Reset, Times: 50})
	var hits atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for range 10 {
				if _, ok := set.Take("GET", "/"); ok {
					hits.Add(1)
				}
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 50, hits.Load())
}

func TestALoneStarMatchesEveryPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{"*": true, "": true, "/a/*": true, "/*": false, "/a/b/*": false} {
		var s fault.Set
		s.Add(fault.Rule{Path: path, Fault: fault.Reset})
		_, ok := s.Take(http.MethodPost, "/a/b")
		require.Equal(t, want, ok, path)
	}
}

func TestProbabilityHitsAtRandom(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ chance, low, high float64 }{{0, 1, 1}, {1, 1, 1}, {0.2, 0.15, 0.25}, {1e-12, 0, 0}} {
		var set fault.Set
		set.Add(fault.Rule{Fault: fault.Reset, Probability: c.chance})
		const n = 10_000
		hits := 0
		for range n {
			if _, ok := set.Take(http.MethodPost, "/"); ok {
				hits++
			}
		}
		require.GreaterOrEqual(t, float64(hits)/n, c.low, "probability %g", c.chance)
		require.LessOrEqual(t, float64(hits)/n, c.high, "probability %g", c.chance)
	}
}

func TestASparedRequestMeetsTheNextRuleAndIsNotCounted(t *testing.T) {
	t.Parallel()
	var set fault.Set
	never := fault.Rule{Fault: fault.Reset, Times: 1, Probability: 1e-12}
	set.Add(never)
	set.Add(fault.Rule{Fault: fault.Hang, Times: 1})
	rule, ok := set.Take(http.MethodPost, "/")
	require.True(t, ok)
	require.Equal(t, fault.Hang, rule.Fault)
	require.Equal(t, []fault.Rule{never}, set.Rules())
}
