package hosts

import (
	"fmt"
	"testing"
)

// TestNear: a name that is not in a list, and the host that was likely meant.
func TestNear(t *testing.T) {
	n := NewNames([]string{"srv-01", "srv-02", "srv-11", "db1", "Web-A", "mail.example.org",
		"build-node", "r2d2", "CZC1234ABC", "rack1-11", "ip-10-0-0-12"})
	for name, want := range map[string]string{
		"srv-o1": "srv-01", "SRV-01": "srv-01", "Srv-01": "srv-01", "srv01": "srv-01",
		"srv_01": "srv-01", "srv-1": "srv-01", "srv-001": "srv-01", "srv-l1": "srv-11",
		"srv-0l": "srv-01", "svr-01": "srv-01", "srv-01x": "srv-01", "sv-01": "srv-01",
		"srrv-02": "srv-02", "srw-02": "srv-02", "srv-01.example.org": "srv-01",
		"web-a": "Web-A", "WEB-A": "Web-A", "web-b": "Web-A", "mail": "mail.example.org",
		"Mail.example.org": "mail.example.org", "build-nod": "build-node",
		"biuld-node": "build-node", "build-nodes": "build-node", "DB1": "db1", "db-1": "db1",
		"CZC1234ABD": "CZC1234ABC", "czc1234abc": "CZC1234ABC",
		"rack111": "rack1-11", "rack1_11": "rack1-11", "rack01-11": "rack1-11",
		"rack-1-11": "rack1-11", "Rack1.11": "rack1-11", "ip-10-00-0-12": "ip-10-0-0-12",
		// Hosts, and names that are far from all.
		"rack1-11": "", "rack11-1": "", "ip-10-0-1-2": "", "ip-1-0-0-012x7": "",
		"srv-01": "", "db1": "", "Web-A": "", "srv-03": "", "srv-10": "", "srv-21": "",
		"srv-110": "", "db2": "", "db11": "", "srv": "", "x": "", "": "", "1": "", "web1": "",
		"MXQ12345678": "", "C02XK0AAJG5H": "", "IT-004711": "", "mail2.example.org": "",
		"build-host": "", "CZC1235ABC": "", "ab1": "", "r2d3": "",
	} {
		if got := n.Near(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

// TestNearLarge: in the largest list only what a hasty eye overlooks is found.
func TestNearLarge(t *testing.T) {
	names := make([]string, MaxRows)
	for i := range names {
		names[i] = fmt.Sprintf("srv-%06d", i)
	}
	n := NewNames(names)
	for name, want := range map[string]string{"SRV-000007": "srv-000007", "srv-7": "srv-000007",
		"srv-o00007": "srv-000007", "svr-000007": "", "srv-200000": ""} {
		if got := n.Near(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	if len(n.short) != 0 {
		t.Errorf("%d names were shortened", len(n.short))
	}
}
