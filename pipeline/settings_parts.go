package pipeline

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"lull/operators"
	"lull/operators/clv"
	"lull/operators/statistics"
	"lull/operators/trigger"
	"lull/pipeline/task"
	"lull/schemas"
)

// loadRules reads the rules, once. The error tells all that is wrong with the file.
func (s *Settings) loadRules() error {
	if s.rules != nil {
		return nil
	}
	if s.Triggers.Rules == "" {
		s.rules = trigger.DefaultRules()
		return nil
	}
	source, err := os.ReadFile(s.Triggers.Rules)
	if err != nil {
		return fmt.Errorf("triggers.rules: %w", err)
	}
	if s.rules, err = trigger.ParseRules(s.Triggers.Rules, source); err != nil {
		return fmt.Errorf("triggers.rules: %w", err)
	}
	return nil
}

// Chain returns the configuration of the operators. Of settings that have not been validated it has the default rules.
func (s *Settings) Chain() clv.Config {
	var c clv.Config
	c.Trigger.Rules = s.rules
	c.EnsureDefaults() // of what is no setting: a setting that is 0 means 0
	c.Dedup.IDsMax = s.Limits.MessageIDs
	c.Session.GapMs = s.Session.Gap.Milliseconds()
	c.Session.SessionsMax = s.Limits.OpenSessions
	c.Orders.OrdersMax = s.Limits.Orders
	c.Orders.RefundsMax = s.Limits.Refunds
	c.Consent.PurposesMax = s.Limits.Purposes
	c.Score.Levels = s.Scores.Levels
	c.Score.HighRisk, c.Score.LowRisk = s.Risk.High, s.Risk.Back
	c.Score.HorizonMonths = s.Scores.HorizonMonths
	c.Score.DiscountMonthly = s.Scores.Discount
	c.Score.MarginShare = s.Money.Margin
	c.Score.ContactDays = float64(s.Scores.ContactDays)
	c.Score.Currency = s.Money.Currency
	c.Score.Day = schemas.Days(s.zone())
	c.Score.MinorPerMajor = minorPerMajor(s.Money.Currency)
	c.Score.OfferShare = s.Offers.Share
	c.Score.OfferCap = operators.Money(math.Round(s.Offers.Cap * float64(c.Score.MinorPerMajor)))
	c.Score.ValueBack = s.Segments.ValueBack
	c.Score.DormantRisk, c.Score.LostRisk = s.Segments.Dormant, s.Segments.Lost
	c.Segment.DwellMs = s.Segments.Dwell.Milliseconds()
	c.Trigger.MaxAgeMs = s.Triggers.MaxAge.Milliseconds()
	return c
}

func minorPerMajor(currency string) int64 {
	digits, _ := schemas.CurrencyDigits(currency)
	n := int64(1)
	for range digits {
		n *= 10
	}
	return n
}

// Decoder returns the configuration of the decoder of events.
func (s *Settings) Decoder() schemas.DecoderConfig {
	future := schemas.ClampFuture
	if s.Input.FutureDated == "dead-letter" {
		future = schemas.RejectFuture
	}
	return schemas.DecoderConfig{
		Zone: s.zone(), SkewMaxMs: s.Clock.MaxSkew.Milliseconds(), Future: future, Currency: s.Money.Currency, Rates: s.Money.Rates,
		Limits: s.Limits.Record(),
	}
}

// Record returns the limits of one record.
func (l *LimitSettings) Record() schemas.Limits {
	return schemas.Limits{ValueBytes: l.ValueBytes, HeaderBytes: l.HeaderBytes, IDBytes: l.IDBytes, NameBytes: l.NameBytes, ProofBytes: l.ProofBytes}
}

// Encoder returns the configuration of the encoder of outputs.
func (s *Settings) Encoder() schemas.EncoderConfig {
	chain := s.Chain()
	return schemas.EncoderConfig{
		Source: strings.TrimRight(s.Prefix, ".-_"), Currency: s.Money.Currency,
		HorizonDays: float64(chain.Score.HorizonMonths) * chain.Score.MonthDays, ContactDays: chain.Score.ContactDays,
		DiscountMonthly: chain.Score.DiscountMonthly, Margin: chain.Score.MarginShare, DeadLetterBytes: s.deadLetterBytes(),
		Formats: s.Outputs.formats(),
	}
}

// zone is that of calendar days.
func (s *Settings) zone() *time.Location {
	zone, err := time.LoadLocation(s.Calendar.Timezone)
	if err != nil {
		return time.UTC // Validate has refused it
	}
	return zone
}

// task returns the configuration of the task of a partition, of so many.
func (s *Settings) task(partition, partitions int32) task.Config {
	return task.Config{
		Partition: int(partition), Partitions: int(partitions), Day: schemas.Days(s.zone()), ActionMaxMs: s.Triggers.MaxAge.Milliseconds(),
		LatenessMs: s.Clock.Lateness.Milliseconds(), JumpMaxMs: s.Clock.MaxJump.Milliseconds(), EventClock: s.Clock.Mode == "event",
		CachedCustomers: s.State.CachedCustomers, TimersLoaded: timersLoaded, Looks: looks, Sampled: sampled(partitions), Terms: s.Terms(),
	}
}

// timersLoaded is how many deadlines a partition keeps in memory at least: some 5 MB.
const timersLoaded = 50_000

// looks is how many customers a walk through all of a partition looks at at once: some 5 ms.
const looks = 8192

// sampled returns how many customers one of so many tasks keeps a sample of. All samples together are to have the statistics.SampleSize customers of least
// hash; of these a task has its share, and twice as many only if it has twice its share of customers.
func sampled(partitions int32) int {
	return min(statistics.SampleSize, 2*statistics.SampleSize/int(max(1, partitions))+1000)
}

// Sampled returns how many customers a task keeps a sample of that has all of them.
func (s *Settings) Sampled() int { return sampled(1) }

// partitionsSetting is what the number of the input's partitions is called in a shape, for want of a setting.
const partitionsSetting = "partitions of the input"

// shape says what a state is made with, with so many partitions of the input: whose it is, and what it would be wrong under others.
func (s *Settings) shape(partitions int32) task.Shape {
	return task.Shape{
		{Name: "prefix", Value: s.Prefix},
		{Name: "group", Value: s.Group},
		{Name: "input.topic", Value: s.taskTopic()},
		{Name: partitionsSetting, Value: fmt.Sprint(partitions)},
		{Name: "session.gap", Value: s.Session.Gap.String()},
		{Name: "calendar.timezone", Value: s.Calendar.Timezone},
		{Name: "clock.lateness", Value: s.Clock.Lateness.String()},
		{Name: "money.currency", Value: s.Money.Currency},
		{Name: "money.rates", Value: s.Money.ListRates("%s=%s", ",")},
		{Name: "limits.message_ids", Value: fmt.Sprint(s.Limits.MessageIDs)},
		{Name: "limits.open_sessions", Value: fmt.Sprint(s.Limits.OpenSessions)},
		{Name: "limits.orders", Value: fmt.Sprint(s.Limits.Orders)},
		{Name: "limits.refunds", Value: fmt.Sprint(s.Limits.Refunds)},
	}
}

// ListRates returns the rates by their currencies, each in a format of code and rate, with a separator between them; "" if there are none.
func (m *MoneySettings) ListRates(format, separator string) string {
	var rates []string
	for _, code := range slices.Sorted(maps.Keys(m.Rates)) {
		rates = append(rates, fmt.Sprintf(format, code, m.Rates[code]))
	}
	return strings.Join(rates, separator)
}

// Overruled returns in what these settings are others than those that a state was made with, and which hold for all that is in it: of each the state's value, and theirs. What an earlier version's state does not tell is left out.
func (s *Settings) Overruled(state task.Shape) (changes []task.Change) {
	whose := []string{"prefix", "group", "input.topic", partitionsSetting} // not what the state says
	for _, c := range state.Changes(s.shape(0)) {
		if c.Known && !slices.Contains(whose, c.Name) {
			changes = append(changes, c)
		}
	}
	return changes
}

// Terms stand for the settings that scores are computed under and that the state does not refuse when they change: everybody is scored anew instead.
func (s *Settings) Terms() uint32 {
	rules := s.Chain().Trigger.Rules.Fingerprint()
	return uint32(operators.Hash64(fmt.Sprintf("margin %v, levels %v, horizon %d, discount %v, contact %d, risk %v back %v, dwell %s, value back %v, dormant %v, lost %v, rules %s",
		s.Money.Margin, s.Scores.Levels, s.Scores.HorizonMonths, s.Scores.Discount, s.Scores.ContactDays, s.Risk.High, s.Risk.Back,
		s.Segments.Dwell, s.Segments.ValueBack, s.Segments.Dormant, s.Segments.Lost, rules)))
}
