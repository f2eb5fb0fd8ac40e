//! The operations on a kind.

use serde_json::{Map, Value, json};

use super::refs::{Dialect, definition, gvk, list_definition};
use crate::kind::{Kind, Scope, Subresource};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
const MEDIA_TYPES: [&str; 3] =
    ["application/json", "application/vnd.kubernetes.protobuf", "application/yaml"];
const PATCHES: [&str; 4] = [
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
];

/// Adds the paths of a kind and of its `status` and `scale`.
pub(super) fn of_kind(kind: &Kind, paths: &mut Map<String, Value>) {
    let api = if kind.gvk.group.is_empty() {
        "/api/v1".to_owned()
    } else {
        format!("/apis/{}", kind.gvk.api_version())
    };
    let collection = match kind.scope {
        Scope::Namespaced => format!("{api}/namespaces/{{namespace}}/{}", kind.plural),
        Scope::Cluster => format!("{api}/{}", kind.plural),
    };
    let verbs = Operations { kind, tag: tag(kind) };
    if kind.scope == Scope::Namespaced {
        let all = json!({"get": verbs.list("ForAllNamespaces")});
        paths.insert(format!("{api}/{}", kind.plural), all);
    }
    let mut many =
        json!({"parameters": verbs.place(Target::Collection), "get": verbs.list(""), "post": verbs.create()});
    // Namespaces end one by one: nothing may delete them all in a call.
    if (kind.gvk.group.as_str(), kind.gvk.kind.as_str()) != ("", "Namespace") {
        many["delete"] = verbs.delete_collection();
    }
    paths.insert(collection.clone(), many);
    let one = format!("{collection}/{{name}}");
    paths.insert(one.clone(), verbs.object("", true));
    for sub in &kind.subresources {
        match sub {
            Subresource::Status => {
                paths.insert(format!("{one}/status"), verbs.object("Status", false));
            }
            Subresource::Scale(_) => {
                paths.insert(format!("{one}/scale"), verbs.object("Scale", false));
            }
            Subresource::Other(_) => {}
        }
    }
}

/// `apps_v1`, `core_v1`, `musterDev_v1alpha1`.
fn tag(kind: &Kind) -> String {
    let group = if kind.gvk.group.is_empty() { "core" } else { kind.gvk.group.trim_end_matches(".k8s.io") };
    let mut parts = group.split('.');
    let first = parts.next().unwrap_or_default().to_owned();
    let camel = parts.fold(first, |name, part| name + &capital(part));
    format!("{camel}_{}", kind.gvk.version)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Target {
    Collection,
    Object,
}

struct Operations<'a> {
    kind: &'a Kind,
    tag: String,
}

fn parameter(name: &str, kind: &str, place: &str, text: &str) -> Value {
    json!({
        "name": name,
        "in": place,
        "description": text,
        "schema": {"type": kind, "uniqueItems": true},
    })
}

fn query(parameters: &[(&str, &str, &str)]) -> Value {
    parameters.iter().map(|(name, kind, text)| parameter(name, kind, "query", text)).collect()
}

const DRY_RUN: (&str, &str, &str) = (
    "dryRun",
    "string",
    "When present, indicates that modifications should not be persisted. Valid values are: All.",
);
const MANAGER: (&str, &str, &str) = (
    "fieldManager",
    "string",
    "The name of the actor that makes these changes: at most 128 printable characters. Required by apply requests.",
);
const VALIDATION: (&str, &str, &str) = (
    "fieldValidation",
    "string",
    "What the server does with unknown or duplicate fields: Ignore, Warn (the default) or Strict.",
);
const LIST: [(&str, &str, &str); 10] = [
    ("allowWatchBookmarks", "boolean", "Asks for events of type BOOKMARK."),
    ("continue", "string", "Where to go on, from the metadata of the list before."),
    ("fieldSelector", "string", "Restricts the objects by their fields."),
    ("labelSelector", "string", "Restricts the objects by their labels."),
    ("limit", "integer", "The most objects to return in one list."),
    ("resourceVersion", "string", "Constrains which state of the objects may be served."),
    ("resourceVersionMatch", "string", "How resourceVersion is applied: Exact or NotOlderThan."),
    ("sendInitialEvents", "boolean", "Asks a watch to begin with an event for every object there is."),
    ("timeoutSeconds", "integer", "The longest the call may last."),
    ("watch", "boolean", "Watch for changes and return them as a stream of events."),
];
const DELETE: [(&str, &str, &str); 4] = [
    DRY_RUN,
    ("gracePeriodSeconds", "integer", "The time before the object is deleted; zero deletes at once."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."),
];

impl Operations<'_> {
    fn place(&self, target: Target) -> Value {
        let mut all = Vec::new();
        let required = |mut parameter: Value| {
            parameter["required"] = true.into();
            parameter
        };
        if target == Target::Object {
            let text = format!("name of the {}", self.kind.gvk.kind);
            all.push(required(parameter("name", "string", "path", &text)));
        }
        if self.kind.scope == Scope::Namespaced {
            let text = "object name and auth scope, such as for teams and projects";
            all.push(required(parameter("namespace", "string", "path", text)));
        }
        all.push(parameter("pretty", "string", "query", "If 'true', then the output is pretty printed."));
        Value::Array(all)
    }

    fn operation(&self, verb: &str, action: &str, suffix: &str, text: String, parameters: Value) -> Value {
        let namespaced = self.kind.scope == Scope::Namespaced && suffix != "ForAllNamespaces";
        let scope = if namespaced { "Namespaced" } else { "" };
        let (group, version) = self.tag.split_once('_').unwrap_or((&self.tag, ""));
        let many = if action == "deletecollection" { "Collection" } else { "" };
        let name = &self.kind.gvk.kind;
        json!({
            "tags": [self.tag],
            "description": text,
            "operationId": format!("{verb}{}{}{many}{scope}{name}{suffix}", capital(group), capital(version)),
            "parameters": parameters,
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": gvk(self.kind, name),
        })
    }

    fn list(&self, suffix: &str) -> Value {
        let text = format!("list or watch objects of kind {}", self.kind.gvk.kind);
        let mut get = self.operation("list", "list", suffix, text, query(&LIST));
        get["responses"] = answers(&list_definition(self.kind), &["200"]);
        get
    }

    fn create(&self) -> Value {
        let text = format!("create {}", self.article());
        let mut post = self.operation("create", "post", "", text, query(&[DRY_RUN, MANAGER, VALIDATION]));
        post["requestBody"] = body(&definition(self.kind));
        post["responses"] = answers(&definition(self.kind), &["200", "201", "202"]);
        post
    }

    fn delete_collection(&self) -> Value {
        let text = format!("delete collection of {}", self.kind.gvk.kind);
        let mut all = LIST.to_vec();
        all.retain(|(name, ..)| !["allowWatchBookmarks", "watch"].contains(name));
        all.extend(DELETE);
        let mut delete = self.operation("delete", "deletecollection", "", text, query(&all));
        delete["requestBody"] = options();
        delete["responses"] = answers(&format!("{META}Status"), &["200"]);
        delete
    }

    fn article(&self) -> String {
        let name = &self.kind.gvk.kind;
        if name.starts_with(['A', 'E', 'I', 'O', 'U']) { format!("an {name}") } else { format!("a {name}") }
    }

    /// The operations on one object, or on its `Status` or `Scale`.
    fn object(&self, suffix: &str, deletes: bool) -> Value {
        let name = &self.kind.gvk.kind;
        let of = if suffix.is_empty() { String::new() } else { format!("{} of ", suffix.to_lowercase()) };
        let scale = suffix == "Scale";
        let definition =
            if scale { "io.k8s.api.autoscaling.v1.Scale".to_owned() } else { definition(self.kind) };
        let says = |verb: &str| format!("{verb} {of}the specified {name}");
        let writes = [DRY_RUN, MANAGER, VALIDATION];
        let force = ("force", "boolean", "Force an apply request: take over fields that others own.");
        let mut get = self.operation("read", "get", suffix, says("read"), json!([]));
        get["responses"] = answers(&definition, &["200"]);
        let mut put = self.operation("replace", "put", suffix, says("replace"), query(&writes));
        put["requestBody"] = body(&definition);
        put["responses"] = answers(&definition, &["200", "201"]);
        let mut all = writes.to_vec();
        all.push(force);
        let mut patch = self.operation("patch", "patch", suffix, says("partially update"), query(&all));
        patch["requestBody"] = patch_body(self.kind);
        patch["responses"] = answers(&definition, &["200", "201"]);
        let mut item =
            json!({"parameters": self.place(Target::Object), "get": get, "put": put, "patch": patch});
        if scale {
            let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
            for verb in ["get", "put", "patch"] {
                item[verb]["x-kubernetes-group-version-kind"] = scale.clone();
            }
        }
        if deletes {
            let mut delete =
                self.operation("delete", "delete", "", format!("delete {}", self.article()), query(&DELETE));
            delete["requestBody"] = options();
            delete["responses"] = answers(&format!("{META}Status"), &["200", "202"]);
            item["delete"] = delete;
        }
        item
    }
}

fn content(types: &[&str], name: &str) -> Value {
    let schema = json!({"schema": Dialect::V3.reference(name)});
    Value::Object(types.iter().map(|media| ((*media).to_owned(), schema.clone())).collect())
}

fn body(name: &str) -> Value {
    json!({"required": true, "content": content(&["*/*"], name)})
}

/// Strategic merge needs the patch strategies of a built-in type; a client that reads it here would send it.
fn patch_body(kind: &Kind) -> Value {
    let types = if kind.open_api.is_some() { &PATCHES[..3] } else { &PATCHES };
    json!({"required": true, "content": content(types, &format!("{META}Patch"))})
}

fn options() -> Value {
    json!({"content": content(&["*/*"], &format!("{META}DeleteOptions"))})
}

fn answers(name: &str, codes: &[&str]) -> Value {
    let mut map = Map::new();
    for code in codes {
        let text = match *code {
            "201" => "Created",
            "202" => "Accepted",
            _ => "OK",
        };
        map.insert((*code).to_owned(), json!({"description": text, "content": content(&MEDIA_TYPES, name)}));
    }
    map.insert("401".to_owned(), json!({"description": "Unauthorized"}));
    Value::Object(map)
}
