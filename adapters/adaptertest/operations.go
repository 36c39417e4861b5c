package adaptertest

import (
	"context"
	"net/http"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// operation is one way to call the adapter, for the checks that hold for all of them.
type operation struct {
	name    string
	unbound bool                     // takes no reference to an instrument
	mutates bool                     // changes something
	removes bool                     // "gone already" is a success
	fails   func(*http.Request) bool // the requests of it that may be answered badly
	call    func(ctx context.Context, ref normalize.References) error
}

// operations returns what the adapter can do. The create uses one source again
// and again, for checks in which it is never stored.
func (b *bench) operations() []operation {
	b.tb.Helper()
	ops := []operation{{name: "get", fails: anyRequest, call: func(ctx context.Context, ref normalize.References) error {
		_, err := b.adapter.Get(ctx, ref)
		return err
	}}}
	if u, ok := b.adapter.(adapters.Updater); ok {
		in := b.possibleUpdate(u)
		ops = append(ops, operation{name: "update", mutates: true, fails: isMutation, call: func(ctx context.Context, ref normalize.References) error {
			_, err := u.Update(ctx, ref, in)
			return err
		}})
	}
	if d, ok := b.adapter.(adapters.DefaultSetter); ok {
		ops = append(ops, operation{name: "set_default", mutates: true, fails: isMutation, call: func(ctx context.Context, ref normalize.References) error {
			_, err := d.SetDefault(ctx, ref)
			return err
		}})
	}
	if d, ok := b.adapter.(adapters.Deactivator); ok {
		ops = append(ops, operation{name: "deactivate", mutates: true, removes: true, fails: isMutation, call: func(ctx context.Context, ref normalize.References) error {
			_, err := d.Deactivate(ctx, ref)
			return err
		}})
	}
	if d, ok := b.adapter.(adapters.Deleter); ok {
		ops = append(ops, operation{name: "delete", mutates: true, removes: true, fails: isMutation, call: d.Delete})
	}
	if d, ok := b.adapter.(adapters.VaultDeleter); ok {
		ops = append(ops, operation{name: "delete_vault", mutates: true, removes: true, fails: isMutation, call: d.DeleteVault})
	}
	if d, ok := b.adapter.(adapters.BulkDeleter); ok {
		ops = append(ops, operation{name: "delete_many", mutates: true, removes: true, fails: isMutation, call: func(ctx context.Context, ref normalize.References) error {
			return d.DeleteMany(ctx, []normalize.References{ref})[0]
		}})
	}
	return append(ops, b.referenceless()...)
}

// referenceless are the operations that take no reference to an instrument.
func (b *bench) referenceless() []operation {
	b.tb.Helper()
	var ops []operation
	if l, ok := b.adapter.(adapters.Lister); ok {
		ops = append(ops, operation{name: "list", unbound: true, fails: anyRequest, call: func(ctx context.Context, _ normalize.References) error {
			_, err := l.List(ctx, adapters.ListInput{Customer: b.h.Customer})
			return err
		}})
	}
	if c, ok := b.adapter.(adapters.Creator); ok {
		in := b.createInput(b.sourceAt(0))
		ops = append(ops, operation{name: "create", unbound: true, mutates: true, fails: b.isCreate, call: func(ctx context.Context, _ normalize.References) error {
			_, err := c.Create(ctx, in)
			return err
		}})
	}
	return ops
}

// possibleUpdate returns an update that the provider can do.
func (b *bench) possibleUpdate(u adapters.Updater) adapters.UpdateInput {
	b.tb.Helper()
	in := adapters.UpdateInput{BillingAddress: address()}
	_, err := u.Update(b.ctx(), b.h.Missing, in)
	if normalize.CodeOf(err) != normalize.UnsupportedOperation {
		return in
	}
	month, year := 12, time.Now().Year()+5
	return adapters.UpdateInput{ExpMonth: &month, ExpYear: &year}
}

// operation returns the one with that name, and skips the check if there is none.
func (b *bench) operation(name string) operation {
	b.tb.Helper()
	for _, op := range b.operations() {
		if op.name == name {
			return op
		}
	}
	b.tb.Skipf("the adapter has no %s", name)
	return operation{}
}

// existing stores two instruments, if the adapter can, and returns the second's references.
func (b *bench) existing() normalize.References {
	b.tb.Helper()
	if !is[adapters.Creator](b.adapter) {
		return b.h.Missing
	}
	b.source() // the first is kept for the create that operations calls
	b.create()
	return b.create().References
}
