package security_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lull/pipeline/security"
	"lull/pipeline/securitytest"
)

const (
	tokenA = "0123456789abcdef0123456789abcdef"
	tokenB = "fedcba9876543210fedcba9876543210"
)

// TestTokens: tokens come from the environment or a file, each long enough, and a file that changes is read again; while it is gone or holds none, those from before go on. No
// error tells a token.
func TestTokens(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(tokenA + "\n")
	for _, c := range []struct{ environment, file, content, want string }{
		{tokenA, path, tokenA, "http.tokens_file and LULL_HTTP_TOKENS (http.tokens) are both set: leave one out"},
		{"", path, "\n \n", `tokens": there is no token in it: it must hold one on each line`},
		{"", path, tokenA + "\n" + tokenB[:31] + "\n", `tokens": token 2 is 31 bytes long: it must be 32 at least, such as ` + "`openssl rand -hex 32` makes"},
		{tokenB[:31], "", "", "LULL_HTTP_TOKENS (http.tokens): token 1 is 31 bytes long"},
		{"", path + "-not", "", "it must be a file that this user can read"},
	} {
		write(c.content)
		_, err := security.NewTokens(security.NewSecret(c.environment), c.file)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), tokenA) || strings.Contains(err.Error(), tokenB[:31]) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	write(tokenA)
	tokens, err := security.NewTokens(security.Secret{}, path)
	if err != nil || !tokens.Set() {
		t.Fatal(tokens, err)
	}
	var told []error
	tokens.Tell = func(why error) { told = append(told, why) }
	now := time.Now()
	check := func(what string, a, b bool, tells ...string) {
		t.Helper()
		now = now.Add(2 * time.Second)
		told = nil
		defer func() {
			t.Helper()
			if len(told) != len(tells) || len(tells) > 0 && !strings.Contains(fmt.Sprint(told[0]), tells[0]) || strings.Contains(fmt.Sprint(told), tokenB[:20]) {
				t.Errorf("%s: told is %v, want %q", what, told, tells)
			}
		}()
		if tokens.Match(tokenA, now) != a || tokens.Match(tokenB, now) != b || tokens.Match("", now) || tokens.Match(tokenA+tokenB, now) {
			t.Errorf("%s: the first matches %t, the second %t", what, !a, !b)
		}
	}
	check("as it was", true, false)
	write(tokenA + "\r\n" + tokenB)
	check("with another", true, true)
	write(tokenB[:20])
	check("not as it must be", true, true, "token 1 is 20 bytes long")
	check("not as it must be still", true, true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check("gone", true, true, "it must be a file that this user can read")
	write(tokenB + "\n")
	check("without the first", false, true, "<nil>")
	if none, err := security.NewTokens(security.Secret{}, ""); err != nil || none.Set() || none.Match("", now) {
		t.Errorf("no tokens: set %t, %v", none.Set(), err)
	}
}

// TestListenerTLS: a listener shows its certificate as it is on disk, probes need none, and who shows one is trusted by the authorities of clients alone; settings that do not go together are refused.
func TestListenerTLS(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	authority, stranger := securitytest.NewAuthority(t), securitytest.NewAuthority(t)
	authority.Issue(t, "localhost", time.Now().Add(time.Hour), in("a.pem"), in("a.key"))
	stranger.Issue(t, "localhost", time.Now().Add(time.Hour), in("s.pem"), in("s.key"))
	for _, c := range []struct {
		settings security.ListenerTLS
		want     string
	}{
		{security.ListenerTLS{KeyFile: in("a.key")}, "http.tls.key_file is set, and http.tls.cert_file is not"},
		{security.ListenerTLS{CertFile: in("a.pem")}, "http.tls.cert_file is set, and http.tls.key_file is not"},
		{security.ListenerTLS{ClientCAFile: authority.File}, "http.tls.client_ca_file is set, and http.tls.cert_file is not: clients show certificates by TLS alone; set both, or leave it out"},
		{security.ListenerTLS{CertFile: in("a.pem"), KeyFile: in("s.key")}, `it does not go with http.tls.cert_file`},
		{security.ListenerTLS{CertFile: in("a.pem"), KeyFile: in("a.key"), ClientCAFile: in("a.key")}, "http.tls.client_ca_file"},
	} {
		if err := c.settings.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
	settings := security.ListenerTLS{CertFile: in("a.pem"), KeyFile: in("a.key"), ClientCAFile: authority.File}
	if err := settings.Validate(); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{TLSConfig: settings.Server(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200 + len(r.TLS.VerifiedChains))
	})}
	served := make(chan error)
	go func() { served <- server.ServeTLS(listener, "", "") }()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	ask := func(by security.ListenerTLS) (int, error) {
		client := by.Client((&net.Dialer{}).DialContext)
		defer client.CloseIdleConnections()
		response, err := client.Get("https://localhost:" + port)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	if status, err := ask(settings); status != 201 || err != nil {
		t.Errorf("a process of the group: status %d, %v", status, err)
	}
	if status, err := ask(security.ListenerTLS{CertFile: in("s.pem"), KeyFile: in("s.key"), ClientCAFile: authority.File}); err == nil {
		t.Errorf("a client with a stranger's certificate: status %d", status)
	}
	if status, err := ask(security.ListenerTLS{CertFile: in("a.pem"), KeyFile: in("a.key"), ClientCAFile: stranger.File}); err == nil {
		t.Errorf("a client that does not trust the authority: status %d", status)
	}
	stranger.Issue(t, "localhost", time.Now().Add(time.Hour), in("a.pem"), in("a.key"))
	if status, err := ask(security.ListenerTLS{CertFile: in("a.pem"), KeyFile: in("a.key"), ClientCAFile: authority.File}); err == nil {
		t.Errorf("the certificate was replaced by one that is not trusted: status %d", status)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Error(err)
	}
}
