package main

import (
	"reflect"
	"testing"
)

// TestPlan: the seed decides, and as many faults as a CI run has are of all kinds, whatever the seed.
func TestPlan(t *testing.T) {
	if !reflect.DeepEqual(newPlanner(7, 3).all(100, deck), newPlanner(7, 3).all(100, deck)) {
		t.Error("the same seed makes two plans")
	}
	if reflect.DeepEqual(newPlanner(7, 3).all(100, deck), newPlanner(8, 3).all(100, deck)) {
		t.Error("two seeds make the same plan")
	}
	for seed := range uint64(20) {
		faults := newPlanner(seed, 3).all(20, deck)
		var seen [faultKinds]int
		overlaps := 0
		for _, f := range faults {
			seen[f.kind]++
			if f.overlap > 0 {
				overlaps++
			}
			if f.kind == frozen && f.hold <= sessionTimeout {
				t.Errorf("a pipeline frozen for %s keeps its membership: it is no zombie", f.hold)
			}
			if f.kind == fullDisk && f.process != diskProcess {
				t.Errorf("process %d has no small disk", f.process)
			}
		}
		for kind, n := range seen {
			if n == 0 {
				t.Errorf("seed %d: %d faults, and none is %q", seed, len(faults), faultKind(kind))
			}
		}
		if overlaps == 0 || overlaps == len(faults) {
			t.Errorf("seed %d: %d of %d faults overlap with the next", seed, overlaps, len(faults))
		}
	}
}

// TestPlanOfKills: as many kills as asked for, of pipelines and of brokers, in volleys and close upon each other.
func TestPlanOfKills(t *testing.T) {
	const pipelines, brokers = 1000, 50
	faults := newPlanner(1, 3).kills(pipelines, brokers)
	killedPipelines, killedBrokers, hasty, longest := 0, 0, 0, 0
	for _, f := range faults {
		switch f.kind {
		case killed:
			killedPipelines += len(f.kills)
			longest = max(longest, len(f.kills))
		case groupBroker, txnBroker:
			killedBrokers++
		default:
			t.Errorf("a fault of kind %q", f.kind)
		}
		if f.overlap > 0 {
			hasty++
		}
	}
	if killedPipelines != pipelines || killedBrokers != brokers {
		t.Errorf("%d kills of pipelines and %d of brokers, want %d and %d", killedPipelines, killedBrokers, pipelines, brokers)
	}
	if longest != volleyMax {
		t.Errorf("at most %d kills in a row, want %d", longest, volleyMax)
	}
	if hasty < len(faults)*3/4 || hasty == len(faults) {
		t.Errorf("%d of %d faults begin while another lasts", hasty, len(faults))
	}
}

// TestHalves: the two runs of .ci/run, with one input and with two, have faults of all kinds between them, and each lets a transaction be overtaken and kills coordinators.
func TestHalves(t *testing.T) {
	var seen [faultKinds]int
	for _, seed := range []uint64{4, 1} {
		var half [faultKinds]int
		for _, f := range newPlanner(seed, 3).all(10, deck) {
			half[f.kind]++
			seen[f.kind]++
		}
		for _, kind := range []faultKind{overtaken, groupBroker, txnBroker} {
			if half[kind] == 0 {
				t.Errorf("seed %d has no fault %q", seed, kind)
			}
		}
	}
	for kind, n := range seen {
		if n == 0 {
			t.Errorf("no fault is %q", faultKind(kind))
		}
	}
}
