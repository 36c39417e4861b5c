package chaos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
)

// verb is what a client asked for; said is what it was answered.
type verb struct {
	op    string // create, update, delete, read
	value int    // which body, or which new value
}

type said struct {
	is    string // done, gone, absent, refused, or "" when it is not known whether anything happened
	value int    // that was shown
}

// history records what clients asked for and were answered, on one clock.
type history struct {
	begun time.Time
	mu    sync.Mutex
	ops   map[string][]porcupine.Operation // by what they are about
}

func newHistory() *history {
	return &history{begun: time.Now(), ops: map[string][]porcupine.Operation{}}
}

// do makes a call and records it. An operation whose effect is not known may take
// effect at any later time; a read that failed says nothing.
func (h *history) do(about string, client int, v verb, call func() said) {
	begun := time.Since(h.begun)
	out := call()
	ended := time.Since(h.begun).Nanoseconds()
	if out.is == "" {
		if v.op == "read" {
			return
		}
		ended = math.MaxInt64
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.op == "update" && out.is == "gone" {
		// That it is deleted now does not say that the change was not made before: a
		// change at the provider and a delete can overlap.
		h.ops[about] = append(h.ops[about], porcupine.Operation{ClientId: client, Input: v, Call: begun.Nanoseconds(), Output: said{}, Return: ended})
		v.op = "read"
	}
	h.ops[about] = append(h.ops[about], porcupine.Operation{ClientId: client, Input: v, Call: begun.Nanoseconds(), Output: out, Return: ended})
}

// check fails the test unless each history is one of the model's.
func (h *history) check(t *testing.T, model porcupine.NondeterministicModel) {
	t.Helper()
	known, open := 0, 0
	for about, ops := range h.ops {
		for _, op := range ops {
			if op.Return == math.MaxInt64 {
				open++
			} else {
				known++
			}
		}
		require.Equal(t, porcupine.Ok, porcupine.CheckOperationsTimeout(model.ToModel(), ops, time.Minute), "%s is not linearizable:\n%s", about, written(ops))
	}
	t.Logf("%d histories, %d operations, and %d more whose effect is not known: linearizable", len(h.ops), known, open)
}

// written shows a history, in the order of the calls.
func written(ops []porcupine.Operation) string {
	sorted := slices.SortedFunc(slices.Values(ops), func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var out strings.Builder
	for _, op := range sorted {
		fmt.Fprintf(&out, "client %d  %8.3f ms .. ", op.ClientId, float64(op.Call)/1e6)
		if op.Return == math.MaxInt64 {
			fmt.Fprintf(&out, "   open     ")
		} else {
			fmt.Fprintf(&out, "%8.3f ms ", float64(op.Return)/1e6)
		}
		fmt.Fprintf(&out, "%+v %+v\n", op.Input, op.Output)
	}
	return out.String()
}

func states[T comparable](all ...T) []any {
	out := make([]any, len(all))
	for i, s := range all {
		out[i] = s
	}
	return out
}

const unset = -1

// writeOnce is an idempotency key: the first body that is accepted is the key's for
// ever, every other one is refused, and what is stored is what that body says.
func writeOnce() porcupine.NondeterministicModel {
	return porcupine.NondeterministicModel{
		Init: func() []any { return states(unset) },
		Step: func(state, input, output any) []any {
			body, _ := state.(int)
			in, _ := input.(verb)
			out, _ := output.(said)
			switch {
			case in.op == "read" && out.value == body:
				return states(body)
			case in.op == "read":
				return nil
			case out.is == "done" && (body == unset || body == in.value):
				return states(in.value)
			case out.is == "refused" && body != unset && body != in.value:
				return states(body)
			case out.is == "" && body == unset:
				return states(unset, in.value)
			case out.is == "":
				return states(body)
			default:
				return nil
			}
		},
	}
}

const deleted = -2

// lifeOf is an instrument: absent, then live with a value, then deleted for ever. A
// create that is repeated is answered as the first one, and changes nothing.
func lifeOf() porcupine.NondeterministicModel {
	return porcupine.NondeterministicModel{
		Init: func() []any { return states(unset) },
		Step: func(state, input, output any) []any {
			now, _ := state.(int)
			in, _ := input.(verb)
			out, _ := output.(said)
			next, changes := now, false
			switch {
			case in.op == "create" && now == unset:
				next, changes = 0, true
			case in.op == "update" && now >= 0:
				next, changes = in.value, true
			case in.op == "delete" && now >= 0:
				next, changes = deleted, true
			}
			switch out.is {
			case "":
				if changes {
					return states(now, next)
				}
				return states(now)
			case "absent":
				if in.op != "create" && now == unset {
					return states(now)
				}
			case "gone":
				if (in.op == "update" || in.op == "read") && now == deleted {
					return states(now)
				}
			case "done":
				legal := in.op == "create" || in.op == "update" && now >= 0 && out.value == in.value ||
					in.op == "delete" && now != unset || in.op == "read" && now >= 0 && out.value == now
				if legal {
					return states(next)
				}
			}
			return nil
		},
	}
}

// The checker finds nothing wrong with good histories, and refuses bad ones.
func TestTheCheckerRefusesBadHistories(t *testing.T) {
	t.Parallel()
	const open = math.MaxInt64
	op := func(call, ret int64, v verb, s said) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: ret, Input: v, Output: s}
	}
	for name, c := range map[string]struct {
		model porcupine.NondeterministicModel
		ops   []porcupine.Operation
		want  porcupine.CheckResult
	}{
		"one body, then another is refused": {writeOnce(), []porcupine.Operation{
			op(1, 2, verb{"create", 1}, said{is: "done"}), op(3, 4, verb{"create", 2}, said{is: "refused"}), op(5, 6, verb{"read", 0}, said{"done", 1}),
		}, porcupine.Ok},
		"an open one may have been the first": {writeOnce(), []porcupine.Operation{
			op(1, open, verb{"create", 1}, said{}), op(3, 4, verb{"create", 2}, said{is: "refused"}), op(5, 6, verb{"read", 0}, said{"done", 1}),
		}, porcupine.Ok},
		"two bodies are accepted": {writeOnce(), []porcupine.Operation{
			op(1, 5, verb{"create", 1}, said{is: "done"}), op(2, 6, verb{"create", 2}, said{is: "done"}),
		}, porcupine.Illegal},
		"a body is refused that nothing came before": {writeOnce(), []porcupine.Operation{
			op(1, 2, verb{"create", 1}, said{is: "refused"}), op(3, 4, verb{"create", 2}, said{is: "done"}),
		}, porcupine.Illegal},
		"another body than the accepted one is stored": {writeOnce(), []porcupine.Operation{
			op(1, 2, verb{"create", 1}, said{is: "done"}), op(3, 4, verb{"read", 0}, said{"done", 2}),
		}, porcupine.Illegal},
		"a life": {lifeOf(), []porcupine.Operation{
			op(1, 2, verb{"read", 0}, said{is: "absent"}), op(3, 4, verb{"create", 0}, said{is: "done"}), op(5, 9, verb{"update", 7}, said{"done", 7}),
			op(6, 7, verb{"read", 0}, said{"done", 0}), op(10, 11, verb{"delete", 0}, said{is: "done"}), op(12, 13, verb{"create", 0}, said{is: "done"}),
			op(14, 15, verb{"read", 0}, said{is: "gone"}), op(16, 17, verb{"update", 8}, said{is: "gone"}), op(18, 19, verb{"delete", 0}, said{is: "done"}),
		}, porcupine.Ok},
		"an update that was lost": {lifeOf(), []porcupine.Operation{
			op(1, 2, verb{"create", 0}, said{is: "done"}), op(3, 4, verb{"update", 7}, said{"done", 7}), op(5, 6, verb{"read", 0}, said{"done", 0}),
		}, porcupine.Illegal},
		"a read goes back in time": {lifeOf(), []porcupine.Operation{
			op(1, 2, verb{"create", 0}, said{is: "done"}), op(3, open, verb{"update", 7}, said{}), op(4, 5, verb{"read", 0}, said{"done", 7}), op(6, 7, verb{"read", 0}, said{"done", 0}),
		}, porcupine.Illegal},
		"a retry resurrects": {lifeOf(), []porcupine.Operation{
			op(1, 2, verb{"create", 0}, said{is: "done"}), op(3, 4, verb{"delete", 0}, said{is: "done"}), op(5, 6, verb{"create", 0}, said{is: "done"}), op(7, 8, verb{"read", 0}, said{"done", 0}),
		}, porcupine.Illegal},
		"an update after a delete": {lifeOf(), []porcupine.Operation{
			op(1, 2, verb{"create", 0}, said{is: "done"}), op(3, 4, verb{"delete", 0}, said{is: "done"}), op(5, 6, verb{"update", 7}, said{"done", 7}),
		}, porcupine.Illegal},
	} {
		require.Equal(t, c.want, porcupine.CheckOperationsTimeout(c.model.ToModel(), c.ops, time.Minute), name)
	}
}

// C23 (a): concurrent creates of the same keys with different bodies, while gateways
// are killed: each key is a register that is written once.
func TestC23AKeyIsWrittenOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 3)
	h := newHistory()
	keys := size(48, 300)
	w.whileKilling(t, func() {
		inParallel(keys, func(k int) {
			key, customer := fmt.Sprintf("k-%d", k), fmt.Sprintf("cus-%d", k)
			var wg sync.WaitGroup
			for client := range 6 {
				wg.Go(func() {
					for i := range 4 {
						time.Sleep(time.Duration(rand.IntN(50)) * time.Millisecond)
						body := client % 3
						h.do(key, client, verb{"create", body}, func() said {
							a := w.gateways[(client+i)%3].create(t.Context(), key, oneCard(customer, strconv.Itoa(firstYear+body), "123"))
							switch {
							case a.status == http.StatusCreated || a.status == http.StatusOK || a.status == http.StatusAccepted:
								return said{is: "done"}
							case a.status == http.StatusUnprocessableEntity && a.str("code") == "idempotency_key_reused":
								return said{is: "refused"}
							case a.status == http.StatusConflict && a.str("code") == "idempotency_key_in_use":
								return said{is: "done"} // the same request is in progress
							default:
								return said{}
							}
						})
					}
				})
			}
			wg.Wait()
		})
	})
	for k := range keys { // what has become of each key
		key, customer := fmt.Sprintf("k-%d", k), fmt.Sprintf("cus-%d", k)
		var won answer
		for body := 0; body < 3 && won.status != http.StatusCreated; body++ {
			won = w.until(t.Context(), time.Minute, key, oneCard(customer, strconv.Itoa(firstYear+body), "123"))
			h.do(key, 9, verb{"create", body}, func() said {
				if won.status == http.StatusUnprocessableEntity {
					return said{is: "refused"}
				}
				return said{is: "done"}
			})
		}
		require.Equal(t, http.StatusCreated, won.status, "%s", won.raw)
		h.do(key, 9, verb{"read", 0}, func() said {
			read := w.ask(t.Context(), k, "/v1/instruments/"+won.str("id"))
			require.Equal(t, http.StatusOK, read.status, "%s", read.raw)
			return sayOf(read, true)
		})
	}
	require.Len(t, w.live(t, cybersource), keys)
	h.check(t, writeOnce())
}

// C23 (b): deletes against updates against creates that are repeated, of one
// instrument, while gateways are killed: it is absent, then live, then deleted for
// ever, and each answer and each read is of one moment of that life.
func TestC23TheLifeOfAnInstrument(t *testing.T) {
	t.Parallel()
	for name, patch := range map[string]func(value int) object{
		"metadata": func(value int) object { return object{"metadata": object{"v": strconv.Itoa(value)}} },
		"expiry":   func(value int) object { return object{"card": object{"exp_month": 12, "exp_year": firstYear + value}} },
	} {
		for _, provider := range []string{cybersource, rebilly} {
			t.Run(name+" at "+provider, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, 3)
				h := newHistory()
				instruments := size(16, 80)
				w.whileKilling(t, func() {
					inParallel(instruments, func(i int) { w.liveLife(t, h, i, provider, name == "expiry", patch) })
				})
				h.check(t, lifeOf())
			})
		}
	}
}

// liveLife lets four clients do things to one instrument at the same time.
func (w *world) liveLife(t *testing.T, h *history, n int, provider string, expiry bool, patch func(int) object) {
	t.Helper()
	key := fmt.Sprintf("k-%d", n)
	body := object{
		"customer_id": fmt.Sprintf("cus-%d", n), "provider": provider, "metadata": object{"v": "0"},
		"sources":         []object{{"type": "card", "number": "4111111111111111", "exp_month": 12, "exp_year": firstYear, "cvc": "123", "holder_name": "Ada Byron"}},
		"billing_address": object{"first_name": "Ada", "last_name": "Byron", "line1": "12 Analytical Way", "city": "Austin", "region": "TX", "postal_code": "78701", "country": "US"},
	}
	var id string
	h.do(key, 0, verb{"create", 0}, func() said {
		a := w.until(t.Context(), time.Minute, key, body)
		id = a.str("id")
		return sayOf(a, expiry)
	})
	if id == "" {
		t.Errorf("%s was not created", key)
		return
	}
	var wg sync.WaitGroup
	for client := 1; client <= 4; client++ {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), uint64(client)))
			for i := range 10 {
				time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
				g, path := w.gateways[r.IntN(3)], "/v1/instruments/"+id
				value := client*10 + i
				switch dice := r.IntN(20); {
				case dice < 7:
					h.do(key, client, verb{"update", value}, func() said {
						return sayOf(g.send(t.Context(), "acme0000", http.MethodPatch, path, "", patch(value)), expiry)
					})
				case dice < 14:
					h.do(key, client, verb{"read", 0}, func() said {
						return sayOf(g.send(t.Context(), "acme0000", http.MethodGet, path, "", nil), expiry)
					})
				case dice < 19 || i < 3:
					h.do(key, client, verb{"create", 0}, func() said { return sayOf(g.create(t.Context(), key, body), expiry) })
				default:
					h.do(key, client, verb{"delete", 0}, func() said { return sayOf(g.send(t.Context(), "acme0000", http.MethodDelete, path, "", nil), expiry) })
				}
			}
		})
	}
	wg.Wait()
}

// sayOf takes from an answer what the models know: whether it was done, and the value
// that was shown, in the expiry or in the metadata. A stale view says nothing.
func sayOf(a answer, expiry bool) said {
	switch {
	case a.status == http.StatusGone:
		return said{is: "gone"}
	case a.status == http.StatusNotFound:
		return said{is: "absent"}
	case a.status/100 != 2 || a.status == http.StatusAccepted || a.header.Get("Gateway-Stale") != "":
		return said{}
	}
	var ins struct {
		Card struct {
			ExpYear int `json:"exp_year"`
		} `json:"card"`
		Metadata map[string]string `json:"metadata"`
	}
	_ = json.Unmarshal(a.raw, &ins) // a delete has no body
	if expiry {
		return said{"done", ins.Card.ExpYear - firstYear}
	}
	value, _ := strconv.Atoi(ins.Metadata["v"])
	return said{"done", value}
}

// firstYear is the expiry that an instrument is created with.
const firstYear = 2030

// whileKilling runs fn, and kills a gateway again and again until it ends.
func (w *world) whileKilling(t *testing.T, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	t.Log(w.killing(1, 300*time.Millisecond)(t, done))
}
