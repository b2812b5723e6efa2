package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"lull/operators"
	"lull/pipeline/task"
	"lull/schemas"
)

// showChange returns a record of the changelog for a person (docs/formats/changelog.md, state.md): what its key stands for, and what was written there, nil for
// a deletion. Ids that the state keeps as hashes only are counted.
func showChange(key, value []byte) (of schemas.Fields, shown any, err error) {
	if string(key) == string(task.MetaKey) {
		of = schemas.Fields{{Name: "kind", Value: "meta"}}
		if value == nil {
			return of, nil, nil
		}
		meta, err := task.DecodeMeta(value)
		return of, showMeta(&meta), err
	}
	if string(key) == string(task.ShapeKey) {
		of = schemas.Fields{{Name: "kind", Value: "settings"}}
		if value == nil {
			return of, nil, nil
		}
		shape, err := task.DecodeShape(value)
		return of, showShape(shape), err
	}
	if id, ok := task.CustomerOf(key); ok {
		of = schemas.Fields{{Name: "kind", Value: "customer"}, {Name: "customer_id", Value: textOrBytes(id)}}
		if value == nil {
			return of, nil, nil
		}
		c := operators.NewCustomer(string(id))
		err := c.DecodeState(value)
		return of, showCustomer(c), err
	}
	return showPart(key, value)
}

// showPart shows one of a customer's long lists.
func showPart(key, value []byte) (of schemas.Fields, shown any, err error) {
	const class = 'p'
	if len(key) == 0 || key[0] != class {
		return nil, nil, fmt.Errorf("key %q: there is no such kind", key)
	}
	n, used := binary.Uvarint(key[1:])
	rest := key[1+max(0, used):]
	if used <= 0 || n >= uint64(len(rest)) {
		return nil, nil, fmt.Errorf("key %q: it ends within the customer's id", key)
	}
	id, name := rest[:n], string(rest[n:])
	of = schemas.Fields{{Name: "kind", Value: "part"}, {Name: "customer_id", Value: textOrBytes(id)}, {Name: "name", Value: name}}
	switch {
	case value == nil:
		return of, nil, nil
	case strings.HasPrefix(name, "o"):
		var o operators.Order
		err = operators.DecodeOrder(&o, value)
		return of, showOrder(&o), err
	case strings.HasPrefix(name, "d"):
		days, err := operators.DecodeDays(value)
		return of, showDays(days), err
	}
	return nil, nil, fmt.Errorf("part %q: there is no such list", name)
}

func showShape(shape task.Shape) (fields schemas.Fields) {
	for _, s := range shape {
		fields = append(fields, schemas.Field{Name: s.Name, Value: s.Value})
	}
	return fields
}

func showMeta(m *task.Meta) schemas.Fields {
	var ahead, adoptions, gaps, calls []any
	for _, w := range m.Ahead {
		ahead = append(ahead, schemas.Fields{{Name: "customer", Value: fmt.Sprintf("%016x", w.Customer)}, {Name: "time", Value: w.Time}})
	}
	for _, a := range m.Adoptions {
		adoptions = append(adoptions, schemas.Fields{{Name: "model", Value: shortModel(a.Ref)}, {Name: "at", Value: a.At}})
	}
	for _, g := range m.Gaps {
		gaps = append(gaps, schemas.Fields{{Name: "day", Value: g.Day}, {Name: "ms", Value: g.Ms}})
	}
	for _, c := range m.Calls {
		calls = append(calls, schemas.Fields{{Name: "day", Value: c.Day}, {Name: "rule", Value: fmt.Sprintf("%04x", c.Rule)}, {Name: "calls", Value: int64(c.Calls)}})
	}
	return schemas.Fields{
		{Name: "position", Value: m.Position}, {Name: "observed", Value: m.Observed},
		{Name: "input_id", Value: hex.EncodeToString(m.InputID[:])}, {Name: "changelog_id", Value: hex.EncodeToString(m.ChangelogID[:])},
		{Name: "settings", Value: fmt.Sprintf("%016x", m.Settings)}, {Name: "watermark", Value: m.Watermark},
		{Name: "ahead", Value: ahead}, {Name: "adoptions", Value: adoptions}, {Name: "gaps", Value: gaps}, {Name: "calls", Value: calls},
	}
}

// shortModel shows the short name that states have of a model: no version, but the same for the same one.
func shortModel(ref uint32) string { return fmt.Sprintf("%08x", ref) }

func showCustomer(c *operators.Customer) schemas.Fields {
	var sessions, orders []any
	for i := range c.Sessions {
		sessions = append(sessions, showSession(&c.Sessions[i]))
	}
	for i := range c.Ledger.Orders {
		orders = append(orders, showOrder(&c.Ledger.Orders[i]))
	}
	fields := schemas.Fields{
		{Name: "armed", Value: c.Armed}, {Name: "at", Value: c.At}, {Name: "revision", Value: int64(c.Revision)}, {Name: "model", Value: shortModel(c.Model)},
		{Name: "message_ids", Value: int64(len(c.Messages))}, {Name: "sessions", Value: sessions},
		{Name: "orders", Value: orders}, {Name: "archived_orders", Value: int64(c.Ledger.Archived)},
		{Name: "days", Value: showDays(c.Days.Newest)}, {Name: "pages_of_days", Value: int64(len(c.Days.Pages))},
	}
	if p := &c.Purchases; p.Count > 0 {
		fields = append(fields, schemas.Field{Name: "purchases", Value: schemas.Fields{
			{Name: "count", Value: int64(p.Count)}, {Name: "orders", Value: int64(p.Orders)}, {Name: "first", Value: p.First}, {Name: "last", Value: p.Last},
			{Name: "net", Value: int64(p.Net)}, {Name: "first_net", Value: int64(p.FirstNet)},
		}})
	}
	return append(
		fields,
		schemas.Field{Name: "score", Value: schemas.Fields{
			{Name: "scored", Value: c.Score.Scored}, {Name: "next", Value: c.Score.Next}, {Name: "value_falls", Value: c.Score.ValueFalls},
		}},
		schemas.Field{Name: "segment", Value: schemas.Fields{
			{Name: "quadrant", Value: c.Segment.Quadrant.String()}, {Name: "high_risk", Value: c.Segment.HighRisk}, {Name: "since", Value: c.Segment.Since},
			{Name: "rfm_group", Value: c.Segment.RFMGroup.String()}, {Name: "lifecycle", Value: c.Segment.Lifecycle.String()}, {Name: "next", Value: c.Segment.Next},
		}},
		schemas.Field{Name: "rules", Value: showRules(c.Rules)},
	)
}

// showRules shows the rules that are not at rest.
func showRules(states []operators.RuleState) (rules []any) {
	for i := range states {
		s := &states[i]
		fields := schemas.Fields{{Name: "key", Value: fmt.Sprintf("%04x", s.Key)}, {Name: "held", Value: s.Held}}
		if s.Sent {
			fields = append(fields, schemas.Field{Name: "sent", Value: s.ID.String()}, schemas.Field{Name: "deadline", Value: s.Deadline}, schemas.Field{Name: "by_event", Value: s.ByEvent})
		}
		rules = append(rules, fields)
	}
	return rules
}

func showSession(s *operators.Session) schemas.Fields {
	var counts schemas.Fields
	for kind, n := range s.Counts {
		if n > 0 {
			counts = append(counts, schemas.Field{Name: operators.EventKind(kind).String(), Value: int64(n)})
		}
	}
	return schemas.Fields{
		{Name: "start", Value: s.Start}, {Name: "end", Value: s.End}, {Name: "counts", Value: counts},
		{Name: "first_page", Value: s.FirstPage}, {Name: "last_page", Value: s.LastPage}, {Name: "cart", Value: int64(s.Cart)},
	}
}

func showOrder(o *operators.Order) schemas.Fields {
	return schemas.Fields{
		{Name: "order_id", Value: o.ID}, {Name: "time", Value: o.Time}, {Name: "completed", Value: o.Completed}, {Name: "cancelled", Value: o.Cancelled},
		{Name: "refunded_whole", Value: o.Whole}, {Name: "amount", Value: int64(o.Amount)}, {Name: "refunded", Value: int64(o.Refunded())},
		{Name: "refunds", Value: int64(len(o.Refunds))}, {Name: "net", Value: int64(o.Net())},
	}
}

func showDays(days []operators.PurchaseDay) []any {
	var shown []any
	for i := range days {
		shown = append(shown, schemas.Fields{
			{Name: "day", Value: days[i].Day}, {Name: "orders", Value: int64(days[i].Orders)}, {Name: "net", Value: int64(days[i].Net)},
		})
	}
	return shown
}
