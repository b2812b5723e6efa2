// Package schemas turns records into canonical events and outputs into records. It is the only place that knows Avro and JSON shapes.
//
// The shapes are the .avsc files of this directory, which are embedded. Records are decoded and encoded with github.com/twmb/avro; what people are
// shown of them (DecodeOutput) is read with github.com/linkedin/goavro, as other readers of the topics would. docs/adr/0002-avro-libraries.md
// says why.
package schemas
