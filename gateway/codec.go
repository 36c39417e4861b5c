package gateway

import (
	"fmt"

	"github.com/go-json-experiment/json"
	jsonv1 "github.com/go-json-experiment/json/v1"
)

// The durable form of a record is JSON, for people with a Redis prompt and for
// later releases. It is read on every request, so the decoder matters: this one
// takes a third of encoding/json's time.

func encodeOptions() json.Options {
	return json.JoinOptions(
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
