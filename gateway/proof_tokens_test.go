package gateway_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/polyvault/polyvault/adapters/adaptertest"
	"github.com/polyvault/polyvault/adapters/cybersource/cybersourcetest"
	"github.com/polyvault/polyvault/adapters/rebilly/rebillytest"
	"github.com/polyvault/polyvault/normalize"
)

// tokens is a create of card n by a one-time token, as a checkout page would mint it:
// the gateway sees no number, and the token is gone once the provider has read it.
func (p play) tokens(key string, n int) request {
	r := p.creates(key, n)
	r.in.Sources = []normalize.Source{p.w.mint(p.provider, adaptertest.CardNumber(n))}
	p.w.minted.Add(1)
	r.body = fmt.Sprintf("token %d of card %d", p.w.minted.Load(), n)
	return r
}

// mint makes a one-time token at a provider.
func (w *galaxy) mint(provider, number string) normalize.Source {
	if provider == cyb {
		return normalize.Source{Type: normalize.SourceTransientToken, TransientToken: &normalize.TransientTokenSource{
			TransientToken: normalize.NewSecret(cybersourcetest.MintTransientToken(cybersourcetest.TransientCard{
				BIN: normalize.BINOf(number)[:6], Last4: normalize.Last4Of(number),
			})),
		}}
	}
	body := `{"method":"payment-card","paymentInstrument":{"pan":"` + number + `","cvv":"` + secretCode + `","expMonth":12,"expYear":2031},"billingAddress":{"firstName":"Ada"}}`
	req := httptest.NewRequest(http.MethodPost, "/organizations/"+rebillytest.Organization+"/tokens", strings.NewReader(body)) //nolint:noctx // it ends at once
	req.Header.Set("Authorization", rebillytest.PublishableKey)
	rec := httptest.NewRecorder()
	w.standins[reb].ServeHTTP(rec, req)
	var token struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &token); err != nil || token.ID == "" {
		panic("no token: " + rec.Body.String())
	}
	return normalize.Source{Type: normalize.SourceRebillyToken, RebillyToken: &normalize.RebillyTokenSource{Token: normalize.NewSecret(token.ID)}}
}

// oneTime says that a source is a token which can be used once.
func oneTime(src normalize.Source) bool { return src.TransientToken != nil || src.RebillyToken != nil }
