package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/setectest"
	"github.com/tailscale/setec/types/api"
)

// newStore starts a store as the given configuration says, ended with the test. A store that was
// given no ticker polls only when it is told to.
func newStore(t *testing.T, config setec.StoreConfig) *setec.Store {
	t.Helper()
	if config.Client == nil {
		config.Client = as(t, root)
	}
	config.Logf = t.Logf
	config.PollInterval = -1
	if config.PollTicker != nil {
		config.PollInterval = time.Hour
	}
	store, err := setec.NewStore(testContext(t), config)
	if err != nil {
		t.Fatalf("NewStore: %v", err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

func TestStoreDeclaredSecrets(t *testing.T) {
	one, two := fresh(t, "prod/"), fresh(t, "prod/")
	put(t, one, "first")
	put(t, two, "second")
	store := newStore(t, setec.StoreConfig{Client: as(t, app), Secrets: []string{one, two}})
	wantString(t, store.Secret(one).GetString(), "first")
	wantString(t, string(store.Secret(two).Get()), "second")
}

func TestStoreWaitsForADeclaredSecret(t *testing.T) {
	name := fresh(t, "")
	asked := make(chan struct{}, 1)
	client := as(t, root)
	config := setec.StoreConfig{
		Client: notifying{client, asked}, Secrets: []string{name}, PollInterval: -1, Logf: t.Logf,
	}
	done := make(chan error, 1)
	go func() {
		store, err := setec.NewStore(testContext(t), config)
		if err == nil {
			wantString(t, store.Secret(name).GetString(), "late")
			store.Close()
		}
		done <- err
	}()
	<-asked
	put(t, name, "late")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// notifying tells of each Get.
type notifying struct {
	setec.StoreClient
	asked chan<- struct{}
}

func (n notifying) Get(ctx context.Context, name string) (*api.SecretValue, error) {
	value, err := n.StoreClient.Get(ctx, name)
	select {
	case n.asked <- struct{}{}:
	default:
	}
	return value, err
}

func TestStoreGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := setec.NewStore(ctx, setec.StoreConfig{Client: as(t, root), Secrets: []string{fresh(t, "")}, Logf: t.Logf})
	if err == nil {
		t.Error("a store began without its declared secret")
	}
}

func TestStorePollSeesOnlyTheActiveVersion(t *testing.T) {
	name := fresh(t, "")
	put(t, name, "one")
	ticker := setectest.NewFakeTicker()
	store := newStore(t, setec.StoreConfig{Secrets: []string{name}, PollTicker: ticker})
	secret := store.Secret(name)

	put(t, name, "two")
	ticker.Poll()
	wantString(t, secret.GetString(), "one")
	activate(t, name, 2)
	wantString(t, secret.GetString(), "one")
	ticker.Poll()
	wantString(t, secret.GetString(), "two")
	activate(t, name, 1)
	ticker.Poll()
	wantString(t, secret.GetString(), "one")
}

func TestStoreRefresh(t *testing.T) {
	name := fresh(t, "")
	put(t, name, "one")
	store := newStore(t, setec.StoreConfig{Secrets: []string{name}})
	if err := as(t, root).CreateVersion(testContext(t), name, 9, []byte("nine")); err != nil {
		t.Fatal(err)
	}
	if err := store.Refresh(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantString(t, store.Secret(name).GetString(), "nine")
}

func TestStoreKeepsTheValueOfADeletedSecret(t *testing.T) {
	gone, kept := fresh(t, ""), fresh(t, "")
	put(t, gone, "one")
	put(t, kept, "one")
	store := newStore(t, setec.StoreConfig{Secrets: []string{gone, kept}})
	remove(t, gone)
	put(t, kept, "two")
	activate(t, kept, 2)
	wantError(t, store.Refresh(testContext(t)), api.ErrNotFound)
	wantString(t, store.Secret(gone).GetString(), "one")
	wantString(t, store.Secret(kept).GetString(), "two")
}

func TestStoreLookup(t *testing.T) {
	declared, other := fresh(t, "prod/"), fresh(t, "prod/")
	put(t, declared, "one")
	put(t, other, "two")
	ctx, ticker := testContext(t), setectest.NewFakeTicker()
	store := newStore(t, setec.StoreConfig{
		Client: as(t, app), Secrets: []string{declared}, AllowLookup: true, PollTicker: ticker,
	})

	if secret := store.Secret(other); secret != nil {
		t.Error("a secret that nobody looked up is known")
	}
	secret, err := store.LookupSecret(ctx, other)
	if err != nil {
		t.Fatal(err)
	}
	wantString(t, secret.GetString(), "two")
	put(t, other, "three")
	activate(t, other, 2)
	ticker.Poll()
	wantString(t, secret.GetString(), "three")

	_, err = store.LookupSecret(ctx, fresh(t, "prod/"))
	wantError(t, err, api.ErrNotFound)
	_, err = store.LookupSecret(ctx, fresh(t, "team/"))
	wantError(t, err, api.ErrAccessDenied)
}

func TestStoreFileCacheStartsWithoutTheServer(t *testing.T) {
	name := fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	path := filepath.Join(t.TempDir(), "cache", "secrets.json")
	cache, err := setec.NewFileCache(path)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	config := setec.StoreConfig{Secrets: []string{name}, Cache: cache, TimeNow: func() time.Time { return now }}
	first := newStore(t, config)
	wantCache(t, path, name, "one", 1, now)

	activate(t, name, 2)
	if err := first.Refresh(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantCache(t, path, name, "two", 2, now)
	first.Close()

	config.Client = unreachable(t)
	second := newStore(t, config)
	wantString(t, second.Secret(name).GetString(), "two")
	if err := second.Refresh(testContext(t)); err == nil {
		t.Error("a refresh without a server succeeded")
	}
	wantString(t, second.Secret(name).GetString(), "two")
	second.Close()

	activate(t, name, 1)
	config.Client = as(t, root)
	third := newStore(t, config)
	wantString(t, third.Secret(name).GetString(), "two")
	if err := third.Refresh(testContext(t)); err != nil {
		t.Fatal(err)
	}
	wantString(t, third.Secret(name).GetString(), "one")
}

// wantCache checks the one entry of a cache file.
func wantCache(t *testing.T, path, name, value string, version api.SecretVersion, access time.Time) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]struct {
		Secret     api.SecretValue `json:"secret"`
		LastAccess string          `json:"lastAccess"`
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	entry, ok := got[name]
	if !ok || len(got) != 1 {
		t.Fatalf("the cache holds %s", data)
	}
	wantValue(t, &entry.Secret, nil, version, value)
	wantString(t, entry.LastAccess, strconv.FormatInt(access.Unix(), 10))
}

func TestStoreForgetsUndeclaredSecretsThatNobodyReads(t *testing.T) {
	declared, other := fresh(t, ""), fresh(t, "")
	put(t, declared, "one")
	put(t, other, "two")
	now, cache := time.Unix(1_700_000_000, 0), setec.NewMemCache("")
	config := setec.StoreConfig{
		Secrets: []string{declared}, AllowLookup: true, Cache: cache,
		ExpiryAge: time.Hour, TimeNow: func() time.Time { return now },
	}
	if _, err := newStore(t, config).LookupSecret(testContext(t), other); err != nil {
		t.Fatal(err)
	}
	store := newStore(t, config)
	now = now.Add(2 * time.Hour)
	if err := store.Refresh(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if store.Secret(other) != nil {
		t.Error("the undeclared secret is still known")
	}
	wantString(t, store.Secret(declared).GetString(), "one")
}

func TestStoreMetrics(t *testing.T) {
	name := fresh(t, "")
	put(t, name, "one")
	store := newStore(t, setec.StoreConfig{Secrets: []string{name}})
	if err := store.Refresh(testContext(t)); err != nil {
		t.Fatal(err)
	}
	remove(t, name)
	if err := store.Refresh(testContext(t)); err == nil {
		t.Error("a refresh of a deleted secret succeeded")
	}
	store.Secret(name).Get()
	for metric, want := range map[string]string{
		"counter_poll_initiated": "2", "counter_poll_errors": "1", "counter_secret_fetch": "1",
	} {
		if got := store.Metrics().Get(metric).String(); got != want {
			t.Errorf("%s is %s, want %s", metric, got, want)
		}
	}
}

func TestVersionedSecret(t *testing.T) {
	name, ctx := fresh(t, ""), testContext(t)
	put(t, name, "one")
	store := newStore(t, setec.StoreConfig{AllowLookup: true})
	versioned := store.VersionedSecret(name)

	if err := versioned.CreateVersion(ctx, 5, []byte("five")); err != nil {
		t.Fatal(err)
	}
	for version, want := range map[api.SecretVersion]string{1: "one", 5: "five"} {
		got, err := versioned.GetVersion(ctx, version)
		if err != nil {
			t.Fatal(err)
		}
		wantString(t, string(got), want)
	}
	wantString(t, store.Secret(name).GetString(), "five")
	wantError(t, versioned.CreateVersion(ctx, 5, []byte("again")), api.ErrVersionClaimed)
	wantError(t, versioned.CreateVersion(ctx, 1, []byte("again")), api.ErrVersionClaimed)
	_, err := versioned.GetVersion(ctx, 2)
	wantError(t, err, api.ErrNotFound)
}

func TestVersionedSecretForgetsDeletedVersions(t *testing.T) {
	name, ctx := fresh(t, ""), testContext(t)
	put(t, name, "one")
	store := newStore(t, setec.StoreConfig{AllowLookup: true})
	versioned := store.VersionedSecret(name)
	if err := versioned.CreateVersion(ctx, 2, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if _, err := versioned.GetVersion(ctx, 1); err != nil {
		t.Fatal(err)
	}
	if err := as(t, root).DeleteVersion(ctx, name, 1); err != nil {
		t.Fatal(err)
	}
	got, err := versioned.GetVersion(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	wantString(t, string(got), "one")
	if err := store.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = versioned.GetVersion(ctx, 1)
	wantError(t, err, api.ErrNotFound)
}

func TestFileClientReadsTheCacheOfAStore(t *testing.T) {
	name := fresh(t, "")
	value := []byte{0, 1, 2, 0xff}
	if _, err := as(t, root).Put(testContext(t), name, value); err != nil {
		t.Fatal(err)
	}
	cache, err := setec.NewFileCache(filepath.Join(t.TempDir(), "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	newStore(t, setec.StoreConfig{Secrets: []string{name}, Cache: cache})

	client, err := setec.NewFileClient(string(cache))
	if err != nil {
		t.Fatal(err)
	}
	store := newStore(t, setec.StoreConfig{Client: client, Secrets: []string{name}})
	if got := store.Secret(name).Get(); !bytes.Equal(got, value) {
		t.Errorf("got %v, want %v", got, value)
	}
	_, err = client.GetIfChanged(testContext(t), name, 1)
	wantError(t, err, api.ErrValueNotChanged)
	_, err = setec.NewStore(testContext(t), setec.StoreConfig{Client: client, Secrets: []string{"other"}, Logf: t.Logf})
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a secret missing in the file gave %v", err)
	}
}
