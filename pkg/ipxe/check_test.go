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

// TestCheck has a script for everything that Check says, and for what it must
// not say. A script without a first line gets "#!ipxe\n" put before it, so that
// its own first line is line 2.
func TestCheck(t *testing.T) {
	tree := has("images/linux", "/images/linux", "images/initrd.gz", "a b",
		"tools/x.ipxe", "redirect")
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
		"byte order mark and more": {"\xef\xbb\xbf#!ipxe\nfrob\n",
			"1 error no-magic; 2 warning no-command"},
		"too long": {"#!ipxe\n" + strings.Repeat("frob\n", 1<<18),
			"1 error too-long"},

		"no line end":            {"echo", "2 note no-end"},
		"no line end, a label":   {"goto a\n:a", "3 note no-end"},
		"no line end, a comment": {"echo\n# kern", "3 note no-end"},
		"no line end, all is said": {"echo\nboot || goto away",
			"3 error no-label; 3 note no-end"},
		"no line end, and misspelt": {"bott", "2 error no-command; 2 note no-end"},
		"no line end, own command":  {"frob", "2 warning no-command; 2 note no-end"},
		"no line end, an open test": {"isset ${x} &&", "2 note no-end"},
		"cut in a command": {"kernel images/linux\ninitrd images/initrd.gz\nboo",
			"4 warning no-end"},
		"cut in the first command":   {"ker", "2 warning no-end"},
		"cut in a setting":           {"chain tools/${net0/ma", "2 warning no-end"},
		"cut behind a test":          {"isset ${x} && got", "2 warning no-end"},
		"cut after a backslash":      {"echo \\", "2 error no-end"},
		"cut after a backslash line": {"echo\necho \\\n", "3 error no-end"},
		"blank behind a backslash":   {"kernel images/linux \\ \nboot\n", "2 warning no-end"},
		"backslash in a comment":     {"# a \\ \necho\n", ""},

		"goto":                    {"goto a\n:a\ngoto b\n  :b echo\n", ""},
		"goto nowhere":            {"goto a\n", "2 error no-label"},
		"goto without label":      {"goto\n", "2 error no-label"},
		"goto by case":            {":A\ngoto a\n", "3 error no-label"},
		"goto nowhere, handled":   {"goto a || echo no\n", "2 warning no-label"},
		"goto a setting":          {"goto ${x}\ngoto a${x}\n", ""},
		"goto behind a test":      {"isset ${x} && goto a ||\n", "2 warning no-label"},
		"label twice":             {":a\n:b\n:a\ngoto a\ngoto b\n", "4 error same-label"},
		"label in a continuation": {"echo \\\n:a\ngoto a\n", "4 error no-label"},
		"a line that goes on":     {"echo a \\\n  b \\\n  c && goto d\n", "2 error no-label"},
		"CRLF and a line that goes on": {"#!ipxe\r\necho a \\\r\n && goto b\r\n",
			"2 error no-label"},
		"in the order of the lines": {"frob\n:a\n:a\n",
			"2 warning no-command; 4 error same-label"},
		"label with a command": {":a goto b\n:b\n", ""},
		"nothing after an end": {"exit 1\ngoto nowhere\n", ""},
		"label brings it back": {"exit 1\n:a\ngoto nowhere\n", "4 error no-label"},
		"never after goto": {"iseq 1 2 && goto a || frob\n:a\n",
			"2 warning no-command"},
		"a text that says goto": {"echo goto nowhere\n", ""},
		"joined without blanks": {"echo a&&goto nowhere\n", ""},
		"semicolon":             {"echo a ; goto b\n", "2 error no-label"},
		"set has its own words": {"set x goto nowhere\n", ""},
		"empty command":         {"echo ||\n|| echo\n&& echo\n", ""},
		"unknown command":       {"frobnicate --all\n", "2 warning no-command"},
		"misspelt command":      {"kernal images/linux\nboot\n", "2 error no-command"},
		"misspelt command, handled": {"kernal images/linux || goto a\n:a\n",
			"2 warning no-command"},
		"label with its colon behind": {"goto a || echo\na:\n",
			"2 warning no-label; 3 error no-command"},
		"unknown command, handled": {"frobnicate || goto a\n:a\n", "2 warning no-command"},
		"command in capitals":      {"ECHO\n", "2 error no-command"},
		"command from a setting":   {"${cmd} x\nimg${x} y\n", ""},
		"every command there is": {"menu x\nitem --key x a b\nchoose --default a " +
			"x\nlogin\nsync\nshow x\ninc x\nread x\nclear x\n", ""},
		"rare command":          {"vcreate --tag 5 net0\n", "2 warning rare-command"},
		"rare command, handled": {"vcreate --tag 5 net0 ||\n", ""},
		"rare command, tested":  {"iseq ${platform} efi && vcreate --tag 5 net0\n", ""},
		"rare command, on BIOS": {"iseq ${platform} pcbios && params\n",
			"2 warning rare-command"},
		"rare command, other half":  {"iseq ${platform} pcbios || params\n", ""},
		"rare command after a jump": {"iseq pcbios ${platform} && goto old ||\nparams\nparam a b\n:old\n", ""},
		"jump and label":            {"iseq ${platform} pcbios && goto old ||\nvcreate a\n:old\nvcreate a\n", "5 warning rare-command"},
		"new command":               {"iflinkwait\n", "2 warning rare-command"},
		"optional command":          {"ping x\n", "2 warning rare-command"},
		"https":                     {"chain https://boot/x\n", "2 warning rare-command"},
		"https with a setting":      {"chain https://${srv}/x\n", "2 warning rare-command"},
		"https, handled":            {"chain https://boot/x || echo no\n", ""},
		"https, UEFI":               {"iseq ${platform} efi && chain https://boot/x ||\n", ""},
		"exit":                      {"exit\n", "2 warning exits-well"},
		"exit 0":                    {"exit 0x0\n", "2 warning exits-well"},
		"exit 1":                    {"exit 1\n", ""},
		"exit with a setting":       {"exit ${errno}\n", ""},
		"exit on UEFI": {"iseq ${platform} efi && exit 0 ||\n",
			"2 warning exits-well"},
		"exit on BIOS":             {"iseq ${platform} pcbios && exit ||\n", ""},
		"exit on BIOS, other half": {"iseq ${platform} efi && exit 1 || exit\n", ""},
		"exit on BIOS, next line":  {"iseq ${platform} efi && exit 1 ||\nexit\n", ""},
		// nothing leads to :b
		"exit twice": {":a\nexit\n:b\nexit\n", "3 warning exits-well"},
		"exit twice, both reached": {"goto ${x} ||\n:a\nexit\n:b\nexit\n",
			"4 warning exits-well; 6 warning exits-well"},
		"exit after a chain":          {"chain tools/x.ipxe && exit ||\n", "2 warning exits-well"},
		"file":                        {"kernel images/linux initrd=x root=/dev/y\ninitrd images/initrd.gz\nboot\n", ""},
		"file from the root":          {"chain /images/linux\n", ""},
		"file missing":                {"chain images/lunix\n", "2 error no-file"},
		"file missing, from the root": {"initrd /images/lunix\n", "2 error no-file"},
		"file missing, handled": {"kernel images/lunix && boot || goto a\n:a\n",
			"2 note no-file"},
		"file missing, in sequence": {"kernel images/lunix ; boot\n", "2 note no-file"},
		"script missing, handled":   {"chain tools/y.ipxe || echo no\n", "2 warning no-file"},
		"query":                     {"chain redirect?a=b&c=${d}\nchain tools/x.ipxe#a?b\nchain tools/y.ipxe?z=1\n", "4 error no-file"},
		"escaped":                   {"chain a%20b\nchain 100%\n", "3 error no-file"},
		"setting":                   {"kernel ${base}/linux\nchain x/${y}.ipxe\n", ""},
		"schemes": {"kernel http://h/nothing\ninitrd tftp://h/nothing\nchain nfs://h/x\nsanboot " +
			"iscsi:10.0.0.1::::iqn\n" +
			"sanboot --drive 0x80\nchain file:x\n", ""},
		"options": {"imgfetch --name x --timeout 500 images/linux\nchain --autofree --replace " +
			"tools/x.ipxe ||\n" +
			"kernel -n nothing images/linux\nkernel -nnothing -t500 images/linux\nchain -ar " +
			"tools/x.ipxe ||\nchain -- tools/x.ipxe\n" +
			"kernel --name=nothing images/linux\nchain -ran x tools/x.ipxe\n", ""},
		"options, then missing": {"imgfetch --name images/linux --timeout 500 nothing\nchain --autofree gone\n", "2 error no-file; 3 error no-file"},
		"option without value":  {"kernel --name\nchain\nboot\nimgfetch -\n", "5 error no-file"},
		"image by name": {"imgfetch --name served redirect\nimgexec served\nkernel " +
			"http://h/vmlinuz a\nimgargs vmlinuz b\n" +
			"boot vmlinuz\nimgfetch images/linux\nboot linux\nimgload images/linux\nchain linux\n",
			""},
		"image by the name it is given": {"set u http://h/${mac}\nkernel --name kernel ${u}&stage=kernel || reboot\n" +
			"kernel -n linux images/linux\nimgargs linux a\nboot kernel initrd=image || boot " +
			"linux\n", ""},
		"image by a name only the machine knows": {"imgfetch http://h/${kernel}\nimgexec linux\nimgexec images/lunix\n", "4 error no-file"},
		"image of that name is no download":      {"imgfetch --name served redirect\ninitrd served\n", "3 error no-file"},
		"signature": {"imgverify images/linux images/linux.sig ||\n",
			"2 note no-file"},
		"the same twice": {"chain gone || chain gone || chain gone\n",
			"2 error no-file"},
		"the script of a whole installer": {"set base http://mirror/debian\nkernel ${base}/linux " +
			"auto=true url=http://x/preseed.cfg --- quiet || goto failed\n" +
			"initrd ${base}/initrd.gz || goto failed\nboot || goto failed\n:failed\necho " +
			"failed\nshell\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			script := c.script
			if !strings.HasPrefix(script, "#!") && !strings.HasPrefix(script, "\xef") &&
				!strings.HasPrefix(script, " #!") {
				script = "#!ipxe\n" + script
			}
			var got []string
			for _, p := range Check([]byte(script), tree) {
				got = append(got, fmt.Sprintf("%d %s %s", p.Line,
					[...]string{"note", "warning", "error"}[p.Level], p.Code))
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

// TestFlow: who gets where. The scripts are those that people write: each has
// an exit, or a command that BIOS builds do not have, where only one kind of
// firmware comes by, or both.
func TestFlow(t *testing.T) {
	const exits, rare = "exits-well", "rare-command"
	for name, c := range map[string]struct{ script, want string }{
		"labels by platform": {"iseq ${platform} efi && goto efi || goto bios\n:efi\nvcreate " +
			"net0\nexit 1\n:bios\nexit\n", ""},
		"the other way": {"iseq ${platform} efi && goto efi || goto " +
			"bios\n:efi\nexit\n:bios\nvcreate net0\nexit\n", "4 " + exits + "; 6 " + rare},
		"falls into it": {"iseq ${platform} efi && goto other ||\n:bios\nexit 0\n:other\nvcreate net0\n", ""},
		"both come": {"iseq ${platform} efi && goto bios ||\n:bios\nexit 0\n",
			"4 " + exits},
		"through a third": {"iseq ${platform} pcbios && goto a ||\nexit 1\n:a\ngoto b\n:b\ngoto c\n:c\nexit\n", ""},
		"back again": {":top\niseq ${platform} efi && goto efi ||\nprompt\ngoto " +
			"top\n:efi\nparams\ngoto top\n", ""},
		"goto ${platform}": {"goto ${platform}\n:efi\nparams\nexit 1\n:pcbios\nexit\n", ""},
		"goto x_${platform}": {"goto boot_${platform} || shell\n:boot_efi\nparams\nexit " +
			"1\n:boot_pcbios\nexit\n:efi\nexit\n", ""},
		"goto by two": {"goto ${platform}-${buildarch} ||\nexit " +
			"1\n:pcbios-i386\nexit\n:pcbios-x86_64\nexit\n:efi-arm64\nexit\n", "9 " + exits},
		"goto a choice": {"choose x\ngoto ${x}\n:a\nexit\n:b\nvcreate net0\n", "5 " + exits +
			"; 7 " + rare},
		"arm is UEFI": {"iseq ${buildarch} arm64 && goto arm ||\niseq arm32 ${buildarch} " +
			"&& params ||\nexit 1\n:arm\nparams\n", ""},
		"no wonder by cpuid": {"cpuid --ext 29 && goto a || goto b\n:a\nexit 1\n:b\nexit\n",
			"6 " + exits},
		"items by platform": {":m\nmenu x\niseq ${platform} efi && item --key e usb From a stick " +
			"||\niseq ${platform} pcbios && item back To the BIOS ||\n" +
			"choose --default usb what && goto ${what} || goto m\n:usb\nparams\nexit " +
			"1\n:back\nexit 0\n", ""},
		"items for all": {":m\nmenu x\nitem back Go on\nchoose what && goto ${what} || goto " +
			"m\n:back\nexit 0\n", "7 " + exits},
		"chosen, and told apart": {":m\nmenu x\niseq ${platform} pcbios && item back x ||\nitem " +
			"more y\nchoose what || goto m\niseq ${what} back && exit ||\n" +
			"goto m\n", ""},
		"a setting by platform": {"iseq ${platform} efi && set how efi || set how old\ngoto " +
			"${how}\n:efi\nexit 1\n:old\nexit\n", ""},
		"a setting, and isset": {"iseq ${platform} pcbios && set old 1 ||\nisset ${old} && " +
			"goto bye ||\nexit 1\n:bye\nexit\n", ""},
		"a setting from DHCP": {"isset ${old} && goto bye ||\nexit 1\n:bye\nexit\n",
			"5 " + exits},
		"a setting of a type": {"set n:int32 0\n:a\ninc n\niseq ${n} 3 || goto a\nexit\n",
			"6 " + exits},
		"behind what fails": {"chain http://h/x || goto failed\nexit 1\n:failed\nprompt " +
			"--timeout 5000 press a key || reboot\nexit 0\n", "6 " + exits},
		"prompt":                 {"prompt --key 0x197 --timeout 2000 F12 && goto menu || exit 1\n:menu\nshell\nexit\n", "5 " + exits},
		"replaced":               {"iseq ${platform} efi || goto old\nchain --replace http://h/x\n:old\nexit\n", ""},
		"replaced, or it failed": {"iseq ${platform} efi || goto old\nchain -ar http://h/x ||\n:old\nexit\n", "5 " + exits},
		"replaced by an image":   {"imgfetch -n s http://h/x\nimgexec --replace s && exit || exit 1\n", ""},
		"booted": {"iseq ${platform} pcbios && goto old ||\nsanboot --filename " +
			"x || exit 1\n:old\nexit\n", ""},
		"booted, or it failed":     {"sanboot --drive 0x80 ||\nexit\n", "3 " + exits},
		"booted, and what follows": {"sanboot --drive 0x80\ngoto nowhere\n", "3 no-label"},
		"what goes with it":        {"params || goto old\nparam a b\nexit 1\n:old\nexit 1\n", ""},
		"said once":                {"params\nparam a b\nparam c d\n", "2 " + rare},
		"without it":               {"params ||\nparam a b\n", "3 " + rare},
		"with a picture": {"console --picture x && goto new || goto old\n:new\ncpair " +
			"0\n:old\ncpair 0 ||\nexit\n", "7 " + exits},
		"on BIOS, with it": {"params\niseq ${platform} pcbios && goto nowhere ||\n",
			"2 " + rare + "; 3 no-label"},
		"two in one text": {"iseq ${platform}-${buildarch} pcbios-i386 && exit 0 " +
			"||\niseq efi-${x} ${platform}-${x} && exit ||\nexit 1\n", "3 " + exits},
		"an item by platform": {"menu x\nitem exit_${platform} Leave\nchoose s && goto ${s} " +
			"|| exit 1\n:exit_efi\nexit 1\n:exit_pcbios\nexit\n", ""},
		"an item that is unknown": {"menu x\nitem exit_${x} Leave\nchoose s && goto ${s} || " +
			"exit 1\n:exit_efi\nexit 1\n:exit_pcbios\nexit\n", "8 " + exits},
		"a setting, or another": {"iseq ${platform} efi && set x new || set x old\niseq ${x} " +
			"new && goto new || goto old\n:new\nexit 1\n:old\nexit\n", ""},
		"a setting, both": {"set x old\niseq ${platform} efi && prompt && set x new " +
			"||\niseq ${x} new && exit 1 || exit\n", "4 " + exits},
		"a setting, what follows": {"set x 1\niseq ${x} 1 && exit 1 || goto nowhere\n",
			"3 no-label"},
		"a loop": {"set n 0\n:a\niseq ${n} 0 && set n 1 || exit\ngoto a\n",
			"4 " + exits},
		"nobody":                   {"exit 1\n:dead\nexit\n", ""},
		"nobody, and a wrong word": {"exit 1\n:dead\ngoto nowhere\n", "4 no-label"},
		"twice the label":          {"iseq ${platform} pcbios && goto a ||\nexit 1\n:a\nexit\n:a\nexit\n", "6 same-label"},
		"label at the end":         {"iseq ${platform} efi && goto done ||\nexit\n:done\n", ""},
		"labels on one place": {"iseq ${platform} efi && goto a || goto b\n:a\n:b\nexit\n",
			"5 " + exits},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, p := range Check([]byte("#!ipxe\n"+c.script), nil) {
				got = append(got, fmt.Sprintf("%d %s", p.Line, p.Code))
			}
			if got := strings.Join(got, "; "); got != c.want {
				t.Errorf("got  %s\nwant %s\n%s", got, c.want, c.script)
			}
		})
	}
}

// TestNoBoot: a kernel that nothing boots, by each way that the script can go.
func TestNoBoot(t *testing.T) {
	for script, want := range map[string]int{
		"kernel http://h/k\ninitrd http://h/i\n":                                  2,
		"kernel http://h/k\ninitrd http://h/i\nboot\n":                            0,
		"kernel http://h/k && initrd http://h/i && boot || goto no\n:no\nshell\n": 0,
		"kernel http://h/k && boot\n":                                             0,
		"kernel http://h/k || goto no\ninitrd http://h/i || goto no\nboot || goto no\n:no\necho " +
			"no\nexit 1\n": 0,
		"kernel http://h/k || goto no\ninitrd http://h/i || goto no\n:no\necho no\nexit 1\n": 2,
		"imgload http://h/k\nexit 1\n":                                                2,
		"imgselect http://h/k\nimgargs k quiet\nimgexec k\n":                          0,
		"kernel http://h/k\ngoto go\necho\n:go\nimgfetch http://h/i\nboot\n":          0,
		"kernel http://h/k\ngoto ${way}\n:a\ninitrd http://h/i\nboot k\n:b\nexit 1\n": 0,
		"kernel http://h/k\nautoboot\n":                                               0,
		"kernel http://h/k\nshell\n":                                                  0,
		"kernel http://h/k\nchain http://h/boot.ipxe\n":                               0,
		"kernel http://h/k\nreboot\n":                                                 2,
		"kernel http://h/k\n${cmd}\n":                                                 0,
		// said otherwise
		"kernel http://h/k\nimgboot\n": 0,
		// said otherwise
		"kernel http://h/k\ngoto nowhere\n": 0,
		":m\nmenu x\nitem a A\nitem b B\nchoose w && goto ${w} || exit 1\n:a\nkernel " +
			"http://h/a\ngoto m\n:b\nkernel http://h/b\nboot\ngoto m\n": 8,
		":m\nmenu x\nitem a A\nitem b B\nchoose w && goto ${w} || exit 1\n:a\nkernel " +
			"http://h/a\ngoto m\n:b\nchain http://h/b.ipxe\ngoto m\n": 8,
		"kernel http://h/k || goto m\n:m\nmenu x\nitem one A\nitem two B\nchoose w && goto ${w} " +
			"|| goto m\n:one\ninitrd http://h/1\nboot k\n:two\nboot\n": 0,
		"kernel http://h/a || kernel http://h/b\nboot\n": 0,
		"kernel http://h/a\nkernel http://h/b\nboot\n":   0,
	} {
		got := 0
		for _, p := range Check([]byte("#!ipxe\n"+script), nil) {
			if p.Code == NoBoot {
				got = p.Line
			}
		}
		if got != want {
			t.Errorf("line %d, want %d:\n%s", got, want, script)
		}
	}
}

// TestColon: a relative address with a colon is one that old iPXE takes for
// another server's.
func TestColon(t *testing.T) {
	for command, want := range map[string]string{
		"chain hosts/52:54:00:12:34:56.ipxe || exit 1": "warning colon; warning no-file",
		"chain 52:54:00:12:34:56.ipxe":                 "warning colon; error no-file",
		"chain /hosts/a:b || exit 1":                   "warning colon; note no-file",
		"chain there:1 || exit 1":                      "", // may be a scheme
		"chain redirect?mac=52:54:00:12:34:56":         "warning colon",
		"chain redirect#a:b":                           "",
		"chain 10.0.0.1:4567/x":                        "warning colon; error no-file",
		"chain http://h/a:b":                           "",
		"chain tftp:x":                                 "",
		"sanboot iscsi:10.0.0.1::::iqn.2026:x":         "",
		"sanboot ib_srp:x":                             "",
		"chain hosts/${net0/mac:hexhyp}.ipxe":          "",
		"chain ${base}/a:b.ipxe":                       "",
		"chain hosts/${net0/mac}.ipxe":                 "note colon",
		"chain redirect?mac=${mac}":                    "note colon",
		"chain http://h/${net0/mac}.ipxe":              "",
		"chain ${base}/${net0/mac}.ipxe":               "",
		"imgfetch --name a1:b redirect ||\nboot a1:b":  "",
	} {
		var got []string
		for _, p := range Check([]byte("#!ipxe\n"+command+"\n"), has("redirect")) {
			got = append(got, [...]string{"note ", "warning ", "error "}[p.Level]+p.Code)
		}
		if got := strings.Join(got, "; "); got != want {
			t.Errorf("%s: %s, want %s", command, got, want)
		}
	}
}

// TestMeant: a misspelt command is told which one it was meant for, and an own
// one is not.
func TestMeant(t *testing.T) {
	for word, want := range map[string]string{"kernal": "kernel", "initird": "initrd",
		"KERNEL": "kernel", "chian": "chain", "imgftech": "imgfetch",
		"ifconfig": "ifconf", "imgboot": "imgexec", "reboot1": "reboot", "frobnicate": "", "x": "",
		"set1": "", "wimboot": "", "grub": "", "linux": ""} {
		if got := nearest(word); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}

// TestLeads: what a script runs, how, and who gets there.
func TestLeads(t *testing.T) {
	const both, bios, efi = Anywhere, OnBIOS, OnUEFI
	for script, want := range map[string][]Lead{
		"chain a.ipxe":                      {{File: "a.ipxe", On: both}},
		"chain --autofree --replace a.ipxe": {{File: "a.ipxe", On: both, Replace: true}},
		"chain -ar a%20b.ipxe?x=y#z":        {{File: "a b.ipxe", On: both, Replace: true}},
		"chain a.ipxe --replace":            {{File: "a.ipxe", On: both}},
		"boot -r /a.ipxe":                   {{File: "/a.ipxe", On: both, Replace: true}},
		"chain ${menu}.ipxe || goto x":      {{On: both}},
		"chain ${platform}.ipxe": {{File: "pcbios.ipxe", On: bios},
			{File: "efi.ipxe", On: efi}},
		"chain http://h/a.ipxe":              {{File: "/a.ipxe", On: both}},
		"chain http://${h}/a.ipxe":           {{File: "/a.ipxe", On: both}},
		"chain http://h/${a}":                {{On: both}},
		"chain http://h":                     nil,
		"chain nfs://h/a":                    nil,
		"chain a.ipxe?${q}":                  {{File: "a.ipxe", On: both}},
		"iseq ${platform} efi && chain a ||": {{File: "a", On: efi}},
		"imgfetch -n s a.ipxe\nimgexec -r s": {{File: "a.ipxe", On: both, Replace: true}},
		"imgfetch x/a.ipxe\nboot a.ipxe":     {{File: "x/a.ipxe", On: both}},
		"chain a.ipxe && boot":               {{File: "a.ipxe", On: both, Boots: true}},
		"chain a.ipxe\nkernel b\nboot": {{File: "a.ipxe", On: both},
			{File: "b", On: both, Boots: true}},
		":m\nchoose x\nchain a.ipxe\ngoto m":   {{File: "a.ipxe", On: both}},
		"exit 1\nchain a.ipxe":                 nil,
		"imgfetch a.ipxe\ninitrd b\nsanboot c": nil,
	} {
		got := Examine([]byte("#!ipxe\n"+script+"\n"), nil).Leads
		if !slices.Equal(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", script, got, want)
		}
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
			return err == nil ||
				slices.Contains([]string{"redirect", "local.ipxe", "boot.ipxe"}, name)
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
		"kernal x":                    "no command of stock iPXE",
		"frobnicate x":                `"frobnicate"`,
		"vcreate --tag 5 net0":        "vcreate",
		"imgfetch images/linux?x=1 a": "images/linux is not there",
		"kernel http://h/linux a":     "no boot follows",
	} {
		p := Check([]byte("#!ipxe\n"+script+"\n"), has())
		if len(p) != 1 || !strings.Contains(p[0].Text, want) {
			t.Errorf("%q: %+v does not say %s", script, p, want)
		}
	}
}
