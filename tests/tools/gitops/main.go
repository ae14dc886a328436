// Command gitops answers what the tools of GitOps make of a resource, with their own
// libraries: the API server's defaults, Argo CD's comparison, and kstatus, with which
// Flux and Helm 4 wait.
//
// Usage: gitops DEFINITION.yaml...
//
// It reads one JSON document per line and answers each with one:
//
//	{"default": OBJECT}                    the object as the API server stores it
//	{"diff": {"desired": O, "live": O}}    whether Argo CD calls it OutOfSync, and why
//	{"status": OBJECT}                     kstatus: InProgress, Failed, Current, Terminating
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The longest line: a resource of the largest size.
const maximumLineBytes = 4 << 20

type request struct {
	Default map[string]any `json:"default"`
	Diff    *pair          `json:"diff"`
	Status  map[string]any `json:"status"`
}

type pair struct {
	Desired map[string]any `json:"desired"`
	Live    map[string]any `json:"live"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func run(files []string) error {
	schemas := map[string]*schema.Structural{}
	for _, file := range files {
		kind, structural, err := readDefinition(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		schemas[kind] = structural
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maximumLineBytes)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		answer, err := answer(schemas, asked)
		if err != nil {
			return err
		}
		if err := output.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func readDefinition(file string) (string, *schema.Structural, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	var definition apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &definition); err != nil {
		return "", nil, err
	}
	var internal apiextensions.JSONSchemaProps
	props := definition.Spec.Versions[0].Schema.OpenAPIV3Schema
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		return "", nil, err
	}
	structural, err := schema.NewStructural(&internal)
	return definition.Spec.Names.Kind, structural, err
}

func answer(schemas map[string]*schema.Structural, asked request) (any, error) {
	switch {
	case asked.Default != nil:
		object := unstructured.Unstructured{Object: asked.Default}
		structural, found := schemas[object.GetKind()]
		if !found {
			return nil, fmt.Errorf("no definition of the kind %q", object.GetKind())
		}
		pruning.Prune(object.Object, structural, true)
		defaulting.PruneNonNullableNullsWithoutDefaults(object.Object, structural)
		defaulting.Default(object.Object, structural)
		return object.Object, nil
	case asked.Diff != nil:
		return compare(asked.Diff)
	case asked.Status != nil:
		result, err := status.Compute(&unstructured.Unstructured{Object: asked.Status})
		if err != nil {
			return nil, err
		}
		return map[string]any{"status": result.Status, "message": result.Message}, nil
	default:
		return nil, fmt.Errorf("the request has none of default, diff and status")
	}
}

// compare asks in both of the ways in which Argo CD compares objects of a custom resource on the client's side: with the
// annotation of the last apply, and without.
func compare(pair *pair) (any, error) {
	desired := &unstructured.Unstructured{Object: pair.Desired}
	live := &unstructured.Unstructured{Object: pair.Live}
	twoWay, err := diff.Diff(desired, live)
	if err != nil {
		return nil, err
	}
	lastApplied, err := json.Marshal(pair.Desired)
	if err != nil {
		return nil, err
	}
	applied := live.DeepCopy()
	annotations := applied.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["kubectl.kubernetes.io/last-applied-configuration"] = string(lastApplied)
	applied.SetAnnotations(annotations)
	threeWay, err := diff.Diff(desired, applied)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"outOfSync": twoWay.Modified || threeWay.Modified,
		"live":      json.RawMessage(threeWay.NormalizedLive),
		"predicted": json.RawMessage(threeWay.PredictedLive),
	}, nil
}
