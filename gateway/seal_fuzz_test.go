package gateway

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// FuzzSealedPlaces: what is sealed opens where it was sealed, and at no other tenant,
// record or provider, however their names run into each other.
func FuzzSealedPlaces(f *testing.F) {
	f.Add("acme", "ins_1", "rebilly", "other", "ins_1", "rebilly", []byte("cus_1"))
	f.Add("acme", "ins_1", "rebilly", "acmei", "ns_1", "rebilly", []byte(""))
	f.Add("a", "", "", "", "a", "", []byte("\x00"))
	f.Add("acme", "ins_1", "", "acme", "ins_1", "sealed record", []byte("x"))
	s := testSealer()
	f.Fuzz(func(t *testing.T, tenant, record, provider, otherTenant, otherRecord, otherProvider string, plain []byte) {
		from, err := s.box(s.Current(), place{tenant, record})
		require.NoError(t, err)
		sealed := from.seal(provider, plain)
		opened, err := from.open(provider, sealed)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, opened))
		to, err := s.box(s.Current(), place{otherTenant, otherRecord})
		require.NoError(t, err)
		if tenant == otherTenant && record == otherRecord && provider == otherProvider {
			return
		}
		_, err = to.open(otherProvider, sealed)
		require.ErrorIs(t, err, ErrUnreadable)
	})
}

// FuzzOpenSealed: whatever stands in the store in a sealed place, it is opened only if
// it is what was sealed there; nothing panics, and no error shows what is inside.
func FuzzOpenSealed(f *testing.F) {
	s := testSealer()
	at := place{"acme", "ins_00000000000000000000000000"}
	b, err := s.box(s.Current(), at)
	require.NoError(f, err)
	secret := []byte(`{"instrument":"inst_secret"}`)
	good := b.seal("rebilly-main", secret) // with a nonce of its own in each process that fuzzes
	f.Add(good, s.Current(), "rebilly-main")
	f.Add(good[:len(good)-1], s.Current(), "rebilly-main")
	f.Add(good[:11], s.Current(), "rebilly-main")
	f.Add([]byte{}, "r-k2", "")
	f.Add(bytes.Repeat([]byte{0}, 28), "r-k9", "rebilly-main")
	f.Fuzz(func(t *testing.T, sealed []byte, keyID, provider string) {
		b, err := s.box(keyID, at)
		if err != nil {
			require.ErrorIs(t, err, ErrUnreadable)
			require.False(t, s.Has(keyID))
			return
		}
		plain, err := b.open(provider, sealed)
		if err == nil {
			require.True(t, bytes.Equal(plain, secret) && provider == "rebilly-main" && keyID == s.Current())
			return
		}
		require.ErrorIs(t, err, ErrUnreadable)
		require.NotContains(t, err.Error(), "inst_secret")
	})
}

// FuzzEventSecret: a signing secret is refused, without being shown, or what it signs is
// verified with it, and with no other, by the library that receivers use.
func FuzzEventSecret(f *testing.F) {
	f.Add(hookKey, "evt_1", "{}")
	f.Add(newerKey, "", "")
	f.Add("whsec_", "evt_1", "{}")
	f.Add("whsec_c2hvcnQ=", "evt.1", "x")
	f.Add("whsec_whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "e", "b")
	f.Add("whsec_"+strings.Repeat("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", 3), "e", "b")
	f.Add("whsec_MDEyMzQ1Njc4OWFi\nY2RlZjAxMjM0NTY3", "e", "b")
	f.Fuzz(func(t *testing.T, secret, id, body string) {
		e, err := newEndpoint(acme, EventEndpoint{URL: hookURL, Secrets: []normalize.Secret{normalize.NewSecret(secret)}}, false)
		if err != nil {
			if len(secret) > 12 {
				require.NotContains(t, err.Error(), secret)
			}
			return
		}
		now := time.Now()
		signature, err := e.sign(event{ID: id, Body: body}, now)
		require.NoError(t, err)
		header := http.Header{}
		header.Set(standardwebhooks.HeaderWebhookID, id)
		header.Set(standardwebhooks.HeaderWebhookTimestamp, "0")
		header.Set(standardwebhooks.HeaderWebhookSignature, signature)
		theirs, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)
		header.Set(standardwebhooks.HeaderWebhookTimestamp, now.UTC().Format("20060102"))
		require.Error(t, theirs.VerifyIgnoringTimestamp([]byte(body), header), "another time is not what was signed")
		again, err := theirs.Sign(id, now, []byte(body))
		require.NoError(t, err)
		require.Equal(t, again, signature)
		other, err := standardwebhooks.NewWebhook("whsec_" + strings.Repeat("b3RoZXJz", 4))
		require.NoError(t, err)
		another, err := other.Sign(id, now, []byte(body))
		require.NoError(t, err)
		require.Equal(t, secret == "whsec_"+strings.Repeat("b3RoZXJz", 4), another == signature)
	})
}

// FuzzEndpointURL: where events are sent to is refused, or is https at a host, without
// credentials and without a fragment, as the request is made.
func FuzzEndpointURL(f *testing.F) {
	for _, text := range []string{hookURL, "http://shop.example/", "https://a:b@shop.example/", "https:///x", "https://:443", "https://shop.example/#x", "HTTPS://SHOP.example", "https://[::1%25eth0]/", "https:shop.example", "//shop.example", "https://shop.example\\@evil.example/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if CheckEndpointURL(text, false) != "" {
			_, err := newEndpoint(acme, hookAt(text), false)
			require.Error(t, err)
			return
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, text, nil)
		require.NoError(t, err)
		require.Equal(t, "https", req.URL.Scheme)
		require.NotEmpty(t, req.URL.Hostname())
		require.Nil(t, req.URL.User)
		require.Empty(t, req.URL.Fragment)
		_, err = newEndpoint(acme, hookAt(text), false)
		require.NoError(t, err)
	})
}
