//! A role put on a machine: one that is slower than what waits for it, and one that is to get packages, files and services.

use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use muster_agent::runtime::fake::Network;
use muster_api::order::{OrderPhase, Verb};
use muster_api::workflow::{Run, RunPhase};
use muster_api::{Machine, MachineRole, Order};
use muster_sim::{Phase, World};
use serde_json::json;

use crate::support::{healthy, seconds, steps};

#[tokio::test(start_paused = true)]
async fn a_machine_whose_network_is_still_being_made_is_not_found_wanting() {
    let world = World::build(12).await;
    let machine = world.add_machine("m0", "site-a").await;
    machine.runtime().set_readiness(Network::Missing);
    world.wait_phase("m0", Phase::Probation).await;
    let from = world.now();
    world
        .wait("ten seconds of probation", seconds(60), |world| {
            if from.duration_since(world.now()).abs().as_secs() < 10 { Err(String::new()) } else { Ok(()) }
        })
        .await;
    assert_eq!(world.phase("m0"), Some(Phase::Probation));
    machine.runtime().set_readiness(Network::Ready);
    healthy(&world, &["m0"]).await;
    let run = world.list::<Run>().remove(0);
    let probation = steps(&run).into_iter().find(|(name, ..)| *name == "probation");
    assert_eq!(probation, Some(("probation", RunPhase::Succeeded, 1)));
}

async fn with_role(world: &World, machine: &str, spec: serde_json::Value) {
    let role: MachineRole =
        serde_json::from_value(json!({"metadata": {"name": "time"}, "spec": spec})).expect("a role");
    Api::<MachineRole>::all(world.admin()).create(&PostParams::default(), &role).await.expect("it is taken");
    let patch = Patch::Merge(json!({"spec": {"role": "time"}}));
    let machines = Api::<Machine>::all(world.admin());
    machines.patch(machine, &PatchParams::default(), &patch).await.expect("the machine is changed");
}

#[tokio::test(start_paused = true)]
async fn a_role_with_packages_files_and_services_brings_them_in_order_before_the_runtime() {
    let world = World::build(13).await;
    let machine = world.add_machine("m0", "site-a").await;
    let spec = json!({
        "kernelFeatures": ["veth"],
        "packages": ["chrony", "nvme-cli=2.4+really-1"],
        "files": [{"path": "/etc/chrony/conf.d/site.conf", "content": "server ${time} iburst\n"}],
        "sysctls": {"vm.swappiness": "10"},
        "services": [{"name": "chrony.service"}, {"name": "fstrim.timer", "state": "running"}],
        "probation": {"duration": "10s", "checks": ["containerStart"]},
    });
    with_role(&world, "m0", spec.clone()).await;
    healthy(&world, &["m0"]).await;
    let done: Vec<Verb> = machine.effects().iter().map(|effect| effect.verb).collect();
    assert_eq!(
        done,
        [
            Verb::CheckKernel,
            Verb::EnsurePackages,
            Verb::EnsureFiles,
            Verb::EnsureSysctls,
            Verb::EnsureServices,
            Verb::StartService,
            Verb::RegisterNode,
            Verb::CheckContainerStart,
        ]
    );
    let orders = world.list::<Order>();
    let arguments = |verb: Verb| {
        let order = orders.iter().find(|order| order.spec.verb == verb).expect("the order is kept");
        assert_eq!(order.status.as_ref().map(|status| status.phase), Some(OrderPhase::Done), "{order:?}");
        serde_json::to_value(&order.spec.arguments).expect("JSON")
    };
    assert_eq!(arguments(Verb::EnsurePackages), json!({"packages": spec["packages"]}));
    assert_eq!(arguments(Verb::EnsureFiles), json!({"files": spec["files"]}));
    let services = json!([{"name": "chrony.service", "state": "enabled"}, spec["services"][1]]);
    assert_eq!(arguments(Verb::EnsureServices), json!({"services": services}));
    // What a file says is not a text of the workflow: nothing is put into it.
    let written =
        std::fs::read_to_string(machine.root().join("etc/chrony/conf.d/site.conf")).expect("the file");
    assert_eq!(written, "server ${time} iburst\n");
}

#[tokio::test(start_paused = true)]
async fn a_role_whose_file_cannot_be_had_stops_the_installation_and_says_which() {
    let world = World::build(14).await;
    let machine = world.add_machine("m0", "site-a").await;
    std::fs::create_dir_all(machine.root().join("etc/chrony/site.conf")).expect("a directory in its place");
    with_role(
        &world,
        "m0",
        json!({
            "files": [{"path": "/srv/ok", "content": "x"}, {"path": "/etc/chrony/site.conf", "content": "x"}],
            "probation": {"duration": "10s"},
        }),
    )
    .await;
    world.wait_phase("m0", Phase::Failed).await;
    let run = world.list::<Run>().remove(0);
    let message = run.status.as_ref().map(|status| status.message.clone()).unwrap_or_default();
    assert_eq!(
        message,
        "step files: the agent refused EnsureFiles: arguments.files: path \"/etc/chrony/site.conf\": there is something there that is no plain file: move it away"
    );
    assert!(!machine.root().join("srv/ok").exists());
    assert!(steps(&run).contains(&("files", RunPhase::Failed, 2)));
}
