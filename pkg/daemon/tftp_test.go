package daemon

import (
	"net"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/config"
)

// TestTFTP_Names: a name over TFTP is taken as it is, else without the end of
// the options behind it, else without its case; and what is not given out under
// its own name is not given out under another.
func TestTFTP_Names(t *testing.T) {
	t.Parallel()
	loaders := plant(t, tree{"snponly.efi": "MZ"})
	c := serve(t, tree{"default": say("default"), "boot/grubx64.efi": "grub", "boot/BCD": "one",
		"boot/bcd": "two", "BOOTMGR.EXE": "bootmgr",
		"protect/web1": "secret", "static/web1": "secret", ".git/config": "secret",
		"once/web1":       "-> ../default",
		"../outside/file": "secret", "out": "-> ../outside"}, func(c *config.Config) {
		c.TFTP, c.LoaderDirs = []string{"127.0.0.1:0"}, []string{loaders}
	})
	line := c.wantLog("listening", "udp:")
	_, at, _ := strings.Cut(line, "udp:")
	at, _, _ = strings.Cut(at, " ")
	for _, test := range []struct{ name, want, log string }{
		{`boot\grubx64.efi`, "grub", ""},
		{`\Boot\grubx64.efi`, "grub", " file=/boot/grubx64.efi"},
		{`\BOOT\GRUBX64.EFI`, "grub", ""},
		{"boot/grubx64.efi\xff", "grub", " file=/boot/grubx64.efi"},
		{"Boot/Grubx64.EFI\xff\xff", "grub", ""},
		{"bootmgr.exe", "bootmgr", " file=/BOOTMGR.EXE"},
		{"boot/BCD", "one", ""},
		{`\boot\bcd`, "two", ""},
		{"SNPONLY.EFI", "MZ", " file=/snponly.efi"},
		{"IPXE/snponly.EFI\xff", "MZ", ""},
		{`\Boot\Bcd`, "", "Bcd may be BCD or bcd"},
		{"PROTECT/web1", "", ""},
		{"Protect/WEB1", "", ""},
		{"STATIC/web1\xff", "", ""},
		{"Once/web1", "", ""},
		{".GIT/config", "", ""},
		{"OUT/file", "", ""},
		{"../outside/FILE", "", ""},
		{"nothing\xff", "", ""},
	} {
		got := tftpGet(t, at, test.name)
		if got != test.want {
			t.Errorf("%q: %q, want %q", test.name, got, test.want)
		}
		if test.log != "" {
			c.wantLog("msg=tftp", test.log)
		}
	}
}

// tftpGet is a file of one block by TFTP, or "" when there is none.
func tftpGet(t *testing.T, at, name string) string {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", at)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 1024)
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := conn.WriteToUDP([]byte("\x00\x01"+name+"\x00octet\x00"), to); err != nil {
			t.Fatal(err)
		}
		conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, from, err := conn.ReadFromUDP(b)
		switch {
		case err != nil:
		case n >= 4 && b[1] == 3:
			conn.WriteToUDP([]byte{0, 4, b[2], b[3]}, from)
			return string(b[4:n])
		case n >= 4 && b[1] == 5 && strings.HasPrefix(string(b[4:n]),
			"there is nothing under this name"):
			return ""
		default:
			t.Fatalf("%q: %q", name, b[:n])
		}
	}
	t.Fatalf("%q: no answer", name)
	return ""
}
