package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline"
	"lull/schemas"
)

// redriveFlags are the flags of redrive.
type redriveFlags struct {
	filter             letterFilter
	all, again, dryRun bool
}

func newRedriveCommand() *cobra.Command {
	var f redriveFlags
	cmd := &cobra.Command{
		Use:   "redrive [LETTER...]",
		Short: "Send refused records again to the topics they came from",
		Long: `Redrive sends the records of dead letters again, with their key, value and headers, to the topic that they came from: to the
partition where their producer puts that key. Mend first what refused them; a running pipeline then applies them.

It sends the letters that are named, as "3/17" or by the refused record's place as "shop/5/1042", or those that the flags
leave, or with --all all of them. Each is sent once: what was sent is noted in the topic "redrives" in the same transaction, so
that redrive can be killed, run again, and run by two people. The header ` + schemas.RedrivenHeader + ` tells where the record stood first;
the pipeline knows an event without a message_id by it.

A record that is refused again becomes a new dead letter with that header. Such letters are left alone unless --again or their
name is given. So are, unless --reason or their name is given, letters with reasons that no setting and no time can mend.
Letters without all of their record cannot be sent; they are named, and the exit code is 1.`,
		Example: `  lull dead-letters redrive --reason unknown_currency --dry-run
  lull dead-letters redrive --reason unknown_currency --topic shop --since 24h
  lull dead-letters redrive shop/5/1042`,
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if err := f.filter.parse(cmd, &s); err != nil {
				return err
			}
			names, err := f.names(args)
			if err != nil {
				return usageError{err}
			}
			return runRedrive(cmd.Context(), cmd.ErrOrStderr(), &s, &f, names)
		}),
	}
	f.filter.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all letters: needed if nothing else says which")
	cmd.Flags().BoolVar(&f.again, "again", false, "also letters of records that were sent again before, and refused again; for a named letter, whatever was sent before")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "say what would be sent, and send nothing")
	addSettingFlags(cmd, "brokers", "prefix", "group")
	return cmd
}

// names reads the arguments. The error says what is wrong with them, or that nothing says which letters are meant.
func (f *redriveFlags) names(args []string) (names []letterName, err error) {
	switch {
	case len(args) > 0 && (f.filter.given || f.all):
		return nil, errors.New("letters are named: leave out --all and the flags that choose others")
	case len(args) == 0 && !f.filter.given && !f.all:
		return nil, errors.New("nothing says which letters are meant: name them, choose by --reason, --topic, --customer, --key, --since or --until, or give --all")
	}
	for _, arg := range args {
		name, err := parseLetterName(arg)
		if err != nil {
			return nil, err
		}
		names = append(names, name)
	}
	return names, nil
}

// unmendable are the reasons that lie in the record's own bytes, or in a time that is over: sent again as it is, the record is refused again, whatever the
// settings say by then.
var unmendable = []string{
	schemas.ReasonNoCustomer, schemas.ReasonNoValue, schemas.ReasonTruncated, schemas.ReasonTrailingBytes, schemas.ReasonMalformed, schemas.ReasonInvalidUTF8,
	schemas.ReasonKeyMismatch, schemas.ReasonMissingField, schemas.ReasonBadRedriven, schemas.ReasonQuantityInvalid, schemas.ReasonQuantityNegative,
	schemas.ReasonAmountNegative, schemas.ReasonTimeOutOfRange, pipeline.ReasonLate, "amount_limit",
}

// redrive sends letters again.
type redrive struct {
	settings *pipeline.Settings
	flags    *redriveFlags
	names    []letterName
	done     *redrives
	newest   map[string]redriveAt // by the text of the source: of what a first stage has passed on the newest letter, up to which all are sent with one record
	topics   map[string]redriveTopic
	spans    map[int32]span // that were looked through first; letters written since are for the next time
	told     redriveCounts
}

// redriveTopic is what is known of a topic that records go to.
type redriveTopic struct {
	partitions int32
	bytesMax   int // of a batch
}

// redriveCounts say what became of the letters that are meant.
type redriveCounts struct {
	sent, done, again, unmendable map[string]int64 // by reason
	kept                          []string         // which cannot be sent, and why
	keptCount                     int64
}

func newRedriveCounts() redriveCounts {
	return redriveCounts{sent: map[string]int64{}, done: map[string]int64{}, again: map[string]int64{}, unmendable: map[string]int64{}}
}

// runRedrive looks through the letters first, so that what is wrong with a topic is told before anything is sent.
func runRedrive(ctx context.Context, w io.Writer, s *pipeline.Settings, f *redriveFlags, names []letterName) error {
	r := &redrive{settings: s, flags: f, names: names, newest: make(map[string]redriveAt), topics: make(map[string]redriveTopic)}
	if err := r.eachChosen(ctx, func(l *letter) error {
		r.topics[l.sentTo(r.settings)] = redriveTopic{}
		return nil
	}); err != nil {
		return err
	}
	if err := f.filter.check(ctx, s); err != nil {
		return err
	}
	if len(r.topics) == 0 {
		return r.told.print(w, "to be sent again")
	}
	if err := r.checkTopics(ctx); err != nil {
		return err
	}
	if f.dryRun {
		// Once more, since the topics' limits are known now.
		if err := r.eachChosen(ctx, func(*letter) error { return nil }); err != nil {
			return err
		}
		return r.told.print(w, "would be sent again")
	}
	sender, err := r.newSender(ctx)
	if err != nil {
		return err
	}
	defer sender.client.Close()
	// Only now has a predecessor ended for good, and all that it has sent is noted.
	if err = r.eachChosen(ctx, func(l *letter) error { return sender.send(ctx, l) }); err == nil {
		err = sender.commit(ctx)
	}
	if err != nil {
		sender.abort()
		return fmt.Errorf("%s sent again, then: %w; run redrive again: it goes on from there, and sends nothing twice", many(sender.committed, "record"), err)
	}
	return r.told.print(w, "sent again")
}

// eachChosen calls yield for the letters that are to be sent, by what is noted of those that were, and counts all that are meant.
func (r *redrive) eachChosen(ctx context.Context, yield func(l *letter) error) (err error) {
	r.told = newRedriveCounts()
	if r.done, err = readRedrives(ctx, r.settings); err != nil {
		return err
	}
	return r.read(ctx, func(l *letter) error {
		r.meet(l)
		if !r.chooses(l) {
			return nil
		}
		return yield(l)
	})
}

// meet takes in a letter that is meant.
func (r *redrive) meet(l *letter) {
	source := l.Source.String()
	before, ok := r.newest[source]
	if ok && (before.LetterPartition == l.Partition && before.LetterOffset > l.Offset || before.LetterPartition != l.Partition && before.At.After(l.RefusedAt)) {
		return
	}
	if l.passedOn() {
		r.newest[source] = redriveAt{Redrive: schemas.Redrive{LetterPartition: l.Partition, LetterOffset: l.Offset}, At: l.RefusedAt, letters: r.done.letters}
	}
}

// read calls yield for the letters that are meant.
func (r *redrive) read(ctx context.Context, yield func(l *letter) error) error {
	if len(r.names) > 0 {
		missing, err := readNamed(ctx, r.settings, r.names, yield)
		if err == nil && len(missing) > 0 {
			err = noSuchLetter(r.settings, missing)
		}
		return err
	}
	client, spans, err := lettersClient(ctx, r.settings, r.flags.filter.since)
	if err != nil {
		return err
	}
	defer client.Close()
	if r.spans == nil {
		r.spans = spans
	}
	return readLetters(ctx, client, r.settings, r.spans, func(l *letter) error {
		if !r.flags.filter.holds(l) {
			return nil
		}
		return yield(l)
	})
}

// chooses reports whether a letter that is meant is to be sent, counts it, and takes it for sent. The same record can have two letters, if its partition's state was
// made anew.
func (r *redrive) chooses(l *letter) bool {
	source := l.Source.String()
	_, again := l.Origin()
	named := len(r.names) > 0
	_, done := r.done.of(l)
	switch {
	case l.IsDeadline():
		r.told.keep(l, "it tells of a deadline, which has no record")
	case done && !(named && r.flags.again):
		r.told.done[l.Reason]++
	case l.Missing() != "":
		r.told.keep(l, l.Missing()+" are not kept")
	case r.tooLarge(l):
		r.told.keep(l, fmt.Sprintf("with the header %s it is longer than max.message.bytes of topic %s takes, %d: raise it", schemas.RedrivenHeader, l.sentTo(r.settings), r.topics[l.sentTo(r.settings)].bytesMax))
	case again && !named && !r.flags.again:
		r.told.again[l.Reason]++
	case !named && len(r.flags.filter.reasons) == 0 && slices.Contains(unmendable, l.Reason):
		r.told.unmendable[l.Reason]++
	default:
		r.told.sent[l.Reason]++
		r.done.notes[source] = r.newest[source]
		return true
	}
	return false
}

// recordOverhead is more than what a batch of one record takes beside key, value and headers.
const recordOverhead = 1 << 10

func (r *redrive) tooLarge(l *letter) bool {
	most := r.topics[l.sentTo(r.settings)].bytesMax
	return most > 0 && letterBytes(l)+recordOverhead > most
}

// letterBytes is the length of what is sent again of a letter.
func letterBytes(l *letter) int {
	n := len(l.Key) + len(l.Value)
	for _, h := range l.Headers {
		n += len(h.Key) + len(h.Value) + 8
	}
	return n
}

// keep notes a letter that cannot be sent.
func (c *redriveCounts) keep(l *letter, why string) {
	const namedMax = 20
	c.keptCount++
	if len(c.kept) < namedMax {
		c.kept = append(c.kept, fmt.Sprintf("letter %s (%s, %s): %s", l.place(), l.source(), l.Reason, why))
	}
}

// print tells the counts. The error says that there were letters which cannot be sent.
func (c *redriveCounts) print(w io.Writer, sent string) error {
	line := func(of map[string]int64, what string) {
		total, parts := int64(0), []string(nil)
		for _, reason := range sortedReasons(of) {
			total += of[reason]
			parts = append(parts, fmt.Sprintf("%s %d", reason, of[reason]))
		}
		if total > 0 {
			fmt.Fprintf(w, "%d %s: %s\n", total, what, strings.Join(parts, ", "))
		}
	}
	if len(c.sent) == 0 {
		fmt.Fprintf(w, "0 %s\n", sent)
	}
	line(c.sent, sent)
	line(c.done, "had been sent again before")
	line(c.again, "left out, which were sent again before and refused again (--again sends them)")
	line(c.unmendable, "left out, which would be refused again as they are (--reason sends them all the same)")
	if c.keptCount == 0 {
		return nil
	}
	for _, kept := range c.kept {
		fmt.Fprintln(w, kept)
	}
	if more := c.keptCount - int64(len(c.kept)); more > 0 {
		fmt.Fprintf(w, "and %d more\n", more)
	}
	return fmt.Errorf("%s cannot be sent again; `lull dead-letters show LETTER` says where the whole record is", many(c.keptCount, "letter"))
}

// sortedReasons returns the reasons, the most frequent first.
func sortedReasons(of map[string]int64) []string {
	reasons := make([]string, 0, len(of))
	for reason := range of {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int { return cmp.Or(cmp.Compare(of[b], of[a]), strings.Compare(a, b)) })
	return reasons
}

// checkTopics asks for the topics that records go to.
func (r *redrive) checkTopics(ctx context.Context) error {
	client, err := newClient(ctx, r.settings)
	if err != nil {
		return err
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	redrives := r.settings.Topic(pipeline.RedrivesTopic)
	names := []string{redrives}
	for topic := range r.topics {
		names = append(names, topic)
	}
	topics, err := adm.ListTopics(ctx, names...)
	if err != nil {
		return fmt.Errorf("asking for the topics: %w", err)
	}
	if errors.Is(topics[redrives].Err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %q does not exist, in which it is noted what was sent again: run `lull topics apply`", redrives)
	}
	for _, topic := range names {
		switch err := topics[topic].Err; {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			return fmt.Errorf("topic %q does not exist any more, from which refused records came: choose others by --topic", topic)
		case err != nil:
			return fmt.Errorf("topic %q: %w", topic, err)
		}
	}
	configs, err := adm.DescribeTopicConfigs(ctx, names[1:]...)
	if err != nil {
		return fmt.Errorf("asking for the topics' configuration: %w", err)
	}
	for _, topic := range names[1:] {
		of := redriveTopic{partitions: int32(len(topics[topic].Partitions))}
		config, err := configs.On(topic, nil)
		if err = cmp.Or(err, config.Err); err != nil {
			return fmt.Errorf("asking for the configuration of topic %q: %w", topic, err)
		}
		for _, c := range config.Configs {
			if c.Key == "max.message.bytes" {
				of.bytesMax, _ = strconv.Atoi(c.MaybeValue()) // 0: not known, and the broker tells
			}
		}
		r.topics[topic] = of
	}
	return nil
}

// redriveSender sends letters in transactions, each with the notes of what is in it.
type redriveSender struct {
	of        *redrive
	client    *kgo.Client
	batch     []*kgo.Record
	bytes     int
	open      bool // a transaction is
	committed int64
}

const (
	// redriveBatch and redriveBatchBytes bound a transaction: whoever reads the topics waits until it ends.
	redriveBatch      = 500
	redriveBatchBytes = 8 << 20
	// toolTransaction is how long the brokers let a transaction of a tool stand that was killed.
	toolTransaction = 10 * time.Second
)

// newSender returns a sender. What a predecessor left open has been undone when it returns, and one that still runs can commit no more.
func (r *redrive) newSender(ctx context.Context) (*redriveSender, error) {
	client, err := newClient(ctx, r.settings, append(produceOptions(),
		kgo.TransactionalID(r.settings.RedriveTransactionalID()), kgo.TransactionTimeout(toolTransaction),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(toolTransaction), kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytesFn(func(topic string) int32 {
			const batchBytes = 1_000_000
			return int32(cmp.Or(r.topics[topic].bytesMax, batchBytes))
		}),
	)...)
	if err != nil {
		return nil, err
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return nil, fmt.Errorf("taking over as the one redrive of group %q: %w", r.settings.Group, err)
	}
	return &redriveSender{of: r, client: client}, nil
}

// send adds a letter's record to the transaction, which it commits when it is full.
func (s *redriveSender) send(ctx context.Context, l *letter) error {
	topic := l.sentTo(s.of.settings)
	from := l.Source.Partition
	if topic != l.Source.Topic {
		from = -1 // of another topic
	}
	to := pipeline.RedrivePartition(l.Key, from, s.of.topics[topic].partitions)
	origin, redriven := l.Origin()
	record := &kgo.Record{Topic: topic, Partition: to, Key: l.Key, Value: l.Value}
	if !redriven {
		// It comes first: a dead letter keeps the first headers, should it be refused again.
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: schemas.RedrivenHeader, Value: []byte(origin.String())})
	}
	for _, h := range l.Headers {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
	}
	note := schemas.Redrive{
		Reason: l.Reason, Topic: l.Source.Topic, Partition: l.Source.Partition, Offset: l.Source.Offset, SentTo: to, Origin: origin.String(),
		LetterPartition: l.Partition, LetterOffset: l.Offset,
	}
	if newest, ok := s.of.newest[l.Source.String()]; ok && l.passedOn() {
		note.LetterPartition, note.LetterOffset = newest.LetterPartition, newest.LetterOffset
	}
	key, value, err := schemas.EncodeRedrive(&note)
	if err != nil {
		return err
	}
	s.batch = append(s.batch, record, &kgo.Record{
		Topic: s.of.settings.Topic(pipeline.RedrivesTopic), Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: schemas.LettersHeader, Value: []byte(s.of.done.letters)}},
	})
	if s.bytes += letterBytes(l); len(s.batch) < 2*redriveBatch && s.bytes < redriveBatchBytes {
		return nil
	}
	return s.commit(ctx)
}

// commit sends what has been collected, in one transaction.
func (s *redriveSender) commit(ctx context.Context) error {
	if len(s.batch) == 0 {
		return nil
	}
	if err := s.client.BeginTransaction(); err != nil {
		return fmt.Errorf("beginning a transaction: %w", redriveError(err))
	}
	s.open = true
	if results := s.client.ProduceSync(ctx, s.batch...); results.FirstErr() != nil {
		// They come in the order of the brokers' answers. What matters most is told: that of a record, before that of its note.
		first := slices.MinFunc(results, func(a, b kgo.ProduceResult) int { return cmp.Compare(s.rank(&a), s.rank(&b)) })
		return fmt.Errorf("sending to topic %q: %w", first.Record.Topic, redriveError(first.Err))
	}
	if err := pipeline.CommitTransaction(ctx, s.client); err != nil {
		return fmt.Errorf("committing %s, of which it is not known now whether they were sent: %w", many(len(s.batch)/2, "record"), redriveError(err))
	}
	s.open = false
	s.committed += int64(len(s.batch) / 2)
	s.batch, s.bytes = s.batch[:0], 0
	return nil
}

// rank returns the place of a record in the batch if it was refused, else one behind all.
func (s *redriveSender) rank(result *kgo.ProduceResult) int {
	if result.Err == nil {
		return len(s.batch)
	}
	return slices.Index(s.batch, result.Record)
}

// abort undoes the transaction that is open, if it is.
func (s *redriveSender) abort() {
	if s.open {
		abortTransaction(s.client)
	}
}

// redriveError says what it means that somebody else has the transactional id by now, or has ended the transaction: then brokers that verify transactions (KIP-890) answer INVALID_TXN_STATE.
func redriveError(err error) error {
	if isFenced(err) || errors.Is(err, kerr.InvalidTxnState) {
		return fmt.Errorf("another redrive of this group has begun since, or this one was held up for more than %s (%w)", toolTransaction, err)
	}
	return err
}
