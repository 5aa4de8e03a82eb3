package interop

import (
	"errors"
	"strings"
	"testing"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/setectest"
)

// handle is a value built from a secret, which tells when it is closed.
type handle struct {
	value  string
	closed bool
}

func (h *handle) Close() error {
	h.closed = true
	return nil
}

func TestUpdater(t *testing.T) {
	name, ticker := fresh(t, ""), setectest.NewFakeTicker()
	put(t, name, "one")
	store := newStore(t, setec.StoreConfig{Secrets: []string{name}, PollTicker: ticker})
	updater, err := setec.NewUpdater(testContext(t), store, name, func(value []byte) (*handle, error) {
		if len(value) == 0 {
			return nil, errors.New("empty")
		}
		return &handle{value: string(value)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first := updater.Get()
	wantString(t, first.value, "one")

	put(t, name, "")
	activate(t, name, 2)
	ticker.Poll()
	if got := updater.Get(); got != first || first.closed || updater.Err() == nil {
		t.Errorf("a value that failed replaced %+v by %+v, error %v", first, got, updater.Err())
	}

	put(t, name, "three")
	activate(t, name, 3)
	ticker.Poll()
	wantString(t, updater.Get().value, "three")
	if !first.closed || updater.Err() != nil {
		t.Errorf("after an update: old value closed %v, error %v", first.closed, updater.Err())
	}
}

func TestUpdaterLooksItsSecretUp(t *testing.T) {
	name := fresh(t, "")
	put(t, name, "one")
	store := newStore(t, setec.StoreConfig{AllowLookup: true})
	build := func(value []byte) (string, error) { return strings.ToUpper(string(value)), nil }
	updater, err := setec.NewUpdater(testContext(t), store, name, build)
	if err != nil {
		t.Fatal(err)
	}
	wantString(t, updater.Get(), "ONE")
	if _, err := setec.NewUpdater(testContext(t), store, fresh(t, ""), build); err == nil {
		t.Error("an updater of a missing secret was made")
	}
}

// level is a field that reads itself.
type level string

func (l *level) UnmarshalBinary(data []byte) error {
	*l = level(strings.ToUpper(string(data)))
	return nil
}

func TestFields(t *testing.T) {
	var config struct {
		Bytes  []byte       `setec:"bytes"`
		Text   string       `setec:"text"`
		Handle setec.Secret `setec:"text"`
		Level  level        `setec:"level"`
		Key    struct {
			Salt []byte `json:"salt"`
		} `setec:"key,json"`
		Other string
	}
	prefix := fresh(t, "prod/")
	for name, value := range map[string]string{
		"bytes": "\x00\xff", "text": "some text", "level": "high", "key": `{"salt":"c2FsdA=="}`,
	} {
		put(t, prefix+"/"+name, value)
	}
	store := newStore(t, setec.StoreConfig{
		Client: as(t, app), Structs: []setec.Struct{{Value: &config, Prefix: prefix}},
	})
	wantString(t, string(config.Bytes), "\x00\xff")
	wantString(t, config.Text, "some text")
	wantString(t, string(config.Level), "HIGH")
	wantString(t, string(config.Key.Salt), "salt")

	put(t, prefix+"/text", "new text")
	activate(t, prefix+"/text", 2)
	if err := store.Refresh(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantString(t, config.Handle.GetString(), "new text")
	wantString(t, config.Text, "some text")
}
