//go:build linux

package check_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pxesrv/pkg/check"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
)

// TestImages: every wrong row is named with its line, and so is each host that
// has no image, a list that cannot be read, and a key file that others can
// read.
func TestImages(t *testing.T) {
	const head = "name,mac,address,vlan,server\n"
	const good = "web1,52:54:00:00:00:01,10.0.0.1/24,,http://10.0.0.5\n"
	lkrn, efi := lab.IPXE(t, "ipxe.lkrn"), lab.IPXE(t, "ipxe.efi")
	for name, row := range map[string]struct {
		csv, keys string
		set       func(*config.Config)
		want      []string // a line, a part of what is said
	}{
		"right": {csv: head + good},
		"a row": {csv: head + good + "web2,xx,10.0.0.300/24,,http://10.0.0.5\n",
			want: []string{"3: mac \"xx\"", "3: address \"10.0.0.300/24\""}},
		"list": {csv: "nonsense\n", want: []string{"0: the list of hosts"}},
		"no loader": {csv: head + good, set: func(c *config.Config) {
			c.ISOEFI = "/nowhere/ipxe.efi"
		}, want: []string{"0: no boot by UEFI", "0: the host web1 has no image"}},
		"left out": {csv: head + good, set: func(c *config.Config) {
			c.ISOEFI, c.ISOPartial = "/nowhere/ipxe.efi", true
		}, want: []string{"0: no boot by UEFI"}},
		"key file": {csv: head + good, keys: "nonsense\n", want: []string{"0: the key file"}},
		"no key": {csv: head + good, set: func(c *config.Config) { c.ISOSign = "on" },
			want: []string{"0: the key file"}},
		"not signing": {csv: head + good, keys: "nonsense\n", set: func(c *config.Config) {
			c.ISOSign = "off"
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root := lab.Files{"root/default": "#!ipxe\nexit 1\n", "hosts.csv": row.csv,
				"state/": ""}.Grow(t, dir) + "/root"
			c := config.Default()
			c.Root, c.State, c.ISOHosts, c.ISOLKRN, c.ISOEFI = root, filepath.Join(dir, "state"),
				filepath.Join(dir, "hosts.csv"), lkrn, efi
			if row.keys != "" {
				if err := os.WriteFile(c.KeyFile(), []byte(row.keys), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if row.set != nil {
				row.set(&c)
			}
			all, err := check.Tree(context.Background(), c, check.Options{Loaders: []string{}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range all {
				if f.Code == check.Hosts {
					got = append(got,
						strings.Join([]string{string(rune('0' + f.Line)), f.What}, ": "))
				}
			}
			if len(got) != len(row.want) {
				t.Fatalf("%q, want %q", got, row.want)
			}
			for i, w := range row.want {
				found := false
				for _, g := range got {
					found = found || strings.HasPrefix(g, w)
				}
				if !found {
					t.Errorf("%q has nothing like %q", got, row.want[i])
				}
			}
		})
	}
}
