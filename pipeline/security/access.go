package security

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Dialer opens a connection, as net.Dialer.DialContext does.
type Dialer = func(ctx context.Context, network, address string) (net.Conn, error)

// Access is how a process reaches its brokers. All its Kafka clients are made with the options of one Access, so that they share what is asked for
// seldom. It is safe for concurrent use.
type Access struct {
	brokers  []string
	settings Settings
	dial     Dialer
	tokens   *tokens // of OAUTHBEARER
}

// New returns the access to the brokers, host:port each, by connections of the dialer. Of the settings that are not valid connections tell later.
func New(brokers []string, settings Settings, dial Dialer) *Access {
	a := &Access{brokers: brokers, settings: settings, dial: dial}
	if settings.SASL.Mechanism == oauthBearer {
		a.tokens = newTokens(&a.settings.SASL)
	}
	return a
}

// Options returns the options by which a Kafka client, of this name for the brokers, finds the brokers, trusts them and logs in.
func (a *Access) Options(clientID string) []kgo.Opt {
	options := []kgo.Opt{kgo.SeedBrokers(a.brokers...), kgo.ClientID(clientID), kgo.Dialer(a.dial)}
	if a.settings.TLS.Enabled {
		options = append(options, kgo.Dialer(a.dialTLS))
	}
	if mechanism := a.mechanism(); mechanism != nil {
		options = append(options, kgo.SASL(mechanism))
	}
	return options
}

// handshakeTimeout is how long the handshake of TLS may take: a port without TLS may wait for more of what it takes for a request.
const handshakeTimeout = 10 * time.Second

func (a *Access) dialTLS(ctx context.Context, network, address string) (net.Conn, error) {
	config, err := a.settings.TLS.config(address)
	if err != nil {
		return nil, err
	}
	plain, err := a.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Client(plain, config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = plain.Close() // nothing was sent on it
		return nil, handshakeError(address, err)
	}
	return conn, nil
}

// config returns the configuration of a connection, of the files as they are now.
func (s *TLSSettings) config(address string) (*tls.Config, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("the broker's address %q: %w", address, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if s.ServerName != "" {
		config.ServerName = s.ServerName
	}
	if s.CAFile != "" {
		if config.RootCAs, err = readAuthorities("security.tls.ca_file", s.CAFile); err != nil {
			return nil, err
		}
	}
	if s.CertFile != "" {
		cert, err := s.readCertificate()
		if err != nil {
			return nil, err
		}
		if now := time.Now(); now.After(cert.Leaf.NotAfter) || now.Before(cert.Leaf.NotBefore) {
			return nil, &fileError{"security.tls.cert_file", s.CertFile, fmt.Errorf("the certificate is valid from %s to %s: put a valid one there with its key; no restart is needed",
				cert.Leaf.NotBefore.UTC().Format(time.RFC3339), cert.Leaf.NotAfter.UTC().Format(time.RFC3339))}
		}
		// Whatever authorities the broker names: it is the one that is to be shown, and a broker that does not take it says so.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return config, nil
}

// handshakeError says what a handshake that failed means.
func handshakeError(address string, err error) error {
	var notTLS tls.RecordHeaderError
	if errors.Is(err, io.EOF) || errors.As(err, &notTLS) || errors.Is(err, context.DeadlineExceeded) {
		// The end of a connection is not passed on as one: the client would put its own guess in place of all this.
		return &explained{fmt.Errorf("broker %s does not answer as TLS does: %s", address, err.Error()),
			"the port may be one without TLS: name the TLS port in brokers, or set security.tls.enabled to false"}
	}
	return fmt.Errorf("TLS with broker %s: %w", address, err)
}
