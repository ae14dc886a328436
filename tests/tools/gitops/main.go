// Command gitops answers what the tools of GitOps make of a resource, with their own
// libraries: Argo CD's comparison, and kstatus, with which Flux and Helm 4 wait.
//
// Usage: gitops OPENAPI.json
//
// The file is the API server's OpenAPI document, version 2. It reads one JSON document
// per line and answers each with one:
//
//	{"diff": {"desired": O, "live": O, "predicted": O}}    in which ways of comparing Argo CD calls it OutOfSync
//	{"status": OBJECT}                                     kstatus: InProgress, Failed, Current, Terminating
//
// Predicted is what the API server answers to a server-side apply of the desired object that is not carried out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/diff"
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	openapi "github.com/google/gnostic-models/openapiv2"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kubejson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/util/proto"
)

const (
	// The longest line: three resources of the largest size.
	maximumLineBytes = 12 << 20
	// Argo CD's field manager.
	manager = "argocd-controller"
)

type request struct {
	Diff   *comparison    `json:"diff"`
	Status map[string]any `json:"status"`
}

type comparison struct {
	Desired   map[string]any `json:"desired"`
	Live      map[string]any `json:"live"`
	Predicted map[string]any `json:"predicted"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gitops:", err)
		os.Exit(1)
	}
}

func run(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("usage: gitops OPENAPI.json")
	}
	parser, err := readParser(arguments[0])
	if err != nil {
		return fmt.Errorf("read %s: %w", arguments[0], err)
	}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maximumLineBytes)
	output := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var asked request
		if err := kubejson.Unmarshal(lines.Bytes(), &asked); err != nil {
			return err
		}
		answer, err := answer(parser, asked)
		if err != nil {
			return err
		}
		if err := output.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

// readParser makes of the document what Argo CD makes of it.
func readParser(file string) (*managedfields.GvkParser, error) {
	text, err := os.ReadFile(file)
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

func answer(parser *managedfields.GvkParser, asked request) (any, error) {
	switch {
	case asked.Diff != nil:
		return compare(parser, asked.Diff)
	case asked.Status != nil:
		result, err := status.Compute(&unstructured.Unstructured{Object: asked.Status})
		if err != nil {
			return nil, err
		}
		return map[string]any{"status": result.Status, "message": result.Message}, nil
	default:
		return nil, errors.New("the request has neither diff nor status")
	}
}

// dryRun answers with what the API server answered before.
type dryRun struct{ predicted map[string]any }

func (d dryRun) Run(context.Context, *unstructured.Unstructured, string) (string, error) {
	text, err := json.Marshal(d.predicted)
	return string(text), err
}

// compare asks in all ways in which Argo CD compares objects: without an annotation of the last apply, with it, as for an
// application with the option ServerSideApply, and as for one with the option ServerSideDiff.
func compare(parser *managedfields.GvkParser, asked *comparison) (any, error) {
	plain := &unstructured.Unstructured{Object: asked.Live}
	lastApplied, err := json.Marshal(asked.Desired)
	if err != nil {
		return nil, err
	}
	annotated := plain.DeepCopy()
	annotations := annotated.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations[diff.AnnotationLastAppliedConfig] = string(lastApplied)
	annotated.SetAnnotations(annotations)
	plain = plain.DeepCopy()
	unstructured.RemoveNestedField(plain.Object, "metadata", "annotations", diff.AnnotationLastAppliedConfig)

	common := []diff.Option{diff.WithGVKParser(parser), diff.WithManager(manager)}
	structured := append([]diff.Option{diff.WithStructuredMergeDiff(true)}, common...)
	serverSide := append([]diff.Option{
		diff.WithServerSideDiff(true),
		diff.WithServerSideDryRunner(dryRun{asked.Predicted}),
		diff.WithIgnoreMutationWebhook(true),
	}, common...)
	outOfSync := []string{}
	for _, way := range []struct {
		name    string
		live    *unstructured.Unstructured
		options []diff.Option
	}{
		{"two-way", plain, nil},
		{"three-way", annotated, nil},
		{"structured merge", plain, structured},
		{"server-side", plain, serverSide},
	} {
		desired := (&unstructured.Unstructured{Object: asked.Desired}).DeepCopy()
		result, err := diff.Diff(desired, way.live.DeepCopy(), way.options...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", way.name, err)
		}
		if result.Modified {
			outOfSync = append(outOfSync, way.name)
		}
	}
	return map[string]any{"outOfSync": outOfSync}, nil
}
