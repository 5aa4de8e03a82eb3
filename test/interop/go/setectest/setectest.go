// Package setectest stands for the package of that name in setec's module, so that setec's own tests of
// its client run against Sotto: each DB is a `sotto server --dev` of its own, with nothing in it.
//
// It has what those tests use, and speaks plain HTTP, since the client's own package cannot be imported here:
// tests in that package import this one. SOTTO_SERVER_COMMAND is the command as a JSON array of words.
package setectest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tailscale/setec/types/api"
)

// A Caller stands for setec's; whoever calls a Sotto for development from loopback may do everything.
type Caller struct{}

// A DB is a running Sotto.
type DB struct {
	Actual    Actual
	Superuser Caller

	t *testing.T
}

// An Actual is what is stored, reached over the wire.
type Actual struct{ server *url.URL }

// A Server leads to a DB.
type Server struct{ Mux *http.ServeMux }

// NewDB starts a Sotto, which ends with the test. There are no options that it knows.
func NewDB(t *testing.T, options *struct{}) *DB {
	t.Helper()
	if options != nil {
		t.Fatal("Sotto's setectest knows no options of a DB")
	}
	var command []string
	if err := json.Unmarshal([]byte(os.Getenv("SOTTO_SERVER_COMMAND")), &command); err != nil || len(command) == 0 {
		t.Fatalf("SOTTO_SERVER_COMMAND is no command: %v", err)
	}
	process := exec.Command(command[0], command[1:]...)
	process.Stderr = &bytes.Buffer{}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Process.Signal(syscall.SIGTERM)
		process.Wait()
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	address, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on ")
	server, bad := url.Parse(address)
	if !ok || bad != nil {
		t.Fatalf("Sotto said %q (%v) and %s", line, err, process.Stderr)
	}
	return &DB{Actual: Actual{server}, t: t}
}

// NewServer returns a handler that passes every request on to the Sotto of db. A test to which no request came
// fails: it would show nothing about Sotto.
func NewServer(t *testing.T, db *DB, options *struct{}) *Server {
	t.Helper()
	if options != nil {
		t.Fatal("Sotto's setectest knows no options of a server")
	}
	var answered atomic.Int64
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(db.Actual.server) },
		ModifyResponse: func(*http.Response) error {
			answered.Add(1)
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.Handle("/", proxy)
	t.Cleanup(func() {
		t.Logf("Sotto answered %d requests", answered.Load())
		if answered.Load() == 0 {
			t.Error("Sotto answered no request of this test")
		}
	})
	return &Server{mux}
}

// MustPut is `put`.
func (db *DB) MustPut(_ Caller, name, value string) api.SecretVersion {
	db.t.Helper()
	var version api.SecretVersion
	db.must("put", api.PutRequest{Name: name, Value: []byte(value)}, &version)
	return version
}

// MustActivate is `activate`.
func (db *DB) MustActivate(_ Caller, name string, version api.SecretVersion) {
	db.t.Helper()
	db.must("activate", api.ActivateRequest{Name: name, Version: version}, nil)
}

// MustCreateVersion is `create-version`.
func (db *DB) MustCreateVersion(_ Caller, name string, version api.SecretVersion, value string) {
	db.t.Helper()
	db.must("create-version", api.CreateVersionRequest{Name: name, Version: version, Value: []byte(value)}, nil)
}

// Delete is `delete`.
func (a Actual) Delete(_ Caller, name string) error {
	return a.call("delete", api.DeleteRequest{Name: name}, nil)
}

func (db *DB) must(method string, request, answer any) {
	db.t.Helper()
	if err := db.Actual.call(method, request, answer); err != nil {
		db.t.Fatal(err)
	}
}

func (a Actual) call(method string, request, answer any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	r, err := http.NewRequest("POST", a.server.JoinPath("api", method).String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != 200 {
		return fmt.Errorf("%s: %s: %s", method, response.Status, got)
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(got, answer)
}
