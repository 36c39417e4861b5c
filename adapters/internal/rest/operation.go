package rest

import "context"

// operationKey is the key of a request's operation in its context.
type operationKey struct{}

// Operation is the Op of the [Request] that a context belongs to; "" for none.
func Operation(ctx context.Context) string {
	op, _ := ctx.Value(operationKey{}).(string)
	return op
}
