//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkProgram measures the program from outside, side by side with a
// constant handler and, where it is installed, nginx, each a process of its
// own, in alternation. It prints the tables of docs/speed.md. make bench runs
// it, make test does not.
//
// Rates mean little on a machine that does something else, too; ratios to what
// was measured in turn with it mean more.
func BenchmarkProgram(b *testing.B) {
	rounds := 5
	if testing.Short() {
		rounds = 1
	}
	dir := b.TempDir()
	trees := []int{0, 10_000, 100_000}
	for _, n := range trees {
		benchTree(b, filepath.Join(dir, strconv.Itoa(n)), n)
	}
	largest := filepath.Join(dir, strconv.Itoa(trees[len(trees)-1]))

	fmt.Printf("\n%s, %d processors, %s\n", time.Now().Format(time.DateOnly), runtime.NumCPU(),
		runtime.Version())
	constant := launch(b, []string{constantEnv + "=" + filepath.Join(dir, "0", "install.ipxe"),
		constantEnv + "_FILES=" + largest}, os.Args[0])
	others := []rival{{"constant handler", constant, ""}}
	nginx := launchNginx(b, largest)
	if nginx != nil {
		others = append(others, rival{"nginx, try_files", nginx, ""})
	}
	ours := map[int]*process{}
	all := slices.Clone(others)
	for _, n := range trees {
		ours[n] = launchOurs(b, filepath.Join(dir, strconv.Itoa(n)))
		all = append(all, rival{fmt.Sprintf("pxesrv, 1 name, %d entries", n), ours[n], ""},
			rival{fmt.Sprintf("pxesrv, 12 names, %d entries", n), ours[n], twelveNames})
	}
	time.Sleep(2500 * time.Millisecond) // a tree that was changed less than 2 s ago is not at rest
	for _, fresh := range []bool{false, true} {
		compareRates(all, fresh, 2*rounds+1, time.Second)
	}
	orders(b, ours[trees[len(trees)-1]], largest, 400*rounds)
	if nginx != nil {
		compareFiles(b, ours[trees[len(trees)-1]], nginx, constant, largest, rounds)
	}
	compareTFTP(b, largest, rounds)
	start(b, largest, rounds)
}

// twelveNames is the query of a machine that the tree knows only by the last of
// its names.
const twelveNames = "?uuid=4c4c4544-0042-3510-8054-b4c04f564433&manufacturer=Dell%20Inc.&serial=B5TVD3&asset=RZ1-0042&host=node42" +
	"&mac=52:54:00:12:34:56&macs=52:54:00:12:34:57,52:54:00:12:34:58,52:54:00:12:34:59,52:54:00:12:34:5a"

// benchTree makes a root in which 127.0.0.1 has a script, beside so many other
// machines.
func benchTree(b *testing.B, root string, entries int) {
	body := "#!ipxe\n" + strings.Repeat("# "+strings.Repeat("-", 60)+"\n", 7)
	body += strings.Repeat("#", 488-len(body)) + "\n"
	for _, d := range []string{"static", "once", "protect"} {
		must(b, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	for _, f := range []string{"install.ipxe", "default"} {
		must(b, os.WriteFile(filepath.Join(root, f), []byte(body), 0o644))
	}
	must(b, os.Symlink("../install.ipxe", filepath.Join(root, "static/127.0.0.1")))
	for i := range entries {
		must(b, os.Symlink("../install.ipxe",
			filepath.Join(root, fmt.Sprintf("static/52-54-01-%02x-%02x-%02x", i>>16,
				i>>8&255, i&255))))
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// A process is a server under measurement.
type process struct {
	addr  string
	pid   int
	began time.Duration // from exec to the first answer
}

// launch starts a server that is told its address by PXESRV_LISTEN, and waits
// for its first answer.
func launch(b *testing.B, env []string, name string, args ...string) *process {
	return launchAt(b, freeAddress(b), env, name, args...)
}

func freeAddress(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(b, err)
	defer l.Close()
	return l.Addr().String()
}

func launchAt(b *testing.B, addr string, env []string, name string, args ...string) *process {
	p := &process{addr: addr}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), append(env, "PXESRV_LISTEN="+p.addr)...)
	cmd.Stderr = os.Stderr
	began := time.Now()
	must(b, cmd.Start())
	p.pid = cmd.Process.Pid
	b.Cleanup(func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() })
	for time.Since(began) < 10*time.Second {
		c, err := net.Dial("tcp", p.addr)
		if err != nil {
			time.Sleep(200 * time.Microsecond)
			continue
		}
		fmt.Fprint(c, "GET /redirect HTTP/1.0\r\n\r\n")
		answer, _ := io.ReadAll(c)
		c.Close()
		if p.began = time.Since(began); !bytes.Contains(answer, []byte(" 200 OK")) ||
			!bytes.Contains(answer, []byte("#!ipxe")) {
			b.Fatalf("%s answers %.200q", name, answer)
		}
		return p
	}
	b.Fatalf("%s does not answer", name)
	return nil
}

func launchOurs(b *testing.B, root string) *process {
	program := os.Getenv("BENCH_PROGRAM")
	if program == "" {
		b.Fatal("BENCH_PROGRAM names no program: run make bench")
	}
	return launch(b,
		[]string{"PXESRV_ROOT=" + root, "PXESRV_LOG=" + filepath.Join(b.TempDir(), "log")}, program)
}

// launchNginx returns nil where there is no nginx.
func launchNginx(b *testing.B, root string) *process {
	name := "/usr/sbin/nginx"
	if found, err := exec.LookPath("nginx"); err == nil {
		name = found
	}
	if _, err := os.Stat(name); err != nil {
		fmt.Println("nginx is not installed, its columns are missing")
		return nil
	}
	user := "#"
	if os.Getuid() == 0 {
		user = "user root;" // what it reads is in a directory of ours
	}
	dir := b.TempDir()
	addr := freeAddress(b)
	conf := filepath.Join(dir, "nginx.conf")
	must(b, os.WriteFile(conf, []byte(user+`
daemon off; worker_processes auto; pid `+dir+`/pid; error_log `+dir+`/error;
events { worker_connections 4096; }
http {
	access_log `+dir+
		`/access; sendfile on; tcp_nopush on; keepalive_requests 1000000000; default_type text/plain;
	client_body_temp_path `+dir+`/body; proxy_temp_path `+dir+`/proxy; fastcgi_temp_path `+
		dir+`/fastcgi;
	uwsgi_temp_path `+dir+`/uwsgi; scgi_temp_path `+dir+`/scgi;
	server {
		listen `+addr+`; root `+root+`;
		location = /redirect { add_header Cache-Control no-store; try_files /once/$remote_addr /static/$remote_addr /default =404; }
	}
}
`), 0o644))
	return launchAt(b, addr, nil, name, "-c", conf, "-e", filepath.Join(dir, "error"))
}

const constantEnv = "PXESRV_BENCH_CONSTANT"

// The test binary is the constant handler, too: the same body and headers as an
// answer, no file, no log.
func init() {
	file := os.Getenv(constantEnv)
	if file == "" {
		return
	}
	body, err := os.ReadFile(file)
	if err == nil {
		err = http.ListenAndServe(os.Getenv("PXESRV_LISTEN"),
			http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h := w.Header()
				if r.URL.Path == "/big.img" {
					// What Go's own server does for the same file.
					if f, err := os.Open(filepath.Join(os.Getenv(constantEnv+"_FILES"),
						r.URL.Path)); err == nil {
						defer f.Close()
						h.Set("Content-Type", "application/octet-stream")
						http.ServeContent(w, r, "", time.Time{}, f)
					}
					return
				}
				h.Set("Content-Type", "text/plain; charset=utf-8")
				h.Set("Cache-Control", "no-store")
				h.Set("X-Content-Type-Options", "nosniff")
				h.Set("Content-Length", strconv.Itoa(len(body)))
				w.Write(body)
			}))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// cpu is the processor time that the process and its children have used.
func (p *process) cpu() time.Duration {
	var ticks int
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		text, _ := os.ReadFile(name)
		_, rest, _ := strings.Cut(string(text), ") ")
		f := strings.Fields(rest)
		if len(f) < 13 || f[1] != strconv.Itoa(p.pid) &&
			name != fmt.Sprintf("/proc/%d/stat", p.pid) {
			continue
		}
		for _, n := range f[11:13] {
			t, _ := strconv.Atoi(n)
			ticks += t
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// rss is the memory of the process in MiB.
func (p *process) rss() float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(string(m[1]), 64)
	return n / 1024
}

type rival struct {
	name string
	*process
	query string
}

// compareRates asks each in turn for as many answers as 64 connections get, and
// just before it the first, the constant handler, for the same. It prints the
// medians of what each got beside that.
func compareRates(all []rival, fresh bool, rounds int, each time.Duration) {
	type figures struct{ rate, cpu, rateRatio, cpuRatio []float64 }
	got := make([]figures, len(all))
	base := map[string]*figures{} // of the first, by what it was asked
	measure := func(p *process, query string) (rate, cpu float64) {
		before := p.cpu()
		n, rate := load("http://"+p.addr+"/redirect"+query, fresh, each)
		return rate, float64((p.cpu() - before).Microseconds()) / max(1, float64(n))
	}
	for range rounds {
		for i, r := range all[1:] {
			f, b := &got[i+1], base[r.query]
			if b == nil {
				b = new(figures)
				base[r.query] = b
			}
			baseRate, baseCPU := measure(all[0].process, r.query)
			rate, cpu := measure(r.process, r.query)
			b.rate, b.cpu = append(b.rate, baseRate), append(b.cpu, baseCPU)
			f.rate, f.cpu = append(f.rate, rate), append(f.cpu, cpu)
			f.rateRatio, f.cpuRatio = append(f.rateRatio, rate/baseRate),
				append(f.cpuRatio, cpu/baseCPU)
		}
	}
	title := "keep-alive, 64 connections"
	if fresh {
		title = "a new connection for each request, 64 at once"
	}
	fmt.Printf("\n| /redirect, %s | ratio, spread | CPU, ratio | remark: answers/s, CPU µs each "+
		"|\n|---|---:|---:|---|\n", title)
	fmt.Printf("| %s | 1.00 | 1.00 | %.0f, %.0f |\n", all[0].name, median(base[""].rate),
		median(base[""].cpu))
	fmt.Printf("| %s, asked with the query of 12 names | 1.00 | 1.00 | %.0f, %.0f |\n", all[0].name,
		median(base[twelveNames].rate), median(base[twelveNames].cpu))
	for i, r := range all[1:] {
		f := got[i+1]
		fmt.Printf("| %s | %.2f, %.2f to %.2f | %.2f | %.0f, %.0f |\n", r.name, median(f.rateRatio),
			slices.Min(f.rateRatio), slices.Max(f.rateRatio),
			median(f.cpuRatio), median(f.rate), median(f.cpu))
	}
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// load asks for url from 64 connections at once, with wrk where it is
// installed. It returns the answers, and those of a second.
func load(url string, fresh bool, d time.Duration) (answers int, rate float64) {
	if wrk, err := exec.LookPath("wrk"); err == nil {
		args := []string{"-t1", "-c64", "-d" + strconv.Itoa(int(d.Seconds())) + "s", url}
		if fresh {
			args = append(args, "-H", "Connection: close")
		}
		out, _ := exec.Command(wrk, args...).Output()
		if m := regexp.MustCompile(`(\d+) requests in`).FindSubmatch(out); m != nil &&
			!bytes.Contains(out, []byte("Non-2xx")) {
			answers, _ = strconv.Atoi(string(m[1]))
			rate, _ = strconv.ParseFloat(
				string(regexp.MustCompile(`Requests/sec:\s+([\d.]+)`).FindSubmatch(out)[1]), 64)
			return answers, rate
		}
		panic("wrk " + url + ": " + string(out))
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: fresh,
		MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	counts := make([]int, 64)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range counts {
		wg.Go(func() {
			for ctx.Err() == nil {
				if r, err := client.Get(url); err == nil {
					io.Copy(io.Discard, r.Body)
					r.Body.Close()
					counts[i]++
				}
			}
		})
	}
	wg.Wait()
	for _, n := range counts {
		answers += n
	}
	return answers, float64(answers) / time.Since(began).Seconds()
}

// orders measures one-time orders: each is claimed, made to last by fsync, sent
// and confirmed.
func orders(b *testing.B, p *process, root string, n int) {
	for i := range n {
		must(b, os.Symlink("../install.ipxe", fmt.Sprintf("%s/once/order-%d", root, i)))
	}
	took := make([]float64, n)
	next := make(chan int)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	began, before := time.Now(), p.cpu()
	for range 16 {
		wg.Go(func() {
			for i := range next {
				began := time.Now()
				r, err := client.Get(fmt.Sprintf("http://%s/redirect?serial=order-%d", p.addr, i))
				if err != nil {
					b.Error(err)
					continue
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
				took[i] = float64(time.Since(began).Microseconds()) / 1000
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	rate := float64(n) / time.Since(began).Seconds()
	cpu := float64((p.cpu() - before).Microseconds()) / float64(n)
	served := 0
	for deadline := time.Now().Add(5 * time.Second); served < n &&
		time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		entries, _ := os.ReadDir(filepath.Join(root, "once/.served"))
		served = len(entries)
	}
	left, _ := filepath.Glob(filepath.Join(root, "once/order-*"))
	slices.Sort(took)
	fmt.Printf("\n| one-time orders, %d by 16 clients | |\n|---|---:|\n| granted twice or lost | "+
		"%d |\n| remark: orders/s, with fsync | %.0f |\n"+
		"| remark: p50, p99 ms | %.1f, %.1f |\n| remark: CPU µs each | %.0f |\n", n,
		n-served+len(left), rate, took[n/2], took[n*99/100], cpu)
}

// compareFiles measures a sparse file of 1 GiB.
func compareFiles(b *testing.B, ours, nginx, bare *process, root string, rounds int) {
	f, err := os.Create(filepath.Join(root, "big.img"))
	must(b, err)
	must(b, f.Truncate(1<<30))
	f.Close()
	const copies = 4 // the clock of processor time ticks too slowly for one
	// io.Copy to nowhere would read 8 KiB at a time, and measure the client
	buf := make([]byte, 256<<10)
	get := func(p *process) float64 {
		before := p.cpu()
		for range copies {
			c, err := net.Dial("tcp", p.addr)
			must(b, err)
			fmt.Fprint(c, "GET /big.img HTTP/1.0\r\n\r\n")
			n := 0
			for err == nil {
				var more int
				more, err = c.Read(buf)
				n += more
			}
			c.Close()
			if n < 1<<30 {
				b.Fatalf("%d bytes of a file of 1 GiB", n)
			}
		}
		return (p.cpu() - before).Seconds() / copies
	}
	get(nginx) // fills the page cache
	var a, n, g []float64
	for range rounds {
		a, n, g = append(a, get(ours)), append(n, get(nginx)), append(g, get(bare))
	}
	fmt.Printf("\n| a file of 1 GiB over HTTP | CPU, ratio | remark: CPU s per GiB, spread " +
		"|\n|---|---:|---|\n")
	fmt.Printf("| nginx | 1.00 | %.3f, %.3f to %.3f |\n", median(n), slices.Min(n), slices.Max(n))
	fmt.Printf("| Go, http.ServeContent alone | %.2f | %.3f, %.3f to %.3f |\n", median(g)/median(n),
		median(g), slices.Min(g), slices.Max(g))
	fmt.Printf("| pxesrv | %.2f | %.3f, %.3f to %.3f |\n", median(a)/median(n), median(a),
		slices.Min(a), slices.Max(a))
}

// compareTFTP sends 64 MiB by TFTP, from us and from tftpd-hpa, where .ci/bench
// has unpacked that. Server and client are on one processor: TFTP waits for
// each block, and its speed on two depends on where the kernel happens to put
// them.
func compareTFTP(b *testing.B, root string, rounds int) {
	hpa := os.Getenv("BENCH_TFTPD")
	if hpa == "" {
		fmt.Println("\nBENCH_TFTPD names no tftpd-hpa: TFTP is not compared")
		return
	}
	const size = 64 << 20
	must(b, os.WriteFile(filepath.Join(root, "64.img"), make([]byte, size), 0o644))
	address := func() string {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		must(b, err)
		defer c.Close()
		return c.LocalAddr().String()
	}
	pinned := func(env []string, name string, args ...string) *exec.Cmd {
		cmd := exec.Command("taskset", append([]string{"-c", "0", name}, args...)...)
		cmd.Env = append(os.Environ(), env...)
		return cmd
	}
	run := func(cmd *exec.Cmd) {
		must(b, cmd.Start())
		b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	}
	ours, theirs := address(), address()
	run(pinned([]string{"LD_LIBRARY_PATH=" + os.Getenv("BENCH_TFTPD_LIB")}, hpa, "-L", "-a", theirs,
		"-s", root, "-u", "root"))
	run(pinned([]string{"PXESRV_ROOT=" + root, "PXESRV_LOG=" + filepath.Join(b.TempDir(), "log"),
		"PXESRV_LISTEN=" + freeAddress(b)},
		os.Getenv("BENCH_PROGRAM"), "--tftp="+ours))
	time.Sleep(2 * time.Second)
	get := func(addr string) float64 {
		began := time.Now()
		out, err := pinned(nil, "curl", "-sS", "--tftp-blksize", "1428", "-o", "/dev/null", "-w",
			"%{size_download}", "tftp://"+addr+"/64.img").CombinedOutput()
		if err != nil || string(out) != strconv.Itoa(size) {
			b.Fatalf("64 MiB by TFTP: %v, %s", err, out)
		}
		return 64 / time.Since(began).Seconds()
	}
	get(theirs) // fills the page cache
	var a, h []float64
	for range rounds {
		a, h = append(a, get(ours)), append(h, get(theirs))
	}
	fmt.Printf("\n| 64 MiB over TFTP, blocks of 1428 bytes, one processor | ratio | remark: " +
		"MiB/s, spread |\n|---|---:|---|\n")
	fmt.Printf("| tftpd-hpa | 1.00 | %.0f, %.0f to %.0f |\n", median(h), slices.Min(h),
		slices.Max(h))
	fmt.Printf("| pxesrv | %.2f | %.0f, %.0f to %.0f |\n", median(a)/median(h), median(a),
		slices.Min(a), slices.Max(a))
}

// start measures from exec to the first answer, and the memory then and under
// load.
func start(b *testing.B, root string, rounds int) {
	var took, rss []float64
	var p *process
	for range rounds {
		p = launchOurs(b, root)
		took, rss = append(took, float64(p.began.Microseconds())/1000), append(rss, p.rss())
	}
	time.Sleep(2500 * time.Millisecond)
	load("http://"+p.addr+"/redirect"+twelveNames, false, time.Second)
	fmt.Printf("\n| start, 100000 entries | | goal |\n|---|---:|---:|\n| exec to the first "+
		"answer, ms | %.1f | 20 |\n| memory then, MiB | %.1f | 20 |\n"+
		"| remark: memory after load from 64 connections, MiB | %.1f | |\n", median(took),
		median(rss), p.rss())
}
