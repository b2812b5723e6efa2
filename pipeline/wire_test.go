package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fate is what becomes of a request on its way to a broker and of the answer on its way back.
type fate int

const (
	delivered     fate = iota
	refused            // the connection breaks before the broker has seen the request
	delayed            // it arrives after delay
	unanswered         // the broker does it, and the connection breaks before the answer
	doneTwice          // it arrives twice, as after a retry whose first answer was lost; the second is told
	answeredTwice      // the broker does it once, and its answer comes twice
	frozen             // the wire stands still before it for longer than a session
	killedBefore       // the process dies before it has left
	killedAfter        // the process dies before it has the answer
	fates              // how many there are
)

func (f fate) String() string {
	return [...]string{"delivered", "refused", "delayed", "unanswered", "done twice", "answered twice", "frozen", "killed before", "killed after"}[f]
}

// wire is the network between one process and the brokers. Between the two ends of every connection it reads request by request and answer by
// answer.
type wire struct {
	dialBroker dialer
	kill       func()        // kills the process
	severed    chan struct{} // closed when the wire is cut for good

	mu     sync.Mutex
	decide decider             // nil: all is delivered
	gate   chan struct{}       // closed unless the wire is frozen
	conns  map[net.Conn]string // the ends that are open, with the broker's address
	seen   map[kmsg.Key]int    // requests that the process has made
	became map[fate]int        // and what became of them
}

// decider decides the fate of the nth request of its kind on a wire, the first being 1. It is called for one request at a time.
type decider func(key kmsg.Key, nth int) fate

// How long a delayed request takes, and a wire stands still.
const (
	delay    = time.Second
	standing = 15 * time.Second
)

// latency is how long every fetch takes on its way. Without any, a client that fetches again at once, as it does after a leader has moved, would do so for ever: in a bubble time goes on only while nobody
// has anything to do. Other requests take none: the client awaits the answers of some while it has a mutex, and while another of its goroutines waits for that, time does not go on either.
const latency = 100 * time.Microsecond

// broken is the error of a connection as the network of a machine has it: by its kind the client decides what it does.
func broken(op string, why syscall.Errno) error {
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(op, why)}
}

// end is the process's end of a connection.
type end struct{ net.Conn }

func (e end) Write(b []byte) (int, error) {
	n, err := e.Conn.Write(b)
	if errors.Is(err, io.ErrClosedPipe) {
		err = broken("write", syscall.EPIPE)
	}
	return n, err
}

func newWire(dial dialer, decide decider, kill func()) *wire {
	open := make(chan struct{})
	close(open)
	return &wire{
		dialBroker: dial, kill: kill, severed: make(chan struct{}), decide: decide, gate: open,
		conns: map[net.Conn]string{}, seen: map[kmsg.Key]int{}, became: map[fate]int{},
	}
}

// heal lets everything pass from now on.
func (w *wire) heal() {
	w.thaw()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.decide = nil
}

// freeze lets nothing pass, either way, until thaw.
func (w *wire) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gate:
		w.gate = make(chan struct{})
	default:
	}
}

// thaw lets pass what was held up, too late or not.
func (w *wire) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.gate:
	default:
		close(w.gate)
	}
}

// sever breaks all connections for good.
func (w *wire) sever() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isSevered() {
		return
	}
	close(w.severed)
	for c := range w.conns {
		_ = c.Close() // a pipe's never fails
	}
}

// hangUp breaks the connections to a broker.
func (w *wire) hangUp(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c, to := range w.conns {
		if to == address {
			_ = c.Close() // a pipe's never fails
		}
	}
}

func (w *wire) isSevered() bool {
	select {
	case <-w.severed:
		return true
	default:
		return false
	}
}

// pass waits while the wire is frozen.
func (w *wire) pass(ctx context.Context) error {
	w.mu.Lock()
	gate := w.gate
	w.mu.Unlock()
	select {
	case <-w.severed:
		return broken("dial", syscall.ENETUNREACH)
	case <-ctx.Done():
		return ctx.Err()
	case <-gate:
		return nil
	}
}

// dial is the dialer of the process.
func (w *wire) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if err := w.pass(ctx); err != nil {
		return nil, err
	}
	broker, err := w.dialBroker(ctx, network, address)
	if err != nil {
		return nil, broken("dial", syscall.ECONNREFUSED)
	}
	near, far := net.Pipe()
	l := &line{wire: w, process: far, broker: broker, fates: make(map[int32]fate)}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.isSevered() {
		return nil, errors.Join(broken("dial", syscall.ENETUNREACH), near.Close(), broker.Close())
	}
	w.conns[far], w.conns[broker] = address, address
	go l.requests()
	go l.answers()
	return end{near}, nil
}

func (w *wire) forget(c net.Conn) {
	_ = c.Close() // a pipe's never fails
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// choose decides what becomes of a request, and counts it.
func (w *wire) choose(key kmsg.Key) fate {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[key]++
	f := delivered
	if w.decide != nil {
		f = w.decide(key, w.seen[key])
	}
	w.became[f]++
	return f
}

// line is one connection.
type line struct {
	wire            *wire
	process, broker net.Conn

	mu    sync.Mutex
	fates map[int32]fate // by correlation id, of requests that are not answered yet
}

// requests carries requests to the broker. What was under way when the process hung up arrives all the same.
func (l *line) requests() {
	defer l.wire.forget(l.broker)
	for {
		frame, err := readFrame(l.process)
		if err != nil || len(frame) < 12 {
			return
		}
		if l.wire.pass(context.Background()) != nil {
			return
		}
		key := kmsg.Key(binary.BigEndian.Uint16(frame[4:]))
		if key == kmsg.Fetch {
			<-time.After(latency)
		}
		f := l.wire.choose(key)
		if !l.befall(f) {
			return
		}
		l.mu.Lock()
		l.fates[int32(binary.BigEndian.Uint32(frame[8:]))] = f
		l.mu.Unlock()
		copies := 1
		if f == doneTwice {
			copies = 2
		}
		for range copies {
			if _, err := l.broker.Write(frame); err != nil {
				return
			}
		}
	}
}

// befall lets happen what happens to a request on its way. It reports whether it goes on.
func (l *line) befall(f fate) bool {
	switch f {
	case refused:
		l.wire.forget(l.process)
		return false
	case killedBefore:
		l.wire.kill()
		return false
	case delayed:
		select {
		case <-time.After(delay):
		case <-l.wire.severed:
			return false
		}
	case frozen:
		l.wire.freeze()
		time.AfterFunc(standing, l.wire.thaw)
		return l.wire.pass(context.Background()) == nil
	}
	return true
}

// answers carries answers to the process. It goes on reading when that has hung up, or the broker could not go on answering.
func (l *line) answers() {
	defer l.wire.forget(l.process)
	for {
		frame, err := readFrame(l.broker)
		if err != nil || len(frame) < 8 {
			return
		}
		f := l.answered(int32(binary.BigEndian.Uint32(frame[4:])))
		if l.wire.pass(context.Background()) != nil {
			return
		}
		copies := 1
		switch f {
		case unanswered:
			l.wire.forget(l.process)
		case killedAfter:
			l.wire.kill()
		case doneTwice:
			copies = 0
		case answeredTwice:
			copies = 2
		}
		for range copies {
			_, _ = l.process.Write(frame) // the process may have hung up
		}
	}
}

// answered returns the fate of the request that an answer is for. The first answer to what was done twice is swallowed, the second is like any.
func (l *line) answered(correlation int32) fate {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.fates[correlation]
	delete(l.fates, correlation)
	if f == doneTwice {
		l.fates[correlation] = delivered
	}
	return f
}

// readFrame reads a request or an answer, its length of four bytes included.
func readFrame(r io.Reader) ([]byte, error) {
	frame := make([]byte, 4)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame))...)
	_, err := io.ReadFull(r, frame[4:])
	return frame, err
}
