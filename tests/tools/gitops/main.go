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
	"errors"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	openapi "github.com/google/gnostic-models/openapiv2"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/controller/openapi/builder"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/util/proto"
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

// definition is what a definition says about its objects.
type definition struct {
	structural *schema.Structural
	parser     *managedfields.GvkParser
}

func run(files []string) error {
	definitions := map[string]definition{}
	for _, file := range files {
		kind, definition, err := readDefinition(file)
		if err != nil {
			return fmt.Errorf("read %s: %w", file, err)
		}
		definitions[kind] = definition
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maximumLineBytes)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if err := kubejson.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		answer, err := answer(definitions, asked)
		if err != nil {
			return err
		}
		if err := output.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func readDefinition(file string) (string, definition, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", definition{}, err
	}
	var read apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(text, &read); err != nil {
		return "", definition{}, err
	}
	var internal apiextensions.JSONSchemaProps
	version := read.Spec.Versions[0]
	props := version.Schema.OpenAPIV3Schema
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(props, &internal, nil); err != nil {
		return "", definition{}, err
	}
	structural, err := schema.NewStructural(&internal)
	if err != nil {
		return "", definition{}, err
	}
	parser, err := parserOf(&read, version.Name)
	return read.Spec.Names.Kind, definition{structural, parser}, err
}

// parserOf makes what Argo CD makes of the API server's OpenAPI document.
func parserOf(read *apiextensionsv1.CustomResourceDefinition, version string) (*managedfields.GvkParser, error) {
	swagger, err := builder.BuildOpenAPIV2(read, version, builder.Options{V2: true})
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(swagger)
	if err != nil {
		return nil, err
	}
	document, err := openapi.ParseDocument(text)
	if err != nil {
		return nil, err
	}
	models, err := proto.NewOpenAPIData(document)
	if err != nil {
		return nil, err
	}
	return managedfields.NewGVKParser(models, false)
}

func answer(definitions map[string]definition, asked request) (any, error) {
	switch {
	case asked.Default != nil:
		object := unstructured.Unstructured{Object: asked.Default}
		known, found := definitions[object.GetKind()]
		if !found {
			return nil, fmt.Errorf("no definition of the kind %q", object.GetKind())
		}
		pruning.Prune(object.Object, known.structural, true)
		defaulting.PruneNonNullableNullsWithoutDefaults(object.Object, known.structural)
		defaulting.Default(object.Object, known.structural)
		return object.Object, nil
	case asked.Diff != nil:
		return compare(definitions, asked.Diff)
	case asked.Status != nil:
		result, err := status.Compute(&unstructured.Unstructured{Object: asked.Status})
		if err != nil {
			return nil, err
		}
		return map[string]any{"status": result.Status, "message": result.Message}, nil
	default:
		return nil, errors.New("the request has none of default, diff and status")
	}
}

// compare asks in all ways in which Argo CD compares objects by itself: without an annotation of the last apply, with it,
// and as for an application with the option ServerSideApply.
func compare(definitions map[string]definition, pair *pair) (any, error) {
	desired := &unstructured.Unstructured{Object: pair.Desired}
	live := &unstructured.Unstructured{Object: pair.Live}
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
	structured := []diff.Option{
		diff.WithStructuredMergeDiff(true),
		diff.WithGVKParser(definitions[desired.GetKind()].parser),
		diff.WithManager("argocd-controller"),
	}
	var outOfSync []string
	for _, way := range []struct {
		name    string
		live    *unstructured.Unstructured
		options []diff.Option
	}{
		{"two-way", live, nil},
		{"three-way", applied, nil},
		{"structured merge", live, structured},
	} {
		result, err := diff.Diff(desired, way.live, way.options...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way.name, err)
		}
		if result.Modified {
			outOfSync = append(outOfSync, way.name)
		}
	}
	return map[string]any{"outOfSync": outOfSync}, nil
}
