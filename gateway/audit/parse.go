package audit

import (
	"encoding/json"
	"errors"
)

// parse reads a line, without its line feed. Members that are not known are let be: a
// newer release may have written them.
func parse(text []byte) (line, error) {
	var l line
	if err := json.Unmarshal(text, &l); err != nil {
		return line{}, errors.New("it is not an entry")
	}
	return l, nil
}
