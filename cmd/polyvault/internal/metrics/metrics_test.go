package metrics

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/httpapi"
	"github.com/polyvault/polyvault/normalize"
)

func gather(t *testing.T, m *Meter) string {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(m.Collectors()...)
	problems, err := testutil.GatherAndLint(r)
	require.NoError(t, err)
	require.Empty(t, problems)
	families, err := r.Gather()
	require.NoError(t, err)
	var out strings.Builder
	for _, f := range families {
		for _, s := range f.GetMetric() {
			fmt.Fprint(&out, f.GetName(), "{")
			for _, l := range s.GetLabel() {
				fmt.Fprintf(&out, "%s=%s,", l.GetName(), l.GetValue())
			}
			switch {
			case s.GetHistogram() != nil:
				fmt.Fprintf(&out, "} %d %v\n", s.GetHistogram().GetSampleCount(), s.GetHistogram().GetSampleSum())
			default:
				fmt.Fprintf(&out, "} %v\n", s.GetCounter().GetValue())
			}
		}
	}
	return out.String()
}

func TestWhatIsTold(t *testing.T) {
	t.Parallel()
	m := New()
	m.Providers("second")
	m.Request(t.Context(), httpapi.Observation{Operation: "getInstrument", Method: "GET", Tenant: "acme", Status: 200, Took: time.Second})
	m.Request(t.Context(), httpapi.Observation{Method: "other", Status: 404, Code: normalize.NotFound, Took: time.Second})
	call := gateway.ProviderCall{Provider: "first", Operation: "create", Outcome: normalize.Unknown, Code: normalize.ProviderTimeout, Took: 2 * time.Second}
	m.ProviderCall(call)
	m.ProviderCall(call)
	m.ProviderCall(gateway.ProviderCall{Provider: "first", Operation: "get", Outcome: normalize.Applied, Took: time.Second})
	m.StoreCall(gateway.StoreCall{Operation: gateway.StoreWrite, Result: gateway.StoreConflict, Took: time.Second})
	m.PassedOver("first", gateway.ReasonBreakerOpen)
	m.FailedOver("second")
	m.Webhooks("first")
	m.Noticed("first", gateway.NoticeRefused)
	m.Limits("acme", gateway.LimitKey)
	m.Limited("acme", gateway.LimitTenant)
	got := gather(t, m)
	for _, line := range []string{
		"polyvault_http_requests_total{code=none,method=GET,operation=getInstrument,status=200,} 1",
		"polyvault_http_requests_total{code=not_found,method=other,operation=none,status=404,} 1",
		"polyvault_http_request_duration_seconds{operation=getInstrument,} 1 1",
		"polyvault_tenant_requests_total{class=2xx,tenant=acme,} 1",
		"polyvault_tenant_requests_total{class=4xx,tenant=none,} 1",
		"polyvault_provider_operations_total{code=provider_timeout,operation=create,outcome=unknown,provider=first,} 2",
		"polyvault_provider_operations_total{code=none,operation=get,outcome=applied,provider=first,} 1",
		"polyvault_provider_operation_duration_seconds{operation=create,provider=first,} 2 4",
		"polyvault_store_operations_total{operation=write,result=conflict,} 1",
		"polyvault_store_operations_total{operation=load,result=error,} 0",
		"polyvault_store_operation_duration_seconds{operation=write,} 1 1",
		"polyvault_create_passed_over_total{provider=first,reason=breaker_open,} 1",
		"polyvault_create_failovers_total{provider=second,} 1",
		"polyvault_webhooks_total{provider=first,result=refused,} 1",
		"polyvault_webhooks_total{provider=first,result=acted_upon,} 0",
		"polyvault_limits_refused_total{limit=key,tenant=acme,} 0",
		"polyvault_limits_refused_total{limit=tenant,tenant=acme,} 1",
	} {
		require.Contains(t, got, line+"\n")
	}
}

func TestManyAtTheSameTimeAreAllCounted(t *testing.T) {
	t.Parallel()
	m := New()
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 200 {
				m.FailedOver(fmt.Sprintf("provider-%d", (i+j)%20))
			}
		})
	}
	wg.Wait()
	got := gather(t, m)
	for i := range 20 {
		require.Contains(t, got, fmt.Sprintf("polyvault_create_failovers_total{provider=provider-%d,} 160\n", i))
	}
}

// A request, its store round trip and its provider call cost well under a microsecond
// each, and leave nothing to collect.
func TestCountingLeavesNoGarbage(t *testing.T) {
	m := New()
	o := httpapi.Observation{Operation: "getInstrument", Method: "GET", Tenant: "acme", Status: 200, Took: time.Millisecond}
	p := gateway.ProviderCall{Provider: "first", Operation: "get", Outcome: normalize.Applied, Took: time.Millisecond}
	s := gateway.StoreCall{Operation: gateway.StoreLoad, Result: gateway.StoreOK, Took: time.Microsecond}
	ctx := t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() { m.Request(ctx, o); m.ProviderCall(p); m.StoreCall(s) }))
}

func BenchmarkLiveRead(b *testing.B) {
	m, ctx := New(), b.Context()
	o := httpapi.Observation{Operation: "getInstrument", Method: "GET", Tenant: "acme", Status: 200, Took: time.Millisecond}
	p := gateway.ProviderCall{Provider: "first", Operation: "get", Outcome: normalize.Applied, Took: time.Millisecond}
	s := gateway.StoreCall{Operation: gateway.StoreLoad, Result: gateway.StoreOK, Took: 100 * time.Microsecond}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := time.Duration(0); pb.Next(); i++ {
			o.Took, p.Took, s.Took = i%100*time.Millisecond, i%50*time.Millisecond, i%1000*time.Microsecond
			m.Request(ctx, o)
			m.ProviderCall(p)
			m.StoreCall(s)
		}
	})
}
