package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain lets the test binary run as the program itself, under the name
// pxesrv.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"pxesrv": main})
}

// TestUsage: what is called wrongly ends with status 2, says what is wrong in
// one line, and what to do in others; nothing is served.
func TestUsage(t *testing.T) {
	t.Setenv("PXESRV_ROOT", t.TempDir())
	for _, test := range []struct {
		args   string
		status int
		says   string // "" nothing on standard error
	}{
		{"srve", 2, "pxesrv: there is no command \"srve\"\nhint: did you mean serve?\nhint: " +
			"pxesrv help lists the commands\n"},
		{"-p 4567 srve", 2, "pxesrv: there is no command \"srve\"\n"},
		{"man", 2, "pxesrv: there is no command \"man\"\n"},
		{"order plaec", 2,
			"hint: did you mean place?\nhint: pxesrv order --help lists the commands\n"},
		{"once plaec", 2, "pxesrv: there is no command \"order plaec\"\n"},
		{"iso inspekt", 2, "hint: did you mean inspect?\n"},
		{"help order plaec", 2, "pxesrv: there is no command \"order plaec\"\n"},
		{"--prot 80", 2, "hint: did you mean --root or --port?\nhint: pxesrv serve --help lists"},
		{"explain --once-max-per-dya 1 x", 2, "hint: did you mean --once-max-per-day?\n"},
		{"explain --port 80 x", 2, // of the daemon alone
			"pxesrv: unknown flag: --port\nhint: it is a flag of pxesrv serve\n"},
		{"-p 80 order list", 2, "in -p\nhint: it is a flag of pxesrv serve\n"},
		{"order list -y", 2, "in -y\nhint: pxesrv order list --help lists the flags"},
		{"-- order list", 2,
			"pxesrv: there is no command \"order\"\nhint: pxesrv help lists the commands\n"},
		{"order --force", 2,
			"hint: flags come after the command: pxesrv order COMMAND --help lists them\n"},
		{"iso --csvv hosts.csv", 2,
			"hint: did you mean --csv?\nhint: pxesrv iso --help lists the flags\n"},
		{"-p many", 2, "\"many\" is not a number from 0 to 65535"},
		{"serve x", 2, "pxesrv: serve takes no arguments, and \"x\" is one\n"},
		{"iso keygen x", 2, "pxesrv: iso keygen takes no arguments, and \"x\" is one\n"},
		{"check a b", 2, "pxesrv: check takes one directory, and 2 are given\n"},
		{"order place x", 2, "pxesrv: order place takes NAME SCRIPT\n"},
		{"order list x y", 2, "pxesrv: order list takes [NAME]\n"},
		{"explain", 2, "pxesrv: explain needs the name of a machine\nhint: "},
		{"completion tcsh", 2, "pxesrv: say which shell\nhint: pxesrv completion bash|zsh|fish\n"},
		{"help", 0, ""}, {"--help", 0, ""}, {"-h", 0, ""}, {"order", 0, ""},
		{"order --help", 0, ""}, {"iso", 0, ""},
		{"help order place", 0, ""}, {"help settings", 0, ""}, {"settings", 0, ""},
		{"--version", 0, ""}, {"version", 0, ""},
		{"order cancel 10.0.0.7", 1, "pxesrv: "},
	} {
		var out, said bytes.Buffer
		status := run(strings.Fields(test.args), &out, &said)
		if status != test.status || !strings.Contains(said.String(), test.says) ||
			test.says == "" && (said.Len() > 0 || out.Len() == 0) {
			t.Errorf("%s: status %d, %s%s", test.args, status, &out, &said)
		}
	}
}

// TestSystemFile places orders on a computer with a daemon whose orders lie
// outside of its root: in whatever way the root of the daemon is named, the
// order goes where the daemon looks, and with any other root it goes into that.
func TestSystemFile(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	for _, tree := range []string{"release/tree", "checkout"} {
		if err := os.MkdirAll(path(tree+"/once"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path(tree+"/install"), []byte("#!ipxe\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("release/tree", path("root")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path("orders"), 0o755); err != nil {
		t.Fatal(err)
	}
	whole := "root: " + path("root") + "\nonce:\n  dir: " + path("orders") + "\n"
	defer func(name string) { systemFile = name }(systemFile)
	systemFile = path("pxesrv.yaml")
	t.Setenv("PXESRV_CONFIG", "")
	t.Chdir(path("release"))

	for what, test := range map[string]struct {
		text, env string // of the system's file, and of PXESRV_ROOT
		flags     []string
		to, says  string // where the order is then, and what else is said
	}{
		"no root":                 {whole, "", nil, "orders", ""},
		"the root, environment":   {whole, path("root"), nil, "orders", ""},
		"the root, flag":          {whole, "", []string{"--root", path("root")}, "orders", ""},
		"the root, unclean":       {whole, path("root") + "//", nil, "orders", ""},
		"where its link leads to": {whole, path("release/tree"), nil, "orders", ""},
		"relative":                {whole, "tree", nil, "orders", ""},
		"stronger than the file": {whole, path("root"), []string{"--once-dir", path("root/once")},
			"root/once", ""},
		"a checkout, environment": {whole, path("checkout"), nil, "checkout/once", ""},
		"a checkout, flag": {whole, path("root"), []string{"--root", path("checkout")},
			"checkout/once", ""},
		"a root that hides there": {whole, path("checkout"), []string{"--root", path("root")},
			"orders", ""},
		"a file without a root": {"once: {dir: " + path("orders") + "}\n", path("root"), nil,
			"root/once", ""},
		"no file": {"", path("root"), nil, "root/once", ""},
		"a broken file": {whole + "ruut: x\n", path("root"), nil, "root/once",
			"nothing in it counts here, though it may be about the root " + path("root")},
	} {
		os.Remove(systemFile)
		if test.text != "" {
			if err := os.WriteFile(systemFile, []byte(test.text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if t.Setenv("PXESRV_ROOT", test.env); test.env == "" {
			os.Unsetenv("PXESRV_ROOT")
		}
		var out, said bytes.Buffer
		status := run(append([]string{"order", "place", "10.0.0.7", "install"}, test.flags...),
			&out, &said)
		if _, err := os.Lstat(filepath.Join(path(test.to), "10.0.0.7")); status != 0 ||
			err != nil ||
			(said.Len() > 0) != (test.says != "") || !strings.Contains(said.String(), test.says) {
			t.Errorf("%s: status %d, %v; said %s", what, status, err, &said)
		}
		for _, orders := range []string{"orders", "root/once", "checkout/once"} {
			os.Remove(filepath.Join(path(orders), "10.0.0.7"))
		}
	}

	// Nothing that is named: what is wrong with the file is then what is wrong.
	if err := os.WriteFile(systemFile, []byte("ruut: x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	os.Unsetenv("PXESRV_ROOT")
	var out, said bytes.Buffer
	if status := run([]string{"order", "list"}, &out, &said); status != 1 ||
		!strings.Contains(said.String(), "pxesrv.yaml:1: ruut is no setting") {
		t.Errorf("status %d: %s", status, &said)
	}
	said.Reset()
	if status := run([]string{"check", path("checkout")}, &out, &said); status != 0 ||
		!strings.Contains(said.String(), "nothing in it counts here") {
		t.Errorf("status %d: %s", status, &said)
	}
}
