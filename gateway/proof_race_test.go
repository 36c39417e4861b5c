//go:build race

package gateway_test

// oneIn thins the proofs out under the race detector, which makes them many times as
// slow and has little to find: their goroutines run one at a time. They run in full
// without it.
const oneIn = 25
