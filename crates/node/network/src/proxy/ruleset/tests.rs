use super::*;
use crate::proxy::plan::{Here, plan};
use crate::world::directory;

fn elements(world: &str) -> Elements {
    let here =
        Here { node: "n1".into(), pod_cidr: "10.244.1.0/24".parse().unwrap(), own_addresses: Vec::new() };
    plan(&directory(world), &here, &Elements::new())
}

#[test]
fn a_change_is_one_statement_per_map_deletions_first() {
    let before = elements("service default/web 10.96.0.5 80\nslice default/web 8080 10.244.1.2");
    let after = elements("service default/web 10.96.0.5 80\nslice default/web 8080 10.244.1.3");
    assert_eq!(
        incremental(&Change::between(&before, &after)),
        "delete element ip muster front_buckets { 10.96.0.5 . tcp . 80 . 0x4d550000 }\n\
         delete element ip muster hairpins { 10.244.1.2 . 10.244.1.2 }\n\
         add element ip muster front_buckets { 10.96.0.5 . tcp . 80 . 0x4d550000 : 10.244.1.3 . 8080 }\n\
         add element ip muster hairpins { 10.244.1.3 . 10.244.1.3 }\n"
    );
    let gone = incremental(&Change::between(&after, &Elements::new()));
    assert!(gone.starts_with("delete element ip muster fronts { 10.96.0.5 . tcp . 80 }\n"), "{gone}");
    assert_eq!(incremental(&Change::default()), "");
}

#[test]
fn chain_names_and_marks_read_back() {
    for way in Way::all() {
        assert_eq!(way_of(&chain(FRONT, way)), Some(way));
        assert_eq!(way_of(&chain(NODE_PORT, way)), Some(way));
        let last = way.buckets.count() - 1;
        assert_eq!(bucket_of(mark(way.source, last)), Some((way.source, last)));
    }
    assert_eq!((way_of("front_any_kept_17"), bucket_of(0x4000)), (None, None));
}

#[test]
fn the_marks_leave_alone_the_bits_of_others() {
    let marks = mark(Source::Kept, 1023) | mark(Source::Masqueraded, 1023);
    assert_eq!(marks & (0x2000 | 0x4000 | 0x8000), 0);
}
