package security_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"lull/pipeline/security"
	"lull/pipeline/securitytest"
)

// The secrets of these tests: none may be in any error.
const (
	password = "a-Secret-0"
	wrong    = "b-Secret-1"
)

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, address)
}

// ping connects, logs in and asks for the brokers.
func ping(t *testing.T, brokers []string, s security.Settings) error {
	t.Helper()
	s.EnsureDefaults()
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	return pingAs(t, security.New(brokers, s, dial))
}

func pingAs(t *testing.T, access *security.Access) error {
	t.Helper()
	client, err := kgo.NewClient(access.Options("test")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return security.Explain(client.Ping(ctx))
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPorts proves that each kind of port is reached with the right settings, and that with wrong ones the error says what is wrong and what to do, and holds no
// secret.
func TestPorts(t *testing.T) {
	t.Parallel()
	c := securitytest.Open(t)
	const user = "ports"
	securitytest.SetUser(t, c.Admin(t), user, password)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	right, bad := write(t, file("right"), password+"\n"), write(t, file("wrong"), wrong)
	other := securitytest.NewAuthority(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	c.Authority.Issue(t, user, tomorrow, file("client.pem"), file("client.key"))
	other.Issue(t, user, tomorrow, file("other.pem"), file("other.key"))
	c.Authority.Issue(t, user, time.Now().Add(-time.Hour), file("old.pem"), file("old.key"))
	tokens, expired := c.Tokens(t, user, password, time.Minute), c.Tokens(t, user, password, -time.Minute)

	plain := security.TLSSettings{}
	trusting := security.TLSSettings{Enabled: true, CAFile: c.Authority.File}
	showing := func(name string) security.TLSSettings {
		return security.TLSSettings{Enabled: true, CAFile: c.Authority.File, CertFile: file(name + ".pem"), KeyFile: file(name + ".key")}
	}
	none := security.SASLSettings{}
	login := func(mechanism, path string) security.SASLSettings {
		return security.SASLSettings{Mechanism: mechanism, Username: user, PasswordFile: path}
	}
	inEnvironment := security.SASLSettings{Mechanism: "PLAIN", Username: securitytest.PlainUser, Password: security.NewSecret(securitytest.PlainPassword)}
	bearer := func(url, path string) security.SASLSettings {
		return security.SASLSettings{Mechanism: "OAUTHBEARER", TokenURL: url, ClientID: securitytest.ClientID, ClientSecretFile: path}
	}
	for _, at := range []struct {
		name    string
		brokers []string
		tls     security.TLSSettings
		sasl    security.SASLSettings
		want    []string // in the error; none: no error
	}{
		{"PLAIN", c.SASL, plain, inEnvironment, nil},
		{"SCRAM-SHA-256", c.SASL, plain, login("SCRAM-SHA-256", right), nil},
		{"SCRAM-SHA-512", c.SASL, plain, login("SCRAM-SHA-512", right), nil},
		{"a certificate", c.TLS, showing("client"), none, nil},
		{"a certificate and a broker's name", c.TLS, security.TLSSettings{Enabled: true, CAFile: c.Authority.File, CertFile: file("client.pem"), KeyFile: file("client.key"), ServerName: "localhost"}, none, nil},
		{"SCRAM by TLS", c.SASLTLS, trusting, login("SCRAM-SHA-512", right), nil},
		{"a token", c.SASLTLS, trusting, bearer(tokens.URL, right), nil},

		{"PLAIN, wrong password", c.SASL, plain, security.SASLSettings{Mechanism: "PLAIN", Username: securitytest.PlainUser, PasswordFile: bad}, []string{"do not take this login", "security.sasl.password_file"}},
		{"SCRAM, wrong password", c.SASL, plain, login("SCRAM-SHA-256", bad), []string{"do not take this login", "security.sasl.username", "LULL_SECURITY_SASL_PASSWORD"}},
		{"SCRAM by TLS, wrong password", c.SASLTLS, trusting, login("SCRAM-SHA-512", bad), []string{"do not take this login"}},
		{"a mechanism of another port", c.SASL, plain, bearer(tokens.URL, right), []string{"does not know security.sasl.mechanism"}},
		{"a login where none is wanted", c.Open, plain, login("SCRAM-SHA-256", right), []string{"name the port that does in brokers"}},
		{"no login where one is wanted", c.SASL, plain, none, []string{"SASL", "set security.sasl.mechanism"}},
		{"plain text to TLS", c.TLS, plain, none, []string{"set security.tls.enabled to true"}},
		{"plain text with a login to TLS", c.SASLTLS, plain, login("SCRAM-SHA-256", right), []string{"set security.tls.enabled to true"}},
		{"TLS to plain text", c.Open, trusting, none, []string{"does not answer as TLS does", "set security.tls.enabled to false"}},
		{"a broker of an unknown authority", c.SASLTLS, security.TLSSettings{Enabled: true, CAFile: other.File}, login("SCRAM-SHA-256", right), []string{c.SASLTLS[0], "security.tls.ca_file", "unknown authority"}},
		{"a broker of another name", c.SASLTLS, security.TLSSettings{Enabled: true, CAFile: c.Authority.File, ServerName: "kafka.example.com"}, login("SCRAM-SHA-256", right), []string{"kafka.example.com", "security.tls.server_name"}},
		{"no certificate", c.TLS, trusting, none, []string{"security.tls.cert_file"}},
		{"a certificate of an unknown authority", c.TLS, showing("other"), none, []string{"security.tls.cert_file"}},
		{"an expired certificate", c.TLS, showing("old"), none, []string{"security.tls.cert_file", file("old.pem"), "valid from"}},
		{"an expired token", c.SASLTLS, trusting, bearer(expired.URL, right), []string{"refuses the token", "invalid_token", "expired", "security.sasl.scope"}},
		{"a wrong client secret", c.SASLTLS, trusting, bearer(tokens.URL, bad), []string{tokens.URL, "401", "invalid_client", "security.sasl.client_secret_file"}},
		{"a token server that is away", c.SASLTLS, trusting, bearer("http://127.0.0.1:1/token", right), []string{"http://127.0.0.1:1/token", "security.sasl.token_url", "refused"}},
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			err := ping(t, at.brokers, security.Settings{TLS: at.tls, SASL: at.sasl})
			if len(at.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			t.Log(err)
			for _, want := range at.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not tell %q", err, want)
				}
			}
			for _, secret := range []string{password, wrong, securitytest.PlainPassword} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("error %q tells a secret", err)
				}
			}
		})
	}
}

// Files that are replaced hold for the next connection: a certificate, the authority that brokers are trusted by, a password, and the secret that tokens are
// asked for with. What was replaced by something wrong is told, and the next right one is taken.
func TestRotation(t *testing.T) {
	t.Parallel()
	c := securitytest.Open(t)
	admin := c.Admin(t)
	const user = "rotation"
	securitytest.SetUser(t, admin, user, password)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	authority, err := os.ReadFile(c.Authority.File)
	if err != nil {
		t.Fatal(err)
	}
	tokens := c.Tokens(t, user, password, time.Minute)
	secret := write(t, file("secret"), password+"\n")
	ca := write(t, file("ca.pem"), string(authority))
	tomorrow := time.Now().Add(24 * time.Hour)
	c.Authority.Issue(t, user, tomorrow, file("cert.pem"), file("key.pem"))

	tls := security.TLSSettings{Enabled: true, CAFile: ca}
	mutual := security.TLSSettings{Enabled: true, CAFile: ca, CertFile: file("cert.pem"), KeyFile: file("key.pem")}
	accesses := map[string]*security.Access{
		"certificate": security.New(c.TLS, security.Settings{TLS: mutual}, dial),
		"password":    security.New(c.SASLTLS, security.Settings{TLS: tls, SASL: security.SASLSettings{Mechanism: "SCRAM-SHA-256", Username: user, PasswordFile: secret}}, dial),
		"token": security.New(c.SASLTLS, security.Settings{TLS: tls, SASL: security.SASLSettings{
			Mechanism: "OAUTHBEARER", TokenURL: tokens.URL, ClientID: securitytest.ClientID, ClientSecretFile: secret}}, dial),
	}
	check := func(when string, refused ...string) {
		t.Helper()
		for name, access := range accesses {
			err := pingAs(t, access)
			if want := slices.Contains(refused, name); want != (err != nil) {
				t.Errorf("%s: %s: %v", when, name, err)
			}
		}
	}
	check("at first")
	// The files fall behind the brokers.
	securitytest.SetUser(t, admin, user, wrong)
	tokens.Change(wrong)
	securitytest.NewAuthority(t).Issue(t, user, tomorrow, file("cert.pem"), file("key.pem"))
	check("when the brokers have changed", "certificate", "password") // the token lives on
	// And are brought up to them.
	write(t, secret, wrong+"\n")
	c.Authority.Issue(t, user, tomorrow, file("cert.pem"), file("key.pem"))
	check("when the files have been replaced")
	other, err := os.ReadFile(securitytest.NewAuthority(t).File)
	if err != nil {
		t.Fatal(err)
	}
	write(t, ca, string(other))
	check("when the authority is another", "certificate", "password", "token")
	write(t, ca, string(authority)+string(other))
	check("when both authorities are in the file")
}

// A connection outlives its token: the client logs in again on it with another before it ends. A token is asked for once for all connections, and again after four
// fifths of its life.
func TestTokenRenewal(t *testing.T) {
	t.Parallel()
	c := securitytest.Open(t)
	const life = 6 * time.Second // less than the tenfold of what the client stays away from its end
	tokens := c.Tokens(t, "renewal", password, life)
	settings := security.Settings{
		TLS: security.TLSSettings{Enabled: true, CAFile: c.Authority.File},
		SASL: security.SASLSettings{
			Mechanism: "OAUTHBEARER", TokenURL: tokens.URL, ClientID: securitytest.ClientID, ClientSecret: security.NewSecret(password),
		},
	}
	access := security.New(c.SASLTLS, settings, dial)
	for range 3 {
		if err := pingAs(t, access); err != nil {
			t.Fatal(err)
		}
	}
	if n := tokens.Asked(); n != 1 {
		t.Errorf("%d tokens for three clients, want 1", n)
	}
	client, err := kgo.NewClient(access.Options("test")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	began := time.Now()
	for tick := time.NewTicker(100 * time.Millisecond); time.Since(began) < 2*life; <-tick.C {
		if err := client.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if n := tokens.Asked(); n < 3 || n > 4 {
		t.Errorf("%d tokens within two lives, want 3 or 4", n)
	}
}
