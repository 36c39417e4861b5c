package client

import (
	"context"
	"iter"
	"net/http"
)

// Events goes through the events that a selection names, the newest first. The cursor
// of the selection is not looked at.
func (c *Client) Events(ctx context.Context, in ListEventsParams) iter.Seq2[Event, error] {
	return pages(func(cursor *string) ([]Event, string, error) {
		in.Cursor = cursor
		a, err := call[EventPage](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
			return c.raw.ListEvents(ctx, &in)
		})
		return a.body.Data, a.body.NextCursor, err
	})
}

// Event reads one event, with what is sent.
func (c *Client) Event(ctx context.Context, id string) (Event, error) {
	a, err := call[Event](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.GetEvent(ctx, id)
	})
	return a.body, err
}

// ReplayEvent has an event delivered once more, under the id that it has.
func (c *Client) ReplayEvent(ctx context.Context, id string) (Event, error) {
	a, err := call[Event](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ReplayEvent(ctx, id)
	})
	return a.body, err
}

// ReplayEvents has one page of the events that a selection names delivered once more.
// While HasMore is set, go on with NextCursor.
func (c *Client) ReplayEvents(ctx context.Context, in ReplayEventsParams) (EventReplay, error) {
	a, err := call[EventReplay](ctx, c, "", func(ctx context.Context) (*http.Response, error) {
		return c.raw.ReplayEvents(ctx, &in)
	})
	return a.body, err
}
