//go:build linux

package check_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/check"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/pki"
)

// TestCertificate: what the daemon would not start with, what clients refuse,
// and what ends soon.
func TestCertificate(t *testing.T) {
	ca := pki.NewCA(t, "site")
	cert, key := ca.Files(pki.Certificate{})
	_, other := ca.Files(pki.Certificate{ECDSA: true})
	day := 24 * time.Hour
	for _, test := range []struct {
		cert, key string
		in        time.Duration // when it is looked at
		want      string        // level and a part of what is said; "": nothing
	}{
		{"", "", 0, ""},
		{cert, key, 0, ""},
		{cert, other, 0, "error the key " + other + " is the wrong one"},
		{cert, "/no/such/key", 0, "error the key /no/such/key: there is no such file"},
		{cert, key, 355 * day, "warning the certificate " + cert + " ends in 9 days"},
		{cert, key, 366 * day, "error the certificate " + cert + " expired on"},
	} {
		c := config.Default()
		c.Root = lab.Files{"root/default": "#!ipxe\nexit 1\n"}.Grow(t, t.TempDir()) + "/root"
		c.TLSCert, c.TLSKey = test.cert, test.key
		all, err := check.Tree(context.Background(), c, check.Options{Loaders: []string{},
			Now: func() time.Time { return time.Now().Add(test.in) }})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range all {
			if f.Code == check.Certificate {
				got = append(got, string(f.Level)+" "+f.What)
			}
		}
		if test.want == "" && len(got) > 0 || test.want != "" &&
			(len(got) != 1 || !strings.HasPrefix(got[0], test.want)) {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
