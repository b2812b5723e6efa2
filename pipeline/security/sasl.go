package security

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// mechanism returns how clients log in, nil for not at all. The secret is read for every login.
func (a *Access) mechanism() sasl.Mechanism {
	s := &a.settings.SASL
	switch s.Mechanism {
	case plainText:
		return plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := s.password()
			return plain.Auth{User: s.Username, Pass: password.Reveal()}, err
		})
	case scramSHA256:
		return scram.Sha256(s.scram)
	case scramSHA512:
		return scram.Sha512(s.scram)
	case oauthBearer:
		return bearer{oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
			token, err := a.tokens.get(ctx)
			return oauth.Auth{Token: token.Reveal(), Extensions: s.Extensions}, err
		}), a.tokens}
	}
	return nil
}

func (s *SASLSettings) scram(context.Context) (scram.Auth, error) {
	password, err := s.password()
	return scram.Auth{User: s.Username, Pass: password.Reveal()}, err
}

// bearer is OAUTHBEARER with the broker's reason when it refuses a token: the client's own mechanism takes that for a mistake of the protocol.
type bearer struct {
	sasl.Mechanism
	tokens *tokens
}

// Authenticate implements sasl.Mechanism.
func (b bearer) Authenticate(ctx context.Context, host string) (sasl.Session, []byte, error) {
	session, first, err := b.Mechanism.Authenticate(ctx, host)
	if err != nil {
		return nil, nil, err
	}
	return bearerSession{session, b.tokens}, first, nil
}

type bearerSession struct {
	sasl.Session
	tokens *tokens
}

// Challenge implements sasl.Session. What a broker answers to a token that it takes is empty (RFC 7628, 3.2).
func (s bearerSession) Challenge(answer []byte) (done bool, next []byte, err error) {
	if len(answer) > 0 {
		s.tokens.forget() // the next login asks for another
		return false, nil, &explained{refusedToken(answer), "the token may have expired, or be of an issuer, audience or scope that the brokers do not take: see their log, and security.sasl.scope"}
	}
	s.tokens.taken()
	return s.Session.Challenge(answer)
}

// refusedToken is a broker's reason to refuse a token.
type refusedToken string

func (e refusedToken) Error() string { return "the broker refuses the token: " + string(e) }

// Is makes it what a login is that is refused by an error: a connection that has logged in before is then given up for a new one, which shows another token.
func (refusedToken) Is(target error) bool { return target == error(kerr.SaslAuthenticationFailed) }
