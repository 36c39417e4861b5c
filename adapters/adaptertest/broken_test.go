package adaptertest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault"
	"github.com/polyvault/polyvault/adapters/adaptertest/memvault/memvaulttest"
	"github.com/polyvault/polyvault/normalize"
)

// broken is a harness and the checks that must fail with it, saying something like says.
type broken struct {
	harness adaptertest.New
	checks  []string
	says    string
}

func brokenAdapters() map[string]broken {
	out := brokenClients()
	maps.Copy(out, brokenMethods())
	return out
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// transport changes the client's transport only.
func transport(f func(next http.RoundTripper, r *http.Request) (*http.Response, error)) adaptertest.New {
	return through(func(hc *http.Client) *http.Client {
		next := hc.Transport
		return &http.Client{CheckRedirect: hc.CheckRedirect, Transport: roundTrip(func(r *http.Request) (*http.Response, error) { return f(next, r) })}
	})
}

// careless is a harness whose stand-in accepts the wrong credentials.
func careless(tb testing.TB) adaptertest.Harness {
	tb.Helper()
	h := memvaulttest.NewHarness(tb)
	h.OpenBadCredentials = h.Open
	return h
}

func brokenClients() map[string]broken {
	return map[string]broken{
		"does not check credentials": {harness: careless, checks: []string{"wrong credentials"}},
		"follows redirects": {
			harness: through(func(hc *http.Client) *http.Client { return &http.Client{Transport: hc.Transport} }),
			checks:  []string{"redirects are not followed"},
		},
		"sends an idempotency key, with which net/http sends again": {
			harness: transport(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				r.Header.Set("Idempotency-Key", "1")
				return next.RoundTrip(r)
			}),
			checks: []string{"create stores one instrument", "delete is idempotent"}, says: "Idempotency-Key",
		},
		"leaves GetBody on a mutation": {
			harness: transport(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				r.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
				return next.RoundTrip(r)
			}),
			checks: []string{"create stores one instrument"}, says: "GetBody",
		},
		"sends again when the connection breaks": {
			harness: transport(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				if r.Body == nil {
					return next.RoundTrip(r)
				}
				body, _ := io.ReadAll(r.Body)
				r.Body = io.NopCloser(strings.NewReader(string(body)))
				resp, err := next.RoundTrip(r)
				if err != nil {
					r.Body = io.NopCloser(strings.NewReader(string(body)))
					return next.RoundTrip(r)
				}
				return resp, nil
			}),
			checks: []string{"fault commit_then_drop of a create"},
		},
		"reads answers without a bound": {
			harness: transport(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(r)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
				}
				return resp, err
			}),
			checks: []string{"a huge answer to a read", "fault huge_body of a create"},
		},
		"writes the card number in the address": {
			harness: transport(func(next http.RoundTripper, r *http.Request) (*http.Response, error) {
				if r.Method == http.MethodPost {
					r.URL.RawQuery = "pan=" + adaptertest.CardNumber(0)
				}
				return next.RoundTrip(r)
			}),
			checks: []string{"create stores one instrument"}, says: "address",
		},
	}
}

// hook is memvault with functions in the place of some of its methods.
type hook struct {
	*memvault.Adapter
	create  func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error)
	get     func(ctx context.Context, ref normalize.References) (adapters.Instrument, error)
	list    func(ctx context.Context, in adapters.ListInput) (adapters.Page, error)
	remove  func(ctx context.Context, ref normalize.References) error
	prefer  func(ctx context.Context, ref normalize.References) (adapters.Instrument, error)
	failure func(error) error // changes every error
	loose   bool              // CheckReferences accepts everything
}

func (h *hook) fail(err error) error {
	if err != nil && h.failure != nil {
		return h.failure(err)
	}
	return err
}

func (h *hook) Create(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
	if h.create != nil {
		return h.create(ctx, in)
	}
	ins, err := h.Adapter.Create(ctx, in)
	return ins, h.fail(err)
}

func (h *hook) Get(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	if h.get != nil {
		return h.get(ctx, ref)
	}
	ins, err := h.Adapter.Get(ctx, ref)
	return ins, h.fail(err)
}

func (h *hook) List(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
	if h.list != nil {
		return h.list(ctx, in)
	}
	return h.Adapter.List(ctx, in)
}

func (h *hook) Delete(ctx context.Context, ref normalize.References) error {
	if h.remove != nil {
		return h.remove(ctx, ref)
	}
	return h.Adapter.Delete(ctx, ref)
}

func (h *hook) SetDefault(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
	if h.prefer != nil {
		return h.prefer(ctx, ref)
	}
	return h.Adapter.SetDefault(ctx, ref)
}

func (h *hook) CheckReferences(ref normalize.References) []normalize.FieldError {
	if h.loose {
		return nil
	}
	return h.Adapter.CheckReferences(ref)
}

func hooked(set func(*hook)) adaptertest.New {
	return with(func(a *memvault.Adapter) adapters.Adapter {
		h := &hook{Adapter: a}
		set(h)
		return h
	})
}

// changed makes a harness whose adapter changes a member of every error.
func changed(f func(*normalize.Error)) adaptertest.New {
	return hooked(func(h *hook) {
		h.failure = func(err error) error {
			e, ok := errors.AsType[*normalize.Error](err)
			if ok {
				f(e)
			}
			return err
		}
	})
}

func brokenMethods() map[string]broken {
	const missing = "get of a missing instrument"
	out := map[string]broken{
		"fails with a plain error": {hooked(func(h *hook) {
			h.failure = func(err error) error { return errors.New(err.Error()) }
		}), []string{missing}, "fails only with"},
		"says not sent of what may have happened": {
			changed(func(e *normalize.Error) { e.Outcome = normalize.NotSent }),
			[]string{"fault truncate of a create", "fault commit_then_hang of a create", "every status answered to create"},
			"",
		},
		"says rejected of what was never sent": {
			changed(func(e *normalize.Error) { e.Outcome = normalize.Rejected }),
			[]string{"a closed port is not sent", "a TLS failure is not sent", "an unknown host is not sent"},
			"",
		},
		"says not found when the provider is away": {
			changed(func(e *normalize.Error) { e.Code = normalize.NotFound }), []string{"every status answered to get"}, "",
		},
		"invents a code":       {changed(func(e *normalize.Error) { e.Code = "oops" }), []string{"every status answered to create"}, ""},
		"shouts":               {changed(func(e *normalize.Error) { e.Msg = "Failed." }), []string{missing}, "lower case"},
		"forgets the op":       {changed(func(e *normalize.Error) { e.Op = "" }), []string{missing}, "op is not set"},
		"names itself":         {changed(func(e *normalize.Error) { e.Provider = "mine" }), []string{missing}, "only the gateway"},
		"lets clients wait":    {changed(func(e *normalize.Error) { e.RetryAfter = 48 * time.Hour }), []string{missing}, "retry after"},
		"shows its credential": {changed(func(e *normalize.Error) { e.Err = errors.New("key mv_key_0123456789abcdef") }), []string{missing}, "holds a secret"},
		"ignores its context": {hooked(func(h *hook) {
			h.get = func(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
				return h.Adapter.Get(context.WithoutCancel(ctx), ref)
			}
		}), []string{"a finished context is not sent"}, ""},
		"accepts every reference": {hooked(func(h *hook) { h.loose = true }), []string{"malformed references are not sent"}, ""},
		"has a default without moving it": {hooked(func(h *hook) {
			h.prefer = func(ctx context.Context, ref normalize.References) (adapters.Instrument, error) {
				ins, err := h.Adapter.Get(ctx, ref)
				ins.Default = true
				return ins, err
			}
		}), []string{"the default moves"}, ""},
		"calls when it is opened": {with(func(a *memvault.Adapter) adapters.Adapter {
			_, _ = a.Get(context.Background(), normalize.References{"card": "x"})
			return a
		}), []string{"opening an adapter makes no call"}, ""},
	}
	maps.Copy(out, brokenProbes())
	maps.Copy(out, brokenCreates())
	maps.Copy(out, brokenListsAndDeletes())
	return out
}

func brokenCreates() map[string]broken {
	return map[string]broken{
		"quotes the card number in an error": {hooked(func(h *hook) {
			h.create = func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
				ins, err := h.Adapter.Create(ctx, in)
				if e, ok := errors.AsType[*normalize.Error](err); ok && in.Source.Card != nil {
					e.Err = fmt.Errorf("card %s", in.Source.Card.Number.Reveal())
				}
				return ins, err
			}
		}), []string{"a quoted request stays out of errors", "fault html of a create"}, "card number"},
		"tries a failed create again": {hooked(func(h *hook) {
			h.create = func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
				ins, err := h.Adapter.Create(ctx, in)
				if err != nil {
					return h.Adapter.Create(ctx, in)
				}
				return ins, nil
			}
		}), []string{"fault status_after_commit of a create with status 500", "fault reset of a create"}, ""},
		"cleans up after an unknown outcome": {hooked(func(h *hook) {
			h.create = func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
				ins, err := h.Adapter.Create(ctx, in)
				if normalize.OutcomeOf(err) == normalize.Unknown {
					_ = h.Adapter.Delete(ctx, normalize.References{"card": "card_999"})
				}
				return ins, err
			}
		}), []string{"fault commit_then_drop of a create"}, "followed a create"},
		"keeps the last instrument": {hooked(func(h *hook) {
			var mu sync.Mutex
			var first *adapters.Instrument
			h.create = func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
				ins, err := h.Adapter.Create(ctx, in)
				mu.Lock()
				defer mu.Unlock()
				if first == nil && err == nil {
					first = &ins
				}
				if first != nil {
					return *first, err
				}
				return ins, err
			}
		}), []string{"creates in parallel"}, ""},
		"does not tell that the card was there": {hooked(func(h *hook) {
			h.create = func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
				ins, err := h.Adapter.Create(ctx, in)
				ins.Existing = false
				return ins, err
			}
		}), []string{"the same card again is the same instrument"}, ""},
		"puts the number in the instrument": {hooked(func(h *hook) {
			h.create = func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
				ins, err := h.Adapter.Create(ctx, in)
				ins.ProviderStatus = in.Source.Card.Number.Reveal()
				return ins, err
			}
		}), []string{"create stores one instrument"}, "card number"},
	}
}

func brokenListsAndDeletes() map[string]broken {
	return map[string]broken{
		"forgets the next page": {hooked(func(h *hook) {
			h.list = func(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
				page, err := h.Adapter.List(ctx, in)
				page.Next = ""
				return page, err
			}
		}), []string{"list reaches every instrument once"}, ""},
		"stays on the first page": {hooked(func(h *hook) {
			h.list = func(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
				in.Cursor = ""
				return h.Adapter.List(ctx, in)
			}
		}), []string{"list reaches every instrument once"}, ""},
		"shows only what was answered for": {hooked(func(h *hook) {
			var answered sync.Map
			h.create = func(ctx context.Context, in adapters.CreateInput) (adapters.Instrument, error) {
				ins, err := h.Adapter.Create(ctx, in)
				answered.Store(fmt.Sprint(ins.References), true)
				return ins, err
			}
			h.list = func(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
				page, err := h.Adapter.List(ctx, in)
				page.Items = slices.DeleteFunc(page.Items, func(ins adapters.Instrument) bool {
					_, ok := answered.Load(fmt.Sprint(ins.References))
					return !ok
				})
				page.Total = -1
				return page, err
			}
		}), []string{"fault commit_then_drop of a create"}, "look-up must show"},
		"ignores filters": {hooked(func(h *hook) {
			h.list = func(ctx context.Context, in adapters.ListInput) (adapters.Page, error) {
				in.Filter = nil
				return h.Adapter.List(ctx, in)
			}
		}), []string{"list refuses what it cannot do"}, "ignored"},
		"fails when it is gone already": {hooked(func(h *hook) {
			h.remove = func(ctx context.Context, ref normalize.References) error {
				if _, err := h.Adapter.Get(ctx, ref); err != nil {
					return err
				}
				return h.Adapter.Delete(ctx, ref)
			}
		}), []string{"delete is idempotent"}, ""},
		"believes anybody's 404": {hooked(func(h *hook) {
			h.remove = func(ctx context.Context, ref normalize.References) error {
				err := h.Adapter.Delete(ctx, ref)
				if e, ok := errors.AsType[*normalize.Error](err); ok && e.HTTPStatus == http.StatusNotFound {
					return nil
				}
				return err
			}
		}), []string{"every status answered to delete"}, "proves nothing"},
		"deletes only in its words": {hooked(func(h *hook) {
			h.remove = func(context.Context, normalize.References) error { return nil }
		}), []string{"delete is idempotent", "delete of the default"}, ""},
		"answers many in another order": {with(func(a *memvault.Adapter) adapters.Adapter { return &reversed{wide{a}} }), []string{"delete many answers in order"}, ""},
	}
}

// probes is memvault with another probe.
type probes struct {
	*memvault.Adapter
	probe func(ctx context.Context, a *memvault.Adapter) error
}

func (p *probes) Probe(ctx context.Context) error { return p.probe(ctx, p.Adapter) }

func brokenProbes() map[string]broken {
	const fails, ends, once = "a probe fails when the provider does", "a probe ends with its deadline", "a probe is one read"
	probing := func(f func(ctx context.Context, a *memvault.Adapter) error) adaptertest.New {
		return with(func(a *memvault.Adapter) adapters.Adapter { return &probes{a, f} })
	}
	return map[string]broken{
		"finds every provider healthy": {probing(func(context.Context, *memvault.Adapter) error { return nil }), []string{fails, ends, once}, ""},
		"takes anybody's 404 for health": {probing(func(ctx context.Context, a *memvault.Adapter) error {
			err := a.Probe(ctx)
			if e, ok := errors.AsType[*normalize.Error](err); ok && e.HTTPStatus == http.StatusNotFound {
				return nil
			}
			return err
		}), []string{fails}, ""},
		"takes its 404 for a failure": {probing(func(ctx context.Context, a *memvault.Adapter) error {
			_, err := a.Get(ctx, normalize.References{"card": "card_0"})
			return err
		}), []string{once}, ""},
		"probes by storing": {probing(func(ctx context.Context, a *memvault.Adapter) error {
			_, err := a.CreateCustomer(ctx, adapters.CustomerInput{Key: "probe"})
			return err
		}), []string{once}, "a probe changes nothing"},
		"probes without an end": {probing(func(ctx context.Context, a *memvault.Adapter) error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 4*time.Second)
			defer cancel()
			return a.Probe(ctx)
		}), []string{ends}, ""},
	}
}

// wide is memvault with the capabilities that it lacks, made of those that it has.
type wide struct{ *memvault.Adapter }

func (w *wide) DeleteMany(ctx context.Context, refs []normalize.References) []error {
	var errs []error
	for _, ref := range refs {
		errs = append(errs, w.Delete(ctx, ref))
	}
	return errs
}

func (w *wide) DeleteVault(ctx context.Context, ref normalize.References) error {
	return w.Delete(ctx, ref)
}

func (w *wide) Charge(ref normalize.References, t normalize.Type) any {
	return map[string]any{"card": ref["card"], "type": t}
}

type reversed struct{ wide }

func (r *reversed) DeleteMany(ctx context.Context, refs []normalize.References) []error {
	errs := r.wide.DeleteMany(ctx, refs)
	if len(errs) == 3 {
		errs[0], errs[1] = errs[1], errs[0]
	}
	return errs
}
