//go:build unix

// Package disttest tests what people get of pxesrv beside the program:
// packages, the container, the units of systemd, the tarballs and the
// documentation.
package disttest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/lab"
)

// repository is the root of the source.
const repository = "../../../.."

// patience is for one step on a loaded computer.
const patience = 3 * time.Minute

// buildProgram makes pxesrv as make build does, but for what it says of its
// version.
func buildProgram(t *testing.T, at string) {
	t.Helper()
	lab.Slow(t)
	cmd := exec.Command("go", "build", "-trimpath", "-o", at, "pxesrv/cmd/pxesrv")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	output(t, cmd)
}

// output runs a command, which has to succeed.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
