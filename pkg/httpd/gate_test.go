package httpd

import (
	"net/netip"
	"testing"
)

// TestGatePerAddress: an address gets so many connections and no more, others are not touched, exempt ones are not counted
// against, and what was closed makes room.
func TestGatePerAddress(t *testing.T) {
	var g Gate
	proxy, a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3")
	g.Set(GateLimits{PerAddress: 2, Exempt: func(x netip.Addr) bool { return x == proxy }})
	for i, step := range []struct {
		addr  netip.Addr
		enter bool // or leave
		want  bool
	}{
		{a, true, true}, {a, true, true}, {a, true, false}, {b, true, true},
		{proxy, true, true}, {proxy, true, true}, {proxy, true, true},
		{a, false, false}, {a, true, true}, {a, true, false},
	} {
		if !step.enter {
			g.leave(step.addr)
		} else if got := g.enter(step.addr); got != step.want {
			t.Errorf("step %d: %v from %v", i, got, step.addr)
		}
	}
	if g.Open() != 6 || g.Refused() != 2 {
		t.Errorf("%d open, %d refused, want 6 and 2", g.Open(), g.Refused())
	}
	for _, x := range []netip.Addr{a, a, b, proxy, proxy, proxy} {
		g.leave(x)
	}
	if g.Open() != 0 || len(g.per) != 0 {
		t.Errorf("%d open and %d addresses kept after all left", g.Open(), len(g.per))
	}
}
