package cybersourcetest

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// member is what a member may hold. The zero value takes a string of any length.
type member struct {
	min, max int // characters; 0 for no bound
	pattern  *regexp.Regexp
	kind     kind
}

type kind int

const (
	isText   kind = iota
	isBool        // also "true" and "false", which the official examples send
	isAny         // arrays and what the stand-in does not look into
	readOnly      // dropped when sent, since clients send back what they read
)

// schema holds a resource's members by their dotted path.
type schema map[string]member

var (
	monthPattern   = regexp.MustCompile(`^(0[1-9]|1[0-2])$`)
	yearPattern    = regexp.MustCompile(`^[0-9]{4}$`)
	typePattern    = regexp.MustCompile(`^[0-9]{3}$`) // v2 speaks codes
	digitsPattern  = regexp.MustCompile(`^[0-9]+$`)
	countryPattern = regexp.MustCompile(`^[A-Z]{2}$`)
	datePattern    = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)
)

func billTo() schema {
	return schema{
		"billTo.firstName": {max: 60}, "billTo.lastName": {max: 60}, "billTo.company": {max: 60},
		"billTo.address1": {max: 60}, "billTo.address2": {max: 60}, "billTo.locality": {max: 50},
		"billTo.administrativeArea": {max: 20}, "billTo.postalCode": {max: 10}, "billTo.country": {pattern: countryPattern},
		"billTo.email": {max: 255}, "billTo.phoneNumber": {max: 15},
	}
}

func shared() schema {
	return schema{
		"_links": {kind: readOnly}, "id": {kind: readOnly}, "object": {kind: readOnly}, "state": {kind: readOnly},
		"metadata": {kind: readOnly}, "_embedded": {kind: readOnly},
	}
}

func instrumentSchema() schema {
	return join(shared(), billTo(), schema{
		"type": {kind: readOnly}, "card.hash": {kind: readOnly}, "default": {kind: isBool},
		"bankAccount.type": {max: 18}, "card.expirationMonth": {pattern: monthPattern}, "card.expirationYear": {pattern: yearPattern},
		"card.type": {pattern: typePattern}, "card.issueNumber": {max: 2}, "card.startMonth": {pattern: monthPattern},
		"card.startYear": {pattern: yearPattern}, "card.useAs": {}, "card.tokenizedInformation.requestorID": {max: 11},
		"card.tokenizedInformation.transactionType": {max: 1}, "buyerInformation.companyTaxID": {max: 9},
		"buyerInformation.currency": {max: 3}, "buyerInformation.dateOfBirth": {pattern: datePattern},
		"buyerInformation.personalIdentification":              {kind: isAny},
		"processingInformation.billPaymentProgramEnabled":      {kind: isBool},
		"processingInformation.bankTransferOptions.SECCode":    {max: 3},
		"merchantInformation.merchantDescriptor.alternateName": {max: 13},
		"instrumentIdentifier.id":                              {min: 12, max: 32},
	})
}

func customerSchema() schema {
	return join(shared(), schema{
		"objectInformation.title": {max: 60}, "objectInformation.comment": {max: 150},
		"buyerInformation.merchantCustomerID": {max: 100}, "buyerInformation.email": {max: 255},
		"clientReferenceInformation.code": {max: 50}, "merchantDefinedInformation": {kind: isAny},
		"defaultPaymentInstrument.id": {min: 1, max: 32}, "defaultShippingAddress.id": {min: 1, max: 32},
	})
}

func identifierSchema() schema {
	const mit = "processingInformation.authorizationOptions.initiator.merchantInitiatedTransaction."
	return join(shared(), billTo(), schema{
		"type": {}, "source": {}, "tokenProvisioningInformation.consumerConsentObtained": {kind: isBool},
		"tokenProvisioningInformation.multiFactorAuthenticated": {kind: isBool},
		"card.number":          {min: 12, max: 19, pattern: digitsPattern},
		"card.expirationMonth": {pattern: monthPattern}, "card.expirationYear": {pattern: yearPattern},
		"card.securityCode": {min: 3, max: 4, pattern: digitsPattern}, "pointOfSaleInformation.emvTags": {kind: isAny},
		"bankAccount.number": {min: 1, max: 17, pattern: digitsPattern}, "bankAccount.routingNumber": {min: 1, max: 9, pattern: digitsPattern},
		"tokenizedCard": {kind: isAny}, "issuer": {kind: readOnly},
		mit + "previousTransactionId": {max: 15}, mit + "originalAuthorizedAmount": {max: 15},
	})
}

func join(parts ...schema) schema {
	out := schema{}
	for _, p := range parts {
		maps.Copy(out, p)
	}
	return out
}

// hasBelow reports whether path is an object of the schema.
func (s schema) hasBelow(path string) bool {
	for p := range s {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}

// violation is one member that is refused.
type violation struct{ kind, name, location string }

// clean checks o and removes what is read-only or ignored from it. Null members
// pass: in a merge patch they remove.
func (v *vault) clean(s schema, o object) (answer, bool) {
	found := v.walk(s, "", o)
	if len(found) == 0 {
		return answer{}, true
	}
	kind := found[0].kind
	var details []object
	for _, f := range found {
		if f.kind == kind {
			details = append(details, field(f.name, f.location))
		}
	}
	message := "Invalid field values"
	if kind == "unknownField" {
		message = "Unknown field"
	}
	return fail(http.StatusBadRequest, kind, message, details...), false
}

func (v *vault) walk(s schema, prefix string, o object) []violation {
	var found []violation
	location := strings.TrimSuffix(prefix, ".")
	if i := strings.LastIndexByte(location, '.'); i >= 0 {
		location = location[i+1:]
	}
	for _, name := range slices.Sorted(maps.Keys(o)) {
		path, value := prefix+name, o[name]
		m, known := s[path]
		child, isObject := value.(object)
		switch {
		case known && m.kind == readOnly:
			delete(o, name)
		case value == nil && (known || s.hasBelow(path)):
		case known && !m.accepts(value):
			found = append(found, violation{"invalidFields", name, location})
		case known:
		case s.hasBelow(path) && isObject:
			found = append(found, v.walk(s, path+".", child)...)
		case s.hasBelow(path):
			found = append(found, violation{"invalidFields", name, location})
		case v.opts.IgnoreUnknownFields:
			delete(o, name)
		default:
			found = append(found, violation{"unknownField", name, location})
		}
	}
	return found
}

func (m member) accepts(value any) bool {
	switch m.kind {
	case isBool:
		_, ok := boolean(value)
		return ok
	case isText:
		s, ok := value.(string)
		n := utf8.RuneCountInString(s)
		return ok && n >= m.min && (m.max == 0 || n <= m.max) && (m.pattern == nil || m.pattern.MatchString(s))
	default:
		return true
	}
}

// boolean reads true, false, and their spellings as strings.
func boolean(value any) (b, ok bool) {
	switch value {
	case true, "true":
		return true, true
	case false, "false":
		return false, true
	}
	return false, false
}
