package gateway

// What the external tests of this package need of its insides.

// DecodeRecord reads a record's durable form.
func DecodeRecord(b []byte) (Record, error) { return decodeRecord(b) }

// Live reports whether the instrument exists under the record's id.
func (r Record) Live() bool { return r.live() }

// Unfinished reports whether the record waits for somebody.
func (r Record) Unfinished() bool { return r.unfinished() }

// IndexDue is the index of what the reconciler must look at.
const IndexDue = indexDue

// Counts is what a provider's breaker for reads or for writes has been told.
func (s *Service) Counts(provider string, reads bool) (successes, failures, excluded int) {
	p := s.providers[provider]
	c := p.write
	if reads {
		c = p.read
	}
	n := c.breaker.inner.Counts()
	return int(n.TotalSuccesses), int(n.TotalFailures), int(n.TotalExclusions)
}

// DrainedKey is the entry of the drained providers.
const DrainedKey = drainedKey
