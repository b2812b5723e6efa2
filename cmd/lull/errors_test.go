package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// growing is what of a message grows with the settings, the topics and the state, or is another one each time.
var growing = regexp.MustCompile(`(at the top can stand: ).*|(become )[0-9]+|(reading partition )[0-9]+|(sessions, )(?:[a-z.-]+, )*[a-z.-]+`)

// TestErrors proves what somebody is told who has made a mistake, word for word: each file of testdata/errors is read from its top, in a folder and on a broker of its own, on which
// there is an empty topic shop. Commands:
//
//	file NAME    a file in the folder
//	env NAME     the environment variable of this name from here on; nothing unsets it
//	user NAME    who runs what follows, in the file rights alone: admin may do everything, reader read and see, seer see that things are there, nobody nothing
//	lull         command lines, one a line; $AWAY is an address where nobody answers, $REGISTRY/503 one where
//	             a schema registry answers so to everything. The output is the exit code and what is told, without the hint at --help
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
			code, err := strconv.Atoi(strings.Split(r.URL.Path, "/")[1])
			if err != nil {
				t.Error(err)
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
				if err := os.WriteFile(d.CmdArgs[0].Key, []byte(d.Input+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
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
				_, errs, code := lull(t, words...)
				before, _, _ := strings.Cut(errs, "\nRun `lull ")
				before = growing.ReplaceAllString(before, "$1$2$3$4...")
				fmt.Fprintf(&told, "%d %s\n", code, strings.TrimSuffix(hidden.Replace(before), "\n"))
			}
			return told.String()
		})
	})
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
