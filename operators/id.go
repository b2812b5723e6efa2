package operators

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"

	"github.com/cespare/xxhash/v2"
)

// Hash64 is the 64-bit hash (XXH64, seed 0) under which states remember ids. It is part of the state format.
func Hash64(s string) uint64 { return xxhash.Sum64String(s) }

// ID identifies an output by its cause, so that any re-emission is recognisable.
type ID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id ID) String() string { return fmt.Sprintf("%x", id[:]) }

// NewID derives an id from its parts (FNV-1a, 128 bits; every part is preceded by its length, so that no two lists of parts run together).
func NewID(parts ...string) ID {
	h := fnv.New128a()
	var length [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(length[:], uint64(len(p)))
		h.Write(length[:])
		h.Write([]byte(p))
	}
	var id ID
	h.Sum(id[:0])
	return id
}
