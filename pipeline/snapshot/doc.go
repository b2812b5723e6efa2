// Package snapshot writes what lull knows of all customers at one instant as tables in Parquet, from the changelog and the topics of outputs: it needs no running process and
// touches none.
//
// The changelog's partitions are restored into a store of the snapshot's own, as a process restores them, so that memory is bounded. Then all customers are walked
// through in the order of their ids, and each is evaluated at the snapshot's instant under the snapshot's model by the operators that score them live. What a customer did after the instant is
// left out where the state still tells it apart (see purchasesAt). The outputs that the customers' states count are sorted on disk too (see sorter) and make
// tables of their own. The files are written first and the manifest last: what has a manifest is whole.
package snapshot
