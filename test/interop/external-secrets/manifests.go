package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/yaml"

	esv1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1"
	esv1alpha1 "github.com/external-secrets/external-secrets/apis/externalsecrets/v1alpha1"
)

// world is what manifests describe.
type world struct {
	kube            client.Client
	stores          map[string]esv1.GenericStore
	externalSecrets []*esv1.ExternalSecret
	pushSecrets     []*esv1alpha1.PushSecret
}

// read takes manifests as an API server does that has the definitions: it refuses unknown fields and
// wrong values, and fills in defaults.
func read(definitions string, manifests []byte) (*world, error) {
	w := &world{stores: map[string]esv1.GenericStore{}}
	var others []client.Object
	documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(manifests)))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			w.kube = fake.NewClientBuilder().WithObjects(others...).Build()
			return w, nil
		}
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(text, &object.Object); err != nil {
			return nil, err
		}
		if object.GroupVersionKind().Group != "external-secrets.io" {
			other, err := decode(text)
			if err != nil {
				return nil, err
			}
			others = append(others, other)
		} else if err := w.admit(definitions, object); err != nil {
			return nil, fmt.Errorf("%s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
}

// decode reads a resource that every cluster knows.
func decode(text []byte) (client.Object, error) {
	decoder := serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()
	object, _, err := decoder.Decode(text, nil, nil)
	if err != nil {
		return nil, err
	}
	return object.(client.Object), nil
}

// admit checks a resource of the operator's and keeps it as its type.
func (w *world) admit(definitions string, object *unstructured.Unstructured) error {
	if err := check(definitions, object); err != nil {
		return err
	}
	into := func(typed any) error {
		return runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, typed, true)
	}
	switch object.GetKind() {
	case esv1.SecretStoreKind:
		store := &esv1.SecretStore{}
		w.stores[keyOf(object.GetNamespace(), object.GetKind(), object.GetName())] = store
		return into(store)
	case esv1.ClusterSecretStoreKind:
		store := &esv1.ClusterSecretStore{}
		w.stores[keyOf("", object.GetKind(), object.GetName())] = store
		return into(store)
	case "ExternalSecret":
		es := &esv1.ExternalSecret{}
		w.externalSecrets = append(w.externalSecrets, es)
		return into(es)
	case "PushSecret":
		ps := &esv1alpha1.PushSecret{}
		w.pushSecrets = append(w.pushSecrets, ps)
		return into(ps)
	default:
		return errors.New("a kind that is not handled here")
	}
}

// keyOf names a store: one of a cluster has no namespace.
func keyOf(namespace, kind, name string) string {
	return namespace + "/" + kind + "/" + name
}

// check completes object by its definition, and returns all that is wrong with it.
func check(definitions string, object *unstructured.Unstructured) error {
	definition, err := definitionOf(definitions, object.GetKind())
	if err != nil {
		return err
	}
	for _, version := range definition.Spec.Versions {
		if version.Name != object.GroupVersionKind().Version {
			continue
		}
		if !version.Served {
			return fmt.Errorf("%s is not served", object.GetAPIVersion())
		}
		return checkBy(version.Schema.OpenAPIV3Schema, object)
	}
	return fmt.Errorf("there is no %s", object.GetAPIVersion())
}

func checkBy(wanted *apiextensionsv1.JSONSchemaProps, object *unstructured.Unstructured) error {
	var props apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(wanted, &props, nil); err != nil {
		return err
	}
	structural, err := schema.NewStructural(&props)
	if err != nil {
		return err
	}
	unknown := pruning.PruneWithOptions(object.Object, structural, true, schema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	if len(unknown) > 0 {
		return fmt.Errorf("unknown fields: %s", strings.Join(unknown, ", "))
	}
	defaulting.Default(object.Object, structural)
	validator, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		return err
	}
	return validation.ValidateCustomResource(nil, object.Object, validator).ToAggregate()
}

func definitionOf(definitions, kind string) (*apiextensionsv1.CustomResourceDefinition, error) {
	path := filepath.Join(definitions, "external-secrets.io_"+strings.ToLower(kind)+"s.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text, err = yaml.YAMLToJSON(text)
	if err != nil {
		return nil, err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	return &definition, json.Unmarshal(text, &definition)
}
