package schemas

import (
	"reflect"
	"strings"
	"testing"

	"lull/operators"
)

// A record that is sent again with the header lull-redriven is the event that it was at its first place: by its ids, and so by its order's.
func TestDecodeRedriven(t *testing.T) {
	w := order()
	w.MessageID, w.OrderID = nil, nil
	first := source(t, &w)
	var was, is operators.Event
	d := newDecoder(t, nil)
	if rejection := d.Decode(first, &was); rejection != nil {
		t.Fatal(rejection)
	}
	again := source(t, &w)
	again.Partition, again.Offset, again.Headers = 5, 1042, []Header{{"other", nil}, {RedrivenHeader, []byte("shop/3/42")}}
	if rejection := d.Decode(again, &is); rejection != nil || is != was || is.ID != "shop/3/42" || is.OrderID != "shop/3/42" {
		t.Errorf("%+v, %+v; want %+v", rejection, is, was)
	}
	// An event with a message id of its own is known by it, whatever the header says.
	w.MessageID = ptr("m-1")
	named := source(t, &w)
	named.Headers = []Header{{RedrivenHeader, []byte("nowhere")}}
	if rejection := d.Decode(named, &is); rejection != nil || is.ID != "m-1" {
		t.Errorf("%+v, %+v", rejection, is)
	}
}

func TestParsePosition(t *testing.T) {
	for _, p := range []Position{{"shop", 0, 0}, {"a.b-c_d", 12, 1 << 40}, {strings.Repeat("t", topicBytesMax), 1<<31 - 1, 1<<63 - 1}} {
		if got, ok := ParsePosition(p.String()); !ok || got != p {
			t.Errorf("%s: %+v, %v", p, got, ok)
		}
	}
	for _, text := range []string{"", "shop", "shop/3", "/3/17", "shop/3/", "shop//17", "shop/-1/17", "shop/3/-1", "shop/03/17", "shop/3/+17", "shop/3/17 ", "shop/2147483648/1",
		"shop/3/9223372036854775808", "\xff/3/17", strings.Repeat("t", topicBytesMax+1) + "/3/17"} {
		if p, ok := ParsePosition(text); ok {
			t.Errorf("%q is taken for %+v", text, p)
		}
	}
}

// What a dead letter keeps comes back as it was, and what it does not keep is told.
func TestLetter(t *testing.T) {
	encode := func(d *DeadLetter) Letter {
		t.Helper()
		var rec Record
		if err := newEncoder(t).EncodeDeadLetter(d, &rec); err != nil {
			t.Fatal(err)
		}
		l, err := DecodeLetter(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	headers := []Header{{"h", []byte("v")}, {"null", nil}, {"empty", []byte{}}}
	refused := &DeadLetter{Rejection: operators.Rejection{Reason: "late", Detail: "too late"}, Source: &Source{
		Topic: "shop", Partition: 3, Offset: 17, AppendTime: 883_908_000_000, Key: []byte("ann"), Value: []byte{0, 255}, Headers: headers,
	}}
	l := encode(refused)
	if l.Reason != "late" || l.Source.String() != "shop/3/17" || l.AppendTime != 883_908_000_000 || l.Deadline != operators.Unset || string(l.Key) != "ann" ||
		string(l.Value) != "\x00\xff" || !reflect.DeepEqual(l.Headers, headers) || l.Missing() != "" || l.IsDeadline() {
		t.Errorf("%+v", l)
	}
	if origin, redriven := l.Origin(); redriven || origin != l.Source {
		t.Errorf("origin %s, %v", origin, redriven)
	}
	refused.Source.Headers = []Header{{RedrivenHeader, []byte("shop/1/2")}}
	l = encode(refused)
	if origin, redriven := l.Origin(); !redriven || origin.String() != "shop/1/2" {
		t.Errorf("origin %s, %v", origin, redriven)
	}
	refused.Source.Key, refused.Source.Value = nil, []byte{}
	if l = encode(refused); l.Key != nil || l.Value == nil {
		t.Errorf("key %v, value %v; want null and empty", l.Key, l.Value)
	}
	refused.Source.Key, refused.Source.Value = make([]byte, DeadLetterCut+5), make([]byte, 4<<20)
	refused.Source.Headers = []Header{{"a", nil}, {"b", make([]byte, DeadLetterCut)}}
	if l = encode(refused); l.Missing() != "5 of the key's 65541 bytes, 4128768 of the value's 4194304 bytes, 1 headers" {
		t.Errorf("missing %q", l.Missing())
	}
	if l = encode(&DeadLetter{Rejection: operators.Rejection{Reason: "panic", Operator: "score"}, Customer: "ann", Deadline: 5000, Partition: 2}); !l.IsDeadline() ||
		l.Deadline != 5000 || l.Customer != "ann" || l.Operator != "score" {
		t.Errorf("%+v", l)
	}
	var rec Record
	if err := newEncoder(t).EncodeDeadLetter(refused, &rec); err != nil {
		t.Fatal(err)
	}
	if _, err := DecodeLetter(append(rec.Value, 0)); err == nil || err.Error() != "decoding a dead letter: 1 bytes follow it" {
		t.Errorf("error %v", err)
	}
	if _, err := DecodeLetter([]byte{4, 'x'}); err == nil || !strings.Contains(err.Error(), "decoding a dead letter") {
		t.Errorf("error %v", err)
	}
}

func TestRedrive(t *testing.T) {
	key, value, err := EncodeRedrive(sampleRedrive())
	if err != nil || string(key) != "shop/3/42" {
		t.Fatalf("key %s, %v", key, err)
	}
	r, err := DecodeRedrive(key, value)
	if err != nil || r != *sampleRedrive() {
		t.Errorf("%+v, %v", r, err)
	}
	for _, c := range []struct {
		key, value []byte
		want       string
	}{{[]byte("shop/3/43"), value, `decoding the record "shop/3/43" of redrives: it tells of shop/3/42`}, {key, value[:5], `decoding the record "shop/3/42" of redrives: field `},
		{key, append(value, 0), `decoding the record "shop/3/42" of redrives: 1 bytes follow it`}} {
		if _, err := DecodeRedrive(c.key, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
}
