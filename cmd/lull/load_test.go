package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"lull/operators"
	"lull/schemas"
)

// produceShop runs produce with the map of client, when and total.
func produceShop(t *testing.T, broker string, args ...string) (errs string, code int) {
	t.Helper()
	_, errs, code = lull(t, append([]string{"produce", "--brokers", broker, "--topic", "shop", "--map", "customer_id=client,time=when,amount=total"}, args...)...)
	return errs, code
}

// rowsThere returns how often each row of the source is in the topic shop, by number.
func rowsThere(t *testing.T, broker, source string) map[int]int {
	t.Helper()
	there := make(map[int]int)
	for _, r := range recordsOf(t, broker, "shop") {
		event, err := schemas.DecodeOutput(schemas.Events, r.Value)
		if err != nil {
			t.Fatal(err)
		}
		var number int
		if _, err := fmt.Sscanf(event.Get("message_id").(string), source+":%d", &number); err != nil {
			t.Fatalf("event %v: %v", event, err)
		}
		there[number]++
	}
	return there
}

// However often produce is killed in the middle, with what is sent on its way and transactions open, the same command goes on behind it, and in the end each row is there
// once.
func TestProduceIsKilled(t *testing.T) {
	broker := newBroker(t)
	const rows, kills = 150_000, 4
	var text strings.Builder
	text.WriteString("client,when,total\n")
	for i := range rows {
		fmt.Fprintf(&text, "c%d,1998-01-04,%d.50\n", i%4000, i%100)
	}
	file := writeFile(t, "orders.csv", text.String())
	args := []string{"produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--map", "customer_id=client,time=when,amount=total"}
	client := producer(t, broker)
	adm := kadm.NewClient(client)
	sent := func() (n int64) {
		ends, err := adm.ListEndOffsets(t.Context(), "shop")
		if err != nil {
			t.Fatal(err)
		}
		ends.Each(func(o kadm.ListedOffset) { n += o.Offset })
		return n
	}
	killed := 0
	for range kills {
		before := sent()
		process := exec.Command(os.Args[0], args...)
		var errs bytes.Buffer
		process.Stderr = &errs
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- process.Wait() }()
		// Behind the first transaction, and before the end.
		for tick := time.NewTicker(time.Millisecond); sent() < before+loadRows*5/4 && len(done) == 0; {
			<-tick.C
		}
		_ = process.Process.Kill() // it may have ended
		if err := <-done; err != nil {
			killed++
		}
	}
	_, errs, code := lull(t, args...)
	if code != 0 || !strings.Contains(errs, "were there already") || killed == 0 {
		t.Fatalf("%d killed, exit code %d: %s", killed, code, errs)
	}
	there := rowsThere(t, broker, "orders.csv")
	if len(there) != rows {
		t.Errorf("%d rows are there, want %d", len(there), rows)
	}
	for number, n := range there {
		if n != 1 {
			t.Fatalf("row %d is there %d times", number, n)
		}
	}
}

// A file that was sent is gone on with: rows that were refused and are mended, and rows at the end, are sent; a file of the same name with other rows is not.
func TestProduceGoesOn(t *testing.T) {
	broker := newBroker(t)
	file := filepath.Join(t.TempDir(), "orders.csv")
	const header = "client,when,total\n"
	steps := []struct {
		rows, args string
		code       int
		want       []string
		there      []int // rows of which there is one
	}{
		{"ann,1998-01-04,1\nann,1998-01-05,-1\nbob,1998-01-05,x\nbob,1998-01-06,2\neve,9999-01-01,3\n", "", exitError, []string{"5 rows, 2 sent to shop, 3 refused"}, []int{1, 4}},
		{"ann,1998-01-04,1\nann,1998-01-05,-1\nbob,1998-01-05,3\nbob,1998-01-06,2\neve,9999-01-01,3\n", "", exitError,
			[]string{"5 rows looked at before", "5 rows, 2 were there already, 1 sent to shop, 2 refused", "row 2 (line 3)", "row 5 (line 6)"}, []int{1, 3, 4}},
		{"ann,1998-01-04,1\nann,1998-01-05,4\nbob,1998-01-05,3\nbob,1998-01-06,2\neve,1998-01-07,3\neve,1998-01-08,5\n", "", 0, []string{"6 rows, 3 were there already, 3 sent to shop, 0 refused"},
			[]int{1, 2, 3, 4, 5, 6}},
		{"ann,1998-01-04,1\nann,1998-01-05,4\nbob,1998-01-05,3\nbob,1998-01-06,2\neve,1998-01-07,3\neve,1998-01-08,5\n", "", 0, []string{"6 rows, 6 were there already, 0 sent to shop, 0 refused"},
			[]int{1, 2, 3, 4, 5, 6}},
		{"ann,1998-01-04,1\n", "", exitError, []string{`what was sent to topic "shop" as "orders.csv" is not this: the file has 1 row, and 6 were sent or refused`, "--source of its own", "--again"}, nil},
		{"zoe,1998-01-04,1\nann,1998-01-05,4\nbob,1998-01-05,3\nbob,1998-01-06,2\neve,1998-01-07,3\neve,1998-01-08,5\n", "", exitError, []string{"its first 6 rows give other events"}, nil},
		{"ann,1998-01-04,\nann,1998-01-05,4\nbob,1998-01-05,3\nbob,1998-01-06,2\neve,1998-01-07,3\neve,1998-01-08,5\n", "", exitError, []string{`row 1 (line 2), column "total" was sent, and is no event now`}, nil},
		{"ann,1998-01-04,1\nann,1998-01-05,4\nbob,1998-01-05,3\nbob,1998-01-06,2\neve,1998-01-07,3\neve,1998-01-08,5\n", "--currency=EUR", exitError, []string{"sent with other flags"}, nil},
		{"zoe,1998-01-04,1\n", "--source=other", 0, []string{"1 row, 1 sent to shop"}, nil},
	}
	for i, step := range steps {
		if err := os.WriteFile(file, []byte(header+step.rows), 0o600); err != nil {
			t.Fatal(err)
		}
		errs, code := produceShop(t, broker, append(strings.Fields(step.args), "--csv", file)...)
		if code != step.code {
			t.Errorf("step %d: exit code %d, want %d", i, code, step.code)
		}
		for _, want := range step.want {
			if !strings.Contains(errs, want) {
				t.Errorf("step %d: no %q in:\n%s", i, want, errs)
			}
		}
		if step.there == nil {
			continue
		}
		there := rowsThere(t, broker, "orders.csv")
		for _, number := range step.there {
			if there[number] != 1 {
				t.Errorf("step %d: row %d is there %d times", i, number, there[number])
			}
			delete(there, number)
		}
		if len(there) > 0 {
			t.Errorf("step %d: more rows are there: %v", i, there)
		}
	}
}

// TestProduceKeepsPlace proves that a run which sends nothing, because it takes the file for one of another format, for another or all of it anew, leaves the place of the one before it as it is.
func TestProduceKeepsPlace(t *testing.T) {
	broker := newBroker(t)
	file := writeFile(t, "orders.csv", "message_id,order_id,customer_id,time,amount\nm1,o1,ann,1998-01-04,1\nm2,o2,ann,1998-01-05,1\n")
	for _, c := range []struct {
		flags []string
		code  int
		want  string
	}{
		{[]string{"--csv"}, 0, "2 rows, 2 sent to shop"},
		{[]string{"--kind", "order_refunded", "--map", "order_id=", "--csv"}, exitError, "0 sent to shop, 2 refused"},
		{[]string{"--again", "--kind", "order_refunded", "--map", "order_id=", "--csv"}, exitError, "0 sent to shop, 2 refused"},
		{[]string{"--csv"}, 0, "2 rows, 2 were there already, 0 sent to shop"},
	} {
		args := slices.Concat([]string{"produce", "--brokers", broker, "--topic", "shop"}, c.flags, []string{file})
		if _, errs, code := lull(t, args...); code != c.code || !strings.Contains(errs, c.want) {
			t.Errorf("%v: exit code %d, %s", c.flags, code, errs)
		}
	}
}

// A file whose rows have ids of their own may have the name of another: all of it is sent, and the next run goes on with it.
func TestProduceOtherFile(t *testing.T) {
	broker := newBroker(t)
	file := filepath.Join(t.TempDir(), "orders.csv")
	for _, c := range []struct{ rows, want string }{
		{"m1,ann,1998-01-04,1\nm2,ann,1998-01-05,1\n", "2 rows, 2 sent to shop"}, {"m3,ann,1998-01-06,1\n", "1 row, 1 sent to shop"},
		{"m3,ann,1998-01-06,1\nm4,ann,1998-01-06,2\n", "2 rows, 1 were there already, 1 sent to shop"},
	} {
		if err := os.WriteFile(file, []byte("message_id,customer_id,time,amount,order_id\n"+strings.ReplaceAll(c.rows, "\n", ",o\n")), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", file); code != 0 || !strings.Contains(errs, c.want) ||
			strings.HasPrefix(c.want, "1 row,") != strings.Contains(errs, `was sent as "orders.csv" before: sending all of it`) {
			t.Errorf("exit code %d: %s; want %q", code, errs, c.want)
		}
	}
	if n := len(recordsOf(t, broker, "shop")); n != 4 {
		t.Errorf("%d records, want 4", n)
	}
}

// How far a file was sent is known only when the transaction that says so has ended: until then Kafka says nothing of it in a list of the group's offsets, and asks who
// names the partition to wait.
func TestProduceUnstable(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(8, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	file := writeFile(t, "orders.csv", "client,when,total\nann,1998-01-04,1\n")
	if errs, code := produceShop(t, cluster.ListenAddrs()[0], "--csv", file); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	var asked atomic.Int32
	cluster.ControlKey(int16(kmsg.OffsetFetch), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		req := request.(*kmsg.OffsetFetchRequest)
		resp := req.ResponseKind().(*kmsg.OffsetFetchResponse)
		group := kmsg.NewOffsetFetchResponseGroup()
		group.Group = req.Groups[0].Group
		if len(req.Groups[0].Topics) > 0 && asked.Add(1) > 2 {
			return nil, nil, false
		}
		for _, of := range req.Groups[0].Topics {
			topic := kmsg.NewOffsetFetchResponseGroupTopic()
			topic.Topic, topic.TopicID = of.Topic, of.TopicID
			partition := kmsg.NewOffsetFetchResponseGroupTopicPartition()
			partition.Partition, partition.Offset, partition.ErrorCode = of.Partitions[0], -1, kerr.UnstableOffsetCommit.Code
			topic.Partitions = append(topic.Partitions, partition)
			group.Topics = append(group.Topics, topic)
		}
		resp.Groups = append(resp.Groups, group)
		return resp, nil, true
	})
	const want = "1 row, 1 were there already, 0 sent to shop"
	if errs, code := produceShop(t, cluster.ListenAddrs()[0], "--csv", file); code != 0 || !strings.Contains(errs, want) {
		t.Errorf("exit code %d, want 0 and %q: %s", code, want, errs)
	}
}

// What is known of a topic does not count for another one of the same name.
func TestProduceIntoNewTopic(t *testing.T) {
	broker := newBroker(t)
	file := writeFile(t, "orders.csv", "client,when,total\nann,1998-01-04,1\n")
	adm := kadm.NewClient(producer(t, broker))
	for range 2 {
		if errs, code := produceShop(t, broker, "--csv", file); code != 0 || !strings.Contains(errs, "1 row, 1 sent to shop") {
			t.Fatalf("exit code %d: %s", code, errs)
		}
		if _, err := adm.DeleteTopic(t.Context(), "shop"); err != nil {
			t.Fatal(err)
		}
		if _, err := adm.CreateTopic(t.Context(), 8, 1, nil, "shop"); err != nil {
			t.Fatal(err)
		}
	}
}

// Of two that send the same file at once the second takes over.
func TestProduceTwoAtOnce(t *testing.T) {
	broker := newBroker(t)
	file := writeFile(t, "orders.csv", "client,when,total\nann,1998-01-04,1\nbob,1998-01-04,1\n")
	s, err := loadSettings(newProduceCommand().Flags(), []string{"LULL_BROKERS=" + broker})
	if err != nil {
		t.Fatal(err)
	}
	first, err := newLoader(t.Context(), &s, "shop", "orders.csv", &sendResult{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.client.Close()
	r := row{Number: 1, Event: operators.Event{Customer: "ann"}, Value: []byte("by the first")}
	if err := first.add(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if errs, code := produceShop(t, broker, "--csv", file); code != 0 || !strings.Contains(errs, "2 rows, 2 sent to shop") {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	if err := first.commit(t.Context(), goesOn); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("another produce of the same file has begun since, or this one was held up for more than %s (", toolTransaction)) {
		t.Errorf("the first: %v", err)
	}
	first.abort()
	if there := rowsThere(t, broker, "orders.csv"); len(there) != 2 || there[1] != 1 || there[2] != 1 {
		t.Errorf("there are %v", there)
	}
}

// compressed returns the text by gzip or zstd.
func compressed(t *testing.T, text []byte, by func(io.Writer) io.WriteCloser) string {
	t.Helper()
	var out bytes.Buffer
	w := by(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// sampleContainer returns an Avro file of another system's records, or of lull's events.
func sampleContainer(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../schemas/testdata/containers", name+".avro"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The same rows are the same events in whatever format and compression they come.
func TestRowFormats(t *testing.T) {
	const csvText = "customer_id,date,order_id,amount,currency,quantity\nann,1998-01-04,o-1,19.99,,2\nbob,1998-01-05,o-2,500,JPY,\n"
	const jsonText = `{"customer_id":"ann","date":"1998-01-04","order_id":"o-1","amount":19.99,"quantity":2,"more":[1,{"a":2}]}` + "\n\n" +
		`{"customer_id":"bob","date":"1998-01-05","order_id":"o-2","amount":"500","currency":"JPY","quantity":null}`
	container := sampleContainer(t, "orders")
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	toGzip := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	toZstd := func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}
	var first []row
	for _, c := range []struct {
		name   string
		format fileFormat
		text   string
	}{
		{"csv", csvFormat, csvText}, {"csv.gz", csvFormat, compressed(t, []byte(csvText), toGzip)}, {"csv.zst", csvFormat, compressed(t, []byte(csvText), toZstd)},
		{"jsonl", jsonFormat, jsonText}, {"jsonl.zst", jsonFormat, compressed(t, []byte(jsonText), toZstd)},
		{"avro", avroFormat, container}, {"avro.gz", avroFormat, compressed(t, []byte(container), toGzip)},
	} {
		rows := readRows(t, c.text, rowConfig{Format: c.format, Source: "orders", Kind: operators.OrderCompleted, Currency: "USD", Zone: berlin, Delimiter: ',', Decimal: '.'})
		if len(rows) != 2 {
			t.Fatalf("%s: %d rows", c.name, len(rows))
		}
		if first == nil {
			first = rows
		}
		for i := range rows {
			if rows[i].Refused != nil {
				t.Errorf("%s: row %d: %+v", c.name, i+1, rows[i].Refused)
			} else if !bytes.Equal(rows[i].Value, first[i].Value) || rows[i].Event != first[i].Event {
				t.Errorf("%s: row %d is %+v, want %+v", c.name, i+1, rows[i].Event, first[i].Event)
			}
		}
	}
	if e := first[0].Event; e.Amount != 1999 || e.Time.String() != "1998-01-03T23:00:00.000Z" || e.Quantity != 2 || e.ID != "orders:1" {
		t.Errorf("event %+v", e)
	}
}

// Fields lie at paths in JSON and Avro; what is no object, no value or no end of line is told of its row.
func TestRowPaths(t *testing.T) {
	config := testRowConfig("customer_id=user.id", "time=at", "amount=order.total")
	config.Format = jsonFormat
	rows := readRows(t, strings.Join([]string{
		`{"user":{"id":"ann"},"at":883919220,"order":{"total":1.5}}`, `{"user.id":"bob","at":"1998-01-04","order":{"total":2}}`,
		`{"user":{"id":{"x":1}},"at":"1998-01-04","order":{"total":2}}`, `[1]`, `{"a":1} {"b":2}`, `{"user":`, `null`, `{"user":{"id":true},"at":"1998-01-04","order":{"total":1e2}}`,
		`{"user":{},"at":"1998-01-04","order":7}`,
	}, "\n"), config)
	want := []struct{ reason, detail string }{
		{}, {}, {"several_values", `"user.id": it holds more than one value: name the one within it, as user.id.NAME`}, {"jsonl", "it is no JSON object"}, {"jsonl", "a line of its own"},
		{"jsonl", "it is no JSON object"}, {"jsonl", "it is no JSON object"}, {"number", `amount is "1e2"`}, {schemas.ReasonNoCustomer, `"user.id" is empty`},
	}
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, r := range rows {
		switch {
		case want[i].reason == "" && r.Refused != nil:
			t.Errorf("row %d: %+v", i+1, r.Refused)
		case want[i].reason != "" && (r.Refused == nil || r.Refused.Reason != want[i].reason || !strings.Contains(r.Refused.Detail, want[i].detail) || len(r.Cells) != 1):
			t.Errorf("row %d: %+v, cells %q; want %+v", i+1, r.Refused, r.Cells, want[i])
		}
	}
	if rows[0].Event.Customer != "ann" || rows[0].Event.Amount != 150 || rows[1].Event.Customer != "bob" || rows[0].place() != "row 1 (line 1)" {
		t.Errorf("%+v, %+v", rows[0].Event, rows[1].Event)
	}
}

// A file of lull's own events is taken as it is, amounts in minor units and all.
func TestRowsOfEvents(t *testing.T) {
	rows := readRows(t, sampleContainer(t, "event"), rowConfig{Format: avroFormat, Source: "s", Kind: operators.OrderCompleted, Currency: "USD", Zone: time.UTC, Delimiter: ',', Decimal: '.'})
	if len(rows) != 1 || rows[0].Refused != nil {
		t.Fatalf("rows %+v", rows)
	}
	want := operators.Event{Kind: operators.OrderRefunded, ID: "m-1", Customer: "ann", Time: 883_919_220_123, OrderID: "o-1", RefundID: "r-1", Amount: 1999, Quantity: 1.5}
	got := rows[0].Event
	if got.Day, got.DayStart = 0, 0; got != want {
		t.Errorf("event %+v, want %+v", got, want)
	}
}

// A file of another format is known by its first bytes, whatever it was taken for.
func TestOtherFiles(t *testing.T) {
	const csvText = "customer_id,date\nann,1998-01-04\n"
	toGzip := func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
	container := sampleContainer(t, "orders")
	once := compressed(t, []byte(csvText), toGzip)
	file := writeFile(t, "container", compressed(t, []byte(container), toGzip))
	mapping := writeFile(t, "mapping.yaml", "version: 1\nfields: {customer_id: c, time: at, name: n}\nrules: [{kind: page}]\n")
	const told = "lull: %s: it is not %s, but an Avro object container file: name it by --avro of `lull produce`, or convert it\n"
	for _, c := range []struct {
		format string
		args   []string
	}{
		{"CSV", []string{"produce", "--topic", "shop", "--csv", file}}, {"JSON lines", []string{"produce", "--topic", "shop", "--jsonl", file}},
		{"JSON lines", []string{"produce", "--topic", "shop", "--lines", file, "--key", "id"}}, {"JSON lines", []string{"mapping", "try", mapping, "--sample", file}},
		{"CSV", []string{"backtest", "--events", file, "--calibrate-until", "1998-01-04", "--holdout-until", "1998-01-05"}},
	} {
		if _, errs, code := lull(t, c.args...); code != exitError || errs != fmt.Sprintf(told, file, c.format) {
			t.Errorf("%v: exit code %d, %s", c.args, code, errs)
		}
	}
	for _, c := range []struct{ text, want string }{
		{compressed(t, []byte(once), toGzip), "it is not CSV, but a file that is compressed twice: decompress it once"},
		{"PK\x03\x04\x14\x00", "it is not CSV, but a ZIP archive, as spreadsheets are: save the table as CSV, or take the file out of the archive"},
		{"PAR1\x15\x04", "it is not CSV, but a Parquet file: write its rows as CSV, JSON lines or an Avro object container file"},
		{"\xff\xfec\x00u\x00", "it is not CSV, but a text in UTF-16: convert it to UTF-8"},
	} {
		if _, err := newRowReader(strings.NewReader(c.text), testRowConfig()); err == nil || err.Error() != c.want {
			t.Errorf("%v; want %q", err, c.want)
		}
	}
}

// What zstd is told to look back for further than lull keeps is not damaged.
func TestWindowTooLarge(t *testing.T) {
	const frame = "\x28\xb5\x2f\xfd\x00\xa0" // a header whose window is 2^30 bytes
	const want = "decompressing: window size exceeded: the file looks back further than 512 MiB, as zstd makes it with --long=30 and more: compress it again with --long=29 or less"
	if _, err := newRowReader(strings.NewReader(frame+"\x01\x00\x00"), testRowConfig()); err == nil || err.Error() != want {
		t.Errorf("%v; want %q", err, want)
	}
}

func TestAvroFileErrors(t *testing.T) {
	config := testRowConfig("customer_id=user.id", "time=at")
	config.Format = avroFormat
	for text, want := range map[string]string{"customer_id,time\n": "it is no Avro object container file (ocf: invalid magic 63757374): name files of other formats by their own flags, such as --csv or --jsonl",
		strings.Replace(sampleContainer(t, "orders"), "avro.codec\x08null", "avro.codec\x08lzma", 1): `the Avro file cannot be read (ocf: unknown codec "lzma"): it must be whole, and its codec null, deflate, snappy or zstandard`, sampleContainer(t, "numbers"): "the Avro file holds values of type int: they must be records",
		sampleContainer(t, "orders"): `no column "user.id" for customer_id; columns are customer_id, date`} {
		if _, err := newRowReader(strings.NewReader(text), config); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// Numbers of rows are kept as ranges: like a set, whatever is added behind and removed; and their text, with all else, comes back as it was.
func TestLoadProgress(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p loadProgress
		set := make(map[int64]bool)
		last := int64(0)
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "add") {
				last += rapid.Int64Range(1, 3).Draw(t, "gap")
				p.refused.add(last)
				set[last] = true
			} else if last > 0 {
				number := rapid.Int64Range(1, last).Draw(t, "number")
				p.refused.remove(number)
				delete(set, number)
			}
		}
		for n := range last + 2 {
			if p.refused.has(n) != set[n] {
				t.Fatalf("%v has %d: %v", p.refused, n, !set[n])
			}
		}
		p.rows, p.numbered = max(1, last), rapid.Bool().Draw(t, "numbered")
		for i := range p.sum {
			p.sum[i] = rapid.Uint64().Draw(t, "limb")
		}
		id := [16]byte{1, 2, 3}
		got, ok := parseProgress(p.rows, p.metadata(id), id)
		if !ok || got.rows != p.rows || got.sum != p.sum || got.numbered != p.numbered || !slices.Equal(got.refused, p.refused) {
			t.Fatalf("%+v, %v; want %+v", got, ok, p)
		}
	})
	for _, metadata := range []string{"", "1", "2 AQIDAAAAAAAAAAAAAAAAAA AAAA ", "1 AQIDAAAAAAAAAAAAAAAAAA AAAA own ", strings.Replace((&loadProgress{}).metadata([16]byte{}), " ", "  ", 1)} {
		if _, ok := parseProgress(5, metadata, [16]byte{1, 2, 3}); ok {
			t.Errorf("%q is taken", metadata)
		}
	}
	for _, ranges := range []string{"0", "5-4", "3,4", "4,2", "3-5,5", "x-", "-3", "!"} {
		if of, ok := parseRanges(ranges); ok {
			t.Errorf("%q is %v", ranges, of)
		}
	}
}

// More refused rows than can be noted let the progress stay where it is: what follows is sent again, which its ids make harmless, but nothing is forgotten.
func TestProgressIsBounded(t *testing.T) {
	var p loadProgress
	refused := &operators.Rejection{}
	for n := int64(1); n <= 20_000; n++ {
		r := row{Number: n}
		if n%2 == 0 {
			r.Refused = refused
		}
		p.note(&r)
	}
	if text := p.metadata([16]byte{}); len(text) > 4096 || p.rows >= 20_000 || p.rows < 500 || !p.full {
		t.Errorf("%d bytes, %d rows, full %v", len(text), p.rows, p.full)
	}
	// All refused, then every other mended: the ranges fall apart.
	p = loadProgress{}
	for n := int64(1); n <= 20_000; n++ {
		p.note(&row{Number: n, Refused: refused})
	}
	if p.rows != 20_000 || len(p.refused) != 1 {
		t.Fatalf("%d rows, %v", p.rows, p.refused)
	}
	for n := int64(1); n <= 20_000; n += 2 {
		p.note(&row{Number: n})
	}
	if text := p.metadata([16]byte{}); len(text) > 4096 || p.rows != 20_000 || p.refused.has(1) || !p.refused.has(19_999) {
		t.Errorf("%d bytes, %d rows", len(text), p.rows)
	}
}
