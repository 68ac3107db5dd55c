// Package config is what a site sets: a checked, typed Config, and the table of
// settings from which flags, environment variables and documentation are made.
//
// A flag wins over its environment variable, that over the configuration file,
// and that over the default. The setting once.max-per-day is the flag
// --once-max-per-day, the variable PXESRV_ONCE_MAX_PER_DAY, and in the file
//
//	once:
//	  max-per-day: 10
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config is a checked configuration. Start from Default.
type Config struct {
	Root      string   // the document root
	Listen    []string // addresses to listen on; empty: Address and Port
	Address   string
	Port      int
	TFTP      []string // addresses to answer TFTP on; empty: none
	URL       string   // where clients reach the HTTP server; "": at the address that they asked
	Log       string   // file to log to; "": standard error
	LogFormat string   // text or json
	AccessLog string   // file of the access log; "": none

	TLSListen       []string // addresses to answer HTTPS on, beside HTTP; empty: none
	TLSCert         string   // file of the certificate
	TLSKey          string   // file of its key
	TLSClientListen []string // addresses to answer HTTPS on for clients with a certificate
	TLSClientCA     string   // file of the CAs of those

	Identify     bool           // plain iPXE requests are first asked who they are
	NoAddress    []netip.Prefix // networks whose addresses do not identify a machine
	Placeholders string         // file with more values that identify no machine
	Trusted      []netip.Prefix // proxies whose X-Forwarded-For counts
	Protocol     []string       // addresses where proxies speak the PROXY protocol
	Clients      []netip.Prefix // networks that are answered at all; empty: all

	Allow []string // directories outside the root that links may lead to
	Show  []string // dot names that are served as files

	PublicEntries bool // static/ is served as files
	CompatGet     bool // GET clears as POST does

	LoaderDirs []string // directories of boot loaders, after ipxe/ of the root

	State string // directory of keys, outside the tree; "": see StateDir

	ISOHosts   string       // CSV of the hosts whose images are served; "": none
	ISOServers []string     // boot servers of hosts that name none; empty: URL
	ISODNS     []netip.Addr // DNS servers of hosts that name none
	ISOLKRN    string       // ipxe.lkrn for images; "": looked for
	ISOEFI     string       // ipxe.efi for images
	ISOARM64   string       // ipxe.efi for 64-bit ARM; "": none
	ISOShim    string       // shim for images; "": none
	ISOPartial bool         // images may leave out a firmware
	ISOSign    string       // auto, on or off
	ISOKeys    string       // key file; "": iso.keys in the state directory

	OnceDir          string
	OnceResendWithin time.Duration
	OnceConfirm      time.Duration
	OnceMaxPerDay    int
	OnceKeep         time.Duration
	OnceKeepMax      int

	Limits Limits
}

// Limits keep one client, or a flood of them, from taking everything.
type Limits struct {
	Connections   int           // in all; more wait in the kernel's queue
	PerAddress    int           // from one address, but loopback and proxies; more are closed
	Handshake     time.Duration // for that of TLS
	HeaderTimeout time.Duration // for the head of a request
	ReadTimeout   time.Duration // for a whole request
	IdleTimeout   time.Duration // between two requests of a connection
	WriteTimeout  time.Duration // for the next 60 KiB of an answer to get through
	HeaderBytes   int           // of a request's head
	Decision      time.Duration // for one decision, or the opening of a file
	Hanging       int           // decisions that may hang on a disk; more are refused
	Stop          time.Duration // for answers under way when the daemon stops

	TFTPTransfers  int // at the same time; more are refused
	TFTPPerAddress int // to one address
}

// Default is the configuration in which nothing is set.
func Default() Config {
	return Config{
		Port:     4567,
		Identify: true,
		Show:     []string{".treeinfo", ".discinfo", ".disk"},

		// The packages called ipxe of Debian and Ubuntu, those of Fedora and
		// its kin, and what Debian puts beside the kernel.
		LoaderDirs: []string{"/usr/lib/ipxe", "/usr/share/ipxe", "/boot"},

		ISOSign: "auto",

		OnceResendWithin: 60 * time.Second,
		OnceConfirm:      2 * time.Second,
		OnceMaxPerDay:    10,
		OnceKeep:         90 * 24 * time.Hour,
		OnceKeepMax:      10000,

		LogFormat: "text",
		Limits: Limits{
			Connections: 12000, PerAddress: 256, HeaderBytes: 16 << 10, Hanging: 256,
			Handshake: 20 * time.Second, HeaderTimeout: 5 * time.Second,
			ReadTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second,
			WriteTimeout: 60 * time.Second, Decision: 5 * time.Second, Stop: 30 * time.Second,
			TFTPTransfers: 2048, TFTPPerAddress: 8,
		},
	}
}

// ErrNoRoot is returned by Check when nothing names the document root.
var ErrNoRoot error = noRoot{}

type noRoot struct{}

func (noRoot) Error() string { return "no document root" }

// Hint is what a person can do.
func (noRoot) Hint() string { return "name it with --root DIR or PXESRV_ROOT=DIR" }

// Check says what is wrong with a configuration before anything is opened, and
// makes its paths absolute. It looks at the disk last: when the disk does not
// answer, the error is a *Hangs, and everything else is right.
func (c *Config) Check() error {
	if c.Root == "" {
		return ErrNoRoot
	}
	for _, s := range c.Settings() {
		if p, ok := s.Value.(*path); ok {
			if err := p.makeAbsolute(); err != nil {
				return err
			}
		}
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	seen := *c // a check that hangs may read it later
	if err := Bounded("the document root "+c.Root, seen.checkRoot); err != nil {
		return err
	}
	return Bounded("the disk of the keys, or of the state directory,", seen.checkState)
}

func (c *Config) checkRoot() error {
	info, err := os.Stat(c.Root)
	switch {
	case err != nil:
		return fmt.Errorf("the document root cannot be used: %w", err)
	case !info.IsDir():
		return fmt.Errorf("the document root %s is not a directory", c.Root)
	}
	return nil
}

// checkTLS checks that certificates, keys and addresses go together.
func (c *Config) checkTLS() error {
	switch {
	case c.TLSCert != "" && c.TLSKey == "":
		return errors.New(
			"there is a certificate (tls.cert) and no key: name its file with --tls-key")
	case c.TLSKey != "" && c.TLSCert == "":
		return errors.New(
			"there is a key (tls.key) and no certificate: name its file with --tls-cert")
	case c.TLSCert == "" && len(c.TLSListen)+len(c.TLSClientListen) > 0:
		return errors.New("HTTPS needs a certificate and its key: name their files with " +
			"--tls-cert and --tls-key")
	case c.TLSClientCA == "" && len(c.TLSClientListen) > 0:
		return errors.New("tls.client-listen needs the CA that clients' certificates come from: " +
			"name its file with --tls-client-ca")
	}
	everywhere := slices.Concat(c.Addresses(), c.TLSListen, c.TLSClientListen)
	for i, a := range everywhere {
		if slices.Contains(everywhere[:i], a) && !strings.HasSuffix(a, ":0") {
			return fmt.Errorf("%s is to be listened on twice; HTTP and HTTPS need a port each", a)
		}
	}
	for _, a := range c.Protocol {
		if !slices.Contains(everywhere, a) {
			return fmt.Errorf("proxies.protocol names %s, which is not listened on; it has to be "+
				"one of %s, as written there", a, strings.Join(everywhere, ", "))
		}
	}
	if len(c.Protocol) > 0 && len(c.Trusted) == 0 {
		return errors.New("proxies.protocol lets trusted proxies in, and nobody else: name them " +
			"with --proxies-trusted")
	}
	return nil
}

// Addresses are those to answer plain HTTP on.
func (c *Config) Addresses() []string {
	if len(c.Listen) > 0 {
		return c.Listen
	}
	return []string{net.JoinHostPort(c.Address, strconv.Itoa(c.Port))}
}
