package httpapi

import "github.com/polyvault/polyvault/normalize"

// source reads a source: its type says which members it has, and a member of
// another type is as unknown as any.
func (d *decoder) source(n *node, pointer string) normalize.Source {
	o := d.object(n, pointer)
	s := normalize.Source{Type: normalize.SourceType(o.text("type"))}
	switch s.Type {
	case normalize.SourceCard:
		s.Card = &normalize.CardSource{
			Number: o.secret("number"), ExpMonth: o.number("exp_month"), ExpYear: o.number("exp_year"),
			CVC: o.secret("cvc"), HolderName: o.text("holder_name"),
		}
	case normalize.SourceBankAccount:
		s.BankAccount = &normalize.BankAccountSource{
			AccountNumber: o.secret("account_number"), RoutingNumber: o.text("routing_number"),
			AccountType: normalize.AccountType(o.text("account_type")), IBAN: o.secret("iban"), HolderName: o.text("holder_name"),
		}
	case normalize.SourceInstrumentIdentifier:
		s.InstrumentIdentifier = &normalize.InstrumentIdentifierSource{
			InstrumentIdentifier: o.text("instrument_identifier"), ExpMonth: o.number("exp_month"),
			ExpYear: o.number("exp_year"), Brand: normalize.Brand(o.text("brand")),
		}
	case normalize.SourceTransientToken:
		s.TransientToken = &normalize.TransientTokenSource{TransientToken: o.secret("transient_token")}
	case normalize.SourceRebillyToken:
		s.RebillyToken = &normalize.RebillyTokenSource{Token: o.secret("token")}
	case normalize.SourceVaultedToken:
		s.VaultedToken = vaultedToken(o)
	case normalize.SourceProviderReference:
		s.ProviderReference = &normalize.ProviderReferenceSource{Provider: o.text("provider"), References: o.texts("references")}
	default:
		return s // without a type that is known, nothing can be said about the members
	}
	o.end()
	return s
}

func vaultedToken(o *object) *normalize.VaultedTokenSource {
	return &normalize.VaultedTokenSource{
		PaymentMethodID: o.text("payment_method_id"), Currency: o.text("currency"), VaultToken: o.secret("vault_token"),
		ProviderCustomerID: o.text("provider_customer_id"), InstrumentType: normalize.Type(o.text("instrument_type")),
		Brand: normalize.Brand(o.text("brand")), BIN: o.text("bin"), Last4: o.text("last4"),
		ExpMonth: o.number("exp_month"), ExpYear: o.number("exp_year"), Email: o.text("email"),
		Issuer: o.text("issuer"), MaskedAccountNumber: o.text("masked_account_number"),
	}
}
