package cybersource

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The vectors were computed with the functions of the official Node client.
func TestSignature(t *testing.T) {
	t.Parallel()
	const (
		list = "/tms/v2/customers/AB695DA801DD1BB6E05341588E0A3BDC/payment-instruments"
		one  = list + "/AB6A54B97C00FCB6E05341588E0A3935"
		read = `headers="host date request-target v-c-merchant-id", `
		body = `headers="host date request-target digest v-c-merchant-id", `
	)
	for name, v := range map[string]struct{ method, target, body, digest, signature string }{
		"a POST signs its digest": {
			http.MethodPost, list,
			`{"default":true,"card":{"expirationMonth":"12","expirationYear":"2031","type":"001"},"instrumentIdentifier":{"id":"7010000000016241111"}}`,
			"SHA-256=vTlua7YYXuOs2TEljnKnFuiUIQ0TtFkUn607kOoJZ3Y=", body + `signature="MilT48H8ceaFmoZx//Ey4hGvsa0o86+90tFiKMfxM0g="`,
		},
		"a GET signs its query and no digest": {
			http.MethodGet, list + "?offset=0&limit=20", "", "", read + `signature="iIvGHDKEn2s9dNbb6RTNWbOPq7/fvrxtYku4m6n8vi8="`,
		},
		"a PATCH signs its digest": {
			http.MethodPatch, one, `{"default":true}`, "SHA-256=aseIk8R7tfiFfFnfI/uTHtQU7LCaBcH2TtuewZvgH8A=",
			body + `signature="/Fuyf4XZrig4pNybfmf0q+ztIehyA7w8Nf13gSjQIKI="`,
		},
		"a DELETE signs no digest": {
			http.MethodDelete, one, "", "", read + `signature="PGUa7a5xTmyIIUXrSQ9c3Pb8zIPGD5nq6UxnRXen+FY="`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req, err := http.NewRequestWithContext(t.Context(), v.method, "https://apitest.cybersource.com"+v.target, strings.NewReader(v.body))
			require.NoError(t, err)
			var sent []byte
			if v.body != "" {
				sent = []byte(v.body)
			}
			require.NoError(t, vectorSigner().authorize(req, sent))
			require.Equal(t, "apitest.cybersource.com", req.Host)
			require.Equal(t, "Thu, 18 Jul 2024 00:18:03 GMT", req.Header.Get("Date"))
			require.Equal(t, "testmerchant", req.Header.Get("V-C-Merchant-Id"))
			require.Equal(t, v.digest, req.Header.Get("Digest"))
			require.Equal(t, `keyid="08c94330-f618-42a3-b09d-e1e43be5efda", algorithm="HmacSHA256", `+v.signature, req.Header.Get("Signature"))
			require.Empty(t, req.Header.Get("Authorization"))
		})
	}
}

func TestMetaKeySignsThePortfolioAndSendsTheMerchant(t *testing.T) {
	t.Parallel()
	s := vectorSigner()
	s.signedID = "portfolio"
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://apitest.cybersource.com/x", http.NoBody)
	require.NoError(t, err)
	require.NoError(t, s.authorize(req, nil))
	require.Equal(t, "testmerchant", req.Header.Get("V-C-Merchant-Id"))
	signed := req.Header.Get("Signature")
	s.merchantID, s.signedID = "portfolio", "portfolio"
	require.NoError(t, s.authorize(req, nil))
	require.Equal(t, signed, req.Header.Get("Signature"))
}

func TestPrintingASignerShowsNoKey(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		require.NotContains(t, fmt.Sprintf(verb, vectorSigner()), "unit-test-shared-secret", verb)
	}
}

func vectorSigner() signer {
	return signer{
		merchantID: "testmerchant", signedID: "testmerchant", keyID: "08c94330-f618-42a3-b09d-e1e43be5efda",
		mac: macWith([]byte("unit-test-shared-secret-32bytes!")),
		now: func() time.Time { return time.Date(2024, 7, 18, 0, 18, 3, 0, time.UTC) },
	}
}
