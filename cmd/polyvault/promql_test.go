package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// query is what an expression of PromQL refers to.
type query struct {
	selectors []selector
	grouping  []string // labels of by, without, on, ignoring and group_left
}

// selector is one metric with its matchers.
type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, op, value string }

// word, text and the rest are the tokens of PromQL, as far as they matter here.
var promToken = regexp.MustCompile(`^(?:([a-zA-Z_:][a-zA-Z0-9_:]*)|("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(\[[0-9a-z:]+\])|([0-9][0-9a-zA-Z.]*)|(=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},])|(\s+))`)

func promTokens(expr string) ([]string, error) {
	var out []string
	for expr != "" {
		m := promToken.FindStringSubmatch(expr)
		if m == nil {
			return nil, fmt.Errorf("cannot read on from %q", expr)
		}
		if m[6] == "" && m[3] == "" { // neither space nor a range
			out = append(out, m[0])
		}
		expr = expr[len(m[0]):]
	}
	return out, nil
}

// parsePromQL finds what an expression refers to. It knows the functions and operators
// that the dashboard and the alerts use, and fails at others, so that a misspelt one is
// no metric that is missing.
func parsePromQL(expr string) (query, error) {
	tokens, err := promTokens(expr)
	if err != nil {
		return query{}, err
	}
	if n := strings.Count(expr, "(") - strings.Count(expr, ")"); n != 0 {
		return query{}, fmt.Errorf("%d parentheses are not closed", n)
	}
	var q query
	for i := 0; i < len(tokens); i++ {
		next := ""
		if i+1 < len(tokens) {
			next = tokens[i+1]
		}
		switch word := tokens[i]; {
		case !regexp.MustCompile(`^[a-zA-Z_:]`).MatchString(word):
		case slices.Contains([]string{"and", "or", "unless", "bool", "offset"}, word):
		case slices.Contains([]string{"by", "without", "on", "ignoring", "group_left", "group_right"}, word):
			for i += 2; i < len(tokens) && tokens[i] != ")"; i++ {
				if tokens[i] != "," {
					q.grouping = append(q.grouping, tokens[i])
				}
			}
		case slices.Contains(promFunctions(), word):
			if !slices.Contains([]string{"(", "by", "without"}, next) {
				return q, fmt.Errorf("%s is a function", word)
			}
		case next == "(":
			return q, fmt.Errorf("%s is no function that is known here", word)
		default:
			s := selector{metric: word}
			if next == "{" {
				for i += 2; i+2 < len(tokens) && tokens[i] != "}"; i++ {
					if tokens[i] == "," {
						continue
					}
					s.matchers = append(s.matchers, matcher{tokens[i], tokens[i+1], strings.Trim(tokens[i+2], `"'`)})
					i += 2
				}
			}
			q.selectors = append(q.selectors, s)
		}
	}
	return q, nil
}

func promFunctions() []string {
	return []string{
		"sum", "min", "max", "avg", "count", "rate", "increase", "histogram_quantile", "absent", "changes", "time", "vector", "clamp_min",
	}
}

func TestParsePromQL(t *testing.T) {
	t.Parallel()
	q, err := parsePromQL(`sum by (le, provider) (rate(a_bucket{x=~"5..|4,}", y!='b'}[5m])) / on (instance) group_left (v) b > bool 0.1 or vector(0)`)
	require.NoError(t, err)
	require.Equal(t, query{
		selectors: []selector{{"a_bucket", []matcher{{"x", "=~", "5..|4,}"}, {"y", "!=", "b"}}}, {metric: "b"}},
		grouping:  []string{"le", "provider", "instance", "v"},
	}, q)
	for expr, want := range map[string]string{
		"rat(a[5m])": "rat is no function", "sum(a": "not closed", "a # b": "cannot read", "rate": "rate is a function",
	} {
		_, err := parsePromQL(expr)
		require.ErrorContains(t, err, want, expr)
	}
}
