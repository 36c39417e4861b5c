package rebilly

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// FuzzFilter: no customer id and no value can widen what a list is filtered by. The
// filter is refused, or it is one clause for the customer, with that customer and nothing
// else, and one clause for the value.
func FuzzFilter(f *testing.F) {
	for _, customer := range []string{"cus_1", "a,b", "a;status:active", "a..b", "!a", "@list", "..", ".", "", "a:b", "a\nb", "А"} {
		f.Add(customer, "active")
		f.Add("cus_1", customer)
	}
	f.Fuzz(func(t *testing.T, customer, value string) {
		filter, err := newFilter(customer, []normalize.Clause{{Field: "metadata.k", Values: []string{value}}})
		if err != nil {
			require.Equal(t, normalize.NotSent, err.Outcome)
			return
		}
		clauses := strings.Split(filter.String(), ";")
		if customer != "" {
			require.Equal(t, "customerId:"+customer, clauses[0])
			require.NotContains(t, customer, ",")
			require.NotContains(t, customer, "..")
			require.NotContains(t, customer, "!")
			require.NotContains(t, customer, "@")
			clauses = clauses[1:]
		}
		require.Equal(t, []string{"customFields.k:" + value}, clauses)
		require.False(t, strings.ContainsAny(value, ",;!@") || strings.Contains(value, ".."), value)
	})
}
