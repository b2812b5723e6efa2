package schemas

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Position is where a record stands: as text "shop/3/17", topic, partition and offset.
type Position struct {
	Topic     string
	Partition int32
	Offset    int64
}

// PositionBytesMax is the length in bytes of the longest text of a position.
const PositionBytesMax = topicBytesMax + 1 + 10 + 1 + 19

// String returns the position as text, such as shop/3/17.
func (p Position) String() string {
	return p.Topic + "/" + strconv.Itoa(int(p.Partition)) + "/" + strconv.FormatInt(p.Offset, 10)
}

// topicBytesMax is the length of the longest topic name that Kafka takes.
const topicBytesMax = 249

// ParsePosition returns the position that a text such as shop/3/17 names; ok is false if it names none. Only what Position.String writes is taken, so that
// a position has one text.
func ParsePosition(text string) (p Position, ok bool) {
	rest, offset, hasOffset := cutLast(text)
	topic, partition, hasPartition := cutLast(rest)
	if !hasOffset || !hasPartition || topic == "" || len(topic) > topicBytesMax || !utf8.ValidString(topic) {
		return Position{}, false
	}
	n, err := strconv.ParseInt(partition, 10, 32)
	if err != nil || n < 0 {
		return Position{}, false
	}
	at, err := strconv.ParseInt(offset, 10, 64)
	if err != nil || at < 0 {
		return Position{}, false
	}
	p = Position{Topic: topic, Partition: int32(n), Offset: at}
	return p, p.String() == text
}

func cutLast(text string) (before, after string, found bool) {
	i := strings.LastIndexByte(text, '/')
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}
