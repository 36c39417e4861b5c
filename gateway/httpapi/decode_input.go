package httpapi

import (
	"slices"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/normalize"
)

// maxItems is how many items a bulk request may have.
const maxItems = 100

// create reads the members of a create request; the caller ends the object.
func (d *decoder) create(o *object) normalize.CreateInput {
	in := normalize.CreateInput{
		CustomerID: o.text("customer_id"), BillingAddress: d.address(o), Metadata: o.texts("metadata"),
		Currency: o.text("currency"), Country: o.text("country"), Provider: o.text("provider"),
	}
	in.Sources = d.sources(o)
	if v := o.boolean("default"); v != nil {
		in.Default = *v
	}
	return in
}

func (d *decoder) address(o *object) *normalize.Address {
	n := o.take("billing_address")
	if n == nil {
		return nil
	}
	inner := d.object(n, o.at("billing_address"))
	patch := normalize.AddressPatch{}
	for _, name := range normalize.AddressMembers() {
		if inner.take(name) != nil {
			v := inner.text(name)
			patch[name] = &v
		}
	}
	inner.end()
	address := patch.Apply(normalize.Address{})
	return &address
}

func decodeCreate(n *node, now time.Time) (normalize.CreateInput, error) {
	var d decoder
	o := d.object(n, "")
	in := d.create(o)
	o.end()
	return in, d.err(func() []normalize.FieldError { return in.Validate(now) })
}

// decodeUpdate reads a merge patch (RFC 7396): a member that is not there stays, null removes.
func decodeUpdate(n *node, now time.Time) (normalize.UpdateInput, error) {
	var d decoder
	var in normalize.UpdateInput
	o := d.object(n, "")
	if n := o.take("billing_address"); n != nil {
		if in.ClearBillingAddress = n.kind == 'n'; !in.ClearBillingAddress {
			in.BillingAddress = d.addressPatch(n, o.at("billing_address"))
		}
	}
	if n := o.take("card"); n != nil {
		card := d.object(n, o.at("card"))
		in.ExpMonth, in.ExpYear = card.optionalNumber("exp_month"), card.optionalNumber("exp_year")
		card.readOnly("brand", "bin", "last4", "issuer_country", "issuer_name")
		card.end()
	}
	in.Default = o.boolean("default")
	if n := o.take("metadata"); n != nil {
		if in.ClearMetadata = n.kind == 'n'; !in.ClearMetadata {
			in.Metadata = d.textPatch(d.object(n, o.at("metadata")))
		}
	}
	if n := o.take("source"); n != nil {
		src := d.source(n, o.at("source"))
		in.Source = &src
	}
	o.readOnly("object", "id", "customer_id", "type", "status", "bank_account", "paypal", "fingerprint",
		"fingerprint_origin", "provider_tokens", "created_at", "updated_at")
	o.end()
	return in, d.err(func() []normalize.FieldError { return in.Validate(now) })
}

func (d *decoder) addressPatch(n *node, pointer string) normalize.AddressPatch {
	o := d.object(n, pointer)
	patch := d.textPatch(o)
	for _, m := range o.members {
		if slices.Contains(normalize.AddressMembers(), m.name) {
			o.take(m.name)
		}
	}
	o.end()
	return patch
}

// textPatch reads members that are strings, or null to be removed.
func (d *decoder) textPatch(o *object) map[string]*string {
	out := make(map[string]*string, len(o.members))
	for _, m := range o.members {
		if m.value.kind == 'n' {
			out[m.name] = nil
			continue
		}
		v := d.text(m.value, o.at(m.name))
		out[m.name] = &v
	}
	return out
}

func decodeCustomer(n *node, id string) (normalize.CustomerInput, error) {
	var d decoder
	o := d.object(n, "")
	in := normalize.CustomerInput{ID: id, ProviderReferences: o.texts("provider_references")}
	if o.take("provider_references") == nil {
		d.add(n, "/provider_references", normalize.MissingField, "is required")
	}
	o.readOnly("object", "id", "default_instrument", "created_at", "updated_at")
	o.end()
	return in, d.err(in.Validate)
}

func decodeMirror(n *node, now time.Time) (normalize.MirrorInput, error) {
	var d decoder
	o := d.object(n, "")
	in := normalize.MirrorInput{Sources: d.sources(o), Provider: o.text("provider")}
	o.end()
	return in, d.err(func() []normalize.FieldError { return in.Validate(now) })
}

func (d *decoder) sources(o *object) []normalize.Source {
	var out []normalize.Source
	for i, n := range o.list("sources") {
		// A source that cannot be read keeps its place, so that the others' pointers stay right.
		out = append(out, d.source(n, o.at("sources")+"/"+strconv.Itoa(i)))
	}
	return out
}

// items reads the array that a bulk request consists of.
func (d *decoder) items(n *node, o *object, name string) []*node {
	items := o.list(name)
	switch {
	case o.take(name) == nil:
		d.add(n, o.at(name), normalize.MissingField, "is required")
	case o.take(name).kind != '[': // reported
	case len(items) == 0 || len(items) > maxItems:
		d.add(n, o.at(name), normalize.OutOfRange, "must have 1 to 100 elements")
	}
	return items
}

// decodeImport reads an import. What is wrong with an item is that item's own
// failure, with pointers relative to it.
func decodeImport(n *node, now time.Time) ([]gateway.ImportItem, error) {
	var d decoder
	o := d.object(n, "")
	nodes := d.items(n, o, "items")
	o.end()
	if err := d.err(nil); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	out := make([]gateway.ImportItem, 0, len(nodes))
	for _, n := range nodes {
		out = append(out, decodeItem(n, seen, now))
	}
	return out, nil
}

func decodeItem(n *node, seen map[string]bool, now time.Time) gateway.ImportItem {
	const pointer = "/idempotency_key"
	var d decoder
	o := d.object(n, "")
	in := d.create(o)
	raw := o.text("idempotency_key")
	key, ok := parseIdempotencyKey(raw)
	switch keyNode := o.take("idempotency_key"); {
	case keyNode == nil && n.kind == '{':
		d.add(n, pointer, normalize.IdempotencyKeyMissing, "is required")
	case keyNode == nil || keyNode.kind != '"': // reported
	case !ok:
		d.add(keyNode, pointer, normalize.IdempotencyKeyInvalid, "must be 1 to 255 visible ASCII characters")
	case seen[key]:
		d.add(keyNode, pointer, normalize.IdempotencyKeyReused, "is the key of an item before this one")
	default:
		seen[key] = true
	}
	o.end()
	return gateway.ImportItem{Key: key, Input: in, Fields: d.fields(func() []normalize.FieldError { return in.Validate(now) })}
}

// decodeBulkDelete reads the ids and the scope; what is no id is answered like one that does not exist.
func decodeBulkDelete(n *node) (ids []string, scope gateway.DeleteScope, err error) {
	var d decoder
	o := d.object(n, "")
	for i, item := range d.items(n, o, "ids") {
		ids = append(ids, d.text(item, "/ids/"+strconv.Itoa(i)))
	}
	scope = gateway.DeleteScope(o.text("scope"))
	switch n := o.take("scope"); {
	case n == nil:
		scope = gateway.ScopeProvider
	case n.kind != '"': // reported
	case scope != gateway.ScopeProvider && scope != gateway.ScopeVault && scope != gateway.ScopeGateway:
		d.add(n, "/scope", normalize.InvalidField, "must be provider, vault or gateway")
	}
	o.end()
	return ids, scope, d.err(nil)
}
