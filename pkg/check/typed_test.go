//go:build linux

package check

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTyped: entries as people call them. The word is the code of the finding,
// and behind it what its sentence has to say.
func TestTyped(t *testing.T) {
	r := newRoom(t)
	r.write("default", good)
	want := map[string]string{
		"static/5254-0012-3401":       "looks-like a MAC is written 52-54-00-12-34-01",
		"static/525400-123402":        "looks-like a MAC is written 52-54-00-12-34-02",
		"static/52.54.00.12.34.03":    "looks-like a MAC is written 52-54-00-12-34-03",
		"static/52_54_00_12_34_04":    "looks-like a MAC is written 52-54-00-12-34-04",
		"static/0x525400123405":       "looks-like a MAC is written 52-54-00-12-34-05",
		"static/52 54 00 12 34 06":    "misspelt this MAC is written 52-54-00-12-34-06",
		"static/52‑54‑00‑12‑34‑07":    "misspelt this MAC is written 52-54-00-12-34-07",
		"static/52:54:00:12:34:08":    "misspelt this MAC is written 52-54-00-12-34-08",
		"static/52:54:00:12:34:09:":   "looks-like a MAC is written 52-54-00-12-34-09",
		"static/52-54-00-12-34-567":   "looks-like no MAC",
		"static/52:54:00:12:34:5":     "looks-like no MAC",
		"static/5254-0012-345":        "looks-like no MAC",
		"static/10.0.0":               "looks-like no address",
		"static/10.0.0.7.8":           "looks-like no address",
		"static/10.0.0.3x":            "looks-like no address",
		"static/2001:db8:::7":         "looks-like no address",
		"static/10.0.0.36.":           "looks-like an address is written 10.0.0.36",
		"static/10.0.0.035":           "looks-like an address is written 10.0.0.35",
		"static/10.0.0.37-24":         "looks-like an address is written 10.0.0.37",
		"static/(10.0.0.38)":          "misspelt an address is written 10.0.0.38",
		"static/10.0.0.39 24":         "misspelt an address is written 10.0.0.39",
		"static/srv-o1":               "looks-like did you mean srv-01?",
		"static/srv-01.iso":           "extension no machine is called so",
		"once/SRV-01":                 "looks-like is written srv-01",
		"protect/5254-0012-3499":      "misspelt guards its machine, and is usually written 52-54-00-12-34-99",
		"protect/10.0.0.98.":          "misspelt guards its machine, and is usually written 10.0.0.98",
		"protect/10.0.0":              "looks-like guards only a machine of this serial, since it is no address",
		"protect/52-54-00-12-34-99-9": "looks-like guards only a machine of this serial, since it is no MAC",
		"protect/SRV-02":              "misspelt guards its machine, and is usually written srv-02",
		"static/srv-01":               "", "static/8371-5642-9012-3457": "", "static/S-N-42": "",
		"static/52-54-00-12-34-50": "", "static/CZC1234ABC": "",
	}
	for file := range want {
		switch {
		case strings.HasPrefix(file, "once/"):
			r.link(file, "../default")
		case strings.HasPrefix(file, "protect/"):
			r.write(file, "")
		default:
			r.write(file, good)
		}
	}
	r.config.ISOHosts = filepath.Join(t.TempDir(), "hosts.csv")
	r.must(os.WriteFile(r.config.ISOHosts, []byte("name,mac,address,server\n"+
		"srv-01,,10.1.0.1/24,http://10.1.0.5\nsrv-02,,10.1.0.2/24,http://10.1.0.5\n"), 0o644))
	all, err := Tree(t.Context(), r.config, Options{Loaders: []string{}})
	r.must(err)
	found := map[string]string{}
	for _, f := range all {
		if f.Code != Twice && f.Code != Hosts && f.Code != Protected {
			found[f.File] += f.Code + " " + f.What + "; " + f.Do
		}
	}
	for file, want := range want {
		code, text, _ := strings.Cut(want, " ")
		if got := found[file]; (want == "") != (got == "") || !strings.HasPrefix(got, code) ||
			!strings.Contains(got, text) {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
}
