package adapters

import (
	"net/http"
	"time"

	"github.com/polyvault/polyvault/normalize"
)

// NoticeWindow is how far a signed notice's time may be from now, either way.
const NoticeWindow = 5 * time.Minute

// Notifier is implemented by providers that tell of changes by themselves. A notice is
// never believed: it says what to look at, and the provider is asked for the rest.
type Notifier interface {
	// Notices checks that a webhook comes from the provider, over the body's bytes as
	// they came and in constant time, and returns what it tells of; none if it tells of
	// nothing that concerns an instrument. It makes no call. It fails with NotFound if
	// no webhooks are configured, with InvalidWebhook if the sender cannot be told or the
	// webhook is too old, and with InvalidJSON if an authentic one cannot be read.
	// Without a header and a body it only tells whether webhooks are configured.
	Notices(header http.Header, body []byte, now time.Time) ([]Notice, error)
	// NoticeNames tells how notices name what these references point to. References
	// may hold the customer only.
	NoticeNames(ref normalize.References) NoticeNames
}

// Notice is one thing that a provider says has changed. It names an instrument, or
// every instrument of a card, or everything of a customer.
type Notice struct {
	ID         string               // equal for every delivery of the same event; "" if that cannot be told
	Revision   int64                // of the instrument, in the same numbers as [Instrument].Version; 0 if it is not told
	References normalize.References // enough to get the instrument, if it is named
	NoticeNames
}

// NoticeNames are what notices name things by, each written in one way only; "" what
// they never name.
type NoticeNames struct {
	Instrument string
	Card       string // a card or account number, of which there may be several instruments
	Customer   string // everything that the customer has
}

// NotAuthentic is what a webhook is refused with, whatever is wrong with it: who forges
// one learns nothing.
func NotAuthentic() *normalize.Error {
	return &normalize.Error{
		Code: normalize.InvalidWebhook, Outcome: normalize.NotSent, Op: "notice", Msg: "the webhook is not authentic, or too old",
	}
}

// NoWebhooks says that a provider has no webhooks configured.
func NoWebhooks() *normalize.Error {
	return &normalize.Error{Code: normalize.NotFound, Outcome: normalize.Rejected, Op: "notice", Msg: "there is no such resource"}
}

// UnreadableNotice says that an authentic webhook has not the form that it should have.
func UnreadableNotice() *normalize.Error {
	return &normalize.Error{Code: normalize.InvalidJSON, Outcome: normalize.NotSent, Op: "notice", Msg: "the webhook cannot be read"}
}

// Fresh reports whether a notice's time is within the window.
func Fresh(at, now time.Time) bool {
	d := now.Sub(at)
	return d <= NoticeWindow && d >= -NoticeWindow
}
