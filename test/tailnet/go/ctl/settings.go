package main

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
)

// serveSettings serves what can be set while everything runs, as JSON over a unix socket:
//
//	PUT /nodes/HOSTNAME {"user":"alice@example.com","tags":["tag:web"],"ip":"100.64.0.2",
//	                     "removed":false,"expired":false,"keyExpiry":"2030-01-01T00:00:00Z"}
//	PUT /grants         [{"src":["tag:web"],"dst":["tag:secrets"],"ip":["tcp:443"],
//	                      "app":{"tailscale.com/cap/secrets":[…]}}]
//	PUT /maps           {"inFull":true}
//	PUT /issuer         {"validity":"1h","refusal":"","delay":"0s"}
//	GET /nodes          those that have joined
//
// A selector of src and dst is "*", a tag, a login name, or host:HOSTNAME. A refusal is an ACME error
// type such as rateLimited.
func serveSettings(socket string, tailnet *tailnet, issuer *issuer) error {
	mux := http.NewServeMux()
	put(mux, "/nodes/{host}", func(r *http.Request, n node) error {
		tailnet.setNode(r.PathValue("host"), n)
		return nil
	})
	put(mux, "/grants", func(_ *http.Request, grants []grant) error {
		tailnet.setGrants(grants)
		return nil
	})
	put(mux, "/maps", func(_ *http.Request, maps struct{ InFull bool }) error {
		tailnet.setInFull(maps.InFull)
		return nil
	})
	put(mux, "/issuer", func(_ *http.Request, terms terms) error { return issuer.setTerms(terms) })
	mux.HandleFunc("GET /nodes", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(tailnet.joined())
	})
	_ = os.Remove(socket)
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return http.Serve(listener, mux)
}

func put[T any](mux *http.ServeMux, path string, set func(*http.Request, T) error) {
	mux.HandleFunc("PUT "+path, func(w http.ResponseWriter, r *http.Request) {
		var value T
		err := json.NewDecoder(r.Body).Decode(&value)
		if err == nil {
			err = set(r, value)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
}
