package client_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/client"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/normalize"
)

const apiKey = "pv_test_Example1_0123456789abcdefghijklmnopqrstuvwxyz"

// memory is a service that keeps one instrument, to hold the client against the
// real HTTP interface.
type memory struct {
	last normalize.CreateInput
	upd  normalize.UpdateInput
	id   string
	keys []string // of the changes

	explained normalize.ExplainInput
	resolved  gateway.ResolveInput
	synced    gateway.SyncInput
}

func (m *memory) instrument() normalize.Instrument {
	return normalize.Instrument{
		Object: "instrument", ID: "ins_0h7kq2m4n6p8r0s2t4v6w8x0z2", CustomerID: m.last.CustomerID, Type: normalize.TypeCard, Status: normalize.StatusActive,
		Card:     &normalize.Card{Brand: normalize.Visa, BIN: "411111", Last4: "1111", ExpMonth: 12, ExpYear: 2031},
		Metadata: m.last.Metadata, CreatedAt: time.Unix(0, 0).UTC(), UpdatedAt: time.Unix(0, 0).UTC(),
	}
}

func (m *memory) Admit(context.Context, string, string) gateway.Admission { return gateway.Admission{} }

func (m *memory) Create(_ context.Context, _ string, in normalize.CreateInput, _ string) (gateway.Created, error) {
	if fields := in.Validate(time.Unix(0, 0)); len(fields) > 0 {
		return gateway.Created{}, normalize.Invalid(fields...)
	}
	m.last = in
	return gateway.Created{Instrument: m.instrument(), Provider: "rebilly-main"}, nil
}

func (m *memory) Get(_ context.Context, _, id string, _ bool) (gateway.Read, error) {
	m.id = id
	return gateway.Read{Instrument: m.instrument(), Provider: "rebilly-main"}, nil
}

func (m *memory) List(context.Context, string, gateway.ListInput) (gateway.InstrumentPage, error) {
	return gateway.InstrumentPage{Data: []normalize.Instrument{m.instrument()}}, nil
}

func (m *memory) ListCustomer(context.Context, string, string, int, string) (gateway.CustomerPage, error) {
	return gateway.CustomerPage{InstrumentPage: gateway.InstrumentPage{Data: []normalize.Instrument{m.instrument()}}}, nil
}

func (m *memory) TakesNotices(string) error { return nil }

func (m *memory) Notice(context.Context, string, http.Header, []byte) error { return nil }

func (m *memory) ProviderTokens(context.Context, string, string) ([]normalize.ProviderToken, error) {
	return []normalize.ProviderToken{{Provider: "rebilly-main", Role: normalize.RolePrimary, Status: normalize.StatusActive}}, nil
}

func (m *memory) Change(_ context.Context, _, key string, c gateway.Change) (gateway.Changed, error) {
	ins := m.instrument()
	m.keys = append(m.keys, key)
	out := gateway.Changed{Instrument: &ins, Replayed: key != ""}
	switch c := c.(type) {
	case gateway.UpdateInstrument:
		m.upd = c.Input
	case gateway.DeleteInstrument:
		out.Instrument = nil
	case gateway.AddProviderToken:
		out.Instrument, out.Created = nil, true
		out.Token = &normalize.ProviderToken{Provider: c.Input.Provider, Role: normalize.RoleMirror, Status: normalize.StatusActive}
	case gateway.RemoveProviderToken:
		if out.Instrument = nil; c.Provider == "away" {
			out.Token = &normalize.ProviderToken{Provider: c.Provider, Role: normalize.RoleMirror, Status: normalize.StatusDeactivated}
		}
	case gateway.PutCustomer:
		out.Instrument, out.Created = nil, true
		out.Customer = &normalize.Customer{Object: "customer", ID: c.Input.ID, ProviderReferences: c.Input.ProviderReferences}
	}
	return out, nil
}

func (m *memory) Import(_ context.Context, _ string, items []gateway.ImportItem) []gateway.ItemResult {
	out := make([]gateway.ItemResult, len(items))
	for i, item := range items {
		if out[i].Created = (gateway.Created{Instrument: m.instrument()}); len(item.Fields) > 0 {
			out[i].Err = normalize.Invalid(item.Fields...)
		}
	}
	return out
}

func (m *memory) BulkDelete(_ context.Context, _ string, ids []string, _ gateway.DeleteScope) []gateway.ItemResult {
	return make([]gateway.ItemResult, len(ids))
}

func (m *memory) Resolve(_ context.Context, _, id string, in gateway.ResolveInput) (gateway.Resolution, error) {
	m.resolved = in
	return gateway.Resolution{Object: "resolution", InstrumentID: id, Excluded: []gateway.NotChargeable{
		{Provider: "b", Role: normalize.RoleMirror, Reason: gateway.ExcludedDrained},
	}, Candidates: []gateway.Chargeable{{
		Provider: "a", ProviderType: "rebilly", Role: normalize.RolePrimary, Health: gateway.HealthHealthy, Reason: "primary",
		Charge: map[string]any{"customerId": "cus_1", "paymentInstruction": map[string]string{"paymentInstrumentId": "inst_1"}},
	}}}, nil
}

func (m *memory) Sync(_ context.Context, _ string, in gateway.SyncInput) (gateway.DriftPage, error) {
	m.synced = in
	return gateway.DriftPage{HasMore: true, NextCursor: "more", Counts: gateway.DriftCounts{Instruments: 1, Compared: 1, Differing: 1}, Data: []gateway.Drift{{
		Object: "drift", CustomerID: "c", Provider: "a", Role: normalize.RolePrimary, State: gateway.DriftPresent,
		Differences: []gateway.Difference{{Field: "card.exp_year", Here: "2031", There: "2032"}},
	}}}, nil
}

func (m *memory) GetCustomer(_ context.Context, _, id string) (normalize.Customer, error) {
	return normalize.Customer{Object: "customer", ID: id}, nil
}

func (m *memory) Operation(_ context.Context, _, id string) (gateway.Operation, error) {
	return gateway.Operation{Object: "operation", ID: id, State: gateway.StateCompleted, Outcome: normalize.Applied}, nil
}

func (m *memory) OperationByKey(ctx context.Context, tenant, key string) (gateway.Operation, error) {
	m.id = key
	return m.Operation(ctx, tenant, "ins_0h7kq2m4n6p8r0s2t4v6w8x0z2")
}

func (m *memory) ListOperations(_ context.Context, _ string, in gateway.ListOperationsInput) (gateway.OperationPage, error) {
	op := gateway.Operation{Object: "operation", ID: "ins_0h7kq2m4n6p8r0s2t4v6w8x0z2", State: in.State, Outcome: normalize.Unknown, Advice: "wait"}
	if in.Cursor == "" {
		return gateway.OperationPage{Data: []gateway.Operation{op}, HasMore: true, NextCursor: "more"}, nil
	}
	return gateway.OperationPage{Data: []gateway.Operation{op}}, nil
}

func (m *memory) ListEvents(_ context.Context, _ string, in gateway.EventsInput) (gateway.EventPage, error) {
	e := gateway.Event{Object: "event", ID: "evt_0h7kq2m4n6p8r0s2t4v6w8x0z2", Type: gateway.InstrumentCreated, State: gateway.DeliveryFailed, Deliveries: []gateway.EventDelivery{{Host: "shop.example", State: gateway.DeliveryFailed, Tries: 10}}}
	if in.Cursor == "" {
		return gateway.EventPage{Data: []gateway.Event{e}, HasMore: true, NextCursor: "more"}, nil
	}
	return gateway.EventPage{Data: []gateway.Event{e}}, nil
}

func (m *memory) Event(_ context.Context, _, id string) (gateway.Event, error) {
	return gateway.Event{Object: "event", ID: id, Type: gateway.ProviderDown, State: gateway.DeliveryPending, Deliveries: []gateway.EventDelivery{}, Payload: []byte(`{"type":"provider.down"}`)}, nil
}

func (m *memory) ReplayEvent(ctx context.Context, tenant, id string) (gateway.Event, error) {
	return m.Event(ctx, tenant, id)
}

func (m *memory) ReplayEvents(_ context.Context, _ string, in gateway.EventsInput) (gateway.EventReplay, error) {
	return gateway.EventReplay{Replayed: in.Limit}, nil
}

func (m *memory) RetryOperation(ctx context.Context, tenant, id string) (gateway.Operation, error) {
	return m.Operation(ctx, tenant, id)
}

func (m *memory) FailOperation(ctx context.Context, tenant, id string) (gateway.Operation, error) {
	return m.Operation(ctx, tenant, id)
}

func (m *memory) Providers() []gateway.ProviderStatus {
	return []gateway.ProviderStatus{{Object: "provider", Name: "rebilly-main", Type: "rebilly"}}
}

func (m *memory) Drain(_ context.Context, name, by string, in normalize.DrainInput) (gateway.ProviderStatus, error) {
	status, err := m.Provider(name)
	status.Drained, status.DrainedBy, status.DrainReason = true, by, in.Reason
	return status, err
}

func (m *memory) Undrain(_ context.Context, name, _ string, _ normalize.DrainInput) (gateway.ProviderStatus, error) {
	return m.Provider(name)
}

func (m *memory) Provider(name string) (gateway.ProviderStatus, error) {
	return gateway.ProviderStatus{Object: "provider", Name: name, Type: "rebilly"}, nil
}

func (m *memory) Explain(_ context.Context, _ string, in normalize.ExplainInput) (gateway.Explanation, error) {
	m.explained = in
	route, strategy := "all", gateway.StrategyWeighted
	return gateway.Explanation{
		Object: "decision", Route: &route, Strategy: &strategy,
		Candidates: []gateway.ExplainedCandidate{{Provider: "rebilly-main", Place: new(1), SourceType: &in.SourceTypes[0]}},
		Mirrors:    []gateway.ExplainedMirror{}, Unmatched: []gateway.Unmatched{{Route: "eu", Because: "country"}},
	}, nil
}

func (m *memory) Ready(context.Context) error { return nil }

// newGateway serves the real HTTP interface over a service.
func newGateway(m *memory) (*httptest.Server, error) {
	api, err := httpapi.New(httpapi.Config{Service: m, Keys: []httpapi.APIKey{
		{Tenant: "acme", Name: "checkout", SHA256: sha256.Sum256([]byte(apiKey)), Scopes: httpapi.Scopes()},
	}})
	if err != nil {
		return nil, err
	}
	return httptest.NewServer(api.Handler()), nil
}

func TestEveryMethodAgainstTheRealHTTPInterface(t *testing.T) {
	t.Parallel()
	m := &memory{}
	server, err := newGateway(m)
	require.NoError(t, err)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, apiKey, client.Options{HTTP: server.Client(), Retries: -1})
	require.NoError(t, err)
	ctx := t.Context()

	created, err := c.Create(ctx, client.CreateInstrument{
		CustomerID: "cus-42", Default: true, Metadata: client.Metadata{"tier": "gold"}, BillingAddress: &client.Address{City: "Ely", Country: "GB"},
		Sources: []client.Source{
			client.FromCard(client.CardSource{Number: "4111111111111111", ExpMonth: 12, ExpYear: 2031, Cvc: "123"}),
			client.FromBankAccount(client.BankAccountSource{AccountNumber: "1234567890", RoutingNumber: "021000021", AccountType: client.AccountTypeChecking}),
			client.FromInstrumentIdentifier(client.InstrumentIdentifierSource{InstrumentIdentifier: "7010000000016241111", ExpMonth: 1, ExpYear: 2030}),
			client.FromTransientToken("a.b.c"), client.FromRebillyToken("tok"),
			client.FromVaultedToken(client.VaultedTokenSource{PaymentMethodID: "paypal.paypal", Currency: "USD", VaultToken: "v", ProviderCustomerID: "7", InstrumentType: "paypal", Email: "a@example.com"}),
			client.FromProviderReference("rebilly-main", map[string]string{"customer": "c"}),
		},
	}, `my"key`)
	require.NoError(t, err)
	require.Equal(t, `my"key`, created.IdempotencyKey)
	require.Len(t, m.last.Sources, 7)
	require.Equal(t, "rebilly-main", created.Provider)

	id := created.Instrument.ID
	read, err := c.Get(ctx, id, client.GetOptions{Stored: true})
	require.NoError(t, err)
	require.Equal(t, created.ETag, read.ETag)
	again, err := c.Get(ctx, id, client.GetOptions{IfNoneMatch: read.ETag})
	require.NoError(t, err)
	require.True(t, again.NotModified)
	_, err = c.Get(ctx, "../x y", client.GetOptions{})
	require.NoError(t, err)
	require.Equal(t, "../x y", m.id, "an id is escaped once")

	_, err = c.Update(ctx, id, client.Update{Card: &client.Expiry{Month: 1, Year: 2033}}, read.ETag)
	require.NoError(t, err)
	require.Equal(t, 2033, *m.upd.ExpYear)
	require.Equal(t, read.ETag, m.upd.IfMatch)
	for _, do := range []func() error{
		func() error { _, err := c.Deactivate(ctx, id); return err },
		func() error { _, err := c.Activate(ctx, id); return err },
		func() error { return c.Delete(ctx, id, client.DeleteScopeVault) },
		func() error { _, err := c.PutCustomer(ctx, "cus-42", map[string]string{"a": "1"}); return err },
		func() error { _, err := c.GetCustomer(ctx, "cus-42"); return err },
		func() error { _, err := c.Operation(ctx, id); return err },
		func() error { _, err := c.Wait(ctx, id); return err },
		func() error { _, err := c.OperationByKey(ctx, "k&x=1"); return err },
		func() error { _, err := c.RetryOperation(ctx, id); return err },
		func() error { _, err := c.FailOperation(ctx, id); return err },
		func() error { _, err := c.Event(ctx, "evt_0h7kq2m4n6p8r0s2t4v6w8x0z2"); return err },
		func() error { _, err := c.ReplayEvent(ctx, "evt_0h7kq2m4n6p8r0s2t4v6w8x0z2"); return err },
		func() error {
			out, err := c.ReplayEvents(ctx, client.ReplayEventsParams{Since: time.Now(), Limit: new(3)})
			require.Equal(t, 3, out.Replayed)
			return err
		},
		func() error { _, err := c.Providers(ctx); return err },
		func() error { _, err := c.Provider(ctx, "rebilly-main"); return err },
		func() error { _, err := c.DrainProvider(ctx, "rebilly-main", "maintenance"); return err },
		func() error { _, err := c.DrainProvider(ctx, "rebilly-main", ""); return err },
		func() error { _, err := c.UndrainProvider(ctx, "rebilly-main", ""); return err },
		func() error {
			_, err := c.CustomerPage(ctx, "cus-42", client.ListCustomerInstrumentsParams{})
			return err
		},
		func() error { _, err := c.BulkDelete(ctx, []string{id}, ""); return err },
	} {
		require.NoError(t, do())
	}
	require.Equal(t, "k&x=1", m.id)
	advices := 0
	for op, err := range c.Operations(ctx, client.UndecidedStateManual) {
		require.NoError(t, err)
		require.Equal(t, client.OperationStateManual, op.State)
		require.Equal(t, "wait", op.Advice)
		advices++
	}
	require.Equal(t, 2, advices, "both pages")

	events := 0
	for e, err := range c.Events(ctx, client.ListEventsParams{DeliveryState: new(client.EventSelectionFailed)}) {
		require.NoError(t, err)
		require.Equal(t, client.DeliveryStateFailed, e.State)
		require.Equal(t, 10, e.Deliveries[0].Tries)
		events++
	}
	require.Equal(t, 2, events, "both pages")

	decision, err := c.ExplainRoutes(ctx, client.ExplainRoutes{
		CustomerID: "cus-42", SourceTypes: []client.SourceType{client.SourceTypeRebillyToken}, Country: "US", Brand: "visa", Bin: "411111", Metadata: client.Metadata{"plan": "gold"},
	})
	require.NoError(t, err)
	require.Equal(t, normalize.ExplainInput{
		CustomerID: "cus-42", SourceTypes: []normalize.SourceType{normalize.SourceRebillyToken}, Country: "US", Brand: normalize.Visa, BIN: "411111", Metadata: map[string]string{"plan": "gold"},
	}, m.explained)
	require.Equal(t, "all", *decision.Route)
	require.Equal(t, 1, *decision.Candidates[0].Place)
	require.Nil(t, decision.Candidates[0].Reason)
	require.Equal(t, "country", decision.Unmatched[0].Because)

	require.Equal(t, []string{"", "", "", "", ""}, m.keys)
	m.keys = nil
	key := client.WithIdempotencyKey("change")
	for _, do := range []func() (client.Read, error){
		func() (client.Read, error) { return c.Update(ctx, id, client.Update{}, "", key) },
		func() (client.Read, error) { return c.Deactivate(ctx, id, key) },
		func() (client.Read, error) { return c.Activate(ctx, id, key) },
	} {
		read, err := do()
		require.NoError(t, err)
		require.True(t, read.Replayed)
	}
	require.NoError(t, c.Delete(ctx, id, "", key))
	_, err = c.PutCustomer(ctx, "cus-42", map[string]string{"a": "1"}, key)
	require.NoError(t, err)
	require.Equal(t, []string{"change", "change", "change", "change", "change"}, m.keys)

	tokens, err := c.ProviderTokens(ctx, id)
	require.NoError(t, err)
	require.Equal(t, "rebilly-main", tokens[0].Provider)
	mirror, err := c.AddProviderToken(ctx, id, []client.Source{client.FromRebillyToken("t")}, "beta", key)
	require.NoError(t, err)
	require.Equal(t, "beta", mirror.Provider)
	for _, provider := range []string{"beta", "away"} {
		gone, err := c.RemoveProviderToken(ctx, id, provider)
		require.NoError(t, err)
		require.Equal(t, provider == "beta", gone)
	}

	resolution, err := c.Resolve(ctx, id, client.ResolveInput{})
	require.NoError(t, err)
	require.Equal(t, client.ResolveExclusionReasonDrained, resolution.Excluded[0].Reason)
	charge, err := resolution.Candidates[0].Charge.AsRebillyCharge()
	require.NoError(t, err)
	require.Equal(t, "inst_1", charge.PaymentInstruction.PaymentInstrumentID)
	require.Equal(t, gateway.ResolveInput{}, m.resolved)
	_, err = c.Resolve(ctx, id, client.ResolveInput{Currency: "USD", Country: "US", ExcludeProviders: []string{"b"}})
	require.NoError(t, err)
	require.Equal(t, gateway.ResolveInput{Currency: "USD", Country: "US", ExcludeProviders: []string{"b"}}, m.resolved)

	page, err := c.SyncPage(ctx, client.SyncInput{Provider: "a", Repair: true, Limit: 7, Cursor: "x"})
	require.NoError(t, err)
	require.Equal(t, gateway.SyncInput{Provider: "a", Repair: true, Limit: 7, Cursor: "x"}, m.synced)
	require.Equal(t, []client.Difference{{Field: "card.exp_year", Here: "2031", There: "2032"}}, page.Data[0].Differences)
	require.Equal(t, "more", page.NextCursor)

	result, err := c.Import(ctx, []client.ImportItem{{CustomerID: "c", Sources: []client.Source{client.FromRebillyToken("t")}}})
	require.NoError(t, err)
	require.Equal(t, 1, result.Counts.Succeeded)
	require.Equal(t, id, result.Data[0].Instrument.ID)
}

func Example() {
	server, err := newGateway(&memory{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	ctx := context.Background()

	c, err := client.New(server.URL, apiKey, client.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	created, err := c.Create(ctx, client.CreateInstrument{
		CustomerID: "cus-42",
		Sources:    []client.Source{client.FromRebillyToken("4f6cf35x-2c4y-483z-a0a9-158621f77a21")},
	}, "order-1001")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("stored at", created.Provider, created.Instrument.Card.Brand, created.Instrument.Card.Last4)

	_, err = c.Create(ctx, client.CreateInstrument{
		CustomerID: "cus-42",
		Sources:    []client.Source{client.FromCard(client.CardSource{Number: "4111111111111111", ExpMonth: 13, ExpYear: 2031})},
	}, "order-1002")
	fmt.Println(err)
	// Output:
	// stored at rebilly-main visa 1111
	// polyvault: 422 out_of_range (not_sent, retry: never): the request is not valid; /sources/0/exp_month: must be 1 to 12
}
