package pipeline

import (
	"encoding/binary"
	"math"
	"net"
	"strconv"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

func nan() float64 { return math.NaN() }

// rawEvent returns the bytes of an order of eve's by event.avsc with one field as no encoder of ours would write it. nil is null.
func rawEvent(fields map[string]any) []byte {
	text := func(b []byte, s string) []byte { return append(binary.AppendVarint(b, int64(len(s))), s...) }
	null, some := byte(0), byte(2)   // branches of a union with null
	b := binary.AppendVarint(nil, 3) // order_completed
	b = append(b, null)
	b = text(b, "eve")
	b = binary.AppendVarint(b, 1e12)
	b = text(append(b, some), "x")
	b = append(b, null)
	amount, set := fields["amount"]
	switch {
	case set && amount == nil:
		b = append(b, null)
	case set:
		b = binary.AppendVarint(append(b, some), amount.(int64))
	default:
		b = binary.AppendVarint(append(b, some), 5)
	}
	b = text(append(b, some), "USD")
	b = append(b, 0) // whole
	if quantity, ok := fields["quantity"]; ok {
		b = binary.LittleEndian.AppendUint64(append(b, some), math.Float64bits(quantity.(float64)))
	} else {
		b = append(b, null)
	}
	return append(b, null, null, null)
}

func portOf(t *testing.T, address string) int {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// freeAddress returns a loopback address that nobody listens on just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
