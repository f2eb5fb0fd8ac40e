use http::Method;

use super::*;
use crate::object::Header;

fn info(method: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let info = RequestInfo::parse(&method.parse::<Method>().unwrap(), path, &Query::parse(Some(query)));
    match info.resource {
        None => format!("{} {}", info.verb, info.path),
        Some(at) => format!(
            "{} {}/{} ns={} {} name={} sub={}",
            info.verb, at.group, at.version, at.namespace, at.resource, at.name, at.subresource
        ),
    }
}

#[test]
fn paths_mean_what_upstream_reads_in_them() {
    for (method, target, expected) in [
        ("GET", "/api/v1/pods", "list /v1 ns= pods name= sub="),
        ("GET", "/api/v1/pods?watch=true", "watch /v1 ns= pods name= sub="),
        ("GET", "/api/v1/pods?watch=false", "list /v1 ns= pods name= sub="),
        ("GET", "/api/v1/namespaces", "list /v1 ns= namespaces name= sub="),
        ("GET", "/api/v1/namespaces/a", "get /v1 ns=a namespaces name=a sub="),
        ("PUT", "/api/v1/namespaces/a/finalize", "update /v1 ns=a namespaces name=a sub=finalize"),
        ("GET", "/api/v1/namespaces/a/pods", "list /v1 ns=a pods name= sub="),
        ("POST", "/api/v1/namespaces/a/pods/p/binding", "create /v1 ns=a pods name=p sub=binding"),
        (
            "DELETE",
            "/apis/apps/v1/namespaces/a/deployments",
            "deletecollection apps/v1 ns=a deployments name= sub=",
        ),
        ("DELETE", "/apis/apps/v1/namespaces/a/deployments/d", "delete apps/v1 ns=a deployments name=d sub="),
        ("PATCH", "/api/v1/nodes/n/status", "patch /v1 ns= nodes name=n sub=status"),
        ("GET", "/api/v1/nodes/n/proxy/a/b", "get /v1 ns= nodes name=n sub=proxy/a/b"),
        ("GET", "/api/v1", "get /api/v1"),
        ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
        ("GET", "/healthz", "get /healthz"),
    ] {
        assert_eq!(info(method, target), expected, "{method} {target}");
    }
}

#[test]
fn a_label_selector_reads_back_as_it_was_written() {
    for text in ["a=b", "a!=b", "a in (b,c)", "a notin (b,c)", "a", "!a", "a=b,c in (d,e),!f", "x.y/z=1"] {
        assert_eq!(LabelSelector::parse(text).unwrap().to_string(), text);
    }
    for text in ["a b", "=b", "a in b,?", "a>b"] {
        assert!(LabelSelector::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_label_that_is_absent_differs_from_every_value() {
    let header = Header { labels: [("a".into(), "b".into())].into(), ..Header::default() };
    for (text, expected) in [
        ("", true),
        ("a=b", true),
        ("a==b", true),
        ("c!=b", true),
        ("c notin (b)", true),
        ("c in (b)", false),
        ("a!=b", false),
        ("a,!c", true),
    ] {
        assert_eq!(LabelSelector::parse(text).unwrap().matches(&header), expected, "{text}");
    }
}

#[test]
fn an_object_selector_without_terms_selects_everything_and_a_broken_one_is_none() {
    let document = serde_json::json!({"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "Exists"}]});
    assert_eq!(LabelSelector::of_document(&document).unwrap().to_string(), "a=b,c");
    let broken = serde_json::json!({"matchExpressions": [{"key": "c", "operator": "Sometimes"}]});
    assert_eq!(LabelSelector::of_document(&broken), None);
}

#[test]
fn the_first_acceptable_form_by_quality_is_chosen() {
    let form = |header: &str| {
        let format = Accept::parse(Some(header)).object();
        format
            .map(|format| format!("{:?} {:?}", format.syntax, format.projection))
            .unwrap_or_else(|_| "none".into())
    };
    for (header, expected) in [
        ("", "Json Whole"),
        ("*/*", "Json Whole"),
        ("application/yaml", "Yaml Whole"),
        ("application/json;q=0.1,application/yaml;q=0.9", "Yaml Whole"),
        ("application/vnd.kubernetes.protobuf,application/json", "Json Whole"),
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Json Table"),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", "Json Whole"),
        ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "Json Metadata"),
        ("application/vnd.kubernetes.protobuf", "none"),
        ("application/json;q=0", "Json Whole"),
    ] {
        assert_eq!(form(header), expected, "{header}");
    }
}

#[test]
fn query_values_are_decoded() {
    let query = Query::parse(Some("labelSelector=a%20in%20(b%2Cc)&x=1+2&flag&bad=%zz"));
    assert_eq!(query.text("labelSelector"), Some("a in (b,c)"));
    assert_eq!((query.text("x"), query.text("bad"), query.flag("flag")), (Some("1 2"), Some("%zz"), true));
}

#[test]
fn delete_options_of_the_body_win() {
    let query = Query::parse(Some("gracePeriodSeconds=5&propagationPolicy=Orphan"));
    let body = serde_json::json!({"gracePeriodSeconds": 0, "preconditions": {"uid": "u"}, "dryRun": ["All"]});
    let params = query.delete().unwrap().with_body(&body).unwrap();
    assert_eq!((params.grace_seconds, params.propagation.as_deref()), (Some(0), Some("Orphan")));
    assert_eq!((params.uid.as_deref(), params.dry_run), (Some("u"), DryRun::All));
    assert!(Query::parse(Some("dryRun=Some")).dry_run().is_err());
}
