package adaptertest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

// seen keeps an error for the checks at the end, and returns it as what it must be.
func (b *bench) seen(err error, what string) *normalize.Error {
	b.tb.Helper()
	require.Error(b.tb, err, what)
	e, ok := errors.AsType[*normalize.Error](err)
	require.True(b.tb, ok && e != nil, "%s: an adapter fails only with a *normalize.Error, not %T", what, err)
	b.mu.Lock()
	b.errs = append(b.errs, err)
	b.mu.Unlock()
	return e
}

// note is seen for callers that need no more than that.
func (b *bench) note(err error, what string) {
	b.tb.Helper()
	_ = b.seen(err, what)
}

func (b *bench) requireNoError(err error, what string) {
	b.tb.Helper()
	if err != nil {
		b.note(err, what)
	}
	require.NoError(b.tb, err, what)
}

// requireOutcome requires an error with the outcome and one of codes; no codes means any.
func (b *bench) requireOutcome(err error, o normalize.Outcome, what string, codes ...normalize.Code) {
	b.tb.Helper()
	e := b.seen(err, what)
	require.Equal(b.tb, o, e.Outcome, "%s: outcome of %v", what, err)
	if len(codes) > 0 {
		require.Contains(b.tb, codes, e.Code, "%s: code of %v", what, err)
	}
}

// requireUnsent requires that the call was refused before anything was sent;
// before is how many requests the stand-in had seen until then.
func (b *bench) requireUnsent(err error, before int, what string, codes ...normalize.Code) {
	b.tb.Helper()
	b.requireOutcome(err, normalize.NotSent, what, codes...)
	require.Equal(b.tb, before, b.requests(), "%s: nothing may be sent", what)
}

// gone are the codes of an instrument that is not there (any more).
func gone() []normalize.Code {
	return []normalize.Code{normalize.NotFound, normalize.InstrumentDeleted}
}

// msgForm: lower case but for words like CVC or the API's name, no trailing period.
var msgForm = regexp.MustCompile(`^[^A-Z.\s][^\n]*[^.\s]$`)

// verifyErrors checks what holds for every error of an adapter.
func (b *bench) verifyErrors() {
	b.tb.Helper()
	hidden := variants(b.hiddenStrings())
	for _, err := range b.errs {
		if problem := wrongWith(err, hidden); problem != "" {
			require.Fail(b.tb, problem)
		}
	}
}

func wrongWith(err error, hidden []string) string {
	e, _ := errors.AsType[*normalize.Error](err)
	switch {
	case !slices.Contains(normalize.Codes(), e.Code):
		return fmt.Sprintf("code %q is not one of normalize.Codes", e.Code)
	case e.Outcome != normalize.NotSent && e.Outcome != normalize.Rejected && e.Outcome != normalize.Unknown:
		return fmt.Sprintf("outcome %q is not one that a failure can have", e.Outcome)
	case !msgForm.MatchString(e.Msg):
		return fmt.Sprintf("msg %q is not lower case without a trailing period", e.Msg)
	case e.Op == "":
		return fmt.Sprintf("op is not set: %v", e)
	case e.Provider != "":
		return fmt.Sprintf("provider is set to %q: only the gateway knows its name", e.Provider)
	case e.RetryAfter < 0 || e.RetryAfter > time.Hour:
		return fmt.Sprintf("retry after %v is not between 0 and an hour", e.RetryAfter)
	}
	for _, f := range e.Fields {
		if f.Pointer != "" && !strings.HasPrefix(f.Pointer, "/") || !slices.Contains(normalize.Codes(), f.Code) {
			return fmt.Sprintf("field %+v has no pointer or code of the API", f)
		}
	}
	for form, text := range renderings(err) {
		for _, secret := range hidden {
			if strings.Contains(text, secret) {
				return fmt.Sprintf("the error's %s holds a secret or a card number (%d characters of it)", form, len(secret))
			}
		}
	}
	return ""
}

// renderings are the ways in which an error reaches a log or a client. The whole
// chain is rendered, since %#v of the outermost shows only addresses of the inner.
func renderings(err error) map[string]string {
	out := map[string]string{}
	for depth := 0; err != nil; depth++ {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			out[fmt.Sprintf("%s at depth %d", verb, depth)] = fmt.Sprintf(verb, err)
		}
		if text, jsonErr := json.Marshal(err); jsonErr == nil {
			out[fmt.Sprintf("JSON at depth %d", depth)] = string(text)
		}
		err = errors.Unwrap(err)
	}
	return out
}

// variants are the forms in which a secret could show up.
func variants(secrets []string) []string {
	var out []string
	for _, s := range secrets {
		if len(s) < 4 { // too short to tell from chance
			continue
		}
		b := []byte(s)
		out = append(out, s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(fmt.Sprintf("%q", s), `"`),
			strings.TrimRight(base64.StdEncoding.EncodeToString(b), "="), base64.RawURLEncoding.EncodeToString(b))
		if len(s) == 16 && strings.Trim(s, "0123456789") == "" {
			out = append(out, s[:4]+" "+s[4:8]+" "+s[8:12]+" "+s[12:], s[:4]+"-"+s[4:8]+"-"+s[8:12]+"-"+s[12:])
		}
	}
	return out
}

// secretsOf returns what is secret in a source. A security code is too short to look for.
func secretsOf(s normalize.Source) []string {
	var out []string
	add := func(v normalize.Secret) {
		if !v.IsZero() {
			out = append(out, v.Reveal())
		}
	}
	if s.Card != nil {
		add(s.Card.Number)
	}
	if s.BankAccount != nil {
		add(s.BankAccount.AccountNumber)
		add(s.BankAccount.IBAN)
	}
	if s.TransientToken != nil {
		add(s.TransientToken.TransientToken)
	}
	if s.RebillyToken != nil {
		add(s.RebillyToken.Token)
	}
	if s.VaultedToken != nil {
		add(s.VaultedToken.VaultToken)
	}
	return out
}
