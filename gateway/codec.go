package gateway

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// The durable form of a record is JSON, for people with a Redis prompt and for
// later releases. It is read on every request, so the decoder matters: this one
// takes a third of encoding/json's time. What of it is sealed is in the seal*.go files.

// encodeOptions write what encoding/json would. Bytes that are no UTF-8, which a
// provider can send in a header such as its request id, are replaced and do not
// stop the end of an attempt from being written.
func encodeOptions() json.Options {
	return json.JoinOptions(
		jsontext.AllowInvalidUTF8(true),
		json.FormatNilMapAsNull(true), json.FormatNilSliceAsNull(true), jsonv1.OmitEmptyWithLegacySemantics(true),
	)
}

// encodeInOrder is a record as it is, nothing sealed, with the members of maps in
// order: for comparing, never for the store.
func (r Record) encodeInOrder() []byte {
	b, err := json.Marshal(r, encodeOptions(), json.Deterministic(true))
	if err != nil {
		panic("gateway: a record is always encodable: " + err.Error())
	}
	return b
}
