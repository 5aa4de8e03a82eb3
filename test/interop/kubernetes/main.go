// Checks manifests as a cluster does when they are applied: each field by Kubernetes' own types, then the values by the
// rules of its API server, and pods by the profile of pod security that their namespace enforces.
//
//	kubernetes FILE...
//
// The file with the namespace goes first. It prints the kind and the name of each resource, and ends with 1 where one
// would be refused.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/rbac"
	_ "k8s.io/kubernetes/pkg/apis/rbac/install"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// enforced has the level of each namespace so far.
var enforced = map[string]podsecurity.Level{}

func main() {
	status := 0
	for _, path := range os.Args[1:] {
		if err := checkFile(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			status = 1
		}
	}
	os.Exit(status)
}

func checkFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	documents := yaml.NewYAMLReader(bufio.NewReader(file))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// Comments alone are a document, too.
		if text, err := yaml.ToJSON(document); err == nil && bytes.Equal(text, []byte("null")) {
			continue
		}
		if err := check(document); err != nil {
			return err
		}
	}
}

// check decodes a resource strictly, gives it the defaults of the API server, and validates it.
func check(document []byte) error {
	scheme := legacyscheme.Scheme
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme,
		json.SerializerOptions{Yaml: true, Strict: true})
	given, kind, err := strict.Decode(document, nil, nil)
	if err != nil {
		return err
	}
	accessor, err := meta.Accessor(given)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("%s %s", kind.Kind, accessor.GetName())
	if namespace, ok := given.(*corev1.Namespace); ok {
		enforced[namespace.Name] = podsecurity.Level(namespace.Labels[podsecurity.EnforceLevelLabel])
	}
	if template := podTemplate(given); template != nil {
		if err := checkSecurity(template, enforced[accessor.GetNamespace()]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	scheme.Default(given)
	internal, err := scheme.ConvertToVersion(given, schema.GroupVersion{Group: kind.Group, Version: runtime.APIVersionInternal})
	if err != nil {
		return err
	}
	found, err := validate(internal)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("%s: %w", name, found.ToAggregate())
	}
	fmt.Println(name)
	return nil
}

func validate(resource runtime.Object) (field.ErrorList, error) {
	pods := corevalidation.PodValidationOptions{}
	switch typed := resource.(type) {
	case *core.Namespace:
		return corevalidation.ValidateNamespace(typed), nil
	case *core.ServiceAccount:
		return corevalidation.ValidateServiceAccount(typed), nil
	case *core.ConfigMap:
		return corevalidation.ValidateConfigMap(typed), nil
	case *core.Secret:
		return corevalidation.ValidateSecret(typed), nil
	case *core.Service:
		// The API server fills this in before it looks.
		if typed.Spec.ClusterIP != "" {
			typed.Spec.ClusterIPs = []string{typed.Spec.ClusterIP}
		}
		return corevalidation.ValidateServiceCreate(typed), nil
	case *core.PersistentVolumeClaim:
		return corevalidation.ValidatePersistentVolumeClaim(typed, corevalidation.PersistentVolumeClaimSpecValidationOptions{}), nil
	case *rbac.Role:
		return rbacvalidation.ValidateRole(typed), nil
	case *rbac.RoleBinding:
		return rbacvalidation.ValidateRoleBinding(typed), nil
	case *apps.StatefulSet:
		return appsvalidation.ValidateStatefulSet(typed, appsvalidation.StatefulSetValidationOptions{}, pods), nil
	case *batch.Job:
		// The API server makes a selector before it looks.
		labels := map[string]string{batch.ControllerUidLabel: "0"}
		typed.Spec.Selector = &metav1.LabelSelector{MatchLabels: labels}
		typed.Spec.Template.Labels = labels
		return batchvalidation.ValidateJobSpec(&typed.Spec, nil, field.NewPath("spec"), pods), nil
	}
	return nil, fmt.Errorf("there are no rules here for %T", resource)
}

func podTemplate(resource runtime.Object) *corev1.PodTemplateSpec {
	switch typed := resource.(type) {
	case *appsv1.StatefulSet:
		return &typed.Spec.Template
	case *batchv1.Job:
		return &typed.Spec.Template
	}
	return nil
}

func checkSecurity(template *corev1.PodTemplateSpec, level podsecurity.Level) error {
	if level == "" {
		return errors.New("its namespace enforces no level of pod security")
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	latest := podsecurity.LevelVersion{Level: level, Version: podsecurity.LatestVersion()}
	outcome := policy.AggregateCheckResults(evaluator.EvaluatePod(latest, &template.ObjectMeta, &template.Spec))
	if outcome.Allowed {
		return nil
	}
	return errors.New(outcome.ForbiddenDetail())
}
