package ipxe

import (
	"net/url"
	"slices"
	"strings"
)

// Missing returns the files without which a script boots nothing, and which the
// server has not: kernels, initrds and other images, whatever the script says
// to their absence, and all that it cannot go on without. exists is that of
// Check.
func Missing(script []byte, exists func(path string) bool) (files []string) {
	absent := map[string]bool{}
	for _, p := range Check(script, exists) {
		if p.Code != NoFile {
			continue
		}
		absent[p.File] = true
		if p.Level == Error {
			files = append(files, p.File)
		}
	}
	if len(absent) == 0 {
		return nil
	}
	lines, _ := splitLines(script)
	for _, l := range lines {
		for _, cmd := range l.commands {
			if len(cmd.words) == 0 || !slices.Contains(images, cmd.words[0]) {
				continue
			}
			args, _ := fetchers[cmd.words[0]].parse(cmd.words[1:])
			if len(args) == 0 {
				continue
			}
			name, _, _ := strings.Cut(args[0], "#")
			name, _, _ = strings.Cut(name, "?")
			if decoded, err := url.PathUnescape(name); err == nil {
				name = decoded
			}
			if absent[name] && !slices.Contains(files, name) {
				files = append(files, name)
			}
		}
	}
	return files
}

// images are the commands that fetch what is booted in the end.
var images = []string{"kernel", "initrd", "module", "imgfetch", "imgload", "imgselect"}
