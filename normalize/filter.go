package normalize

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Clause is one condition on an instrument: its Field has one of Values, or, with
// From or To, lies in the inclusive range between them.
type Clause struct {
	Field    string   // a normalized name: "status", "metadata.tier", "billing_address.country", …
	Values   []string // alternatives; nil for a range
	Negate   bool     // none of Values
	From, To string   // bounds of a range; "" is open
}

// ParseFilter reads the compact filter form "status:active,expired;type:card":
// clauses joined by ";", alternatives by ",", "!" before every value to negate,
// "a..b" for ranges. The camel-case names of Rebilly's filters are accepted for
// the normalized ones. Values that hold any of , ; ! @ .. cannot be written in
// it, so none can reach a provider's filter either.
func ParseFilter(s string) ([]Clause, bool) {
	if s == "" {
		return nil, true
	}
	var out []Clause
	for part := range strings.SplitSeq(s, ";") {
		name, values, ok := strings.Cut(part, ":")
		if !ok || values == "" {
			return nil, false
		}
		field, ok := filterField(name)
		if !ok {
			return nil, false
		}
		c := Clause{Field: field}
		if from, to, ranged := strings.Cut(values, ".."); ranged {
			if strings.ContainsAny(values, ",!@") || from == "" && to == "" || strings.Contains(to, "..") {
				return nil, false
			}
			c.From, c.To = filterValue(field, from), filterValue(field, to)
		} else if !c.parseValues(field, values) {
			return nil, false
		}
		out = append(out, c)
	}
	return out, true
}

func (c *Clause) parseValues(field, values string) bool {
	c.Negate = strings.HasPrefix(values, "!")
	for v := range strings.SplitSeq(values, ",") {
		if strings.HasPrefix(v, "!") != c.Negate {
			return false // a mixture would mean different things to different readers
		}
		v = strings.TrimPrefix(v, "!")
		if v == "" || strings.ContainsAny(v, "!@") {
			return false
		}
		c.Values = append(c.Values, filterValue(field, v))
	}
	return true
}

// filterField maps a filter's name to the normalized one.
func filterField(name string) (string, bool) {
	if rest, ok := strings.CutPrefix(name, "customFields."); ok {
		name = "metadata." + rest
	}
	if rest, ok := strings.CutPrefix(name, "metadata."); ok {
		return name, metadataKey.MatchString(rest)
	}
	switch name {
	case "customerId":
		name = "customer_id"
	case "method":
		name = "type"
	case "createdTime":
		name = "created_at"
	case "updatedTime":
		name = "updated_at"
	case "expMonth":
		name = "exp_month"
	case "expYear":
		name = "exp_year"
	case "billingAddress.country":
		name = "billing_address.country"
	}
	return name, slices.Contains(FilterFields(), name)
}

// filterValue maps the values of Rebilly's filters to the normalized ones.
func filterValue(field, v string) string {
	switch {
	case field == "type" && v == "payment-card":
		return string(TypeCard)
	case field == "type" && v == "ach":
		return string(TypeBankAccount)
	case field == "status" && v == "inactive":
		return string(StatusActive) // stored and usable, only never charged yet
	case field == "status" && v == "verification-needed":
		return string(StatusVerificationNeeded)
	}
	return v
}

// FilterFields lists the names a clause may have, "metadata.<key>" aside.
func FilterFields() []string {
	return []string{
		"customer_id", "status", "type", "brand", "bin", "last4", "exp_month", "exp_year", "provider", "default",
		"fingerprint", "created_at", "updated_at", "expires_before", "billing_address.country",
	}
}

// Match reports whether the instrument satisfies every clause. Text is compared without case.
func Match(ins Instrument, clauses []Clause) bool {
	for _, c := range clauses {
		if !c.match(ins) {
			return false
		}
	}
	return true
}

func (c Clause) match(ins Instrument) bool {
	values := fieldValues(ins, c.Field)
	if c.Values == nil {
		return slices.ContainsFunc(values, func(v string) bool {
			return (c.From == "" || compareValues(v, c.From) >= 0) && (c.To == "" || compareValues(v, c.To) <= 0)
		})
	}
	if c.Field == "expires_before" {
		return slices.ContainsFunc(values, func(v string) bool { return v < c.Values[0] })
	}
	found := slices.ContainsFunc(values, func(v string) bool {
		return slices.ContainsFunc(c.Values, func(want string) bool { return strings.EqualFold(v, want) })
	})
	return found != c.Negate
}

// compareValues compares as times, then as numbers, then as text.
func compareValues(a, b string) int {
	if ta, err := time.Parse(time.RFC3339, a); err == nil {
		if tb, err := time.Parse(time.RFC3339, b); err == nil {
			return ta.Compare(tb)
		}
	}
	if na, err := strconv.Atoi(a); err == nil {
		if nb, err := strconv.Atoi(b); err == nil {
			return na - nb
		}
	}
	return strings.Compare(a, b)
}

// fieldValues returns what an instrument has under a filter's name; several for its providers.
func fieldValues(ins Instrument, field string) []string {
	if key, ok := strings.CutPrefix(field, "metadata."); ok {
		if v, ok := ins.Metadata[key]; ok {
			return []string{v}
		}
		return nil
	}
	switch field {
	case "customer_id":
		return []string{ins.CustomerID}
	case "status":
		return []string{string(ins.Status)}
	case "type":
		return []string{string(ins.Type)}
	case "default":
		return []string{strconv.FormatBool(ins.Default)}
	case "created_at":
		return []string{ins.CreatedAt.Format(time.RFC3339Nano)}
	case "updated_at":
		return []string{ins.UpdatedAt.Format(time.RFC3339Nano)}
	case "fingerprint":
		if ins.Fingerprint != nil {
			return []string{*ins.Fingerprint}
		}
	case "provider":
		var names []string
		for _, t := range ins.ProviderTokens {
			names = append(names, t.Provider)
		}
		return names
	case "billing_address.country":
		if ins.BillingAddress != nil {
			return []string{ins.BillingAddress.Country}
		}
	case "last4":
		if ins.BankAccount != nil {
			return []string{ins.BankAccount.Last4}
		}
	}
	return cardValues(ins.Card, field)
}

func cardValues(c *Card, field string) []string {
	if c == nil {
		return nil
	}
	switch field {
	case "brand":
		return []string{string(c.Brand)}
	case "bin":
		return []string{c.BIN}
	case "last4":
		return []string{c.Last4}
	case "exp_month":
		return []string{strconv.Itoa(c.ExpMonth)}
	case "exp_year":
		return []string{strconv.Itoa(c.ExpYear)}
	case "expires_before": // the last day of the expiry month, comparable as text with YYYY-MM-DD
		if c.ExpYear != 0 && c.ExpMonth != 0 {
			return []string{time.Date(c.ExpYear, time.Month(c.ExpMonth)+1, 0, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)}
		}
	}
	return nil
}
