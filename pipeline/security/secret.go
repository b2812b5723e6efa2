package security

import "fmt"

// Secret is a password or the like. Only Reveal returns it: every other way to print or encode it shows that there is one. The zero value is none. It
// may be copied.
type Secret struct {
	text *string // a pointer, so that no way of printing what a Secret is a part of follows it
}

// redacted stands for a secret wherever settings are shown.
const redacted = "[redacted]"

// NewSecret returns the secret of a text, none for "".
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{&text}
}

// Reveal returns the secret itself, "" if there is none.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// IsZero reports whether there is none.
func (s Secret) IsZero() bool { return s.text == nil }

// String returns what may be shown: "[redacted]", or "" if there is no secret.
func (s Secret) String() string {
	if s.IsZero() {
		return ""
	}
	return redacted
}

// Format implements fmt.Formatter: for every verb it is String.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.String()) }

// MarshalText implements encoding.TextMarshaler, by which JSON and YAML are written too: it is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
