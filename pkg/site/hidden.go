package site

import (
	"strings"

	"pxesrv/pkg/tree"
)

// ofMachines are the directories of the root whose entries say what machines
// boot, with a name that is kept for more of them. Nobody reads there as in a
// directory of files, or learns which machines there are.
var ofMachines = map[string]bool{"once": true, "static": true, "protect": true, "until-done": true}

// hidden is what the tree of a site does not give out: what is of machines,
// what is in private/, and sources that people write for the program, not for
// machines: *.tmpl, and lists in hosts/ and groups/. Some of these names are
// not used yet, and hidden so that no file comes out on the day that they are.
// Names are compared without case, since some file systems do so, too.
func hidden(publicStatic bool) func(parts []string, use tree.Use) string {
	return func(parts []string, use tree.Use) string {
		top := strings.ToLower(parts[0])
		switch {
		case top == "private":
			return "lies in private/, of which nothing is given out"
		case use == tree.Delete && ofMachines[top]:
			return "belongs to machines"
		case use == tree.Request && ofMachines[top] && !(publicStatic && parts[0] == "static"):
			return "is in a directory that is never served as files"
		case isList(top, parts):
			return "is a list of machines"
		case use != tree.Answer && strings.HasSuffix(last(parts), ".tmpl"):
			return "is a template's source"
		}
		return ""
	}
}

// isList reports whether a path is one of the lists in hosts/ and groups/.
func isList(top string, parts []string) bool {
	name := last(parts)
	yaml := strings.HasSuffix(name, ".yaml") || strings.HasSuffix(name, ".yml")
	switch top {
	case "hosts":
		return yaml || strings.HasSuffix(name, ".csv")
	case "groups":
		return yaml
	}
	return false
}

func last(parts []string) string { return strings.ToLower(parts[len(parts)-1]) }
