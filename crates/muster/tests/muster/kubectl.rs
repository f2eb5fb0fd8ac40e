//! Real kubectl against the whole cluster: what people type, what they read.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Cluster, MACHINE, MUSTER, done, here, needs_containers, root, wait_for};
use crate::story::{Calm, heals_a_hung_runtime, runs_the_application, takes_the_machine_in};
use crate::transcript::{replay, steady};

/// In this order, on one cluster; each takes away what it made.
const TRANSCRIPTS: &[&str] =
    &["fleet", "discovery", "apply", "read", "write", "rollout", "rights", "refused", "drain"];

fn goldens() -> PathBuf {
    here().join("tests/muster/goldens")
}

/// A command inside the cluster's namespace that finds kubectl, the cluster, `$SAMPLE` and the manifests.
fn inside(cluster: &Cluster, program: &str) -> Command {
    let mut command = cluster.namespace.command(program);
    command
        .current_dir(goldens())
        .env("KUBECONFIG", &cluster.kubeconfig)
        .env("KUBECACHEDIR", cluster.path("cache"))
        .env("SAMPLE", root().join("dist/sample.yaml"))
        .env("MUSTER", MUSTER)
        .env("NODE", MACHINE);
    command
}

/// What this computer is made of, and the cluster's own names for it.
fn computer(cluster: &Cluster) -> Vec<(String, &'static str)> {
    let node = cluster.get(&["node", MACHINE]).unwrap();
    let fact = |pointer: &str| node.pointer(pointer).unwrap().as_str().unwrap().to_owned();
    vec![
        (fact("/status/nodeInfo/kernelVersion"), "KERNEL"),
        (fact("/status/nodeInfo/osImage"), "SYSTEM"),
        (fact("/status/nodeInfo/containerRuntimeVersion"), "RUNTIME"),
        (fact("/status/capacity/memory"), "MEMORY"),
        (goldens().display().to_string(), "GOLDENS"),
    ]
}

#[test]
fn kubectl_reads_as_on_any_cluster() {
    needs_containers!();
    let cluster = Cluster::new();
    let data_dir = cluster.data_dir.display().to_string();
    let _server = cluster.service("up", &["up", "--data-dir", &data_dir, "--machine", MACHINE]);
    wait_for("kubeconfig", Duration::from_secs(20), || {
        if cluster.kubeconfig.exists() { Ok(()) } else { Err("no file".to_owned()) }
    });
    wait_for("role worker", Duration::from_secs(20), || cluster.get(&["machinerole", "worker"]).map(|_| ()));
    takes_the_machine_in(&cluster);
    let computer = computer(&cluster);
    let steady = |line: &str| {
        let named = computer.iter().fold(line.to_owned(), |line, (fact, name)| line.replace(fact, name));
        steady(&named)
    };
    let play = |names: &[&str]| {
        let files = names.iter().map(|name| goldens().join(name).with_extension("txt"));
        let played: Vec<(PathBuf, String)> = files
            .map(|file| {
                let text = std::fs::read_to_string(&file).unwrap();
                (file, replay(&text, || inside(&cluster, "bash"), steady))
            })
            .collect();
        for (file, now) in &played {
            expect_test::expect_file![file].assert_eq(now);
        }
    };
    play(TRANSCRIPTS);
    let address = runs_the_application(&cluster);
    heals_a_hung_runtime(&cluster, &address, &mut Calm);
    play(&["healed"]);
    a_watch_prints_each_change(&cluster);
    logs_follow_until_the_pod_ends(&cluster);
}

/// A command that runs on, and is read line by line; `timeout` bounds it.
struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Running {
    fn start(cluster: &Cluster, command: &str) -> Self {
        let mut child = inside(cluster, "timeout")
            .args(["30", "bash", "-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().expect("the command ended or printed nothing for 30 s").unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Ended already when it came to its own end.
        let killed = self.child.kill();
        let ended = self.child.wait();
        assert!(std::thread::panicking() || (killed.is_ok() && ended.is_ok()), "{killed:?} {ended:?}");
    }
}

fn kubectl(cluster: &Cluster, words: &str) {
    let words: Vec<&str> = words.split(' ').collect();
    done(inside(cluster, "kubectl").args(words));
}

fn a_watch_prints_each_change(cluster: &Cluster) {
    let mut watch = Running::start(
        cluster,
        "kubectl get configmaps -l watched=yes -w --no-headers --output-watch-events",
    );
    kubectl(cluster, "create -f manifests/watched.yaml");
    let mut seen = vec![steady(&watch.next())];
    kubectl(cluster, "patch configmap watched --type=merge -p {\"data\":{\"more\":\"1\"}}");
    seen.push(steady(&watch.next()));
    kubectl(cluster, "delete configmap watched");
    seen.push(steady(&watch.next()));
    assert_eq!(seen, ["ADDED  watched  1  AGE", "MODIFIED  watched  2  AGE", "DELETED  watched  2  AGE"]);
}

fn logs_follow_until_the_pod_ends(cluster: &Cluster) {
    kubectl(cluster, "run talker --image=muster.local/hello:1 --image-pull-policy=IfNotPresent");
    kubectl(cluster, "wait --for=condition=Ready pod/talker --timeout=30s");
    let mut logs = Running::start(cluster, "kubectl logs -f talker");
    assert_eq!(logs.next(), "hello: talker listens on port 8080");
    kubectl(cluster, "delete pod talker --wait=false");
    let rest: Vec<String> = logs.lines.by_ref().map(Result::unwrap).collect();
    assert_eq!(logs.child.wait().unwrap().code(), Some(0), "{rest:?}");
}
