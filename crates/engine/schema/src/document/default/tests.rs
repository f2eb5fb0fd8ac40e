use serde_json::json;

use super::*;
use crate::Catalog;
use crate::decode::{FieldValidation, value as read};

fn completed(group: &str, kind: &str, sent: Value) -> Value {
    let kind = Catalog::builtin()
        .kind(group, if kind == "HorizontalPodAutoscaler" { "v2" } else { "v1" }, kind)
        .unwrap();
    let mut value = read(kind, &sent, FieldValidation::Strict).unwrap().value;
    apply(kind, &mut value);
    let once = value.clone();
    apply(kind, &mut value);
    assert_eq!(once, value, "a second time changes nothing");
    value
}

#[test]
fn a_pod_is_completed_as_the_reference_implementation_does() {
    let pod = completed(
        "",
        "Pod",
        json!({"metadata": {"name": "p"}, "spec": {
            "serviceAccountName": "robot",
            "containers": [{
                "name": "c", "image": "nginx", "ports": [{"containerPort": 80}],
                "livenessProbe": {"httpGet": {"port": 80}},
                "resources": {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
            }],
            "volumes": [{"name": "scratch"}, {"name": "conf", "configMap": {"name": "x"}}],
        }}),
    );
    assert_eq!(
        pod["spec"],
        json!({
            "containers": [{
                "name": "c", "image": "nginx", "imagePullPolicy": "Always",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "livenessProbe": {
                    "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
                },
                "resources": {
                    "limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "100m", "memory": "1Gi"},
                },
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            }],
            "dnsPolicy": "ClusterFirst", "enableServiceLinks": true, "restartPolicy": "Always",
            "schedulerName": "default-scheduler", "securityContext": {}, "terminationGracePeriodSeconds": 30,
            "serviceAccount": "robot", "serviceAccountName": "robot",
            "volumes": [
                {"name": "scratch", "emptyDir": {}},
                {"name": "conf", "configMap": {"name": "x", "defaultMode": 420}},
            ],
        })
    );
}

#[test]
fn the_pull_policy_follows_the_tag() {
    for (image, policy) in [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("host:5000/nginx", "Always"),
        ("host:5000/nginx:1", "IfNotPresent"),
        ("nginx@sha256:00", "IfNotPresent"),
    ] {
        let pod = completed("", "Pod", json!({"spec": {"containers": [{"name": "c", "image": image}]}}));
        assert_eq!(pod["spec"]["containers"][0]["imagePullPolicy"], policy, "{image}");
    }
}

#[test]
fn a_deployment_gets_its_strategy_and_its_template_what_every_pod_gets() {
    let deployment = completed(
        "apps",
        "Deployment",
        json!({"spec": {
            "selector": {"matchLabels": {"a": "b"}},
            "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}},
        }}),
    );
    let spec = &deployment["spec"];
    assert_eq!(spec["replicas"], 1);
    assert_eq!(
        spec["strategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}})
    );
    assert_eq!((&spec["revisionHistoryLimit"], &spec["progressDeadlineSeconds"]), (&json!(10), &json!(600)));
    let template = &spec["template"]["spec"];
    assert_eq!(template["restartPolicy"], "Always");
    assert_eq!(template["containers"][0]["imagePullPolicy"], "IfNotPresent");
    assert_eq!(template.get("enableServiceLinks"), None, "only a Pod itself gets this");
}

#[test]
fn recreate_has_no_rolling_parameters() {
    let deployment =
        completed("apps", "Deployment", json!({"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}}));
    assert_eq!(deployment["spec"]["strategy"], json!({"type": "Recreate"}));
    assert_eq!(deployment["spec"]["replicas"], 0);
}

#[test]
fn the_other_workloads_have_their_own() {
    let daemon = completed("apps", "DaemonSet", json!({}));
    assert_eq!(
        daemon["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    );
    let stateful = completed("apps", "StatefulSet", json!({}));
    assert_eq!(
        stateful["spec"]["updateStrategy"],
        json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}})
    );
    assert_eq!(stateful["spec"]["podManagementPolicy"], "OrderedReady");
    let job = completed("batch", "Job", json!({"spec": {"template": {"metadata": {"labels": {"j": "1"}}}}}));
    assert_eq!(job["metadata"]["labels"], json!({"j": "1"}));
    assert_eq!((&job["spec"]["completions"], &job["spec"]["backoffLimit"]), (&json!(1), &json!(6)));
    let job = completed("batch", "Job", json!({"spec": {"parallelism": 3}}));
    assert_eq!(job["spec"].get("completions"), None);
    let cron = completed("batch", "CronJob", json!({}));
    assert_eq!(cron["spec"]["concurrencyPolicy"], "Allow");
    assert_eq!(cron["spec"]["jobTemplate"]["spec"].get("backoffLimit"), None, "a template is no Job");
}

#[test]
fn a_service_listens_where_it_forwards_unless_said() {
    let service = completed(
        "",
        "Service",
        json!({"spec": {"ports": [{"port": 80}, {"port": 443, "targetPort": "tls"}]}}),
    );
    assert_eq!(
        service["spec"],
        json!({
            "internalTrafficPolicy": "Cluster", "sessionAffinity": "None", "type": "ClusterIP",
            "ports": [
                {"port": 80, "protocol": "TCP", "targetPort": 80},
                {"port": 443, "protocol": "TCP", "targetPort": "tls"},
            ],
        })
    );
    let sticky =
        completed("", "Service", json!({"spec": {"sessionAffinity": "ClientIP", "type": "NodePort"}}));
    assert_eq!(sticky["spec"]["sessionAffinityConfig"], json!({"clientIP": {"timeoutSeconds": 10800}}));
    assert_eq!(sticky["spec"]["externalTrafficPolicy"], "Cluster");
    let external = completed("", "Service", json!({"spec": {"type": "ExternalName", "externalName": "a.b"}}));
    assert_eq!(external["spec"].get("internalTrafficPolicy"), None);
}

#[test]
fn the_small_kinds() {
    let secret = completed("", "Secret", json!({"data": {"a": "AA=="}, "stringData": {"b": "c"}}));
    assert_eq!((&secret["type"], &secret["data"]), (&json!("Opaque"), &json!({"a": "AA==", "b": "Yw=="})));
    assert_eq!(secret.get("stringData"), None);
    let levels =
        completed("flowcontrol.apiserver.k8s.io", "FlowSchema", json!({"spec": {"matchingPrecedence": 0}}));
    assert_eq!(levels["spec"]["matchingPrecedence"], 1000);
    let namespace = completed("", "Namespace", json!({"metadata": {"name": "n"}}));
    assert_eq!(namespace["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "n"}));
    assert_eq!(namespace["status"], json!({"phase": "Active"}));
    let binding = completed(
        "rbac.authorization.k8s.io",
        "RoleBinding",
        json!({
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s", "namespace": "n"}],
        }),
    );
    assert_eq!(binding["roleRef"]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(binding["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
    assert_eq!(binding["subjects"][1].get("apiGroup"), None);
    let crd = completed(
        "apiextensions.k8s.io",
        "CustomResourceDefinition",
        json!({"spec": {
            "group": "g.io", "names": {"kind": "Thing", "plural": "things"},
            "versions": [{"name": "v1", "served": true, "storage": true}],
        }}),
    );
    assert_eq!(
        crd["spec"]["names"],
        json!({"kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList"})
    );
    assert_eq!(crd["spec"]["conversion"], json!({"strategy": "None"}));
    assert_eq!(crd["status"]["storedVersions"], json!(["v1"]));
}

#[test]
fn a_new_object_starts_with_its_first_status() {
    let catalog = Catalog::builtin();
    let mut namespace = json!({"metadata": {"name": "n"}, "status": {"phase": "Terminating"}});
    prepare_create(catalog.kind("", "v1", "Namespace").unwrap(), &mut namespace);
    assert_eq!(namespace["spec"]["finalizers"], json!(["kubernetes"]));
    assert_eq!(namespace["status"], json!({"phase": "Active"}));
    for (resources, class) in [
        (json!({}), "BestEffort"),
        (json!({"requests": {"cpu": "1"}}), "Burstable"),
        (
            json!({"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "1", "memory": "1Gi"}}),
            "Guaranteed",
        ),
    ] {
        let mut pod = json!({"spec": {"containers": [{"resources": resources}]}});
        prepare_create(catalog.kind("", "v1", "Pod").unwrap(), &mut pod);
        assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": class}));
    }
    let node = catalog.kind("", "v1", "Node").unwrap();
    let mut registering = json!({"status": {"capacity": {"cpu": "4"}}});
    prepare_create(node, &mut registering);
    assert_eq!(registering["status"]["capacity"], json!({"cpu": "4"}), "a node reports itself");
    let mut set = json!({"status": {"replicas": 3}});
    prepare_create(catalog.kind("apps", "v1", "ReplicaSet").unwrap(), &mut set);
    assert_eq!(set["status"], json!({"replicas": 0}));
}
