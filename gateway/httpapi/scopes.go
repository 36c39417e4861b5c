package httpapi

import "slices"

// Scope is what an API key may do.
type Scope string

// The scopes.
const (
	InstrumentsRead    Scope = "instruments:read"
	InstrumentsWrite   Scope = "instruments:write"
	InstrumentsResolve Scope = "instruments:resolve"
	ReferencesRead     Scope = "references:read" // shows the providers' ids in instruments
	CustomersRead      Scope = "customers:read"
	CustomersWrite     Scope = "customers:write"
	ProvidersRead      Scope = "providers:read"
	ProvidersWrite     Scope = "providers:write"
	RoutesRead         Scope = "routes:read"
	EventsRead         Scope = "events:read"
	EventsWrite        Scope = "events:write"
)

// Scopes returns every scope.
func Scopes() []Scope {
	return []Scope{
		InstrumentsRead, InstrumentsWrite, InstrumentsResolve, ReferencesRead,
		CustomersRead, CustomersWrite, ProvidersRead, ProvidersWrite, RoutesRead, EventsRead, EventsWrite,
	}
}

// public is the scope of the operations that need no key.
const public Scope = ""

// operation is what the middleware must know of one of the document's operations.
type operation struct {
	scope     Scope
	keyed     bool     // repeating it is safe with the same idempotency key, or keys, only
	keyHeader bool     // that key is in the request's header; unless keyed it may be left out
	query     []string // the parameters that it knows; all others are refused
}

// operations names every operation of the document. One that is missing here is
// refused by New, so that none can be served without a scope by accident.
func operations() map[string]operation {
	return map[string]operation{
		"createInstrument": {scope: InstrumentsWrite, keyed: true, keyHeader: true},
		"listInstruments": {scope: InstrumentsRead, query: []string{
			"customer_id", "status", "type", "brand", "last4", "provider", "default", "expires_before", "created_after",
			"fingerprint", "metadata", "filter", "sort", "q", "limit", "cursor",
		}},
		"importInstruments":       {scope: InstrumentsWrite, keyed: true},
		"bulkDeleteInstruments":   {scope: InstrumentsWrite},
		"getInstrument":           {scope: InstrumentsRead, query: []string{"read"}},
		"updateInstrument":        {scope: InstrumentsWrite, keyHeader: true},
		"deleteInstrument":        {scope: InstrumentsWrite, keyHeader: true, query: []string{"scope"}},
		"deactivateInstrument":    {scope: InstrumentsWrite, keyHeader: true},
		"activateInstrument":      {scope: InstrumentsWrite, keyHeader: true},
		"resolveInstrument":       {scope: InstrumentsResolve},
		"listProviderTokens":      {scope: InstrumentsRead},
		"addProviderToken":        {scope: InstrumentsWrite, keyHeader: true},
		"removeProviderToken":     {scope: InstrumentsWrite, keyHeader: true},
		"getCustomer":             {scope: CustomersRead},
		"putCustomer":             {scope: CustomersWrite, keyHeader: true},
		"listCustomerInstruments": {scope: InstrumentsRead, query: []string{"limit", "cursor"}},
		"findOperations":          {scope: InstrumentsRead, query: []string{"idempotency_key", "state", "limit", "cursor"}},
		"getOperation":            {scope: InstrumentsRead},
		"retryOperation":          {scope: InstrumentsWrite},
		"drainProvider":           {scope: ProvidersWrite},
		"undrainProvider":         {scope: ProvidersWrite},
		"failOperation":           {scope: InstrumentsWrite},
		"syncInstruments":         {scope: InstrumentsWrite},
		"listProviders":           {scope: ProvidersRead},
		"getProvider":             {scope: ProvidersRead},
		"explainRoutes":           {scope: RoutesRead},
		"receiveWebhook":          {scope: public},
		"checkWebhook":            {scope: public},
		"listEvents":              {scope: EventsRead, query: []string{"since", "until", "event_type", "delivery_state", "limit", "cursor"}},
		"getEvent":                {scope: EventsRead},
		"replayEvent":             {scope: EventsWrite},
		"replayEvents":            {scope: EventsWrite, query: []string{"since", "until", "event_type", "delivery_state", "limit", "cursor"}},
		"getDocument":             {scope: public},
		"getDocs":                 {scope: public},
		"getDocsAsset":            {scope: public},
		"getHealth":               {scope: public},
		"getReadiness":            {scope: public},
	}
}

func knownScope(s Scope) bool { return slices.Contains(Scopes(), s) }
