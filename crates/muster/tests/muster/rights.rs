//! What the doctors' identities may do in the API: every verb on everything that it serves is asked for.

use std::collections::BTreeSet;

use http::{Method, Request};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::crash::block_on;
use crate::history::Place;

/// Asked of everything, whether or not it is served.
const VERBS: &[&str] = &[
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "approve",
    "sign",
    "attest",
    "bind",
    "escalate",
    "impersonate",
    "use",
];
/// What rules speak of beside what is served: other identities, and who signs.
const NOT_SERVED: &[(&str, &str)] = &[
    ("", "users"),
    ("", "groups"),
    ("authentication.k8s.io", "uids"),
    ("authentication.k8s.io", "userextras/scopes"),
    ("certificates.k8s.io", "signers"),
];
/// Everybody who is known may ask what he himself may do.
const OF_EVERYBODY: &[&str] = &[
    "create selfsubjectaccessreviews.authorization.k8s.io",
    "create selfsubjectreviews.authentication.k8s.io",
    "create selfsubjectrulesreviews.authorization.k8s.io",
];

/// Something that is served.
struct Resource {
    group: String,
    version: String,
    /// `pods` or `pods/log`.
    name: String,
    namespaced: bool,
    verbs: Vec<String>,
}

impl Resource {
    fn shown(&self) -> String {
        let (resource, sub) = self.name.split_once('/').unwrap_or((&self.name, ""));
        let group = if self.group.is_empty() { String::new() } else { format!(".{}", self.group) };
        format!("{resource}{group}{}{sub}", if sub.is_empty() { "" } else { "/" })
    }

    /// A request that would do it, and changes nothing where it may.
    fn request(&self, verb: &str) -> Request<Vec<u8>> {
        let of_group = |group: &str| format!("/apis/{group}/{}", self.version);
        let base = if self.group.is_empty() { "/api/v1".to_owned() } else { of_group(&self.group) };
        let space = if self.namespaced { "/namespaces/default" } else { "" };
        let (resource, sub) = self.name.split_once('/').unwrap_or((&self.name, ""));
        let all = format!("{base}{space}/{resource}");
        let one = format!("{all}/some{}{sub}", if sub.is_empty() { "" } else { "/" });
        let (method, path) = match verb {
            "get" => (Method::GET, one),
            "list" => (Method::GET, all),
            "watch" => (Method::GET, format!("{all}?watch=true&timeoutSeconds=1")),
            "create" => (Method::POST, if sub.is_empty() { all } else { one }),
            "update" => (Method::PUT, one),
            "patch" => (Method::PATCH, one),
            "delete" => (Method::DELETE, one),
            "deletecollection" => (Method::DELETE, all),
            other => panic!("{}: no request is known for {other}", self.name),
        };
        let dry = match (method == Method::GET, path.contains('?')) {
            (true, _) => "",
            (false, true) => "&dryRun=All",
            (false, false) => "?dryRun=All",
        };
        let kind = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(format!("{path}{dry}"));
        request.header("content-type", kind).body(b"{}".to_vec()).unwrap()
    }
}

async fn read(client: &Client, path: &str) -> Value {
    let request = Request::get(path).body(Vec::new()).unwrap();
    client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Everything that the API says it serves, in every version.
async fn served(client: &Client) -> Vec<Resource> {
    let mut versions = vec![(String::new(), "v1".to_owned(), "/api/v1".to_owned())];
    for group in read(client, "/apis").await["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let path = format!("/apis/{}", text(&version["groupVersion"]));
            versions.push((text(&group["name"]), text(&version["version"]), path));
        }
    }
    let mut all = Vec::new();
    for (group, version, path) in versions {
        for resource in read(client, &path).await["resources"].as_array().unwrap() {
            let verbs = resource["verbs"].as_array().unwrap();
            all.push(Resource {
                group: group.clone(),
                version: version.clone(),
                name: resource["name"].as_str().unwrap().to_owned(),
                namespaced: resource["namespaced"].as_bool().unwrap(),
                verbs: verbs.iter().map(|verb| verb.as_str().unwrap().to_owned()).collect(),
            });
        }
    }
    all
}

async fn may(client: &Client, verb: &str, resource: &Resource) -> bool {
    let (name, sub) = resource.name.split_once('/').unwrap_or((&resource.name, ""));
    let attributes = json!({
        "verb": verb,
        "group": resource.group,
        "version": resource.version,
        "resource": name,
        "subresource": sub,
        "namespace": if resource.namespaced { "default" } else { "" },
    });
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": attributes },
    });
    let request = Request::post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews");
    let request = request.header("content-type", "application/json").body(review.to_string().into_bytes());
    let answer: Value = client.request(request.unwrap()).await.unwrap();
    answer["status"]["allowed"].as_bool().unwrap()
}

/// The code of the refusal, or none where the request was let through.
async fn refused(client: &Client, request: Request<Vec<u8>>) -> Option<u16> {
    match client.request_text(request).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.code),
        Err(other) => panic!("no answer: {other}"),
    }
}

async fn client_of(place: &Place, component: &str) -> Client {
    let kubeconfig = Kubeconfig::read_from(place.kubeconfig()).unwrap();
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.auth_info.impersonate = Some(format!("system:muster:{component}"));
    config.auth_info.impersonate_groups = Some(vec!["system:muster".to_owned()]);
    Client::try_from(config).unwrap()
}

/// Asks for everything as one of the doctors; how much was refused by the authorizer's word, and by answers to requests.
async fn all_but(place: &Place, component: &str, expected: BTreeSet<String>) -> (usize, usize) {
    let client = client_of(place, component).await;
    let mut all = served(&client).await;
    all.extend(NOT_SERVED.iter().map(|(group, name)| Resource {
        group: (*group).to_owned(),
        version: "v1".to_owned(),
        name: (*name).to_owned(),
        namespaced: false,
        verbs: Vec::new(),
    }));
    let (mut allowed, mut denied, mut refusals) = (BTreeSet::new(), 0, 0);
    for resource in &all {
        for verb in VERBS {
            let row = format!("{verb} {}", resource.shown());
            if may(&client, verb, resource).await {
                allowed.insert(row);
                continue;
            }
            denied += 1;
            if resource.verbs.iter().any(|served| served == verb) {
                let code = refused(&client, resource.request(verb)).await;
                assert_eq!(code, Some(403), "{component}: {row}");
                refusals += 1;
            }
        }
        let unknown: Vec<&String> =
            resource.verbs.iter().filter(|verb| !VERBS.contains(&verb.as_str())).collect();
        assert_eq!(unknown, Vec::<&String>::new(), "{}: a verb that is not asked for", resource.name);
    }
    assert_eq!(allowed, expected, "{component}");
    println!("{component}: {} resources; {denied} denied, {refusals} requests refused", all.len());
    (denied, refusals)
}

/// Rows of what is allowed: verbs, then what they may be done to.
fn rows(table: &[(&str, &str)]) -> BTreeSet<String> {
    let pairs = table.iter().flat_map(|(verbs, resources)| {
        verbs.split(' ').flat_map(move |verb| resources.split(' ').map(move |name| format!("{verb} {name}")))
    });
    pairs.chain(OF_EVERYBODY.iter().map(|row| (*row).to_owned())).collect()
}

#[test]
fn a15_the_doctors_may_file_problems_and_no_other_verb_of_the_whole_api_changes_anything() {
    let place = Place::new();
    let _server = place.start();
    let local = rows(&[
        (
            "get list watch",
            "machines.muster.dev inventories.muster.dev bmcreadings.muster.dev machineroles.muster.dev problems.muster.dev nodes",
        ),
        ("create", "problems.muster.dev"),
        ("update", "problems.muster.dev/status"),
    ]);
    let global = rows(&[
        (
            "get list",
            "machines.muster.dev bmcreadings.muster.dev problems.muster.dev nodes leases.coordination.k8s.io",
        ),
        ("create", "problems.muster.dev"),
        ("update patch", "problems.muster.dev/status"),
    ]);
    block_on(async {
        for (component, expected) in [("doctor", local), ("globaldoctor", global)] {
            let (denied, refusals) = all_but(&place, component, expected).await;
            assert!(1500 < denied && 500 < refusals, "{component}: {denied} {refusals}");
        }
    });
}
