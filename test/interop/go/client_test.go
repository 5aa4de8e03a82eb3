package interop

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tailscale/setec/types/api"
)

func TestClientPutOfANewSecretIsActive(t *testing.T) {
	name := fresh(t, "")
	if version := put(t, name, "one"); version != 1 {
		t.Errorf("first version is %d, want 1", version)
	}
	got, err := as(t, root).Get(testContext(t), name)
	wantValue(t, got, err, 1, "one")
}

func TestClientPutAddsAnInactiveVersion(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	if version := put(t, name, "two"); version != 2 {
		t.Errorf("second version is %d, want 2", version)
	}
	got, err := client.Get(ctx, name)
	wantValue(t, got, err, 1, "one")
	got, err = client.GetVersion(ctx, name, 2)
	wantValue(t, got, err, 2, "two")
	got, err = client.GetVersion(ctx, name, 0)
	wantValue(t, got, err, 1, "one")
}

func TestClientPutOfTheLatestValueAddsNothing(t *testing.T) {
	name := fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	if version := put(t, name, "two"); version != 2 {
		t.Errorf("repeating the latest value gave version %d, want 2", version)
	}
	if version := put(t, name, "one"); version != 3 {
		t.Errorf("repeating the active value gave version %d, want 3", version)
	}
}

func TestClientKeepsEveryByte(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	for label, value := range map[string][]byte{
		"all bytes": all,
		"empty":     {},
		"zero":      {0},
		"newline":   []byte("\n"),
		"1 MiB":     bytes.Repeat(all, 4096),
	} {
		t.Run(label, func(t *testing.T) {
			client, ctx, name := as(t, root), testContext(t), fresh(t, "")
			if _, err := client.Put(ctx, name, value); err != nil {
				t.Fatal(err)
			}
			got, err := client.Get(ctx, name)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Value, value) {
				t.Errorf("got %d other bytes than the %d that were put", len(got.Value), len(value))
			}
		})
	}
}

func TestClientKeepsEveryName(t *testing.T) {
	prefix := fresh(t, "") + "/"
	names := []string{
		"plain", "a b", " edge ", "a/b/c", "../up", "./here", "//", "a*b", "%41", "a?b#c", `"quoted"`,
		`back\slash`, "<html>&", "éü", "e\u0301u\u0308", "日本語", "😀", "\u2028", "__proto__", "constructor",
		strings.Repeat("n", 512-len(prefix)),
	}
	client, ctx := as(t, root), testContext(t)
	for _, name := range names {
		put(t, prefix+name, "value of "+name)
	}
	for _, name := range names {
		got, err := client.Get(ctx, prefix+name)
		wantValue(t, got, err, 1, "value of "+name)
	}
	want := slices.Clone(names)
	slices.Sort(want)
	if got := listed(t, root, prefix); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}

// listed returns the names that the caller is told and that begin with prefix, without it.
func listed(t *testing.T, address, prefix string) []string {
	t.Helper()
	secrets, err := as(t, address).List(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, secret := range secrets {
		if name, ok := strings.CutPrefix(secret.Name, prefix); ok {
			names = append(names, name)
		}
	}
	return names
}

func TestClientListIsInByteOrder(t *testing.T) {
	prefix := fresh(t, "")
	want := []string{"", "!", "-", "/", "/a", "0", "10", "2", "A", "Z", "_", "a", "aa", "é", "ﬀ", "\U00010000"}
	for _, name := range []string{"é", "a", "\U00010000", "Z", "", "2", "10", "_", "/a", "ﬀ", "aa", "/", "-", "0", "!", "A"} {
		put(t, prefix+name, "x")
	}
	if got := listed(t, root, prefix); !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
}

func TestClientListTellsVersions(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	for _, version := range []api.SecretVersion{10, 9, 100} {
		if err := client.CreateVersion(ctx, name, version, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	secrets, err := client.List(ctx)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(secrets, func(s *api.SecretInfo) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("%q is not listed", name)
	}
	wantInfo(t, secrets[i], name, 100, 1, 9, 10, 100)
}

func wantInfo(t *testing.T, got *api.SecretInfo, name string, active api.SecretVersion, versions ...api.SecretVersion) {
	t.Helper()
	if got.Name != name || got.ActiveVersion != active || !slices.Equal(got.Versions, versions) {
		t.Errorf("got %+v, want %q with %d active of %v", got, name, active, versions)
	}
}

func TestClientListShowsWhatTheCallerHasInfoOn(t *testing.T) {
	rest := fresh(t, "")
	put(t, "prod/"+rest, "x")
	put(t, "team/"+rest, "x")
	for address, want := range map[string][]string{root: {rest}, app: {rest}, alice: {rest}, nobody: nil} {
		if got := listed(t, address, "prod/"+rest); len(got) != len(want) {
			t.Errorf("%s is told %q of prod/", address, got)
		}
	}
	for address, want := range map[string]int{root: 1, app: 0, alice: 1, nobody: 0} {
		if got := listed(t, address, "team/"+rest); len(got) != want {
			t.Errorf("%s is told %q of team/", address, got)
		}
	}
}

func TestClientListOfNothingIsNoError(t *testing.T) {
	secrets, err := as(t, nobody).List(testContext(t))
	if err != nil || len(secrets) != 0 {
		t.Errorf("got %v and error %v, want neither", secrets, err)
	}
}

func TestClientInfo(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	put(t, name, "three")
	activate(t, name, 2)
	if err := client.DeleteVersion(ctx, name, 1); err != nil {
		t.Fatal(err)
	}
	got, err := client.Info(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	wantInfo(t, got, name, 2, 2, 3)
}

func TestClientActivate(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	for _, version := range []api.SecretVersion{2, 2, 1, 2} {
		if err := client.Activate(ctx, name, version); err != nil {
			t.Fatalf("Activate %d: %v", version, err)
		}
		if got, err := client.Get(ctx, name); err != nil || got.Version != version {
			t.Fatalf("after activating %d: got %+v, error %v", version, got, err)
		}
	}
	wantError(t, client.Activate(ctx, name, 3), api.ErrNotFound)
	got, err := client.Get(ctx, name)
	wantValue(t, got, err, 2, "two")
}

func TestClientGetIfChanged(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")

	_, err := client.GetIfChanged(ctx, name, 1)
	wantError(t, err, api.ErrValueNotChanged)
	got, err := client.GetIfChanged(ctx, name, 2)
	wantValue(t, got, err, 1, "one")
	got, err = client.GetIfChanged(ctx, name, 0)
	wantValue(t, got, err, 1, "one")
	got, err = client.GetIfChanged(ctx, name, 4_294_967_295)
	wantValue(t, got, err, 1, "one")

	activate(t, name, 2)
	got, err = client.GetIfChanged(ctx, name, 1)
	wantValue(t, got, err, 2, "two")
	_, err = client.GetIfChanged(ctx, name, 2)
	wantError(t, err, api.ErrValueNotChanged)
}

func TestClientCreateVersion(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	create := func(version api.SecretVersion, value string) {
		t.Helper()
		if err := client.CreateVersion(ctx, name, version, []byte(value)); err != nil {
			t.Fatalf("CreateVersion %d: %v", version, err)
		}
		got, err := client.Get(ctx, name)
		wantValue(t, got, err, version, value)
	}
	create(7, "seven")
	if version := put(t, name, "eight"); version != 8 {
		t.Errorf("put after version 7 gave %d, want 8", version)
	}
	create(3, "three")
	if version := put(t, name, "nine"); version != 9 {
		t.Errorf("put after version 8 gave %d, want 9", version)
	}
	create(4_294_967_295, "last")
}

func TestClientCreateVersionOfAClaimedNumber(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	wantError(t, client.CreateVersion(ctx, name, 1, []byte("new")), api.ErrVersionClaimed)
	wantError(t, client.CreateVersion(ctx, name, 2, []byte("two")), api.ErrVersionClaimed)
	if err := client.DeleteVersion(ctx, name, 2); err != nil {
		t.Fatal(err)
	}
	wantError(t, client.CreateVersion(ctx, name, 2, []byte("two")), api.ErrVersionClaimed)
	got, err := client.Get(ctx, name)
	wantValue(t, got, err, 1, "one")
}

func TestClientCreateVersionZero(t *testing.T) {
	const text = "invalid version, please specify a version > 0"
	ctx := testContext(t)
	wantStatus(t, as(t, root).CreateVersion(ctx, fresh(t, ""), 0, []byte("x")), 400, text)
	wantStatus(t, as(t, nobody).CreateVersion(ctx, fresh(t, ""), 0, []byte("x")), 400, text)
}

func TestClientDeleteVersion(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	if err := client.DeleteVersion(ctx, name, 2); err != nil {
		t.Fatal(err)
	}
	_, err := client.GetVersion(ctx, name, 2)
	wantError(t, err, api.ErrNotFound)
	wantError(t, client.DeleteVersion(ctx, name, 2), api.ErrNotFound)
	wantError(t, client.Activate(ctx, name, 2), api.ErrNotFound)
	if version := put(t, name, "three"); version != 3 {
		t.Errorf("put after version 2 was deleted gave %d, want 3", version)
	}
}

func TestClientDeleteOfTheActiveVersionChangesNothing(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	if err := client.DeleteVersion(ctx, name, 1); err == nil {
		t.Error("deleting the active version succeeded")
	}
	got, err := client.Get(ctx, name)
	wantValue(t, got, err, 1, "one")
}

func TestClientDelete(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	put(t, name, "one")
	put(t, name, "two")
	remove(t, name)
	remove(t, name)
	if got := listed(t, root, name); len(got) != 0 {
		t.Errorf("still listed: %q", got)
	}
	_, err := client.Get(ctx, name)
	wantError(t, err, api.ErrNotFound)
}

func TestClientNotFound(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	for label, call := range map[string]func() error{
		"Get":           func() error { _, err := client.Get(ctx, name); return err },
		"GetIfChanged":  func() error { _, err := client.GetIfChanged(ctx, name, 1); return err },
		"GetVersion":    func() error { _, err := client.GetVersion(ctx, name, 1); return err },
		"Info":          func() error { _, err := client.Info(ctx, name); return err },
		"Activate":      func() error { return client.Activate(ctx, name, 1) },
		"DeleteVersion": func() error { return client.DeleteVersion(ctx, name, 1) },
	} {
		t.Run(label, func(t *testing.T) { wantError(t, call(), api.ErrNotFound) })
	}
}

func TestClientAccessDenied(t *testing.T) {
	existing := fresh(t, "")
	put(t, existing, "one")
	client, ctx := as(t, nobody), testContext(t)
	for _, name := range []string{existing, fresh(t, ""), ""} {
		for label, call := range map[string]func() error{
			"Get":           func() error { _, err := client.Get(ctx, name); return err },
			"GetIfChanged":  func() error { _, err := client.GetIfChanged(ctx, name, 1); return err },
			"GetVersion":    func() error { _, err := client.GetVersion(ctx, name, 1); return err },
			"Info":          func() error { _, err := client.Info(ctx, name); return err },
			"Put":           func() error { _, err := client.Put(ctx, name, []byte("x")); return err },
			"CreateVersion": func() error { return client.CreateVersion(ctx, name, 9, []byte("x")) },
			"Activate":      func() error { return client.Activate(ctx, name, 1) },
			"DeleteVersion": func() error { return client.DeleteVersion(ctx, name, 1) },
			"Delete":        func() error { return client.Delete(ctx, name) },
		} {
			if name == "" && !slices.Contains([]string{"Get", "GetIfChanged", "GetVersion", "Info"}, label) {
				continue
			}
			t.Run(label+" "+name, func(t *testing.T) { wantError(t, call(), api.ErrAccessDenied) })
		}
	}
	got, err := as(t, root).Get(ctx, existing)
	wantValue(t, got, err, 1, "one")
}

func TestClientRightsDoNotImplyEachOther(t *testing.T) {
	ctx, team, prod := testContext(t), fresh(t, "team/"), fresh(t, "prod/")
	put(t, team, "one")
	put(t, prod, "one")

	if _, err := as(t, alice).Info(ctx, prod); err != nil {
		t.Errorf("info with info allowed: %v", err)
	}
	_, err := as(t, alice).Get(ctx, prod)
	wantError(t, err, api.ErrAccessDenied)
	if version, err := as(t, alice).Put(ctx, team, []byte("two")); err != nil || version != 2 {
		t.Errorf("put with put allowed: version %d, error %v", version, err)
	}
	_, err = as(t, alice).Put(ctx, prod, []byte("two"))
	wantError(t, err, api.ErrAccessDenied)
	wantError(t, as(t, alice).Activate(ctx, team, 2), api.ErrAccessDenied)
	wantError(t, as(t, alice).CreateVersion(ctx, team, 3, []byte("three")), api.ErrAccessDenied)

	got, err := as(t, app).Get(ctx, prod)
	wantValue(t, got, err, 1, "one")
	_, err = as(t, app).Get(ctx, team)
	wantError(t, err, api.ErrAccessDenied)
	wantError(t, as(t, app).Delete(ctx, prod), api.ErrAccessDenied)
}

func TestClientUnknownCaller(t *testing.T) {
	_, err := as(t, unknown).List(testContext(t))
	wantStatus(t, err, 500, "unable to identify caller")
}

func TestClientConcurrentPutsGetNumbersOfTheirOwn(t *testing.T) {
	client, ctx, name := as(t, root), testContext(t), fresh(t, "")
	const writers = 40
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		got = map[api.SecretVersion]string{}
	)
	for i := range writers {
		wg.Go(func() {
			value := strings.Repeat("x", i+1)
			version, err := client.Put(ctx, name, []byte(value))
			if err != nil {
				t.Errorf("Put: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			got[version] = value
		})
	}
	wg.Wait()
	for version := range api.SecretVersion(writers) {
		value, err := client.GetVersion(ctx, name, version+1)
		wantValue(t, value, err, version+1, got[version+1])
	}
}

func TestClientServerWithATrailingSlash(t *testing.T) {
	name := fresh(t, "")
	put(t, name, "one")
	client := as(t, root)
	client.Server += "/"
	got, err := client.Get(testContext(t), name)
	wantValue(t, got, err, 1, "one")
}

func TestClientCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := as(t, root).List(ctx)
	wantError(t, err, context.Canceled)
}
