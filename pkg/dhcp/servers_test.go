//go:build linux

package dhcp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"pxesrv/pkg/lab"
	"pxesrv/pkg/lab/servers"
)

// Every form of the lines is accepted by the server's own checker.
func TestServersAccept(t *testing.T) {
	for name, o := range variants() {
		for _, kind := range Kinds {
			text, err := Print(kind, forKind(kind, o))
			if err != nil {
				t.Fatalf("%s, %s: %v", kind, name, err)
			}
			servers.CheckDHCP(t, kind, text)
		}
	}
}

// The checkers find what is wrong; otherwise their silence says nothing.
func TestCheckersRefuse(t *testing.T) {
	for _, kind := range Kinds {
		text, err := Print(kind, Options{URL: "http://192.0.2.10:4567"})
		if err != nil {
			t.Fatal(err)
		}
		var words = map[string][2]string{"isc": {"} elsif", "elsif"}, "kea": {"member(", "membr("},
			"dnsmasq": {"dhcp-match=", "dhcp-mtch="}, "dnsmasq-proxy": {`pxe-service=tag:ipxe,0`,
				`pxe-service=tag:ipxe,zero`}}[kind]
		broken := bytes.Replace(text, []byte(words[0]), []byte(words[1]), 1)
		if bytes.Equal(broken, text) {
			t.Fatalf("%s: nothing to break", kind)
		}
		quiet := &recorder{TB: t}
		if servers.CheckDHCP(quiet, kind, broken); !quiet.failed {
			t.Errorf("%s accepts %q", kind, words[1])
		}
	}
}

// recorder is a test that may fail without harm.
type recorder struct {
	testing.TB
	failed bool
}

func (r *recorder) Errorf(string, ...any) { r.failed = true }

// What a machine asks with, and is to get.
type client struct {
	name string
	arch uint16
	ipxe bool
	http bool   // its vendor class is HTTPClient
	file string // the boot file; empty: none
}

const (
	serverURL  = "http://192.0.2.10:4567"
	serverTFTP = "192.0.2.11" // not the DHCP server itself
)

var clients = []client{
	{"BIOS", 0, false, false, "undionly.kpxe"},
	{"UEFI x86-64 as 7", 7, false, false, "snponly.efi"},
	{"UEFI x86-64 as 9", 9, false, false, "snponly.efi"},
	{"UEFI arm64", 11, false, false, "ipxe-arm64.efi"},
	{"U-Boot arm64", 22, false, false, "ipxe-arm64.efi"},
	{"UEFI of 32 bits", 6, false, false, ""},
	{"UEFI RISC-V", 27, false, false, ""},
	{"UEFI LoongArch", 39, false, false, ""},
	{"HTTP Boot as 15", 15, false, true, serverURL + "/ipxe.efi"},
	{"HTTP Boot x86-64", 16, false, true, serverURL + "/ipxe.efi"},
	{"HTTP Boot arm64", 19, false, true, serverURL + "/ipxe-arm64.efi"},
	{"iPXE, BIOS", 0, true, false, serverURL + "/redirect"},
	{"iPXE, UEFI x86-64 as 7", 7, true, false, serverURL + "/redirect"},
	{"iPXE, UEFI x86-64 as 9", 9, true, false, serverURL + "/redirect"},
	{"iPXE, UEFI arm64", 11, true, false, serverURL + "/redirect"},
	{"iPXE, UEFI of 32 bits", 6, true, false, serverURL + "/redirect"},
	{"iPXE that says HTTP Boot", 16, true, true, serverURL + "/redirect"},
	{"iPXE that says HTTP Boot, arm64", 19, true, true, serverURL + "/redirect"},
}

// Every server tells every kind of machine what it is to boot, and no iPXE gets
// a loader: the real servers, asked by packets as the machines send them.
func TestServersAnswer(t *testing.T) {
	if !ownNetwork(t) {
		return
	}
	for _, kind := range Kinds {
		for _, shim := range []bool{false, true} {
			name := kind
			if shim {
				name += ", shim"
			}
			t.Run(name, func(t *testing.T) {
				o := Options{URL: serverURL, TFTP: serverTFTP, Subnet: "192.0.2.0/24",
					Range:  "192.0.2.100-192.0.2.199",
					Router: "192.0.2.1"}
				if shim {
					o.Shims = []string{"ipxe-shim.efi", "snponly-shim.efi"}
				}
				text, err := Print(kind, forKind(kind, o))
				if err != nil {
					t.Fatal(err)
				}
				lan := newLAN(t)
				servers.StartDHCP(t, kind, nil, serverNIC, text)
				for i, c := range clients {
					if shim {
						c.file = strings.NewReplacer("snponly.efi", "snponly-shim.efi", "/ipxe.efi",
							"/ipxe-shim.efi").Replace(c.file)
					}
					got := lan.boot(t, kind == "dnsmasq-proxy", c, byte(i+1))
					if got.file != c.file {
						t.Errorf("%s is told to boot %q, want %q", c.name, got.file, c.file)
					}
					if c.file != "" && !c.ipxe && !c.http &&
						got.next != netip.MustParseAddr(serverTFTP) {
						t.Errorf("%s: the TFTP server is %s, want %s", c.name, got.next, serverTFTP)
					}
					if c.http && !c.ipxe && got.vendor != "HTTPClient" {
						t.Errorf("%s: option 60 is %q, and it would throw the answer away",
							c.name, got.vendor)
					}
					// A proxy repeats whatever class it is asked with.
					if got.vendor == "HTTPClient" &&
						(!c.http || c.ipxe && kind != "dnsmasq-proxy") {
						t.Errorf("%s: option 60 is HTTPClient", c.name)
					}
				}
			})
		}
	}
}

// ownNetwork gives the test a network of its own, in its thread: that of a
// namespace for root, and one of a whole new test program in a namespace for
// others. It is false when such a program has run the test.
func ownNetwork(t *testing.T) bool {
	t.Helper()
	lab.Slow(t)
	if os.Geteuid() != 0 {
		const inside = "PXESRV_TEST_INSIDE"
		if os.Getenv(inside) != "" {
			t.Fatal("the network namespace is not ours")
		}
		if out, err := exec.Command("unshare", "-Urn", "true").CombinedOutput(); err != nil {
			t.Skipf("needs root, or user namespaces for everybody (unshare -Urn: %v: %s)", err,
				bytes.TrimSpace(out))
		}
		cmd := exec.Command("unshare", "-Urn", os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		out, err := cmd.CombinedOutput()
		if t.Logf("%s", out); err != nil {
			t.Errorf("in a user namespace: %v", err)
		}
		return false
	}
	return true
}

const (
	serverNIC, clientNIC = "server0", "client0"
	serverAddr           = "192.0.2.5"
)

// lan is a cable between the server's network card and the card of machines
// that boot. The machines have no network stack: they send and read whole
// frames.
type lan struct {
	socket    int
	clientMAC net.HardwareAddr
	serverMAC net.HardwareAddr
}

// newLAN makes the cable in a new network, into which it locks the test's
// thread.
func newLAN(t *testing.T) *lan {
	t.Helper()
	// and never unlocked: the thread, and the network with it, end with the
	// test
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("needs the right to make a network of its own: %v", err)
	}
	l := &lan{clientMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		serverMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}}
	for _, line := range []string{
		"link set lo up",
		fmt.Sprintf("link add %s address %s type veth peer name %s address %s", serverNIC,
			l.serverMAC, clientNIC, l.clientMAC),
		"addr add " + serverAddr + "/24 dev " + serverNIC,
		"link set " + serverNIC + " up",
		"link set " + clientNIC + " up",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", line, err, out)
		}
	}
	card, err := net.InterfaceByName(clientNIC)
	if err != nil {
		t.Fatal(err)
	}
	const all = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8 // in network order
	if l.socket, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC,
		all); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l.socket) })
	if err := unix.Bind(l.socket,
		&unix.SockaddrLinklayer{Protocol: all, Ifindex: card.Index}); err != nil {
		t.Fatal(err)
	}
	return l
}

// answer is what a machine heard.
type answer struct {
	kind    byte // offer 2, acknowledgement 5
	yours   netip.Addr
	next    netip.Addr
	file    string
	server  netip.Addr // option 54
	vendor  string     // option 60
	options map[byte][]byte
}

// boot is a machine that asks until it knows its boot file, as PXE 2.1, UEFI
// and iPXE do: discover, request; beside a DHCP server that knows nothing of
// booting, the proxy's offer, and where that has no file a request to the
// proxy's port 4011.
func (l *lan) boot(t *testing.T, proxy bool, c client, n byte) answer {
	t.Helper()
	mac := net.HardwareAddr{2, 0, 0, 0, 1, n}
	xid := 0x1000 + uint32(n)<<8
	own := netip.AddrFrom4([4]byte{192, 0, 2, 200 + n}) // what another DHCP server has given it
	offer, ok := l.ask(t, c, mac, 1, xid, frame{}, nil)
	if !ok {
		if c.file != "" {
			t.Errorf("%s gets no answer", c.name)
		}
		return answer{}
	}
	if !proxy {
		ack, ok := l.ask(t, c, mac, 3, xid+1, frame{}, map[byte][]byte{50: offer.yours.AsSlice(),
			54: offer.server.AsSlice()})
		if !ok || ack.kind != 5 {
			t.Errorf("%s: no acknowledgement, but %+v", c.name, ack)
		}
		if ack.file != offer.file || ack.next != offer.next || ack.vendor != offer.vendor {
			t.Errorf("%s: offered and acknowledged differ:\n%+v\n%+v", c.name, offer, ack)
		}
		return ack
	}
	if offer.yours != netip.IPv4Unspecified() {
		t.Errorf("%s: the proxy gives out %s", c.name, offer.yours)
	}
	if c.http || c.file == "" { // HTTP Boot takes the offer as it is
		return offer
	}
	l.neighbour(t, own, mac)
	to := frame{from: own, to: netip.MustParseAddr(serverAddr), port: 4011}
	heard := offer
	for try := range 3 {
		more := map[byte][]byte{54: offer.server.AsSlice()}
		if item := menuItem(heard.options[43]); item != nil {
			more[43] = append(append([]byte{71, 4}, item...), 0, 0, 255)
		} else if heard.file != "" {
			return heard
		}
		next, ok := l.ask(t, c, mac, 3, xid+1+uint32(try), to, more)
		if !ok {
			t.Errorf("%s: no answer on port 4011 to %v", c.name, more)
			return heard
		}
		heard = next
		if heard.file != "" {
			return heard
		}
	}
	return heard
}

// menuItem returns the type of the first item of a PXE boot menu, option 43.9;
// nil: there is no menu.
func menuItem(option []byte) []byte {
	if menu := parseOptions(option)[9]; len(menu) >= 2 {
		return menu[:2]
	}
	return nil
}

func (l *lan) neighbour(t *testing.T, addr netip.Addr, mac net.HardwareAddr) {
	t.Helper()
	if out, err := exec.Command("ip", "neigh", "replace", addr.String(), "lladdr", mac.String(),
		"dev", serverNIC).CombinedOutput(); err != nil {
		t.Fatalf("ip neigh: %v: %s", err, out)
	}
}

// frame says from where to where a packet goes; the zero value is everybody.
type frame struct {
	from, to netip.Addr
	port     uint16
}

// ask sends a packet, again after a while, until it is answered. A machine that
// nobody has to answer waits for 2 seconds.
func (l *lan) ask(t *testing.T, c client, mac net.HardwareAddr, kind byte, xid uint32, to frame,
	more map[byte][]byte) (answer, bool) {
	t.Helper()
	patience := 30 * time.Second
	if c.file == "" {
		patience = 2 * time.Second
	}
	packet := l.packet(c, mac, kind, xid, to, more)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := unix.Write(l.socket, packet); err != nil {
			t.Fatal(err)
		}
		for again := time.Now().Add(time.Second); time.Now().Before(again); {
			wait := unix.NsecToTimeval(int64(100 * time.Millisecond))
			if err := unix.SetsockoptTimeval(l.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO,
				&wait); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 2048)
			size, err := unix.Read(l.socket, buf)
			if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			if a, ok := readAnswer(buf[:size], xid); ok {
				return a, true
			}
		}
	}
	return answer{}, false
}

// packet is a whole Ethernet frame with a DHCP message (RFC 2131, 2).
func (l *lan) packet(c client, mac net.HardwareAddr, kind byte, xid uint32, to frame,
	more map[byte][]byte) []byte {
	m := make([]byte, 240)
	m[0], m[1], m[2] = 1, 1, 6
	binary.BigEndian.PutUint32(m[4:], xid)
	copy(m[28:], mac)
	copy(m[236:], []byte{99, 130, 83, 99})
	option := func(code byte, value ...byte) {
		m = append(append(m, code, byte(len(value))), value...)
	}
	option(53, kind)
	option(57, 1472>>8, 1472&0xff)
	option(93, byte(c.arch>>8), byte(c.arch))
	option(94, 1, 3, 1)
	option(97, append([]byte{0}, make([]byte, 16)...)...)
	class := "PXEClient"
	if c.http {
		class = "HTTPClient"
	}
	option(60, fmt.Appendf(nil, "%s:Arch:%05d:UNDI:003001", class, c.arch)...)
	option(55, 1, 3, 6, 43, 66, 67) // without 60: a server has to send that unasked
	if c.ipxe {
		option(77, []byte("iPXE")...)
		option(175, 177, 5, 1, 0x10, 0xec, 0x81, 0x39)
	}
	for code, value := range more {
		option(code, value...)
	}
	m = append(m, 255)

	source, target, port := netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"),
		uint16(67)
	hardware := net.HardwareAddr{255, 255, 255, 255, 255, 255}
	if to.port != 0 {
		source, target, port, hardware = to.from, to.to, to.port, l.serverMAC
		copy(m[12:], source.AsSlice())
	} else {
		m[10] = 0x80 // the answer is to go to everybody
	}
	udp := make([]byte, 8)
	binary.BigEndian.PutUint16(udp[0:], 68)
	binary.BigEndian.PutUint16(udp[2:], port)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(m))) // and no checksum, which IPv4 allows
	ip := []byte{0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0}
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(m)))
	ip = append(append(ip, source.AsSlice()...), target.AsSlice()...)
	sum := uint32(0)
	for i := 0; i < len(ip); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(ip[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(ip[10:], ^uint16(sum))
	return bytes.Join([][]byte{hardware, mac, {8, 0}, ip, udp, m}, nil)
}

// readAnswer reads a frame, if it is an answer to the question with that
// number.
func readAnswer(b []byte, xid uint32) (answer, bool) {
	const head = 14 + 20 + 8
	if len(b) < head+240 || b[23] != 17 {
		return answer{}, false
	}
	m := b[head:]
	if m[0] != 2 || binary.BigEndian.Uint32(m[4:]) != xid {
		return answer{}, false
	}
	address := func(b []byte) netip.Addr { a, _ := netip.AddrFromSlice(b); return a }
	text := func(b []byte) string { return string(bytes.TrimRight(b, "\x00")) }
	a := answer{options: parseOptions(m[240:]), yours: address(m[16:20]), next: address(m[20:24])}
	if name, _, _ := bytes.Cut(m[108:236], []byte{0}); a.options[52] == nil {
		a.file = string(name)
	}
	if name := a.options[67]; name != nil {
		a.file = text(name)
	}
	if kind := a.options[53]; len(kind) == 1 {
		a.kind = kind[0]
	}
	a.server, a.vendor = address(a.options[54]), text(a.options[60])
	return a, true
}

func parseOptions(b []byte) map[byte][]byte {
	all := map[byte][]byte{}
	for len(b) >= 2 && b[0] != 255 {
		if b[0] == 0 {
			b = b[1:]
			continue
		}
		n := int(b[1])
		if len(b) < 2+n {
			break
		}
		all[b[0]] = b[2 : 2+n]
		b = b[2+n:]
	}
	return all
}
