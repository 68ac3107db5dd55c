package boot

import (
	"net/netip"
	"testing"
)

// BenchmarkIdentify is the way from a query to the names of a machine, twelve
// as most have.
func BenchmarkIdentify(b *testing.B) {
	const query = "uuid=4c4c4544-0042-3510-8054-b4c04f564433&manufacturer=Dell%20Inc.&serial=B5TVD3&asset=RZ1-0042&host=node42" +
		"&mac=52:54:00:12:34:56&macs=52:54:00:12:34:57,52:54:00:12:34:58,52:54:00:12:34:59,52:54:00:12:34:5a"
	addr := netip.MustParseAddr("10.0.0.7")
	b.ReportAllocs()
	for b.Loop() {
		if c := Identify(ParseQuery(query), addr, NamePolicy{}); len(c.Names) != 12 {
			b.Fatal(c.Names)
		}
	}
}
