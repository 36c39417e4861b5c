package normalize

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Brand is a card scheme, in lower case with underscores.
type Brand string

// The brands. A scheme that is none of them is BrandOther.
const (
	Visa            Brand = "visa"
	Mastercard      Brand = "mastercard"
	Amex            Brand = "amex"
	Discover        Brand = "discover"
	Diners          Brand = "diners"
	JCB             Brand = "jcb"
	Maestro         Brand = "maestro"
	UnionPay        Brand = "unionpay"
	Elo             Brand = "elo"
	Mada            Brand = "mada"
	RuPay           Brand = "rupay"
	CartesBancaires Brand = "cartes_bancaires"
	Dankort         Brand = "dankort"
	Hipercard       Brand = "hipercard"
	BrandOther      Brand = "other"
)

// Brands returns every brand.
func Brands() []Brand {
	return []Brand{
		Visa, Mastercard, Amex, Discover, Diners, JCB, Maestro, UnionPay, Elo, Mada, RuPay,
		CartesBancaires, Dankort, Hipercard, BrandOther,
	}
}

// iinRange is an inclusive range of leading digits, all of one length.
type iinRange struct {
	low, high string
	brand     Brand
}

// iinRanges is ordered: the first that matches wins, so the narrow local schemes
// stand before the wide international ones that share their prefixes.
// Source: ISO/IEC 7812 ranges as the schemes publish them.
func iinRanges() []iinRange {
	return []iinRange{
		{"4571", "4571", Dankort},
		{"5019", "5019", Dankort},
		{"401178", "401179", Elo},
		{"431274", "431274", Elo},
		{"438935", "438935", Elo},
		{"451416", "451416", Elo},
		{"457393", "457393", Elo},
		{"457631", "457632", Elo},
		{"504175", "504175", Elo},
		{"506699", "506778", Elo},
		{"509000", "509999", Elo},
		{"627780", "627780", Elo},
		{"636297", "636297", Elo},
		{"636368", "636368", Elo},
		{"650031", "650051", Elo},
		{"650405", "650439", Elo},
		{"650485", "650538", Elo},
		{"655000", "655019", Elo},
		{"606282", "606282", Hipercard},
		{"384100", "384100", Hipercard},
		{"384140", "384140", Hipercard},
		{"384160", "384160", Hipercard},
		{"440647", "440647", Mada},
		{"440795", "440795", Mada},
		{"446404", "446404", Mada},
		{"588845", "588851", Mada},
		{"604906", "604906", Mada},
		{"968201", "968211", Mada},
		{"5081", "5083", RuPay},
		{"6069", "6069", RuPay},
		{"6070", "6079", RuPay},
		{"6521", "6522", RuPay},
		{"34", "34", Amex},
		{"37", "37", Amex},
		{"300", "305", Diners},
		{"309", "309", Diners},
		{"36", "36", Diners},
		{"38", "39", Diners},
		{"3528", "3589", JCB},
		{"6011", "6011", Discover},
		{"644", "649", Discover},
		{"65", "65", Discover},
		{"622126", "622925", UnionPay},
		{"62", "62", UnionPay},
		{"81", "81", UnionPay},
		{"2221", "2720", Mastercard},
		{"51", "55", Mastercard},
		{"50", "50", Maestro},
		{"56", "58", Maestro},
		{"60", "61", Maestro},
		{"63", "64", Maestro},
		{"66", "69", Maestro},
		{"4", "4", Visa},
	}
}

// BrandOf returns the brand that a card number's leading digits stand for. It
// takes a whole number or a BIN of at least one digit; BrandOther if no range matches.
func BrandOf(digits string) Brand {
	for _, r := range iinRanges() {
		if n := len(r.low); len(digits) >= n && digits[:n] >= r.low && digits[:n] <= r.high {
			return r.brand
		}
	}
	return BrandOther
}

// Luhn reports whether digits, all of them ASCII digits, carry a valid check digit (ISO/IEC 7812-1).
func Luhn(digits string) bool {
	if digits == "" {
		return false
	}
	sum, double := 0, false
	for i := len(digits) - 1; i >= 0; i-- {
		d := int(digits[i] - '0')
		if d < 0 || d > 9 {
			return false
		}
		if double {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum, double = sum+d, !double
	}
	return sum%10 == 0
}

// IsCardNumber reports whether s is 12 to 19 ASCII digits with a valid check digit.
func IsCardNumber(s string) bool {
	return len(s) >= 12 && len(s) <= 19 && isDigits(s) && Luhn(s)
}

// ContainsCardNumber reports whether a card number stands anywhere in s, also
// with spaces, dashes, dots or invisible characters between its digits, or in the
// digits of another script. It is used to refuse numbers in fields that are not made for them, so it looks for
// groups of digits that together make 13 to 19 with a valid check digit and the
// leading digits of a scheme. A number inside a longer run of digits does not
// count, or every timestamp and order id would be suspect.
func ContainsCardNumber(s string) bool {
	if !hasDigits(s, 13) {
		return false // most texts, at no cost
	}
	var groups []string // digit groups that stand next to each other
	var group []byte
	gap := 0
	endGroup := func() {
		if len(group) > 0 {
			groups, group = append(groups, string(group)), nil
		}
	}
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			group, gap = append(group, byte(r)), 0
		case r >= 0x80 && unicode.IsDigit(r):
			group, gap = append(group, '0'+digitValue(r)), 0
		case r >= 0x80 && unicode.Is(unicode.Cf, r): // nobody sees it: the digits stand next to each other
		case separator(r) && gap < 2:
			endGroup()
			gap++
		default:
			endGroup()
			if groupsHoldCardNumber(groups) {
				return true
			}
			groups = groups[:0]
		}
	}
	endGroup()
	return groupsHoldCardNumber(groups)
}

// separator reports whether people write r between the groups of a number.
func separator(r rune) bool {
	switch r {
	case ' ', '-', '.', '_':
		return true
	default:
		return r >= 0x80 && (unicode.Is(unicode.Zs, r) || unicode.Is(unicode.Pd, r))
	}
}

// digitValue is what a decimal digit of any script stands for. Unicode keeps the ten of
// each script together and in order, so that the blocks' lengths are multiples of ten.
func digitValue(r rune) byte {
	for _, block := range unicode.Nd.R16 {
		if r >= rune(block.Lo) && r <= rune(block.Hi) {
			return byte((r - rune(block.Lo)) % 10) //nolint:gosec // below 10
		}
	}
	for _, block := range unicode.Nd.R32 {
		if r >= rune(block.Lo) && r <= rune(block.Hi) { //nolint:gosec // a rune
			return byte((r - rune(block.Lo)) % 10) //nolint:gosec // a rune
		}
	}
	return 0
}

// hasDigits reports whether s may hold n digits or more. What is not ASCII counts as one.
func hasDigits(s string, n int) bool {
	for i := 0; i < len(s) && n > 0; i++ {
		if c := s[i]; c >= '0' && c <= '9' || c >= 0x80 {
			n--
		}
	}
	return n <= 0
}

// IsWrittenCardNumber reports whether s is a card number and nothing else, with or
// without spaces, dashes or dots: for ids that other programs made, in which a run of
// digits is chance.
func IsWrittenCardNumber(s string) bool {
	digits := make([]byte, 0, 19)
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			if digits = append(digits, c); len(digits) > 19 {
				return false
			}
		case !strings.ContainsRune(" -._", rune(c)):
			return false
		}
	}
	return len(digits) >= 13 && BrandOf(string(digits)) != BrandOther && Luhn(string(digits))
}

// groupsHoldCardNumber tries every run of neighbouring groups.
func groupsHoldCardNumber(groups []string) bool {
	for i := range groups {
		var run []byte
		for _, g := range groups[i:] {
			if run = append(run, g...); len(run) > 19 {
				break
			}
			if s := string(run); len(s) >= 13 && BrandOf(s) != BrandOther && Luhn(s) {
				return true
			}
		}
	}
	return false
}

// BINOf returns a card number's first 6 digits; "" if it is shorter than 12.
func BINOf(number string) string {
	if len(number) < 12 {
		return ""
	}
	return number[:6]
}

// Last4Of returns the last 4 characters; "" if there are fewer.
func Last4Of(number string) string {
	if len(number) < 4 {
		return ""
	}
	return number[len(number)-4:]
}

// Expired reports whether a card with this expiry (month 1–12, four-digit year)
// can no longer be used at now. A card is good to the end of its expiry month,
// everywhere on earth: 12 hours are added to UTC's month end.
// A zero month or year means that the expiry is not known: never expired.
func Expired(month, year int, now time.Time) bool {
	if month < 1 || month > 12 || year == 0 {
		return false
	}
	end := time.Date(year, time.Month(month)+1, 1, 12, 0, 0, 0, time.UTC)
	return !now.UTC().Before(end)
}

// FullYear turns a two-digit year into this century's; 0 stays 0 (unknown).
func FullYear(y int) int {
	if y > 0 && y < 100 {
		return 2000 + y
	}
	return y
}

// ParseMask splits a masked number such as "411111XXXXXX1111" into its leading
// and trailing digits; both "" if s is not a mask. Masks of unexpected length are accepted.
func ParseMask(s string) (lead, trail string) {
	i := strings.IndexFunc(s, notDigit)
	j := strings.LastIndexFunc(s, notDigit)
	if i < 0 {
		return "", ""
	}
	_, width := utf8.DecodeRuneInString(s[j:]) // a bullet has three bytes
	if strings.Trim(s[i:j+width], "Xx*•") != "" {
		return "", ""
	}
	return s[:i], s[j+width:]
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

func isDigits(s string) bool {
	return s != "" && strings.IndexFunc(s, notDigit) < 0
}

// ValidRoutingNumber reports whether s is a US ABA routing number: 9 digits with
// a valid checksum (3, 7, 1 weights).
func ValidRoutingNumber(s string) bool {
	if len(s) != 9 || !isDigits(s) {
		return false
	}
	sum := 0
	for i, w := range []int{3, 7, 1, 3, 7, 1, 3, 7, 1} {
		sum += w * int(s[i]-'0')
	}
	return sum%10 == 0 && s != "000000000"
}

// ValidIBAN reports whether s, without spaces and in upper case, is an IBAN with
// a valid check number (ISO 13616, mod 97).
func ValidIBAN(s string) bool {
	if len(s) < 15 || len(s) > 34 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'A' && c <= 'Z'
		digit := c >= '0' && c <= '9'
		if !letter && !digit || i < 2 && !letter || (i == 2 || i == 3) && !digit {
			return false
		}
	}
	rem := 0
	for _, c := range s[4:] + s[:4] {
		n := strconv.Itoa(int(c - '0'))
		if c >= 'A' {
			n = strconv.Itoa(int(c-'A') + 10)
		}
		for _, d := range n {
			rem = (rem*10 + int(d-'0')) % 97
		}
	}
	return rem == 1
}
