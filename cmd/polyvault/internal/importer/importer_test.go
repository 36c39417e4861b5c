package importer

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/client"
)

func TestEveryLineHasAResultInItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJob(t, "in.jsonl", good(2_345))
		j.f.takes = time.Second
		sum := j.run(t)
		require.Equal(t, Summary{Stored: 2_345, LastLine: 2_345, Codes: map[string]int{}}, sum)
		for i, r := range j.results(t) {
			require.Equal(t, i+1, r.Line)
			require.Equal(t, Stored, r.Status)
			require.NotEmpty(t, r.Instrument)
		}
		require.Equal(t, 24, j.f.requests, "100 lines each")
		require.Equal(t, 4, j.f.most)
		again := j.run(t)
		require.Equal(t, 2_345, again.Earlier)
		require.Equal(t, 24, j.f.requests, "nothing is sent again")
	})
}

// Whatever of the results a crash leaves, the next run ends as the first one did.
func TestARunGoesOnAfterACrashAtAnyByte(t *testing.T) {
	t.Parallel()
	text := good(3) + "broken\n" + good(4)[len(good(3)):]
	whole := newJob(t, "in.jsonl", text)
	whole.run(t)
	log, err := os.ReadFile(whole.Results)
	require.NoError(t, err)
	want := whole.ids(t)
	require.Len(t, want, 5)
	for cut := range len(log) + 1 {
		j := newJob(t, "in.jsonl", text)
		j.Gateway, j.f = whole.f, whole.f
		sent := len(j.f.sent)
		require.NoError(t, os.WriteFile(j.Results, log[:cut], 0o600))
		sum := j.run(t)
		require.Equal(t, want, j.ids(t), "cut at byte %d", cut)
		require.Equal(t, map[int]string{4: "invalid_json"}, j.codes(t))
		kept := bytes.Count(log[:cut], []byte("\n"))
		require.Equal(t, kept, sum.Earlier)
		lines := 5 - kept
		if kept < 4 {
			lines-- // the broken one
		}
		require.Equal(t, lines, len(j.f.sent)-sent, "what has a result is not sent again")
	}
	require.Len(t, whole.f.ids, 4)
}

func TestAFileThatWasChangedIsNotGoneOnWith(t *testing.T) {
	t.Parallel()
	changed := strings.Replace(good(5), "cus-0", "cus-9", 1)
	for name, c := range map[string]struct{ text, says string }{
		"a line":       {changed, "line 1 differs"},
		"a line less":  {good(4), "shorter"},
		"nothing":      {"", "empty"},
		"a blank line": {"\n" + good(5), "line 2 differs"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, "in.jsonl", good(5))
			j.run(t)
			before, err := os.ReadFile(j.Results)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(j.File, []byte(c.text), 0o600))
			_, err = Run(t.Context(), j.Options)
			require.ErrorIs(t, err, ErrChanged)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "--restart")
			after, err := os.ReadFile(j.Results)
			require.NoError(t, err)
			require.Equal(t, string(before), string(after), "nothing is lost")
			require.Len(t, j.f.sent, 5)
			j.Restart = true
			sum := j.run(t)
			require.Zero(t, sum.Earlier)
			require.Equal(t, strings.Count(strings.TrimSpace(c.text)+"\n", "\n"), max(1, sum.Lines()))
		})
	}
	t.Run("longer is no change", func(t *testing.T) {
		t.Parallel()
		j := newJob(t, "in.jsonl", good(5))
		j.run(t)
		require.NoError(t, os.WriteFile(j.File, []byte(good(8)), 0o600))
		sum := j.run(t)
		require.Equal(t, 8, sum.Stored)
		require.Equal(t, 5, sum.Earlier)
		require.Len(t, j.f.sent, 8)
	})
	t.Run("another default provider is one", func(t *testing.T) {
		t.Parallel()
		j := newJob(t, "in.jsonl", secondLine)
		j.Provider = "p"
		j.run(t)
		j.Provider = "q"
		_, err := Run(t.Context(), j.Options)
		require.ErrorIs(t, err, ErrChanged)
	})
}

func TestResultsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"nonsense\n", "{}\n", strings.Repeat("x", 2*maxResult) + "\n"} {
		j := newJob(t, "in.jsonl", good(3))
		require.NoError(t, os.WriteFile(j.Results, []byte(text), 0o600))
		_, err := Run(t.Context(), j.Options)
		require.ErrorContains(t, err, "--restart")
		require.Empty(t, j.f.sent)
	}
}

func TestTwoImportsDoNotShareResults(t *testing.T) {
	t.Parallel()
	j := newJob(t, "in.jsonl", good(3))
	f, err := openResults(j.Results, 0)
	require.NoError(t, err)
	_, err = Run(t.Context(), j.Options)
	require.ErrorContains(t, err, "another import")
	require.Empty(t, j.f.sent)
	require.NoError(t, f.Close())
	j.run(t)
}

func TestOneKeyIsNotTwiceInARequest(t *testing.T) {
	t.Parallel()
	j := newJob(t, "in.jsonl", good(3)+good(3)+good(1))
	j.Concurrency = 1
	sum := j.run(t)
	require.Equal(t, Summary{Stored: 3, Existing: 4, LastLine: 7, Codes: map[string]int{}}, sum)
	ids := j.ids(t)
	require.Equal(t, ids[1], ids[4])
	require.Equal(t, ids[1], ids[7])
}

// A request has at most 1 MiB, also where an item takes more room than its line.
func TestRequestsAreNotTooLarge(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 300 {
		fmt.Fprintf(&b, `{"customer_id":"c","provider":"p","references":{"instrument":"%d"},"metadata":{"k":"%s"}}`+"\n", i, strings.Repeat("<", (i%30)*2_000))
	}
	j := newJob(t, "in.jsonl", b.String())
	require.Equal(t, 300, j.run(t).Stored)
	require.Less(t, j.f.largest, 1<<20)
	require.Greater(t, j.f.largest, 1<<19)
}

func TestFailedLinesAreTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJob(t, "in.jsonl", good(450)+"broken\n")
		refused := map[string]bool{}
		j.f.item = func(item client.ImportItem) *client.Problem {
			switch {
			case item.CustomerID == "cus-7" && !strings.HasSuffix(item.IdempotencyKey, "-2"): // for good, and replayed for ever
				refused[item.IdempotencyKey] = true
				return problemNow(404, "not_found", "never")
			case item.Provider == "p2":
				return problemNow(503, "provider_unavailable", "safe")
			default:
				return nil
			}
		}
		sum := j.run(t)
		require.Equal(t, 450/3+1+2, sum.Failed) // cus-7 has one more at p2
		require.Equal(t, map[string]int{"not_found": 3, "provider_unavailable": 149, "invalid_json": 1}, sum.Codes)
		require.Equal(t, sum, func() Summary { s := j.run(t); s.Earlier = 0; return s }(), "failed lines stay so unless they are to be tried again")
		sent := len(j.f.sent)

		j.RetryFailed = true
		was := j.f.item
		j.f.item = func(item client.ImportItem) *client.Problem {
			if item.Provider == "p2" {
				return nil
			}
			return was(item)
		}
		require.NoError(t, os.WriteFile(j.File, []byte(good(450)+"broken\n"+good(452)[len(good(450)):]), 0o600))
		sum = j.run(t)
		require.Equal(t, Summary{Stored: 452, Failed: 1, Earlier: 451, LastLine: 453, Codes: map[string]int{"invalid_json": 1}}, sum)
		require.Len(t, j.f.sent[sent:], 152+2)
		for i, r := range j.results(t) {
			require.Equal(t, i+1, r.Line)
		}
		_, err := os.Stat(j.Results + ".new")
		require.ErrorIs(t, err, os.ErrNotExist)
		require.Len(t, refused, 3)
		j.RetryFailed = false
		require.Equal(t, 453, j.run(t).Earlier)
	})
}

func TestARetryThatIsInterruptedLosesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJob(t, "in.jsonl", good(900))
		j.f.item = func(client.ImportItem) *client.Problem { return problemNow(422, "invalid_field", "never") }
		j.run(t)
		ctx, cancel := context.WithCancel(t.Context())
		j.RetryFailed, j.Concurrency, j.f.item = true, 1, nil
		j.f.before = func(n int) error {
			if n == 9+3 {
				cancel()
			}
			return nil
		}
		sum, err := Run(ctx, j.Options)
		require.ErrorIs(t, err, ErrInterrupted)
		require.Equal(t, 900, sum.Lines(), "every line keeps its result")
		require.GreaterOrEqual(t, sum.Stored, 300)
		require.Equal(t, 900-sum.Stored, sum.Failed)
		require.Equal(t, 900, j.run(t).Stored)
	})
}

func TestBeingAskedToStopFinishesWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJob(t, "in.jsonl", good(5_000))
		j.f.takes = time.Second
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(2500*time.Millisecond, cancel)
		sum, err := Run(ctx, j.Options)
		require.ErrorIs(t, err, ErrInterrupted)
		require.Equal(t, 1200, sum.Stored, "three rounds of four requests")
		require.Len(t, j.f.ids, 1200, "and not one is without its result")
		sum = j.run(t)
		require.Equal(t, 5_000, sum.Stored, "%v", sum)
		require.Len(t, j.f.sent, 5_000, "nothing was sent twice")
	})
}

func TestThingsThatPassAreWaitedFor(t *testing.T) {
	t.Parallel()
	busy := func(status int, after time.Duration) error {
		return &client.Error{Status: status, Code: "x", Retry: client.RetrySafe, RetryAfter: after}
	}
	for name, c := range map[string]struct {
		err   error
		times int
		least time.Duration
	}{
		"a rate limit, as long as it says":      {busy(429, 10*time.Minute), 3, 30 * time.Minute},
		"a gateway that is busy":                {busy(503, 20*time.Second), 3, time.Minute},
		"a gateway that restarts":               {&client.Error{Err: fmt.Errorf("connection refused")}, 5, time.Second},
		"a gateway behind a proxy that is away": {busy(502, 0), 5, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJob(t, "in.jsonl", good(50))
				notices := 0
				j.Notice = func(string) { notices++ }
				j.f.before = func(n int) error {
					if n <= c.times {
						return c.err
					}
					return nil
				}
				began := time.Now()
				require.Equal(t, 50, j.run(t).Stored)
				require.GreaterOrEqual(t, time.Since(began), c.least)
				require.Equal(t, c.times, notices)
			})
		})
	}
}

func TestAnImportEndsWhenNothingCanBeDone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err  error
		item *client.Problem
		says string
		most time.Duration
	}{
		"no such key":                 {err: &client.Error{Status: 401, Detail: "no"}, says: "refuses the API key"},
		"a key that may not":          {err: &client.Error{Status: 403, Detail: "no"}, says: "refuses the API key"},
		"no gateway":                  {err: &client.Error{Status: 404}, says: "does not take"},
		"a gateway that stays away":   {err: &client.Error{Err: fmt.Errorf("refused")}, says: "has not answered for 2m0s", most: 3 * time.Minute},
		"a store that stays away":     {item: problemNow(503, "store_unavailable", "safe"), says: "could not work for 2m0s", most: 3 * time.Minute},
		"a defect in what it is sent": {err: &client.Error{Status: 400}, says: "does not take"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJob(t, "in.jsonl", good(5_000))
				j.f.before = func(int) error { return c.err }
				j.f.item = func(client.ImportItem) *client.Problem { return c.item }
				began := time.Now()
				sum, err := Run(t.Context(), j.Options)
				require.ErrorContains(t, err, c.says)
				require.Zero(t, sum.Lines(), "no line is to blame")
				require.LessOrEqual(t, time.Since(began), c.most)
				if c.most == 0 {
					require.LessOrEqual(t, j.f.requests, 4, "at once")
				}
				j.f.before, j.f.item = nil, nil
				require.Equal(t, 5_000, j.run(t).Stored)
			})
		})
	}
}

// A provider that is down is waited for once, and not at every one of its lines.
func TestAProviderThatIsDownCostsItsPatienceOnce(t *testing.T) {
	t.Parallel()
	for name, outage := range map[string]time.Duration{"and comes back": 3 * time.Minute, "for good": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				j := newJob(t, "in.jsonl", good(30_000))
				until := time.Now().Add(outage)
				j.f.takes = time.Second
				j.f.item = func(item client.ImportItem) *client.Problem {
					if item.Provider == "p1" && time.Now().Before(until) {
						return problemNow(503, "provider_unavailable", "safe")
					}
					return nil
				}
				began := time.Now()
				sum := j.run(t)
				require.Less(t, time.Since(began), 5*time.Minute)
				require.Positive(t, sum.Failed)
				require.Equal(t, map[string]int{"provider_unavailable": sum.Failed}, sum.Codes)
				if outage < time.Hour {
					require.Less(t, sum.Failed, 10_000, "once it is back its lines are stored")
				}
				time.Sleep(outage)
				j.RetryFailed = true
				require.Equal(t, 30_000, j.run(t).Stored)
			})
		})
	}
}

// Lines that wait when the import is stopped have no result, and no line after them has
// one: what is written is how far it came.
func TestResultsHaveNoGap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJob(t, "in.jsonl", good(1_000))
		j.f.item = func(item client.ImportItem) *client.Problem {
			if item.CustomerID == "cus-50" { // lines 151 to 153
				return problemNow(409, "conflict", "safe")
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Minute, cancel)
		sum, err := Run(ctx, j.Options)
		require.ErrorIs(t, err, ErrInterrupted)
		require.Equal(t, 150, sum.LastLine)
		require.Len(t, j.results(t), 150)
		j.f.item = nil
		require.Equal(t, 1_000, j.run(t).Lines())
	})
}

func TestATornLineIsDroppedHoweverLongItIs(t *testing.T) {
	t.Parallel()
	j := newJob(t, "in.jsonl", good(3))
	j.run(t)
	whole, err := os.ReadFile(j.Results)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(j.Results, append(whole, strings.Repeat("x", 3*maxResult)...), 0o600))
	require.Equal(t, 3, j.run(t).Earlier)
	after, err := os.ReadFile(j.Results)
	require.NoError(t, err)
	require.Equal(t, string(whole), string(after))
}

func TestKeys(t *testing.T) {
	t.Parallel()
	one := entry{CustomerID: "c", Provider: "p", References: map[string]string{"a": "1", "b": "2"}}
	require.Equal(t, one.key(0), entry{CustomerID: "c", Provider: "p", References: map[string]string{"b": "2", "a": "1"}, Metadata: map[string]string{"k": "v"}}.key(1))
	seen := map[string]bool{one.key(0): true, one.key(2): true}
	for _, other := range []entry{
		{CustomerID: "d", Provider: "p", References: one.References},
		{CustomerID: "c", Provider: "q", References: one.References},
		{CustomerID: "cp", Provider: "", References: one.References},
		{CustomerID: "c", Provider: "p", References: map[string]string{"a": "1"}},
		{CustomerID: "c", Provider: "p", References: map[string]string{"a": "2", "b": "1"}},
		{CustomerID: "c", Provider: "p", References: map[string]string{"a": "1b2"}},
	} {
		seen[other.key(0)] = true
	}
	require.Len(t, seen, 8)
	for key := range seen {
		require.Regexp(t, `^[!-~]{1,255}$`, key)
	}
}

func TestALineThatSomebodyElseIsStoringIsWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJob(t, "in.jsonl", good(100))
		until := time.Now().Add(31 * time.Second)
		j.f.item = func(item client.ImportItem) *client.Problem {
			if item.CustomerID == "cus-3" && time.Now().Before(until) {
				return problemNow(409, "idempotency_key_in_use", "safe_with_same_key")
			}
			return nil
		}
		require.Equal(t, 100, j.run(t).Stored)
	})
}

// What is read ahead of a line that waits is bounded.
func TestTheWindowIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJob(t, "in.jsonl", good(20_000))
		j.Patience = time.Hour
		until := time.Now().Add(10 * time.Minute)
		ahead := 0
		j.f.item = func(item client.ImportItem) *client.Problem {
			if time.Now().Before(until) {
				if item.CustomerID == "cus-0" {
					return problemNow(409, "conflict", "safe")
				}
				ahead++
			}
			return nil
		}
		require.Equal(t, 20_000, j.run(t).Stored)
		require.LessOrEqual(t, ahead, (2*4+4+2)*maxItems)
	})
}
