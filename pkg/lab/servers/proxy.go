// Package servers runs the servers of others for the tests: DHCP, nginx, and a
// proxy that cuts connections.
package servers

import (
	"bytes"
	"net"
	"sync"
	"testing"
)

// Cut is how a CutProxy ends a connection.
type Cut bool

const (
	FIN Cut = false // in order, as a server that ends
	RST Cut = true  // by a reset, as a machine that was switched off
)

// CutProxy is a TCP proxy on 127.0.0.1 that can cut a server's answers short.
type CutProxy struct {
	ln     net.Listener
	target string

	mu   sync.Mutex
	left int // answers still to be cut
	at   []byte
	how  Cut
	cuts int
}

// NewCutProxy starts a proxy before the server at target ("host:port"). It cuts
// nothing until Cut is called and ends with the test.
func NewCutProxy(t testing.TB, target string) *CutProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	p := &CutProxy{ln: ln, target: target}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go p.serve(c.(*net.TCPConn))
		}
	}()
	return p
}

// Addr returns the proxy's "127.0.0.1:port".
func (p *CutProxy) Addr() string { return p.ln.Addr().String() }

// Cut makes the proxy cut the next n answers that have the text at in them, on
// whatever connection they come: the client gets what stands before it (with
// RST perhaps less), then how. What the server sent behind it is not read.
func (p *CutProxy) Cut(n int, at string, how Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.at, p.how = n, []byte(at), how
}

// Cuts returns how many answers were cut so far.
func (p *CutProxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// cut says where what a server sent is to be cut, or -1.
func (p *CutProxy) cut(sent []byte) (int, Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return -1, FIN
	}
	i := bytes.Index(sent, p.at)
	if i >= 0 {
		p.left--
		p.cuts++
	}
	return i, p.how
}

func (p *CutProxy) serve(client *net.TCPConn) {
	defer client.Close()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	server := up.(*net.TCPConn)
	defer server.Close()
	go func() {
		server.ReadFrom(client)
		server.CloseWrite()
	}()
	var tail []byte // the end of what was passed on: the text may begin there
	buf := make([]byte, 4096)
	for {
		n, err := server.Read(buf)
		sent := append(tail, buf[:n]...)
		if i, how := p.cut(sent); i >= 0 {
			client.Write(buf[:max(0, i-len(tail))])
			if how == RST {
				client.SetLinger(0)
			}
			return
		}
		if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
			return
		}
		tail = append([]byte(nil), sent[max(0, len(sent)-100):]...)
	}
}
