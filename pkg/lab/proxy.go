package lab

import (
	"io"
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
	left int // connections still to be cut
	keep int64
	how  Cut
	cuts int
}

// NewCutProxy starts a proxy before the server at target ("host:port").  It cuts nothing until Cut is called
// and ends with the test.
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

// Cut makes the proxy cut each of the next n connections when the server has sent more than keep bytes on it:
// the client gets keep bytes (with RST perhaps less of them), then how.  With keep 0 the server has got the
// request and begun to answer, but the client hears nothing.
func (p *CutProxy) Cut(n int, keep int64, how Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left, p.keep, p.how = n, keep, how
}

// Cuts returns how many connections were cut so far.
func (p *CutProxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// next tells what happens to a new connection.
func (p *CutProxy) next() (cut bool, keep int64, how Cut) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left == 0 {
		return false, 0, FIN
	}
	p.left--
	return true, p.keep, p.how
}

func (p *CutProxy) serve(client *net.TCPConn) {
	defer client.Close()
	cut, keep, how := p.next()
	up, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	server := up.(*net.TCPConn)
	defer server.Close()
	go func() {
		io.Copy(server, client)
		server.CloseWrite()
	}()
	if !cut {
		io.Copy(client, server)
		return
	}
	if n, _ := io.CopyN(client, server, keep); n < keep {
		return // a shorter answer: nothing to cut
	}
	if n, _ := io.ReadFull(server, make([]byte, 1)); n == 0 {
		return
	}
	p.mu.Lock()
	p.cuts++
	p.mu.Unlock()
	if how == RST {
		client.SetLinger(0)
	}
}
