package config

import (
	"strings"
)

// Setting is one thing that can be set. A setting that is added is a row in
// Settings, a field of Config with its default, and a line of
// examples/pxesrv.yaml; flag, variable, help and manual page come from the row.
type Setting struct {
	Key   string // "once.confirm"
	Was   string // its key in earlier versions, which is still read, with a warning; or ""
	Short string // one-letter flag, or ""
	Help  string // one line, what it does
	Value Value

	Serve    bool // only the daemon needs it
	Restart  bool // a running daemon cannot change it
	FileOnly bool // it has neither flag nor variable: a mapping, say
}

// Flag is the name of the setting's flag, without the dashes; "": it has none.
func (s Setting) Flag() string {
	if s.FileOnly {
		return ""
	}
	return flagName(s.Key)
}

// Env is the name of the setting's environment variable; "": it has none.
func (s Setting) Env() string {
	if s.FileOnly {
		return ""
	}
	return envName(s.Key)
}

func flagName(key string) string { return strings.ReplaceAll(key, ".", "-") }

func envName(key string) string {
	return "PXESRV_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// Settings is the table of everything that can be set in c.
//
// No value of it is a secret: flags are seen by everybody who lists processes,
// variables are inherited, and the configuration is in backups and in the
// output of tools. A secret is in a file of its own, which the setting names:
// its value is a path{…, "file"}, like tls.key and iso.keys. A credential of
// systemd is such a file, too (systemd/credentials.conf). A test holds this.
func (c *Config) Settings() []Setting {
	return []Setting{
		{Key: "root", Value: &path{&c.Root, "dir"},
			Help: "document root: the tree of default, once/, static/, protect/"},
		{Key: "listen", Value: texts(&c.Listen, "addr", checkAddress), Serve: true, Restart: true,
			Help: "address to listen on, host:port or unix:/path; may be given several times " +
				"(instead of --address and --port)"},
		{Key: "port", Short: "p", Value: &number{&c.Port, 0, 65535}, Serve: true, Restart: true,
			Help: "port to listen on"},
		{Key: "address", Short: "o", Value: &text{&c.Address, "ip"}, Serve: true, Restart: true,
			Help: "address to listen on; empty means every address, IPv4 and IPv6"},
		{Key: "tftp", Value: textsOr(&c.TFTP, "addr", checkUDP, ":69"), Serve: true, Restart: true,
			Help: "address to answer TFTP on, host:port; --tftp alone means :69; may be given " +
				"several times; empty means no TFTP"},
		{Key: "url", Value: &baseURL{&c.URL},
			Help: "where clients reach the HTTP server, http://boot.example; empty means the " +
				"address that they asked by TFTP"},
		{Key: "log", Value: &path{&c.Log, "file"}, Serve: true, Restart: true,
			Help: "file to append the log to; empty means standard error"},
		{Key: "log-format", Value: &choice{&c.LogFormat, []string{"text", "json"}},
			Serve: true, Restart: true,
			Help: "text or json"},
		{Key: "access-log", Value: &path{&c.AccessLog, "file"}, Serve: true, Restart: true,
			Help: "file to append a line for each HTTP answer to, as web servers write it; empty " +
				"means none"},
		{Key: "tls.listen", Value: texts(&c.TLSListen, "addr", checkTCP),
			Serve: true, Restart: true,
			Help: "address to answer HTTPS on, beside HTTP, host:port; may be given several " +
				"times; empty means none"},
		{Key: "tls.cert", Value: &path{&c.TLSCert, "file"},
			Help: "file of the certificate (PEM), the server's own first; read again when it " +
				"changes"},
		{Key: "tls.key", Value: &path{&c.TLSKey, "file"},
			Help: "file of the certificate's key (PEM); read again when it changes"},
		{Key: "tls.client-listen", Value: texts(&c.TLSClientListen, "addr", checkTCP),
			Serve: true, Restart: true,
			Help: "address to answer HTTPS on for clients that have a certificate, and no " +
				"others; may be given several times"},
		{Key: "tls.client-ca", Value: &path{&c.TLSClientCA, "file"},
			Help: "file of the CAs (PEM) that certificates of clients must come from; read again " +
				"when it changes"},
		{Key: "clients.allow", Value: networks(&c.Clients), Serve: true,
			Help: "network that is answered at all; may be given several times; empty means " +
				"everyone"},
		{Key: "identify", Value: &onOff{&c.Identify}, Serve: true,
			Help: "ask iPXE who it is when its request says nothing"},
		{Key: "identity.no-ip", Value: networks(&c.NoAddress),
			Help: "network (NAT) whose addresses are no names; may be given several times"},
		{Key: "identity.placeholders", Value: &path{&c.Placeholders, "file"},
			Help: "file with more values that name no machine, one a line"},
		{Key: "proxies.trusted", Value: networks(&c.Trusted), Serve: true,
			Help: "network of proxies whose X-Forwarded-For counts; may be given several times"},
		{Key: "proxies.protocol", Value: texts(&c.Protocol, "addr", checkTCP),
			Serve: true, Restart: true,
			Help: "one of the addresses to listen on, where trusted proxies, and nobody else, " +
				"speak the PROXY protocol; may be given several times"},
		{Key: "paths.allow", Value: texts(&c.Allow, "dir", checkAbsolute),
			Help: "directory outside the root that links may lead to; may be given several times"},
		{Key: "paths.show", Value: texts(&c.Show, "name", nil),
			Help: "dot name that is served as a file; may be given several times"},
		{Key: "public-entries", Value: &onOff{&c.PublicEntries},
			Help: "serve what is in static/ as files, which anybody can read then"},
		{Key: "compat-get", Value: &onOff{&c.CompatGet}, Serve: true,
			Help: "clear what GRUB has for a machine by GET /grub/clear/VERSION, too, not by " +
				"POST alone"},
		{Key: "loaders.dirs", Value: texts(&c.LoaderDirs, "dir", checkAbsolute),
			Help: "directory of boot loaders, after ipxe/ of the root; may be given several " +
				"times; empty means none"},
		{Key: "state", Value: &path{&c.State, "dir"},
			Help: "directory of keys, outside the root; empty means /var/lib/pxesrv where that " +
				"can be written to, else pxesrv in $XDG_STATE_HOME"},
		{Key: "iso.hosts", Value: &path{&c.ISOHosts, "file"},
			Help: "CSV of the hosts whose boot images are served below /iso/; empty means none"},
		{Key: "iso.server", Value: texts(&c.ISOServers, "url", checkServer),
			Help: "boot server of hosts that name none; may be given several times; empty means " +
				"url"},
		{Key: "iso.dns", Value: addresses(&c.ISODNS),
			Help: "DNS server of hosts that name none; may be given several times"},
		{Key: "iso.lkrn", Value: &path{&c.ISOLKRN, "file"},
			Help: "ipxe.lkrn of images; empty means the first one in loaders.dirs and the places " +
				"of distributions"},
		{Key: "iso.efi", Value: &path{&c.ISOEFI, "file"},
			Help: "ipxe.efi of images; empty means the first one in loaders.dirs and the places " +
				"of distributions"},
		{Key: "iso.efi-arm64", Value: &path{&c.ISOARM64, "file"},
			Help: "ipxe.efi for 64-bit ARM of images; empty means that they have none"},
		{Key: "iso.shim", Value: &path{&c.ISOShim, "file"},
			Help: "shim of images, for Secure Boot; empty means that they have none"},
		{Key: "iso.allow-partial", Value: &onOff{&c.ISOPartial},
			Help: "images may leave out a way to boot (BIOS, UEFI) that cannot do what the host " +
				"needs"},
		{Key: "iso.sign", Value: &choice{&c.ISOSign, []string{"auto", "on", "off"}},
			Help: "auto, on or off: host= must be signed; auto means on when there is a key file"},
		{Key: "iso.keys", Value: &path{&c.ISOKeys, "file"},
			Help: "file of the keys that sign host=; empty means iso.keys in the state directory"},
		{Key: "once.dir", Value: &path{&c.OnceDir, "dir"},
			Help: "directory of the one-time orders and their journal; empty means once/ in the " +
				"root"},
		{Key: "once.resend-within", Was: "once.regrant", Value: &duration{&c.OnceResendWithin},
			Help: "how long an order that did not arrive is sent again to the machine that " +
				"retries; 0: never"},
		{Key: "once.confirm", Value: &duration{&c.OnceConfirm}, Serve: true,
			Help: "how long to wait for the client's TCP to acknowledge an order"},
		{Key: "once.max-per-day", Value: &number{&c.OnceMaxPerDay, 0, 1 << 30},
			Help: "orders of one name in 24 h before it is held; 0: never held"},
		{Key: "once.keep", Value: &duration{&c.OnceKeep}, Serve: true,
			Help: "how long served orders stay in the journal; 0: for ever"},
		{Key: "once.keep-max", Value: &number{&c.OnceKeepMax, 0, 1 << 30}, Serve: true,
			Help: "how many served orders older than a day stay in the journal; 0: all"},
		{Key: "limits.connections", Value: &number{&c.Limits.Connections, 1, 1 << 20}, Serve: true,
			Help: "connections in all; more wait in the kernel's queue"},
		{Key: "limits.per-address", Value: &number{&c.Limits.PerAddress, 1, 1 << 20}, Serve: true,
			Help: "connections from one address, loopback and trusted proxies excepted; more are " +
				"closed"},
		{Key: "limits.handshake", Value: &duration{&c.Limits.Handshake}, Serve: true, Restart: true,
			Help: "time for the handshake of TLS, in which clients may ask others whether to " +
				"trust the certificate"},
		{Key: "limits.header-timeout", Value: &duration{&c.Limits.HeaderTimeout},
			Serve: true, Restart: true,
			Help: "time for the head of a request"},
		{Key: "limits.read-timeout", Value: &duration{&c.Limits.ReadTimeout},
			Serve: true, Restart: true,
			Help: "time for a whole request"},
		{Key: "limits.idle-timeout", Value: &duration{&c.Limits.IdleTimeout},
			Serve: true, Restart: true,
			Help: "time between two requests of a connection"},
		{Key: "limits.write-timeout", Value: &duration{&c.Limits.WriteTimeout}, Serve: true,
			Help: "time for the next 60 KiB of an answer to get through"},
		{Key: "limits.header-bytes", Value: &number{&c.Limits.HeaderBytes, 4096, 1 << 20},
			Serve: true, Restart: true,
			Help: "bytes of a request's head"},
		{Key: "limits.decision", Value: &duration{&c.Limits.Decision}, Serve: true,
			Help: "time for a decision, or for opening a file; then the answer is 503"},
		{Key: "limits.hanging", Value: &number{&c.Limits.Hanging, 1, 1 << 20}, Serve: true,
			Help: "decisions that hang on a disk before no new one is begun"},
		{Key: "limits.tftp-transfers", Value: &number{&c.Limits.TFTPTransfers, 1, 1 << 20},
			Serve: true,
			Help:  "transfers by TFTP at the same time; more are refused"},
		{Key: "limits.tftp-per-address", Value: &number{&c.Limits.TFTPPerAddress, 1, 1 << 20},
			Serve: true,
			Help:  "transfers by TFTP to one address at the same time; more are refused"},
		{Key: "limits.stop", Value: &duration{&c.Limits.Stop}, Serve: true,
			Help: "time for answers under way when the daemon ends"},
	}
}

// NeedRestart returns the keys of the settings in which c differs from the
// configuration that a daemon was started with, and which wait until it is
// started again.
func (c *Config) NeedRestart(started *Config) (keys []string) {
	before := started.Settings()
	for i, s := range c.Settings() {
		// Address and port mean something only without listen.
		unused := (s.Key == "address" || s.Key == "port") &&
			len(c.Listen) > 0 && len(started.Listen) > 0
		if s.Restart && !unused && s.Value.String() != before[i].Value.String() {
			keys = append(keys, s.Key)
		}
	}
	return keys
}
