package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"
)

// terms are those on which certificates are issued.
type terms struct {
	Validity string // of certificates from now on, such as "1h"
	Refusal  string // the ACME error type that orders are refused with; empty: none
	Delay    string // how long an order waits for its answer
}

// issuer is an ACME server that issues any certificate: no signature, nonce or challenge is looked
// at. tailscaled takes it when TS_DEBUG_ACME_DIRECTORY_URL names its /acme/directory.
type issuer struct {
	base string
	key  *ecdsa.PrivateKey
	ca   *x509.Certificate

	mu       sync.Mutex
	validity time.Duration
	refusal  string
	delay    time.Duration
	orders   []*order // the number of an order is its index plus one
}

type order struct {
	identifiers []json.RawMessage
	ready       bool
	chain       []byte // PEM, once issued
}

func newIssuer(base string) (*issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test issuer"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(24 * time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return &issuer{base: base, key: key, ca: ca, validity: 90 * 24 * time.Hour}, err
}

// certificate returns that of the issuer, as PEM.
func (i *issuer) certificate() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.ca.Raw})
}

func (i *issuer) setTerms(t terms) error {
	validity, err := time.ParseDuration(t.Validity)
	if err != nil {
		return err
	}
	delay, err := time.ParseDuration(t.Delay)
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.validity, i.refusal, i.delay = validity, t.Refusal, delay
	return nil
}

// ServeHTTP answers /acme/WHAT and /acme/WHAT/NUMBER-OF-ORDER.
func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Replay-Nonce", rand.Text())
	what, number := strings.TrimPrefix(r.URL.Path, "/acme/"), 0
	if name, text, numbered := strings.Cut(what, "/"); numbered {
		what = name
		_, _ = fmt.Sscan(text, &number)
	}
	payload := payloadOf(r)
	if what == "new-order" {
		i.awaitDelay(r)
	}

	i.mu.Lock()
	defer i.mu.Unlock()
	switch what {
	case "directory":
		i.answerDirectory(w)
	case "nonce":
	case "account":
		w.Header().Set("Location", i.base+"/acme/account")
		answer(w, 200, map[string]any{"status": "valid"})
	case "new-order":
		i.takeOrder(w, payload)
	default:
		if number < 1 || number > len(i.orders) {
			answer(w, 404, problem("malformed"))
			return
		}
		i.answerOrder(w, what, number, payload)
	}
}

func (i *issuer) awaitDelay(r *http.Request) {
	i.mu.Lock()
	delay := i.delay
	i.mu.Unlock()
	select {
	case <-time.After(delay):
	case <-r.Context().Done():
	}
}

func (i *issuer) answerDirectory(w http.ResponseWriter) {
	directory := map[string]any{"meta": map[string]any{}}
	for name, path := range map[string]string{
		"newNonce": "nonce", "newAccount": "account", "newOrder": "new-order",
		"revokeCert": "revoke", "keyChange": "key",
	} {
		directory[name] = i.base + "/acme/" + path
	}
	answer(w, 200, directory)
}

func (i *issuer) takeOrder(w http.ResponseWriter, payload []byte) {
	if i.refusal != "" {
		// Not status 429, which tailscaled repeats until its own caller gives up.
		w.Header().Set("Retry-After", "60")
		answer(w, 403, problem(i.refusal))
		return
	}
	var asked struct{ Identifiers []json.RawMessage }
	if json.Unmarshal(payload, &asked) != nil || len(asked.Identifiers) == 0 {
		answer(w, 400, problem("malformed"))
		return
	}
	i.orders = append(i.orders, &order{identifiers: asked.Identifiers})
	number := len(i.orders)
	w.Header().Set("Location", i.url("order", number))
	answer(w, 201, i.describe(number))
}

func (i *issuer) answerOrder(w http.ResponseWriter, what string, number int, payload []byte) {
	o := i.orders[number-1]
	switch what {
	case "authorization":
		challenge := i.challenge(number)
		answer(w, 200, map[string]any{
			"status": challenge["status"], "identifier": o.identifiers[0], "challenges": []any{challenge},
		})
	case "challenge":
		o.ready = true
		answer(w, 200, i.challenge(number))
	case "finalize":
		if err := i.issue(number, payload); err != nil {
			answer(w, 400, problem("badCSR"))
			return
		}
		answer(w, 200, i.describe(number))
	case "order":
		answer(w, 200, i.describe(number))
	case "certificate":
		_, _ = w.Write(o.chain)
	default:
		answer(w, 404, problem("malformed"))
	}
}

func (i *issuer) issue(number int, payload []byte) error {
	var asked struct{ CSR string }
	if err := json.Unmarshal(payload, &asked); err != nil {
		return err
	}
	der, err := base64.RawURLEncoding.DecodeString(asked.CSR)
	if err != nil {
		return err
	}
	csr, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return err
	}
	i.orders[number-1].chain, err = i.sign(number, csr.DNSNames, csr.PublicKey)
	return err
}

// sign returns a certificate and that of the issuer, as PEM.
func (i *issuer) sign(number int, names []string, key any) ([]byte, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(number) + 1),
		DNSNames:     names,
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(i.validity),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, i.ca, key, i.key)
	if err != nil {
		return nil, err
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}), i.certificate()...), nil
}

func (i *issuer) describe(number int) map[string]any {
	o := i.orders[number-1]
	described := map[string]any{
		"status":         "pending",
		"identifiers":    o.identifiers,
		"authorizations": []string{i.url("authorization", number)},
		"finalize":       i.url("finalize", number),
	}
	switch {
	case o.chain != nil:
		described["status"], described["certificate"] = "valid", i.url("certificate", number)
	case o.ready:
		described["status"] = "ready"
	}
	return described
}

func (i *issuer) challenge(number int) map[string]any {
	status := "pending"
	if i.orders[number-1].ready {
		status = "valid"
	}
	return map[string]any{
		"type": "dns-01", "url": i.url("challenge", number), "token": "token", "status": status,
	}
}

func (i *issuer) url(what string, number int) string {
	return fmt.Sprintf("%s/acme/%s/%d", i.base, what, number)
}

// payloadOf returns what a signed request says; whether its signature holds is not looked at.
func payloadOf(r *http.Request) []byte {
	var signed struct{ Payload string }
	_ = json.NewDecoder(r.Body).Decode(&signed)
	payload, _ := base64.RawURLEncoding.DecodeString(signed.Payload)
	return payload
}

func problem(kind string) map[string]any {
	return map[string]any{"type": "urn:ietf:params:acme:error:" + kind, "detail": "as the test asked"}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
