package orders_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"lull/operators"
	"lull/operators/optest"
	"lull/operators/orders"
)

func newRunner(config orders.Config) *optest.Runner {
	config.EnsureDefaults()
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return optest.NewRunner(orders.New(config))
}

// TestScripts runs the scripts of testdata. "new kept=N orders=N refunds=N amount=MINOR" begins with a new customer. "run" shows, line by
// line, what was refused and what the order's contribution became, then the ledger: "+" are orders in the record, "-" those in Parts.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var r *optest.Runner
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "new":
				var config orders.Config
				d.MaybeScanArgs(t, "kept", &config.OrdersKept)
				d.MaybeScanArgs(t, "orders", &config.OrdersMax)
				d.MaybeScanArgs(t, "refunds", &config.RefundsMax)
				var amountMax int64
				d.MaybeScanArgs(t, "amount", &amountMax)
				config.AmountMax = operators.Money(amountMax)
				r = newRunner(config)
				return ""
			case "run":
				var text strings.Builder
				for line := range strings.Lines(d.Input) {
					came, err := r.Script(line)
					if err != nil {
						d.Fatalf(t, "%v", err)
					}
					text.WriteString(came)
					if r.Changed.Orders {
						fmt.Fprintf(&text, "%s, then %s\n", contribution(r.Changed.OrderWas), contribution(r.Changed.OrderIs))
					} else if came == "" {
						text.WriteString("no change\n")
					}
				}
				return text.String() + ledger(r)
			}
			d.Fatalf(t, "there is no command %s", d.Cmd)
			return ""
		})
	})
}

func contribution(c operators.Contribution) string {
	if !c.Counts {
		return "nothing"
	}
	return fmt.Sprintf("%s on %s", money(c.Net), c.Day)
}

func money(m operators.Money) string { return fmt.Sprintf("%d.%02d", m/100, m%100) }

func ledger(r *optest.Runner) string {
	var text strings.Builder
	for _, name := range r.Parts.Names("o") {
		o := archived(r, name)
		fmt.Fprintf(&text, "- %s\n", orderText(&o))
	}
	for i := range r.Customer.Ledger.Orders {
		fmt.Fprintf(&text, "+ %s\n", orderText(&r.Customer.Ledger.Orders[i]))
	}
	return text.String()
}

func archived(r *optest.Runner, name string) (o operators.Order) {
	if err := operators.DecodeOrder(&o, r.Parts.Value(name)); err != nil {
		panic(err)
	}
	return o
}

func orderText(o *operators.Order) string {
	text := fmt.Sprintf("%s %s: %s", o.ID, o.Time, money(o.Amount))
	if o.AmountTime == operators.Unset {
		text = fmt.Sprintf("%s %s: amount unknown", o.ID, o.Time)
	}
	if !o.Completed {
		text += ", not completed"
	}
	if n := len(o.Refunds); n > 0 {
		text += fmt.Sprintf(", %s refunded in %d", money(o.Refunded()), n)
	}
	if o.Whole {
		text += ", refunded whole"
	}
	if o.Cancelled {
		text += ", cancelled"
	}
	return text + ", net " + money(o.Net())
}

// TestNewOrderReadsNoParts proves that as long as all orders lie in the record a new one costs no read, and that an event of an order in the
// record never does.
func TestNewOrderReadsNoParts(t *testing.T) {
	r := newRunner(orders.Config{OrdersKept: 2})
	for i := range 3 {
		r.Event(order(operators.OrderCompleted, fmt.Sprintf("o%d", i), operators.EventTime(i)))
	}
	if r.Parts.Gets != 0 || r.Parts.Sets != 1 {
		t.Errorf("%d reads and %d writes of parts, want none and the one of the eviction", r.Parts.Gets, r.Parts.Sets)
	}
	r.Event(order(operators.OrderCancelled, "o2", 10))
	if r.Parts.Gets != 0 {
		t.Errorf("an order in the record was looked for in parts")
	}
}

func order(kind operators.EventKind, id string, at operators.EventTime) *operators.Event {
	return &operators.Event{
		Kind: kind, ID: fmt.Sprintf("%s of %s at %d", kind, id, at), Customer: "c", Time: at, OrderID: id,
		Day: operators.Day(at / operators.DayMs), DayStart: at / operators.DayMs * operators.DayMs,
	}
}

// TestCorruptPart proves that an archived order that does not decode is a panic, of which the runtime makes a dead letter, and that the error
// tells what it is.
func TestCorruptPart(t *testing.T) {
	r := newRunner(orders.Config{OrdersKept: 1})
	r.Event(order(operators.OrderCompleted, "old", 1))
	r.Event(order(operators.OrderCompleted, "new", 2))
	r.Parts.Set("oold", []byte{99})
	defer func() {
		err, _ := recover().(error)
		if err == nil || !strings.Contains(err.Error(), "reading an archived order: corrupt state") {
			t.Errorf("got %v", err)
		}
	}()
	r.Event(order(operators.OrderCancelled, "old", 3))
}

// TestValidate proves that an error names the field and its value, and that limits whose sums could overflow are refused.
func TestValidate(t *testing.T) {
	for want, config := range map[string]orders.Config{
		"OrdersKept is -1": {OrdersKept: -1},
		"OrdersMax is 15":  {OrdersMax: 15},
		"RefundsMax is -1": {RefundsMax: -1},
		"AmountMax is -1":  {AmountMax: -1},
		fmt.Sprintf("AmountMax is %d", math.MaxInt64/100_000+1): {AmountMax: math.MaxInt64/100_000 + 1},
	} {
		config.EnsureDefaults()
		if err := config.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	largest := orders.Config{AmountMax: math.MaxInt64 / 100_000}
	largest.EnsureDefaults()
	if err := largest.Validate(); err != nil {
		t.Error(err)
	}
}
