package adaptertest

import (
	"encoding/json"
	"regexp"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

var typeName = regexp.MustCompile(`^[a-z][a-z0-9]*$`)

// checkDeclaration: the type's name and the method set are fixed and make sense.
func checkDeclaration(b *bench) {
	require.Regexp(b.tb, typeName, b.adapter.Type())
	require.Equal(b.tb, b.adapter.Type(), b.open().Type(), "the type never changes")
	require.Equal(b.tb, adapters.Capabilities(b.adapter), adapters.Capabilities(b.open()), "the capabilities never change")
	if c, ok := b.adapter.(adapters.Creator); ok {
		types := c.SourceTypes()
		require.NotEmpty(b.tb, types)
		for _, t := range types {
			require.Contains(b.tb, normalize.SourceTypes(), t)
		}
		require.NotContains(b.tb, types, normalize.SourceProviderReference, "it is every provider's, so it is not listed")
	}
	require.Zero(b.tb, b.wire.count(), "opening an adapter and asking what it is makes no call")
}

// open opens the adapter again, as another gateway would.
func (b *bench) open() adapters.Adapter { return b.h.OpenWith(b.tb, b.base, b.client(b.wire)) }

func checkCreate(b *bench) {
	c := must[adapters.Creator](b)
	src := b.source()
	in := b.createInput(src)
	require.Contains(b.tb, c.SourceTypes(), src.Type)
	ins, err := c.Create(b.ctx(), in)
	b.requireNoError(err, "create")
	b.requireInstrument(ins)
	require.Equal(b.tb, b.h.Customer, ins.Customer)
	require.False(b.tb, ins.Existing, "the provider did not have it before")
	if src.Card != nil {
		require.NotNil(b.tb, ins.Card)
		require.Equal(b.tb, normalize.Last4Of(src.Card.Number.Reveal()), ins.Card.Last4)
		require.Equal(b.tb, []int{src.Card.ExpMonth, src.Card.ExpYear}, []int{ins.Card.ExpMonth, ins.Card.ExpYear})
	}
	require.Equal(b.tb, 1, b.live(), "one create stores one instrument")
	require.Equal(b.tb, 1, b.createRequests(), "one create sends one request that stores")
	b.requireSame(ins, b.get(ins.References))
}

// createRequests counts the requests that store an instrument.
func (b *bench) createRequests() int {
	n := 0
	for _, r := range b.state().Requests {
		if b.matchesCreate(r.Method, r.Path) {
			n++
		}
	}
	return n
}

// requireInstrument checks what holds for every instrument that an adapter returns.
func (b *bench) requireInstrument(ins adapters.Instrument) {
	b.tb.Helper()
	require.NotEmpty(b.tb, ins.References)
	require.Contains(b.tb, normalize.Types(), ins.Type)
	require.Contains(b.tb, normalize.Statuses(), ins.Status)
	require.False(b.tb, ins.Type == normalize.TypeCard && ins.Card == nil, "a card has its card member")
	require.False(b.tb, ins.Type == normalize.TypeBankAccount && ins.BankAccount == nil, "a bank account has its bank account member")
	require.False(b.tb, ins.Type == normalize.TypePayPal && ins.PayPal == nil, "a PayPal account has its PayPal member")
	if c := ins.Card; c != nil {
		require.Contains(b.tb, normalize.Brands(), c.Brand)
		require.Regexp(b.tb, `^([0-9]{6}|[0-9]{8})?$`, c.BIN)
		require.Regexp(b.tb, `^([0-9]{4})?$`, c.Last4)
		require.True(b.tb, c.ExpMonth >= 0 && c.ExpMonth <= 12, "expiry month %d", c.ExpMonth)
		require.True(b.tb, c.ExpYear == 0 || c.ExpYear >= 1000 && c.ExpYear <= 9999, "expiry year %d", c.ExpYear)
	}
	if a := ins.BillingAddress; a != nil && a.Country != "" {
		require.True(b.tb, normalize.ValidCountry(a.Country), "country %q", a.Country)
	}
	text, err := json.Marshal(ins)
	require.NoError(b.tb, err)
	for _, s := range variants(b.hiddenStrings()) {
		require.NotContains(b.tb, string(text), s, "an instrument holds a secret or a card number")
	}
}

// requireSame requires that two views show the same instrument in the same state.
func (b *bench) requireSame(want, got adapters.Instrument) {
	b.tb.Helper()
	b.requireInstrument(got)
	require.Equal(b.tb, want.References, got.References)
	require.Equal(b.tb, want.Customer, got.Customer)
	require.Equal(b.tb, want.Type, got.Type)
	require.Equal(b.tb, want.Status, got.Status)
	require.Equal(b.tb, want.Card, got.Card)
	require.Equal(b.tb, want.BankAccount, got.BankAccount)
	require.Equal(b.tb, want.PayPal, got.PayPal)
	require.Equal(b.tb, want.Identity, got.Identity)
}

func checkCreateDefault(b *bench) {
	must[adapters.DefaultSetter](b)
	c := must[adapters.Creator](b)
	first := b.create()
	in := b.createInput(b.source())
	in.Default = true
	second, err := c.Create(b.ctx(), in)
	b.requireNoError(err, "create as the default")
	require.True(b.tb, second.Default, "the created instrument is the default")
	require.True(b.tb, b.get(second.References).Default)
	require.False(b.tb, b.get(first.References).Default, "there is one default")
}

func checkSetDefault(b *bench) {
	d := must[adapters.DefaultSetter](b)
	one, two := b.create(), b.create()
	for _, order := range [][2]adapters.Instrument{{one, two}, {two, one}, {two, one}} {
		to, from := order[0], order[1]
		ins, err := d.SetDefault(b.ctx(), to.References)
		b.requireNoError(err, "set default")
		b.requireInstrument(ins)
		require.True(b.tb, ins.Default)
		require.Equal(b.tb, to.References, ins.References)
		require.True(b.tb, b.get(to.References).Default)
		require.False(b.tb, b.get(from.References).Default, "the default before has ended")
	}
	_, err := d.SetDefault(b.ctx(), b.h.Missing)
	b.requireOutcome(err, normalize.Rejected, "set default of a missing instrument", gone()...)
}

func checkDedupe(b *bench) {
	c := must[adapters.Creator](b)
	if !b.h.DedupesCreate {
		b.tb.Skipf("the provider does not dedupe")
	}
	var made [2]adapters.Instrument
	for i := range made {
		ins, err := c.Create(b.ctx(), b.createInput(b.sourceAt(0)))
		b.requireNoError(err, "create")
		made[i] = ins
	}
	require.Equal(b.tb, made[0].References, made[1].References, "the same card is the same instrument")
	require.False(b.tb, made[0].Existing)
	require.True(b.tb, made[1].Existing, "the second create tells that the instrument was there")
	require.Equal(b.tb, 1, b.live())
}

func checkCreateCustomer(b *bench) {
	c := must[adapters.CustomerCreator](b)
	in := adapters.CustomerInput{Key: "cus_0123456789_abcXYZ", MerchantID: "shopper@42", Address: address()}
	first, err := c.CreateCustomer(b.ctx(), in)
	b.requireNoError(err, "create customer")
	require.NotEmpty(b.tb, first)
	again, err := c.CreateCustomer(b.ctx(), in)
	b.requireNoError(err, "create the same customer again")
	require.NotEmpty(b.tb, again)
	in.Key, in.Address = "other", nil
	other, err := c.CreateCustomer(b.ctx(), in)
	b.requireNoError(err, "create a customer without an address")
	require.NotEqual(b.tb, first, other, "another key is another customer")
	if creator, ok := b.adapter.(adapters.Creator); ok {
		for _, customer := range []string{first, again, other} {
			create := b.createInput(b.source())
			create.Customer = customer
			ins, err := creator.Create(b.ctx(), create)
			b.requireNoError(err, "create for a new customer")
			require.Equal(b.tb, customer, ins.Customer)
		}
	}
}

// checkSources: a source that is not declared is refused before anything is sent.
func checkSources(b *bench) {
	c := must[adapters.Creator](b)
	month, year := 12, 2098
	for _, s := range []normalize.Source{
		{Type: normalize.SourceCard, Card: &normalize.CardSource{Number: normalize.NewSecret("4111111111111111"), ExpMonth: month, ExpYear: year}},
		{Type: normalize.SourceBankAccount, BankAccount: &normalize.BankAccountSource{
			AccountNumber: normalize.NewSecret("000123456789"), RoutingNumber: "021000021", AccountType: normalize.AccountChecking,
		}},
		{Type: normalize.SourceInstrumentIdentifier, InstrumentIdentifier: &normalize.InstrumentIdentifierSource{
			InstrumentIdentifier: "7010000000016241111", ExpMonth: month, ExpYear: year,
		}},
		{Type: normalize.SourceTransientToken, TransientToken: &normalize.TransientTokenSource{TransientToken: normalize.NewSecret("e30.e30.c2ln")}},
		{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{Token: normalize.NewSecret("tok_0123456789")}},
		{Type: normalize.SourceVaultedToken, VaultedToken: &normalize.VaultedTokenSource{
			PaymentMethodID: "braintree.credit_card", Currency: "USD", VaultToken: normalize.NewSecret("vault-token-0123"),
			ProviderCustomerID: "c1", InstrumentType: normalize.TypeCard, Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: month, ExpYear: year,
		}},
		{Type: normalize.SourceProviderReference, ProviderReference: &normalize.ProviderReferenceSource{
			Provider: "p", References: normalize.References{"instrument": "x"},
		}},
		{Type: "carrier_pigeon"},
		{},
	} {
		if slices.Contains(c.SourceTypes(), s.Type) {
			continue
		}
		b.hide(secretsOf(s)...)
		before := b.requests()
		_, err := c.Create(b.ctx(), b.createInput(s))
		b.requireUnsent(err, before, "create from "+string(s.Type), normalize.UnsupportedSource, normalize.UnsupportedOperation)
	}
	for _, t := range c.SourceTypes() { // the type without its member
		before := b.requests()
		_, err := c.Create(b.ctx(), b.createInput(normalize.Source{Type: t}))
		b.requireUnsent(err, before, "create from an empty "+string(t))
	}
	require.Zero(b.tb, b.live())
}
