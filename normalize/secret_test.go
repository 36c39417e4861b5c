package normalize_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

const pan = "4111111111111111"

// holder has a secret at every depth that a log line could reach.
type holder struct {
	Secret  normalize.Secret            `json:"secret"`
	Pointer *normalize.Secret           `json:"pointer"`
	List    []normalize.Secret          `json:"list"`
	Map     map[string]normalize.Secret `json:"map"`
	Any     any                         `json:"any"`
	hidden  normalize.Secret
}

func newHolder() holder {
	s := normalize.NewSecret(pan)
	return holder{s, &s, []normalize.Secret{s}, map[string]normalize.Secret{"k": s}, s, s}
}

func TestSecretPrintsRedactedUnderEveryVerb(t *testing.T) {
	t.Parallel()
	s := normalize.NewSecret(pan)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%08d", "%t", "%U", "%c", "%e", "%w", "%T-%v", "%p"} {
		for _, v := range []any{s, &s, newHolder(), []any{s}, struct{ normalize.Secret }{s}} {
			text := fmt.Sprintf(verb, v, v)
			require.NotContains(t, text, pan, verb)
			require.NotContains(t, text, fmt.Sprintf("%x", pan), verb)
			require.NotContains(t, text, fmt.Sprintf("%X", pan), verb)
		}
	}
	require.Equal(t, "[redacted]", fmt.Sprint(s))
	require.Equal(t, "[redacted]", fmt.Sprintf("%d", s))
	require.Equal(t, "[redacted]", s.String())
}

func TestSecretMarshalsRedacted(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(newHolder())
	require.NoError(t, err)
	require.NotContains(t, string(text), pan)
	require.Contains(t, string(text), `"secret":"[redacted]"`)
	text, err = json.Marshal(map[normalize.Secret]int{normalize.NewSecret(pan): 1})
	require.NoError(t, err)
	require.JSONEq(t, `{"[redacted]":1}`, string(text), "as a map key")
	text, err = normalize.NewSecret(pan).MarshalText()
	require.NoError(t, err)
	require.Equal(t, "[redacted]", string(text))
	text, err = xml.Marshal(normalize.NewSecret(pan))
	require.NoError(t, err)
	require.NotContains(t, string(text), pan)
}

func TestSecretStaysOutOfLogs(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		"JSON": func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
	} {
		var out bytes.Buffer
		slog.New(handler(&out)).Info("request", "card", normalize.NewSecret(pan), "all", newHolder())
		require.NotContains(t, out.String(), pan, name)
		require.Contains(t, out.String(), "[redacted]", name)
	}
}

func TestSecretUnmarshal(t *testing.T) {
	t.Parallel()
	var h holder
	require.NoError(t, json.Unmarshal([]byte(`{"secret":"4111111111111111","pointer":null}`), &h))
	require.Equal(t, pan, h.Secret.Reveal())
	require.Nil(t, h.Pointer)
	require.True(t, h.hidden.IsZero())
	require.False(t, h.Secret.IsZero())
	for _, bad := range []string{`{"secret":4111111111111111}`, `{"secret":["4111111111111111"]}`, `{"secret":{"n":"4111111111111111"}}`} {
		err := json.Unmarshal([]byte(bad), &h)
		require.Error(t, err)
		require.NotContains(t, err.Error(), pan, "an error does not hold the input")
	}
}
