// Package media makes the boot media of hosts that have no DHCP: it ties the loaders of this machine, the script of a host and
// the image that holds both.
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

// FileName returns the name of the file with the image of a host. BMCs take it as a part of a URL, so it has no colon: a MAC or
// an IPv6 address is written with hyphens.
func FileName(host string) string { return strings.ReplaceAll(host, ":", "-") + ".iso" }

// LoaderPaths says where the loader files are. "" is looked for: in Dirs, then where distributions put it. ARM and a shim are in an
// image only when they are given.
type LoaderPaths struct {
	ISOLINUX, LDLinux, ISOHDPFX string // isolinux.bin, ldlinux.c32, isohdpfx.bin
	LKRN                        string // ipxe.lkrn
	EFI                         string // ipxe.efi for x86-64
	EFIARM64                    string // ipxe.efi for 64-bit ARM
	Shim                        string // of Secure Boot, for one of both
	Dirs                        []string
}

// The folders of Debian and Ubuntu, of Fedora and openSUSE, and of Arch.
var (
	isolinuxDirs = []string{"/usr/lib/ISOLINUX", "/usr/share/syslinux", "/usr/lib/syslinux/bios"}
	moduleDirs   = []string{"/usr/lib/syslinux/modules/bios", "/usr/share/syslinux", "/usr/lib/syslinux/bios"}
	ipxeDirs     = []string{"/usr/lib/ipxe", "/usr/share/ipxe", "/boot", "/usr/share/ipxe/x86_64"}
)

// File is a loader file.
type File struct {
	Name     string       // isolinux.bin, ldlinux.c32, isohdpfx.bin, ipxe.lkrn, ipxe.efi, ipxe.efi for ARM, shim
	Path     string       // where it is; "" when it is nowhere
	Build    loader.Build // what it is, when it is iPXE or a shim
	SYSLINUX string       // as SYSLINUX says
	Why      string       // what keeps it out of an image, or ""

	packages string
	info     os.FileInfo
	body     []byte
}

// Firmware is a kind of firmware that images are for.
type Firmware struct {
	Name   string // BIOS, UEFI, UEFI on ARM
	Loader ipxe.Loader
	Why    string // why no image boots by it, whatever host it is for; or ""
	Note   string // what people should know although images boot by it; or ""
}

// Loaders is the loader files of this machine, read once. It may be used by many at once.
type Loaders struct {
	files LoaderPaths
	all   []*File
	ways  []Firmware

	loaders   iso.Loaders
	mu        sync.Mutex
	templates map[uint]*iso.Template // by the ways that are in it, a bit each
}

// Open reads the loader files. The error says what is missing or wrong when nothing would boot; the Loaders then tell about the
// files, and has no images.
func Open(f LoaderPaths) (*Loaders, error) {
	k := readLoaders(f)
	return k, k.judge()
}

// readLoaders reads the loader files, and does nothing else.
func readLoaders(f LoaderPaths) *Loaders {
	k := &Loaders{files: f, all: f.find(), templates: map[uint]*iso.Template{}}
	for _, file := range k.all {
		file.read()
	}
	return k
}

// judge says what the files are, and by which ways images boot with them. To
// unpack a loader takes a while; the disk has no part in it.
func (k *Loaders) judge() error {
	for _, file := range k.all {
		file.judge()
	}
	isolinux, ldlinux, isohdpfx, lkrn, efi := k.all[0], k.all[1], k.all[2], k.all[3], k.all[4]
	l := &k.loaders
	l.ISOLINUX, l.LDLinux, l.ISOHDPFX, l.LKRN, l.EFI = isolinux.body, ldlinux.body, isohdpfx.body, lkrn.body, efi.body
	k.add("BIOS", iso.Loaders{ISOLINUX: l.ISOLINUX, LDLinux: l.LDLinux, ISOHDPFX: l.ISOHDPFX, LKRN: l.LKRN}, lkrn, isolinux, ldlinux, isohdpfx)
	var shim *File
	arm := []*File{}
	for _, file := range k.all[5:] {
		switch {
		case file.Name != "shim":
			arm, l.EFIARM64 = append(arm, file), file.body
		case file.Build.Arch == "arm64":
			arm, l.ShimARM64, l.ShimARM64Starts = append(arm, file), file.body, file.Build.Starts
		default:
			shim, l.Shim, l.ShimStarts = file, file.body, file.Build.Starts
		}
	}
	x86 := []*File{efi}
	if shim != nil {
		x86 = append(x86, shim)
	}
	k.add("UEFI", iso.Loaders{EFI: l.EFI, Shim: l.Shim, ShimStarts: l.ShimStarts}, x86...)
	if len(arm) > 0 {
		k.add("UEFI on ARM", iso.Loaders{EFIARM64: l.EFIARM64, ShimARM64: l.ShimARM64, ShimARM64Starts: l.ShimARM64Starts}, arm...)
	}
	var none []error
	for _, w := range k.ways {
		if w.Why == "" {
			return nil
		}
		none = append(none, fmt.Errorf("no boot by %s: %s", w.Name, w.Why))
	}
	return errors.Join(none...)
}

// add adds a way to boot; the first of its files is iPXE.
func (k *Loaders) add(name string, l iso.Loaders, files ...*File) {
	w := Firmware{Name: name, Loader: files[0].Build.Loader}
	var whys []string
	for _, f := range files {
		if f.Why != "" {
			whys = append(whys, f.Why)
		}
	}
	if len(whys) == 0 {
		// Each file by itself may be right, but another one than it was taken for.
		if _, err := iso.NewTemplate(l); err != nil {
			var paths []string
			for _, f := range files {
				paths = append(paths, f.Path)
			}
			whys = []string{fmt.Sprintf("%v (of %s)", err, strings.Join(paths, ", "))}
		}
	}
	w.Why = strings.Join(whys, "; ")
	if unsigned := slices.DeleteFunc(slices.Clone(files), func(f *File) bool { return f.Build.Signed }); len(unsigned) > 0 && w.Why == "" &&
		slices.ContainsFunc(files, func(f *File) bool { return f.Name == "shim" }) {
		w.Note = fmt.Sprintf("with Secure Boot on it is refused: %s is not signed", unsigned[0].Path)
	}
	k.ways = append(k.ways, w)
}

// find looks for all files.
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
		file, err := loader.Open(name, slices.Concat(f.Dirs, ipxeDirs), func(string) (*os.File, error) { return nil, fs.ErrNotExist })
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
	add("ldlinux.c32", f.LDLinux, "syslinux-common (Debian) or syslinux (Fedora)", beside(moduleDirs))
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

// maxFile is the limit of a loader file; pkg/iso has the same.
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

// judge says what the file is, and what is wrong with it by itself.
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
		return // iso knows what one is
	}
	switch {
	case f.Name == "shim" && f.Build.IPXE:
		f.Why = fmt.Sprintf("%s is iPXE itself; a shim is what starts it", f.Path)
	case f.Name == "shim" && f.Build.Starts == "":
		f.Why = fmt.Sprintf("%s is no shim that an image can have: which program it starts does not stand in it", f.Path)
	case f.Name == "shim":
	case !f.Build.IPXE:
		f.Why = fmt.Sprintf("%s is no iPXE for UEFI", f.Path)
	case isSNPOnly(f.body):
		f.Why = fmt.Sprintf("%s is snponly.efi: it knows only the card that it was loaded by, and from a CD or a stick that is none; take ipxe.efi", f.Path)
	case !f.Build.Autoexec:
		f.Why = fmt.Sprintf("%s is %v, which does not read autoexec.ipxe and would ask DHCP instead; %s",
			f.Path, f.Build.Loader, newer)
	}
}

// newer is where to find a loader that can do all that a host may need.
const newer = "take that of Debian 13's package ipxe"

// saysSYSLINUX is what ISOLINUX prints at its start.
var saysSYSLINUX = regexp.MustCompile(`ISOLINUX [0-9]+\.[0-9.]+[-0-9A-Za-z]*( [0-9]{8})?`)

// SYSLINUX returns the version of an isolinux.bin, as in "ISOLINUX 6.04 20200816"; other files of SYSLINUX show none.
func SYSLINUX(body []byte) string { return string(saysSYSLINUX.Find(body)) }

// isSNPOnly reports whether a build of iPXE for UEFI has the driver for the card it was loaded by instead of all others
// (src/drivers/net/efi/snponly.c gives it that name).
func isSNPOnly(body []byte) bool { return bytes.Contains(body, []byte("\x00SNPONLY\x00")) }

// Files returns the loader files, the missing ones too.
func (k *Loaders) Files() []*File { return k.all }

// Firmwares returns the ways to boot: BIOS, UEFI, and UEFI on ARM when a loader for that is given.
func (k *Loaders) Firmwares() []Firmware { return k.ways }

// Missing says what no image boots by, whatever host it is for: "no boot by UEFI: …".
func (k *Loaders) Missing() (all []string) {
	for _, w := range k.ways {
		if w.Why != "" {
			all = append(all, fmt.Sprintf("no boot by %s: %s", w.Name, w.Why))
		}
	}
	return all
}

// Stale reports whether Open would find other files now.
func (k *Loaders) Stale() bool {
	now := k.files.find()
	return !slices.EqualFunc(k.all, now, func(a, b *File) bool {
		return a.Name == b.Name && a.Path == b.Path && reread.Same(a.info, b.info)
	})
}

// Image makes the image of a host. It boots by each way of the loaders; with partial by those that can do what the host needs, and
// the notes say which are left out and why. Notes are what people should know although the image works; neither they nor the
// error name the host.
//
// The error is, joined, an *ipxe.FieldError for each value of the host that cannot be, and "no boot by …" for each way.
func (k *Loaders) Image(h ipxe.Host, partial bool) (m *iso.Image, notes []string, err error) {
	var errs []error
	for _, e := range h.Check() {
		errs = append(errs, e)
	}
	var use []ipxe.Loader
	var known []string // of the ways that are used
	set := uint(0)
	for i, w := range k.ways {
		why := w.Why
		if why == "" {
			for _, e := range h.Needs(w.Loader) {
				why = strings.TrimPrefix(e.Error(), fmt.Sprintf("%s: no boot by %v: ", e.Host, e.Loader.Platform)) + "; " + newer
			}
		}
		if why == "" {
			use, set = append(use, w.Loader), set|1<<i
			if w.Note != "" {
				known = append(known, fmt.Sprintf("boot by %s: %s", w.Name, w.Note))
			}
			continue
		}
		notes = append(notes, fmt.Sprintf("no boot by %s: %s", w.Name, why))
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
	t, err := k.template(set)
	if err != nil {
		return nil, nil, err
	}
	m, err = t.Image(script)
	return m, slices.Concat(notes, known, h.Notes(use...)), err
}

// template returns the template with a set of ways.
func (k *Loaders) template(set uint) (*iso.Template, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.templates[set]; t != nil {
		return t, nil
	}
	var l iso.Loaders
	for i, w := range k.ways {
		if set&(1<<i) == 0 {
			continue
		}
		switch w.Name {
		case "BIOS":
			l.ISOLINUX, l.LDLinux, l.ISOHDPFX, l.LKRN = k.loaders.ISOLINUX, k.loaders.LDLinux, k.loaders.ISOHDPFX, k.loaders.LKRN
		case "UEFI":
			l.EFI, l.Shim, l.ShimStarts = k.loaders.EFI, k.loaders.Shim, k.loaders.ShimStarts
		default:
			l.EFIARM64, l.ShimARM64, l.ShimARM64Starts = k.loaders.EFIARM64, k.loaders.ShimARM64, k.loaders.ShimARM64Starts
		}
	}
	t, err := iso.NewTemplate(l)
	if err == nil {
		k.templates[set] = t
	}
	return t, err
}
