package main

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"time"
)

// newLine returns a proxy before a server that sends back what it gets, and a way to connect to it.
func newLine(t *testing.T) (p *proxy, dial func() net.Conn) {
	t.Helper()
	server, err := net.Listen("tcp", host+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	if p, err = newProxy(host+":0", server.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p, func() net.Conn {
		c, err := net.Dial("tcp", p.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

// comesBack reads the echo of text.
func comesBack(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("got %q, %v; want %q", got, err, text)
	}
}

func TestProxyRefuses(t *testing.T) {
	p, dial := newLine(t)
	c := dial()
	send(t, c, "before")
	comesBack(t, c, "before")
	p.refuse()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a connection that was cut ends with %v", err)
	}
	if fresh, err := net.Dial("tcp", p.listener.Addr().String()); err == nil { // the reset may come before the connection is there
		if n, err := fresh.Read(make([]byte, 1)); err == nil {
			t.Errorf("a connection through a cut line gave %d bytes", n)
		}
		_ = fresh.Close()
	}
	p.heal()
	c = dial()
	send(t, c, "after")
	comesBack(t, c, "after")
}

// TestProxyIsSilent: nothing passes, no connection ends, and what was under way arrives in the end.
func TestProxyIsSilent(t *testing.T) {
	p, dial := newLine(t)
	c := dial()
	send(t, c, "before")
	comesBack(t, c, "before")
	p.silence()
	send(t, c, "under way")
	fresh := dial()
	send(t, fresh, "fresh")
	for _, c := range []net.Conn{c, fresh} {
		if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("a silent line gave %d bytes, %v", n, err)
		}
	}
	p.heal()
	comesBack(t, c, "under way")
	comesBack(t, fresh, "fresh")
}

func TestProxyDelays(t *testing.T) {
	const latency = 40 * time.Millisecond
	p, dial := newLine(t)
	c := dial()
	p.delay(latency)
	began := time.Now()
	send(t, c, "there and back")
	comesBack(t, c, "there and back")
	if took := time.Since(began); took < 2*latency {
		t.Errorf("there and back took %s with %s each way", took, latency)
	}
}

// TestRequests: requests are found wherever the bytes of a connection are cut.
func TestRequests(t *testing.T) {
	var bytes []byte
	want := []int16{18, 0, 22, 0}
	for i, key := range want {
		body := make([]byte, 7*i) // after the head; zeros look like the head of a Produce request
		bytes = binary.BigEndian.AppendUint32(bytes, uint32(2+len(body)))
		bytes = binary.BigEndian.AppendUint16(bytes, uint16(key))
		bytes = append(bytes, body...)
	}
	for size := 1; size <= len(bytes); size++ {
		var found requests
		var got []int16
		for part := range slices.Chunk(bytes, size) {
			got = append(got, found.next(part)...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in parts of %d bytes: requests %v, want %v", size, got, want)
		}
	}
}

// TestProxyStopsBefore: what is told of a request can silence the line before a byte of it passes.
func TestProxyStopsBefore(t *testing.T) {
	p, dial := newLine(t)
	const before, held = "\x00\x00\x00\x02\x00\x12", "\x00\x00\x00\x03\x00\x00x"
	p.onRequest(func(key int16) {
		if key == 0 {
			p.silence()
		}
	})
	c := dial()
	send(t, c, before)
	comesBack(t, c, before)
	send(t, c, held)
	if err := c.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the request passed: %d bytes, %v", n, err)
	}
	p.onRequest(nil)
	p.heal()
	comesBack(t, c, held)
}
