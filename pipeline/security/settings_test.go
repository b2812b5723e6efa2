package security_test

import (
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"go.yaml.in/yaml/v3"

	"lull/pipeline/security"
	"lull/pipeline/securitytest"
)

// Whatever prints or writes a secret, or what it is part of, shows that there is one and not which.
func TestSecretIsNotShown(t *testing.T) {
	type holder struct{ Settings, inside security.Settings }
	settings := security.Settings{SASL: security.SASLSettings{Username: "ann", Password: security.NewSecret(password)}}
	whole := holder{settings, settings}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		for _, value := range []any{settings.SASL.Password, &settings.SASL.Password, settings, &settings, whole, &whole, []security.Secret{settings.SASL.Password}, fmt.Errorf("%v", settings)} {
			shown := fmt.Sprintf(verb, value)
			if strings.Contains(shown, password) || strings.Contains(shown, fmt.Sprintf("%x", password)) || strings.Contains(shown, fmt.Sprintf("%X", password)) {
				t.Errorf("%s shows %s", verb, shown)
			}
		}
	}
	asJSON, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	asYAML, err := yaml.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{string(asJSON), string(asYAML), settings.SASL.Password.String()} {
		if strings.Contains(shown, password) || !strings.Contains(shown, "[redacted]") {
			t.Errorf("shown as %s", shown)
		}
	}
	if none := (security.Secret{}); none.String() != "" || !none.IsZero() || none.Reveal() != "" || !security.NewSecret("").IsZero() {
		t.Errorf("no secret is shown as %q", none.String())
	}
	if got := settings.SASL.Password.Reveal(); got != password {
		t.Errorf("the secret is %q", got)
	}
}

// Brokers know a process as its user, or else its certificate's subject; as whom they know a token is theirs to say.
func TestPrincipal(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "a.pem"), filepath.Join(dir, "a.key")
	securitytest.NewAuthority(t).Issue(t, "lull-0", time.Now().Add(time.Hour), cert, key)
	mutual := security.TLSSettings{Enabled: true, CertFile: cert, KeyFile: key}
	longCert, longKey := filepath.Join(dir, "b.pem"), filepath.Join(dir, "b.key")
	securitytest.NewAuthority(t).IssueTo(t, "lull-0", slices.Concat(
		pkix.Name{CommonName: "lull-0"}.ToRDNSequence(), pkix.Name{OrganizationalUnit: []string{"Data"}}.ToRDNSequence(), pkix.Name{Organization: []string{"Shop"}}.ToRDNSequence(),
	), time.Now().Add(time.Hour), longCert, longKey)
	for _, c := range []struct {
		of      security.Settings
		want    string
		subject bool
	}{
		{security.Settings{}, "User:ANONYMOUS", false},
		{security.Settings{TLS: mutual}, "User:CN=lull-0", true},
		{security.Settings{TLS: security.TLSSettings{Enabled: true, CertFile: longCert, KeyFile: longKey}}, "User:O=Shop,OU=Data,CN=lull-0", true},
		{security.Settings{TLS: mutual, SASL: security.SASLSettings{Mechanism: "SCRAM-SHA-256", Username: "ann"}}, "User:ann", false},
		{security.Settings{SASL: security.SASLSettings{Mechanism: "OAUTHBEARER", ClientID: "ann"}}, "", false},
		{security.Settings{TLS: security.TLSSettings{Enabled: true, CertFile: "none.pem", KeyFile: "none.key"}}, "", false},
	} {
		c.of.EnsureDefaults()
		if name, subject := c.of.Principal(); name != c.want || subject != c.subject {
			t.Errorf("%q, %v; want %q, %v", name, subject, c.want, c.subject)
		}
	}
}

// What is set by half, or to no purpose, or names a file that is of no use, is told by the setting's name with what to do: word for word in testdata/refused.
func TestValidate(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	authority := securitytest.NewAuthority(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	authority.Issue(t, "a", tomorrow, file("a.pem"), file("a.key"))
	authority.Issue(t, "b", tomorrow, file("b.pem"), file("b.key"))
	secret, empty := write(t, file("secret"), password), write(t, file("empty"), "\n")
	jks := write(t, file("store.jks"), "\xfe\xed\xfe\xed\x00")
	encrypted := write(t, file("encrypted.key"), "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
	missing := file("missing")
	type tls = security.TLSSettings
	type sasl = security.SASLSettings
	bearer := func(change func(*sasl)) sasl {
		s := sasl{Mechanism: "OAUTHBEARER", TokenURL: "https://login.example.com/token", ClientID: "c", ClientSecretFile: secret}
		change(&s)
		return s
	}
	var told []string
	for name, at := range map[string]struct {
		tls  tls
		sasl sasl
		want []string
	}{
		"nothing":                    {},
		"TLS":                        {tls: tls{Enabled: true}},
		"TLS with all":               {tls: tls{Enabled: true, CAFile: authority.File, CertFile: file("a.pem"), KeyFile: file("a.key"), ServerName: "kafka"}},
		"a login":                    {sasl: sasl{Mechanism: "SCRAM-SHA-512", Username: "ann", PasswordFile: secret}},
		"a login by the environment": {sasl: sasl{Mechanism: "PLAIN", Username: "ann", Password: security.NewSecret(password)}},
		"tokens":                     {sasl: bearer(func(*sasl) {})},
		"tokens of this machine": {sasl: bearer(func(s *sasl) {
			s.TokenURL = "http://127.0.0.1:1/t"
			s.Extensions = map[string]string{"logicalCluster": "lkc-1"}
		})},

		"a file, and TLS off":          {tls: tls{CAFile: authority.File}, want: []string{"security.tls.ca_file is set", "security.tls.enabled is false", "set that to true"}},
		"a name, and TLS off":          {tls: tls{ServerName: "kafka"}, want: []string{"security.tls.server_name is set", "leave security.tls.server_name out"}},
		"a certificate without key":    {tls: tls{Enabled: true, CertFile: file("a.pem")}, want: []string{"security.tls.key_file is not", "set both"}},
		"a key without certificate":    {tls: tls{Enabled: true, KeyFile: file("a.key")}, want: []string{"security.tls.cert_file is not", "set both"}},
		"no authority's file":          {tls: tls{Enabled: true, CAFile: missing}, want: []string{"security.tls.ca_file", missing, "no such file", "can read"}},
		"a folder":                     {tls: tls{Enabled: true, CAFile: dir}, want: []string{"security.tls.ca_file", dir, "directory"}},
		"a store of Java":              {tls: tls{Enabled: true, CAFile: jks}, want: []string{"security.tls.ca_file", jks, "PEM", "keytool"}},
		"a key for an authority":       {tls: tls{Enabled: true, CAFile: file("a.key")}, want: []string{"security.tls.ca_file", "no certificate"}},
		"a key for a certificate":      {tls: tls{Enabled: true, CertFile: file("a.key"), KeyFile: file("a.key")}, want: []string{"security.tls.cert_file", "no certificate"}},
		"a certificate for a key":      {tls: tls{Enabled: true, CertFile: file("a.pem"), KeyFile: file("a.pem")}, want: []string{"security.tls.key_file", "no private key"}},
		"another's key":                {tls: tls{Enabled: true, CertFile: file("a.pem"), KeyFile: file("b.key")}, want: []string{"security.tls.key_file", file("b.key"), "does not go with security.tls.cert_file"}},
		"an encrypted key":             {tls: tls{Enabled: true, CertFile: file("a.pem"), KeyFile: encrypted}, want: []string{"security.tls.key_file", "encrypted", "openssl pkey"}},
		"an unknown mechanism":         {sasl: sasl{Mechanism: "GSSAPI"}, want: []string{`security.sasl.mechanism is "GSSAPI"`, "OAUTHBEARER"}},
		"a user, and no mechanism":     {sasl: sasl{Username: "ann"}, want: []string{"security.sasl.username is set", `security.sasl.mechanism is "none"`, "PLAIN, SCRAM-SHA-256"}},
		"a password and no mechanism":  {sasl: sasl{Password: security.NewSecret(password)}, want: []string{"security.sasl.password is set"}},
		"a login without user":         {sasl: sasl{Mechanism: "PLAIN", PasswordFile: secret}, want: []string{`security.sasl.username is ""`, "PLAIN"}},
		"a login without password":     {sasl: sasl{Mechanism: "PLAIN", Username: "ann"}, want: []string{"security.sasl.password_file", "LULL_SECURITY_SASL_PASSWORD", "one must"}},
		"a password twice":             {sasl: sasl{Mechanism: "PLAIN", Username: "ann", Password: security.NewSecret(password), PasswordFile: secret}, want: []string{"security.sasl.password_file and LULL_SECURITY_SASL_PASSWORD", "leave one out"}},
		"no password's file":           {sasl: sasl{Mechanism: "PLAIN", Username: "ann", PasswordFile: missing}, want: []string{"security.sasl.password_file", missing, "no such file"}},
		"an empty password's file":     {sasl: sasl{Mechanism: "PLAIN", Username: "ann", PasswordFile: empty}, want: []string{"security.sasl.password_file", empty, "is empty"}},
		"a login with tokens' things":  {sasl: sasl{Mechanism: "PLAIN", Username: "ann", PasswordFile: secret, Scope: "kafka"}, want: []string{"security.sasl.scope is set", "OAUTHBEARER"}},
		"tokens with a login's things": {sasl: bearer(func(s *sasl) { s.Username = "ann" }), want: []string{"security.sasl.username is set", `"OAUTHBEARER"`}},
		"tokens from nowhere":          {sasl: bearer(func(s *sasl) { s.TokenURL = "" }), want: []string{`security.sasl.token_url is ""`}},
		"tokens for nobody":            {sasl: bearer(func(s *sasl) { s.ClientID = "" }), want: []string{`security.sasl.client_id is ""`}},
		"tokens without secret":        {sasl: bearer(func(s *sasl) { s.ClientSecretFile = "" }), want: []string{"security.sasl.client_secret_file", "LULL_SECURITY_SASL_CLIENT_SECRET"}},
		"a secret in plain text":       {sasl: bearer(func(s *sasl) { s.TokenURL = "http://login.example.com/token" }), want: []string{"security.sasl.token_url", "https"}},
		"a secret in an address":       {sasl: bearer(func(s *sasl) { s.TokenURL = "https://c:" + password + "@login.example.com/token" }), want: []string{"security.sasl.token_url", "security.sasl.client_secret_file"}},
		"no address":                   {sasl: bearer(func(s *sasl) { s.TokenURL = "login.example.com" }), want: []string{"security.sasl.token_url", "https://login.example.com"}},
		"an unusable extension":        {sasl: bearer(func(s *sasl) { s.Extensions = map[string]string{"a b": "c"} }), want: []string{"security.sasl.extensions", `"a b"`}},
		"no authority of tokens":       {sasl: bearer(func(s *sasl) { s.TokenCAFile = missing }), want: []string{"security.sasl.token_ca_file", missing}},
	} {
		s := security.Settings{TLS: at.tls, SASL: at.sasl}
		s.EnsureDefaults()
		err := s.Validate()
		if (err == nil) != (len(at.want) == 0) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range at.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %q does not tell %q", name, err, want)
			}
		}
		if err != nil && strings.Contains(err.Error(), password) {
			t.Errorf("%s: error %q tells a secret", name, err)
		}
		if err != nil {
			told = append(told, name+": "+strings.NewReplacer(authority.File, "AUTHORITY", dir, "DIR").Replace(err.Error())+"\n")
		}
	}
	slices.Sort(told)
	datadriven.RunTest(t, "testdata/refused", func(*testing.T, *datadriven.TestData) string { return strings.Join(told, "") })
}

// A login that everybody on the way can read is told.
func TestReadableOnTheWay(t *testing.T) {
	for _, at := range []struct {
		tls       bool
		mechanism string
		readable  bool
	}{{false, "none", false}, {false, "PLAIN", true}, {true, "PLAIN", false}, {false, "SCRAM-SHA-256", false}, {false, "OAUTHBEARER", true}, {true, "OAUTHBEARER", false}} {
		s := security.Settings{TLS: security.TLSSettings{Enabled: at.tls}, SASL: security.SASLSettings{Mechanism: at.mechanism}}
		if got := s.ReadableOnTheWay(); (got != "") != at.readable || at.readable && !strings.Contains(got, at.mechanism) {
			t.Errorf("%s with TLS %v: %q", at.mechanism, at.tls, got)
		}
	}
}
