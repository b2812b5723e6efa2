package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/operators"
	"lull/pipeline/query"
	"lull/pipeline/security"
	"lull/pipeline/securitytest"
	"lull/schemas"
)

// apiToken is a token of the read API.
const apiToken = "0123456789abcdef0123456789abcdef"

// askAPI asks a process for a path of the read API.
func askAPI(t *testing.T, client *http.Client, address, token, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// runGroup runs processes that ask each other, until each has so many partitions.
func (c *cluster) runGroup(s *Settings, scheme string, client *http.Client, partitions int, instances ...string) (processes []*process, addresses []string) {
	c.t.Helper()
	for _, instance := range instances {
		of := *s
		of.Instance, of.State.Dir, of.HTTP.Listen = instance, c.t.TempDir(), freeAddress(c.t)
		_, port, _ := net.SplitHostPort(of.HTTP.Listen)
		of.HTTP.Advertise = "localhost:" + port
		if err := of.Validate(); err != nil {
			c.t.Fatal(err)
		}
		processes = append(processes, c.run(of))
		addresses = append(addresses, scheme+"://localhost:"+port)
	}
	for _, address := range addresses {
		for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
			response, err := client.Get(address + "/readyz")
			if err != nil {
				continue
			}
			ready := response.StatusCode
			var body struct{ Partitions map[string]any }
			err = json.NewDecoder(response.Body).Decode(&body)
			response.Body.Close()
			if err == nil && ready == http.StatusOK && len(body.Partitions) == partitions {
				break
			}
		}
	}
	return processes, addresses
}

// TestAPIPlaces: with one input a customer is found from any process, whichever of the known partitioners has put them where they are, and one whom nobody knows is not known to any.
func TestAPIPlaces(t *testing.T) {
	c := newCluster(t)
	const partitions = 6
	s := c.application(partitions)
	c.publish(&s)
	processes, addresses := c.runGroup(&s, "http", http.DefaultClient, partitions/3, "one", "two", "three")
	manual := c.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer manual.Close()
	where := newPlacement(partitions)
	for i := range 12 {
		id := fmt.Sprintf("c%d", i)
		record := c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: id, ID: id, OrderID: id, Time: instant(t, "2024-01-01T00:00:00Z"), Amount: operators.Money(100 + i)})
		record.Partition = where.all([]byte(id))[i%3]
		if err := manual.ProduceSync(t.Context(), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
		for _, wait := range []string{fmt.Sprintf("?wait_for=%s/%d/%d", record.Topic, record.Partition, record.Offset), ""} {
			for n, address := range addresses {
				status, body := askAPI(t, http.DefaultClient, address, "", "/v1/customers/"+id+wait)
				if want := fmt.Sprintf(`"realized_value": %v,`, float64(100+i)/100); status != http.StatusOK || !strings.Contains(body, want) {
					t.Errorf("process %d on %s%s in partition %d: status %d: %s", n, id, wait, record.Partition, status, body)
				}
			}
		}
	}
	for i := range 12 {
		for n, address := range addresses {
			if status, body := askAPI(t, http.DefaultClient, address, "", fmt.Sprintf("/v1/customers/nobody%d", i)); status != http.StatusNotFound {
				t.Errorf("process %d on nobody %d: status %d: %s", n, i, status, body)
			}
		}
	}
	for _, p := range processes {
		p.end()
	}
}

// TestWaitForRefused: a record that is refused is not waited for in vain.
func TestWaitForRefused(t *testing.T) {
	for _, staged := range []bool{false, true} {
		t.Run(fmt.Sprintf("staged %t", staged), func(t *testing.T) {
			c := newCluster(t)
			s := c.application(1)
			if staged {
				s = c.staged()
			}
			c.publish(&s)
			processes, addresses := c.runGroup(&s, "http", http.DefaultClient, s.taskPartitions(1), "one")
			order := operators.Event{Kind: operators.OrderCompleted, Customer: "ann", ID: "1", OrderID: "1", Time: instant(t, "2024-01-01T00:00:00Z"), Amount: 100}
			for i, currency := range []string{s.Money.Currency, "XTS"} {
				value, err := schemas.EncodeEvent(nil, &order, currency)
				if err != nil {
					t.Fatal(err)
				}
				record := &kgo.Record{Topic: s.InputTopics()[0].Topic, Key: []byte("ann"), Value: value}
				c.produce(record)
				status, body := askAPI(t, http.DefaultClient, addresses[0], "", fmt.Sprintf("/v1/customers/ann?wait_for=%s/%d/%d", record.Topic, record.Partition, record.Offset))
				if status != http.StatusOK || !strings.Contains(body, `"realized_value": 1,`) {
					t.Errorf("record %d: status %d: %s", i, status, body)
				}
				order.ID, order.OrderID = "2", "2"
			}
			if letters := c.read(s.Topic(DeadLettersTopic)); len(letters) != 1 {
				t.Errorf("%d dead letters", len(letters))
			}
			processes[0].end()
		})
	}
}

// TestAPIOverGroup: both of two processes answer for all customers alike, with the write in it whose record they are asked to wait for, by plain text and by TLS with a token that is passed on; lists and
// counts have everybody. So it is with one input that is keyed by customer, and with two that are not.
func TestAPIOverGroup(t *testing.T) {
	for _, staged := range []bool{false, true} {
		for _, secured := range []bool{false, true} {
			t.Run(fmt.Sprintf("staged %t, secured %t", staged, secured), func(t *testing.T) {
				c := newCluster(t)
				s := c.application(4)
				if staged {
					s = c.staged()
				}
				c.publish(&s)
				scheme, client, token := "http", http.DefaultClient, ""
				if secured {
					dir := t.TempDir()
					scheme, token = "https", apiToken
					authority := securitytest.NewAuthority(t)
					s.HTTP.TLS = security.ListenerTLS{CertFile: filepath.Join(dir, "a.pem"), KeyFile: filepath.Join(dir, "a.key"), ClientCAFile: authority.File}
					authority.Issue(t, "localhost", time.Now().Add(time.Hour), s.HTTP.TLS.CertFile, s.HTTP.TLS.KeyFile)
					s.HTTP.Tokens = security.NewSecret(apiToken)
					client = s.HTTP.TLS.Client((&net.Dialer{}).DialContext)
					defer client.CloseIdleConnections()
				}
				processes, addresses := c.runGroup(&s, scheme, client, s.taskPartitions(4)/2, "one", "two")
				const customers = 12
				for i := range customers {
					id := fmt.Sprintf("customer %d", i)
					record := c.event(&s, operators.Event{Kind: operators.OrderCompleted, Customer: id, ID: id, OrderID: id, Time: instant(t, "2024-01-01T00:00:00Z"), Amount: operators.Money(100 + i)})
					if staged {
						record.Topic, record.Key = s.InputTopics()[i%2].Topic, nil
					}
					results := c.client.ProduceSync(t.Context(), record)
					if err := results.FirstErr(); err != nil {
						t.Fatal(err)
					}
					path := fmt.Sprintf("/v1/customers/customer%%20%d?wait_for=%s/%d/%d", i, record.Topic, record.Partition, record.Offset)
					for n := range addresses {
						status, body := askAPI(t, client, addresses[(i+n)%2], token, path)
						var card query.Card
						if err := json.Unmarshal([]byte(body), &card); err != nil || status != http.StatusOK || card.Facts.RealizedValue != float64(100+i)/100 {
							t.Fatalf("process %d on %s: status %d: %s", (i+n)%2, path, status, body)
						}
					}
				}
				var first string
				for n, address := range addresses {
					_, body := askAPI(t, client, address, token, "/v1/customers?limit=1000")
					var list query.List
					if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Customers) != customers || len(list.Missing) > 0 {
						t.Fatalf("process %d lists %s", n, body)
					}
					_, body = askAPI(t, client, address, token, "/v1/counts")
					var counts query.Counts
					if err := json.Unmarshal([]byte(body), &counts); err != nil || counts.Customers != customers || n > 0 && !bytes.Equal([]byte(body), []byte(first)) {
						t.Errorf("process %d counts %s, the first %s", n, body, first)
					}
					first = body
				}
				for path, want := range map[string]string{
					"?wait_for=another/0/1":                          `topic "another" is no input of this application`,
					"?wait_for=" + s.InputTopics()[0].Topic + "/9/1": "has partitions 0 to",
				} {
					if status, body := askAPI(t, client, addresses[0], token, "/v1/customers/customer%200"+path); status != http.StatusBadRequest || !strings.Contains(strings.ReplaceAll(body, `\"`, `"`), want) {
						t.Errorf("%s: status %d: %s", path, status, body)
					}
				}
				if secured {
					bare := s.HTTP.TLS.Client((&net.Dialer{}).DialContext)
					bare.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = nil
					defer bare.CloseIdleConnections()
					if status, body := askAPI(t, bare, addresses[0], "", "/v1/counts"); status != http.StatusUnauthorized {
						t.Errorf("without a token and a certificate: status %d: %s", status, body)
					}
					if status, _ := askAPI(t, bare, addresses[1], apiToken, "/v1/counts"); status != http.StatusOK {
						t.Errorf("with a token alone: status %d", status)
					}
				}
				for _, p := range processes {
					p.end()
					if strings.Contains(p.log.String(), apiToken) || strings.Contains(p.log.String(), "customer 1") {
						t.Errorf("a token or a customer is in the log: %s", p.log)
					}
				}
			})
		}
	}
}

// taskPartitions returns how many partitions tasks have, of an input that has so many.
func (s *Settings) taskPartitions(input int) int {
	if s.Staged() {
		return s.Topics.Partitions
	}
	return input
}

// TestAPIClosed: a process that is reached from other machines answers probes and metrics, and no question about customers, and says what to set.
func TestAPIClosed(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	_, port, _ := net.SplitHostPort(freeAddress(t))
	s.HTTP.Listen = "0.0.0.0:" + port
	p := c.run(s)
	s.HTTP.Listen = "127.0.0.1:" + port
	awaitReadiness(t, &s, p, `"ready":true`)
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/version"} {
		if status, body := askAPI(t, http.DefaultClient, "http://127.0.0.1:"+port, "", path); status != http.StatusOK {
			t.Errorf("%s: status %d: %s", path, status, body)
		}
	}
	for _, path := range []string{"/v1/customers/ann", "/v1/counts", "/v1/openapi.json", "/v1/"} {
		if status, body := askAPI(t, http.DefaultClient, "http://127.0.0.1:"+port, "", path); status != http.StatusForbidden || !strings.Contains(body, "Set http.tokens_file or LULL_HTTP_TOKENS") {
			t.Errorf("%s: status %d: %s", path, status, body)
		}
	}
	if metrics := ask(&s, "/metrics"); !strings.Contains(metrics, `lull_api_requests_total{code="403",route="/v1/counts"} 1`) || !strings.Contains(metrics, `lull_api_request_seconds_count{route="other"} 1`) {
		t.Errorf("the requests are not counted: %s", metrics)
	}
	p.end()
}

// TestTokensFileTold: a file of tokens that is spoilt while the process runs is told by /readyz and the log until it is mended; those from before go on.
func TestTokensFileTold(t *testing.T) {
	c := newCluster(t)
	s := c.application(1)
	s.HTTP.Listen, s.HTTP.TokensFile = freeAddress(t), filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		if err := os.WriteFile(s.HTTP.TokensFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(apiToken)
	p := c.run(s)
	awaitReadiness(t, &s, p, `"ready":true`)
	const warning = "the tokens of the read API are those from before: http.tokens_file"
	await := func(told bool) {
		t.Helper()
		for tick := time.NewTicker(20 * time.Millisecond); strings.Contains(ask(&s, "/readyz"), warning) != told; <-tick.C {
			if status, body := askAPI(t, http.DefaultClient, "http://"+s.HTTP.Listen, apiToken, "/v1/partitions"); status != http.StatusOK && status != http.StatusTooManyRequests {
				t.Fatalf("status %d: %s", status, body)
			}
		}
	}
	write("spoilt")
	await(true)
	write(apiToken + "\n")
	await(false)
	p.end()
	if log := p.log.String(); !strings.Contains(log, warning) || !strings.Contains(log, "are those of http.tokens_file again") || strings.Contains(log, "spoilt") {
		t.Errorf("the log is %s", log)
	}
}

// TestAdvertised: what a member tells the group is read from its metadata, and metadata of others have no address.
func TestAdvertised(t *testing.T) {
	r := &Runner{s: &Settings{HTTP: HTTPSettings{Advertise: "lull-0:8280"}}}
	meta := r.balancer().JoinGroupMetadata([]string{"b"}, map[string][]int32{"b": {1}}, 3)
	if !bytes.Contains(meta, []byte("http://lull-0:8280")) {
		t.Errorf("metadata %q", meta)
	}
	own := kgo.CooperativeStickyBalancer().JoinGroupMetadata([]string{"b"}, map[string][]int32{"b": {1}}, 3)
	for _, data := range [][]byte{nil, own, []byte("lull"), []byte("\xff\xfflull"), []byte("\x00\x01lull")} {
		if got := addressIn(data); got != "" {
			t.Errorf("%q has the address %q", data, got)
		}
	}
	if got := addressIn([]byte("x" + "http://a:1" + "\x00\x0alull")); got != "http://a:1" {
		t.Errorf("address %q", got)
	}
}

// TestDialWithin: a process whose machine does not answer is not waited for as long as an answer may take.
func TestDialWithin(t *testing.T) {
	dial := dialWithin(time.Millisecond, func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if _, err := dial(t.Context(), "tcp", "192.0.2.1:8280"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}

// TestAsks: a token goes to the address of a process alone, and by TLS if the listeners of the group have it.
func TestAsks(t *testing.T) {
	plain, encrypted := HTTPSettings{}, HTTPSettings{TLS: security.ListenerTLS{CertFile: "a.pem", KeyFile: "a.key"}}
	for address, by := range map[string]*HTTPSettings{
		"http://lull-0:8280": &plain, "https://lull-0:8280": &encrypted, "http://[::1]:8280": &plain,
		"": nil, "lull-0:8280": nil, "ftp://lull-0:8280": nil, "http://lull-0": nil, "https://lull-0:8280/v1?a=": nil, "http://lull-0:8280/": nil, "http://a@lull-0:8280": nil, "http://0.0.0.0:8280": nil,
	} {
		if plain.asks(address) != (by == &plain) || encrypted.asks(address) != (by == &encrypted) {
			t.Errorf("%q is asked by plain text %t, by TLS %t", address, plain.asks(address), encrypted.asks(address))
		}
	}
}

// TestMembersUnknown: a group that the brokers say nothing of is named.
func TestMembersUnknown(t *testing.T) {
	s := Settings{Group: "g"}
	m := &members{r: &Runner{s: &s, mu: newLock(), ids: topicIDs{partitions: 4}}, asking: newLock()}
	stopped, err := kgo.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	stopped.Close()
	m.r.adm = kadm.NewClient(stopped)
	_, err = m.Owners(t.Context(), true)
	if want := regexp.MustCompile(`^asking the brokers for the members of group "g": .+; try again$`); err == nil || !want.MatchString(err.Error()) {
		t.Errorf("error %v, want %s", err, want)
	}
}
