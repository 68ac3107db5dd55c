//go:build linux

package qemu_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/qemu"
)

// TestDebian boots a whole Debian: systemd is up, the kernel's NFS server
// shares a folder, and a mount of it shows a file that the test brought, by
// both versions. In make test TestNFSOrders of cmd/pxesrv boots the same, for
// what it is there for.
func TestDebian(t *testing.T) {
	lab.OnlyReal(t)
	t.Parallel()
	brought := filepath.Join(t.TempDir(), "any name")
	if err := os.WriteFile(brought, []byte("#!/bin/sh\necho this is $(cat /proc/1/comm)\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	out := qemu.Debian{Files: map[string]string{"hello": brought}, Script: `set -e
./hello
systemctl start nfs-server
mkdir /srv/shared /mnt/3 /mnt/4
echo text >/srv/shared/file
exportfs -o rw,sync,no_root_squash,no_subtree_check 127.0.0.1:/srv/shared
mount -t nfs -o vers=3,nosharecache 127.0.0.1:/srv/shared /mnt/3
mount -t nfs -o vers=4.2,nosharecache 127.0.0.1:/srv/shared /mnt/4
cat /mnt/3/file /mnt/4/file
systemctl is-active nfs-server dbus
echo said >&2
`}.Run(t)
	if want := "this is systemd\ntext\ntext\nactive\nactive\nsaid\n"; !strings.HasSuffix(out,
		want) {
		t.Errorf("Debian's script printed %q, want %q", out, want)
	}
}
