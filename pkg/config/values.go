package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"pxesrv/pkg/ipxe"
)

// Value reads a setting from text and writes it as text. It is what pflag
// calls a Value.
type Value interface {
	Set(text string) error
	String() string
	Type() string
}

// several is a Value that takes more than one text, in the file as a sequence.
type several interface {
	Value
	begin()               // what a weaker source has set counts no more
	add(one string) error // takes one of them as it is, with its commas
}

// mapping is a Value of the file alone, whose keys are names that people
// choose.
type mapping interface {
	Value
	setKey(name string, texts []string) error
}

type text struct {
	to   *string
	kind string
}

func (v *text) Set(s string) error { *v.to = s; return nil }
func (v *text) String() string     { return *v.to }
func (v *text) Type() string       { return v.kind }

// path is the name of a file or a directory; kind says which. Check makes it
// absolute.
type path struct {
	to   *string
	kind string
}

func (v *path) Set(s string) error { *v.to = s; return nil }
func (v *path) String() string     { return *v.to }
func (v *path) Type() string       { return v.kind }

func (v *path) makeAbsolute() (err error) {
	if *v.to != "" {
		*v.to, err = filepath.Abs(*v.to)
	}
	return err
}

// baseURL is the URL of a server, without a path.
type baseURL struct{ to *string }

func (v *baseURL) Set(s string) error {
	if s != "" {
		if err := checkURL(s); err != nil {
			return err
		}
	}
	*v.to = strings.TrimRight(s, "/")
	return nil
}

func (v *baseURL) String() string { return *v.to }
func (v *baseURL) Type() string   { return "url" }

type onOff struct{ to *bool }

func (v *onOff) Set(s string) error {
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

func (v *onOff) String() string {
	if *v.to {
		return "on"
	}
	return "off"
}

func (v *onOff) Type() string { return "on|off" }

// Bare is what the flag means without a value.
func (v *onOff) Bare() string { return "on" }

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

// list takes several values: each by a flag of its own, all in one text with
// commas, or as a sequence in the file. The first value that is set through one
// table of Settings replaces what was there before: the default, or a weaker
// source.
type list[T any] struct {
	to    *[]T
	kind  string
	bare  string // what the flag means without a value; "": it needs one
	parse func(string) (T, error)
	begun bool
}

// texts is a list of strings; check may be nil.
func texts(to *[]string, kind string, check func(string) error) *list[string] {
	return &list[string]{to: to, kind: kind, parse: func(s string) (string, error) {
		if check == nil {
			return s, nil
		}
		return s, check(s)
	}}
}

// textsOr is a list of strings whose flag means bare when it has no value.
func textsOr(to *[]string, kind string, check func(string) error, bare string) *list[string] {
	v := texts(to, kind, check)
	v.bare = bare
	return v
}

func networks(to *[]netip.Prefix) *list[netip.Prefix] {
	return &list[netip.Prefix]{to: to, kind: "network", parse: parseNetwork}
}

func addresses(to *[]netip.Addr) *list[netip.Addr] {
	return &list[netip.Addr]{to: to, kind: "ip", parse: parseAddr}
}

func (v *list[T]) begin() {
	if !v.begun {
		*v.to, v.begun = nil, true
	}
}

func (v *list[T]) add(one string) error {
	v.begin()
	if one = strings.TrimSpace(one); one == "" {
		return nil
	}
	parsed, err := v.parse(one)
	if err == nil {
		*v.to = append(*v.to, parsed)
	}
	return err
}

func (v *list[T]) Set(s string) error {
	for one := range strings.SplitSeq(s, ",") {
		if err := v.add(one); err != nil {
			return err
		}
	}
	return nil
}

func (v *list[T]) String() string {
	var all []string
	for _, one := range *v.to {
		all = append(all, fmt.Sprint(one))
	}
	return strings.Join(all, ",")
}

func (v *list[T]) Type() string { return v.kind }

// Bare is what the flag means without a value, or "" when it needs one.
func (v *list[T]) Bare() string { return v.bare }

func parseNetwork(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if err != nil {
		a, aerr := netip.ParseAddr(s)
		if aerr != nil {
			return p, fmt.Errorf("%q is neither a network like 10.0.0.0/8 nor an address", s)
		}
		p = netip.PrefixFrom(a, a.BitLen())
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func parseAddr(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return a, fmt.Errorf("%q is no address", s)
	}
	return a.Unmap(), nil
}

func checkAddress(s string) error {
	if name, isUnix := strings.CutPrefix(s, "unix:"); isUnix {
		return checkAbsolute(name)
	}
	if _, _, err := net.SplitHostPort(s); err != nil {
		return fmt.Errorf("%q is not an address to listen on: write host:port, "+
			"[2001:db8::1]:port, :port or unix:/path", s)
	}
	return nil
}

func checkTCP(s string) error {
	if strings.HasPrefix(s, "unix:") {
		return fmt.Errorf("%q is a Unix socket, where neither TLS nor the PROXY protocol is "+
			"spoken; write host:port, [2001:db8::1]:port or :port", s)
	}
	return checkAddress(s)
}

func checkUDP(s string) error {
	host, _, err := net.SplitHostPort(s)
	if err != nil {
		return fmt.Errorf(
			"%q is not an address to answer TFTP on: write host:port, [2001:db8::1]:69 or :69", s)
	}
	if strings.Contains(host, "%") {
		return fmt.Errorf(
			"%q is an address of one link, where TFTP is not answered; write one without %%", s)
	}
	return nil
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" ||
		strings.ContainsAny(s, " \t\n$\"'\\") {
		return fmt.Errorf("%q is not the address of a server: write http://boot.example or "+
			"http://10.0.0.1:4567", s)
	}
	return nil
}

// checkServer checks the address of a boot server, which may have a path before
// /redirect.
func checkServer(s string) error {
	if ends, write := ipxe.EndsInScript(s); ends != "" {
		return fmt.Errorf("%q ends in %s, but a host adds what it asks for: write %s",
			s, ends, write)
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
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
