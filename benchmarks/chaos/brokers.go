package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	brokerCount = 3
	host        = "127.0.0.1"
	kafkaScript = "deploy/local/kafka"
)

// brokers are the three brokers, each a process that outlives this one unless it is stopped.
type brokers struct {
	busy sync.Mutex // held while one of them is down: of three replicas one may be
	dir  string
	port int

	client *kgo.Client
	adm    *kadm.Client
}

// startBrokers starts the brokers, with so many listeners for proxies.
func startBrokers(ctx context.Context, dir string, port, proxied int) (*brokers, error) {
	b := &brokers{dir: dir, port: port}
	if err := b.script(ctx, "start", "--brokers", strconv.Itoa(brokerCount), "--port", strconv.Itoa(port), "--proxied", strconv.Itoa(proxied)); err != nil {
		return nil, errors.Join(err, b.stop())
	}
	var err error
	b.client, err = kgo.NewClient(
		kgo.SeedBrokers(b.addresses()...),
		kgo.MetadataMinAge(100*time.Millisecond),
		// What a killed broker does not answer is asked again, of another.
		kgo.RetryTimeout(2*time.Second),
	)
	if err != nil {
		return nil, errors.Join(err, b.stop())
	}
	b.adm = kadm.NewClient(b.client)
	return b, nil
}

// script runs a command of the script that starts and ends brokers.
func (b *brokers) script(ctx context.Context, command string, args ...string) error {
	cmd := exec.CommandContext(ctx, kafkaScript, append([]string{command, b.dir}, args...)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", kafkaScript, command, err, output)
	}
	return nil
}

func (b *brokers) stop() error {
	if b.client != nil {
		b.client.Close()
	}
	return b.script(context.Background(), "stop") // also if the run has been interrupted
}

func (b *brokers) kill(ctx context.Context, n int32) error {
	return b.script(ctx, "kill", strconv.Itoa(int(n)))
}

func (b *brokers) revive(ctx context.Context, n int32) error {
	return b.script(ctx, "revive", strconv.Itoa(int(n)))
}

// addresses are those without a proxy before them.
func (b *brokers) addresses() (list []string) { return b.listeners(b.port) }

// advertised are the addresses of the k-th listener for proxies, from 1, where a proxy must be; behind are those that it leads to.
func (b *brokers) advertised(k int) []string { return b.listeners(b.port + (2*k+1)*brokerCount) }
func (b *brokers) behind(k int) []string     { return b.listeners(b.port + 2*k*brokerCount) }

func (b *brokers) listeners(first int) (list []string) {
	for i := range brokerCount {
		list = append(list, fmt.Sprintf("%s:%d", host, first+i))
	}
	return list
}

// groupCoordinator returns the number of the broker that coordinates a group.
func (b *brokers) groupCoordinator(ctx context.Context, group string) (int32, error) {
	return b.coordinator(ctx, group, b.adm.FindGroupCoordinators)
}

// transactionCoordinator returns the number of the broker that coordinates the transactions of a transactional id.
func (b *brokers) transactionCoordinator(ctx context.Context, id string) (int32, error) {
	return b.coordinator(ctx, id, b.adm.FindTxnCoordinators)
}

func (b *brokers) coordinator(ctx context.Context, name string, find func(context.Context, ...string) kadm.FindCoordinatorResponses) (n int32, err error) {
	err = again(ctx, func(ctx context.Context) error {
		found := find(ctx, name)
		n = found[name].NodeID
		return errors.Join(found.Error(), found[name].Err)
	})
	if err != nil {
		return 0, fmt.Errorf("finding the coordinator of %s: %w", name, err)
	}
	return n, nil
}

// again repeats what the brokers do not answer just now, until ctx ends. The error is the last that was not of ctx itself.
func again(ctx context.Context, request func(ctx context.Context) error) error {
	var last error
	for {
		of, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := request(of)
		cancel()
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if !pause(ctx, 100*time.Millisecond) {
			return last
		}
	}
}

// awaitWhole waits until every replica of every partition is in sync, so that each broker may be killed.
func (b *brokers) awaitWhole(ctx context.Context) error {
	return again(ctx, func(ctx context.Context) error {
		topics, err := b.adm.ListTopicsWithInternal(ctx)
		if err == nil {
			err = topics.Error()
		}
		if err != nil {
			return err
		}
		for _, p := range topics {
			for _, of := range p.Partitions {
				if len(of.ISR) < len(of.Replicas) {
					return fmt.Errorf("partition %d of topic %s has %d replicas in sync, of %d", of.Partition, of.Topic, len(of.ISR), len(of.Replicas))
				}
			}
		}
		return nil
	})
}

// ends returns the high watermarks of topics.
func (b *brokers) ends(ctx context.Context, topics ...string) (ends kadm.ListedOffsets, err error) {
	err = again(ctx, func(ctx context.Context) error {
		if ends, err = b.adm.ListEndOffsets(ctx, topics...); err == nil {
			err = ends.Error()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("asking for the ends of %v: %w", topics, err)
	}
	return ends, nil
}

// awaitCommitted waits until the group has committed what were the ends of the topics when it was called.
func (b *brokers) awaitCommitted(ctx context.Context, group string, topics ...string) error {
	ends, err := b.ends(ctx, topics...)
	if err != nil {
		return err
	}
	return again(ctx, func(ctx context.Context) error {
		committed, err := b.adm.FetchOffsets(ctx, group)
		if err == nil {
			err = committed.Error()
		}
		ends.Each(func(end kadm.ListedOffset) {
			at, ok := committed.Lookup(end.Topic, end.Partition)
			if err == nil && end.Offset > 0 && (!ok || at.At < end.Offset) {
				err = fmt.Errorf("group %s has committed %d of %d in partition %d of topic %s", group, at.At, end.Offset, end.Partition, end.Topic)
			}
		})
		return err
	})
}

// read calls yield for every committed record of a topic. It reads to the high watermark: right after a commit its marker may be on its way.
func (b *brokers) read(ctx context.Context, topic string, yield func(*kgo.Record) error) error {
	ends, err := b.ends(ctx, topic)
	if err != nil {
		return err
	}
	starts, left := make(map[int32]kgo.Offset), make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			starts[o.Partition], left[o.Partition] = kgo.NewOffset().AtStart(), o.Offset
		}
	})
	if len(left) == 0 {
		return nil
	}
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addresses()...), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // the last record may be the end of a transaction
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts}))
	if err != nil {
		return err
	}
	defer client.Close()
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := errors.Join(ctx.Err(), fetches.Err()); err != nil {
			return fmt.Errorf("reading topic %s: %w", topic, err)
		}
		for r := range fetches.RecordsAll() {
			if !r.Attrs.IsControl() {
				if err := yield(r); err != nil {
					return fmt.Errorf("topic %s, partition %d, offset %d: %w", topic, r.Partition, r.Offset, err)
				}
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}
