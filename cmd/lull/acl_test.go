package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/security"
	"lull/pipeline/securitytest"
	"lull/schemas"
)

// The commands say the same as the JSON: each operation on each resource, for the principal that it is for.
func TestACLPrint(t *testing.T) {
	args := []string{"acl", "print", "--brokers", "k:1", "--prefix", "my's.", "--group", "my", "--input-topic", "shop", "--principal", "User:me", "--subscriber", "User:crm"}
	text, errs, code := lull(t, args...)
	if code != 0 {
		t.Fatalf("exit code %d, %s", code, errs)
	}
	var fromText, fromJSON []string
	flag := regexp.MustCompile(`--(\S+) ('(?:[^']|'\\'')*'|\S+)`)
	for _, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "kafka-acls ") {
			continue
		}
		var principal, resource, pattern string
		var operations []string
		pattern = "literal"
		for _, f := range flag.FindAllStringSubmatch(strings.Replace(line, " --add ", " ", 1), -1) {
			value := strings.Trim(strings.ReplaceAll(f[2], `'\''`, "’"), "'")
			switch f[1] {
			case "allow-principal":
				principal = value
			case "operation":
				operations = append(operations, value)
			case "topic", "group", "transactional-id":
				resource = strings.ReplaceAll(f[1], "-", "") + " " + strings.ReplaceAll(value, "’", "'")
			case "resource-pattern-type":
				pattern = value
			}
		}
		for _, operation := range operations {
			fromText = append(fromText, fmt.Sprint(principal, " ", operation, " ", resource, " ", pattern))
		}
	}
	out, errs, code := lull(t, append(args, "--format", "json")...)
	var entries []aclEntry
	if err := json.Unmarshal([]byte(out), &entries); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s%s", code, err, out, errs)
	}
	for _, e := range entries {
		fromJSON = append(fromJSON, fmt.Sprint(e.Principal, " ", e.Operation, " ", strings.ToLower(e.ResourceType), " ", e.ResourceName, " ", strings.ToLower(e.PatternType)))
	}
	if !slices.Equal(fromText, fromJSON) {
		t.Errorf("the commands say\n%s\nand the JSON\n%s", strings.Join(fromText, "\n"), strings.Join(fromJSON, "\n"))
	}
	for _, want := range []string{
		"User:me Read topic shop literal", "User:me Write topic my's.scores literal", "User:me Create topic my's.changelog literal", "User:me Read group my-fitter literal",
		"User:me Write transactionalid my/ prefixed", "User:crm Read topic my's.triggers literal", "User:crm Read group crm literal",
	} {
		if !slices.Contains(fromJSON, want) {
			t.Errorf("no %q in\n%s", want, strings.Join(fromJSON, "\n"))
		}
	}
	for _, wrong := range []string{"User:crm Write", "User:crm Read topic my's.changelog", "User:crm Read topic my's.dead-letters"} {
		if strings.Contains(strings.Join(fromJSON, "\n"), wrong) {
			t.Errorf("%q is granted", wrong)
		}
	}
	without, _, _ := lull(t, append(args, "--fit-mode", "off", "--for", "run")...)
	if strings.Contains(without, "fitter") || strings.Contains(without, "Create") || !strings.Contains(without, "--operation Describe --operation DescribeConfigs --topic 'my'\\''s.fits'") {
		t.Errorf("without a fitter\n%s", without)
	}
	for line, want := range map[string]string{
		"acl print": `input.topic is ""`,
		"acl print --input-topic shop --principal lull":   `--principal is "lull": it must be TYPE:NAME`,
		"acl print --input-topic shop --format yaml":      `--format is "yaml"`,
		"acl print --input-topic shop --for run,walk":     `--for is "walk": it must be a list of run, apply`,
		"acl print --input-topic shop --subscriber User:": `--subscriber is "User:"`,
	} {
		if _, errs, code := lull(t, strings.Fields(line)...); code != exitUsage || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, %s; want %q", line, code, errs, want)
		}
	}
}

// TestStrimzi proves that what lies in deploy/strimzi is what the commands print that stand in it, by deploy/lull.yaml, and asks no broker.
func TestStrimzi(t *testing.T) {
	for file, args := range map[string]string{
		"topics": "topics print --config ../../deploy/lull.yaml --input-partitions 8",
		"users":  "acl print --config ../../deploy/lull.yaml --for run,apply,subscribe --format strimzi",
	} {
		out, errs, code := lull(t, strings.Fields(args)...)
		text := readFile(t, "../../deploy/strimzi/"+file+".yaml")
		var objects strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				objects.WriteString(line)
			}
		}
		if code != 0 || errs != "" || out != objects.String() {
			t.Errorf("%s: exit code %d, %s\n%s\nand deploy/strimzi/%s.yaml has\n%s", args, code, errs, out, file, text)
		}
	}
	out, _, _ := lull(t, strings.Fields("acl print --input-topic shop --for run --format strimzi --principal User:crm.1 --cluster east")...)
	if strings.Count(out, "kind: KafkaUser") != 1 || !strings.Contains(out, "name: crm.1\n  labels:\n    strimzi.io/cluster: east\n") {
		t.Error(out)
	}
}

// A secret stands in no file of settings and has no flag; the environment can hold it, and nothing shows it.
func TestSecretSettings(t *testing.T) {
	const secret = "hunter-2-secret"
	_, err := load(t, "security: {sasl: {password: "+secret+"}}", nil)
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Fatalf("error %v", err)
	}
	for _, want := range []string{`"security.sasl.password" holds a secret`, `"security.sasl.password_file"`, "LULL_SECURITY_SASL_PASSWORD"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q does not tell %q", err, want)
		}
	}
	s, err := load(t, "security: {sasl: {mechanism: PLAIN, username: ann}}", []string{"LULL_SECURITY_SASL_PASSWORD=" + secret})
	if err != nil {
		t.Fatal(err)
	}
	if s.Security.SASL.Password.Reveal() != secret || s.Security.Validate() != nil {
		t.Errorf("the password is %q, %v", s.Security.SASL.Password.Reveal(), s.Security.Validate())
	}
	if shown := fmt.Sprintf("%+v %v", s, newTail(s, "x")); strings.Contains(shown, secret) {
		t.Errorf("shown: %s", shown)
	}
	if _, errs, code := lull(t, "run", "--security-sasl-password", secret); code != exitUsage || !strings.Contains(errs, "unknown flag") || strings.Contains(errs, secret) {
		t.Errorf("exit code %d, %s", code, errs)
	}
	broken := writeFile(t, "lull.yaml", "security: {sasl: {mechanism: PLAIN, username: ann}}")
	if _, errs, code := lull(t, "tail", "shop", "--config", broken); code != exitUsage || !strings.Contains(errs, "security.sasl.password_file") {
		t.Errorf("exit code %d, %s", code, errs)
	}
}

// Without --principal the rights are for whom the settings log in as, and where there is a login the commands need one too; that brokers make names of certificates by rules of their own is said.
func TestACLPrincipal(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	securitytest.NewAuthority(t).Issue(t, "shop,lull", time.Now().Add(time.Hour), cert, key)
	const byRules = "lull: brokers with ssl.principal.mapping.rules make another name of a certificate than its subject, 'User:CN=shop\\,lull': give that by --principal\n"
	const byToken = "lull: brokers take the name from the token, or from a certificate that cannot be read here: give it by --principal\n"
	mutual := fmt.Sprintf("{tls: {enabled: true, cert_file: %s, key_file: %s}}", cert, key)
	token := "{sasl: {mechanism: OAUTHBEARER, token_url: \"https://login.example.com/token\", client_id: me, client_secret_file: " + cert + "}}"
	for _, c := range []struct{ secured, flag, want, told string }{
		{"{}", "", "User:lull", ""},
		{"{sasl: {mechanism: PLAIN, username: me, password_file: " + cert + "}}", "", "User:me", ""},
		{mutual, "", `User:CN=shop\,lull`, byRules},
		{mutual, "--principal=User:shop", "User:shop", ""},
		{token, "", "User:lull", byToken},
		{token, "--principal=User:me", "User:me", ""},
	} {
		config := writeFile(t, "lull.yaml", "input: {topic: shop}\nsecurity: "+c.secured+"\n")
		out, errs, code := lull(t, append([]string{"acl", "print", "--config", config, "--for", "run"}, strings.Fields(c.flag)...)...)
		if code != 0 || errs != c.told || !strings.Contains(out, " --allow-principal '"+c.want+"' ") ||
			strings.Contains(out, " --command-config admin.properties --add ") != (c.secured != "{}") || strings.HasPrefix(out, "# admin.properties: ") != (c.secured != "{}") {
			t.Errorf("%s %s: exit code %d, %q, %s", c.secured, c.flag, code, errs, out)
		}
	}
}

// tenant is an application on a cluster with secured ports. Each role is another user, with the rights that acl print prints for it and no others.
type tenant struct {
	t       *testing.T
	cluster *securitytest.Cluster
	admin   *kadm.Client
	dir     string
	id      string
}

// config returns the file of settings of a role's user, who comes by a port and is secured so.
func (n *tenant) config(role string, brokers []string, secured, more string) string {
	path := filepath.Join(n.dir, role+".yaml")
	text := fmt.Sprintf("brokers: [%q]\nprefix: %s.\ninput: {topic: orders-%s}\nsecurity: %s\n%s\n", brokers[0], n.id, n.id, secured, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return path
}

// grant gives users the rights that acl print prints for a role.
func (n *tenant) grant(config string, roles, principal string) {
	n.t.Helper()
	var entries []aclEntry
	out := n.lull("acl", "print", "--config", config, "--for", roles, "--format", "json", "--principal", principal, "--subscriber", principal, "--subscriber-group", n.id+"-crm")
	if err := json.Unmarshal([]byte(out), &entries); err != nil {
		n.t.Fatal(err)
	}
	for _, e := range entries {
		acl := kadm.NewACLs().Allow(e.Principal).AllowHosts(e.Host).ResourcePatternType(kadm.ACLPatternLiteral)
		if e.PatternType == "Prefixed" {
			acl = acl.ResourcePatternType(kadm.ACLPatternPrefixed)
		}
		switch e.ResourceType {
		case "Topic":
			acl = acl.Topics(e.ResourceName)
		case "Group":
			acl = acl.Groups(e.ResourceName)
		case "TransactionalId":
			acl = acl.TransactionalIDs(e.ResourceName)
		}
		operation := map[string]kadm.ACLOperation{
			"Read": kadm.OpRead, "Write": kadm.OpWrite, "Create": kadm.OpCreate, "Describe": kadm.OpDescribe, "DescribeConfigs": kadm.OpDescribeConfigs,
			"AlterConfigs": kadm.OpAlterConfigs, "Delete": kadm.OpDelete,
		}[e.Operation]
		results, err := n.admin.CreateACLs(n.t.Context(), acl.Operations(operation))
		if err != nil {
			n.t.Fatal(err)
		}
		for _, r := range results {
			if r.Err != nil {
				n.t.Fatal(r.Err)
			}
		}
	}
}

func (n *tenant) lull(args ...string) string {
	n.t.Helper()
	out, errs, code := lull(n.t, args...)
	if code != 0 {
		n.t.Fatalf("%v: exit code %d:\n%s%s", args, code, out, errs)
	}
	return out
}

// TestRoles is the life of an application on brokers that check everything, each step by a user of its own with the printed rights and no others: topics by SCRAM,
// orders by SCRAM with TLS, the pipeline by a certificate, the fit and the reading by tokens, the subscriber by SCRAM. What a role is not for, its user cannot do, and is
// told what is missing.
func TestRoles(t *testing.T) {
	if testing.Short() {
		t.Skip("runs processes")
	}
	c := securitytest.Open(t)
	n := &tenant{t: t, cluster: c, admin: c.Admin(t), dir: t.TempDir(), id: "roles" + strconv.FormatInt(time.Now().UnixNano(), 36)}
	user := func(role string) string { return n.id + "-" + role }
	const password = "role-secret-1"
	secret := filepath.Join(n.dir, "secret")
	if err := os.WriteFile(secret, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	scram := func(role string) string {
		securitytest.SetUser(t, n.admin, user(role), password)
		return fmt.Sprintf("sasl: {mechanism: SCRAM-SHA-512, username: %s, password_file: %s}", user(role), secret)
	}
	trust := fmt.Sprintf("enabled: true, ca_file: %s", c.Authority.File)
	cert, key := filepath.Join(n.dir, "cert.pem"), filepath.Join(n.dir, "key.pem")
	c.Authority.Issue(t, user("run"), time.Now().Add(time.Hour), cert, key)
	tokens := c.Tokens(t, user("operate"), password, time.Minute)
	http, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}

	apply := n.config("apply", c.SASL, "{"+scram("apply")+"}", "")
	produce := n.config("produce", c.SASLTLS, "{tls: {"+trust+"}, "+scram("produce")+"}", "")
	operate := n.config("operate", c.SASLTLS, fmt.Sprintf("{tls: {%s}, sasl: {mechanism: OAUTHBEARER, token_url: %q, client_id: %s, client_secret_file: %s}}",
		trust, tokens.URL, securitytest.ClientID, secret), "")
	run := n.config("run", c.TLS, fmt.Sprintf("{tls: {%s, cert_file: %s, key_file: %s}}", trust, cert, key), fmt.Sprintf(
		"instance: one\nstate: {dir: %s}\nhttp: {listen: %q}\nclock: {mode: event}\nfit: {mode: demand, statistics_every: 50ms}\ncommit: {session_timeout: 10s}\non_stop: leave", filepath.Join(n.dir, "state"), http))
	n.grant(apply, "apply,apply-input", "User:"+user("apply"))
	n.grant(produce, "produce", "User:"+user("produce"))
	n.grant(operate, "operate,tail", "User:"+user("operate"))
	n.grant(run, "run", "User:"+user("run"))

	n.lull("topics", "apply", "--config", apply, "--input-partitions", "2")
	s := &shopOnKafka{t: t, broker: c.Open[0], prefix: n.id + ".", input: "orders-" + n.id, config: run}
	orders := filepath.Join(n.dir, "orders.csv")
	if err := os.WriteFile(orders, s.rows("1997-01-01", "1997-06-30"), 0o600); err != nil {
		t.Fatal(err)
	}
	n.lull("produce", "--config", produce, "--csv", orders, "--map", "customer_id=customer_id,time=date,amount=amount,message_id=id,order_id=id", "--time-mark", "1997-06-30")
	s.process = process{config: run, log: filepath.Join(n.dir, "log"), ready: "http://" + http + "/readyz", patience: time.Minute}
	s.start()
	s.awaitStatistics("1997-06-30", 2)
	if out := n.lull("fit", "--config", operate); !strings.HasPrefix(out, "adopted ") {
		t.Fatalf("the fit: %s", out)
	}
	if out := n.lull("models", "list", "--config", operate); !strings.Contains(out, "fit-1997-06-30") {
		t.Errorf("the models: %s", out)
	}
	s.await("scores", func() bool { return n.lull("tail", "scores", "-n", "1", "--config", operate) != "" })
	for _, topic := range ownTopics() {
		n.lull("tail", topic, "-n", "1", "--config", operate)
	}
	n.subscribe(user("subscribe"), password)
	taker := n.config("snapshot", c.SASL, "{"+scram("snapshot")+"}", "")
	n.grant(taker, "snapshot", "User:"+user("snapshot"))
	if out := n.lull("snapshot", "--from-changelog", "--out", t.TempDir(), "--config", taker); !strings.Contains(out, " written: as of 1997-06-30") {
		t.Errorf("the snapshot: %s", out)
	}

	// What a role is not for.
	for _, at := range []struct {
		args []string
		want string
	}{
		{[]string{"tail", "scores", "--config", produce}, n.id + ".scores"},
		{[]string{"produce", "--time-mark", "1997-07-01", "--config", operate}, "orders-" + n.id},
		{[]string{"fit", "--config", apply}, n.id + ".fits"},
		{[]string{"models", "list", "--config", produce}, n.id + ".models"},
		{[]string{"topics", "apply", "--config", produce}, n.id + ".sessions"},
	} {
		out, errs, code := lull(t, at.args...)
		if code != exitError || !strings.Contains(errs, at.want) || !strings.Contains(errs, "lull acl print") {
			t.Errorf("%v: exit code %d, %s%s; want %q", at.args, code, out, errs, at.want)
		}
	}
	if err := s.process.stop(); err != nil {
		t.Error(err)
	}
	// A second application beside it, as one is when settings that shape a state are to change, and then no more of the first.
	second := n.id + "-second."
	secondly := writeFile(t, "second.yaml", fmt.Sprintf("brokers: [%q]\nprefix: %s\ninput: {topic: orders-%s}\n", c.Open[0], second, n.id))
	n.lull("topics", "apply", "--config", secondly)
	diff, reset := n.config("diff", c.SASL, "{"+scram("diff")+"}", ""), n.config("reset", c.SASL, "{"+scram("reset")+"}", "")
	n.grant(diff, "diff", "User:"+user("diff"))
	n.grant(secondly, "diff", "User:"+user("diff"))
	out, errs, code := lull(t, "diff", n.id+".", second, "--config", diff)
	if code != exitError || !strings.Contains(out, "scores") || strings.Contains(errs, "AUTHORIZATION") {
		t.Errorf("the comparison: exit code %d, %s%s", code, out, errs)
	}
	n.grant(reset, "reset", "User:"+user("reset"))
	if out := n.lull("reset", "--outputs", "--yes", "--config", reset); !strings.Contains(out, "removed.") {
		t.Errorf("reset: %s", out)
	}

	log, err := os.ReadFile(s.process.log)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(log), "AUTHORIZATION") || strings.Contains(string(log), password) {
		t.Errorf("the log:\n%s", log)
	}
}

// subscribe reads the scores in a group as a subscriber does.
func (n *tenant) subscribe(user, password string) {
	n.t.Helper()
	securitytest.SetUser(n.t, n.admin, user, password)
	config := n.config("subscribe", n.cluster.SASL, "{}", "")
	n.grant(config, "subscribe", "User:"+user)
	s := reaching(n.cluster.SASL...)
	s.Security.SASL = security.SASLSettings{Mechanism: "SCRAM-SHA-256", Username: user, Password: security.NewSecret(password)}
	client, err := newClient(n.t.Context(), s, kgo.ConsumerGroup(n.id+"-crm"), kgo.ConsumeTopics(n.id+".scores"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	if err != nil {
		n.t.Fatal(err)
	}
	defer client.Close()
	fetches := client.PollFetches(n.t.Context())
	if err := fetches.Err(); err != nil {
		n.t.Fatal(err)
	}
	if _, err := schemas.DecodeOutput(schemas.Scores, fetches.Records()[0].Value); err != nil {
		n.t.Error(err)
	}
	if err := client.CommitUncommittedOffsets(n.t.Context()); err != nil {
		n.t.Error(err)
	}
}
