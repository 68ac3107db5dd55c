package ipxe

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzCheck: whatever the script is, Check comes back, and points into it.
func FuzzCheck(f *testing.F) {
	for _, seed := range [][]byte{nil, Identify(), Local(),
		[]byte("#!ipxe\r\n:a\\\r\n b && goto a || exit 0 ; \\"),
		[]byte("#!ipxe\nkernel --name -n x %zz?y#z && imgargs -- x"),
		[]byte("\xef\xbb\xbf#!gpxe\t\n:\n:\ngoto :"),
		[]byte("#!ipxe\n:a\nitem ${x} y\nchoose x && goto ${x}${platform} ||\n:b\nset x:int8 " +
			"b\nkernel ${platform}.x\ngoto ${${x}\n:efi chain -r b\nbo"),
		[]byte("#!ipxe\niseq ${platform} efi && exit || exit\nimgexec --name= -"),
		[]byte("#!ipxe\n\x00:a\x00\nchain a:b")} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		lines := bytes.Count(script, []byte("\n"))
		if len(script) == 0 || script[len(script)-1] != '\n' {
			lines++
		}
		asked := 0
		for _, lead := range Examine(script, nil).Leads {
			if lead.On&^Anywhere != 0 || lead.On == 0 || dynamic(lead.File) &&
				!strings.Contains(string(script), "%") {
				t.Errorf("%+v", lead)
			}
		}
		before := 0
		for _, p := range Check(script, func(name string) bool {
			if name == "" {
				t.Error("asks for a file without a name")
			}
			asked++
			return asked%2 == 0
		}) {
			if p.Line < 1 || p.Line > lines {
				t.Errorf("line %d of %d: %+v", p.Line, lines, p)
			}
			if p.Line < before {
				t.Errorf("line %d comes after line %d", p.Line, before)
			}
			before = p.Line
			if p.Text == "" || p.Do == "" || p.Code == "" {
				t.Errorf("says too little: %+v", p)
			}
		}
	})
}
