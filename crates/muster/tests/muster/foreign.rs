//! The same story on the real Kubernetes: its API server, controllers and scheduler; Muster's controllers, agent, doctor.

use std::path::PathBuf;
use std::time::Duration;

use crate::harness::{Cluster, MACHINE, Process, done, needs_containers, root, wait_for};
use crate::story::{Trouble, heals_a_hung_runtime, runs_the_application, takes_the_machine_in};

/// The control plane that `tests/upstream/up` starts; ended with the test.
struct Upstream {
    directory: PathBuf,
}

impl Upstream {
    fn start(cluster: &mut Cluster) -> Self {
        let directory = cluster.path("upstream");
        let mut command = cluster.namespace.command(root().join("tests/upstream/up").to_str().unwrap());
        done(command.arg(&directory).env("UPSTREAM_NO_FSYNC", "true"));
        cluster.kubeconfig = directory.join("kubeconfig");
        Self { directory }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        done(std::process::Command::new(root().join("tests/upstream/down")).arg(&self.directory));
    }
}

/// In the cluster's own namespace.
const METRICS: &str = "127.0.0.1:9127";

fn controllers(cluster: &Cluster) -> Process {
    let history = cluster.path("history");
    let words = ["controllers", "--history-dir", history.to_str().unwrap(), "--metrics-listen", METRICS];
    cluster.service("controllers", &words)
}

/// Kills the controllers and starts them again; agent and doctor live on.
struct KilledControllers(Process);

impl KilledControllers {
    fn strike(&mut self, cluster: &Cluster) {
        self.0.kill();
        self.0 = controllers(cluster);
    }
}

impl Trouble for KilledControllers {
    fn at_filing(&mut self, cluster: &Cluster) {
        self.strike(cluster);
    }

    fn at_probation(&mut self, cluster: &Cluster) {
        self.strike(cluster);
    }
}

#[test]
#[ignore = "make test-foreign runs it"]
fn the_story_holds_on_the_real_kubernetes_with_the_controllers_killed_in_the_middle() {
    needs_containers!();
    let mut cluster = Cluster::new();
    let _upstream = Upstream::start(&mut cluster);
    let manager = controllers(&cluster);
    let data_dir = cluster.data_dir.to_str().unwrap();
    let client_ca = cluster.path("upstream/ca.crt");
    let agent =
        ["agent", "--data-dir", data_dir, "--machine", MACHINE, "--client-ca", client_ca.to_str().unwrap()];
    let _agent = cluster.service("agent", &agent);
    let socket = cluster.data_dir.join("agent/probe.sock");
    let kubeconfig = cluster.kubeconfig.to_str().unwrap();
    let doctor = [
        "doctor",
        "--kubeconfig",
        kubeconfig,
        "--machine",
        MACHINE,
        "--probe-socket",
        socket.to_str().unwrap(),
    ];
    wait_for("Muster's kinds", Duration::from_secs(60), || {
        let output = cluster.kubectl(&["get", "workflows", "restart-runtime"]);
        if output.status.success() { Ok(()) } else { Err(manager.words()) }
    });
    let _doctor = cluster.service("doctor", &doctor);
    takes_the_machine_in(&cluster);
    let address = runs_the_application(&cluster);
    let logs = cluster.kubectl(&["logs", "deployment/hello", "--tail=1"]);
    assert!(logs.status.success(), "{}", String::from_utf8_lossy(&logs.stderr));
    let mut controllers = KilledControllers(manager);
    heals_a_hung_runtime(&cluster, &address, &mut controllers);
    the_repair_is_counted(&cluster);
}

fn the_repair_is_counted(cluster: &Cluster) {
    // The problem may have cleared before this life of the controllers; its run ended in it.
    let ended = "action=\"restartService\",result=\"succeeded\"} 1";
    wait_for("count of the repair", Duration::from_secs(30), || {
        let url = format!("http://{METRICS}/metrics");
        let metrics = done(cluster.namespace.command("curl").args(["-sSf", &url]));
        assert!(metrics.ends_with("# EOF\n"), "{metrics}");
        let counted = |line: &str| line.starts_with("muster_repairs_total{") && line.ends_with(ended);
        if metrics.lines().any(counted) { Ok(()) } else { Err(metrics) }
    });
    let elsewhere = cluster.namespace.command("curl").args(["-sSf", &format!("http://{METRICS}/")]).output();
    assert!(String::from_utf8_lossy(&elsewhere.unwrap().stderr).contains("404"));
}
