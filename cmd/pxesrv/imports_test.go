package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The rule of imports: each package, what of ours it may import, and why. A
// package without a line fails, and so does a line without a package.
const imports = `
pkg/boot    -                            # the subject: a machine asks, what does it boot? It knows no protocol and no disk
pkg/tree    -                            # the root on disk and its path rule; it knows nothing of booting
pkg/ipxe    -                            # scripts of ours are texts
pkg/cert    reread                       # certificates are files; who serves with them is others' business
pkg/bounded -                            # work that may hang on a disk, whoever's it is
pkg/conn    -                            # what lies below HTTP: connections have no contents
pkg/config  bounded ipxe                 # values that were checked, a boot server as a host's is; what they mean is other packages' business
pkg/iso     -                            # bytes of an image from bytes of loaders and of a script
pkg/dhcp    -                            # lines for other people's servers are texts
pkg/lab     -                            # trees, loaders and logs of tests; nothing of the lab may know what it tests
pkg/lab/chroot  lab lab/internal/process lab/netns  # root folders of Debian
pkg/lab/faultfs lab                      # broken disks
pkg/lab/internal/process -               # children that end with the test
pkg/lab/netns   lab lab/internal/process # networks
pkg/lab/pki     -                        # certificates
pkg/lab/qemu    lab lab/internal/process lab/netns  # machines
pkg/lab/servers lab lab/internal/process # DHCP servers, nginx, a proxy
pkg/reread  -                            # values made of files, read again when those change; what they mean is others' business
pkg/order   boot tree                    # orders are rules of the decision that move links
pkg/httpd   boot bounded conn ipxe # one protocol around the subject; sites reach it as an interface
pkg/loader  ipxe reread                  # boot loaders: where they are, and what a build of iPXE can do for a script
pkg/hosts   boot ipxe                    # lists of hosts become hosts; boot spells their names
pkg/media   boot hosts ipxe iso loader reread # boot media: loaders, a host's script and the image together
pkg/tftpd   bounded ipxe                 # the other protocol; it decides nothing
pkg/site    boot cert config hosts ipxe iso loader media order tree  # the one place that ties rules to a configuration
pkg/check   boot cert config httpd ipxe loader site tree # lint, through the eyes of the site
pkg/daemon  boot bounded cert config conn httpd order reread site tftpd # listeners around a site; boot for what it counts
cmd/pxesrv  boot check config daemon dhcp hosts ipxe iso loader media order site cmd/pxesrv/manual
cmd/pxesrv/manual config                 # the manual page, of the commands that it is given; only make man has it
`

// What of the standard library and of others only some may import.
var reserved = []struct {
	path string   // and everything below it
	only []string // packages that may, and those below them
	not  []string // packages that may not
	why  string
}{
	{"os", nil, []string{"pkg/boot"}, "the decision reads no file and no environment"},
	{"io/fs", nil, []string{"pkg/boot"}, "the decision reads no file"},
	{"path/filepath", nil, []string{"pkg/boot"}, "the decision reads no file"},
	{"syscall", nil, []string{"pkg/boot"}, "the decision reads no file"},
	{"time", nil, []string{"pkg/boot"}, "the decision knows no clock"},
	{"log", nil, []string{"pkg/boot", "pkg/tree", "pkg/order", "pkg/site"},
		"they return what is to be said"},
	{"net/http", nil, []string{"pkg/boot", "pkg/tree", "pkg/order", "pkg/site", "pkg/config"},
		"one protocol of several"},
	{"math/rand", nil, []string{"pkg/boot"}, "the same question gets the same answer"},
	{"unsafe", []string{}, nil, "nothing here needs it"},
	{"testing", []string{"pkg/lab"}, nil, "it belongs to tests"},
	{"github.com/spf13/cobra", []string{"cmd/pxesrv", "cmd/pxesrv/manual"}, nil,
		"commands are the program's; nothing below knows them"},
	{"github.com/spf13/pflag", []string{"cmd/pxesrv", "cmd/pxesrv/manual"}, nil,
		"flags are the command's; other packages get values"},
	{"gopkg.in/yaml.v3", []string{"pkg/config"}, nil, "one place reads YAML"},
	{"github.com/pin/tftp", []string{"pkg/tftpd"}, nil, "one place speaks TFTP"},
	{"github.com/coreos/go-systemd", []string{"pkg/daemon"}, nil, "one place speaks to systemd"},
	{"github.com/pires/go-proxyproto", []string{"pkg/conn"}, nil,
		"one place reads the PROXY protocol"},
	{"github.com/prometheus", []string{"pkg/daemon"}, nil,
		"what is counted is the daemon's business; others get an interface"},
	{"github.com/ulikunitz/xz", []string{"pkg/loader"}, nil, "one place looks into builds of iPXE"},
	{"github.com/hanwen/go-fuse", []string{"pkg/lab/faultfs"}, nil, "broken disks are for tests"},
	{"github.com/rogpeppe/go-internal", []string{}, nil, "stories are for tests"},
}

// TestImports holds the architecture: who imports whom, on every system. Files
// of tests may import what they like, and pkg/lab is for them alone.
func TestImports(t *testing.T) {
	const module = "pxesrv/"
	allowed := map[string][]string{}
	for line := range strings.Lines(strings.TrimSpace(imports)) {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		may := []string{}
		for _, w := range words[1:] {
			if !strings.HasPrefix(w, "cmd/") && w != "-" {
				w = "pkg/" + w
			}
			if w != "-" {
				may = append(may, w)
			}
		}
		allowed[words[0]] = may
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]map[string]bool{}
	err = filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if file != root && (name[0] == '.' || name[0] == '_' || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") ||
			name[0] == '_' || name[0] == '.' {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(dir)
		may, known := allowed[pkg]
		if !known {
			t.Errorf("%s has no line in the rule of imports: write down what of ours it may "+
				"import, and why", pkg)
			return nil
		}
		if used[pkg] == nil {
			used[pkg] = map[string]bool{}
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			ours, isOurs := strings.CutPrefix(imported, module)
			if isOurs {
				used[pkg][ours] = true
				if !slices.Contains(may, ours) {
					t.Errorf("%s imports %s; of ours it may import %q", path.Join(pkg, name),
						imported, may)
				}
			}
			if pkg == "pkg/boot" && !isStandard(imported) {
				t.Errorf("%s imports %s; the decision needs the standard library only",
					path.Join(pkg, name), imported)
			}
			for _, r := range reserved {
				if imported != r.path && !strings.HasPrefix(imported, r.path+"/") {
					continue
				}
				if slices.Contains(r.not, pkg) ||
					r.only != nil && !slices.ContainsFunc(r.only, func(p string) bool {
						return pkg == p || strings.HasPrefix(pkg, p+"/")
					}) {
					t.Errorf("%s imports %s: %s", path.Join(pkg, name), imported, r.why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for pkg, may := range allowed {
		if used[pkg] == nil {
			t.Errorf("the rule of imports has a line for %s, which has no source", pkg)
			continue
		}
		for _, m := range may {
			if !used[pkg][m] {
				t.Errorf("the rule of imports lets %s import %s, which it does not need", pkg, m)
			}
		}
	}
}

// isStandard reports whether a path is one of Go's own: those of others begin
// with the name of a host.
func isStandard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return first != "pxesrv" && !strings.Contains(first, ".")
}
