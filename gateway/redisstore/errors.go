package redisstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/polyvault/polyvault/gateway"
)

// failed wraps err in [gateway.ErrStore] with the operation.
func failed(op string, err error) error {
	return fmt.Errorf("%w: redis: %s: %w", gateway.ErrStore, op, plain(err))
}

// plainError stands for an error whose own text may hold keys or values: Redis
// quotes the arguments of a command that it does not know, and go-redis the
// reply that it cannot read.
type plainError struct {
	text string
	err  error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.err }

func plain(err error) error {
	text := err.Error()
	if _, unreadable, ok := strings.Cut(text, "can't parse"); ok && unreadable != "" {
		return &plainError{text: "the reply cannot be read", err: err}
	}
	if _, ok := errors.AsType[redis.Error](err); !ok {
		return err
	}
	if before, _, ok := strings.Cut(text, ", with args"); ok {
		return &plainError{text: before, err: err}
	}
	return err
}

// errReply is a reply in a form that no Redis gives to what was asked.
var errReply = errors.New("unexpected reply")
