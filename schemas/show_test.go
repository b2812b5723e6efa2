package schemas

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"lull/operators"
)

func TestJSONForms(t *testing.T) {
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, `null`}, {true, `true`}, {int64(math.MinInt64), `-9223372036854775808`}, {0.1, `0.1`}, {1e21, `1e+21`}, {"a\"b\n<é> -> &", `"a\"b\n<é> -> &"`},
		{math.NaN(), `"NaN"`}, {math.Inf(1), `"Infinity"`}, {math.Inf(-1), `"-Infinity"`},
		{[]byte("plain"), `{"utf8":"plain"}`}, {[]byte{0xff}, `{"base64":"/w=="}`}, {[]byte{}, `{"utf8":""}`},
		{operators.EventTime(883_908_000_250), `"1998-01-04T10:00:00.250Z"`}, {operators.Day(-1), `"1969-12-31"`},
		{[]any{int64(1), Fields{}}, `[1,{}]`}, {Fields{{"b", int64(1)}, {"a", nil}}, `{"b":1,"a":null}`},
	} {
		text, err := Fields{{"v", c.value}}.MarshalJSON() // json.Marshal would escape it for HTML
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatalf("%s is no JSON: %v", c.want, err)
		}
		if got := string(text); got != `{"v":`+c.want+`}` {
			t.Errorf("%v is %s; want %s", c.value, got, c.want)
		}
	}
	if _, err := (Fields{{"v", struct{}{}}}).MarshalJSON(); err == nil {
		t.Error("a value of unknown type was written")
	}
}

func TestDecodeOutputErrors(t *testing.T) {
	value := sampleValues(t)[Triggers]
	for name, c := range map[string]struct {
		topic Topic
		value []byte
		want  string
	}{
		"cut short": {Triggers, value[:len(value)-1], "decoding a record of triggers: field "}, "trailing": {Triggers, append(append([]byte(nil), value...), 0), "decoding a record of triggers: 1 bytes follow the value"},
		"null":     {Triggers, nil, "decoding a record of triggers: field "},
		"no topic": {0, value, "decoding a record of topic kind 0: there is no such kind"}, "no such topic": {topicsEnd, value, "there is no such kind"},
		// goavro would ask for 34 GB for an array that claims 2^31-1 elements.
		"an endless array": {Sessions, []byte{0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f}, "decoding a record of sessions: field "},
	} {
		if fields, err := DecodeOutput(c.topic, c.value); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: decoded %v, %v; want %q", name, fields, err, c.want)
		}
	}
}

func TestGetOfNoField(t *testing.T) {
	if v := (Fields{{"a", int64(1)}}).Get("b"); v != nil {
		t.Errorf("an absent field is %v", v)
	}
}
