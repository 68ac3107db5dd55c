package daemon

import (
	"net/http"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/conn"
	"pxesrv/pkg/order"
	"pxesrv/pkg/tftpd"
)

// metrics counts what the daemon does. No label takes a value from a client or
// a file name, so that clients cannot grow the memory.
type metrics struct {
	registry     *prometheus.Registry
	answers      *prometheus.CounterVec
	scripts      map[boot.Step]prometheus.Counter // those of answers that machines get
	skipped      *prometheus.CounterVec
	conflicts    prometheus.Counter
	placeholders prometheus.Counter
	decision     prometheus.Histogram
	orders       *prometheus.CounterVec
	pending      prometheus.Gauge
	open         prometheus.Gauge
	served       prometheus.Gauge
	files        *prometheus.CounterVec
	bytes        prometheus.Counter
	transfers    *prometheus.CounterVec
	tftpBytes    prometheus.Counter
	reloads      *prometheus.CounterVec
	failed       *prometheus.CounterVec
	isoHosts     prometheus.Gauge
	isoTrouble   prometheus.Gauge

	decided    atomic.Uint64               // how many decisions there were
	orderStats atomic.Pointer[order.Stats] // of the last sweep; nil before the first
}

func newMetrics(
	build Build, limiter *conn.Limiter, transfers *tftpd.Counts, logs ...*LogWriter,
) *metrics {
	counterOpts := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "pxesrv_" + name, Help: help}
	}
	gaugeOpts := func(name, help string) prometheus.GaugeOpts {
		return prometheus.GaugeOpts{Name: "pxesrv_" + name, Help: help}
	}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(counterOpts(name, help))
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(counterOpts(name, help), labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(gaugeOpts(name, help))
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		answers: vector("answers_total", "Answers of /redirect, by the step that answered "+
			"and the result: script, nothing (404), unsure (503), identification.",
			"step", "result"),
		skipped: vector("skipped_total",
			"Entries that could not be served, by step and reason.", "step", "reason"),
		conflicts: counter("conflicts_total",
			"Requests that contradict themselves and get no order."),
		placeholders: counter("placeholders_total",
			"Claims that name nobody because boards carry them unfilled."),
		decision: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "pxesrv_decision_seconds", Help: "Time for one decision.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .05, .1, .3, .5, 1, 5},
		}),
		orders:  vector("order_events_total", "What happened to one-time orders.", "event"),
		pending: gauge("orders_pending", "Orders that wait for their machine."),
		open: gauge("orders_open",
			"Orders that were sent more than a minute ago and never confirmed."),
		served: gauge("orders_served", "Served orders in the journal."),
		files:  vector("files_total", "Requests for files, by status.", "status"),
		bytes:  counter("file_bytes_total", "Bytes of files that were sent."),
		transfers: vector("tftp_transfers_total", "Requests by TFTP, by how they ended.",
			"result"),
		tftpBytes: counter("tftp_bytes_total", "Bytes that were sent by TFTP."),
		isoHosts:  gauge("iso_hosts", "Hosts of iso.hosts that are known."),
		isoTrouble: gauge("iso_trouble", "What is wrong with the list of iso.hosts, its rows, "+
			"the keys and the loaders, in all."),
		failed: vector("connections_failed_total", "Connections closed before their first "+
			"request, by what was wrong with TLS or the PROXY protocol.", "reason"),
		reloads: vector("reloads_total", "Reloads of the configuration, by result.", "result"),
	}
	// Every series exists from the start: an alert on an increase misses an
	// event that makes its series.
	m.scripts = map[boot.Step]prometheus.Counter{}
	for _, s := range steps {
		m.scripts[s] = m.answers.WithLabelValues(string(s), "script")
		for _, c := range codes {
			m.skipped.WithLabelValues(string(s), string(c))
		}
	}
	m.answers.WithLabelValues("", "nothing")
	m.answers.WithLabelValues("", "unsure")
	m.answers.WithLabelValues("", "identification")
	for _, w := range events {
		m.orders.WithLabelValues(string(w))
	}
	for status := range statuses {
		m.files.WithLabelValues(statusText(status))
	}
	m.files.WithLabelValues(statusText(0))
	for _, r := range tftpd.Results {
		m.transfers.WithLabelValues(string(r))
	}
	for _, r := range conn.Reasons {
		m.failed.WithLabelValues(string(r))
	}
	m.reloads.WithLabelValues("done")
	m.reloads.WithLabelValues("refused")
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pxesrv_build_info", Help: "1, with what is known of the program.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit,
			"goversion": runtime.Version()},
	})
	info.Set(1)
	dropped := func() float64 {
		lost := int64(0)
		for _, w := range logs {
			if w != nil {
				lost += w.Dropped()
			}
		}
		return float64(lost)
	}
	m.registry.MustRegister(info, m.failed, m.answers, m.skipped, m.conflicts, m.placeholders,
		m.decision, m.orders, m.pending, m.open, m.served, m.files, m.bytes, m.transfers,
		m.tftpBytes, m.reloads, m.isoHosts, m.isoTrouble,
		prometheus.NewGaugeFunc(
			gaugeOpts("tftp_transfers", "Transfers by TFTP that are under way."),
			func() float64 { return float64(transfers.Open()) }),
		prometheus.NewGaugeFunc(gaugeOpts("connections", "Connections that are open."),
			func() float64 { return float64(limiter.Open()) }),
		prometheus.NewCounterFunc(counterOpts("connections_refused_total",
			"Connections closed because their address had too many."),
			func() float64 { return float64(limiter.Refused()) }),
		prometheus.NewCounterFunc(counterOpts("log_dropped_total",
			"Lines of the log and of the access log that were lost."), dropped),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// hasTLS shows when the certificate in force ends.
func (m *metrics) hasTLS(ends func() time.Time) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pxesrv_tls_certificate_expires_seconds",
		Help: "When the certificate ends, in seconds since 1970.",
	}, func() float64 { return float64(ends().Unix()) }))
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Redirect implements httpd.Observer.
func (m *metrics) Redirect(a *boot.Answer, c *boot.Machine, result string, took time.Duration) {
	if n := m.scripts[a.Entry.Step]; n != nil && result == "script" {
		n.Inc()
	} else {
		// No step has answered, or the client had left.
		m.answers.WithLabelValues("", result).Inc()
	}
	m.decision.Observe(took.Seconds())
	m.decided.Add(1)
	if c == nil {
		return
	}
	if c.Conflict != "" {
		m.conflicts.Inc()
	}
	for _, d := range c.Dropped {
		if d.Placeholder {
			m.placeholders.Inc()
		}
	}
	for _, f := range a.Trace.Findings {
		if f.Outcome == boot.Skipped {
			code := f.Code
			if code == "" {
				code = boot.Failed // a claim, by an error of the disk
			}
			m.skipped.WithLabelValues(string(f.Step), string(code)).Inc()
		}
	}
}

// File implements httpd.Observer.
func (m *metrics) File(status int, sent int64) {
	m.files.WithLabelValues(statusText(status)).Inc()
	m.bytes.Add(float64(sent))
}

// Transfer implements tftpd.Observer.
func (m *metrics) Transfer(r tftpd.Result, sent int64) {
	m.transfers.WithLabelValues(string(r)).Inc()
	m.tftpBytes.Add(float64(sent))
}

// The values that labels have. TestLabels holds that none is missing.
var (
	steps = boot.Steps()
	codes = []boot.Code{boot.Missing, boot.Outside, boot.Hidden, boot.NoFile, boot.NoLink,
		boot.Empty, boot.NoScript, boot.TooLarge, boot.Changing, boot.Taken, boot.Failed,
		boot.Held, boot.Conflict, boot.NoOrder, boot.Canceled}
	events = []order.EventKind{order.Granted, order.Served, order.Open, order.GivenBack,
		order.Replaced, order.Lost, order.Repeats}

	// statuses are those that a file can have.
	statuses = map[int]string{200: "200", 206: "206", 304: "304", 403: "403", 404: "404",
		412: "412", 416: "416", 503: "503"}
)

// statusText is the label of a status.
func statusText(status int) string {
	if text := statuses[status]; text != "" {
		return text
	}
	return "other"
}

// swept takes what a sweep has found.
func (m *metrics) swept(s order.Stats) {
	m.orderStats.Store(&s)
	m.pending.Set(float64(s.Pending))
	m.open.Set(float64(s.Open))
	m.served.Set(float64(s.Served))
}

// stats is how the orders were at the last sweep.
func (m *metrics) stats() order.Stats {
	if s := m.orderStats.Load(); s != nil {
		return *s
	}
	return order.Stats{}
}
