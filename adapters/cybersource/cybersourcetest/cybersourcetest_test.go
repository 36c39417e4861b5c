package cybersourcetest

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestJWTVector(t *testing.T) {
	t.Parallel()
	const body = `{"default":true,"card":{"expirationMonth":"12","expirationYear":"2031","type":"001"},"instrumentIdentifier":{"id":"7010000000016241111"}}`
	const path = "/tms/v2/customers/AB695DA801DD1BB6E05341588E0A3BDC/payment-instruments"
	claims := `{"digest":"vTlua7YYXuOs2TEljnKnFuiUIQ0TtFkUn607kOoJZ3Y=","digest-algorithm":"SHA-256","iat":1721261883,"exp":1721262003,` +
		`"request-host":"apitest.cybersource.com","request-resource-path":"` + path + `","request-method":"post","iss":"testmerchant",` +
		`"jti":"11111111-2222-4333-8444-555555555555","v-c-jwt-version":"2","v-c-merchant-id":"testmerchant"}`
	token := "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiIsImtpZCI6IjA4Yzk0MzMwLWY2MTgtNDJhMy1iMDlkLWUxZTQzYmU1ZWZkYSJ9." +
		base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".7q5DbIObyeA9hlf1ndtbQgRiOWgPo9wTX_K5vcAvFJc"
	verify := func(now int64, method, target, sent, token string) bool {
		v, err := newVault(Options{Now: func() time.Time { return time.Unix(now, 0) }})
		require.NoError(t, err)
		r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(sent))
		r.Host = "apitest.cybersource.com"
		r.Header.Set("Authorization", "Bearer "+token)
		return v.authentic(r, []byte(sent))
	}
	const now = 1721261900
	require.True(t, verify(now, http.MethodPost, path, body, token))
	require.False(t, verify(now+200, http.MethodPost, path, body, token), "expired")
	require.False(t, verify(now, http.MethodPut, path, body, token), "another method")
	require.False(t, verify(now, http.MethodPost, path+"?x=1", body, token), "another path")
	require.False(t, verify(now, http.MethodPost, path, body+" ", token), "another body")
	require.False(t, verify(now, http.MethodPost, path, body, token[:len(token)-1]+"d"), "another signature")
	require.False(t, verify(now, http.MethodPost, path, body, "a.b"), "no JWT")
}

func TestRules(t *testing.T) {
	t.Parallel()
	for name, rule := range map[string]func(*testing.T, client){
		"the first instrument is the default, a later one only if it asks": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			base := customersPath + "/" + owner + "/payment-instruments"
			first := c.instrument(t, owner, i)
			second := c.instrument(t, owner, i)
			require.Equal(t, true, c.do(t, http.MethodGet, base+"/"+first, "").body["default"])
			require.Equal(t, false, c.do(t, http.MethodGet, base+"/"+second, "").body["default"])
			third := c.do(t, http.MethodPost, base, `{"default":"true",`+instrumentBody(i)[1:])
			require.Equal(t, true, third.body["default"])
			require.Equal(t, false, c.do(t, http.MethodGet, base+"/"+first, "").body["default"])
			require.Equal(t, third.id(), c.do(t, http.MethodGet, customersPath+"/"+owner, "").str("defaultPaymentInstrument", "id"))
		},
		"the default moves by a patch of the customer, too": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			first, second := c.instrument(t, owner, i), c.instrument(t, owner, i)
			r := c.do(t, http.MethodPatch, customersPath+"/"+owner, `{"defaultPaymentInstrument":{"id":"`+second+`"}}`)
			require.Equal(t, http.StatusOK, r.status)
			require.Equal(t, second, r.str("defaultPaymentInstrument", "id"))
			require.Equal(t, false, c.do(t, http.MethodGet, customersPath+"/"+owner+"/payment-instruments/"+first, "").body["default"])
			r = c.do(t, http.MethodPatch, customersPath+"/"+owner, `{"defaultPaymentInstrument":{"id":"`+noID+`"}}`)
			require.Equal(t, "invalidFields", r.kind())
		},
		"the default is deleted last": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			first, second := c.instrument(t, owner, i), c.instrument(t, owner, i)
			base := customersPath + "/" + owner + "/payment-instruments/"
			r := c.do(t, http.MethodDelete, base+first, "")
			require.Equal(t, http.StatusConflict, r.status)
			require.Equal(t, "conflict", r.kind())
			require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, base+second, "").status)
			require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, base+first, "").status)
		},
		"deleted is 410, never existed is 404": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			p := c.instrument(t, owner, i)
			base := customersPath + "/" + owner + "/payment-instruments/"
			require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, base+p, "").status)
			for _, method := range []string{http.MethodGet, http.MethodDelete, http.MethodPatch} {
				require.Equal(t, "notAvailable", c.do(t, method, base+p, `{}`).kind())
				require.Equal(t, "notFound", c.do(t, method, base+noID, `{}`).kind())
				require.Equal(t, http.StatusGone, c.do(t, method, base+p, `{}`).status)
			}
		},
		"an instrument is its customer's only": func(t *testing.T, c client) {
			p := c.instrument(t, c.customer(t), c.card(t, visa))
			require.Equal(t, http.StatusNotFound, c.do(t, http.MethodGet, customersPath+"/"+c.customer(t)+"/payment-instruments/"+p, "").status)
		},
		"ids are not case-sensitive": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			p := c.instrument(t, strings.ToLower(owner), strings.ToLower(i))
			r := c.do(t, http.MethodGet, customersPath+"/"+strings.ToLower(owner)+"/payment-instruments/"+strings.ToLower(p), "")
			require.Equal(t, p, r.id())
		},
		"the same number is the same identifier, instruments are not deduped": func(t *testing.T, c client) {
			owner := c.customer(t)
			r := c.do(t, http.MethodPost, identifiersPath, `{"card":{"number":"`+visa+`"}}`)
			require.Equal(t, http.StatusCreated, r.status)
			require.Equal(t, "true", r.header.Get("Instrumentidentifier-Created"))
			require.NotEmpty(t, r.header.Get("Location"))
			again := c.do(t, http.MethodPost, identifiersPath, `{"card":{"number":"`+visa+`"}}`)
			require.Equal(t, http.StatusOK, again.status)
			require.Equal(t, "false", again.header.Get("Instrumentidentifier-Created"))
			require.Equal(t, r.id(), again.id())
			require.NotEqual(t, r.id(), c.card(t, mastercard))
			first, second := c.instrument(t, owner, r.id()), c.instrument(t, owner, r.id())
			require.NotEqual(t, first, second)
			account := c.do(t, http.MethodPost, identifiersPath, `{"bankAccount":{"number":"4100","routingNumber":"071923284"}}`)
			require.Equal(t, http.StatusOK, c.do(t, http.MethodPost, identifiersPath, `{"bankAccount":{"number":"4100","routingNumber":"071923284"}}`).status)
			require.Equal(t, "X100", account.str("bankAccount", "number"), "never a whole number")
		},
		"the last instrument takes its identifier with it, and the number gets another": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			p, q := c.instrument(t, owner, i), c.instrument(t, c.customer(t), i)
			require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, customersPath+"/"+owner+"/payment-instruments/"+p, "").status)
			list := c.do(t, http.MethodGet, identifiersPath+"/"+i+"/paymentinstruments", "")
			require.InDelta(t, 1, list.body["total"], 0)
			require.Contains(t, list.raw, q)
			require.Contains(t, list.raw, `"type":"visa"`, "version 1 writes words")
			for _, known := range c.server.State().Instruments {
				if known.Live {
					require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, customersPath+"/"+known.Customer, "").status)
				}
			}
			require.Equal(t, http.StatusGone, c.do(t, http.MethodGet, identifiersPath+"/"+i, "").status)
			require.Equal(t, "instrumentIdentifierGone", c.do(t, http.MethodPost, customersPath+"/"+owner+"/payment-instruments", instrumentBody(i)).kind())
			require.NotEqual(t, i, c.card(t, visa))
		},
		"an identifier in use is not deleted": func(t *testing.T, c client) {
			i := c.card(t, visa)
			c.instrument(t, c.customer(t), i)
			r := c.do(t, http.MethodDelete, identifiersPath+"/"+i, "")
			require.Equal(t, http.StatusConflict, r.status)
			require.Equal(t, "instrumentIdentifierDeletionError", r.kind())
			require.Contains(t, r.raw, "/paymentinstruments")
			free := c.card(t, mastercard)
			require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, identifiersPath+"/"+free, "").status)
			require.Equal(t, http.StatusGone, c.do(t, http.MethodDelete, identifiersPath+"/"+free, "").status)
		},
		"an identifier's number cannot be changed": func(t *testing.T, c client) {
			i := c.card(t, visa)
			r := c.do(t, http.MethodPatch, identifiersPath+"/"+i, `{"card":{"number":"`+mastercard+`"}}`)
			require.Equal(t, "unsupportedFields", r.kind())
			const mit = `{"processingInformation":{"authorizationOptions":{"initiator":{"merchantInitiatedTransaction":{"previousTransactionId":"1"}}}}}`
			r = c.do(t, http.MethodPatch, identifiersPath+"/"+i, mit)
			require.Equal(t, http.StatusOK, r.status)
			require.Contains(t, r.raw, "previousTransactionId")
			require.Equal(t, http.StatusPreconditionFailed, c.do(t, http.MethodPatch, identifiersPath+"/"+i, mit, "If-Match", "old").status)
		},
		"an instrument is of its identifier's kind": func(t *testing.T, c client) {
			owner := c.customer(t)
			base := customersPath + "/" + owner + "/payment-instruments"
			card := c.card(t, visa)
			bank := c.do(t, http.MethodPost, identifiersPath, `{"bankAccount":{"number":"000123456789","routingNumber":"071923284"}}`).id()
			post := func(members, id string) string {
				return c.do(t, http.MethodPost, base, `{`+members+`,"instrumentIdentifier":{"id":"`+id+`"}}`).kind()
			}
			require.Equal(t, "invalidCombination", post(`"bankAccount":{"type":"checking"}`, card))
			require.Equal(t, "invalidCombination", post(`"card":{"expirationMonth":"12"}`, bank))
			require.Equal(t, "invalidCombination", post(`"card":{"expirationMonth":"12"},"bankAccount":{"type":"checking"}`, card))
			require.Equal(t, "invalidCombination", c.do(t, http.MethodPost, identifiersPath, `{"card":{"number":"`+visa+`"},"bankAccount":{"number":"1"}}`).kind())
			p := c.instrument(t, owner, card)
			require.Equal(t, "unsupportedPaymentMethodModification", c.do(t, http.MethodPatch, base+"/"+p, `{"bankAccount":{"type":"checking"},"card":null}`).kind())
			require.Equal(t, "unsupportedPaymentMethodModification", c.do(t, http.MethodPatch, base+"/"+p, `{"instrumentIdentifier":{"id":"`+bank+`"}}`).kind())
			r := c.do(t, http.MethodPatch, base+"/"+p, `{"instrumentIdentifier":{"id":"`+c.card(t, mastercard)+`"}}`)
			require.Equal(t, "555555XXXXXX4444", r.str("_embedded", "instrumentIdentifier", "card", "number"))
			require.Equal(t, http.StatusOK, c.do(t, http.MethodGet, identifiersPath+"/"+card, "").status, "the old one stays")
		},
		"a patch merges, null removes, arrays of the unknown are refused": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			base := customersPath + "/" + owner + "/payment-instruments/" + c.instrument(t, owner, i)
			r := c.do(t, http.MethodPatch, base, `{"billTo":{"locality":null,"address1":"1 Main","email":null},"card":{"expirationMonth":"01"}}`)
			require.Equal(t, object{"address1": "1 Main", "country": "US"}, r.body["billTo"])
			require.Equal(t, object{"expirationMonth": "01", "expirationYear": "2031", "type": "001"}, r.body["card"])
			r = c.do(t, http.MethodPatch, base, `{"billTo":null,"id":"X","state":"CLOSED","_embedded":{"a":1}}`)
			require.Equal(t, http.StatusOK, r.status, "read-only members may be sent back")
			require.Nil(t, r.body["billTo"])
			require.Equal(t, "ACTIVE", r.str("state"))
			require.Equal(t, "unknownField", c.do(t, http.MethodPatch, base, `{"surprise":1}`).kind())
			require.Equal(t, "unknownField", c.do(t, http.MethodPatch, base, `{"card":{"number":"1"}}`).kind())
			require.Equal(t, "invalidRequest", c.do(t, http.MethodPatch, base, `[1]`).kind())
			require.Equal(t, "invalidRequest", c.do(t, http.MethodPatch, base, `{"a`).kind())
		},
		"a change makes a new tag, and an old one is refused": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			base := customersPath + "/" + owner + "/payment-instruments/" + c.instrument(t, owner, i)
			tag := c.do(t, http.MethodGet, base, "").header.Get("ETag")
			require.LessOrEqual(t, len(tag), 32)
			r := c.do(t, http.MethodPatch, base, `{}`, "If-Match", "W/"+strings.Trim(tag, `"`))
			require.Equal(t, http.StatusOK, r.status, "however it is quoted")
			require.NotEqual(t, tag, r.header.Get("ETag"))
			r = c.do(t, http.MethodPatch, base, `{}`, "If-Match", tag)
			require.Equal(t, http.StatusPreconditionFailed, r.status)
			require.Equal(t, "conflict", r.kind())
			require.Equal(t, "invalidHeaders", c.do(t, http.MethodPatch, base, `{}`, "If-Match", strings.Repeat("a", 33)).kind())
		},
		"false for the default changes nothing": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			r := c.do(t, http.MethodPatch, customersPath+"/"+owner+"/payment-instruments/"+c.instrument(t, owner, i), `{"default":false}`)
			require.Equal(t, http.StatusOK, r.status)
			require.Equal(t, true, r.body["default"])
		},
		"a deleted customer takes all with it": func(t *testing.T, c client) {
			owner, i := c.customer(t), c.card(t, visa)
			p := c.instrument(t, owner, i)
			require.Equal(t, http.StatusNoContent, c.do(t, http.MethodDelete, customersPath+"/"+owner, "").status)
			for _, path := range []string{"", "/payment-instruments", "/payment-instruments/" + p} {
				require.Equal(t, http.StatusGone, c.do(t, http.MethodGet, customersPath+"/"+owner+path, "").status, path)
			}
			require.Equal(t, http.StatusGone, c.do(t, http.MethodPost, customersPath+"/"+owner+"/payment-instruments", instrumentBody(i)).status)
			require.Equal(t, http.StatusGone, c.do(t, http.MethodGet, identifiersPath+"/"+i, "").status)
		},
		"profiles and media types": func(t *testing.T, c client) {
			r := c.do(t, http.MethodGet, customersPath+"/"+noID, "", "Profile-Id", "11111111-2222-4333-8444-555555555555")
			require.Equal(t, http.StatusFailedDependency, r.status)
			require.Equal(t, "notFound", r.kind())
			require.Equal(t, "invalidHeaders", c.do(t, http.MethodGet, customersPath+"/"+noID, "", "Profile-Id", "short").kind())
			require.Equal(t, "invalidHeaders", c.do(t, http.MethodPost, customersPath, "{}", "Content-Type", "text/plain").kind())
			require.Equal(t, http.StatusNotFound, c.do(t, http.MethodGet, "/tms/v9/nothing", "").status)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rule(t, newClient(t, Options{}))
		})
	}
}

func TestFieldLimits(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	owner, i := c.customer(t), c.card(t, visa)
	long := func(n int) string { return strings.Repeat("ä", n) }
	for _, f := range []struct {
		location, name string
		limit          int
	}{
		{"billTo", "firstName", 60},
		{"billTo", "lastName", 60},
		{"billTo", "company", 60},
		{"billTo", "address1", 60},
		{"billTo", "address2", 60},
		{"billTo", "locality", 50},
		{"billTo", "administrativeArea", 20},
		{"billTo", "postalCode", 10},
		{"billTo", "email", 255},
		{"billTo", "phoneNumber", 15},
		{"buyerInformation", "companyTaxID", 9},
	} {
		post := func(n int) result {
			return c.do(t, http.MethodPost, customersPath+"/"+owner+"/payment-instruments",
				fmt.Sprintf(`{%q:{%q:%q},"instrumentIdentifier":{"id":%q}}`, f.location, f.name, long(n), i))
		}
		require.Equal(t, http.StatusCreated, post(f.limit).status, "%+v", f)
		r := post(f.limit + 1)
		require.Equal(t, http.StatusBadRequest, r.status, "%+v", f)
		require.Equal(t, "invalidFields", r.kind())
		require.Equal(t, []any{object{"name": f.name, "location": f.location}}, r.details())
	}
	for _, bad := range []string{
		`"card":{"expirationMonth":"13"}`, `"card":{"expirationMonth":"1"}`, `"card":{"expirationMonth":1}`, `"card":{"expirationYear":"31"}`,
		`"card":{"type":"visa"}`, `"card":"x"`, `"billTo":{"country":"USA"}`, `"default":"maybe"`, `"default":1`, `"bankAccount":{"type":"a word that is too long"}`,
	} {
		r := c.do(t, http.MethodPost, customersPath+"/"+owner+"/payment-instruments", `{`+bad+`,"instrumentIdentifier":{"id":"`+i+`"}}`)
		require.Equal(t, "invalidFields", r.kind(), bad)
	}
	for _, bad := range []string{
		`{"card":{"number":"4111111111111112"}}`, `{"card":{"number":"41111111111"}}`, `{"card":{"number":"4111 1111 1111 1111"}}`,
		`{"bankAccount":{"number":"123456789012345678","routingNumber":"071923284"}}`, `{"card":{"number":"` + visa + `","securityCode":"12"}}`,
	} {
		require.Equal(t, "invalidFields", c.do(t, http.MethodPost, identifiersPath, bad).kind(), bad)
	}
	for _, bad := range []string{`{}`, `{"card":{}}`, `{"bankAccount":{}}`, `{"bankAccount":{"number":"1234"}}`} {
		require.Equal(t, "missingFields", c.do(t, http.MethodPost, identifiersPath, bad).kind(), bad)
	}
	require.Equal(t, "missingFields", c.do(t, http.MethodPost, customersPath+"/"+owner+"/payment-instruments", `{}`).kind())
	require.Equal(t, "instrumentIdentifierNotFound",
		c.do(t, http.MethodPost, customersPath+"/"+owner+"/payment-instruments", instrumentBody("7010000000000000000")).kind())
}

func TestPageLinks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ offset, limit, total, prev, next, last int64 }{
		{3, 4, 8, 0, 7, 7},       // the guide's example
		{40, 20, 87, 20, 60, 80}, // the guide's example
		{0, 20, 0, -1, -1, 0},
		{0, 20, 20, -1, -1, 0},
		{0, 20, 21, -1, 20, 20},
		{90, 20, 87, 70, -1, 70},
		{5, 100, 3, 0, -1, 0},
	} {
		links := pageLinks("/p", c.offset, c.limit, c.total)
		want := object{"self": link(c.offset, c.limit), "first": link(0, c.limit), "last": link(c.last, c.limit)}
		if c.prev >= 0 {
			want["prev"] = link(c.prev, c.limit)
		}
		if c.next >= 0 {
			want["next"] = link(c.next, c.limit)
		}
		require.Equal(t, want, links, "%+v", c)
	}
	c := newClient(t, Options{})
	owner, i := c.customer(t), c.card(t, visa)
	for range 3 {
		c.instrument(t, owner, i)
	}
	list := customersPath + "/" + owner + "/payment-instruments"
	r := c.do(t, http.MethodGet, list, "")
	require.Equal(t, "3", r.header.Get("X-Total-Count"))
	require.InDelta(t, 20, r.body["limit"], 0)
	past := c.do(t, http.MethodGet, list+"?offset=3", "")
	require.Equal(t, http.StatusOK, past.status)
	require.NotContains(t, past.body, "_embedded")
	for _, query := range []string{"limit=101", "limit=0", "limit=x", "offset=-1", "offset="} {
		r := c.do(t, http.MethodGet, list+"?"+query, "")
		require.Equal(t, "invalidParameters", r.kind(), query)
		name, _, _ := strings.Cut(query, "=")
		require.Equal(t, []any{object{"name": name}}, r.details())
	}
}

func link(offset, limit int64) object {
	return object{"href": fmt.Sprintf("/p?offset=%d&limit=%d", offset, limit)}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{
		AcceptBadLuhn: true, IgnoreUnknownFields: true, RefuseDefaultFalse: true, LinkErrorsByStatus: true,
		PruneReplacedIdentifier: true, OmitEmbedded: true,
	})
	owner := c.customer(t)
	base := customersPath + "/" + owner + "/payment-instruments"
	i := c.card(t, "4111111111111112")
	r := c.do(t, http.MethodPost, base, `{"surprise":1,`+instrumentBody(i)[1:])
	require.Equal(t, http.StatusCreated, r.status)
	require.NotContains(t, r.raw, "surprise")
	require.NotContains(t, r.raw, "_embedded")
	require.Equal(t, "invalidFields", c.do(t, http.MethodPatch, base+"/"+r.id(), `{"default":false}`).kind())
	require.Equal(t, http.StatusOK, c.do(t, http.MethodPatch, base+"/"+r.id(), `{"instrumentIdentifier":{"id":"`+c.card(t, visa)+`"}}`).status)
	require.Equal(t, http.StatusGone, c.do(t, http.MethodGet, identifiersPath+"/"+i, "").status)
	require.Equal(t, http.StatusGone, c.do(t, http.MethodPost, base, instrumentBody(i)).status)
	require.Equal(t, http.StatusNotFound, c.do(t, http.MethodPost, base, instrumentBody("7010000000000000000")).status)
	require.Panics(t, func() { New(Options{SharedSecret: "?"}) })
}

func TestPaymentRefusals(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	owner := c.customer(t)
	body := func(action, amount, customer, token string) string {
		return fmt.Sprintf(`{"processingInformation":{"actionList":[%q],"actionTokenTypes":["paymentInstrument"]},`+
			`"orderInformation":{"amountDetails":{"totalAmount":%q,"currency":"USD"}},`+
			`"paymentInformation":{"customer":{"id":%q}},"tokenInformation":{"transientTokenJwt":%q}}`, action, amount, customer, token)
	}
	token := MintTransientToken(TransientCard{})
	for field, request := range map[string]string{
		"processingInformation.actionList":           body("", "0", owner, token),
		"orderInformation.amountDetails.totalAmount": body("TOKEN_CREATE", "1.00", owner, token),
		"paymentInformation.customer.id":             body("TOKEN_CREATE", "0", noID, token),
		"tokenInformation.transientTokenJwt":         body("TOKEN_CREATE", "0", owner, ""),
		"tokenInformation.jti":                       body("TOKEN_CREATE", "0", owner, "a.b"),
	} {
		r := c.do(t, http.MethodPost, "/pts/v2/payments", request)
		require.Equal(t, http.StatusBadRequest, r.status)
		require.Equal(t, "INVALID_REQUEST", r.str("status"))
		require.Contains(t, r.raw, `"field":"`+field+`"`)
	}
	require.Empty(t, c.server.State().Instruments)
	r := c.do(t, http.MethodPost, "/pts/v2/payments", strings.Replace(body("TOKEN_CREATE", "0.00", "", token),
		`["paymentInstrument"]`, `["customer","paymentInstrument"]`, 1))
	require.Equal(t, http.StatusCreated, r.status, r.raw)
	require.NotEqual(t, owner, r.str("tokenInformation", "customer", "id"), "a customer is made where none is named")
}

func TestStateIsMaskedAndLedgered(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	owner := c.customer(t)
	c.instrument(t, owner, c.card(t, visa))
	c.card(t, visa)
	c.do(t, http.MethodPost, identifiersPath, `{"bankAccount":{"number":"000123456789","routingNumber":"071923284"}}`)
	state := c.server.State()
	require.NotContains(t, fmt.Sprintf("%+v", state), visa)
	require.Equal(t, "cus-1", state.Customers[0].MerchantID)
	require.Equal(t, state.Instruments[0].ID, state.Customers[0].Default)
	require.Equal(t, []any{owner, true, "card", "1111", 12, 2031}, []any{
		state.Instruments[0].Customer, state.Instruments[0].Live, state.Instruments[0].Type, state.Instruments[0].Last4,
		state.Instruments[0].ExpMonth, state.Instruments[0].ExpYear,
	})
	var committed []bool
	for _, r := range state.Requests {
		committed = append(committed, r.Committed)
	}
	require.Equal(t, []bool{true, true, true, false, true}, committed, "a number that was there changes nothing")
	c.server.Reset()
	require.Equal(t, 0, len(c.server.State().Customers)+len(c.server.State().Instruments))
}

func TestConcurrentStoresOfOneNumber(t *testing.T) {
	t.Parallel()
	c := newClient(t, Options{})
	owner := c.customer(t)
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for n := range ids {
		wg.Go(func() {
			ids[n] = c.card(t, visa)
			c.instrument(t, owner, ids[n])
		})
	}
	wg.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
	}
	defaults := 0
	for _, i := range c.server.State().Instruments {
		if i.ID == c.server.State().Customers[0].Default {
			defaults++
		}
	}
	require.Equal(t, 1, defaults)
	require.Len(t, c.server.State().Instruments, len(ids))
}
