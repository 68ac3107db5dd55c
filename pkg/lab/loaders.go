package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Cached returns a folder that 'make deps' fills.
func Cached(t testing.TB, name string) string {
	t.Helper()
	cache := os.Getenv("PXESRV_CACHE")
	if cache == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			t.Fatalf("lab: no cache folder: %v; set PXESRV_CACHE", err)
		}
		cache = filepath.Join(user, "pxesrv")
	}
	return filepath.Join(cache, name)
}

// Exists reports whether there is such a file.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// IPXE returns the path of a file of today's iPXE (ipxe.lkrn, ipxe.efi,
// undionly.kpxe, ...): from the folder PXESRV_TEST_IPXE, else from the one
// 'make deps' filled. The test fails when it is not there.
func IPXE(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("PXESRV_TEST_IPXE")
	if dir == "" {
		dir = Cached(t, "ipxe-13")
	}
	return below(t, dir, name)
}

// IPXE2 is IPXE for the iPXE of Debian's testing, a version 2. PXESRV_TEST_IPXE
// stands for that one, too.
func IPXE2(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("PXESRV_TEST_IPXE")
	if dir == "" {
		dir = Cached(t, "ipxe-14")
	}
	return below(t, dir, name)
}

func below(t testing.TB, dir, name string) string {
	t.Helper()
	for _, sub := range []string{"", "usr/lib/ipxe", "boot"} {
		if path := filepath.Join(dir, sub, name); Exists(path) {
			return path
		}
	}
	if testing.Short() {
		t.Skipf("no %s: make test gets it", name)
	}
	t.Fatalf("lab: no %s below %s: run 'make deps', or set PXESRV_TEST_IPXE to a folder that has it", name, dir)
	return ""
}

// GRUB makes a GRUB for UEFI that boots from the network, and returns its path.
// It looks for its configuration in /grub of the TFTP server that it came from.
// The modules are those of Debian 13, from the folder that 'make deps' filled,
// or of this machine when it is as new: a GRUB without the module peimage does
// not let go of the network card when it starts another program.
func GRUB(t testing.TB) string {
	t.Helper()
	for _, root := range []string{Cached(t, "grub-13"), "/"} {
		modules := filepath.Join(root, "usr/lib/grub/x86_64-efi")
		if !Exists(filepath.Join(modules, "peimage.mod")) {
			continue
		}
		core := filepath.Join(t.TempDir(), "core.efi")
		cmd := exec.Command("grub-mkimage", "-O", "x86_64-efi", "-d", modules, "-p",
			"(tftp)/grub", "-o", core,
			"chain", "configfile", "echo", "efinet", "fat", "net", "normal", "part_msdos",
			"peimage", "search", "test", "tftp")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("lab: grub-mkimage: %v: %s", err, out)
		}
		return core
	}
	t.Fatalf("lab: no GRUB of Debian 13: run 'make deps'")
	return ""
}
