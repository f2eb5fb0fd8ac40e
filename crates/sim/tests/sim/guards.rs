//! What the API itself refuses, whoever asks: no destructive verb acts on nothing as if it meant everything.

use std::io::{self, Write};
use std::sync::Arc;

use kube::Api;
use kube::api::PostParams;
use muster_api::disruption::DisruptionPhase;
use muster_api::order::OrderPhase;
use muster_api::{Disruption, Order};
use muster_sim::{Phase, World};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::support::seconds;

async fn refusal(world: &World, kind: &str, spec: Value) -> String {
    let text = format!("{spec}");
    let body =
        json!({"apiVersion": "muster.dev/v1alpha1", "kind": kind, "metadata": {"name": "x"}, "spec": spec});
    let path = format!("/apis/muster.dev/v1alpha1/{}s", kind.to_lowercase());
    let body = serde_json::to_vec(&body).expect("JSON");
    let request = http::Request::post(path).header("content-type", "application/json").body(body);
    let request = request.expect("a request");
    match world.admin().request::<Value>(request).await {
        Err(kube::Error::Api(status)) => status.message,
        other => panic!("{kind} {text} was not refused: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a15_empty_and_wildcard_targets_are_refused_with_the_field() {
    let world = World::build(50).await;
    let until = "2026-01-06T00:00:00Z";
    for machine in [json!(""), json!("*"), json!("m*"), Value::Null] {
        let erase = json!({"machine": machine, "purpose": "person", "act": "erase", "phase": "Failed", "until": until});
        let said = refusal(&world, "Disruption", erase).await;
        assert!(said.contains("spec.machine"), "{said}");
        let order = json!({"machine": machine, "verb": "PowerOff", "generation": 1, "run": "r", "step": "s", "attempt": 1});
        let said = refusal(&world, "Order", order).await;
        assert!(said.contains("spec.machine"), "{said}");
    }
    for (arguments, expected) in [
        (json!({}), "this verb needs arguments.disks"),
        (json!({"disks": []}), "this verb needs arguments.disks"),
        (json!({"disks": [""]}), "spec.arguments.disks[0]"),
        (json!({"disks": ["S1", "*"]}), "spec.arguments.disks[1]"),
    ] {
        let order = json!({"machine": "m1", "verb": "EraseDisks", "arguments": arguments, "generation": 1, "run": "r", "step": "s", "attempt": 1});
        let said = refusal(&world, "Order", order).await;
        assert!(said.contains(expected), "{said}");
    }
    for (verb, list) in
        [("EnsurePackages", "packages"), ("EnsureFiles", "files"), ("EnsureServices", "services")]
    {
        for arguments in [json!({}), json!({list: []})] {
            let order = json!({"machine": "m1", "verb": verb, "arguments": arguments, "generation": 1, "run": "r", "step": "s", "attempt": 1});
            let said = refusal(&world, "Order", order).await;
            assert!(said.contains(&format!("this verb needs arguments.{list}")), "{said}");
        }
    }
    let mut erase = json!({"machine": "m1", "purpose": "person", "act": "erase", "until": until});
    let said = refusal(&world, "Disruption", erase.clone()).await;
    assert!(said.contains("'act' and 'phase' belong together"), "{said}");
    erase["phase"] = json!("Healthy");
    let said = refusal(&world, "Disruption", erase).await;
    assert!(said.contains("nothing is destroyed on a machine that serves"), "{said}");
    for (scope, expected) in [
        (json!({}), "set exactly one of machine, rack, site, role"),
        (json!({"rack": "r1"}), "set exactly one of machine, rack, site, role"),
        (json!({"rack": "r1", "role": "worker"}), "a rack is named together with its site"),
        (json!({"site": "*"}), "must be one name"),
        (json!({"site": "a", "role": "worker"}), "set exactly one of machine, rack, site, role"),
    ] {
        let said = refusal(&world, "DisruptionBudget", json!({"scope": scope, "max": 1})).await;
        assert!(said.contains(expected), "{said}");
    }
    let word = json!({"max": 9, "by": "", "reason": "x", "until": until});
    let budget = json!({"scope": {"role": "worker"}, "max": 1, "destruction": word});
    assert!(refusal(&world, "DisruptionBudget", budget).await.contains("must name the person"));
    for spec in [json!({}), json!({"site": ""}), json!({"site": "a", "everywhere": true})] {
        refusal(&world, "Pause", spec).await;
    }
}

/// What was logged.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn erase(machine: &str, disks: &[&str], generation: i64) -> Value {
    json!({"machine": machine, "verb": "EraseDisks", "arguments": {"disks": disks}, "generation": generation,
        "run": "replay", "step": "erase", "attempt": 1})
}

#[tokio::test(start_paused = true)]
async fn a15_what_would_destroy_without_a_target_out_of_date_or_out_of_turn_is_refused_and_audited() {
    let kept = Kept::default();
    let to = kept.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || to.clone()).finish();
    let subscriber = tracing::Dispatch::new(subscriber);
    // While there is only one, what another test's thread says first is taken for something that nobody wants to hear.
    let _other = tracing::Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish());
    let _logs = tracing::dispatcher::set_default(&subscriber);
    let world = World::build(53).await;
    world.add_machine("m0", "site-a").await;
    world.wait_phase("m0", Phase::Healthy).await;
    let before = world.effects();
    // No target, every target: the API refuses it, and who asked stands in the log.
    for spec in [erase("", &["S1"], 9), erase("*", &["S1"], 9), erase("m0", &[], 9), erase("m0", &["*"], 9)] {
        refusal(&world, "Order", spec).await;
    }
    let reimage =
        json!({"machine": "m*", "verb": "Reimage", "generation": 9, "run": "r", "step": "s", "attempt": 1});
    refusal(&world, "Order", reimage).await;
    let text = String::from_utf8(kept.0.lock().clone()).expect("text");
    let audited: Vec<&str> = text.lines().filter(|line| line.contains("muster_audit: refused")).collect();
    assert_eq!(audited.len(), 5, "{audited:#?}");
    for line in audited {
        for part in [
            "user=\"admin\"",
            "verb=\"create\"",
            "path=\"/apis/muster.dev/v1alpha1/orders\"",
            "code=422",
            "audit_id=",
        ] {
            assert!(line.contains(part), "no {part}: {line}");
        }
    }
    // A generation of yesterday: the agent refuses, and the order tells it as long as it is kept.
    let asked: Api<Order> = Api::all(world.admin());
    let stale = json!({"apiVersion": "muster.dev/v1alpha1", "kind": "Order", "metadata": {"name": "stale"}, "spec": erase("m0", &["S1"], 0)});
    asked.create(&PostParams::default(), &serde_json::from_value(stale).expect("an order")).await.unwrap();
    let refused = world
        .wait("a refusal", seconds(60), |world| {
            let status = world.get::<Order>("", "stale").and_then(|order| order.status).unwrap_or_default();
            if status.phase.is_final() { Ok(status) } else { Err(format!("{status:?}")) }
        })
        .await;
    assert_eq!(refused.phase, OrderPhase::Refused);
    assert!(refused.message.starts_with("generation 0 is older than "), "{}", refused.message);
    // A machine that serves is not the failed one that was meant.
    let grants: Api<Disruption> = Api::all(world.admin());
    grants.create(&PostParams::default(), &Disruption::new("wrong", request("m0"))).await.unwrap();
    let denied = world
        .wait("a denial", seconds(60), |world| {
            let status =
                world.get::<Disruption>("", "wrong").and_then(|asked| asked.status).unwrap_or_default();
            if status.phase == DisruptionPhase::Denied { Ok(status) } else { Err(format!("{status:?}")) }
        })
        .await;
    assert!(denied.reason.contains("machine m0 is Healthy, not Failed"), "{}", denied.reason);
    tokio::time::sleep(seconds(600)).await;
    assert_eq!(world.effects(), before, "nothing was done");
    assert_eq!(world.phase("m0"), Some(Phase::Healthy));
}

/// A decommission was restarted when its set of machines was empty already, and empty once meant everything.
#[tokio::test(start_paused = true)]
async fn a15_the_diskerase_replay_touches_nothing() {
    let world = World::build(51).await;
    for name in ["m0", "m1", "m2"] {
        world.add_machine(name, "site-a").await;
    }
    for name in ["m0", "m1", "m2"] {
        world.wait_phase(name, Phase::Healthy).await;
    }
    let before = (world.effects(), world.list::<Order>().len());
    let targets: Vec<String> = Vec::new();
    let asked: Api<Disruption> = Api::all(world.admin());
    for target in &targets {
        asked.create(&PostParams::default(), &Disruption::new(target, request(target))).await.unwrap();
    }
    for machine in ["", "*"] {
        let made = asked.create(&PostParams::default(), &Disruption::new("replay", request(machine))).await;
        assert!(made.is_err(), "{made:?}");
    }
    tokio::time::sleep(seconds(3600)).await;
    assert_eq!((world.effects(), world.list::<Order>().len()), before);
    assert!(world.list::<Disruption>().is_empty());
    for name in ["m0", "m1", "m2"] {
        assert_eq!(world.phase(name), Some(Phase::Healthy));
    }
}

fn request(machine: &str) -> muster_api::disruption::DisruptionSpec {
    muster_api::disruption::DisruptionSpec {
        machine: machine.to_owned(),
        purpose: muster_api::disruption::Purpose::Person,
        act: Some(muster_api::disruption::Destruction::Erase),
        intends: None,
        phase: Some(Phase::Failed),
        run: String::new(),
        until: "2027-01-01T00:00:00Z".parse().expect("a time"),
        released: false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_role_brings_nothing_that_its_text_shows_to_be_wrong() {
    let world = World::build(52).await;
    let file = |path: &str, mode: &str| json!({"files": [{"path": path, "content": "x", "mode": mode}]});
    let rows = [
        (json!({"packages": ["chrony", "-y"]}), "spec.packages[1]"),
        (json!({"packages": ["chrony-"]}), "spec.packages[0]"),
        (json!({"packages": ["chrony=*"]}), "spec.packages[0]"),
        (json!({"packages": vec!["chrony"; 129]}), "spec.packages"),
        (file("/etc/shadow", "0644"), "spec.files[0].path"),
        (file("/etc/app/../shadow", "0644"), "spec.files[0].path"),
        (file("/usr/local/bin/x", "0644"), "spec.files[0].path"),
        (file("/etc/sudoers.d/x", "0644"), "that decides who may become root"),
        (file("/etc/cron.d/x", "0644"), "that decides who may become root"),
        (file("/etc/app/x", "0755"), "spec.files[0].mode"),
        (file("/etc/app/x", "0666"), "spec.files[0].mode"),
        (json!({"files": [{"path": "/srv/x"}, {"path": "/srv/x"}]}), "'files' has two of one path"),
        (json!({"files": [{"path": "/srv/x", "content": "x".repeat(32_769)}]}), "spec.files[0].content"),
        (json!({"services": [{"name": "chrony"}]}), "spec.services[0].name"),
        (json!({"services": [{"name": "--root=x.service"}]}), "spec.services[0].name"),
        (json!({"services": [{"name": "systemd-poweroff.service"}]}), "ends or opens the machine"),
        (json!({"services": [{"name": "a.service", "state": "stopped"}]}), "spec.services[0].state"),
        (
            json!({"services": [{"name": "a.service"}, {"name": "a.service", "state": "running"}]}),
            "'services' has two of one name",
        ),
    ];
    for (mut spec, expected) in rows {
        spec["probation"] = json!({"duration": "10s"});
        let said = refusal(&world, "MachineRole", spec.clone()).await;
        assert!(said.contains(expected), "{spec}: {said}");
    }
}
