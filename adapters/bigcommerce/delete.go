package bigcommerce

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/polyvault/polyvault/adapters/internal/rest"
	"github.com/polyvault/polyvault/normalize"
)

// maxDelete is how many tokens one bulk delete names. The provider's limit is not
// published; 50 tokens of 64 characters keep the URL below 4 KiB.
const maxDelete = 50

// Delete implements [adapters.Deleter]: from the store only, so with the bulk
// endpoint. The item's path deletes from the vault as well.
func (a *Adapter) Delete(ctx context.Context, ref normalize.References) error {
	if err := a.check(opDelete, ref); err != nil {
		return err
	}
	return a.deleteToken(ctx, ref[refToken])
}

func (a *Adapter) deleteToken(ctx context.Context, token string) error {
	resp, err := a.deleteCall(ctx, []string{token})
	if err != nil {
		return err
	}
	if resp.OK() || allGone(resp, 1) {
		return nil
	}
	return deleteError(resp)
}

// DeleteVault implements [adapters.VaultDeleter]: from the store and from the
// payment gateway's vault behind it, irreversibly.
func (a *Adapter) DeleteVault(ctx context.Context, ref normalize.References) error {
	if err := a.check(opDelete, ref); err != nil {
		return err
	}
	resp, err := a.client.Do(ctx, rest.Request{
		Op: opDelete, Method: http.MethodDelete, Path: instrumentsPath + "/" + url.PathEscape(ref[refToken]),
	})
	if err != nil {
		return err
	}
	if resp.OK() || gone(resp) {
		return nil
	}
	return statusError(opDelete, resp)
}

// DeleteMany implements [adapters.BulkDeleter]. Each result is that of the
// instrument's own deletion, also where the provider deleted a part of a batch.
func (a *Adapter) DeleteMany(ctx context.Context, refs []normalize.References) []error {
	out := make([]error, len(refs))
	results := map[string]error{} // by token
	var pending []normalize.References
	for i, ref := range refs {
		if out[i] = a.check(opDelete, ref); out[i] != nil {
			continue
		}
		if _, twice := results[ref[refToken]]; !twice {
			results[ref[refToken]] = nil
			pending = append(pending, ref)
		}
	}
	for len(pending) > 0 {
		n := min(maxDelete, len(pending))
		if stop := a.deleteBatch(ctx, pending[:n], results); stop != nil {
			for _, ref := range pending[n:] {
				results[ref[refToken]] = notTried(stop)
			}
			break
		}
		pending = pending[n:]
	}
	for i, ref := range refs {
		if err := results[ref[refToken]]; out[i] == nil && err != nil {
			out[i] = copyOf(err) // the gateway writes its name into each
		}
	}
	return out
}

// deleteBatch deletes up to maxDelete instruments and enters what went wrong
// into results. It returns an error that further batches would meet as well.
func (a *Adapter) deleteBatch(ctx context.Context, refs []normalize.References, results map[string]error) error {
	tokens := make([]string, len(refs))
	for i, ref := range refs {
		tokens[i] = ref[refToken]
	}
	resp, err := a.deleteCall(ctx, tokens)
	if err == nil {
		switch {
		case resp.OK() || allGone(resp, len(tokens)):
			return nil
		case len(refs) > 1 && tooMany(resp.Status):
			half := len(refs) / 2
			if stop := a.deleteBatch(ctx, refs[:half], results); stop != nil {
				for _, ref := range refs[half:] {
					results[ref[refToken]] = notTried(stop)
				}
				return stop
			}
			return a.deleteBatch(ctx, refs[half:], results)
		case len(refs) > 1 && gone(resp):
			a.sortOut(ctx, refs, results)
			return nil
		default:
			err = deleteError(resp)
		}
	}
	for _, token := range tokens {
		results[token] = err
	}
	return hopeless(err)
}

// sortOut finds the result of each instrument after a batch of which a part was
// deleted and the answer does not prove which, by deleting each by itself: what
// is gone already answers 404. Lists could not prove it, they may lag behind.
func (a *Adapter) sortOut(ctx context.Context, refs []normalize.References, results map[string]error) {
	var stop error
	for _, ref := range refs {
		err := stop
		if err == nil {
			err = a.deleteToken(ctx, ref[refToken])
			stop = hopeless(err)
		}
		results[ref[refToken]] = afterCall(err)
	}
}

// hopeless returns err if the calls that follow would meet it as well: not
// reachable, limited, out of time or not allowed.
func hopeless(err error) error {
	if err == nil {
		return nil
	}
	if e := asError(err); e.Outcome == normalize.NotSent || e.Code == normalize.ProviderMisconfigured {
		return e
	}
	return nil
}

// deleteCall names the tokens in one bulk delete. ":" and "," are accepted
// percent-encoded.
func (a *Adapter) deleteCall(ctx context.Context, tokens []string) (rest.Response, error) {
	return a.client.Do(ctx, rest.Request{
		Op: opDelete, Method: http.MethodDelete, Path: instrumentsPath,
		Query: url.Values{"token:in": {strings.Join(tokens, ",")}}.Encode(),
	})
}

// tooMany reports the statuses that a batch or a URL of too great a size gets.
func tooMany(status int) bool {
	return status == http.StatusRequestEntityTooLarge || status == http.StatusRequestURITooLong || status == http.StatusUnprocessableEntity
}

// gone reports whether the provider itself says that something is not there. The
// reference has 404 only; 410 could mean nothing else.
func gone(resp rest.Response) bool {
	return (resp.Status == http.StatusNotFound || resp.Status == http.StatusGone) && refusal(opDelete, resp).Recognized
}

// allGone reports whether a 404 proves that every one of n tokens is gone: all
// are counted, either as deleted or as an error that says "not found". A batch's
// 404 alone proves nothing, since a part of it may have been deleted.
func allGone(resp rest.Response, n int) bool {
	if !gone(resp) {
		return false
	}
	var e envelope
	var meta batchMeta
	_ = json.Unmarshal(resp.Body, &e)
	_ = json.Unmarshal(e.Meta, &meta)
	failed := errorsOf(e.Errors)
	for _, f := range failed {
		if f.Status != http.StatusNotFound && (f.Status != 0 || n > 1) {
			return false
		}
	}
	if n == 1 {
		return true // there is only one that the 404 can be about
	}
	return meta.Success != nil && meta.Failed != nil &&
		int(*meta.Failed) == len(failed) && int(*meta.Success)+len(failed) == n
}

// deleteError is the error of an answer that is not a deletion, nor proof that
// there is nothing left to delete.
func deleteError(resp rest.Response) *normalize.Error {
	e := statusError(opDelete, resp)
	if e.Outcome == normalize.Rejected && gone(resp) { // a 404 whose errors are about something else
		e.Code, e.Outcome, e.Msg = normalize.ProviderError, normalize.Unknown, "the provider did not delete the instrument"
	}
	return e
}

// notTried is the error of an instrument that was not reached because of stop.
func notTried(stop error) error {
	e := *asError(stop)
	e.Outcome = normalize.NotSent
	return &e
}

// afterCall makes an outcome honest: a call that was not sent, or not executed,
// does not undo what the call before it may have done.
func afterCall(err error) error {
	if err == nil {
		return nil
	}
	e := *asError(err)
	if hopeless(err) != nil {
		e.Outcome = normalize.Unknown
	}
	return &e
}

func copyOf(err error) error {
	e := *asError(err)
	return &e
}

// asError returns err as the one error type, which every error here is.
func asError(err error) *normalize.Error {
	if e, ok := errors.AsType[*normalize.Error](err); ok {
		return e
	}
	return &normalize.Error{Code: normalize.InternalError, Outcome: normalize.Unknown, Msg: "an error without a code", Err: err}
}
