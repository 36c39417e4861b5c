package normalize_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// constants returns the values of the constants in file that are declared with type name.
func constants(t *testing.T, file, name string) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var out []string
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if ident, ok := spec.Type.(*ast.Ident); !ok || ident.Name != name {
			return true
		}
		for _, v := range spec.Values {
			lit, ok := v.(*ast.BasicLit)
			require.True(t, ok, "a %s constant is a literal", name)
			text, err := strconv.Unquote(lit.Value)
			require.NoError(t, err)
			out = append(out, text)
		}
		return true
	})
	require.NotEmpty(t, out)
	return out
}

func texts[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}

// The lists are written by hand, so they are compared with the declarations.
func TestListsAreComplete(t *testing.T) {
	t.Parallel()
	require.Equal(t, constants(t, "error.go", "Code"), texts(normalize.Codes()))
	require.Equal(t, constants(t, "instrument.go", "Type"), texts(normalize.Types()))
	require.Equal(t, constants(t, "instrument.go", "Status"), texts(normalize.Statuses()))
	require.Equal(t, constants(t, "source.go", "SourceType"), texts(normalize.SourceTypes()))
	require.Equal(t, constants(t, "card.go", "Brand"), texts(normalize.Brands()))
	seen := map[normalize.Code]bool{}
	for _, c := range normalize.Codes() {
		require.Regexp(t, `^[a-z][a-z_]+[a-z]$`, string(c))
		require.False(t, seen[c], "%s is there twice", c)
		seen[c] = true
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	full := &normalize.Error{
		Code: normalize.ProviderError, Outcome: normalize.Unknown, Op: "create", Msg: "the provider failed", Provider: "rebilly-eu",
		HTTPStatus: 502, ProviderCode: "E42", Err: cause,
		Fields: []normalize.FieldError{{Pointer: "/x", Code: normalize.OutOfRange, Message: "must be 1 to 12"}},
	}
	require.Equal(t, "rebilly-eu: create: provider_error (unknown): the provider failed [http 502] [E42]; /x: out_of_range: connection reset", full.Error())
	require.ErrorIs(t, full, cause)
	require.Equal(t, "not_found (rejected): none", (&normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected, Msg: "none"}).Error())
}

func TestCodeAndOutcomeOf(t *testing.T) {
	t.Parallel()
	e := &normalize.Error{Code: normalize.Conflict, Outcome: normalize.Rejected}
	for name, c := range map[string]struct {
		err     error
		code    normalize.Code
		outcome normalize.Outcome
	}{
		"nil is applied":                        {nil, "", normalize.Applied},
		"an error of ours":                      {e, normalize.Conflict, normalize.Rejected},
		"one that is wrapped":                   {fmt.Errorf("outer: %w", e), normalize.Conflict, normalize.Rejected},
		"one of several":                        {errors.Join(context.Canceled, e), normalize.Conflict, normalize.Rejected},
		"of any other error nothing was proved": {context.Canceled, normalize.InternalError, normalize.Unknown},
	} {
		require.Equal(t, c.code, normalize.CodeOf(c.err), name)
		require.Equal(t, c.outcome, normalize.OutcomeOf(c.err), name)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	fields := []normalize.FieldError{{Pointer: "/a", Code: normalize.MissingField}, {Pointer: "/b", Code: normalize.OutOfRange}}
	e := normalize.Invalid(fields...)
	require.Equal(t, normalize.MissingField, e.Code, "the first field's code")
	require.Equal(t, normalize.NotSent, e.Outcome)
	require.Equal(t, fields, e.Fields)
	require.Equal(t, normalize.InvalidField, normalize.Invalid().Code)
}

func TestRetryOf(t *testing.T) {
	t.Parallel()
	sameKey := map[normalize.Code]bool{
		normalize.IdempotencyKeyInUse: true, normalize.Conflict: true, normalize.ProviderTimeout: true, normalize.OutcomeUnknown: true,
	}
	safe := map[normalize.Code]bool{
		normalize.RateLimited: true, normalize.ProviderRateLimited: true, normalize.ProviderUnavailable: true, normalize.NoEligibleProvider: true,
		normalize.StoreUnavailable: true, normalize.AuditUnavailable: true, normalize.InternalError: true, normalize.ProviderError: true,
	}
	for _, c := range normalize.Codes() {
		require.Equal(t, normalize.RetrySameKey, normalize.RetryOf(c, normalize.Unknown), "%s: what may have happened is asked for with the same key", c)
		for _, o := range []normalize.Outcome{normalize.NotSent, normalize.Rejected, normalize.Applied} {
			want := normalize.RetryNever
			switch {
			case sameKey[c]:
				want = normalize.RetrySameKey
			case safe[c]:
				want = normalize.RetrySafe
			}
			require.Equal(t, want, normalize.RetryOf(c, o), "%s, %s", c, o)
		}
	}
}
