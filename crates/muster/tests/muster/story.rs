//! The main job on Muster's own engine: a machine lives its whole life, and is healed when its runtime hangs.

use std::process::Output;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::harness::{Cluster, MACHINE, Process, done, needs_containers, root, wait_for};

const SECOND: Duration = Duration::from_secs(1);

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A field of an object, by JSON pointer.
pub(crate) fn field(cluster: &Cluster, words: &[&str], pointer: &str) -> Result<String, String> {
    let object = cluster.get(words)?;
    match object.pointer(pointer) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(other) => Ok(other.to_string()),
        None => Err(format!("no {pointer}")),
    }
}

pub(crate) fn wait_phase(cluster: &Cluster, kind: &str, name: &str, phase: &str, most: Duration) {
    wait_for(&format!("{kind} {name} {phase}"), most, || {
        match field(cluster, &[kind, name], "/status/phase")? {
            seen if seen == phase => Ok(()),
            seen => Err(seen),
        }
    });
}

/// Brings the machine in and sees it through to Healthy.
pub(crate) fn takes_the_machine_in(cluster: &Cluster) {
    let csv = cluster.path("machines.csv");
    std::fs::write(&csv, format!("name,site,role\n{MACHINE},here,worker\n")).unwrap();
    let imported = done(&mut cluster.muster(&["machine", "import", csv.to_str().unwrap(), "--create-sites"]));
    assert_eq!(imported, "1 sites, 0 racks and 1 machines created, 0 machines updated\n");
    wait_phase(cluster, "machine", MACHINE, "Healthy", 90 * SECOND);
    let machine = cluster.get(&["machine", MACHINE]).unwrap();
    let phases: Vec<&str> = machine["status"]["transitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|transition| transition["to"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["Registered", "Inspecting", "Provisioning", "Probation", "Healthy"]);
    let inventory = cluster.get(&["inventory", MACHINE]).unwrap();
    let boot_id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    assert_eq!(inventory["status"]["bootID"], boot_id.trim());
    assert!(0 < inventory["status"]["cpu"]["threads"].as_u64().unwrap());
}

/// Two replicas behind a Service, answering on the cluster address.
pub(crate) fn runs_the_application(cluster: &Cluster) -> String {
    let sample = root().join("dist/sample.yaml");
    let applied = cluster.kubectl(&["apply", "-f", sample.to_str().unwrap()]);
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));
    wait_for("two ready replicas", 90 * SECOND, || {
        match field(cluster, &["deployment", "hello"], "/status/readyReplicas")? {
            ready if ready == "2" => Ok(()),
            ready => Err(ready),
        }
    });
    let address = field(cluster, &["service", "hello"], "/spec/clusterIP").unwrap();
    wait_for("answer of the application", 15 * SECOND, || answers(cluster, &address));
    address
}

fn answers(cluster: &Cluster, address: &str) -> Result<(), String> {
    let mut curl = cluster.namespace.command("curl");
    let output = curl.args(["-sS", "--max-time", "2", &format!("http://{address}")]).output().unwrap();
    if text(&output).starts_with("hello from ") { Ok(()) } else { Err(format!("{output:?}")) }
}

/// Name, start and restarts of each container of the application.
fn containers(cluster: &Cluster) -> Vec<(String, String, String)> {
    let pods = cluster.get(&["pods", "-l", "app=hello"]).unwrap();
    let mut found: Vec<_> = pods["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pod| {
            let status = &pod["status"]["containerStatuses"][0];
            (
                pod["metadata"]["name"].to_string(),
                status["state"]["running"]["startedAt"].to_string(),
                status["restartCount"].to_string(),
            )
        })
        .collect();
    found.sort();
    found
}

/// What the test does to the controllers while the repair is on.
pub(crate) trait Trouble {
    /// The problem has just been filed.
    fn at_filing(&mut self, cluster: &Cluster);
    /// The machine is on probation.
    fn at_probation(&mut self, cluster: &Cluster);
}

/// Nothing happens.
pub(crate) struct Calm;

impl Trouble for Calm {
    fn at_filing(&mut self, _: &Cluster) {}
    fn at_probation(&mut self, _: &Cluster) {}
}

const PROBLEM: &str = "m1.runtime.hung.containerd";
const RUN: &str = "repair-m1.runtime.hung.containerd-1";

/// Stops containerd dead and sees the machine healed, each effect once, the application untouched.
pub(crate) fn heals_a_hung_runtime(cluster: &Cluster, address: &str, trouble: &mut impl Trouble) {
    let before = containers(cluster);
    assert_eq!(before.len(), 2);
    kill(cluster.containerd(), Signal::SIGSTOP).unwrap();
    wait_for("open problem", 15 * SECOND, || match field(cluster, &["problem", PROBLEM], "/status/state")? {
        state if state == "Open" => Ok(()),
        state => Err(state),
    });
    trouble.at_filing(cluster);
    wait_for("probation", 60 * SECOND, || {
        let machine = cluster.get(&["machine", MACHINE])?;
        let reached =
            machine["status"]["transitions"].as_array().unwrap().iter().filter(|t| t["to"] == "Probation");
        if reached.count() == 2 { Ok(()) } else { Err(machine["status"]["phase"].to_string()) }
    });
    trouble.at_probation(cluster);
    wait_phase(cluster, "run", RUN, "Succeeded", 90 * SECOND);
    wait_phase(cluster, "machine", MACHINE, "Healthy", 5 * SECOND);
    assert_eq!(containers(cluster), before, "the application's containers ran on");
    answers(cluster, address).unwrap();
    each_effect_happened_once(cluster);
    the_story_is_told(cluster);
}

fn each_effect_happened_once(cluster: &Cluster) {
    let orders = cluster.get(&["orders"]).unwrap();
    let of_run = orders["items"].as_array().unwrap().iter().filter(|order| order["spec"]["run"] == RUN);
    let (done, other): (Vec<_>, Vec<_>) = of_run.partition(|order| order["status"]["phase"] == "Done");
    let mut verbs: Vec<&str> = done.iter().map(|order| order["spec"]["verb"].as_str().unwrap()).collect();
    verbs.sort_unstable();
    assert_eq!(verbs, ["CheckContainerStart", "RestartService"]);
    for order in other {
        let message = order["status"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with("the agent died while at it"), "{order}");
    }
    let machine = cluster.get(&["machine", MACHINE]).unwrap();
    let phases: Vec<&str> = machine["status"]["transitions"]
        .as_array()
        .unwrap()
        .iter()
        .skip(5)
        .map(|transition| transition["to"].as_str().unwrap())
        .collect();
    assert_eq!(phases, ["Disrupted", "Probation", "Healthy"]);
    let grant = cluster.get(&["disruption", RUN]).unwrap();
    wait_for("released grant", 5 * SECOND, || match field(cluster, &["disruption", RUN], "/status/phase")? {
        phase if phase == "Released" => Ok(()),
        phase => Err(phase),
    });
    assert_eq!(grant["spec"]["purpose"], "repair");
    let node = cluster.get(&["node", MACHINE]).unwrap();
    assert_eq!(node["spec"].get("unschedulable"), None);
    assert_eq!(node["metadata"]["annotations"].get("muster.dev/cordoned-by"), None);
}

fn the_story_is_told(cluster: &Cluster) {
    let run = cluster.get(&["run", RUN]).unwrap();
    let steps: Vec<String> = run["status"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| format!("{} {}", step["name"].as_str().unwrap(), step["phase"].as_str().unwrap()))
        .collect();
    let names = ["grant", "cordon", "restart-runtime", "probation", "uncordon", "healthy", "release"];
    assert_eq!(steps, names.map(|name| format!("{name} Succeeded")));
    let history = done(&mut cluster.muster(&["machine", "history", MACHINE]));
    let mut rest = history.as_str();
    for told in [
        "Provisioning → Probation",
        "runtime.hung opened",
        "restart-runtime",
        "Healthy → Disrupted",
        "step restart-runtime Succeeded",
        "Disrupted → Probation",
        "Probation → Healthy",
        "step release Succeeded",
    ] {
        let at =
            rest.find(told).unwrap_or_else(|| panic!("{told:?} is missing or out of order in\n{history}"));
        rest = &rest[at..];
    }
    // The doctor clears as soon as the runtime answers, whether or not a controller is there to see it.
    let (opened, cleared) = (history.find("runtime.hung opened"), history.find("runtime.hung cleared"));
    assert!(opened < cleared, "{history}");
}

pub(crate) fn up(cluster: &Cluster) -> Process {
    up_with(cluster, &[])
}

/// With these settings of its environment.
pub(crate) fn up_with(cluster: &Cluster, environment: &[(&str, &str)]) -> Process {
    let data_dir = cluster.data_dir.to_str().unwrap();
    let mut command = cluster.muster(&["up", "--data-dir", data_dir, "--machine", MACHINE]);
    command.envs(environment.iter().copied());
    let server = Process::start(command, &cluster.path("up.log"));
    wait_for("ready API", 30 * SECOND, || {
        let ready = cluster.kubectl(&["get", "--raw", "/readyz"]);
        if text(&ready) == "ok" { Ok(()) } else { Err(String::from_utf8_lossy(&ready.stderr).into_owned()) }
    });
    server
}

/// The doctor's process is nobody's, without a capability, can get none, and stays small; its identity reads and files
/// Problems.
fn the_doctor_has_no_powers(cluster: &Cluster) {
    let status = wait_for("doctor", 10 * SECOND, || doctor_status(cluster).ok_or_else(|| "none".to_owned()));
    let line =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    assert_eq!(line("Uid:"), "65534\t65534\t65534\t65534");
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(line(set), "0000000000000000", "{set}");
    }
    assert_eq!(line("NoNewPrivs:"), "1");
    // 2: the kernel filters its system calls.
    assert_eq!(line("Seccomp:"), "2");
    let threads: u32 = line("Threads:").parse().unwrap();
    assert!(threads < 8, "{threads} threads");
    let may = |verb: &str, resource: &str| {
        let doctor = "--as=system:muster:doctor";
        let output = cluster.kubectl(&["auth", "can-i", verb, resource, doctor]);
        text(&output).trim() == "yes"
    };
    assert!(may("get", "machines.muster.dev") && may("create", "problems.muster.dev"));
    for resource in
        ["machines", "orders", "runs", "workflows", "disruptions", "disruptionbudgets", "machineroles"]
    {
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            assert!(!may(verb, &format!("{resource}.muster.dev")), "the doctor may {verb} {resource}");
        }
    }
    for (verb, resource) in
        [("get", "secrets"), ("create", "pods"), ("patch", "nodes"), ("delete", "problems.muster.dev")]
    {
        assert!(!may(verb, resource), "the doctor may {verb} {resource}");
    }
}

/// `/proc/PID/status` of the doctor of this data directory.
fn doctor_status(cluster: &Cluster) -> Option<String> {
    let kubeconfig = cluster.data_dir.join("doctor.kubeconfig");
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries.into_iter().find_map(|entry| {
        let words = std::fs::read(entry.path().join("cmdline")).ok()?;
        let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
        let ours = words.get(1) == Some(&b"doctor".as_slice())
            && words.contains(&kubeconfig.as_os_str().as_encoded_bytes());
        let status = std::fs::read_to_string(entry.path().join("status")).ok().filter(|_| ours)?;
        // Between its start and its confinement it is still root.
        status.contains("Uid:\t65534").then_some(status)
    })
}

/// Nothing the watch had missed was found by a sweep.
fn no_sweep_found_anything(cluster: &Cluster) {
    let metrics = text(&cluster.kubectl(&["get", "--raw", "/metrics"]));
    assert!(metrics.contains("muster_passes_total{controller=\"machines\"}"), "{metrics}");
    for controller in ["machines", "runs"] {
        let never = format!("muster_sweep_missed_total{{controller=\"{controller}\"}} 0\n");
        assert!(metrics.contains(&never), "{never}{metrics}");
        let never = format!("muster_deadlines_passed_total{{controller=\"{controller}\"}} 0\n");
        assert!(metrics.contains(&never), "{never}{metrics}");
    }
    let missed: Vec<&str> = metrics
        .lines()
        .filter(|line| line.starts_with("muster_sweep_missed_total") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(missed, Vec::<&str>::new());
}

#[test]
fn a_machine_becomes_healthy_carries_an_application_and_is_healed_while_it_runs_on() {
    needs_containers!();
    let cluster = Cluster::new();
    // As many threads as on sixteen cores.
    let _server = up_with(&cluster, &[("TOKIO_WORKER_THREADS", "16")]);
    takes_the_machine_in(&cluster);
    let address = runs_the_application(&cluster);
    heals_a_hung_runtime(&cluster, &address, &mut Calm);
    no_sweep_found_anything(&cluster);
    the_doctor_has_no_powers(&cluster);
    let status = cluster.muster(&["status"]).output().unwrap();
    assert!(status.status.success(), "{}", text(&status));
}

/// Kills everything Muster runs but the containers, sees that traffic flows on, and starts it again.
struct KilledServer {
    server: Process,
    address: String,
}

impl KilledServer {
    fn strike(&mut self, cluster: &Cluster) {
        self.server.kill();
        answers(cluster, &self.address).unwrap();
        self.server = up(cluster);
    }
}

impl Trouble for KilledServer {
    fn at_filing(&mut self, cluster: &Cluster) {
        self.strike(cluster);
    }

    fn at_probation(&mut self, cluster: &Cluster) {
        self.strike(cluster);
    }
}

#[test]
fn a_repair_survives_the_death_of_muster_with_each_effect_once() {
    needs_containers!();
    let mut cluster = Cluster::new();
    cluster.allowed = &[
        (
            "containerd is not up",
            "the repair ends the hung containerd for which the agent that was started anew still waits",
        ),
        (
            "a webhook was left out webhook=\"note.history.muster.dev\"",
            "the history died with the process; until it is back, changes are kept without who made them",
        ),
    ];
    let server = up(&cluster);
    takes_the_machine_in(&cluster);
    let address = runs_the_application(&cluster);
    heals_a_hung_runtime(&cluster, &address, &mut KilledServer { server, address: address.clone() });
}
