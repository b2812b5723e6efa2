package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/operators"
	"lull/pipeline"
	"lull/pipeline/query"
	"lull/schemas"
)

// lull runs a command line in this process.
func lull(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	root := newRoot()
	root.SetOut(&out)
	root.SetErr(&errs)
	code = execute(t.Context(), root, args)
	return out.String(), errs.String(), code
}

// newBroker returns the address of a broker with an empty topic "shop" of 8 partitions.
func newBroker(t *testing.T) string {
	t.Helper()
	return newFake(t).ListenAddrs()[0]
}

// newFake returns that broker itself.
func newFake(t *testing.T) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(8, "shop"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

// A broker that ends the connection in the login is not taken for one that is gone.
func TestLoginIsEnded(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return nil, errors.New("the end"), true
	})
	t.Setenv("LULL_SECURITY_SASL_PASSWORD", "secret-of-this-login")
	t.Setenv("LULL_SECURITY_SASL_USERNAME", "ann")
	t.Setenv("LULL_SECURITY_SASL_MECHANISM", "PLAIN")
	broker := cluster.ListenAddrs()[0]
	_, errs, code := lull(t, "tail", "shop", "--brokers", broker)
	want := "lull: no broker of " + broker + " answers (EOF: if it is up, it ended the connection in the login, and its log says why: check security.sasl.username and its password " +
		"(security.sasl.password_file or LULL_SECURITY_SASL_PASSWORD)): start it, or mend --brokers\n"
	if code != exitError || errs != want {
		t.Errorf("exit code %d, %s; want %s", code, errs, want)
	}
}

// TestNoToken proves that a server of tokens which does not answer is named, with what to do about it, once, and that brokers are not blamed for it.
func TestNoToken(t *testing.T) {
	cluster := newFake(t)
	cluster.ControlKey(int16(kmsg.SASLHandshake), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		return request.ResponseKind(), nil, true
	})
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	t.Cleanup(failing.Close)
	away, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("LULL_SECURITY_SASL_CLIENT_SECRET", "secret-of-this-client")
	t.Setenv("LULL_SECURITY_SASL_CLIENT_ID", "lull")
	t.Setenv("LULL_SECURITY_SASL_MECHANISM", "OAUTHBEARER")
	broker := cluster.ListenAddrs()[0]
	for url, why := range map[string]string{
		"http://" + away: `asking URL for a token: Post "URL": dial tcp ` + away + ": connect: connection refused: start that server, or mend security.sasl.token_url",
		failing.URL:      "URL gives no token (security.sasl.token_url): 503 Service Unavailable: its log says more",
	} {
		t.Setenv("LULL_SECURITY_SASL_TOKEN_URL", url)
		_, errs, code := lull(t, "tail", "shop", "--brokers", broker)
		want := "lull: there is no token to log in to " + broker + " with: " + strings.ReplaceAll(why, "URL", url) + "\n"
		if code != exitError || errs != want {
			t.Errorf("exit code %d, %s; want %s", code, errs, want)
		}
	}
}

// reaching returns the settings by which brokers are reached that let everybody do everything.
func reaching(brokers ...string) *pipeline.Settings {
	s := pipeline.DefaultSettings()
	s.Brokers = brokers
	return &s
}

// recordsOf reads a topic.
func recordsOf(t *testing.T, broker, topic string) []*kgo.Record {
	t.Helper()
	client, err := newClient(t.Context(), reaching(broker), readOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	spans, err := topicSpans(t.Context(), kadm.NewClient(client), topic)
	if err != nil {
		t.Fatal(err)
	}
	var all []*kgo.Record
	err = readSpans(t.Context(), client, topic, spans, func(r *kgo.Record) error {
		all = append(all, r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A file that is sent twice is there once; with --again it gives the same records in the same partitions twice, so that the pipeline's dedup drops the second; a time
// mark goes to every partition, after the rows.
func TestProduce(t *testing.T) {
	broker := newBroker(t)
	var text strings.Builder
	text.WriteString("client,when,total\n")
	for i := range 100 {
		fmt.Fprintf(&text, "c%d,1998-01-04,%d.50\n", i%40, i)
	}
	file := writeFile(t, "orders.csv", text.String())
	args := []string{"produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--map", "customer_id=client,time=when,amount=total"}
	for _, c := range []struct{ again, want string }{
		{"--again=false", "100 rows, 100 sent to shop, 0 refused"}, {"--again=false", "100 rows, 100 were there already, 0 sent to shop, 0 refused"},
		{"--again", "100 rows, 100 sent to shop, 0 refused"},
	} {
		_, errs, code := lull(t, append(args, c.again)...)
		if code != 0 || !strings.Contains(errs, c.want) {
			t.Fatalf("exit code %d:\n%s", code, errs)
		}
	}
	if _, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--time-mark", "1998-02-01"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	times := make(map[string]int) // by partition, key and value
	last := make(map[int32]*kgo.Record)
	for _, r := range recordsOf(t, broker, "shop") {
		last[r.Partition] = r
		if r.Key != nil {
			times[fmt.Sprint(r.Partition, r.Key, r.Value)]++
		}
	}
	if len(times) != 100 {
		t.Errorf("%d different records, want 100", len(times))
	}
	for record, n := range times {
		if n != 2 {
			t.Errorf("record %s: %d times, want 2", record, n)
		}
	}
	if len(last) != 8 {
		t.Errorf("records in %d partitions, want 8", len(last))
	}
	for p, r := range last {
		if r.Key != nil || r.Value != nil || len(r.Headers) != 1 || r.Headers[0].Key != "lull-time-mark" || string(r.Headers[0].Value) != "1998-02-01T00:00:00.000Z" {
			t.Errorf("partition %d ends with %+v, want the time mark", p, r)
		}
	}
}

// Keys go where every Java producer puts them: murmur2 of "customer-1", as Kafka's Utils.murmur2 has it, is known.
func TestProducePartition(t *testing.T) {
	broker := newBroker(t)
	// Kafka's own test vectors (UtilsTest.testMurmur2): "21" is -973932308, "foobar" -790332482, "a-little-bit-long-string" -985981536.
	vectors := map[string]int32{"21": -973932308, "foobar": -790332482, "a-little-bit-long-string": -985981536}
	text := "client,when,total\n"
	for key := range vectors {
		text += key + ",1998-01-04,1\n"
	}
	file := writeFile(t, "orders.csv", text)
	if _, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--map", "customer_id=client,time=when,amount=total"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	records := recordsOf(t, broker, "shop")
	if len(records) != len(vectors) {
		t.Fatalf("%d records, want %d", len(records), len(vectors))
	}
	for _, r := range records {
		if want := (vectors[string(r.Key)] & 0x7fffffff) % 8; r.Partition != want {
			t.Errorf("key %s in partition %d, want %d", r.Key, r.Partition, want)
		}
	}
}

// Refused rows are counted by reason with their places, the rest is sent, and the exit code tells.
func TestProduceRefuses(t *testing.T) {
	broker := newBroker(t)
	file := writeFile(t, "orders.csv", "client,when,total\nann,1998-01-04,1\n,1998-01-04,1\nbob,4.1.1998,1\n"+strings.Repeat("eve,1998-01-04,-1\n", 5))
	_, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--map", "customer_id=client,time=when,amount=total")
	if code != exitError {
		t.Errorf("exit code %d, want %d", code, exitError)
	}
	for _, want := range []string{"8 rows, 1 sent to shop, 7 refused", "number: 5", "row 4 (line 5)", "row 6 (line 7)", "and 2 more", "time: 1", "row 3 (line 4)", "no_customer: 1"} {
		if !strings.Contains(errs, want) {
			t.Errorf("%q is not told:\n%s", want, errs)
		}
	}
	if strings.Contains(errs, "row 7 ") {
		t.Errorf("more than the first few rows are told:\n%s", errs)
	}
	if n := len(recordsOf(t, broker, "shop")); n != 1 {
		t.Errorf("%d records, want 1", n)
	}
}

// With --refused all refused rows stand in a file, with their numbers, reasons and cells.
func TestProduceRefusedFile(t *testing.T) {
	broker := newBroker(t)
	file := writeFile(t, "orders.csv", "client,when,total\nann,1998-01-04,1\n"+strings.Repeat("eve,1998-01-04,-1\n", 5)+"bob,9999-01-01,1\nbob,1998\n")
	refused := filepath.Join(t.TempDir(), "refused.csv")
	_, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--refused", refused, "--map", "customer_id=client,time=when,amount=total")
	if code != exitError || !strings.Contains(errs, "and 2 more, in "+refused) {
		t.Errorf("exit code %d:\n%s", code, errs)
	}
	opened, err := os.Open(refused)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	table := csv.NewReader(opened)
	table.FieldsPerRecord = -1 // a row of too few cells keeps those it has
	rows, err := table.ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 8 || !slices.Equal(rows[0], []string{"row", "line", "reason", "detail", "client", "when", "total"}) {
		t.Fatalf("rows %q", rows)
	}
	for i, want := range []struct{ number, line, reason, client string }{
		{"2", "3", "number", "eve"}, {"3", "4", "number", "eve"}, {"4", "5", "number", "eve"}, {"5", "6", "number", "eve"}, {"6", "7", "number", "eve"},
		{"7", "8", "time_out_of_range", "bob"}, {"8", "9", "csv", ""},
	} {
		row := rows[i+1]
		if row[0] != want.number || row[1] != want.line || row[2] != want.reason || row[3] == "" || want.client != "" && row[4] != want.client {
			t.Errorf("row %q, want %+v", row, want)
		}
	}
}

// What is told about ids is right: of files without ids of their own that rows must not move and names must differ, of others neither.
func TestProduceIDs(t *testing.T) {
	broker := newBroker(t)
	file := writeFile(t, "orders.csv", "client,when,total,id\nann,1998-01-04,1,o1\n,1998-01-04,1,o2\n")
	produce := func(args ...string) string {
		_, errs, code := lull(t, append([]string{"produce", "--brokers", broker, "--topic", "shop", "--csv", file}, args...)...)
		if code != exitError {
			t.Errorf("exit code %d:\n%s", code, errs)
		}
		return errs
	}
	numbered := produce("--map", "customer_id=client,time=when,amount=total", "--source", "orders-1998-01")
	for _, want := range []string{`mapped to message_id and order_id`, `"orders-1998-01:"`, "Neither remove nor insert rows", "mend them where they stand"} {
		if !strings.Contains(numbered, want) {
			t.Errorf("%q is not told:\n%s", want, numbered)
		}
	}
	own := produce("--map", "customer_id=client,time=when,amount=total,order_id=id,message_id=id")
	for _, wrong := range []string{"no column is mapped", "Neither remove"} {
		if strings.Contains(own, wrong) {
			t.Errorf("%q is told:\n%s", wrong, own)
		}
	}
	if !strings.Contains(own, "mend them where they stand and send the file again") {
		t.Errorf("no remedy:\n%s", own)
	}
	lines := writeFile(t, "orders.jsonl", `{"client":"ann","date":"1998-01-04","amount":1,"message_id":"m1"}`+"\n")
	if _, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--jsonl", lines, "--map", "customer_id=client"); code != 0 || !strings.Contains(errs, "some rows have no message_id, or no order_id: ") {
		t.Errorf("exit code %d, and it is not told that only some ids are there:\n%s", code, errs)
	}
}

// What was sent is counted also when the rest cannot be: the file ends in the middle, or there is no such topic.
func TestProduceStops(t *testing.T) {
	broker := newBroker(t)
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	fmt.Fprintln(zip, "client,when,total")
	for i := range 20_000 {
		fmt.Fprintf(zip, "c%d,1998-01-04,%d.50\n", i, i*i%1000)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	file := writeFile(t, "orders.csv.gz", zipped.String()[:zipped.Len()/2])
	_, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--map", "customer_id=client,time=when,amount=total")
	sent := len(recordsOf(t, broker, "shop"))
	if code != exitError || sent == 0 || !strings.Contains(errs, fmt.Sprintf("%d rows, %d sent to shop, 0 refused", sent, sent)) || !strings.Contains(errs, "unexpected EOF") ||
		!strings.Contains(errs, "run the same command again") {
		t.Errorf("exit code %d, %d sent:\n%s", code, sent, errs)
	}
	file = writeFile(t, "few.csv", "client,when,total\nann,1998-01-04,1\n")
	_, errs, code = lull(t, "produce", "--brokers", broker, "--topic", "nope", "--csv", file, "--map", "customer_id=client,time=when,amount=total")
	if code != exitError || !strings.Contains(errs, `topic "nope" does not exist: create it`) {
		t.Errorf("exit code %d:\n%s", code, errs)
	}
}

// Standard input is a file whose name must be given.
func TestProduceStandardInput(t *testing.T) {
	broker := newBroker(t)
	args := []string{"produce", "--brokers", broker, "--topic", "shop", "--csv", "-", "--map", "customer_id=client,time=when,amount=total"}
	if _, errs, code := lull(t, args...); code != exitUsage || !strings.Contains(errs, "--source") {
		t.Errorf("without a name: exit code %d, %s", code, errs)
	}
	var errs bytes.Buffer
	root := newRoot()
	root.SetIn(strings.NewReader("client,when,total\nann,1998-01-04,1\n"))
	root.SetErr(&errs)
	if code := execute(t.Context(), root, append(args, "--source", "till")); code != 0 {
		t.Fatalf("exit code %d, %s", code, errs.String())
	}
	records := recordsOf(t, broker, "shop")
	if len(records) != 1 {
		t.Fatalf("%d records, want 1", len(records))
	}
	errs.Reset()
	root = newRoot()
	root.SetIn(strings.NewReader(compressed(t, []byte("client,when,total\nbob,1998-01-04,1\n"), func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })[:40]))
	root.SetErr(&errs)
	if code := execute(t.Context(), root, append(args, "--source", "till")); code != exitError ||
		!strings.Contains(errs.String(), "decompressing: unexpected EOF: the file is cut short or damaged: copy it again, or compress it again; when that is mended, send all of it again: what has been sent counts once") {
		t.Errorf("cut short: exit code %d, %s", code, errs.String())
	}
	event, err := schemas.DecodeOutput(schemas.Events, records[0].Value)
	if err != nil || event.Get("message_id") != "till:1" {
		t.Errorf("event %v, error %v; want message_id till:1", event, err)
	}
}

// What cannot be meant is refused before anything is sent, and says what could be.
func TestProduceUsage(t *testing.T) {
	file := writeFile(t, "orders.csv", "client,when,total\nann,1998-01-04,1\n")
	for line, want := range map[string]string{
		"--topic lull.scores --csv " + file + " --map customer_id=client,time=when": `"lull.scores" is one of lull's own`,
		"--topic shop --time-mark 0001-01-01":                                       "from 1970",
		"--topic shop --time-mark 9999-01-01T00:00:00Z":                             "from 1970",
		"--topic shop --time-mark 2199-01-01":                                       "has not come yet",
		"--topic shop --time-mark soon":                                             "1998-01-04",
		"--topic shop --time-mark 1998-07-01 --brokers=":                            "brokers is empty",
	} {
		if _, errs, code := lull(t, append([]string{"produce"}, strings.Fields(line)...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, %s; want %q", line, code, errs, want)
		}
	}
}

// A progress bar tells no rate: that of its first frame would be billions.
func TestProgress(t *testing.T) {
	var screen bytes.Buffer
	bar := newProgress(&screen, 1000, "replaying rows", progressbar.OptionShowCount(), progressbar.OptionSetVisibility(true))
	if err := errors.Join(bar.Set(10), bar.Set(500), bar.Finish()); err != nil {
		t.Fatal(err)
	}
	if text := screen.String(); !strings.Contains(text, "replaying rows") || !strings.Contains(text, "(10/1000)") || strings.Contains(text, "/s") {
		t.Errorf("%q", text)
	}
}

// A broker that is away is told at once, without a time that has not passed.
func TestNoBroker(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, errs, code := lull(t, "tail", "shop", "--brokers", address)
	if code != exitError || !strings.Contains(errs, "no broker of "+address+" answers (") || strings.Contains(errs, "within") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// tail prints what produce has sent: all of it from the start, else the newest, as JSON lines.
func TestTail(t *testing.T) {
	broker := newBroker(t)
	file := writeFile(t, "orders.csv", "client,when,total\nann,1998-01-04,1.25\nbob,1998-01-05,2\n")
	if _, errs, code := lull(t, "produce", "--brokers", broker, "--topic", "shop", "--csv", file, "--time-mark", "1998-02-01",
		"--map", "customer_id=client,time=when,amount=total"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	type line struct {
		Key   *string
		Mark  string `json:"lull-time-mark"`
		Value *struct {
			CustomerID string `json:"customer_id"`
			Amount     int64
			Time       string
		}
	}
	for lines, want := range map[string]int{"--from-start": 10, "--lines=3": 3, "--lines=0": 0, "--lines=99": 10} {
		out, errs, code := lull(t, "tail", "shop", "--brokers", broker, lines)
		if code != 0 {
			t.Fatalf("exit code %d:\n%s", code, errs)
		}
		marks, amounts := 0, []int64(nil)
		text := bufio.NewScanner(strings.NewReader(out))
		for text.Scan() {
			var l line
			if err := json.Unmarshal(text.Bytes(), &l); err != nil {
				t.Fatalf("%s: %v", text.Text(), err)
			}
			switch {
			case l.Key == nil && l.Value == nil && l.Mark == "1998-02-01T00:00:00.000Z":
				marks++
			case l.Key != nil && l.Value != nil && *l.Key == l.Value.CustomerID:
				amounts = append(amounts, l.Value.Amount)
			default:
				t.Errorf("line %s", text.Text())
			}
		}
		if marks+len(amounts) != want {
			t.Errorf("%s: %d lines, want %d", lines, marks+len(amounts), want)
		}
		if slices.Sort(amounts); want == 10 && !slices.Equal(amounts, []int64{125, 200}) {
			t.Errorf("%s: amounts %v, want 125 and 200", lines, amounts)
		}
	}
	for topic, want := range map[string]string{"scores": `"lull.scores" does not exist`, "trigger": `"trigger" does not exist; lull's own are sessions, scores`} {
		if _, errs, code := lull(t, "tail", topic, "--brokers", broker); code != exitError || !strings.Contains(errs, want) || !strings.Contains(errs, "lull topics apply") {
			t.Errorf("a missing topic: exit code %d, %s", code, errs)
		}
	}
	for line, want := range map[string]string{"shop --from-start -n 3": "leave out --lines", "": "TOPIC is empty"} {
		if _, errs, code := lull(t, append([]string{"tail"}, strings.Split(line, " ")...)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("tail %s: exit code %d, %s; want %q", line, code, errs, want)
		}
	}
}

// The newest records are found over all partitions, whichever partition was written last, and however many offsets hold none: here most of each partition
// has been aborted.
func TestTailNewest(t *testing.T) {
	broker := newBroker(t)
	client, err := newClient(t.Context(), reaching(broker), append(produceOptions(), kgo.TransactionalID("t"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	written := time.Now().Truncate(time.Millisecond) // the client takes older records for overdue
	transaction := func(end kgo.TransactionEndTry, records ...*kgo.Record) {
		t.Helper()
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	// Of 80 records, ten to a partition, one partition written after the other, the event times go from partition to partition: the newest ten lie in all of them.
	var kept, aborted []*kgo.Record
	for i := range 80 {
		at := operators.EventTime(1_000_000_000_000 + i*60_000).String()
		kept = append(kept, &kgo.Record{
			Topic: "shop", Partition: int32(i % 8), Timestamp: written.Add(time.Duration(i%8) * time.Millisecond), Key: []byte(at), Headers: []kgo.RecordHeader{{Key: "ce_time", Value: []byte(at)}},
		})
	}
	for i := range 4000 {
		aborted = append(aborted, &kgo.Record{Topic: "shop", Partition: int32(i % 8), Timestamp: written, Key: []byte("aborted")})
	}
	transaction(kgo.TryCommit, kept...)
	transaction(kgo.TryAbort, aborted...)
	out, errs, code := lull(t, "tail", "shop", "--brokers", broker)
	if code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 10 {
		t.Fatalf("%d lines, want 10:\n%s", len(lines), out)
	}
	for i, line := range lines {
		if want := kept[70+i]; !strings.Contains(line, fmt.Sprintf(`"partition":%d,`, want.Partition)) || !strings.Contains(line, string(want.Key)) {
			t.Errorf("line %d: %s, want partition %d, %s", i, line, want.Partition, want.Key)
		}
	}
}

// topics apply makes what models put and the pipeline need; models put refuses a bad file and puts a good one where tail finds it.
func TestTopicsAndModels(t *testing.T) {
	broker := newBroker(t)
	config := writeFile(t, "lull.yaml", fmt.Sprintf("brokers: [%q]\ninput: {topic: shop}\nprefix: my.\n", broker))
	for _, want := range []string{"+ my.scores: create it with 8 partitions", "nothing is to be done"} {
		if out, errs, code := lull(t, "topics", "apply", "--config", config); code != 0 || !strings.Contains(out, want) {
			t.Fatalf("exit code %d, %s%s; want %q", code, out, errs, want)
		}
	}
	bad := writeFile(t, "bad.yaml", strings.Replace(string(cdnowModel), "alpha: 6.183", "alpha: -1", 1))
	if _, errs, code := lull(t, "models", "put", bad, "--config", config); code != exitError || !strings.Contains(errs, "bad.yaml") || !strings.Contains(errs, "alpha") {
		t.Errorf("a bad model: exit code %d, %s", code, errs)
	}
	good := writeFile(t, "good.yaml", string(cdnowModel))
	if out, errs, code := lull(t, "models", "put", good, "--config", config); code != 0 || !strings.Contains(out, "cdnow-published into my.models") {
		t.Errorf("a good model: exit code %d, %s%s", code, out, errs)
	}
	if out, errs, code := lull(t, "models", "put", good, "--config", config); code != 0 || !strings.Contains(out, "already") {
		t.Errorf("the same model again: exit code %d, %s%s", code, out, errs)
	}
	other := writeFile(t, "other.yaml", strings.NewReplacer("alpha: 6.183", "alpha: 7", "high_value: 29.54", "high_value: 30").Replace(string(cdnowModel)))
	if out, errs, code := lull(t, "models", "put", other, "--config", config); code != exitError || !strings.Contains(errs, "alpha (in days) is 43.281, not 49; high_value is 29.54, not 30") {
		t.Errorf("other parameters under the same version: exit code %d, %s%s", code, out, errs)
	}
	if out, errs, code := lull(t, "tail", "models", "--config", config); code != 0 || !strings.Contains(out, `"alpha_days":43.281,`) || strings.Count(out, "\n") != 1 {
		t.Errorf("tail models: exit code %d, %s%s", code, out, errs)
	}
}

// topics plan shows what apply does, apply does that and nothing that it cannot do whole, and check fails as long as something is left to do.
func TestTopicCommands(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(8, "shop"), kfake.SeedTopics(2, "few.changelog"))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	away, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	broker := cluster.ListenAddrs()[0]
	for _, c := range []struct {
		args      string
		code      int
		out, errs string
	}{
		{"plan --prefix few. --input-topic shop", 0, "! topic \"few.changelog\" has 2 partitions", ""},
		{"apply --prefix few. --input-topic shop", exitError, "", `nothing was done: topics: topic "few.changelog" has 2 partitions and the input topic "shop" has 8: they must be equal`},
		{"check --prefix few. --input-topic shop", exitError, "", "topics few.sessions, few.scores, few.segments, few.triggers, few.offers, few.dead-letters, few.models, few.statistics, few.fits, few.redrives, few.quality do not exist: run `lull topics apply`"},
		{"apply --input-topic shop --input-partitions 4", exitError, "", `"shop" has 8 partitions, not 4`},
		{"check --input-topic shop", exitError, "", "lull.quality, lull.changelog do not exist: run `lull topics apply`"},
		{"plan --input-topic shop", 0, "+ lull.changelog: create it with 8 partitions, the brokers' default of replicas, cleanup.policy=compact delete.retention.ms=86400000", ""},
		{"plan --input-topic shop", 0, "12 to create, 0 to alter, 0 that apply cannot mend", ""},
		{"apply --input-topic shop --input-partitions 8", 0, "all topics are there, as they must be", ""},
		{"check --input-topic shop", 0, "", ""},
		{"plan --input-topic shop", 0, "nothing is to be done", ""},
		{"plan --input-topic shop --topics-compaction-lag 24h", 0, "~ lull.changelog: max.compaction.lag.ms from 604800000 (168h0m0s) to 86400000 (24h0m0s)", ""},
		{"check --input-topic shop --topics-compaction-lag 24h", exitError, "", "topic \"lull.scores\" has segment.ms=604800000 and must have at most 86400000: run `lull topics plan`"},
		{"apply --input-topic shop --topics-compaction-lag 24h", 0, "0 to create, 6 to alter", ""},
		{"check --input-topic shop --topics-compaction-lag 24h", 0, "", ""},
		{"plan --input-topic shop --topics-dead-letter-retention 24h", 0, "~ lull.dead-letters: retention.ms from 604800000 (168h0m0s) to 86400000 (24h0m0s) (the brokers delete records by that: --delete-records)", ""},
		{"apply --input-topic shop --topics-dead-letter-retention 24h", exitError, "", `nothing was done, because the brokers would delete records: topic "lull.dead-letters", retention.ms=86400000 instead of 604800000`},
		{"apply --input-topic shop --topics-dead-letter-retention 24h --delete-records", 0, "all topics are there", ""},
		{"apply --input-topic none --input-partitions 0", exitUsage, "", "--input-partitions is 0: it must be 1 or more"},
		{"plan --input-topic none --input-partitions -3", exitUsage, "", "--input-partitions is -3: it must be 1 or more"},
		{"apply --input-topic none", exitError, "", `"none" does not exist: create it first, let ` + "`lull topics apply --input-partitions N` create it"},
		{"plan --prefix new. --input-topic none", 0, "+ new.changelog: create it with as many partitions as the input, ", ""},
		{"plan --prefix new. --input-topic none", 0, "+ new.models: create it with 1 partition, ", ""},
		{"plan --input-topic shop --brokers " + away, exitError, "", "no broker of " + away + " answers"},
		{"plan", exitUsage, "", `input.topic is ""`},
	} {
		verb, args, _ := strings.Cut(c.args, " ")
		out, errs, code := lull(t, append([]string{"topics", verb, "--brokers", broker}, strings.Fields(args)...)...)
		if code != c.code || !strings.Contains(errs, c.errs) || !strings.Contains(out, c.out) {
			t.Errorf("%s: exit code %d, want %d; %s%s, want %q%q", c.args, code, c.code, out, errs, c.out, c.errs)
		}
	}
}

// customer asks the read API for the id as it is, whatever characters are in it, prints the card, and tells of an unknown customer.
func TestCustomer(t *testing.T) {
	answersBy := query.Version
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(query.VersionHeader, answersBy)
		if r.URL.Path != "/v1/customers/a/b ?" {
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprintln(w, `{"error": "customer \"nobody\" is not known"}`)
			return
		}
		fmt.Fprintln(w, `{"customer_id": "a/b ?", "currency": "USD", "facts": {"purchases": 3, "orders": 4, "realized_value": 12.05}, "quality": {"score": 0.9999, "duplicate": 1},
			"score": {"p_alive": 0.25, "clv": 12.5, "horizon_months": 12}, "segment": "save", "rising": true, "reasons": ["orders every 19 days"],
			"next_deadline": {"at": "1998-07-05T11:59:34.583Z", "what": "churn risk reaches 0.60"},
			"next_change": {"at": "1998-08-01T00:00:00.000Z", "what": "churn risk reaches 0.70: segment save (was advocate), trigger churn_risk"}}`)
	}))
	defer api.Close()
	out, errs, code := lull(t, "customer", "a/b ?", "--api", api.URL)
	if code != 0 {
		t.Fatalf("exit code %d:\n%s", code, errs)
	}
	for _, want := range []string{"a/b ?", "12.05 USD", "0.999: records of theirs", "duplicate 1, late 0", "0.250", "12.50 USD in 12 months", "save", "of high potential at low spend so far", "orders every 19 days", "churn risk reaches 0.60 at 1998-07-05",
		"segment save (was advocate), trigger churn_risk at 1998-08-01"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not told:\n%s", want, out)
		}
	}
	if out, _, code = lull(t, "customer", "a/b ?", "--api", api.URL, "--json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("--json: exit code %d, %s", code, out)
	}
	if _, errs, code = lull(t, "customer", "ann", "--api", "nonsense"); code != exitUsage || !strings.Contains(errs, "http://127.0.0.1:8280") {
		t.Errorf("an API that is no URL: exit code %d, %s", code, errs)
	}
	if _, errs, code = lull(t, "customer", "nobody", "--api", api.URL); code != exitError || !strings.Contains(errs, `customer "nobody" is not known`) {
		t.Errorf("an unknown customer: exit code %d, %s", code, errs)
	}
	for version, name := range map[string]string{"": "an earlier version", "x": "version x"} {
		answersBy = version
		want := api.URL + " answers by " + name + " of the API, and this lull reads version " + query.Version + ": ask with the lull that runs there"
		if out, errs, code = lull(t, "customer", "a/b ?", "--api", api.URL); code != exitError || out != "" || !strings.Contains(errs, want) {
			t.Errorf("a process of another version: exit code %d, %s%s, want %s", code, out, errs, want)
		}
	}
}

// A command line that is wrong is told from one that failed.
func TestExitCodes(t *testing.T) {
	for line, want := range map[string]int{
		"version":                               0,
		"demo --kill -1":                        exitUsage,
		"demo --kill":                           exitUsage,
		"nonsense":                              exitUsage,
		"topics nonsense":                       exitUsage,
		"customer":                              exitUsage,
		"run":                                   exitUsage,
		"run --input-topic shop":                exitUsage, // no instance
		"run --clock-mode sundial":              exitUsage,
		"produce":                               exitUsage,
		"produce --topic shop":                  exitUsage,
		"produce --topic t --csv f --map time=": exitUsage, // every event has one
		"models put no-such-file.yaml":          exitError,
	} {
		if _, errs, code := lull(t, strings.Fields(line)...); code != want || code != 0 && errs == "" {
			t.Errorf("lull %s: exit code %d, want %d: %s", line, code, want, errs)
		}
	}
}

// TestVersion proves that `lull version` prints the versions of the state's formats that docs/operating/upgrading.md has.
func TestVersion(t *testing.T) {
	out, errs, code := lull(t, "version")
	name, formats, found := strings.Cut(out, "\nstate: ")
	if code != 0 || !found || !strings.HasPrefix(name, "lull ") {
		t.Fatalf("exit code %d, %q, %s", code, out, errs)
	}
	page, err := os.ReadFile("../../docs/operating/upgrading.md")
	if err != nil {
		t.Fatal(err)
	}
	for format := range strings.SplitSeq(strings.TrimSpace(formats), ", ") {
		i := strings.LastIndex(format, " ")
		if !regexp.MustCompile(`(?m)^\| [^|]*\b` + format[:i] + `\b[^|]* \| ` + format[i+1:] + `\b`).Match(page) {
			t.Errorf("the page's table has no %s", format)
		}
	}
}

// TestPanic proves that a panic ends the process by SIGABRT: Go's own exit code for it is exitUsage, which supervisors do not start again.
func TestPanic(t *testing.T) {
	process := exec.Command(os.Args[0])
	process.Dir, process.Env = t.TempDir(), append(os.Environ(), asLull+"="+panicking)
	output, err := process.CombinedOutput()
	if !strings.Contains(string(output), "panic: ") {
		t.Fatalf("no panic: %v, %s", err, output)
	}
	if status := process.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGABRT {
		t.Errorf("%v, want SIGABRT", err)
	}
}

// TestExitCodesPage proves that docs/operating/failures.md and `lull --help` name the exit codes that the program has, and no others, and that systemd starts it again after all but those that
// starting again does not help.
func TestExitCodesPage(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/operating/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := func(text, pattern string) (found []string) {
		for _, code := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			found = append(found, code[1])
		}
		return found
	}
	want := append([]string{"0"}, codes(string(source), `(?m)^\texit[A-Z]\w+ += ([0-9]+)`)...)
	if !slices.Contains(want, strconv.Itoa(exitFenced)) || !slices.IsSorted(want) {
		t.Fatalf("the codes in main.go are %v", want)
	}
	_, table, _ := strings.Cut(string(page), "## Exit codes")
	if got := codes(table, `(?m)^\| ([0-9]+) \|`); !slices.Equal(got, want) {
		t.Errorf("the page has the exit codes %v, the program %v", got, want)
	}
	_, help, _ := strings.Cut(newRoot().Long, "Exit codes: ")
	if got := codes(help, `(?:^|,\s)([0-9]) `); !slices.Equal(got, want) {
		t.Errorf("the help has the exit codes %v, the program %v", got, want)
	}
	unit, err := os.ReadFile("../../deploy/systemd/lull.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"Restart=always", fmt.Sprintf("RestartPreventExitStatus=%d %d", exitUsage, exitFenced)} {
		if !strings.Contains(string(unit), "\n"+line+"\n") {
			t.Errorf("the systemd unit has no line %s", line)
		}
	}
}
