package ipxe

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// has is a tree of files for exists.
func has(names ...string) func(string) bool {
	return func(name string) bool { return slices.Contains(names, name) }
}

// TestCheck has a script for everything that Check says, and for what it must not say. A script without a first line gets
// "#!ipxe\n" put before it, so that its own first line is line 2.
func TestCheck(t *testing.T) {
	tree := has("images/linux", "/images/linux", "images/initrd.gz", "a b", "tools/x.ipxe", "redirect")
	for name, c := range map[string]struct {
		script string
		want   string // "line level code" of each problem, separated by "; "
	}{
		"nothing":                   {"echo hello\n", ""},
		"comments and blank lines":  {"\n# goto nowhere\n   # frob\necho x # goto nowhere\n", ""},
		"gpxe":                      {"#!gpxe\necho\n", ""},
		"magic with arguments":      {"#!ipxe now\necho\n", ""},
		"CRLF":                      {"#!ipxe\r\n:a\r\ngoto a\r\n", ""},
		"no magic":                  {"#!/bin/sh\necho\n", "1 error no-magic"},
		"magic with a blank before": {" #!ipxe\necho\n", "1 error no-magic"},
		"magic with more to it":     {"#!ipxefoo\n", "1 error no-magic"},
		"magic alone":               {"#!ipxe", "1 error no-magic"},
		"byte order mark":           {"\xef\xbb\xbf#!ipxe\necho\n", "1 error no-magic"},
		"byte order mark and more":  {"\xef\xbb\xbf#!ipxe\nfrob\n", "1 error no-magic; 2 warning no-command"},
		"too long":                  {"#!ipxe\n" + strings.Repeat("frob\n", 1<<18), "1 error too-long"},

		"cut":                        {"echo", "2 warning no-end"},
		"cut after a backslash":      {"echo \\", "2 error no-end"},
		"cut after a backslash line": {"echo\necho \\\n", "3 error no-end"},
		"blank behind a backslash":   {"kernel images/linux \\ \necho x\n", "2 warning no-end"},
		"backslash in a comment":     {"# a \\ \necho\n", ""},

		"goto":                         {"goto a\n:a\ngoto b\n  :b echo\n", ""},
		"goto nowhere":                 {"goto a\n", "2 error no-label"},
		"goto without label":           {"goto\n", "2 error no-label"},
		"goto by case":                 {":A\ngoto a\n", "3 error no-label"},
		"goto nowhere, handled":        {"goto a || echo no\n", "2 warning no-label"},
		"goto a setting":               {"goto ${x}\ngoto a${x}\n", ""},
		"goto behind a test":           {"isset ${x} && goto a ||\n", "2 warning no-label"},
		"label twice":                  {":a\n:b\n:a\ngoto a\ngoto b\n", "4 error same-label"},
		"label in a continuation":      {"echo \\\n:a\ngoto a\n", "4 error no-label"},
		"a line that goes on":          {"echo a \\\n  b \\\n  c && goto d\n", "2 error no-label"},
		"CRLF and a line that goes on": {"#!ipxe\r\necho a \\\r\n && goto b\r\n", "2 error no-label"},
		"in the order of the lines":    {"frob\n:a\n:a\n", "2 warning no-command; 4 error same-label"},
		"label with a command":         {":a goto b\n:b\n", ""},
		"nothing after an end":         {"exit 1\ngoto nowhere\n", ""},
		"label brings it back":         {"exit 1\n:a\ngoto nowhere\n", "4 error no-label"},
		"never after goto":             {"iseq 1 2 && goto a || frob\n:a\n", "2 warning no-command"},
		"a text that says goto":        {"echo goto nowhere\n", ""},
		"joined without blanks":        {"echo a&&goto nowhere\n", ""},
		"semicolon":                    {"echo a ; goto b\n", "2 error no-label"},
		"set has its own words":        {"set x goto nowhere\n", ""},
		"empty command":                {"echo ||\n|| echo\n&& echo\n", ""},
		"unknown command":              {"frobnicate --all\n", "2 warning no-command"},
		"unknown command, handled":     {"frobnicate || goto a\n:a\n", "2 warning no-command"},
		"command in capitals":          {"ECHO\n", "2 warning no-command"},
		"command from a setting":       {"${cmd} x\nimg${x} y\n", ""},
		"every command there is":       {"menu x\nitem --key x a b\nchoose --default a x\nlogin\nsync\nshow x\ninc x\nread x\nclear x\n", ""},
		"rare command":                 {"vcreate --tag 5 net0\n", "2 warning rare-command"},
		"rare command, handled":        {"vcreate --tag 5 net0 ||\n", ""},
		"rare command, tested":         {"iseq ${platform} efi && vcreate --tag 5 net0\n", ""},
		"rare command, on BIOS":        {"iseq ${platform} pcbios && params\n", "2 warning rare-command"},
		"rare command, other half":     {"iseq ${platform} pcbios || params\n", ""},
		"rare command after a jump":    {"iseq pcbios ${platform} && goto old ||\nparams\nparam a b\n:old\n", ""},
		"jump and label":               {"iseq ${platform} pcbios && goto old ||\nvcreate a\n:old\nvcreate a\n", "5 warning rare-command"},
		"new command":                  {"iflinkwait\n", "2 warning rare-command"},
		"optional command":             {"ping x\n", "2 warning rare-command"},
		"https":                        {"chain https://boot/x\n", "2 warning rare-command"},
		"https with a setting":         {"chain https://${srv}/x\n", "2 warning rare-command"},
		"https, handled":               {"chain https://boot/x || echo no\n", ""},
		"https, UEFI":                  {"iseq ${platform} efi && chain https://boot/x ||\n", ""},
		"exit":                         {"exit\n", "2 warning exits-well"},
		"exit 0":                       {"exit 0x0\n", "2 warning exits-well"},
		"exit 1":                       {"exit 1\n", ""},
		"exit with a setting":          {"exit ${errno}\n", ""},
		"exit on UEFI":                 {"iseq ${platform} efi && exit 0 ||\n", "2 warning exits-well"},
		"exit on BIOS":                 {"iseq ${platform} pcbios && exit ||\n", ""},
		"exit on BIOS, other half":     {"iseq ${platform} efi && exit 1 || exit\n", ""},
		"exit on BIOS, next line":      {"iseq ${platform} efi && exit 1 ||\nexit\n", ""},
		"exit twice":                   {":a\nexit\n:b\nexit\n", "3 warning exits-well; 5 warning exits-well"},
		"exit after a chain":           {"chain tools/x.ipxe && exit ||\n", "2 warning exits-well"},
		"file":                         {"kernel images/linux initrd=x root=/dev/y\ninitrd images/initrd.gz\nboot\n", ""},
		"file from the root":           {"kernel /images/linux\n", ""},
		"file missing":                 {"kernel images/lunix\n", "2 error no-file"},
		"file missing, from the root":  {"initrd /images/lunix\n", "2 error no-file"},
		"file missing, handled":        {"kernel images/lunix && boot || goto a\n:a\n", "2 note no-file"},
		"file missing, in sequence":    {"kernel images/lunix ; boot\n", "2 note no-file"},
		"script missing, handled":      {"chain tools/y.ipxe || echo no\n", "2 warning no-file"},
		"query":                        {"chain redirect?a=b&c=${d}\nchain tools/x.ipxe#a?b\nchain tools/y.ipxe?z=1\n", "4 error no-file"},
		"escaped":                      {"kernel a%20b\nkernel 100%\n", "3 error no-file"},
		"setting":                      {"kernel ${base}/linux\nchain x/${y}.ipxe\n", ""},
		"schemes": {"kernel http://h/nothing\ninitrd tftp://h/nothing\nchain nfs://h/x\nsanboot iscsi:10.0.0.1::::iqn\n" +
			"sanboot --drive 0x80\nchain file:x\n", ""},
		"options": {"imgfetch --name x --timeout 500 images/linux\nchain --autofree --replace tools/x.ipxe\n" +
			"kernel -n nothing images/linux\nkernel -nnothing -t500 images/linux\nchain -ar tools/x.ipxe\nchain -- tools/x.ipxe\n" +
			"kernel --name=nothing images/linux\nchain -ran x tools/x.ipxe\n", ""},
		"options, then missing": {"imgfetch --name images/linux --timeout 500 nothing\nchain --autofree gone\n", "2 error no-file; 3 error no-file"},
		"option without value":  {"kernel --name\nchain\nboot\nimgfetch -\n", "5 error no-file"},
		"image by name": {"imgfetch --name served redirect\nimgexec served\nkernel http://h/vmlinuz a\nimgargs vmlinuz b\n" +
			"boot vmlinuz\nimgfetch images/linux\nboot linux\nimgload images/linux\nchain linux\n", ""},
		"image by a name only the machine knows": {"imgfetch http://h/${kernel}\nimgexec linux\nimgexec images/lunix\n", "4 error no-file"},
		"image of that name is no download":      {"imgfetch --name served redirect\ninitrd served\n", "3 error no-file"},
		"signature":                              {"imgverify images/linux images/linux.sig ||\n", "2 note no-file"},
		"the same twice":                         {"kernel gone || kernel gone || kernel gone\n", "2 error no-file"},
		"the script of a whole installer": {"set base http://mirror/debian\nkernel ${base}/linux auto=true url=http://x/preseed.cfg --- quiet || goto failed\n" +
			"initrd ${base}/initrd.gz || goto failed\nboot || goto failed\n:failed\necho failed\nshell\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			script := c.script
			if !strings.HasPrefix(script, "#!") && !strings.HasPrefix(script, "\xef") && !strings.HasPrefix(script, " #!") {
				script = "#!ipxe\n" + script
			}
			var got []string
			for _, p := range Check([]byte(script), tree) {
				got = append(got, fmt.Sprintf("%d %s %s", p.Line, [...]string{"note", "warning", "error"}[p.Level], p.Code))
				if p.Text == "" || p.Do == "" {
					t.Errorf("%+v says too little", p)
				}
			}
			if got := strings.Join(got, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s\n%s", got, c.want, script)
			}
		})
	}
}

// TestCheckEmpty: a file without a byte is no script either.
func TestCheckEmpty(t *testing.T) {
	if got := Check(nil, nil); len(got) != 1 || got[0].Code != NoMagic || got[0].Line != 1 {
		t.Errorf("%+v", got)
	}
}

// TestCheckOwn: our own scripts are without fault.
func TestCheckOwn(t *testing.T) {
	for name, script := range map[string][]byte{"Identify": Identify(), "Local": Local()} {
		for _, p := range Check(script, has("/redirect")) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

// TestCheckPublic: so are those of the example tree, which has no kernels.
func TestCheckPublic(t *testing.T) {
	root := filepath.Join("..", "..", "public")
	files, err := filepath.Glob(filepath.Join(root, "*", "*.ipxe"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts in public/", err)
	}
	for _, file := range append(files, filepath.Join(root, "default")) {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range Check(script, func(name string) bool {
			_, err := os.Stat(filepath.Join(root, name))
			return err == nil || slices.Contains([]string{"redirect", "local.ipxe", "boot.ipxe"}, name)
		}) {
			if p.Level > Note {
				t.Errorf("%s: %+v", file, p)
			}
		}
	}
}

// TestCheckWords: what is said names the offender.
func TestCheckWords(t *testing.T) {
	for script, want := range map[string]string{
		"goto away":                   ":away",
		":x\n:x":                      "line 2",
		"frobnicate x":                `"frobnicate"`,
		"vcreate --tag 5 net0":        "vcreate",
		"kernel images/linux?x=1#y a": "images/linux is not there",
	} {
		p := Check([]byte("#!ipxe\n"+script+"\n"), has())
		if len(p) != 1 || !strings.Contains(p[0].Text, want) {
			t.Errorf("%q: %+v does not say %s", script, p, want)
		}
	}
}
