// Package task is all work of one partition: its watermark, its deadlines, its customers and the chain that changes them.
//
// A task is single-threaded and knows neither Kafka nor Pebble nor a clock: it takes records in the order of the log, writes what it
// changes into a [Store], and hands back outputs. What it does depends on those records, time marks, clock advances and models only, never on where
// a transaction ends: deadlines fire between the records that release them, in the order (deadline, customer).
package task
