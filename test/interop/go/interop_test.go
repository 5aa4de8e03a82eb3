// Package interop holds a running server to what setec's released client package expects of one.
//
// The server's URL stands in SOTTO_URL, and its callers are those of test/interop/tailnet.ts, told
// apart by the loopback address that they call from. Tests whose names begin with TestSotto hold
// only for Sotto; all others hold for setec's own server too, which shows that they ask for no more
// than setec's clients do.
package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

// The callers of the tests.
const (
	root    = "127.0.0.1" // everything on every name
	app     = "127.0.0.2" // get and info on prod/*
	alice   = "127.0.0.3" // info on every name, put on team/*
	nobody  = "127.0.0.4" // no rule at all
	unknown = "127.0.0.5" // no node of the tailnet
)

// as returns a client that calls the server from the given loopback address.
func as(t *testing.T, address string) setec.Client {
	t.Helper()
	url := os.Getenv("SOTTO_URL")
	if url == "" {
		t.Fatal("SOTTO_URL is not set")
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	transport := &http.Transport{DialContext: dialer.DialContext}
	t.Cleanup(transport.CloseIdleConnections)
	return setec.Client{Server: url, DoHTTP: (&http.Client{Transport: transport}).Do}
}

// unreachable returns a client of a server that is down.
func unreachable(t *testing.T) setec.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return setec.Client{Server: "http://" + l.Addr().String()}
}

var counter atomic.Int64

// fresh returns a name that no test used before, with the given prefix.
func fresh(t *testing.T, prefix string) string {
	t.Helper()
	return fmt.Sprintf("%s%s/%d-%d", prefix, t.Name(), time.Now().UnixNano(), counter.Add(1))
}

// testContext ends with the test, or after a time that no call of a test needs.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// put stores a value as a version of the secret and returns its number.
func put(t *testing.T, name, value string) api.SecretVersion {
	t.Helper()
	version, err := as(t, root).Put(testContext(t), name, []byte(value))
	if err != nil {
		t.Fatalf("Put %q: %v", name, err)
	}
	return version
}

func activate(t *testing.T, name string, version api.SecretVersion) {
	t.Helper()
	if err := as(t, root).Activate(testContext(t), name, version); err != nil {
		t.Fatalf("Activate %q version %d: %v", name, version, err)
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := as(t, root).Delete(testContext(t), name); err != nil {
		t.Fatalf("Delete %q: %v", name, err)
	}
}

// wantValue checks what a call that reads a value came to.
func wantValue(t *testing.T, got *api.SecretValue, err error, version api.SecretVersion, value string) {
	t.Helper()
	if err != nil {
		t.Errorf("got error %v, want %q as version %d", err, value, version)
	} else if got.Version != version || string(got.Value) != value {
		t.Errorf("got %q as version %d, want %q as version %d", got.Value, got.Version, value, version)
	}
}

// wantError checks that err is the sentinel want.
func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// wantStatus checks that err is none of the sentinels and tells of the given answer.
func wantStatus(t *testing.T, err error, status int, text string) {
	t.Helper()
	want := fmt.Sprintf("request returned status %d: %q", status, text)
	if err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}

// wantString checks a single value.
func wantString(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
