package schemas

import (
	"fmt"
	"strings"

	"lull/operators"
)

// The reasons for which Decoder refuses records: stable codes of dead letters and of the metric that counts them.
const (
	ReasonRecordTooLarge   = "record_too_large"
	ReasonHeadersTooLarge  = "headers_too_large"
	ReasonNoCustomer       = "no_customer"
	ReasonNoValue          = "no_value"
	ReasonTruncated        = "truncated"
	ReasonTrailingBytes    = "trailing_bytes"
	ReasonMalformed        = "malformed"
	ReasonKeyMismatch      = "key_mismatch"
	ReasonInvalidUTF8      = "invalid_utf8"
	ReasonIDTooLong        = "id_too_long"
	ReasonTextTooLong      = "text_too_long"
	ReasonMissingField     = "missing_field"
	ReasonBadRedriven      = "bad_redriven"
	ReasonQuantityInvalid  = "quantity_not_finite"
	ReasonQuantityNegative = "negative_quantity"
	ReasonAmountNegative   = "negative_amount"
	ReasonAmountOutOfRange = "amount_out_of_range"
	ReasonUnknownCurrency  = "unknown_currency"
	ReasonTimeOutOfRange   = "time_out_of_range"
	ReasonTimeInFuture     = "time_in_future"
	ReasonBadTimeMark      = "bad_time_mark"

	// Of inputs with a mapping, and of those with a registry.
	ReasonUnmatched         = "unmatched"
	ReasonBadField          = "bad_field"
	ReasonAmountInexact     = "amount_inexact"
	ReasonNoSchemaID        = "no_schema_id"
	ReasonSchemaUnknown     = "schema_unknown"
	ReasonSchemaUnusable    = "schema_unusable"
	ReasonSchemaUnavailable = "schema_unavailable"
)

// Two answers of Decoder are no refusals.
const (
	// ReasonIgnored says that the mapping passes the record over.
	ReasonIgnored = "ignored"
	// ReasonSchemaAwaited says that the record can be decoded once the registry has answered: try it again.
	ReasonSchemaAwaited = "schema_awaited"
)

// Reason describes a reason for people. docs/formats/dead-letters.md shows all of them.
type Reason struct {
	Code    string
	Meaning string
	Remedy  string
}

// Reasons are the reasons for which Decoder refuses records, in the order in which it looks.
var Reasons = []Reason{
	{ReasonBadTimeMark, "a record without a key has the header lull-time-mark, but no instant from 1970 to 2200 in it, or one that had not come yet when it was appended", "write an instant from 1970 up to, not including, 2200 by RFC 3339, such as 1998-07-01T00:00:00Z, and not before its time has come"},
	{ReasonRecordTooLarge, "the value is longer than the limit", "raise limits.value_bytes, or make the producer send less; the dead letter keeps the first 65536 bytes, the rest is at the source offset"},
	{ReasonHeadersTooLarge, "the headers together are longer than the limit", "make the producer send fewer, or raise limits.header_bytes"},
	{ReasonNoCustomer, "the key or the customer_id is empty", "make the producer set it, or the mapping find it, or ignore such records; input.topic is keyed by customer_id"},
	{ReasonNoValue, "the record has a key but no value", "input topics hold events, not a table: send no deletions"},
	{ReasonNoSchemaID, "input.format is registry-avro, and the value does not begin with a schema's id", "check that the producer writes by a registry; avro and avro-schema are the formats without an id"},
	{ReasonSchemaUnknown, "the registry has no schema with the value's id", "check that producer and lull use the same registry; if its schemas were lost, restore them, and re-drive the dead letters"},
	{ReasonSchemaUnavailable, "the registry did not give the value's schema, and registry.on_unavailable is dead-letter", "mend the registry or its settings, and re-drive the dead letters if there are such"},
	{ReasonSchemaUnusable, "the value's schema is no Avro schema, or cannot be resolved to the one that is read", "give new fields of the reader's schema defaults, and renamed ones aliases, and re-drive the dead letters"},
	{ReasonTruncated, "the value ends in the middle of an event", "check that the producer writes the schema that is read, with all its fields"},
	{ReasonTrailingBytes, "bytes follow the event", "send one event per record; a registry's prefix or a newer schema look like this too"},
	{ReasonMalformed, "the value is no event: what cannot be in its format", "check that the producer writes what input.format says, or set that to what it writes: json, csv, avro-schema, or avro, which is event.avsc without a registry's prefix"},
	{ReasonUnmatched, "no rule of the mapping matches the record", "add a rule for it, of kind ignore if it is no event, or set unmatched: ignore in the mapping"},
	{ReasonBadField, "a field that the mapping names is not what it must be", "mend the producer, or the mapping: lull mapping try shows what becomes of a record"},
	{ReasonAmountInexact, "an amount has more decimals than its currency", "make the producer round it, or set inexact: round for amount in the mapping"},
	{ReasonInvalidUTF8, "a text is not UTF-8", "make the producer convert its texts to UTF-8"},
	{ReasonIDTooLong, "an id is longer than the limit", "shorten it in the producer, for example by a hash, or raise limits.id_bytes"},
	{ReasonTextTooLong, "name or proof is longer than the limit", "shorten it in the producer, or raise limits.name_bytes or limits.proof_bytes"},
	{ReasonKeyMismatch, "the key is not the customer_id", "key records by customer_id: under any other key a customer's events are in several partitions"},
	{ReasonMissingField, "a field that this kind of event needs is null or empty", "make the producer set it, or the mapping find it"},
	{ReasonBadRedriven, "the header lull-redriven, which stands for the message id of an event without one, is no source position", "send no header of this name: `lull dead-letters redrive` does, with topic/partition/offset in it"},
	{ReasonQuantityInvalid, "quantity is NaN or infinite", "mend the division or conversion in the producer; send null if the quantity is not known"},
	{ReasonQuantityNegative, "quantity is below 0", "send what is taken back as order_refunded or order_updated"},
	{ReasonAmountNegative, "amount is below 0", "send what is paid back as order_refunded, with an amount above 0"},
	{ReasonUnknownCurrency, "the currency has no rate", "add its rate to money.rates; codes are of ISO 4217 in upper case"},
	{ReasonAmountOutOfRange, "amount in the base currency is beyond 64 bits", "check the producer's unit: amounts of event.avsc are in minor units (cents), of others in what the mapping says"},
	{ReasonTimeOutOfRange, "the time is not from 1970 up to, not including, 2200", "check the producer's unit: times of event.avsc are in milliseconds since 1970, of others in what the mapping says"},
	{ReasonTimeInFuture, "the time is later than the record's Kafka timestamp and the allowed skew, and such records are refused or have no usable timestamp", "set the producer's clock; raise clock.max_skew, or let such times be clamped by input.future_dated"},
	{ReasonBadRelay, "a record of the internal topic events has not the headers by which lull passes events on", "let nobody else write to that topic: write events to an input topic"},
}

var remedies = func() map[string]string {
	m := make(map[string]string, len(Reasons))
	for _, r := range Reasons {
		m[r.Code] = r.Remedy
	}
	return m
}()

// reject returns the rejection with this reason: what was found, then what to do.
func reject(code, format string, args ...any) *operators.Rejection {
	return &operators.Rejection{Reason: code, Detail: fmt.Sprintf(format, args...) + ": " + remedies[code]}
}

// FaultOf returns what is wrong with a record that was refused for a reason, one of Reasons or of those of the operators; ok is false if that is no fault of the record.
func FaultOf(reason string) (fault operators.Fault, ok bool) {
	switch reason {
	case ReasonSchemaUnavailable, ReasonBadRelay, "panic":
		return operators.NoFault, false
	case ReasonNoCustomer, ReasonNoValue, ReasonMissingField:
		return operators.MissingField, true
	case ReasonUnknownCurrency:
		return operators.UnknownCurrency, true
	case ReasonTimeInFuture:
		return operators.ClockSkewed, true
	}
	return operators.Invalid, true
}

// Found returns the part of a rejection's detail that says what was found, without what a producer's author should do.
func Found(r *operators.Rejection) string {
	return strings.TrimSuffix(r.Detail, ": "+remedies[r.Reason])
}

// quoted returns a text for a rejection's detail, cut to a readable length.
func quoted(s string) string {
	const bytesMax = 64
	if len(s) > bytesMax {
		return fmt.Sprintf("%q...", s[:bytesMax])
	}
	return fmt.Sprintf("%q", s)
}
