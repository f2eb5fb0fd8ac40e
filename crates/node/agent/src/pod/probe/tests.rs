use super::*;
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

fn container(probes: serde_json::Value) -> Vec<Container> {
    let mut container = json!({"name": "a"});
    container.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
    vec![serde_json::from_value(container).unwrap()]
}

fn following(containers: &[Container]) -> Probes {
    let mut probes = Probes::default();
    probes.follow(containers, &[("a".to_owned(), "id".to_owned(), at(100))]);
    probes
}

fn kinds(probes: &mut Probes, containers: &[Container], now: i64) -> Vec<Kind> {
    probes.take_due(containers, at(now)).into_iter().map(|question| question.kind).collect()
}

#[test]
fn without_probes_a_running_container_is_ready() {
    let probes = following(&container(json!({})));
    assert!(probes.ready("id"));
    assert_eq!((probes.verdict("id"), probes.next()), (Verdict::Fine, None));
}

#[test]
fn readiness_is_asked_at_once_and_each_period_and_needs_its_thresholds() {
    let containers = container(
        json!({"readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 5, "failureThreshold": 2}}),
    );
    let mut probes = following(&containers);
    assert!(!probes.ready("id"));
    assert_eq!(kinds(&mut probes, &containers, 100), [Kind::Readiness]);
    assert_eq!(kinds(&mut probes, &containers, 100), []);
    assert!(probes.record("id", Kind::Readiness, Answer::Good, at(101)));
    assert!(probes.ready("id"));
    assert_eq!(probes.next(), Some(at(106)));
    assert!(!probes.record("id", Kind::Readiness, Answer::Bad, at(106)));
    assert!(probes.ready("id"));
    assert!(probes.record("id", Kind::Readiness, Answer::Bad, at(111)));
    assert!(!probes.ready("id"));
    assert_eq!(probes.verdict("id"), Verdict::Fine);
}

#[test]
fn liveness_waits_for_startup_and_three_failures_condemn() {
    let probe = json!({"exec": {"command": ["x"]}});
    let containers = container(json!({"startupProbe": probe, "livenessProbe": probe}));
    let mut probes = following(&containers);
    assert_eq!(probes.verdict("id"), Verdict::Starting);
    assert_eq!(kinds(&mut probes, &containers, 100), [Kind::Startup]);
    probes.record("id", Kind::Startup, Answer::Good, at(101));
    assert_eq!(kinds(&mut probes, &containers, 111), [Kind::Liveness]);
    for _ in 0..3 {
        assert_eq!(probes.verdict("id"), Verdict::Fine);
        probes.record("id", Kind::Liveness, Answer::Bad, at(112));
    }
    assert_eq!(probes.verdict("id"), Verdict::Unhealthy);
}

#[test]
fn a_new_life_starts_with_a_clean_slate() {
    let containers = container(json!({"livenessProbe": {"tcpSocket": {"port": 1}, "failureThreshold": 1}}));
    let mut probes = following(&containers);
    probes.record("id", Kind::Liveness, Answer::Bad, at(101));
    probes.follow(&containers, &[("a".to_owned(), "id2".to_owned(), at(200))]);
    assert_eq!((probes.verdict("id"), probes.verdict("id2")), (Verdict::Fine, Verdict::Fine));
}
