package interop

import (
	"os"
	"testing"

	"github.com/tailscale/setec/client/setec"
)

// TestFile reads with setec's file client the cache that Sotto's store wrote, and writes one with setec's store.
func TestFile(t *testing.T) {
	client, err := setec.NewFileClient(os.Getenv("SOTTO_CACHE"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(testContext(t), "file/a")
	wantValue(t, got, err, 2, "of Sotto")

	cache, err := setec.NewFileCache(os.Getenv("SETEC_CACHE"))
	if err != nil {
		t.Fatal(err)
	}
	newStore(t, setec.StoreConfig{Secrets: []string{"file/a"}, Cache: cache})
}
