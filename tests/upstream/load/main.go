// Command load puts the same work on any Kubernetes API server and prints one line per kind of work.
//
//	load -kubeconfig F [-pods 2000] [-writers 64] [-lists 5] [-ready 50 -image I] -pids 12,34
//
// A line is: name, operations, seconds, operations per second, p50 and p99 in milliseconds, server CPU per operation in
// milliseconds. Errors are counted on a line of their own and make the exit code 1.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	namespace = "load"
	// ticksPerSecond is USER_HZ, which is 100 on every Linux that Go runs on.
	ticksPerSecond = 100
)

var failures atomic.Int64

func main() {
	kubeconfig := flag.String("kubeconfig", "", "the cluster")
	pods := flag.Int("pods", 2000, "how many pods the parallel writers create")
	alone := flag.Int("alone", 200, "how many pods a single writer creates before")
	writers := flag.Int("writers", 64, "how many write at once")
	lists := flag.Int("lists", 5, "how often all pods are listed")
	ready := flag.Int("ready", 0, "how many pods of -image are created one by one and waited for until Ready")
	image := flag.String("image", "muster.local/hello:1", "an image that the node has and that runs until it is stopped")
	pids := flag.String("pids", "", "process ids of the server, with commas, for its CPU time")
	flag.Parse()
	load := load{pids: *pids, alone: *alone, pods: *pods, writers: *writers, lists: *lists, ready: *ready, image: *image}
	if err := load.run(*kubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	if count := failures.Load(); count > 0 {
		fmt.Fprintf(os.Stderr, "load: %d operations failed\n", count)
		os.Exit(1)
	}
}

// load is what the flags ask for.
type load struct {
	pids, image                        string
	alone, pods, writers, lists, ready int
}

func (l load) run(kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	config.QPS, config.Burst = -1, -1
	// JSON on both sides: the figure is the server's, not that of an encoding.
	config.ContentType = "application/json"
	config.WarningHandler = rest.NoWarnings{}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	ctx := context.Background()
	wanted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := client.CoreV1().Namespaces().Create(ctx, wanted, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", namespace, err)
	}
	if err := serviceAccount(ctx, client); err != nil {
		return err
	}
	l.api(ctx, client)
	if l.ready > 0 {
		measure("pod create to Ready", l.pids, l.ready, 1, func(index int) error {
			return runOne(ctx, client, fmt.Sprintf("ready-%d", index), l.image)
		})
	}
	return nil
}

// api is the work in which only the API server takes part.
func (l load) api(ctx context.Context, client kubernetes.Interface) {
	pods := client.CoreV1().Pods(namespace)
	create := func(prefix string) func(int) error {
		return func(index int) error {
			_, err := pods.Create(ctx, pod(fmt.Sprintf("%s-%d", prefix, index)), metav1.CreateOptions{})
			return err
		}
	}
	get := func(index int) error {
		_, err := pods.Get(ctx, fmt.Sprintf("many-%d", index), metav1.GetOptions{})
		return err
	}
	// The bytes are read and not decoded: the client shares the cores with the server.
	list := func(int) error {
		return client.CoreV1().RESTClient().Get().Namespace(namespace).Resource("pods").
			Param("resourceVersion", "0").Do(ctx).Error()
	}
	remove := func(index int) error {
		now := int64(0)
		return pods.Delete(ctx, fmt.Sprintf("many-%d", index), metav1.DeleteOptions{GracePeriodSeconds: &now})
	}
	measure("create, 1 writer", l.pids, l.alone, 1, create("one"))
	measure(fmt.Sprintf("create, %d writers", l.writers), l.pids, l.pods, l.writers, create("many"))
	measure(fmt.Sprintf("get, %d readers", l.writers), l.pids, l.pods, l.writers, get)
	measure(fmt.Sprintf("list %d pods", l.pods+l.alone), l.pids, l.lists, 1, list)
	measure(fmt.Sprintf("delete, %d writers", l.writers), l.pids, l.pods, l.writers, remove)
}

// runOne creates a pod and returns when the watch shows it Ready.
func runOne(ctx context.Context, client kubernetes.Interface, name, image string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	pods := client.CoreV1().Pods(namespace)
	wanted := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: image, ImagePullPolicy: corev1.PullIfNotPresent,
		}}},
	}
	created, err := pods.Create(ctx, wanted, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	watch, err := pods.Watch(ctx, metav1.ListOptions{
		FieldSelector:   "metadata.name=" + name,
		ResourceVersion: created.ResourceVersion,
	})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		seen, is := event.Object.(*corev1.Pod)
		if !is {
			return fmt.Errorf("watch of %s: %v", name, event.Object)
		}
		for _, condition := range seen.Status.Conditions {
			if condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
	}
	return fmt.Errorf("pod %s is not Ready: %w", name, context.Cause(ctx))
}

// serviceAccount makes the default one where no controller does, so that pods are admitted at once.
func serviceAccount(ctx context.Context, client kubernetes.Interface) error {
	accounts := client.CoreV1().ServiceAccounts(namespace)
	deadline := time.Now().Add(10 * time.Second)
	for {
		if _, err := accounts.Get(ctx, "default", metav1.GetOptions{}); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
			_, err := accounts.Create(ctx, account, metav1.CreateOptions{})
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// measure does an operation count times, workers at once, and prints its line.
func measure(name, pids string, count, workers int, operation func(int) error) {
	latencies := make([]time.Duration, count)
	var next atomic.Int64
	var group sync.WaitGroup
	cpu, began := cpuMillis(pids), time.Now()
	for range workers {
		group.Go(func() {
			for {
				index := int(next.Add(1)) - 1
				if index >= count {
					return
				}
				start := time.Now()
				if err := operation(index); err != nil {
					if failures.Add(1) == 1 {
						fmt.Fprintf(os.Stderr, "load: %s: %v\n", name, err)
					}
				}
				latencies[index] = time.Since(start)
			}
		})
	}
	group.Wait()
	took := time.Since(began).Seconds()
	spent := cpuMillis(pids) - cpu
	sort.Slice(latencies, func(a, b int) bool { return latencies[a] < latencies[b] })
	at := func(share float64) float64 {
		return float64(latencies[int(share*float64(count-1))].Microseconds()) / 1000
	}
	fmt.Printf("%-22s %6d ops %7.2f s %8.0f/s  p50 %8.2f ms  p99 %8.2f ms  cpu %8.3f ms/op\n",
		name, count, took, float64(count)/took, at(0.50), at(0.99), spent/float64(count))
}

// cpuMillis is the user and system time that the processes have used so far.
func cpuMillis(pids string) float64 {
	total := 0.0
	for pid := range strings.SplitSeq(pids, ",") {
		text, err := os.ReadFile("/proc/" + pid + "/stat")
		if err != nil {
			continue
		}
		// The name stands in brackets and may hold anything; user and system time are the 14th and 15th field.
		_, after, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(after)
		for _, field := range fields[11:13] {
			ticks, _ := strconv.ParseFloat(field, 64)
			total += ticks * 1000 / ticksPerSecond
		}
	}
	return total
}

// pod is about 5 KB of JSON, as a real one with a few containers, variables, probes and volumes is.
func pod(name string) *corev1.Pod {
	variables := make([]corev1.EnvVar, 0, 24)
	for index := range 24 {
		variables = append(variables, corev1.EnvVar{
			Name:  fmt.Sprintf("SETTING_NUMBER_%02d", index),
			Value: strings.Repeat("v", 40),
		})
	}
	container := func(index int) corev1.Container {
		return corev1.Container{
			Name:         fmt.Sprintf("container-%d", index),
			Image:        "registry.example/team/service:1.2.3",
			Args:         []string{"--listen=:8080", "--log-level=info", "--config=/etc/service/config.yaml"},
			Env:          variables,
			VolumeMounts: []corev1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}},
			Ports:        []corev1.ContainerPort{{Name: fmt.Sprintf("http-%d", index), ContainerPort: int32(8080 + index)}},
		}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Labels:      map[string]string{"app": "service", "team": "load", "version": "1.2.3"},
			Annotations: map[string]string{"example.com/description": strings.Repeat("text ", 60)},
		},
		Spec: corev1.PodSpec{
			// No scheduler takes it up: only the API server works.
			SchedulerName: "nobody",
			Containers:    []corev1.Container{container(0), container(1)},
			Volumes:       []corev1.Volume{{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
		},
	}
}
