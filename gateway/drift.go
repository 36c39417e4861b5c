package gateway

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// driftOf compares a token with what its provider shows of it; view is what the
// instrument should be. What the provider does not tell is no difference, and of a
// mirror neither is a default flag that is set there only: it cannot be taken off.
func (r Record) driftOf(t Token, view View, ins adapters.Instrument, now time.Time) []Difference {
	out := differences(view, view.merge(ins))
	if t.Role == normalize.RoleMirror && !view.Default {
		out = slices.DeleteFunc(out, func(d Difference) bool { return d.Field == fieldDefault })
	}
	here := t.Status
	if t.Role == normalize.RoleMirror && r.primary().Status == normalize.StatusDeactivated {
		here = normalize.StatusDeactivated // for good, and so everywhere
	}
	lapsed := here == normalize.StatusActive && ins.Status == normalize.StatusExpired && view.lapsed(now)
	if ins.Status != "" && ins.Status != here && !lapsed {
		out = append(out, Difference{Field: fieldStatus, Here: string(here), There: string(ins.Status)})
	}
	return out
}

// lapsed reports whether the expiry date that the view shows is over.
func (v View) lapsed(now time.Time) bool {
	return v.Card != nil && normalize.Expired(v.Card.ExpMonth, v.Card.ExpYear, now)
}

// The fields of differences that are told apart here.
const (
	fieldExpMonth      = "card.exp_month"
	fieldExpYear       = "card.exp_year"
	fieldDefault       = "default"
	fieldStatus        = "status"
	fieldAddressPrefix = "billing_address."
)

// differences are the members of two views of one instrument that are not the same.
func differences(here, there View) []Difference {
	out := []Difference{}
	add := func(field, a, b string) {
		if a != b {
			out = append(out, Difference{Field: field, Here: a, There: b})
		}
	}
	var a, b normalize.Card
	if here.Card != nil {
		a = *here.Card
	}
	if there.Card != nil {
		b = *there.Card
	}
	add("type", string(here.Type), string(there.Type))
	add("card.brand", string(a.Brand), string(b.Brand))
	if !samePrefix(a.BIN, b.BIN) {
		add("card.bin", a.BIN, b.BIN)
	}
	add("card.last4", a.Last4, b.Last4)
	add(fieldExpMonth, shownNumber(a.ExpMonth), shownNumber(b.ExpMonth))
	add(fieldExpYear, shownNumber(a.ExpYear), shownNumber(b.ExpYear))
	var accountHere, accountThere normalize.BankAccount
	if here.BankAccount != nil {
		accountHere = *here.BankAccount
	}
	if there.BankAccount != nil {
		accountThere = *there.BankAccount
	}
	add("bank_account.routing_number", accountHere.RoutingNumber, accountThere.RoutingNumber)
	add("bank_account.last4", accountHere.Last4, accountThere.Last4)
	if here.PayPal != nil && there.PayPal != nil {
		add("paypal.email", here.PayPal.Email, there.PayPal.Email)
	}
	before, after := here.BillingAddress.Members(), there.BillingAddress.Members()
	for _, name := range normalize.AddressMembers() {
		add(fieldAddressPrefix+name, before[name], after[name])
	}
	add(fieldDefault, strconv.FormatBool(here.Default), strconv.FormatBool(there.Default))
	return out
}

// samePrefix compares two BINs: providers show six or eight digits of the same card.
func samePrefix(a, b string) bool {
	n := min(len(a), len(b))
	return n > 0 && a[:n] == b[:n]
}

// shownNumber is a month or a year as a difference shows it; 0 is not set.
func shownNumber(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// pushable is what can be brought to a mirror that has these differences. rest says
// that there are others: the mirror is of another card, or has a status of its own.
func pushable(diffs []Difference) (what Behind, rest bool) {
	for _, d := range diffs {
		switch {
		case d.Field == fieldExpMonth || d.Field == fieldExpYear:
			what.Expiry = true
		case strings.HasPrefix(d.Field, fieldAddressPrefix):
			what.Address = true
		case d.Field == fieldDefault:
			what.Default = true
		case d.Field == fieldStatus && d.Here == string(normalize.StatusDeactivated):
			what.Deactivate = true
		case d.Field == fieldStatus: // the provider's word about its own token: the record follows
		default:
			rest = true
		}
	}
	return what, rest
}

// behindAt marks what one provider does not have any more: COMPLETED -> COMPLETED. The
// reconciler brings it there, whatever was seen there last.
func (r Record) behindAt(provider string, what Behind, now time.Time) Record {
	i := r.tokenAt(provider)
	if i < 0 {
		return r
	}
	r.Tokens = slices.Clone(r.Tokens)
	b := r.Tokens[i].Behind.plus(what, now)
	b.Unsure = true
	r.Tokens[i].Behind = b
	return r.scheduled()
}

// lostAt marks a token that its provider says it does not have (any more) as failed.
// The references stay, so that it is found again if it comes back.
func (r Record) lostAt(provider string, now time.Time) Record {
	i := r.tokenAt(provider)
	if i < 0 {
		return r
	}
	r = r.withAnswerKept()
	r.Tokens = slices.Clone(r.Tokens)
	t := &r.Tokens[i]
	t.Status, t.Code, t.Behind, t.SyncedAt = normalize.StatusFailed, normalize.InstrumentDeleted, nil, now
	return r.scheduled().touched(now)
}

// covers reports whether b already says everything that what says.
func (b *Behind) covers(what Behind) bool {
	return b != nil && (b.Address || !what.Address) && (b.Expiry || !what.Expiry) && (b.Default || !what.Default) && (b.Deactivate || !what.Deactivate)
}

// givenUp reports whether nobody will bring the provider in step any more.
func (b *Behind) givenUp() bool { return b != nil && b.NextAt.IsZero() }
