//! Writing what was read: many objects in one request where the API server takes them, else one by one.

use std::fmt::Debug;
use std::future::Future;

use futures::StreamExt as _;
use http::StatusCode;
use kube::api::PostParams;
use kube::core::Status;
use kube::{Api, Client, Resource, ResourceExt as _};
use muster_api::Machine;
use muster_apiserver::bulk;
use muster_machines::import::Import;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::failure::Failure;
use crate::progress::Progress;

/// Objects in one request.
const LINES_MAX: usize = 2_000;
/// Objects written at once where each is a request.
const WRITES_MAX: usize = 32;

/// Sites first, then racks, then machines: nobody is asked about what is not there yet.
pub(super) async fn write(client: &Client, import: &Import) -> Result<(), Failure> {
    create("sites", client, &import.sites).await?;
    create("racks", client, &import.racks).await?;
    create("machines created", client, &import.create).await?;
    let machines: Api<Machine> = Api::all(client.clone());
    let mut course = Course::new("machines updated", import.update.len());
    at_once(&mut course, &import.update, |machine| update(machines.clone(), machine)).await
}

/// How far writing came.
struct Course {
    what: &'static str,
    total: usize,
    done: usize,
    progress: Progress,
}

impl Course {
    fn new(what: &'static str, total: usize) -> Self {
        Self { what, total, done: 0, progress: Progress::new(what, total) }
    }

    fn advance(&mut self, by: usize) {
        self.done += by;
        self.progress.advance(by);
    }

    /// Only where nothing was written did nothing change.
    fn broken(&self, failure: Failure) -> Failure {
        if self.done == 0 {
            return failure;
        }
        Failure::Failed(format!(
            "{failure}; {} of {} {} before; correct it and import again with --update",
            self.done, self.total, self.what
        ))
    }
}

async fn create<K>(what: &'static str, client: &Client, objects: &[K]) -> Result<(), Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let mut course = Course::new(what, objects.len());
    let mut left = objects;
    // For a single one there is nothing to gain, and any Kubernetes takes it.
    while 1 < left.len() {
        let (now, later) = left.split_at(left.len().min(LINES_MAX));
        match stream(client, now).await.map_err(|failure| course.broken(failure))? {
            Streamed::Report(report) => {
                course.advance(usize::try_from(report.created).unwrap_or(now.len()));
                if let Some(failure) = refused(&report, now) {
                    return Err(course.broken(failure));
                }
                left = later;
            }
            Streamed::Unknown => break,
        }
    }
    let api: Api<K> = Api::all(client.clone());
    at_once(&mut course, left, |object| {
        let api = api.clone();
        async move {
            api.create(&PostParams::default(), object)
                .await
                .map_err(|error| Failure::api(called(object), &error))?;
            Ok(())
        }
    })
    .await
}

fn called<K: Resource<DynamicType = ()>>(object: &K) -> String {
    format!("{} {}", K::kind(&()).to_lowercase(), object.name_any())
}

/// What a stream of objects was answered with.
enum Streamed {
    /// What became of the objects.
    Report(bulk::Report),
    /// This API server does not know such streams.
    Unknown,
}

/// Creates the objects with one request.
async fn stream<K>(client: &Client, objects: &[K]) -> Result<Streamed, Failure>
where
    K: Resource<DynamicType = ()> + Serialize,
{
    let what = format!("cannot create the {}", K::plural(&()));
    let mut body = Vec::new();
    for object in objects {
        serde_json::to_writer(&mut body, object).map_err(|error| Failure::failed(&what, &error))?;
        body.push(b'\n');
    }
    let request =
        bulk::request(&K::url_path(&(), None), body).map_err(|error| Failure::failed(&what, &error))?;
    match client.request(request).await {
        Ok(report) => Ok(Streamed::Report(report)),
        Err(kube::Error::Api(status)) if status.code == StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16() => {
            Ok(Streamed::Unknown)
        }
        Err(error) => Err(Failure::api(what, &error)),
    }
}

/// The first object that was refused, with its reason.
fn refused<K: Resource<DynamicType = ()>>(report: &bulk::Report, objects: &[K]) -> Option<Failure> {
    let line = report.told.iter().find(|line| !line.status.is_null())?;
    let object = usize::try_from(line.line).ok().and_then(|line| objects.get(line.checked_sub(1)?));
    let name = object.map_or_else(|| format!("object {}", line.line), called);
    Some(match serde_json::from_value::<Status>(line.status.clone()) {
        Ok(status) => Failure::api(name, &kube::Error::Api(Box::new(status))),
        Err(error) => Failure::failed(&name, &error),
    })
}

/// Many writes, a bounded number at once. The first that fails ends it and says how far it came.
async fn at_once<'a, K, F>(
    course: &mut Course,
    objects: &'a [K],
    write: impl Fn(&'a K) -> F,
) -> Result<(), Failure>
where
    F: Future<Output = Result<(), Failure>>,
{
    let mut writes = futures::stream::iter(objects.iter().map(write)).buffer_unordered(WRITES_MAX);
    while let Some(written) = writes.next().await {
        written.map_err(|failure| course.broken(failure))?;
        course.advance(1);
    }
    Ok(())
}

async fn update(machines: Api<Machine>, wanted: &Machine) -> Result<(), Failure> {
    let name = wanted.name_any();
    let failure = |error: kube::Error| Failure::api(format!("machine {name}"), &error);
    let mut there = machines.get(&name).await.map_err(failure)?;
    there.spec = wanted.spec.clone();
    there.labels_mut().extend(wanted.labels().clone());
    there.annotations_mut().extend(wanted.annotations().clone());
    machines.replace(&name, &PostParams::default(), &there).await.map_err(failure)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use muster_api::site::SiteSpec;
    use muster_api::{Rack, Site};
    use serde_json::json;

    use super::*;

    fn report(told: &serde_json::Value) -> bulk::Report {
        serde_json::from_value(json!({"lines": 3, "created": 2, "failed": 1, "seconds": 0.1, "told": told}))
            .unwrap()
    }

    #[test]
    fn the_object_that_was_refused_is_named_and_what_was_written_before_is_counted() {
        let sites: Vec<Site> = ["a", "b", "c"].map(|name| Site::new(name, SiteSpec::default())).into();
        let status = json!({"kind": "Status", "status": "Failure", "message": "sites \"b\" already exists",
            "reason": "AlreadyExists", "code": 409});
        let warned = json!({"line": 1, "status": null, "warnings": ["unknown field"]});
        let told = report(&json!([warned, {"line": 2, "status": status}]));
        let failure = refused(&told, &sites).unwrap();
        assert_eq!(failure.to_string(), "site b: sites \"b\" already exists");
        let mut course = Course::new("sites", 3);
        assert_eq!(course.broken(failure).to_string(), "site b: sites \"b\" already exists");
        course.advance(2);
        let broken = course.broken(refused(&told, &sites).unwrap()).to_string();
        assert_eq!(
            broken,
            "site b: sites \"b\" already exists; 2 of 3 sites before; correct it and import again with --update"
        );
        assert!(refused::<Rack>(&report(&json!([warned])), &[]).is_none());
    }
}
