package daemon

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// healthz says that the process lives. It does not touch a disk: a daemon must
// not be killed because its file server hangs.
func healthz(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok\n") }

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

// readiness says whether machines would get their answers, and if not, why. The
// zero value is not ready yet.
type readiness struct {
	mu       sync.Mutex
	reasons  []string  // why not; empty: ready
	noOrders bool      // orders cannot be granted, though machines are answered
	noISO    bool      // something is wrong with boot images of hosts
	probed   time.Time // when the last probe ended
	stopping bool
	first    chan struct{} // closed after the first probe
}

// How often the tree is probed for readiness, and how old a probe may get
// before the disk counts as hanging.
const (
	probeEach = 5 * time.Second
	probeAge  = 15 * time.Second
)

func (r *readiness) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	reasons, warnings := r.report()
	text := ""
	for _, w := range warnings {
		text += "warning: " + w + "\n"
	}
	if len(reasons) > 0 {
		plain(w, http.StatusServiceUnavailable, "not ready: "+
			strings.Join(reasons, "\nnot ready: ")+"\n"+text)
		return
	}
	plain(w, http.StatusOK, "ready\n"+text)
}

// stopping is the reason while the daemon stops.
const stopping = "the daemon is stopping"

// report says why machines would not get their answers now, and what is wrong
// although they would.
func (r *readiness) report() (reasons, warnings []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.noOrders {
		warnings = append(warnings, "orders cannot be granted or confirmed; the log says why")
	}
	if r.noISO {
		warnings = append(warnings, "a list, row, key or loader of the boot images of hosts is "+
			"wrong; the log says which")
	}
	switch {
	case r.stopping:
		return []string{stopping}, warnings
	case r.probed.IsZero():
		return []string{"the tree was not looked at yet"}, warnings
	case time.Since(r.probed) > probeAge:
		return []string{fmt.Sprintf("the disk hangs: the last look at the tree ended %s ago",
			time.Since(r.probed).Round(time.Second))}, warnings
	}
	return r.reasons, warnings
}

// warn sets whether orders do not work although machines are answered. Only the
// log says why: the reason names paths.
func (r *readiness) warn(orders bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noOrders = orders
}

// warnISO sets whether something is wrong with the boot images of hosts.
func (r *readiness) warnISO(wrong bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noISO = wrong
}

func (r *readiness) stop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stopping = true
}

// watchReadiness probes the tree every few seconds. On a disk that hangs one
// probe stays under way, and the answer says so.
func (d *Daemon) watchReadiness(ctx context.Context) error {
	probing := make(chan struct{}, 1)
	tick := time.NewTicker(probeEach)
	defer tick.Stop()
	for {
		select {
		case probing <- struct{}{}:
			go func() {
				defer func() { <-probing }()
				d.ready.found(probe(d.serving.Load()))
			}()
		default: // the last probe is still under way
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// found sets what a probe has found.
func (r *readiness) found(reasons []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.probed.IsZero() {
		close(r.first)
	}
	r.reasons, r.probed = reasons, time.Now()
}

// probe reads what every answer needs. The reasons name no path, since every
// client can read them.
func probe(s *serving) (reasons []string) {
	root := s.config.Root
	if _, err := os.ReadDir(root); err != nil {
		return []string{"the document root cannot be read"}
	}
	for _, dir := range []string{"protect", "static"} {
		f, err := os.Open(filepath.Join(root, dir))
		if err == nil {
			_, err = f.Readdirnames(1)
			f.Close()
		}
		if err != nil && err != io.EOF && !os.IsNotExist(err) {
			reasons = append(reasons, dir+"/ cannot be read")
		}
	}
	return reasons
}
