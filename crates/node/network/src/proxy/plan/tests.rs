use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::proxy::element::Change;
use crate::world::directory;

fn here() -> Here {
    Here {
        node: "n1".into(),
        pod_cidr: "10.244.1.0/24".parse().unwrap(),
        own_addresses: vec!["10.96.0.10".parse().unwrap()],
    }
}

/// One line per front, node port and hairpin; behind a front its endpoints with the number of their buckets.
fn show(elements: &Elements) -> Vec<String> {
    let mut shares: BTreeMap<Key, BTreeMap<SocketAddrV4, usize>> = BTreeMap::new();
    for (key, value) in elements {
        let owner = match key {
            Key::FrontBucket(front, ..) => Key::Front(*front),
            Key::NodePortBucket(port, ..) => Key::NodePort(*port),
            Key::Front(_) | Key::NodePort(_) | Key::Hairpin(_) => continue,
        };
        let Value::Target(target) = value else { panic!("{key:?} leads to {value:?}") };
        *shares.entry(owner).or_default().entry(*target).or_default() += 1;
    }
    let mut lines = Vec::new();
    for (key, value) in elements {
        let name = match key {
            Key::Front(f) => format!("{}:{}/{}", f.address, f.port, f.protocol.name()),
            Key::NodePort(p) => format!("node:{}/{}", p.port, p.protocol.name()),
            Key::Hairpin(ip) => {
                lines.push(format!("hairpin {ip}"));
                continue;
            }
            Key::FrontBucket(..) | Key::NodePortBucket(..) => continue,
        };
        let Value::Way(way) = value else { panic!("{key:?} leads to {value:?}") };
        let owners: Vec<String> = shares[key].iter().map(|(target, n)| format!("{target}x{n}")).collect();
        lines.push(format!("{name} {:?} {:?} {}", way.affinity, way.source, owners.join(" ")));
    }
    lines
}

fn check(world: &str, expect: &[&str]) {
    let elements = plan(&directory(world), &here(), &Elements::new());
    assert_eq!(show(&elements), expect);
}

#[test]
fn every_endpoint_has_its_fair_share_and_local_ones_a_hairpin() {
    check(
        "service default/web 10.96.0.5 80
         slice default/web 8080 10.244.1.2 10.244.2.3@n2 10.244.2.4@n2",
        &[
            "10.96.0.5:80/tcp None Kept 10.244.1.2:8080x6 10.244.2.3:8080x5 10.244.2.4:8080x5",
            "hairpin 10.244.1.2",
        ],
    );
}

#[test]
fn one_endpoint_costs_one_bucket_and_many_get_more_buckets() {
    check(
        "service default/web 10.96.0.5 80
         slice default/web 8080 10.244.2.3",
        &["10.96.0.5:80/tcp None Kept 10.244.2.3:8080x1"],
    );
    let endpoints: Vec<String> = (1..=20).map(|n| format!("10.244.2.{n}")).collect();
    let world = format!("service default/web 10.96.0.5 80\nslice default/web 8080 {}", endpoints.join(" "));
    let elements = plan(&directory(&world), &here(), &Elements::new());
    let line = show(&elements).remove(0);
    assert_eq!((line.matches("x3").count(), line.matches("x4").count()), (16, 4), "{line}");
}

#[test]
fn ports_meet_by_name_and_protocol_across_slices() {
    check(
        "service default/web 10.96.0.5 http=80 dns=53/udp other=99
         slice default/web http=8080 10.244.2.3
         slice default/web http=8081 10.244.2.4
         slice default/web dns=5353/udp 10.244.2.3
         slice default/web other=99/udp 10.244.2.3",
        &[
            "10.96.0.5:80/tcp None Kept 10.244.2.3:8080x8 10.244.2.4:8081x8",
            "10.96.0.5:53/udp None Kept 10.244.2.3:5353x1",
        ],
    );
}

#[test]
fn the_unready_get_nothing_unless_all_are_ending() {
    check(
        "service default/web 10.96.0.5 80
         slice default/web 80 10.244.2.3 10.244.2.4!unready 10.244.2.5!ending
         service default/gone 10.96.0.6 80
         slice default/gone 80 10.244.2.4!unready 10.244.2.5!ending
         service default/none 10.96.0.7 80
         slice default/none 80 10.244.2.4!unready",
        &["10.96.0.5:80/tcp None Kept 10.244.2.3:80x1", "10.96.0.6:80/tcp None Kept 10.244.2.5:80x1"],
    );
}

#[test]
fn what_needs_no_proxy_gets_none() {
    check(
        "service default/headless None 80
         slice default/headless 80 10.244.2.3
         service default/alias None name=example.com 80
         slice default/alias 80 10.244.2.3
         service default/waiting  80
         service kube-system/kube-dns 10.96.0.10 53/udp
         slice kube-system/kube-dns 53/udp 10.244.2.3
         slice default/orphan 80 10.244.2.3",
        &[],
    );
}

#[test]
fn outside_traffic_comes_back_through_this_node_unless_it_stays_on_it() {
    check(
        "service default/a 10.96.0.5 80@30080 sticky ip=203.0.113.7
         slice default/a 8080 10.244.1.2 10.244.2.3@n2
         service default/b 10.96.0.6 80@30081 local-out
         slice default/b 8080 10.244.1.2 10.244.2.3@n2
         service default/c 10.96.0.7 80@30082 local-in
         slice default/c 8080 10.244.1.2 10.244.2.3@n2",
        &[
            "10.96.0.5:80/tcp ClientIP Kept 10.244.1.2:8080x8 10.244.2.3:8080x8",
            "10.96.0.6:80/tcp None Kept 10.244.1.2:8080x8 10.244.2.3:8080x8",
            "10.96.0.7:80/tcp None Kept 10.244.1.2:8080x1",
            "203.0.113.7:80/tcp ClientIP Masqueraded 10.244.1.2:8080x8 10.244.2.3:8080x8",
            "node:30080/tcp ClientIP Masqueraded 10.244.1.2:8080x8 10.244.2.3:8080x8",
            "node:30081/tcp None Kept 10.244.1.2:8080x1",
            "node:30082/tcp None Masqueraded 10.244.1.2:8080x8 10.244.2.3:8080x8",
            "hairpin 10.244.1.2",
        ],
    );
}

#[test]
fn a_change_of_one_endpoint_moves_only_its_buckets() {
    let world = |endpoints: &str| {
        directory(&format!("service default/web 10.96.0.5 80\nslice default/web 80 {endpoints}"))
    };
    let before = plan(&world("10.244.2.1 10.244.2.2 10.244.2.3 10.244.2.4"), &here(), &Elements::new());
    let after = plan(&world("10.244.2.1 10.244.2.2 10.244.2.3 10.244.2.9"), &here(), &before);
    let change = Change::between(&before, &after);
    let left: Vec<String> = change.delete.values().map(|value| format!("{value:?}")).collect();
    assert_eq!(left, ["Target(10.244.2.4:80)"; 4]);
    let entered: Vec<String> = change.add.values().map(|value| format!("{value:?}")).collect();
    assert_eq!(entered, ["Target(10.244.2.9:80)"; 4]);
}

fn targets() -> impl Strategy<Value = BTreeSet<u8>> {
    proptest::collection::btree_set(1u8..=250, 0..60)
}

fn world_of(sets: &[BTreeSet<u8>]) -> Directory {
    let mut text = String::new();
    for (service, set) in sets.iter().enumerate() {
        let endpoints: Vec<String> = set.iter().map(|n| format!("10.244.1.{n}")).collect();
        text += &format!("service default/s{service} 10.96.1.{service} 80@{} sticky\n", 30000 + service);
        text += &format!("slice default/s{service} 8080 {}\n", endpoints.join(" "));
    }
    directory(&text)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_second_plan_changes_nothing_and_no_service_leaves_nothing(
        before in proptest::collection::vec(targets(), 0..4),
        after in proptest::collection::vec(targets(), 0..4),
    ) {
        let first = plan(&world_of(&before), &here(), &Elements::new());
        prop_assert!(Change::between(&first, &plan(&world_of(&before), &here(), &first)).is_empty());
        let second = plan(&world_of(&after), &here(), &first);
        prop_assert!(Change::between(&second, &plan(&world_of(&after), &here(), &second)).is_empty());
        prop_assert!(plan(&Directory::default(), &here(), &second).is_empty());
    }

    #[test]
    fn whatever_was_before_shares_differ_by_at_most_one_and_all_endpoints_have_one(
        before in targets(),
        after in targets(),
    ) {
        let first = plan(&world_of(&[before]), &here(), &Elements::new());
        let second = plan(&world_of(std::slice::from_ref(&after)), &here(), &first);
        let mut shares: BTreeMap<SocketAddrV4, usize> = BTreeMap::new();
        for (key, value) in &second {
            if let (Key::FrontBucket(..), Value::Target(target)) = (key, value) {
                *shares.entry(*target).or_default() += 1;
            }
        }
        prop_assert_eq!(shares.len(), after.len());
        let (least, most) = (shares.values().min(), shares.values().max());
        prop_assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 1), "{:?}", shares);
        let total: usize = shares.values().sum();
        let buckets = usize::from(Buckets::for_endpoints(after.len()).count());
        prop_assert_eq!(total, if after.is_empty() { 0 } else { buckets });
    }
}
