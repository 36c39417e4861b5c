package rebillytest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// clause is one condition of a filter: "field:value,value", "field:!value" or
// "field:from..to".
type clause struct {
	path     []string
	values   []string
	negate   bool
	ranged   bool
	from, to string
}

// parseFilter reads Rebilly's mini-language; the message is "" if it is well formed.
func parseFilter(s string, known schema) ([]clause, string) {
	if s == "" {
		return nil, ""
	}
	var out []clause
	for part := range strings.SplitSeq(s, ";") {
		name, value, ok := strings.Cut(part, ":") // the first only: times hold more
		if !ok || value == "" {
			return nil, "Each condition must be field:value."
		}
		c := clause{path: strings.Split(name, ".")}
		if !slices.Contains(known.filter, name) && (len(c.path) < 2 || !slices.Contains(known.paths, c.path[0])) {
			return nil, "Cannot be filtered by this field."
		}
		if message := c.parse(value); message != "" {
			return nil, message
		}
		if message := c.typed(name); message != "" {
			return nil, message
		}
		out = append(out, c)
	}
	return out, ""
}

func (c *clause) parse(value string) string {
	if c.from, c.to, c.ranged = strings.Cut(value, ".."); c.ranged {
		if c.from == "" && c.to == "" || strings.ContainsAny(value, ",!@") {
			return "The range is not valid."
		}
		return ""
	}
	c.negate = strings.HasPrefix(value, "!")
	for v := range strings.SplitSeq(value, ",") {
		plain, negated := strings.CutPrefix(v, "!")
		switch {
		case strings.HasPrefix(plain, "@"):
			return "The value list does not exist."
		case plain == "" || negated && !c.negate:
			return "The values are not valid."
		}
		c.values = append(c.values, plain)
	}
	return ""
}

// typed refuses values of the wrong type for a field.
func (c *clause) typed(name string) string {
	values := c.values
	if c.ranged {
		values = slices.DeleteFunc([]string{c.from, c.to}, func(v string) bool { return v == "" })
	}
	for _, v := range values {
		switch name {
		case "expMonth", "expYear":
			if _, err := strconv.Atoi(v); err != nil {
				return "The value must be a number."
			}
		case "createdTime", "updatedTime":
			if _, err := time.Parse(time.RFC3339Nano, v); err != nil {
				return "The value must be a date-time."
			}
		case "useAsBackup":
			if v != "true" && v != "false" {
				return "The value must be a boolean."
			}
		}
	}
	return ""
}

func matches(o object, clauses []clause) bool {
	return !slices.ContainsFunc(clauses, func(c clause) bool { return !c.match(o) })
}

func (c clause) match(o object) bool {
	var v any = o
	for _, name := range c.path {
		member, _ := v.(object)
		v = member[name]
	}
	s := scalar(v)
	if c.ranged {
		return s != "" && (c.from == "" || compare(s, c.from) >= 0) && (c.to == "" || compare(s, c.to) <= 0)
	}
	return slices.ContainsFunc(c.values, func(want string) bool { return strings.EqualFold(s, want) || sameTime(s, want) }) != c.negate
}

// sameTime reports whether both are the same time, however they are written.
func sameTime(a, b string) bool {
	ta, errA := time.Parse(time.RFC3339Nano, a)
	tb, errB := time.Parse(time.RFC3339Nano, b)
	return errA == nil && errB == nil && ta.Equal(tb)
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int:
		return strconv.Itoa(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(v)
	}
	return ""
}

// compare compares as times, as numbers, or as text without case.
func compare(a, b string) int {
	if ta, err := time.Parse(time.RFC3339Nano, a); err == nil {
		if tb, err := time.Parse(time.RFC3339Nano, b); err == nil {
			return ta.Compare(tb)
		}
	}
	if na, err := strconv.ParseFloat(a, 64); err == nil {
		if nb, err := strconv.ParseFloat(b, 64); err == nil {
			switch {
			case na < nb:
				return -1
			case na > nb:
				return 1
			}
			return 0
		}
	}
	return strings.Compare(strings.ToLower(a), strings.ToLower(b))
}
