package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

// Watch makes a setec.Store hear of new versions at once: it is Client and PollTicker of its StoreConfig.
type Watch struct {
	setec.Client
	Changed chan struct{} // receives when the store has taken new values

	ctx      context.Context
	stop     context.CancelFunc
	ticks    chan time.Time
	polled   chan struct{}
	held     sync.Map // versions by name; 0 for what the server refuses or does not have
	taken    atomic.Int64
	denied   map[string]time.Time // when the server last said so
	branch   string               // of the server's store, and the newest revision of it that was told
	revision uint64
}

// NewWatch returns a Watch that ends with ctx, or when its store is closed.
func NewWatch(ctx context.Context, client setec.Client) *Watch {
	w := &Watch{Client: client, Changed: make(chan struct{}, 1), ticks: make(chan time.Time),
		polled: make(chan struct{}), denied: make(map[string]time.Time)}
	w.ctx, w.stop = context.WithCancel(ctx)
	go w.run()
	return w
}

func (w *Watch) Chan() <-chan time.Time { return w.ticks }
func (w *Watch) Done()                  { w.polled <- struct{}{} }
func (w *Watch) Stop()                  { w.stop() }

// GetIfChanged takes note of what the store holds.
func (w *Watch) GetIfChanged(ctx context.Context, name string, held api.SecretVersion) (*api.SecretValue, error) {
	value, err := w.Client.GetIfChanged(ctx, name, held)
	if err == nil {
		held = value.Version
		w.taken.Add(1)
	} else if errors.Is(err, api.ErrNotFound) || errors.Is(err, api.ErrAccessDenied) {
		held = 0
	}
	w.held.Store(name, held)
	return value, err
}

// run lets the store poll, first of all and then whenever other versions are active than it holds.
func (w *Watch) run() {
	longest := time.Second
	for differs := true; ; {
		before := w.taken.Load()
		if differs {
			select {
			case w.ticks <- time.Now():
				<-w.polled
			case <-w.ctx.Done():
				return
			}
		}
		took := w.taken.Load() > before
		if took {
			select {
			case w.Changed <- struct{}{}:
			default:
			}
		}
		asked := time.Now()
		var pause time.Duration
		differs, pause = w.ask()
		if pause == 0 && (took || time.Since(asked) > time.Second) {
			longest = time.Second
			continue
		}
		select {
		case <-time.After(pause + rand.N(longest)):
			longest = min(2*longest, 5*time.Minute)
		case <-w.ctx.Done():
			return
		}
	}
}

// ask waits until other versions are active, or half a minute. It reports whether to poll; and if it failed, the time
// before which not to ask again.
func (w *Watch) ask() (bool, time.Duration) {
	secrets := []map[string]any{}
	w.held.Range(func(name, version any) bool {
		// What is denied is told at once: it is asked for once a minute.
		if version != api.SecretVersion(0) || time.Since(w.denied[name.(string)]) > time.Minute {
			secrets = append(secrets, map[string]any{"Name": name, "Version": version})
		}
		return true
	})
	if len(secrets) == 0 {
		return false, time.Second
	}
	body, _ := json.Marshal(map[string]any{"Secrets": secrets, "Wait": 30})
	ctx, cancel := context.WithTimeout(w.ctx, 40*time.Second)
	defer cancel()
	url := strings.TrimSuffix(w.Server, "/") + "/api/watch"
	request, err := http.NewRequestWithContext(ctx, "POST", url, bytes.NewReader(body))
	if err != nil {
		return false, time.Second
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Sec-X-Tailscale-No-Browsers", "setec")
	do := w.DoHTTP
	if do == nil {
		do = http.DefaultClient.Do
	}
	answer, err := do(request)
	if err != nil {
		return false, time.Second
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case 200:
		branch, number, _ := strings.Cut(answer.Header.Get("Sotto-Revision"), ".")
		revision, _ := strconv.ParseUint(number, 10, 64)
		if branch == w.branch && revision < w.revision {
			return false, time.Second // an older copy of the store answers
		} else if branch != "" {
			w.branch, w.revision = branch, revision
		}
		var changes []struct {
			Name   string
			Denied bool
		}
		if json.NewDecoder(answer.Body).Decode(&changes) != nil {
			return false, time.Second
		}
		differs := false
		for _, change := range changes {
			held, _ := w.held.Load(change.Name)
			differs = differs || !change.Denied || held != api.SecretVersion(0)
			if change.Denied {
				w.denied[change.Name] = time.Now()
			}
		}
		return differs, 0
	case 400, 404, 405, 501: // a server that cannot tell, such as setec's
		return true, time.Hour
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return false, time.Duration(max(seconds, 1)) * time.Second
}
