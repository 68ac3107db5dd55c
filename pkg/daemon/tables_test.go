package daemon

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The cases of the Ruby PXESrv's behaviour and the rows of bad inputs and faults that have a test, somewhere in this
// repository: one whose name, or the name of whose subtest, begins with Case07 or Row07 and the end of a word.
var (
	// Not in here: what is nobody's habit (69, 72, 80).
	wantCases = slices.Concat(numbers(1, 68), []string{"66a", "66b", "70", "71"}, numbers(73, 79), []string{"81"})
	// Rows 41 to 56 are about what there is not: TFTP, log-in, templates, tokens, discovery.
	wantRows = append(numbers(1, 40), numbers(57, 60)...)
	// The promises of the Ruby project's own files.
	wantPromises = []string{
		"OnceIsUsedUpByTheRequest", "ClientsShareAFileByLinks", "PathsInScriptsAreRelativeToTheRoot", "LinkToFolder", "PortAndPath",
	}
)

func numbers(from, to int) (all []string) {
	for n := from; n <= to; n++ {
		all = append(all, fmt.Sprintf("%02d", n))
	}
	return all
}

func TestTablesAreCovered(t *testing.T) {
	names := testNames(t, "../..")
	covered := func(what, number string) bool {
		begin := regexp.MustCompile("^(Test|Fuzz)?" + what + number + `($|[_ :/-])`)
		return slices.ContainsFunc(names, begin.MatchString)
	}
	for what, list := range map[string][]string{"Case": wantCases, "Row": wantRows} {
		var missing []string
		for _, n := range list {
			if !covered(what, n) {
				missing = append(missing, n)
			}
		}
		if len(missing) > 0 {
			t.Errorf("no test is named Test%s%s_…, nor: %s", what, missing[0], strings.Join(missing[1:], " "))
		}
	}
	for _, p := range wantPromises {
		if !slices.Contains(names, "TestPromise_"+p) {
			t.Errorf("there is no TestPromise_%s", p)
		}
	}
	if covered("Case", "99") || covered("Row", "0") || !covered("Case", "66a") {
		t.Error("the scan finds what is not there, or nothing")
	}
}

// testNames are the names of all test functions, and the texts in them that begin as the name of a case or row.
func testNames(t *testing.T, root string) (names []string) {
	t.Helper()
	subtest := regexp.MustCompile(`^(Case|Row)\d\d`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			names = append(names, f.Name.Name)
			ast.Inspect(f, func(n ast.Node) bool {
				if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
					if s, err := strconv.Unquote(lit.Value); err == nil && subtest.MatchString(s) {
						names = append(names, s)
					}
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
