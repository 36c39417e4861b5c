package importer

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	firstLine  = `{"customer_id":"a","provider":"p","references":{"instrument":"1"}}`
	secondLine = `{"customer_id":"b","references":{"instrument":"2","customer":"x"},"metadata":{"plan":"gold"}}`
)

func TestLinesOfJSON(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		lines int
		codes map[int]string
	}{
		"nothing":                   {"", 0, nil},
		"blank lines only":          {"\n\r\n  \n", 0, nil},
		"one line without an end":   {firstLine, 1, nil},
		"one line":                  {firstLine + "\n", 1, nil},
		"a byte order mark":         {"\ufeff" + firstLine + "\n", 1, nil},
		"CRLF and blank lines":      {firstLine + "\r\n\r\n" + secondLine + "\r\n", 2, nil},
		"a provider by the flag":    {secondLine, 1, nil},
		"not JSON":                  {firstLine + "\n{\"customer_id\":\n" + secondLine, 3, map[int]string{2: "invalid_json"}},
		"not UTF-8":                 {firstLine + "\n{\"customer_id\":\"\xff\"}\n" + secondLine, 3, map[int]string{2: "invalid_json"}},
		"two values":                {firstLine + firstLine, 1, map[int]string{1: "invalid_json"}},
		"a member twice":            {`{"customer_id":"a","customer_id":"b"}`, 1, map[int]string{1: "duplicate_member"}},
		"an unknown member":         {`{"customer_id":"a","provider":"p","reference":{}}`, 1, map[int]string{1: "invalid_field"}},
		"another case":              {`{"Customer_ID":"a","provider":"p","references":{"i":"1"}}`, 1, map[int]string{1: "invalid_field"}},
		"a number for a text":       {`{"customer_id":7}`, 1, map[int]string{1: "invalid_field"}},
		"a list":                    {`[]`, 1, map[int]string{1: "invalid_field"}},
		"no customer":               {`{"provider":"p","references":{"i":"1"}}`, 1, map[int]string{1: "missing_field"}},
		"no references":             {`{"customer_id":"a","references":{}}`, 1, map[int]string{1: "missing_field"}},
		"null":                      {`null`, 1, map[int]string{1: "missing_field"}},
		"too long a line":           {firstLine + "\n" + strings.Repeat("x", maxLine+1) + "\n" + secondLine, 3, map[int]string{2: "body_too_large"}},
		"much too long a line":      {strings.Repeat("x", 10*maxLine) + "\n" + secondLine, 2, map[int]string{1: "body_too_large"}},
		"too long a line, no end":   {firstLine + "\n" + strings.Repeat("x", 10*maxLine), 2, map[int]string{2: "body_too_large"}},
		"a line as long as allowed": {firstLine + strings.Repeat(" ", maxLine-len(firstLine)) + "\r\n" + secondLine, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, "in.jsonl", c.text)
			j.Provider = "flag"
			sum := j.run(t)
			require.Equal(t, c.lines, sum.Lines())
			require.Len(t, j.results(t), c.lines)
			if c.codes == nil {
				c.codes = map[int]string{}
			}
			require.Equal(t, c.codes, j.codes(t))
			require.Len(t, j.f.sent, c.lines-len(c.codes), "the others are sent")
			require.Equal(t, c.lines, j.run(t).Earlier, "and it is done")
		})
	}
}

func TestALineWithoutProviderNeedsTheFlag(t *testing.T) {
	t.Parallel()
	j := newJob(t, "in.jsonl", secondLine)
	j.run(t)
	require.Equal(t, map[int]string{1: "missing_field"}, j.codes(t))
	require.Contains(t, j.results(t)[0].Detail, "--provider")
}

func TestLinesOfCSV(t *testing.T) {
	t.Parallel()
	const header = "customer_id,provider,customer,payment_instrument,metadata.plan\n"
	for name, c := range map[string]struct {
		text  string
		lines int
		codes map[int]string
	}{
		"nothing":                    {"", 0, nil},
		"the columns only":           {header, 0, nil},
		"one line without an end":    {header + "a,p,c1,i1,gold", 1, nil},
		"a byte order mark and CRLF": {"\ufeff" + strings.ReplaceAll(header, "\n", "\r\n") + "a,p,c1,i1,gold\r\nb,p,c2,i2,\r\n", 2, nil},
		"quotes":                     {header + `"a, the first",p,"c""1""",i1,"gold, or ""silver"""` + "\n", 1, nil},
		"a quote that is not closed": {header + "a,p,\"c1,i1,gold\nb,p,c2,i2,\n", 2, map[int]string{2: "invalid_csv"}},
		"a quote in a value":         {header + "a,p,c\"1,i1,gold\nb,p,c2,i2,\n", 2, map[int]string{2: "invalid_csv"}},
		"too few values":             {header + "a,p\nb,p,c2,i2,\n", 2, map[int]string{2: "invalid_csv"}},
		"too many values":            {header + "b,p,c2,i2,\na,p,c,i,m,x\n", 2, map[int]string{3: "invalid_csv"}},
		"not UTF-8":                  {header + "b,p,c2,i2,\na,p,\xff,i,m\n", 2, map[int]string{3: "invalid_csv"}},
		"no references":              {header + "b,p,,,gold\n", 1, map[int]string{2: "missing_field"}},
		"no customer":                {header + ",p,c,i,gold\n\n", 1, map[int]string{2: "missing_field"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, "in.csv", c.text)
			sum := j.run(t)
			require.Equal(t, c.lines, sum.Lines())
			if c.codes == nil {
				c.codes = map[int]string{}
			}
			require.Equal(t, c.codes, j.codes(t))
			require.Len(t, j.f.sent, c.lines-len(c.codes), "the others are sent")
			require.Equal(t, c.lines, j.run(t).Earlier, "and it is done")
		})
	}
	j := newJob(t, "in.csv", header+`"a, the first",p,"c""1""",i1,"gold, or ""silver"""`+"\n")
	j.run(t)
	sent := j.f.sent[0]
	require.Equal(t, "a, the first", sent.CustomerID)
	require.Equal(t, "gold, or \"silver\"", sent.Metadata["plan"])
	source, err := sent.Sources[0].AsProviderReferenceSource()
	require.NoError(t, err)
	require.Equal(t, map[string]string{"customer": "c\"1\"", "payment_instrument": "i1"}, source.References)
	require.Equal(t, "p", source.Provider)
}

func TestColumnsThatCannotBe(t *testing.T) {
	t.Parallel()
	for header, says := range map[string]string{
		"customer,provider":              "customer_id",
		"customer_id,provider":           "reference",
		"customer_id,instrument":         "--provider",
		"customer_id,provider,i,i":       "column 4 has the name",
		"customer_id,,i":                 "column 2 has no name",
		"customer_id,provider,i,\"x":     "quote",
		"customer_id,provider,i,\xff":    "UTF-8",
		"customer_id,provider,metadata.": "no name",
	} {
		j := newJob(t, "in.csv", header+"\na,p,c,i\n")
		_, err := Run(t.Context(), j.Options)
		require.ErrorContains(t, err, says, header)
		require.Empty(t, j.f.sent)
	}
}

// No value of a line is repeated in its result: it may be a card number in the wrong place.
func TestResultsShowNothingOfTheLine(t *testing.T) {
	t.Parallel()
	const number = "4111111111111111"
	for _, text := range []string{
		`{"customer_id":` + number + `}`, `{"` + number + `":"x"}`, `{"references":{"` + number + `":7}}`, `{"` + number + `":1,"` + number + `":1}`,
		`"` + number + `"`, number, `{"customer_id":"` + number + `"`, `{"references":{"x":` + number + `}}`, `{"metadata":["` + number + `"]}`,
	} {
		j := newJob(t, "in.jsonl", text)
		j.run(t)
		res := j.results(t)
		require.Equal(t, Failed, res[0].Status, text)
		require.NotContains(t, res[0].Detail, number, text)
	}
}
