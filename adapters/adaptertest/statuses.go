package adaptertest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/normalize"
)

const htmlPage = "<!doctype html><title>Sign in</title><form action=/login>Your session has expired</form>"

// answers are bodies, and whether the provider's own API wrote them.
type answer struct {
	name, contentType, body string
	own                     bool
}

func (b *bench) badAnswers(status int) []answer {
	out := []answer{
		{name: "empty"},
		{name: "HTML", contentType: "text/html; charset=utf-8", body: htmlPage},
	}
	if status >= 300 {
		body := b.h.ErrorBody(status)
		out = append(out, answer{name: "own", contentType: "application/json", body: body, own: body != ""})
		out = append(out, answer{name: "foreign JSON", contentType: "application/json", body: `{"hello":["world",1,null]}`})
		return out
	}
	for _, body := range []string{`{"id":"brok`, `{}`, `null`, `[]`, `[null]`, `7`, `""`, `{"id":null}`, `{"data":null}`, "\x00\xff"} {
		out = append(out, answer{name: fmt.Sprintf("%.10q", body), contentType: "application/json", body: body})
	}
	if status <= 201 {
		out = append(out, answer{name: "deep", contentType: "application/json", body: strings.Repeat("[", 100_000)})
	}
	return out
}

func (a answer) serve(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if a.contentType != "" {
			w.Header().Set("Content-Type", a.contentType)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, a.body)
	}
}

// checkStatuses answers an operation with every status from 200 to 599 and every
// kind of body.
func checkStatuses(name string) func(*bench) {
	return func(b *bench) {
		op := b.operation(name)
		ref := b.existing()
		live := b.live()
		var problems []string
		for status := 200; status <= 599; status++ {
			for _, a := range b.badAnswers(status) {
				b.answer(op.fails, a.serve(status))
				err := op.call(b.ctx(), ref)
				if err != nil {
					b.note(err, fmt.Sprintf("%s answered with %d %s", name, status, a.name))
				}
				if problem := b.judge(op, status, a, err); problem != "" {
					problems = append(problems, fmt.Sprintf("%d with %s body: %s; got %v", status, a.name, problem, err))
				}
			}
		}
		b.front.Store(nil)
		require.Empty(b.tb, problems, "%d answers to %s were misjudged, first %s", len(problems), name, strings.Join(problems[:min(len(problems), 5)], "\n"))
		require.Equal(b.tb, live, b.live(), "no answer made the adapter store or remove anything")
	}
}

// judge returns what is wrong with the error that an answer led to. What a
// failure proves is the same for all providers.
func (b *bench) judge(op operation, status int, a answer, err error) string {
	code, outcome := normalize.CodeOf(err), normalize.OutcomeOf(err)
	if !op.mutates {
		return b.judgeRead(op, status, a, code)
	}
	switch {
	case status <= 299:
		return judgeGarbage(op, a, code, outcome)
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		if code != normalize.ProviderMisconfigured || outcome != normalize.Rejected {
			return "401 and 403 are provider_misconfigured, rejected"
		}
	case status == http.StatusTooManyRequests:
		return b.judgeLimit(a, code, outcome)
	case status < 400 || status >= 500 || status == http.StatusRequestTimeout:
		if outcome != normalize.Unknown {
			return "it may have happened: unknown"
		}
	case !a.own:
		if outcome != normalize.Unknown {
			return "the answer is not the provider's, so it proves nothing: unknown"
		}
	case op.removes && (status == http.StatusNotFound || status == http.StatusGone):
		if err != nil && (op.name != "deactivate" || !slices.Contains(gone(), code)) {
			return "it is gone already: success"
		}
	case status == http.StatusConflict && op.name == "deactivate" && err == nil:
		// Deactivated already.
	case slices.Contains([]int{http.StatusConflict, http.StatusFailedDependency, http.StatusTooEarly, 499}, status) && outcome == normalize.Unknown:
		// A provider may answer these after it has done a part.
	case outcome != normalize.Rejected:
		return "the provider itself refused: rejected"
	}
	return ""
}

// judgeGarbage judges what a 2xx with an unreadable body led to. What needs no
// answer but the status may succeed.
func judgeGarbage(op operation, a answer, code normalize.Code, outcome normalize.Outcome) string {
	switch {
	case outcome == normalize.Applied && op.name != "create":
		return ""
	case outcome == normalize.Unknown && code == normalize.ProviderBadResponse:
		return ""
	}
	return "a 2xx with " + a.name + " body happened, but its result is lost: provider_bad_response, unknown"
}

func (b *bench) judgeLimit(a answer, code normalize.Code, outcome normalize.Outcome) string {
	switch {
	case !a.own:
		if outcome == normalize.NotSent && b.h.LimitsBeforeExecution || outcome == normalize.Unknown {
			return ""
		}
	case code == normalize.ProviderRateLimited && b.h.LimitsBeforeExecution && outcome == normalize.NotSent,
		code == normalize.ProviderRateLimited && !b.h.LimitsBeforeExecution && outcome == normalize.Unknown:
		return ""
	}
	return "429 is provider_rate_limited; not_sent only where the provider documents it, else unknown"
}

func (b *bench) judgeRead(op operation, status int, a answer, code normalize.Code) string {
	switch {
	case status <= 299:
		if op.name == "get" && b.h.ReadsByList && status == http.StatusOK && a.body == "[]" && code == normalize.NotFound {
			return ""
		}
		// An empty object or list may be how a provider writes an empty page.
		if code == normalize.ProviderBadResponse || op.name == "list" && code == "" && strings.ContainsAny(a.body, "[{n") && len(a.body) < 20 && a.body != `{"id":"brok` {
			return ""
		}
		return "provider_bad_response"
	case code == "":
		return "this is no success"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		if code != normalize.ProviderMisconfigured {
			return "provider_misconfigured"
		}
	case status == http.StatusTooManyRequests && a.own:
		if code != normalize.ProviderRateLimited {
			return "provider_rate_limited"
		}
	case (status == http.StatusNotFound || status == http.StatusGone) && a.own:
		if op.name == "get" && !slices.Contains(gone(), code) {
			return "not_found or instrument_deleted"
		}
	case slices.Contains(gone(), code):
		return "only the provider itself may say that an instrument is not there"
	}
	return ""
}
