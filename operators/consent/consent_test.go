package consent_test

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"lull/operators"
	"lull/operators/consent"
	"lull/operators/optest"
)

func newRunner(config consent.Config) *optest.Runner {
	config.EnsureDefaults()
	if err := config.Validate(); err != nil {
		panic(err)
	}
	return optest.NewRunner(consent.New(config))
}

// TestScripts runs the stories of testdata. "new purposes=N" begins with a new customer. "run" shows what was refused, then all that holds. "ask" shows what
// is answered for each purpose of which it is asked.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var r *optest.Runner
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var text strings.Builder
			switch d.Cmd {
			case "new":
				var config consent.Config
				d.MaybeScanArgs(t, "purposes", &config.PurposesMax)
				r = newRunner(config)
			case "run":
				came, err := r.Script(d.Input)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				text.WriteString(came)
				for _, c := range r.Customer.Consents {
					tell(&text, c)
				}
			case "ask":
				for purpose := range strings.FieldsSeq(d.Input) {
					c, known := r.Customer.Consent(purpose)
					if !known {
						fmt.Fprintf(&text, "%s: nothing known; given: %v\n", purpose, c.Given)
						continue
					}
					tell(&text, c)
				}
			default:
				d.Fatalf(t, "there is no command %s", d.Cmd)
			}
			return text.String()
		})
	})
}

func tell(text *strings.Builder, c operators.Consent) {
	what := "withdrawn"
	if c.Given {
		what = "given"
	}
	fmt.Fprintf(text, "%s: %s at %s by %s", c.Purpose, what, c.Time, c.Event)
	if c.Proof != "" {
		fmt.Fprintf(text, ", proof %s", c.Proof)
	}
	text.WriteByte('\n')
}

// TestAnyOrder proves that events of consent, in any order and each any number of times, end in the same bytes: for each purpose what was stated last, by time
// and then by the hash of the event's id.
func TestAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var stated []operators.Event
		for i := range rapid.IntRange(1, 30).Draw(t, "events") {
			stated = append(stated, operators.Event{
				Kind: rapid.SampledFrom([]operators.EventKind{operators.ConsentGiven, operators.ConsentWithdrawn}).Draw(t, "kind"),
				ID:   fmt.Sprintf("m%d", i), Customer: "c", Time: operators.EventTime(rapid.IntRange(-3, 3).Draw(t, "time")),
				Subject: rapid.SampledFrom([]string{"", "email", "phone", "profiling"}).Draw(t, "purpose"),
				Proof:   rapid.SampledFrom([]string{"", "form"}).Draw(t, "proof"),
			})
		}
		want := operators.NewCustomer("c")
		sorted := slices.Clone(stated)
		slices.SortFunc(sorted, func(a, b operators.Event) int {
			return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(operators.Hash64(a.ID), operators.Hash64(b.ID)))
		})
		last := map[string]operators.Event{}
		for _, e := range sorted {
			last[e.Subject] = e
		}
		for _, purpose := range []string{"", "email", "phone", "profiling"} {
			if e, ok := last[purpose]; ok {
				want.Consents = append(want.Consents, operators.Consent{
					Purpose: purpose, Given: e.Kind == operators.ConsentGiven, Time: e.Time, Event: e.ID, Proof: e.Proof,
				})
			}
		}
		r := newRunner(consent.Config{})
		for _, e := range rapid.Permutation(append(stated, stated...)).Draw(t, "arrivals") {
			if refused := r.Event(&e); refused != "" {
				t.Fatalf("%+v is refused: %s", e, refused)
			}
		}
		want.At = r.Customer.At
		if got := r.Customer.AppendState(nil); !bytes.Equal(got, want.AppendState(nil)) {
			t.Fatalf("got %+v\nwant %+v", r.Customer.Consents, want.Consents)
		}
	})
}

// TestConfig: the defaults are valid, and what is not is named.
func TestConfig(t *testing.T) {
	for _, n := range []int{-1, 257} {
		c := consent.Config{PurposesMax: n}
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("consent: PurposesMax is %d", n)) {
			t.Errorf("%d: error %v", n, err)
		}
	}
}
