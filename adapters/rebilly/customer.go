package rebilly

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// CreateCustomer implements [adapters.CustomerCreator]. Rebilly lets us choose a
// customer's id: it is in.Key, so that the same key is the same customer. A PUT
// replaces the customer it finds, hence the read before it. Rebilly has no place
// for in.MerchantID that need not be declared first (customFields do), so it is
// not sent.
func (a *Adapter) CreateCustomer(ctx context.Context, in adapters.CustomerInput) (string, error) {
	const op = "create customer"
	errs := checkAddress(in.Address)
	if !validID(in.Key) {
		errs = append(errs, badID("/customer_id"))
	}
	if len(errs) > 0 {
		e := normalize.Invalid(errs...)
		e.Op = op
		return "", e
	}
	_, customer, err := a.readCustomer(ctx, op, in.Key)
	switch {
	case err == nil && validID(string(customer.ID)):
		return string(customer.ID), nil
	case err != nil && normalize.CodeOf(err) != normalize.NotFound:
		return "", beforeMutation(err)
	}
	body := map[string]any{}
	if in.Address != nil {
		body["primaryAddress"] = contact(*in.Address)
	}
	customer, err = a.putCustomer(ctx, op, in.Key, body)
	if err != nil {
		return "", err
	}
	if !validID(string(customer.ID)) {
		return in.Key, nil // it was put there
	}
	return string(customer.ID), nil
}

// SetDefault implements [adapters.DefaultSetter]. The default is a member of the
// customer, which can only be replaced as a whole and without a condition: a
// change that somebody else makes to the customer between our read and our write
// is lost.
func (a *Adapter) SetDefault(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	const op = "set default"
	id, err := instrumentID(op, ref)
	if err != nil {
		return adapters.Instrument{}, err
	}
	w, err := a.read(ctx, op, id)
	if err != nil {
		return adapters.Instrument{}, beforeMutation(err)
	}
	ins := w.instrument()
	if ins.Status == normalize.StatusDeactivated {
		return adapters.Instrument{}, &normalize.Error{
			Code: normalize.InvalidState, Outcome: normalize.NotSent, Op: op, Msg: "a deactivated instrument cannot become the default",
		}
	}
	return a.setDefaultMethod(ctx, op, ins, string(w.Method))
}

// setDefault makes an instrument that was stored a moment ago the default.
func (a *Adapter) setDefault(ctx context.Context, op string, ins adapters.Instrument) (adapters.Instrument, error) {
	method := methodCard
	switch ins.Type {
	case normalize.TypeBankAccount:
		method = methodACH
	case normalize.TypePayPal:
		method = methodPayPal
	case normalize.TypeCard, normalize.TypeOther:
	}
	return a.setDefaultMethod(ctx, op, ins, method)
}

// setDefaultMethod writes defaultPaymentInstrumentId, which Rebilly has since
// 2026-08. A server from before it ignores the member: then the object form of
// those days is written, once.
func (a *Adapter) setDefaultMethod(ctx context.Context, op string, ins adapters.Instrument, method string) (adapters.Instrument, error) {
	id := ins.References[refInstrument]
	if !validID(ins.Customer) {
		return adapters.Instrument{}, &normalize.Error{
			Code: normalize.ProviderBadResponse, Outcome: normalize.NotSent, Op: op, Msg: "the provider does not say whose instrument it is",
		}
	}
	forms := []func(map[string]any){
		func(c map[string]any) { c["defaultPaymentInstrumentId"] = id },
		func(c map[string]any) {
			c["defaultPaymentInstrument"] = map[string]any{"method": method, "paymentInstrumentId": id}
		},
	}
	for i, set := range forms {
		members, customer, err := a.readCustomer(ctx, op, ins.Customer)
		switch {
		case err != nil && i == 0:
			return adapters.Instrument{}, beforeMutation(err)
		case err != nil:
			return adapters.Instrument{}, err
		}
		if !customer.isDefault(id) {
			set(members)
			if customer, err = a.putCustomer(ctx, op, ins.Customer, members); err != nil {
				return adapters.Instrument{}, err
			}
		}
		if customer.isDefault(id) {
			ins.Default = true
			return ins, nil
		}
	}
	return adapters.Instrument{}, &normalize.Error{
		Code: normalize.ProviderBadResponse, Outcome: normalize.Unknown, Op: op, Msg: "the provider's answer does not show the new default",
	}
}

// writableCustomer lists the members of a customer that a PUT has to repeat, or
// they are lost [S26]. The rest is read-only; defaultPaymentInstrument is the
// member that is about to change.
func writableCustomer() []string {
	return []string{
		"websiteId", "preferredPayoutInstrumentId", "customFields", "primaryAddress", "locale", "taxNumbers", "personId", "notificationEmails",
	}
}

// writable keeps a customer's writable members that have a value: a member that
// is left out and one that is null mean the same in a PUT.
func writable(members map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range writableCustomer() {
		if value := members[name]; value != nil {
			out[name] = value
		}
	}
	if address, ok := out["primaryAddress"].(map[string]any); ok {
		address = maps.Clone(address)
		delete(address, "hash") // read-only
		maps.DeleteFunc(address, func(_ string, v any) bool { return v == nil })
		out["primaryAddress"] = address
	}
	return out
}

// readCustomer returns the customer's writable members and what we read of it.
func (a *Adapter) readCustomer(ctx context.Context, op, id string) (map[string]any, wireCustomer, error) {
	resp, err := a.send(ctx, rest.Request{Op: op, Method: http.MethodGet, Path: customerPath(id)})
	if err != nil {
		return nil, wireCustomer{}, err
	}
	return decodeCustomer(op, resp)
}

func (a *Adapter) putCustomer(ctx context.Context, op, id string, body map[string]any) (wireCustomer, error) {
	resp, err := a.send(ctx, rest.Request{Op: op, Method: http.MethodPut, Path: customerPath(id), Body: body})
	if err != nil {
		return wireCustomer{}, err
	}
	_, customer, err := decodeCustomer(op, resp)
	return customer, err
}

func decodeCustomer(op string, resp rest.Response) (map[string]any, wireCustomer, error) {
	var raw json.RawMessage
	var customer wireCustomer
	members := map[string]any{}
	if err := rest.Decode(op, resp, &raw); err != nil {
		return nil, wireCustomer{}, err
	}
	// Numbers stay as they were written: what is read here is sent back.
	if err := decodeNumbers(raw, &members); err != nil || rest.Unmarshal(raw, &customer) != nil {
		return nil, wireCustomer{}, rest.BadResponse(op, resp, "the provider's answer is not a customer", nil)
	}
	return writable(members), customer, nil
}

// withDefault finds out whether the instrument is its customer's default, by one
// more call if the customer did not come with it.
func (a *Adapter) withDefault(ctx context.Context, op string, w wireInstrument) (adapters.Instrument, error) {
	list, err := a.withDefaults(ctx, op, []wireInstrument{w})
	if err != nil {
		return adapters.Instrument{}, err
	}
	return list[0], nil
}

// knownDefault is withDefault after a change that has happened: it does not
// fail, and without an answer Default stays false.
func (a *Adapter) knownDefault(ctx context.Context, op string, w wireInstrument) adapters.Instrument {
	ins, err := a.withDefault(ctx, op, w)
	if err != nil {
		return w.instrument()
	}
	return ins
}

// withDefaults maps instruments, asking once for each customer that did not come
// with its instrument. A customer that is gone has no default.
func (a *Adapter) withDefaults(ctx context.Context, op string, list []wireInstrument) ([]adapters.Instrument, error) {
	asked := map[text]wireCustomer{}
	out := make([]adapters.Instrument, 0, len(list))
	for _, w := range list {
		ins := w.instrument()
		if !w.customer().Set && validID(string(w.CustomerID)) {
			customer, ok := asked[w.CustomerID]
			if !ok {
				var err error
				_, customer, err = a.readCustomer(ctx, op, string(w.CustomerID))
				if err != nil && !slices.Contains([]normalize.Code{normalize.NotFound, normalize.InstrumentDeleted}, normalize.CodeOf(err)) {
					return nil, err
				}
				asked[w.CustomerID] = customer
			}
			ins.Default = customer.isDefault(string(w.ID))
		}
		out = append(out, ins)
	}
	return out, nil
}
