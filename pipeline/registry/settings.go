// Package registry is how a process reaches a schema registry: its settings, the client made by them, and the writers' schemas that records name by id,
// each asked for once and kept.
package registry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// Settings say where the schema registry is, and what is done without it.
type Settings struct {
	// URL is where the registry answers to the API of Confluent's, such as http://registry:8081; of several each is tried. The default is none: it is required by
	// the format registry-avro, of the input and of outputs.
	URL []string `koanf:"url"`
	// Username is the user of HTTP basic authentication. It goes with PasswordFile; the default is none.
	Username string `koanf:"username"`
	// PasswordFile holds the user's password, and is read for every request. A line's end behind it is not part of it.
	PasswordFile string `koanf:"password_file" path:"read"`
	// CAFile holds the certificates, PEM, of the authorities that the registry's is trusted by. The default is the system's.
	CAFile string `koanf:"ca_file" path:"read"`
	// Timeout is how long the registry may take to answer. The default is 5s.
	Timeout time.Duration `koanf:"timeout"`
	// OnUnavailable says what becomes of a record whose schema is not known yet while the registry does not answer: "wait" (the default): its
	// partition stands still at it until the registry answers, or "dead-letter". Schemas that are known are never asked for again.
	OnUnavailable string `koanf:"on_unavailable"`
}

// DeadLetters reports whether a record whose schema the registry does not give becomes a dead letter, and does not wait.
func (s *Settings) DeadLetters() bool { return s.OnUnavailable == deadLetter }

// The values of OnUnavailable.
const (
	wait       = "wait"
	deadLetter = "dead-letter"
)

// EnsureDefaults fills the fields that are unset.
func (s *Settings) EnsureDefaults() {
	if s.Timeout == 0 {
		s.Timeout = 5 * time.Second
	}
	if s.OnUnavailable == "" {
		s.OnUnavailable = wait
	}
}

// Validate reports every setting that is not as it must be, by its name as in the file of settings, and every file that cannot be read.
func (s *Settings) Validate() error {
	var errs []error
	problem := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, text := range s.URL {
		u, err := url.Parse(text)
		switch {
		case strings.Contains(text, "@"): // even where it is no URL: it is not shown
			problem("registry.url holds a login: name the user by registry.username, and the file with the password by registry.password_file")
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			problem("registry.url is %q: it must be a URL such as http://registry:8081", text)
		}
	}
	if (s.Username == "") != (s.PasswordFile == "") {
		problem("registry.username is %q and registry.password_file is %q: both or none must be set", s.Username, s.PasswordFile)
	}
	if s.PasswordFile != "" {
		if _, err := s.password(); err != nil {
			errs = append(errs, err)
		}
	}
	if s.CAFile != "" {
		if _, err := s.authorities(); err != nil {
			errs = append(errs, err)
		}
	}
	if s.Timeout < time.Millisecond || s.Timeout > time.Minute {
		problem("registry.timeout is %s: it must be at least 1ms and at most 1m0s", s.Timeout)
	}
	if !slices.Contains([]string{wait, deadLetter}, s.OnUnavailable) {
		problem("registry.on_unavailable is %q: it must be one of %s, %s", s.OnUnavailable, wait, deadLetter)
	}
	return errors.Join(errs...)
}

func (s *Settings) password() (string, error) {
	content, err := os.ReadFile(s.PasswordFile)
	if err != nil {
		return "", fmt.Errorf("registry.password_file: %w: it must be a file that this user can read", err)
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	if password == "" {
		return "", fmt.Errorf("registry.password_file %q is empty: it must hold the password", s.PasswordFile)
	}
	return password, nil
}

func (s *Settings) authorities() (*x509.CertPool, error) {
	content, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("registry.ca_file: %w: it must be a file that this user can read", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("registry.ca_file %q: there is no certificate in it: it must be PEM, a text with lines \"-----BEGIN CERTIFICATE-----\"", s.CAFile)
	}
	return pool, nil
}

// NewClient returns a client of the registry. The error names the setting that is not as it must be.
func (s *Settings) NewClient() (*sr.Client, error) {
	if len(s.URL) == 0 {
		return nil, errors.New("registry.url is empty: it must be the URL of the schema registry, such as http://registry:8081")
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	opts := []sr.ClientOpt{
		sr.URLs(s.URL...),
		sr.UserAgent("lull"),
		sr.HTTPClient(&http.Client{Timeout: s.Timeout, Transport: http.DefaultTransport.(*http.Transport).Clone()}),
	}
	if s.CAFile != "" {
		pool, err := s.authorities()
		if err != nil {
			return nil, err
		}
		opts = append(opts, sr.DialTLSConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	}
	if s.Username != "" {
		opts = append(opts, sr.PreReq(func(r *http.Request) error {
			password, err := s.password()
			if err != nil {
				return err
			}
			r.SetBasicAuth(s.Username, password)
			return nil
		}))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("configuring the client of the schema registry: %w", err)
	}
	return client, nil
}
