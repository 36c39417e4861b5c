package cybersource

import (
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// brandOf reads a card type: three digits in v2, words in v1; known says whether
// the word is. Source: the TMS Developer Guide 26.07 and the official OpenAPI
// description, "Possible Values v2 : v1".
func brandOf(cardType string) (brand normalize.Brand, known bool) {
	switch strings.ToLower(cardType) {
	case "001", "visa", "033", "visa electron":
		return normalize.Visa, true
	case "002", "mastercard", "eurocard":
		return normalize.Mastercard, true
	case "003", "american express":
		return normalize.Amex, true
	case "004", "discover":
		return normalize.Discover, true
	case "005", "diners club", "006", "carte blanche":
		return normalize.Diners, true
	case "007", "jcb":
		return normalize.JCB, true
	case "024", "maestro uk domestic", "042", "maestro international":
		return normalize.Maestro, true
	case "034", "dankort":
		return normalize.Dankort, true
	case "036", "cartes bancaires":
		return normalize.CartesBancaires, true
	case "050", "hipercard":
		return normalize.Hipercard, true
	case "054", "elo":
		return normalize.Elo, true
	case "060", "mada":
		return normalize.Mada, true
	case "061", "rupay":
		return normalize.RuPay, true
	case "062", "china unionpay":
		return normalize.UnionPay, true
	}
	return normalize.BrandOther, false
}

// cardType writes a brand as the v2 API's three digits; "" where it has none,
// and then the provider finds it out from the number.
func cardType(b normalize.Brand) string {
	switch b {
	case normalize.Visa:
		return "001"
	case normalize.Mastercard:
		return "002"
	case normalize.Amex:
		return "003"
	case normalize.Discover:
		return "004"
	case normalize.Diners:
		return "005"
	case normalize.JCB:
		return "007"
	case normalize.Dankort:
		return "034"
	case normalize.CartesBancaires:
		return "036"
	case normalize.Maestro:
		return "042"
	case normalize.Hipercard:
		return "050"
	case normalize.Elo:
		return "054"
	case normalize.Mada:
		return "060"
	case normalize.RuPay:
		return "061"
	case normalize.UnionPay:
		return "062"
	default:
		return ""
	}
}
