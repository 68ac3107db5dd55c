//go:build linux

package loader

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/lab"
)

// efi is a program for UEFI with the words in it.
func efi(machine uint16, words ...string) []byte {
	b := append(make([]byte, 0x40), "PE\x00\x00"...)
	copy(b, "MZ")
	b[0x3c] = 0x40
	b = binary.LittleEndian.AppendUint16(b, machine)
	return append(b, "\x00"+strings.Join(words, "\x00")+"\x00"...)
}

// lkrn is the beginning of a BIOS build with its version.
func lkrn(version string) []byte {
	b := make([]byte, 0x248, 0x400)
	copy(b[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(b[0x20e:], 0x48)
	return append(append(b, version...), make([]byte, 0x100)...)
}

// TestInspect: each feature is seen when it is there, and only then.
func TestInspect(t *testing.T) {
	all := []string{"iPXE", "2.0.0+", "autoexec.ipxe", "vcreate", "gateway6", "len6", "https", "iflinkwait", "imgexec", "replace"}
	full := ipxe.Features{Autoexec: true, VLAN: true, IPv6: true, HTTPS: true, LinkWait: true, Replace: true, DNS: ipxe.ManyDNS}
	without := func(word string, change func(*ipxe.Features)) (body []byte, want ipxe.Features) {
		var words []string
		for _, w := range all {
			if w == word {
				w += "s" // alike is not the same
			}
			words = append(words, w)
		}
		want = full
		change(&want)
		return efi(0x8664, words...), want
	}
	check := func(name string, body []byte, want Build) {
		t.Helper()
		got := Inspect(body)
		if got.How == "" {
			t.Errorf("%s: does not say how", name)
		}
		if got.How = ""; got != want {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
	uefi := func(version string, f ipxe.Features) ipxe.Loader {
		return ipxe.Loader{Platform: ipxe.UEFI, Version: version, Features: f}
	}
	check("everything", efi(0x8664, all...), Build{IPXE: true, Arch: "x86_64", Loader: uefi("2.0.0+", full)})
	for word, change := range map[string]func(*ipxe.Features){
		"vcreate": func(f *ipxe.Features) { f.VLAN = false }, "len6": func(f *ipxe.Features) { f.IPv6 = false },
		"https": func(f *ipxe.Features) { f.HTTPS = false }, "iflinkwait": func(f *ipxe.Features) { f.LinkWait = false },
		"replace": func(f *ipxe.Features) { f.Replace = false },
	} {
		body, want := without(word, change)
		check("no "+word, body, Build{IPXE: true, Arch: "x86_64", Loader: uefi("2.0.0+", want)})
	}
	check("nothing", efi(0xaa64, "iPXE"), Build{IPXE: true, Arch: "arm64", Loader: uefi("", ipxe.Features{DNS: 1})})
	check("wide", efi(0x14c, "iPXE", strings.Join(strings.Split("autoexec.ipxe", ""), "\x00")), Build{IPXE: true, Arch: "i386", Loader: uefi("", ipxe.Features{Autoexec: true, DNS: 1})})
	check("another processor", efi(0x1234, "iPXE"), Build{IPXE: true, Arch: "machine 0x1234", Loader: uefi("", ipxe.Features{DNS: 1})})
	check("another program", efi(0x8664, "GRUB", "https"), Build{Arch: "x86_64", Loader: uefi("", ipxe.Features{})})
	check("cut", []byte("MZ"), Build{Loader: ipxe.Loader{Assumed: true, Features: poorest.Features}})
	check("PE header far away", bytes.Repeat([]byte("MZ\xff\xff"), 40), Build{Loader: ipxe.Loader{Assumed: true, Features: poorest.Features}})

	check("BIOS, known", lkrn("1.0.0+git-20190125.36a4c85-5.1"), Build{IPXE: true, Arch: "i386",
		Loader: ipxe.Loader{Platform: ipxe.BIOS, Version: "1.0.0+git-20190125.36a4c85-5.1", Features: ipxe.Features{IPv6: true, Replace: true, DNS: 1}}})
	check("BIOS, 2", lkrn("2.0.0+ (gabcd)"), Build{IPXE: true, Arch: "i386",
		Loader: ipxe.Loader{Platform: ipxe.BIOS, Version: "2.0.0+ (gabcd)", Features: ipxe.Features{LinkWait: true, Replace: true, DNS: ipxe.ManyDNS}}})
	check("BIOS, unknown", lkrn("1.20.1+"), Build{IPXE: true, Arch: "i386",
		Loader: ipxe.Loader{Platform: ipxe.BIOS, Version: "1.20.1+", Features: poorest.Features, Assumed: true}})
	check("a Linux kernel", lkrn("6.1.0-18-amd64 (debian-kernel@lists.debian.org) #1 SMP"), Build{Arch: "i386",
		Loader: ipxe.Loader{Platform: ipxe.BIOS, Features: poorest.Features, Assumed: true}})
	check("a header that points out of the file", lkrn("")[:0x220], Build{Arch: "i386",
		Loader: ipxe.Loader{Platform: ipxe.BIOS, Features: poorest.Features, Assumed: true}})
	for n := range 0x300 { // cut anywhere
		Inspect(lkrn("2.0.0+")[:n])
		Inspect(append(efi(0x8664, all...), make([]byte, 0x300)...)[:n])
	}
}

// TestInspectReal looks into the files of Debian 12 and 13, whose commands were run in QEMU one by one.
func TestInspectReal(t *testing.T) {
	const old, today = "1.0.0+git-20190125.36a4c85-5.1", "1.21.1+git20250501.dad20602+dfsg-1"
	rich := ipxe.Features{VLAN: true, IPv6: true, HTTPS: true, LinkWait: true, Replace: true, DNS: ipxe.ManyDNS}
	richEFI := rich
	richEFI.Autoexec = true
	for file, want := range map[string]ipxe.Loader{
		"/usr/lib/ipxe/ipxe.lkrn":       {Platform: ipxe.BIOS, Version: old, Features: ipxe.Features{IPv6: true, Replace: true, DNS: 1}},
		"/usr/lib/ipxe/ipxe.efi":        {Platform: ipxe.UEFI, Version: old, Features: ipxe.Features{IPv6: true, Replace: true, DNS: 1}},
		lab.IPXE(t, "ipxe.lkrn"):        {Platform: ipxe.BIOS, Version: today, Features: rich},
		lab.IPXE(t, "ipxe.efi"):         {Platform: ipxe.UEFI, Version: today, Features: richEFI},
		lab.IPXE(t, "ipxe-arm64.efi"):   {Platform: ipxe.UEFI, Version: today, Features: richEFI},
		lab.IPXE(t, "snponly.efi"):      {Platform: ipxe.UEFI, Version: today, Features: richEFI},
		"/usr/lib/ipxe/undionly.kpxe":   {Assumed: true, Features: poorest.Features},
		lab.IPXE(t, "undionly.kpxe"):    {Assumed: true, Features: poorest.Features},
		"/usr/lib/ipxe/snponly.efi":     {Platform: ipxe.UEFI, Version: old, Features: ipxe.Features{IPv6: true, Replace: true, DNS: 1}},
		lab.IPXE(t, "ipxe-riscv64.efi"): {Platform: ipxe.UEFI, Version: today, Features: richEFI},
	} {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v (run 'make deps')", err)
			continue
		}
		got := Inspect(body)
		if strings.HasPrefix(file, "/usr/") && strings.HasPrefix(got.Version, "1.21.1+git2025") {
			t.Logf("%s: %s: this system has the iPXE of Debian 13 itself", file, got.Version)
			continue
		}
		if got.Loader != want {
			t.Errorf("%s\ngot  %+v\nwant %+v", filepath.Base(file), got.Loader, want)
		}
	}
}
