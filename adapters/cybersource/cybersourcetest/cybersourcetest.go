// Package cybersourcetest is a stand-in for CyberSource's Token Management
// Service: customers and customer payment instruments (v2), instrument
// identifiers (v1), and as much of POST /pts/v2/payments as turns a transient
// token into a payment instrument. It keeps state and verifies authentication;
// it keeps no card or account number, only a keyed hash of it and its mask.
//
// It is written from the provider's documentation, not from the adapter, so that
// a wrong belief is not shared. What the documentation leaves open is a field of
// [Options].
package cybersourcetest

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/polyvault/polyvault/adapters/standin"
)

// The credentials of a stand-in whose Options name none.
const (
	DefaultMerchantID   = "testmerchant"
	DefaultKeyID        = "08c94330-f618-42a3-b09d-e1e43be5efda"
	DefaultSharedSecret = "dW5pdC10ZXN0LXNoYXJlZC1zZWNyZXQtMzJieXRlcyE=" //nolint:gosec // a published test value, good for nothing else
)

// Options shape a stand-in. The zero value is the documented behaviour with the
// default credentials.
type Options struct {
	MerchantID   string   // default [DefaultMerchantID]
	KeyID        string   // default [DefaultKeyID]
	SharedSecret string   // base64; default [DefaultSharedSecret]
	PortfolioID  string   // if set, KeyID is a meta key: this id is signed in the merchant's place
	Profiles     []string // known profile-id headers; any other is answered with 424
	// ClockSkew is how far a request's date may be off; default 5 minutes.
	ClockSkew time.Duration
	Now       func() time.Time // default time.Now

	// What the provider's documentation leaves open:

	// AcceptBadLuhn takes card numbers with a wrong check digit. Default: 400 invalidFields.
	AcceptBadLuhn bool
	// IgnoreUnknownFields drops unknown members. Default: 400 unknownField.
	IgnoreUnknownFields bool
	// RefuseDefaultFalse answers {"default":false} for the default instrument with
	// 400 invalidFields. Default: it is ignored and the instrument stays the default.
	RefuseDefaultFalse bool
	// LinkErrorsByStatus answers a payment instrument upon a missing or deleted
	// instrument identifier with 404 or 410. Default: 400 and a type that says so.
	LinkErrorsByStatus bool
	// PruneReplacedIdentifier removes an instrument identifier that a PATCH left
	// without any payment instrument. Default: it stays.
	PruneReplacedIdentifier bool
	// OmitEmbedded leaves _embedded out of single payment instruments.
	OmitEmbedded bool
	// DeclineLast4 makes authorizations of cards that end so DECLINED; "" declines none.
	DeclineLast4 string
}

// New makes a stand-in. It panics if SharedSecret is not base64, since options are literals.
func New(o Options) *standin.Server {
	p, err := newVault(o)
	if err != nil {
		panic(err)
	}
	return standin.New(p)
}

// vault is one merchant's vault. One mutex guards all state: requests are
// executed one after the other, as a test wants them.
type vault struct {
	opts    Options
	secrets *standin.Secrets // that requests may be signed with
	mux     *http.ServeMux

	mu          sync.Mutex
	hashKey     []byte // of the numbers; new after each Reset
	customers   map[string]*customer
	identifiers map[string]*identifier
	byHash      map[string]string // hash of a number to the id of its live identifier
	instruments map[string]*instrument
	order       []string        // instruments' ids, oldest first
	usedTokens  map[string]bool // transient tokens' jti
}

func newVault(o Options) (*vault, error) {
	if o.MerchantID == "" {
		o.MerchantID = DefaultMerchantID
	}
	if o.KeyID == "" {
		o.KeyID = DefaultKeyID
	}
	if o.SharedSecret == "" {
		o.SharedSecret = DefaultSharedSecret
	}
	if o.ClockSkew == 0 {
		o.ClockSkew = 5 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if _, err := base64.StdEncoding.DecodeString(o.SharedSecret); err != nil {
		return nil, errors.New("cybersourcetest: SharedSecret must be base64")
	}
	v := &vault{opts: o, secrets: standin.NewSecrets(o.KeyID + ":" + o.SharedSecret)}
	v.mux = v.routes()
	v.Reset()
	return v, nil
}

func (v *vault) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"POST /tms/v2/customers":                                               v.postCustomer,
		"GET /tms/v2/customers/{customer}":                                     v.getCustomer,
		"PATCH /tms/v2/customers/{customer}":                                   v.patchCustomer,
		"DELETE /tms/v2/customers/{customer}":                                  v.deleteCustomer,
		"POST /tms/v2/customers/{customer}/payment-instruments":                v.postInstrument,
		"GET /tms/v2/customers/{customer}/payment-instruments":                 v.listInstruments,
		"GET /tms/v2/customers/{customer}/payment-instruments/{instrument}":    v.getInstrument,
		"PATCH /tms/v2/customers/{customer}/payment-instruments/{instrument}":  v.patchInstrument,
		"DELETE /tms/v2/customers/{customer}/payment-instruments/{instrument}": v.deleteInstrument,
		"POST /tms/v1/instrumentidentifiers":                                   v.postIdentifier,
		"GET /tms/v1/instrumentidentifiers/{identifier}":                       v.getIdentifier,
		"PATCH /tms/v1/instrumentidentifiers/{identifier}":                     v.patchIdentifier,
		"DELETE /tms/v1/instrumentidentifiers/{identifier}":                    v.deleteIdentifier,
		"GET /tms/v1/instrumentidentifiers/{identifier}/paymentinstruments":    v.listIdentifierInstruments,
		"POST /pts/v2/payments":                                                v.postPayment,
	} {
		mux.Handle(pattern, v.handle(h))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		frontDoor(http.StatusNotFound, "Resource Not Found").write(w)
	})
	return mux
}

// ServeHTTP implements [http.Handler]. Authentication comes first, as at the
// provider: who fails it does not learn which paths there are.
func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	correlate(w)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
	if err != nil {
		badBody().write(w)
		return
	}
	if !v.authentic(r, body) {
		frontDoor(http.StatusUnauthorized, "Authentication Failed").write(w)
		return
	}
	if a, ok := v.checkHeaders(r); !ok {
		a.write(w)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	v.mux.ServeHTTP(w, r)
}

// Reset implements [standin.Provider].
func (v *vault) Reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.hashKey = make([]byte, 32)
	_, _ = rand.Read(v.hashKey) // never fails
	v.customers = map[string]*customer{}
	v.identifiers = map[string]*identifier{}
	v.byHash = map[string]string{}
	v.instruments = map[string]*instrument{}
	v.order = nil
	v.usedTokens = map[string]bool{}
}

// Snapshot implements [standin.Provider]. Deleted customers are left out, deleted
// instruments are not live.
func (v *vault) Snapshot() ([]standin.Customer, []standin.Instrument) {
	v.mu.Lock()
	defer v.mu.Unlock()
	customers, instruments := []standin.Customer{}, []standin.Instrument{}
	for _, c := range v.customers {
		if !c.deleted {
			customers = append(customers, standin.Customer{
				ID: c.id, MerchantID: stringAt(c.doc, "buyerInformation", "merchantCustomerID"), Default: c.defaultID,
			})
		}
	}
	for _, id := range v.order {
		p := v.instruments[id]
		i := v.identifiers[p.identifier]
		out := standin.Instrument{
			ID: p.id, Customer: p.customer, Live: !p.deleted, Type: "card", Last4: i.last4(), Identity: p.identifier,
		}
		if i.bank {
			out.Type = "bank_account"
		}
		// Malformed values were refused, so a failing scan means an absent member.
		_, _ = fmt.Sscan(stringAt(p.doc, "card", "expirationMonth"), &out.ExpMonth)
		_, _ = fmt.Sscan(stringAt(p.doc, "card", "expirationYear"), &out.ExpYear)
		instruments = append(instruments, out)
	}
	return customers, instruments
}

// RateLimited implements [standin.Provider]. The provider's own form is not
// documented; this is the front door's, which also refuses bad signatures.
func (v *vault) RateLimited(w http.ResponseWriter, _ *http.Request) {
	correlate(w)
	w.Header().Set("Retry-After", "1")
	frontDoor(http.StatusTooManyRequests, "Too Many Requests").write(w)
}
