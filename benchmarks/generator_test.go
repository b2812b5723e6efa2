package main

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"lull/operators"
	"lull/schemas"
)

// opening is 2024-01-01.
const opening = 19_723 * operators.DayMs

func generate(t *testing.T, config GeneratorConfig) (events []operators.Event) {
	t.Helper()
	g, err := NewGenerator(config)
	if err != nil {
		t.Fatal(err)
	}
	var e operators.Event
	for g.Next(&e) {
		events = append(events, e)
	}
	if len(events) != config.Events {
		t.Fatalf("%d events, want %d", len(events), config.Events)
	}
	return events
}

func encode(t *testing.T, events []operators.Event) []byte {
	t.Helper()
	var all []byte
	for i := range events {
		var err error
		if all, err = schemas.EncodeEvent(all, &events[i], "USD"); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// The same config makes the same bytes, and another seed makes others.
func TestSameSeedSameBytes(t *testing.T) {
	for _, config := range []GeneratorConfig{
		{Seed: 1, Events: 20_000, Customers: 500, Start: opening},
		{Seed: 1, Events: 20_000, Customers: 500, Start: opening, Zipf: 1, DisorderMs: 300_000},
	} {
		first := encode(t, generate(t, config))
		if !bytes.Equal(first, encode(t, generate(t, config))) {
			t.Errorf("%+v: two runs differ", config)
		}
		config.Seed = 2
		if bytes.Equal(first, encode(t, generate(t, config))) {
			t.Errorf("%+v: two seeds give the same", config)
		}
	}
}

// The decoder, which holds every limit of the input, refuses no event, and message ids are unique.
func TestEventsAreAccepted(t *testing.T) {
	decoder, err := schemas.NewDecoder(schemas.DecoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, e := range generate(t, GeneratorConfig{Seed: 3, Events: 30_000, Customers: 20, Zipf: 1, DisorderMs: 600_000, Start: opening}) {
		value := encode(t, []operators.Event{e})
		var decoded operators.Event
		source := schemas.Source{Topic: "events", Key: []byte(e.Customer), Value: value, AppendTime: schemas.TimeEnd}
		if refusal := decoder.Decode(&source, &decoded); refusal != nil {
			t.Fatalf("%+v: %s", e, refusal.Detail)
		}
		if ids[e.ID] {
			t.Fatalf("message id %s twice", e.ID)
		}
		ids[e.ID] = true
		decoded.Day, decoded.DayStart = 0, 0
		if decoded != e {
			t.Fatalf("decoded %+v, want %+v", decoded, e)
		}
	}
}

// Without disorder events come in the order of their times; with it, never later than its bound behind another.
func TestOrder(t *testing.T) {
	for _, disorder := range []int64{0, 60_000} {
		latest, behind := operators.Unset, operators.EventTime(0)
		for _, e := range generate(t, GeneratorConfig{Seed: 4, Events: 30_000, Customers: 1000, DisorderMs: disorder, Start: opening}) {
			if latest != operators.Unset {
				behind = max(behind, latest-e.Time)
			}
			latest = max(latest, e.Time)
		}
		if behind > operators.EventTime(disorder) {
			t.Errorf("disorder %d: an event comes %d ms behind another", disorder, behind)
		}
		if disorder > 0 && behind < operators.EventTime(disorder)/2 {
			t.Errorf("disorder %d: no event comes more than %d ms behind another", disorder, behind)
		}
	}
}

// The mix is that of a shop: views are most, orders are some, and of everything else that the shop has there is something. What follows an order
// names one that was made.
func TestKindsMix(t *testing.T) {
	var counts [operators.EventKinds + 1]int
	orders := make(map[string]bool)
	for _, e := range generate(t, GeneratorConfig{Seed: 5, Events: 100_000, Customers: 1000, Start: opening}) {
		counts[e.Kind]++
		order := e.Customer + " " + e.OrderID
		switch {
		case e.Kind == operators.OrderCompleted:
			if orders[order] {
				t.Fatalf("order %s was made twice", order)
			}
			orders[order] = true
		case e.Kind.OfOrder() && !orders[order]:
			t.Fatalf("%s of order %s, which was not made", e.Kind, order)
		}
	}
	for kind, least := range map[operators.EventKind]float64{
		operators.PageViewed: 0.5, operators.Tracked: 0.02, operators.OrderCompleted: 0.02,
		operators.OrderUpdated: 0.0003, operators.OrderRefunded: 0.001, operators.OrderCancelled: 0.0003,
		operators.CampaignSent: 0.04, operators.CampaignDelivered: 0.04, operators.CampaignOpened: 0.01, operators.CampaignClicked: 0.003,
		operators.TicketOpened: 0.001, operators.TicketReplied: 0.001, operators.TicketClosed: 0.001,
	} {
		if share := float64(counts[kind]) / 100_000; share < least {
			t.Errorf("%s: a share of %.4f, want at least %v", kind, share, least)
		}
	}
}

// Customers differ: under Zipf's law the first of n customers has a share of 1/H(n), without it the busiest tenth of an exponential distribution
// has 1/10 (1 + ln 10) = 33 %. Breaks and chance blur both.
func TestSkew(t *testing.T) {
	const customers, events = 1000, 300_000
	counts := func(zipf float64) (byRank []int) {
		number := make(map[string]int)
		for i := range customers {
			number[CustomerID(i)] = i
		}
		byRank = make([]int, customers)
		for _, e := range generate(t, GeneratorConfig{Seed: 6, Events: events, Customers: customers, Zipf: zipf, Start: opening}) {
			byRank[number[e.Customer]]++
		}
		return byRank
	}
	harmonic := 0.0
	for n := range customers {
		harmonic += 1 / float64(n+1)
	}
	first, want := float64(counts(1)[0])/events, 1/harmonic
	if first < want/2 || first > want*2 {
		t.Errorf("zipf 1: the first customer has a share of %.3f, want about %.3f", first, want)
	}
	even := counts(0)
	slices.Sort(even)
	tenth := 0
	for _, n := range even[customers*9/10:] {
		tenth += n
	}
	if share := float64(tenth) / events; share < 0.26 || share > 0.42 {
		t.Errorf("zipf 0: the busiest tenth has a share of %.3f, want about 0.33", share)
	}
}

// A config that cannot be met is refused by the name of its field.
func TestGeneratorConfig(t *testing.T) {
	good := GeneratorConfig{Seed: 1, Events: 10, Customers: 10, Start: opening}
	for field, spoil := range map[string]func(*GeneratorConfig){
		"Events":     func(c *GeneratorConfig) { c.Events = 0 },
		"Events is":  func(c *GeneratorConfig) { c.Events = 1_000_000 },
		"Customers":  func(c *GeneratorConfig) { c.Customers = 0 },
		"Zipf":       func(c *GeneratorConfig) { c.Zipf = -1 },
		"DisorderMs": func(c *GeneratorConfig) { c.DisorderMs = -1 },
		"Start":      func(c *GeneratorConfig) { c.Start = -1 },
	} {
		bad := good
		spoil(&bad)
		if _, err := NewGenerator(bad); err == nil || !bytes.Contains([]byte(err.Error()), []byte(field)) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := NewGenerator(good); err != nil {
		t.Error(fmt.Errorf("a good config: %w", err))
	}
}
