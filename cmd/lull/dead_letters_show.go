package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"lull/pipeline"
	"lull/schemas"
)

func newLettersShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show LETTER",
		Short: "Show one dead letter in full, and what to do about it",
		Long: `Show prints all that is kept of a refused record, why it was refused, what to do, and whether it has been sent again.

LETTER is the letter's own place, PARTITION/OFFSET as in "3/17", or that of the refused record, TOPIC/PARTITION/OFFSET as in
"shop/5/1042", for which all dead letters are looked through.`,
		Example: `  lull dead-letters show 3/17
  lull dead-letters show shop/5/1042 --json`,
		Args: oneArgument("the LETTER"),
		RunE: running(func(cmd *cobra.Command, args []string) error {
			s, err := loadSettings(cmd.Flags(), os.Environ())
			if err != nil {
				return err
			}
			name, err := parseLetterName(args[0])
			if err != nil {
				return usageError{err}
			}
			found, err := findLetters(cmd.Context(), &s, []letterName{name})
			if err != nil {
				return err
			}
			redrives, err := readRedrives(cmd.Context(), &s)
			if err != nil {
				return err
			}
			for i, l := range found {
				if asJSON {
					err = showLetterJSON(cmd.OutOrStdout(), &s, l, redrives)
				} else {
					if i > 0 {
						fmt.Fprintln(cmd.OutOrStdout())
					}
					err = showLetter(cmd.OutOrStdout(), &s, l, redrives)
				}
				if err != nil {
					return err
				}
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the letter as JSON, bytes in full")
	addSettingFlags(cmd, "brokers", "prefix")
	return cmd
}

// letterName names a letter by its own place, or if source is set by that of the refused record.
type letterName struct {
	text   string
	source *schemas.Position
	place  schemas.Position // of the letter, without a topic
}

// parseLetterName reads 3/17 or shop/5/1042.
func parseLetterName(text string) (letterName, error) {
	if source, ok := schemas.ParsePosition(text); ok {
		return letterName{text: text, source: &source}, nil
	}
	if place, ok := schemas.ParsePosition("dead-letters/" + text); ok && strings.Count(text, "/") == 1 {
		return letterName{text: text, place: place}, nil
	}
	return letterName{}, fmt.Errorf("letter %s: it must be the letter's PARTITION/OFFSET, such as 3/17, or the refused record's TOPIC/PARTITION/OFFSET, such as shop/5/1042", shortened(text))
}

// names reports whether the name is the letter's.
func (n *letterName) names(l *letter) bool {
	if n.source != nil {
		return l.Source == *n.source
	}
	return l.Partition == n.place.Partition && l.Offset == n.place.Offset
}

// findLetters returns the letters of these names, in the order of each partition. The error names one that is not there.
func findLetters(ctx context.Context, s *pipeline.Settings, names []letterName) (found []*letter, err error) {
	missing, err := readNamed(ctx, s, names, func(l *letter) error {
		found = append(found, l)
		return nil
	})
	if err == nil && len(missing) > 0 {
		err = noSuchLetter(s, missing)
	}
	return found, err
}

func noSuchLetter(s *pipeline.Settings, names []string) error {
	return fmt.Errorf("there is no dead letter %s in topic %q: it was never written, or its time there is over; `lull dead-letters list` shows those that are there",
		strings.Join(names, ", "), s.Topic(pipeline.DeadLettersTopic))
}

// readNamed calls yield for the letters of these names, and returns the names of those that are not there. Only if one is named by the refused record's
// place are all letters read.
func readNamed(ctx context.Context, s *pipeline.Settings, names []letterName, yield func(l *letter) error) (missing []string, err error) {
	client, spans, err := lettersClient(ctx, s, time.Time{})
	if err != nil {
		return nil, err
	}
	defer client.Close()
	read := spans
	if !slices.ContainsFunc(names, func(n letterName) bool { return n.source != nil }) {
		read = make(map[int32]span)
		for _, n := range names {
			of, known := spans[n.place.Partition]
			if !known || n.place.Offset < of.start || n.place.Offset >= of.end {
				continue
			}
			at := span{start: n.place.Offset, end: n.place.Offset + 1}
			if before, ok := read[n.place.Partition]; ok {
				at = span{start: min(at.start, before.start), end: max(at.end, before.end)}
			}
			read[n.place.Partition] = at
		}
	}
	seen := make([]bool, len(names))
	err = readLetters(ctx, client, s, read, func(l *letter) error {
		named := false
		for i := range names {
			if names[i].names(l) {
				named, seen[i] = true, true
			}
		}
		if !named {
			return nil
		}
		return yield(l)
	})
	for i, n := range names {
		if !seen[i] {
			missing = append(missing, n.text)
		}
	}
	return missing, err
}

// reasonOf returns what is known of a reason.
func reasonOf(code string) schemas.Reason {
	for _, of := range [][]schemas.Reason{schemas.Reasons, pipeline.Reasons} {
		if i := slices.IndexFunc(of, func(r schemas.Reason) bool { return r.Code == code }); i >= 0 {
			return of[i]
		}
	}
	return schemas.Reason{Code: code, Meaning: "unknown to this version of lull", Remedy: "see the detail, and docs/formats/dead-letters.md of the version that wrote it"}
}

// shaping are the reasons that are mended by a setting under which the input is read anew.
var shaping = []string{"order_limit", "refund_limit", "session_limit"}

// redriveState says in a sentence whether the letter's record has been sent again, and how it could be.
func redriveState(s *pipeline.Settings, l *letter, redrives *redrives) string {
	origin, again := l.Origin()
	sent, done := redrives.of(l)
	var parts []string
	if again {
		parts = append(parts, fmt.Sprintf("this record had been sent again: it stood first at %s", origin))
	}
	switch {
	case l.IsDeadline():
		parts = append(parts, "a deadline has no record that could be sent again")
	case done:
		parts = append(parts, fmt.Sprintf("sent again to partition %d of %s on %s", sent.SentTo, l.sentTo(s), sent.At.UTC().Format(tableTime)))
	case l.Missing() != "":
		parts = append(parts, fmt.Sprintf("it cannot be sent again from here, because %s are not kept: as long as topic %s retains it, the whole is at %s", l.Missing(), l.Source.Topic, l.Source))
	case l.Reason == pipeline.ReasonLate:
		parts = append(parts, "not sent again, nor would it help: the watermark does not go back, so that it would be late again. It counts once the input is read anew with a larger clock.lateness (docs/operating/changing-settings.md)")
	case slices.Contains(shaping, l.Reason):
		parts = append(parts, "not sent again, nor need it be: the limit shapes the state, so that with a larger one the input is read anew, this record with it (docs/operating/changing-settings.md)")
	case slices.Contains(unmendable, l.Reason):
		parts = append(parts, fmt.Sprintf("not sent again: as it is it would be refused again, so let its producer send the event once more, mended, under the same message id. "+
			"After a change of the format or the mapping `lull dead-letters redrive %s` does", l.place()))
	default:
		parts = append(parts, fmt.Sprintf("not sent again yet: when what refused it is mended, `lull dead-letters redrive %s` does", l.place()))
	}
	return strings.Join(parts, "; ")
}

func showLetter(w io.Writer, s *pipeline.Settings, l *letter, redrives *redrives) error {
	reason := reasonOf(l.Reason)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		if text := fmt.Sprintf(format, args...); text != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, plain(text))
		}
	}
	line("reason", "%s: %s", reason.Code, reason.Meaning)
	line("found", "%s", l.Detail)
	line("what to do", "%s", reason.Remedy)
	line("redrive", "%s", redriveState(s, l, redrives))
	line("letter", "%s, written %s", l.place(), l.RefusedAt.UTC().Format(tableTime))
	line("operator", "%s", l.Operator)
	line("customer", "%s", l.Customer)
	if l.IsDeadline() {
		line("deadline", "%s, of partition %d", l.Deadline, l.Source.Partition)
		return t.Flush()
	}
	line("source", "%s, of %s", l.Source, l.AppendTime)
	line("key", "%s", readable(l.Key))
	for _, h := range l.Headers {
		line("header "+h.Key, "%s", readable(h.Value))
	}
	line("value", "%s", lengthOf(l))
	if err := t.Flush(); err != nil {
		return err
	}
	return showValue(w, l.Value)
}

// lengthOf describes the refused record's value.
func lengthOf(l *letter) string {
	switch {
	case l.Value == nil:
		return "null"
	case l.ValueLength != int64(len(l.Value)):
		return fmt.Sprintf("%d bytes, of which the first %d are kept; SHA-256 of all %s", l.ValueLength, len(l.Value), l.ValueSHA256)
	}
	return fmt.Sprintf("%d bytes, SHA-256 %s", l.ValueLength, l.ValueSHA256)
}

// showValue prints a value below the lines about it: the event that it is, or its text, or its bytes.
func showValue(w io.Writer, value []byte) error {
	if len(value) == 0 {
		return nil
	}
	if event, err := schemas.DecodeOutput(schemas.Events, value); err == nil {
		return printJSON(w, event)
	}
	if utf8.Valid(value) {
		for line := range strings.SplitSeq(string(value), "\n") {
			fmt.Fprintln(w, plain(line))
		}
		return nil
	}
	const dumpedMax = 1 << 12
	fmt.Fprint(w, hex.Dump(value[:min(len(value), dumpedMax)]))
	if len(value) > dumpedMax {
		fmt.Fprintf(w, "and %d bytes more: --json prints all\n", len(value)-dumpedMax)
	}
	return nil
}

// readable returns bytes as one shows them to a person.
func readable(b []byte) string {
	switch {
	case b == nil:
		return "null"
	case utf8.Valid(b):
		return strconv.Quote(string(b))
	}
	return "0x" + hex.EncodeToString(b)
}

// showLetterJSON prints the letter as one JSON object.
func showLetterJSON(w io.Writer, s *pipeline.Settings, l *letter, redrives *redrives) error {
	reason := reasonOf(l.Reason)
	headers := []any{}
	for _, h := range l.Headers {
		headers = append(headers, schemas.Fields{{Name: "key", Value: h.Key}, {Name: "value", Value: bytesOrNull(h.Value)}})
	}
	_, again := l.Origin()
	fields := schemas.Fields{
		{Name: "letter", Value: l.place()}, {Name: "written", Value: l.RefusedAt.UTC().Format(tableTime)},
		{Name: "reason", Value: l.Reason}, {Name: "meaning", Value: reason.Meaning}, {Name: "detail", Value: l.Detail}, {Name: "remedy", Value: reason.Remedy},
		{Name: "redrive", Value: redriveState(s, l, redrives)}, {Name: "refused_again", Value: again},
		{Name: "operator", Value: l.Operator}, {Name: "customer", Value: l.Customer},
	}
	if l.IsDeadline() {
		fields = append(fields, schemas.Field{Name: "deadline", Value: l.Deadline}, schemas.Field{Name: "partition", Value: int64(l.Source.Partition)})
	} else {
		fields = append(fields, schemas.Fields{
			{Name: "source", Value: l.Source.String()}, {Name: "append_time", Value: l.AppendTime}, {Name: "key", Value: bytesOrNull(l.Key)}, {Name: "headers", Value: headers},
			{Name: "missing", Value: l.Missing()}, {Name: "value_length", Value: l.ValueLength}, {Name: "value_sha256", Value: l.ValueSHA256}, {Name: "value", Value: bytesOrNull(l.Value)},
		}...)
		if event, err := schemas.DecodeOutput(schemas.Events, l.Value); err == nil {
			fields = append(fields, schemas.Field{Name: "event", Value: event})
		}
	}
	return printJSON(w, fields)
}

// bytesOrNull returns bytes for JSON, nil for null.
func bytesOrNull(b []byte) any {
	if b == nil {
		return nil
	}
	return b
}
