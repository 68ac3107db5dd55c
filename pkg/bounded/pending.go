package bounded

import "sync"

// Pending counts work that outlives whoever began it. Unlike a sync.WaitGroup
// it may be waited for while more begins. The zero value counts none.
type Pending struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0 again; nil when nobody waits
}

// Go runs work in a goroutine of its own.
func (p *Pending) Go(work func()) {
	p.add(1)
	go func() {
		defer p.add(-1)
		work()
	}()
}

func (p *Pending) add(n int) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n += n; p.n == 0 && p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
}

// Wait returns when nothing is pending.
func (p *Pending) Wait() {
	p.mu.Lock()
	if p.n == 0 {
		p.mu.Unlock()
		return
	}
	if p.idle == nil {
		p.idle = make(chan struct{})
	}
	idle := p.idle
	p.mu.Unlock()
	<-idle
}
