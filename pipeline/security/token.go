package security

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// tokens gives out tokens by the client credentials grant (RFC 6749, 4.4). One is used until four fifths of its life are over, as Java's clients do.
type tokens struct {
	settings *SASLSettings

	mu     sync.Mutex
	token  Secret
	until  time.Time // when another is asked for
	end    time.Time // of its life
	logins int       // with it since one was known to be taken
}

// loginsMax is with how many logins in a row, of which none is known to be taken, a token is used: brokers may refuse it by an error, which the client does not tell.
const loginsMax = 10

func newTokens(s *SASLSettings) *tokens { return &tokens{settings: s} }

// tokenRest is how much of a token's life must be left when it is used. The client logs in again a second before the end; brokers do not take two logins of a
// connection within a second.
const tokenRest = 3 * time.Second

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// tokenTimeout is how long a token may take.
const tokenTimeout = 10 * time.Second

// get returns a token that is valid now.
func (t *tokens) get(ctx context.Context) (Secret, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logins++
	if !t.token.IsZero() && t.logins <= loginsMax && time.Now().Before(t.until) {
		return t.token, nil
	}
	ctx, cancel := context.WithTimeout(ctx, tokenTimeout)
	defer cancel()
	asked := time.Now()
	token, err := t.ask(ctx)
	if err != nil {
		if !t.token.IsZero() && time.Now().Before(t.end) {
			return t.token, nil // the server has the rest of its life to come back
		}
		return Secret{}, err
	}
	t.token, t.end, t.logins = NewSecret(token.AccessToken), token.Expiry, 1
	if t.end.IsZero() {
		t.end = asked.Add(time.Minute) // a server that does not say how long is not believed for long
	}
	t.until = earlier(asked.Add(t.end.Sub(asked)*4/5), t.end.Add(-tokenRest))
	return t.token, nil
}

// taken says that a broker has taken the token.
func (t *tokens) taken() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.logins = 0
}

// forget makes the next login ask for another token.
func (t *tokens) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.token = Secret{}
}

func (t *tokens) ask(ctx context.Context) (*oauth2.Token, error) {
	s := t.settings
	secret, err := s.clientSecret()
	if err != nil {
		return nil, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.TokenCAFile != "" {
		if config.RootCAs, err = readAuthorities("security.sasl.token_ca_file", s.TokenCAFile); err != nil {
			return nil, err
		}
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: config, DisableKeepAlives: true}
	client := &http.Client{
		Transport: transport,
		// A secret goes where the settings say and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	grant := clientcredentials.Config{ClientID: s.ClientID, ClientSecret: secret.Reveal(), TokenURL: s.TokenURL, Scopes: strings.Fields(s.Scope)}
	token, err := grant.Token(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return nil, tokenError(s.TokenURL, err)
	}
	return token, nil
}

// tokenError says why there is no token. The answer itself is not told: it may repeat what was sent.
func tokenError(address string, err error) error {
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return &unavailable{fmt.Errorf("asking %s for a token: %w: start that server, or mend security.sasl.token_url", address, err)}
	}
	what := refused.Response.Status
	if refused.ErrorCode != "" {
		what += ", " + refused.ErrorCode
	}
	err = fmt.Errorf("%s gives no token (security.sasl.token_url): %s", address, what)
	if refused.Response.StatusCode >= 500 {
		return &unavailable{fmt.Errorf("%w: its log says more", err)}
	}
	return &explained{err, "check security.sasl.client_id, the client's secret (security.sasl.client_secret_file or LULL_SECURITY_SASL_CLIENT_SECRET), which may have expired, and security.sasl.scope"}
}

// unavailable is a server of tokens that does not answer as it should just now.
type unavailable struct{ error }

// Unwrap returns what happened.
func (e *unavailable) Unwrap() error { return e.error }

// Temporary tells the client that trying again may help.
func (e *unavailable) Temporary() bool { return true }
