package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync"
	"time"
)

// proxy is the network between one process and one broker: it carries the bytes of every connection, and can be disturbed. Safe for concurrent use.
type proxy struct {
	listener net.Listener
	target   string
	ctx      context.Context // ends with the proxy
	cancel   context.CancelFunc
	work     sync.WaitGroup

	mu      sync.Mutex
	latency time.Duration
	refused bool
	silent  chan struct{} // while no byte passes: closed when they do again; nil otherwise
	open    map[net.Conn]struct{}
	watch   func(apiKey int16) // told of every request before any of its bytes passes; nil: nobody
}

// newProxy listens on an address for connections to the target.
func newProxy(address, target string) (*proxy, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("starting a proxy: %w", err)
	}
	p := &proxy{listener: listener, target: target, open: make(map[net.Conn]struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.work.Go(p.accept)
	return p, nil
}

func (p *proxy) close() {
	p.cancel()
	_ = p.listener.Close() // nobody listens to it any more
	p.reset()
	p.work.Wait()
}

// reset ends all connections.
func (p *proxy) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		abort(c)
	}
}

// abort closes a connection by a reset, which is what the other side sees of a host that is not there. An orderly end would be taken for a broker
// that wants another protocol.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // of a connection that has ended it does not matter
	}
	_ = c.Close()
}

// refuse ends all connections, and new ones at once, until heal.
func (p *proxy) refuse() {
	p.mu.Lock()
	p.refused = true
	p.mu.Unlock()
	p.reset()
}

// silence lets no byte pass until heal; then those go on that were under way. Neither side is told.
func (p *proxy) silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.silent == nil {
		p.silent = make(chan struct{})
	}
}

// delay lets every byte take so much longer, each way, until heal.
func (p *proxy) delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// onRequest makes watch be told of every request, by its API key, before any of its bytes passes on; nil ends it. Several connections call it at once.
func (p *proxy) onRequest(watch func(apiKey int16)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = watch
}

// told tells the watch of requests.
func (p *proxy) told(apiKeys []int16) {
	p.mu.Lock()
	watch := p.watch
	p.mu.Unlock()
	if watch == nil {
		return
	}
	for _, key := range apiKeys {
		watch(key)
	}
}

// heal ends all disturbances.
func (p *proxy) heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency, p.refused = 0, false
	if p.silent != nil {
		close(p.silent)
		p.silent = nil
	}
}

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// serve carries one connection until either side ends it.
func (p *proxy) serve(client net.Conn) {
	defer abort(client) // which does nothing to one that has been closed
	if !p.pass() {
		return
	}
	broker, err := (&net.Dialer{}).DialContext(p.ctx, "tcp", p.target)
	if err != nil {
		return // the broker is down: so is the connection to it
	}
	defer func() { _ = broker.Close() }()
	if !p.keep(client, broker) {
		return
	}
	defer p.forget(client, broker)
	var ways sync.WaitGroup
	var found requests
	ways.Go(func() { p.carry(client, broker, func(bytes []byte) { p.told(found.next(bytes)) }) })
	ways.Go(func() { p.carry(broker, client, func([]byte) {}) })
	ways.Wait()
}

// keep notes the ends of a connection for reset; ok is false if there must be none now.
func (p *proxy) keep(ends ...net.Conn) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused || p.ctx.Err() != nil {
		return false
	}
	for _, c := range ends {
		p.open[c] = struct{}{}
	}
	return true
}

func (p *proxy) forget(ends ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range ends {
		delete(p.open, c)
	}
}

// pass waits while bytes must not pass; ok is false if the proxy ends or refuses connections.
func (p *proxy) pass() (ok bool) {
	for {
		p.mu.Lock()
		silent, refused := p.silent, p.refused
		p.mu.Unlock()
		if silent == nil {
			return !refused && p.ctx.Err() == nil
		}
		select {
		case <-silent:
		case <-p.ctx.Done():
			return false
		}
	}
}

// piece is what was read at once.
type piece struct {
	bytes []byte
	due   time.Time // when it may be written
}

// requestHead is what a request begins with: its size, of four bytes, and its API key, of two.
const requestHead = 6

// requests finds where requests begin in the bytes of one connection. Zero is the beginning of a connection.
type requests struct {
	head [requestHead]byte
	read int // of head
	left int // bytes of the request under way, after its head
}

// next takes the next bytes, and returns the API keys of the requests whose heads end in them.
func (r *requests) next(bytes []byte) (apiKeys []int16) {
	for len(bytes) > 0 {
		if r.left > 0 {
			n := min(r.left, len(bytes))
			r.left, bytes = r.left-n, bytes[n:]
			continue
		}
		n := copy(r.head[r.read:], bytes)
		r.read, bytes = r.read+n, bytes[n:]
		if r.read == requestHead {
			apiKeys = append(apiKeys, int16(binary.BigEndian.Uint16(r.head[4:])))
			r.read, r.left = 0, int(binary.BigEndian.Uint32(r.head[:4]))-2
		}
	}
	return apiKeys
}

// carry moves the bytes of one direction; read is shown all of them before they pass. Reading goes on while what was read waits, as packets do on a long
// line.
func (p *proxy) carry(from, to net.Conn, read func([]byte)) {
	pieces := make(chan piece, 64)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				read(buffer[:n])
				p.mu.Lock()
				latency := p.latency
				p.mu.Unlock()
				pieces <- piece{buffer[:n], time.Now().Add(latency)}
			}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		// The other direction must see the end too, and the reader must not wait for a writer that has gone.
		_ = from.Close()
		_ = to.Close()
		for range pieces { // emptied
		}
	}()
	for next := range pieces {
		if wait := time.Until(next.due); wait > 0 && !pause(p.ctx, wait) {
			return
		}
		if !p.pass() {
			return
		}
		if _, err := to.Write(next.bytes); err != nil {
			return
		}
	}
	p.pass() // an end is not seen through a silent line either
}

// pause waits; ok is false if ctx has ended before.
func pause(ctx context.Context, d time.Duration) (ok bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
