//go:build !race

package gateway_test

// oneIn is 1: the proofs run in full.
const oneIn = 1
