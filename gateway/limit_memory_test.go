package gateway_test

import (
	"testing"
	"time"

	"github.com/polyvault/polyvault/gateway"
	"github.com/polyvault/polyvault/gateway/storetest"
)

func TestMemoryBuckets(t *testing.T) {
	t.Parallel()
	storetest.RunBuckets(t, func(testing.TB) gateway.Buckets { return gateway.NewMemoryBuckets(time.Now) })
}
