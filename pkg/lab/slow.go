package lab

import (
	"os"
	"os/exec"
	"testing"
)

// Slow skips a test that boots machines, needs root or the network, builds the
// program or waits for long, where only the quick ones are asked for
// (go test -short).
func Slow(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: make test runs it")
	}
}

// Real reports whether a test may take as long as it likes (make real).
func Real() bool { return os.Getenv("PXESRV_TEST_REAL") != "" }

// OnlyReal skips a test that make test does without, since another one shows
// the most of it in less time.
func OnlyReal(t testing.TB) {
	t.Helper()
	Slow(t)
	if !Real() {
		t.Skip("long: make real runs it")
	}
}

// OnlySoak skips a long loop where nobody asked for those (make soak).
func OnlySoak(t testing.TB) {
	t.Helper()
	if os.Getenv("PXESRV_TEST_SOAK") == "" {
		t.Skip("long: make soak runs it")
	}
}

// Needs names programs that a test runs and that make deps installs. Without
// one of them the test fails, or is skipped where only the quick ones are asked
// for.
func Needs(t testing.TB, programs ...string) {
	t.Helper()
	for _, name := range programs {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if testing.Short() {
			t.Skipf("no %s: make test gets it", name)
		}
		t.Fatalf("no %s here: run 'make deps'", name)
	}
}
