package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestReference parses the reference file in examples: it names every setting,
// with its default.
func TestReference(t *testing.T) {
	const file = "../../examples/pxesrv.yaml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The settings without a default stand there as comments, with an example:
	// without the # they are read, too.
	whole := ""
	for line := range strings.Lines(string(text)) {
		whole += strings.TrimPrefix(line, "#: ")
	}
	c := Default()
	if _, err := c.YAML(file, text); err != nil {
		t.Error(err)
	}
	if want := Default(); !reflect.DeepEqual(c, want) {
		t.Errorf("the reference file does not set the defaults:\n%+v\nwant\n%+v", c, want)
	}
	full := Default()
	if _, err := full.YAML(file, []byte(whole)); err != nil {
		t.Error(err)
	}
	for _, s := range full.Settings() {
		last := s.Key[strings.LastIndex(s.Key, ".")+1:]
		if !strings.Contains(whole, "\n"+last+":") && !strings.Contains(whole, "\n  "+last+":") {
			t.Errorf("%s is not in the reference file", s.Key)
		}
	}
}

func TestYAML(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"# nothing\n", ""},
		{"once:\n", ""},
		{"port: 80\nonce:\n  resend-within: 5s\n  max-per-day: 0\n", ""},
		{"proxies:\n  trusted: [10.0.0.0/8, 192.0.2.1]\n", ""},
		{"a: &x 80\n", "file:1: a is no setting; pxesrv help settings lists them"},
		{"port: &x 80\nonce: {max-per-day: *x}\n", ""},
		{"prot: 80\n", "file:1: prot is no setting; pxesrv help settings lists them"},
		{"once:\n  max_per_day: 3\n",
			"file:2: once.max_per_day is no setting; did you mean once.max-per-day?"},
		{"resend-within: 3s\n",
			"file:1: resend-within is no setting; did you mean once.resend-within?"},
		{"regrant: 3s\n", "file:1: regrant is no setting; did you mean once.resend-within?"},
		{"port: 80\nport: 81\n", "file:2: port was set in line 1 already"},
		{"port: many\n", `file:1: port: "many" is not a number from 0 to 65535`},
		{"port: [1, 2]\n", "file:1: port takes one value, not a list"},
		{"port:\n  is: 80\n", "file:2: port takes a value, not more keys"},
		{"port:\n", `file:1: port: "" is not a number from 0 to 65535`},
		{"- port\n", `file:1: there must be lines "key: value" here`},
		{"once: yes\n", `file:1: once: there must be lines "key: value" here`},
		{"once:\n  resend-within: soon\nport: x\n", "file:2: once.resend-within: \"soon\" is not " +
			"a duration: write 60s, 5m, 2160h or 0\n" +
			`file:3: port: "x" is not a number from 0 to 65535`},
		{"port: 1\n---\nport: 2\n", "file: there is more than one document; remove the line ---"},
		{"port: 'x\n", "file: line 2: found unexpected end of stream"},
		{"paths:\n  allow: [usr]\n", `file:2: paths.allow: "usr" is not an absolute directory`},
		{"iso:\n  server: http://10.0.0.5/pxe\n", ""},
		{"iso:\n  server: http://10.0.0.5:4567/redirect/?a=b\n",
			`file:2: iso.server: "http://10.0.0.5:4567/redirect/?a=b" ` +
				"ends in /redirect, but a host adds what it asks for: write http://10.0.0.5:4567"},
		{"paths:\n  show: [[a]]\n", "file:2: paths.show takes a plain value"},
	} {
		c := Default()
		got := ""
		if _, err := c.YAML("file", []byte(test.text)); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%q\n got %s\nwant %s", test.text, got, test.want)
		}
	}
}

// TestLayers sets one list in every source: each replaces the weaker one whole,
// and within one source values add up.
func TestLayers(t *testing.T) {
	c := Default()
	show := func() string { return strings.Join(c.Show, " ") }
	if _, err := c.YAML("file",
		[]byte("paths: {show: [.a, .b]}\nonce: {resend-within: 7s}\n")); err != nil ||
		show() != ".a .b" {
		t.Errorf("file: %q, %v", show(), err)
	}
	if _, err := c.Environ([]string{"PXESRV_PATHS_SHOW=.c,.d", "HOME=/"}); err != nil ||
		show() != ".c .d" {
		t.Errorf("environment: %q, %v", show(), err)
	}
	for _, s := range c.Settings() {
		if s.Key == "paths.show" {
			s.Value.Set(".e")
			s.Value.Set(".f")
		}
	}
	if show() != ".e .f" || c.OnceResendWithin != 7*time.Second {
		t.Errorf("flags: %q, %v", show(), c.OnceResendWithin)
	}
	if _, err := c.YAML("file", []byte("paths: {show: []}")); err != nil || len(c.Show) != 0 {
		t.Errorf("an empty list: %q, %v", show(), err)
	}
}

func TestEnviron(t *testing.T) {
	c := Default()
	warnings, err := c.Environ([]string{"PXESRV_PORT=tcp://10.0.0.1:4567", "PXESRV_RUOT=x",
		"PXESRV_TEST_IPXE=/x", "PXESRV_CONFIG=f"})
	if err != nil || len(warnings) != 2 || c.Port != 4567 {
		t.Errorf("%q, %v, port %d", warnings, err, c.Port)
	}
	if _, err := c.Environ([]string{"PXESRV_PORT=http"}); err == nil ||
		err.Error() != `PXESRV_PORT=http: "http" is not a number from 0 to 65535` {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for root, want := range map[string]string{
		dir:  "",
		"":   "no document root",
		file: "the document root " + file + " is not a directory",
	} {
		c := Default()
		c.Root = root
		if err := c.Check(); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: %v", root, err)
		}
	}
}

// TestCheck_Paths: what names a file or a directory is absolute afterwards, so
// that it means the same from everywhere.
func TestCheck_Paths(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("root", 0o755); err != nil {
		t.Fatal(err)
	}
	c := Default()
	for _, s := range c.Settings() {
		if kind := s.Value.Type(); kind == "file" || kind == "dir" && s.Key != "paths.allow" &&
			s.Key != "loaders.dirs" {
			if err := s.Value.Set(s.Key); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.Root, c.AccessLog = "root", ""
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	for _, s := range c.Settings() {
		if _, ok := s.Value.(*path); ok && s.Key != "access-log" {
			if got, want := s.Value.String(), filepath.Join(here, s.Key); got != want {
				t.Errorf("%s is %q, want %q", s.Key, got, want)
			}
		}
	}
	if c.AccessLog != "" {
		t.Error("what is not set has become a path")
	}
}

// FuzzYAML holds that no file makes the reader panic, and that what it accepts
// it accepts again, with the same result.
func FuzzYAML(f *testing.F) {
	f.Add("port: 80\nonce: {resend-within: 5s}\n")
	f.Add("paths:\n  show: [.a, .b]\n")
	f.Add("a: &x [*x]\n")
	f.Add("? [a]\n: b\n")
	f.Add("!!binary x: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		a, b := Default(), Default()
		if _, err := a.YAML("f", []byte(text)); err == nil {
			if _, err := b.YAML("f", []byte(text)); err != nil || !reflect.DeepEqual(a, b) {
				t.Errorf("read twice, different: %v", err)
			}
		}
	})
}

// TestCheck_TLS: what is missing beside what is set, and addresses that cannot
// be.
func TestCheck_TLS(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.2/32")}
	for want, set := range map[string]func(*Config){
		"": func(c *Config) {
			c.TLSListen, c.TLSCert, c.TLSKey = []string{":4568"}, "/c", "/k"
			c.TLSClientListen, c.TLSClientCA = []string{":4569"}, "/ca"
			c.Protocol, c.Trusted = []string{":4567", ":4568"}, trusted
		},
		"no key":                    func(c *Config) { c.TLSCert = "/c" },
		"no certificate":            func(c *Config) { c.TLSKey = "/k" },
		"HTTPS needs a certificate": func(c *Config) { c.TLSListen = []string{":4568"} },
		"tls.client-listen needs the CA": func(c *Config) {
			c.TLSCert, c.TLSKey, c.TLSClientListen = "/c", "/k", []string{":4568"}
		},
		":4567 is to be listened on twice": func(c *Config) {
			c.TLSCert, c.TLSKey, c.TLSListen = "/c", "/k", []string{":4567"}
		},
		"names :80, which is not listened on; it has to be one of :4567": func(c *Config) {
			c.Protocol, c.Trusted = []string{":80"}, trusted
		},
		"name them with --proxies-trusted": func(c *Config) {
			c.Protocol = []string{":4567"}
		},
		"lies in the document root": func(c *Config) {
			c.TLSCert, c.TLSKey = "/c", filepath.Join(c.Root, "key")
		},
	} {
		c := Default()
		c.Root = t.TempDir()
		set(&c)
		if err := c.Check(); (err == nil) != (want == "") ||
			err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, key := range []string{"tls.listen", "tls.client-listen", "proxies.protocol"} {
		c := Default()
		for _, s := range c.Settings() {
			if s.Key == key && s.Value.Set("unix:/run/x") == nil {
				t.Errorf("%s takes a Unix socket", key)
			}
		}
	}
}
