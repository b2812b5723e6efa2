package task

import (
	"encoding/binary"
	"fmt"

	"lull/operators"
)

// ShapeVersion is the version byte that a shape record begins with. docs/formats/changelog.md describes it.
//
//	1: the first.
const ShapeVersion = 1

// ShapeKey is the key of the record that holds the task's Shape. It is written once, in the task's first transaction.
var ShapeKey = []byte{shapeClass}

// Shape says what a state was made with: the settings without which what it says would be wrong, and whose state it is.
type Shape []Setting

// Setting is the name of a setting and its value as one would write it.
type Setting struct{ Name, Value string }

// Fingerprint stands for all of it, in the order that it has (Meta.Settings).
func (s Shape) Fingerprint() uint64 { return operators.Hash64(string(s.Append(nil))) }

// Get returns the value of the setting with this name, "" if there is none.
func (s Shape) Get(name string) string {
	value, _ := s.find(name)
	return value
}

func (s Shape) find(name string) (value string, ok bool) {
	for _, setting := range s {
		if setting.Name == name {
			return setting.Value, true
		}
	}
	return "", false
}

// Change is a setting that two shapes disagree about. A shape that lacks it has "".
type Change struct {
	Name, Was, Is string
	Known         bool // the first shape has it, be it empty
}

// Changes returns what is different in another shape, in the order of s and then of is.
func (s Shape) Changes(is Shape) (changes []Change) {
	for _, setting := range s {
		if now := is.Get(setting.Name); now != setting.Value {
			changes = append(changes, Change{setting.Name, setting.Value, now, true})
		}
	}
	for _, setting := range is {
		if _, known := s.find(setting.Name); !known {
			changes = append(changes, Change{setting.Name, "", setting.Value, false})
		}
	}
	return changes
}

// Append appends the record's encoding to dst.
func (s Shape) Append(dst []byte) []byte {
	dst = append(dst, ShapeVersion)
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	for _, setting := range s {
		for _, text := range [...]string{setting.Name, setting.Value} {
			dst = binary.AppendUvarint(dst, uint64(len(text)))
			dst = append(dst, text...)
		}
	}
	return dst
}

// DecodeShape returns the shape of these bytes. The error wraps operators.ErrCorrupt.
func DecodeShape(src []byte) (Shape, error) {
	corrupt := fmt.Errorf("%w: a shape record of %d bytes", operators.ErrCorrupt, len(src))
	if len(src) == 0 {
		return nil, corrupt
	}
	if src[0] != ShapeVersion {
		return nil, fmt.Errorf("%w: a shape record of version %d; this program reads version %d", operators.ErrCorrupt, src[0], ShapeVersion)
	}
	src = src[1:]
	n, used := binary.Uvarint(src)
	if used <= 0 || n > uint64(len(src)) {
		return nil, corrupt
	}
	src = src[used:]
	var s Shape
	for range n {
		var texts [2]string
		for i := range texts {
			length, used := binary.Uvarint(src)
			if used <= 0 || length > uint64(len(src)-used) {
				return nil, corrupt
			}
			texts[i], src = string(src[used:used+int(length)]), src[used+int(length):]
		}
		s = append(s, Setting{texts[0], texts[1]})
	}
	if len(src) > 0 {
		return nil, corrupt
	}
	return s, nil
}
