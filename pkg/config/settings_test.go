package config

import (
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSettings_Documented compares what docs/settings.md says of a new start
// with the table.
func TestSettings_Documented(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	c := Default()
	for _, s := range c.Settings() {
		if s.Restart {
			keys = append(keys, "`"+s.Key+"`")
		}
	}
	last := len(keys) - 1
	want := "A change of " + strings.Join(keys[:last], ", ") + " or " + keys[last] +
		" needs a new start"
	if have := strings.Join(strings.Fields(string(text)), " "); !strings.Contains(have, want) {
		t.Errorf("docs/settings.md does not say: %s", want)
	}
}

// TestSettings_NoSecrets holds that no setting's value is a secret: what sounds
// like one is the name of a file.
func TestSettings_NoSecrets(t *testing.T) {
	t.Parallel()
	secret := func(s Setting) bool {
		p, isPath := s.Value.(*path)
		isFile := isPath && p.kind == "file"
		return !isFile &&
			regexp.MustCompile(
				`(^|[.-])(keys?|pass\w*|secrets?|tokens?|credentials?|pin)($|[.-])`).MatchString(
				s.Key)
	}
	c := Default()
	for _, s := range c.Settings() {
		if secret(s) {
			t.Errorf("%s takes a secret as its value: let it name a file", s.Key)
		}
	}
	for key, want := range map[string]bool{"ldap.password": true, "ldap.bind-password": true,
		"api.token": true, "keyboard": false} {
		if secret(Setting{Key: key, Value: &text{}}) != want {
			t.Errorf("%s: a secret is %v", key, !want)
		}
	}
	if secret(Setting{Key: "ldap.password-file", Value: &path{kind: "file"}}) {
		t.Error("a file is taken for a secret")
	}
}

// TestNeedRestart changes each setting by itself.
func TestNeedRestart(t *testing.T) {
	t.Parallel()
	started := Default()
	other := map[string]string{"on|off": "on", "text|json": "json", "auto|on|off": "on",
		"number": "4711", "duration": "7s",
		"addr": ":99", "url": "http://192.0.2.1", "network": "192.0.2.0/24", "ip": "192.0.2.1",
		"dir": "/x", "file": "/x", "name": ".x"}
	for i, s := range started.Settings() {
		c := Default()
		now := c.Settings()[i]
		value := other[now.Value.Type()]
		if value == now.Value.String() {
			value = "off"
		}
		if err := now.Value.Set(value); err != nil {
			t.Fatalf("%s: %v", s.Key, err)
		}
		var want []string
		if s.Restart {
			want = []string{s.Key}
		}
		if got := c.NeedRestart(&started); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", s.Key, got, want)
		}
	}
	// With listen they mean nothing.
	a, b := Default(), Default()
	a.Listen, b.Listen = []string{":1"}, []string{":1"}
	a.Port, a.Address = 1, "127.0.0.1"
	if got := a.NeedRestart(&b); len(got) > 0 {
		t.Errorf("%q", got)
	}
	// In the order of the table, each once.
	a = Default()
	a.Limits.HeaderBytes, a.Port, a.LogFormat = 5000, 1, "json"
	if got := a.NeedRestart(&started); !slices.Equal(got,
		[]string{"port", "log-format", "limits.header-bytes"}) {
		t.Errorf("%q", got)
	}
}

// servers is a value of a made-up setting: a mapping.
type servers map[string][]string

func (v servers) Set(string) error { return fmt.Errorf("write lines") }
func (v servers) String() string   { return fmt.Sprint(map[string][]string(v)) }
func (v servers) Type() string     { return "mapping" }

func (v servers) setKey(name string, texts []string) error {
	if name == "nobody" {
		return fmt.Errorf("%q is no role", name)
	}
	v[name] = texts
	return nil
}

// TestSettings_FileOnly reads a made-up table: a mapping that only the file
// has, and a list whose items have commas.
func TestSettings_FileOnly(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text  string
		roles servers
		dns   []string
		want  string
	}{
		{"auth:\n  roles:\n    admin: CN=boot,OU=x\n    view: [\"CN=a,DC=y\", \"CN=b,DC=y\"]\n   " +
			" none:\n",
			servers{"admin": {"CN=boot,OU=x"}, "view": {"CN=a,DC=y", "CN=b,DC=y"}, "none": nil},
			nil, ""},
		{"auth:\n  base: [\"CN=boot,OU=x,DC=y\", DC=z]\n", servers{},
			[]string{"CN=boot,OU=x,DC=y", "DC=z"}, ""},
		// one text, as a flag has it
		{"auth:\n  base: DC=y, DC=z\n", servers{}, []string{"DC=y", "DC=z"}, ""},
		{"auth:\n  base: []\n", servers{}, nil, ""},
		{"auth:\n  base: [a, [b]]\n", servers{}, []string{"a"},
			"f:2: auth.base takes a plain value"},
		{"auth:\n  roles:\n", servers{}, nil, ""},
		{"auth:\n  roles: admin\n", servers{}, nil,
			`f:2: auth.roles: there must be lines "name: value" here`},
		{"auth:\n  roles:\n    nobody: x\n", servers{}, nil,
			`f:3: auth.roles.nobody: "nobody" is no role`},
		{"auth:\n  roles:\n    a: x\n    a: y\n", servers{"a": {"x"}}, nil,
			"f:4: auth.roles.a was set in line 3 already"},
		{"auth:\n  roles:\n    a: {b: c}\n", servers{"a": nil}, nil,
			"f:3: auth.roles.a takes a plain value"},
	} {
		roles, dns := servers{}, []string(nil)
		table := []Setting{
			{Key: "auth.roles", Value: roles, FileOnly: true},
			{Key: "auth.base", Value: texts(&dns, "dn", nil)},
		}
		got := ""
		if _, err := readYAML("f", []byte(test.text), table); err != nil {
			got = err.Error()
		}
		if got != test.want || !reflect.DeepEqual(dns, test.dns) ||
			!maps.EqualFunc(roles, test.roles, slices.Equal) {
			t.Errorf("%q\n got %v %q %s\nwant %v %q %s", test.text, roles, dns, got, test.roles,
				test.dns, test.want)
		}
		if table[0].Flag() != "" || table[0].Env() != "" {
			t.Error("a setting of the file alone has a flag or a variable")
		}
	}
}

// TestSettings_OldNames reads once.resend-within under the name that it had:
// with a warning, and not beside the new one.
func TestSettings_OldNames(t *testing.T) {
	t.Parallel()
	const refused = "%s is the old name of %s, and both are set: remove the old one"
	for source, read := range map[string]func(c *Config, names ...string) ([]string, error){
		"flag": func(c *Config, keys ...string) ([]string, error) {
			given := map[string][]string{}
			for _, k := range keys {
				given[k] = []string{"3s", "7s"} // the last one counts, as that of every flag
			}
			return c.Flags(given)
		},
		"variable": func(c *Config, keys ...string) ([]string, error) {
			var environ []string
			for _, k := range keys {
				environ = append(environ, envName(k)+"=7s")
			}
			return c.Environ(environ)
		},
		"file": func(c *Config, keys ...string) ([]string, error) {
			text := "once:\n"
			for _, k := range keys {
				text += "  " + strings.TrimPrefix(k, "once.") + ": 7s\n"
			}
			return c.YAML("f", []byte(text))
		},
	} {
		spell := map[string]func(string) string{
			"flag":     func(key string) string { return "--" + flagName(key) },
			"variable": envName,
			"file":     func(key string) string { return key },
		}[source]
		before := map[string]string{"file": "f: "}[source]
		old, now := spell("once.regrant"), spell("once.resend-within")

		c := Default()
		warnings, err := read(&c, "once.resend-within")
		if err != nil || len(warnings) > 0 || c.OnceResendWithin != 7*time.Second {
			t.Errorf("%s, new name: %q, %v, %v", source, warnings, err, c.OnceResendWithin)
		}
		c = Default()
		warnings, err = read(&c, "once.regrant")
		want := []string{before + old + " is called " + now + " now; the old name is still read"}
		if err != nil || !slices.Equal(warnings, want) || c.OnceResendWithin != 7*time.Second {
			t.Errorf("%s, old name: %q, %v, %v", source, warnings, err, c.OnceResendWithin)
		}
		for _, both := range [][]string{{"once.regrant", "once.resend-within"},
			{"once.resend-within", "once.regrant"}} {
			c = Default()
			if _, err = read(&c, both...); err == nil ||
				!strings.HasSuffix(err.Error(), fmt.Sprintf(refused, old, now)) {
				t.Errorf("%s, both names: %v", source, err)
			}
		}
	}
	// Two sources are no doubt: the stronger one counts.
	c := Default()
	if _, err := c.YAML("f", []byte("once: {regrant: 3s}")); err != nil {
		t.Error(err)
	}
	if _, err := c.Environ([]string{"PXESRV_ONCE_RESEND_WITHIN=5s"}); err != nil ||
		c.OnceResendWithin != 5*time.Second {
		t.Errorf("%v, %v", c.OnceResendWithin, err)
	}
}
