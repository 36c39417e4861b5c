// Package normalize holds the words that every other package uses: the
// instrument as callers see it, the sources it is made from, the one error type
// with its code and outcome, and the pure rules about cards, addresses and
// input. It imports the standard library only and knows no provider, no HTTP
// and no store.
package normalize
