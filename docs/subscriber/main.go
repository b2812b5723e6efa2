// Command subscriber is an example of a program that acts on lull's triggers: each once, whatever becomes of the process, in whichever format they are. docs/operating/subscribe.md
// explains it; subscriber.py is the same in Python.
//
// Its journal is what it does, how far it has read and what it has seen, in one: a line for each record, of which a whole batch is on the disk before the next is read. Whatever
// a program really does belongs where the journal is, such as a row in the transaction of a database.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	brokers := flag.String("brokers", "localhost:9092", "brokers to begin with, separated by commas")
	topic := flag.String("topic", "lull.triggers", "topic of the triggers")
	path := flag.String("journal", "triggers.jsonl", "file of what has been done")
	schema := flag.String("schema", "", "file with the schema of values without framing: lull schemas show triggers")
	registry := flag.String("registry", "", "URL of the registry with the schemas of values in its wire format")
	seen := flag.Int("seen", 200_000, "how many ids are kept to know doubles by")
	flag.Parse()
	if *seen < 1 {
		fmt.Fprintf(os.Stderr, "subscriber: -seen is %d: it must be 1 or more\n", *seen)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	decode, err := newDecoder(*schema, *registry)
	if err == nil {
		err = run(ctx, strings.Split(*brokers, ","), *topic, *path, decode, *seen)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "subscriber:", err)
		os.Exit(1)
	}
}

// run handles what is in the topic and what comes, until ctx ends.
func run(ctx context.Context, brokers []string, topic, path string, decode *decoder, seenMax int) error {
	j, err := openJournal(path, seenMax)
	if err != nil {
		return err
	}
	defer func() { _ = j.file.Close() }() // all that counts is on the disk
	client, err := subscribe(ctx, brokers, topic, j.next)
	if err != nil {
		return err
	}
	defer client.Close()
	for {
		const batchMax = 500 // records on the disk at once
		fetches := client.PollRecords(ctx, batchMax)
		if err := fetches.Err(); err != nil {
			return err
		}
		var lines []line
		for r := range fetches.RecordsAll() {
			l, err := handle(ctx, r, decode)
			if err != nil {
				return fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
			}
			lines = append(lines, l)
		}
		if err := j.add(lines); err != nil {
			return err
		}
	}
}

// subscribe returns a client that reads committed records of all partitions, each from its next offset; of one that is not known, from the start. It is in no group: the journal
// knows the positions.
func subscribe(ctx context.Context, brokers []string, topic string, next map[int32]int64) (*kgo.Client, error) {
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		return nil, err
	}
	topics, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err == nil {
		err = topics[topic].Err
	}
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("topic %s: %w", topic, err)
	}
	offsets := make(map[int32]kgo.Offset)
	for p := range topics[topic].Partitions {
		offsets[p] = kgo.NewOffset().AtStart()
		if at, ok := next[p]; ok {
			offsets[p] = kgo.NewOffset().At(at)
		}
	}
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: offsets})
	return client, nil
}

// line is what became of one record.
type line struct {
	Partition int32    `json:"partition"`
	Offset    int64    `json:"offset"`
	ID        string   `json:"ce_id"`
	Action    string   `json:"action"`
	Customer  string   `json:"customer_id,omitempty"`
	Rule      string   `json:"rule,omitempty"`
	Of        string   `json:"of,omitempty"` // takeBack: the ce_id of the trigger
	Why       []string `json:"why,omitempty"`
}

// The actions.
const (
	act      = "act"       // somebody is to act on the customer
	takeBack = "take back" // what was done, or was to be done, on an earlier trigger
	none     = "none"      // nobody is to act, and why
	double   = "double"    // it has been seen
	unknown  = "unknown"   // what a later version of lull may tell
)

// trigger is what this program wants to know of one. wanted says the same to Avro, which finds it in the schema that a value was written with, older or newer.
type trigger struct {
	Customer   string   `avro:"customer_id" json:"customer_id"`
	Rule       string   `avro:"rule" json:"rule"`
	Actionable bool     `avro:"actionable" json:"actionable"`
	Withheld   *string  `avro:"withheld" json:"withheld"`
	Reasons    []string `avro:"reasons" json:"reasons"`
	Withdraws  *string  `avro:"withdraws" json:"withdraws"`
}

var wanted = avro.MustParse(`{"type": "record", "name": "Trigger", "namespace": "lull", "fields": [
	{"name": "customer_id", "type": "string"}, {"name": "rule", "type": "string"}, {"name": "actionable", "type": "boolean"},
	{"name": "withheld", "type": ["null", "string"], "default": null}, {"name": "reasons", "type": {"type": "array", "items": "string"}},
	{"name": "withdraws", "type": ["null", "string"], "default": null}]}`)

// handle decides what a record asks for.
func handle(ctx context.Context, r *kgo.Record, decode *decoder) (line, error) {
	headers := make(map[string]string)
	for _, h := range r.Headers {
		headers[h.Key] = string(h.Value)
	}
	l := line{Partition: r.Partition, Offset: r.Offset, ID: headers["ce_id"], Action: unknown}
	if headers["ce_type"] != "lull.trigger" {
		return l, nil
	}
	t, err := decode.trigger(ctx, headers["content-type"], r.Value)
	if err != nil {
		return l, err
	}
	l.Customer, l.Rule = t.Customer, t.Rule
	switch {
	case t.Withdraws != nil:
		l.Action, l.Of, l.Why = takeBack, *t.Withdraws, t.Reasons
	case t.Actionable:
		l.Action, l.Why = act, t.Reasons
	default:
		l.Action = none
		if t.Withheld != nil {
			l.Why = []string{*t.Withheld}
		}
	}
	return l, nil
}

// decoder reads values.
type decoder struct {
	registry string
	plain    *avro.Schema            // of values without framing; nil if it is not known
	framed   map[uint32]*avro.Schema // of values with an id, by it
}

// newDecoder reads the schema's file, if one is named, at once: the first value that needs it may be hours away.
func newDecoder(schemaFile, registry string) (*decoder, error) {
	d := &decoder{registry: registry, framed: make(map[uint32]*avro.Schema)}
	if schemaFile == "" {
		return d, nil
	}
	text, err := os.ReadFile(schemaFile)
	if err == nil {
		d.plain, err = reading(text)
	}
	if err != nil {
		return nil, fmt.Errorf("-schema %s: it must be a file with what `lull schemas show triggers` prints: %w", schemaFile, err)
	}
	return d, nil
}

// trigger reads a value of the format that its content type names.
func (d *decoder) trigger(ctx context.Context, contentType string, value []byte) (t trigger, err error) {
	switch contentType {
	case "application/json":
		return t, json.Unmarshal(value, &t)
	case "application/avro":
		if d.plain == nil {
			return t, errors.New("a value is plain Avro, without its schema: give -schema the file with what `lull schemas show triggers` prints")
		}
		_, err = d.plain.Decode(value, &t)
		return t, err
	case "application/vnd.confluent.avro":
		const frame = 5 // a zero byte, and the schema's id
		if len(value) < frame || value[0] != 0 {
			return t, errors.New("the value has no id of a schema")
		}
		schema, err := d.byID(ctx, binary.BigEndian.Uint32(value[1:frame]))
		if err == nil {
			_, err = schema.Decode(value[frame:], &t)
		}
		return t, err
	}
	return t, fmt.Errorf("content-type is %q", contentType)
}

// reading returns a schema that reads what this one has written as what is wanted.
func reading(written []byte) (*avro.Schema, error) {
	schema, err := avro.Parse(string(written))
	if err != nil {
		return nil, err
	}
	return avro.Resolve(schema, wanted)
}

// byID returns the schema with this id, asking the registry once.
func (d *decoder) byID(ctx context.Context, id uint32) (*avro.Schema, error) {
	if schema := d.framed[id]; schema != nil {
		return schema, nil
	}
	if d.registry == "" {
		return nil, fmt.Errorf("a value has the schema %d of a registry: give -registry the registry's URL", id)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/schemas/ids/%d", d.registry, id), nil)
	if err != nil {
		return nil, err
	}
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return nil, d.unanswered(request, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, d.unanswered(request, errors.New(response.Status))
	}
	var answer struct{ Schema string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, d.unanswered(request, err)
	}
	schema, err := reading([]byte(answer.Schema))
	if err != nil {
		return nil, err
	}
	d.framed[id] = schema
	return schema, nil
}

// unanswered says that the registry has not told what it was asked for. Nothing of the records at hand is done, and they come again after the restart.
func (d *decoder) unanswered(request *http.Request, err error) error {
	if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return fmt.Errorf("-registry %s: %s: %w: mend the registry, or the URL at which its API begins, and start again", d.registry, request.URL, err)
}

// journal is the file with a line for each record, and what follows from it.
type journal struct {
	file *os.File
	next map[int32]int64 // offset to read next, by partition
	seen map[string]bool // the newest ids that were handled
	ids  []string        // the same, a ring: the oldest is at place
	at   int
}

// openJournal reads the journal, and cuts off what a crash has left half written.
func openJournal(path string, seenMax int) (*journal, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	j := &journal{file: file, next: make(map[int32]int64), seen: make(map[string]bool), ids: make([]string, seenMax)}
	whole := int64(0)
	for r := bufio.NewReader(file); ; {
		text, err := r.ReadBytes('\n')
		if err != nil { // the end, or a line without one
			break
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return nil, fmt.Errorf("%s, byte %d: %w", path, whole, err)
		}
		whole += int64(len(text))
		j.note(&l)
	}
	if err := file.Truncate(whole); err != nil {
		return nil, err
	}
	_, err = file.Seek(whole, 0)
	return j, err
}

// note takes in a line that is in the file.
func (j *journal) note(l *line) {
	j.next[l.Partition] = l.Offset + 1
	if l.Action == double || l.Action == unknown {
		return
	}
	delete(j.seen, j.ids[j.at])
	j.seen[l.ID], j.ids[j.at] = true, l.ID
	j.at = (j.at + 1) % len(j.ids)
}

// add writes lines, all or, if the process is killed, the first of them; doubles as such.
func (j *journal) add(lines []line) error {
	var text bytes.Buffer
	for i := range lines {
		l := &lines[i]
		if j.seen[l.ID] {
			*l = line{Partition: l.Partition, Offset: l.Offset, ID: l.ID, Action: double}
		}
		j.note(l)
		if err := json.NewEncoder(&text).Encode(l); err != nil {
			return err
		}
	}
	if _, err := j.file.Write(text.Bytes()); err != nil {
		return err
	}
	return j.file.Sync()
}
