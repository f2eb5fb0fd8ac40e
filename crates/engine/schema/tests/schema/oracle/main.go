// The oracle applies strategic merge patches with upstream's own code: one case per line on standard input
// ({"kind", "original", "patch"}), one answer per line on standard output ({"merged"} or {"error"}).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

var kinds = map[string]any{
	"v1/Pod":                        corev1.Pod{},
	"v1/Service":                    corev1.Service{},
	"v1/Node":                       corev1.Node{},
	"v1/ServiceAccount":             corev1.ServiceAccount{},
	"apps/v1/Deployment":            appsv1.Deployment{},
	"policy/v1/PodDisruptionBudget": policyv1.PodDisruptionBudget{},
}

type question struct {
	Kind     string          `json:"kind"`
	Original json.RawMessage `json:"original"`
	Patch    json.RawMessage `json:"patch"`
}

type answer struct {
	Merged json.RawMessage `json:"merged,omitempty"`
	Error  string          `json:"error,omitempty"`
}

// ask recovers because upstream panics on lists that hold null.
func ask(q question) (a answer) {
	defer func() {
		if cause := recover(); cause != nil {
			a = answer{Error: fmt.Sprint("panic: ", cause)}
		}
	}()
	merged, err := strategicpatch.StrategicMergePatch(q.Original, q.Patch, kinds[q.Kind])
	if err != nil {
		return answer{Error: err.Error()}
	}
	return answer{Merged: merged}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<20), 1<<26)
	answers := json.NewEncoder(os.Stdout)
	for lines.Scan() {
		var q question
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := answers.Encode(ask(q)); err != nil {
			os.Exit(1)
		}
	}
}
