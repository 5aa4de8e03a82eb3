// The example of docs/guides/use-it.md, against servers that answer as no real one does on demand.
package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

// serve starts a server that has version 1 of every secret, and answers watches with watch.
func serve(t *testing.T, watch http.HandlerFunc) setec.Client {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/watch") {
			watch(w, r)
		} else {
			fmt.Fprint(w, `{"Value":"eA==","Version":1}`)
		}
	}))
	t.Cleanup(server.Close)
	return setec.Client{Server: server.URL + "/"}
}

func TestEnds(t *testing.T) {
	for _, how := range []string{"with its context", "with its store"} {
		t.Run(how, func(t *testing.T) {
			asked, left := make(chan bool, 1), make(chan bool, 1)
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				// It is not known before that the client has gone.
				io.Copy(io.Discard, r.Body)
				asked <- true
				<-r.Context().Done()
				left <- true
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			watch := NewWatch(ctx, client)
			store, err := setec.NewStore(t.Context(), setec.StoreConfig{
				Client: watch, PollTicker: watch, Secrets: []string{"a"}, Logf: t.Logf,
			})
			if err != nil {
				t.Fatal(err)
			}
			<-asked
			if how == "with its store" {
				store.Close()
			} else {
				cancel()
				defer store.Close()
			}
			<-left
		})
	}
}

func TestAnswers(t *testing.T) {
	const newer, older, other = "0123456789abcdef.9", "0123456789abcdef.8", "fedcba9876543210.1"
	for name, test := range map[string]struct {
		status  int
		headers [2]string
		body    string
		differs bool
		pause   time.Duration
	}{
		"a change":              {200, [2]string{"Sotto-Revision", newer}, `[{"Name":"a","Version":2,"Revision":9}]`, true, 0},
		"nothing":               {200, [2]string{"Sotto-Revision", newer}, "[]", false, 0},
		"another branch":        {200, [2]string{"Sotto-Revision", other}, "[]", false, 0},
		"an older copy":         {200, [2]string{"Sotto-Revision", older}, `[{"Name":"a","Version":1,"Revision":1}]`, false, time.Second},
		"cut":                   {200, [2]string{"Content-Length", "60"}, `[{"Name":"a","Ver`, false, time.Second},
		"setec's server":        {400, [2]string{}, "invalid method", true, time.Hour},
		"no page":               {404, [2]string{}, "", true, time.Hour},
		"no method":             {405, [2]string{}, "", true, time.Hour},
		"not implemented":       {501, [2]string{}, "", true, time.Hour},
		"denied":                {403, [2]string{}, "access denied", false, time.Second},
		"a fault":               {500, [2]string{}, "internal error", false, time.Second},
		"overloaded for a time": {503, [2]string{"Retry-After", "7"}, "", false, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			client := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if test.headers[0] != "" {
					w.Header().Set(test.headers[0], test.headers[1])
				}
				w.WriteHeader(test.status)
				fmt.Fprint(w, test.body)
			})
			watch := NewWatch(t.Context(), client)
			watch.held.Store("a", api.SecretVersion(1))
			watch.branch, watch.revision = "0123456789abcdef", 9
			if differs, pause := watch.ask(); differs != test.differs || pause != test.pause {
				t.Errorf("ask() = %v, %v; want %v, %v", differs, pause, test.differs, test.pause)
			}
		})
	}
}

func TestDeniedIsNotAskedForInACircle(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), `"a"`) {
			fmt.Fprint(w, `[{"Name":"a","Denied":true,"Revision":1}]`)
		} else {
			fmt.Fprint(w, "[]")
		}
	})
	watch := NewWatch(t.Context(), client)
	watch.held.Store("a", api.SecretVersion(3))
	watch.held.Store("b", api.SecretVersion(1))
	if differs, pause := watch.ask(); !differs || pause != 0 {
		t.Errorf("when it is denied: %v, %v", differs, pause)
	}
	watch.held.Store("a", api.SecretVersion(0)) // as the poll finds
	for range 2 {
		if differs, pause := watch.ask(); differs || pause != 0 {
			t.Errorf("while it is denied: %v, %v", differs, pause)
		}
		watch.denied["a"] = time.Time{}
	}
	watch.denied["a"] = time.Now()
	watch.held.Delete("b")
	if differs, pause := watch.ask(); differs || pause == 0 {
		t.Errorf("of nothing else: %v, %v", differs, pause)
	}
}
