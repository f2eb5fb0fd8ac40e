//! Paths: `/api/v1/…` and `/apis/GROUP/VERSION/…`, and the verb that a method on them means.

use http::Method;

use super::Query;

/// A resource, one of its objects, or a subresource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ResourcePath {
    /// API group; empty for core.
    pub(crate) group: String,
    /// Version in the path.
    pub(crate) version: String,
    /// Namespace in the path; empty at the cluster scope.
    pub(crate) namespace: String,
    /// Plural name.
    pub(crate) resource: String,
    /// Object name; empty for the collection.
    pub(crate) name: String,
    /// Subresource; empty for the object itself.
    pub(crate) subresource: String,
}

/// What is asked for: the attributes that authorization decides on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, … or the lower-case method for other paths.
    pub(crate) verb: String,
    /// The path as sent, without query.
    pub(crate) path: String,
    /// Set for resource requests.
    pub(crate) resource: Option<ResourcePath>,
}

impl RequestInfo {
    /// Reads method, path and query.
    pub(crate) fn parse(method: &Method, path: &str, query: &Query) -> Self {
        let resource = resource(path);
        let verb = match &resource {
            None => method.as_str().to_ascii_lowercase(),
            Some(resource) => verb(method, resource, query).to_owned(),
        };
        Self { verb, path: path.to_owned(), resource }
    }
}

fn verb(method: &Method, path: &ResourcePath, query: &Query) -> &'static str {
    let collection = path.name.is_empty();
    match method.as_str() {
        "GET" | "HEAD" if query.flag("watch") && path.subresource.is_empty() => "watch",
        "GET" | "HEAD" if collection => "list",
        "GET" | "HEAD" => "get",
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" if collection => "deletecollection",
        "DELETE" => "delete",
        _ => "",
    }
}

fn resource(path: &str) -> Option<ResourcePath> {
    let mut parts = path.trim_matches('/').split('/');
    let (group, version) = match parts.next()? {
        "api" => ("", parts.next()?),
        "apis" => (parts.next()?, parts.next()?),
        _ => return None,
    };
    let rest: Vec<&str> = parts.collect();
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", name, subresource @ ("status" | "finalize")] => {
            (*name, vec!["namespaces", *name, *subresource])
        }
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest.to_vec()),
        ["namespaces", name] => (*name, rest.clone()),
        _ => ("", rest),
    };
    let (resource, rest) = rest.split_first()?;
    let (name, subresource) = match rest {
        [] => ("", String::new()),
        [name, sub @ ..] => (*name, sub.join("/")),
    };
    if resource.is_empty() {
        return None;
    }
    Some(ResourcePath {
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: (*resource).to_owned(),
        name: name.to_owned(),
        subresource,
    })
}
