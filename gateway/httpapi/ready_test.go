package httpapi

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
)

// statused is the fake with providers of its own.
type statused struct {
	*fake
	providers []gateway.ProviderStatus
}

func (s statused) Providers() []gateway.ProviderStatus { return s.providers }

// healthy is of a rig whose providers are as they should be.
func healthy(c *Config) {
	if f, ok := c.Service.(*fake); ok {
		c.Service = statused{f, nil}
	}
}

func writing(breaker string) map[string]gateway.ClassStatus {
	return map[string]gateway.ClassStatus{"read": {Breaker: "closed"}, "write": {Breaker: breaker}}
}

func TestReadinessSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	up, down := gateway.ProviderStatus{Name: "up", Classes: writing("closed")}, gateway.ProviderStatus{Name: "down", Classes: writing("open")}
	half := gateway.ProviderStatus{Name: "half", Classes: writing("half_open")}
	off, drained := gateway.ProviderStatus{Name: "off", Disabled: true, Classes: writing("closed")}, gateway.ProviderStatus{Name: "drained", Drained: true, Classes: writing("open")}
	refusing := gateway.ProviderStatus{Name: "refusing", Alarm: &gateway.Alarm{}, Classes: writing("closed")}
	for name, tt := range map[string]struct {
		providers []gateway.ProviderStatus
		config    string
		drain     bool
		status    int
		want      []shortcoming
	}{
		"all is well":            {providers: []gateway.ProviderStatus{up, up}, status: 200},
		"one of two":             {providers: []gateway.ProviderStatus{down, up}, status: 200},
		"one that may come back": {providers: []gateway.ProviderStatus{half}, status: 200},
		"none at all": {
			providers: []gateway.ProviderStatus{down, off, drained, refusing, down}, status: 200,
			want: []shortcoming{{"no_usable_provider", "no provider can store instruments now: 1 disabled in the configuration, " +
				"1 drained by an operator, 1 refusing the gateway's credentials, 2 with an open breaker"}},
		},
		"a refused configuration": {
			providers: []gateway.ProviderStatus{up}, config: "f.yaml:3: lease: is empty", status: 200,
			want: []shortcoming{{"config_refused", "the newest configuration cannot be used, and the one before is in force: config_error says why"}},
		},
		"everything": {
			providers: []gateway.ProviderStatus{down}, config: "x", drain: true, status: 503,
			want: []shortcoming{
				{"draining", "the gateway is about to stop: send new requests to another one"},
				{"config_refused", "the newest configuration cannot be used, and the one before is in force: config_error says why"},
				{"no_usable_provider", "no provider can store instruments now: 1 with an open breaker"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *Config) { c.Service = statused{newFake(), tt.providers} })
			r.api.Refused(tt.config)
			if tt.drain {
				r.api.Drain()
			}
			rec := r.call(t, http.MethodGet, "/readyz", "", "Authorization", "")
			require.Equal(t, tt.status, rec.Code)
			var got readiness
			require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &got))
			require.Equal(t, tt.want, got.Problems)
			for _, p := range tt.providers {
				require.NotContains(t, rec.Body.String(), `"`+p.Name+`"`, "anybody may ask")
			}
		})
	}
}
