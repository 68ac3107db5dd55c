package site

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
)

// twelveNames is the query of a machine that the tree knows by its address
// alone, the weakest of its names.
const twelveNames = "uuid=4c4c4544-0042-3510-8054-b4c04f564433&manufacturer=Dell%20Inc.&serial=B5TVD3&asset=RZ1-0042&host=node42" +
	"&mac=52:54:00:12:34:56&macs=52:54:00:12:34:57,52:54:00:12:34:58,52:54:00:12:34:59,52:54:00:12:34:5a"

func BenchmarkResolve_OneName(b *testing.B)     { benchmarkResolve(b, "", 1) }
func BenchmarkResolve_TwelveNames(b *testing.B) { benchmarkResolve(b, twelveNames, 12) }

// benchmarkResolve measures the whole decision: from the query to the text of
// the script, read from the disk.
func benchmarkResolve(b *testing.B, query string, names int) {
	for _, entries := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			c := config.Default()
			c.Root = benchTree(b, entries)
			s, err := New(c)
			if err != nil {
				b.Fatal(err)
			}
			addr := netip.MustParseAddr("10.0.0.7")
			b.ReportAllocs()
			for b.Loop() {
				client := s.Identify(boot.ParseQuery(query), addr)
				a, err := s.Resolve(context.Background(), &client, true)
				if err != nil || a.Entry.Path != "static/10.0.0.7" || len(client.Names) != names {
					b.Fatalf("%v by the names %v, error %v", a.Entry, client.Names, err)
				}
			}
		})
	}
}

// benchTree makes a root in which 10.0.0.7 has a script, beside so many other
// machines. It is at rest, as trees mostly are.
func benchTree(b *testing.B, entries int) string {
	root := b.TempDir()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	script := filepath.Join(root, "install.ipxe")
	must(os.WriteFile(script, []byte("#!ipxe\necho install\nboot\n"), 0o644))
	must(os.WriteFile(filepath.Join(root, "default"), []byte("#!ipxe\nexit 1\n"), 0o644))
	for _, dir := range []string{"static", "once", "protect"} {
		must(os.Mkdir(filepath.Join(root, dir), 0o755))
	}
	must(os.Symlink("../install.ipxe", filepath.Join(root, "static", "10.0.0.7")))
	for i := range entries {
		// Links to one file: a directory of many files would measure the file
		// system's inodes.
		must(os.Symlink("../install.ipxe", filepath.Join(root, "static",
			fmt.Sprintf("52-54-01-%02x-%02x-%02x", i>>16, i>>8&255, i&255))))
	}
	time.Sleep(2100 * time.Millisecond) // what changed less than 2 s ago may be half-written
	return root
}
