package query

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"lull/pipeline/security"
)

// Guard decides who may ask.
type Guard struct {
	// Listen is the address that the API is at.
	Listen string
	// Tokens are those of which a client shows one.
	Tokens *security.Tokens
	// Certificates is set if a client may show a certificate instead: the listener has verified it.
	Certificates bool
}

// Admit returns why a request is not answered, nil if it is: on this machine alone everybody may ask, unless there are tokens or certificates; from elsewhere nobody, as long as there are
// none.
func (g *Guard) Admit(r *http.Request) *Refusal {
	switch {
	case g.Tokens.Set() || g.Certificates:
		if g.Certificates && r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
			return nil
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		if g.Tokens.Set() && strings.EqualFold(scheme, "Bearer") && g.Tokens.Match(token, time.Now()) {
			return nil
		}
		want := "the header Authorization: Bearer TOKEN, with one of http.tokens_file or LULL_HTTP_TOKENS"
		if !g.Tokens.Set() {
			want = "a certificate by an authority of http.tls.client_ca_file"
		} else if g.Certificates {
			want += ", or a certificate by an authority of http.tls.client_ca_file"
		}
		return &Refusal{http.StatusUnauthorized, "the read API needs " + want}
	case !Loopback(g.Listen):
		return &Refusal{http.StatusForbidden, fmt.Sprintf("the read API is closed: http.listen %s is reached from other machines. Set http.tokens_file or LULL_HTTP_TOKENS, or http.tls.client_ca_file for clients with certificates; "+
			"or let http.listen be an address of this machine alone, such as 127.0.0.1:8280", g.Listen)}
	case !Loopback(r.Host) && !Loopback(net.JoinHostPort(strings.Trim(r.Host, "[]"), "80")):
		// A page in a browser on this machine may have had its own name resolved to it.
		return &Refusal{http.StatusForbidden, fmt.Sprintf("host %q: without tokens the read API answers who asks for this machine by its loopback address", r.Host)}
	}
	return nil
}

// Loopback reports whether host:port can be reached from this machine alone.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}
