package conn

import (
	"net/netip"
	"testing"
)

// TestLimiter_PerAddress: an address gets so many connections and no more,
// others are not touched, exempt ones are not counted against, and what was
// closed makes room.
func TestLimiter_PerAddress(t *testing.T) {
	var g Limiter
	proxy, a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2"),
		netip.MustParseAddr("10.0.0.3")
	g.Set(Limits{PerAddress: 2, Exempt: func(x netip.Addr) bool { return x == proxy }})
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
			g.release(step.addr)
		} else if got := g.admit(step.addr); got != step.want {
			t.Errorf("step %d: %v from %v", i, got, step.addr)
		}
	}
	if g.Open() != 6 || g.Refused() != 2 {
		t.Errorf("%d open, %d refused, want 6 and 2", g.Open(), g.Refused())
	}
	for _, x := range []netip.Addr{a, a, b, proxy, proxy, proxy} {
		g.release(x)
	}
	if g.Open() != 0 || len(g.per) != 0 {
		t.Errorf("%d open and %d addresses kept after all left", g.Open(), len(g.per))
	}
}

// TestLimiter_Reassign: a connection counts for the client that a proxy names,
// and once for all when it is closed in between.
func TestLimiter_Reassign(t *testing.T) {
	var g Limiter
	proxy, client := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.7")
	g.Set(Limits{PerAddress: 1, Exempt: func(a netip.Addr) bool { return a == proxy }})
	var all []*tcpConn
	for i, want := range []bool{true, false} {
		if !g.admit(proxy) {
			t.Fatal("the proxy is not let in")
		}
		c := &tcpConn{limiter: &g, counted: proxy}
		all = append(all, c)
		if got := g.reassign(c, client); got != want {
			t.Errorf("connection %d of the client: %v", i+1, got)
		}
	}
	gone := &tcpConn{limiter: &g, counted: proxy}
	g.admit(proxy)
	g.releaseConn(gone)
	g.reassign(gone, client)
	for _, c := range append(all, gone) {
		g.releaseConn(c)
		g.releaseConn(c)
	}
	if g.Open() != 0 || len(g.per) != 0 || g.Refused() != 2 {
		t.Errorf("%d open, %d addresses kept, %d refused", g.Open(), len(g.per), g.Refused())
	}
}
