// Package mutants tests the proof: what keeps a card from being stored twice is
// taken out of the code, one thing at a time, and the proof must notice.
package mutants

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// edit is one change of a file's text. The old text must be there exactly once:
// when the code has moved on, the mutant must be written anew.
type edit struct{ file, old, new string }

// proof is how `go test` is run for a mutant, and what it must say.
type proof struct {
	pkg, run string
	says     string // a pattern of the failure: the broken promise, or the test's claim
}

type mutant struct {
	name  string
	edits []edit
	proof proof
}

// points is the proof of every fault at every point of a scene, at one provider.
func points(scene, says string) proof {
	return proof{
		pkg: "./gateway", run: "^TestEveryPointSurvivesEveryFault$/^bigcommerce$/^" + strings.ReplaceAll(scene, " ", "_") + "$",
		says: `(?m)^\s+` + says + `: .*`,
	}
}

// unit is one test of the gateway.
func unit(name string) proof {
	return proof{pkg: "./gateway", run: "^" + name + "$", says: "--- FAIL: " + name + ".*"}
}

func mutants() []mutant {
	return []mutant{
		{
			"the store writes at any version",
			[]edit{{"gateway/proof_store_test.go", "case e.version == w.Expect:", "default:"}},
			points("one key from two clients at two gateways", "[DLXS]"),
		},
		{
			"Redis writes at any version",
			[]edit{{"gateway/redisstore/script.go", "if version == ARGV[1] then", "if true then"}},
			proof{pkg: "./gateway/redisstore", run: "^TestStore$", says: `--- FAIL: TestStore/.*`},
		},
		{
			"a strict write waits for no replica",
			[]edit{{"gateway/redisstore/barrier.go", "if ctx.Value(durably{}) == nil ||", "if ctx.Err() == nil ||"}},
			proof{pkg: "./gateway/redisstore", run: "^TestAStrictWriteIsNotDoneUntilAReplicaHasIt$", says: `--- FAIL: TestAStrictWrite.*`},
		},
		{
			"who has lost the fence writes over who has it",
			[]edit{{
				"gateway/create_end.go",
				"\tcase errors.Is(err, errChanged) && done.State == StateSending && done.Fence == cur.Fence:\n\t\t// The",
				"\tcase errors.Is(err, errChanged):\n\t\tcur.version = done.version\n\t\treturn c.complete(ctx, p, src, cur, ins)\n" +
					"\tcase errors.Is(err, errChanged) && done.State == StateSending && done.Fence == cur.Fence:\n\t\t// The",
			}},
			points("a known customer's card", "[DLS]"),
		},
		{
			"a record is taken while it is leased",
			[]edit{{"gateway/record.go", "bool { return now.Before(r.LeaseEnd) }", "bool { return now.IsZero() }"}},
			points("one key from two clients at two gateways", "[DS]"),
		},
		{
			"a lease is measured on the gateway's own clock",
			[]edit{{"gateway/clock.go", "\treturn local.Add(c.ahead).UTC()", "\treturn local.UTC()"}},
			proof{pkg: "./gateway", run: "^TestAClockThatIsAnHourOffStealsNoLease$", says: `S: .*`},
		},
		{
			"what the provider lists is not looked at",
			[]edit{{"gateway/reconcile.go", "\titems, err := s.listAt(ctx, out.p, references)\n", "\tvar items []adapters.Instrument\n"}},
			points("a known customer's card", "D"),
		},
		{
			"the call is made before the attempt is written down",
			[]edit{
				{
					"gateway/create.go", "\tnext, res, err := s.put(ctx, \"create\", cur, begun,",
					"\tknown, err := s.loadEntries(ctx, customerEntryKey(c.tenant.Name, c.in.CustomerID))\n" +
						"\tif err != nil {\n\t\treturn cur, true, Created{}, err\n\t}\n" +
						"\tins, callErr := c.call(ctx, m, src, known.Entries[0])\n" +
						"\tnext, res, err := s.put(ctx, \"create\", cur, begun,",
				},
				{"gateway/create.go", "\tins, callErr := c.call(ctx, m, src, res.Loaded[0])\n", ""},
			},
			points("a known customer's card", "D"),
		},
		{
			"an event is written after its change, not with it",
			[]edit{{
				"gateway/stored.go", "\tnext = s.withEvents(cur, next)\n\tafter, res, err := s.putAsItIs(ctx, op, cur, next, load...)\n",
				"\ttold := s.withEvents(cur, next)\n\tafter, res, err := s.putAsItIs(ctx, op, cur, next, load...)\n" +
					"\tif err == nil && len(told.Events) != len(next.Events) {\n\t\tafter, _, err = s.putAsItIs(ctx, op, after, told)\n\t}\n",
			}},
			points("a known customer's card", "E"),
		},
		{
			"a relay takes an event from its record before it has an entry",
			[]edit{{
				"gateway/event_relay.go", "\t\tevents, now := rec.Events, s.clock.at(s.now())\n",
				"\t\tevents, now := rec.Events, s.clock.at(s.now())\n" +
					"\t\tif taken, _, err := s.putAsItIs(ctx, \"events\", rec, rec.relayed(events)); err == nil {\n\t\t\trec = taken\n\t\t}\n",
			}},
			unit("TestARelayThatDiesLosesNoEvent"),
		},
		{
			"what is sealed opens anywhere",
			[]edit{{"gateway/seal.go", "range [...]string{p.tenant, p.record, to} {", "range [...]string{to} {"}},
			unit("TestASealedPartOpensOnlyWhereItBelongs"),
		},
		{
			"a rotation seals what a request is about to write",
			[]edit{{"gateway/reseal.go", "\tcase !out.open:\n", "\tdefault:\n"}},
			unit("TestAnOpenRecordIsLeftToItsRequest"),
		},
		{
			"what a provider said is not remembered",
			[]edit{{"gateway/notice.go", "\ts.closeNotice(ctx, entry, noticeDone)\n", "\ts.closeNotice(ctx, entry, noticeOpen)\n"}},
			unit("TestANoticeHasItsInstrumentLookedAtOnce"),
		},
		{
			"creates are not counted",
			[]edit{{"gateway/create.go", "\t\tcur, err = c.limit(ctx, rec.ID)\n", ""}},
			unit("TestCreatesOfACustomerAreLimited"),
		},
	}
}

// Without a mutation the proofs pass, run in the same way: what kills a mutant is the
// mutation.
func TestTheProofPassesWithoutAMutation(t *testing.T) {
	t.Parallel()
	for _, scene := range []string{"a known customer's card", "one key from two clients at two gateways"} {
		out, err := points(scene, "").test(t, map[string]string{})
		require.NoError(t, err, "%s", out)
		require.NotContains(t, out, "no tests to run")
	}
}

func TestTheProofKillsEveryMutant(t *testing.T) {
	t.Parallel()
	for _, m := range mutants() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			begin := time.Now()
			out, err := m.proof.test(t, m.overlay(t))
			require.Error(t, err, "the mutant lives: the proof did not notice it\n%s", out)
			require.NotContains(t, out, "[build failed]")
			require.NotContains(t, out, "[setup failed]")
			found := regexp.MustCompile(m.proof.says).FindStringIndex(out)
			require.NotNil(t, found, "the mutant died of something else:\n%s", out)
			t.Logf("killed after %v: %s", time.Since(begin).Round(time.Second), strings.TrimSpace(out[found[0]:found[1]]))
		})
	}
}

// overlay writes the mutated files to a folder of their own, and returns what stands
// for what. Nothing in the tree changes.
func (m mutant) overlay(t *testing.T) map[string]string {
	t.Helper()
	dir, texts := t.TempDir(), map[string]string{}
	for _, e := range m.edits {
		path := filepath.Join(root(t), filepath.FromSlash(e.file))
		text, ok := texts[path]
		if !ok {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			text = string(b)
		}
		require.Equal(t, 1, strings.Count(text, e.old), "the mutant %q must be written anew: %s does not have this once:\n%s", m.name, e.file, e.old)
		texts[path] = strings.Replace(text, e.old, e.new, 1)
	}
	out := map[string]string{}
	for path, text := range texts {
		out[path] = filepath.Join(dir, filepath.Base(path))
		require.NoError(t, os.WriteFile(out[path], []byte(text), 0o600))
	}
	return out
}

// test runs the proof over the mutated files.
func (p proof) test(t *testing.T, replace map[string]string) (out string, err error) {
	t.Helper()
	dependOnTheTree(t)
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	b, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, b, 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "test", "-overlay", overlay, "-count=1", "-vet=off", "-timeout=4m", "-run", p.run, p.pkg)
	cmd.Dir = root(t)
	text, err := cmd.CombinedOutput()
	return string(text), err
}

// dependOnTheTree opens every source file that a proof is made of, so that the
// go command knows when a cached result of this test is out of date.
func dependOnTheTree(t *testing.T) {
	t.Helper()
	for _, folder := range []string{"gateway", "adapters", "normalize"} {
		require.NoError(t, filepath.WalkDir(filepath.Join(root(t), folder), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
				return err
			}
			_, err = os.Stat(path)
			return err
		}))
	}
}

func root(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../..")
	require.NoError(t, err)
	return path
}
