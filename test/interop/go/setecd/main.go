// Command setecd runs the released setec server package on loopback, for Sotto to be compared with.
//
// Callers are told apart by the loopback address that they come from, by the same development
// tailnet file that `sotto server --dev --tailnet FILE` reads, so that one file describes the
// callers of both servers. The file is read again when it changes.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tailscale/setec/audit"
	"github.com/tailscale/setec/server"
	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"tailscale.com/client/tailscale/apitype"
	"tailscale.com/tailcfg"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "loopback address to listen on")
	dir := flag.String("dir", "", "state directory, made if it does not exist")
	tailnet := flag.String("tailnet", "", "development tailnet file")
	flag.Parse()
	if err := run(*listen, *dir, *tailnet); err != nil {
		log.Fatal(err)
	}
}

func run(listen, dir, file string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil || !net.ParseIP(host).IsLoopback() {
		return fmt.Errorf("cannot listen on %q: not a loopback address", listen)
	}
	if dir == "" || file == "" {
		return errors.New("-dir and -tailnet must be given")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	callers := &tailnet{file: file}
	if err := callers.load(); err != nil {
		return err
	}
	// The key lives as long as the process: the state directory is not meant to be opened again.
	handle, err := keyset.NewHandle(aead.XChaCha20Poly1305KeyTemplate())
	if err != nil {
		return err
	}
	key, err := aead.New(handle)
	if err != nil {
		return err
	}
	auditLog, err := audit.NewFile(filepath.Join(dir, "audit.log"))
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	config := server.Config{
		DBPath:   filepath.Join(dir, "database"),
		Key:      key,
		AuditLog: auditLog,
		WhoIs:    callers.whois,
		Mux:      mux,
	}
	if _, err := server.New(context.Background(), config); err != nil {
		return err
	}
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", l.Addr())
	return http.Serve(l, mux)
}

// A node is one caller of the development tailnet.
type node struct {
	Name  string               `json:"name"`
	User  string               `json:"user"`
	Tags  []string             `json:"tags"`
	Rules []tailcfg.RawMessage `json:"rules"`
}

// A tailnet answers as tailscaled's WhoIs would, from a file.
type tailnet struct {
	file string

	mu    sync.Mutex
	mtime time.Time
	nodes map[string]node // by loopback address
}

// load reads the file, unless it is the one that was read before.
func (t *tailnet) load() error {
	info, err := os.Stat(t.file)
	if err != nil {
		return err
	}
	if info.ModTime().Equal(t.mtime) {
		return nil
	}
	data, err := os.ReadFile(t.file)
	if err != nil {
		return err
	}
	var input struct {
		Nodes map[string]node `json:"nodes"`
	}
	if err := json.Unmarshal(data, &input); err != nil {
		return fmt.Errorf("reading %s: %w", t.file, err)
	}
	t.mtime, t.nodes = info.ModTime(), input.Nodes
	return nil
}

func (t *tailnet) whois(_ context.Context, addr string) (*apitype.WhoIsResponse, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.load(); err != nil {
		return nil, err
	}
	n, ok := t.nodes[host]
	if !ok {
		return nil, errors.New("no such peer")
	}
	return &apitype.WhoIsResponse{
		Node:        &tailcfg.Node{Name: n.Name, Tags: n.Tags},
		UserProfile: &tailcfg.UserProfile{LoginName: n.User},
		CapMap:      tailcfg.PeerCapMap{server.ACLCap: n.Rules},
	}, nil
}
