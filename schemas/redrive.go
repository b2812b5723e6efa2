package schemas

import "fmt"

// RedrivenHeader is the header of a record that was sent again after it had been refused. Its value is the position at which the record stood first, as
// Position.String writes it. It stands for the message id of an event that has none, as the record's own position would, so that the event is the same one
// however often it is sent.
const RedrivenHeader = "lull-redriven"

// LettersHeader is the header of a record of the redrives topic that holds Kafka's id of the topic of the dead letters, as base64: once that was deleted and made anew, other letters stand in the old places.
const LettersHeader = "lull-letters"

// Redrive is a record of the redrives topic: a dead letter whose record was sent again. redrive.avsc says what each field is.
type Redrive struct {
	Reason          string `avro:"reason"`
	Topic           string `avro:"topic"`
	Partition       int32  `avro:"partition"`
	Offset          int64  `avro:"offset"`
	SentTo          int32  `avro:"sent_to"`
	Origin          string `avro:"origin"`
	LetterPartition int32  `avro:"letter_partition"`
	LetterOffset    int64  `avro:"letter_offset"`
}

// Source returns the position of the record that the letter refused.
func (r *Redrive) Source() Position {
	return Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
}

// EncodeRedrive returns key and value of a record of the redrives topic.
func EncodeRedrive(r *Redrive) (key, value []byte, err error) {
	key = []byte(r.Source().String())
	if value, err = compiled[Redrives].AppendEncode(nil, r); err != nil {
		return nil, nil, fmt.Errorf("encoding the redrive of %s: %w", key, err)
	}
	return key, value, nil
}

// DecodeRedrive returns what a record of the redrives topic tells. The error says what is wrong with it.
func DecodeRedrive(key, value []byte) (Redrive, error) {
	var r Redrive
	rest, err := compiled[Redrives].Decode(value, &r)
	switch {
	case err != nil:
		return Redrive{}, fmt.Errorf("decoding the record %s of redrives: %s", quoted(string(key)), avroCause(err))
	case len(rest) > 0:
		return Redrive{}, fmt.Errorf("decoding the record %s of redrives: %d bytes follow it", quoted(string(key)), len(rest))
	case r.Source().String() != string(key):
		return Redrive{}, fmt.Errorf("decoding the record %s of redrives: it tells of %s", quoted(string(key)), r.Source())
	}
	return r, nil
}
