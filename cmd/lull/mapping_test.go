package main

import (
	"compress/gzip"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"lull/pipeline/registry"
	"lull/schemas"
)

const ordersMapping = `
version: 1
fields:
  customer_id: customer.id
  message_id: id
  time: at
  order_id: order
  amount: {from: total, unit: major}
  currency: {const: USD}
rules:
  - kind: {from: type, values: {placed: order_completed, ping: ignore}}
`

// fileOf writes a file of a test and returns its path.
func fileOf(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestMappingTry proves that each record is shown as the event that it becomes, as ignored, or with the reason for which it is refused, from files of each kind and from a topic, and that
// the exit code says whether all are well.
func TestMappingTry(t *testing.T) {
	mapping := fileOf(t, "orders.yaml", ordersMapping)
	good := `{"id":"e1","type":"placed","at":"2025-07-01T12:00:00Z","customer":{"id":42},"order":"A-1","total":12.50}`
	event := `"event":{"kind":"order_completed","customer_id":"42","time":"2025-07-01T12:00:00.000Z","day":"2025-07-01","message_id":"e1","order_id":"A-1","amount":1250,"currency":"USD"}`
	pretty := "{\n \"id\": \"e1\", \"type\": \"placed\",\n \"at\": \"2025-07-01T12:00:00Z\", \"customer\": {\"id\": 42}, \"order\": \"A-1\", \"total\": 12.50\n}\n{\"type\": \"ping\"}"
	csvMapping := fileOf(t, "rows.yaml", `
version: 1
csv: {columns: [type, id, customer, at, total, note], delimiter: ;}
fields: {customer_id: customer, message_id: id, order_id: id, time: at, amount: {from: total, unit: major}, currency: {const: USD}}
rules: [{kind: order_completed}]`)
	tabMapping := fileOf(t, "tabs.yaml", `
version: 1
csv: {columns: [id, customer, at, total, note], delimiter: "\t"}
fields: {customer_id: customer, message_id: id, order_id: id, time: at, amount: {from: total, unit: major}, currency: {const: USD}}
rules: [{kind: order_completed}]`)
	inputs := fileOf(t, "lull.yaml", fmt.Sprintf("inputs:\n  shop-orders: {format: json, mapping: %q}\n  web: {format: segment-json}\n", mapping))
	for _, c := range []struct {
		name string
		args []string
		code int
		out  []string // lines, or parts of them
		errs string
	}{
		{
			name: "lines", args: []string{mapping, "--sample", fileOf(t, "a.jsonl", good+"\n\n{\"type\":\"ping\"}\n{\"type\":\"lost\"}\n{\"id\"\n")}, code: 1,
			out: []string{
				`{"record":1,` + event + `}`, `{"record":2,"ignored":true}`, `{"record":3,"refused":"unmatched","detail":"no rule of the mapping matches (type is \"lost\")`,
				`{"record":4,"refused":"malformed",`,
			},
			errs: "4 records: 1 events, 1 ignored, 2 refused\nlull: 2 of 4 records were refused",
		},
		{name: "laid out", args: []string{mapping, "--sample", fileOf(t, "a.json", pretty)}, out: []string{`{"record":1,` + event + `}`, `{"record":2,"ignored":true}`}, errs: "2 records: 1 events, 1 ignored, 0 refused\n"},
		{
			name: "rows", args: []string{csvMapping, "--sample", fileOf(t, "a.csv", "type;id;customer;at;total;note\nx;e1;42;2025-07-01 12:00:00;12.50;\"one\nnote\"\n")},
			out: []string{`{"record":1,` + strings.Replace(event, `"A-1"`, `"e1"`, 1) + `}`},
		},
		{
			name: "rows with tabs, of which the last column is empty", args: []string{tabMapping, "--sample", fileOf(t, "t.csv", "e1\t42\t2025-07-01 12:00:00\t12.50\t\r\n")},
			out: []string{`{"record":1,` + strings.Replace(event, `"A-1"`, `"e1"`, 1) + `}`},
		},
		{
			name: "segment", args: []string{"--input-format", "segment-json", "--sample", fileOf(t, "c.jsonl", `{"type":"page","name":"Home","userId":"u-1","messageId":"m","timestamp":"2025-03-01T08:59:00Z"}`)},
			out: []string{`{"record":1,"event":{"kind":"page","customer_id":"u-1","time":"2025-03-01T08:59:00.000Z","day":"2025-03-01","message_id":"m","name":"Home"}}`},
		},
		{
			name: "nobody", args: []string{mapping, "--sample", fileOf(t, "n.jsonl", `{"type":"placed","at":"2025-07-01T12:00:00Z","total":1}`)}, code: 1,
			out: []string{`{"record":1,"refused":"no_customer","detail":"customer_id is empty, for which the mapping orders.yaml looks at customer.id: make the producer set it, or the mapping find it, `},
		},
		{
			name: "one of several inputs", args: []string{"--config", inputs, "--topic", "web", "--sample", fileOf(t, "w.jsonl", `{"type":"page","name":"Home","userId":"u-1","messageId":"m","timestamp":"2025-03-01T08:59:00Z"}`)},
			out: []string{`{"record":1,"event":{"kind":"page","customer_id":"u-1",`},
		},
		{name: "which of several inputs", args: []string{"--config", inputs, "--sample", "a"}, code: 2, errs: "--topic is missing: it must say of which input the records of --sample are: shop-orders, web\n"},
		{name: "an empty file", args: []string{mapping, "--sample", fileOf(t, "empty.jsonl", "\n")}, code: 1, out: []string{""}, errs: "lull: there is no record to try in "},
		{name: "no records", args: []string{mapping}, code: 2, errs: "--sample FILE or --topic TOPIC must say where records are"},
		{name: "no such file", args: []string{mapping, "--sample", "none.jsonl"}, code: 1, errs: "none.jsonl"},
		{name: "no such mapping", args: []string{"none.yaml", "--sample", "a"}, code: 2, errs: "none.yaml"},
		{name: "a wrong mapping", args: []string{fileOf(t, "bad.yaml", "version: 1\nrules: [{kind: page}]\n"), "--sample", "a"}, code: 2, errs: "bad.yaml:\nline 2, column 9: page events need customer_id"},
		{name: "no mapping", args: []string{"--input-format", "json", "--sample", "a"}, code: 2, errs: "input.mapping is missing"},
		{name: "no lines", args: []string{mapping, "--topic", "shop", "-n", "0"}, code: 2, errs: "--lines is 0: it must be 1 or more"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, errs, code := lull(t, append([]string{"mapping", "try"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.errs) {
				t.Errorf("exit code %d, %s", code, errs)
			}
			lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
			if len(c.out) > 0 && len(lines) != len(c.out) {
				t.Fatalf("%d lines:\n%s", len(lines), out)
			}
			for i, want := range c.out {
				if !strings.HasPrefix(lines[i], want) {
					t.Errorf("%s\nwant %s", lines[i], want)
				}
			}
		})
	}
}

// TestMappingTryTopic proves that the newest records of a topic are tried, with their own keys if the tasks are to read it as it is, and compressed samples are read.
func TestMappingTryTopic(t *testing.T) {
	broker := newBroker(t)
	mapping := fileOf(t, "orders.yaml", ordersMapping)
	client, err := newClient(t.Context(), reaching(broker), produceOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if out, errs, code := lull(t, "mapping", "try", mapping, "--topic", "shop", "--brokers", broker); code != 1 || out != "" ||
		errs != "lull: there is no record to try in topic \"shop\": write some there, or try those of a file by --sample\n" {
		t.Errorf("an empty topic: exit code %d\n%s%s", code, out, errs)
	}
	value := []byte(`{"id":"e1","type":"placed","at":"2025-07-01T12:00:00Z","customer":{"id":42},"order":"A-1","total":12.50}`)
	for _, key := range []string{"42", "43"} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "shop", Key: []byte(key), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if out, errs, code := lull(t, "mapping", "try", mapping, "--topic", "shop", "--brokers", broker); code != 0 || errs != "2 records: 2 events, 0 ignored, 0 refused\n" {
		t.Errorf("with any keys: exit code %d\n%s%s", code, out, errs)
	}
	keyed := fileOf(t, "lull.yaml", "brokers: ["+broker+"]\ninput: {topic: shop}\n")
	out, errs, code := lull(t, "mapping", "try", mapping, "--topic", "shop", "--config", keyed)
	if code != 1 || strings.Count(out, `"event":`) != 1 || strings.Count(out, `"refused":"key_mismatch"`) != 1 || !strings.Contains(out, `"partition":`) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if _, errs, code := lull(t, "mapping", "try", mapping, "--topic", "none", "--brokers", broker); code != 1 || !strings.Contains(errs, `topic "none" does not exist`) {
		t.Errorf("exit code %d, %s", code, errs)
	}
	var zipped strings.Builder
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write(value); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if out, errs, code := lull(t, "mapping", "try", mapping, "--sample", fileOf(t, "a.jsonl.gz", zipped.String())); code != 0 || !strings.Contains(out, `"event":`) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// TestMappingShow proves that what is printed is a mapping that reads as segment-json does.
func TestMappingShow(t *testing.T) {
	out, errs, code := lull(t, "mapping", "show")
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	sample := fileOf(t, "c.jsonl", `{"type":"track","event":"Completed Order","userId":"u-1","messageId":"m","timestamp":"2025-03-01T08:59:00Z","properties":{"orderId":7,"revenue":"25.00"}}`)
	mine, _, code := lull(t, "mapping", "try", fileOf(t, "segment.yaml", out), "--sample", sample)
	theirs, _, _ := lull(t, "mapping", "try", "--input-format", "segment-json", "--sample", sample)
	if code != 0 || mine != theirs || !strings.Contains(mine, `"amount":2500`) {
		t.Errorf("%s\n%s", mine, theirs)
	}
}

// TestProduceLines proves that lines are sent as they are, keyed by what is in them, and that those without a key are told and not sent; and that nothing is sent which the input's format would refuse.
func TestProduceLines(t *testing.T) {
	broker := newBroker(t)
	config := writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\ninput: {topic: shop, format: json, mapping: %q}\n", broker, fileOf(t, "orders.yaml", ordersMapping)))
	line := `{"id":"e1","type":"placed","at":"2025-07-01T12:00:00Z","customer":{"id":42},"order":"A-1","total":12.50}`
	file := fileOf(t, "sample.jsonl", line+"\n\n{\"type\":\"ping\"}\nnonsense\n{\"customer\":{}}\n"+line)
	refused := filepath.Join(t.TempDir(), "refused.csv")
	out, errs, code := lull(t, "produce", "--lines", file, "--key", "customer.id", "--time-mark", "2025-07-02", "--refused", refused, "--config", config)
	want := file + ": 5 rows, 2 sent to shop, 3 refused\n" +
		"  missing_field: 2\n    row 2 (line 3): --key customer.id: there is nothing at it: the key of each record is taken from there\n    row 4 (line 5): --key customer.id: there is nothing at it: the key of each record is taken from there\n" +
		"  malformed: 1\n    row 3 (line 4): it is no JSON object\ntime mark 2025-07-02T00:00:00.000Z sent to all 8 partitions of shop\n" +
		"lull: " + file + ": 3 of 5 lines were not sent: mend them, and send those alone\n"
	if code != exitError || out != "" || errs != want {
		t.Errorf("exit code %d, %s\n%swant\n%s", code, out, errs, want)
	}
	if text := readFile(t, refused); text != "row,line,reason,detail,record\n2,3,missing_field,--key customer.id: there is nothing at it: the key of each record is taken from there,\"{\"\"type\"\":\"\"ping\"\"}\"\n3,4,malformed,it is no JSON object,nonsense\n"+
		"4,5,missing_field,--key customer.id: there is nothing at it: the key of each record is taken from there,\"{\"\"customer\"\":{}}\"\n" {
		t.Errorf("refused: %s", text)
	}
	sent := 0
	for _, r := range recordsOf(t, broker, "shop") {
		if r.Key == nil {
			continue
		}
		if sent++; string(r.Key) != "42" || string(r.Value) != line {
			t.Errorf("%s: %s", r.Key, r.Value)
		}
	}
	if out, errs, code := lull(t, "mapping", "try", "--topic", "shop", "--config", config); sent != 2 || code != 0 || errs != "2 records: 2 events, 0 ignored, 0 refused\n" {
		t.Errorf("%d sent; exit code %d, %s%s", sent, code, out, errs)
	}
	for args, want := range map[string]string{
		"--lines a":                  "--lines FILE and --key PATH go together: the key decides on the partition, of input.topic by the customer's id",
		"--key id":                   "there is nothing to send: give --csv, --jsonl, --avro or --lines with a file, --time-mark, or both",
		"--lines a --key id --csv b": "--lines sends lines as they are, and --csv, --jsonl and --avro make events of them: give one of them",
		"--jsonl a":                  "input.format is json, and events as produce makes them would be refused there: send lines as they are by --lines, or name another --topic",
	} {
		if _, errs, code := lull(t, append([]string{"produce", "--config", config}, strings.Fields(args)...)...); code != exitUsage || errs != "lull: "+want+"\nRun `lull produce --help`.\n" {
			t.Errorf("%s: exit code %d, %s; want %s", args, code, errs, want)
		}
	}
	own := writeFile(t, "own.yaml", fmt.Sprintf("brokers: [%q]\ninput: {topic: shop}\n", broker))
	if _, errs, code := lull(t, "produce", "--lines", file, "--key", "id", "--config", own); code != exitUsage ||
		!strings.HasPrefix(errs, "lull: input.format is avro, and lines of JSON would be refused there: make events of them by --jsonl, or name another --topic\n") {
		t.Errorf("exit code %d, %s", code, errs)
	}
	for topic, want := range map[string]string{
		"none": "lull: " + file + ": sending row 1 (line 1): topic \"none\" does not exist: create it, as `lull topics apply --input-partitions N` does with input.topic, or mend --topic\n",
	} {
		if _, errs, code := lull(t, "produce", "--lines", file, "--key", "id", "--topic", topic, "--brokers", broker); code != exitError || !strings.HasSuffix(errs, want) {
			t.Errorf("exit code %d, %s; want %s", code, errs, want)
		}
	}
	if _, errs, code := lull(t, "produce", "--lines", "none.jsonl", "--key", "id", "--topic", "shop", "--brokers", broker); code != exitError || errs != "lull: open none.jsonl: no such file or directory\n" {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// TestProduceLongLine proves that a line which is too long for the pipeline, or for the brokers, is refused by its number, and that the others are sent.
func TestProduceLongLine(t *testing.T) {
	broker := newBroker(t)
	line := func(bytes int) string { return fmt.Sprintf(`{"id":"ann","text":"%s"}`, strings.Repeat("x", bytes)) }
	file := fileOf(t, "long.jsonl", line(1)+"\n"+line(3_000_000)+"\n"+line(2)+"\n")
	for _, c := range []struct{ limit, want string }{
		{"1048576", "row 2 (line 2): the line has 3000022 bytes, and limits.value_bytes is 1048576: raise that, or make the line shorter"},
		{"8388608", "row 2 (line 2): the line has 3000022 bytes, which the brokers do not take: raise max.message.bytes of topic \"shop\", or make the line shorter"},
	} {
		config := writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\nlimits: {value_bytes: %s}\n", broker, c.limit))
		want := file + ": 3 rows, 2 sent to shop, 1 refused\n  record_too_large: 1\n    " + c.want + "\nlull: " + file + ": 1 of 3 lines were not sent: mend them, and send those alone\n"
		if _, errs, code := lull(t, "produce", "--lines", file, "--key", "id", "--topic", "shop", "--config", config); code != exitError || errs != want {
			t.Errorf("exit code %d, %s\nwant %s", code, errs, want)
		}
	}
}

// TestConnectPage proves that the mapping and the record of docs/operating/connect-your-data.md go together.
func TestConnectPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/operating/connect-your-data.md")
	if err != nil {
		t.Fatal(err)
	}
	part := func(language string) string {
		_, text, ok := strings.Cut(string(page), "```"+language+"\n")
		text, _, closed := strings.Cut(text, "```")
		if !ok || !closed {
			t.Fatalf("no %s", language)
		}
		return text
	}
	out, errs, code := lull(t, "mapping", "try", fileOf(t, "orders.yaml", part("yaml")), "--sample", fileOf(t, "orders.json", part("json")), "--money-currency", "EUR")
	if code != 0 || !strings.Contains(out, `"time":"2026-07-01T10:00:00.000Z"`) || !strings.Contains(out, `"amount":1250,"currency":"EUR","quantity":2`) {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	mapping, err := os.ReadFile("../../docs/formats/mapping.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(mapping), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	if _, err := schemas.ParseMapping([]byte(text)); err != nil {
		t.Errorf("docs/formats/mapping.md: %v", err)
	}
}

// TestSchemas proves what the commands for the registry print: what is registered, what is not compatible, with exit code 1, and what cannot be read of the input.
func TestSchemas(t *testing.T) {
	fake := srfake.New()
	defer fake.Close()
	url := "--registry-url=" + fake.URL()
	client, err := sr.NewClient(sr.URLs(fake.URL()))
	if err != nil {
		t.Fatal(err)
	}
	out, errs, code := lull(t, "schemas", "check", url)
	if code != 0 || strings.Count(out, "not registered yet") != 11 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := lull(t, "schemas", "register", url, "--topics", "scores,triggers"); code != 0 || !strings.Contains(out, "lull.scores-value: id ") || strings.Count(out, "\n") != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := lull(t, "schemas", "register", url, "--topics", "scores", "--outputs-subjects", "record"); code != 0 || !strings.Contains(out, "lull.Score: id ") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if out, errs, code := lull(t, "schemas", "check", url); code != 0 || strings.Count(out, "the same as version 1") != 2 {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	older := strings.Replace(schemas.Scores.Schema(), `"name": "purchases"`, `"name": "buys"`, 1)
	if _, err := client.CreateSchema(t.Context(), "lull.scores-value", sr.Schema{Schema: older}); err != nil {
		t.Fatal(err)
	}
	client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatNone})
	out, errs, code = lull(t, "schemas", "check", url, "--topics", "scores")
	if code != 1 || !strings.Contains(out, "NOT COMPATIBLE: the registry would take it, but who reads by version 2 could not read on") || !strings.Contains(errs, "schemas of outputs that are not compatible with what is registered: 1; schemas of the input that cannot be read: 0") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatBackward})
	out, errs, code = lull(t, "schemas", "check", url, "--topics", "scores")
	if code != 0 || !strings.HasPrefix(out, "lull.scores-value (BACKWARD): compatible with version 2, as BACKWARD asks; but who reads by that cannot read what this version writes, so give subscribers the new schema before the deploy: ") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: sr.CompatNone})
	for _, schema := range []string{schemas.Events.Schema(), `{"type": "record", "name": "Other", "fields": []}`} {
		if _, err := registry.Register(t.Context(), client, registry.Subject{Name: "shop-value", Schema: schema}); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code = lull(t, "schemas", "check", url, "--topics", "fits", "--input-topic", "shop", "--input-format", "registry-avro")
	if code != 1 || !strings.Contains(out, "shop-value version 1 (id ") || !strings.Contains(out, "can be read") || !strings.Contains(out, "record names do not match") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	mapping := fileOf(t, "pos.yaml", "version: 1\nfields: {customer_id: client, time: {from: at, format: milliseconds}, amount: {from: total, unit: major}, currency: {const: EUR}}\nrules: [{kind: order_completed}]")
	for _, amount := range []string{"total", "amount"} {
		schema := `{"type": "record", "name": "Sale", "fields": [{"name": "client", "type": "string"}, {"name": "at", "type": "long"}, {"name": "` + amount + `", "type": "string"}]}`
		if _, err := registry.Register(t.Context(), client, registry.Subject{Name: "pos-value", Schema: schema}); err != nil {
			t.Fatal(err)
		}
	}
	out, errs, code = lull(t, "schemas", "check", url, "--topics", "fits", "--input-topic", "pos", "--input-format", "registry-avro", "--input-mapping", mapping)
	if code != 1 || !regexp.MustCompile(`pos-value version 1 \(id \d+\): can be read\npos-value version 2 \(id \d+\): CANNOT BE READ: the order_completed event has no amount, for which the mapping .*pos.yaml looks at total\n`).MatchString(out) ||
		!strings.Contains(errs, "schemas of the input that cannot be read: 1") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	for _, c := range []struct {
		args []string
		code int
		errs string
	}{
		{[]string{"schemas", "check"}, 2, "registry.url is empty"},
		{[]string{"schemas", "check", url, "--outputs-subjects", "both"}, 2, `outputs.subjects is "both": it must be one of topic, record`},
		{[]string{"schemas", "register", url, "--topics", "scoers"}, 2, `--topics is "scoers": it must be a list of sessions, scores`},
		{[]string{"schemas", "show", "scoers"}, 2, `TOPIC is "scoers": it must be one of`},
	} {
		if _, errs, code := lull(t, c.args...); code != c.code || !strings.Contains(errs, c.errs) {
			t.Errorf("%v: exit code %d, %s", c.args, code, errs)
		}
	}
	if out, _, code := lull(t, "schemas", "show", "events"); code != 0 || strings.TrimSpace(out) != strings.TrimSpace(schemas.Events.Schema()) {
		t.Errorf("exit code %d\n%s", code, out)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	defer gone.Close()
	if _, errs, code := lull(t, "schemas", "check", "--registry-url", gone.URL); code != 1 || !strings.Contains(errs, "there is no registry at this URL") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}
