//go:build linux

package daemon

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"pxesrv/pkg/boot"
	"pxesrv/pkg/config"
	"pxesrv/pkg/lab/faultfs"
)

// How an order ends: served when the client's TCP acknowledged all of it, open
// when it did not, pending when not one byte was sent.

// long is a script that does not fit into the buffers of a connection whose
// client reads little.
func long() string {
	s := say("long") + strings.Repeat("# a comment that goes on for a while\n", boot.MaxScript/36)
	return s[:strings.LastIndexByte(s[:boot.MaxScript-1], '\n')+1]
}

func quickly(cfg *config.Config) { cfg.OnceConfirm = 300 * time.Millisecond }

// small opens a connection that takes only some bytes until it is read from.
func (c *client) small() *net.TCPConn {
	c.t.Helper()
	conn := c.dial()
	if err := conn.SetReadBuffer(2048); err != nil {
		c.t.Fatal(err)
	}
	return conn
}

func TestDelivery_Served(t *testing.T) {
	t.Parallel()
	for _, body := range []string{say("install"), long()} {
		files := installOrder()
		files["install"] = body
		c := serve(t, files)
		a := c.redirect()
		c.wantBody(a, body)
		if !a.close {
			t.Error("no Connection: close")
		}
		c.wantOrder(me, "served")
		c.wantLog("msg=order", "state=served", "name=127.0.0.1")
		if c.log.find("state=open") != "" {
			t.Error("the order was open as well")
		}
	}
}

// The server closes first, and the client's end may stay open.
func TestDelivery_ServedBeforeClientCloses(t *testing.T) {
	t.Parallel()
	c := serve(t, installOrder())
	conn := c.dial()
	io.WriteString(conn, request("GET", "/redirect"))
	a, err := read(bufio.NewReader(conn), "GET")
	if err != nil {
		t.Fatal(err)
	}
	c.wantBody(a, say("install"))
	c.wantOrder(me, "served") // while the client still holds its end
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the script: %v, want the end of the connection", err)
	}
}

// A reset on the heels of the request: either it was seen before the claim, or
// the order is open. It is never served, and never lost.
func TestDelivery_ResetAfterRequest(t *testing.T) {
	t.Parallel()
	files := tree{"default": say("default"), "install": say("install"), "static/": "",
		"protect/": ""}
	for i := range 20 {
		files[fmt.Sprintf("once/127.0.1.%d", i+1)] = "-> ../install"
	}
	c := serve(t, files, quickly)
	c.rest()
	for i := range 20 {
		c := c.as(fmt.Sprintf("127.0.1.%d", i+1))
		conn := c.dial()
		conn.SetLinger(0)
		io.WriteString(conn, request("GET", "/redirect"))
		time.Sleep(time.Duration(i%4) * 50 * time.Microsecond)
		conn.Close()
	}
	c.stop() // a daemon that stops first gives back what nobody was sent
	for i := range 20 {
		name := fmt.Sprintf("127.0.1.%d", i+1)
		switch said, got := c.log.find("msg=order", "state=open", "name="+name+" ") != "",
			c.order(name); {
		case got == "pending" || got == "served" || got == "open" && said:
		default:
			t.Errorf("the order of %s is %q", name, got)
		}
	}
}

// The client resets after it has the first bytes.
func TestDelivery_ResetInTheMiddle(t *testing.T) {
	t.Parallel()
	files := installOrder()
	files["install"] = long()
	c := serve(t, files, quickly)
	conn := c.small()
	io.WriteString(conn, request("GET", "/redirect"))
	if _, err := io.ReadFull(conn, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	conn.SetLinger(0)
	conn.Close()
	c.wantOrder(me, "open")
	c.wantLog("msg=order", "state=open", "name=127.0.0.1", "level=WARN")
	c.wantScript("default") // never twice
	c.wantOrder(me, "open")
}

// The client closes its end before it has read the script.
func TestDelivery_CloseInTheMiddle(t *testing.T) {
	t.Parallel()
	files := installOrder()
	files["install"] = long()
	c := serve(t, files, quickly)
	conn := c.small()
	io.WriteString(conn, request("GET", "/redirect"))
	if _, err := io.ReadFull(conn, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	c.wantLog("msg=order", "state=open", "name=127.0.0.1")
	c.wantOrder(me, "open")
}

// The client stays and reads nothing: its TCP acknowledges what fits into its
// buffers and no more.
func TestDelivery_SilentReader(t *testing.T) {
	t.Parallel()
	files := installOrder()
	files["install"] = long()
	c := serve(t, files, quickly)
	conn := c.small()
	io.WriteString(conn, request("GET", "/redirect"))
	c.wantLog("msg=order", "state=open", "name=127.0.0.1")
	c.wantOrder(me, "open")
}

// The client goes away while the claim is made: it is given back, because
// nothing was sent.
func TestDelivery_GoneDuringTheClaim(t *testing.T) {
	faults := faultfs.Mount(t, plant(t, installOrder()))
	c := serveAt(t, faults.Dir)
	c.rest()
	faults.Set(faultfs.Hang(faultfs.OpRename))
	conn := c.dial()
	io.WriteString(conn, request("GET", "/redirect"))
	if !eventually(func() bool { return faults.Hanging() > 0 }) {
		t.Fatal("the order is not claimed")
	}
	conn.Close()
	c.wantLog("msg=redirect", "status=503")
	faults.Set()
	c.wantLog("msg=order", `state="given back"`)
	c.wantOrder(me, "pending")
	c.wantScript("install")
}
