package httpd

import (
	"net/url"
	"path"
	"strings"
)

// decodedPath returns the path of a request with "." and ".." and doubled
// slashes resolved. It is false for a path that leaves the root, and for one
// that hides dots or slashes behind escapes.
func decodedPath(u *url.URL) (string, bool) {
	raw := u.EscapedPath()
	if !strings.HasPrefix(raw, "/") {
		return "", false
	}
	depth := 0
	for part := range strings.SplitSeq(raw, "/") {
		decoded, err := url.PathUnescape(part)
		if err != nil || strings.ContainsAny(decoded, "/\\\x00") ||
			decoded != part && (decoded == "." || decoded == "..") {
			return "", false
		}
		switch decoded {
		case "", ".":
		case "..":
			if depth--; depth < 0 {
				return "", false
			}
		default:
			depth++
		}
	}
	name := path.Clean(u.Path)
	if strings.HasSuffix(u.Path, "/") && name != "/" {
		name += "/" // a directory, which is never a file
	}
	return name, true
}
