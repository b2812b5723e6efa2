package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline"
	"lull/schemas"
)

func newDeadLettersCommand() *cobra.Command {
	return newGroup("dead-letters", "See what has been refused, and send it again", newLettersListCommand(), newLettersShowCommand(), newRedriveCommand())
}

// letter is a dead letter with its place among the dead letters.
type letter struct {
	schemas.Letter
	Partition int32
	Offset    int64
	RefusedAt time.Time
}

// place returns where the letter stands, as the commands take it: 3/17.
func (l *letter) place() string { return fmt.Sprintf("%d/%d", l.Partition, l.Offset) }

// source returns where the refused record stands, "a deadline" if there is none.
func (l *letter) source() string {
	if l.IsDeadline() {
		return "a deadline"
	}
	return l.Source.String()
}

// key returns the refused record's key as a text, hexadecimal if it is none; "" if it has none. Whose record it is Customer alone says: input topics may be keyed by anything.
func (l *letter) key() string { return textOrHex(l.Key) }

func textOrHex(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return "0x" + hex.EncodeToString(b)
}

// passedOn reports whether a first stage has passed the record on, and a task refused it. Its source is the place in the input, but the record that was refused is another by then, of the topic
// events.
func (l *letter) passedOn() bool {
	return slices.ContainsFunc(l.Headers, func(h schemas.Header) bool { return h.Key == schemas.FeedHeader })
}

// sentTo returns the topic that the record is sent to again: that which it was refused in.
func (l *letter) sentTo(s *pipeline.Settings) string {
	if l.passedOn() {
		return s.Topic(pipeline.EventsTopic)
	}
	return l.Source.Topic
}

// lettersClient returns a client that reads the dead letters, and the offsets of those committed since an instant, of all if it is zero.
func lettersClient(ctx context.Context, s *pipeline.Settings, since time.Time) (*kgo.Client, map[int32]span, error) {
	client, err := newClient(ctx, s, readOptions()...)
	if err != nil {
		return nil, nil, err
	}
	topic := s.Topic(pipeline.DeadLettersTopic)
	adm := kadm.NewClient(client)
	spans, err := stableSpans(ctx, adm, topic)
	if err == nil && !since.IsZero() {
		err = spansSince(ctx, adm, topic, since, spans)
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		err = fmt.Errorf("topic %q does not exist: mend --prefix, or run `lull topics apply`", topic)
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return client, spans, nil
}

// spansSince lets the spans begin with the first record since an instant, by Kafka timestamp.
func spansSince(ctx context.Context, adm *kadm.Client, topic string, since time.Time, spans map[int32]span) error {
	starts, err := adm.ListOffsetsAfterMilli(ctx, since.UnixMilli(), topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("asking for the offsets of %s in topic %q: %w", since.Format(time.RFC3339), topic, err)
	}
	for p, s := range spans {
		if start, ok := starts.Lookup(topic, p); ok {
			spans[p] = span{start: min(max(s.start, start.Offset), s.end), end: s.end}
		}
	}
	return nil
}

// readLetters calls yield for the dead letters in the spans, in the order of each partition.
func readLetters(ctx context.Context, client *kgo.Client, s *pipeline.Settings, spans map[int32]span, yield func(l *letter) error) error {
	err := readSpans(ctx, client, s.Topic(pipeline.DeadLettersTopic), spans, func(r *kgo.Record) error {
		if r.Offset >= spans[r.Partition].end {
			return nil // it came with the others, and is for the next time
		}
		of, err := schemas.DecodeLetter(r.Value)
		if err != nil {
			return fmt.Errorf("offset %d of partition %d of topic %q: %w: it is no dead letter of this version of lull: take the version that wrote it; list and redrive leave it out by a later --since", r.Offset, r.Partition, r.Topic, err)
		}
		return yield(&letter{Letter: of, Partition: r.Partition, Offset: r.Offset, RefusedAt: r.Timestamp})
	})
	return err
}

// parsePeriod reads --since and --until, "" for none; dates are of the zone.
func parsePeriod(since, until, timezone string) (from, to time.Time, err error) {
	zone, err := time.LoadLocation(timezone)
	if err != nil {
		return from, to, fmt.Errorf("calendar.timezone %q: it must be an IANA time zone such as Europe/Berlin", timezone)
	}
	now := time.Now()
	if from, err = parseMoment(since, now, zone); err != nil {
		return from, to, fmt.Errorf("--since: %w", err)
	}
	if to, err = parseMoment(until, now, zone); err != nil {
		return from, to, fmt.Errorf("--until: %w", err)
	}
	if !from.IsZero() && !to.IsZero() && !from.Before(to) {
		return from, to, fmt.Errorf("--since %s is not before --until %s: nothing lies between them", since, until)
	}
	return from, to, nil
}

// parseMoment reads an instant as parseTime does, or how long ago it was: 90m, 24h or 7d. "" is none.
func parseMoment(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 && !isDigits(text) {
		return now.Add(-ago), nil
	}
	at, err := parseTime(text, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: it must be a time such as 2026-11-23T12:00:00Z or 2026-11-23, or how long ago: 90m, 24h, 7d", shortened(text))
	}
	return time.UnixMilli(int64(at)).UTC(), nil
}

func newLettersListCommand() *cobra.Command {
	var f letterFilter
	var lines int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "Count refused records by reason, and show the newest",
		Long: `List counts the refused records by the reason of the newest letter of each: how many there are, how many letters of them besides,
as when the input was read again (copies), how many have been sent again (re-driven), how many were refused after that (again),
and how many cannot be sent because not all of the record was kept (cut). Sent again, it is a record of its own, at a place of its own:
an event that was refused, re-driven and refused again counts twice. Below stand the newest: when each was written, its
place, its record's place, reason, customer, the record's key and what was found. The customer is not known (-) where the record
was refused before its event was read.`,
		Example: `  lull dead-letters list
  lull dead-letters list --reason late,unknown_currency --since 24h --lines 50`,
		Args: cobra.NoArgs,
		RunE: running(func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			if lines < 0 {
				return usageError{fmt.Errorf("--lines is %d: it must be 0 or more", lines)}
			}
			if err := f.parse(cmd, &s); err != nil {
				return err
			}
			list, err := listLetters(cmd.Context(), &s, &f, lines)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return list.print(cmd.OutOrStdout())
		}),
	}
	f.add(cmd)
	cmd.Flags().IntVarP(&lines, "lines", "n", 10, "show this many of the newest letters at most")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print counts and letters as one JSON object")
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

// letterList is what `lull dead-letters list` prints.
type letterList struct {
	Records int64           `json:"records"` // that were refused, and deadlines that failed
	Copies  int64           `json:"copies"`  // letters of these besides the newest of each
	Reasons []*reasonCount  `json:"reasons"`
	Newest  []letterSummary `json:"newest"`

	chosen bool // flags have said which letters are meant
}

// reasonCount counts the records whose newest letter has one reason.
type reasonCount struct {
	Reason       string    `json:"reason"`
	Records      int64     `json:"records"`
	Copies       int64     `json:"copies"`
	Redriven     int64     `json:"redriven"`
	RefusedAgain int64     `json:"refused_again"`
	Cut          int64     `json:"cut"`
	First        time.Time `json:"first"`
	Last         time.Time `json:"last"`
}

// letterSummary is one letter in a list, the newest of its record.
type letterSummary struct {
	Letter       string    `json:"letter"`
	Source       string    `json:"source"`
	RefusedAt    time.Time `json:"refused_at"`
	Reason       string    `json:"reason"`
	Customer     string    `json:"customer"` // "": not known
	Key          string    `json:"key"`
	Detail       string    `json:"detail"`
	Copies       int64     `json:"copies"`
	Redriven     bool      `json:"redriven"`
	RefusedAgain bool      `json:"refused_again"`
	Cut          bool      `json:"cut"`

	of refused
}

// refused is what a letter tells of: a record by its place, or a deadline. Whoever reads the input again writes another letter of the same.
type refused struct {
	source             schemas.Position
	operator, customer string // of a deadline
	deadline           operators.EventTime
}

func refusedBy(l *letter) refused {
	if l.IsDeadline() {
		return refused{source: l.Source, operator: l.Operator, customer: l.Customer, deadline: l.Deadline}
	}
	return refused{source: l.Source}
}

// lettersOf is what is kept of the letters of one record.
type lettersOf struct {
	copies                      int64
	first, last                 time.Time
	reason                      string // of the last, as all that follows
	redriven, refusedAgain, cut bool
}

// listLetters counts what the letters tell of that the filter holds, and keeps the newest.
func listLetters(ctx context.Context, s *pipeline.Settings, f *letterFilter, lines int) (*letterList, error) {
	redrives, err := readRedrives(ctx, s)
	if err != nil {
		return nil, err
	}
	client, spans, err := lettersClient(ctx, s, f.since)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	list := &letterList{Reasons: []*reasonCount{}, Newest: []letterSummary{}, chosen: f.given}
	letters := make(map[refused]lettersOf)
	err = readLetters(ctx, client, s, spans, func(l *letter) error {
		if !f.holds(l) {
			return nil
		}
		_, again := l.Origin()
		_, redriven := redrives.of(l)
		summary := letterSummary{
			Letter: l.place(), Source: l.source(), RefusedAt: l.RefusedAt.UTC(), Reason: l.Reason, Customer: l.Customer, Key: l.key(), Detail: l.Detail,
			Redriven: redriven && !l.IsDeadline(), RefusedAgain: again, Cut: l.Missing() != "", of: refusedBy(l),
		}
		of, known := letters[summary.of]
		if !known {
			of.first = summary.RefusedAt
		} else {
			of.copies++
		}
		of.first = earlier(of.first, summary.RefusedAt)
		if !summary.RefusedAt.Before(of.last) {
			of.last, of.reason = summary.RefusedAt, summary.Reason
			of.redriven, of.refusedAgain, of.cut = summary.Redriven, summary.RefusedAgain, summary.Cut
		}
		letters[summary.of] = of
		list.Newest = append(list.Newest, summary)
		if len(list.Newest) > 2*lines+1000 {
			list.cut(lines)
		}
		return nil
	})
	if err == nil {
		err = f.check(ctx, s)
	}
	list.cut(lines)
	for i := range list.Newest {
		list.Newest[i].Copies = letters[list.Newest[i].of].copies
	}
	list.count(letters)
	return list, err
}

// count counts by reason.
func (list *letterList) count(letters map[refused]lettersOf) {
	counts := make(map[string]*reasonCount)
	for _, l := range letters {
		of := counts[l.reason]
		if of == nil {
			of = &reasonCount{Reason: l.reason, First: l.first}
			counts[l.reason] = of
			list.Reasons = append(list.Reasons, of)
		}
		list.Records++
		list.Copies += l.copies
		of.Records++
		of.Copies += l.copies
		of.Redriven += one(l.redriven)
		of.RefusedAgain += one(l.refusedAgain)
		of.Cut += one(l.cut)
		of.First, of.Last = earlier(of.First, l.first), later(of.Last, l.last)
	}
	slices.SortFunc(list.Reasons, func(a, b *reasonCount) int {
		return cmp.Or(cmp.Compare(b.Records, a.Records), cmp.Compare(a.Reason, b.Reason))
	})
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// cut keeps the newest letters of different records, the newest last.
func (list *letterList) cut(lines int) {
	slices.SortStableFunc(list.Newest, func(a, b letterSummary) int { return a.RefusedAt.Compare(b.RefusedAt) })
	newest := make(map[refused]int, len(list.Newest))
	for i := range list.Newest {
		newest[list.Newest[i].of] = i
	}
	i := -1
	list.Newest = slices.DeleteFunc(list.Newest, func(l letterSummary) bool { i++; return newest[l.of] != i })
	list.Newest = slices.Delete(list.Newest, 0, max(0, len(list.Newest)-lines))
}

const tableTime = "2006-01-02T15:04:05Z"

func (list *letterList) print(w io.Writer) error {
	switch {
	case list.Records == 0 && list.chosen:
		_, err := fmt.Fprintln(w, "no dead letter is one that the flags choose")
		return err
	case list.Records == 0:
		_, err := fmt.Fprintln(w, "no dead letters")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "REASON\tRECORDS\tCOPIES\tRE-DRIVEN\tAGAIN\tCUT\tFIRST\tLAST")
	for _, r := range list.Reasons {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%s\t%s\n", r.Reason, r.Records, r.Copies, r.Redriven, r.RefusedAgain, r.Cut, r.First.UTC().Format(tableTime), r.Last.UTC().Format(tableTime))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if slices.ContainsFunc(list.Reasons, func(r *reasonCount) bool { return r.RefusedAgain > 0 }) {
		fmt.Fprintln(w, "what was re-driven and refused again (AGAIN) is a record of its own under RECORDS, beside the one that it was before")
	}
	if len(list.Newest) == 0 {
		return nil
	}
	fmt.Fprintf(w, "\nthe newest %d of %d:\n", len(list.Newest), list.Records)
	fmt.Fprintln(t, "WRITTEN\tLETTER\tSOURCE\tREASON\tCUSTOMER\tKEY\tFOUND")
	for i := range list.Newest {
		l := &list.Newest[i]
		found := schemas.Found(&operators.Rejection{Reason: l.Reason, Detail: l.Detail})
		if l.Redriven {
			found = "(re-driven) " + found
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.RefusedAt.Format(tableTime), l.Letter, l.Source, l.Reason, orDash(l.Customer), orDash(l.Key), plain(found))
	}
	return t.Flush()
}

// orDash returns an id as a cell of a table, - if it is not known.
func orDash(id string) string {
	const runesMax = 40
	if runes := []rune(id); len(runes) > runesMax {
		id = string(runes[:runesMax-1]) + "…"
	}
	return cmp.Or(plain(id), "-")
}

// many returns a number of things: 1 row, 2 rows.
func many[N int | int64](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// plain returns a text that is one line of a table, whatever is in it.
func plain(text string) string {
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '\uFFFD'
		}
		return c
	}, text)
}

// printJSON prints a value as one indented JSON object.
func printJSON(w io.Writer, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}
