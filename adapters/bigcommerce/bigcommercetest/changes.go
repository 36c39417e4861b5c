package bigcommercetest

import (
	"net/http"
	"strings"

	"github.com/polyvault/polyvault/adapters/standin"
)

const notFoundTitle = "Instrument not found"

// update is PUT /payments/stored-instruments. The address is replaced as a whole;
// make_default and is_default true move the default, false does nothing.
func (s *server) update(c call) {
	v, ok := decode(c.body)
	if !ok {
		writeError(c.w, http.StatusBadRequest, "Input is invalid", nil)
		return
	}
	members, ok := v.(map[string]any)
	if !ok {
		unprocessable(c.w, "obj", notObject)
		return
	}
	o := object{members: members, errs: map[string]string{}}
	token := o.text("token", true)
	var replacement address
	if a, ok := o.child("billing_address", false); ok {
		replacement = a.address()
	}
	o.shipping()
	makeDefault, isDefault := o.boolean("make_default"), o.boolean("is_default")
	if s.opts.RequireShipping && !o.has("trusted_shipping_addresses") {
		o.fail("trusted_shipping_addresses", missing)
	}
	if s.opts.RefuseMakeDefault && o.has("make_default") {
		o.fail("make_default", notAccepted)
	}
	if len(o.errs) > 0 {
		writeError(c.w, http.StatusUnprocessableEntity, notValid, o.errs)
		return
	}
	ins := s.find(token)
	if ins == nil {
		writeError(c.w, http.StatusNotFound, notFoundTitle, nil)
		return
	}
	if replacement != nil {
		ins.address = replacement
	}
	if (isDefault || makeDefault && !s.opts.DefaultByIsDefault) && !s.opts.IgnoreDefault {
		s.makeDefault(ins)
		standin.Changed(c.r, standin.Change{Instrument: ins.token, Default: true})
	}
	c.committed()
	row := s.managementRow(ins)
	if s.opts.TerseUpdate {
		delete(row, "token")
		delete(row, "customer_id")
		delete(row, "billing_address")
	}
	writeJSON(c.w, http.StatusOK, map[string]any{"data": row, "meta": map[string]any{}})
}

// deleteMany is DELETE /payments/stored-instruments?token:in=: from the store
// only. 204, or 404 with errors and counts, also if a part WAS deleted.
func (s *server) deleteMany(c call) {
	list := c.r.URL.Query().Get("token:in")
	if list == "" {
		unprocessable(c.w, "token:in", missing)
		return
	}
	tokens := strings.Split(list, ",")
	if len(tokens) > s.opts.MaxDelete {
		unprocessable(c.w, "token:in", "too many tokens")
		return
	}
	deleted := 0
	var failed []apiError
	for _, token := range tokens {
		ins := s.find(token)
		if ins == nil {
			failed = append(failed, newError(http.StatusNotFound, notFoundTitle, nil))
			if s.opts.StopDeleteAtError {
				break
			}
			continue
		}
		s.remove(c, ins)
		deleted++
	}
	if len(failed) == 0 {
		c.w.WriteHeader(http.StatusNoContent)
		return
	}
	if s.opts.BareDelete404 {
		for i := range failed {
			failed[i].Status = 0
		}
		writeJSON(c.w, http.StatusNotFound, map[string]any{"errors": s.batchErrors(failed)})
		return
	}
	writeJSON(c.w, http.StatusNotFound, map[string]any{
		"errors": s.batchErrors(failed),
		"meta":   map[string]int{"total": len(tokens), "success": deleted, "failed": len(tokens) - deleted},
	})
}

// deleteOne is DELETE /payments/stored-instruments/{token}: from the store and from the vault.
func (s *server) deleteOne(c call, token string) {
	ins := s.find(token)
	switch {
	case ins == nil:
		writeError(c.w, http.StatusNotFound, notFoundTitle, nil)
	case s.opts.RefuseVaultDelete:
		writeError(c.w, http.StatusUnprocessableEntity, "The instrument could not be removed from the vault", nil)
	default:
		s.remove(c, ins)
		c.w.WriteHeader(http.StatusNoContent)
	}
}

// remove deletes an instrument; no other becomes the default in its place.
func (s *server) remove(c call, ins *instrument) {
	ins.deleted, ins.isDef = s.opts.Now(), false
	c.committed()
}
