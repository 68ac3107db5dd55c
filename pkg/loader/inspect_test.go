//go:build linux

package loader

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/ulikunitz/xz/lzma"

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
	all := []string{"iPXE", "2.0.0+", "autoexec.ipxe", "vcreate", "gateway6", "len6", "https",
		"iflinkwait", "imgexec", "replace"}
	full := ipxe.Features{Autoexec: true, VLAN: true, IPv6: true, HTTPS: true, LinkWait: true,
		Replace: true, DNS: ipxe.ManyDNS}
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
	check("everything", efi(0x8664, all...),
		Build{IPXE: true, Arch: "x86_64", Loader: uefi("2.0.0+", full)})
	for word, change := range map[string]func(*ipxe.Features){
		"vcreate": func(f *ipxe.Features) { f.VLAN = false }, "len6": func(f *ipxe.Features) {
			f.IPv6 = false
		},
		"https": func(f *ipxe.Features) { f.HTTPS = false }, "iflinkwait": func(f *ipxe.Features) {
			f.LinkWait = false
		},
		"replace": func(f *ipxe.Features) { f.Replace = false },
	} {
		body, want := without(word, change)
		check("no "+word, body, Build{IPXE: true, Arch: "x86_64", Loader: uefi("2.0.0+", want)})
	}
	check("nothing", efi(0xaa64, "iPXE"),
		Build{IPXE: true, Arch: "arm64", Loader: uefi("", ipxe.Features{DNS: 1})})
	check("wide", efi(0x14c, "iPXE", strings.Join(strings.Split("autoexec.ipxe", ""), "\x00")),
		Build{IPXE: true, Arch: "i386", Loader: uefi("", ipxe.Features{Autoexec: true, DNS: 1})})
	check("another processor", efi(0x1234, "iPXE"), Build{IPXE: true, Arch: "machine 0x1234",
		Loader: uefi("", ipxe.Features{DNS: 1})})
	check("another program", efi(0x8664, "GRUB", "https"),
		Build{Arch: "x86_64", Loader: uefi("", ipxe.Features{})})
	check("cut", []byte("MZ"), Build{Loader: ipxe.Loader{Assumed: true, Features: poorest}})
	check("PE header far away", bytes.Repeat([]byte("MZ\xff\xff"), 40),
		Build{Loader: ipxe.Loader{Assumed: true, Features: poorest}})

	bios := func(version string, f ipxe.Features) Build {
		return Build{IPXE: true, Arch: "i386", Loader: ipxe.Loader{Platform: ipxe.BIOS,
			Version: version, Features: f}}
	}
	fullBIOS := full
	fullBIOS.Autoexec = false
	// as between the texts of a BIOS build
	text := []byte("code\x90" + strings.Join(all, "\x00f\x90") + "\x00")
	packed := pack(t, text, true)
	check("BIOS", append(lkrn("1.20.1+"), packed...),
		bios("1.20.1+", ipxe.Features{VLAN: true, IPv6: true, HTTPS: true, LinkWait: true,
			Replace: true, DNS: 1}))
	check("BIOS without a header", append(bytes.Repeat([]byte{1}, 5000), packed...),
		bios("2.0.0+", fullBIOS))
	check("BIOS without a mark of the end",
		append(bytes.Repeat([]byte{1}, 5000), pack(t, text, false)...), bios("2.0.0+", fullBIOS))
	check("BIOS, something behind it", append(append(bytes.Repeat([]byte{1}, 70000), packed...),
		bytes.Repeat([]byte{0xff}, 900)...), bios("2.0.0+", fullBIOS))
	check("BIOS, not packed", append(lkrn("2.0.0+"), text...), bios("2.0.0+", fullBIOS))
	check("BIOS, bare",
		append(lkrn("2.0.0+"), pack(t, []byte("iPXE\x002.0.0+\x00imgexec\x00replaced\x00"),
			true)...), bios("2.0.0+", ipxe.Features{DNS: ipxe.ManyDNS}))
	check("BIOS, packed in another way", lkrn("2.0.0+ (gabcd)"), Build{IPXE: true, Arch: "i386",
		Loader: ipxe.Loader{Platform: ipxe.BIOS, Version: "2.0.0+ (gabcd)", Features: poorest,
			Assumed: true}})
	check("a Linux kernel", lkrn("6.1.0-18-amd64 (debian-kernel@lists.debian.org) #1 SMP"),
		Build{Arch: "i386",
			Loader: ipxe.Loader{Platform: ipxe.BIOS, Features: poorest, Assumed: true}})
	check("a header that points out of the file", lkrn("")[:0x220], Build{Arch: "i386",
		Loader: ipxe.Loader{Platform: ipxe.BIOS, Features: poorest, Assumed: true}})
	for n := range 0x300 { // cut anywhere
		Inspect(lkrn("2.0.0+")[:n])
		Inspect(append(efi(0x8664, all...), make([]byte, 0x300)...)[:n])
	}
}

// pack packs a text as iPXE's build does.
func pack(t testing.TB, text []byte, eos bool) []byte {
	t.Helper()
	var b bytes.Buffer
	c := lzma.WriterConfig{Properties: &lzma.Properties{LC: 2}, DictCap: 1 << 14, EOSMarker: eos,
		Size: int64(len(text)), SizeInHeader: !eos}
	w, err := c.NewWriter(&b)
	if err == nil {
		_, err = w.Write(text)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()[lzma.HeaderLen:]
}

// TestInspectReal looks into the files of Debian 12, 13 and testing, whose
// commands were run in QEMU one by one.
func TestInspectReal(t *testing.T) {
	lab.Slow(t)
	const old, today, forky = "1.0.0+git-20190125.36a4c85-5.1", "1.21.1+git20250501.dad20602+dfsg-1", "2."
	poor := ipxe.Features{IPv6: true, Replace: true, DNS: 1}
	rich := ipxe.Features{VLAN: true, IPv6: true, HTTPS: true, LinkWait: true, Replace: true,
		DNS: ipxe.ManyDNS}
	for _, test := range []struct {
		version string
		files   []string
		find    func(name string) string
		want    ipxe.Features // of the BIOS builds
	}{
		{old, []string{"ipxe.lkrn", "ipxe.pxe", "undionly.kpxe", "undionly.kkpxe", "virtio-net.rom",
			"ipxe.efi", "snponly.efi"},
			func(name string) string { return "/usr/lib/ipxe/" + name }, poor},
		{today, []string{"ipxe.lkrn", "ipxe.pxe", "undionly.kpxe", "undionly.kkpxe", "ipxe.efi",
			"snponly.efi", "ipxe-arm64.efi", "ipxe-riscv64.efi"},
			func(name string) string { return lab.IPXE(t, name) }, rich},
		{forky, []string{"ipxe.lkrn", "ipxe.pxe", "undionly.kpxe", "undionly.kkpxe", "ipxe.efi",
			"snponly.efi", "ipxe-arm64.efi", "ipxe-riscv64.efi"},
			func(name string) string { return lab.IPXE2(t, name) }, rich},
	} {
		t.Run(test.version, func(t *testing.T) {
			for _, name := range test.files {
				body, err := os.ReadFile(test.find(name))
				if err != nil {
					t.Errorf("%v (run 'make deps')", err)
					continue
				}
				want := ipxe.Loader{Platform: ipxe.BIOS, Version: test.version, Features: test.want}
				if strings.HasSuffix(name, ".efi") {
					want.Platform, want.Autoexec = ipxe.UEFI, test.version != old
				}
				got := Inspect(body)
				if test.version == old && strings.HasPrefix(got.Version, "1.21.1+git2025") {
					t.Logf("%s: %s: this system has the iPXE of Debian 13 itself", name,
						got.Version)
					continue
				}
				if test.version == forky && strings.HasPrefix(got.Version, forky) {
					want.Version = got.Version
				}
				if got.Loader != want || !got.IPXE || got.How != "found in the file" ||
					got.Starts != "" {
					t.Errorf("%s\ngot  %+v (%s)\nwant %+v", name, got.Loader, got.How, want)
				}
			}
		})
	}
}

// TestPayloadBounds: what a file can cost, whatever it has.
func TestPayloadBounds(t *testing.T) {
	// unpacks to 4.5 MB
	bomb := pack(t, bytes.Repeat(append([]byte("iPXE\x00"), noise(5000)...), 900), true)
	if text := payload(bomb); len(text) != maxPayload {
		t.Errorf("%d bytes were unpacked, want %d", len(text), maxPayload)
	}
	// Each of many places unpacks to much that is not iPXE.
	hostile := bytes.Repeat(pack(t, bytes.Repeat(noise(5000), 900), true), 10)
	if text := payload(hostile); text != nil {
		t.Errorf("%d bytes were found", len(text))
	}
	for _, zeros := range []int{0, 1, 4, 5, 6, 100, maxPrefix, maxPrefix + 100} {
		if text := payload(make([]byte, zeros)); text != nil {
			t.Errorf("%d zeros: %d bytes were found", zeros, len(text))
		}
	}
}

// noise is n bytes that look like code.
func noise(n int) []byte {
	b, r := make([]byte, n), rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.IntN(256))
	}
	return b
}

// FuzzInspect: any bytes are looked into, and what is packed behind them as
// iPXE does it is found with what it can do, unless a zero in front of it could
// be another start.
func FuzzInspect(f *testing.F) {
	f.Add([]byte("MZ"), uint8(0xff), true)
	f.Add(lkrn("2.0.0+"), uint8(5), false)
	f.Add(efi(0x8664, "iPXE"), uint8(0), true)
	f.Add(pack(f, noise(9000), true), uint8(3), false)
	words := []string{"vcreate", "gateway6", "len6", "https", "iflinkwait", "imgexec", "replace"}
	f.Fuzz(func(t *testing.T, front []byte, which uint8, eos bool) {
		if got := len(payload(front)); got > maxPayload {
			t.Fatalf("%d bytes were unpacked", got)
		}
		if before := Inspect(front); before != Inspect(front) {
			t.Fatal("two looks, two answers")
		}
		front = bytes.ReplaceAll(front, []byte{0}, []byte{1})
		if len(front) > maxPrefix-1 || isPE(front) || len(front) > 0x210 &&
			string(front[0x202:0x206]) == "HdrS" {
			return
		}
		text := []byte("iPXE\x002.0.0+\x00")
		has := map[string]bool{}
		for i, w := range words {
			if has[w] = which>>i&1 != 0; has[w] {
				text = append(append(text, w...), 0)
			}
		}
		got := Inspect(append(front, pack(t, text, eos)...))
		want := ipxe.Features{VLAN: has["vcreate"], IPv6: has["gateway6"] && has["len6"],
			HTTPS: has["https"], LinkWait: has["iflinkwait"],
			Replace: has["imgexec"] && has["replace"], DNS: ipxe.ManyDNS}
		if got.Features != want || got.Version != "2.0.0+" || got.Platform != ipxe.BIOS ||
			!got.IPXE || got.Assumed {
			t.Fatalf("behind %q\ngot  %+v\nwant %+v", front, got, want)
		}
	})
}
