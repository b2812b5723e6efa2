package operators_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"lull/operators"
)

func drawTime(t *rapid.T) operators.EventTime {
	return rapid.OneOf(
		rapid.SampledFrom([]operators.EventTime{operators.Unset, operators.Never, 0, -1, 1}),
		rapid.Custom(func(t *rapid.T) operators.EventTime {
			return operators.EventTime(rapid.Int64Range(-1<<61, 1<<61).Draw(t, "ms"))
		}),
	).Draw(t, "time")
}

func drawMoney(t *rapid.T) operators.Money { return operators.Money(rapid.Int64().Draw(t, "money")) }

func drawDay(t *rapid.T) (operators.Day, operators.EventTime) {
	day := operators.Day(rapid.Int32().Draw(t, "day"))
	return day, operators.EventTime(int64(day)*operators.DayMs + rapid.Int64Range(-operators.DayMs, operators.DayMs).Draw(t, "offset"))
}

// drawList returns nil or up to 5 elements, as a list is decoded to.
func drawList[E any](t *rapid.T, draw func(*rapid.T) E) []E {
	var list []E
	for range rapid.IntRange(0, 5).Draw(t, "length") {
		list = append(list, draw(t))
	}
	return list
}

func drawMessage(t *rapid.T) operators.Message {
	return operators.Message{Hash: rapid.Uint64().Draw(t, "hash"), Time: drawTime(t)}
}

func drawSession(t *rapid.T) operators.Session {
	s := operators.Session{
		Start: drawTime(t), End: drawTime(t), FirstPageAt: drawTime(t), LastPageAt: drawTime(t),
		FirstPage: rapid.String().Draw(t, "first page"), LastPage: rapid.String().Draw(t, "last page"), Cart: rapid.Int32().Draw(t, "cart"),
	}
	for i := range s.Counts {
		if rapid.Bool().Draw(t, "any") {
			s.Counts[i] = rapid.Uint32().Draw(t, "count")
		}
	}
	return s
}

func drawOrder(t *rapid.T) operators.Order {
	o := operators.Order{
		ID: rapid.String().Draw(t, "id"), Completed: rapid.Bool().Draw(t, "completed"), Cancelled: rapid.Bool().Draw(t, "cancelled"),
		Whole: rapid.Bool().Draw(t, "whole"), Time: drawTime(t), Amount: drawMoney(t), AmountTime: drawTime(t),
		AmountBy: rapid.Uint64().Draw(t, "by"),
	}
	o.Day, o.DayStart = drawDay(t)
	o.Refunds = drawList(t, func(t *rapid.T) operators.Refund {
		return operators.Refund{ID: rapid.Uint64().Draw(t, "refund"), Amount: drawMoney(t)}
	})
	return o
}

func drawPurchaseDay(t *rapid.T) operators.PurchaseDay {
	d := operators.PurchaseDay{Orders: rapid.Uint32().Draw(t, "orders"), Net: drawMoney(t)}
	d.Day, d.DayStart = drawDay(t)
	return d
}

func drawCustomer(t *rapid.T) *operators.Customer {
	c := operators.NewCustomer("c")
	c.Armed, c.At = drawTime(t), drawTime(t)
	c.Revision, c.Model, c.Terms = rapid.Uint64().Draw(t, "revision"), rapid.Uint32().Draw(t, "model"), rapid.Uint32().Draw(t, "terms")
	c.Messages = drawList(t, drawMessage)
	c.Sessions = drawList(t, drawSession)
	c.Ledger = operators.Ledger{Orders: drawList(t, drawOrder), Archived: rapid.Uint32().Draw(t, "archived")}
	c.Days = operators.PurchaseDays{
		Newest: drawList(t, drawPurchaseDay),
		Pages:  drawList(t, func(t *rapid.T) int32 { return rapid.Int32().Draw(t, "page") }),
	}
	if p := &c.Purchases; rapid.Bool().Draw(t, "purchases") {
		p.Count, p.Orders = rapid.Uint32Min(1).Draw(t, "count"), rapid.Uint32().Draw(t, "orders")
		p.First, p.FirstStart = drawDay(t)
		p.Last = operators.Day(rapid.Int32().Draw(t, "last"))
		p.Net, p.FirstNet = drawMoney(t), drawMoney(t)
	}
	c.Score = operators.Score{Scored: rapid.Bool().Draw(t, "scored"), Next: drawTime(t), ValueFalls: drawTime(t), RisingUntil: drawTime(t)}
	c.Segment = operators.Segment{
		Quadrant: operators.Quadrant(rapid.ByteMax(byte(operators.Save)).Draw(t, "quadrant")),
		HighRisk: rapid.Bool().Draw(t, "high risk"), Since: drawTime(t),
		RFMGroup:  operators.RFMGroup(rapid.ByteMax(byte(operators.DormantCustomers)).Draw(t, "RFM group")),
		Lifecycle: operators.Lifecycle(rapid.ByteMax(byte(operators.WonBack)).Draw(t, "lifecycle")), Rising: rapid.Bool().Draw(t, "rising"), Next: drawTime(t),
	}
	for _, key := range drawList(t, func(t *rapid.T) uint16 { return rapid.Uint16().Draw(t, "rule") }) {
		state := operators.RuleState{Key: key, Held: rapid.Bool().Draw(t, "held"), Sent: rapid.Bool().Draw(t, "sent")}
		if state.Sent {
			state.ByEvent, state.Deadline, state.ID = rapid.Bool().Draw(t, "by event"), drawTime(t), operators.NewID(rapid.String().Draw(t, "id"))
			state.At = state.Deadline + operators.EventTime(rapid.Int64Range(0, 1<<40).Draw(t, "later"))
		}
		if state.Cooling = rapid.Bool().Draw(t, "cooling"); state.Cooling {
			state.Cooled = drawTime(t)
		}
		c.SetRule(state)
	}
	if len(c.Rules) == 0 {
		c.Rules = nil // a rule that was set and then taken back has left its memory
	}
	c.RulesNext, c.RulesOpen = drawTime(t), rapid.Bool().Draw(t, "open")
	if rapid.Bool().Draw(t, "faulty") {
		for f := operators.NoFault + 1; f < operators.FaultsEnd; f++ {
			c.Faults[f] = rapid.Uint32().Draw(t, f.String())
		}
	}
	for _, purpose := range drawList(t, func(t *rapid.T) string { return rapid.String().Draw(t, "purpose") }) {
		c.SetConsent(operators.Consent{
			Purpose: purpose, Given: rapid.Bool().Draw(t, "given"), Time: drawTime(t), Event: rapid.String().Draw(t, "event"), Proof: rapid.String().Draw(t, "proof"),
		})
	}
	return c
}

// TestStateRoundTrip proves that a customer comes back from the codec as they were, every section of them, into fresh memory and into that of
// another customer alike.
func TestStateRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCustomer(t)
		state := c.AppendState([]byte("before"))
		state, isAppended := bytes.CutPrefix(state, []byte("before"))
		if !isAppended {
			t.Fatal("the state is not appended")
		}
		fresh := operators.NewCustomer("c")
		if err := fresh.DecodeState(state); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c, fresh) {
			t.Fatalf("got\n%+v\nwant\n%+v", fresh, c)
		}
		used := drawCustomer(t)
		used.Changed, used.Facts = operators.Changed{Orders: true}, operators.Facts{X: 1}
		if err := used.DecodeState(state); err != nil {
			t.Fatal(err)
		}
		if again := used.AppendState(nil); !bytes.Equal(state, again) {
			t.Fatalf("in used memory %x became %x", state, again)
		}
		if used.Changed != (operators.Changed{}) || used.Facts != (operators.Facts{}) {
			t.Fatal("what the last step changed has stayed")
		}
		if ref, terms, ok := operators.StateModel(state); !ok || ref != c.Model || terms != c.Terms {
			t.Fatalf("model %x, terms %x, %v, want %x, %x", ref, terms, ok, c.Model, c.Terms)
		}
		if armed, ok := operators.StateArmed(state); !ok || armed != c.Armed {
			t.Fatalf("the timer is read as %s, %v; want %s", armed, ok, c.Armed)
		}
		if revision, ok := operators.StateRevision(state); !ok || revision != c.Revision {
			t.Fatalf("the revision is read as %d, %v; want %d", revision, ok, c.Revision)
		}
	})
}

// TestPartsRoundTrip proves the same of an order and of a page of purchase days.
func TestPartsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := drawOrder(t)
		var gotOrder operators.Order
		if err := operators.DecodeOrder(&gotOrder, operators.AppendOrder(nil, &order)); err != nil || !reflect.DeepEqual(order, gotOrder) {
			t.Fatalf("got %+v, error %v; want %+v", gotOrder, err, order)
		}
		days := drawList(t, drawPurchaseDay)
		gotDays, err := operators.DecodeDays(operators.AppendDays(nil, days))
		if err != nil || !slices.Equal(days, gotDays) {
			t.Fatalf("got %+v, error %v; want %+v", gotDays, err, days)
		}
	})
}

// TestTruncatedState proves that every state cut short, or with a byte too many, is an error.
func TestTruncatedState(t *testing.T) {
	state := golden(t, "customer.v4.hex")
	for n := range state {
		if err := operators.NewCustomer("c").DecodeState(state[:n]); !errors.Is(err, operators.ErrCorrupt) {
			t.Errorf("the first %d bytes: error %v", n, err)
		}
	}
	if err := operators.NewCustomer("c").DecodeState(append(state, 0)); !errors.Is(err, operators.ErrCorrupt) {
		t.Errorf("a byte too many: error %v", err)
	}
	state[0] = operators.StateVersion + 1
	if err := operators.NewCustomer("c").DecodeState(state); !errors.Is(err, operators.ErrCorrupt) {
		t.Errorf("another version: error %v", err)
	}
	if _, ok := operators.StateArmed(state); ok {
		t.Error("the timer of another version is read")
	}
	if _, ok := operators.StateRevision(state); ok {
		t.Error("the revision of another version is read")
	}
}

// TestImpossibleFields proves that a field with a value that means nothing is an error.
func TestImpossibleFields(t *testing.T) {
	state := golden(t, "customer.v1.hex")
	n := len(state)
	kinds := bytes.Index(state, []byte{2, 1, 2, 3, 1}) // the session's counts: 2 pages, 1 track
	for name, change := range map[string]func([]byte){
		"risk":      func(b []byte) { b[n-1] = byte(2) + 1 },
		"high risk": func(b []byte) { b[n-7] = 2 },
		"quadrant":  func(b []byte) { b[n-8] = byte(operators.Save) + 1 },
		"kind":      func(b []byte) { b[kinds+1] = byte(operators.EventKinds) + 1 },
	} {
		changed := slices.Clone(state)
		change(changed)
		if err := operators.NewCustomer("c").DecodeState(changed); !errors.Is(err, operators.ErrCorrupt) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	state = golden(t, "customer.v3.hex")
	given := bytes.Index(state, []byte("email")) + len("email")
	for name, change := range map[string]func([]byte){
		"given":             func(b []byte) { b[given] = 2 },
		"order of consents": func(b []byte) { copy(b[given-len("email"):], "ztext") },
		"one purpose twice": func(b []byte) { copy(b[given-len("email"):], "phone") },
	} {
		changed := slices.Clone(state)
		change(changed)
		if err := operators.NewCustomer("c").DecodeState(changed); !errors.Is(err, operators.ErrCorrupt) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	state = golden(t, "customer.v4.hex")
	n = len(state)
	for name, change := range map[string]func([]byte){
		"faults of a version before": func(b []byte) { b[0] = 3 },
		"faults, of which none is":   func(b []byte) { copy(b[n-7:], []byte{0, 0, 0, 0, 0x80, 0, 0}) },
	} {
		changed := slices.Clone(state)
		change(changed)
		if err := operators.NewCustomer("c").DecodeState(changed); !errors.Is(err, operators.ErrCorrupt) {
			t.Errorf("%s: error %v", name, err)
		}
	}
	order := golden(t, "order.v1.hex")
	order[1] |= 8
	if err := operators.DecodeOrder(new(operators.Order), order); !errors.Is(err, operators.ErrCorrupt) {
		t.Errorf("an order's flags: error %v", err)
	}
}

// decodedBytesMax is how many bytes of memory one byte of garbage may cost at most: the largest element of a list (a session, of 8 bytes at least)
// with the allocator's rounding, twice for what is decoded again.
const decodedBytesMax = 64

// FuzzDecode proves that no bytes make a decoder panic or take memory out of proportion, that every fault is ErrCorrupt, and that what can be
// decoded is the same after another round.
func FuzzDecode(f *testing.F) {
	for _, name := range []string{"customer.v2.hex", "customer.v3.hex", "customer.v4.hex", "order.v1.hex", "days.v1.hex"} {
		f.Add(golden(f, name))
	}
	manyMessages := binary.AppendUvarint(append([]byte{operators.StateVersion}, make([]byte, 18)...), 1<<19)
	f.Add(manyMessages)
	f.Add(binary.AppendUvarint([]byte{operators.StateVersion}, 1<<19))
	f.Fuzz(func(t *testing.T, data []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		c := operators.NewCustomer("c")
		stateErr := c.DecodeState(data)
		var order operators.Order
		orderErr := operators.DecodeOrder(&order, data)
		days, daysErr := operators.DecodeDays(data)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > uint64(decodedBytesMax*len(data)+64<<10) {
			t.Errorf("%d bytes took %d bytes of memory", len(data), took)
		}
		for _, err := range []error{stateErr, orderErr, daysErr} {
			if err != nil && !errors.Is(err, operators.ErrCorrupt) {
				t.Errorf("error %v is not ErrCorrupt", err)
			}
		}
		if stateErr == nil {
			again := operators.NewCustomer("c")
			if err := again.DecodeState(c.AppendState(nil)); err != nil || !bytes.Equal(c.AppendState(nil), again.AppendState(nil)) {
				t.Errorf("a second round gives %+v, error %v; want %+v", again, err, c)
			}
		}
		if orderErr == nil {
			var again operators.Order
			if err := operators.DecodeOrder(&again, operators.AppendOrder(nil, &order)); err != nil || !reflect.DeepEqual(order, again) {
				t.Errorf("a second round gives %+v, error %v; want %+v", again, err, order)
			}
		}
		if daysErr == nil {
			again, err := operators.DecodeDays(operators.AppendDays(nil, days))
			if err != nil || !slices.Equal(days, again) {
				t.Errorf("a second round gives %+v, error %v; want %+v", again, err, days)
			}
		}
	})
}

// golden returns the bytes of a golden file: hexadecimal, with comments from # to the end of the line.
func golden(t testing.TB, name string) []byte {
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		code, _, _ := strings.Cut(line, "#")
		digits.WriteString(strings.TrimSpace(code))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGolden proves that states of every version can be read for ever. The files were composed field by field from docs/formats/state.md, not by this
// codec. What is written today is the newest version.
func TestGolden(t *testing.T) {
	var (
		start  = at(t, "1998-03-02T10:00")
		second = at(t, "1998-03-02T10:15")
		bought = at(t, "1998-02-20T18:30")
	)
	const first, last = 10149, 10277 // 1997-10-15, 1998-02-20
	want := operators.NewCustomer("c-17")
	want.Armed, want.At, want.Revision, want.Model = at(t, "1998-03-02T10:45"), second, 300, 0x2b239ec9
	want.Messages = []operators.Message{{Hash: operators.Hash64("m1"), Time: start}, {Hash: operators.Hash64("m2"), Time: second}}
	visit := operators.Session{
		Start: start, End: second, FirstPage: "home", LastPage: "cart", FirstPageAt: start, LastPageAt: at(t, "1998-03-02T10:12"), Cart: 1,
	}
	visit.Counts[operators.PageViewed], visit.Counts[operators.Tracked] = 2, 1
	want.Sessions = []operators.Session{visit}
	want.Ledger = operators.Ledger{Archived: 1, Orders: []operators.Order{{
		ID: "o2", Completed: true, Time: bought, Day: last, DayStart: last * operators.DayMs,
		Amount: 4990, AmountTime: bought, AmountBy: operators.Hash64("m0"), Refunds: []operators.Refund{{ID: operators.Hash64("r1"), Amount: 990}},
	}}}
	want.Days = operators.PurchaseDays{
		Newest: []operators.PurchaseDay{{Day: last, DayStart: last * operators.DayMs, Orders: 1, Net: 4000}}, Pages: []int32{39},
	}
	want.Purchases = operators.Purchases{
		Count: 2, First: first, FirstStart: first * operators.DayMs, Last: last, Net: 6500, FirstNet: 2500, Orders: 2,
	}
	want.Score = operators.Score{Scored: true, Next: at(t, "1998-04-01T07:00"), ValueFalls: operators.Unset, RisingUntil: operators.Unset}
	want.Segment = operators.Segment{Quadrant: operators.Nurture, Since: at(t, "1997-10-15T12:00"), Next: operators.Never}

	got := operators.NewCustomer("c-17")
	if err := got.DecodeState(golden(t, "customer.v1.hex")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nerror %v\nwant %+v", got, err, want)
	}
	want.Segment.RFMGroup, want.Segment.Lifecycle, want.Segment.Next = operators.Loyal, operators.Active, at(t, "1998-03-15T00:00")+1
	if err := got.DecodeState(golden(t, "customer.v2.hex")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nerror %v\nwant %+v", got, err, want)
	}
	want.Rules = []operators.RuleState{
		{Key: operators.RuleKey("high_value_at_risk"), Held: true, Cooling: true, Cooled: at(t, "1998-03-01T07:00")},
		{Key: operators.RuleKey("churn_risk"), Held: true, Sent: true, Deadline: at(t, "1998-03-01T07:00"), At: at(t, "1998-03-01T07:00") + 300, ID: operators.NewID("sample", "trigger")},
	}
	want.Segment.Rising, want.Score.RisingUntil = true, at(t, "1998-04-01T07:00")
	want.RulesNext = at(t, "1998-03-15T00:00") + 1
	want.Consents = []operators.Consent{
		{Purpose: "email", Given: true, Time: bought, Event: "m0", Proof: "form 12"}, {Purpose: "phone", Time: second, Event: "m2"},
	}
	if err := got.DecodeState(golden(t, "customer.v3.hex")); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nerror %v\nwant %+v", got, err, want)
	}
	faultless := want.AppendState(nil)
	want.Faults[operators.Invalid], want.Faults[operators.ClockSkewed], want.Faults[operators.Duplicate] = 1, 2, 300
	state := golden(t, "customer.v4.hex")
	if err := got.DecodeState(state); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nerror %v\nwant %+v", got, err, want)
	}
	// Who has no fault pays nothing for it.
	if before := golden(t, "customer.v3.hex"); !bytes.Equal(faultless[1:], before[1:]) {
		t.Errorf("without faults it is written as\n%x, want but for the version\n%x", faultless, before)
	}
	if err := got.DecodeState(faultless); err != nil || got.Faults.Total() != 0 {
		t.Errorf("faults of another customer have stayed: %v, %v", got.Faults, err)
	}
	if written := want.AppendState(nil); !bytes.Equal(written, state) {
		t.Errorf("written as\n%x, want\n%x", written, state)
	}

	wantOrder := operators.Order{ID: "o1", Cancelled: true, Whole: true, Time: at(t, "1997-10-15T12:00"), AmountTime: operators.Unset}
	var order operators.Order
	if err := operators.DecodeOrder(&order, golden(t, "order.v1.hex")); err != nil || !reflect.DeepEqual(order, wantOrder) {
		t.Errorf("got %+v, error %v; want %+v", order, err, wantOrder)
	}
	if written := operators.AppendOrder(nil, &wantOrder); !bytes.Equal(written, golden(t, "order.v1.hex")) {
		t.Errorf("the order is written as %x", written)
	}

	wantDays := []operators.PurchaseDay{
		{Day: first, DayStart: first * operators.DayMs, Orders: 1, Net: 2500},
		{Day: first + 18, DayStart: (first + 18) * operators.DayMs, Orders: 2},
	}
	days, err := operators.DecodeDays(golden(t, "days.v1.hex"))
	if err != nil || !slices.Equal(days, wantDays) {
		t.Errorf("got %+v, error %v; want %+v", days, err, wantDays)
	}
	if written := operators.AppendDays(nil, wantDays); !bytes.Equal(written, golden(t, "days.v1.hex")) {
		t.Errorf("the page is written as %x", written)
	}
}

// TestDocumentedExamples proves that the examples in docs/formats/state.md are the golden files.
func TestDocumentedExamples(t *testing.T) {
	page, err := os.ReadFile("../docs/formats/state.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"customer.v4.hex", "order.v1.hex", "days.v1.hex"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(page, append([]byte("```\n"), text...)) {
			t.Errorf("%s does not stand in docs/formats/state.md", name)
		}
	}
}
