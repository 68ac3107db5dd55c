package daemon

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/order"
	"pxesrv/pkg/tftpd"
)

// constants are the values of the constants of a type, as its package has them.
func constants(t *testing.T, dir, typ string) (all []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if of, ok := spec.Type.(*ast.Ident); !ok || of.Name != typ {
				return true
			}
			for _, v := range spec.Values {
				if lit, ok := v.(*ast.BasicLit); ok {
					text, err := strconv.Unquote(lit.Value)
					if err != nil {
						t.Fatal(err)
					}
					all = append(all, text)
				}
			}
			return true
		})
	}
	if len(all) < 5 {
		t.Fatalf("only %d constants of %s in %s: %q", len(all), typ, dir, all)
	}
	return all
}

// series are the names with labels in the text of /metrics.
func series(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line[0] != '#' {
			all = append(all, line[:strings.LastIndexByte(line, ' ')])
		}
	}
	slices.Sort(all)
	return all
}

// newSeries are those that were not there before.
func newSeries(before, now []string) (all []string) {
	for _, s := range now {
		if !slices.Contains(before, s) {
			all = append(all, s)
		}
	}
	return all
}

// TestLabels: whatever can happen is counted in a series that was there from
// the start. An alert on an increase misses an event that makes its series.
func TestLabels(t *testing.T) {
	limiter := &conn.Limiter{}
	m := newMetrics(Build{}, limiter, &tftpd.Counts{})
	text := func() string {
		all, err := m.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for _, family := range all {
			for _, one := range family.Metric {
				b.WriteString(family.GetName())
				for _, l := range one.Label {
					b.WriteString(" " + l.GetName() + "=" + l.GetValue())
				}
				b.WriteString(" 0\n")
			}
		}
		return b.String()
	}
	before := series(text())
	steps, codes := constants(t, "boot", "Step"), constants(t, "boot", "Code")
	for _, s := range steps {
		answer := boot.Answer{Entry: boot.Finding{Step: boot.Step(s)}}
		for _, c := range append(codes, "") {
			answer.Trace.Findings = append(answer.Trace.Findings,
				boot.Finding{Step: boot.Step(s), Outcome: boot.Skipped, Code: boot.Code(c)})
		}
		for _, result := range []string{"script", "nothing", "unsure", "identification"} {
			m.Redirect(&answer, &boot.Machine{}, result, 0)
			if result != "script" {
				m.Redirect(&boot.Answer{}, nil, result, 0)
			}
		}
	}
	d := &Daemon{metrics: m, Log: slog.New(slog.DiscardHandler)}
	for _, w := range constants(t, "order", "EventKind") {
		d.orderEvent(order.Event{Kind: order.EventKind(w)})
	}
	for _, r := range constants(t, "conn", "Reason") {
		m.failed.WithLabelValues(r).Inc()
	}
	for _, r := range constants(t, "tftpd", "Result") {
		m.Transfer(tftpd.Result(r), 1)
	}
	for status := 100; status < 600; status++ {
		m.File(status, 1)
	}
	for _, s := range newSeries(before, series(text())) {
		t.Errorf("not there from the start: %s", s)
	}
}

// TestSeries: a daemon that has met all sorts of things has the series that it
// began with.
func TestSeries(t *testing.T) {
	t.Parallel()
	root := plant(t, tree{"default": say("default"), "install": say("install"),
		"once/127.0.0.1": "-> ../install", "once/s1": "-> ../gone",
		"static/s1": "-> ../gone", "static/s2": "no script", "file": "text", "protect/s3": "",
		"once/s3": "-> ../install"})
	hangup := make(chan os.Signal)
	cfg := config.Default()
	cfg.Root, cfg.Listen, cfg.TFTP, cfg.State = root, []string{"127.0.0.1:0"},
		[]string{"127.0.0.1:0"}, t.TempDir()
	cfg.Trusted = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
	wrong := make(chan error, 1)
	c := start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		return (&Daemon{Config: cfg, Log: log, Hangup: hangup,
			Reload: func() (config.Config, error) { return cfg, <-wrong }}).Run(ctx)
	})
	before := series(c.ask("GET", "/metrics").body)

	c.wantScript("install")
	c.wantScript("default")
	for _, query := range []string{"?serial=s1", "?serial=s1&asset=s2", "?serial=s3",
		"?uuid=a&uuid=b", "?serial=0", "?try=2"} {
		c.redirectQuery(query)
		c.redirectQuery(query, "X-Forwarded-For: rubbish", "Range: bytes=0-1")
	}
	c.ask("GET", "/redirect", "User-Agent: iPXE/1")
	for _, path := range []string{"/file", "/nothing", "/ipxe.efi", "/boot.ipxe", "/local.ipxe",
		"/iso/x.iso", "/grub.cfg"} {
		for _, header := range []string{"A: b", "Range: bytes=1-2", "Range: bytes=9-",
			"If-Match: x", "If-None-Match: *"} {
			c.ask("GET", path, header)
			c.ask("HEAD", path, header)
		}
	}
	c.ask("POST", "/redirect")
	put(t, root, "default", "no script")
	c.ask("GET", "/redirect")
	if err := os.Rename(filepath.Join(root, "protect"),
		filepath.Join(root, "was-protect")); err != nil {
		t.Fatal(err)
	}
	put(t, root, "protect", "no directory")
	c.wantStatus(c.ask("GET", "/redirect"), 503)
	line := c.wantLog("listening", "udp:")
	_, at, _ := strings.Cut(line, "udp:")
	at, _, _ = strings.Cut(at, " ")
	for _, request := range []string{"\x00\x01file\x00octet\x00", "\x00\x01nothing\x00octet\x00",
		"\x00\x02file\x00octet\x00", "\x00\x01"} {
		conn, err := net.Dial("udp", at)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte(request))
		conn.Close()
	}
	c.wantLog("msg=tftp", "result=not-found")
	wrong <- errors.New("wrong")
	hangup <- nil
	c.wantLog("level=ERROR", "the old one stays")
	wrong <- nil
	hangup <- nil
	c.wantLog("msg=reloaded")
	for _, s := range newSeries(before, series(c.ask("GET", "/metrics").body)) {
		t.Errorf("not there from the start: %s", s)
	}
}

// TestAlerts: each series of the alerts in docs/why.md is there from the start.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../docs/why.md")
	if err != nil {
		t.Fatal(err)
	}
	all := series(serve(t, tree{"default": say("default")}).ask("GET", "/metrics").body)
	alert := regexp.MustCompile(`(pxesrv_[a-z_]+)(?:\{([a-z]+="[^"}]*")\})?`)
	found := alert.FindAllStringSubmatch(string(text), -1)
	if len(found) < 10 {
		t.Fatalf("only %d series are named", len(found))
	}
	for _, f := range found {
		there := slices.ContainsFunc(all, func(s string) bool {
			name, labels, _ := strings.Cut(s, "{")
			return name == f[1] && strings.Contains(","+strings.TrimSuffix(labels, "}")+",",
				","+f[2]+",")
		})
		if f[2] == "" {
			there = slices.ContainsFunc(all, func(s string) bool {
				return s == f[1] || strings.HasPrefix(s, f[1]+"{")
			})
		}
		if !there && f[1] != "pxesrv_tls_certificate_expires_seconds" { // only with TLS
			t.Errorf("docs/why.md names %s, which is not there from the start", f[0])
		}
	}
}
