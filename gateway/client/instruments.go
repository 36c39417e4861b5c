package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/oapi-codegen/nullable"
)

// Created is the answer to a create.
type Created struct {
	Instrument     *Instrument // nil while Operation is set
	Operation      *Operation  // set while the outcome is not known
	IdempotencyKey string      // that the request was sent with
	ETag           string
	Provider       string // that holds it
	Deduplicated   bool   // it was there already, and was updated
	Replayed       bool   // the answer to an earlier request with the same key
}

// Create stores an instrument. An empty idempotencyKey is replaced by a random
// one, which protects the retries of this call; give one of your own, kept with
// the order, to be safe across restarts as well.
func (c *Client) Create(ctx context.Context, in CreateInstrument, idempotencyKey string) (Created, error) {
	if idempotencyKey == "" {
		idempotencyKey = rand.Text()
	}
	out, err := c.create(ctx, in, idempotencyKey)
	if err != nil || out.Operation == nil || c.opts.WaitForOperation <= 0 {
		return out, err
	}
	waiting, cancel := context.WithTimeout(ctx, c.opts.WaitForOperation)
	defer cancel()
	if _, err := c.Wait(waiting, out.Operation.ID); err != nil {
		if ctx.Err() == nil && errors.Is(waiting.Err(), context.DeadlineExceeded) {
			return out, nil // still not known: the operation says so
		}
		return out, err
	}
	return c.create(ctx, in, idempotencyKey) // replays what became of it
}

func (c *Client) create(ctx context.Context, in CreateInstrument, key string) (Created, error) {
	a, err := call[json.RawMessage](ctx, c, key, func(ctx context.Context) (*http.Response, error) {
		return c.raw.CreateInstrument(ctx, &CreateInstrumentParams{IdempotencyKey: key}, in)
	})
	out := Created{IdempotencyKey: key}
	if err != nil {
		return out, err
	}
	out.ETag, out.Provider = a.header.Get("ETag"), a.header.Get("Gateway-Provider")
	out.Deduplicated, out.Replayed = a.header.Get("Gateway-Deduplicated") == "true", a.header.Get("Idempotent-Replayed") == "true"
	var target any
	if a.status == http.StatusAccepted {
		out.Operation = new(Operation)
		target = out.Operation
	} else {
		out.Instrument = new(Instrument)
		target = out.Instrument
	}
	if err := json.Unmarshal(a.body, target); err != nil {
		return out, noAnswer(fmt.Errorf("the answer cannot be read: %w", err), key)
	}
	return out, nil
}

// Read is an instrument and how fresh it is.
type Read struct {
	Instrument  Instrument // zero if NotModified
	ETag        string
	Provider    string
	NotModified bool          // the instrument still has the tag that was asked about
	Stale       bool          // the provider could not be asked: this is the stored view
	Age         time.Duration // of the view, for Stale
	Replayed    bool          // the answer to an earlier change with the same idempotency key
}

func readOf(a answer[Instrument], err error) (Read, error) {
	if err != nil {
		return Read{}, err
	}
	seconds, _ := strconv.Atoi(a.header.Get("Age"))
	return Read{
		Instrument: a.body, ETag: a.header.Get("ETag"), Provider: a.header.Get("Gateway-Provider"),
		NotModified: a.status == http.StatusNotModified,
		Stale:       a.header.Get("Gateway-Stale") == "true", Age: time.Duration(seconds) * time.Second,
		Replayed: a.header.Get("Idempotent-Replayed") == "true",
	}, nil
}

// GetOptions says how an instrument is read. The zero value asks the provider.
type GetOptions struct {
	Stored      bool   // answer from the gateway's record
	IfNoneMatch string // an ETag: answer NotModified while the instrument still has it
}

// Get reads an instrument.
func (c *Client) Get(ctx context.Context, id string, o GetOptions) (Read, error) {
	var params GetInstrumentParams
	if o.Stored {
		mode := ReadModeStored
		params.Read = &mode
	}
	if o.IfNoneMatch != "" {
		params.IfNoneMatch = &o.IfNoneMatch
	}
	return readOf(call[Instrument](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.GetInstrument(ctx, id, &params)
	}))
}

// Update is a change of an instrument. What is not set stays, null removes
// (nullable.NewNullNullable).
type Update struct {
	BillingAddress nullable.Nullable[map[string]*string] `json:"billing_address,omitempty"` // by member; a nil value removes it
	Card           *Expiry                               `json:"card,omitempty"`
	Default        bool                                  `json:"default,omitempty"`  // true makes it the customer's default
	Metadata       nullable.Nullable[map[string]*string] `json:"metadata,omitempty"` // by key; a nil value removes it
	Source         *Source                               `json:"source,omitempty"`   // a token that replaces the data at the provider
}

// Expiry is a card's expiry date; a zero stays as it is.
type Expiry struct {
	Month int `json:"exp_month,omitempty"` // 1–12
	Year  int `json:"exp_year,omitempty"`  // four digits
}

// ChangeOption says how a change is sent.
type ChangeOption func(*changeOptions)

type changeOptions struct{ idempotencyKey *string }

// WithIdempotencyKey sends a change under a key: the same change with the same key
// is made once, and answered the same for 24 hours. Without one a change that is
// sent again is made again.
func WithIdempotencyKey(key string) ChangeOption {
	return func(o *changeOptions) { o.idempotencyKey = &key }
}

func changeOptionsOf(options []ChangeOption) changeOptions {
	var o changeOptions
	for _, set := range options {
		set(&o)
	}
	return o
}

func (o changeOptions) key() string {
	if o.idempotencyKey == nil {
		return ""
	}
	return *o.idempotencyKey
}

// Update changes an instrument. ifMatch is the ETag that it must still have; "" for none.
func (c *Client) Update(ctx context.Context, id string, u Update, ifMatch string, options ...ChangeOption) (Read, error) {
	patch, err := json.Marshal(u)
	if err != nil {
		return Read{}, fmt.Errorf("client: the update cannot be written: %w", err)
	}
	o := changeOptionsOf(options)
	params := UpdateInstrumentParams{IdempotencyKey: o.idempotencyKey}
	if ifMatch != "" {
		params.IfMatch = &ifMatch
	}
	return readOf(call[Instrument](ctx, c, o.key(), func(ctx context.Context) (*http.Response, error) {
		return c.raw.UpdateInstrumentWithBody(ctx, id, &params, "application/merge-patch+json", bytes.NewReader(patch))
	}))
}

// Delete deletes an instrument. An empty scope deletes it at the provider.
func (c *Client) Delete(ctx context.Context, id string, scope DeleteScope, options ...ChangeOption) error {
	o := changeOptionsOf(options)
	params := DeleteInstrumentParams{IdempotencyKey: o.idempotencyKey}
	if scope != "" {
		params.Scope = &scope
	}
	_, err := call[struct{}](ctx, c, o.key(), func(ctx context.Context) (*http.Response, error) {
		return c.raw.DeleteInstrument(ctx, id, &params)
	})
	return err
}

// Deactivate takes an instrument out of use.
func (c *Client) Deactivate(ctx context.Context, id string, options ...ChangeOption) (Read, error) {
	o := changeOptionsOf(options)
	return readOf(call[Instrument](ctx, c, o.key(), func(ctx context.Context) (*http.Response, error) {
		return c.raw.DeactivateInstrument(ctx, id, &DeactivateInstrumentParams{IdempotencyKey: o.idempotencyKey})
	}))
}

// Activate puts an instrument back into use.
func (c *Client) Activate(ctx context.Context, id string, options ...ChangeOption) (Read, error) {
	o := changeOptionsOf(options)
	return readOf(call[Instrument](ctx, c, o.key(), func(ctx context.Context) (*http.Response, error) {
		return c.raw.ActivateInstrument(ctx, id, &ActivateInstrumentParams{IdempotencyKey: o.idempotencyKey})
	}))
}
