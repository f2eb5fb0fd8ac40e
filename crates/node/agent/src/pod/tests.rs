//! Passes of a worker over a fake runtime and an API of three verbs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ObjectReference, Pod};
use kube::client::Body;
use muster_base::clock::{Clock, ManualClock};
use serde_json::{Value, json};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use super::events::Happened;
use super::worker::{Known, Mailbox, Memory, Next, Worker};
use super::*;
use crate::runtime::fake::{Fake, Health};

/// What the API was told, in order: `DELETE p`, or the status of `p`.
type Told = Arc<Mutex<Vec<Value>>>;

fn client(told: Told) -> Client {
    let service = tower::service_fn(move |request: Request<Body>| {
        let told = told.clone();
        async move {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            let body = request.into_body().collect().await?.to_bytes();
            let answer = if method == Method::PATCH {
                let patch: Value = serde_json::from_slice(&body).expect("a patch is JSON");
                told.lock().push(patch["status"].clone());
                json!({"metadata": {"name": "p", "resourceVersion": "1"}, "status": patch["status"]})
            } else if method == Method::DELETE {
                told.lock().push(json!("deleted"));
                json!({"metadata": {"name": "p"}})
            } else if path.ends_with("/services") {
                json!({"metadata": {}, "items": []})
            } else {
                json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "none"})
            };
            let code = if answer["code"] == 404 { 404 } else { 200 };
            let response = Response::builder().status(code).body(Full::new(Bytes::from(answer.to_string())));
            Ok::<_, tower::BoxError>(response.expect("a response of these parts"))
        }
    });
    Client::new(service, "default")
}

struct Stage {
    worker: Worker,
    runtime: Fake,
    clock: Arc<ManualClock>,
    told: Told,
    heard: Receiver<(ObjectReference, Happened)>,
    _dir: tempfile::TempDir,
}

impl Stage {
    fn new(pod: Value) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_second(1000).unwrap()));
        let runtime = Fake::new(clock.clone());
        runtime.add_image("i");
        let told = Told::default();
        let node = Node {
            name: "n".to_owned(),
            ip: "192.0.2.1".to_owned(),
            cpu_milli: 2000,
            memory_bytes: 1 << 30,
            cluster_dns: Vec::new(),
            cluster_domain: "cluster.local".to_owned(),
            host_dns: proto::DnsConfig::default(),
            pods_dir: dir.path().join("pods"),
            logs_dir: dir.path().join("logs"),
            cgroups: Cgroups { parent: "/muster".to_owned(), mount: dir.path().join("cgroup") },
        };
        let (events, heard) = Teller::heard();
        let context = Arc::new(Context {
            node,
            runtime: Arc::new(runtime.clone()),
            client: client(told.clone()),
            clock: clock.clone(),
            events,
            starting: Semaphore::new(1),
            services: Mutex::default(),
        });
        let known = Mutex::new(Known::Pod(Arc::new(read(pod))));
        let mailbox = Arc::new(Mailbox { known, bell: Notify::new() });
        let shutdown = CancellationToken::new();
        let worker = Worker { context, uid: "u".to_owned(), mailbox, shutdown, memory: Memory::default() };
        Self { worker, runtime, clock, told, heard, _dir: dir }
    }

    /// Passes until one has nothing more to do at this moment.
    async fn settle(&mut self) -> Next {
        for _ in 0..10 {
            let next = self.worker.pass().await;
            if next != Next::Now {
                return next;
            }
        }
        panic!("the worker does not settle: {:?}", self.runtime.calls());
    }

    fn told(&self) -> Value {
        self.told.lock().last().cloned().unwrap_or_default()
    }

    /// The events told since the last question: `field reason: message`.
    fn events(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.heard.try_recv().ok())
            .map(|(about, what)| {
                format!("{} {}: {}", about.field_path.unwrap_or_default(), what.reason, what.message)
            })
            .collect()
    }

    fn say(&self, known: Known) {
        *self.worker.mailbox.known.lock() = known;
    }
}

fn read(pod: Value) -> Pod {
    serde_json::from_value(pod).unwrap()
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p", "namespace": "d", "uid": "u"}, "spec": spec})
}

fn simple() -> Value {
    pod(json!({"containers": [{"name": "a", "image": "i"}]}))
}

#[tokio::test]
async fn a_pod_is_started_told_and_left_alone() {
    let mut stage = Stage::new(simple());
    assert_eq!(stage.settle().await, Next::WhenTold);
    assert_eq!(stage.runtime.calls(), ["RunPodSandbox p 0", "CreateContainer p/a 0", "StartContainer c2"]);
    assert_eq!(stage.told()["phase"], "Running");
    let told = stage.told.lock().len();
    assert_eq!(stage.worker.pass().await, Next::WhenTold);
    assert_eq!((stage.runtime.calls().len(), stage.told.lock().len()), (3, told));
}

#[tokio::test]
async fn the_life_of_a_container_is_told_as_events() {
    let mut stage = Stage::new(simple());
    stage.settle().await;
    let field = "spec.containers{a}";
    assert_eq!(
        stage.events(),
        [
            format!(
                "{field} Pulled: Container image \"i\" already present on machine and can be accessed by the pod"
            ),
            format!("{field} Created: Container created"),
            format!("{field} Started: Container started"),
        ]
    );
    let mut deleted = simple();
    deleted["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:16:47Z");
    stage.say(Known::Pod(Arc::new(read(deleted))));
    stage.settle().await;
    assert_eq!(stage.events(), [format!("{field} Killing: Stopping container a")]);
}

#[tokio::test]
async fn a_new_life_of_the_agent_adopts_what_runs() {
    let mut stage = Stage::new(simple());
    stage.settle().await;
    stage.worker.memory = Memory::default();
    assert_eq!(stage.settle().await, Next::WhenTold);
    assert_eq!(stage.runtime.calls().len(), 3);
}

#[tokio::test]
async fn a_crashing_container_restarts_at_once_then_backs_off() {
    let mut stage = Stage::new(simple());
    stage.runtime.exit_at_start("a", 1);
    let due = Timestamp::from_second(1010).unwrap();
    assert_eq!(stage.settle().await, Next::At(due));
    let status = &stage.told()["containerStatuses"][0];
    assert_eq!(
        (&status["restartCount"], &status["state"]["waiting"]["reason"]),
        (&json!(1), &json!("CrashLoopBackOff"))
    );
    assert_eq!(status["lastState"]["terminated"]["exitCode"], 1);
    stage.clock.advance(Duration::from_secs(10));
    stage.settle().await;
    assert_eq!(stage.told()["containerStatuses"][0]["restartCount"], 2);
}

#[tokio::test]
async fn a_deleted_pod_is_stopped_within_its_grace_removed_and_deleted() {
    let mut stage = Stage::new(simple());
    stage.settle().await;
    let mut deleted = simple();
    deleted["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:16:47Z");
    stage.say(Known::Pod(Arc::new(read(deleted))));
    assert_eq!(stage.settle().await, Next::Done);
    let calls = stage.runtime.calls();
    assert_eq!(calls[3..], ["StopContainer c2 7s", "StopPodSandbox s1", "RemovePodSandbox s1"]);
    let told = stage.told.lock().clone();
    assert_eq!(told[told.len() - 1], "deleted");
    assert_eq!(told[told.len() - 2]["containerStatuses"][0]["state"]["terminated"]["exitCode"], 143);
    assert!(!stage.worker.context.node.pods_dir.join("u").exists());
}

#[tokio::test]
async fn a_pod_the_api_does_not_know_is_removed_and_nothing_is_told() {
    let mut stage = Stage::new(simple());
    stage.settle().await;
    let told = stage.told.lock().len();
    stage.say(Known::Gone { namespace: "d".to_owned(), name: "p".to_owned() });
    assert_eq!(stage.settle().await, Next::Done);
    assert_eq!(stage.told.lock().len(), told);
    assert_eq!(
        stage.runtime.calls()[3..],
        ["StopContainer c2 1s", "StopPodSandbox s1", "RemovePodSandbox s1"]
    );
}

#[tokio::test]
async fn a_silent_runtime_changes_nothing_and_is_asked_again() {
    let mut stage = Stage::new(simple());
    stage.settle().await;
    let told = stage.told.lock().len();
    for health in [Health::Hung, Health::Dead] {
        stage.runtime.set_health(health);
        assert_eq!(
            stage.worker.pass().await,
            Next::At(stage.clock.now() + jiff::SignedDuration::from_secs(1))
        );
    }
    stage.runtime.set_health(Health::Well);
    assert_eq!(stage.settle().await, Next::WhenTold);
    assert_eq!((stage.runtime.calls().len(), stage.told.lock().len()), (3, told));
}

#[tokio::test]
async fn an_image_that_is_not_there_is_said_and_tried_again_later() {
    let mut stage = Stage::new(pod(json!({"containers": [{"name": "a", "image": "none"}]})));
    let Next::At(later) = stage.settle().await else { panic!("no retry") };
    assert_eq!(later, Timestamp::from_second(1002).unwrap());
    let waiting = &stage.told()["containerStatuses"][0]["state"]["waiting"];
    assert_eq!(waiting["reason"], "ErrImagePull");
    stage.runtime.publish_image("none");
    stage.clock.advance(Duration::from_secs(2));
    assert_eq!(stage.settle().await, Next::WhenTold);
    assert_eq!(stage.told()["phase"], "Running");
}

#[tokio::test]
async fn a_missing_config_map_is_named_and_an_optional_one_is_not_missed() {
    let with = |optional: bool| {
        let source = json!([{"configMapRef": {"name": "cm", "optional": optional}}]);
        pod(json!({"containers": [{"name": "a", "image": "i", "envFrom": source}]}))
    };
    let mut stage = Stage::new(with(false));
    stage.settle().await;
    let waiting = stage.told()["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting["reason"], "CreateContainerConfigError");
    assert_eq!(waiting["message"], "envFrom: config map \"cm\" not found");
    let mut stage = Stage::new(with(true));
    stage.settle().await;
    assert_eq!(stage.told()["phase"], "Running");
}

#[tokio::test]
async fn after_a_reboot_a_pod_gets_a_new_sandbox_and_the_old_one_is_cleared() {
    let mut stage = Stage::new(simple());
    stage.settle().await;
    stage.runtime.lose_sandboxes();
    assert_eq!(stage.settle().await, Next::WhenTold);
    let calls = stage.runtime.calls();
    let expect = [
        "RunPodSandbox p 1",
        "CreateContainer p/a 1",
        "StartContainer c4",
        "StopPodSandbox s1",
        "RemovePodSandbox s1",
    ];
    assert_eq!(calls[3..], expect);
    assert_eq!(stage.told()["containerStatuses"][0]["restartCount"], 1);
}
