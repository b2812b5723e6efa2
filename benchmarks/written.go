package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/task"
)

// written is what an application has written.
type written struct {
	outputs      []volume // as the topics were asked for
	changelog    volume
	states       []int // bytes of every customer's state at the end, without its key, ascending
	stateBytes   int64 // of all that the state holds at the end: the last value under every key, and the keys
	stateRecords int
	diskBytes    int64 // of the store's folder after the flush at the end
}

// volume is an amount of records: keys, values and headers, without what batches add and compression takes away.
type volume struct{ records, bytes int64 }

func (v *volume) add(r *kgo.Record) {
	v.records++
	v.bytes += int64(len(r.Key) + len(r.Value))
	for _, h := range r.Headers {
		v.bytes += int64(len(h.Key) + len(h.Value))
	}
}

// addUp reads the topics. changelog may be "": then there is none.
func (b *broker) addUp(ctx context.Context, changelog string, outputs []string) (written, error) {
	w := written{outputs: make([]volume, len(outputs))}
	for i, topic := range outputs {
		if err := b.read(ctx, topic, w.outputs[i].add); err != nil {
			return w, err
		}
	}
	if changelog == "" {
		return w, nil
	}
	type key struct {
		partition int32
		key       string
	}
	last := make(map[key]int) // length of the value
	err := b.read(ctx, changelog, func(r *kgo.Record) {
		w.changelog.add(r)
		k := key{r.Partition, string(r.Key)}
		if r.Value == nil {
			delete(last, k)
			return
		}
		last[k] = len(r.Value)
	})
	if err != nil {
		return w, err
	}
	for k, n := range last {
		w.stateRecords++
		w.stateBytes += int64(len(k.key) + n)
		if _, ok := task.CustomerOf([]byte(k.key)); ok {
			w.states = append(w.states, n)
		}
	}
	slices.Sort(w.states)
	return w, nil
}

// folderBytes returns the size of all files below a folder.
func folderBytes(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		sum += info.Size()
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("measuring %s: %w", dir, err)
	}
	return sum, nil
}
