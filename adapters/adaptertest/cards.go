package adaptertest

import (
	"fmt"
	"strconv"

	"github.com/polyvault/polyvault/normalize"
)

// CardNumber returns the n-th distinct card number for tests, 0 ≤ n < 1000, each
// with its own last four digits. Number 0 is the published 4111111111111111; the
// others begin with 400000, as most test cards that processors publish do.
func CardNumber(n int) string {
	if n == 0 {
		return "4111111111111111"
	}
	head := fmt.Sprintf("400000000000%03d", n)
	for d := range 10 {
		if number := head + strconv.Itoa(d); normalize.Luhn(number) {
			return number
		}
	}
	return "" // not reached: one of ten digits is the check digit
}
