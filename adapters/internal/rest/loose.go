package rest

import (
	"reflect"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Loose is a T, a struct, map or slice, that reads as unset when the JSON is null
// or of another kind: providers have changed types before. It reads in one pass,
// where an UnmarshalJSON method would have its bytes scanned once for each level.
type Loose[T any] struct {
	Value T
	Set   bool
}

// UnmarshalJSONFrom implements [json.UnmarshalerFrom]. It fails only if the JSON
// is malformed, or if a member of T fails.
func (l *Loose[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*l = Loose[T]{}
	want := byte('{')
	if k := reflect.TypeFor[T]().Kind(); k == reflect.Slice || k == reflect.Array {
		want = '['
	}
	if byte(dec.PeekKind()) != want {
		return dec.SkipValue()
	}
	l.Set = true
	return json.UnmarshalDecode(dec, &l.Value)
}

// OneOrMany is a list that some of a provider's generations write as a single
// object. What is neither reads as empty.
type OneOrMany[T any] []T

// UnmarshalJSONFrom implements [json.UnmarshalerFrom].
func (m *OneOrMany[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	*m = nil
	switch byte(dec.PeekKind()) {
	case '{':
		var one T
		if err := json.UnmarshalDecode(dec, &one); err != nil {
			return err
		}
		*m = OneOrMany[T]{one}
		return nil
	case '[':
		var list []Loose[T]
		if err := json.UnmarshalDecode(dec, &list); err != nil {
			return err
		}
		for _, e := range list {
			if e.Set {
				*m = append(*m, e.Value)
			}
		}
		return nil
	default:
		return dec.SkipValue()
	}
}
