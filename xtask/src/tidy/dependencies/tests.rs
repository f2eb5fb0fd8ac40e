use super::{ALL, Crate, MAY_USE, Need, Stage, check};

fn subjects(name: &str, needs: &[(&str, Stage)]) -> Vec<String> {
    let needs = needs.iter().map(|(name, stage)| Need { name: (*name).to_owned(), stage: *stage }).collect();
    check(&[Crate { name: name.to_owned(), needs }]).into_iter().map(|finding| finding.subject).collect()
}

#[test]
fn a_system_may_use_base_api_and_control_and_nothing_else_of_ours() {
    let allowed =
        [("muster-base", Stage::Shipped), ("muster-api", Stage::Shipped), ("muster-control", Stage::Shipped)];
    assert_eq!(subjects("muster-doctor", &allowed), Vec::<String>::new());
    assert_eq!(
        subjects("muster-doctor", &[("muster-workflow", Stage::Shipped), ("serde", Stage::Shipped)]),
        ["muster-doctor -> muster-workflow"]
    );
}

#[test]
fn the_simulation_is_for_tests_only() {
    assert_eq!(subjects("muster-doctor", &[("muster-sim", Stage::Test)]), Vec::<String>::new());
    assert_eq!(subjects("muster-doctor", &[("muster-sim", Stage::Shipped)]), ["muster-doctor -> muster-sim"]);
    assert_eq!(subjects("muster", &[("muster-sim", Stage::Shipped)]), ["muster -> muster-sim"]);
}

#[test]
fn a_test_dependency_on_another_system_is_refused_too() {
    assert_eq!(
        subjects("muster-doctor", &[("muster-machines", Stage::Test)]),
        ["muster-doctor -> muster-machines"]
    );
}

#[test]
fn only_apiserver_muster_and_sim_know_the_store() {
    let knowing: Vec<&str> =
        MAY_USE.iter().filter(|(_, allowed)| allowed.contains(&"store")).map(|(name, _)| *name).collect();
    assert_eq!(knowing, ["muster-apiserver", "muster", "muster-sim"]);
}

#[test]
fn a_crate_without_a_row_is_refused() {
    assert_eq!(subjects("muster-surprise", &[]), ["muster-surprise"]);
}

#[test]
fn every_crate_that_a_row_names_has_a_row_itself() {
    for (_, allowed) in MAY_USE {
        for short in *allowed {
            assert!(MAY_USE.iter().any(|(name, _)| *name == format!("muster-{short}")), "{short}");
        }
    }
    assert_eq!(MAY_USE.len(), ALL.len() + 3, "ALL lacks a crate: everything but muster, sim and xtask");
}

#[test]
fn banned_crates_are_refused_and_anyhow_is_left_to_the_edges() {
    assert_eq!(subjects("muster-store", &[("openssl", Stage::Shipped)]), ["muster-store -> openssl"]);
    assert_eq!(subjects("muster-store", &[("anyhow", Stage::Shipped)]), ["muster-store -> anyhow"]);
    assert_eq!(subjects("muster-store", &[("anyhow", Stage::Test)]), Vec::<String>::new());
    assert_eq!(subjects("muster", &[("anyhow", Stage::Shipped)]), Vec::<String>::new());
}
