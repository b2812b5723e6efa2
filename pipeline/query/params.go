package query

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lull/operators"
)

// parameter is one of a route's.
type parameter struct {
	name string
	in   string // "path" or "query"
	doc  string
	// What its values are: one of values; a whole number from least to most; an instant; or a text that the pattern describes.
	values      []string
	least, most int64
	instant     bool
	pattern     string
	deflt       any    // nil: none
	example     string // "" of what needs none
}

// parse takes the request's parameters, which must be the route's. Instants are put as others read them too, dates being in a time zone.
func (r *request) parse(of *route, zone *time.Location) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return invalid("the query of the URL: %s", err)
	}
	r.query = make(url.Values)
	for name, given := range query {
		i := slices.IndexFunc(of.parameters, func(p parameter) bool { return p.in == "query" && p.name == name })
		if i < 0 {
			return invalid("parameter %q: there is no such one. %s takes %s", name, of.path, of.takes())
		}
		if len(given) > 1 {
			return invalid("parameter %s is given %d times: give it once", name, len(given))
		}
		if err := of.parameters[i].check(given[0]); err != nil {
			return err
		}
		if of.parameters[i].instant {
			at, err := instantIn(given[0], zone)
			if err != nil {
				return invalid("%s %q: it must be an instant by RFC 3339 from 1970 to 2199, such as 2026-05-01T00:00:00Z, or a date such as 2026-05-01, which is its 00:00 in calendar.timezone", name, given[0])
			}
			given = []string{at.String()}
		}
		r.query[name] = given
	}
	return nil
}

// takes names the route's parameters.
func (r *route) takes() string {
	var names []string
	for i := range r.parameters {
		if r.parameters[i].in == "query" {
			names = append(names, r.parameters[i].name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// check holds a value against what the document says of it.
func (p *parameter) check(value string) error {
	switch {
	case value == "":
		return invalid("%s is empty: give it a value, or leave it out", p.name)
	case p.values != nil:
		if !slices.Contains(p.values, value) {
			return invalid("%s %q: it must be one of %s", p.name, value, strings.Join(p.values, ", "))
		}
	case p.most > 0:
		if n, err := parseWhole(value, p.most); err != nil || n < p.least {
			return invalid("%s %q: it must be a whole number from %d to %d", p.name, value, p.least, p.most)
		}
	}
	return nil
}

// parseWhole reads a number of digits alone, at most most.
func parseWhole(text string, most int64) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || int64(n) > most {
		//lull:unread whoever asks says what the number is
		return 0, fmt.Errorf("%q is no whole number up to %d", text, most)
	}
	return int64(n), nil
}

// The instants that a request can name, as event times can: from 1970 to 2199.
const (
	instantMin operators.EventTime = 0
	instantEnd operators.EventTime = 7_258_118_400_000
)

// instantPattern describes what instantIn takes, but for the days that a month does not have, and what an offset puts out of range.
const instantPattern = `^(19[7-9][0-9]|2[01][0-9]{2})-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$`

var instantForm = regexp.MustCompile(instantPattern) // time.Parse takes more than RFC 3339 has

// instantIn reads an instant that a request names: as parseInstant does, or a date, which is its 00:00 in a time zone.
func instantIn(text string, zone *time.Location) (operators.EventTime, error) {
	if !instantForm.MatchString(text) {
		//lull:unread whoever asks says what the instant is
		return 0, fmt.Errorf("%q is no instant", text)
	}
	if day, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil {
		text = day.UTC().Format(time.RFC3339Nano)
	}
	return parseInstant(text)
}

// parseInstant reads an instant by RFC 3339, to the millisecond.
func parseInstant(text string) (operators.EventTime, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		//lull:unread whoever asks says what the instant is
		return 0, fmt.Errorf("%q is no instant by RFC 3339", text)
	}
	at := operators.EventTime(t.UnixMilli())
	if at < instantMin || at >= instantEnd {
		//lull:unread whoever asks says what the instant is
		return 0, fmt.Errorf("%q is out of range", text)
	}
	return at, nil
}

// number returns a whole number among the parameters, whose value has been checked, or what it is by default.
func (r *request) number(name string, deflt int) int {
	if text := r.query.Get(name); text != "" {
		n, _ := strconv.Atoi(text)
		return n
	}
	return deflt
}

// instant returns an instant among the parameters, whose value has been checked; ok is false if it is not given.
func (r *request) instant(name string) (at operators.EventTime, ok bool) {
	at, err := parseInstant(r.query.Get(name))
	return at, err == nil
}
