package tree

import "strings"

// hidden is a policy for tests: nothing is asked for in kept/, nothing is given
// out that lies in secret/, and *.src is no file for anybody.
func hidden(parts []string, use Use) string {
	switch last := parts[len(parts)-1]; {
	case strings.EqualFold(parts[0], "secret"),
		use == Request && strings.EqualFold(parts[0], "kept"),
		use != Answer && strings.HasSuffix(last, ".src"):
		return "is hidden in tests"
	}
	return ""
}
