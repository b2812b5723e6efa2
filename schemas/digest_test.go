package schemas

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
)

// framed writes a list as docs/formats/digest.md says: numbers and byte strings, the latter with their lengths.
func framed(parts ...any) []byte {
	var out []byte
	for _, part := range parts {
		switch p := part.(type) {
		case int:
			out = binary.BigEndian.AppendUint64(out, uint64(int64(p)))
		case string:
			out = append(binary.BigEndian.AppendUint64(out, uint64(len(p))), p...)
		case []byte: // a hash, as it is
			out = append(out, p...)
		case nil:
			out = binary.BigEndian.AppendUint64(out, 1<<64-1)
		default:
			panic(fmt.Sprintf("%T", p))
		}
	}
	return out
}

func sha(parts ...any) []byte {
	sum := sha256.Sum256(framed(parts...))
	return sum[:]
}

func add(t testing.TB, d *Digest, rec *Record) {
	t.Helper()
	if err := d.Add(rec.Topic, rec.Key, rec.Value, rec.Headers); err != nil {
		t.Fatal(err)
	}
}

// The digest of a small run, worked out step by step from its definition.
func TestDigestByItsDefinition(t *testing.T) {
	zero := make([]byte, 32)
	ceHeaders := []Header{{"ce_time", []byte("then")}, {"content-type", []byte("application/avro")}, {"ce_id", []byte("7")}}
	row := sampleRecord(t, Scores)
	dead, _ := encodeDeadLetter(t, sampleDeadLetter())
	deadline, _ := encodeDeadLetter(t, &DeadLetter{Rejection: operators.Rejection{Reason: "panic", Operator: "score"}, Customer: "ann", Deadline: 1000})

	var d Digest
	for _, rec := range []*Record{
		{Topic: Sessions, Key: []byte("bob"), Value: []byte("1"), Headers: ceHeaders},
		{Topic: Sessions, Key: []byte("ann"), Value: []byte("2")},
		{Topic: Sessions, Key: []byte("bob"), Value: nil},
		{Topic: Triggers, Key: []byte("bob"), Value: []byte{}},
		{Topic: Offers, Key: []byte("bob"), Value: []byte{}},
		{Topic: Models, Key: []byte("v"), Value: []byte("not looked at")},
		row, dead, deadline,
	} {
		add(t, &d, rec)
	}

	bob := sha(zero, "bob", "1", 2, "ce_id", "7", "ce_time", "then")
	bob = sha(bob, "bob", nil, 0)
	ann := sha(zero, "ann", "2", 0)
	trigger := sha(zero, "bob", "", 0)
	o := sampleOutputs(t)[Scores]
	o.Revision = 0
	var without Record
	if err := newEncoder(t).EncodeOutput(o, &without); err != nil {
		t.Fatal(err)
	}
	score := sha("00042", string(without.Value), 5, "ce_source", "lull", "ce_specversion", "1.0", "ce_subject", "00042", "ce_time", "1998-04-02T13:07:00.250Z", "ce_type", "lull.score")
	one, two := sha("shop", 3, 42, "truncated"), sha(nil, "ann", "score", 1000, "panic")
	sum, carry := make([]byte, 32), 0
	for i := 31; i >= 0; i-- {
		carry += int(one[i]) + int(two[i])
		sum[i], carry = byte(carry), carry>>8
	}
	want := hex.EncodeToString(sha("lull digest 2",
		"sessions", 2, "ann", ann, "bob", bob, "segments", 0, "triggers", 1, "bob", trigger, "offers", 1, "bob", trigger, "scores", 1, "00042", score, "dead-letters", 2, sum))
	if got := d.Sum(); got != want {
		t.Errorf("the digest is %s; want %s", got, want)
	}
	if again := d.Sum(); again != want {
		t.Errorf("asked again, the digest is %s", again)
	}
}

// Interleaving of keys has no influence; the order within a key has.
func TestDigestOfInterleavings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var records []*Record
		for i := range rapid.IntRange(2, 20).Draw(t, "records") {
			records = append(records, &Record{
				Topic: rapid.SampledFrom([]Topic{Sessions, Segments, Triggers}).Draw(t, "topic"), Key: []byte{byte(rapid.IntRange(0, 3).Draw(t, "key"))}, Value: []byte{byte(i)},
			})
		}
		sum := func(records []*Record) string {
			var d Digest
			for _, rec := range records {
				if err := d.Add(rec.Topic, rec.Key, rec.Value, rec.Headers); err != nil {
					t.Fatal(err)
				}
			}
			return d.Sum()
		}
		// Sorted by key, each key's records as they came: one of the interleavings.
		byKey := slices.Clone(records)
		slices.SortStableFunc(byKey, func(a, b *Record) int { return int(a.Key[0]) - int(b.Key[0]) })
		want := sum(records)
		if got := sum(byKey); got != want {
			t.Fatalf("interleaved otherwise, the digest is %s; want %s", got, want)
		}
		i := rapid.IntRange(1, len(records)-1).Draw(t, "swapped")
		a, b := records[i-1], records[i]
		records[i-1], records[i] = b, a
		if same := a.Topic == b.Topic && a.Key[0] == b.Key[0]; (sum(records) != want) != same {
			t.Fatalf("records %d and %d were swapped, of the same topic and key: %t; and the digest did not tell", i-1, i, same)
		}
		if sum(records[1:]) == want {
			t.Fatal("the digest does not tell that the first record is missing")
		}
	})
}

// Of scores only the last row counts, without what depends on where transactions end.
func TestDigestOfScores(t *testing.T) {
	row := func(change func(*operators.Output)) *Record {
		o := sampleOutputs(t)[Scores]
		if change != nil {
			change(o)
		}
		var rec Record
		if err := newEncoder(t).EncodeOutput(o, &rec); err != nil {
			t.Fatal(err)
		}
		return &rec
	}
	sum := func(records ...*Record) string {
		var d Digest
		for _, rec := range records {
			add(t, &d, rec)
		}
		return d.Sum()
	}
	plain := row(nil)
	other := row(func(o *operators.Output) { o.Score.Facts.CLV++ })
	renumbered := row(func(o *operators.Output) { o.Revision, o.ID = 99, operators.ID{1} })
	gone := row(func(o *operators.Output) { o.Score = &operators.ScoreRow{Gone: true} })
	for name, pair := range map[string][2]string{
		"earlier rows":                {sum(other, plain), sum(plain)},
		"revision and ce_id":          {sum(renumbered), sum(plain)},
		"rows that are gone":          {sum(plain, gone), sum()},
		"rows that were never there":  {sum(gone), sum()},
		"rows that have come back":    {sum(gone, plain), sum(plain)},
		"nothing, and no record read": {sum(), new(Digest).Sum()},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s change the digest", name)
		}
	}
	if sum(other) == sum(plain) || sum(plain) == sum() {
		t.Error("the digest does not tell rows apart")
	}
}

// Dead letters are a multiset: their order and timestamps do not count, how often each is there does.
func TestDigestOfDeadLetters(t *testing.T) {
	letter := func(offset int64, change func(*DeadLetter)) *Record {
		d := sampleDeadLetter()
		d.Source.Offset = offset
		if change != nil {
			change(d)
		}
		rec, _ := encodeDeadLetter(t, d)
		return rec
	}
	sum := func(records ...*Record) string {
		var d Digest
		for _, rec := range records {
			add(t, &d, rec)
		}
		return d.Sum()
	}
	a, b := letter(1, nil), letter(2, nil)
	if sum(a, b) != sum(b, a) {
		t.Error("the order of dead letters changes the digest")
	}
	if sum(letter(1, func(d *DeadLetter) { d.Source.AppendTime, d.Detail = 7, "another" })) != sum(a) {
		t.Error("timestamp or detail of a dead letter change the digest")
	}
	different := []string{sum(), sum(a), sum(b), sum(a, a), sum(a, b), sum(a, a, b), sum(letter(1, func(d *DeadLetter) { d.Reason = "late" }))}
	slices.Sort(different)
	if len(slices.Compact(different)) != 7 {
		t.Error("different dead letters have the same digest")
	}
}

func TestDigestRefusesWhatItCannotRead(t *testing.T) {
	var d Digest
	add(t, &d, sampleRecord(t, Scores))
	before := d.Sum()
	for _, topic := range []Topic{Scores, DeadLetters} {
		for _, value := range [][]byte{{}, {1, 2, 3}, append(append([]byte(nil), sampleValues(t)[topic]...), 0)} {
			if err := d.Add(topic, []byte("k"), value, nil); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("decoding a record of %s: ", topic)) {
				t.Errorf("a record of %s with the value %x: %v", topic, value, err)
			}
		}
	}
	if d.Sum() != before {
		t.Error("refused records have changed the digest")
	}
}
