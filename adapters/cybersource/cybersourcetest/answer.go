package cybersourcetest

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/polyvault/polyvault/adapters/standin"
)

const mediaType = "application/json;charset=utf-8"

// object is a JSON object.
type object = map[string]any

// call is a request that has passed authentication.
type call struct {
	r    *http.Request
	body []byte
}

// handler executes a call, with the vault's mutex held.
type handler func(call) answer

// answer is what the provider says.
type answer struct {
	status    int
	body      any // nil for none
	header    map[string]string
	committed bool // the state was changed
}

func (a answer) write(w http.ResponseWriter) {
	for k, v := range a.header {
		w.Header().Set(k, v)
	}
	if a.body == nil {
		w.WriteHeader(a.status)
		return
	}
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(a.status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(a.body) // the client may be gone
}

// handle wraps what all endpoints share: the lock and the ledger.
func (v *vault) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			badBody().write(w)
			return
		}
		v.mu.Lock()
		a := h(call{r, body})
		v.mu.Unlock()
		if a.committed {
			standin.Committed(r)
		}
		a.write(w)
	})
}

func (v *vault) checkHeaders(r *http.Request) (answer, bool) {
	if id := r.Header.Get("Profile-Id"); id != "" {
		if len(id) != 36 {
			return fail(http.StatusBadRequest, "invalidHeaders", "Invalid header values", field("profile-id", "")), false
		}
		if !slices.ContainsFunc(v.opts.Profiles, func(known string) bool { return strings.EqualFold(known, id) }) {
			return fail(http.StatusFailedDependency, "notFound", "Profile not found"), false
		}
	}
	if tag := r.Header.Get("If-Match"); len(tag) > 32 {
		return fail(http.StatusBadRequest, "invalidHeaders", "Invalid header values", field("if-match", "")), false
	}
	if r.Method == http.MethodPost || r.Method == http.MethodPatch {
		kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
			return fail(http.StatusBadRequest, "invalidHeaders", "Invalid header values", field("Content-Type", "")), false
		}
	}
	return answer{}, true
}

// parse reads the body as a JSON object.
func (c call) parse() (object, bool) {
	var o object
	return o, json.Unmarshal(c.body, &o) == nil && o != nil
}

func badBody() answer { return fail(http.StatusBadRequest, "invalidRequest", "Invalid HTTP Body") }

// fail makes an error in TMS's form.
func fail(status int, kind, message string, details ...object) answer {
	e := object{"type": kind, "message": message}
	if len(details) > 0 {
		e["details"] = details
	}
	return answer{status: status, body: object{"errors": []object{e}}}
}

// field names a member in an error; location is its parent, "" at the top.
func field(name, location string) object {
	if location == "" {
		return object{"name": name}
	}
	return object{"name": name, "location": location}
}

func notFound() answer { return fail(http.StatusNotFound, "notFound", "Token not found.") }
func gone() answer     { return fail(http.StatusGone, "notAvailable", "Token not available.") }

func mismatch() answer {
	return fail(http.StatusPreconditionFailed, "conflict",
		"Action cannot be performed as the if-match header value does not match the token etag")
}

// frontDoor makes an error of the gateway in front of the API.
func frontDoor(status int, message string) answer {
	return answer{status: status, body: object{"response": object{"rmsg": message}}}
}

// correlate sets the headers that are on every answer.
func correlate(w http.ResponseWriter) {
	id := randomHex(16)
	w.Header().Set("V-C-Correlation-Id", strings.ToLower(fmt.Sprintf("%s-%s-%s-%s-%s", id[:8], id[8:12], id[12:16], id[16:20], id[20:])))
	w.Header().Set("Uniquetransactionid", randomHex(16))
}

// randomHex returns n random bytes as upper-case hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return strings.ToUpper(hex.EncodeToString(b))
}

// newTag makes an entity tag: at most 32 characters, quotes included.
func newTag() string { return `"` + strings.ToLower(randomHex(12)) + `"` }

// tagMatches compares an If-Match header with a tag. How the provider quotes is
// not specified, so quotes and the weak mark do not count.
func tagMatches(header, tag string) bool {
	bare := func(s string) string { return strings.Trim(strings.TrimPrefix(s, "W/"), `"`) }
	return header == "" || bare(header) == bare(tag)
}
