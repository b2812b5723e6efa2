package task

import (
	"encoding/binary"
	"slices"

	"lull/operators"
)

// callsMax bounds the counts of calls to act, for the length of the meta record. More than 32 rules with a cap and triggers.max_age at its longest make is of days that only wrong clocks reach:
// the latest are let go then.
const callsMax = 16_384

// count counts the calls to act among the outputs of a step.
func (t *Task) count(outputs []operators.Output) {
	for i := range outputs {
		if o := &outputs[i]; o.Kind == operators.TriggerOutput && o.Trigger.Capped {
			t.meta.count(operators.RuleKey(o.Trigger.Rule), t.calls.Day(o.Trigger.Deadline), t.forgotten())
		}
	}
}

// forgotten returns the first day of which counts are kept: all triggers of those before are stale by now, wherever days begin, and if the wall clock is set back by less than a day.
func (t *Task) forgotten() operators.Day {
	return operators.Day((max(t.Now(), 0)-operators.EventTime(t.cfg.ActionMaxMs))/operators.DayMs) - 2
}

// count counts a call to act of a rule on a day, and forgets those of days before another.
func (m *Meta) count(rule uint16, day, from operators.Day) {
	i, found := operators.FindCalls(m.Calls, rule, day)
	if found {
		m.Calls[i].Calls++
		return
	}
	m.Calls = slices.Insert(m.Calls, i, operators.DayCalls{Day: day, Rule: rule, Calls: 1})
	m.Calls = slices.DeleteFunc(m.Calls, func(c operators.DayCalls) bool { return c.Day < from })
	m.Calls = m.Calls[:min(len(m.Calls), callsMax)]
}

const callsBytes = 4 + 2 + 4

func (m *Meta) appendCalls(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(m.Calls)))
	for _, c := range m.Calls {
		dst = binary.BigEndian.AppendUint32(dst, uint32(c.Day))
		dst = binary.BigEndian.AppendUint16(dst, c.Rule)
		dst = binary.BigEndian.AppendUint32(dst, c.Calls)
	}
	return dst
}

func (m *Meta) readCalls(l *lists) {
	l.read(callsBytes, func(b []byte) {
		m.Calls = append(m.Calls, operators.DayCalls{Day: operators.Day(int32(binary.BigEndian.Uint32(b))), Rule: binary.BigEndian.Uint16(b[4:]), Calls: binary.BigEndian.Uint32(b[6:])})
	})
}
