// Package securitytest is the support of tests against brokers with secured ports: their addresses, certificates, users and tokens. Nothing that is
// shipped imports it.
package securitytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Variable names the folder of the cluster that `deploy/local/kafka start --secure` has started.
const Variable = "LULL_TEST_SECURE"

// folder is read before the main program of a package's tests can take the variable out of the way of what it tests.
var folder = os.Getenv(Variable)

// Named reports whether there is such a cluster.
func Named() bool { return folder != "" }

// The user that the brokers know from their settings, by PLAIN.
const (
	PlainUser     = "plain"
	PlainPassword = "plain-secret"
)

// Cluster is a cluster with secured ports.
type Cluster struct {
	// Open lets everybody do everything; the others are SASL without TLS, TLS with clients' certificates, and SASL with TLS.
	Open, SASL, TLS, SASLTLS []string
	// Authority is who signs certificates.
	Authority *Authority

	tokenKey *rsa.PrivateKey
}

// Open returns the cluster that the environment names, and skips the test if it names none.
func Open(t *testing.T) *Cluster {
	t.Helper()
	if !Named() {
		t.Skipf("%s names no cluster with secured ports", Variable)
	}
	addresses := func(name string) []string {
		return strings.Split(strings.TrimSpace(string(read(t, filepath.Join(folder, name)))), ",")
	}
	c := &Cluster{Open: addresses("bootstrap"), SASL: addresses("bootstrap-sasl"), TLS: addresses("bootstrap-tls"), SASLTLS: addresses("bootstrap-sasl_tls")}
	c.Authority = &Authority{File: filepath.Join(folder, "secure", "ca.pem")}
	pair, err := tls.LoadX509KeyPair(c.Authority.File, filepath.Join(folder, "secure", "ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	c.Authority.cert, c.Authority.key = pair.Leaf, pair.PrivateKey
	c.tokenKey = parseKey(t, read(t, filepath.Join(folder, "secure", "token.key"))).(*rsa.PrivateKey)
	return c
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func parseKey(t *testing.T, content []byte) crypto.PrivateKey {
	t.Helper()
	block, _ := pem.Decode(content)
	if block == nil {
		t.Fatal("no PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Admin returns a client that may do everything.
func (c *Cluster) Admin(t *testing.T) *kadm.Client {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.Open...), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return kadm.NewClient(client)
}

// SetUser makes a user of both kinds of SCRAM, or changes the password.
func SetUser(t *testing.T, admin *kadm.Client, name, password string) {
	t.Helper()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		set := kadm.UpsertSCRAM{User: name, Mechanism: mechanism, Iterations: 4096, Password: password}
		answers, err := admin.AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{set})
		if err == nil {
			err = answers.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Authority signs certificates.
type Authority struct {
	// File holds the authority's own certificate.
	File string

	cert *x509.Certificate
	key  crypto.PrivateKey
}

// NewAuthority returns an authority that nobody trusts yet.
func NewAuthority(t *testing.T) *Authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "another authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a := &Authority{File: filepath.Join(t.TempDir(), "ca.pem"), cert: template, key: key}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err == nil {
		a.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, a.File, "CERTIFICATE", der)
	return a
}

// Issue writes a certificate for a name, valid until an instant, and its key to two files, in place of what is there. It is one of servers on this machine too.
func (a *Authority) Issue(t *testing.T, name string, until time.Time, certFile, keyFile string) {
	t.Helper()
	a.IssueTo(t, name, pkix.Name{CommonName: name}.ToRDNSequence(), until, certFile, keyFile)
}

// IssueTo does the same for a subject that has more parts.
func (a *Authority) IssueTo(t *testing.T, name string, subject pkix.RDNSequence, until time.Time, certFile, keyFile string) {
	t.Helper()
	raw, err := asn1.Marshal(subject)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(t), RawSubject: raw, NotBefore: until.Add(-24 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, DNSNames: []string{name},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, certFile, "CERTIFICATE", der)
	writePEM(t, keyFile, "PRIVATE KEY", keyDER)
}

func serial(t *testing.T) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func writePEM(t *testing.T, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Tokens gives out tokens to one client, by the client credentials grant.
type Tokens struct {
	// URL is where they are asked for.
	URL string

	mu     sync.Mutex
	secret string
	life   time.Duration
	asked  int
}

// ClientID is the one client's.
const ClientID = "lull-client"

// Tokens starts a server whose tokens name a user, are asked for with a secret, and live for a while. Those that live for less than nothing have expired.
func (c *Cluster) Tokens(t *testing.T, user, secret string, life time.Duration) *Tokens {
	t.Helper()
	tokens := &Tokens{secret: secret, life: life}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		tokens.mu.Lock()
		defer tokens.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		id, secret, _ := r.BasicAuth()
		if r.FormValue("grant_type") != "client_credentials" || id != ClientID || secret != tokens.secret {
			w.WriteHeader(http.StatusUnauthorized)
			// What came is in the answer, as servers do that are being looked for mistakes in.
			fmt.Fprintf(w, `{"error":"invalid_client","error_description":"no such client: %s %s"}`, id, secret)
			return
		}
		tokens.asked++
		expiresIn := max(1, int(tokens.life.Seconds()))
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":%d}`, sign(t, c.tokenKey, user, tokens.life), expiresIn)
	}))
	t.Cleanup(server.Close)
	tokens.URL = server.URL + "/token"
	return tokens
}

// Asked returns how many tokens have been given out.
func (s *Tokens) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// Change makes the server ask for another secret from now on.
func (s *Tokens) Change(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = secret
}

// sign returns a token as the brokers of deploy/local/kafka want it.
func sign(t *testing.T, key *rsa.PrivateKey, user string, life time.Duration) string {
	part := func(v map[string]any) string {
		text, err := json.Marshal(v)
		if err != nil {
			t.Error(err)
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	now := time.Now()
	signed := part(map[string]any{"alg": "RS256", "kid": "lull", "typ": "JWT"}) + "." + part(map[string]any{
		"sub": user, "iss": "https://tokens.test/", "aud": "kafka", "scope": "kafka", "iat": now.Add(min(0, 2*life)).Unix(), "exp": now.Add(life).Unix(),
	})
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Error(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}
