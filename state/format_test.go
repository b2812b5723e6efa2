package state

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The bytes of a store are those of docs/formats/store.md. Who changes them raises FormatVersion.
func TestFormat(t *testing.T) {
	d := openStore(t, vfs.NewMem())
	p := partition(t, d, 0x0102)
	must(t, p.Set([]byte("key"), []byte{0, 9, 'v'})) // its deadline is 9
	must(t, p.Set([]byte("old"), []byte{0, 5}))
	must(t, p.Set([]byte("gone"), nil))
	must(t, p.Set(nil, []byte("e")))
	p.Commit(0x0A0B)
	must(t, p.Flush())
	must(t, p.Delete([]byte("gone")))
	must(t, p.Delete([]byte("old")))
	p.DropIndexBelow(deadlineBytes(6))
	p.Commit(0x0A0C)
	p.MarkAtEnd(0x0D)
	must(t, p.Release(0x0E))

	var got []string
	must(t, d.store.Scan(nil, nil, func(key, value []byte) bool {
		got = append(got, fmt.Sprintf("%x: %x", key, value))
		return true
	}))
	want := []string{
		"00000102" + "00: " + "0000000000000a0c" + "000000000000000d" + "000000000000000e", // mark: position, at end, released
		"00000102" + "01: " + fmt.Sprintf("%x", "e"),
		"00000102" + "01" + fmt.Sprintf("%x", "key") + ": " + "000976",
		"00000102" + "02" + "0009" + fmt.Sprintf("%x", "key") + ": ", // index
		"ffffffff" + fmt.Sprintf("%x: %x", "lull-state", "lull state store ") + "01",
	}
	expect(t, "the store", got, want)
	must(t, d.Close())
}
