// Package state keeps the state of a process's partitions: keys and values that mean nothing to it, in one Pebble store.
//
// The store is a cache of the changelog, never its rival: what a transaction writes waits in memory until Kafka has committed it, and reaches
// Pebble some time later, many transactions at once, together with the position (the next changelog offset) it stands for. What a crash costs
// is therefore only the replay of the changelog from that position. Reads see four layers, newest first:
//
//	overlay    writes of the transaction that runs     Set, Delete      -> Commit or Abort
//	dirty      committed, not yet on its way to disk   Commit           -> StartFlush or Discard
//	flushing   committed, being written by a flush     StartFlush       -> gone when the flush has succeeded, dirty again when it failed
//	[Backing]  what the last flush left                                 (Pebble; the simulator brings another)
//
// A restore goes past them: [Partition.Restore] gathers the changelog's records, of each key the last, and writes them as tables of their own; only a
// short tail becomes dirty. It is seen when [Partition.EndRestore] has returned.
//
// Rules that hold at every instant, crashes included:
//
//   - The backing holds no write of a transaction that is not committed.
//   - A partition's records in the backing are exactly its committed records at its position there: a flush is atomic, and takes all that is
//     committed. Replaying the changelog from that position with [Partition.Restore] gives the committed state.
//   - Every record in the backing that has an entry in the timer index has it there, written in the same flush. Entries without a record, of
//     deadlines that have moved on, may be there too.
//
// A partition is used by one goroutine, its task's; what others may call says so. docs/formats/store.md describes the bytes.
package state
