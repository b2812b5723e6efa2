package query

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lull/pipeline/security"
)

// TestGuard: on this machine alone everybody may ask who asks by its name; beyond it nobody, until there are tokens or certificates, and then who shows one. A refusal never tells a token.
func TestGuard(t *testing.T) {
	const token, other = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(other+"\n"+token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := func(environment, path string) *security.Tokens {
		set, err := security.NewTokens(security.NewSecret(environment), path)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	none := tokens("", "")
	w := newWorld(t, 1)
	for _, c := range []struct {
		name          string
		guard         Guard
		host          string
		authorization string
		status        int
		why           string
	}{
		{"this machine", Guard{Listen: "127.0.0.1:8280", Tokens: none}, "127.0.0.1:8280", "", 200, ""},
		{"this machine by name", Guard{Listen: "localhost:8280", Tokens: none}, "localhost", "", 200, ""},
		{"this machine by version 6", Guard{Listen: "[::1]:8280", Tokens: none}, "[::1]", "", 200, ""},
		{"a page whose name was resolved to this machine", Guard{Listen: "127.0.0.1:8280", Tokens: none}, "evil.example", "", 403, `host "evil.example"`},
		{"everywhere", Guard{Listen: "0.0.0.0:8280", Tokens: none}, "127.0.0.1:8280", "", 403, "the read API is closed: http.listen 0.0.0.0:8280 is reached from other machines. Set http.tokens_file"},
		{"all addresses", Guard{Listen: ":8280", Tokens: none}, "127.0.0.1:8280", "Bearer x", 403, "closed"},
		{"no token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "", 401, "needs the header Authorization: Bearer TOKEN"},
		{"another token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "Bearer " + other, 401, "needs"},
		{"a part of the token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "Bearer " + token[:31], 401, "needs"},
		{"another scheme", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, "")}, "lull:8280", "Basic " + token, 401, "needs"},
		{"the token", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(other+" "+token, "")}, "lull:8280", "bearer " + token, 200, ""},
		{"of a file", Guard{Listen: "0.0.0.0:8280", Tokens: tokens("", file)}, "lull:8280", "Bearer " + token, 200, ""},
		{"this machine with tokens", Guard{Listen: "127.0.0.1:8280", Tokens: tokens(token, "")}, "127.0.0.1", "", 401, "needs"},
		{"no certificate", Guard{Listen: "0.0.0.0:8280", Tokens: none, Certificates: true}, "lull:8280", "Bearer " + token, 401, "needs a certificate by an authority of http.tls.client_ca_file"},
		{"neither", Guard{Listen: "0.0.0.0:8280", Tokens: tokens(token, ""), Certificates: true}, "lull:8280", "", 401, ", or a certificate by an authority"},
	} {
		request := httptest.NewRequest(http.MethodGet, "/v1/customers/c0", http.NoBody)
		request.Host = c.host
		if c.authorization != "" {
			request.Header.Set("Authorization", c.authorization)
		}
		recorder := httptest.NewRecorder()
		w.handler(0, c.guard.Admit).ServeHTTP(recorder, request)
		body := unquote(recorder.Body.Bytes())
		if recorder.Code != c.status || !strings.Contains(body, c.why) || strings.Contains(recorder.Body.String(), token) || (recorder.Header().Get("WWW-Authenticate") != "") != (c.status == 401) {
			t.Errorf("%s: status %d: %s, want %d, %q", c.name, recorder.Code, body, c.status, c.why)
		}
	}
}
