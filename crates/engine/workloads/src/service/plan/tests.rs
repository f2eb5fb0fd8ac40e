use super::*;

fn service(spec: Value) -> Service {
    let mut base = json!({"selector": {"app": "web"}, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
        "ports": [{"name": "http", "port": 80, "targetPort": "web"}]});
    for (key, value) in spec.as_object().unwrap() {
        base[key] = value.clone();
    }
    serde_json::from_value(json!({"spec": base,
        "metadata": {"name": "web", "namespace": "default", "uid": "svc", "labels": {"team": "a"}}}))
    .unwrap()
}

/// `a 10.0.0.1 n1 ready leaving port=8080`
fn pod(text: &str) -> Pod {
    let words: Vec<&str> = text.split_whitespace().collect();
    let port = words.iter().find_map(|w| w.strip_prefix("port=")).map_or(8080, |p| p.parse().unwrap());
    let ready = if words.contains(&"ready") { "True" } else { "False" };
    let mut pod = json!({
        "metadata": {"name": words[0], "namespace": "default", "uid": words[0]},
        "spec": {"nodeName": "n1", "containers": [{"ports": [{"name": "web", "containerPort": port}]}]},
        "status": {"phase": "Running", "podIPs": [{"ip": words[1]}],
            "conditions": [{"type": "Ready", "status": ready}]},
    });
    if words.contains(&"leaving") {
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-01T00:00:00Z");
    }
    if words.contains(&"finished") {
        pod["status"]["phase"] = json!("Succeeded");
    }
    serde_json::from_value(pod).unwrap()
}

fn run(service: &Service, pods: &[&str], slices: &[EndpointSlice]) -> Vec<Act> {
    let pods: Vec<Pod> = pods.iter().map(|text| pod(text)).collect();
    let zones = Zones::from([("n1".into(), "z1".into())]);
    plan(service, &pods.iter().collect::<Vec<_>>(), &zones, &slices.iter().collect::<Vec<_>>())
}

/// Plays the API server.
fn apply(acts: Vec<Act>, slices: &mut Vec<EndpointSlice>) {
    for act in acts {
        match act {
            Act::Create(mut body) => {
                let name = format!("web-{}", slices.len());
                body["metadata"]["name"] = json!(name);
                body["metadata"]["uid"] = json!(name);
                slices.push(serde_json::from_value(body).unwrap());
            }
            Act::Update { name, patch } => {
                let slice = slices.iter_mut().find(|s| s.metadata.name.as_ref() == Some(&name)).unwrap();
                slice.endpoints = serde_json::from_value(patch["endpoints"].clone()).unwrap();
                let labels: BTreeMap<String, Option<String>> =
                    serde_json::from_value(patch["metadata"]["labels"].clone()).unwrap();
                slice.metadata.labels = Some(labels.into_iter().filter_map(|(k, v)| Some((k, v?))).collect());
            }
            Act::Delete { name, .. } => slices.retain(|s| s.metadata.name.as_ref() != Some(&name)),
        }
    }
}

fn rows(slices: &[EndpointSlice]) -> Vec<String> {
    let endpoint = |e: &Endpoint| {
        let c = e.conditions.as_ref().unwrap();
        let flag = |on: Option<bool>, letter: &'static str| if on == Some(true) { letter } else { "-" };
        let flags = [flag(c.ready, "r"), flag(c.serving, "s"), flag(c.terminating, "t")].concat();
        format!("{}:{flags}", e.addresses[0])
    };
    let row = |s: &EndpointSlice| {
        let list: Vec<String> = s.endpoints.iter().map(endpoint).collect();
        format!("{} [{}] {}", s.address_type, key(&s.ports), list.join(" "))
    };
    slices.iter().map(row).collect()
}

#[track_caller]
fn check(service: &Service, pods: &[&str], expected: &[&str]) -> Vec<EndpointSlice> {
    let mut slices = Vec::new();
    apply(run(service, pods, &slices), &mut slices);
    assert_eq!(rows(&slices), expected);
    assert_eq!(run(service, pods, &slices), [], "a second plan changes nothing");
    slices
}

#[test]
fn ready_serving_and_terminating_are_told_apart() {
    let pods = ["a 10.0.0.1 ready", "b 10.0.0.2", "c 10.0.0.3 ready leaving", "d 10.0.0.4 finished"];
    check(&service(json!({})), &pods, &["IPv4 [http/TCP/8080/] 10.0.0.1:rs- 10.0.0.2:--- 10.0.0.3:-st"]);
    check(
        &service(json!({"publishNotReadyAddresses": true})),
        &pods,
        &["IPv4 [http/TCP/8080/] 10.0.0.1:rs- 10.0.0.2:r-- 10.0.0.3:rst"],
    );
}

#[test]
fn a_named_port_with_two_numbers_makes_two_slices() {
    check(
        &service(json!({})),
        &["a 10.0.0.1 ready", "b 10.0.0.2 ready port=9090"],
        &["IPv4 [http/TCP/8080/] 10.0.0.1:rs-", "IPv4 [http/TCP/9090/] 10.0.0.2:rs-"],
    );
}

#[test]
fn without_pods_an_empty_slice_stands_and_goes_when_a_pod_comes() {
    let service = service(json!({"ipFamilies": ["IPv6"]}));
    let mut slices = check(&service, &["a 10.0.0.1 ready"], &["IPv6 [] "]);
    apply(run(&service, &["a fd00::1 ready"], &slices), &mut slices);
    assert_eq!(rows(&slices), ["IPv6 [http/TCP/8080/] fd00::1:rs-"]);
}

#[test]
fn a_service_without_selector_or_with_an_external_name_is_left_alone() {
    assert_eq!(run(&service(json!({"selector": {}})), &["a 10.0.0.1 ready"], &[]), []);
    assert_eq!(run(&service(json!({"type": "ExternalName"})), &["a 10.0.0.1 ready"], &[]), []);
}

#[test]
fn labels_name_the_service_the_manager_and_headlessness() {
    let slices = check(
        &service(json!({"clusterIP": "None", "ports": []})),
        &["a 10.0.0.1 ready"],
        &["IPv4 [] 10.0.0.1:rs-"],
    );
    let labels = slices[0].metadata.labels.as_ref().unwrap();
    assert_eq!(labels[SERVICE_NAME], "web");
    assert_eq!(labels[MANAGED_BY], MANAGER);
    assert_eq!((labels[HEADLESS].as_str(), labels["team"].as_str()), ("", "a"));
    let endpoint = &slices[0].endpoints[0];
    assert_eq!((endpoint.zone.as_deref(), endpoint.node_name.as_deref()), (Some("z1"), Some("n1")));
}

#[test]
fn many_endpoints_are_cut_into_slices_and_one_change_rewrites_one_slice() {
    let service = service(json!({}));
    let names: Vec<String> = (0..250).map(|n| format!("p{n} 10.0.{}.{} ready", n / 100, n % 100)).collect();
    let mut pods: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut slices = Vec::new();
    apply(run(&service, &pods, &slices), &mut slices);
    assert_eq!(slices.iter().map(|s| s.endpoints.len()).collect::<Vec<_>>(), [100, 100, 50]);
    pods.remove(7);
    let acts = run(&service, &pods, &slices);
    assert!(matches!(acts[..], [Act::Update { .. }]), "{acts:?}");
    apply(acts, &mut slices);
    pods.push("new 10.1.0.1 ready");
    let acts = run(&service, &pods, &slices);
    assert!(matches!(acts[..], [Act::Update { .. }]), "{acts:?}");
}
