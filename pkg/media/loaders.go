// Package media makes the boot media of hosts without DHCP: it puts the loaders
// of this machine and the script of a host into an image.
package media

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"pxesrv/pkg/ipxe"
	"pxesrv/pkg/iso"
	"pxesrv/pkg/loader"
	"pxesrv/pkg/reread"
)

// FileName returns the name of the file with a host's image. BMCs take it as a
// part of a URL, so it has no colon: a MAC or an IPv6 address is written with
// hyphens.
func FileName(host string) string { return strings.ReplaceAll(host, ":", "-") + ".iso" }

// LoaderPaths says where the loader files are. A file without a path is looked
// for, in Dirs and then where distributions put it. ARM and a shim are in an
// image only when they are given.
type LoaderPaths struct {
	ISOLINUX, LDLinux, ISOHDPFX string // isolinux.bin, ldlinux.c32, isohdpfx.bin
	LKRN                        string // ipxe.lkrn
	EFI                         string // ipxe.efi for x86-64
	EFIARM64                    string // ipxe.efi for 64-bit ARM
	Shim                        string // for Secure Boot on one of the two
	Dirs                        []string
}

// The folders of Debian and Ubuntu, of Fedora and openSUSE, and of Arch.
var (
	isolinuxDirs = []string{"/usr/lib/ISOLINUX", "/usr/share/syslinux", "/usr/lib/syslinux/bios"}
	moduleDirs   = []string{"/usr/lib/syslinux/modules/bios", "/usr/share/syslinux",
		"/usr/lib/syslinux/bios"}
	ipxeDirs = []string{"/usr/lib/ipxe", "/usr/share/ipxe", "/boot", "/usr/share/ipxe/x86_64"}
)

// File is a loader file.
type File struct {
	// isolinux.bin, ldlinux.c32, isohdpfx.bin, ipxe.lkrn, ipxe.efi, ipxe.efi
	// for ARM, shim
	Name     string
	Path     string       // where it is; "" when it is nowhere
	Build    loader.Build // what it is, when it is iPXE or a shim
	SYSLINUX string       // as SYSLINUX says
	Why      string       // what keeps it out of an image, or ""

	packages string
	info     os.FileInfo
	body     []byte
}

// Firmware is one kind of firmware that images boot on.
type Firmware struct {
	Name   string // BIOS, UEFI, UEFI on ARM
	Loader ipxe.Loader
	Why    string // why no image boots on it, whatever the host; or ""
	Note   string // what people should know although images boot on it; or ""
}

// Loaders is the loader files of this machine, read once. It is safe for
// concurrent use.
type Loaders struct {
	files    LoaderPaths
	all      []*File
	firmware []Firmware

	loaders   iso.Loaders
	mu        sync.Mutex
	templates map[uint]*iso.Template // by the firmware that is in it, a bit each
}

// Open reads the loader files. When nothing would boot, the error says what is
// missing or wrong; the Loaders then tell about the files and make no image.
func Open(f LoaderPaths) (*Loaders, error) {
	l := readLoaders(f)
	return l, l.judge()
}

// readLoaders only reads the loader files: this is the part that can hang.
func readLoaders(f LoaderPaths) *Loaders {
	l := &Loaders{files: f, all: f.find(), templates: map[uint]*iso.Template{}}
	for _, file := range l.all {
		file.read()
	}
	return l
}

// judge works out what the files are and on which firmware images boot with
// them. It unpacks loaders, which takes a while, and does not touch the disk.
func (l *Loaders) judge() error {
	for _, file := range l.all {
		file.judge()
	}
	isolinux, ldlinux, isohdpfx, lkrn, efi := l.all[0], l.all[1], l.all[2], l.all[3], l.all[4]
	parts := &l.loaders
	parts.ISOLINUX, parts.LDLinux, parts.ISOHDPFX, parts.LKRN, parts.EFI = isolinux.body,
		ldlinux.body, isohdpfx.body, lkrn.body, efi.body
	l.add("BIOS", iso.Loaders{ISOLINUX: parts.ISOLINUX, LDLinux: parts.LDLinux,
		ISOHDPFX: parts.ISOHDPFX, LKRN: parts.LKRN}, lkrn, isolinux, ldlinux, isohdpfx)
	var shim *File
	arm := []*File{}
	for _, file := range l.all[5:] {
		switch {
		case file.Name != "shim":
			arm, parts.EFIARM64 = append(arm, file), file.body
		case file.Build.Arch == "arm64":
			arm, parts.ShimARM64, parts.ShimARM64Starts = append(arm, file), file.body,
				file.Build.Starts
		default:
			shim, parts.Shim, parts.ShimStarts = file, file.body, file.Build.Starts
		}
	}
	x86 := []*File{efi}
	if shim != nil {
		x86 = append(x86, shim)
	}
	l.add("UEFI", iso.Loaders{EFI: parts.EFI, Shim: parts.Shim, ShimStarts: parts.ShimStarts},
		x86...)
	if len(arm) > 0 {
		l.add("UEFI on ARM", iso.Loaders{EFIARM64: parts.EFIARM64, ShimARM64: parts.ShimARM64,
			ShimARM64Starts: parts.ShimARM64Starts}, arm...)
	}
	var none []error
	for _, fw := range l.firmware {
		if fw.Why == "" {
			return nil
		}
		none = append(none, fmt.Errorf("no boot by %s: %s", fw.Name, fw.Why))
	}
	return errors.Join(none...)
}

// add adds a firmware; the first of its files is iPXE.
func (l *Loaders) add(name string, parts iso.Loaders, files ...*File) {
	fw := Firmware{Name: name, Loader: files[0].Build.Loader}
	var whys []string
	for _, f := range files {
		if f.Why != "" {
			whys = append(whys, f.Why)
		}
	}
	if len(whys) == 0 {
		// A file may be sound and still not be what it was taken for.
		if _, err := iso.NewTemplate(parts); err != nil {
			var paths []string
			for _, f := range files {
				paths = append(paths, f.Path)
			}
			whys = []string{fmt.Sprintf("%v (of %s)", err, strings.Join(paths, ", "))}
		}
	}
	fw.Why = strings.Join(whys, "; ")
	if unsigned := slices.DeleteFunc(slices.Clone(files), func(f *File) bool {
		return f.Build.Signed
	}); len(unsigned) > 0 && fw.Why == "" &&
		slices.ContainsFunc(files, func(f *File) bool { return f.Name == "shim" }) {
		fw.Note = fmt.Sprintf("with Secure Boot on it is refused: %s is not signed",
			unsigned[0].Path)
	}
	l.firmware = append(l.firmware, fw)
}

// find finds all files.
func (f LoaderPaths) find() []*File {
	beside := func(dirs []string) func(string) (string, error) {
		return func(name string) (string, error) {
			for _, dir := range slices.Concat(f.Dirs, dirs) {
				path := filepath.Join(dir, name)
				if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
					return path, nil
				}
			}
			return "", fs.ErrNotExist
		}
	}
	search := func(name string) (string, error) {
		file, err := loader.Open(name, slices.Concat(f.Dirs, ipxeDirs),
			func(string) (*os.File, error) { return nil, fs.ErrNotExist })
		if err != nil {
			return "", err
		}
		defer file.Close()
		return file.Name(), nil
	}
	var all []*File
	add := func(name, given, packages string, find func(string) (string, error)) {
		file := &File{Name: name, Path: given, packages: packages}
		if given == "" {
			path, err := find(name)
			if file.Path = path; err != nil && !errors.Is(err, fs.ErrNotExist) {
				file.Why = fmt.Sprintf("%s cannot be read: %v", name, err)
			}
		}
		if file.Path != "" {
			file.info, _ = os.Stat(file.Path)
		}
		all = append(all, file)
	}
	add("isolinux.bin", f.ISOLINUX, "isolinux (Debian) or syslinux (Fedora)", beside(isolinuxDirs))
	add("ldlinux.c32", f.LDLinux, "syslinux-common (Debian) or syslinux (Fedora)",
		beside(moduleDirs))
	add("isohdpfx.bin", f.ISOHDPFX, "isolinux (Debian) or syslinux (Fedora)", beside(isolinuxDirs))
	add("ipxe.lkrn", f.LKRN, "ipxe (Debian) or ipxe-bootimgs-x86 (Fedora)", search)
	add("ipxe.efi", f.EFI, "ipxe (Debian) or ipxe-bootimgs-x86 (Fedora)", search)
	if f.EFIARM64 != "" {
		add("ipxe.efi for ARM", f.EFIARM64, "", nil)
	}
	if f.Shim != "" {
		add("shim", f.Shim, "", nil)
	}
	return all
}

// maxFile is the size limit of a loader file, as in pkg/iso.
const maxFile = 64 << 20

// read reads the file.
func (f *File) read() {
	if f.Why != "" {
		return
	}
	if f.Path == "" {
		f.Why = fmt.Sprintf("%s is not on this machine; install the package %s", f.Name, f.packages)
		return
	}
	var err error
	f.body, _, err = reread.ReadFile(f.Path, maxFile)
	if errors.Is(err, reread.ErrTooLarge) {
		f.Why = fmt.Sprintf("%s is no loader: it has more than %d bytes", f.Path, maxFile)
	} else if err != nil {
		f.Why = fmt.Sprintf("%s cannot be read: %v", f.Name, err)
	}
}

// judge works out what the file is, and what is wrong with it by itself.
func (f *File) judge() {
	if f.Why != "" {
		return
	}
	if f.Name != "shim" && !strings.HasPrefix(f.Name, "ipxe.") {
		f.SYSLINUX = SYSLINUX(f.body)
		return
	}
	f.Build = loader.Inspect(f.body)
	if f.Name == "ipxe.lkrn" {
		return // pkg/iso checks it
	}
	switch {
	case f.Name == "shim" && f.Build.IPXE:
		f.Why = fmt.Sprintf("%s is iPXE itself; a shim is what starts it", f.Path)
	case f.Name == "shim" && f.Build.Starts == "":
		f.Why = fmt.Sprintf(
			"%s is no shim that an image can have: which program it starts does not stand in it",
			f.Path)
	case f.Name == "shim":
	case !f.Build.IPXE:
		f.Why = fmt.Sprintf("%s is no iPXE for UEFI", f.Path)
	case isSNPOnly(f.body):
		f.Why = fmt.Sprintf("%s is snponly.efi: it knows only the card that it was loaded by, "+
			"and from a CD or a stick that is none; take ipxe.efi", f.Path)
	case !f.Build.Autoexec:
		f.Why = fmt.Sprintf(
			"%s is %v, which does not read autoexec.ipxe and would ask DHCP instead; %s",
			f.Path, f.Build.Loader, newer)
	}
}

// newer says where to find a loader that can do everything a host may need.
const newer = "take that of Debian 13's package ipxe"

// saysSYSLINUX is what ISOLINUX prints at its start.
var saysSYSLINUX = regexp.MustCompile(`ISOLINUX [0-9]+\.[0-9.]+[-0-9A-Za-z]*( [0-9]{8})?`)

// SYSLINUX returns the version of an isolinux.bin, as in "ISOLINUX 6.04
// 20200816"; other files of SYSLINUX show none.
func SYSLINUX(body []byte) string { return string(saysSYSLINUX.Find(body)) }

// isSNPOnly reports whether a build of iPXE for UEFI drives only the card that
// it was loaded from (src/drivers/net/efi/snponly.c gives the driver that
// name).
func isSNPOnly(body []byte) bool { return bytes.Contains(body, []byte("\x00SNPONLY\x00")) }

// Files returns the loader files, the missing ones too.
func (l *Loaders) Files() []*File { return l.all }

// Firmwares returns BIOS, UEFI, and UEFI on ARM when a loader for that is
// given.
func (l *Loaders) Firmwares() []Firmware { return l.firmware }

// Missing says on which firmware no image boots, whatever the host: "no boot by
// UEFI: …".
func (l *Loaders) Missing() (all []string) {
	for _, fw := range l.firmware {
		if fw.Why != "" {
			all = append(all, fmt.Sprintf("no boot by %s: %s", fw.Name, fw.Why))
		}
	}
	return all
}

// Stale reports whether the files have changed since they were read.
func (l *Loaders) Stale() bool {
	now := l.files.find()
	return !slices.EqualFunc(l.all, now, func(a, b *File) bool {
		return a.Name == b.Name && a.Path == b.Path && reread.Same(a.info, b.info)
	})
}

// Image makes the image of a host. It boots on all firmware; with partial it
// boots where the loaders can do what the host needs, and the notes say what is
// left out and why. Notes are what people should know although the image works;
// neither they nor the error name the host.
//
// The error joins an *ipxe.FieldError for each wrong value of the host, and "no
// boot by …" for each firmware.
func (l *Loaders) Image(h ipxe.Host, partial bool) (m *iso.Image, notes []string, err error) {
	var errs []error
	for _, e := range h.Check() {
		errs = append(errs, e)
	}
	var use []ipxe.Loader
	var known []string // notes of the firmware that is used
	set := uint(0)
	for i, fw := range l.firmware {
		why := fw.Why
		if why == "" {
			for _, e := range h.Needs(fw.Loader) {
				why = strings.TrimPrefix(e.Error(), fmt.Sprintf("%s: no boot by %v: ", e.Host,
					e.Loader.Platform)) + "; " + newer
			}
		}
		if why == "" {
			use, set = append(use, fw.Loader), set|1<<i
			if fw.Note != "" {
				known = append(known, fmt.Sprintf("boot by %s: %s", fw.Name, fw.Note))
			}
			continue
		}
		notes = append(notes, fmt.Sprintf("no boot by %s: %s", fw.Name, why))
	}
	if !partial || len(use) == 0 {
		for _, n := range notes {
			errs = append(errs, errors.New(n))
		}
	}
	if len(errs) > 0 {
		return nil, nil, errors.Join(errs...)
	}
	script, err := h.Script(use...)
	if err != nil {
		return nil, nil, err
	}
	t, err := l.template(set)
	if err != nil {
		return nil, nil, err
	}
	m, err = t.Image(script)
	return m, slices.Concat(notes, known, h.Notes(use...)), err
}

// template returns the template for a set of firmware.
func (l *Loaders) template(set uint) (*iso.Template, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.templates[set]; t != nil {
		return t, nil
	}
	var parts iso.Loaders
	for i, fw := range l.firmware {
		if set&(1<<i) == 0 {
			continue
		}
		switch fw.Name {
		case "BIOS":
			parts.ISOLINUX, parts.LDLinux, parts.ISOHDPFX, parts.LKRN = l.loaders.ISOLINUX,
				l.loaders.LDLinux, l.loaders.ISOHDPFX, l.loaders.LKRN
		case "UEFI":
			parts.EFI, parts.Shim, parts.ShimStarts = l.loaders.EFI, l.loaders.Shim,
				l.loaders.ShimStarts
		default:
			parts.EFIARM64, parts.ShimARM64, parts.ShimARM64Starts = l.loaders.EFIARM64,
				l.loaders.ShimARM64, l.loaders.ShimARM64Starts
		}
	}
	t, err := iso.NewTemplate(parts)
	if err == nil {
		l.templates[set] = t
	}
	return t, err
}
