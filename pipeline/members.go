package pipeline

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/query"
)

// advertising is a balancer by whose metadata a member tells the group where it answers. The brokers keep that with the group, so that every member can ask who has a partition, and where they are.
type advertising struct {
	kgo.GroupBalancer
	address string // scheme://host:port
}

// balancer returns how the group shares out its partitions.
func (r *Runner) balancer() kgo.GroupBalancer {
	sticky := kgo.CooperativeStickyBalancer()
	if r.s.HTTP.Advertise == "" {
		return sticky
	}
	return &advertising{sticky, r.s.HTTP.scheme() + r.s.HTTP.Advertise}
}

// scheme returns what the addresses of the group's processes begin with.
func (s *HTTPSettings) scheme() string {
	if s.TLS.Enabled() {
		return "https://"
	}
	return "http://"
}

// asks reports whether a process is asked at an address that a member of the group says is its own: clients' tokens are shown there, so that they must not go in plain text where this process
// encrypts, nor anywhere but to a process.
func (s *HTTPSettings) asks(address string) bool {
	at, ok := strings.CutPrefix(address, s.scheme())
	return ok && isReachable(at)
}

// JoinGroupMetadata implements kgo.GroupBalancer: the user data end with the address, its length and addressMark. What stands before is the balancer's own, which reads no further.
func (a *advertising) JoinGroupMetadata(interests []string, current map[string][]int32, generation int32) []byte {
	own := a.GroupBalancer.JoinGroupMetadata(interests, current, generation)
	var meta kmsg.ConsumerMemberMetadata
	if meta.ReadFrom(own) != nil {
		return own // it is what the balancer has just written
	}
	meta.UserData = append(meta.UserData, a.address...)
	meta.UserData = binary.BigEndian.AppendUint16(meta.UserData, uint16(len(a.address)))
	meta.UserData = append(meta.UserData, addressMark...)
	return meta.AppendTo(nil)
}

// addressMark ends user data with an address before it.
const addressMark = "lull"

// addressIn returns the address in a member's user data, "" if there is none.
func addressIn(userData []byte) string {
	end := len(userData) - len(addressMark) - 2
	if end < 0 || string(userData[end+2:]) != addressMark {
		return ""
	}
	begin := end - int(binary.BigEndian.Uint16(userData[end:]))
	if begin < 0 {
		return ""
	}
	return string(userData[begin:end])
}

// members implements query.Members.
type members struct {
	r      *Runner
	client *http.Client
	asking lock // held while the group is asked
	known  map[int32]string
	asked  time.Time
}

// How old may be what is known of the group: a partition that has moved since is answered for by 421, and the group asked anew then, as often as is bearable for the brokers.
const (
	membersAge = 5 * time.Second
	membersMin = 200 * time.Millisecond
)

// Owners implements query.Members.
func (m *members) Owners(ctx context.Context, anew bool) (map[int32]string, error) {
	select {
	case m.asking <- struct{}{}:
		defer m.asking.Unlock()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	age := time.Since(m.asked)
	if age < membersMin || age < membersAge && !anew {
		return m.known, nil
	}
	m.r.mu.Lock()
	adm, started := m.r.adm, m.r.ids.partitions > 0
	m.r.mu.Unlock()
	if !started {
		return nil, errStarting
	}
	groups, err := adm.DescribeGroups(ctx, m.r.s.Group)
	if err == nil {
		err = groups[m.r.s.Group].Err
	}
	if err != nil {
		return nil, fmt.Errorf("asking the brokers for the members of group %q: %w; try again", m.r.s.Group, err)
	}
	owners := make(map[int32]string)
	for _, member := range groups[m.r.s.Group].Members {
		joined, isConsumer := member.Join.AsConsumer()
		assigned, isAssigned := member.Assigned.AsConsumer()
		if !isConsumer || !isAssigned || member.InstanceID != nil && *member.InstanceID == m.r.s.Instance {
			continue
		}
		address := addressIn(joined.UserData)
		for _, topic := range assigned.Topics {
			if !m.r.s.HTTP.asks(address) || topic.Topic != m.r.s.taskTopic() {
				continue
			}
			for _, n := range topic.Partitions {
				owners[n] = address
			}
		}
	}
	m.known, m.asked = owners, time.Now()
	return owners, nil
}

// Do implements query.Members.
func (m *members) Do(request *http.Request) (*http.Response, error) { return m.client.Do(request) }

var errStarting = errors.New("the process is starting")

var _ query.Members = (*members)(nil)
