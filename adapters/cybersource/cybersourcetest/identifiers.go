package cybersourcetest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// identifier is an instrument identifier, deleted ones included. It holds a mask
// of its number, never the number.
type identifier struct {
	id      string
	bank    bool
	mask    string
	routing string // bank accounts
	hash    string // keyed, of the number
	doc     object // what clients wrote, numbers aside
	tag     string
	deleted bool
}

func (i *identifier) href() string { return "/tms/v1/instrumentidentifiers/" + i.id }

func (i *identifier) last4() string {
	_, trail := normalize.ParseMask(i.mask)
	return trail
}

func (v *vault) findIdentifier(r *http.Request) (*identifier, answer) {
	i := v.identifiers[strings.ToUpper(r.PathValue("identifier"))]
	switch {
	case i == nil:
		return nil, notFound()
	case i.deleted:
		return nil, gone()
	}
	return i, answer{}
}

func (v *vault) renderIdentifier(i *identifier) object {
	out := merge(i.doc, object{
		"_links": object{"self": href(i.href()), "paymentInstruments": href(i.href() + "/paymentinstruments")},
		"id":     i.id, "object": "instrumentIdentifier", "state": "ACTIVE",
		"metadata": object{"creator": v.opts.MerchantID},
	})
	if i.bank {
		out["bankAccount"] = object{"number": i.mask, "routingNumber": i.routing}
	} else {
		out["card"] = object{"number": i.mask}
	}
	return out
}

// number is a card or account number on its way to its hash and mask.
type number struct {
	bank          bool
	hashed        string // what is hashed: all that makes it the same number
	mask, routing string
}

func cardNumber(pan string) number {
	return number{hashed: "card:" + pan, mask: pan[:6] + strings.Repeat("X", len(pan)-10) + pan[len(pan)-4:]}
}

// accountNumber never shows a whole number: at least one digit is masked.
func accountNumber(routing, account string) number {
	shown := min(4, len(account)-1)
	return number{
		bank: true, hashed: "bank:" + routing + ":" + account, routing: routing,
		mask: strings.Repeat("X", len(account)-shown) + account[len(account)-shown:],
	}
}

// identify returns the identifier of a number, and whether it is new.
func (v *vault) identify(n number, doc object) (i *identifier, isNew bool) {
	mac := hmac.New(sha256.New, v.hashKey)
	mac.Write([]byte(n.hashed))
	hash := hex.EncodeToString(mac.Sum(nil))
	if i := v.identifiers[v.byHash[hash]]; i != nil {
		return i, false
	}
	i = &identifier{id: identifierID(n), bank: n.bank, mask: n.mask, routing: n.routing, hash: hash, doc: doc, tag: newTag()}
	v.identifiers[i.id], v.byHash[hash] = i, i.id
	return i, true
}

// identifierID makes an id of the format 19_DIGIT_LAST_4 for cards, of 32
// hexadecimal digits for accounts.
func identifierID(n number) string {
	if n.bank {
		return randomHex(16)
	}
	r, err := rand.Int(rand.Reader, big.NewInt(1e12))
	if err != nil { // the system's source of randomness never fails
		return randomHex(16)
	}
	return fmt.Sprintf("701%012d%s", r, n.mask[len(n.mask)-4:])
}

func (v *vault) postIdentifier(c call) answer {
	doc, ok := c.parse()
	if !ok {
		return badBody()
	}
	if a, ok := v.clean(identifierSchema(), doc); !ok {
		return a
	}
	n, a, ok := v.readNumber(merge(nil, doc))
	if !ok {
		return a
	}
	for _, name := range []string{"card", "bankAccount", "billTo", "pointOfSaleInformation"} { // write-only
		delete(doc, name)
	}
	i, isNew := v.identify(n, merge(nil, doc))
	out := answer{status: http.StatusOK, body: v.renderIdentifier(i), header: map[string]string{
		"ETag": i.tag, "Instrumentidentifier-Created": fmt.Sprint(isNew),
	}}
	if isNew {
		out.status, out.committed = http.StatusCreated, true
		out.header["Location"] = i.href()
	}
	return out
}

func (v *vault) readNumber(doc object) (number, answer, bool) {
	pan, account, routing := stringAt(doc, "card", "number"), stringAt(doc, "bankAccount", "number"), stringAt(doc, "bankAccount", "routingNumber")
	refuse := func(kind, message string, details ...object) (number, answer, bool) {
		return number{}, fail(http.StatusBadRequest, kind, message, details...), false
	}
	switch {
	case has(doc, "card") && has(doc, "bankAccount"):
		return refuse("invalidCombination", "Invalid combination of fields")
	case has(doc, "bankAccount") && account == "":
		return refuse("missingFields", "Missing fields", field("number", "bankAccount"))
	case has(doc, "bankAccount") && routing == "":
		return refuse("missingFields", "Missing fields", field("routingNumber", "bankAccount"))
	case has(doc, "bankAccount"):
		return accountNumber(routing, account), answer{}, true
	case pan == "":
		return refuse("missingFields", "Missing fields", field("number", "card"))
	case !v.opts.AcceptBadLuhn && !normalize.Luhn(pan):
		return refuse("invalidFields", "Invalid field values", field("number", "card"))
	}
	return cardNumber(pan), answer{}, true
}

func (v *vault) getIdentifier(c call) answer {
	i, a := v.findIdentifier(c.r)
	if i == nil {
		return a
	}
	return answer{status: http.StatusOK, body: v.renderIdentifier(i), header: map[string]string{"ETag": i.tag}}
}

// patchIdentifier changes anything but the number, which is what it identifies.
func (v *vault) patchIdentifier(c call) answer {
	i, a := v.findIdentifier(c.r)
	if i == nil {
		return a
	}
	patch, ok := c.parse()
	if !ok {
		return badBody()
	}
	if a, ok := v.clean(identifierSchema(), patch); !ok {
		return a
	}
	for _, name := range []string{"card", "bankAccount"} {
		if has(patch, name) && at(patch, name, "number") != nil {
			return fail(http.StatusBadRequest, "unsupportedFields", "Unsupported fields", field("number", name))
		}
	}
	if !tagMatches(c.r.Header.Get("If-Match"), i.tag) {
		return mismatch()
	}
	for _, name := range []string{"card", "bankAccount", "billTo", "pointOfSaleInformation"} {
		delete(patch, name)
	}
	i.doc, i.tag = merge(i.doc, patch), newTag()
	return answer{status: http.StatusOK, body: v.renderIdentifier(i), header: map[string]string{"ETag": i.tag}, committed: true}
}

func (v *vault) deleteIdentifier(c call) answer {
	i, a := v.findIdentifier(c.r)
	if i == nil {
		return a
	}
	if v.stands(i.id) {
		out := fail(http.StatusConflict, "instrumentIdentifierDeletionError",
			"Action cannot be performed. The Instrument Identifier is associated with one or more Payment Instruments.")
		out.body = merge(out.body.(object), object{ //nolint:errcheck // fail makes an object
			"_links": object{"paymentInstruments": []object{href(i.href() + "/paymentinstruments")}},
		})
		return out
	}
	v.removeIdentifier(i)
	return answer{status: http.StatusNoContent, committed: true}
}

// stands reports whether a payment instrument stands upon the identifier.
func (v *vault) stands(id string) bool {
	return len(v.selectInstruments(func(p *instrument) bool { return p.identifier == id })) > 0
}

// pruneIdentifier removes an identifier that nothing stands upon.
func (v *vault) pruneIdentifier(id string) {
	if i := v.identifiers[id]; i != nil && !i.deleted && !v.stands(id) {
		v.removeIdentifier(i)
	}
}

func (v *vault) removeIdentifier(i *identifier) {
	i.deleted = true
	delete(v.byHash, i.hash) // the next time the number gets another id
}
