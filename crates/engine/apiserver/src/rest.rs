//! Verbs on resources.

pub(crate) mod codec;
pub(crate) mod convert;
pub(crate) mod create;
mod delete;
mod list;
pub(crate) mod meta;
mod patch;
pub(crate) mod print;
pub(crate) mod special;
mod target;
mod update;
mod watch;

use bytes::Bytes;
use http::StatusCode;

pub(crate) use delete::{Asked, delete_entry};
pub(crate) use list::Moments;
pub(crate) use target::Target;
pub(crate) use update::{Change, change, commit_error};

use crate::authn::Identity;
use crate::request::{Accept, DryRun, Query, RequestInfo};
use crate::server::{ApiServer, Reply, object};
use crate::status::{About, Refusal};

/// A request on a resource, its body read.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) who: Identity,
    pub(crate) info: RequestInfo,
    pub(crate) query: Query,
    pub(crate) accept: Accept,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Bytes,
    /// Told to the client in `Warning` headers.
    pub(crate) warnings: Vec<String>,
    /// What admission notes about the request, for the audit.
    pub(crate) annotations: Vec<(String, String)>,
}

impl Call {
    /// A call that the server makes itself, with its full rights.
    pub(crate) fn internal() -> Self {
        Self {
            who: Identity::new("system:apiserver", &[crate::authz::MASTERS]),
            info: RequestInfo { verb: String::new(), path: String::new(), resource: None },
            query: Query::default(),
            accept: Accept::default(),
            content_type: None,
            body: Bytes::new(),
            warnings: Vec::new(),
            annotations: Vec::new(),
        }
    }

    /// `dryRun`.
    pub(crate) fn dry_run(&self) -> Result<DryRun, Refusal> {
        self.query.dry_run()
    }
}

/// Answers a request on a resource.
pub(crate) async fn answer(server: &ApiServer, call: &mut Call) -> Result<Reply, Refusal> {
    let registry = server.inner().registry.current();
    let path = call.info.resource.clone().unwrap_or_default();
    let group_version =
        if path.group.is_empty() { path.version.clone() } else { format!("{}/{}", path.group, path.version) };
    let full = if path.subresource.is_empty() {
        path.resource.clone()
    } else {
        // Only the first part names the subresource; what follows is a path for proxies.
        let subresource = path.subresource.split('/').next().unwrap_or("");
        format!("{}/{subresource}", path.resource)
    };
    let Some(resource) = registry.resource(&group_version, &full) else {
        return Err(Refusal::no_such_resource());
    };
    if !resource.verbs.contains(&call.info.verb) {
        return Err(Refusal::method_not_allowed());
    }
    let target = registry
        .find(&path.group, &path.version, &path.resource)
        .map(|served| Target::new(served, &path.namespace, &path.name, &path.subresource));
    if let Some(answered) = special::answer(server, call, &path, target.as_ref()).await {
        return answered;
    }
    let target = target.ok_or_else(Refusal::no_such_resource)?;
    if target.served.namespaced()
        && target.namespace.is_empty()
        && !["list", "watch"].contains(&call.info.verb.as_str())
    {
        return Err(Refusal::method_not_allowed());
    }
    match call.info.verb.as_str() {
        "get" => get(server, call, &target),
        "list" => list::list(server, call, &target),
        "watch" => watch::watch(server, call, &target),
        "create" if target.name.is_empty() => create::create(server, call, &target).await,
        "update" => update::update(server, call, &target).await,
        "patch" => patch::patch(server, call, &target).await,
        "delete" => delete::delete(server, call, &target).await,
        "deletecollection" => delete::delete_collection(server, call, &target).await,
        _ => Err(Refusal::method_not_allowed()),
    }
}

fn get(server: &ApiServer, call: &Call, target: &Target) -> Result<Reply, Refusal> {
    let inner = server.inner();
    let format = call.accept.object()?;
    let entry = inner.store.get(&target.key()).ok_or_else(|| target.not_found())?;
    Ok(object(StatusCode::OK, &target.served, &entry, format, inner.clock.now()))
}

/// The namespaces resource, for refusals.
pub(crate) const NAMESPACES: About<'static> = About { group: "", resource: "namespaces" };
