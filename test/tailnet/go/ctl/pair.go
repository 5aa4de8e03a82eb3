package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
)

// writePair writes a certificate for name, its key and the certificate of its issuer into directory,
// as an operator without certificates from the tailnet brings them: certificate.pem, key.pem, ca.pem.
func writePair(directory, name string) error {
	issuer, err := newIssuer("")
	if err != nil {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	chain, err := issuer.sign(1, []string{name}, &key.PublicKey)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for file, content := range map[string][]byte{
		"certificate.pem": chain,
		"key.pem":         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}),
		"ca.pem":          issuer.certificate(),
	} {
		if err := os.WriteFile(filepath.Join(directory, file), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
