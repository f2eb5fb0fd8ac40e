use serde_json::{Value, json};

use super::*;
use crate::decode::{self, FieldValidation};
use crate::{Catalog, default};

fn ready(group: &str, kind: &str, mut sent: Value) -> (&'static Kind, Value) {
    let kind = Catalog::builtin().kind(group, "v1", kind).unwrap();
    if kind.scope == crate::Scope::Namespaced && sent["metadata"]["namespace"].is_null() {
        sent["metadata"]["namespace"] = "default".into();
    }
    let mut value = decode::value(kind, &sent, FieldValidation::Strict).unwrap().value;
    default::apply(kind, &mut value);
    (kind, value)
}

#[track_caller]
fn check(group: &str, kind: &str, sent: Value, expected: &[&str]) {
    let (kind, value) = ready(group, kind, sent);
    let errors: Vec<String> = validate(kind, &value, None).iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected);
}

#[track_caller]
fn check_update(group: &str, kind: &str, old: Value, new: Value, expected: &[&str]) {
    let (_, old) = ready(group, kind, old);
    let (kind, new) = ready(group, kind, new);
    let errors: Vec<String> = validate(kind, &new, Some(&old)).iter().map(ToString::to_string).collect();
    assert_eq!(errors, expected);
}

fn pod(spec: Value) -> Value {
    json!({"metadata": {"name": "p"}, "spec": spec})
}

fn template(spec: Value) -> Value {
    json!({"metadata": {"labels": {"a": "b"}}, "spec": spec})
}

fn deployment(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({"metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": template(json!({"containers": [{"name": "c", "image": "i"}]})),
    }});
    change(&mut object["spec"]);
    object
}

#[test]
fn names_labels_and_finalizers_follow_their_rules() {
    check("", "ConfigMap", json!({"metadata": {"name": "ok.name-1", "labels": {"a.b/c": "D_e"}}}), &[]);
    check(
        "",
        "ConfigMap",
        json!({"metadata": {"name": "Not_ok"}}),
        &[
            r#"metadata.name: Invalid value: "Not_ok": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
        ],
    );
    check(
        "",
        "Namespace",
        json!({"metadata": {"name": "a.b"}}),
        &[r#"metadata.name: Invalid value: "a.b": must not contain dots"#],
    );
    check("", "ConfigMap", json!({}), &["metadata.name: Required value: name or generateName is required"]);
    check(
        "",
        "Node",
        json!({"metadata": {"name": "n", "namespace": "x"}}),
        &["metadata.namespace: Forbidden: not allowed on this type"],
    );
    check(
        "",
        "ConfigMap",
        json!({"metadata": {"name": "a", "labels": {"a": "b c"}, "finalizers": ["/x"]}}),
        &[
            r#"metadata.labels: Invalid value: "b c": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"#,
            r#"metadata.finalizers: Invalid value: "/x": prefix part must be non-empty"#,
        ],
    );
    check(
        "",
        "ConfigMap",
        json!({"metadata": {"name": "a", "annotations": {"k": "x".repeat(300_000)}}}),
        &["metadata.annotations: Too long: may not be more than 262144 bytes"],
    );
    check("rbac.authorization.k8s.io", "ClusterRole", json!({"metadata": {"name": "system:node"}}), &[]);
}

#[test]
fn an_object_keeps_its_name_and_gets_no_finalizer_while_it_is_deleted() {
    let object = |extra: Value| {
        let mut metadata = json!({"name": "a", "uid": "1"});
        metadata.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        json!({"metadata": metadata})
    };
    check_update(
        "",
        "ConfigMap",
        object(json!({})),
        object(json!({"uid": "2", "name": "b"})),
        &[
            r#"metadata.name: Invalid value: "b": field is immutable"#,
            r#"metadata.uid: Invalid value: "2": field is immutable"#,
        ],
    );
    let deleted = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.b/c"]});
    let more = json!({"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.b/c", "d.e/f"]});
    check_update(
        "",
        "ConfigMap",
        object(deleted),
        object(more),
        &[
            r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"d.e/f"}"#,
        ],
    );
}

#[test]
fn a_pod_needs_named_containers_with_images() {
    check("", "Pod", pod(json!({"containers": [{"name": "c", "image": "i"}]})), &[]);
    check("", "Pod", pod(json!({})), &["spec.containers: Required value"]);
    check(
        "",
        "Pod",
        pod(json!({"containers": [{"name": "c", "image": "i"}, {"name": "c"}, {"image": "i"}]})),
        &[
            "spec.containers[1].image: Required value",
            r#"spec.containers[1].name: Duplicate value: "c""#,
            "spec.containers[2].name: Required value",
        ],
    );
    check(
        "",
        "Pod",
        pod(json!({"restartPolicy": "Sometimes", "dnsPolicy": "Mine",
            "containers": [{"name": "c", "image": "i", "imagePullPolicy": "Maybe"}]})),
        &[
            r#"spec.containers[0].imagePullPolicy: Unsupported value: "Maybe": supported values: "Always", "IfNotPresent", "Never""#,
            r#"spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never""#,
            r#"spec.dnsPolicy: Unsupported value: "Mine": supported values: "ClusterFirstWithHostNet", "ClusterFirst", "Default", "None""#,
        ],
    );
}

#[test]
fn ports_environment_mounts_and_probes_are_checked() {
    check(
        "",
        "Pod",
        pod(json!({"containers": [{
            "name": "c", "image": "i",
            "ports": [{"containerPort": 70000}, {"containerPort": 1, "name": "A"}, {"containerPort": 0}],
            "env": [{"name": ""}, {"name": "a=b"}, {"name": "X", "valueFrom": {}}],
            "volumeMounts": [{"name": "nowhere", "mountPath": "/x"}, {"name": "v", "mountPath": "/x", "subPath": "../y"}],
            "livenessProbe": {"initialDelaySeconds": -1},
        }], "volumes": [{"name": "v"}, {"name": "v"}]})),
        &[
            r#"spec.volumes[1].name: Duplicate value: "v""#,
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            r#"spec.containers[0].ports[1].name: Invalid value: "A": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"#,
            r#"spec.containers[0].ports[1].name: Invalid value: "A": must contain at least one letter (a-z)"#,
            "spec.containers[0].ports[2].containerPort: Required value",
            "spec.containers[0].env[0].name: Required value",
            r#"spec.containers[0].env[1].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='"#,
            r#"spec.containers[0].env[2].valueFrom: Invalid value: "": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"#,
            r#"spec.containers[0].volumeMounts[0].name: Not found: "nowhere""#,
            r#"spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/x": must be unique"#,
            r#"spec.containers[0].volumeMounts.subPath: Invalid value: "../y": must not contain '..'"#,
            "spec.containers[0].livenessProbe: Required value: must specify a handler type",
            "spec.containers[0].livenessProbe.initialDelaySeconds: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}

#[test]
fn requests_stay_within_limits() {
    let resources = json!({
        "limits": {"cpu": "1", "memory": "1Gi", "example.com/gpu": "2"},
        "requests": {"cpu": "2", "memory": "-1", "example.com/gpu": "1", "disk": "1"},
    });
    check(
        "",
        "Pod",
        pod(json!({"containers": [{"name": "c", "image": "i", "resources": resources}]})),
        &[
            r#"spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource type or fully qualified"#,
            r#"spec.containers[0].resources.requests[disk]: Invalid value: "disk": must be a standard resource for containers"#,
            r#"spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0"#,
            r#"spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1"#,
            r#"spec.containers[0].resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2"#,
        ],
    );
}

#[test]
fn a_volume_is_of_exactly_one_type() {
    let volumes = json!([
        {"name": "a", "emptyDir": {}, "hostPath": {"path": "/x"}},
        {"name": "b", "configMap": {"name": "m", "defaultMode": 512}},
        {"name": "c", "hostPath": {"path": "/a/../b", "type": "Nothing"}},
        {"name": "d", "projected": {"sources": [{"serviceAccountToken": {"path": "/t", "expirationSeconds": 5}}]}},
    ]);
    check(
        "",
        "Pod",
        pod(json!({"containers": [{"name": "c", "image": "i"}], "volumes": volumes})),
        &[
            "spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type",
            "spec.volumes[1].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            r#"spec.volumes[2].hostPath.path: Invalid value: "/a/../b": must not contain '..'"#,
            r#"spec.volumes[2].hostPath.type: Unsupported value: "Nothing": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket""#,
            "spec.volumes[3].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
            r#"spec.volumes[3].projected.path: Invalid value: "/t": must be a relative path"#,
        ],
    );
}

#[test]
fn of_a_running_pod_only_images_deadline_and_more_tolerations_change() {
    let old = || json!({"containers": [{"name": "c", "image": "i:1"}], "tolerations": [{"key": "k", "operator": "Exists"}]});
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut spec = old();
        change(&mut spec);
        pod(spec)
    };
    check_update(
        "",
        "Pod",
        pod(old()),
        changed(&|spec| {
            spec["containers"][0]["image"] = "i:2".into();
            spec["activeDeadlineSeconds"] = 5.into();
            spec["tolerations"].as_array_mut().unwrap().push(json!({"key": "l", "operator": "Exists"}));
        }),
        &[],
    );
    let text = "spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\nchanged: spec.containers, spec.nodeName";
    check_update(
        "",
        "Pod",
        pod(old()),
        changed(&|spec| {
            spec["nodeName"] = "n".into();
            spec["containers"][0]["command"] = json!(["x"]);
        }),
        &[text],
    );
    check_update(
        "",
        "Pod",
        pod(old()),
        changed(&|spec| spec["tolerations"] = json!([])),
        &[
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ],
    );
    check_update(
        "",
        "Pod",
        pod(old()),
        changed(&|spec| {
            spec["containers"].as_array_mut().unwrap().push(json!({"name": "d", "image": "i"}));
        }),
        &["spec.containers: Forbidden: pod updates may not add or remove containers"],
    );
}

#[test]
fn a_deployment_selects_its_own_pods_for_ever() {
    check("apps", "Deployment", deployment(|_| {}), &[]);
    check(
        "apps",
        "Deployment",
        deployment(|spec| spec["replicas"] = (-1).into()),
        &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
    );
    check(
        "apps",
        "Deployment",
        deployment(|spec| spec["selector"] = Value::Null),
        &[
            "spec.selector: Required value",
            r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
        ],
    );
    check(
        "apps",
        "Deployment",
        deployment(|spec| spec["selector"] = json!({"matchLabels": {"a": "c"}})),
        &[
            r#"spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`"#,
        ],
    );
    check(
        "apps",
        "Deployment",
        deployment(|spec| spec["selector"] = json!({})),
        &["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
    );
    check(
        "apps",
        "Deployment",
        deployment(|spec| {
            spec["strategy"] = json!({"type": "Recreate", "rollingUpdate": {"maxSurge": 1}});
            spec["template"]["spec"]["restartPolicy"] = "Never".into();
        }),
        &[
            r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ],
    );
    check(
        "apps",
        "Deployment",
        deployment(|spec| {
            spec["strategy"] = json!({"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}});
        }),
        &[
            r#"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "0%": may not be 0 when `maxSurge` is 0"#,
        ],
    );
    check_update(
        "apps",
        "Deployment",
        deployment(|_| {}),
        deployment(|spec| {
            spec["selector"]["matchLabels"]["c"] = "d".into();
            spec["template"]["metadata"]["labels"]["c"] = "d".into();
        }),
        &[r#"spec.selector: Invalid value: {"matchLabels":{"a":"b","c":"d"}}: field is immutable"#],
    );
}

#[test]
fn the_other_workloads() {
    check("apps", "ReplicaSet", deployment(|_| {}), &[]);
    check(
        "apps",
        "DaemonSet",
        deployment(|spec| {
            spec["updateStrategy"] = json!({"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}});
        }),
        &[
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
        ],
    );
    let pods = |policy: &str| {
        template(json!({"restartPolicy": policy, "containers": [{"name": "c", "image": "i"}]}))
    };
    check("batch", "Job", json!({"metadata": {"name": "j"}, "spec": {"template": pods("Never")}}), &[]);
    check(
        "batch",
        "Job",
        json!({"metadata": {"name": "j"}, "spec": {"template": pods("")}}),
        &[r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#],
    );
    let job = |replicas: i64| json!({"spec": {"template": pods("Never"), "parallelism": replicas}});
    check(
        "batch",
        "CronJob",
        json!({"metadata": {"name": "j"}, "spec": {"jobTemplate": job(-1)}}),
        &[
            "spec.schedule: Required value",
            "spec.jobTemplate.spec.parallelism: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
}

#[test]
fn a_service_has_ports_and_keeps_its_address() {
    let service = |spec: Value| json!({"metadata": {"name": "s"}, "spec": spec});
    check("", "Service", service(json!({"ports": [{"port": 80}], "selector": {"a": "b"}})), &[]);
    check("", "Service", service(json!({})), &["spec.ports: Required value"]);
    check("", "Service", service(json!({"clusterIP": "None"})), &[]);
    check(
        "",
        "Service",
        service(
            json!({"type": "Odd", "ports": [{"port": 0}, {"port": 80, "nodePort": 1, "targetPort": "x y"}]}),
        ),
        &[
            "spec.ports[0].name: Required value",
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[0].targetPort: Invalid value: 0: must be between 1 and 65535, inclusive",
            "spec.ports[1].name: Required value",
            r#"spec.ports[1].targetPort: Invalid value: "x y": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"#,
            r#"spec.type: Unsupported value: "Odd": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort""#,
        ],
    );
    check("", "Service", service(json!({"type": "ExternalName"})), &["spec.externalName: Required value"]);
    let at = |ip: &str| service(json!({"clusterIP": ip, "clusterIPs": [ip], "ports": [{"port": 80}]}));
    check(
        "",
        "Service",
        at("nonsense"),
        &[
            r#"spec.clusterIPs[0]: Invalid value: "nonsense": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"#,
        ],
    );
    check_update(
        "",
        "Service",
        at("10.0.0.1"),
        at("10.0.0.2"),
        &[r#"spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set"#],
    );
    check_update("", "Service", at("10.0.0.1"), at("10.0.0.1"), &[]);
}

#[test]
fn config_maps_and_secrets_have_file_names_for_keys_and_may_be_frozen() {
    check(
        "",
        "ConfigMap",
        json!({"metadata": {"name": "m"}, "data": {"..": "x", "a b": ""}}),
        &[
            r#"data[..]: Invalid value: "..": must not be '..'"#,
            r#"data[a b]: Invalid value: "a b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"#,
        ],
    );
    check(
        "",
        "ConfigMap",
        json!({"metadata": {"name": "m"}, "data": {"a": "x".repeat(1_048_577)}}),
        &[": Too long: may not be more than 1048576 bytes"],
    );
    let map = |value: &str| json!({"metadata": {"name": "m"}, "immutable": true, "data": {"a": value}});
    check_update(
        "",
        "ConfigMap",
        map("1"),
        map("2"),
        &["data: Forbidden: field is immutable when `immutable` is set"],
    );
    check(
        "",
        "Secret",
        json!({"metadata": {"name": "s"}, "type": "kubernetes.io/tls", "data": {"tls.crt": "YQ=="}}),
        &["data[tls.key]: Required value"],
    );
    check_update(
        "",
        "Secret",
        json!({"metadata": {"name": "s"}}),
        json!({"metadata": {"name": "s"}, "type": "other"}),
        &[r#"type: Invalid value: "other": field is immutable"#],
    );
}

#[test]
fn roles_and_bindings() {
    let group = "rbac.authorization.k8s.io";
    check(
        group,
        "Role",
        json!({"metadata": {"name": "r"}, "rules": [{"verbs": []}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
        &[
            "rules[0].verbs: Required value",
            "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
            "rules[0].resources: Required value: resource rules must supply at least one resource",
            r#"rules[1].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs"#,
        ],
    );
    let binding = |role: &str| {
        json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "s"}, {"kind": "Robot", "name": "x"}]})
    };
    check(
        group,
        "ClusterRoleBinding",
        binding("r"),
        &[
            "subjects[0].namespace: Required value",
            r#"subjects[1].kind: Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group""#,
        ],
    );
    let binding =
        |role: &str| json!({"metadata": {"name": "b"}, "roleRef": {"kind": "ClusterRole", "name": role}});
    check_update(
        group,
        "ClusterRoleBinding",
        binding("r"),
        binding("s"),
        &[
            r#"roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":"s"}: field is immutable"#,
        ],
    );
}

#[test]
fn nodes_leases_and_events() {
    let taints = json!([{"key": "k", "effect": "NoSchedule"}, {"key": "k", "effect": "NoSchedule"}, {"key": "l", "effect": "No"}]);
    check(
        "",
        "Node",
        json!({"metadata": {"name": "n"}, "spec": {"taints": taints}}),
        &[
            r#"metadata.taints[1]: Duplicate value: {"effect":"NoSchedule","key":"k"}: taints must be unique by key and effect pair"#,
            r#"metadata.taints[2].effect: Unsupported value: "No": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#,
        ],
    );
    let lease =
        json!({"metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}});
    check(
        "coordination.k8s.io",
        "Lease",
        lease,
        &[
            "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
            "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
        ],
    );
    check(
        "",
        "Event",
        json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "other"}}),
        &[r#"involvedObject.namespace: Invalid value: "other": does not match event.namespace"#],
    );
}

#[test]
fn every_published_document_is_judged_without_a_panic() {
    for kind in Catalog::builtin().kinds() {
        for value in [json!({}), json!({"metadata": 3, "spec": [], "data": "x"}), Value::Null] {
            assert!(!validate(kind, &value, None).is_empty(), "{}", kind.resource());
        }
    }
}
