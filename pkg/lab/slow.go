package lab

import (
	"os"
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
