//go:build linux

package iso_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pxesrv/pkg/iso"
)

// TestTools: programs of others see in our images what Inspect sees.
func TestTools(t *testing.T) {
	all := ways()
	all["real loaders"] = bootable(t, oldLKRN)
	for name, l := range all {
		t.Run(name, func(t *testing.T) {
			path := write(t, l, "#!ipxe\nshell\n")
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			stat, _ := f.Stat()
			info, err := iso.Inspect(f, stat.Size())
			if err != nil {
				t.Fatal(err)
			}
			offset := map[string]int64{} // of the files that the ISO has
			listing := tool(t, "isoinfo", "-l", "-i", path)
			for _, m := range regexp.MustCompile(
				`(?m)^-.* \[ *(\d+) 00\]  (\S+);1 $`).FindAllStringSubmatch(listing, -1) {
				var n int64
				fmt.Sscan(m[1], &n)
				offset[m[2]] = n * 2048
			}
			espAt, uefi := offset["ESP.IMG"]

			// The boot catalog.
			report := tool(t, "xorriso", "-indev", path, "-report_el_torito", "plain")
			want := func(what string, text string, yes bool) {
				t.Helper()
				if regexp.MustCompile(`(?m)`+text).MatchString(report) != yes {
					t.Errorf("%s: %v is wanted; the report says\n%s", what, yes, report)
				}
			}
			want("BIOS", `^El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4 +`+
				fmt.Sprint(offset["ISOLINUX.BIN"]/2048)+`$`, info.BIOS)
			want("ISOLINUX", `^El Torito img path :   1  /ISOLINUX/ISOLINUX.BIN$`, info.BIOS)
			want("boot info table",
				`^El Torito img opts :   1  boot-info-table isohybrid-suitable$`, info.BIOS)
			want("UEFI", `^El Torito boot img :   \d  UEFI  y   none  0x0000  0x00 +\d+ +`+
				fmt.Sprint(espAt/2048)+`$`, info.UEFI)
			want("ESP", `^El Torito img path :   \d  /ESP.IMG$`, info.UEFI)
			want("catalog", `^El Torito cat path : /BOOT.CAT$`, true)
			want("volume", `^Volume id    : 'PXESRV'$`, true)
			want("size", fmt.Sprintf(`, %d data blocks,`, info.Size/2048), true)
			report = tool(t, "xorriso", "-indev", path, "-report_el_torito", "as_mkisofs")
			want("BIOS as options",
				`^-b '/ISOLINUX/ISOLINUX.BIN'\n-no-emul-boot\n-boot-load-size 4\n-boot-info-table$`,
				info.BIOS)
			want("UEFI as options", `^-e '/ESP.IMG'\n-no-emul-boot$`, info.UEFI)

			// The partition table.
			report = tool(t, "fdisk", "-l", "-o", "Boot,Start,End,Sectors,Id,Start-C/H/S,End-C/H/S",
				path)
			espEnd, biosEnd := int64(0), info.Size/512-1
			if uefi {
				espEnd, biosEnd = espAt/512+size(t, listing, "ESP.IMG")/512-1, espAt/512-1
			}
			want("stick for BIOS", fmt.Sprintf(`^\* +0 +%d +%d 17 +0/0/1 +%s$`, biosEnd, biosEnd+1,
				chs(biosEnd)), info.BIOSStick)
			want("stick for UEFI", fmt.Sprintf(`^ +%d +%d +%d ef +%s +%s$`, espAt/512, espEnd,
				espEnd-espAt/512+1, chs(espAt/512), chs(espEnd)), info.UEFIStick)
			want("disk identifier", `^Disk identifier: 0x[0-9a-f]{8}$`, info.BIOSStick ||
				info.UEFIStick)

			// The files.
			for _, loader := range info.Loaders {
				if cd, ok := strings.CutPrefix(loader.Path, "ISOLINUX/"); ok {
					got := tool(t, "isoinfo", "-x", "/"+loader.Path+";1", "-i", path)
					content := make([]byte, loader.Size)
					loader.Content.ReadAt(content, 0)
					if got != string(content) || offset[cd] == 0 {
						t.Errorf("%s: isoinfo reads %d other bytes", loader.Path, len(got))
					}
				}
			}
			if got := tool(t, "isoinfo", "-x", "/SCRIPT.IPX;1", "-i", path); !strings.HasPrefix(got,
				"#!ipxe\nshell\n\n\n###") || len(got) != 6144 {
				t.Errorf("isoinfo reads the script %.40q", got)
			}
			if uefi {
				esp := filepath.Join(t.TempDir(), "esp.img")
				if err := os.WriteFile(esp,
					[]byte(tool(t, "isoinfo", "-x", "/ESP.IMG;1", "-i", path)), 0o600); err != nil {
					t.Fatal(err)
				}
				tool(t, "fsck.fat", "-n", esp)
				if got := tool(t, "mtype", "-i", esp, "::autoexec.ipxe"); !strings.HasPrefix(got,
					"#!ipxe\nshell\n\n\n###") || len(got) != 6144 {
					t.Errorf("mtools read the script %.40q", got)
				}
				listing := tool(t, "mdir", "-i", esp, "-b", "-/", "::")
				wantFiles := []string{"::/EFI/", "::/autoexec.ipxe", "::/EFI/BOOT/"}
				for _, loader := range info.Loaders {
					if strings.HasPrefix(loader.Path, "EFI/") {
						wantFiles = append(wantFiles, "::/"+loader.Path)
						if got := tool(t, "mtype", "-i", esp,
							"::"+loader.Path); sha256.Sum256([]byte(got)) != loader.SHA256 {
							t.Errorf("mtools read %d other bytes of %s", len(got), loader.Path)
						}
					}
				}
				if len(strings.Fields(listing)) != len(wantFiles) {
					t.Errorf("mdir lists %q, want %q", listing, wantFiles)
				}
				for _, f := range wantFiles {
					if !strings.Contains(listing, f+"\n") {
						t.Errorf("mdir lists %q, not %s", listing, f)
					}
				}
			}
		})
	}
}

// chs is a sector's address in a geometry of 64 heads with 32 sectors.
func chs(lba int64) string { return fmt.Sprintf("%d/%d/%d", lba/2048, lba/32%64, lba%32+1) }

// size is the size of a file in isoinfo's list.
func size(t *testing.T, listing, name string) (n int64) {
	t.Helper()
	m := regexp.MustCompile(`(\d+) \w+ +\d+ \d+ \[ *\d+ 00\]  ` + name +
		`;1`).FindStringSubmatch(listing)
	if m == nil {
		t.Fatalf("isoinfo does not list %s:\n%s", name, listing)
	}
	fmt.Sscan(m[1], &n)
	return n
}

// TestRealLoaders: the checksums that Inspect reports are those of the
// distribution's files.
func TestRealLoaders(t *testing.T) {
	l := bootable(t, oldLKRN)
	m, _ := image(t, l, "")
	info, err := iso.Inspect(m, m.Size())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]byte{"isolinux.bin": l.ISOLINUX, "ldlinux.c32": l.LDLinux,
		"ipxe.lkrn": l.LKRN, "isohdpfx.bin": l.ISOHDPFX, "BOOTX64.EFI": l.EFI}
	for _, loader := range info.Loaders {
		if loader.SHA256 != sha256.Sum256(want[loader.Name]) {
			t.Errorf("%s has another checksum than the file", loader.Name)
		}
	}
	if len(info.Loaders) != len(want) {
		t.Errorf("%d loaders, want %d", len(info.Loaders), len(want))
	}
}

// tool runs a program that 'make deps' installs and returns what it prints;
// xorriso's notes are left out.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	// not in the PATH of all users
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil && cmd.Err != nil {
		cmd.Path, cmd.Err = path, nil
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if name == "xorriso" {
		// it says on either what the medium is, and ends with an error when it
		// has a doubt
		stdout.Write(stderr.Bytes())
		if cmd.ProcessState != nil {
			err = nil
		}
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s%s(when it is not there: 'make deps')", strings.Join(cmd.Args, " "),
			err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
