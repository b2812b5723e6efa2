package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline"
)

// loader sends the rows of a file in transactions, each with how far the file has been sent by it: in the offset and metadata that a consumer group of the file's own
// commits for partition 0 of the topic. Whoever is killed leaves nothing but whole transactions, and the next goes on behind them.
type loader struct {
	client   *kgo.Client
	adm      *kadm.Client
	settings *pipeline.Settings
	topic    string
	topicID  [16]byte
	group    string
	id       string // transactional
	progress loadProgress
	// anew reports whether the file is sent from its start though how far it, or another of its name, was sent is known: that stays until a row has been sent.
	anew   bool
	result *sendResult

	open  bool // a transaction is
	rows  int  // in it
	bytes int
	began time.Time

	mu  sync.Mutex
	err error // the first of a record of the transaction
}

const (
	// loadRows, loadBytes and loadTime bound a transaction: whoever reads the topic waits until it ends.
	loadRows  = 20_000
	loadBytes = 16 << 20
	loadTime  = time.Second
)

// loadFile sends what of the file's rows has not been sent before.
func loadFile(cmd *cobra.Command, s *pipeline.Settings, f *produceFlags, zone *time.Location, rows *rowReader, result *sendResult) error {
	ctx := cmd.Context()
	l, err := newLoader(ctx, s, f.topic, rows.config.Source, result)
	if err != nil {
		return err
	}
	defer l.client.Close()
	if f.again {
		l.sendAnew()
	}
	if l.progress.rows > 0 {
		checked, done, err := f.file.open(cmd, zone, s.Limits.Record(), "checking")
		if err != nil {
			return err
		}
		err = l.check(ctx, checked)
		done()
		var other *otherFileError
		switch {
		case err == nil:
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s looked at before: going on\n", f.file.path, many(l.progress.rows, "row"))
		case errors.As(err, &other) && !l.progress.numbered:
			// No id is made of a row's number: nothing of this file can be taken for what was sent of another.
			fmt.Fprintf(cmd.ErrOrStderr(), "%s: another file, or another state of it, was sent as %q before: sending all of it\n", f.file.path, rows.config.Source)
			l.sendAnew()
		default:
			return err
		}
	}
	if err := l.send(ctx, rows); err != nil {
		l.abort()
		return fmt.Errorf("%w; when that is mended, run the same command again: it goes on where this one stopped", err)
	}
	return nil
}

// sendAnew takes the file for one of which nothing has been sent.
func (l *loader) sendAnew() { l.anew, l.progress = l.progress.rows > 0, loadProgress{} }

// newLoader returns a loader that knows how far the file of this name has been sent. What a predecessor left open has been undone, and one that still runs can
// commit no more.
func newLoader(ctx context.Context, s *pipeline.Settings, topic, source string, result *sendResult) (*loader, error) {
	l := &loader{settings: s, topic: topic, group: s.Group + "/produce/" + source, result: result}
	l.id = l.group + "/" + topic
	client, err := newClient(ctx, s, append(produceOptions(),
		kgo.TransactionalID(l.id), kgo.TransactionTimeout(toolTransaction), kgo.RecordDeliveryTimeout(toolTransaction))...)
	if err != nil {
		return nil, err
	}
	l.client, l.adm = client, kadm.NewClient(client)
	if err := l.begin(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return l, nil
}

func (l *loader) begin(ctx context.Context) error {
	topics, err := l.adm.ListTopics(ctx, l.topic)
	if err == nil {
		err = topics[l.topic].Err
	}
	if err != nil {
		return fmt.Errorf("asking for the topic: %w", topicError(l.topic, err))
	}
	l.topicID = topics[l.topic].ID
	if _, _, err := l.client.ProducerID(ctx); err != nil {
		return fmt.Errorf("taking over as the one who sends %q: %w", l.group, err)
	}
	var at kgo.EpochOffset
	var metadata string
	err = retryCoordinator(ctx, func() (err error) {
		at, metadata, err = pipeline.CommittedOffset(ctx, l.client, l.group, l.topic, 0)
		return err
	})
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return fmt.Errorf("asking how far the file was sent: %w", err)
	}
	if at.Offset > 0 {
		// Of a topic that has been made anew, or of what another version wrote, nothing is known.
		if progress, ok := parseProgress(at.Offset, metadata, l.topicID); ok {
			l.progress = progress
		}
	}
	return nil
}

// check reads the rows that were looked at before. The error is an *otherFileError if they are not those, or that of the file.
func (l *loader) check(ctx context.Context, rows *rowReader) error {
	var sum rowSum
	var r row
	for n := int64(1); n <= l.progress.rows && ctx.Err() == nil; n++ {
		var err error
		refused := l.progress.refused.has(n)
		if refused {
			err = rows.skip()
		} else {
			err = rows.next(&r)
		}
		switch {
		case errors.Is(err, io.EOF):
			return l.otherFile(fmt.Sprintf("the file has %s, and %d were sent or refused", many(n-1, "row"), l.progress.rows))
		case err != nil:
			return err
		case refused:
		case r.Refused != nil:
			return l.otherFile(fmt.Sprintf("%s was sent, and is no event now: %s", r.place(), r.Refused.Detail))
		default:
			sum.add(&r)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if sum != l.progress.sum {
		return l.otherFile(fmt.Sprintf("its first %s give other events", many(l.progress.rows, "row")))
	}
	return nil
}

// otherFile returns the error of a file that is not the one which has been sent under its name.
func (l *loader) otherFile(found string) error {
	return &otherFileError{topic: l.topic, source: strings.TrimPrefix(l.group, l.settings.Group+"/produce/"), found: found}
}

// otherFileError says that a file is not the one that has been sent under its name.
type otherFileError struct{ topic, source, found string }

func (e *otherFileError) Error() string {
	return fmt.Sprintf("what was sent to topic %q as %q is not this: %s. If it is another file, give it a --source of its own. If it is the same one, changed, moved or sent "+
		"with other flags, --again sends all of it: rows count by their ids, and those with known ids as what they were", e.topic, e.source, e.found)
}

// send sends the rows that have not been sent.
func (l *loader) send(ctx context.Context, rows *rowReader) error {
	var r row
	before := l.progress.rows
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		number := l.result.Rows + 1
		known := number <= before
		var err error
		if there := known && !l.progress.refused.has(number); there {
			err = rows.skip()
			r = row{Value: r.Value}
			if err == nil {
				l.result.Rows++
				l.result.There++
				continue
			}
		} else {
			err = rows.next(&r)
		}
		if errors.Is(err, io.EOF) {
			return l.commit(ctx, finished)
		}
		if err != nil {
			return errors.Join(err, l.commit(ctx, finished))
		}
		l.result.Rows++
		l.result.Numbered = l.result.Numbered || r.Numbered
		if r.Refused != nil {
			err = l.result.Refused.add(&r)
		} else {
			err = l.add(ctx, &r)
		}
		if err != nil {
			return err
		}
		l.progress.note(&r)
		if l.open && (l.rows >= loadRows || l.bytes >= loadBytes || time.Since(l.began) >= loadTime) {
			if err := l.commit(ctx, goesOn); err != nil {
				return err
			}
		}
	}
}

// add makes a row's event part of the transaction.
func (l *loader) add(ctx context.Context, r *row) error {
	if !l.open {
		if err := l.client.BeginTransaction(); err != nil {
			return fmt.Errorf("beginning a transaction: %w", loadError(err))
		}
		l.open, l.rows, l.bytes, l.began = true, 0, 0, time.Now()
	}
	number := r.Number
	l.rows++
	l.bytes += len(r.Value)
	l.client.Produce(ctx, &kgo.Record{Topic: l.topic, Key: []byte(r.Event.Customer), Value: slices.Clone(r.Value)}, func(_ *kgo.Record, err error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil && l.err == nil {
			l.err = fmt.Errorf("sending row %d: %w", number, topicError(l.topic, loadError(err)))
		}
	})
	return nil
}

// commitKind says whether rows follow.
type commitKind uint8

const (
	goesOn   commitKind = iota
	finished            // the last rows may have been refused, all of them
)

// commit ends the transaction, with how far the file has been sent.
func (l *loader) commit(ctx context.Context, kind commitKind) error {
	if !l.open {
		if kind == goesOn || l.progress.rows == 0 || l.anew && l.result.Sent == 0 {
			return nil
		}
		var offsets kadm.Offsets
		offsets.Add(kadm.Offset{Topic: l.topic, TopicID: l.topicID, Partition: 0, At: l.progress.rows, LeaderEpoch: -1, Metadata: l.progress.metadata(l.topicID)})
		err := retryCoordinator(ctx, func() error {
			responses, err := l.adm.CommitOffsets(ctx, l.group, offsets)
			if err == nil {
				err = responses.Error()
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("noting in group %q how far the file was sent: %w", l.group, err)
		}
		return nil
	}
	if err := l.client.Flush(ctx); err != nil {
		return fmt.Errorf("sending rows: %w", err)
	}
	l.mu.Lock()
	err := l.err
	l.mu.Unlock()
	if err != nil {
		return err
	}
	if err := l.addOffset(ctx); err != nil {
		return fmt.Errorf("noting in group %q how far the file was sent: %w", l.group, loadError(err))
	}
	if err := pipeline.CommitTransaction(ctx, l.client); err != nil {
		return fmt.Errorf("committing %s, of which it is not known now whether they were sent: %w", many(l.rows, "row"), loadError(err))
	}
	l.open = false
	l.result.Sent += int64(l.rows)
	return nil
}

// addOffset makes the progress part of the transaction. The client has no call for offsets that it has not consumed itself.
func (l *loader) addOffset(ctx context.Context) error {
	id, epoch, err := l.client.ProducerID(ctx)
	if err != nil {
		return err
	}
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.Group, add.ProducerID, add.ProducerEpoch = l.id, l.group, id, epoch
	if err := retryCoordinator(ctx, func() error {
		resp, err := add.RequestWith(ctx, l.client)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(resp.ErrorCode)
	}); err != nil {
		return err
	}
	commit := kmsg.NewPtrTxnOffsetCommitRequest()
	commit.TransactionalID, commit.Group, commit.ProducerID, commit.ProducerEpoch = l.id, l.group, id, epoch
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = l.topic, l.topicID
	entry := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	entry.Offset, entry.LeaderEpoch, entry.Metadata = l.progress.rows, -1, kmsg.StringPtr(l.progress.metadata(l.topicID))
	topic.Partitions = append(topic.Partitions, entry)
	commit.Topics = append(commit.Topics, topic)
	return retryCoordinator(ctx, func() error {
		resp, err := commit.RequestWith(ctx, l.client)
		if err != nil {
			return err
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// coordinatorMax is how long a coordinator may take to be there: the first group and the first transaction of a cluster have the topics made that these are kept in.
const coordinatorMax = 30 * time.Second

// retryCoordinator repeats a request that the coordinator cannot take just now, whose answer hangs on a transaction that is about to end, or whose topic the client could not learn the id of.
func retryCoordinator(ctx context.Context, request func() error) error {
	ctx, cancel := context.WithTimeout(ctx, coordinatorMax)
	defer cancel()
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := request()
		if !errors.Is(err, kerr.ConcurrentTransactions) && !errors.Is(err, kerr.CoordinatorLoadInProgress) &&
			!errors.Is(err, kerr.NotCoordinator) && !errors.Is(err, kerr.CoordinatorNotAvailable) && !errors.Is(err, kerr.UnstableOffsetCommit) &&
			!errors.Is(err, kerr.UnknownTopicID) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(wait):
		}
	}
}

// abort undoes the transaction that is open, if it is.
func (l *loader) abort() {
	if l.open {
		abortTransaction(l.client)
	}
}

// abortTransaction undoes the client's transaction. What cannot be undone now is undone by the brokers, or by who takes the transactional id next.
func abortTransaction(client *kgo.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), toolTransaction)
	defer cancel()
	if client.AbortBufferedRecords(ctx) == nil {
		_ = client.EndTransaction(ctx, kgo.TryAbort)
	}
}

// loadError says what it means that somebody else has the transactional id by now.
func loadError(err error) error {
	if isFenced(err) {
		return fmt.Errorf("another produce of the same file has begun since, or this one was held up for more than %s (%w)", toolTransaction, err)
	}
	return err
}

// isFenced reports whether another process has taken the transactional id, or a transaction was open for too long.
func isFenced(err error) bool {
	return errors.Is(err, kerr.ProducerFenced) || errors.Is(err, kerr.InvalidProducerEpoch) || errors.Is(err, kerr.InvalidProducerIDMapping)
}

// loadProgress is how far a file has been sent: the first rows of it have been sent or refused.
type loadProgress struct {
	rows    int64
	refused rowRanges
	sum     rowSum // of those sent
	// numbered reports whether an id of those sent is made of the row's number.
	numbered bool
	full     bool // no more refused rows can be noted, so that the progress stays where it is
}

// note takes a row for sent, or refused, which is the next or one that had been refused.
func (p *loadProgress) note(r *row) {
	if r.Number <= p.rows {
		if r.Refused != nil || !p.refused.has(r.Number) {
			return
		}
		before := slices.Clone(p.refused)
		if p.refused.remove(r.Number); p.refused.textBytes() > refusedBytesMax {
			p.refused = before // it stays noted as refused, and is sent the next time too
			return
		}
		p.sent(r)
		return
	}
	if p.full {
		return
	}
	if r.Refused != nil {
		if p.refused.add(r.Number); p.refused.textBytes() > refusedBytesMax {
			p.refused.remove(r.Number)
			p.full = true
			return
		}
	} else {
		p.sent(r)
	}
	p.rows = r.Number
}

func (p *loadProgress) sent(r *row) {
	p.sum.add(r)
	p.numbered = p.numbered || r.Numbered
}

const (
	// progressVersion begins the metadata.
	//
	//	1: the first.
	progressVersion = "1"
	// refusedBytesMax is the length of the text of refused rows: Kafka takes metadata of 4096 bytes by default.
	refusedBytesMax = 3500
)

// metadata returns all but the number of rows as a text: version, topic id, sum, what the ids are made of, refused rows.
func (p *loadProgress) metadata(topicID [16]byte) string {
	var sum [32]byte
	for i, limb := range p.sum {
		binary.BigEndian.PutUint64(sum[8*i:], limb)
	}
	return strings.Join([]string{progressVersion, base64.RawURLEncoding.EncodeToString(topicID[:]), base64.RawURLEncoding.EncodeToString(sum[:]), p.ids(), p.refused.String()}, " ")
}

// The words for what ids are made of.
const (
	idsOfNumbers = "numbers"
	idsOwn       = "own"
)

func (p *loadProgress) ids() string {
	if p.numbered {
		return idsOfNumbers
	}
	return idsOwn
}

// parseProgress reads the offset and the metadata. ok is false if they are not of this topic, or not of this version.
func parseProgress(rows int64, metadata string, topicID [16]byte) (p loadProgress, ok bool) {
	parts := strings.Split(metadata, " ")
	if len(parts) != 5 || parts[3] != idsOwn && parts[3] != idsOfNumbers || parts[0] != progressVersion || parts[1] != base64.RawURLEncoding.EncodeToString(topicID[:]) {
		return loadProgress{}, false
	}
	sum, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil || len(sum) != 8*len(p.sum) {
		return loadProgress{}, false
	}
	for i := range p.sum {
		p.sum[i] = binary.BigEndian.Uint64(sum[8*i:])
	}
	p.rows = rows
	p.numbered = parts[3] == idsOfNumbers
	if p.refused, ok = parseRanges(parts[4]); !ok {
		return loadProgress{}, false
	}
	return p, true
}

// rowSum is the sum of the hashes of rows, each of its number, key and value, as a 256-bit number, lowest limb first: the same in whatever order they are added.
type rowSum [4]uint64

func (s *rowSum) add(r *row) {
	frame := binary.BigEndian.AppendUint64(nil, uint64(r.Number))
	frame = binary.BigEndian.AppendUint64(frame, uint64(len(r.Event.Customer)))
	frame = append(append(frame, r.Event.Customer...), r.Value...)
	hash := sha256.Sum256(frame)
	carry := uint64(0)
	for i := range s {
		s[i], carry = bits.Add64(s[i], binary.BigEndian.Uint64(hash[8*i:]), carry)
	}
}

// rowRanges are numbers of rows, as ranges in ascending order that do not touch.
type rowRanges []rowRange

// rowRange is the rows from first to last.
type rowRange struct{ first, last int64 }

// find returns the place of the range that holds the row, or where it would be.
func (of rowRanges) find(number int64) (at int, has bool) {
	return slices.BinarySearchFunc(of, number, func(r rowRange, number int64) int {
		switch {
		case r.last < number:
			return -1
		case r.first > number:
			return 1
		}
		return 0
	})
}

func (of rowRanges) has(number int64) bool {
	_, has := of.find(number)
	return has
}

// add adds a row behind all others.
func (of *rowRanges) add(number int64) {
	if last := len(*of) - 1; last >= 0 && (*of)[last].last+1 == number {
		(*of)[last].last = number
		return
	}
	*of = append(*of, rowRange{number, number})
}

func (of *rowRanges) remove(number int64) {
	at, has := of.find(number)
	if !has {
		return
	}
	r := (*of)[at]
	var rest []rowRange
	if r.first < number {
		rest = append(rest, rowRange{r.first, number - 1})
	}
	if number < r.last {
		rest = append(rest, rowRange{number + 1, r.last})
	}
	*of = slices.Replace(*of, at, at+1, rest...)
}

// rangeBytesMax is more than the text of one range takes.
const rangeBytesMax = 2*13 + 2

// textBytes is the length of the text, or a little more if that is far from the limit.
func (of rowRanges) textBytes() int {
	if most := rangeBytesMax * len(of); most <= refusedBytesMax {
		return most
	}
	return len(of.String())
}

// String returns the ranges as a text, such as "3,7-k" with numbers of base 36.
func (of rowRanges) String() string {
	var b []byte
	for i, r := range of {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, r.first, 36)
		if r.last != r.first {
			b = strconv.AppendInt(append(b, '-'), r.last, 36)
		}
	}
	return string(b)
}

func parseRanges(text string) (of rowRanges, ok bool) {
	if text == "" {
		return nil, true
	}
	before := int64(-1)
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.ParseInt(from, 36, 64)
		last := first
		if err == nil && isRange {
			last, err = strconv.ParseInt(to, 36, 64)
		}
		if err != nil || first <= before+1 && before >= 0 || first < 1 || last < first {
			return nil, false
		}
		of = append(of, rowRange{first, last})
		before = last
	}
	return of, true
}
