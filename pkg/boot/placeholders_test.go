package boot

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// nobodies are texts that many machines have as serial number, board serial or
// asset tag; from public lists and dumps of SMBIOS.
const nobodies = `
0 00 000000 0000000000 00000000000000000000 0-0-0-0 000-000-000 0x0 0x00 0x00000000
0x0000000000000000 0xFF 0xFFFFFFFF 0x12345678 0X0000 1 11 1111111 1111111111 22222 2222222 333333
44444444 55555 66666666 7777777 88888888 888888888888 99999 9999999999 x XXXXX XXXXXXXXXXXX
xxxxxxxxxxx f FFFFFFFF N/A NNNN NNNNNNN nnnnnnnn aaaa AAAAAAAA ZZZZZZZZ ------ ........ *** ?????
01010101 0101010101010101 FEFEFEFE ABABABAB 12121212 5858585858585858 12345 123456 1234567
12345678 0987654321 SN-0987654321 123456789 1234567890 12345678901234567 1234567890123456789012 123456789000
1234567890ABCDEF 123456789ABCDEF 01234 012345 0123456 01234567 012345678 0123456789 01234567890
012345678900 0123456789000 0123456789AB 0123456789ABCDEF 01234567890123456789 1234-5678-9012-3456
1234.5678 12-34-56-78 9876543210 987654321 87654321 76543210 SYS-1234567890 SYS-9876543210
SYS1234567890 sys-0123456789 SYS-12345 MB-1234567890 MB-0123456789 MB1234567890 NB-1234567890
NB-0123456789 BB-1234567890 SN-12345 SN-1234567890 SN12345 SN_123456789 sn:0123456789
S/N-1234567890 SN000000 SN-XXXXXXXX SN:xxxxx SSN12345678901234567 ssn12345678901234567
BSN12345678901234567 CSN12345678901234567 PSN12345678901234567 MSN1234567890 ATN12345678901234567
EeePC-1234567890 EeePC-0123456789 Asset-1234567890 Asset-0123456789 ASSET1234567890
Chassis-1234567890 System-1234567890 Board-0123456789 OEM-12345678 Serial-1234567890 Serial1234567
Tag-123456789 PC-1234567890 Rack-0123456789 Laptop-1234567890 XYZ1234567890 X312345678
ABC-9876543210 SerNum SerNum0 SerNum00 SerNum01 SerNum03 SerNum4 SERNUM1 A1_SerNum0
A1_AssetTagNum0 A1_AssetTagNum3 AssetTagNum0 AssetTagNum4 AssetTagNum12 SerialNumber SerialNumber0
SerialNumber1 SerialNumber123 SerialNumber12345 Serial-Number-01 SerialNum0 SerialNumb
SystemSerialNumb Manufacturer0 Manufacturer00 A1_Manufacturer0 PartNum0 A1_PartNum0 PartNumber01
OEM OEM_Serial OEM_Define OEM_Define0 OEM_Define1 OEM_Define2 OEM_Define4 OEM_String1 OEM_Default
None NONE None1 none null Null NIL Empty [Empty] empty N.A. NA n/a TBD TBA Invalid INVALID Default
Unknown Unknow UNKNOWN unkown Undefined Unspecified Uninitialized Unavailable Unassigned
NotSupport NotSupported NotSpecified NotApplicable Not_Available NotSet NoAssetTag
SystemSerialNumber System_Serial_Number System_Serial# Serial# $serialnumber$ <serialnumber> EVAL
IATPASS IATPASS01 Test SKU Type1Sku0 Type1ProductConfigId FIELD Default_string Default_String0
Reserved Blank MacBook-Aluminum MacBook-Black Air-Enclosure Mini-Aluminum iMac-Aluminum Pro-Enclosure
01234567890123456789AB ds=nocloud ABCDEFG ABCDEFGHIJKLM 123-1234-123 SN-123456fvgv3i0b8o5n6n7k 91.WTx00.xPxx .PCIE2
7783-7084-3265-9085-8269-3286-77 OpenTelekomCloud HUAWEICLOUD OracleCloud.com DigitalOcean Google
VMware
`

const nobodyPhrases = `
To Be Filled By O.E.M. | To be filled by O.E.M. | To Be Filled By O.E.M | to be filled by OEM |
ToBeFilledByO.E.M. | TO BE FILLED BY O.E.M. | To Be Filled By O.E.M. by More String | To Be Filled
By OEM 1 | To be filled | To Be Defined By O.E.M | To be defined by ODM | To Be Defined | To be
set by OEM | To Be Determined | To be assigned by customer | TBD by ODM | TBD by OEM | Fill By OEM
| Filled by O.E.M. | Fill in by OEM | Set By OEM | Defined by manufacturer | Reserved by OEM |
Specified by Vendor | Not Supported | Not Supported by CPU | Not Specified | Not Available | Not
Applicable | Not Present | Not Settable | Not Defined | Not Provided | Not Used | Not Set | Not
Assigned | not programmed | Not Available. | No Asset Tag | No Asset Information | No Enclosure |
No Serial | No Serial Number | No Data | NO ASSET TAG | System Serial Number | SYSTEM SERIAL
NUMBER | System Serial Number 1 | Base Board Serial Number | Baseboard Serial Number | Board
Serial Number | Chassis Serial Number | OEM Chassis Serial Number | Mother Board Serial Number |
Product Serial Number | Type2 - Board Serial Number | Type3 - Chassis Serial Number | Type1 -
System Serial Number | Serial Number | Serial Number xxxxxx | Serial Number XXXXXXXXXX | Serial
Number 0000000 | Serial Number: 1234567890 | Serial No. | Serial No. 12345 | Enter Serial Number |
Asset Tag | Asset Tag: | Asset Tag 1234567890 | Asset tracking | Base Board Asset Tag | Base Board
Asset Tag# | Chassis Asset Tag | System Asset Tag | Type2 - Board Asset Tag | System Product Name
| Product Name | System Name | System Version | System manufacturer | System Manufacturer | Base
Board Manufacturer | Chassis Manufacture | Chassis Manufacturer | Chassis Version | Base Board
Product Name | Base Board Version | Service Tag | System SKU | SKU Number | Main Board | All
Series | Tulip Computers | <cut out> | Default string | Default String | Default string 1 | (null
string) | (null) | Null String | Unknown Serial Number | Invalid Serial Number | Dummy Serial |
Engineering Sample | Amazon EC2 | Google Compute Engine | OpenStack Nova | OpenStack Compute |
OpenStack Foundation | SAP CCloud VM | Samsung Cloud Platform | Alibaba Cloud ECS | Microsoft
Corporation | VMware Virtual Platform | VMware, Inc. | Virtual Machine | HVM domU | DigitalOcean
Droplet | Tencent Cloud | Huawei Cloud | Nutanix AHV | = '00000000' | 1234567890 ABCDEFGHIJ |
00000000000000000001 | To Be Customized | To be initialised by OEM | oem default string inject xxxxxxxxxx |
MB Serial Number | CPU Serial Number 1 | Vultr | Akamai | Hetzner vServer | UpCloud | CloudStack KVM
Hypervisor | ds=nocloud-net;s=http://10.0.0.1:8000/ | ds=nocloud;s=http://10.10.0.1/
`

var nobodyTexts = append(strings.Fields(nobodies), phrases(nobodyPhrases)...)

// phrases are the texts between the strokes, which lines may break.
func phrases(list string) (all []string) {
	for one := range strings.SplitSeq(list, "|") {
		all = append(all, strings.Join(strings.Fields(one), " "))
	}
	return all
}

// somebodies are serial numbers, asset tags and host names of single machines,
// as each maker writes them.
const somebodies = `
C02XK0AAJG5H C02TM2ZBHX87 C1MQ8JZJDV30 W88010WJYAX FVFXC2ABHV29 F5KZ80GWMD6M DLXVX2NHJF88
VM+cL0Ki1bXr MXQ12345678 MXQ1230ABC MXQ6140FLK CZJ1234567 CZ3123456X CZ20340H1D SGH123XYZ1
USE1234567 USE123N4AB 5CG1234567 5CD8234ABC 2M28390BQ1 JPT2345678 MXL9876543 GB8123456X B5TVD3
7QJ5XR2 12345X1 1234ABC 2B3C4D5 BTS0M5J HX4T8W1 1J0K2L3 JV123N2 J1012345 J30A1B2C PF1ABCDE
PF0123AB PF12345 R90ABCDE R912345 MJ0A1B2C MP1234AB S4AB1234 06ABCDE 06DKGRT KQ12345 L3A1234
PC0X1234 YJ00CMLN LRABCD12 23R1234 S123456X7890123 S15317923A01234 A123456X1234567 E16591234512345
C8250LH12345678 0123456X789 VM166S012345 ZM123S456789 S438044X9123456 FCH1234V5AB FCH2001ABCD
FOX1234ABCD WZP23456789 SSI12345678 SAL1234ABCD FDO12345678
VMware-564d3a1122334455-9abcdef011223344 VirtualBox-1b2c3d4e-5f60 GoogleCloud-1D2C3B4A5F6E7D8C
ec2a1b2c3d4 i-0abc1234def567890 Parallels-1A-2B-3C 0000-0005-4321-8765-2109-8765-43
5018-0461-6537-1234-5678-9012-33 8274-6321-5510-4478-2210-9931-20 SN20231117A SN20231117
SN2023-0042 SN0815 SN4711 SN-A12345 SN1020304 SN13579 SSN815 MB-4711 MB12 NB-0815 NB2004 NB00123
SYS-1029U SYS-7 SYS4711 MB99887766 00123987 IT-004711 1000001 1000000 10000000 1001 1234 4711 0815
100 42 7 12 2222 777 0042 000042 000815 1000012345 2000012345 20230001 20231117 10101 1010101
11111112 11112222 9000001 123457 12344 12346 123450 1234567899 012345679 123456788 1234560 12345a6
0123 10234 54321 65432 9876 98765 987654 1357924680 1122334455 112233 123123 123321 1231231 IT-1
IT-12345 PC-12345 PC12345 PC0001 SRV-0001 SRV-123456 srv01 srv12 ws-1234567 INV-12345 INV-004711
LAP-12345678 A-12345 A12345 AB-123456 ABC-1234 TAG-0042 TAG-12345 RZ1-0042 R12-U07 Asset-4711
ASSET-00123 ASSET1 Asset-12 asset42 AssetTag-4711 Asset-10023 Serial-4711 Serial7 Nr-12345 web1
db01 node42 node12345 host-1 kvm xen xen01 qemu proxmox azure test1 test-01 testbox default-gw
empty-rack none-such www ns1 nas noether nothing notebook notebook7 notus unknot tobermory tobey
example oem1 board1 board-12 board01 system1 system7 unit01 machine-1 server1 server-12345
chassis1 chassis-4 enclosure2 blade-12 serial-console tag7 sku-17 field-7 sample-3 demo1
eval-board1 nullipo invalidenstr reserve1 blank-7 reserved-rack-7 vultr-01 imac macbook mini imac-7 MacBook-Pro mac-mini Mini-Alu1 0987654 0976543210 mbsn4711 sn1 cloudstack-3 dsn0clue YLNT012345 YLNT000123 DSFX123456 MA3A012345 MABC000815 EWAB012345
LKN12345 NXVABEG00112345678901 NXMSNEK0026150A2B3C4D5E PSVCKAA0012345678 DQB0ABC0010123
UXVTDSA0123456 210235A1B2C3D4E5F6 2102311XDB10J9000123 219801A2XYZ18CM00123 QTFCOU4012345
QTFCOU1234567 GIG0P9A12345 JG1N4A012345 JN8123456789X 6CU1234567 1230ABC012345 1750PDN567800
S2N0CX012345678 M7M0KC001234567 R2N0GR00C123456 BSS0123456987 MS-1C54100123 601-7C02-010S1234567
601-7850-040B1501023456 K16123456789AB AE1234567890X CN0X1234567890123
CN-0Y2K3L-12963-0AB-0123-A00 CN129636AB0123 /7QJ5XR2/CN129636AB0123/ ..CN1296359P000L.
.3X9J4X1.CN7443097O00PR. BQWA12345678 BTQC123456AB UBC0123456789X PVAAA08ABCDEF 200112345678901X
1A2B3C4D5E6F TW-0123-4576-89 GH012345678X DTVB1AA001234ABCDE 8A7B6C5D QEMU1 QM00001 000000000001
000000001234 0000a 10000000000 99999998 9999x 1112 11110 XXX1 XXXX1234 aaab aab abcd1 abcdef1
xyzzy1 no1 no-1 na1 nan nr1 SerNumX SerNum1234576 AssetTagNum4711 OEM_Define4711 Manufacturer4711
SNabc SSNX ATN4711 BSN0042 ab-cd-01 0-1-2 1.2.3 10.0.0.256 525400abcd01 be3af2b60599
`

func isNobody(t *testing.T, c Claims) bool {
	t.Helper()
	cl := Identify(c, netip.Addr{}, NamePolicy{})
	if nobody := len(cl.Names) == 0; nobody != (len(cl.Dropped) == 1 && cl.Dropped[0].Placeholder) {
		t.Errorf("%+v: names %v, dropped %+v", c, cl.Names, cl.Dropped)
	}
	return len(cl.Names) == 0
}

// TestPlaceholders: texts that name nobody, and those that name a machine.
func TestPlaceholders(t *testing.T) {
	for _, text := range nobodyTexts {
		for _, value := range []string{text, strings.ToUpper(text), strings.ToLower(text),
			" " + strings.ReplaceAll(text, " ", "_") + ".", strings.ReplaceAll(text, " ", "")} {
			for _, c := range []Claims{{Serial: value}, {Board: value}, {Asset: value},
				{Host: value}} {
				if !isNobody(t, c) {
					t.Errorf("%+v names a machine", c)
				}
			}
		}
	}
	names := append(strings.Fields(somebodies),
		"VMware-56 4d 3a 11 22 33 44 55-9a bc de f0 11 22 33 44", "S/N 42", "Serial 4711",
		"Room 12345, left", "To be or not", "Notus 7",
		"Chassis 4", "OEM box 7", "by OEM 7", "Unit 12345")
	for _, text := range names {
		for _, c := range []Claims{{Serial: text}, {Board: text}, {Asset: text}, {Host: text}} {
			if isNobody(t, c) {
				t.Errorf("%+v names nobody", c)
			}
		}
	}
	if len(nobodyTexts) < 250 || len(names) < 300 {
		t.Errorf("only %d and %d texts", len(nobodyTexts), len(names))
	}
}

// TestPlaceholderUUIDs: the same of uuids, each as it stands and with its first
// fields in the other byte order.
func TestPlaceholderUUIDs(t *testing.T) {
	for uuid, nobody := range map[string]bool{
		"00000000-0000-0000-0000-000000000000": true,
		"ffffffff-ffff-ffff-ffff-ffffffffffff": true,
		"ffffffff-ffff-ffff-ffff-ffffffffff00": true,
		"ffffff00-ffff-ffff-ffff-ffffffffffff": true,
		"00ffffff-ffff-ffff-ffff-ffffffffffff": true,
		"01010101-0101-0101-0101-010101010101": true,
		"0a0a0a0a-0a0a-0a0a-0a0a-0a0a0a0a0a0a": true,
		"58585858-5858-5858-5858-585858585858": true,
		"fefefefe-fefe-fefe-fefe-fefefefefefe": true,
		"20202020-2020-2020-2020-202020202020": true,
		"a5a5a5a5-a5a5-a5a5-a5a5-a5a5a5a5a5a5": true,
		"77777777-7777-7777-7777-777777777777": true,
		"00010203-0405-0607-0809-0a0b0c0d0e0f": true,
		"01020304-0506-0708-090a-0b0c0d0e0f10": true,
		"0f0e0d0c-0b0a-0908-0706-050403020100": true,
		"00112233-4455-6677-8899-aabbccddeeff": true,
		"11111111-2222-3333-4444-555555555555": true,
		"aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee": true,
		"00000000-0000-0000-0000-111111111111": true,
		"12345678-1234-1234-1234-123456789012": true,
		"12345678-1234-1234-1234-123456789abc": true,
		"12345678-1234-5678-1234-567812345678": true,
		"12345678-1234-5678-90ab-cddeefaabbcc": true,
		"12345678-1234-5678-90ab-cdef12345678": true,
		"12345678-90ab-cdef-1234-567890abcdef": true,
		"01234567-89ab-cdef-0123-456789abcdef": true,
		"12345678-9abc-def0-1234-56789abcdef0": true,
		"12345678-ffff-ffff-ffff-ffffffffffff": true,
		"56f49712-ffff-ffff-ffff-ffffffffffff": true,
		"03000200-0400-0500-0006-000700080009": true,
		"07090201-0103-0301-0807-060504030201": true,
		"6ab5b300-538d-1014-9fb5-b0684d007b53": true,
		"890e2d14-cacd-45d1-ae66-bc80e8bfeb0f": true,
		"deadbeef-dead-beef-dead-beefdeadbeef": true,
		"4c4c4544-0000-2010-8020-80c04f202020": true,
		"4c4c4544-0020-2010-8020-a0c04f202020": true,
		"4c4c4544-0000-0010-8000-80c04f000000": true,

		"4c4c4544-0042-3510-8054-b4c04f564433": false, // Dell's with a tag
		"4c4c4544-0020-2010-8020-b4c04f564433": false,
		"4c4c4544-0031-3210-8033-b4c04f353637": false,
		"12345678-9abc-def0-1122-aabbccddeeff": false,
		"11111122-2222-3333-1122-aabbccddeeff": false,
		"77777777-8888-9999-1122-aabbccddeeff": false,
		// the end is a MAC: Supermicro's and ASRock's
		"00000000-0000-0000-0000-ac1f6b12ab34": false,
		"00000000-0000-1000-8000-ac1f6b12ab34": false,
		"ffffffff-ffff-ffff-ffff-ac1f6b12ab34": false,
		"fd000000-1500-0080-bf5a-5ffefffcfbbd": false,
		"0021cab6-4bfe-d581-2585-001e8cb8bbe7": false,
		"37393636-3530-4d32-3235-323430304a32": false, // HPE's, of product and serial number
		"30373237-3132-584d-5131-323334353637": false,
		"564d3a11-2233-4455-9abc-def011223344": false, // VMware's
		"ec2a1b2c-3d4e-5f60-7182-93a4b5c6d7e8": false,
		"f81d4fae-7dec-11d0-a765-00a0c91e6bf6": false,
		"6ba7b810-9dad-11d1-80b4-00c04fd430c8": false,
		"123e4567-e89b-12d3-a456-426614174000": false,
		"00000001-0002-0003-0004-000000000007": false,
	} {
		for _, value := range []string{uuid, strings.ToUpper(uuid), swapUUID(uuid),
			strings.ReplaceAll(uuid, "-", "")} {
			if isNobody(t, Claims{UUID: value}) != nobody {
				t.Errorf("%s: names nobody: %v", value, !nobody)
			}
		}
	}
}

// TestPlaceholderCards: of the addresses that people choose themselves only
// those names nobody that a model shows on every board.
func TestPlaceholderCards(t *testing.T) {
	for mac, nobody := range map[string]bool{
		"00:00:00:00:00:00": true, "ff:ff:ff:ff:ff:ff": true, "11-11-11-11-11-11": true,
		"BE:3A:F2:B6:05:9F": true, "be3a.f2b6.059f": true, "0a:ca:fe:f0:0d:04": true,
		"88:88:88:88:87:88": true, "00:a0:c9:00:00:00": true, "00:e0:4c:53:44:58": true,
		"00:11:22:33:44:55": false, "12:34:56:78:9a:bc": false, "01:23:45:67:89:ab": false,
		"de:ad:be:ef:00:01": false, "22:22:22:22:22:22": false, "aa:bb:cc:dd:ee:ff": false,
		"52:54:00:12:34:56": false, "02:00:00:00:00:01": false, "be:3a:f2:b6:05:9e": false,
		"00:16:3e:00:00:01": false, "0a:00:27:00:00:07": false,
	} {
		if isNobody(t, Claims{MACs: []string{mac}}) != nobody {
			t.Errorf("%s: names nobody: %v", mac, !nobody)
		}
	}
}

// TestPlaceholderLists: a list of a site is added to the built-in one, in the
// same form.
func TestPlaceholderLists(t *testing.T) {
	ours := Placeholders{}.With("# ours\nHouse (Number|No) <n>\nq...\nLeased *\n* pool\nRACK " +
		"<run>\n52:54:00:00:00:01\n5254.0000.0002\n525400000003\n" +
		"aaaa????-0000-0000-0000-000000000001\n(null\n*\n* a\nxy|z\n[none]\n").With(
		"[not of a manufacturer]\nBigCo")
	for value, nobody := range map[string]bool{
		"house number": true, "House No. 7": true, "HouseNo123": true, "House 7": false, "qq": true,
		"leased from BigCo": true, "the Pool": true, "Rack-12345": true, "Rack-7": false,
		"null": true, "xyz": true, "banana": false, "lea": false, "None": true,
		"SYS-1234567890": true, "BigCo": true,
	} {
		if ours.text(value, false) != nobody {
			t.Errorf("%q: names nobody: %v", value, !nobody)
		}
	}
	if ours.text("BigCo", true) || ours.text("Amazon EC2", true) ||
		!ours.text("System manufacturer", true) || !ours.text("House 12345678901", true) {
		t.Error("a maker is taken for nobody, or nobody for a maker")
	}
	for _, m := range []string{"52-54-00-00-00-01", "52-54-00-00-00-02", "52-54-00-00-00-03",
		"be-3a-f2-b6-05-9f"} {
		if !ours.card(m) {
			t.Errorf("%s is not in the list", m)
		}
	}
	if ours.card("52-54-00-00-00-04") || !ours.uuid("aaaa1234-0000-0000-0000-000000000001") ||
		ours.uuid("aaaa1234-0000-0000-0000-000000000002") {
		t.Error("the patterns of a site are not understood")
	}
}

// TestPlaceholderFile: each line of the built-in list says something.
func TestPlaceholderFile(t *testing.T) {
	for line := range strings.Lines(placeholderText) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '[' {
			continue
		}
		for _, text := range alternatives(line) {
			var c Claims
			switch text = strings.TrimSpace(text); {
			case isUUIDPattern(text):
				c.UUID = strings.NewReplacer("?", "7", "__", "20").Replace(text)
			case strings.Count(text, ":") == 5:
				c.MACs = []string{text}
			default:
				// the sign of Kelvin is a K, too
				c.Serial = strings.NewReplacer("<n>", "1", "<run>", "12345", "...", "", "*", "",
					"K", "\u212a").Replace(text)
			}
			if !isNobody(t, c) {
				t.Errorf("%q: %+v names a machine", line, c)
			}
		}
	}
}

// TestRandomSerials: whatever a maker's scheme gives is a name, except by a
// chance that is smaller than that of two equal ones.
func TestRandomSerials(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from string, n int) string {
		out := make([]byte, n)
		for i := range out {
			out[i] = from[r.IntN(len(from))]
		}
		return string(out)
	}
	const digits, alnum = "0123456789", "0123456789ABCDEFGHJKLMNPQRSTVWXYZ"
	lost := map[string]int{}
	const each = 20000
	for range each {
		for _, serial := range [][2]string{
			{"Dell", pick(alnum, 7)},
			{"HPE", "MXQ" + pick(digits, 3) + pick(alnum, 4)},
			{"Apple", "C02" + pick(alnum, 9)},
			{"Lenovo", "J1" + pick(alnum, 6)},
			{"Supermicro", "S" + pick(digits, 6) + "X" + pick(digits, 7)},
			{"Cisco", "FCH" + pick(digits, 4) + pick(alnum, 4)},
			{"number", pick(digits, 8)},
			{"asset", fmt.Sprintf("IT-%06d", r.IntN(1000000))},
			{"SN", "SN" + pick(digits, 8)},
		} {
			if isNobody(t, Claims{Serial: serial[1]}) {
				lost[serial[0]]++
			}
		}
		if isNobody(t, Claims{UUID: fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", r.Uint32(),
			r.IntN(1<<16), r.IntN(1<<12), r.IntN(1<<12), r.Int64N(1<<48))}) {
			lost["uuid"]++
		}
	}
	for scheme, n := range lost {
		t.Errorf("%s: %d of %d serials are lost", scheme, n, each)
	}
}

// FuzzPlaceholders: neither case nor punctuation nor blanks decide, and a text
// that names nobody does so as every claim but the maker.
func FuzzPlaceholders(f *testing.F) {
	for _, text := range nobodyTexts {
		f.Add(text)
	}
	for _, text := range strings.Fields(somebodies) {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var p Placeholders
		nobody := p.text(value, false)
		if p.text(value, true) && !nobody {
			t.Errorf("%q is nobody as a maker alone", value)
		}
		if again := p.text(bare(value), false); again != nobody {
			t.Errorf("%q names nobody: %v; without punctuation: %v", value, nobody, again)
		}
		if again := p.text(" "+value+"._", false); again != nobody {
			t.Errorf("%q names nobody: %v; with punctuation: %v", value, nobody, again)
		}
		if u, err := parseUUID(value); err == nil {
			p.uuid(u)
			p.uuid(swapUUID(u))
		}
		if m, err := parseMAC(value); err == nil {
			p.card(m)
		}
		Placeholders{}.With(value).text(value, false)
	})
}
