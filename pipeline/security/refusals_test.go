package security_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"lull/pipeline/security"
	"lull/pipeline/securitytest"
)

// another is what of a refusal is another one each time: the port of who connects, and instants.
var another = regexp.MustCompile(`127\.0\.0\.1:[0-9]+->|[0-9-]{10}T[0-9:]{8}Z`)

// TestRefusals proves word for word what is told of brokers that refuse a connection or a login, which TestPorts tries with real ones, and of servers that give no token.
func TestRefusals(t *testing.T) {
	t.Parallel()
	authority, other := securitytest.NewAuthority(t), securitytest.NewAuthority(t)
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	tomorrow, yesterday := time.Now().Add(24*time.Hour), time.Now().Add(-24*time.Hour)
	authority.Issue(t, "localhost", tomorrow, file("localhost.pem"), file("localhost.key"))
	authority.Issue(t, "localhost", yesterday, file("old.pem"), file("old.key"))
	other.Issue(t, "ann", tomorrow, file("other.pem"), file("other.key"))
	secret, bad := write(t, file("secret"), password), write(t, file("wrong"), wrong)

	replaced := []string{authority.File, "AUTHORITY", other.File, "OTHER", dir, "DIR"}
	start := func(name string, options ...kfake.Opt) *kfake.Cluster {
		t.Helper()
		c, err := kfake.NewCluster(append(options, kfake.NumBrokers(1))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		replaced = append(replaced, c.ListenAddrs()[0], name)
		return c
	}
	broker := func(name string, options ...kfake.Opt) string { return start(name, options...).ListenAddrs()[0] }
	byTLS := func(cert string, clients tls.ClientAuthType) kfake.Opt {
		pair, err := tls.LoadX509KeyPair(file(cert+".pem"), file(cert+".key"))
		if err != nil {
			t.Fatal(err)
		}
		pem, err := os.ReadFile(authority.File)
		if err != nil {
			t.Fatal(err)
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(pem)
		return kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: clients, ClientCAs: trusted, MinVersion: tls.VersionTLS12})
	}
	login := broker("LOGIN", kfake.EnableSASL(), kfake.User("SCRAM-SHA-256", "ann", password))
	valid, expired, mutual := broker("TLS", byTLS("localhost", tls.NoClientCert)), broker("EXPIRED", byTLS("old", tls.NoClientCert)), broker("MUTUAL", byTLS("localhost", tls.RequireAndVerifyClientCert))
	refusing := loginsAt(t, func(_ string, response *kmsg.SASLAuthenticateResponse) error {
		response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return nil
	})
	token := loginsAt(t, func(_ string, response *kmsg.SASLAuthenticateResponse) error {
		response.SASLAuthBytes = []byte(`{"status":"invalid_token"}`)
		return nil
	})
	loginless := loginsAt(t, func(_ string, response *kmsg.SASLAuthenticateResponse) error {
		response.ErrorCode = kerr.IllegalSaslState.Code
		return nil
	})
	replaced = append(replaced, refusing, "REFUSING", token, "TOKEN")
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	replaced = append(replaced, strings.TrimPrefix(plain.URL, "http://"), "PLAIN")
	tokens := func(name string, status int, answer string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, answer)
		}))
		t.Cleanup(server.Close)
		replaced = append(replaced, server.URL, name)
		return server.URL
	}

	trusting := security.TLSSettings{Enabled: true, CAFile: authority.File, ServerName: "localhost"}
	with := func(change func(s *security.TLSSettings)) security.TLSSettings {
		s := trusting
		change(&s)
		return s
	}
	showing := func(name string) security.TLSSettings {
		return with(func(s *security.TLSSettings) { s.CertFile, s.KeyFile = file(name+".pem"), file(name+".key") })
	}
	scram := func(path string) security.SASLSettings {
		return security.SASLSettings{Mechanism: "SCRAM-SHA-256", Username: "ann", PasswordFile: path}
	}
	bearer := func(url string) security.SASLSettings {
		return security.SASLSettings{Mechanism: "OAUTHBEARER", TokenURL: url, ClientID: "c", ClientSecretFile: secret}
	}
	var told []string
	for _, at := range []struct {
		name string
		of   string
		tls  security.TLSSettings
		sasl security.SASLSettings
	}{
		{"a login that is right", login, security.TLSSettings{}, scram(secret)},
		{"a broker by TLS", valid, trusting, security.SASLSettings{}},
		{"a certificate", mutual, showing("localhost"), security.SASLSettings{}},

		{"a wrong password", refusing, security.TLSSettings{}, scram(bad)},
		{"a login where none is wanted", loginless, security.TLSSettings{}, scram(secret)},
		{"a mechanism that brokers do not know", login, security.TLSSettings{}, bearer(tokens("TOKENS", 200, `{"access_token": "a", "token_type": "Bearer"}`))},
		{"no login", login, security.TLSSettings{}, security.SASLSettings{}},
		{"TLS to a port without", strings.TrimPrefix(plain.URL, "http://"), trusting, security.SASLSettings{}},
		{"plain text to TLS", valid, security.TLSSettings{}, security.SASLSettings{}},
		{"a broker whose certificate has expired", expired, trusting, security.SASLSettings{}},
		{"a broker of another authority", valid, with(func(s *security.TLSSettings) { s.CAFile = other.File }), security.SASLSettings{}},
		{"a broker of another name", valid, with(func(s *security.TLSSettings) { s.ServerName = "kafka.example.com" }), security.SASLSettings{}},
		{"a broker that is named by its address", valid, with(func(s *security.TLSSettings) { s.ServerName = "" }), security.SASLSettings{}},
		{"no certificate", mutual, trusting, security.SASLSettings{}},
		{"a certificate of another authority", mutual, showing("other"), security.SASLSettings{}},
		{"a certificate that has expired", mutual, showing("old"), security.SASLSettings{}},
		{"a token that is refused", token, security.TLSSettings{}, bearer(tokens("TOKENS", 200, `{"access_token": "a", "token_type": "Bearer"}`))},
		{"a token that is refused by an error", refusing, security.TLSSettings{}, bearer(tokens("TOKENS", 200, `{"access_token": "a", "token_type": "Bearer"}`))},
		{"a client that gets no token", token, security.TLSSettings{}, bearer(tokens("TOKENS", 401, `{"error": "invalid_client"}`))},
		{"a server of tokens that fails", token, security.TLSSettings{}, bearer(tokens("TOKENS", 503, ``))},
		{"a server of tokens that is away", token, security.TLSSettings{}, bearer("http://127.0.0.1:1/token")},
		{"a server of something else", token, security.TLSSettings{}, bearer(tokens("TOKENS", 200, `hello`))},
	} {
		err := ping(t, []string{at.of}, security.Settings{TLS: at.tls, SASL: at.sasl})
		text := "no error"
		if err != nil {
			text = another.ReplaceAllString(strings.NewReplacer(replaced...).Replace(err.Error()), "...")
		}
		if strings.Contains(text, password) || strings.Contains(text, wrong) {
			t.Errorf("%s: error %q tells a secret", at.name, text)
		}
		told = append(told, at.name+": "+text+"\n")
	}
	slices.Sort(told)
	datadriven.RunTest(t, "testdata/brokers", func(*testing.T, *datadriven.TestData) string { return strings.Join(told, "") })
}

// tokensOf returns the settings of a login by the tokens that a server gives out, and how many it has.
func tokensOf(t *testing.T) (s security.Settings, given func() int) {
	return tokensUntil(t, math.MaxInt64)
}

// tokensUntil does the same of a server that is away after so many tokens.
func tokensUntil(t *testing.T, last int64) (s security.Settings, asked func() int) {
	t.Helper()
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n := count.Add(1)
		if n > last {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token": "t%d", "token_type": "Bearer", "expires_in": 3600}`, n)
	}))
	t.Cleanup(server.Close)
	s.SASL = security.SASLSettings{Mechanism: "OAUTHBEARER", TokenURL: server.URL, ClientID: "c", ClientSecret: security.NewSecret(password)}
	return s, func() int { return int(count.Load()) }
}

// loginsAt returns the address of a broker that takes any mechanism, and answers a login as the function says; its error ends the connection.
func loginsAt(t *testing.T, answer func(shown string, response *kmsg.SASLAuthenticateResponse) error) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	c.ControlKey(int16(kmsg.SASLHandshake), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return request.ResponseKind(), nil, true
	})
	c.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		response := request.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		err := answer(string(request.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes), response)
		return response, err, true
	})
	return c.ListenAddrs()[0]
}

// A broker that ends the connection in the midst of a login looks like one that is gone: what the login lacks is told too.
func TestLoginIsEnded(t *testing.T) {
	t.Parallel()
	broker := loginsAt(t, func(string, *kmsg.SASLAuthenticateResponse) error { return errors.New("the end") })
	byToken, _ := tokensOf(t)
	byPassword := security.Settings{SASL: security.SASLSettings{Mechanism: "PLAIN", Username: "ann", Password: security.NewSecret(password)}}
	for _, c := range []struct {
		settings security.Settings
		want     string
	}{
		{byPassword, "EOF: if it is up, it ended the connection in the login, and its log says why: check security.sasl.username and its password (security.sasl.password_file or LULL_SECURITY_SASL_PASSWORD)"},
		{byToken, "EOF: if it is up, it ended the connection in the login, and its log says why: check the token, which security.sasl.token_url gives to security.sasl.client_id for security.sasl.scope: " +
			"it may have expired, be of an issuer or audience that brokers do not take, or be longer than their sasl.server.max.receive.size"},
	} {
		if err := c.settings.Unanswered(ping(t, []string{broker}, c.settings)); err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
	if err := (&security.Settings{}).Unanswered(io.EOF); err.Error() != io.EOF.Error() {
		t.Errorf("without a login: %v", err)
	}
}

// A token that is refused when a connection logs in again, as one whose key the brokers have forgotten, costs no request: the client tries a new connection with another.
func TestTokenIsRefusedLater(t *testing.T) {
	t.Parallel()
	var refused atomic.Int64
	broker := loginsAt(t, func(shown string, response *kmsg.SASLAuthenticateResponse) error {
		response.SessionLifetimeMillis = 1 // the next request is to be after another login
		if strings.Contains(shown, "Bearer t1\x01") && refused.Add(1) > 1 {
			response.SASLAuthBytes = []byte(`{"status":"invalid_token"}`)
		}
		return nil
	})
	settings, given := tokensOf(t)
	client, err := kgo.NewClient(security.New([]string{broker}, settings, dial).Options("test")...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		if err := client.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if refused.Load() < 2 || given() != 2 {
		t.Errorf("t1 was shown %d times, %d tokens were given", refused.Load(), given())
	}
}

// A token of which no login is known to be taken is used on while it lives, if the server gives no other.
func TestTokenIsKeptWithoutAnother(t *testing.T) {
	t.Parallel()
	var shown, taken atomic.Int64
	broker := loginsAt(t, func(token string, response *kmsg.SASLAuthenticateResponse) error {
		switch {
		case !strings.Contains(token, "Bearer t1\x01"):
			return errors.New("another token")
		case shown.Add(1) <= 20:
			response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		default:
			taken.Add(1)
		}
		return nil
	})
	settings, asked := tokensUntil(t, 1)
	access := security.New([]string{broker}, settings, dial)
	for taken.Load() == 0 {
		if err := pingAs(t, access); err != nil && !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Fatal(err)
		}
	}
	if asked() < 2 {
		t.Error("no other token was asked for")
	}
}

// A token that is refused by an error, of which the client tells its mechanism nothing, is given up after some logins, and not used to the end of its life.
func TestTokenIsRefusedByError(t *testing.T) {
	t.Parallel()
	var shown atomic.Int64
	broker := loginsAt(t, func(token string, response *kmsg.SASLAuthenticateResponse) error {
		if strings.Contains(token, "Bearer t1\x01") {
			shown.Add(1)
			response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		}
		return nil
	})
	settings, given := tokensOf(t)
	access := security.New([]string{broker}, settings, dial)
	for given() < 2 && shown.Load() < 100 {
		if err := pingAs(t, access); err != nil && !errors.Is(err, kerr.SaslAuthenticationFailed) {
			t.Fatal(err)
		}
	}
	for range 30 {
		if err := pingAs(t, access); err != nil {
			t.Fatal(err)
		}
	}
	if given() != 2 {
		t.Errorf("%d tokens were given, t1 was shown %d times", given(), shown.Load())
	}
}
