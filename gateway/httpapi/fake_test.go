package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// fake is a service whose answers a test sets. What it was asked is kept.
type fake struct {
	created gateway.Created
	read    gateway.Read
	page    gateway.InstrumentPage
	results []gateway.ItemResult
	err     error
	panics  any

	tenant  string
	key     string
	id      string
	create  normalize.CreateInput
	update  normalize.UpdateInput
	list    gateway.ListInput
	scope   gateway.DeleteScope
	stored  bool
	items   []gateway.ImportItem
	ids     []string
	put     normalize.CustomerInput
	by      string
	drained normalize.DrainInput
	events  gateway.EventsInput

	explain    normalize.ExplainInput
	replayed   bool
	operations gateway.ListOperationsInput
	resolve    gateway.ResolveInput
	sync       gateway.SyncInput
	noticed    []byte // the webhook's body
}

// TakesNotices knows one provider with webhooks.
func (f *fake) TakesNotices(provider string) error {
	if provider != "rebilly-main" {
		return adapters.NoWebhooks()
	}
	return nil
}

func (f *fake) Notice(_ context.Context, provider string, _ http.Header, body []byte) error {
	f.id, f.noticed = provider, body
	if f.panics != nil {
		panic(f.panics)
	}
	return f.err
}

func exampleTime() time.Time { return time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC) }

const (
	exampleID  = "ins_0h7kq2m4n6p8r0s2t4v6w8x0z2"
	testNumber = "4111111111111111"
)

func exampleInstrument() normalize.Instrument {
	fp := "fp_1h7kq2m4n6p8r0s2t4v6w8x0z2"
	return normalize.Instrument{
		Object: "instrument", ID: exampleID, CustomerID: "cus-42", Type: normalize.TypeCard, Status: normalize.StatusActive,
		Card:        &normalize.Card{Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 12, ExpYear: 2031},
		Fingerprint: &fp, FingerprintOf: "number", Metadata: map[string]string{"tier": "gold"},
		BillingAddress: &normalize.Address{FirstName: "Ada", Country: "GB"},
		ProviderTokens: []normalize.ProviderToken{{
			Provider: "cybersource-us", ProviderType: "cybersource", Role: normalize.RolePrimary, Status: normalize.StatusActive,
			References: normalize.References{"customer": "CUS1", "payment_instrument": "PI1"}, ProviderStatus: "ACTIVE", SyncedAt: exampleTime(),
		}},
		CreatedAt: exampleTime(), UpdatedAt: exampleTime(),
	}
}

func exampleOperation() gateway.Operation {
	return gateway.Operation{
		Object: "operation", ID: exampleID, State: gateway.StateUnknown, Outcome: normalize.Unknown,
		Attempts:  []gateway.AttemptView{{Provider: "cybersource-us", Outcome: normalize.Unknown, Code: normalize.ProviderTimeout, MS: 10003}},
		Advice:    "wait, or retry the operation",
		CreatedAt: exampleTime(), UpdatedAt: exampleTime(),
	}
}

func exampleProvider() gateway.ProviderStatus {
	return gateway.ProviderStatus{
		Object: "provider", Name: "cybersource-us", Type: "cybersource",
		Capabilities: []adapters.Capability{"create"}, SourceTypes: normalize.SourceTypes(),
		Alarm: &gateway.Alarm{Code: normalize.ProviderMisconfigured, Since: exampleTime(), Last: exampleTime(), Count: 1},
		Classes: map[string]gateway.ClassStatus{
			"read":  {Breaker: "closed", Since: exampleTime(), Limit: 64},
			"write": {Breaker: "open", Since: exampleTime(), Reason: "5 consecutive failures", RetryAt: exampleTime(), Limit: 64},
		},
	}
}

func newFake() *fake {
	ins := exampleInstrument()
	return &fake{
		created: gateway.Created{Instrument: ins, Provider: "cybersource-us"},
		read:    gateway.Read{Instrument: ins, Provider: "cybersource-us"},
		page:    gateway.InstrumentPage{Data: []normalize.Instrument{ins}, HasMore: true, NextCursor: "bmV4dA"},
	}
}

func (f *fake) called(tenant string) error {
	f.tenant = tenant
	if f.panics != nil {
		panic(f.panics)
	}
	return f.err
}

func (f *fake) Create(_ context.Context, tenant string, in normalize.CreateInput, key string) (gateway.Created, error) {
	f.create, f.key = in, key
	return f.created, f.called(tenant)
}

func (f *fake) Get(_ context.Context, tenant, id string, stored bool) (gateway.Read, error) {
	f.id, f.stored = id, stored
	return f.read, f.called(tenant)
}

func (f *fake) List(_ context.Context, tenant string, in gateway.ListInput) (gateway.InstrumentPage, error) {
	f.list = in
	return f.page, f.called(tenant)
}

func (f *fake) ListCustomer(_ context.Context, tenant, customer string, limit int, cursor string) (gateway.CustomerPage, error) {
	f.id, f.list = customer, gateway.ListInput{Limit: limit, Cursor: cursor}
	return gateway.CustomerPage{
		InstrumentPage: f.page, Incomplete: true,
		Sources: []gateway.SourceStatus{{Provider: "rebilly-main", Status: "stored", Code: normalize.ProviderTimeout}},
	}, f.called(tenant)
}

func (f *fake) ProviderTokens(context.Context, string, string) ([]normalize.ProviderToken, error) {
	return f.read.Instrument.ProviderTokens, f.err
}

func (f *fake) Change(_ context.Context, tenant, key string, c gateway.Change) (gateway.Changed, error) {
	f.key = key
	out := gateway.Changed{Instrument: &f.read.Instrument, Provider: f.read.Provider, Replayed: f.replayed}
	switch c := c.(type) {
	case gateway.UpdateInstrument:
		f.id, f.update = c.ID, c.Input
	case gateway.DeactivateInstrument:
		f.id = c.ID
	case gateway.ActivateInstrument:
		f.id = c.ID
	case gateway.DeleteInstrument:
		f.id, f.scope, out.Instrument = c.ID, c.Scope, nil
	case gateway.AddProviderToken:
		f.id, out.Instrument, out.Created = c.ID, nil, true
		out.Token = &f.read.Instrument.ProviderTokens[0]
	case gateway.RemoveProviderToken:
		f.id, out.Instrument = c.ID, nil
	case gateway.PutCustomer:
		f.put = c.Input
		customer := f.customer(c.Input.ID)
		out.Instrument, out.Customer, out.Created = nil, &customer, c.Input.ID == "new"
	}
	return out, f.called(tenant)
}

func (f *fake) Import(_ context.Context, tenant string, items []gateway.ImportItem) []gateway.ItemResult {
	f.items = items
	_ = f.called(tenant)
	if f.results != nil {
		return f.results
	}
	out := make([]gateway.ItemResult, len(items))
	for i, item := range items {
		if out[i].Created = f.created; len(item.Fields) > 0 {
			out[i].Err = normalize.Invalid(item.Fields...)
		}
	}
	return out
}

func (f *fake) BulkDelete(_ context.Context, tenant string, ids []string, scope gateway.DeleteScope) []gateway.ItemResult {
	f.ids, f.scope = ids, scope
	_ = f.called(tenant)
	out := make([]gateway.ItemResult, len(ids))
	for i := range out {
		out[i].Err = f.err
	}
	return out
}

func (f *fake) customer(id string) normalize.Customer {
	return normalize.Customer{
		Object: "customer", ID: id, ProviderReferences: map[string]string{"bigcommerce-main": "1"},
		CreatedAt: exampleTime(), UpdatedAt: exampleTime(),
	}
}

func (f *fake) Resolve(_ context.Context, tenant, id string, in gateway.ResolveInput) (gateway.Resolution, error) {
	f.id, f.resolve = id, in
	out := gateway.Resolution{Object: "resolution", InstrumentID: id, Candidates: []gateway.Chargeable{{
		Provider: "cybersource-us", ProviderType: "cybersource", Role: normalize.RolePrimary, Health: gateway.HealthHealthy, Reason: "primary",
		References: normalize.References{"customer": "CUS1"}, Charge: struct{}{},
	}}}
	return out, f.called(tenant)
}

func (f *fake) Sync(_ context.Context, tenant string, in gateway.SyncInput) (gateway.DriftPage, error) {
	f.sync = in
	return gateway.DriftPage{Data: []gateway.Drift{{
		Object: "drift", CustomerID: "cus-42", Provider: "cybersource-us", State: gateway.DriftUnknownHere,
		References: normalize.References{"customer": "CUS1"},
	}}, HasMore: true, NextCursor: "bmV4dA"}, f.called(tenant)
}

func (f *fake) GetCustomer(_ context.Context, tenant, id string) (normalize.Customer, error) {
	f.id = id
	return f.customer(id), f.called(tenant)
}

func (f *fake) Operation(_ context.Context, tenant, id string) (gateway.Operation, error) {
	f.id = id
	return exampleOperation(), f.called(tenant)
}

func (f *fake) OperationByKey(_ context.Context, tenant, key string) (gateway.Operation, error) {
	f.key = key
	return exampleOperation(), f.called(tenant)
}

func (f *fake) ListOperations(_ context.Context, tenant string, in gateway.ListOperationsInput) (gateway.OperationPage, error) {
	f.operations = in
	return gateway.OperationPage{Data: []gateway.Operation{exampleOperation()}, HasMore: true, NextCursor: "bmV4dA"}, f.called(tenant)
}

func (f *fake) RetryOperation(_ context.Context, tenant, id string) (gateway.Operation, error) {
	f.id = id
	return exampleOperation(), f.called(tenant)
}

func (f *fake) FailOperation(_ context.Context, tenant, id string) (gateway.Operation, error) {
	f.id = id
	return exampleOperation(), f.called(tenant)
}

func (f *fake) ListEvents(_ context.Context, tenant string, in gateway.EventsInput) (gateway.EventPage, error) {
	f.events = in
	return gateway.EventPage{Data: []gateway.Event{exampleEvent()}}, f.called(tenant)
}

func (f *fake) Event(_ context.Context, tenant, id string) (gateway.Event, error) {
	f.id = id
	return exampleEvent(), f.called(tenant)
}

func (f *fake) ReplayEvent(_ context.Context, tenant, id string) (gateway.Event, error) {
	f.id = id
	return exampleEvent(), f.called(tenant)
}

func (f *fake) ReplayEvents(_ context.Context, tenant string, in gateway.EventsInput) (gateway.EventReplay, error) {
	f.events = in
	return gateway.EventReplay{Replayed: 1}, f.called(tenant)
}

func (f *fake) Providers() []gateway.ProviderStatus {
	_ = f.called("")
	return []gateway.ProviderStatus{exampleProvider()}
}

func (f *fake) Provider(name string) (gateway.ProviderStatus, error) {
	f.id = name
	return exampleProvider(), f.called("")
}

func (f *fake) Explain(_ context.Context, tenant string, in normalize.ExplainInput) (gateway.Explanation, error) {
	if fields := in.Validate(); len(fields) > 0 {
		return gateway.Explanation{}, normalize.Invalid(fields...) // as the service does
	}
	f.explain = in
	route, strategy, source, reason := "us-cards", gateway.StrategyPriority, normalize.SourceCard, gateway.ReasonBreakerOpen
	return gateway.Explanation{
		Object: "decision", Route: &route, Strategy: &strategy,
		Candidates: []gateway.ExplainedCandidate{
			{Provider: "cybersource-us", SourceType: &source, Reason: &reason},
			{Provider: "rebilly-main", Place: new(1), SourceType: &source},
		},
		Mirrors:   []gateway.ExplainedMirror{{Provider: "bigcommerce-main", Reason: &reason}},
		Unmatched: []gateway.Unmatched{{Route: "eu-cards", Because: "country"}},
	}, f.called(tenant)
}

func (f *fake) Drain(_ context.Context, name, by string, in normalize.DrainInput) (gateway.ProviderStatus, error) {
	f.id, f.by, f.drained = name, by, in
	out := exampleProvider()
	out.Drained, out.DrainedSince, out.DrainedBy, out.DrainReason = true, exampleTime(), by, in.Reason
	return out, f.called("")
}

func (f *fake) Undrain(_ context.Context, name, by string, in normalize.DrainInput) (gateway.ProviderStatus, error) {
	f.id, f.by, f.drained = name, by, in
	return exampleProvider(), f.called("")
}

func (f *fake) Ready(context.Context) error { return f.called("") }

func (f *fake) Admit(context.Context, string, string) gateway.Admission { return gateway.Admission{} }
