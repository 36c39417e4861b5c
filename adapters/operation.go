package adapters

import (
	"context"

	"github.com/polyvault/polyvault/adapters/internal/rest"
)

// Operation names what a request of a provider's HTTP client is for, such as "create" and
// "create customer", from the request's context; "" if it is none of an adapter's.
func Operation(ctx context.Context) string { return rest.Operation(ctx) }
