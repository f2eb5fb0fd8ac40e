//! As much of the API as a doctor uses, in memory: it can be away, and remembers every state that was filed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};

#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Value>,
    version: u64,
    filed: Vec<String>,
    looks: u64,
}

/// The API.
#[derive(Clone, Default)]
pub(crate) struct Fleet {
    held: Arc<Mutex<Held>>,
    away: Arc<AtomicBool>,
}

const PREFIX: &str = "/apis/muster.dev/v1alpha1/";

impl Fleet {
    pub(crate) fn client(&self) -> Client {
        let fleet = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let fleet = fleet.clone();
            async move { fleet.answer(request).await }
        });
        Client::new(service, "default")
    }

    /// From now on no request is answered, or again each.
    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// Puts an object there, `machines/m1`.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.held.lock().objects.insert(path.to_owned(), object);
    }

    /// Every state that was filed, in order: `nic.down eth0 Open 1`.
    pub(crate) fn filed(&self) -> Vec<String> {
        self.held.lock().filed.clone()
    }

    /// How often somebody asked for the machine itself.
    pub(crate) fn looks(&self) -> u64 {
        self.held.lock().looks
    }

    /// The status of a problem.
    pub(crate) fn status(&self, class: &str, component: &str) -> Option<Value> {
        let held = self.held.lock();
        let is = |problem: &&Value| {
            problem["spec"]["class"] == class
                && problem["spec"]["component"].as_str().unwrap_or_default() == component
        };
        held.objects
            .iter()
            .filter(|(path, _)| path.starts_with("problems/"))
            .map(|(_, problem)| problem)
            .find(is)
            .map(|problem| problem["status"].clone())
    }

    /// `class component state` of every problem.
    pub(crate) fn states(&self) -> Vec<String> {
        let held = self.held.lock();
        let problems = held.objects.iter().filter(|(path, _)| path.starts_with("problems/"));
        problems.map(|(_, problem)| row(problem)).collect()
    }

    async fn answer(&self, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::ConnectionRefused.into());
        }
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
        let path = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
        let (code, answer) = self.act(&parts.method, &path, &body);
        let answer = serde_json::to_vec(&answer).unwrap();
        Ok(Response::builder().status(code).body(Body::from(answer)).unwrap())
    }

    fn act(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, Value) {
        let mut held = self.held.lock();
        match (method, path.split('/').collect::<Vec<_>>().as_slice()) {
            (&Method::GET, [kind]) => {
                let items: Vec<&Value> = held
                    .objects
                    .iter()
                    .filter(|(there, _)| there.starts_with(kind))
                    .map(|(_, object)| object)
                    .collect();
                (StatusCode::OK, json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}))
            }
            (&Method::GET, [kind, _]) => {
                held.looks += u64::from(*kind == "machines");
                match held.objects.get(path) {
                    Some(there) => (StatusCode::OK, there.clone()),
                    None => refusal(StatusCode::NOT_FOUND),
                }
            }
            (&Method::POST, ["problems"]) => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let path = format!("problems/{}", object["metadata"]["name"].as_str().unwrap());
                (StatusCode::CREATED, held.write(&path, object))
            }
            (&Method::PUT, ["problems", name, "status"]) => {
                let object: Value = serde_json::from_slice(body).unwrap();
                let path = format!("problems/{name}");
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                if held.objects.get(&path).map(version) != Some(version(&object)) {
                    return refusal(StatusCode::CONFLICT);
                }
                let row = format!("{} {}", self::row(&object), object["status"]["episode"]);
                if held.filed.iter().rfind(|before| same(before, &row)) != Some(&row) {
                    held.filed.push(row);
                }
                (StatusCode::OK, held.write(&path, object))
            }
            _ => refusal(StatusCode::METHOD_NOT_ALLOWED),
        }
    }
}

impl Held {
    fn write(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

/// Whether two rows are of one problem.
fn same(one: &str, other: &str) -> bool {
    let key = |row: &str| row.rsplitn(3, ' ').last().map(str::to_owned);
    key(one) == key(other)
}

fn row(problem: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!(
        "{} {} {}",
        text(&problem["spec"]["class"]),
        text(&problem["spec"]["component"]),
        text(&problem["status"]["state"])
    )
}

fn refusal(code: StatusCode) -> (StatusCode, Value) {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Conflict" };
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": code.to_string(), "reason": reason, "code": code.as_u16()});
    (code, status)
}
