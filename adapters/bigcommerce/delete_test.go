package bigcommerce_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/bigcommerce/bigcommercetest"
	"github.com/polyvault/polyvault/adapters/fault"
	"github.com/polyvault/polyvault/adapters/standin"
	"github.com/polyvault/polyvault/normalize"
)

func liveTokens(s *standin.Server) []string {
	var out []string
	for _, i := range s.State().Instruments {
		if i.Live {
			out = append(out, i.ID)
		}
	}
	return out
}

// deletes counts the DELETE requests on the collection and on items.
func deletes(s *standin.Server) (bulk, item int) {
	for _, r := range s.State().Requests {
		switch {
		case r.Method != http.MethodDelete:
		case r.Path == instruments:
			bulk++
		default:
			item++
		}
	}
	return bulk, item
}

func refsOf(created []adapters.Instrument) []normalize.References {
	var out []normalize.References
	for _, i := range created {
		out = append(out, i.References)
	}
	return out
}

func missing(n int) normalize.References {
	return normalize.References{"customer": customer, "token": fmt.Sprintf("%064x", n+1)}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]bigcommercetest.Options{
		"with counts": {}, "without counts": {BareDelete404: true}, "with the error as an object": {SingleError: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := sandbox(t, o)
			created := mustCreate(t, a, cards(3)...)
			require.NoError(t, a.Delete(t.Context(), created[0].References))
			require.NoError(t, a.Delete(t.Context(), created[0].References), "gone already")
			require.Equal(t, tokensOf(created[1:]), liveTokens(s))
			bulk, item := deletes(s)
			require.Equal(t, []int{2, 0}, []int{bulk, item}, "the vault is never touched")

			require.NoError(t, a.DeleteVault(t.Context(), created[1].References))
			require.NoError(t, a.DeleteVault(t.Context(), created[1].References), "gone already")
			require.Equal(t, tokensOf(created[2:]), liveTokens(s))
			bulk, item = deletes(s)
			require.Equal(t, []int{2, 2}, []int{bulk, item})
		})
	}
	t.Run("a vault that refuses", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{RefuseVaultDelete: true})
		created := mustCreate(t, a, cardSource(0))
		requireError(t, a.DeleteVault(t.Context(), created[0].References), normalize.InvalidState, normalize.Rejected)
		require.Len(t, liveTokens(s), 1)
	})
}

func TestDeleteOfOne(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer  string
		code    normalize.Code
		outcome normalize.Outcome
	}{
		"204":                            {`204 `, "", ""},
		"404 of a batch":                 {`404 {"errors":[{"status":404,"title":"x"}],"meta":{"total":1,"success":0,"failed":1}}`, "", ""},
		"404 in V3's form":               {`404 {"status":404,"title":"Not Found","errors":{}}`, "", ""},
		"404 with an error without more": {`404 {"errors":[{}]}`, "", ""},
		"404 about a failure":            {`404 {"errors":[{"status":500,"title":"x"}],"meta":{"total":1,"success":0,"failed":1}}`, normalize.ProviderError, normalize.Unknown},
		"404 of a proxy":                 {`404 <html>`, normalize.ProviderBadResponse, normalize.Unknown},
		"401":                            {`401 `, normalize.ProviderMisconfigured, normalize.Rejected},
		"500":                            {`500 `, normalize.ProviderError, normalize.Unknown},
		"429":                            {`429 `, normalize.ProviderRateLimited, normalize.NotSent},
	} {
		a, _ := sequence(t, tt.answer)
		for _, err := range []error{a.Delete(t.Context(), reference()), a.DeleteMany(t.Context(), []normalize.References{reference()})[0]} {
			if tt.code == "" {
				require.NoError(t, err, name)
				continue
			}
			requireError(t, err, tt.code, tt.outcome)
		}
	}
}

func TestDeleteMany(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options bigcommercetest.Options
		limit   int // of DELETE requests
	}{
		"all answers prove what happened":         {bigcommercetest.Options{}, 3},
		"a store that stops at what is not found": {bigcommercetest.Options{StopDeleteAtError: true}, 3 + 120},
		"a store that counts nothing":             {bigcommercetest.Options{BareDelete404: true}, 3 + 120},
		"a store that takes ten at a time":        {bigcommercetest.Options{MaxDelete: 10}, 40},
		"lists that still show what was deleted":  {bigcommercetest.Options{BareDelete404: true, Lag: 1 << 40}, 3 + 120},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, s := sandbox(t, tt.options)
			created := mustCreate(t, a, cards(60)...)
			refs := refsOf(created[:50])
			for i := range 50 { // every other one does not exist
				refs = slices.Insert(refs, 2*i, missing(i))
			}
			refs = append(refs, normalize.References{"customer": "x", "token": token}, refs[1], normalize.References{"customer": "9", "token": "z"})
			errs := a.DeleteMany(t.Context(), refs)
			require.Len(t, errs, len(refs))
			for i, err := range errs {
				if i == 100 {
					requireError(t, err, normalize.InvalidField, normalize.NotSent)
					continue
				}
				require.NoError(t, err, "%d", i)
			}
			require.Equal(t, tokensOf(created[50:]), liveTokens(s))
			bulk, item := deletes(s)
			require.LessOrEqual(t, bulk, tt.limit)
			require.Zero(t, item, "the vault is never touched")
		})
	}
	t.Run("nothing to do", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{})
		require.Empty(t, a.DeleteMany(t.Context(), nil))
		require.Empty(t, s.State().Requests)
	})
}

// TestDeleteManyPartly gives a batch an answer that does not prove which of its
// instruments are gone.
func TestDeleteManyPartly(t *testing.T) {
	t.Parallel()
	one, two := normalize.References{"customer": "42", "token": "one"}, normalize.References{"customer": "42", "token": "two"}
	partly := `404 {"errors":[{"status":500,"title":"x"}],"meta":{"total":2,"success":1,"failed":1}}`
	already := `404 {"status":404,"title":"x"}`
	type want struct {
		code    normalize.Code
		outcome normalize.Outcome
	}
	gone, limited := want{"", ""}, want{normalize.ProviderRateLimited, normalize.Unknown}
	for name, tt := range map[string]struct {
		answers []string
		want    [2]want
		calls   int
	}{
		"each is deleted by itself":                                    {[]string{partly, already, `204 `}, [2]want{gone, gone}, 3},
		"one cannot be deleted":                                        {[]string{partly, already, `409 {"status":409,"title":"x"}`}, [2]want{gone, {normalize.Conflict, normalize.Rejected}}, 3},
		"one meets a failure, the next does not":                       {[]string{partly, `500 `, `204 `}, [2]want{{normalize.ProviderError, normalize.Unknown}, gone}, 3},
		"limited: what the batch did stays unknown":                    {[]string{partly, `429 `}, [2]want{limited, limited}, 2},
		"limited at the second":                                        {[]string{partly, `204 `, `429 `}, [2]want{gone, limited}, 3},
		"credentials withdrawn in between":                             {[]string{partly, already, `401 `}, [2]want{gone, {normalize.ProviderMisconfigured, normalize.Unknown}}, 3},
		"a 404 that counts more than it explains":                      {[]string{`404 {"errors":[{"status":404,"title":"x"}],"meta":{"total":2,"success":0,"failed":2}}`, `204 `}, [2]want{gone, gone}, 3},
		"a 404 that counts less than were sent":                        {[]string{`404 {"errors":[{"status":404,"title":"x"}],"meta":{"total":1,"success":0,"failed":1}}`, `204 `}, [2]want{gone, gone}, 3},
		"a 404 that contradicts itself":                                {[]string{`404 {"errors":[{"status":404,"title":"x"}],"meta":{"total":2,"success":1,"failed":2}}`, `204 `}, [2]want{gone, gone}, 3},
		"a 404 without counts":                                         {[]string{already}, [2]want{gone, gone}, 3},
		"a 404 that explains all of them":                              {[]string{`404 {"errors":[{"status":404,"title":"x"}],"meta":{"total":2,"success":1,"failed":1}}`}, [2]want{gone, gone}, 1},
		"a 404 of a proxy":                                             {[]string{`404 <html>`}, [2]want{{normalize.ProviderBadResponse, normalize.Unknown}, {normalize.ProviderBadResponse, normalize.Unknown}}, 1},
		"a batch that met a failure":                                   {[]string{`503 `}, [2]want{{normalize.ProviderError, normalize.Unknown}, {normalize.ProviderError, normalize.Unknown}}, 1},
		"a batch that is too large is halved":                          {[]string{`413 `, `204 `}, [2]want{gone, gone}, 3},
		"a URL that is too long is halved":                             {[]string{`414 <html>`, `204 `}, [2]want{gone, gone}, 3},
		"a limit in the first half: the second was not sent":           {[]string{`413 `, `429 `}, [2]want{{normalize.ProviderRateLimited, normalize.NotSent}, {normalize.ProviderRateLimited, normalize.NotSent}}, 2},
		"a refusal that halving does not mend is that of each of them": {[]string{`422 {"status":422,"title":"x"}`}, [2]want{{normalize.InvalidState, normalize.Rejected}, {normalize.InvalidState, normalize.Rejected}}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, p := sequence(t, tt.answers...)
			errs := a.DeleteMany(t.Context(), []normalize.References{one, two})
			for i, w := range tt.want {
				if w.code == "" {
					require.NoError(t, errs[i])
					continue
				}
				requireError(t, errs[i], w.code, w.outcome)
			}
			if errs[0] != nil && errs[1] != nil {
				require.NotSame(t, errs[0], errs[1], "the gateway writes into each")
			}
			require.Equal(t, tt.calls, strings.Count(p.text(), "X-Auth-Token:"))
		})
	}
}

func TestDeleteManyStopsWhereItIsHopeless(t *testing.T) {
	t.Parallel()
	refs := make([]normalize.References, 150)
	for i := range refs {
		refs[i] = missing(i)
	}
	t.Run("a rate limit", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{})
		s.Faults.Add(fault.Rule{Fault: fault.RateLimited})
		for _, err := range a.DeleteMany(t.Context(), refs) {
			requireError(t, err, normalize.ProviderRateLimited, normalize.NotSent)
		}
		require.Len(t, s.State().Requests, 1)
	})
	t.Run("withdrawn credentials", func(t *testing.T) {
		t.Parallel()
		a, p := answering(t, 401, `{"code":401,"message":"Unauthorized"}`)
		errs := a.DeleteMany(t.Context(), refs)
		requireError(t, errs[0], normalize.ProviderMisconfigured, normalize.Rejected)
		requireError(t, errs[149], normalize.ProviderMisconfigured, normalize.NotSent)
		require.Equal(t, 1, strings.Count(p.text(), "DELETE "))
	})
	t.Run("a finished context", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for _, err := range a.DeleteMany(ctx, refs) {
			require.Equal(t, normalize.NotSent, normalize.OutcomeOf(err))
		}
		require.Empty(t, s.State().Requests)
	})
	t.Run("a failure of one batch is not that of the next", func(t *testing.T) {
		t.Parallel()
		a, s := sandbox(t, bigcommercetest.Options{})
		s.Faults.Add(fault.Rule{Fault: fault.Status, Status: 500, Times: 1})
		errs := a.DeleteMany(t.Context(), refs)
		requireError(t, errs[49], normalize.ProviderError, normalize.Unknown)
		require.NoError(t, errs[50])
		require.NoError(t, errs[149])
	})
}
