package importer

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// entry is what a line says.
type entry struct {
	CustomerID string            `json:"customer_id"`
	Provider   string            `json:"provider"`
	References map[string]string `json:"references"`
	Metadata   map[string]string `json:"metadata"`
}

// The codes of lines that are not sent. The API has the same where it finds the same.
const (
	codeInvalidJSON     = "invalid_json"
	codeDuplicateMember = "duplicate_member"
	codeInvalidField    = "invalid_field"
	codeMissingField    = "missing_field"
	codeInvalidCSV      = "invalid_csv"
	codeTooLarge        = "body_too_large"
)

// broken says what is wrong with a line. Its text never holds what the line does,
// since that may be a card number.
type broken struct{ code, detail string }

func (b *broken) Error() string { return b.code + ": " + b.detail }

// parser makes entries of lines.
type parser struct {
	provider string // of lines that name none
	columns  []string
	header   []byte // of a CSV file, as it stands there
	csv      bool
}

// parse reads a line; its error is a [*broken].
func (p *parser) parse(l line) (entry, error) {
	var e entry
	var err error
	switch {
	case l.tooLong:
		err = &broken{codeTooLarge, fmt.Sprintf("the line is longer than %d bytes", maxLine)}
	case !utf8.Valid(l.text):
		err = &broken{codeInvalidJSON, "the line is not valid UTF-8"}
		if p.csv {
			err = &broken{codeInvalidCSV, "the line is not valid UTF-8"}
		}
	case p.csv:
		e, err = p.fromCSV(l.text)
	default:
		e, err = fromJSON(l.text)
	}
	if err != nil {
		return entry{}, err
	}
	if e.Provider == "" {
		e.Provider = p.provider
	}
	switch {
	case e.CustomerID == "":
		return entry{}, &broken{codeMissingField, "customer_id is required"}
	case e.Provider == "":
		return entry{}, &broken{codeMissingField, "provider is required: in the line, or with --provider"}
	case len(e.References) == 0:
		return entry{}, &broken{codeMissingField, "references are required"}
	}
	return e, nil
}

// digest is of everything that a line's meaning comes from.
func (p *parser) digest(l line) string {
	h := sha256.New()
	for _, part := range [][]byte{[]byte(p.provider), p.header, l.text} {
		_, _ = fmt.Fprintf(h, "%d:", len(part))
		_, _ = h.Write(part)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

func fromJSON(text []byte) (entry, error) {
	var e entry
	err := json.Unmarshal(text, &e, json.RejectUnknownMembers(true))
	semantic, wrong := errors.AsType[*json.SemanticError](err)
	syntactic, malformed := errors.AsType[*jsontext.SyntacticError](err)
	switch {
	case err == nil:
		return e, nil
	case errors.Is(err, jsontext.ErrDuplicateName):
		return e, &broken{codeDuplicateMember, "a member is there twice" + at(syntactic)}
	case malformed:
		return e, &broken{codeInvalidJSON, fmt.Sprintf("the line is not JSON, as byte %d shows", syntactic.ByteOffset+1)}
	case wrong:
		return e, &broken{codeInvalidField, "an unknown member, or one of the wrong type, is" + place(semantic.JSONPointer)}
	default:
		return e, &broken{codeInvalidJSON, "the line is not JSON"}
	}
}

func at(e *jsontext.SyntacticError) string {
	if e == nil {
		return ""
	}
	return ":" + place(e.JSONPointer)
}

// harmless is what a name that is shown may look like: no number is one.
var harmless = regexp.MustCompile(`^(/[A-Za-z_.-]{1,40}){1,3}$`)

func place(p jsontext.Pointer) string {
	if harmless.MatchString(string(p)) {
		return " at " + string(p)
	}
	return " in it"
}

// readHeader reads a CSV file's first line, which names the columns. Its error is for
// the user: nothing of the file can be read.
func (p *parser) readHeader(l line) error {
	if l.tooLong || !utf8.Valid(l.text) {
		return errors.New("the first line is too long, or no UTF-8")
	}
	names, err := record(l.text)
	if err != nil {
		return fmt.Errorf("the first line, which names the columns: %w", err)
	}
	references := 0
	for i, name := range names {
		name = strings.TrimSpace(name)
		names[i] = name
		switch {
		case name == "" || name == "metadata.":
			return fmt.Errorf("column %d has no name", i+1)
		case slices.Contains(names[:i], name):
			return fmt.Errorf("column %d has the name of one before it", i+1)
		case name != "customer_id" && name != "provider" && !strings.HasPrefix(name, "metadata."):
			references++
		}
	}
	switch {
	case !slices.Contains(names, "customer_id"):
		return errors.New("no column is named customer_id: the first line must name the columns")
	case references == 0:
		return errors.New("no column is a reference, such as customer or payment_instrument")
	case !slices.Contains(names, "provider") && p.provider == "":
		return errors.New("no column is named provider: give --provider")
	}
	p.columns, p.header = names, slices.Clone(l.text)
	return nil
}

func (p *parser) fromCSV(text []byte) (entry, error) {
	values, err := record(text)
	if err != nil {
		return entry{}, err
	}
	if len(values) != len(p.columns) {
		return entry{}, &broken{codeInvalidCSV, fmt.Sprintf("the line has %d values for %d columns", len(values), len(p.columns))}
	}
	e := entry{References: map[string]string{}}
	for i, value := range values {
		key, isMetadata := strings.CutPrefix(p.columns[i], "metadata.")
		switch {
		case value == "": // as if there were no such column
		case key == "customer_id":
			e.CustomerID = value
		case key == "provider":
			e.Provider = value
		case isMetadata && e.Metadata == nil:
			e.Metadata = map[string]string{key: value}
		case isMetadata:
			e.Metadata[key] = value
		default:
			e.References[key] = value
		}
	}
	return e, nil
}

// record reads one CSV line. A value must end on its line, so that a quote that is
// never closed spoils one line and no more.
func record(text []byte) ([]string, error) {
	values, err := csv.NewReader(strings.NewReader(string(text))).Read()
	if err != nil {
		return nil, &broken{codeInvalidCSV, "a quote is where none may be, or is not closed on its line"}
	}
	return values, nil
}

// key is the idempotency key of the entry: what is adopted is the same whoever sends it,
// and however often. A line that was definitively refused gets another one for its next
// try, since the gateway repeats a refusal for ever.
func (e entry) key(try int) string {
	h := sha256.New()
	put := func(s string) { _, _ = fmt.Fprintf(h, "%d:%s", len(s), s) }
	put(e.CustomerID)
	put(e.Provider)
	for _, name := range slices.Sorted(maps.Keys(e.References)) {
		put(name)
		put(e.References[name])
	}
	key := "import-" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
	if try > 1 {
		key += fmt.Sprintf("-%d", try)
	}
	return key
}
