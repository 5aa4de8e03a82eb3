// Command external-secrets does with manifests what External Secrets' operator does, through the
// operator's own providers: it reads what ExternalSecrets ask for, and pushes what PushSecrets hold.
//
// It takes manifests on its standard input and the directory of the operator's definitions of resources
// as its argument, and prints what came of each ExternalSecret and PushSecret, by name. Where the
// operator would ask the cluster, for a token of a service account say, it asks the one of KUBECONFIG;
// Secrets are those among the manifests. The operator's loop stands here in short: its own package
// brings every provider of every cloud.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	esv1alpha1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1alpha1"
	"github.com/external-secrets/external-secrets/pkg/controllers/templating"
	_ "github.com/external-secrets/external-secrets/pkg/provider/vault"
	_ "github.com/external-secrets/external-secrets/pkg/provider/webhook"
	"github.com/external-secrets/external-secrets/pkg/template"
	"github.com/external-secrets/external-secrets/pkg/utils"
)

// Outcome is what came of a resource.
type Outcome struct {
	// Data is the Secret of an ExternalSecret, each value in Base64.
	Data map[string][]byte `json:"data,omitempty"`
	// Error is empty when it went well.
	Error string `json:"error,omitempty"`
	// Missing tells that the operator would act by the deletionPolicy.
	Missing bool `json:"missing,omitempty"`
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: external-secrets DEFINITIONS <MANIFESTS")
	}
	ctrl.SetLogger(logr.Discard())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	manifests, err := io.ReadAll(os.Stdin)
	if err != nil {
		log.Fatal(err)
	}
	world, err := read(os.Args[1], manifests)
	if err != nil {
		log.Fatal(err)
	}
	outcomes := map[string]Outcome{}
	for _, each := range world.externalSecrets {
		data, err := world.fetch(ctx, each)
		outcomes[each.Name] = outcomeOf(data, err)
	}
	for _, each := range world.pushSecrets {
		outcomes[each.Name] = outcomeOf(nil, world.push(ctx, each))
	}
	if err := json.NewEncoder(os.Stdout).Encode(outcomes); err != nil {
		log.Fatal(err)
	}
}

func outcomeOf(data map[string][]byte, err error) Outcome {
	if err != nil {
		return Outcome{Error: err.Error(), Missing: errors.Is(err, esv1.NoSecretErr)}
	}
	return Outcome{Data: data}
}

// fetch returns the data of the Secret that es asks for.
func (w *world) fetch(ctx context.Context, es *esv1.ExternalSecret) (map[string][]byte, error) {
	store, err := w.open(ctx, es.Spec.SecretStoreRef, es.Namespace)
	if err != nil {
		return nil, err
	}
	defer w.close(store)
	data := map[string][]byte{}
	for _, from := range es.Spec.DataFrom {
		found, err := fetchMany(ctx, store, from)
		if err != nil {
			return nil, err
		}
		data = utils.MergeByteMap(data, found)
	}
	for _, each := range es.Spec.Data {
		value, err := store.GetSecret(ctx, each.RemoteRef)
		if err != nil {
			return nil, err
		}
		if data[each.SecretKey], err = utils.Decode(each.RemoteRef.DecodingStrategy, value); err != nil {
			return nil, err
		}
	}
	return w.fill(es.Spec.Target.Template, data)
}

// fetchMany returns what an entry of dataFrom asks for.
func fetchMany(ctx context.Context, store esv1.SecretsClient, from esv1.ExternalSecretDataFromRemoteRef) (map[string][]byte, error) {
	var found map[string][]byte
	var err error
	var conversion esv1.ExternalSecretConversionStrategy
	var decoding esv1.ExternalSecretDecodingStrategy
	switch {
	case from.Extract != nil:
		conversion, decoding = from.Extract.ConversionStrategy, from.Extract.DecodingStrategy
		found, err = store.GetSecretMap(ctx, *from.Extract)
	case from.Find != nil:
		conversion, decoding = from.Find.ConversionStrategy, from.Find.DecodingStrategy
		found, err = store.GetAllSecrets(ctx, *from.Find)
	default:
		err = errors.New("neither extract nor find")
	}
	if err != nil {
		return nil, err
	}
	if len(from.Rewrite) > 0 {
		found, err = utils.RewriteMap(from.Rewrite, found)
	} else {
		found, err = utils.ConvertKeys(conversion, found)
	}
	if err != nil {
		return nil, err
	}
	if err := utils.ValidateKeys(logr.Discard(), found); err != nil {
		return nil, err
	}
	return utils.DecodeMap(decoding, found)
}

// fill returns data as the template makes it, or as it is where there is none.
func (w *world) fill(wanted *esv1.ExternalSecretTemplate, data map[string][]byte) (map[string][]byte, error) {
	if wanted == nil {
		return data, nil
	}
	execute, err := template.EngineForVersion(wanted.EngineVersion)
	if err != nil {
		return nil, err
	}
	secret := &corev1.Secret{Data: map[string][]byte{}}
	parser := templating.Parser{Client: w.kube, TargetSecret: secret, DataMap: data, Exec: execute}
	if err := parser.MergeMap(wanted.Data, esv1.TemplateTargetData); err != nil {
		return nil, err
	}
	return secret.Data, nil
}

// push writes what ps holds to each of its stores.
func (w *world) push(ctx context.Context, ps *esv1alpha1.PushSecret) error {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: ps.Namespace, Name: ps.Spec.Selector.Secret.Name}
	if err := w.kube.Get(ctx, key, &secret); err != nil {
		return err
	}
	for _, ref := range ps.Spec.SecretStoreRefs {
		store, err := w.open(ctx, esv1.SecretStoreRef{Name: ref.Name, Kind: ref.Kind}, ps.Namespace)
		if err != nil {
			return err
		}
		defer w.close(store)
		for _, data := range ps.Spec.Data {
			if err := store.PushSecret(ctx, &secret, data); err != nil {
				return err
			}
		}
	}
	return nil
}

// open returns a client of the store that ref names, which the operator would call valid.
func (w *world) open(ctx context.Context, ref esv1.SecretStoreRef, namespace string) (esv1.SecretsClient, error) {
	key := keyOf(namespace, ref.Kind, ref.Name)
	if ref.Kind == esv1.ClusterSecretStoreKind {
		key = keyOf("", ref.Kind, ref.Name)
	}
	store, ok := w.stores[key]
	if !ok {
		return nil, fmt.Errorf("there is no store %s", key)
	}
	provider, err := esv1.GetProvider(store)
	if err != nil {
		return nil, err
	}
	if _, err := provider.ValidateStore(store); err != nil {
		return nil, fmt.Errorf("the store %s is not valid: %w", key, err)
	}
	secrets, err := provider.NewClient(ctx, store, w.kube, namespace)
	if err != nil {
		return nil, err
	}
	if _, err := secrets.Validate(); err != nil {
		return nil, fmt.Errorf("the store %s is not ready: %w", key, err)
	}
	return secrets, nil
}

// close also revokes the token of the store.
func (w *world) close(store esv1.SecretsClient) {
	if err := store.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
}
