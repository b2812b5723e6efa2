package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"lull/pipeline/query"
	"lull/pipeline/security"
	"lull/schemas"
)

// Validate reports every setting that is not as it must be: its name as in the file, its value and the rule.
func (s *Settings) Validate() error {
	var p problems
	s.check(&p)
	if err := s.loadRules(); err != nil {
		p.found = append(p.found, err)
	}
	if len(p.found) > 0 {
		return errors.Join(p.found...)
	}
	// What follows knows no names of settings: that it finds nothing more is an assertion.
	if _, err := schemas.NewDecoder(s.Decoder()); err != nil {
		return fmt.Errorf("settings that were found valid: %w", err)
	}
	chain := s.Chain()
	if err := chain.Validate(); err != nil {
		return fmt.Errorf("settings that were found valid: %w", err)
	}
	if n := chain.RecordBytesMax(max(s.Limits.IDBytes, positionBytesMax), s.Limits.ProofBytes) + s.Limits.IDBytes; n > batchBytes-batchOverhead {
		return fmt.Errorf("limits.message_ids, limits.open_sessions, limits.refunds, limits.purposes, limits.id_bytes and limits.proof_bytes together let a customer's record become %d bytes long; "+
			"the changelog takes %d: lower the largest of them", n, batchBytes-batchOverhead)
	}
	return nil
}

// ValidateModels holds the settings that predictions are computed by, those of money and of scores, against their rules: for who needs no others.
func (s *Settings) ValidateModels() error {
	var p problems
	s.checkMoney(&p)
	s.checkScores(&p)
	return errors.Join(p.found...)
}

// positionBytesMax is the length of the longest position of a record, topic/partition/offset, which stands for an id that a source does not give.
const positionBytesMax = 249 + len("/2147483647/9223372036854775807")

// check holds each setting against its rules.
func (s *Settings) check(p *problems) {
	for _, b := range s.Brokers {
		_, _, err := net.SplitHostPort(b)
		p.check(err == nil, "brokers", quoted(b), "a list of host:port")
	}
	p.check(len(s.Brokers) > 0, "brokers", "empty", "a list of host:port")
	s.checkShapes(p)
	p.check(s.Group != "", "group", `""`, "the name of the consumer group")
	p.hold(s.Input.Topic == "" || isTopicName(s.Input.Topic), quoted(s.Input.Topic), Rule{Setting: "input.topic", Text: topicNameRule, Pattern: "^[" + topicNameBytes + "]{0,249}$"})
	p.check(s.Input.Topic == "" || s.Prefix == "" || !strings.HasPrefix(s.Input.Topic, s.Prefix), "input.topic", quoted(s.Input.Topic),
		fmt.Sprintf("outside the prefix %q of lull's own topics", s.Prefix))
	s.checkInputs(p)
	p.check(!strings.ContainsAny(s.Instance, "/ \t\n"), "instance", quoted(s.Instance), "without spaces and slashes")
	p.check(s.State.Dir != "", "state.dir", `""`, "the path of a folder")
	p.hold(isAddress(s.HTTP.Listen), quoted(s.HTTP.Listen), Rule{Setting: "http.listen", Text: "host:port, such as 127.0.0.1:8280; without a host all addresses of this machine", Pattern: `^.*:[0-9]{1,5}$`})
	p.check(s.HTTP.Advertise == "" || isReachable(s.HTTP.Advertise), "http.advertise", quoted(s.HTTP.Advertise), `host:port that other machines reach, such as lull-0.lull:8280, or ""`)
	p.check(s.HTTP.Debug == "" || query.Loopback(s.HTTP.Debug), "http.debug", quoted(s.HTTP.Debug), `host:port of a loopback address, such as 127.0.0.1:6060, or ""`)
	p.oneOf("input.future_dated", s.Input.FutureDated, "clamp", "dead-letter")
	p.oneOf("input.late", s.Input.Late, "dead-letter", "drop")
	p.oneOf("outputs.on_unregistered", s.Outputs.OnUnregistered, "register", "refuse")
	p.oneOf("clock.mode", s.Clock.Mode, "wall", "event")
	p.oneOf("fit.mode", s.Fit.Mode, "auto", "demand", "off")
	p.oneOf("fit.family", s.Fit.Family, "mbgnbd", "bgnbd", "auto")
	p.oneOf("on_stop", s.OnStop, "stay", "leave")
	p.oneOf("on_data_loss", s.OnDataLoss, "stop", "continue")
	p.oneOf("on_offset_mismatch", s.OnOffsetMismatch, "refuse", "state", "group", "rebuild")
	p.oneOf("log_level", s.LogLevel, logLevels...)
	_, err := time.LoadLocation(s.Calendar.Timezone)
	p.check(err == nil && s.Calendar.Timezone != "", "calendar.timezone", quoted(s.Calendar.Timezone), "an IANA time zone such as Europe/Berlin")
	s.checkDurations(p)
	s.checkNumbers(p)
	s.checkSnapshots(p)
	s.checkMoney(p)
	s.checkScores(p)
	s.checkTracing(p)
	if err := s.Registry.Validate(); err != nil {
		p.found = append(p.found, err)
	}
	if err := s.checkInput(); err != nil {
		p.found = append(p.found, err)
	}
	if err := s.checkOutputs(); err != nil {
		p.found = append(p.found, err)
	}
	if err := s.Security.Validate(); err != nil {
		p.found = append(p.found, err)
	}
	if err := s.HTTP.TLS.Validate(); err != nil {
		p.found = append(p.found, err)
	}
	if _, err := security.NewTokens(s.HTTP.Tokens, s.HTTP.TokensFile); err != nil {
		p.found = append(p.found, err)
	}
}

// checkShapes holds those settings against their rules that say what the topics are called and in which shapes their records are.
func (s *Settings) checkShapes(p *problems) {
	p.hold(s.Prefix != "" && isTopicName(s.Prefix+longestTopic), quoted(s.Prefix), Rule{
		Setting: "prefix", Text: fmt.Sprintf(`what the names of lull's own topics begin with, such as "lull.": at most %d of a-z A-Z 0-9 . _ -`, prefixBytesMax), Pattern: fmt.Sprintf("^[%s]{1,%d}$", topicNameBytes, prefixBytesMax),
	})
	p.check(s.Input.Topic != "" || s.Staged(), "input.topic", `""`, "the name of the topic with the events")
	p.oneOf("input.format", s.Input.Format, schemas.FormatNames()...)
	p.oneOf("outputs.sessions", s.Outputs.Sessions, schemas.OutputFormatNames()...)
	p.oneOf("outputs.scores", s.Outputs.Scores, schemas.OutputFormatNames()...)
	p.oneOf("outputs.segments", s.Outputs.Segments, schemas.OutputFormatNames()...)
	p.oneOf("outputs.triggers", s.Outputs.Triggers, schemas.OutputFormatNames()...)
	p.oneOf("outputs.offers", s.Outputs.Offers, schemas.OutputFormatNames()...)
	p.oneOf("outputs.subjects", s.Outputs.Subjects, "topic", "record")
}

// problems are what is wrong with settings, and the rules that they were held against.
type problems struct {
	found []error
	rules []Rule
}

// Rule is what a setting must be.
type Rule struct {
	Setting  string
	Text     string   // after "it must be"
	Choices  []string // all that it can be; nil if it is no choice
	Pattern  string   // that a text matches, as far as a regular expression can tell; "" for none
	Min, Max *int64   // of a whole number
}

// Rules returns the rules of the settings, in the order in which Validate goes through them. Some have several, some none.
func Rules() []Rule {
	s := DefaultSettings()
	var p problems
	s.check(&p)
	return p.rules
}

func (p *problems) check(ok bool, setting string, value any, rule string) {
	p.hold(ok, value, Rule{Setting: setting, Text: rule})
}

func (p *problems) hold(ok bool, value any, rule Rule) {
	p.rules = append(p.rules, rule)
	if !ok {
		p.found = append(p.found, fmt.Errorf("%s is %v: it must be %s", rule.Setting, value, rule.Text))
	}
}

func (p *problems) oneOf(setting, value string, values ...string) {
	p.hold(slices.Contains(values, value), quoted(value), Rule{Setting: setting, Text: "one of " + strings.Join(values, ", "), Choices: values})
}

// number holds a whole number against a range; the greatest number there is is no upper bound.
func (p *problems) number(setting string, value, least, most int64) {
	rule := Rule{Setting: setting, Text: fmt.Sprintf("from %d to %d", least, most), Min: &least, Max: &most}
	if most == math.MaxInt64 {
		rule.Text, rule.Max = fmt.Sprintf("at least %d", least), nil
	}
	p.hold(value >= least && value <= most, value, rule)
}

// isReachable reports whether an address names a host, and a port of it.
func isReachable(address string) bool {
	host, port, err := net.SplitHostPort(address)
	n, err2 := strconv.ParseUint(port, 10, 16)
	return err == nil && err2 == nil && n > 0 && host != "" && !net.ParseIP(host).IsUnspecified() && strings.Trim(host, hostBytes) == ""
}

// isAddress reports whether something can listen at an address: it has a port, 0 for any, and perhaps a host.
func isAddress(address string) bool {
	_, port, err := net.SplitHostPort(address)
	_, err2 := strconv.ParseUint(port, 10, 16)
	return err == nil && err2 == nil
}

// What Kafka takes for a topic's name.
const (
	topicNameBytes    = "a-zA-Z0-9._-" // in a regular expression's brackets
	topicNameBytesMax = 249
	topicNameRule     = "a topic's name, of 1 to 249 of a-z A-Z 0-9 . _ -"
)

// prefixBytesMax is the length of the longest prefix with which the names of lull's own topics are names.
const prefixBytesMax = topicNameBytesMax - len(longestTopic)

var topicName = regexp.MustCompile(fmt.Sprintf("^[%s]{1,%d}$", topicNameBytes, topicNameBytesMax))

func isTopicName(name string) bool { return topicName.MatchString(name) && name != "." && name != ".." }

// hostBytes are what a host's name, or address, consists of.
const hostBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._:%"

func quoted(value string) string { return fmt.Sprintf("%q", value) }

func (s *Settings) checkDurations(p *problems) {
	const least, year = time.Millisecond, 366 * 24 * time.Hour
	for _, d := range []struct {
		setting         string
		value, min, max time.Duration // max 0: none
	}{
		{"state.keep", s.State.Keep, least, 0}, {"state.flush_every", s.State.FlushEvery, least, 0},
		{"commit.interval", s.Commit.Interval, 10 * time.Millisecond, 0}, {"commit.timeout", s.Commit.Timeout, least, 0},
		{"commit.session_timeout", s.Commit.SessionTimeout, least, 0},
		{"clock.lateness", s.Clock.Lateness, least, 0}, {"clock.max_skew", s.Clock.MaxSkew, least, year}, {"clock.max_jump", s.Clock.MaxJump, least, 0},
		{"clock.max_step", s.Clock.MaxStep, least, 0}, {"clock.interval", s.Clock.Interval, least, 0},
		{"clock.source_max_silence", s.Clock.SourceMaxSilence, 0, 0}, {"clock.source_settle", s.Clock.SourceSettle, least, 0},
		{"fit.every", s.Fit.Every, time.Minute, 0}, {"fit.check_every", s.Fit.CheckEvery, time.Minute, 0}, {"fit.statistics_every", s.Fit.StatisticsEvery, 10 * time.Millisecond, 0},
		{"http.timeout", s.HTTP.Timeout, 100 * time.Millisecond, 5 * time.Minute},
		{"snapshots.keep_for", s.Snapshots.KeepFor, 0, 0},
		{"session.gap", s.Session.Gap, least, year}, {"triggers.max_age", s.Triggers.MaxAge, least, year},
		{"segments.dwell", s.Segments.Dwell, least, year},
		{"topics.retention", s.Topics.Retention, time.Minute, 0}, {"topics.dead_letter_retention", s.Topics.DeadLetterRetention, time.Minute, 0},
		{"topics.compaction_lag", s.Topics.CompactionLag, time.Minute, 0},
	} {
		rule := "at least " + d.min.String()
		if d.max > 0 {
			rule += " and at most " + d.max.String()
		}
		p.check(d.value >= d.min && (d.max == 0 || d.value <= d.max), d.setting, d.value, rule)
	}
	p.check(s.Commit.Timeout <= s.Commit.SessionTimeout, "commit.timeout", s.Commit.Timeout,
		fmt.Sprintf("at most commit.session_timeout (%s)", s.Commit.SessionTimeout))
}

func (s *Settings) checkNumbers(p *problems) {
	for _, n := range []struct {
		setting         string
		value, min, max int64
	}{
		{"state.flush_bytes", s.State.FlushBytes, 1, math.MaxInt64}, {"state.flush_behind", s.State.FlushBehind, 1, math.MaxInt64},
		{"state.cache_bytes", s.State.CacheBytes, 1, math.MaxInt64}, {"state.cached_customers", int64(s.State.CachedCustomers), 1, math.MaxInt64},
		{"commit.outputs", int64(s.Commit.Outputs), 1, math.MaxInt64}, {"commit.records", int64(s.Commit.Records), 1, math.MaxInt64},
		{"limits.value_bytes", int64(s.Limits.ValueBytes), 1, 64 << 20}, {"limits.header_bytes", int64(s.Limits.HeaderBytes), 1, 1 << 20},
		{"limits.id_bytes", int64(s.Limits.IDBytes), 1, 1 << 12}, {"limits.name_bytes", int64(s.Limits.NameBytes), 1, 1 << 16},
		{"limits.proof_bytes", int64(s.Limits.ProofBytes), 1, 1 << 16}, {"limits.message_ids", int64(s.Limits.MessageIDs), 1, 4096},
		{"limits.open_sessions", int64(s.Limits.OpenSessions), 1, 1024},
		{"limits.orders", int64(s.Limits.Orders), 16, 9_000_000}, // the newest 16 are with the customer; the sum of all fits in 64 bits
		{"limits.refunds", int64(s.Limits.Refunds), 1, 4096}, {"limits.purposes", int64(s.Limits.Purposes), 1, 256},
		{"http.rate", int64(s.HTTP.Rate), 1, 1_000_000},
		{"scores.horizon_months", int64(s.Scores.HorizonMonths), 1, 120}, {"scores.contact_days", int64(s.Scores.ContactDays), 1, 366},
		{"fit.holdout_weeks", int64(s.Fit.HoldoutWeeks), 4, 104}, {"snapshots.keep", int64(s.Snapshots.Keep), 0, math.MaxInt64},
		{"topics.partitions", int64(s.Topics.Partitions), 1, 100_000}, {"topics.replication", int64(s.Topics.Replication), 0, 100},
	} {
		p.number(n.setting, n.value, n.min, n.max)
	}
}

func (s *Settings) checkSnapshots(p *problems) {
	every := s.Snapshots.Every
	p.check(every == 0 || every >= time.Minute, "snapshots.every", every, "0, which is never, or at least 1m0s")
	p.check(every == 0 || s.Snapshots.Out != "", "snapshots.out", `""`, "a folder or the URL of a bucket, as snapshots.every is set")
}

func (s *Settings) checkMoney(p *problems) {
	_, known := schemas.CurrencyDigits(s.Money.Currency)
	p.check(known, "money.currency", quoted(s.Money.Currency), "a code of ISO 4217 in capitals, such as USD")
	for _, code := range slices.Sorted(maps.Keys(s.Money.Rates)) {
		if err := schemas.CheckRate(s.Money.Currency, code, s.Money.Rates[code]); known && err != nil {
			p.found = append(p.found, fmt.Errorf("money.rates: %w", err))
		}
	}
	const capMax = 1e9
	capped := s.Offers.Cap >= 1/float64(minorPerMajor(s.Money.Currency)) && s.Offers.Cap <= capMax
	p.check(capped || s.Offers.Cap == 0, "offers.cap", s.Offers.Cap, "0, which is no cap, or from a minor unit of money.currency to 1000000000")
	p.check(s.Offers.Share > 0 && s.Offers.Share <= 1, "offers.share", s.Offers.Share, "above 0 and at most 1, such as 0.3 for 30 %")
	p.check(s.Money.Margin > 0 && s.Money.Margin <= 1, "money.margin", s.Money.Margin, "above 0 and at most 1, such as 0.4 for 40 %")
}

// checkScores compares so that NaN breaks every rule.
func (s *Settings) checkScores(p *problems) {
	const levelsMax = 99
	p.check(len(s.Scores.Levels) <= levelsMax, "scores.levels", fmt.Sprintf("a list of %d", len(s.Scores.Levels)), fmt.Sprintf("one of at most %d", levelsMax))
	above, falling := 1.0, true
	for _, level := range s.Scores.Levels {
		falling = falling && level > 0 && level < above
		above = level
	}
	p.check(falling, "scores.levels", s.Scores.Levels, "a list of numbers above 0 and below 1, each below the one before it")
	p.check(s.Scores.Discount >= 0 && s.Scores.Discount <= 1, "scores.discount", s.Scores.Discount, "from 0 to 1, such as 0.01 for 1 % a month")
	p.check(s.Risk.High > 0 && s.Risk.High < 1, "risk.high", s.Risk.High, "above 0 and below 1")
	p.check(s.Segments.ValueBack > 0 && s.Segments.ValueBack <= 1, "segments.value_back", s.Segments.ValueBack, "above 0 and at most 1, such as 0.8 for four fifths of the model's cut")
	p.check(s.Segments.Dormant > s.Risk.High && s.Segments.Dormant < 1, "segments.dormant", s.Segments.Dormant, fmt.Sprintf("above risk.high (%v) and below 1", s.Risk.High))
	p.check(s.Segments.Lost > s.Segments.Dormant && s.Segments.Lost < 1, "segments.lost", s.Segments.Lost, fmt.Sprintf("above segments.dormant (%v) and below 1", s.Segments.Dormant))
	p.check(s.Risk.Back > 0 && s.Risk.Back <= s.Risk.High, "risk.back", s.Risk.Back, fmt.Sprintf("above 0 and at most risk.high (%v)", s.Risk.High))
}
