// Package sim runs the pipeline's tasks, chain and store against a broker, disks and clocks that exist in memory only, with everything going wrong
// that can: one sequence of choices is one run, to the bit.
//
//	world ── turns ──> produce │ a process's cycle │ restart │ session timeout │ transaction timeout │ time │ an outage of a source │ a wall clock is set
//	                                │
//	                  between every two steps of a cycle: a crash, or other turns (the process wakes up as a zombie)
//
// The task, the feed and the process's clock ([lull/pipeline/task]), the chain ([lull/operators/clv]) and the layers over the store ([lull/state]) are the product's own. The
// broker follows Kafka's rules for transactions, markers, last stable offsets, producer epochs and group generations. A process's cycle here follows
// the same rules as package pipeline's; that package is tested against real brokers.
//
// Half of the worlds have a first stage: two input topics that are not keyed by customer, whose partitions are assigned by the same group and read by feeds, which pass
// events on to the topic that the tasks read, in the same transactions. What a feed remembers is the metadata of its committed offset. No feed
// waits for another here, as those of package pipeline do over a backlog: any order must do.
//
// After every heal (everybody back, nothing left to do) the run is compared with an undisturbed one and checked for the invariants that
// docs/guarantees.md numbers: I1 to I10, I12 to I16 and I24. With a first stage I20 is among them; I4, I10, I12 and I13 are then the feeds' too, and the undisturbed
// run of the tasks is over what has been passed on.
package sim
