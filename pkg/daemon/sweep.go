package daemon

import (
	"context"
	"runtime"
	"runtime/debug"
	"slices"
	"time"

	"pxesrv/pkg/site"
)

// sweeper keeps the journal in order, and says what will not work as people
// expect: each thing once, and again when it was well in between.
type sweeper struct {
	d     *Daemon
	swept chan struct{} // closed when the first warnings were logged

	said     []string // warnings of the last sweep
	iso      []string // what was wrong then with boot images of hosts
	isoHosts int
	isoBad   int // rows
	open     int // orders that were sent and never confirmed
}

// run sweeps at once, each minute, and when it is asked to.
func (s *sweeper) run(ctx context.Context) error {
	for first := true; ; first = false {
		now := s.d.serving.Load().site
		s.warn(now)
		s.warnISO(now)
		if first {
			close(s.swept)
		}
		s.sweep(now)
		giveMemoryBack()
		select {
		case <-ctx.Done():
			return nil
		case <-s.d.sweepSoon:
		case <-time.After(time.Minute):
		}
	}
}

// wantSweep has the next sweep come now.
func (d *Daemon) wantSweep() {
	select {
	case d.sweepSoon <- struct{}{}:
	default: // it is on its way
	}
}

func (s *sweeper) warn(now *site.Site) {
	problems := now.Orders().Check()
	warnings := append(problems, now.Warnings()...)
	for _, w := range warnings {
		if !slices.Contains(s.said, w) {
			s.d.Log.Warn(w)
		}
	}
	s.said = warnings
	s.d.ready.warn(len(problems) > 0)
}

// warnISO says what is wrong with the list of hosts, the keys and the loaders
// of boot images.
func (s *sweeper) warnISO(now *site.Site) {
	problems := now.ISOProblems()
	for _, p := range problems {
		if !slices.Contains(s.iso, p) {
			s.d.Log.Warn(p)
		}
	}
	s.iso = problems
	hosts, bad := 0, 0
	if now.Images() != nil {
		st := now.Images().List.Known()
		hosts, bad = st.Hosts, len(st.Bad)
	}
	if hosts != s.isoHosts || bad != s.isoBad {
		s.d.Log.Info("hosts of boot images", "hosts", hosts, "wrong", bad)
	}
	s.isoHosts, s.isoBad = hosts, bad
	s.d.metrics.isoHosts.Set(float64(hosts))
	s.d.metrics.isoTrouble.Set(float64(len(problems)))
	s.d.ready.warnISO(len(problems) > 0)
}

func (s *sweeper) sweep(now *site.Site) {
	st, err := now.Orders().Sweep()
	if err != nil {
		s.d.Log.Warn("the journal of orders cannot be swept", "error", err.Error())
		return
	}
	s.d.metrics.swept(st)
	if st.Open != s.open {
		s.open = st.Open
		s.d.Log.Warn("orders that were sent and never confirmed: see pxesrv order list",
			"open", st.Open)
	}
}

// giveMemoryBack returns the memory that thousands of machines needed at once,
// when they have gone. The runtime by itself collects it only when as much is
// needed again, and then keeps most of it.
func giveMemoryBack() {
	var m runtime.MemStats
	if runtime.ReadMemStats(&m); m.Sys-m.HeapReleased > 16<<20 {
		debug.FreeOSMemory()
	}
}
