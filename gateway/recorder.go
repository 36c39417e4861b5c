package gateway

import (
	"maps"
	"slices"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// Recorder takes down what was decided, so that other routes can be rehearsed over the
// same requests. Record is called by every create: it must return at once, and has
// nothing to fail with.
type Recorder interface {
	Record(RecordedDecision)
}

// RecordedDecision is one create's request as the routes saw it, and what they said.
// It has no card data, no customer id, and of the metadata only what a configured route
// matches on.
type RecordedDecision struct {
	Time time.Time `json:"time"`
	RouteRequest
	// MetadataKeys are those that would have been recorded: of others it is not known
	// whether the request had them.
	MetadataKeys []string `json:"metadata_keys,omitempty"`
	Drained      []string `json:"drained,omitempty"` // providers that were, at that time
	Decision     Decided  `json:"decision"`
}

// Decided is a decision as it is recorded.
type Decided struct {
	Route      string              `json:"route,omitzero"`
	Candidates []RecordedCandidate `json:"candidates,omitempty"`
	Mirrors    []RecordedCandidate `json:"mirrors,omitempty"`
}

// RecordedCandidate is a candidate as it is recorded.
type RecordedCandidate struct {
	Provider string `json:"provider"`
	Reason   Reason `json:"reason,omitzero"`
}

// RecordedBINDigits is how many digits of a card's number are recorded at most.
const RecordedBINDigits = 6

// recorded makes what is written down of a decision.
func recorded(now time.Time, in DecideInput, d Decision) RecordedDecision {
	out := RecordedDecision{
		Time: now.UTC(), RouteRequest: in.Request, MetadataKeys: MetadataKeys(in.Routes),
		Decision: d.Decided(),
	}
	out.BIN = out.BIN[:min(len(out.BIN), RecordedBINDigits)]
	out.Metadata = nil
	for _, key := range out.MetadataKeys {
		// What looks like a card number was refused before; this is the last line that it would have to pass.
		if v, ok := in.Request.Metadata[key]; ok && !normalize.ContainsCardNumber(v) {
			if out.Metadata == nil {
				out.Metadata = map[string]string{}
			}
			out.Metadata[key] = v
		}
	}
	for _, f := range in.Providers {
		if f.Drained {
			out.Drained = append(out.Drained, f.Name)
		}
	}
	return out
}

// Decided is the decision as it is recorded.
func (d Decision) Decided() Decided {
	return Decided{Route: d.Route, Candidates: recordedCandidates(d.Candidates), Mirrors: recordedCandidates(d.Mirrors)}
}

func recordedCandidates(in []Candidate) []RecordedCandidate {
	if in == nil {
		return nil
	}
	out := make([]RecordedCandidate, len(in))
	for i, c := range in {
		out[i] = RecordedCandidate{c.Provider, c.Reason}
	}
	return out
}

// MetadataKeys are the metadata keys that any of the routes matches on, sorted.
func MetadataKeys(routes []Route) []string {
	keys := map[string]bool{}
	for _, r := range routes {
		for key := range r.Match.Metadata {
			keys[key] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}
