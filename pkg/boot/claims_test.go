package boot

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// queryTable is what iPXE sends, and people type, and what is understood of it.
// The machine of the first rows has SMBIOS manufacturer "ACME, Inc.", product
// "X 1", serial "S/N 42&é", asset "A%7+b?c".
var queryTable = map[string]Claims{
	"": {},

	// As iPXE 2019 and 2026 were seen to write each value.
	"uuid=12345678-9abc-def0-1122-aabbccddeeff": {UUID: "12345678-9abc-def0-1122-aabbccddeeff"},
	"uuid=78563412bc9af0de1122aabbccddeeff":     {UUID: "78563412bc9af0de1122aabbccddeeff"},
	"uuid=78563412-bc9a-f0de-1122-aabbccddeeff": {UUID: "78563412-bc9a-f0de-1122-aabbccddeeff"},
	"uuid=":                              {},
	"serial=S/N%2042&%FFFFFFC3%FFFFFFA9": {Serial: "S/N 42&é"},
	"serial=S/N%2042&%FFFFFFFFFFFFC3%FFFFFFFFFFFFA9": {Serial: "S/N 42&é"},
	"serial=S%2FN%2042%26%FFFFFFC3%FFFFFFA9":         {Serial: "S/N 42&é"},
	"serialx=532f4e20343226c3a9":                     {Serial: "S/N 42&é"},
	// base64 is a text like any other
	"serial=Uy9OIDQyJsOp": {Serial: "Uy9OIDQyJsOp"},
	// as damaged as it was sent
	"asset=A%07+b%3Fc":                   {Asset: "A\a+b?c"},
	"asset=A%7+b?c":                      {Asset: "A%7+b?c"},
	"asset=A%257+b%3Fc":                  {Asset: "A%7+b?c"},
	"asset=A%257%2Bb%3Fc":                {Asset: "A%7+b?c"},
	"assetx=4125372b623f63":              {Asset: "A%7+b?c"},
	"manufacturer=ACME,%20Inc.":          {Manufacturer: "ACME, Inc."},
	"manufacturerx=41434d452c20496e632e": {Manufacturer: "ACME, Inc."},
	"mac=52%3A54%3A00%3A12%3A34%3A56":    {MACs: []string{"52:54:00:12:34:56"}},
	"mac=52:54:00:12:34:56":              {MACs: []string{"52:54:00:12:34:56"}},
	"mac=52-54-00-12-34-56":              {MACs: []string{"52-54-00-12-34-56"}},
	"macs=52-54-00-12-34-56.52-54-00-12-34-57......": {MACs: []string{"52-54-00-12-34-56",
		"52-54-00-12-34-57"}},
	"macs=.......": {},

	// The whole request of the identification script.
	"uuid=12345678-9abc-def0-1122-aabbccddeeff&mac=52-54-00-ab-cd-01&arch=x86_64&platform=efi" +
		"&macs=52-54-00-ab-cd-01.52-54-00-ab-cd-02......&serialx=532f4e20343226c3a9&manufacturerx=41434d452c20496e632e" +
		"&productx=582031&assetx=4125372b623f63&boardx=422c31&hostnamex=&try=0": {
		UUID: "12345678-9abc-def0-1122-aabbccddeeff", Manufacturer: "ACME, Inc.", Product: "X 1",
		Serial: "S/N 42&é",
		Asset:  "A%7+b?c", Board: "B,1", Arch: "x86_64", Platform: "efi",
		MACs: []string{"52-54-00-ab-cd-01", "52-54-00-ab-cd-01", "52-54-00-ab-cd-02"},
	},

	// On which bus each card of macs is. Whatever else stands there says
	// nothing.
	"macs=a.b.c&bus=PCI.USB.PCI":        {MACs: []string{"a", "b", "c"}, USB: []string{"b"}},
	"bus=..usb&macs=a..c.":              {MACs: []string{"a", "c"}, USB: []string{"c"}},
	"mac=z&macs=.b&bus=USB.Usb.USB.USB": {MACs: []string{"z", "b"}, USB: []string{"b"}},
	"macs=a.b&macs=c.d&bus=.USB.USB": {MACs: []string{"a", "b", "c", "d"},
		USB: []string{"b"}},
	"mac=5254.0012.3456&bus=usb": {MACs: []string{"5254.0012.3456"},
		USB: []string{"5254.0012.3456"}},
	"mac=a&bus=PCI":                        {MACs: []string{"a"}},
	"mac=a&bus=PCI.USB":                    {MACs: []string{"a"}},
	"bus=USB":                              {},
	"macs=a&bus=${net0/bustype}%00%FF,,;.": {MACs: []string{"a"}},

	// Which iPXE it is.
	"version=1.0.0%2Bgit-20190125.36a4c85-5.1": {Version: "1.0.0+git-20190125.36a4c85-5.1"},
	"version=2.0.0+":                     {Version: "2.0.0+"},
	"version=1.21.1+%20(g4bd0)&version=": {Version: "1.21.1+ (g4bd0)"},
	"versionx=41":                        {},

	// Escapes.
	"serial=A%20B":                 {Serial: "A B"},
	"serial=A+B":                   {Serial: "A+B"},
	"serial=100%":                  {Serial: "100%"},
	"serial=%":                     {Serial: "%"},
	"serial=%4":                    {Serial: "%4"},
	"serial=%zz":                   {Serial: "%zz"},
	"serial=%%34%31":               {Serial: "%41"},
	"serial=%C3%A9":                {Serial: "é"},
	"serial=%c3%a9":                {Serial: "é"},
	"serial=%FFFFFFc3%ffffffA9":    {Serial: "é"},
	"serial=%FFFFFF41":             {Serial: "\xffFFFF41"}, // below 0x80 nothing is sign-extended
	"serial=%FFFFFFC":              {Serial: "\xffFFFFC"},
	"serial=%FFFFC3":               {Serial: "\xffFFC3"},
	"serial=%FFFFFFC3C3":           {Serial: "\xc3C3"},
	"serial=%FFFFFFFFFFFFC3":       {Serial: "\xc3"},
	"serial=%FFFFFFFFFFFF41":       {Serial: "\xffFFFF41"},
	"serial=%FFFFFFFF":             {Serial: "\xff"},
	"serial=%FFFFFFFFFFFFFF":       {Serial: "\xff"},
	"serial=%07":                   {Serial: "\a"},
	"serial=%0a%0d":                {},
	"serial=a%00":                  {Serial: "a"},
	"serial=a%00b":                 {Serial: "a\x00b"},
	"serial=%2525":                 {Serial: "%25"}, // once, not twice
	"%73erial=x":                   {Serial: "x"},
	"serial=${serial}":             {Serial: "${serial}"},
	"serial=\xff\xfe":              {Serial: "\xff\xfe"},
	"serial=a;b&asset=c;d":         {Serial: "a;b", Asset: "c;d"},
	"serial=a=b==":                 {Serial: "a=b=="},
	"serial=a?b#c":                 {Serial: "a?b#c"},
	"serialx=53&serial=${serial}x": {Serial: "S"},

	// Pieces without "=".
	"serial=A&B":                   {Serial: "A&B"},
	"serial=A&B&C&uuid=1":          {Serial: "A&B&C", UUID: "1"},
	"serial=A&&B":                  {Serial: "A&&B"},
	"serial=&B":                    {Serial: "&B"},
	"serial=A&":                    {Serial: "A"}, // the query ends there
	"manufacturer=A&B&serial=C&D":  {Manufacturer: "A&B", Serial: "C&D"},
	"host=a&b":                     {Host: "a&b"},
	"hostname=a&b":                 {Hostname: "a&b"},
	"uuid=A&B":                     {UUID: "A"},
	"mac=52-54-00-12-34-56&x":      {MACs: []string{"52-54-00-12-34-56"}},
	"arch=i386&x":                  {Arch: "i386"},
	"serialx=41&42":                {Serial: "A"},
	"serial":                       {},
	"B&serial=A":                   {Serial: "A"},
	"&&&":                          {},
	"=":                            {},
	"=x":                           {},
	"&=&=&serial=a":                {Serial: "a"},
	"serial=R&D=1":                 {Serial: "R"}, // looks like a parameter of that name
	"serial=%41&%42":               {Serial: "A&B"},
	"product=a&b&product=a&b":      {Product: "a&b"},
	"serial=A&asset=B&unknown=C&D": {Serial: "A", Asset: "B"},

	// Hex twins win over their plain twins, wherever they stand, when they are
	// hex digits of something.
	"serial=plain&serialx=686578":          {Serial: "hex"},
	"serialx=686578&serial=plain":          {Serial: "hex"},
	"serialx=&serial=plain":                {Serial: "plain"},
	"serialx=xyz&serial=plain":             {Serial: "plain"},
	"serial=plain&serialx=123":             {Serial: "plain"}, // an odd number of digits
	"serial=plain&serialx=2020":            {Serial: "plain"}, // blanks
	"serial=plain&serialx=0000":            {Serial: "plain"},
	"serialx=53&serialx=54":                {Serial: "S", Twice: []string{"serialx"}},
	"productx=41&boardx=42&hostx=43":       {Product: "A", Board: "B", Host: "C"},
	"hostnamex=77656231":                   {Hostname: "web1"},
	"uuidx=41&macx=42&archx=43":            {}, // only free-form values have twins
	"serialX=4A":                           {Serial: "J"},
	"serialx=203f20":                       {Serial: "?"},
	"serialx=" + strings.Repeat("41", 300): {Serial: strings.Repeat("A", 300)},

	// Twice: the first counts, and it is said.
	"serial=a&serial=b":          {Serial: "a", Twice: []string{"serial"}},
	"serial=a&serial=a":          {Serial: "a"},
	"serial=&serial=b":           {Serial: "b"},
	"serial=a&serial=":           {Serial: "a"},
	"uuid=a&uuid=b&uuid=c":       {UUID: "a", Twice: []string{"uuid"}},
	"SERIAL=a&serial=b":          {Serial: "a", Twice: []string{"serial"}},
	"platform=efi&platform=x":    {Platform: "efi", Twice: []string{"platform"}},
	"mac=a&mac=b&macs=c,d;e%20f": {MACs: []string{"a", "b", "c", "d", "e", "f"}},
	"try=1&try=2":                {Try: 1, Twice: []string{"try"}},

	// Blanks and case.
	"serial=%20%20spaced%20%20":   {Serial: "spaced"},
	"serial=  a b  ":              {Serial: "a b"},
	"serial=%09a%0d%0a":           {Serial: "a"},
	"serial=%20":                  {},
	"uuid=%20ABC%20":              {UUID: "ABC"},
	"Serial=aB&UUID=Cd&Mac=eF":    {Serial: "aB", UUID: "Cd", MACs: []string{"eF"}},
	"ARCH=i386&PlatForm=pcbios":   {Arch: "i386", Platform: "pcbios"},
	"hostname=web1":               {Hostname: "web1"},
	"host=web1":                   {Host: "web1"},
	"board=B1&product=P1&asset=A": {Board: "B1", Product: "P1", Asset: "A"},

	// How often it has asked.
	"try=0": {}, "try=2": {Try: 2}, "try=255": {Try: 255}, "try=256": {}, "try=-1": {}, "try=x": {},
	"try=0x2": {}, "try=": {},

	// What is none of ours. The source address is never taken from a query.
	"ip=10.0.0.7&addr=10.0.0.7&x=y&names=z": {},
	// says nothing of the machine, so it contradicts nothing
	"x=1&x=2&ip=10.0.0.7&ip=10.0.0.8": {},
}

func TestParseQuery(t *testing.T) {
	for query, want := range queryTable {
		if got := ParseQuery(query); !reflect.DeepEqual(got, want) {
			t.Errorf("%q\n got %+v\nwant %+v", query, got, want)
		}
	}
}

// TestParseQueryLong: a long query takes no more than its length.
func TestParseQueryLong(t *testing.T) {
	const n = 100000
	if got := ParseQuery("serial=" + strings.Repeat("&x", n)); len(got.Serial) != 2*n {
		t.Errorf("%d bytes of %d", len(got.Serial), 2*n)
	}
	if got := ParseQuery(strings.Repeat("mac=52-54-00-12-34-56&", n)); len(got.MACs) != maxClaimed {
		t.Errorf("%d MACs are kept of %d", len(got.MACs), n)
	}
	var query strings.Builder
	for i := range n {
		fmt.Fprintf(&query, "p%d=%d&", i, i)
	}
	if got := ParseQuery(query.String()); !reflect.DeepEqual(got, Claims{}) {
		t.Errorf("%+v", got)
	}
}
