package ipxe_test

import (
	"slices"
	"testing"

	"pxesrv/pkg/ipxe"
)

// TestMissing: the server has what begins with "have".
func TestMissing(t *testing.T) {
	for _, c := range []struct {
		script string
		want   []string
	}{
		{"kernel have/linux\ninitrd have/initrd\nboot\n", nil},
		{"kernel images/linux initrd=initrd.gz --- && initrd images/initrd.gz && boot " +
			"||\necho no\n", []string{"images/linux", "images/initrd.gz"}},
		{"kernel images/linux\ninitrd have/initrd\nboot\n", []string{"images/linux"}},
		{"kernel --name k images/linux?x=1 quiet || goto no\ninitrd /images/in%20it || goto " +
			"no\nboot\n:no\nexit 1\n", []string{"images/linux", "/images/in it"}},
		{"imgfetch --name k images/linux || goto no\nkernel k\nboot\n:no\nexit 1\n",
			[]string{"images/linux"}},
		{"module images/x || exit 1\nkernel have/x && \\\n  initrd images/y || exit 1\n",
			[]string{"images/x", "images/y"}},
		{"chain images/own.ipxe\n", []string{"images/own.ipxe"}},
		// What the script can do without, what only the machine knows, and
		// other servers.
		{"chain images/own.ipxe || goto all\n:all\nkernel have/linux\nboot\n", nil},
		{"kernel ${base}/linux\nboot\n", nil},
		{"kernel http://10.0.0.5/linux\nboot\n", nil},
		{"# kernel images/linux\nexit 1\n", nil},
		{"", nil},
	} {
		got := ipxe.Missing([]byte("#!ipxe\n"+c.script), func(name string) bool {
			return name[:min(4, len(name))] == "have"
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s\n%q, want %q", c.script, got, c.want)
		}
	}
}
