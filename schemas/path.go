package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// places are where a mapping looks in records. Each has a number; what is found there goes into the slot of that number. The same place is looked at once.
type places struct {
	names  []string // by number: as the mapping has them
	byName map[string]int
	root   *place
	key    int      // of the record's key; -1: not looked at
	stamp  int      // of its Kafka timestamp; -1
	header []string // headers that are looked at, and
	slots  []int    // the number of each
}

// place is a node of the tree of all paths.
type place struct {
	slot     int // -1: only places below it are looked at
	fields   map[string]*place
	elements map[int]*place
	each     *place // all elements, of which numbers are summed
}

func newPlaces() *places {
	return &places{byName: make(map[string]int), root: newPlace(), key: -1, stamp: -1}
}

func newPlace() *place { return &place{slot: -1} }

// The places of a record beside its value.
const (
	keyPlace     = "$key"
	stampPlace   = "$timestamp"
	headerPlaces = "$header."
)

// add returns the number of the place that the steps lead to, or of the one beside the value that has this name, if there are none.
func (p *places) add(name string, steps []step) int {
	if n, known := p.byName[name]; known {
		return n
	}
	n := len(p.names)
	header, isHeader := strings.CutPrefix(name, headerPlaces)
	switch {
	case len(steps) > 0:
		at := p.root
		for _, s := range steps {
			at = at.step(s)
		}
		if at.slot >= 0 { // written in another way
			return at.slot
		}
		at.slot = n
	case name == keyPlace:
		p.key = n
	case name == stampPlace:
		p.stamp = n
	case isHeader:
		p.header, p.slots = append(p.header, header), append(p.slots, n)
	}
	p.names = append(p.names, name)
	p.byName[name] = n
	return n
}

// step is one part of a path: a field, an element of an array, or all of them.
type step struct {
	field   string
	element int
	kind    stepKind
}

type stepKind uint8

const (
	intoField stepKind = iota
	intoElement
	intoEach
)

func (p *place) step(s step) *place {
	switch s.kind {
	case intoElement:
		if p.elements == nil {
			p.elements = make(map[int]*place)
		}
		if p.elements[s.element] == nil {
			p.elements[s.element] = newPlace()
		}
		return p.elements[s.element]
	case intoEach:
		if p.each == nil {
			p.each = newPlace()
		}
		return p.each
	}
	if p.fields == nil {
		p.fields = make(map[string]*place)
	}
	if p.fields[s.field] == nil {
		p.fields[s.field] = newPlace()
	}
	return p.fields[s.field]
}

// inArray reports whether places lie in the array that may be here.
func (p *place) inArray() bool { return p.each != nil || len(p.elements) > 0 }

// pathDepthMax bounds how deep a path goes.
const pathDepthMax = 32

// parsePath reads a path such as order.total, items[0].sku or items[].quantity. A backslash takes the meaning from the character behind it. each reports whether the path means
// all elements of an array.
func parsePath(text string) (steps []step, each bool, err error) {
	if strings.HasPrefix(text, "$") {
		if header, ok := strings.CutPrefix(text, headerPlaces); text != keyPlace && text != stampPlace && (!ok || header == "") {
			return nil, false, fmt.Errorf("%q is none of $key, $timestamp and $header.NAME; a field whose name begins with $ is written \\$", text)
		}
		return nil, false, nil
	}
	if !utf8.ValidString(text) {
		//lull:unread YAML holds nothing else
		return nil, false, errors.New("the path is not UTF-8")
	}
	var name strings.Builder
	named := false // a field's name has begun
	afterField := false
	end := func() error {
		if !named {
			return fmt.Errorf("the path %q has an empty name in it: write it like order.total or items[0].sku", text)
		}
		steps = append(steps, step{field: name.String()})
		name.Reset()
		named, afterField = false, true
		return nil
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\':
			if i++; i == len(text) {
				return nil, false, fmt.Errorf("the path %q ends in a backslash: it stands before a character that is part of a name, such as a\\.b; write two for one", text)
			}
			name.WriteByte(text[i])
			named = true
		case '.':
			if !named && afterField { // behind ]
				afterField = false
				continue
			}
			if err := end(); err != nil {
				return nil, false, err
			}
			afterField = false
		case '[':
			if named {
				if err := end(); err != nil {
					return nil, false, err
				}
			}
			inside, _, closed := strings.Cut(text[i+1:], "]")
			n, err := strconv.Atoi(inside)
			switch {
			case !closed || inside != "" && (err != nil || n < 0 || n > 1_000_000):
				return nil, false, fmt.Errorf("the path %q has brackets that hold no number: write items[0] for the first element, items[] for all", text)
			case inside == "" && each:
				return nil, false, fmt.Errorf("the path %q has [] twice: write the number of an element in one of them, such as [0]", text)
			case inside == "":
				steps, each = append(steps, step{kind: intoEach}), true
			default:
				steps = append(steps, step{kind: intoElement, element: n})
			}
			i += len(inside) + 1
			afterField = true
		default:
			if afterField {
				return nil, false, fmt.Errorf("the path %q lacks a point behind a bracket: write it like items[0].sku", text)
			}
			name.WriteByte(c)
			named = true
		}
	}
	if named || !afterField {
		if err := end(); err != nil {
			return nil, false, err
		}
	}
	if len(steps) > pathDepthMax {
		return nil, false, fmt.Errorf("the path %q has %d steps; at most %d are read", text, len(steps), pathDepthMax)
	}
	return steps, each, nil
}

// found is what a record says at the places, by number.
type found []scalar

// set keeps what is at a place. Below [] the numbers of all elements are summed; what is no number makes the sum none.
func (f found) set(slot int, s scalar, summing bool) {
	if slot < 0 {
		return
	}
	if !summing {
		f[slot] = s
		return
	}
	at := &f[slot]
	n, ok := quantityOf(&s)
	switch {
	case s.kind == nothing || at.kind == composite:
	case !ok:
		*at = scalar{kind: composite}
	default:
		at.kind = summed
		at.sum += n
	}
}

// keep keeps what the record says beside its value.
func (f found) keep(p *places, r *Source) {
	clear(f)
	if p.key >= 0 && len(r.Key) > 0 {
		f[p.key] = scalar{kind: textual, text: string(r.Key)}
	}
	if p.stamp >= 0 && r.AppendTime >= 0 {
		f[p.stamp] = scalar{kind: dated, at: r.AppendTime}
	}
	for i, name := range p.header {
		for j := range r.Headers {
			if r.Headers[j].Key == name && r.Headers[j].Value != nil {
				f[p.slots[i]] = scalar{kind: textual, text: string(r.Headers[j].Value)}
			}
		}
	}
}
