package pipeline

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/security"
	"lull/pipeline/securitytest"
)

// guarded is a cluster that checks rights: as the test sees it, who may do everything, and as a user does who may do what has been granted.
type guarded struct {
	*cluster
	name    string
	brokers []string
	secured security.Settings
}

// guard returns the real cluster with secured ports if there is one, else an embedded one, with a new user.
func guard(t *testing.T) *guarded {
	t.Helper()
	const password = "user-secret"
	login := func(user, password string) security.Settings {
		s := security.Settings{SASL: security.SASLSettings{Mechanism: "SCRAM-SHA-256", Username: user, Password: security.NewSecret(password)}}
		s.EnsureDefaults()
		return s
	}
	name := fmt.Sprintf("user-%d-%d", os.Getpid(), applications.Add(1))
	g := &guarded{name: name, secured: login(name, password)}
	if securitytest.Named() {
		real := securitytest.Open(t)
		g.cluster, g.brokers = connect(t, thisMachine().dial, real.Open), real.SASL
	} else {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("SCRAM-SHA-256", "admin", "admin"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fake.Close)
		g.cluster, g.brokers = connectBy(t, thisMachine().dial, fake.ListenAddrs(), login("admin", "admin")), fake.ListenAddrs()
	}
	securitytest.SetUser(t, g.adm, name, password)
	return g
}

// as returns the settings with which the user runs an application.
func (g *guarded) as(s Settings) Settings {
	s.Brokers, s.Security = g.brokers, g.secured
	return s
}

// only gives the user these rights and no others.
func (g *guarded) only(rights ...Right) {
	g.t.Helper()
	all := kadm.NewACLs().Allow("User:" + g.name).AllowHosts().ResourcePatternType(kadm.ACLPatternAny).AnyResource().Operations(kadm.OpAny)
	if _, err := g.adm.DeleteACLs(g.t.Context(), all); err != nil {
		g.t.Fatal(err)
	}
	request := kmsg.NewPtrCreateACLsRequest()
	for _, right := range rights {
		for _, operation := range right.Operations {
			c := kmsg.NewCreateACLsRequestCreation()
			var err error
			if c.ResourceType, err = kmsg.ParseACLResourceType(right.Resource); err != nil {
				g.t.Fatal(err)
			}
			if c.Operation, err = kmsg.ParseACLOperation(operation); err != nil {
				g.t.Fatal(err)
			}
			c.ResourceName, c.Principal, c.Host, c.PermissionType = right.Name, "User:"+g.name, "*", kmsg.ACLPermissionTypeAllow
			c.ResourcePatternType = kmsg.ACLResourcePatternTypeLiteral
			if right.Prefixed {
				c.ResourcePatternType = kmsg.ACLResourcePatternTypePrefixed
			}
			request.Creations = append(request.Creations, c)
		}
	}
	if len(request.Creations) == 0 {
		return
	}
	response, err := request.RequestWith(g.t.Context(), g.client)
	if err != nil {
		g.t.Fatal(err)
	}
	for _, r := range response.Results {
		if r.ErrorCode != 0 {
			g.t.Fatalf("granting a right: error %d", r.ErrorCode)
		}
	}
	// The brokers take rights in one after the other: when the last holds, all do.
	last := request.Creations[len(request.Creations)-1]
	filter := kadm.NewACLs().Allow("User:" + g.name).AllowHosts().ResourcePatternType(kadm.ACLPatternAny).AnyResource(last.ResourceName).Operations(last.Operation)
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		found, err := g.adm.DescribeACLs(g.t.Context(), filter)
		if err != nil {
			g.t.Fatal(err)
		}
		if len(found) > 0 && len(found[0].Described) > 0 {
			return
		}
	}
}

// without returns the rights less one operation on one resource.
func without(rights []Right, of int, operation string) (left []Right) {
	left = slices.Clone(rights)
	left[of].Operations = slices.DeleteFunc(slices.Clone(rights[of].Operations), func(o string) bool { return o == operation })
	return left
}

func roleNamed(t *testing.T, s *Settings, name string) Role {
	t.Helper()
	for _, role := range s.Roles("") {
		if role.Name == name {
			return role
		}
	}
	t.Fatalf("no role %q", name)
	return Role{}
}

// TestLeastRights proves that a process does all of its work with the rights of the role run, a fit and its adoption among it, and that it needs each of them: without
// any one /readyz and the log name the resource and say what to do, while the process goes on trying.
func TestLeastRights(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process for each right")
	}
	g := guard(t)
	s := g.application(1)
	s.Fit = FitSettings{Mode: "demand", StatisticsEvery: 10 * time.Millisecond}
	s.Commit.Interval, s.HTTP.Listen = 20*time.Millisecond, freeAddress(t)
	s.EnsureDefaults()
	for _, order := range shop(300, 200) {
		g.client.Produce(t.Context(), g.event(&s, order), nil)
	}
	if err := g.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.mark(&s, "1998-01-01T00:00:00Z")
	// There is something to read in every topic before the user comes.
	first := s
	first.Fit.Mode, first.OnStop = "off", "leave"
	p := g.run(first)
	g.await(&s, p)
	p.end()
	g.produce(&kgo.Record{Topic: s.Input.Topic, Value: []byte("a dead letter")})

	user := g.as(s)
	rights, asked := roleNamed(t, &user, "run").Rights, 0
	for i, right := range rights {
		if right.Name == user.ownerTransactionalID() {
			continue // it is needed once, and this prefix has an owner: TestRightToClaim
		}
		for _, operation := range right.Operations {
			g.only(without(rights, i, operation)...)
			g.ask(&s)
			asked++
			user.State.Dir = t.TempDir() // there is something to restore
			began := time.Now()
			p := g.run(user)
			name := strings.TrimSuffix(right.Name, "/") // of transactional ids, with the process's
			for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
				if answer := readyz(&user); strings.Contains(answer, name) && strings.Contains(answer, "lull acl print") {
					break
				}
				select {
				case err := <-p.done:
					t.Fatalf("without %s on %s the process ends: %v", operation, right.Name, err)
				default:
				}
				if time.Since(began) > 20*time.Second {
					t.Errorf("without %s on %s %q, /readyz says %s\n%s", operation, right.Resource, right.Name, readyz(&user), p.log)
					break
				}
			}
			p.stop()
			if err := <-p.done; err != nil {
				t.Errorf("without %s on %s %q the process ends with %v", operation, right.Resource, right.Name, err)
			}
			if log := p.log.String(); !strings.Contains(log, name) || !strings.Contains(log, "lull acl print") {
				t.Errorf("without %s on %s %q, the log says %s", operation, right.Resource, right.Name, log)
			}
			t.Logf("%s on %s %q: %s", operation, right.Resource, right.Name, time.Since(began))
		}
	}
	g.only(rights...)
	p = g.run(user)
	g.await(&user, p)
	if verdicts := g.verdicts(&s, asked); len(verdicts) != asked || !verdicts[0].Verdict.Adopted {
		t.Errorf("%d verdicts on %d requests, the first: %v", len(verdicts), asked, verdicts[0].Verdict)
	}
	awaitReadiness(t, &user, p, `"ready":true,"partitions"`) // without a warning
	p.end()
}

// TestRightToClaim proves that the first process under a prefix says so if it may not claim it, and goes on when it may.
func TestRightToClaim(t *testing.T) {
	g := guard(t)
	s := g.application(1)
	s.HTTP.Listen = freeAddress(t)
	user := g.as(s)
	rights := roleNamed(t, &user, "run").Rights
	claim := slices.IndexFunc(rights, func(r Right) bool { return r.Name == user.ownerTransactionalID() })
	g.only(without(rights, claim, opWrite)...)
	p := g.run(user)
	awaitReadiness(t, &user, p, user.ownerTransactionalID())
	awaitReadiness(t, &user, p, "lull acl print")
	g.only(rights...)
	awaitReadiness(t, &user, p, `"ready":true`)
	p.end()
}

// What brokers make of a certificate by rules of their own is not known here: who is to be allowed is told with that.
func TestMissingRightsOfCertificate(t *testing.T) {
	missing := missingRights{"Describe": {"shop"}}
	for _, c := range []struct {
		principal string
		subject   bool
		want      string
	}{
		{"User:me", false, "the brokers do not let User:me do what it must, which is Describe on shop: grant what `lull acl print --principal 'User:me'` prints"},
		{"User:CN=me", true, "the brokers do not let User:CN=me do what it must, which is Describe on shop: grant what `lull acl print --principal 'User:CN=me'` prints; if they have ssl.principal.mapping.rules, " +
			"--principal must be the name that those make of the certificate"},
		{"", false, "the brokers do not let this process do what it must, which is Describe on shop: grant what `lull acl print` prints, to the user that the brokers know this process by"},
	} {
		if got := missing.explain(c.principal, c.subject); got != c.want {
			t.Errorf("%s\nwant %s", got, c.want)
		}
	}
}

// Who may see nothing is told so once, with all topics, what must be allowed, and to whom; who may see some of it, what is missing.
func TestMissingRightsAreToldOnce(t *testing.T) {
	g := guard(t)
	s := g.application(1)
	user := g.as(s)
	check := func(want string) {
		t.Helper()
		client, err := kgo.NewClient(user.Access().Options("lull")...)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		plan, err := planTopics(t.Context(), kadm.NewClient(client), &user, 0)
		if err != nil {
			t.Fatal(err)
		}
		want = "topics: the brokers do not let User:" + g.name + " do what it must, which is " + want + ": grant what `lull acl print --principal 'User:" + g.name + "'` prints"
		if err := plan.Check(); err == nil || err.Error() != want {
			t.Errorf("%v\nwant %s", err, want)
		}
		for _, topic := range plan.Topics {
			if len(topic.Problems) > 0 {
				t.Errorf("topic %s: %q", topic.Name, topic.Problems)
			}
		}
	}
	var own []string
	for _, topic := range user.ownTopics() {
		own = append(own, user.Topic(topic.name))
	}
	g.only()
	check("Describe on " + s.Input.Topic + ", " + strings.Join(own, ", "))
	rights := []Right{user.onTopic(s.Input.Topic, opDescribe)}
	for _, name := range own[1:] {
		rights = append(rights, user.onTopic(name, opDescribe))
	}
	g.only(append(rights, user.onTopic(own[1], opDescribe, opDescribeConfigs))...)
	check("Describe on " + own[0] + "; and DescribeConfigs on " + strings.Join(own[2:], ", "))
}

// A process whose login is refused says so on /readyz and in the log, without the secret, goes on trying, and runs as soon as its file has the right password.
func TestWrongPassword(t *testing.T) {
	g := guard(t)
	s := g.application(1)
	s.HTTP.Listen = freeAddress(t)
	user := g.as(s)
	g.only(roleNamed(t, &user, "run").Rights...)
	const wrong = "not-the-secret"
	file := filepath.Join(t.TempDir(), "password")
	set := func(password string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	right := user.Security.SASL.Password
	user.Security.SASL.Password, user.Security.SASL.PasswordFile = security.Secret{}, file
	set(wrong)
	p := g.run(user)
	for _, text := range []string{"refuse this process", "security.sasl.password_file", "security.sasl.username"} {
		if !securitytest.Named() {
			text = "no broker of " // the embedded one says nothing, it ends the connection
		}
		awaitReadiness(t, &user, p, text)
	}
	set(right.Reveal())
	awaitReadiness(t, &user, p, `"ready":true`)
	p.end()
	log := p.log.String()
	if strings.Contains(log, wrong) || strings.Contains(log, right.Reveal()) {
		t.Errorf("the log tells a secret:\n%s", log)
	}
	if securitytest.Named() && !strings.Contains(log, "security.sasl.password_file") {
		t.Errorf("the log does not say what is wrong:\n%s", log)
	}
}

// TestNoToken proves that a process which gets no token to log in with says so on /readyz, names the server of tokens and blames no broker, and runs as soon as that gives one.
func TestNoToken(t *testing.T) {
	fake, c := embedded(t)
	s := c.application(1)
	s.HTTP.Listen = freeAddress(t)
	c.publish(&s)
	for _, key := range []kmsg.Key{kmsg.SASLHandshake, kmsg.SASLAuthenticate} { // any token will do
		fake.ControlKey(int16(key), func(request kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			return request.ResponseKind(), nil, true
		})
	}
	var given atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !given.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token": "a", "token_type": "Bearer", "expires_in": 3600}`)
	}))
	t.Cleanup(server.Close)
	s.Security.SASL = security.SASLSettings{Mechanism: "OAUTHBEARER", TokenURL: server.URL, ClientID: "lull", ClientSecret: security.NewSecret("a-Secret-0")}
	p := c.run(s)
	awaitReadiness(t, &s, p, fmt.Sprintf("there is no token to log in to %s with: ", strings.Join(s.Brokers, ", ")))
	awaitReadiness(t, &s, p, "gives no token (security.sasl.token_url): 503 Service Unavailable: its log says more")
	given.Store(true)
	awaitReadiness(t, &s, p, `"ready":true`)
	p.end()
	if log := p.log.String(); strings.Contains(log, "no broker of") || strings.Contains(log, "a-Secret-0") {
		t.Errorf("the log blames brokers, or tells a secret:\n%s", log)
	}
}

// TestRightsOfScheduledSnapshots proves that a process which takes snapshots may read all that the role snapshot reads, and that one which takes none needs no more than before.
func TestRightsOfScheduledSnapshots(t *testing.T) {
	s := DefaultSettings()
	s.Input.Topic = "shop"
	reads := func(role, topic string) bool {
		return slices.ContainsFunc(roleNamed(t, &s, role).Rights, func(r Right) bool {
			return r.Resource == topicResource && r.Name == topic && slices.Contains(r.Operations, opRead)
		})
	}
	if reads("run", s.Topic(SegmentsTopic)) {
		t.Error("without snapshots the segments are read")
	}
	s.Snapshots.Every = time.Hour
	for _, right := range roleNamed(t, &s, "snapshot").Rights {
		if !reads("run", right.Name) {
			t.Errorf("%s is read by snapshots, and not by run", right.Name)
		}
	}
}
