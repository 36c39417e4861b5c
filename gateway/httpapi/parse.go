package httpapi

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/polyvault/polyvault/normalize"
)

// maxDepth is how deep a body may be nested.
const maxDepth = 32

// node is one value of a JSON document. The tree is kept until everything that is
// wrong with it has been found, which decoding into structs could not do: it
// stops at the first mistake, and its messages quote values.
type node struct {
	kind    jsontext.Kind // 'n' null, 'f' and 't' booleans, '"', '0' numbers, '{', '['
	text    string        // of a string its value, of a number its literal
	members []member      // of an object, in the document's order
	items   []*node       // of an array
	at      int           // counts the values of the document, to report in its order
}

type member struct {
	name  string
	value *node
}

// parseJSON reads a document strictly: valid UTF-8, no duplicate members, nothing
// behind it, no more than maxDepth levels.
func parseJSON(b []byte) (*node, error) {
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, invalidJSON("", "the body is empty")
	}
	p := parser{dec: jsontext.NewDecoder(bytes.NewReader(b))}
	n, err := p.value()
	if err != nil {
		return nil, p.failure(err)
	}
	if _, err := p.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, invalidJSON("", "there is more after the document's end")
	}
	return n, nil
}

func invalidJSON(pointer, message string) *normalize.Error {
	e := normalize.Invalid(normalize.FieldError{Pointer: pointer, Code: normalize.InvalidJSON, Message: message})
	e.Msg = "the body is not valid JSON"
	return e
}

type parser struct {
	dec   *jsontext.Decoder
	count int
}

var errTooDeep = errors.New("nested too deep")

func (p *parser) failure(err error) error {
	if errors.Is(err, errTooDeep) {
		return invalidJSON(string(p.dec.StackPointer()), "is nested deeper than 32 levels")
	}
	pointer := string(p.dec.StackPointer())
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		pointer = string(syntax.JSONPointer)
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return normalize.Invalid(normalize.FieldError{
			Pointer: pointer, Code: normalize.DuplicateMember, Message: "appears more than once",
		})
	}
	return invalidJSON(pointer, "is not valid JSON in UTF-8")
}

func (p *parser) value() (*node, error) {
	tok, err := p.dec.ReadToken()
	if err != nil {
		return nil, err
	}
	n := &node{kind: tok.Kind(), at: p.count}
	p.count++
	if p.dec.StackDepth() > maxDepth {
		return nil, errTooDeep
	}
	switch n.kind {
	case '"', '0':
		n.text = tok.String()
	case '{':
		err = p.objectMembers(n)
	case '[':
		err = p.arrayItems(n)
	default: // null and the booleans are told by their kind
	}
	return n, err
}

func (p *parser) objectMembers(n *node) error {
	for p.dec.PeekKind() != '}' {
		name, err := p.dec.ReadToken()
		if err != nil {
			return err
		}
		m := member{name: name.String()} // before the next read, which reuses the token's memory
		if m.value, err = p.value(); err != nil {
			return err
		}
		n.members = append(n.members, m)
	}
	_, err := p.dec.ReadToken()
	return err
}

func (p *parser) arrayItems(n *node) error {
	for p.dec.PeekKind() != ']' {
		v, err := p.value()
		if err != nil {
			return err
		}
		n.items = append(n.items, v)
	}
	_, err := p.dec.ReadToken()
	return err
}
