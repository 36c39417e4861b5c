package gateway

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Keys of entries and names of indexes. Everything of one record is under its id;
// an index is another place, and holds nothing that the records do not.

func recordKey(id string) string { return id }

const customerPrefix = "cus/"

func customerEntryKey(tenant, customer string) string {
	return customerPrefix + tenant + "/" + customer
}

// keyUseKey is where it is written down what an idempotency key was used for. The
// key itself is never stored.
func keyUseKey(key ReferenceKey, tenant, idempotencyKey string) string {
	return "idem/" + tenant + "/" + hex.EncodeToString(key.mac("idempotency", tenant, idempotencyKey)[:16])
}

// keyUseKeys are the places under every reference key, the current one first.
func (s *Service) keyUseKeys(tenant, idempotencyKey string) []string {
	out := make([]string, len(s.keys))
	for i, key := range s.keys {
		out[i] = keyUseKey(key, tenant, idempotencyKey)
	}
	return out
}

// isNumberClaim tells a claim on a number from one on a place.
func isNumberClaim(claim string) bool { return strings.HasPrefix(claim, "num/") }

// referenceClaim names a place at a provider; whoever holds it is the instrument that lives there.
func referenceClaim(key ReferenceKey, provider, reference string) string {
	return "ref/" + provider + "/" + hex.EncodeToString(key.mac("reference", provider, reference)[:16])
}

// numberClaim names a card or account number of one customer at one provider.
func numberClaim(tenant, customer, provider, fingerprint string) string {
	return "num/" + tenant + "/" + provider + "/" + fingerprint + "/" + customer
}

func indexByCreated(tenant string) string { return "t/" + tenant + "/created" }
func indexByUpdated(tenant string) string { return "t/" + tenant + "/updated" }
func indexByExpiry(tenant string) string  { return "t/" + tenant + "/exp" }
func indexByFingerprint(tenant, fp string) string {
	return "f/" + tenant + "/" + fp
}
func indexByCustomer(tenant, customer string) string { return "c/" + tenant + "/" + customer }

// indexOpen lists a customer's unfinished records: while there is one, an
// instrument that the gateway does not know may be that one's. After them, marked,
// come those that may have a surplus instrument at a provider, which nobody is to
// adopt before it is deleted.
func indexOpen(tenant, customer string) string { return "o/" + tenant + "/" + customer }

// surplusMark sorts after every id.
const surplusMark = "~"

// indexDue lists unfinished records by when they must be looked at.
const indexDue = "due"

// indexByState lists a tenant's creates of unknown outcome, for operators. A create
// that goes well is never in it.
func indexByState(tenant string, state State) string { return "s/" + tenant + "/" + string(state) }

// timeKey writes a time so that byte order is time order, to the microsecond.
func timeKey(t time.Time) string { return fmt.Sprintf("%016x", uint64(t.UnixMicro())) }

// parseTimeKey reads what timeKey wrote, in Unix microseconds; 0 if it is none.
func parseTimeKey(s string) int64 {
	n, err := strconv.ParseInt(s, 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// member joins a sort key and an id; memberID takes the id out.
func member(sortKey, id string) string { return sortKey + "|" + id }

func memberID(m string) string { return m[strings.LastIndexByte(m, '|')+1:] }

// members are the index entries that a record should have; a pure function of it.
func (r Record) members() []Member {
	var out []Member
	if r.unfinished() {
		out = append(out, Member{indexOpen(r.Tenant, r.CustomerID), r.ID})
	}
	if r.waits() || len(r.Refresh) > 0 {
		out = append(out, Member{indexDue, member(timeKey(r.due()), r.ID)})
	}
	if r.loose() {
		out = append(out, Member{indexOpen(r.Tenant, r.CustomerID), r.ID})
	}
	if !r.unfinished() && (len(r.Late) > 0 || r.Doubt != nil) {
		out = append(out, Member{indexOpen(r.Tenant, r.CustomerID), surplusMark + r.ID})
	}
	if len(r.Events) > 0 {
		out = append(out, r.outboxMember())
	}
	if r.undecided() {
		out = append(out, Member{indexByState(r.Tenant, r.State), member(timeKey(r.CreatedAt), r.ID)})
	}
	if !r.live() {
		return out
	}
	for _, index := range r.Named {
		out = append(out, Member{index, r.ID})
	}
	created := member(timeKey(r.CreatedAt), r.ID)
	out = append(out, Member{indexByCustomer(r.Tenant, r.CustomerID), created})
	if r.MirrorOf != "" {
		return out // no instrument of its own
	}
	out = append(out,
		Member{indexByCreated(r.Tenant), created},
		Member{indexByUpdated(r.Tenant), member(timeKey(r.UpdatedAt), r.ID)},
		Member{indexByExpiry(r.Tenant), member(r.expiryKey(), r.ID)},
	)
	if r.View.Fingerprint != "" {
		out = append(out, Member{indexByFingerprint(r.Tenant, r.View.Fingerprint), created})
	}
	return out
}

// expiryKey sorts instruments without an expiry date last.
func (r Record) expiryKey() string {
	if c := r.View.Card; c != nil && c.ExpYear != 0 {
		return fmt.Sprintf("%04d%02d", c.ExpYear, c.ExpMonth)
	}
	return "999999"
}

// indexChange is what must change in the indexes when before becomes after.
func indexChange(before, after []Member) (add, remove []Member) {
	for _, m := range after {
		if !slices.Contains(before, m) {
			add = append(add, m)
		}
	}
	for _, m := range before {
		if !slices.Contains(after, m) {
			remove = append(remove, m)
		}
	}
	return add, remove
}
