package normalize

import (
	"maps"
	"slices"
	"strings"
)

// source checks the one variant that the source's type names.
func (v *validator) source(pointer string, s Source) {
	switch {
	case s.Type == "":
		v.add(pointer+"/type", MissingField, "is required")
	case s.Type == SourceCard && s.Card != nil:
		v.card(pointer, *s.Card)
	case s.Type == SourceBankAccount && s.BankAccount != nil:
		v.bankAccount(pointer, *s.BankAccount)
	case s.Type == SourceInstrumentIdentifier && s.InstrumentIdentifier != nil:
		v.instrumentIdentifier(pointer, *s.InstrumentIdentifier)
	case s.Type == SourceTransientToken && s.TransientToken != nil:
		v.token(pointer+"/transient_token", s.TransientToken.TransientToken, "must be a JWT of up to 8192 characters", func(t string) bool {
			return len(t) <= 8192 && jwtPattern.MatchString(t)
		})
	case s.Type == SourceRebillyToken && s.RebillyToken != nil:
		v.token(pointer+"/token", s.RebillyToken.Token, "must be up to 50 of A-Z a-z 0-9 . _ @ ~ -", func(t string) bool {
			return len(t) <= 50 && tokenPattern.MatchString(t) && !strings.ContainsAny(t, "=+/")
		})
	case s.Type == SourceVaultedToken && s.VaultedToken != nil:
		v.vaultedToken(pointer, *s.VaultedToken)
	case s.Type == SourceProviderReference && s.ProviderReference != nil:
		v.providerReference(pointer, *s.ProviderReference)
	default:
		v.add(pointer+"/type", UnsupportedSource, "is not a known source type")
	}
}

// token checks a one-time token; a card number in its place is the common mistake.
func (v *validator) token(pointer string, t Secret, message string, ok func(string) bool) {
	switch raw := t.Reveal(); {
	case raw == "":
		v.add(pointer, MissingField, "is required")
	case ContainsCardNumber(raw):
		v.pan(pointer)
	case !ok(raw):
		v.add(pointer, InvalidField, message)
	}
}

func (v *validator) card(pointer string, c CardSource) {
	switch n := c.Number.Reveal(); {
	case n == "":
		v.add(pointer+"/number", MissingField, "is required")
	case !isDigits(n) || len(n) < 12 || len(n) > 19:
		v.add(pointer+"/number", InvalidField, "must be 12 to 19 digits without spaces or dashes")
	case !Luhn(n) || strings.Trim(n, "0") == "":
		v.add(pointer+"/number", InvalidField, "is not a valid card number")
	}
	v.expiry(pointer, c.ExpMonth, c.ExpYear)
	if cvc := c.CVC.Reveal(); cvc != "" && (!isDigits(cvc) || len(cvc) < 3 || len(cvc) > 4) {
		v.add(pointer+"/cvc", InvalidField, "must be 3 or 4 digits")
	}
	v.text(pointer+"/holder_name", c.HolderName, 90)
}

func (v *validator) bankAccount(pointer string, b BankAccountSource) {
	if iban := b.IBAN.Reveal(); iban != "" {
		if !ValidIBAN(iban) {
			v.add(pointer+"/iban", InvalidField, "must be an IBAN in upper case without spaces")
		}
		if !b.AccountNumber.IsZero() || b.RoutingNumber != "" {
			v.add(pointer+"/iban", InvalidField, "send either iban, or account_number with routing_number")
		}
	} else {
		v.domesticAccount(pointer, b)
	}
	switch b.AccountType {
	case AccountChecking, AccountSavings, AccountCorporateChecking:
	case "":
		if b.IBAN.IsZero() {
			v.add(pointer+"/account_type", MissingField, "is required")
		}
	default:
		v.add(pointer+"/account_type", InvalidField, "must be checking, savings or corporate_checking")
	}
	v.text(pointer+"/holder_name", b.HolderName, 90)
}

func (v *validator) domesticAccount(pointer string, b BankAccountSource) {
	switch n := b.AccountNumber.Reveal(); {
	case n == "":
		v.add(pointer+"/account_number", MissingField, "is required")
	case !isDigits(n) || len(n) < 4 || len(n) > 17:
		v.add(pointer+"/account_number", InvalidField, "must be 4 to 17 digits")
	}
	switch {
	case b.RoutingNumber == "":
		v.add(pointer+"/routing_number", MissingField, "is required")
	case !ValidRoutingNumber(b.RoutingNumber):
		v.add(pointer+"/routing_number", InvalidField, "must be 9 digits with a valid check digit")
	}
}

func (v *validator) instrumentIdentifier(pointer string, s InstrumentIdentifierSource) {
	if v.required(pointer+"/instrument_identifier", s.InstrumentIdentifier) {
		switch {
		case !identifierPattern.MatchString(s.InstrumentIdentifier):
			v.add(pointer+"/instrument_identifier", InvalidField, "must be 12 to 32 letters and digits")
		case IsWrittenCardNumber(s.InstrumentIdentifier):
			v.pan(pointer + "/instrument_identifier")
		}
	}
	v.expiry(pointer, s.ExpMonth, s.ExpYear)
	v.brand(pointer+"/brand", s.Brand)
}

func (v *validator) brand(pointer string, b Brand) {
	if b != "" && !slices.Contains(Brands(), b) {
		v.add(pointer, InvalidField, "is not a known brand")
	}
}

func (v *validator) vaultedToken(pointer string, s VaultedTokenSource) {
	if v.required(pointer+"/payment_method_id", s.PaymentMethodID) {
		switch {
		case !paymentMethodID.MatchString(s.PaymentMethodID):
			v.add(pointer+"/payment_method_id", InvalidField, `must be "<gateway>.<method>", e.g. "braintree.credit_card"`)
		case ContainsCardNumber(s.PaymentMethodID):
			v.pan(pointer + "/payment_method_id")
		}
	}
	if v.required(pointer+"/currency", s.Currency) {
		v.currency(pointer+"/currency", s.Currency)
	}
	v.token(pointer+"/vault_token", s.VaultToken, "must be up to 512 of A-Z a-z 0-9 . _ ~ @ = + / -", tokenPattern.MatchString)
	if v.required(pointer+"/provider_customer_id", s.ProviderCustomerID) {
		v.reference(pointer+"/provider_customer_id", s.ProviderCustomerID)
	}
	switch s.InstrumentType {
	case TypeCard:
		v.vaultedCard(pointer, s)
	case TypePayPal:
		if v.required(pointer+"/email", s.Email) {
			v.email(pointer+"/email", s.Email)
		}
	case TypeBankAccount:
		if v.required(pointer+"/masked_account_number", s.MaskedAccountNumber) && !maskedPattern.MatchString(s.MaskedAccountNumber) {
			v.add(pointer+"/masked_account_number", InvalidField, "must be digits and X or *, up to 34")
		} else if ContainsCardNumber(s.MaskedAccountNumber) {
			v.pan(pointer + "/masked_account_number")
		}
		v.text(pointer+"/issuer", s.Issuer, 60)
	case "":
		v.add(pointer+"/instrument_type", MissingField, "is required")
	default:
		v.add(pointer+"/instrument_type", InvalidField, "must be card, paypal or bank_account")
	}
}

func (v *validator) vaultedCard(pointer string, s VaultedTokenSource) {
	if v.required(pointer+"/brand", string(s.Brand)) {
		v.brand(pointer+"/brand", s.Brand)
	}
	if s.BIN != "" && (!isDigits(s.BIN) || len(s.BIN) != 6) {
		v.add(pointer+"/bin", InvalidField, "must be 6 digits")
	}
	if v.required(pointer+"/last4", s.Last4) && (!isDigits(s.Last4) || len(s.Last4) != 4) {
		v.add(pointer+"/last4", InvalidField, "must be 4 digits")
	}
	v.expiry(pointer, s.ExpMonth, s.ExpYear)
}

func (v *validator) providerReference(pointer string, s ProviderReferenceSource) {
	if v.required(pointer+"/provider", s.Provider) {
		v.name(pointer+"/provider", s.Provider)
	}
	if len(s.References) == 0 {
		v.add(pointer+"/references", MissingField, "is required")
	}
	if len(s.References) > 8 {
		v.add(pointer+"/references", OutOfRange, "must have at most 8 members")
	}
	for _, k := range slices.Sorted(maps.Keys(s.References)) {
		v.reference(pointer+"/references/"+EscapePointer(k), s.References[k])
	}
}
