package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"pxesrv/pkg/config"
)

// TestSettingsTable compares docs/settings.md with the settings of the program,
// row by row.
func TestSettingsTable(t *testing.T) {
	text, err := os.ReadFile("../../docs/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	c := config.Default()
	for _, s := range c.Settings() {
		flag := "`--" + s.Flag() + "`"
		if s.Short != "" {
			flag = "`-" + s.Short + "`, " + flag
		}
		value := s.Value.String()
		if value != "" {
			value = "`" + value + "`"
		}
		want = append(want, fmt.Sprintf("| %s | `%s` | %s | %s |", flag, s.Env(), value, s.Help))
	}
	var have []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "| `") {
			have = append(have, line)
		}
	}
	if strings.Join(have, "\n") != strings.Join(want, "\n") {
		t.Errorf("the table in docs/settings.md is not that of the program; it has to be:\n\n%s",
			strings.Join(want, "\n"))
	}
}
