package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// FileEnv is the variable that names the configuration file, as the flag
// --config does.
const FileEnv = "PXESRV_CONFIG"

// SystemFile is the configuration file of an installed daemon. A command that
// is told no file reads it where it is there, unless it is told another
// document root than the one there: so an administrator's commands mean what
// the daemon serves, and with its settings.
const SystemFile = "/etc/pxesrv/pxesrv.yaml"

// serviceLink is what Kubernetes writes of a service beside a pod.
var serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// source is one place that settings come from, while it is read.
type source struct {
	settings []Setting
	spell    func(key string) string // how a key is written there
	found    map[string]string       // by key: the name that it was found under
	warnings []string
}

func newSource(settings []Setting, spell func(key string) string) *source {
	return &source{settings: settings, spell: spell, found: map[string]string{}}
}

// find returns the setting of a name, or nil. An old name gets a warning, and
// an error when the new one is there, too: nobody can know which is meant.
func (r *source) find(name string) (*Setting, error) {
	for i := range r.settings {
		s := &r.settings[i]
		now := r.spell(s.Key)
		old := s.Was != "" && name == r.spell(s.Was)
		if name != now && !old {
			continue
		}
		if other, twice := r.found[s.Key]; twice && other != name {
			return nil, fmt.Errorf("%s is the old name of %s, and both are set: remove the old one",
				r.spell(s.Was), now)
		}
		if _, again := r.found[s.Key]; old && !again {
			r.warnings = append(r.warnings,
				fmt.Sprintf("%s is called %s now; the old name is still read", name, now))
		}
		r.found[s.Key] = name
		return s, nil
	}
	return nil, nil
}

// Environ reads the variables PXESRV_* of an environment into c. It returns
// warnings about variables that set nothing here, and about old names.
func (c *Config) Environ(environ []string) (warnings []string, err error) {
	settings := slices.DeleteFunc(c.Settings(), func(s Setting) bool { return s.FileOnly })
	r := newSource(settings, envName)
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "PXESRV_") || strings.HasPrefix(name, "PXESRV_TEST_") ||
			name == "PXESRV_CACHE" || name == FileEnv {
			continue
		}
		s, err := r.find(name)
		switch {
		case err != nil:
			return r.warnings, err
		case s == nil:
			r.warnings = append(r.warnings, fmt.Sprintf("%s sets nothing and is ignored;"+
				" pxesrv help settings lists what can be set", name))
		case serviceLink.MatchString(value):
			// Kubernetes sets PXESRV_PORT=tcp://10.0.0.1:4567 in every pod
			// beside a service called pxesrv.
			r.warnings = append(r.warnings, fmt.Sprintf("%s=%s looks like a service link of "+
				"Kubernetes and is ignored (enableServiceLinks: false stops it)", name, value))
		default:
			if err := s.Value.Set(value); err != nil {
				return r.warnings, fmt.Errorf("%s=%s: %w", name, value, err)
			}
		}
	}
	slices.Sort(r.warnings)
	return r.warnings, nil
}

// Flags reads what flags were given into c: by the key of a setting, or by its
// old one, the values of its flag in their order. It returns warnings about old
// names.
func (c *Config) Flags(given map[string][]string) (warnings []string, err error) {
	r := newSource(c.Settings(), func(key string) string { return "--" + flagName(key) })
	for _, s := range r.settings {
		for _, key := range []string{s.Key, s.Was} {
			for _, text := range given[key] {
				if _, err := r.find(r.spell(key)); err != nil {
					return r.warnings, err
				}
				if err := s.Value.Set(text); err != nil {
					return r.warnings, fmt.Errorf("%s: %w", r.spell(key), err)
				}
			}
		}
	}
	return r.warnings, nil
}
