package lab

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Build builds a command for a test, as make build does but for what it says of
// its version.
func Build(t testing.TB, path, at string) {
	t.Helper()
	Slow(t)
	cmd := exec.Command("go", "build", "-trimpath", "-o", at, path)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	Output(t, cmd)
}

// Output runs a command, which has to succeed, and returns what it printed.
func Output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// ReadFile returns the text of a file, which has to be there.
func ReadFile(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
