package lab

import "testing"

// Slow skips a test that boots machines, needs root or the network, or waits
// for long, where only the quick ones are asked for (go test -short).
func Slow(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("slow: make test runs it")
	}
}
