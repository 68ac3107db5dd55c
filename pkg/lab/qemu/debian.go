//go:build linux

package qemu

import (
	"archive/tar"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/lab"
)

// Debian is a whole Debian 13 on a machine of its own: its kernel, systemd as
// PID 1, dbus, and a kernel NFS server and client. It is for what a root folder
// cannot show, such as file systems of the kernel and units of systemd. Nothing
// that is done in it stays.
type Debian struct {
	Files map[string]string // what it finds in /lab, by name: files of this computer, executable
	// what root's /bin/sh runs in /lab when the system is up; it has to end
	// with status 0
	Script string
	Limit  time.Duration // for all of it, booting included; 0 is ten minutes
	Args   []string      // more arguments for QEMU
}

// Run boots the machine, runs the script and returns what it printed on both
// streams. It takes about 25 s of an idle computer until the script begins. At
// most two machines run at once.
func (d Debian) Run(t testing.TB) string {
	t.Helper()
	lab.Slow(t)
	base := lab.Cached(t, "debian-13-disk")
	if !lab.Exists(filepath.Join(base, "made-of")) {
		if os.Getuid() != 0 {
			t.Skip("no disk with Debian 13, which only root can make")
		}
		t.Fatalf("lab: no disk with Debian 13 in %s: run 'make deps'", base)
	}
	dir := t.TempDir()
	brought, results := filepath.Join(dir, "lab.tar"), filepath.Join(dir, "results")
	if err := d.pack(brought); err != nil {
		t.Fatalf("lab: %v", err)
	}
	limit := d.Limit
	if limit == 0 {
		limit = 10 * time.Minute
	}
	m := Start(t, VM{
		Kernel: filepath.Join(base, "vmlinuz"),
		Initrd: filepath.Join(base, "initrd.img"),
		// One processor: QEMU 7.2 emulates several by a thread each, and does
		// not always see code that Linux changes on one while another runs it,
		// as it does while it boots; then the kernel panics. And then it ends
		// at once.
		Args: append([]string{"-m", "1536", "-smp", "1",
			"-append", "root=/dev/vda rw console=ttyS0 quiet panic=-1",
			"-drive", "if=none,id=root,format=raw,snapshot=on,cache=unsafe,file=" +
				comma(filepath.Join(base, "disk.img")),
			"-device", "virtio-blk-pci,drive=root",
			"-drive", "if=none,id=lab,format=raw,readonly=on,file=" + comma(brought),
			"-device", "virtio-blk-pci,drive=lab,serial=lab",
			"-device", "virtio-rng-pci",
			"-serial", "file:" + results}, d.Args...),
	})
	defer m.Stop()
	m.proc.Wait(limit, m.proc.Ended)
	ended := m.proc.Ended()
	text, err := os.ReadFile(results)
	if err != nil {
		t.Fatalf("lab: %v", err)
	}
	out, status, _ := strings.Cut(strings.ReplaceAll(string(text), "\r", ""), "\nlab: status ")
	status, _, _ = strings.Cut(status, "\n") // systemd has a last word
	if !ended || status != "0" {
		console := strings.Split(m.Console(), "\n")
		t.Fatalf("lab: Debian's script ended with status %q, want 0; the machine has ended: %v "+
			"(limit %v)\n%s--- it printed:\n%s\n--- last lines of the console:\n%s",
			status, ended, limit, m.qemuSays(), out,
			strings.Join(console[max(0, len(console)-30):], "\n"))
	}
	return out
}

// pack writes the tar that the machine sees as a disk.
func (d Debian) pack(name string) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	w := tar.NewWriter(file)
	run := "#!/bin/sh\nexec 2>&1\n" + d.Script
	if err := w.WriteHeader(&tar.Header{Name: "run", Mode: 0o755,
		Size: int64(len(run))}); err != nil {
		return err
	}
	if _, err := io.WriteString(w, run); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(d.Files)) {
		if err := packFile(w, name, d.Files[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return file.Close()
}

func packFile(w *tar.Writer, name, from string) error {
	file, err := os.Open(from)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(w, file)
	return err
}
