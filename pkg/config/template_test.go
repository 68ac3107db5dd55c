package config

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// TestTemplate: the file with every setting sets nothing as it is, and the
// defaults when every line is taken out of its comment.
func TestTemplate(t *testing.T) {
	file := Template()
	whole := regexp.MustCompile(`(?m)^( *)#(\S)`).ReplaceAll(file, []byte("$1$2"))
	for what, text := range map[string][]byte{"as it is": file, "all lines": whole} {
		c, want := Config{}, Default()
		if what == "as it is" {
			c = Default()
		}
		warnings, err := c.YAML("pxesrv.yaml", text)
		if err != nil || len(warnings) > 0 {
			t.Fatalf("%s: %v %v\n%s", what, warnings, err, text)
		}
		settings := c.Settings()
		for i, s := range want.Settings() {
			if got := settings[i].Value.String(); got != s.Value.String() {
				t.Errorf("%s: %s is %q, its default %q", what, s.Key, got, s.Value)
			}
		}
		// A list of three values reads as one value with commas, in texts.
		if got := fmt.Sprintf("%+v", c); got != fmt.Sprintf("%+v", want) {
			t.Errorf("%s: %s, the default is %+v", what, got, want)
		}
	}
	c := Default()
	for _, s := range c.Settings() {
		name := s.Key[strings.LastIndex(s.Key, ".")+1:]
		if !regexp.MustCompile(`(?m)^ *#` + name + `: \S`).Match(file) {
			t.Errorf("%s is not in the file", s.Key)
		}
	}
	for line := range bytes.Lines(file) {
		if len(line) > 81 {
			t.Errorf("longer than 80 columns: %s", line)
		}
	}
}
