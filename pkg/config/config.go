// Package config is what a site sets: a checked, typed Config, and the table of settings from which flags, environment
// variables and documentation are made.
//
// A flag wins over its environment variable, that over the configuration file, and that over the default. The setting
// once.max-per-day is the flag --once-max-per-day, the variable PXESRV_ONCE_MAX_PER_DAY, and in the file
//
//	once:
//	  max-per-day: 10
package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pxesrv/pkg/ipxe"
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
	NoAddress    []netip.Prefix // networks whose addresses are no names
	Placeholders string         // file with more values that name no machine
	Trusted      []netip.Prefix // proxies whose X-Forwarded-For counts
	Protocol     []string       // of all addresses to listen on, those where proxies speak the PROXY protocol
	Clients      []netip.Prefix // who is answered at all; empty: everyone

	Allow []string // directories outside the root that links may lead to
	Show  []string // dot names that are served as files

	PublicEntries bool // static/ is served as files
	CompatGet     bool // GET clears as POST does

	LoaderDirs []string // directories of boot loaders, after ipxe/ of the root

	State string // directory of what is no order and no tree: keys; "": see StateDir

	ISOHosts   string       // CSV of the hosts whose images are given out; "": none
	ISOServers []string     // boot servers of hosts that name none; empty: URL
	ISODNS     []netip.Addr // DNS servers of hosts that name none
	ISOLKRN    string       // ipxe.lkrn for images; "": looked for
	ISOEFI     string       // ipxe.efi for images
	ISOARM64   string       // ipxe.efi for 64-bit ARM; "": none
	ISOShim    string       // shim for images; "": none
	ISOPartial bool         // images may leave out ways to boot
	ISOSign    string       // auto, on or off
	ISOKeys    string       // key file; "": iso.keys in the state directory

	OnceDir       string
	OnceRegrant   time.Duration
	OnceConfirm   time.Duration
	OnceMaxPerDay int
	OnceKeep      time.Duration
	OnceKeepMax   int

	Limits Limits
}

// Limits keep one client, or one bad day, from taking everything.
type Limits struct {
	Connections   int           // in all; more wait in the kernel's queue
	PerAddress    int           // from one address, loopback and trusted proxies excepted; more are closed
	Handshake     time.Duration // for the beginning of TLS
	HeaderTimeout time.Duration // for the head of a request
	ReadTimeout   time.Duration // for a whole request
	IdleTimeout   time.Duration // between two requests of a connection
	WriteTimeout  time.Duration // for the next 60 KiB of an answer to get through
	HeaderBytes   int           // of a request's head
	Decision      time.Duration // for one decision, or the opening of a file
	Hanging       int           // decisions that hang on a disk before no new one is begun
	Stop          time.Duration // for answers under way when the daemon ends

	TFTPTransfers  int // at the same time; more are refused
	TFTPPerAddress int // to one address
}

// Default is the configuration of somebody who set nothing.
func Default() Config {
	return Config{
		Port:     4567,
		Identify: true,
		Show:     []string{".treeinfo", ".discinfo", ".disk"},

		// The packages called ipxe of Debian and Ubuntu, of Fedora and its kin, and what Debian puts beside the kernel.
		LoaderDirs: []string{"/usr/lib/ipxe", "/usr/share/ipxe", "/boot"},

		ISOSign: "auto",

		OnceRegrant:   60 * time.Second,
		OnceConfirm:   2 * time.Second,
		OnceMaxPerDay: 10,
		OnceKeep:      90 * 24 * time.Hour,
		OnceKeepMax:   10000,

		LogFormat: "text",
		Limits: Limits{
			Connections: 12000, PerAddress: 256, HeaderBytes: 16 << 10, Hanging: 256,
			Handshake: 20 * time.Second, HeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 30 * time.Second,
			WriteTimeout: 60 * time.Second, Decision: 5 * time.Second, Stop: 30 * time.Second,
			TFTPTransfers: 2048, TFTPPerAddress: 8,
		},
	}
}

// Setting is one thing that can be set, by flag or environment.
type Setting struct {
	Key   string // "once.regrant"
	Short string // one-letter flag, or ""
	Help  string // one line, what it does
	Value Value
	Serve bool // only the daemon needs it
}

// Flag is the name of the setting's flag, without the dashes.
func (s Setting) Flag() string { return strings.ReplaceAll(s.Key, ".", "-") }

// Env is the name of the setting's environment variable.
func (s Setting) Env() string {
	return "PXESRV_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(s.Key))
}

// Value reads a setting from text and writes it as text. It is what pflag calls a Value.
type Value interface {
	Set(text string) error
	String() string
	Type() string
}

// Settings is the table of everything that can be set in c.
func (c *Config) Settings() []Setting {
	return []Setting{
		{"root", "", "document root: the tree of default, once/, static/, protect/", &text{&c.Root, "dir"}, false},
		{"listen", "", "address to listen on, host:port or unix:/path; may be given several times (instead of --address and --port)", &list{to: &c.Listen, kind: "addr", check: checkAddress}, true},
		{"port", "p", "port to listen on", &number{&c.Port, 0, 65535}, true},
		{"address", "o", "address to listen on; empty means every address, IPv4 and IPv6", &text{&c.Address, "ip"}, true},
		{"tftp", "", "address to answer TFTP on, host:port; --tftp alone means :69; may be given several times; empty means no TFTP", &list{to: &c.TFTP, kind: "addr", bare: ":69", check: checkUDP}, true},
		{"url", "", "where clients reach the HTTP server, http://boot.example; empty means the address that they asked by TFTP", &address{&c.URL}, false},
		{"log", "", "file to append the log to; empty means standard error", &text{&c.Log, "file"}, true},
		{"log-format", "", "text or json", &choice{&c.LogFormat, []string{"text", "json"}}, true},
		{"access-log", "", "file to append a line for each HTTP answer to, as web servers write it; empty means none", &text{&c.AccessLog, "file"}, true},
		{"tls.listen", "", "address to answer HTTPS on, beside HTTP, host:port; may be given several times; empty means none", &list{to: &c.TLSListen, kind: "addr", check: checkTCP}, true},
		{"tls.cert", "", "file of the certificate (PEM), the server's own first; read again when it changes", &text{&c.TLSCert, "file"}, false},
		{"tls.key", "", "file of the certificate's key (PEM); read again when it changes", &text{&c.TLSKey, "file"}, false},
		{"tls.client-listen", "", "address to answer HTTPS on for clients that have a certificate, and no others; may be given several times", &list{to: &c.TLSClientListen, kind: "addr", check: checkTCP}, true},
		{"tls.client-ca", "", "file of the CAs (PEM) that certificates of clients must come from; read again when it changes", &text{&c.TLSClientCA, "file"}, false},
		{"clients.allow", "", "network that is answered at all; may be given several times; empty means everyone", &prefixes{to: &c.Clients}, true},
		{"identify", "", "ask iPXE who it is when its request says nothing", &boolean{&c.Identify}, true},
		{"identity.no-ip", "", "network (NAT) whose addresses are no names; may be given several times", &prefixes{to: &c.NoAddress}, false},
		{"identity.placeholders", "", "file with more values that name no machine, one a line", &text{&c.Placeholders, "file"}, false},
		{"proxies.trusted", "", "network of proxies whose X-Forwarded-For counts; may be given several times", &prefixes{to: &c.Trusted}, true},
		{"proxies.protocol", "", "one of the addresses to listen on, where trusted proxies, and nobody else, speak the PROXY protocol; may be given several times", &list{to: &c.Protocol, kind: "addr", check: checkTCP}, true},
		{"paths.allow", "", "directory outside the root that links may lead to; may be given several times", &list{to: &c.Allow, kind: "dir", check: checkAbsolute}, false},
		{"paths.show", "", "dot name that is served as a file; may be given several times", &list{to: &c.Show, kind: "name"}, false},
		{"public-entries", "", "serve what is in static/ as files, which anybody can read then", &boolean{&c.PublicEntries}, false},
		{"compat-get", "", "clear what GRUB has for a machine by GET /grub/clear/VERSION, too, not by POST alone", &boolean{&c.CompatGet}, true},
		{"loaders.dirs", "", "directory of boot loaders, after ipxe/ of the root; may be given several times; empty means none", &list{to: &c.LoaderDirs, kind: "dir", check: checkAbsolute}, false},
		{"state", "", "directory of keys, outside the root; empty means /var/lib/pxesrv where that can be written to, else pxesrv in $XDG_STATE_HOME", &text{&c.State, "dir"}, false},
		{"iso.hosts", "", "CSV of the hosts whose boot images are served below /iso/; empty means none", &text{&c.ISOHosts, "file"}, false},
		{"iso.server", "", "boot server of hosts that name none; may be given several times; empty means url", &list{to: &c.ISOServers, kind: "url", check: checkServer}, false},
		{"iso.dns", "", "DNS server of hosts that name none; may be given several times", &addresses{to: &c.ISODNS}, false},
		{"iso.lkrn", "", "ipxe.lkrn of images; empty means the first one in loaders.dirs and the places of distributions", &text{&c.ISOLKRN, "file"}, false},
		{"iso.efi", "", "ipxe.efi of images; empty means the first one in loaders.dirs and the places of distributions", &text{&c.ISOEFI, "file"}, false},
		{"iso.efi-arm64", "", "ipxe.efi for 64-bit ARM of images; empty means that they have none", &text{&c.ISOARM64, "file"}, false},
		{"iso.shim", "", "shim of images, for Secure Boot; empty means that they have none", &text{&c.ISOShim, "file"}, false},
		{"iso.allow-partial", "", "images may leave out a way to boot (BIOS, UEFI) that cannot do what the host needs", &boolean{&c.ISOPartial}, false},
		{"iso.sign", "", "auto, on or off: host= must be signed; auto means on when there is a key file", &choice{&c.ISOSign, []string{"auto", "on", "off"}}, false},
		{"iso.keys", "", "file of the keys that sign host=; empty means iso.keys in the state directory", &text{&c.ISOKeys, "file"}, false},
		{"once.dir", "", "directory of the one-time orders and their journal; empty means once/ in the root", &text{&c.OnceDir, "dir"}, false},
		{"once.regrant", "", "how long an order that did not arrive is sent again to the machine that retries; 0: never", &duration{&c.OnceRegrant}, false},
		{"once.confirm", "", "how long to wait for the client's TCP to acknowledge an order", &duration{&c.OnceConfirm}, true},
		{"once.max-per-day", "", "orders of one name in 24 h before it is held; 0: never held", &number{&c.OnceMaxPerDay, 0, 1 << 30}, false},
		{"once.keep", "", "how long served orders stay in the journal; 0: for ever", &duration{&c.OnceKeep}, true},
		{"once.keep-max", "", "how many served orders older than a day stay in the journal; 0: all", &number{&c.OnceKeepMax, 0, 1 << 30}, true},
		{"limits.connections", "", "connections in all; more wait in the kernel's queue", &number{&c.Limits.Connections, 1, 1 << 20}, true},
		{"limits.per-address", "", "connections from one address, loopback and trusted proxies excepted; more are closed", &number{&c.Limits.PerAddress, 1, 1 << 20}, true},
		{"limits.handshake", "", "time for the handshake of TLS, in which clients may ask others whether to trust the certificate", &duration{&c.Limits.Handshake}, true},
		{"limits.header-timeout", "", "time for the head of a request", &duration{&c.Limits.HeaderTimeout}, true},
		{"limits.read-timeout", "", "time for a whole request", &duration{&c.Limits.ReadTimeout}, true},
		{"limits.idle-timeout", "", "time between two requests of a connection", &duration{&c.Limits.IdleTimeout}, true},
		{"limits.write-timeout", "", "time for the next 60 KiB of an answer to get through", &duration{&c.Limits.WriteTimeout}, true},
		{"limits.header-bytes", "", "bytes of a request's head", &number{&c.Limits.HeaderBytes, 4096, 1 << 20}, true},
		{"limits.decision", "", "time for a decision, or for opening a file; then the answer is 503", &duration{&c.Limits.Decision}, true},
		{"limits.hanging", "", "decisions that hang on a disk before no new one is begun", &number{&c.Limits.Hanging, 1, 1 << 20}, true},
		{"limits.tftp-transfers", "", "transfers by TFTP at the same time; more are refused", &number{&c.Limits.TFTPTransfers, 1, 1 << 20}, true},
		{"limits.tftp-per-address", "", "transfers by TFTP to one address at the same time; more are refused", &number{&c.Limits.TFTPPerAddress, 1, 1 << 20}, true},
		{"limits.stop", "", "time for answers under way when the daemon ends", &duration{&c.Limits.Stop}, true},
	}
}

// FileEnv is the variable that names the configuration file, as the flag --config does.
const FileEnv = "PXESRV_CONFIG"

// SystemFile is the configuration file of an installed daemon. A command that is told no file reads it where it is there, unless it is
// told another document root than the one there: so an administrator's commands mean what the daemon serves, and with its settings.
const SystemFile = "/etc/pxesrv/pxesrv.yaml"

// serviceLink is what Kubernetes writes of a service beside a pod.
var serviceLink = regexp.MustCompile(`^(tcp|udp|sctp)://`)

// Environ reads the variables PXESRV_* of an environment into c. It returns warnings about variables that set nothing here.
func (c *Config) Environ(environ []string) (warnings []string, err error) {
	settings := c.Settings()
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if !strings.HasPrefix(name, "PXESRV_") || strings.HasPrefix(name, "PXESRV_TEST_") || name == "PXESRV_CACHE" || name == FileEnv {
			continue
		}
		i := slices.IndexFunc(settings, func(s Setting) bool { return s.Env() == name })
		switch {
		case i < 0:
			warnings = append(warnings, fmt.Sprintf("%s sets nothing and is ignored; see pxesrv serve --help for what can be set", name))
		case serviceLink.MatchString(value):
			// Kubernetes sets PXESRV_PORT=tcp://10.0.0.1:4567 in every pod beside a service called pxesrv.
			warnings = append(warnings, fmt.Sprintf("%s=%s looks like a service link of Kubernetes and is ignored (enableServiceLinks: false stops it)", name, value))
		default:
			if err := settings[i].Value.Set(value); err != nil {
				return warnings, fmt.Errorf("%s=%s: %w", name, value, err)
			}
		}
	}
	slices.Sort(warnings)
	return warnings, nil
}

// ErrNoRoot is returned by Check when nothing names the document root.
var ErrNoRoot = errors.New("no document root: name it with --root DIR or PXESRV_ROOT=DIR")

// Check says what is wrong with a configuration before anything is opened. Its last looks are those at the disk: when that does not
// answer, the error is a *Hangs, and all else is well.
func (c *Config) Check() (err error) {
	if c.Root == "" {
		return ErrNoRoot
	}
	for _, dir := range []*string{&c.Root, &c.OnceDir, &c.State, &c.ISOHosts, &c.ISOKeys, &c.ISOLKRN, &c.ISOEFI, &c.ISOARM64, &c.ISOShim,
		&c.TLSCert, &c.TLSKey, &c.TLSClientCA} {
		if *dir != "" {
			if *dir, err = filepath.Abs(*dir); err != nil {
				return err
			}
		}
	}
	if err := c.checkTLS(); err != nil {
		return err
	}
	seen := *c // a look that hangs sees it later, too
	if err := Look("the document root "+c.Root, seen.checkRoot); err != nil {
		return err
	}
	return Look("the disk of the keys, or of the state directory,", seen.checkState)
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

// checkTLS says what is missing, and which address is nowhere listened on.
func (c *Config) checkTLS() error {
	switch {
	case c.TLSCert != "" && c.TLSKey == "":
		return errors.New("there is a certificate (tls.cert) and no key: name its file with --tls-key")
	case c.TLSKey != "" && c.TLSCert == "":
		return errors.New("there is a key (tls.key) and no certificate: name its file with --tls-cert")
	case c.TLSCert == "" && len(c.TLSListen)+len(c.TLSClientListen) > 0:
		return errors.New("HTTPS needs a certificate and its key: name their files with --tls-cert and --tls-key")
	case c.TLSClientCA == "" && len(c.TLSClientListen) > 0:
		return errors.New("tls.client-listen needs the CA that clients' certificates come from: name its file with --tls-client-ca")
	}
	everywhere := slices.Concat(c.Addresses(), c.TLSListen, c.TLSClientListen)
	for i, a := range everywhere {
		if slices.Contains(everywhere[:i], a) && !strings.HasSuffix(a, ":0") {
			return fmt.Errorf("%s is to be listened on twice; HTTP and HTTPS need a port each", a)
		}
	}
	for _, a := range c.Protocol {
		if !slices.Contains(everywhere, a) {
			return fmt.Errorf("proxies.protocol names %s, which is not listened on; it has to be one of %s, as written there", a, strings.Join(everywhere, ", "))
		}
	}
	if len(c.Protocol) > 0 && len(c.Trusted) == 0 {
		return errors.New("proxies.protocol lets trusted proxies in, and nobody else: name them with --proxies-trusted")
	}
	return nil
}

// Addresses is what to listen on.
func (c *Config) Addresses() []string {
	if len(c.Listen) > 0 {
		return c.Listen
	}
	return []string{net.JoinHostPort(c.Address, strconv.Itoa(c.Port))}
}

func checkAddress(s string) error {
	if name, isUnix := strings.CutPrefix(s, "unix:"); isUnix {
		return checkAbsolute(name)
	}
	if _, _, err := net.SplitHostPort(s); err != nil {
		return fmt.Errorf("%q is not an address to listen on: write host:port, [2001:db8::1]:port, :port or unix:/path", s)
	}
	return nil
}

func checkTCP(s string) error {
	if strings.HasPrefix(s, "unix:") {
		return fmt.Errorf("%q is a Unix socket, where neither TLS nor the PROXY protocol is spoken; write host:port, [2001:db8::1]:port or :port", s)
	}
	return checkAddress(s)
}

func checkUDP(s string) error {
	host, _, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf("%q is not an address to answer TFTP on: write host:port, [2001:db8::1]:69 or :69", s)
	}
	if strings.Contains(host, "%") {
		return fmt.Errorf("%q is an address of one link, where TFTP is not answered; write one without %%", s)
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		strings.Trim(u.Path, "/") != "" || strings.ContainsAny(s, " \t\n$\"'\\") {
		return fmt.Errorf("%q is not the address of a server: write http://boot.example or http://10.0.0.1:4567", s)
	}
	return nil
}

// checkServer checks the address of a boot server, which may have a path before /redirect.
func checkServer(s string) error {
	if ends, write := ipxe.EndsInScript(s); ends != "" {
		return fmt.Errorf("%q ends in %s, but a host adds what it asks for: write %s", s, ends, write)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("%q is not the address of a boot server: write http://10.0.0.1:4567", s)
	}
	return nil
}

func checkAbsolute(s string) error {
	if !filepath.IsAbs(s) {
		return fmt.Errorf("%q is not an absolute directory", s)
	}
	return nil
}

type text struct {
	to   *string
	kind string
}

func (v *text) Set(s string) error { *v.to = s; return nil }
func (v *text) String() string     { return *v.to }
func (v *text) Type() string       { return v.kind }

// address is the URL of a server, without a path.
type address struct{ to *string }

func (v *address) Set(s string) error {
	if s != "" {
		if err := checkURL(s); err != nil {
			return err
		}
	}
	*v.to = strings.TrimRight(s, "/")
	return nil
}

func (v *address) String() string { return *v.to }
func (v *address) Type() string   { return "url" }

type boolean struct{ to *bool }

func (v *boolean) Set(s string) error {
	switch strings.ToLower(s) {
	case "on", "yes", "true", "1":
		*v.to = true
	case "off", "no", "false", "0":
		*v.to = false
	default:
		return fmt.Errorf("%q is neither on nor off", s)
	}
	return nil
}

func (v *boolean) String() string {
	if *v.to {
		return "on"
	}
	return "off"
}

func (v *boolean) Type() string { return "on|off" }

type choice struct {
	to  *string
	all []string
}

func (v *choice) Set(s string) error {
	if !slices.Contains(v.all, s) {
		return fmt.Errorf("%q is none of %s", s, strings.Join(v.all, ", "))
	}
	*v.to = s
	return nil
}

func (v *choice) String() string { return *v.to }
func (v *choice) Type() string   { return strings.Join(v.all, "|") }

type number struct {
	to       *int
	min, max int
}

func (v *number) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.min || n > v.max {
		return fmt.Errorf("%q is not a number from %d to %d", s, v.min, v.max)
	}
	*v.to = n
	return nil
}

func (v *number) String() string { return strconv.Itoa(*v.to) }
func (v *number) Type() string   { return "number" }

type duration struct{ to *time.Duration }

func (v *duration) Set(s string) error {
	d, err := time.ParseDuration(s)
	if s == "0" {
		d, err = 0, nil
	}
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration: write 60s, 5m, 2160h or 0", s)
	}
	*v.to = d
	return nil
}

func (v *duration) String() string { return v.to.String() }
func (v *duration) Type() string   { return "duration" }

// list takes several values, each by a flag of its own or all in one text with commas. The first value that is set through
// one table of Settings replaces what was there before: the default, or a weaker source.
type list struct {
	to    *[]string
	kind  string
	bare  string // what the flag means without a value; "": it needs one
	check func(string) error
	begun bool
}

// Bare is what the flag means without a value, or "" when it needs one.
func (v *list) Bare() string { return v.bare }

func (v *list) Set(s string) error {
	if !v.begun {
		*v.to, v.begun = nil, true
	}
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		if v.check != nil {
			if err := v.check(one); err != nil {
				return err
			}
		}
		*v.to = append(*v.to, one)
	}
	return nil
}

func (v *list) String() string { return strings.Join(*v.to, ",") }
func (v *list) Type() string   { return v.kind }

type prefixes struct {
	to    *[]netip.Prefix
	begun bool
}

func (v *prefixes) Set(s string) error {
	if !v.begun {
		*v.to, v.begun = nil, true
	}
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		p, err := netip.ParsePrefix(one)
		if err != nil {
			a, aerr := netip.ParseAddr(one)
			if aerr != nil {
				return fmt.Errorf("%q is neither a network like 10.0.0.0/8 nor an address", one)
			}
			p = netip.PrefixFrom(a, a.BitLen())
		}
		if p.Addr().Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
		}
		*v.to = append(*v.to, p.Masked())
	}
	return nil
}

func (v *prefixes) String() string {
	var all []string
	for _, p := range *v.to {
		all = append(all, p.String())
	}
	return strings.Join(all, ",")
}

func (v *prefixes) Type() string { return "network" }

type addresses struct {
	to    *[]netip.Addr
	begun bool
}

func (v *addresses) Set(s string) error {
	if !v.begun {
		*v.to, v.begun = nil, true
	}
	for one := range strings.SplitSeq(s, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		a, err := netip.ParseAddr(one)
		if err != nil || a.Zone() != "" {
			return fmt.Errorf("%q is no address", one)
		}
		*v.to = append(*v.to, a.Unmap())
	}
	return nil
}

func (v *addresses) String() string {
	var all []string
	for _, a := range *v.to {
		all = append(all, a.String())
	}
	return strings.Join(all, ",")
}

func (v *addresses) Type() string { return "ip" }
