package rebillytest

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/polyvault/polyvault/normalize"
)

var (
	basicText    = regexp.MustCompile(`^[\x{0000}-\x{FFFF}]+$`)
	countryCode  = regexp.MustCompile(`^[A-Z]{2}$`)
	postalCode   = regexp.MustCompile(`^[\w\s\-]+$`)
	onlyDigits   = regexp.MustCompile(`^[0-9]+$`)
	emailAddress = regexp.MustCompile(`^[^@\s]+@[^@\s]+\.[^@\s]+$`)
	birthDate    = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}$`)
)

// contactLimits are the texts of a ContactObject and their lengths in characters.
func contactLimits() map[string]int {
	return map[string]int{
		"firstName": 45, "lastName": 45, "organization": 255, "address": 60, "address2": 60, "city": 45, "region": 45, "jobTitle": 255,
	}
}

// checkContact validates a ContactObject under a path.
func checkContact(path string, v any) []violation {
	o, ok := v.(object)
	if !ok {
		return []violation{field(path, "Must be an object.")}
	}
	var out []violation
	bad := func(name, message string) { out = append(out, field(path+"."+name, message)) }
	for name, limit := range contactLimits() {
		value, present := o[name]
		if !present || value == nil {
			continue
		}
		s, ok := value.(string)
		switch {
		case !ok || !basicText.MatchString(s):
			bad(name, "Must be a non-empty text of characters up to U+FFFF.")
		case utf8.RuneCountInString(s) > limit:
			bad(name, "Must be at most "+strconv.Itoa(limit)+" characters.")
		}
	}
	for name, pattern := range map[string]*regexp.Regexp{"country": countryCode, "postalCode": postalCode, "dob": birthDate} {
		value, present := o[name]
		if !present || value == nil {
			continue
		}
		if s, ok := value.(string); !ok || !pattern.MatchString(s) || name == "postalCode" && len(s) > 10 {
			bad(name, "Has the wrong form.")
		}
	}
	out = append(out, checkLabelled(path+".emails", o, "emails", 255)...)
	out = append(out, checkLabelled(path+".phoneNumbers", o, "phoneNumbers", 50)...)
	slices.SortFunc(out, func(a, b violation) int { return strings.Compare(a.Field, b.Field) })
	return out
}

// checkLabelled validates emails or phoneNumbers: a list of objects, each with a label.
func checkLabelled(path string, o object, name string, limit int) []violation {
	value, present := o[name]
	if !present {
		return nil
	}
	list, ok := value.([]any)
	if !ok {
		return []violation{field(path, "Must be a list.")}
	}
	var out []violation
	for i, entry := range list {
		at := path + "." + strconv.Itoa(i)
		e, _ := entry.(object)
		label, labelled := text(e, "label")
		s, valued := text(e, "value")
		if !labelled || utf8.RuneCountInString(label) > 45 {
			out = append(out, field(at+".label", "Is required, and up to 45 characters."))
		}
		if !valued || utf8.RuneCountInString(s) > limit || name == "emails" && !emailAddress.MatchString(s) {
			out = append(out, field(at+".value", "Has the wrong form."))
		}
	}
	return out
}

// checkCustomFields refuses keys that are not declared.
func (p *provider) checkCustomFields(o object) []violation {
	value, present := o["customFields"]
	if !present {
		return nil
	}
	fields, ok := value.(object)
	if !ok {
		return []violation{field("customFields", "Must be an object.")}
	}
	var out []violation
	for k := range fields {
		if !slices.Contains(p.opts.CustomFields, k) {
			out = append(out, field("customFields."+k, "The custom field is not declared."))
		}
	}
	return out
}

// checkShared validates what every variant of a create and an update may have.
func (p *provider) checkShared(o object) []violation {
	var out []violation
	if address, present := o["billingAddress"]; present {
		out = append(out, checkContact("billingAddress", address)...)
	}
	if v, present := o["useAsBackup"]; present {
		if _, ok := v.(bool); !ok {
			out = append(out, field("useAsBackup", "Must be a boolean."))
		}
	}
	return append(out, p.checkCustomFields(o)...)
}

// checkExpiry validates expMonth and expYear where they are given. A past date is
// stored; the instrument is expired then.
func checkExpiry(o object) []violation {
	var out []violation
	if n, ok := whole(o, "expMonth"); has(o, "expMonth") && (!ok || n < 1 || n > 12) {
		out = append(out, field("expMonth", "Must be between 1 and 12."))
	}
	if n, ok := whole(o, "expYear"); has(o, "expYear") && (!ok || n < 2000 || n > 2099) {
		out = append(out, field("expYear", "Must be a four-digit year."))
	}
	return out
}

// number is what is kept of a card or account number.
type number struct {
	identity string // keyed hash; "" for methods without a number
	bin      string // cards
	last4    string
	print    string // Rebilly's fingerprint, which collides on purpose
	brand    string
}

// cardNumber validates and hashes pan.
func (p *provider) cardNumber(o object, path string) (number, []violation) {
	pan, ok := text(o, "pan")
	if !ok || !normalize.IsCardNumber(pan) {
		return number{}, []violation{field(path+"pan", "Must be a valid card number.")}
	}
	n := number{identity: p.hash("card", pan), bin: pan[:6], last4: pan[len(pan)-4:], brand: brandWord(normalize.BrandOf(pan))}
	n.print = p.hash("fingerprint", n.bin+n.last4)[:12]
	if cvv, present := o["cvv"]; present {
		if s, ok := cvv.(string); !ok || !onlyDigits.MatchString(s) || len(s) < 3 || len(s) > 4 {
			return n, []violation{field(path+"cvv", "Must be 3 or 4 digits.")}
		}
	}
	return n, nil
}

func brandWord(b normalize.Brand) string {
	switch b {
	case normalize.Mastercard:
		return "MasterCard"
	case normalize.Amex:
		return "American Express"
	case normalize.Discover:
		return "Discover"
	case normalize.Diners:
		return "Diners Club"
	case normalize.JCB:
		return "JCB"
	case normalize.Maestro:
		return "Maestro"
	case normalize.UnionPay:
		return "China UnionPay"
	default:
		return "Visa" // Rebilly's enumeration has no word for others
	}
}

// accountNumber validates and hashes a bank account, BBAN or IBAN.
func (p *provider) accountNumber(o object, path string) (number, []violation) {
	account, _ := text(o, "accountNumber")
	switch kind, _ := text(o, "accountNumberType"); kind {
	case "IBAN":
		if len(account) < 15 || len(account) > 34 {
			return number{}, []violation{field(path+"accountNumber", "Must be an IBAN.")}
		}
		last4 := account[len(account)-4:]
		return number{identity: p.hash("iban", account), last4: last4, print: account[:8] + last4}, nil
	case "BBAN":
		var out []violation
		if !onlyDigits.MatchString(account) || len(account) < 4 {
			out = append(out, field(path+"accountNumber", "Must be digits."))
		}
		routing, _ := text(o, "routingNumber")
		if !onlyDigits.MatchString(routing) {
			out = append(out, field(path+"routingNumber", "Must be digits."))
		}
		out = append(out, checkAccountType(o, path)...)
		if len(out) > 0 {
			return number{}, out
		}
		last4 := account[len(account)-4:]
		return number{identity: p.hash("bban", routing+"\x00"+account), last4: last4, print: last4 + routing}, nil
	}
	return number{}, []violation{field(path+"accountNumberType", "Must be BBAN or IBAN.")}
}

func checkAccountType(o object, path string) []violation {
	if t, _ := text(o, "accountType"); !slices.Contains([]string{"checking", "savings", "other"}, t) {
		return []violation{field(path+"accountType", "Must be checking, savings or other.")}
	}
	return nil
}

// pastExpiry reports whether a card's expiry month is over.
func pastExpiry(month, year int, now time.Time) bool {
	return month != 0 && !now.Before(time.Date(year, time.Month(month)+1, 1, 0, 0, 0, 0, time.UTC))
}
