package pipeline

import (
	"net"
	"time"

	"lull/pipeline/security"
	"lull/state"
)

// machine is what a process has of the machine that it runs on. Tests have machines that they can kill, freeze and cut off.
type machine struct {
	dial      dialer
	listen    func(network, address string) (net.Listener, error)
	openStore func(state.Options) (*state.DB, error)
	snapshots Snapshots // nil if none are taken
}

// dialer opens a connection, as net.Dialer.DialContext does.
type dialer = security.Dialer

// thisMachine is the one that the program runs on.
func thisMachine() machine {
	return machine{
		dial:      (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		listen:    net.Listen,
		openStore: state.Open,
	}
}

// Access returns the access to the brokers from this machine.
func (s *Settings) Access() *security.Access { return s.access(thisMachine().dial) }

func (s *Settings) access(dial dialer) *security.Access {
	return security.New(s.Brokers, s.Security, dial)
}

// lock is a mutual exclusion that a channel makes, of one place that is taken while it is held: it is held while brokers are waited for, and under
// the fake clock of testing/synctest whoever waits for a sync.Mutex does not count as waiting, so that time would stand still.
type lock chan struct{}

func newLock() lock { return make(lock, 1) }

// Lock implements sync.Locker.
func (l lock) Lock() { l <- struct{}{} }

// Unlock implements sync.Locker.
func (l lock) Unlock() { <-l }
