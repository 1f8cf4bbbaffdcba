package main

import (
	"io"
	"net"
	"sync"
	"time"
)

// The way between two nodes, in one direction.  Bytes pass at once where
// nothing is set; they are kept while it is stalled and go on afterwards, as
// what TCP sends again does.
type way struct {
	mu      sync.Mutex
	delay   time.Duration // of each piece
	jitter  time.Duration // and up to so much more; order is kept
	rate    int           // bytes a second; 0: no limit
	stalled bool
	changed chan struct{}
}

func (w *way) set(delay, jitter time.Duration, rate int, stalled bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay, w.jitter, w.rate, w.stalled = delay, jitter, rate, stalled
	close(w.changed)
	w.changed = make(chan struct{})
}

// How long a piece that came at 'came' has to wait yet; 'random' is below 1.
func (w *way) wait(came time.Time, random float64) (time.Duration, bool, chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.delay + time.Duration(random*float64(w.jitter)) - time.Since(came),
		w.stalled, w.changed
}

// What n bytes take on a slow link.
func (w *way) takes(n int) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.rate == 0 {
		return 0
	}
	return time.Duration(n) * time.Second / time.Duration(w.rate)
}

// The proxy: other nodes dial a node at its alias.
type proxy struct {
	mu        sync.Mutex
	ways      map[[2]int]*way
	listeners map[int]net.Listener
	random    func() float64
}

func newProxy(random func() float64) *proxy {
	return &proxy{ways: map[[2]int]*way{}, listeners: map[int]net.Listener{}, random: random}
}

func (p *proxy) way(from, to int) *way {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.ways[[2]int{from, to}]
	if w == nil {
		w = &way{changed: make(chan struct{})}
		p.ways[[2]int{from, to}] = w
	}
	return w
}

func (p *proxy) heal() {
	p.mu.Lock()
	ways := p.ways
	all := make([]*way, 0, len(ways))
	for _, w := range ways {
		all = append(all, w)
	}
	p.mu.Unlock()
	for _, w := range all {
		w.set(0, 0, 0, false)
	}
}

func (p *proxy) listen(id int) error {
	l, err := net.Listen("tcp", at(alias(id), raftPort))
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listeners[id] = l
	p.mu.Unlock()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.join(c.(*net.TCPConn), id)
		}
	}()
	return nil
}

func (p *proxy) unlisten(id int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.listeners[id]; l != nil {
		l.Close()
		delete(p.listeners, id)
	}
}

// Whose address it is; 0: nobody's.
func idOf(a net.Addr) int {
	ip := a.(*net.TCPAddr).IP.To4()
	if ip == nil || ip[2] != 0 || ip[3] <= 10 {
		return 0
	}
	return int(ip[3]) - 10
}

func (p *proxy) join(in *net.TCPConn, to int) {
	from := idOf(in.RemoteAddr())
	d := net.Dialer{Timeout: 3 * time.Second,
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(alias(from))}}
	c, err := d.Dial("tcp", at(host(to), raftPort))
	if err != nil || from == 0 {
		in.Close()
		return
	}
	out := c.(*net.TCPConn)
	var both sync.WaitGroup
	both.Add(2)
	go p.carry(out, in, p.way(from, to), &both)
	go p.carry(in, out, p.way(to, from), &both)
	both.Wait()
	in.Close()
	out.Close()
}

type bytesAt struct {
	b    []byte
	came time.Time
}

// Carries bytes from one connection to the other until either ends; at most 64
// pieces of 32 KiB are under way.
func (p *proxy) carry(to, from *net.TCPConn, w *way, both *sync.WaitGroup) {
	pieces := make(chan bytesAt, 64)
	gone := make(chan struct{})
	defer both.Done()
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 32<<10)
			n, err := from.Read(b)
			if n > 0 {
				select {
				case pieces <- bytesAt{b[:n], time.Now()}:
				case <-gone:
					return
				}
			}
			if err != nil {
				if err != io.EOF {
					to.Close()
				}
				return
			}
		}
	}()
	for piece := range pieces {
		w.hold(piece, p.random())
		time.Sleep(w.takes(len(piece.b)))
		if _, err := to.Write(piece.b); err != nil {
			close(gone)
			from.Close()
			for range pieces {
			}
			return
		}
	}
	_ = to.CloseWrite()
}

func (w *way) hold(piece bytesAt, random float64) {
	for {
		d, stalled, changed := w.wait(piece.came, random)
		if !stalled && d <= 0 {
			return
		}
		if stalled {
			d = time.Hour
		}
		t := time.NewTimer(d)
		select {
		case <-t.C:
		case <-changed:
		}
		t.Stop()
	}
}
