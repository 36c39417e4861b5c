package adaptertest

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// webhooks opens the adapter with webhooks, and makes an instrument that they can be about.
func (b *bench) webhooks() (adapters.Notifier, adapters.Instrument) {
	must[adapters.Notifier](b)
	if b.h.Webhooks == nil {
		b.tb.Fatal("an adapter that takes notices needs Harness.Webhooks")
	}
	n, ok := b.h.Webhooks.Open(b.tb).(adapters.Notifier)
	require.True(b.tb, ok)
	return n, b.create()
}

// checkNoWebhooks: an adapter that has no webhooks configured says so, whatever it is sent.
func checkNoWebhooks(b *bench) {
	n := must[adapters.Notifier](b)
	for _, header := range []http.Header{nil, {}} {
		_, err := n.Notices(header, []byte("{}"), time.Now())
		require.Equal(b.tb, normalize.NotFound, b.seen(err, "webhooks that are not configured").Code)
	}
}

// checkWebhook: a webhook names what the adapter's references name, any number of times.
func checkWebhook(b *bench) {
	n, ins := b.webhooks()
	now := time.Now()
	header, body := b.h.Webhooks.Make(b.tb, ins, now)
	before := b.requests()
	known := n.NoticeNames(ins.References)
	var first []adapters.Notice
	for range 2 {
		notices, err := n.Notices(header, body, now)
		b.requireNoError(err, "webhook")
		require.NotEmpty(b.tb, notices)
		for _, notice := range notices {
			same := notice.Instrument != "" && notice.Instrument == known.Instrument ||
				notice.Card != "" && notice.Card == known.Card || notice.Customer != "" && notice.Customer == known.Customer
			require.True(b.tb, same, "%+v is none of %+v", notice, known)
		}
		if first == nil {
			first = notices
		}
		require.Equal(b.tb, first, notices, "the same webhook is the same event")
	}
	notices, err := n.Notices(nil, nil, now)
	b.requireNoError(err, "whether webhooks are configured")
	require.Empty(b.tb, notices)
	require.Equal(b.tb, before, b.requests(), "a webhook makes no call")
}

// checkForgedWebhook: without the provider's secret there is no webhook, and what is said
// of it is always the same.
func checkForgedWebhook(b *bench) {
	n, ins := b.webhooks()
	now := time.Now()
	header, body := b.h.Webhooks.Make(b.tb, ins, now)
	forged := func(h http.Header, body []byte, what string) {
		notices, err := n.Notices(h, body, now)
		e := b.seen(err, what)
		require.Equal(b.tb, adapters.NotAuthentic(), e, what)
		require.Empty(b.tb, notices, what)
	}
	forged(http.Header{}, body, "no header")
	forged(http.Header{}, nil, "nothing")
	for name := range header {
		value := header.Get(name)
		for _, other := range []string{"", value[:len(value)-1], value + "x", value[1:], strings.ToUpper(value), strings.ToLower(value), strings.Repeat("A", 10_000)} {
			h := header.Clone()
			if h.Set(name, other); other != value {
				forged(h, body, name+" is "+other)
			}
		}
		h := header.Clone()
		h.Del(name)
		forged(h, body, "without "+name)
		h = header.Clone()
		h.Add(name, value)
		forged(h, body, name+" twice")
	}
	if b.h.Webhooks.Covers == nil {
		return
	}
	covered := b.h.Webhooks.Covers(body)
	start := bytes.Index(body, covered)
	require.GreaterOrEqual(b.tb, start, 0)
	for i := range covered {
		changed := bytes.Clone(body)
		changed[start+i] ^= 1
		forged(header, changed, "another body")
	}
	forged(header, slices.Insert(bytes.Clone(body), start+1, ' '), "a longer body")
}

// checkOldWebhook: what is signed is refused once its time is over, and before it comes.
func checkOldWebhook(b *bench) {
	n, ins := b.webhooks()
	if b.h.Webhooks.Covers == nil {
		b.tb.Skip("nothing is signed")
	}
	at := time.Now()
	header, body := b.h.Webhooks.Make(b.tb, ins, at)
	for _, away := range []time.Duration{adapters.NoticeWindow - 2*time.Second, -adapters.NoticeWindow + 2*time.Second} {
		_, err := n.Notices(header, body, at.Add(away))
		b.requireNoError(err, away.String())
	}
	for _, away := range []time.Duration{adapters.NoticeWindow + 2*time.Second, -adapters.NoticeWindow - 2*time.Second, 72 * time.Hour} {
		_, err := n.Notices(header, body, at.Add(away))
		require.Equal(b.tb, adapters.NotAuthentic(), b.seen(err, away.String()))
	}
}
