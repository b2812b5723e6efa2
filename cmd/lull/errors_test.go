package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// growing is what of a message grows with the settings, the topics and the state, or is another one each time.
var growing = regexp.MustCompile(`(at the top can stand: ).*|(become )[0-9]+|(reading partition )[0-9]+|(from 127\.0\.0\.1:|lull-snapshot-)[0-9]+|(: there are amount_inexact, ).*|(sessions, )(?:[a-z.-]+, )*[a-z.-]+`)

// TestErrors proves what somebody is told who has made a mistake, word for word: each file of testdata/errors is read from its top, in a folder and on a broker of its own, on which
// there is an empty topic shop. Commands:
//
//	file NAME    a file in the folder, or in one in it that is made; with compression=gzip or zstd compressed so, with cut=N without the last N of its bytes
//	records TOPIC  records in partition 0 of the topic, one a line: key, value and headers as NAME=VALUE, each as a Go string in quotes
//	member GROUP   a process that is a member of this group from here on
//	env NAME     the environment variable of this name from here on; nothing unsets it
//	user NAME    who runs what follows, in the file rights alone: admin may do everything, reader read and see, seer see that things are there, nobody nothing
//	lull         command lines, one a line; $AWAY is an address where nobody answers, $REGISTRY/503 one where
//	             a schema registry answers so to everything, and $REGISTRY/403+SUBJECT one where it does so to what is asked of this
//	             subject, and has nothing else yet. The output is the exit code and what is told, without the hint at --help;
//	             with out, before that what is printed
func TestErrors(t *testing.T) {
	datadriven.Walk(t, "testdata/errors", func(t *testing.T, path string) {
		broker := ""
		if filepath.Base(path) == "rights" {
			broker = newGuardedBroker(t)
		} else {
			broker = newBroker(t)
		}
		away, err := freeAddress()
		if err != nil {
			t.Fatal(err)
		}
		registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			first, asked, _ := strings.Cut(r.URL.Path[1:], "/")
			first, subject, _ := strings.Cut(first, "+")
			code, err := strconv.Atoi(first)
			if err != nil {
				t.Error(err)
			}
			switch {
			case strings.Contains(asked, subject):
			case strings.HasPrefix(asked, "config/"):
				fmt.Fprint(w, `{"compatibilityLevel": "FULL"}`)
				return
			case r.Method == http.MethodPost:
				fmt.Fprint(w, `{"id": 7}`)
				return
			default:
				code = 40401
			}
			if code < 1000 {
				w.WriteHeader(code)
				return
			}
			w.WriteHeader(code / 100)
			fmt.Fprintf(w, `{"error_code": %d, "message": "what it says"}`, code) // as Confluent's does: the status and two digits
		}))
		t.Cleanup(registry.Close)
		path, err = filepath.Abs(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Chdir(t.TempDir())
		t.Setenv("LULL_BROKERS", broker)
		hidden := strings.NewReplacer(broker, "BROKER", away, "AWAY", registry.URL, "REGISTRY")
		given := strings.NewReplacer("$AWAY", away, "$REGISTRY", registry.URL)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "file":
				writeGiven(t, d)
				return ""
			case "records":
				produceGiven(t, broker, d)
				return ""
			case "member":
				joinGroup(t, broker, d.CmdArgs[0].Key)
				return ""
			case "env":
				name := d.CmdArgs[0].Key
				t.Setenv(name, d.Input)
				if d.Input == "" {
					if err := os.Unsetenv(name); err != nil {
						t.Fatal(err)
					}
				}
				return ""
			case "user":
				t.Setenv("LULL_SECURITY_SASL_USERNAME", d.CmdArgs[0].Key)
				return ""
			}
			var told strings.Builder
			for line := range strings.Lines(d.Input) {
				words := strings.Fields(given.Replace(line))
				for i, word := range words {
					if word == `""` {
						words[i] = ""
					}
				}
				out, errs, code := lull(t, words...)
				if d.HasArg("out") {
					told.WriteString(out)
				}
				before, _, _ := strings.Cut(errs, "\nRun `lull ")
				before = growing.ReplaceAllString(before, "$1$2$3$4$5$6...")
				fmt.Fprintf(&told, "%d %s\n", code, strings.TrimSuffix(hidden.Replace(before), "\n"))
			}
			return told.String()
		})
	})
}

// writeGiven writes the file of a test's command.
func writeGiven(t *testing.T, d *datadriven.TestData) {
	t.Helper()
	text, compression, cut := d.Input+"\n", "", 0
	d.MaybeScanArgs(t, "compression", &compression)
	d.MaybeScanArgs(t, "cut", &cut)
	switch compression {
	case "gzip":
		text = compressed(t, []byte(text), func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	case "zstd":
		text = compressed(t, []byte(text), func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			if err != nil {
				t.Fatal(err)
			}
			return z
		})
	case "":
	default:
		t.Fatalf("%s: there is no compression %q", d.Pos, compression)
	}
	name := d.CmdArgs[0].Key
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text[:len(text)-cut]), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// produceGiven writes the records of a test's command.
func produceGiven(t *testing.T, broker string, d *datadriven.TestData) {
	t.Helper()
	unquote := func(text string) ([]byte, string) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			t.Fatalf("%s: %s: %v", d.Pos, text, err)
		}
		plain, err := strconv.Unquote(quoted)
		if err != nil {
			t.Fatalf("%s: %s: %v", d.Pos, text, err)
		}
		return []byte(plain), strings.TrimSpace(text[len(quoted):])
	}
	client := producer(t, broker)
	for line := range strings.Lines(d.Input) {
		r := &kgo.Record{Topic: d.CmdArgs[0].Key}
		r.Key, line = unquote(strings.TrimSpace(line))
		r.Value, line = unquote(line)
		for line != "" {
			var header []byte
			header, line = unquote(line)
			name, value, _ := strings.Cut(string(header), "=")
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: name, Value: []byte(value)})
		}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// joinGroup makes a process "one" a member of a group until the test ends.
func joinGroup(t *testing.T, broker, group string) {
	t.Helper()
	joined := make(chan struct{})
	client, err := newClient(t.Context(), reaching(broker), kgo.ConsumerGroup(group), kgo.InstanceID("one"), kgo.ConsumeTopics("shop"),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) { close(joined) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	<-joined
}

// newGuardedBroker returns the address of a broker with the topic shop that knows users and their rights. The environment has all of a login but the name.
func newGuardedBroker(t *testing.T) string {
	t.Helper()
	const mechanism, password = "PLAIN", "rights-secret"
	var seen, read []kfake.ACL
	for _, resource := range []kmsg.ACLResourceType{kmsg.ACLResourceTypeTopic, kmsg.ACLResourceTypeGroup, kmsg.ACLResourceTypeTransactionalId} {
		for _, name := range []string{"lull", "shop"} {
			of := kfake.ACL{Resource: resource, Name: name, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: kmsg.ACLOperationDescribe, Allow: true}
			seen = append(seen, of)
			for _, operation := range []kmsg.ACLOperation{kmsg.ACLOperationRead, kmsg.ACLOperationDescribe, kmsg.ACLOperationDescribeConfigs} {
				of.Operation = operation
				read = append(read, of)
			}
		}
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(8, "shop"), kfake.EnableSASL(), kfake.EnableACLs(),
		kfake.Superuser(mechanism, "admin", password), kfake.User(mechanism, "nobody", password), kfake.User(mechanism, "seer", password, seen...), kfake.User(mechanism, "reader", password, read...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	t.Setenv("LULL_SECURITY_SASL_MECHANISM", mechanism)
	t.Setenv("LULL_SECURITY_SASL_PASSWORD", password)
	return fake.ListenAddrs()[0]
}
