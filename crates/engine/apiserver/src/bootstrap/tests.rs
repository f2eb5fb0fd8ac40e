use std::collections::BTreeSet;

use muster_store::Revision;

use super::*;

#[test]
fn the_table_holds_the_roles_that_clients_expect() {
    let names: BTreeSet<String> =
        roles::documents().iter().map(|one| meta::text(one, "/metadata/name").to_owned()).collect();
    for name in
        ["cluster-admin", "admin", "edit", "view", "system:discovery", "system:basic-user", "system:node"]
    {
        assert!(names.contains(name), "{name}");
    }
}

#[test]
fn every_binding_of_the_table_is_to_a_role_of_the_table() {
    let documents = roles::documents();
    let roles: BTreeSet<&str> = documents
        .iter()
        .filter(|one| one["kind"] == "ClusterRole")
        .map(|one| meta::text(one, "/metadata/name"))
        .collect();
    for binding in documents.iter().filter(|one| one["kind"] == "ClusterRoleBinding") {
        assert!(roles.contains(meta::text(binding, "/roleRef/name")), "{binding}");
    }
}

#[test]
fn nobody_but_the_masters_group_is_given_everything() {
    for document in roles::documents().iter().filter(|one| one["kind"] == "ClusterRole") {
        let everything = document["rules"].as_array().unwrap().iter().any(|rule| {
            rule["verbs"] == json!(["*"])
                && (rule["resources"] == json!(["*"]) || rule["nonResourceURLs"] == json!(["*"]))
        });
        let name = meta::text(document, "/metadata/name");
        assert!(!everything || ["cluster-admin", "system:kubelet-api-admin"].contains(&name), "{name}");
    }
}

#[test]
fn a_components_binding_is_to_its_own_role_and_user() {
    let [role, binding] = component_role("doctor", &[]);
    assert_eq!(role["metadata"]["name"], "system:muster:doctor");
    assert_eq!(binding["roleRef"]["name"], "system:muster:doctor");
    assert_eq!(binding["subjects"][0]["name"], "system:muster:doctor");
    assert_eq!(role["rules"], json!([]));
}

#[test]
fn an_event_expires_when_its_time_has_passed_since_it_was_written() {
    let mut ages = events::Ages::default();
    let at = |seconds: i64| jiff::Timestamp::from_second(seconds).unwrap();
    assert_eq!(ages.expired(at(0), Revision::new(5), 60), None);
    assert_eq!(ages.expired(at(30), Revision::new(9), 60), None);
    assert_eq!(ages.expired(at(60), Revision::new(12), 60), Some(Revision::new(5)));
    assert_eq!(ages.expired(at(61), Revision::new(12), 60), None);
    assert_eq!(ages.expired(at(200), Revision::new(12), 60), Some(Revision::new(12)));
}
