package adaptertest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/polyvault/polyvault/adapters"
	"github.com/polyvault/polyvault/normalize"
)

// checkEcho: a provider that quotes the request, credentials included, in its
// answer does not bring a secret into an error. What errors hold is checked at
// the end of every check.
func checkEcho(b *bench) {
	ref := b.existing()
	ops := b.operations()
	for _, op := range ops {
		for _, status := range []int{200, 201, 207, 303, 400, 402, 404, 409, 422, 429, 500, 503} {
			b.answer(op.fails, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				var head strings.Builder
				_ = r.Header.Write(&head)
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				_, _ = io.WriteString(w, quoting(b.h.ErrorBody(max(status, 400)), head.String()+string(body)))
			})
			if err := op.call(b.ctx(), ref); err != nil {
				b.note(err, op.name)
			}
		}
	}
}

// quoting puts what the request held into every text of an error body that people read.
func quoting(body, request string) string {
	var doc any
	if json.Unmarshal([]byte(body), &doc) != nil {
		return body + request
	}
	text, err := json.Marshal(quote(doc, "", request))
	if err != nil {
		return request
	}
	return string(text)
}

func quote(v any, name, request string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			v[k] = quote(member, k, request)
		}
	case []any:
		for i := range v {
			v[i] = quote(v[i], name, request)
		}
	case string:
		switch strings.ToLower(name) {
		case "message", "detail", "details", "title", "description", "error", "errors":
			return v + " " + request
		}
	}
	return v
}

// checkOdd: words and members that are new to the adapter never fail a read.
func checkOdd(b *bench) {
	b.answer(anyRequest, b.h.Odd)
	b.requireInstrument(b.get(b.h.Missing))
	if is[adapters.Lister](b.adapter) {
		page, err := must[adapters.Lister](b).List(b.ctx(), adapters.ListInput{Customer: b.h.Customer})
		b.requireNoError(err, "list")
		for _, ins := range page.Items {
			b.requireInstrument(ins)
		}
	}
}

// checkConcurrency: all methods are safe for concurrent use; run with -race.
func checkConcurrency(b *bench) {
	c := must[adapters.Creator](b)
	const n = 20
	inputs := make([]adapters.CreateInput, n)
	for i := range inputs {
		inputs[i] = b.createInput(b.source())
	}
	made, errs := make([]adapters.Instrument, n), make([]error, n)
	var wg sync.WaitGroup
	for i, in := range inputs {
		wg.Go(func() {
			if made[i], errs[i] = c.Create(b.ctx(), in); errs[i] == nil {
				_, errs[i] = b.adapter.Get(b.ctx(), made[i].References)
			}
		})
	}
	wg.Wait()
	distinct := map[string]bool{}
	for i := range n {
		b.requireNoError(errs[i], "create and get in parallel")
		distinct[key(made[i].References)] = true
		if src := inputs[i].Source; src.Card != nil {
			require.Equal(b.tb, normalize.Last4Of(src.Card.Number.Reveal()), made[i].Card.Last4, "each call gets its own answer")
		}
	}
	require.Len(b.tb, distinct, n)
	require.Equal(b.tb, n, b.live())
	require.Equal(b.tb, n, b.createRequests())
}

// checkOutlives: an adapter keeps no state, so it does not matter how long ago or
// by which one an instrument was made, and a failure does not change the next call.
func checkOutlives(b *bench) {
	ins := b.create()
	for status := range []int{500, 401, 429} {
		b.answer(anyRequest, answer{contentType: "text/html", body: htmlPage}.serve(400+status))
		_, err := b.adapter.Get(b.ctx(), ins.References)
		b.note(err, "get")
		b.front.Store(nil)
		start := time.Now()
		b.requireSame(ins, b.get(ins.References))
		require.Less(b.tb, time.Since(start), prompt, "a failure slows the next call down")
	}
}
