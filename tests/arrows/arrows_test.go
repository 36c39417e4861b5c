// Package arrows holds the house plan as a test: who may import whom, which
// library lives in which room, and no state outside of them.
package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module           = "github.com/polyvault/polyvault/"
	standardWebhooks = "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// room is a folder of the project and what its code, tests aside, may import of
// ours ("<p>" stands for one provider's name) and of other people's.
type room struct {
	folder    string
	ours      []string
	libraries []string
}

func providers() []string { return []string{"cybersource", "rebilly", "bigcommerce"} }

func rooms() []room {
	out := []room{
		{"normalize", nil, nil},
		{"adapters", []string{"normalize", "adapters/internal/rest"}, nil},
		{"adapters/internal/rest", []string{"normalize"}, []string{"github.com/go-json-experiment/json"}},
		{"adapters/fault", nil, nil},
		{"adapters/standin", []string{"adapters/fault"}, nil},
		{"gateway", []string{"normalize", "adapters"}, []string{"github.com/sony/gobreaker/v2", "go.uber.org/zap", "golang.org/x/sync/errgroup", "golang.org/x/time/rate", "github.com/hashicorp/golang-lru/v2", "github.com/go-json-experiment/json", standardWebhooks}},
		{"gateway/redisstore", []string{"gateway", "normalize"}, []string{"github.com/redis/go-redis/v9"}},
		{"gateway/boltstore", []string{"gateway", "gateway/internal/groupcommit"}, []string{"go.etcd.io/bbolt"}},
		{"gateway/internal/groupcommit", nil, nil},
		{"gateway/journal", []string{"gateway", "gateway/internal/groupcommit"}, nil},
		{"gateway/audit", []string{"normalize"}, []string{"go.uber.org/zap"}},
		{"gateway/httpapi", []string{"gateway", "gateway/audit", "normalize"}, []string{
			"github.com/labstack/echo/v4", "github.com/go-json-experiment/json", "go.uber.org/zap",
			"github.com/oapi-codegen", "github.com/getkin/kin-openapi", "go.yaml.in/yaml",
		}},
		{"gateway/rehearsal", []string{"gateway"}, []string{"go.uber.org/zap"}},
		{"gateway/client", nil, []string{"github.com/oapi-codegen"}},
		{"cmd/polyvault/internal/metrics", []string{"gateway", "gateway/httpapi", "normalize"}, []string{"github.com/prometheus/client_golang/prometheus"}},
		{"cmd/polyvault/internal/tracing", []string{"adapters", "gateway/httpapi"}, []string{"go.opentelemetry.io/otel", "go.uber.org/zap"}},
		{"cmd/polyvault/internal/importer", []string{"gateway/client"}, []string{"github.com/cenkalti/backoff/v5", "github.com/go-json-experiment/json"}},
	}
	config := room{"config", []string{"normalize", "adapters"}, []string{
		"github.com/knadh/koanf", "github.com/santhosh-tekuri/jsonschema/v6", "go.yaml.in/yaml", "github.com/fsnotify/fsnotify",
	}}
	for _, p := range providers() {
		out = append(out,
			room{"adapters/" + p, []string{"normalize", "adapters", "adapters/internal/rest"}, nil},
			room{"adapters/" + p + "/" + p + "test", []string{"normalize", "adapters/fault", "adapters/standin"}, nil})
		config.ours = append(config.ours, "adapters/"+p)
	}
	return append(out, config)
}

// exclusive libraries are imported in one room only, whatever a room's list says.
func exclusive() map[string][]string {
	return map[string][]string{
		"github.com/redis/go-redis":    {"gateway/redisstore", "gateway/storetest", "gateway/storetest/redistest"},
		"go.etcd.io/bbolt":             {"gateway/boltstore"},
		"github.com/labstack/echo":     {"gateway/httpapi"},
		"github.com/sony/gobreaker/v2": {"gateway"},
		"github.com/fsnotify":          {"config"},
		"github.com/prometheus":        {"cmd/polyvault", "cmd/polyvault/internal/metrics"},
		"go.opentelemetry.io":          {"cmd/polyvault/internal/tracing"},
		"github.com/cenkalti/backoff":  {"cmd/polyvault/internal/importer"},
		"github.com/vbauerster/mpb":    {"cmd/polyvault"},
	}
}

func TestArrows(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range sources(t) {
		for _, r := range rooms() {
			if f.folder != r.folder || f.test {
				continue
			}
			seen[r.folder] = true
			for _, imp := range f.imports {
				require.True(t, allowed(r, imp), "%s imports %s, which is not an arrow of the house plan (see ARCHITECTURE.md)", f.path, imp)
			}
		}
	}
	for _, r := range rooms() {
		require.True(t, seen[r.folder], "the plan names %s, which has no code", r.folder)
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		for _, imp := range f.imports {
			for library, folders := range exclusive() {
				if strings.HasPrefix(imp, library) && !f.test {
					require.Contains(t, folders, f.folder, "%s imports %s", f.path, imp)
				}
			}
			require.NotEqual(t, "github.com/stretchr/testify/assert", imp, "%s: use require", f.path)
			require.False(t, strings.HasPrefix(imp, "github.com/sony/gobreaker") && !strings.HasPrefix(imp, "github.com/sony/gobreaker/v2"),
				"%s: the maintained major is v2", f.path)
		}
	}
	breaker, events := 0, 0
	for _, f := range sources(t) {
		if slices.Contains(f.imports, standardWebhooks) && !f.test {
			events++
			require.Regexp(t, `^gateway/event_[a-z]+\.go$`, f.path, "the files of events alone sign as others verify")
		}
		if slices.Contains(f.imports, "github.com/sony/gobreaker/v2") && !f.test {
			breaker++
			require.Equal(t, "gateway/breaker.go", f.path, "the breaker lives in one file")
		}
	}
	require.Equal(t, 1, breaker)
	require.Positive(t, events)
}

func TestNoHiddenState(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test || strings.HasSuffix(f.path, ".gen.go") {
			continue
		}
		for _, decl := range f.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				require.False(t, d.Recv == nil && d.Name.Name == "init", "%s: no registration by init", f.path)
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					for _, spec := range d.Specs {
						if v, ok := spec.(*ast.ValueSpec); ok {
							checkVar(t, f, d, v)
						}
					}
				}
			}
		}
	}
}

// checkVar allows package variables that nobody changes: compile-time checks,
// errors, compiled patterns, embedded files.
func checkVar(t *testing.T, f source, d *ast.GenDecl, v *ast.ValueSpec) {
	t.Helper()
	for i, name := range v.Names {
		if name.Name == "_" || strings.Contains(d.Doc.Text()+v.Doc.Text(), "go:embed") || embedded(d, v) {
			continue
		}
		call, ok := valueAt(v, i).(*ast.CallExpr)
		require.True(t, ok && slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile"}, callee(call)),
			"%s: %s is a package-level variable", f.path, name.Name)
	}
}

func embedded(d *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, group := range []*ast.CommentGroup{d.Doc, v.Doc} {
		if group != nil {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, "//go:embed") {
					return true
				}
			}
		}
	}
	return false
}

func valueAt(v *ast.ValueSpec, i int) ast.Expr {
	if i < len(v.Values) {
		return v.Values[i]
	}
	return nil
}

func callee(c *ast.CallExpr) string {
	if sel, ok := c.Fun.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return x.Name + "." + sel.Sel.Name
		}
	}
	return ""
}

func allowed(r room, imp string) bool {
	if rest, ok := strings.CutPrefix(imp, module); ok {
		return slices.Contains(r.ours, rest)
	}
	if !strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(r.libraries, func(l string) bool { return imp == l || strings.HasPrefix(imp, l+"/") })
}

type source struct {
	path, folder string
	test         bool
	imports      []string
	ast          *ast.File
}

// sources parses every Go file of the module.
func sources(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	var out []source
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		if d.IsDir() {
			if name := d.Name(); rel != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "tools" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, content, parser.ParseComments)
		if err != nil {
			return err
		}
		s := source{path: filepath.ToSlash(rel), folder: filepath.ToSlash(filepath.Dir(rel)), test: strings.HasSuffix(path, "_test.go"), ast: file}
		for _, imp := range file.Imports {
			v, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, v)
		}
		out = append(out, s)
		return nil
	}))
	require.NotEmpty(t, out)
	return out
}
