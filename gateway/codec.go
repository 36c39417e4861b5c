package gateway

import (
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// The durable form of a record is JSON, for people with a Redis prompt and for
// later releases. It is read on every request, so the decoder matters: this one
// takes a third of encoding/json's time.

// encodeOptions write what encoding/json would. Bytes that are no UTF-8, which a
// provider can send in a header such as its request id, are replaced and do not
// stop the end of an attempt from being written.
func encodeOptions() json.Options {
	return json.JoinOptions(
		jsontext.AllowInvalidUTF8(true),
		json.FormatNilMapAsNull(true), json.FormatNilSliceAsNull(true), jsonv1.OmitEmptyWithLegacySemantics(true),
	)
}

// encode writes the record's durable form.
func (r Record) encode() []byte {
	b, err := json.Marshal(r, encodeOptions())
	if err != nil {
		panic("gateway: a record is always encodable: " + err.Error())
	}
	return b
}

// encodeInOrder is encode with the members of maps in order, for comparing.
func (r Record) encodeInOrder() []byte {
	b, err := json.Marshal(r, encodeOptions(), json.Deterministic(true))
	if err != nil {
		panic("gateway: a record is always encodable: " + err.Error())
	}
	return b
}

func decodeRecord(b []byte) (Record, error) {
	var r Record
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: a record cannot be read: %w", ErrStore, err)
	}
	if r.Schema != schemaVersion {
		return r, fmt.Errorf("%w: record %s has schema %d, this release reads %d", ErrStore, r.ID, r.Schema, schemaVersion)
	}
	return r, nil
}
