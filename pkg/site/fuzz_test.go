//go:build linux

package site_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/lab"
)

const canary = "CANARY"

// FuzzResolve makes entries out of bytes: static/, once/ and what they lead to.
// Whatever the tree is like, no answer has a byte from outside the root, and
// each is a script.
func FuzzResolve(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, "nowhere")
	f.Add([]byte{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}, "../../outside")
	f.Add([]byte{4, 4, 4, 4}, "../d/../../outside")
	f.Add([]byte{4, 20, 9, 25}, "/proc/self/cwd/../outside")
	f.Add([]byte{5, 21, 10}, "#!ipxe\n")
	f.Add([]byte{5, 21}, "#!ipxe")
	f.Add([]byte{5, 5, 7, 7, 28}, "\x1f\x8b\x08")

	// All but the folders of the entries is made once, and soon at rest: there
	// nothing waits for a half-written edit.
	dir, err := filepath.EvalSymlinks(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	root := filepath.Join(dir, "root")
	lab.Files{
		"root/f": script("inside"), "root/d/f": script("inside"), "root/html": "<html>\n",
		"root/.git/f": script(canary), "root/private/f": script(canary),
		"root/default": script("default"), "root/out": "-> ../outside", "root/outdir": "-> ..",
		"guards/": "", "root/protect": "-> ../guards",
		"outside": script(canary), "root-evil/f": script(canary), "fifo": "|",
	}.Grow(f, dir)
	time.Sleep(100 * time.Millisecond)
	s := newSite(f, root)

	f.Fuzz(func(t *testing.T, entries []byte, text string) {
		entries, text = entries[:min(len(entries), 8)], text[:min(len(text), 300)]
		for _, sub := range []string{"static", "once"} {
			if err := os.RemoveAll(filepath.Join(root, sub)); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(root, sub), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		var group sync.WaitGroup
		for i, b := range entries {
			addr := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
			for _, made := range []struct {
				sub  string
				what byte
			}{{"static", b & 15}, {"once", b >> 4}} {
				at := filepath.Join(root, made.sub, addr.String())
				link := ""
				var err error
				switch made.what {
				case 0: // nothing
				case 1:
					link = "../f"
				case 2:
					link = root + "/d/f"
				case 3:
					link = "../../outside"
				case 4:
					link = text
				case 5:
					err = os.WriteFile(at, []byte(text), 0o644)
				case 6:
					err = os.Mkdir(at, 0o755)
				case 7:
					err = os.WriteFile(at, []byte("#!ipxe\n"+text), 0o644)
				case 8:
					link = dir + "/root-evil/f"
				case 9:
					link = "../out"
				case 10:
					link = "../html"
				case 11:
					link = "../.git/f"
				case 12:
					link = "../private/f"
				case 13:
					link = "../outdir/outside"
				case 14:
					link = "../../fifo"
				case 15:
					// another's, which may lead back
					link = fmt.Sprintf("../static/10.0.0.%d", (i+1)%len(entries))
				}
				if link != "" {
					err = os.Symlink(link, at)
				}
				if err != nil && made.what != 4 { // not every text is one that a link can have
					t.Fatal(err)
				}
			}
			group.Go(func() {
				for _, take := range []bool{false, true} {
					a, err := resolve(t, s, "", addr, take)
					if err != nil {
						continue // a text may well be a path that nobody can look at
					}
					if err := boot.CheckScript(a.Script.Body); err != nil {
						t.Errorf("entry %d by %s: %v", b, a.Entry.Path, err)
					}
					if bytes.Contains(a.Script.Body, []byte(canary)) &&
						!bytes.Contains([]byte(text), []byte(canary)) {
						t.Errorf("entry %d by %s -> %s: from outside the root", b, a.Entry.Path,
							a.Entry.Target)
					}
				}
			})
		}
		group.Wait()
	})
}
