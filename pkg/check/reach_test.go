//go:build linux

package check

import (
	"strings"
	"testing"
)

// menus are trees as people have them, each with a part of what real ones do.
// There is nothing wrong with them, so nothing but a note may be said. The
// texts are ours, after descriptions of netboot.xyz, FOG and Warewulf.
var menus = map[string]map[string]string{
	// A main menu chains what was chosen by its name, and each of those comes
	// back to it with exit 0.
	"names in settings": {
		"default": `#!ipxe
:begin
isset ${arch} && goto known ||
cpuid --ext 29 && set arch x86_64 || set arch i386
iseq ${buildarch} arm64 && set arch arm64 ||
:known
chain --autofree local-settings.ipxe ||
chain --autofree settings.ipxe ||
ntp pool.example.org ||
isset ${menu} && goto ${menu} ||
isset ${ip} || dhcp
:main
clear menu
menu The boot menu
item --gap What is there:
item disk The local disk
iseq ${want_linux} 1 && item linux Linux ||
iseq ${platform} efi && item tools-efi Tools ||
iseq ${platform} pcbios && iseq ${arch} x86_64 && item tools-bios Tools ||
item shell Shell
item --key r again Say it again
isset ${menu} && set wait 0 || set wait 300000
choose --timeout ${wait} --default ${menu} menu || goto disk
echo ${cls}
goto ${menu} ||
iseq ${signed} true && goto verify || goto go
:verify
imgverify ${menu}.ipxe ${sigs}${menu}.ipxe.sig || goto error
:go
chain ${menu}.ipxe || goto error
goto main
:error
echo Something went wrong, press a key
prompt
goto main
:disk
exit 1
:again
iseq ${signed} true && set signed false || set signed true
goto main
:shell
shell
goto main
`,
		"settings.ipxe":       "#!ipxe\nset want_linux 1\nset signed false\n",
		"local-settings.ipxe": "#!ipxe\nset site ours\n",
		"linux.ipxe": `#!ipxe
goto ${menu} ||
:linux_menu
menu Linux
item debian Debian
item fedora Fedora
choose menu || goto linux_exit
goto ${menu} ||
chain ${menu}.ipxe || goto error
goto linux_menu
:error
prompt
goto linux_menu
:linux_exit
clear menu
exit 0
`,
		"debian.ipxe": `#!ipxe
set os Debian
:versions
menu ${os}
item 12 twelve
item 13 thirteen
isset ${osversion} || choose osversion || goto end
iseq ${osversion} 12 && set path old ||
iseq ${osversion} 13 && set path new ||
:type
menu How?
item graphic With a mouse
item text Without
choose how || goto versions
iseq ${how} graphic && goto graphic ||
goto ${how}
:graphic
set initrd gtk
goto boot
:text
set initrd text
goto boot
:boot
imgfree
kernel http://${mirror}/${path}/linux initrd=initrd.gz ${cmdline} || goto failed
initrd http://${mirror}/${path}/${initrd}.gz || goto failed
boot || goto failed
:failed
echo failed
prompt
:end
clear osversion
exit 0
`,
		"fedora.ipxe": "#!ipxe\n# nothing but the kernel\nimgfree\nkernel " +
			"http://${mirror}/vmlinuz\ninitrd http://${mirror}/initrd.img\nboot\nexit",
		"tools-efi.ipxe": "#!ipxe\n:menu\nmenu Tools\nitem one One\nitem back Back\nchoose tool " +
			"|| goto back\ngoto ${tool}\n:one\nkernel http://x/one.efi\nboot || goto " +
			"back\n:back\nexit 0\n",
		"tools-bios.ipxe": "#!ipxe\nkernel http://x/memdisk iso raw\ninitrd http://x/y.iso\nboot " +
			"|| goto back\n:back\nclear menu\nexit 0",
	},
	// A machine that is known is sent on by its MAC; what is left gets a menu
	// that ends by itself, by the firmware.
	"by MAC": {
		"default": `#!ipxe
set fog-ip 10.0.0.5
set arch ${buildarch}
iseq ${arch} i386 && cpuid --ext 29 && set arch x86_64 ||
cpuid --ext 29 && set bits 64 || set bits 32
goto get_console
:console_set
colour --rgb 0x00567a 1 ||
colour --rgb 0x00567a 2 ||
cpair --foreground 7 --background 2 2 ||
goto MENU
:alt_console
cpair --background 0 1 ||
goto MENU
:get_console
console --picture bg.png --left 100 --right 80 && goto console_set || goto alt_console
:MENU
menu
item --gap Host is NOT registered!
item --gap -- -------------------------------------
item local Boot from hard disk
item memtest Run Memtest86+
item reg Full registration
item --key q quit Quit
choose --default local --timeout 3000 target && goto ${target}
:local
iseq ${platform} efi && goto by_firmware || goto by_bios
:by_firmware
echo The firmware goes on
exit 1
:by_bios
sanboot --no-describe --drive 0x80 || goto MENU
:memtest
iseq ${platform} pcbios && kernel memdisk iso raw || goto MENU
initrd memtest.iso
boot || goto MENU
:reg
kernel bzImage64 loglevel=4 initrd=init.xz root=/dev/ram0 rw web=10.0.0.5/fog/ mode=manreg
imgfetch init.xz
boot || goto MENU
:quit
reboot
autoboot
`,
		"bg.png": "x", "memdisk": "x", "memtest.iso": "x", "bzImage64": "x", "init.xz": "x",
		"static/52-54-00-12-34-56": "#!ipxe\nchain --replace --autofree " +
			"hosts/${net0/mac:hexhyp}.ipxe || chain --replace local.ipxe\n",
		"hosts/52-54-00-12-34-56.ipxe": "#!ipxe\nkernel /bzImage64 initrd=init.xz\nimgfetch /init.xz\nboot\n",
	},
	// A kernel first, then a menu of how to bring the rest, in several stages
	// that come back by a setting.
	"stages": {
		"default": `#!ipxe
set next start
goto metadata
:start
set base http://10.0.0.1:9873
kernel --name kernel ${base}/kernel/${mac} || goto failed
iseq ${platform} efi && set method imgextract || set method initrd
:menu
menu How?
item imgextract One stage
item initrd One stage, slowly
item dracut Two stages
item shell A shell
choose --default ${method} --timeout 2000 method && goto ${method} || goto menu
:imgextract
set next imgextract_on
goto metadata
:imgextract_on
imgextract --name image ${base}/image/${mac}?compress=gz || goto by_initrd
imgextract --name runtime ${base}/runtime/${mac} && set runtime initrd=runtime || echo without
goto boot_one
:by_initrd
goto initrd_on
:initrd
set next initrd_on
goto metadata
:initrd_on
initrd --name image ${base}/image/${mac} || goto failed
goto boot_one
:dracut
set next dracut_on
goto metadata
:dracut_on
initrd --name initramfs ${base}/initramfs/${mac} || goto failed
goto boot_two
:boot_one
boot kernel initrd=image ${runtime} || goto failed
:boot_two
boot kernel initrd=initramfs || goto failed
:failed
echo Rebooting in 15 s
sleep 15
reboot
:shell
shell
goto menu
:metadata
echo This is ${hostname}
goto ${next}
`,
		"static/10.0.0.7": `#!ipxe
iseq ${platform} efi && goto efi || goto legacy
:efi
echo the next entry of the firmware
sleep 5
exit 1
goto end
:legacy
:drive80
sanboot --no-describe --drive 0x80 || goto drive81
:drive81
sanboot --no-describe --drive 0x81 || goto failsafe
:failsafe
echo the order of the BIOS
exit
:end
echo never here`,
	},
	// Each of several levels gives its status to the one above.
	"levels": {
		"default": "#!ipxe\n:top\nchain menus/a.ipxe || goto failed\nchain menus/c.ipxe && " +
			"goto top || goto failed\n:failed\nprompt\nexit 1\n",
		"menus/a.ipxe": "#!ipxe\nchain b.ipxe || exit 1\nexit 0\n",
		"menus/b.ipxe": "#!ipxe\nchain --replace c.ipxe || exit\n",
		"menus/c.ipxe": "#!ipxe\nprompt --timeout 100 || exit\nexit 0x0\n",
	},
	// The kernel is loaded by one script and booted by another.
	"fragments": {
		"default": "#!ipxe\nchain parts/kernel.ipxe || goto failed\nimgstat\nboot || " +
			"goto failed\n:failed\nshell\n",
		"parts/kernel.ipxe": "#!ipxe\nset base http://x\nkernel ${base}/linux || exit 1\ninitrd " +
			"${base}/initrd\nexit 0\n",
	},
	// What only one kind of machine is sent to may use what that has.
	"by firmware": {
		"default": "#!ipxe\nchain --replace start-${platform}.ipxe || goto " +
			"sorry\n:sorry\nprompt\nexit 1\n",
		"start-efi.ipxe":    "#!ipxe\nvcreate --tag 5 net0\nimgfetch https://boot.example.org/list\nexit 1\n",
		"start-pcbios.ipxe": "#!ipxe\nprompt --timeout 100 ||\nexit\n",
		"static/10.0.0.8": "#!ipxe\niseq ${platform} efi && chain --replace more/efi.ipxe || " +
			"chain --replace more/bios.ipxe\n",
		"more/efi.ipxe":  "#!ipxe\nparams\nparam mac ${net0/mac}\nchain next.ipxe##params\nexit 1\n",
		"more/bios.ipxe": "#!ipxe\nexit 0\n",
		"more/next.ipxe": "#!ipxe\nexit 0\n",
	},
	// The script looks whether a newer one is there, and tries again.
	"a loop": {
		"default": "#!ipxe\nset n:int32 0\n:again\nimgfetch --name next next.ipxe && goto run " +
			"||\ninc n\niseq ${n} 5 && goto give_up ||\nsleep 2\ngoto again\n" +
			":run\nimgexec next || goto give_up\ngoto again\n:give_up\niseq ${platform} pcbios " +
			"&& goto old ||\nexit 1\n:old\nsanboot --drive 0x80 ||\nexit\n",
		"next.ipxe": "#!ipxe\nprompt --key 0x02 Press Ctrl-B || exit 0\nconfig\nexit 0\n",
	},
}

// TestMenus: no wrong warning.
func TestMenus(t *testing.T) {
	for name, files := range menus {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			for file, body := range files {
				r.write(file, body)
			}
			for _, line := range r.check(Options{}) {
				if !strings.Contains(line, " note ") {
					t.Errorf("%s", line)
				}
			}
		})
	}
}

// TestReach: what is said of an exit and of a kernel depends on how machines
// come to the script.
func TestReach(t *testing.T) {
	const back, first, bare = "#!ipxe\nexit 0\n", " warning exits-well", "#!ipxe\nkernel http://x/linux\n"
	for name, c := range map[string]struct {
		files map[string]string // "-> x" is a link
		want  []string
	}{
		"an entry": {map[string]string{"default": back}, []string{"default:2" + first}},
		"a link of static": {map[string]string{"static/10.0.0.7": "-> ../x", "x": back},
			[]string{"x:2" + first}},
		"an order": {map[string]string{"once/10.0.0.7": "-> ../x.ipxe", "x.ipxe": back},
			[]string{"x.ipxe:2" + first}},
		"chained": {map[string]string{"default": "#!ipxe\nchain x.ipxe || exit 1\nexit 1\n",
			"x.ipxe": back}, nil},
		"chained, no .ipxe": {map[string]string{"default": "#!ipxe\nchain x || exit 1\nexit 1\n",
			"x": back}, nil},
		"boot": {map[string]string{"default": "#!ipxe\nboot x.ipxe ||\nexit 1\n",
			"x.ipxe": back}, nil},
		"replaced": {map[string]string{"default": "#!ipxe\nchain --replace x.ipxe\n",
			"x.ipxe": back}, []string{"x.ipxe:2" + first}},
		"replaced, short": {map[string]string{"default": "#!ipxe\nchain -ar x.ipxe\n",
			"x.ipxe": back}, []string{"x.ipxe:2" + first}},
		"replaced by name": {map[string]string{"default": "#!ipxe\nimgfetch -n y x.ipxe\nimgexec --autofree --replace y\n", "x.ipxe": back},
			[]string{"x.ipxe:2" + first}},
		"executed by name": {map[string]string{"default": "#!ipxe\nimgfetch -n y x.ipxe\nimgexec y ||\nexit 1\n", "x.ipxe": back}, nil},
		"replaced in a chained": {map[string]string{"default": "#!ipxe\nchain a.ipxe ||\nexit 1\n",
			"a.ipxe": "#!ipxe\nchain --replace b.ipxe\n", "b.ipxe": back}, nil},
		"replaced twice": {map[string]string{"default": "#!ipxe\nchain -r a.ipxe ||\nexit 1\n",
			"a.ipxe": "#!ipxe\nchain --replace b.ipxe\n", "b.ipxe": back},
			[]string{"b.ipxe:2" + first}},
		"replaced, then chained": {map[string]string{"default": "#!ipxe\nchain -r a.ipxe ||\nexit 1\n", "a.ipxe": "#!ipxe\nchain b.ipxe\nexit 1\n", "b.ipxe": back}, nil},
		"both": {map[string]string{"default": "#!ipxe\nchain x.ipxe || exit 1\nexit 1\n",
			"static/10.0.0.7": "-> ../x.ipxe", "x.ipxe": back},
			[]string{"x.ipxe:2" + first}},
		"on BIOS only": {map[string]string{"default": "#!ipxe\niseq ${platform} pcbios && chain --replace x.ipxe || exit 1\n", "x.ipxe": back}, nil},
		"on UEFI only": {map[string]string{"default": "#!ipxe\niseq ${platform} efi && chain --replace x.ipxe || exit 1\n", "x.ipxe": back},
			[]string{"x.ipxe:2" + first}},
		"chained on UEFI, the first on BIOS": {map[string]string{"x.ipxe": back,
			"default": "#!ipxe\niseq ${platform} efi && chain x.ipxe || chain --replace " +
				"x.ipxe\nexit 1\n"}, nil},
		"chained by its address": {map[string]string{"default": "#!ipxe\nchain http://10.0.0.1:4567/m/x.ipxe || exit 1\nexit 1\n", "m/x.ipxe": back}, nil},
		"nobody leads there": {map[string]string{"x.ipxe": back},
			[]string{"x.ipxe:2 note exits-well"}},
		"perhaps a name": {map[string]string{"default": "#!ipxe\nchain ${x}.ipxe || exit 1\nexit 1\n", "x.ipxe": back}, nil},
		"perhaps, replaced": {map[string]string{"default": "#!ipxe\nchain --replace ${x}.ipxe || exit 1\nexit 1\n", "x.ipxe": back},
			[]string{"x.ipxe:2 note exits-well"}},
		"a query is no name": {map[string]string{"default": "#!ipxe\nchain redirect?mac=${mac:hexhyp}\nexit 1\n", "x.ipxe": back}, []string{"x.ipxe:2 note exits-well"}},
		"beside its own": {map[string]string{"default": "#!ipxe\nchain m/a.ipxe ||\nexit 1\n",
			"m/a.ipxe": "#!ipxe\nchain b.ipxe\n", "m/b.ipxe": back,
			"b.ipxe": "#!ipxe\nexit 1\n"}, nil},
		"round and round": {map[string]string{"default": "#!ipxe\nchain a.ipxe ||\nexit 1\n",
			"a.ipxe": "#!ipxe\nchain b.ipxe\nexit 0\n", "b.ipxe": "#!ipxe\nchain a.ipxe\nexit 0\n"},
			nil},

		"a kernel and no boot": {map[string]string{"default": bare},
			[]string{"default:2 warning no-boot"}},
		"an installer for later": {map[string]string{"x.ipxe": bare},
			[]string{"x.ipxe:2 warning no-boot"}},
		"the one above boots": {map[string]string{"default": "#!ipxe\nchain x.ipxe\nboot\n",
			"x.ipxe": bare}, nil},
		"the one above boots, later": {map[string]string{"default": "#!ipxe\nchain a.ipxe\nboot\n",
			"a.ipxe": "#!ipxe\nchain x.ipxe\n", "x.ipxe": bare}, nil},
		"the one above does not boot": {map[string]string{"default": "#!ipxe\nchain x.ipxe\nexit 1\n", "x.ipxe": bare}, []string{"x.ipxe:2 warning no-boot"}},
		"one above, back in its menu": {map[string]string{"default": "#!ipxe\n:m\nmenu m\nitem a " +
			"a\nitem b b\nchoose x && goto ${x} || exit 1\n:a\nchain x.ipxe\ngoto m\n:b\n" +
			"kernel http://x/b\nboot\n", "x.ipxe": bare}, []string{"x.ipxe:2 warning no-boot"}},
		"perhaps one above boots": {map[string]string{"default": "#!ipxe\nchain ${x}.ipxe\nboot\n",
			"x.ipxe": bare}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRoom(t)
			if c.files["default"] == "" {
				r.write("default", good)
			}
			for file, body := range c.files {
				if text, link := strings.CutPrefix(body, "-> "); link {
					r.link(file, text)
				} else {
					r.write(file, body)
				}
			}
			r.expect(r.check(Options{}), c.want)
		})
	}
}

// TestBothWays: the advice for a script that is the first one for some and
// chained for others leaves it as it is, and names the entry.
func TestBothWays(t *testing.T) {
	r := newRoom(t)
	r.write("default", "#!ipxe\nchain x.ipxe || exit 1\nexit 1\n")
	r.write("x.ipxe", "#!ipxe\nexit 0\n")
	r.link("static/10.0.0.7", "../x.ipxe")
	all, err := Tree(t.Context(), r.config, Options{Loaders: []string{}})
	r.must(err)
	if len(all) != 1 || !strings.Contains(all[0].What, "static/10.0.0.7 leads here") ||
		!strings.HasPrefix(all[0].Do, "let static/10.0.0.7 lead to") {
		t.Errorf("%+v", all)
	}
}
