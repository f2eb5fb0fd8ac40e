//! The status of a pod as the API shows it: a pure function of what was observed, and one patch to write it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{self as core, Pod, PodCondition, PodSpec, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::probe::Probes;
use super::worker::{Failure, World};
use super::{Node, resources};
use crate::runtime::{ContainerState, ContainerStatus};

mod containers;

/// Everything the status is made of.
pub(super) struct View<'a> {
    pub(super) pod: &'a Pod,
    /// The status this worker wrote last: the API's echo of it may still be under way.
    pub(super) written: Option<&'a PodStatus>,
    pub(super) world: &'a World,
    pub(super) probes: &'a Probes,
    pub(super) failures: &'a BTreeMap<String, Failure>,
    pub(super) backing_off: &'a BTreeMap<String, Timestamp>,
    pub(super) node: &'a Node,
    pub(super) now: Timestamp,
}

impl View<'_> {
    fn old(&self) -> Option<&PodStatus> {
        self.written.or(self.pod.status.as_ref())
    }

    /// The lives of a container, newest first.
    fn lives(&self, name: &str) -> Vec<&ContainerStatus> {
        let mut lives: Vec<_> =
            self.world.containers.iter().map(|(_, c)| c).filter(|c| c.name == name).collect();
        lives.sort_by_key(|life| std::cmp::Reverse(life.attempt));
        lives
    }

    fn expired(&self, spec: &PodSpec) -> bool {
        let start = self.old().and_then(|status| status.start_time.as_ref());
        let limit = spec.active_deadline_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        limit.zip(start).is_some_and(|(limit, start)| {
            muster_base::clock::elapsed(start.0, self.now) >= Duration::from_secs(limit)
        })
    }
}

/// The whole status as JSON, ready to be merged.
pub(super) fn of(view: &View<'_>) -> PodStatus {
    let spec = view.pod.spec.clone().unwrap_or_default();
    let old = view.old().cloned().unwrap_or_default();
    let initialized = containers::initialized(view, &spec);
    let init: Vec<_> = spec.init_containers.iter().flatten().map(|c| containers::init(view, c)).collect();
    let main: Vec<_> = spec.containers.iter().map(|c| containers::main(view, c, initialized)).collect();
    let (phase, reason, message) = phase(view, &spec, &old, &init, &main);
    let ips = if view.world.ips.is_empty() { old_ips(&old) } else { view.world.ips.clone() };
    PodStatus {
        conditions: Some(conditions(view, &old, phase, (initialized, &init), &main)),
        container_statuses: Some(main),
        init_container_statuses: (!init.is_empty()).then_some(init),
        host_ip: Some(view.node.ip.clone()),
        host_ips: Some(vec![core::HostIP { ip: view.node.ip.clone() }]),
        pod_ip: ips.first().cloned(),
        pod_ips: (!ips.is_empty()).then(|| ips.into_iter().map(|ip| core::PodIP { ip }).collect()),
        phase: Some(phase.to_owned()),
        reason,
        message,
        qos_class: Some(resources::qos(&spec).name().to_owned()),
        start_time: old.start_time.clone().or(Some(Time(view.now))),
        observed_generation: view.pod.metadata.generation,
        ..PodStatus::default()
    }
}

fn old_ips(old: &PodStatus) -> Vec<String> {
    old.pod_ips.iter().flatten().map(|ip| ip.ip.clone()).collect()
}

type Phase = (&'static str, Option<String>, Option<String>);

fn phase(
    view: &View<'_>,
    spec: &PodSpec,
    old: &PodStatus,
    init: &[core::ContainerStatus],
    main: &[core::ContainerStatus],
) -> Phase {
    match old.phase.as_deref() {
        Some("Succeeded") => return ("Succeeded", old.reason.clone(), old.message.clone()),
        Some("Failed") => return ("Failed", old.reason.clone(), old.message.clone()),
        _ => {}
    }
    if view.expired(spec) {
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        return ("Failed", Some("DeadlineExceeded".to_owned()), Some(message));
    }
    let never = spec.restart_policy.as_deref() == Some("Never");
    let ended = |status: &core::ContainerStatus| {
        status.state.as_ref().and_then(|s| s.terminated.as_ref()).map(|t| t.exit_code)
    };
    let began = |status: &core::ContainerStatus| {
        let state = status.state.clone().unwrap_or_default();
        state.running.is_some()
            || state.terminated.is_some()
            || status.last_state.as_ref().is_some_and(|s| s.terminated.is_some())
    };
    let sidecar = |name: &str| {
        spec.init_containers
            .iter()
            .flatten()
            .any(|c| c.name == name && c.restart_policy.as_deref() == Some("Always"))
    };
    if never
        && init.iter().any(|status| !sidecar(&status.name) && ended(status).is_some_and(|code| code != 0))
    {
        return ("Failed", None, None);
    }
    let codes: Option<Vec<i32>> = main.iter().map(ended).collect();
    let again = |codes: &[i32]| match spec.restart_policy.as_deref() {
        Some("Never") => false,
        Some("OnFailure") => codes.iter().any(|code| *code != 0),
        _ => view.pod.metadata.deletion_timestamp.is_none(),
    };
    match codes {
        Some(codes) if !again(&codes) && !codes.is_empty() => {
            let failed = codes.iter().any(|code| *code != 0);
            (if failed { "Failed" } else { "Succeeded" }, None, None)
        }
        Some(_) | None if main.iter().all(began) => ("Running", None, None),
        Some(_) | None => ("Pending", None, None),
    }
}

fn conditions(
    view: &View<'_>,
    old: &PodStatus,
    phase: &str,
    (initialized, init): (bool, &[core::ContainerStatus]),
    main: &[core::ContainerStatus],
) -> Vec<PodCondition> {
    let unready: Vec<&str> =
        main.iter().filter(|status| !status.ready).map(|status| status.name.as_str()).collect();
    let complete = phase == "Succeeded";
    let why_unready = || {
        if complete {
            return Some(("PodCompleted", String::new()));
        }
        (!unready.is_empty()).then(|| {
            ("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
        })
    };
    let gates = view.pod.spec.as_ref().and_then(|spec| spec.readiness_gates.clone()).unwrap_or_default();
    let api = view.pod.status.as_ref().and_then(|status| status.conditions.clone()).unwrap_or_default();
    let open = |gate: &core::PodReadinessGate| {
        api.iter().any(|c| c.type_ == gate.condition_type && c.status == "True")
    };
    let closed = gates.iter().find(|gate| !open(gate));
    let why_closed = || {
        closed.map(|gate| {
            ("ReadinessGatesNotReady", format!("the readiness gate {:?} is not True", gate.condition_type))
        })
    };
    let why_uninitialized =
        || (!initialized && !complete).then(|| ("ContainersNotInitialized", incomplete(view, init)));
    let rows = [
        ("PodReadyToStartContainers", view.world.ready_sandbox().is_none().then(|| ("", String::new()))),
        ("Initialized", why_uninitialized()),
        ("Ready", why_unready().or_else(why_closed)),
        ("ContainersReady", why_unready()),
        ("PodScheduled", None),
    ];
    let ours = rows.map(|(kind, why)| condition(view, old, kind, why));
    let foreign = api.into_iter().filter(|condition| ours.iter().all(|own| own.type_ != condition.type_));
    ours.iter().cloned().chain(foreign).collect()
}

/// True without a reason against it. The time of the last change is kept while the status stays.
/// Which init containers are still to end well, or for sidecars to start.
fn incomplete(view: &View<'_>, init: &[core::ContainerStatus]) -> String {
    let spec = view.pod.spec.iter().flat_map(|spec| spec.init_containers.iter().flatten());
    let sidecars: Vec<&String> =
        spec.filter(|c| c.restart_policy.as_deref() == Some("Always")).map(|c| &c.name).collect();
    let done = |status: &core::ContainerStatus| {
        if sidecars.contains(&&status.name) { status.started == Some(true) } else { status.ready }
    };
    let names: Vec<&str> =
        init.iter().filter(|status| !done(status)).map(|status| status.name.as_str()).collect();
    format!("containers with incomplete status: [{}]", names.join(" "))
}

fn condition(view: &View<'_>, old: &PodStatus, kind: &str, against: Option<(&str, String)>) -> PodCondition {
    let status = if against.is_none() { "True" } else { "False" };
    let before = old
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind && condition.status == status);
    let (reason, message) = against.unwrap_or_default();
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: given(reason),
        message: given(&message),
        last_transition_time: before
            .and_then(|before| before.last_transition_time.clone())
            .or(Some(Time(view.now))),
        last_probe_time: None,
        observed_generation: view.pod.metadata.generation,
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    #[error("pod status: the API refuses it")]
    Patch(#[source] Box<kube::Error>),
    #[error("pod status: no answer within {} s", LIMIT.as_secs())]
    TimedOut,
}

const LIMIT: Duration = Duration::from_secs(10);

/// The version of the object as a number (comparable since Kubernetes 1.35, KEP-5504).
pub(super) fn version(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether somebody set a condition of ours otherwise, as the node controller does while a node is not ready.
pub(super) fn is_overruled(pod: &Pod, ours: &PodStatus) -> bool {
    let state = |status: Option<&PodStatus>, kind: &str| {
        let conditions = status.and_then(|status| status.conditions.as_ref());
        let found = conditions.into_iter().flatten().find(|condition| condition.type_ == kind);
        found.map(|condition| condition.status.clone())
    };
    ["Ready", "ContainersReady"]
        .iter()
        .any(|kind| state(pod.status.as_ref(), kind) != state(Some(ours), kind))
}

/// One merge patch; the uid in it makes a namesake of the pod refuse it. Returns the version it made.
pub(super) async fn write(client: &Client, pod: &Pod, status: &PodStatus) -> Result<u64, WriteError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or("default");
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut status = serde_json::to_value(status).expect("a status is plain data");
    clear_absent(&mut status);
    let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": status});
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let parameters = PatchParams::default();
    let patch = Patch::Merge(&patch);
    let written = api.patch_status(name, &parameters, &patch);
    match tokio::time::timeout(LIMIT, written).await {
        Ok(Ok(pod)) => Ok(version(&pod)),
        Ok(Err(error)) => Err(WriteError::Patch(Box::new(error))),
        Err(_) => Err(WriteError::TimedOut),
    }
}

/// A merge patch keeps what it does not name: what went away must be named.
fn clear_absent(status: &mut Value) {
    for name in ["reason", "message"] {
        if status.get(name).is_none() {
            status[name] = Value::Null;
        }
    }
}

#[cfg(test)]
mod tests;
