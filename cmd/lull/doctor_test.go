package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"lull/pipeline"
)

// examine runs doctor with --json and returns what it found.
func examine(t *testing.T, code int, args ...string) *doctorReport {
	t.Helper()
	out, errs, got := lull(t, append([]string{"doctor", "--json"}, args...)...)
	var report doctorReport
	if err := json.Unmarshal([]byte(out), &report); err != nil || got != code {
		t.Fatalf("exit code %d, %s: %v\n%s", got, errs, err, out)
	}
	return &report
}

// german is the export of a German shop, with an amount that no mapping reads.
const german = `Bestellnummer;Kundennummer;Bestelldatum;Gesamtbetrag;Währung;Status
B-1;K1;03.06.2026 08:00;182,19;EUR;bezahlt
B-2;K2;14.06.2026 09:03;201,83;EUR;bezahlt
B-3;K1;15.06.2026 10:06;112,09;EUR;storniert
B-4;K3;16.06.2026 11:09;1.237,12;EUR;bezahlt
B-5;K3;17.06.2026 11:09;37,12;EUR;offen
B-6;K2;18.06.2026 11:09;7,12;EUR;bezahlt
`

// TestDoctorFile proves that the mapping which is proposed for a file, written by --out, does with the same file under mapping try what doctor said that it would, record by record.
func TestDoctorFile(t *testing.T) {
	sample, mapping := fileOf(t, "orders.csv", german), filepath.Join(t.TempDir(), "orders.yaml")
	report := examine(t, 0, "--file", sample, "--out", mapping, "--calendar-timezone", "Europe/Berlin")
	if text := readFile(t, mapping); text != report.Mapping {
		t.Errorf("--out has\n%s\nand --json\n%s", text, report.Mapping)
	}
	if report.Currency != "EUR" || report.Topic != nil || report.Trial.Records != 6 || report.Trial.Events != 4 || report.Trial.Ignored != 1 || report.Trial.Refused != 1 {
		t.Errorf("%+v", report.Trial)
	}
	out, errs, code := lull(t, "mapping", "try", mapping, "--sample", sample, "--money-currency", report.Currency, "--calendar-timezone", "Europe/Berlin")
	want := fmt.Sprintf("%d records: %d events, %d ignored, %d refused\n", report.Trial.Records, report.Trial.Events, report.Trial.Ignored, report.Trial.Refused)
	if code != exitError || !strings.HasPrefix(errs, want) || !strings.Contains(out, `"time":"2026-06-03T06:00:00.000Z"`) || !strings.Contains(out, `"amount":18219,`) {
		t.Errorf("exit code %d, %s, want %s\n%s", code, errs, want, out)
	}
	text, _, code := lull(t, "doctor", "--file", sample)
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"csv: 6 of 6 values", "columns: [Bestellnummer, Kundennummer, Bestelldatum, Gesamtbetrag, \"Währung\", Status]", "BY IT, of 6 records 4 become events, 1 are ignored, 1 refused (money.currency EUR)", "refused, bad_field: amount (Gesamtbetrag): it is \"1.237,12\"", "2 customers: the sample is all that there is"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestDoctorSameIDs proves that doctor, which cannot tell an order id that is the message id from none, does not say that there is none.
func TestDoctorSameIDs(t *testing.T) {
	sample := fileOf(t, "orders.csv", "customer_id,time,order_id,message_id,amount\na,2026-06-01T08:00:00Z,o1,o1,10.50\nb,2026-06-02T08:00:00Z,o2,o2,12.50\nc,2026-06-03T08:00:00Z,o3,o3,9.75\n")
	text, errs, code := lull(t, "doctor", "--file", sample)
	if code != 0 || !strings.Contains(text, "most orders have no order_id but the message id: ") || !strings.Contains(text, "     3  are orders without an order id of their own, or with the message id for one: ") {
		t.Errorf("exit code %d, %s\n%s", code, errs, text)
	}
}

// partOf runs doctor on a file of which only so many bytes are read.
func partOf(t *testing.T, bytesMax int, path string, stdin io.Reader) (report doctorReport, text string, err error) {
	t.Helper()
	settings := pipeline.DefaultSettings()
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(&out)
	cmd.SetIn(stdin)
	d := &doctor{settings: &settings, flags: &doctorFlags{file: path, sample: 20}, sampleBytesMax: bytesMax}
	err = d.run(cmd)
	return d.report, out.String(), err
}

// TestDoctorPart proves that of a file which is larger than what is read of it doctor says so, counts no record twice and none that is cut in two, and extrapolates the number of records from the part, or, where nobody
// knows how large the whole is, says that its numbers are of the part: of CSV and of JSON in one line and in several, plain and compressed.
func TestDoctorPart(t *testing.T) {
	const records, bytesMax = 30_000, 500 << 10
	noise := rand.New(rand.NewPCG(1, 1)) // so that all parts of it are compressed alike
	var csv, lines, indented strings.Builder
	csv.WriteString("customer_id,time,amount,order_id\n")
	for range records {
		customer, order := noise.IntN(1000), noise.Uint64()
		fmt.Fprintf(&csv, "c-%d,2026-06-03T08:00:00Z,12.50,%d\n", customer, order)
		fmt.Fprintf(&lines, `{"customer_id":"c-%d","time":"2026-06-03T08:00:00Z","amount":12.50,"order_id":"%d"}`+"\n", customer, order)
		fmt.Fprintf(&indented, "{\n  \"customer_id\": \"c-%d\",\n  \"time\": \"2026-06-03T08:00:00Z\",\n  \"amount\": 12.50,\n  \"order_id\": \"%d\"\n}\n", customer, order)
	}
	zip := func(text string) string {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		if _, err := io.WriteString(w, text); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	for name, text := range map[string]string{"orders.csv": csv.String(), "orders.jsonl": lines.String(), "orders.json": indented.String()} {
		inPart := int64(bytesMax * records / len(text))
		for _, compressed := range []bool{false, true} {
			path := fileOf(t, name, text)
			if compressed {
				path = fileOf(t, name+".gz", zip(text))
			}
			report, out, err := partOf(t, bytesMax, path, nil)
			if err != nil {
				t.Fatal(err)
			}
			f := report.File
			if f.Whole || f.BytesRead != bytesMax || f.RecordsRead < inPart*99/100 || f.RecordsRead > inPart*101/100 || report.Trial.Refused != 0 {
				t.Errorf("%s: %+v", path, f)
			}
			// Of what is compressed some tens of KiB are read ahead, much of so small a file.
			if f.Records < records/3 || f.Records > records*101/100 || report.Size.Records != f.Records || report.Size.Most > f.Records {
				t.Errorf("%s: %+v, %+v", path, f, report.Size)
			}
			want := fmt.Sprintf("only the first 500 KiB are read, %d records and ", f.RecordsRead)
			if compressed {
				want = fmt.Sprintf("only the first 500 KiB, decompressed, are read, %d records and ", f.RecordsRead)
			}
			if !strings.Contains(out, want) || !strings.Contains(out, fmt.Sprintf("in all about %d records, if the rest is like them", f.Records)) || !strings.Contains(out, fmt.Sprintf("in all of it, about %d records, perhaps", f.Records)) {
				t.Errorf("%q is not in\n%s", want, out)
			}
		}
		report, out, err := partOf(t, bytesMax, "-", strings.NewReader(text))
		if f := report.File; err != nil || f.Whole || f.Records != 0 || report.Size.Records != f.RecordsRead {
			t.Errorf("%s on standard input: %+v, %v", name, f, err)
		}
		if want := "nobody can tell how much follows, so the customers and the size below are of these alone"; !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
		report, out, err = partOf(t, len(text), fileOf(t, name, text), nil)
		if f := report.File; err != nil || !f.Whole || f.RecordsRead != records || f.Records != records || strings.Contains(out, "only the first") || strings.Contains(out, "offsets") {
			t.Errorf("%s as a whole: %+v, %v\n%s", name, f, err, out)
		}
	}
	// As many as the sample asks for are not all that there is, if more follows.
	_, out, err := partOf(t, 400, "-", strings.NewReader(csv.String()))
	if err != nil || strings.Contains(out, "all that there is") || !strings.Contains(out, "customers in the part that was read") {
		t.Errorf("%v\n%s", err, out)
	}
	const endless = "orders.json: the first 100 B hold no whole record: it must be JSON lines, or CSV with a line of the columns' names"
	if _, _, err := partOf(t, 100, fileOf(t, "orders.json", "["+strings.Repeat(lines.String()[:80]+",", 9)), nil); err == nil || !strings.HasSuffix(err.Error(), endless) {
		t.Errorf("%v, want ... %s", err, endless)
	}
}

// TestDoctorTopic proves what is found out about a topic: that the newest records of all partitions are read alike, that no group is joined and no offset committed, that what has not been
// committed is not read, and that the mapping does with the topic under mapping try what was said.
func TestDoctorTopic(t *testing.T) {
	broker := newBroker(t)
	client := producer(t, broker)
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	for i := range 400 {
		partition := int32(i % 3) // five of the eight are empty
		if i > 300 {
			partition = 2
		}
		customer := fmt.Sprintf("c-%d", i%40)
		value := fmt.Sprintf(`{"event_id":"e%d","type":"order.placed","occurred_at":%q,"customer":{"id":%q},"order":{"number":"A-%d","total":%d.50,"currency":"EUR"}}`,
			i, at.Add(time.Duration(i)*time.Minute).Format(time.RFC3339), customer, i, 10+i)
		r := &kgo.Record{Topic: "shop", Partition: partition, Key: []byte(customer), Value: []byte(value), Timestamp: at.Add(time.Duration(i+1) * time.Minute)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	open := producer(t, broker, kgo.TransactionalID("open"))
	if err := open.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := open.ProduceSync(t.Context(), &kgo.Record{Topic: "shop", Partition: 2, Value: []byte("not committed")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	mapping := filepath.Join(t.TempDir(), "orders.yaml")
	report := examine(t, 0, "--topic", "shop", "--brokers", broker, "--sample", "90", "--out", mapping)
	if s := report.Topic; report.Sampled != 90 || s.Partitions != 8 || s.Empty != 5 || s.Records != 400 || s.Timestamps != "CreateTime" || s.Cleanup != "delete" {
		t.Errorf("%d sampled of %+v", report.Sampled, s)
	}
	if trial := report.Trial; trial.Events != 90 || trial.Quality.ByCustomer != 90 || trial.Quality.LaterMs[0] != 60_000 || trial.Quality.WithoutID != 0 {
		t.Errorf("%+v", trial)
	}
	if strings.Join(report.KeyedBy, " ") != "customer.id" || report.Size.Partitions != 8 || report.Size.Seen != 40 || report.Size.Records != 400 || report.Size.Estimated != 40 || report.Size.Most < 40 {
		t.Errorf("%v, %+v", report.KeyedBy, report.Size)
	}
	if err := open.EndTransaction(t.Context(), kgo.TryAbort); err != nil { // mapping try would wait for it
		t.Fatal(err)
	}
	want := "90 records: 90 events, 0 ignored, 0 refused\n"
	if _, errs, code := lull(t, "mapping", "try", mapping, "--topic", "shop", "--brokers", broker, "-n", "90", "--money-currency", "EUR"); code != 0 || errs != want {
		t.Errorf("exit code %d, %s", code, errs)
	}
	text, _, code := lull(t, "doctor", "--topic", "shop", "--brokers", broker)
	if code != 0 || !strings.Contains(text, "customer.id; 40 different keys: the customer's id, so the topic can be input.topic") || !strings.Contains(text, "the newest 400 records, of 2026-07-01T12:00:00.000Z") {
		t.Errorf("exit code %d\n%s", code, text)
	}
	groups, err := kadm.NewClient(client).ListGroups(t.Context())
	if err != nil || len(groups) > 0 {
		t.Errorf("%v, %v", groups, err)
	}
	settings := pipeline.DefaultSettings()
	settings.Brokers = []string{broker}
	large := &doctor{settings: &settings, flags: &doctorFlags{topic: "shop", sample: 90}, sampleBytesMax: 3 << 10}
	if _, err := large.readTopic(t.Context()); err != nil {
		t.Fatal(err)
	}
	want = fmt.Sprintf("the records are so large that the sample ends after 3 KiB: %d of the 90 that --sample asks for, and perhaps not of all partitions alike", len(large.sample.Records))
	if n := len(large.sample.Records); n == 0 || n >= 90 || len(large.report.Warnings) != 1 || large.report.Warnings[0] != want {
		t.Errorf("%q, want %q", large.report.Warnings, want)
	}
}

// TestDoctorRegistry proves that records of a registry are read by their writers' schemas, and that the settings which follow read a topic keyed by something else than the customer.
func TestDoctorRegistry(t *testing.T) {
	broker, fake := newBroker(t), srfake.New()
	defer fake.Close()
	registry, err := sr.NewClient(sr.URLs(fake.URL()))
	if err != nil {
		t.Fatal(err)
	}
	const schema = `{"type": "record", "name": "Order", "fields": [
		{"name": "orderId", "type": "string"}, {"name": "userId", "type": "long"}, {"name": "orderedAt", "type": {"type": "long", "logicalType": "timestamp-millis"}},
		{"name": "total", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}}]}`
	written, err := avro.Parse(schema)
	if err != nil {
		t.Fatal(err)
	}
	registered, err := registry.CreateSchema(t.Context(), "shop-value", sr.Schema{Schema: schema})
	if err != nil {
		t.Fatal(err)
	}
	client := producer(t, broker)
	for i := range 30 {
		value, err := written.AppendEncode([]byte{0, 0, 0, 0, byte(registered.ID)}, map[string]any{
			"orderId": fmt.Sprintf("A-%d", i), "userId": int64(i % 7), "orderedAt": time.Date(2026, 7, 1, 12, i, 0, 0, time.UTC), "total": json.Number(fmt.Sprintf("%d.25", 10+i)),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "shop", Key: fmt.Appendf(nil, "A-%d", i), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	report := examine(t, 0, "--topic", "shop", "--brokers", broker, "--registry-url", fake.URL())
	settings := fmt.Sprintf("brokers: [%q]\n%s", broker, strings.Replace(report.Settings, "mapping.yaml", fileOf(t, "orders.yaml", report.Mapping), 1))
	if _, errs, code := lull(t, "mapping", "try", "--topic", "shop", "--config", fileOf(t, "lull.yaml", settings), "-n", "30"); code != 0 || errs != "30 records: 30 events, 0 ignored, 0 refused\n" {
		t.Errorf("exit code %d, %s by\n%s", code, errs, settings)
	}
	if report.Format != "registry-avro" || len(report.SchemaIDs) != 1 || report.Trial.Events != 30 || report.Trial.Quality.ByCustomer != 0 || !strings.Contains(report.Mapping, "customer_id: userId\n  time: orderedAt\n  order_id: orderId\n  amount: {from: total, unit: major}\n") {
		t.Errorf("%+v\n%s", report, report.Mapping)
	}
}

// TestDoctorOwn proves that events by event.avsc are known as such, with their fields, and need no mapping.
func TestDoctorOwn(t *testing.T) {
	broker := newBroker(t)
	rows := "customer_id,time,amount,message_id,order_id\nann,1998-01-04,1.25,m1,o1\nbob,1998-01-05,2.50,m2,o2\nann,1998-01-06,1,m1,o3\n"
	if _, errs, code := lull(t, "produce", "--topic", "shop", "--csv", fileOf(t, "orders.csv", rows), "--time-mark", "1998-02-01", "--brokers", broker); code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	report := examine(t, 0, "--topic", "shop", "--brokers", broker)
	if report.Format != "avro" || report.Mapping != "" || report.Sampled != 3 || report.Trial.Events != 3 || report.Trial.Quality.Repeated != 1 || len(report.Fields) == 0 ||
		!strings.HasPrefix(report.Settings, "input: {topic: shop, format: avro}\n") {
		t.Errorf("%+v", report)
	}
	if out, _, _ := lull(t, "doctor", "--topic", "shop", "--brokers", broker); !strings.Contains(out, "MAPPING none is needed: the records are events by event.avsc") {
		t.Error(out)
	}
}

// TestDoctorSegment proves that calls of the Segment specification are said to need no mapping, and that the report for a person has no part of a Go value in it.
func TestDoctorSegment(t *testing.T) {
	sample := fileOf(t, "calls.jsonl", `{"type":"page","name":"Home","userId":"u-1","messageId":"m1","timestamp":"2025-03-01T08:59:00Z"}
{"type":"track","event":"Completed Order","userId":"u-1","messageId":"m2","timestamp":"2025-03-01T08:59:00Z","properties":{"orderId":7,"revenue":"25.00"}}
{"type":"page","name":"Home","anonymousId":"x","messageId":"m3","timestamp":"2025-03-01T08:59:00Z"}`)
	out, errs, code := lull(t, "doctor", "--file", sample)
	if code != 0 || !strings.Contains(out, "none is needed: input.format segment-json stands for one") || !strings.Contains(out, "of 3 records 2 become events, 1 are ignored, 0 refused") {
		t.Errorf("exit code %d, %s\n%s", code, errs, out)
	}
	if odd := regexp.MustCompile(`%!|<nil>|\{\w*:`).FindString(out); odd != "" {
		t.Errorf("%q in\n%s", odd, out)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(sample), "orders.yaml")); err == nil {
		t.Error("a file was written")
	}
}

// TestDoctorNamed proves that records whose fields are called by nothing that is known have a draft, which --out writes and which is no mapping before it is complete, and with their fields named by --field the
// mapping; that a currency nobody has told is said to be assumed, a cancellation that can cancel nothing is asked about, and different faults under one reason are shown beside each other.
func TestDoctorNamed(t *testing.T) {
	sample, draft := fileOf(t, "orders.csv", "a;b;c;d;e\nK1;Z-1;2026-06-03;12,50;bezahlt\nK2;Z-2;2026-06-04;13,50;bezahlt\nK1;Z-1;2026-06-05;12,50;storniert\nK3;Z-3;2026-06-05;1.312,50;bezahlt\n;Z-4;soon;1,50;bezahlt\n"),
		filepath.Join(t.TempDir(), "draft.yaml")
	report := examine(t, exitError, "--file", sample, "--out", draft)
	if text := readFile(t, draft); report.Mapping != "" || text != report.Draft || !strings.Contains(text, "  customer_id:   # MISSING") {
		t.Errorf("%q is proposed, and the draft is\n%s", report.Mapping, text)
	}
	if _, errs, code := lull(t, "mapping", "try", draft, "--sample", sample); code != exitUsage || !strings.Contains(errs, "line 6, column 15: customer_id has no value: write the path of the field that holds it") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	named := []string{"doctor", "--file", sample, "--field", "customer_id=a", "--field", "time=c", "--field", "amount=d", "--field", "kind=e"}
	text, _, code := lull(t, named...)
	for _, want := range []string{
		"!  kind: storniert takes an order back, and no field tells which", "storniert: ignore   # order_cancelled, but no field tells its order",
		"!  currency: no field tells it, and money.currency is not set: amounts are assumed to be in USD", "BY IT, of 5 records 2 become events, 1 are ignored, 2 refused (money.currency USD, which is assumed)",
		"refused, bad_field: amount (d): it is \"1.312,50\"", "also: time (c): it is \"soon\"", "     2  are orders without an order id of their own",
	} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("exit code %d, %q is not in\n%s", code, want, text)
		}
	}
	text, _, _ = lull(t, append(named, "--field", "order_id=b", "--money-currency", "EUR")...)
	for _, want := range []string{"storniert: order_cancelled", "amounts are taken to be in EUR (money.currency)", "2 refused (money.currency EUR)", "     0  are orders without an order id of their own"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// TestDoctorLoad proves that docs/operating/sizing.md shows what doctor computes for its example, without records and a broker, and that of a sample the customers and the size of events are
// taken from it, and all else from the settings.
func TestDoctorLoad(t *testing.T) {
	const example = "lull doctor --customers 1000000 --events-per-second 58 --topics-replication 3"
	page := readFile(t, "../../docs/operating/sizing.md")
	out, errs, code := lull(t, strings.Fields(example)[1:]...)
	if code != 0 || errs != "" || !strings.Contains(page, "```\n$ "+example+"\n"+out+"```\n") {
		t.Errorf("exit code %d, %s; the page lacks\n$ %s\n%s", code, errs, example, out)
	}
	sample := fileOf(t, "orders.csv", german)
	report := examine(t, 0, "--file", sample, "--events-per-second", "2", "--peak-events-per-second", "5", "--topics-partitions", "12", "--clock-mode", "event", "--topics-compaction-lag", "24h")
	rows := strings.Count(german, "\n") - 1
	size := float64(len(german)-strings.Index(german, "\n")-1-rows) / float64(rows) // without line ends
	if l := report.Load; l == nil || l.Customers != 2 || l.PerSecond != 2 || l.PeakPerSecond != 5 || l.EventBytes != size || l.Partitions != 12 || l.Needs.CoresMost != 5*150e-6 || l.Needs.ChangelogBytesMost != 2*146+86400*2*5/4*(146+125) {
		t.Errorf("%+v, want events of %v bytes", l, size)
	}
	if out, _, _ := lull(t, "doctor", "--file", sample, "--events-per-second", "2"); !strings.Contains(out, "\nSIZING for 2 customers and 2 events a second, 20 at the peak\n") || !strings.Contains(out, "as in the sample; one replica: times topics.replication, which is not set") {
		t.Error(out)
	}
	if out, _, _ := lull(t, "doctor", "--file", sample, "--events-per-second", "2", "--topics-replication", "1"); !strings.Contains(out, "; 1 replica (topics.replication)") {
		t.Error(out)
	}
	if report := examine(t, 0, "--file", sample); report.Load != nil {
		t.Errorf("%+v of nothing expected", report.Load)
	}
}

// TestDoctorCurrencies proves that records in a currency without a rate are told, in a line, in the settings and with their customers, and that the rates which are set are in the settings and the command that follow.
func TestDoctorCurrencies(t *testing.T) {
	var rows strings.Builder
	rows.WriteString("customer_id,time,amount,currency,order_id\n")
	for i := range 50 {
		fmt.Fprintf(&rows, "c%d,2026-06-%02dT08:00:00Z,%d.25,%s,o%d\n", i%20, 1+i/2, 10+i, []string{"EUR", "EUR", "USD", "GBP"}[i%4], i)
	}
	sample := fileOf(t, "orders.csv", rows.String())
	text, _, code := lull(t, "doctor", "--file", sample, "--money-currency", "EUR", "--money-rates", "USD=0.9", "--sample", "30")
	for _, want := range []string{
		"!        7 records are in GBP, which has no rate: those with an amount are refused (unknown_currency). Say what 1 GBP is worth in EUR, by money.rates or --money-currency EUR --money-rates GBP=RATE",
		"20 customers, counted in all 50 records", "--money-currency EUR --money-rates USD=0.9   # record by record",
	} {
		if code != 0 || !strings.Contains(text, want) {
			t.Errorf("exit code %d, %q is not in\n%s", code, want, text)
		}
	}
	broker := newBroker(t)
	if _, errs, code := lull(t, "produce", "--topic", "shop", "--csv", sample, "--config", fileOf(t, "lull.yaml", "money: {currency: EUR, rates: {USD: \"0.9\", GBP: \"1.2\"}}\n"), "--brokers", broker); code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	report := examine(t, 0, "--topic", "shop", "--brokers", broker, "--money-currency", "EUR", "--money-rates", "USD=0.9")
	if want := "money: {currency: EUR, rates: {USD: \"0.9\"}}\n# money.rates lacks GBP, of 12 records: what is 1 GBP worth in EUR?\n"; !strings.Contains(report.Settings, want) || report.Size.Seen != 20 {
		t.Errorf("%q is not in\n%s, or not all of the customers in %+v", want, report.Settings, report.Size)
	}
	for _, f := range report.Findings {
		if f.Doubt != "" {
			t.Errorf("of lull's own events it doubts %s: %s", f.Role, f.Doubt)
		}
	}
}

// TestDoctorBase proves that where no base currency is set the one that is chosen is none of those with a rate, so that what doctor advises can be done, and that rates are taken to be of the base which lull run has.
func TestDoctorBase(t *testing.T) {
	orders := func(currencies ...string) string {
		rows := "customer_id,time,amount,currency,order_id\n"
		for i, c := range currencies {
			rows += fmt.Sprintf("c%d,2026-06-%02dT08:00:00Z,%d.25,%s,o%d\n", i%2, 1+i, 10+i, c, i)
		}
		return fileOf(t, "orders.csv", rows)
	}
	mixed, euros := orders("EUR", "EUR", "USD", "EUR", "USD"), orders("EUR", "EUR", "EUR")
	advice := regexp.MustCompile(`Say what 1 USD is worth in EUR, by money.rates or (.*)RATE`).FindStringSubmatch(strings.Join(examine(t, 0, "--file", mixed).Warnings, "\n"))
	if advice == nil {
		t.Fatal("a currency without a rate is not told")
	}
	told := examine(t, 0, append([]string{"--file", mixed}, strings.Fields(advice[1]+"0.9")...)...)
	untold := examine(t, 0, "--file", mixed, "--money-rates", "USD=0.9")
	for _, report := range []*doctorReport{told, untold} {
		if report.Currency != "EUR" || report.CurrencyAssumed || report.Trial.Events != 5 || len(report.Warnings) > 0 {
			t.Errorf("in %s, %d events, %q", report.Currency, report.Trial.Events, report.Warnings)
		}
	}
	rated := examine(t, 0, "--file", euros, "--config", fileOf(t, "lull.yaml", `money: {rates: {EUR: "1.08"}}`))
	if rated.Currency != "USD" || rated.CurrencyAssumed || rated.Trial.Events != 3 {
		t.Errorf("euros with a rate: in %s, %d events, assumed: %t", rated.Currency, rated.Trial.Events, rated.CurrencyAssumed)
	}
	if _, errs, code := lull(t, "doctor", "--file", mixed, "--money-currency", "USD", "--money-rates", "USD=0.9"); code != exitUsage || !strings.Contains(errs, "money.rates: USD is the base currency: leave it out") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// TestDoctorTimes proves that an event dated far ahead of those around it is told, with its place, that none is in records sorted by customer, of which it is told that they are not in the order of time, and that Kafka's timestamps are said to be later or earlier.
func TestDoctorTimes(t *testing.T) {
	sample := fileOf(t, "orders.csv", "customer_id,time,amount,order_id\na,2026-06-01T08:00:00Z,1.25,o1\nb,2026-07-13T08:00:00Z,2.25,o2\na,2026-06-02T08:00:00Z,3.25,o3\nb,2026-07-20T08:00:00Z,3.25,o4\n")
	want := "events that are dated more than a week ahead of the one before and the one after them: 1, the first is record 2, of 2026-07-13T08:00:00.000Z."
	if text, errs, code := lull(t, "doctor", "--file", sample); code != 0 || !strings.Contains(text, want) {
		t.Errorf("exit code %d, %s\n%s", code, errs, text)
	}
	byCustomer := "customer_id,time,amount,order_id\n"
	for i := range 60 { // of each customer six, a fortnight apart: the last is far ahead of the one before it and of the next customer's first
		byCustomer += fmt.Sprintf("c%02d,%s,1.25,o%d\n", i/6, time.Date(2026, 1, 1+3*(i/6)+14*(i%6), 8, 0, 0, 0, time.UTC).Format(time.RFC3339), i)
	}
	grouped := examine(t, 0, "--file", fileOf(t, "orders.csv", byCustomer))
	want = "9 of 60 events are more than a week older than the one before them: the records are not in the order of time"
	if len(grouped.Warnings) != 1 || !strings.HasPrefix(grouped.Warnings[0], want) {
		t.Errorf("sorted by customer: %q", grouped.Warnings)
	}
	for ms, want := range map[int64]string{0: "0s later", 1500: "1.5s later", -60_000: "1m0s earlier", 864_000_000: "10 days later"} {
		if got := compared(ms); got != want {
			t.Errorf("%d ms are %q, want %q", ms, got, want)
		}
	}
}
