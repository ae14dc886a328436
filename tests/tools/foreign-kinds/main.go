// Command foreign-kinds reads objects, one JSON document a line, into the types of the projects that define their kinds:
// the Gateway API and the Prometheus Operator. It fails at a kind, a field or a value that they do not know.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
	kubejson "sigs.k8s.io/json"
)

// A line may hold all alerts.
const maximumLineBytes = 4 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "foreign-kinds:", err)
		os.Exit(1)
	}
}

func run() error {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, maximumLineBytes)
	for lines.Scan() {
		if err := read(lines.Bytes()); err != nil {
			return fmt.Errorf("%w in %s", err, lines.Text())
		}
	}
	return lines.Err()
}

func read(line []byte) error {
	var kind struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
	}
	if err := kubejson.UnmarshalCaseSensitivePreserveInts(line, &kind); err != nil {
		return err
	}
	target, err := typeOf(kind.APIVersion, kind.Kind)
	if err != nil {
		return err
	}
	unknown, err := kubejson.UnmarshalStrict(line, target)
	return errors.Join(append(unknown, err)...)
}

func typeOf(apiVersion, kind string) (any, error) {
	switch apiVersion + "/" + kind {
	case "gateway.networking.k8s.io/v1/HTTPRoute":
		return &gateway.HTTPRoute{}, nil
	case "gateway.networking.k8s.io/v1/Gateway":
		return &gateway.Gateway{}, nil
	case "monitoring.coreos.com/v1/ServiceMonitor":
		return &monitoring.ServiceMonitor{}, nil
	case "monitoring.coreos.com/v1/PodMonitor":
		return &monitoring.PodMonitor{}, nil
	case "monitoring.coreos.com/v1/PrometheusRule":
		return &monitoring.PrometheusRule{}, nil
	default:
		return nil, fmt.Errorf("nobody defines %s of %s", kind, apiVersion)
	}
}
