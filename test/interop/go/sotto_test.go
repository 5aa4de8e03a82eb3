package interop

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/setectest"
	"github.com/tailscale/setec/types/api"
)

func TestSottoNumbersGoOnAfterADelete(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	remove(t, name)
	if version := put(t, name, "three"); version != 3 {
		t.Errorf("put after a delete gave version %d, want 3", version)
	}
	got, err := client.Get(ctx, name)
	wantValue(t, got, err, 3, "three")
	for _, old := range []api.SecretVersion{1, 2} {
		got, err = client.GetIfChanged(ctx, name, old)
		wantValue(t, got, err, 3, "three")
		_, err = client.GetVersion(ctx, name, old)
		wantError(t, err, api.ErrNotFound)
		wantError(t, client.CreateVersion(ctx, name, old, []byte("new")), api.ErrVersionClaimed)
	}
	info, err := client.Info(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	wantInfo(t, info, name, 3, 3)
}

func TestSottoNumbersGoOnAfterADeleteOfCreatedVersions(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	for _, version := range []api.SecretVersion{50, 20} {
		if err := client.CreateVersion(ctx, name, version, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	remove(t, name)
	wantError(t, client.CreateVersion(ctx, name, 20, []byte("x")), api.ErrVersionClaimed)
	if err := client.CreateVersion(ctx, name, 30, []byte("thirty")); err != nil {
		t.Fatal(err)
	}
	if version := put(t, name, "next"); version != 51 {
		t.Errorf("put gave version %d, want 51", version)
	}
	got, err := client.Get(ctx, name)
	wantValue(t, got, err, 30, "thirty")
}

func TestSottoPollerSeesASecretThatWasMadeAgain(t *testing.T) {
	name, ticker := fresh(t, ""), setectest.NewFakeTicker()
	put(t, name, "one")
	store := newStore(t, setec.StoreConfig{Secrets: []string{name}, PollTicker: ticker})
	for _, value := range []string{"made again", "and again"} {
		remove(t, name)
		put(t, name, value)
		ticker.Poll()
		wantString(t, store.Secret(name).GetString(), value)
	}
}

func TestSottoVersionedSecretSeesASecretThatWasMadeAgain(t *testing.T) {
	name, ctx := fresh(t, ""), testContext(t)
	store := newStore(t, setec.StoreConfig{AllowLookup: true})
	versioned := store.VersionedSecret(name)
	if err := versioned.CreateVersion(ctx, 1, []byte("one")); err != nil {
		t.Fatal(err)
	}
	remove(t, name)
	put(t, name, "two")
	if err := store.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	wantString(t, store.Secret(name).GetString(), "two")
	_, err := versioned.GetVersion(ctx, 1)
	wantError(t, err, api.ErrNotFound)
	got, err := versioned.GetVersion(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	wantString(t, string(got), "two")
}

func TestSottoEmptyValueAfterTheLatestWasDeleted(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	if err := client.DeleteVersion(ctx, name, 2); err != nil {
		t.Fatal(err)
	}
	if version := put(t, name, ""); version != 3 {
		t.Errorf("got version %d, want 3", version)
	}
	got, err := client.GetVersion(ctx, name, 3)
	wantValue(t, got, err, 3, "")
}

func TestSottoReservesNoNames(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "_internal/")
	if err := client.CreateVersion(ctx, name, 1, []byte("one")); err != nil {
		t.Fatal(err)
	}
	put(t, name, "two")
	activate(t, name, 2)
	if err := client.DeleteVersion(ctx, name, 1); err != nil {
		t.Fatal(err)
	}
	remove(t, name)
	_, err := client.Get(ctx, name)
	wantError(t, err, api.ErrNotFound)
}

func TestSottoSaysWhyItRefuses(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	const (
		active  = "cannot delete the active version; activate another version first"
		zero    = "invalid version, please specify a version > 0"
		badName = "invalid secret name"
	)
	put(t, name, "one")
	wantStatus(t, client.DeleteVersion(ctx, name, 1), 400, active)
	wantStatus(t, client.DeleteVersion(ctx, name, 0), 400, zero)
	wantStatus(t, client.Activate(ctx, name, 0), 400, zero)
	for _, bad := range []string{"", "line\nbreak", "nul\x00", "\x7f", "\u0085", strings.Repeat("é", 257)} {
		_, err := client.Put(ctx, bad, []byte("x"))
		wantStatus(t, err, 400, badName)
		wantStatus(t, client.CreateVersion(ctx, bad, 1, []byte("x")), 400, badName)
	}
}

func TestSottoHasNoNumberAfterTheLast(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	if err := client.CreateVersion(ctx, name, 4_294_967_295, []byte("last")); err != nil {
		t.Fatal(err)
	}
	const text = "no version number is left for this secret"
	_, err := client.Put(ctx, name, []byte("more"))
	wantStatus(t, err, 400, text)
	got, err := client.Get(ctx, name)
	wantValue(t, got, err, 4_294_967_295, "last")
	remove(t, name)
	_, err = client.Put(ctx, name, []byte("more"))
	wantStatus(t, err, 400, text)
}

func TestSottoBoundsBodies(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	_, err := client.Put(ctx, name, bytes.Repeat([]byte("x"), 3<<20))
	wantStatus(t, err, 413, "request body too large")
	_, err = client.Get(ctx, name)
	wantError(t, err, api.ErrNotFound)
}
