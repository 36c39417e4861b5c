package storetest_test

import (
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway/storetest"
)

func TestMain(m *testing.M) {
	flag.Parse()
	// The broken stores below fail on purpose; their cases are not worth keeping.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openMemory(faults{}))
}

// TestBrokenStores shows that each check can fail: a store with a fault must not
// pass the checks that are there for it.
func TestBrokenStores(t *testing.T) {
	t.Parallel()
	const (
		create   = "an entry is created only if there is none"
		conflict = "a write with another version changes nothing and returns the entry as it is"
		again    = "the same write sent again is applied once and reported as applied"
		model    = "a store does what a map would"
		dumped   = "a dump gives every entry that lives for ever, and nothing else"
		briefly  = "an entry that lives for a time is left out of dumps, and free when it is over"
	)
	tests := map[string]struct {
		faults faults
		finds  []string // all of these checks
	}{
		"a write is applied at any version":           {faults{noCompare: true}, []string{create, conflict, model}},
		"a create replaces what there is":             {faults{looseCreate: true}, []string{create, conflict}},
		"the same write sent again is a conflict":     {faults{noNonce: true}, []string{again, model}},
		"a known nonce counts at any version":         {faults{anyNonce: true}, []string{"a write is not mistaken for an earlier one"}},
		"compare and swap are two steps":              {faults{lateRead: true}, []string{"64 writers of one entry lose no update"}},
		"the last claim wins":                         {faults{lastClaimWins: true}, []string{"the first to claim a name keeps it", "of 50 claimers at the same time one wins and all are told"}},
		"claims wait for the entry":                   {faults{claimsIfApplied: true}, []string{"the first to claim a name keeps it"}},
		"anybody releases a name":                     {faults{releasesAny: true}, []string{"a name is released by its owner, with the entry, and before claims"}},
		"names are released without the entry":        {faults{releaseAnyway: true}, []string{"a name is released by its owner, with the entry, and before claims"}},
		"indexes change without the entry":            {faults{indexAnyway: true}, []string{"a write that is not applied changes no index"}},
		"removing wins over adding":                   {faults{removeWins: true}, []string{"index changes are idempotent, and adding wins over removing"}},
		"an index ignores case":                       {faults{foldedOrder: true}, []string{"an index is ordered by bytes, forward and in reverse"}},
		"a page begins where the one before ended":    {faults{inclusiveScan: true}, []string{"paging misses and repeats no member while others write"}},
		"nothing goes away":                           {faults{noExpiry: true}, []string{"an entry with a time to live goes away", briefly}},
		"a rewrite keeps the time to live":            {faults{keepsExpiry: true}, []string{"a rewrite without a time to live keeps the entry", briefly}},
		"an expired entry's version lives on":         {faults{versionOutlives: true}, []string{"an entry with a time to live goes away", briefly}},
		"values are shared with the caller":           {faults{aliases: true}, []string{"what a store returned is the caller's own"}},
		"entries come sorted":                         {faults{sortedLoads: true}, []string{"entries are loaded in the order of their keys"}},
		"entries are loaded before the write":         {faults{loadsBeforeWrite: true}, []string{"a write loads further entries, and itself as it is afterwards"}},
		"values end at a zero byte":                   {faults{textOnly: true}, []string{"values and names are any bytes"}},
		"values of any size":                          {faults{noLimit: true}, []string{"a value may have 1 MiB and no more"}},
		"a dump has claims in it":                     {faults{dumpsClaims: true}, []string{dumped}},
		"a dump has what will go away":                {faults{dumpsPassing: true}, []string{dumped, briefly}},
		"a dump forgets versions":                     {faults{dumpsFirst: true}, []string{dumped}},
		"a dump reads versions before values":         {faults{dumpsTorn: true}, []string{"a dump misses nothing while others write"}},
		"a dump goes on after an error":               {faults{dumpsOn: true}, []string{"a dump ends with its caller"}},
		"a write counts on by one":                    {faults{ownVersions: true}, []string{"a write gives the entry the version that it names"}},
		"malformed writes are carried out":            {faults{unchecked: true}, []string{"a malformed write is refused and does nothing"}},
		"the clock runs backwards":                    {faults{clockRunsBack: true}, []string{"the store's time is the present and never runs backwards"}},
		"a cancelled context is ignored":              {faults{ignoresContext: true}, []string{"a cancelled context stops every method"}},
		"a closed store goes on":                      {faults{usableWhenClosed: true}, []string{"a closed store fails with ErrStore"}},
		"errors do not say that they are the store's": {faults{bareErrors: true}, []string{"a closed store fails with ErrStore", "a value may have 1 MiB and no more"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := storetest.Failures(t, openMemory(tt.faults), tt.finds)
			for _, rule := range tt.finds {
				require.Contains(t, failures, rule)
			}
		})
	}
}

// TestFailuresOfNone shows that it is the faults that fail above, and not the
// way in which the checks are run there.
func TestFailuresOfNone(t *testing.T) {
	t.Parallel()
	require.Empty(t, storetest.Failures(t, openMemory(faults{}), storetest.Rules()))
}
