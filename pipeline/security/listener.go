package security

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// ListenerTLS configures the encryption of what this process serves. The files are PEM, and read for every new connection.
type ListenerTLS struct {
	// CertFile holds the certificate that http.listen shows, and those between it and its authority: it answers by TLS then, 1.2 at least, probes and metrics too. It goes with KeyFile; the default
	// is none, plain text.
	CertFile string `koanf:"cert_file" path:"read"`
	// KeyFile holds the private key of CertFile, not encrypted.
	KeyFile string `koanf:"key_file" path:"read"`
	// ClientCAFile holds the certificates of the authorities that clients of the read API are trusted by who show one (mTLS), and other processes of the group by this one. The default is none.
	ClientCAFile string `koanf:"client_ca_file" path:"read"`
}

// The settings of a listener.
const (
	listenerCert     = "http.tls.cert_file"
	listenerKey      = "http.tls.key_file"
	listenerClientCA = "http.tls.client_ca_file"
)

// Enabled reports whether connections are encrypted.
func (s *ListenerTLS) Enabled() bool { return s.CertFile != "" }

// Validate reports every setting that is not as it must be, and every file that cannot be read.
func (s *ListenerTLS) Validate() error {
	switch {
	case s.KeyFile != "" && s.CertFile == "":
		return fmt.Errorf("%s is set, and %s is not: a private key is of use with its certificate; set both, or leave both out", listenerKey, listenerCert)
	case s.CertFile != "" && s.KeyFile == "":
		return fmt.Errorf("%s is set, and %s is not: a certificate is shown with its private key; set both, or leave both out", listenerCert, listenerKey)
	case s.ClientCAFile != "" && s.CertFile == "":
		return fmt.Errorf("%s is set, and %s is not: clients show certificates by TLS alone; set both, or leave it out", listenerClientCA, listenerCert)
	case s.CertFile == "":
		return nil
	}
	_, err := s.read()
	return err
}

// read returns what the files say now.
func (s *ListenerTLS) read() (*tls.Config, error) {
	cert, err := readPair(listenerCert, s.CertFile, listenerKey, s.KeyFile)
	if err != nil {
		return nil, err
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*cert}}
	if s.ClientCAFile == "" {
		return c, nil
	}
	if c.ClientCAs, err = readAuthorities(listenerClientCA, s.ClientCAFile); err != nil {
		return nil, err
	}
	c.ClientAuth = tls.VerifyClientCertIfGiven // probes show none; who shows one that is not trusted is not served
	return c, nil
}

// Server returns how connections are taken, nil for plain text.
func (s *ListenerTLS) Server() *tls.Config {
	if !s.Enabled() {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return s.read() }}
}

// Client returns a client for the listeners of other processes with the same settings, which shows them this one's certificate. How long an answer may take is for the context of each request to say.
func (s *ListenerTLS) Client(dial Dialer) *http.Client {
	transport := &http.Transport{
		DialContext: dial, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 5 * time.Second,
		Proxy: nil, // they are of the same network
	}
	if s.Enabled() {
		transport.TLSClientConfig = &tls.Config{
			MinVersion: tls.VersionTLS12,
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return readPair(listenerCert, s.CertFile, listenerKey, s.KeyFile)
			},
		}
		if s.ClientCAFile != "" {
			// Validate has read it. Authorities that are replaced later are known after a restart; their successors' certificates can lie beside them before.
			transport.TLSClientConfig.RootCAs, _ = readAuthorities(listenerClientCA, s.ClientCAFile)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // no process sends elsewhere, and a token is for none
	}
}

// tokenBytesMin is how long a token is at least: `openssl rand -hex 16` makes one that nobody guesses.
const tokenBytesMin = 32

// Tokens are those that a client of the read API can show. They are those of the environment, or of a file with one on each line, which is read again when it has changed. The zero value has none.
type Tokens struct {
	// Tell is told why a file that has changed is not taken, each time that this is another reason, and nil once it is taken; nil: nobody is. It is set before the first Match, and called by one goroutine at a time.
	Tell func(why error)

	environment Secret
	path        string

	mu      sync.Mutex
	read    [][sha256.Size]byte
	looked  time.Time
	changed time.Time // of the file that was read
	size    int64
	problem string // what has been told; "" nothing
}

// The settings that tokens come from.
const (
	tokensSetting     = "http.tokens"
	tokensFileSetting = "http.tokens_file"
)

// NewTokens returns the tokens of the environment, or of the file at a path; "" is none. The error says which of them are not as they must be, and never a token.
func NewTokens(environment Secret, path string) (*Tokens, error) {
	t := &Tokens{environment: environment, path: path}
	if environment.IsZero() && path == "" {
		return t, nil
	}
	if !environment.IsZero() && path != "" {
		return nil, fmt.Errorf("%s and LULL_HTTP_TOKENS (%s) are both set: leave one out", tokensFileSetting, tokensSetting)
	}
	return t, t.load()
}

// Set reports whether there are any: then a client shows one.
func (t *Tokens) Set() bool { return !t.environment.IsZero() || t.path != "" }

// FirstToken returns one of the tokens that NewTokens takes, for who shows it; "" if there are none.
func FirstToken(environment Secret, path string) (string, error) {
	t, err := NewTokens(environment, path)
	if err != nil || !t.Set() {
		return "", err
	}
	text, _, err := t.text()
	if err != nil {
		return "", err
	}
	return strings.Fields(text)[0], nil // NewTokens has found one
}

// text returns what the tokens are in, and what that is called.
func (t *Tokens) text() (text, setting string, err error) {
	if t.path == "" {
		return t.environment.Reveal(), "LULL_HTTP_TOKENS (" + tokensSetting + ")", nil
	}
	content, err := readFile(tokensFileSetting, t.path)
	return string(content), fmt.Sprintf("%s %q", tokensFileSetting, t.path), err
}

// load reads the tokens.
func (t *Tokens) load() error {
	text, setting, err := t.text()
	if err != nil {
		return err
	}
	var read [][sha256.Size]byte
	for i, token := range strings.Fields(text) {
		if len(token) < tokenBytesMin {
			return fmt.Errorf("%s: token %d is %d bytes long: it must be %d at least, such as `openssl rand -hex 32` makes", setting, i+1, len(token), tokenBytesMin)
		}
		read = append(read, sha256.Sum256([]byte(token)))
	}
	if len(read) == 0 {
		return fmt.Errorf("%s: there is no token in it: it must hold one on each line", setting)
	}
	t.read = read
	return nil
}

// Match reports whether a token is one of them. How long it takes tells nothing of them: hashes of one length are compared, each of them in whole.
func (t *Tokens) Match(token string, now time.Time) bool {
	shown := sha256.Sum256([]byte(token))
	same := 0
	for _, known := range t.current(now) {
		same |= subtle.ConstantTimeCompare(shown[:], known[:])
	}
	return same == 1
}

// current returns the tokens, of a file as it is or was a second ago. If it cannot be read, or is not as it must be, those from before go on: it may be about to be replaced.
func (t *Tokens) current(now time.Time) [][sha256.Size]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.path == "" || now.Sub(t.looked) < time.Second {
		return t.read
	}
	t.looked = now
	err, problem := t.reload(), ""
	if err != nil {
		problem = err.Error()
	}
	if problem != t.problem && t.Tell != nil {
		t.Tell(err)
	}
	t.problem = problem
	return t.read
}

// reload reads the file if it is another than the one that was read.
func (t *Tokens) reload() error {
	file, err := os.Stat(t.path)
	if err == nil && file.ModTime().Equal(t.changed) && file.Size() == t.size {
		return nil
	}
	if failed := t.load(); failed != nil || err != nil {
		return failed
	}
	t.changed, t.size = file.ModTime(), file.Size()
	return nil
}
