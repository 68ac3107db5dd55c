package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// FileEnv is the variable that names the configuration file, as the flag --config does.
const FileEnv = "PXESRV_CONFIG"

// SystemFile is the configuration file of an installed daemon. A command that is told no file reads it where it is there, unless it is
// told another document root than the one there: so an administrator's commands mean what the daemon serves, and with its settings.
const SystemFile = "/etc/pxesrv/pxesrv.yaml"

// serviceLink is what Kubernetes writes of a service beside a pod.
var serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// Environ reads the variables PXESRV_* of an environment into c. It returns warnings about variables that set nothing here.
func (c *Config) Environ(environ []string) (warnings []string, err error) {
	settings := c.Settings()
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "PXESRV_") || strings.HasPrefix(name, "PXESRV_TEST_") || name == "PXESRV_CACHE" || name == FileEnv {
			continue
		}
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Env() == name })
		switch {
		case i < 0:
			warnings = append(warnings, fmt.Sprintf("%s sets nothing and is ignored; see pxesrv serve --help for what can be set", name))
		case serviceLink.MatchString(value):
			// Kubernetes sets PXESRV_PORT=tcp://10.0.0.1:4567 in every pod beside a service called pxesrv.
			warnings = append(warnings, fmt.Sprintf("%s=%s looks like a service link of Kubernetes and is ignored (enableServiceLinks: false stops it)", name, value))
		default:
			if err := settings[i].Value.Set(value); err != nil {
				return warnings, fmt.Errorf("%s=%s: %w", name, value, err)
			}
		}
	}
	slices.Sort(warnings)
	return warnings, nil
}
