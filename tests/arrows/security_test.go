package arrows

import (
	"go/ast"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// statements is how many statements SECURITY.md makes.
const statements = 17

var testName = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")

// Every statement of SECURITY.md is held by tests that exist.
func TestSecurityStatementsHaveTheirTests(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../SECURITY.md")
	require.NoError(t, err)
	there := map[string]bool{}
	for _, f := range sources(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && f.test && fn.Recv == nil {
				there[fn.Name.Name] = true
			}
		}
	}
	_, table, ok := strings.Cut(string(page), "| | Statement | Tests |\n|---|---|---|\n")
	require.True(t, ok, "SECURITY.md has no table of statements")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	require.Len(t, rows, statements)
	for i, row := range rows {
		cells := strings.Split(strings.Trim(row, "| "), " | ")
		require.Len(t, cells, 3, row)
		require.Equal(t, strconv.Itoa(i+1), cells[0])
		require.NotEmpty(t, testName.FindAllString(cells[2], -1), "statement %s names no test", cells[0])
	}
	for _, m := range testName.FindAllStringSubmatch(string(page), -1) {
		require.True(t, there[m[1]], "SECURITY.md names %s, which is no test", m[1])
	}
}
