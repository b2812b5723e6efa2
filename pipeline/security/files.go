package security

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// fileError is a file that cannot be used. A process that runs tries again: it may be about to be replaced.
type fileError struct {
	setting, path string
	err           error
}

func (e *fileError) Error() string {
	if e.path == "" {
		return fmt.Sprintf("%s: %s", e.setting, e.err)
	}
	return fmt.Sprintf("%s %q: %s", e.setting, e.path, e.err)
}

func (e *fileError) Unwrap() error { return e.err }

// Temporary tells the client that trying again may help.
func (e *fileError) Temporary() bool { return true }

// readFile returns what is in the file of a setting.
func readFile(setting, path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err == nil {
		return content, nil
	}
	var of *os.PathError
	if errors.As(err, &of) {
		err = of.Err // the path is told by fileError
	}
	return nil, &fileError{setting, path, fmt.Errorf("%w: it must be a file that this user can read", err)}
}

// readSecret returns the secret that the environment has, or that is in the file. One of them must be.
func readSecret(setting string, value Secret, fileSetting, path string) (Secret, error) {
	variable := "LULL_" + strings.ToUpper(strings.ReplaceAll(setting, ".", "_"))
	switch {
	case !value.IsZero() && path != "":
		return Secret{}, fmt.Errorf("%s and %s (%s) are both set: leave one out", fileSetting, variable, setting)
	case !value.IsZero():
		return value, nil
	case path == "":
		return Secret{}, fmt.Errorf("neither %s nor the environment variable %s is set: one must hold the secret", fileSetting, variable)
	}
	content, err := readFile(fileSetting, path)
	if err != nil {
		return Secret{}, err
	}
	secret := NewSecret(strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r"))
	if secret.IsZero() {
		return Secret{}, &fileError{fileSetting, path, errors.New("it is empty: it must hold the secret")}
	}
	return secret, nil
}

func (s *SASLSettings) password() (Secret, error) {
	return readSecret("security.sasl.password", s.Password, "security.sasl.password_file", s.PasswordFile)
}

func (s *SASLSettings) clientSecret() (Secret, error) {
	return readSecret("security.sasl.client_secret", s.ClientSecret, "security.sasl.client_secret_file", s.ClientSecretFile)
}

// readAuthorities returns the certificates in a file of them.
func readAuthorities(setting, path string) (*x509.CertPool, error) {
	content, err := readFile(setting, path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(content) {
		return nil, &fileError{setting, path, fmt.Errorf("there is no certificate in it%s", remedyFor(content))}
	}
	return pool, nil
}

// readCertificate returns the certificate that the process shows to brokers.
func (s *TLSSettings) readCertificate() (*tls.Certificate, error) {
	return readPair("security.tls.cert_file", s.CertFile, "security.tls.key_file", s.KeyFile)
}

// readPair returns a certificate and its private key.
func readPair(certSetting, certPath, keySetting, keyPath string) (*tls.Certificate, error) {
	cert, err := readFile(certSetting, certPath)
	if err != nil {
		return nil, err
	}
	key, err := readFile(keySetting, keyPath)
	if err != nil {
		return nil, err
	}
	if !holds(cert, "CERTIFICATE") {
		return nil, &fileError{certSetting, certPath, fmt.Errorf("there is no certificate in it%s", remedyFor(cert))}
	}
	switch {
	case holds(key, "ENCRYPTED PRIVATE KEY") || bytes.Contains(key, []byte("Proc-Type: 4,ENCRYPTED")):
		return nil, &fileError{keySetting, keyPath, errors.New("the key is encrypted, and lull asks for no passphrase: write it without one by `openssl pkey -in FILE -out KEY`, readable by lull alone")}
	case !holds(key, "PRIVATE KEY"):
		return nil, &fileError{keySetting, keyPath, fmt.Errorf("there is no private key in it%s", remedyFor(key))}
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, &fileError{keySetting, keyPath, fmt.Errorf("it does not go with %s %q (%s): it must be the private key of the first certificate there", certSetting, certPath, strings.TrimPrefix(err.Error(), "tls: "))}
	}
	return &pair, nil
}

// holds reports whether a PEM block is there whose type ends so.
func holds(content []byte, ending string) bool {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return false
		}
		if strings.HasSuffix(block.Type, ending) {
			return true
		}
	}
}

// remedyFor says what to do about a file that does not hold what it must.
func remedyFor(content []byte) string {
	if bytes.Contains(content, []byte("-----BEGIN ")) {
		return ": something else is there; name the file that has one"
	}
	return ": it must be PEM, a text with lines \"-----BEGIN ...\". A PKCS#12 or JKS store is turned into PEM by `keytool -importkeystore` and `openssl pkcs12 -nodes`"
}
