package memvault

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// instrument reads a card tolerantly: a word that is new is "other", never an error.
func (c card) instrument(now time.Time) adapters.Instrument {
	brand := normalize.Brand(c.Scheme)
	if !slices.Contains(normalize.Brands(), brand) {
		brand = normalize.BrandOther
	}
	status := normalize.StatusActive
	if normalize.Expired(c.Month, c.Year, now) {
		status = normalize.StatusExpired
	}
	return adapters.Instrument{
		References: normalize.References{"card": c.ID}, Customer: c.Customer, Type: normalize.TypeCard, Status: status, ProviderStatus: c.State,
		Default: c.Default, BillingAddress: c.Address, Version: strconv.Itoa(c.Version), Existing: c.Existing,
		Card: &normalize.Card{Brand: brand, BIN: c.First6, Last4: c.Last4, ExpMonth: c.Month, ExpYear: c.Year},
	}
}

// refusalOf reads memvault's error form, {"error": {"code": "…"}}.
func refusalOf(r rest.Response) rest.Refusal {
	var body struct {
		Error struct {
			Code string `json:"code"`
		} `json:"error"`
	}
	if json.Unmarshal(r.Body, &body) != nil || body.Error.Code == "" {
		return rest.Refusal{}
	}
	ref := rest.Refusal{Recognized: true, ProviderCode: body.Error.Code, RequestID: r.Header.Get("X-Request-Id")}
	ref.Unexecuted = r.Status == http.StatusTooManyRequests // memvault limits before it executes
	return ref
}
