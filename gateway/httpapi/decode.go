package httpapi

import (
	"slices"
	"strconv"
	"strings"

	"github.com/polyvault/polyvault/normalize"
)

// decoder collects what is wrong with a document while it is read. Messages never
// hold a value.
type decoder struct {
	errs []located
}

// located is a mistake and its place, to report in the document's order.
type located struct {
	normalize.FieldError
	at int
}

func (d *decoder) add(n *node, pointer string, code normalize.Code, message string) {
	at := 0
	if n != nil {
		at = n.at
	}
	d.errs = append(d.errs, located{normalize.FieldError{Pointer: pointer, Code: code, Message: message}, at})
}

// fields returns all mistakes: those of the form, in the document's order, then
// those of content that validate finds, which is called only if there are any of
// the form, since the service validates as well. What validate says about a place
// that could not be read is left out.
func (d *decoder) fields(validate func() []normalize.FieldError) []normalize.FieldError {
	slices.SortStableFunc(d.errs, func(a, b located) int { return a.at - b.at })
	var out []normalize.FieldError
	for _, e := range d.errs {
		out = append(out, e.FieldError)
	}
	if len(out) == 0 || validate == nil || out[0].Pointer == "" {
		return out
	}
	formErrors := len(out)
	for _, v := range validate() {
		if !slices.ContainsFunc(out[:formErrors], func(f normalize.FieldError) bool { return covers(f.Pointer, v.Pointer) }) {
			out = append(out, v)
		}
	}
	return out
}

// err is fields as an error; nil if nothing is wrong.
func (d *decoder) err(validate func() []normalize.FieldError) error {
	if fields := d.fields(validate); len(fields) > 0 {
		return normalize.Invalid(fields...)
	}
	return nil
}

// covers reports whether one pointer names the other's place, a part of it, or what it is in.
func covers(form, content string) bool {
	return form == content || strings.HasPrefix(content, form+"/") || strings.HasPrefix(form, content+"/")
}

// object reads the members of one object, each once; what is left is not known.
type object struct {
	d       *decoder
	pointer string
	members []member
	taken   map[string]bool
}

// object starts reading n. If it is no object that is a mistake, and an object
// without members is returned.
func (d *decoder) object(n *node, pointer string) *object {
	o := &object{d: d, pointer: pointer, taken: map[string]bool{}}
	if n.kind != '{' {
		d.add(n, pointer, normalize.InvalidField, "must be an object")
		return o
	}
	o.members = n.members
	return o
}

// take returns a member's value; nil if it is not there.
func (o *object) take(name string) *node {
	o.taken[name] = true
	for _, m := range o.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

func (o *object) at(name string) string { return o.pointer + "/" + normalize.EscapePointer(name) }

// readOnly refuses members that exist and cannot be set.
func (o *object) readOnly(names ...string) {
	for _, name := range names {
		if n := o.take(name); n != nil {
			o.d.add(n, o.at(name), normalize.InvalidField, "is read-only")
		}
	}
}

// end refuses the members that were not read.
func (o *object) end() {
	for _, m := range o.members {
		if !o.taken[m.name] {
			o.d.add(m.value, o.at(m.name), normalize.UnknownMember, "is not known here")
		}
	}
}

// text reads a string.
func (o *object) text(name string) string {
	n := o.take(name)
	if n == nil {
		return ""
	}
	return o.d.text(n, o.at(name))
}

func (d *decoder) text(n *node, pointer string) string {
	if n.kind != '"' {
		d.add(n, pointer, normalize.InvalidField, "must be a string")
		return ""
	}
	return n.text
}

func (o *object) secret(name string) normalize.Secret { return normalize.NewSecret(o.text(name)) }

// number reads a whole number that cannot be 0: 0 stands for "left out" from here on.
func (o *object) number(name string) int {
	v := o.optionalNumber(name)
	if v == nil {
		return 0
	}
	if *v == 0 {
		o.d.add(o.take(name), o.at(name), normalize.OutOfRange, "must be 1 or more")
	}
	return *v
}

// optionalNumber reads a whole number; nil if there is none.
func (o *object) optionalNumber(name string) *int {
	n := o.take(name)
	if n == nil {
		return nil
	}
	if n.kind != '0' || strings.ContainsAny(n.text, ".eE") {
		o.d.add(n, o.at(name), normalize.InvalidField, "must be a whole number, without quotes")
		return nil
	}
	v, err := strconv.Atoi(n.text)
	if err != nil {
		o.d.add(n, o.at(name), normalize.OutOfRange, "is too large a number")
		return nil
	}
	return &v
}

// boolean reads true or false; nil if there is none.
func (o *object) boolean(name string) *bool {
	n := o.take(name)
	if n == nil {
		return nil
	}
	if n.kind != 't' && n.kind != 'f' {
		o.d.add(n, o.at(name), normalize.InvalidField, "must be true or false")
		return nil
	}
	v := n.kind == 't'
	return &v
}

// texts reads an object of strings; nil if there is none.
func (o *object) texts(name string) map[string]string {
	n := o.take(name)
	if n == nil {
		return nil
	}
	inner := o.d.object(n, o.at(name))
	out := make(map[string]string, len(inner.members))
	for _, m := range inner.members {
		out[m.name] = o.d.text(m.value, inner.at(m.name))
	}
	return out
}

// list reads an array; nil if there is none.
func (o *object) list(name string) []*node {
	n := o.take(name)
	if n == nil {
		return nil
	}
	if n.kind != '[' {
		o.d.add(n, o.at(name), normalize.InvalidField, "must be an array")
		return nil
	}
	return n.items
}
