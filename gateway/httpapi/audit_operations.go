package httpapi

// auditing says which answers of an operation are told in the audit log.
type auditing struct {
	action string // its word there
	which  audited
}

// audited says which answers are told. Those without a valid API key or the scope that is
// needed are, of every operation that needs one.
type audited string

const (
	auditRefused    audited = "refused"    // no others
	auditReferences audited = "references" // also those that showed a provider's references
	auditAll        audited = "all"        // every one
	auditChanges    audited = "changes"    // every one, and none is begun that could not be told
)

// auditTable names every operation of the document that needs an API key. Of those that
// need none it names what else can refuse somebody, such as a webhook.
func auditTable() map[string]auditing {
	return map[string]auditing{
		"createInstrument":        {"instrument.create", auditChanges},
		"listInstruments":         {"instrument.list", auditReferences},
		"importInstruments":       {"instrument.import", auditChanges}, // an entry an item
		"bulkDeleteInstruments":   {"instrument.delete", auditChanges}, // an entry an item
		"getInstrument":           {"instrument.read", auditReferences},
		"updateInstrument":        {"instrument.update", auditChanges},
		"deleteInstrument":        {"instrument.delete", auditChanges},
		"deactivateInstrument":    {"instrument.deactivate", auditChanges},
		"activateInstrument":      {"instrument.activate", auditChanges},
		"resolveInstrument":       {"instrument.resolve", auditAll},
		"listProviderTokens":      {"provider_token.list", auditReferences},
		"addProviderToken":        {"provider_token.add", auditChanges},
		"removeProviderToken":     {"provider_token.remove", auditChanges},
		"getCustomer":             {"customer.read", auditAll}, // it shows references whatever the scope
		"putCustomer":             {"customer.put", auditChanges},
		"listCustomerInstruments": {"instrument.list", auditReferences},
		"findOperations":          {"operation.list", auditRefused},
		"getOperation":            {"operation.read", auditRefused},
		"retryOperation":          {"operation.retry", auditChanges},
		"failOperation":           {"operation.fail", auditChanges},
		"drainProvider":           {"provider.drain", auditChanges},
		"undrainProvider":         {"provider.undrain", auditChanges},
		"syncInstruments":         {"instrument.sync", auditChanges},
		"listProviders":           {"provider.list", auditRefused},
		"getProvider":             {"provider.read", auditRefused},
		"explainRoutes":           {"routes.explain", auditRefused},
		"listEvents":              {"event.list", auditRefused}, // events never hold references
		"getEvent":                {"event.read", auditRefused},
		"replayEvent":             {"event.replay", auditChanges},
		"replayEvents":            {"event.replay", auditChanges},
		"receiveWebhook":          {"webhook.receive", auditAll},
	}
}
