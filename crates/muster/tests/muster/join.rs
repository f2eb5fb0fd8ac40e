//! A machine in another network joins with a token, becomes Healthy and carries a pod.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::harness::{Cluster, Process, done, needs_containers, wait_for};

const SERVER: &str = "https://10.99.0.1:6443";

/// A cable between two namespaces.
fn connect(a: &Cluster, b: &Cluster) {
    let (near, far) = (a.namespace.name(), b.namespace.name());
    done(Command::new("ip").args([
        "link", "add", "cable0", "netns", near, "type", "veth", "peer", "name", "cable0", "netns", far,
    ]));
    for (cluster, own, other) in [(a, "10.99.0.1", "10.99.0.2"), (b, "10.99.0.2", "10.99.0.1")] {
        let ip = |words: &[&str]| done(cluster.namespace.command("ip").args(words));
        ip(&["addr", "add", &format!("{own}/24"), "dev", "cable0"]);
        ip(&["link", "set", "cable0", "up"]);
        ip(&["route", "add", "default", "via", other]);
    }
}

fn token(control: &Cluster, words: &[&str]) -> (String, String) {
    let all = [&["token", "create", "--server", SERVER, "-o", "json"], words].concat();
    let printed: Value = serde_json::from_str(&done(&mut control.muster(&all))).unwrap();
    let text = |key: &str| printed[key].as_str().unwrap().to_owned();
    (text("token"), text("caHash"))
}

/// The agent of a new machine, by its own means: it knows no kubeconfig.
fn agent(machine: &Cluster, data_dir: &Path, words: &[&str]) -> Command {
    let mut command = machine.namespace.command(crate::harness::MUSTER);
    command
        .args(["agent", "--machine", "newcomer", "--data-dir"])
        .arg(data_dir)
        .args(words)
        .env_remove("KUBECONFIG");
    command
}

fn refused(machine: &Cluster, token: &str, hash: &str, expected: &str) {
    let data_dir = machine.path("nobody");
    let words = ["--server", SERVER, "--token", token, "--ca-hash", hash];
    let output = agent(machine, &data_dir, &words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(expected), "{said}");
    assert!(!data_dir.exists(), "a refused machine keeps nothing");
}

fn requests(control: &Cluster) -> usize {
    control.get(&["certificatesigningrequests"]).unwrap()["items"].as_array().unwrap().len()
}

/// Asks under the agent's own identity.
fn as_agent(machine: &Cluster, words: &[&str]) -> Output {
    let mut command = machine.namespace.command("kubectl");
    let kubeconfig = machine.data_dir.join("agent.kubeconfig");
    command.args(words).env("KUBECONFIG", kubeconfig).output().unwrap()
}

fn forbidden(machine: &Cluster, words: &[&str]) {
    let output = as_agent(machine, words);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("Forbidden"), "{words:?}: {said}");
}

fn phase(control: &Cluster, machine: &str) -> Result<String, String> {
    let machine = control.get(&["machine", machine])?;
    Ok(machine["status"]["phase"].as_str().unwrap_or_default().to_owned())
}

fn becomes(control: &Cluster, wanted: &str, within: Duration) {
    wait_for(wanted, within, || {
        let found = phase(control, "db-01")?;
        if found == wanted {
            Ok(())
        } else {
            Err(format!("{found}; {}", control.get(&["machine", "db-01"])?["status"]))
        }
    });
}

#[test]
fn a_machine_joins_with_a_token_once_and_carries_a_pod() {
    needs_containers!();
    let (control, mut machine) = (Cluster::new(), Cluster::new());
    machine.allowed = &[(
        "Server cert bypassed",
        "a machine that joins asks for the authority before it can know it, and compares it with the hash it was given",
    )];
    connect(&control, &machine);
    let data_dir = control.data_dir.display().to_string();
    let up =
        ["up", "--data-dir", &data_dir, "--machine", "head", "--listen", "10.99.0.1:6443", "--without-node"];
    let _server = control.service("up", &up);
    wait_for("role worker", Duration::from_secs(20), || control.get(&["machinerole", "worker"]).map(|_| ()));
    let csv = control.path("machines.csv");
    std::fs::write(&csv, "name,site,role\ndb-01,here,worker\nother,here,\n").unwrap();
    done(&mut control.muster(&["machine", "import", csv.to_str().unwrap(), "--create-sites"]));
    let (good, hash) = token(&control, &["--machine", "db-01"]);
    let wrong_hash = format!("sha256:{}", "0".repeat(64));
    refused(&machine, &good, &wrong_hash, "is not the cluster that was meant");
    refused(&machine, "abc123.0123456789abcdef", &hash, "refuses the token");
    let (free, _) = token(&control, &[]);
    refused(&machine, &free, &hash, "NotExpected");
    assert_eq!(requests(&control), 1, "only a machine that shows a good token asks for anything");
    expires(&control);
    let words = ["--server", SERVER, "--token", &good, "--ca-hash", &hash];
    let mut running = Process::start(agent(&machine, &machine.data_dir, &words), &machine.path("agent.log"));
    becomes(&control, "Healthy", Duration::from_secs(90));
    refused(&machine, &good, &hash, "was used");
    own_state_only(&machine);
    carries_a_pod(&control);
    its_doctor_files_under_its_own_name(&control, &machine);
    running.kill();
    drop(running);
    let mut command = machine.namespace.command(crate::harness::MUSTER);
    command.args(["agent", "--data-dir"]).arg(&machine.data_dir).env_remove("KUBECONFIG");
    let again = Process::start(command, &machine.path("again.log"));
    wait_for("agent under its old name", Duration::from_secs(20), || {
        let words = again.words();
        if words.contains("the agent runs") && words.contains("db-01") { Ok(()) } else { Err(words) }
    });
}

fn expires(control: &Cluster) {
    let (short, _) = token(control, &["--machine", "other", "--ttl", "2s"]);
    let ask = || {
        control
            .namespace
            .command("kubectl")
            .args(["--server", SERVER, "--insecure-skip-tls-verify", "--token", &short, "get", "csr"])
            .env_remove("KUBECONFIG")
            .env("HOME", "/nonexistent")
            .output()
            .unwrap()
    };
    wait_for("token to expire", Duration::from_secs(10), || {
        let output = ask();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if said.contains("Unauthorized") || said.contains("must be logged in") { Ok(()) } else { Err(said) }
    });
}

/// Invariant 4: an agent writes what it observes of its own machine and nothing of what is intended.
fn own_state_only(machine: &Cluster) {
    let inventory =
        r#"{"apiVersion":"muster.dev/v1alpha1","kind":"Inventory","metadata":{"name":"other"},"spec":{}}"#;
    let file = machine.path("inventory.json");
    std::fs::write(&file, inventory).unwrap();
    forbidden(machine, &["create", "-f", file.to_str().unwrap()]);
    let status = ["--subresource=status", "--type=merge", "-p", r#"{"status":{"serial":"X"}}"#];
    forbidden(machine, &[&["patch", "inventory", "other"], &status[..]].concat());
    forbidden(machine, &["patch", "machine", "db-01", "--type=merge", "-p", r#"{"spec":{"role":""}}"#]);
    forbidden(machine, &["delete", "machine", "other"]);
    forbidden(machine, &["get", "secrets", "-A"]);
    let allowed = as_agent(machine, &[&["patch", "inventory", "db-01"], &status[..]].concat());
    assert!(allowed.status.success(), "{}", String::from_utf8_lossy(&allowed.stderr));
}

/// The doctor beside the agent is somebody else, who may file and nothing more.
fn its_doctor_files_under_its_own_name(control: &Cluster, machine: &Cluster) {
    kill(machine.containerd(), Signal::SIGSTOP).unwrap();
    wait_for("problem of a hung runtime", Duration::from_secs(15), || {
        let problem = control.get(&["problem", "db-01.runtime.hung.containerd"])?;
        if problem["status"]["state"] == "Open" { Ok(()) } else { Err(problem["status"].to_string()) }
    });
    wait_for("repair", Duration::from_secs(120), || {
        let run = control.get(&["run", "repair-db-01.runtime.hung.containerd-1"])?;
        if run["status"]["phase"] == "Succeeded" { Ok(()) } else { Err(run["status"].to_string()) }
    });
    becomes(control, "Healthy", Duration::from_secs(10));
    let problem = control.get(&["problem", "db-01.runtime.hung.containerd"]).unwrap();
    assert_eq!(problem["status"]["state"], "Clear");
    let doctor = machine.data_dir.join("doctor.kubeconfig");
    let ask = |words: &[&str]| {
        let output = machine.namespace.command("kubectl").args(words).env("KUBECONFIG", &doctor).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let who = ask(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"]);
    assert_eq!(who, "system:muster:doctor:db-01");
    for (verb, kind, answer) in [
        ("create", "problems.muster.dev", "yes"),
        ("get", "machines.muster.dev", "yes"),
        ("patch", "machines.muster.dev", "no"),
        ("get", "secrets", "no"),
        ("create", "orders.muster.dev", "no"),
        ("create", "certificatesigningrequests", "no"),
    ] {
        assert_eq!(ask(&["auth", "can-i", verb, kind]).trim(), answer, "{verb} {kind}");
    }
}

fn carries_a_pod(control: &Cluster) {
    let run = control.kubectl(&[
        "run",
        "hello",
        "--image=muster.local/hello:1",
        "--image-pull-policy=IfNotPresent",
    ]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    wait_for("pod on the new machine", Duration::from_secs(60), || {
        let pod = control.get(&["pod", "hello"])?;
        let (node, phase) = (&pod["spec"]["nodeName"], &pod["status"]["phase"]);
        if node == "db-01" && phase == "Running" { Ok(()) } else { Err(format!("{node} {}", pod["status"])) }
    });
    wait_for("log of the pod, over the agent's port", Duration::from_secs(20), || {
        let output = control.kubectl(&["logs", "hello"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if said.contains("listens on port") {
            Ok(())
        } else {
            Err(format!("{said}{}", String::from_utf8_lossy(&output.stderr)))
        }
    });
    assert!(control.kubectl(&["delete", "pod", "hello"]).status.success());
}
