//! `Impersonate-*` headers: acting as somebody else, where RBAC allows the verb `impersonate`.

use http::HeaderMap;

use super::{AUTHENTICATED, Identity, UNAUTHENTICATED};
use crate::authz::{Attributes, Authorizer};
use crate::status::Refusal;

const USER: &str = "impersonate-user";
const GROUP: &str = "impersonate-group";
const UID: &str = "impersonate-uid";
const EXTRA: &str = "impersonate-extra-";

/// Whether a request asks for impersonation.
pub fn wants(headers: &HeaderMap) -> bool {
    [USER, GROUP, UID].iter().any(|name| headers.contains_key(*name))
        || headers.keys().any(|name| name.as_str().starts_with(EXTRA))
}

/// The user to act as, if `who` may.
pub fn impersonated(
    authorizer: &Authorizer,
    who: &Identity,
    headers: &HeaderMap,
) -> Result<Identity, Refusal> {
    let texts = |name: &str| -> Vec<String> {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().map_or(None, |v| Some(v.to_owned())))
            .collect()
    };
    let Some(user) = texts(USER).into_iter().next() else {
        return Err(Refusal::bad_request("requested impersonation without impersonating a user"));
    };
    let mut as_user = Identity { user, groups: texts(GROUP), ..Identity::default() };
    as_user.uid = texts(UID).into_iter().next().unwrap_or_default();
    for name in headers.keys().filter(|name| name.as_str().starts_with(EXTRA)) {
        as_user.extra.insert(name.as_str()[EXTRA.len()..].replace("%2f", "/"), texts(name.as_str()));
    }
    for what in checks(&as_user) {
        authorizer.require(who, &what)?;
    }
    complete_groups(&mut as_user);
    Ok(as_user)
}

fn checks(as_user: &Identity) -> Vec<Attributes> {
    let check = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| Attributes {
        verb: "impersonate".to_owned(),
        group: group.to_owned(),
        version: "v1".to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        path: String::new(),
    };
    let mut out = vec![match service_account(&as_user.user) {
        Some((namespace, name)) => check("", "serviceaccounts", "", namespace, name),
        None => check("", "users", "", "", &as_user.user),
    }];
    out.extend(as_user.groups.iter().map(|group| check("", "groups", "", "", group)));
    if !as_user.uid.is_empty() {
        out.push(check("authentication.k8s.io", "uids", "", "", &as_user.uid));
    }
    for (key, values) in &as_user.extra {
        out.extend(values.iter().map(|value| check("authentication.k8s.io", "userextras", key, "", value)));
    }
    out
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

fn complete_groups(as_user: &mut Identity) {
    if let Some((namespace, _)) = service_account(&as_user.user)
        && as_user.groups.is_empty()
    {
        as_user.groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
    }
    let has = |group: &str| as_user.groups.iter().any(|found| found == group);
    if as_user.user == "system:anonymous" {
        if !has(UNAUTHENTICATED) {
            as_user.groups.push(UNAUTHENTICATED.to_owned());
        }
    } else if !has(AUTHENTICATED) && !has(UNAUTHENTICATED) {
        as_user.groups.push(AUTHENTICATED.to_owned());
    }
}
