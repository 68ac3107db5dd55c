//go:build linux

package daemon

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/config"
	"pxesrv/pkg/lab/faultfs"
)

// hanging is the configuration of a root that hangs, and what is said of it.
func hanging(t *testing.T, disk *faultfs.Faults, set func(*config.Config)) (config.Config,
	*config.Hangs) {
	t.Helper()
	cfg := config.Default()
	cfg.Root, cfg.Listen, cfg.State, cfg.Limits.Decision = disk.Dir, []string{"127.0.0.1:0"},
		t.TempDir(), 100*time.Millisecond
	if set != nil {
		set(&cfg)
	}
	disk.Set(faultfs.Hang(0))
	var hangs *config.Hangs
	if err := cfg.Check(); !errors.As(err, &hangs) {
		t.Fatalf("the disk hangs, and the check says: %v", err)
	}
	return cfg, hangs
}

// TestStart_DiskHangs: after a power cut the daemon may be there before its
// file server. It tells machines so, and answers them as soon as it can.
func TestStart_DiskHangs(t *testing.T) {
	disk := faultfs.Mount(t, plant(t, tree{"default": say("default")}))
	cfg, hangs := hanging(t, disk, nil)
	c := start(t, cfg, func(ctx context.Context, c config.Config, log *slog.Logger) error {
		return (&Daemon{Config: c, Hangs: hangs, Log: log}).Run(ctx)
	})
	c.wantLog("level=WARN", "the start goes on", "the document root "+disk.Dir+
		" does not answer: is its file server there?")
	c.wantStatus(c.redirect(), 503)
	c.wantStatus(c.ask("GET", "/readyz"), 503)
	c.wantStatus(c.ask("GET", "/healthz"), 200)
	disk.Set()
	var a answer
	eventually(func() bool { a = c.redirect(); return a.status != 503 })
	c.wantBody(a, say("default"))
	c.wantLog("level=INFO", "the disk answers")
}

// TestStart_WrongBehindTheHang: what the start could not see is seen later, and
// ends the daemon then.
func TestStart_WrongBehindTheHang(t *testing.T) {
	disk := faultfs.Mount(t, plant(t, tree{"default": say("default")}))
	cfg, hangs := hanging(t, disk, func(c *config.Config) {
		c.State = filepath.Join(c.Root, "state")
	})
	log, ended := &logBook{}, make(chan error, 1)
	go func() {
		ended <- (&Daemon{Config: cfg, Hangs: hangs, Log: log.logger()}).Run(
			t.Context())
	}()
	if !eventually(func() bool { return strings.Contains(log.String(), "msg=listening") }) {
		t.Fatalf("it does not start:\n%s", log)
	}
	disk.Set()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "lies in the document root") {
			t.Errorf("it ended with: %v\n%s", err, log)
		}
	case <-time.After(patience):
		t.Errorf("it goes on\n%s", log)
	}
}

// TestCheckLate: only a configuration that is wrong, and in force, ends the
// daemon.
func TestCheckLate(t *testing.T) {
	t.Parallel()
	answers := make(chan struct{})
	close(answers)
	for what, test := range map[string]struct {
		root     string
		replaced bool
		fails    bool
	}{
		"right":           {t.TempDir(), false, false},
		"wrong":           {"/no/such/root", false, true},
		"wrong, replaced": {"/no/such/root", true, false},
	} {
		log := &logBook{}
		d := &Daemon{Hangs: &config.Hangs{Ended: answers}, Log: log.logger()}
		first := &serving{config: config.Default()}
		first.config.Root, first.config.State = test.root, t.TempDir()
		if d.serving.Store(first); test.replaced {
			d.serving.Store(&serving{})
		}
		err := d.checkLate(first)(t.Context())
		if (err != nil) != test.fails ||
			strings.Contains(log.String(), "the disk answers") != (what == "right") {
			t.Errorf("%s: %v; %s", what, err, log)
		}
	}
}

// TestReload_DiskHangs: a configuration whose root hangs is not taken, and
// while that is found out the old one answers.
func TestReload_DiskHangs(t *testing.T) {
	disk := faultfs.Mount(t, plant(t, tree{"default": say("two")}))
	hangup, asked := make(chan os.Signal), make(chan struct{}, 2)
	cfg := config.Default()
	cfg.Root, cfg.Listen, cfg.State = plant(t, tree{"default": say("one")}),
		[]string{"127.0.0.1:0"}, t.TempDir()
	c := start(t, cfg, func(ctx context.Context, cfg config.Config, log *slog.Logger) error {
		return (&Daemon{Config: cfg, Log: log, Hangup: hangup,
			Reload: func() (config.Config, error) {
				next := cfg
				next.Root = disk.Dir
				asked <- struct{}{}
				return next, next.Check()
			}}).Run(ctx)
	})
	c.rest()
	disk.Set(faultfs.Hang(0))
	hangup <- nil
	<-asked
	for range 10 {
		if a := c.wantScript("one"); a.took > 3*time.Second {
			t.Errorf("it took %v", a.took)
		}
	}
	if text := c.log.String(); strings.Contains(text, "the old one stays") {
		t.Errorf("refused before the disk had time:\n%s", text)
	}
	c.wantLog("level=ERROR", "the old one stays", "the document root "+disk.Dir+
		" does not answer: is its file server there?")
	c.wantScript("one")
	disk.Set()
	hangup <- nil
	c.wantLog("msg=reloaded", "root="+disk.Dir)
	c.wantScript("two")
}
