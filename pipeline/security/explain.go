package security

import (
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// explained is an error with what to do about it.
type explained struct {
	error
	advice string
}

// Error implements error.
func (e *explained) Error() string { return e.error.Error() + ": " + e.advice }

// Unwrap returns the error without the advice.
func (e *explained) Unwrap() error { return e.error }

// Explain returns the error with what to do about it, if it is one of access: a login, a certificate or a right that is refused, or a port that is of
// another kind than the settings say. Any other, and one that is explained already, it returns as it is; nil too.
func Explain(err error) error {
	if err == nil || Explained(err) {
		return err
	}
	if advice := advice(err); advice != "" {
		return &explained{err, advice}
	}
	return err
}

// Explained reports whether the error is of access, and says what to do about it.
func Explained(err error) bool {
	var known *explained
	var file *fileError
	return errors.As(err, &known) || errors.As(err, &file)
}

// Tokenless reports whether there was no login because the server of tokens does not answer as it should. The error says what to do about that; brokers have no part in it.
func Tokenless(err error) bool {
	var away *unavailable
	return errors.As(err, &away)
}

// grant ends the advice about rights.
const grant = "grant what `lull acl print` prints, to the user that the brokers know this process by"

// advice returns what to do about an error, "" if that is not known.
func advice(err error) string {
	var first *kgo.ErrFirstReadEOF
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var op *net.OpError
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return "the brokers do not take this login: check security.sasl.username, its password (security.sasl.password_file or LULL_SECURITY_SASL_PASSWORD), " +
			"and that the user exists for the mechanism in security.sasl.mechanism; of OAUTHBEARER the token, which may have expired, or be of an issuer, audience or scope that they do not take: " +
			"see their log, and security.sasl.scope"
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return "the brokers' port does not know security.sasl.mechanism: set one that it knows, or name another port in brokers"
	case errors.Is(err, kerr.IllegalSaslState):
		return "this port of the brokers takes no login: name the port that does in brokers; or, of OAUTHBEARER, the token lives for a few seconds only: let the server of tokens give longer ones. " +
			"Only if the brokers are meant to be used without a login, security.sasl.mechanism is none"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return "the right to this topic is missing: " + grant
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		return "the right to this consumer group is missing: " + grant
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return "the right to this transactional id is missing: " + grant
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return "a right is missing: " + grant
	case errors.As(err, &authority):
		return "nobody that security.tls.ca_file trusts (the system's authorities, if it is not set) has signed the certificate: name the file with the certificate of the brokers' authority there"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the broker's certificate is not valid at this time: renew it there, and check this machine's clock"
	case errors.As(err, &invalid):
		return "the broker's certificate cannot be used: mend it there"
	case errors.As(err, &name):
		return "the broker's certificate is of another name: name the brokers as it does, or set security.tls.server_name to its name"
	case errors.As(err, &op) && op.Op == "remote error":
		return "the broker refuses TLS with this process: security.tls.cert_file and key_file must hold a certificate that is valid, and of an authority that the brokers trust"
	case errors.As(err, &first) && strings.Contains(first.Error(), "api versions"), strings.Contains(err.Error(), "speaking to a tls endpoint"): // the client has no kind for it
		return "if the port has TLS, set security.tls.enabled to true"
	case errors.As(err, &first):
		return "if the port asks for a login, set security.sasl.mechanism"
	}
	return ""
}
