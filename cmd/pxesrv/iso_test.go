//go:build linux

package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pxesrv/pkg/iso"
	"pxesrv/pkg/lab"
)

// iPXE of today and of version 2, and a shim, for stories.
func init() {
	for variable, name := range map[string]string{"LKRN2": "ipxe.lkrn", "EFI2": "ipxe.efi"} {
		scriptVariables[variable] = func(t testing.TB) string { return lab.IPXE2(t, name) }
	}
	scriptVariables["SHIM"] = func(testing.TB) string { return "/usr/lib/shim/shimx64.efi" }
	for variable, name := range map[string]string{"LKRN": "ipxe.lkrn", "EFI": "ipxe.efi",
		"EFIARM64": "ipxe-arm64.efi"} {
		scriptVariables[variable] = func(t testing.TB) string { return lab.IPXE(t, name) }
	}
}

// isoArgs are the arguments for the ISOs of a list.
func isoArgs(t testing.TB, list, dir string, more ...string) []string {
	return append([]string{"iso", "--csv", list, "--out", dir, "--lkrn", lab.IPXE(t, "ipxe.lkrn"),
		"--efi", lab.IPXE(t, "ipxe.efi")}, more...)
}

// badRows are rows that are wrong, each in its way, and what is said of them.
// The last three take what another row has, so that this one is wrong as well:
// 17 rows make 20 wrong ones.
var badRows = []struct{ row, want string }{
	{`,,10.0.2.1/16,10.0.0.1,,`, `name is missing`},
	{`web 1,,10.0.2.3/16,10.0.0.1,,`, `name "web 1" is no name`},
	{`m1,52:54:00:12:34,10.0.2.4/16,10.0.0.1,,`, `mac "52:54:00:12:34" is no MAC address`},
	{`a1,,,10.0.0.1,,`, `address is missing`},
	{`a2,,10.0.2.6,10.0.0.1,,`, `address "10.0.2.6" has no length of its prefix`},
	{`a3,,10.0.2.300/16,10.0.0.1,,`, `address "10.0.2.300/16" is no address`},
	{`a4,,10.0.0.0/16,10.0.0.1,,`, `address "10.0.0.0/16" is the address of the network itself`},
	{`g2,,10.0.2.8/16,router,,`, `gateway "router" is no address`},
	{`v1,,10.0.2.9/16,10.0.0.1,4095,`, `vlan "4095" is no VLAN`},
	{`v2,,10.0.2.10/16,10.0.0.1,server room,`, `vlan "server room" is no VLAN`},
	{`s1,,10.0.2.11/16,10.0.0.1,,tftp://10.0.0.5`,
		`server "tftp://10.0.0.5" is no address of a boot server`},
	{`s2,,10.0.2.12/16,10.0.0.1,,http://boot.example`,
		`server "http://boot.example" is given by name, and there is no DNS server`},
	{`c1,,10.0.2.13/16,10.0.0.1`, `has 4 cells, and the first line names 6 columns`},
	{`"q1,,10.0.2.14/16,10.0.0.1,,`, `has a quote that is not closed`},
	// Two hosts with one name, a MAC or an address are both wrong.
	{`host0,,10.0.2.15/16,10.0.0.1,,`, `name "host0" is in line `},
	{`d1,52:54:00:00:00:01,10.0.2.16/16,10.0.0.1,,`, `mac "52:54:00:00:00:01" is in line `},
	{`d2,,10.0.1.2/16,10.0.0.1,,`, `address "10.0.1.2" is in line `},
}

// manyHosts writes a list of 1000 rows with the badRows among them, and returns
// what is wrong with it, by line.
func manyHosts(t testing.TB) (path string, bad map[int]string) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("\xef\xbb\xbfname,mac,address,gateway,vlan,server\r\n")
	bad = map[int]string{}
	line := 1
	add := func(row, want string) {
		line++
		b.WriteString(row + "\r\n")
		if want != "" {
			bad[line] = want
		}
	}
	wrong := badRows
	for n := range 1000 - len(badRows) {
		address, want := fmt.Sprintf("10.0.%d.%d", 4+n/200, n%200+1), ""
		switch n {
		case 0:
			want = `name "host0" is in line `
		case 1:
			want = `mac "52:54:00:00:00:01" is in line `
		case 2:
			address, want = "10.0.1.2", `address "10.0.1.2" is in line `
		}
		add(fmt.Sprintf("host%d,52:54:00:00:%02x:%02x,%s/16,10.0.0.1,,", n, n>>8, n&255, address),
			want)
		if n%50 == 30 && len(wrong) > 0 {
			add(wrong[0].row, wrong[0].want)
			wrong = wrong[1:]
		}
	}
	if len(wrong) > 0 || len(bad) != 20 || line != 1001 {
		t.Fatalf("the test's list has %d rows, %d bad", line-1, len(bad))
	}
	path = filepath.Join(t.TempDir(), "hosts.csv")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, bad
}

// TestISOThousand: of 1000 rows 20 are wrong. 980 ISOs are written, 20 rows are
// named with what is wrong, and the status is 1.
func TestISOThousand(t *testing.T) {
	lab.Slow(t)
	list, bad := manyHosts(t)
	dir := filepath.Join(t.TempDir(), "isos")
	for round, want := range []string{"980 ISOs, 980 new, 0 changed, 0 unchanged",
		"980 ISOs, 0 new, 0 changed, 980 unchanged"} {
		var out, said bytes.Buffer
		if status := run(isoArgs(t, list, dir, "--server", "http://10.0.0.5:4567"), &out,
			&said); status != 1 || out.Len() > 0 {
			t.Errorf("status %d, standard output %q", status, &out)
		}
		named := map[int]bool{}
		for line := range strings.Lines(said.String()) {
			m := regexp.MustCompile(`^` + regexp.QuoteMeta(list) +
				`:(\d+): (.*)\n$`).FindStringSubmatch(line)
			if m == nil {
				if line != fmt.Sprintf("pxesrv: %s: %s; 20 of 1000 rows refused\n", dir, want) {
					t.Errorf("said %q", line)
				}
				continue
			}
			n, _ := strconv.Atoi(m[1])
			if want := bad[n]; want == "" || !strings.HasPrefix(m[2], want) || named[n] {
				t.Errorf("line %d: %q, want %q", n, m[2], cmp.Or(want, "nothing"))
			}
			named[n] = true
		}
		if len(named) != 20 {
			t.Errorf("%d rows are named: %v", len(named), named)
		}
		isos, _ := filepath.Glob(filepath.Join(dir, "*"))
		if len(isos) != 981 {
			t.Fatalf("round %d: %d files", round, len(isos))
		}
	}
	check := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	for _, name := range []string{"host3", "host500", "host982"} {
		info := inspectISO(t, filepath.Join(dir, name+".iso"))
		if text, _ := info.Script(); !bytes.Contains(text, []byte("&host="+name+"\n")) ||
			!info.BIOS || !info.UEFI {
			t.Errorf("%s.iso is for another host: %s", name, text)
		}
	}
}

func inspectISO(t testing.TB, path string) *iso.Info {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := iso.Inspect(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return info
}

// TestISOKilled kills the program at many moments of its work. Each time every
// ISO of the folder is whole, and the list of checksums is right; the next run
// makes it whole and leaves nothing else.
func TestISOKilled(t *testing.T) {
	lab.Slow(t)
	list := filepath.Join(t.TempDir(), "hosts.csv")
	const hosts = 60
	write := func(gateway int) {
		var b strings.Builder
		b.WriteString("name,address,gateway,server\n")
		for n := range hosts {
			fmt.Fprintf(&b, "host%d,10.0.1.%d/16,10.0.0.%d,http://10.0.0.5:4567\n", n, n+1, gateway)
		}
		if err := os.WriteFile(list, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "isos")
	sums := func(gateway int) (all map[string][sha256.Size]byte) {
		write(gateway)
		var said bytes.Buffer
		if status := run(isoArgs(t, list, dir), &said, &said); status != 0 {
			t.Fatalf("status %d: %s", status, &said)
		}
		all = map[string][sha256.Size]byte{}
		for _, e := range folder(t, dir) {
			all[e] = fileSum(t, filepath.Join(dir, e))
		}
		if len(all) != hosts+1 {
			t.Fatalf("%d files", len(all))
		}
		return all
	}
	states := []map[string][sha256.Size]byte{sums(1), sums(2)}
	killed := 0
	for n, after := 0, 4*time.Millisecond; n < 12; n, after = n+1, after*8/5 {
		write(1 + n%2) // what is there is, or may be, the other
		c := exec.Command("pxesrv", isoArgs(t, list, dir)...)
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(after) // any moment is a good one
		c.Process.Kill()
		c.Wait()
		if s, ok := c.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			killed++
		}
		for _, e := range folder(t, dir) {
			if !strings.HasSuffix(e, ".iso") || strings.HasPrefix(e, ".") {
				continue
			}
			sum := fileSum(t, filepath.Join(dir, e))
			if sum != states[0][e] && sum != states[1][e] {
				t.Errorf("killed after %v: %s is neither the old nor the new one", after, e)
			}
		}
		check := exec.Command("sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
		check.Dir = dir
		if out, err := check.CombinedOutput(); err != nil &&
			!strings.Contains(string(out), "no properly formatted") {
			t.Errorf("killed after %v: sha256sum: %v\n%s", after, err, out)
		}
	}
	if killed == 0 {
		t.Error("no run was killed: each was done before")
	}
	t.Logf("%d of 12 runs were killed", killed)
	for e, sum := range sums(1) {
		if sum != states[0][e] {
			t.Errorf("afterwards %s is another", e)
		}
	}
}

func folder(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func fileSum(t testing.TB, path string) [sha256.Size]byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(b)
}
