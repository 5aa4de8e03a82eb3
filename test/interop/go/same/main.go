// Command same reads everything from two servers with the released setec client, and fails where a
// caller of the one would not read the same from the other.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/tailscale/setec/client/setec"
	"github.com/tailscale/setec/types/api"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: same URL URL")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	a, b := setec.Client{Server: os.Args[1]}, setec.Client{Server: os.Args[2]}
	secrets, versions, err := compare(ctx, a, b)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d secrets, %d versions\n", secrets, versions)
}

// compare returns the counts of what is the same on both.
func compare(ctx context.Context, a, b setec.Client) (secrets, versions int, _ error) {
	list, err := a.List(ctx)
	if err != nil {
		return 0, 0, err
	}
	other, err := b.List(ctx)
	if err != nil {
		return 0, 0, err
	}
	if len(list) != len(other) {
		return 0, 0, fmt.Errorf("%d secrets and %d", len(list), len(other))
	}
	for i, info := range list {
		if !same(info, other[i]) {
			return 0, 0, fmt.Errorf("%+v and %+v", *info, *other[i])
		}
		for _, version := range info.Versions {
			if err := sameValue(ctx, a, b, info.Name, version); err != nil {
				return 0, 0, err
			}
			versions++
		}
	}
	if err := sameStore(ctx, a, b, list); err != nil {
		return 0, 0, err
	}
	return len(list), versions, nil
}

func same(a, b *api.SecretInfo) bool {
	return a.Name == b.Name && a.ActiveVersion == b.ActiveVersion && slices.Equal(a.Versions, b.Versions)
}

// sameValue compares one version, and what a poller that holds it is told.
func sameValue(ctx context.Context, a, b setec.Client, name string, version api.SecretVersion) error {
	va, err := a.GetVersion(ctx, name, version)
	if err != nil {
		return err
	}
	vb, err := b.GetVersion(ctx, name, version)
	if err != nil {
		return err
	}
	if va.Version != vb.Version || !bytes.Equal(va.Value, vb.Value) {
		return fmt.Errorf("%q version %d differs", name, version)
	}
	pa, errA := a.GetIfChanged(ctx, name, version)
	pb, errB := b.GetIfChanged(ctx, name, version)
	if errors.Is(errA, api.ErrValueNotChanged) != errors.Is(errB, api.ErrValueNotChanged) {
		return fmt.Errorf("a poller of %q at version %d is told %v and %v", name, version, errA, errB)
	}
	if errA == nil && (pa.Version != pb.Version || !bytes.Equal(pa.Value, pb.Value)) {
		return fmt.Errorf("a poller of %q at version %d gets another value", name, version)
	}
	return nil
}

// sameStore compares what programs see that declare the secrets.
func sameStore(ctx context.Context, a, b setec.Client, list []*api.SecretInfo) error {
	var names []string
	for _, info := range list {
		names = append(names, info.Name)
	}
	sa, err := setec.NewStore(ctx, setec.StoreConfig{Client: a, Secrets: names})
	if err != nil {
		return err
	}
	defer sa.Close()
	sb, err := setec.NewStore(ctx, setec.StoreConfig{Client: b, Secrets: names})
	if err != nil {
		return err
	}
	defer sb.Close()
	for _, name := range names {
		if !bytes.Equal(sa.Secret(name).Get(), sb.Secret(name).Get()) {
			return fmt.Errorf("a store of %q gets another value", name)
		}
	}
	return nil
}
