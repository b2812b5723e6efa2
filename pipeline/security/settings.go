// Package security is how a process reaches its brokers: the settings of TLS and of the login, the connections made by them, and what to do about
// one that is refused. Files with certificates and secrets are read for every new connection, so that they can be replaced while the process runs.
package security

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"slices"
	"strings"
)

// Settings say how the brokers' ports are secured.
type Settings struct {
	TLS  TLSSettings  `koanf:"tls"`
	SASL SASLSettings `koanf:"sasl"`
}

// TLSSettings configure the encryption of connections. The files are PEM, and read for every new connection.
type TLSSettings struct {
	// Enabled says that connections are encrypted, by TLS 1.2 at least, and brokers prove who they are. The default is false: plain text.
	Enabled bool `koanf:"enabled"`
	// CAFile holds the certificates of the authorities that the brokers' are trusted by. The default is the system's.
	CAFile string `koanf:"ca_file" path:"read"`
	// CertFile holds the certificate that this process shows to the brokers, and those between it and its authority. It goes with KeyFile; the default is none.
	CertFile string `koanf:"cert_file" path:"read"`
	// KeyFile holds the private key of CertFile, not encrypted.
	KeyFile string `koanf:"key_file" path:"read"`
	// ServerName is the name that every broker's certificate must have. The default is the host name of its address.
	ServerName string `koanf:"server_name"`
}

// SASLSettings configure the login. Secrets come from files, which are read for every login, or from the environment, never from a flag or the settings' file.
type SASLSettings struct {
	// Mechanism is "none" (the default), PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER.
	Mechanism string `koanf:"mechanism"`
	// Username is the user of PLAIN and SCRAM.
	Username string `koanf:"username"`
	// Password is the user's, given by the environment alone: LULL_SECURITY_SASL_PASSWORD.
	Password Secret `koanf:"password"`
	// PasswordFile holds the password. A line's end behind it is not part of it.
	PasswordFile string `koanf:"password_file" path:"read"`
	// TokenURL is where tokens for OAUTHBEARER come from, by the client credentials grant of OAuth 2.0: https, or http on this machine.
	TokenURL string `koanf:"token_url"`
	// TokenCAFile holds the certificates of the authorities that the server of TokenURL is trusted by. The default is the system's.
	TokenCAFile string `koanf:"token_ca_file" path:"read"`
	// ClientID is who asks for tokens.
	ClientID string `koanf:"client_id"`
	// ClientSecret is the client's, given by the environment alone: LULL_SECURITY_SASL_CLIENT_SECRET.
	ClientSecret Secret `koanf:"client_secret"`
	// ClientSecretFile holds the client's secret. A line's end behind it is not part of it.
	ClientSecretFile string `koanf:"client_secret_file" path:"read"`
	// Scope is what tokens are asked for; several are separated by spaces. The default is none.
	Scope string `koanf:"scope"`
	// Extensions are told to the brokers with a token, as some services ask for: {logicalCluster: lkc-1}. The default is none.
	Extensions map[string]string `koanf:"extensions"`
}

// The values of settings.
const (
	noSASL      = "none"
	plainText   = "PLAIN"
	scramSHA256 = "SCRAM-SHA-256"
	scramSHA512 = "SCRAM-SHA-512"
	oauthBearer = "OAUTHBEARER"
)

// EnsureDefaults fills the fields that are unset.
func (s *Settings) EnsureDefaults() {
	if s.SASL.Mechanism == "" {
		s.SASL.Mechanism = noSASL
	}
}

// Secured reports whether the brokers' ports ask for more than a plain connection.
func (s *Settings) Secured() bool {
	return s.TLS.Enabled || s.SASL.Mechanism != "" && s.SASL.Mechanism != noSASL
}

// Validate reports every setting that is not as it must be, by its name as in the file of settings, and every file that cannot be read. No error holds a
// secret.
func (s *Settings) Validate() error {
	return errors.Join(append(s.TLS.check(), s.SASL.check()...)...)
}

// ReadableOnTheWay says that whoever sees the network traffic can read the login: "" if nobody can.
func (s *Settings) ReadableOnTheWay() string {
	if s.TLS.Enabled || s.SASL.Mechanism != plainText && s.SASL.Mechanism != oauthBearer {
		return ""
	}
	return fmt.Sprintf("security.sasl.mechanism %s sends the login readable by whoever sees the traffic, because security.tls.enabled is false: use a port with TLS, and set it to true",
		s.SASL.Mechanism)
}

// Unanswered returns the error of brokers that do not answer, with what else it may mean: a broker that ends the connection in a login, and so says nothing, looks like one that is gone.
func (s *Settings) Unanswered(err error) error {
	check := "security.sasl.username and its password (security.sasl.password_file or LULL_SECURITY_SASL_PASSWORD)"
	switch {
	case s.SASL.Mechanism == "" || s.SASL.Mechanism == noSASL || !errors.Is(err, io.EOF):
		return err
	case s.SASL.Mechanism == oauthBearer:
		check = "the token, which security.sasl.token_url gives to security.sasl.client_id for security.sasl.scope: it may have expired, be of an issuer or audience that brokers do not take, " +
			"or be longer than their sasl.server.max.receive.size"
	}
	return fmt.Errorf("%w: if it is up, it ended the connection in the login, and its log says why: check %s", err, check)
}

// Principal returns whom brokers know this process as, such as User:lull; "" if that is not known here, as of a token. With subject it is the subject of a certificate, and so the name only on
// brokers without ssl.principal.mapping.rules, which make others of it.
func (s *Settings) Principal() (name string, subject bool) {
	switch {
	case s.SASL.Mechanism == oauthBearer:
		return "", false
	case s.SASL.Username != "":
		return "User:" + s.SASL.Username, false
	case s.TLS.CertFile == "":
		return Anonymous, false
	}
	cert, err := s.TLS.readCertificate()
	if err != nil {
		return "", false
	}
	// Brokers write the parts in the order of the certificate, the last first (RFC 2253); pkix.Name would put them in one of its own.
	var parts pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.Leaf.RawSubject, &parts); err != nil {
		//lull:unread a certificate that has been read has a subject
		return "", false
	}
	return "User:" + parts.String(), true
}

// Anonymous is the principal of everybody who does not log in.
const Anonymous = "User:ANONYMOUS"

// field is a setting whose being set means something.
type field struct {
	name string
	set  bool
}

func (s *TLSSettings) check() (problems []error) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	ca, cert := field{"security.tls.ca_file", s.CAFile != ""}, field{"security.tls.cert_file", s.CertFile != ""}
	key, name := field{"security.tls.key_file", s.KeyFile != ""}, field{"security.tls.server_name", s.ServerName != ""}
	if !s.Enabled {
		for _, f := range []field{ca, cert, key, name} {
			if f.set {
				problem("%s is set, and security.tls.enabled is false: set that to true, or leave %s out", f.name, f.name)
			}
		}
		return problems
	}
	if s.CAFile != "" {
		if _, err := readAuthorities(ca.name, s.CAFile); err != nil {
			problems = append(problems, err)
		}
	}
	switch {
	case cert.set && !key.set:
		problem("%s is set, and %s is not: a certificate is shown with its private key; set both, or leave both out", cert.name, key.name)
	case key.set && !cert.set:
		problem("%s is set, and %s is not: a private key is of use with its certificate; set both, or leave both out", key.name, cert.name)
	case cert.set:
		if _, err := s.readCertificate(); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func (s *SASLSettings) check() (problems []error) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	user := []field{
		{"security.sasl.username", s.Username != ""}, {"security.sasl.password", !s.Password.IsZero()}, {"security.sasl.password_file", s.PasswordFile != ""},
	}
	client := []field{
		{"security.sasl.token_url", s.TokenURL != ""}, {"security.sasl.token_ca_file", s.TokenCAFile != ""}, {"security.sasl.client_id", s.ClientID != ""},
		{"security.sasl.client_secret", !s.ClientSecret.IsZero()}, {"security.sasl.client_secret_file", s.ClientSecretFile != ""},
		{"security.sasl.scope", s.Scope != ""}, {"security.sasl.extensions", len(s.Extensions) > 0},
	}
	needless := func(fields []field, mechanisms string) {
		for _, f := range fields {
			if f.set {
				problem("%s is set, and security.sasl.mechanism is %q: set that to %s, or leave %s out", f.name, s.Mechanism, mechanisms, f.name)
			}
		}
	}
	needed := func(name, value, what string) {
		if value == "" {
			problem(`%s is "": with security.sasl.mechanism %s it must be %s`, name, s.Mechanism, what)
		}
	}
	switch s.Mechanism {
	case noSASL:
		needless(user, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
		needless(client, oauthBearer)
	case plainText, scramSHA256, scramSHA512:
		needless(client, oauthBearer)
		needed("security.sasl.username", s.Username, "the user's name")
		if _, err := s.password(); err != nil {
			problems = append(problems, err)
		}
	case oauthBearer:
		needless(user, "PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
		needed("security.sasl.token_url", s.TokenURL, "the address where tokens are given out")
		needed("security.sasl.client_id", s.ClientID, "the id of the client that asks for tokens")
		if _, err := s.clientSecret(); err != nil {
			problems = append(problems, err)
		}
		if err := checkTokenURL(s.TokenURL); err != nil {
			problems = append(problems, err)
		}
		if s.TokenCAFile != "" {
			if _, err := readAuthorities("security.sasl.token_ca_file", s.TokenCAFile); err != nil {
				problems = append(problems, err)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(s.Extensions)) {
			if name == "auth" || strings.Trim(name, letters) != "" {
				problem("security.sasl.extensions has the key %q: keys are letters only, and not \"auth\"", name)
			}
		}
	default:
		problem("security.sasl.mechanism is %q: it must be one of none, PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER", s.Mechanism)
	}
	return problems
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// checkTokenURL says what is wrong with an address that is set. It does not print one that holds a password.
func checkTokenURL(address string) error {
	if address == "" {
		return nil
	}
	at, err := url.Parse(address)
	switch {
	case err != nil || at.Host == "" || !slices.Contains([]string{"http", "https"}, at.Scheme):
		return errors.New("security.sasl.token_url is no address: it must be as https://login.example.com/oauth2/token")
	case at.User != nil:
		return errors.New("security.sasl.token_url has a user in it: set security.sasl.client_id and security.sasl.client_secret_file instead")
	case at.Scheme == "http" && at.Hostname() != "localhost" && !net.ParseIP(at.Hostname()).IsLoopback():
		return fmt.Errorf("security.sasl.token_url is %q: the client's secret would be sent in plain text; it must begin with https", address)
	}
	return nil
}
