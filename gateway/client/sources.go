package client

import "encoding/json"

// sourceOf writes a source. The models hold strings, numbers and maps of strings
// only, so that encoding them cannot fail.
func sourceOf(v any) Source {
	b, _ := json.Marshal(v)
	return Source{union: b}
}

// FromCard is a raw card, for gateways that accept it. Type is set.
func FromCard(s CardSource) Source {
	s.Type = CardSourceTypeCard
	return sourceOf(s)
}

// FromBankAccount is a raw bank account, for gateways that accept it. Type is set.
func FromBankAccount(s BankAccountSource) Source {
	s.Type = BankAccountSourceTypeBankAccount
	return sourceOf(s)
}

// FromInstrumentIdentifier is a card or account that CyberSource TMS knows. Type is set.
func FromInstrumentIdentifier(s InstrumentIdentifierSource) Source {
	s.Type = InstrumentIdentifierSourceTypeCybersourceInstrumentIdentifier
	return sourceOf(s)
}

// FromTransientToken is a token of CyberSource Flex Microform or Unified Checkout.
func FromTransientToken(jwt string) Source {
	return sourceOf(TransientTokenSource{Type: TransientTokenSourceTypeCybersourceTransientToken, TransientToken: jwt})
}

// FromRebillyToken is a token of Rebilly FramePay.
func FromRebillyToken(token string) Source {
	return sourceOf(RebillyTokenSource{Type: RebillyTokenSourceTypeRebillyToken, Token: token})
}

// FromVaultedToken is an instrument in the vault of a payment gateway behind BigCommerce. Type is set.
func FromVaultedToken(s VaultedTokenSource) Source {
	s.Type = VaultedTokenSourceTypeVaultedToken
	return sourceOf(s)
}

// FromProviderReference adopts an instrument that a provider already stores.
func FromProviderReference(provider string, references map[string]string) Source {
	return sourceOf(ProviderReferenceSource{Type: ProviderReferenceSourceTypeProviderReference, Provider: provider, References: references})
}
