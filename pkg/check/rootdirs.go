package check

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// lookalikes finds directories of the root that somebody made for names of
// machines, or for what is private, under a name that is not looked into.
func (l *lint) lookalikes() error {
	entries, err := os.ReadDir(l.root)
	if err != nil {
		return nil // is said by another step
	}
	first := map[string]string{} // which look-alike is to be renamed so
	for _, e := range entries {
		name := e.Name()
		right := resembles(name)
		if right == "" {
			continue
		}
		info, err := os.Stat(filepath.Join(l.root, name))
		if err != nil || !info.IsDir() {
			continue
		}
		do := fmt.Sprintf("mv %s %s", quote(name), right)
		if there, err := os.Stat(filepath.Join(l.root, right)); err == nil {
			if os.SameFile(info, there) {
				continue // a file system that knows no capitals, or a link
			}
			do = fmt.Sprintf(
				"%s/ is there as well: compare the two, and put into it what is missing there",
				right)
		} else if _, err := os.Lstat(filepath.Join(l.root, right)); err == nil {
			do = fmt.Sprintf(
				"%s is there as well, and no directory: look which of the two it is to be", right)
		} else if other := first[right]; other != "" { // a second mv would put it into the first
			do = fmt.Sprintf("%s/ is meant for %s/ as well: put into it what is missing there",
				other, right)
		} else {
			first[right] = name
		}
		what := fmt.Sprintf("does nothing: the names of machines are looked for in %s/ only", right)
		if right == "private" {
			what = "is not private: only private/ is, so everybody can fetch what is in it"
		}
		l.add(name, 0, Warning, Misspelt, what, do)
	}
	return nil
}

// resembles returns the directory that one of another name was meant for, or
// "".
func resembles(name string) string {
	letters := strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, name)
	for _, right := range []string{"static", "once", "protect", "private"} {
		if name == right || name[0] == '.' {
			return ""
		}
		for _, end := range []string{"", "s", "d", "ed", "ion"} {
			if letters == right+end {
				return right
			}
		}
		if len(right) > 5 && !strings.ContainsAny(letters, "0123456789") &&
			(missesOne(right, letters) || missesOne(letters, right) || swapped(right, letters)) {
			return right
		}
	}
	return ""
}

// missesOne reports whether short is long without one of its letters.
func missesOne(long, short string) bool {
	if len(long) != len(short)+1 {
		return false
	}
	for i := range long {
		if long[:i]+long[i+1:] == short {
			return true
		}
	}
	return false
}

// swapped reports whether a and b differ in two neighbours that changed places.
func swapped(a, b string) bool {
	if len(a) != len(b) || a == b {
		return false
	}
	for i := range len(a) - 1 {
		if a[:i]+a[i+1:i+2]+a[i:i+1]+a[i+2:] == b {
			return true
		}
	}
	return false
}
