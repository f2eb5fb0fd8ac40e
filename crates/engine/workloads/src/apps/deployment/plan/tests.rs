use super::*;
use crate::apps::condition;
use proptest::prelude::*;
use serde_json::json;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn deployment(replicas: i32, strategy: Value, image: &str) -> Deployment {
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "d", "generation": 1,
            "annotations": {"team": "a", "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "spec": {"replicas": replicas, "strategy": strategy, "progressDeadlineSeconds": 600,
            "revisionHistoryLimit": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}, "creationTimestamp": null},
                "spec": {"containers": [{"name": "c", "image": image}]}}},
    }))
    .unwrap()
}

fn rolling(surge: i32, unavailable: i32) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}})
}

/// A deployment with its sets; plays the API server and the ReplicaSet controller.
struct World {
    deployment: Deployment,
    sets: Vec<ReplicaSet>,
    now: i64,
    broken_image: Option<&'static str>,
}

impl World {
    fn new(deployment: Deployment) -> World {
        World { deployment, sets: Vec::new(), now: 0, broken_image: None }
    }

    fn plan(&self) -> Plan {
        let pods: i32 = self
            .sets
            .iter()
            .filter(|set| !revision::current(&self.deployment, &[set]).is_some_and(|_| true))
            .map(|set| set.status.replicas)
            .sum();
        let old = if pods > 0 { OldPods::Present } else { OldPods::Gone };
        plan(&self.deployment, &self.sets.iter().collect::<Vec<_>>(), old, at(self.now))
    }

    fn set(&mut self, name: &str) -> &mut ReplicaSet {
        self.sets.iter_mut().find(|set| set.name() == name).unwrap()
    }

    fn step(&mut self) -> Vec<String> {
        let plan = self.plan();
        plan.acts.into_iter().map(|act| self.apply(act)).collect()
    }

    fn apply(&mut self, act: Act) -> String {
        match act {
            Act::Create(body) => {
                let mut set: ReplicaSet = serde_json::from_value(*body).unwrap();
                set.metadata.uid = Some(format!("uid-{}", set.name()));
                set.metadata.creation_timestamp =
                    serde_json::from_value(json!(at(i64::try_from(self.sets.len()).unwrap()))).unwrap();
                let line = format!("create {} of {}", set.replicas(), image(&set));
                self.sets.push(set);
                line
            }
            Act::Scale { set, from, replicas, annotations } => {
                let set = self.set(&set);
                assert_eq!(set.replicas(), from);
                set.spec.replicas = Some(replicas);
                set.metadata.annotations.get_or_insert_default().extend(annotations);
                format!("scale {} {from}->{replicas}", image(set))
            }
            Act::Annotate { set, annotations } => {
                let set = self.set(&set);
                set.metadata.annotations.get_or_insert_default().extend(annotations);
                format!("annotate {}", image(set))
            }
            Act::Forget { set, .. } => {
                let line = format!("forget {}", image(self.set(&set)));
                self.sets.retain(|other| other.name() != set);
                line
            }
            Act::Number(number) => {
                let annotations = self.deployment.metadata.annotations.get_or_insert_default();
                annotations.insert(revision::REVISION.into(), number.to_string());
                format!("number {number}")
            }
            Act::Status(status) => {
                self.deployment.status = *status;
                "status".into()
            }
        }
    }

    /// Makes every pod of every set exist and be ready, except those of a broken image.
    fn pods_follow(&mut self) {
        for set in &mut self.sets {
            let broken = self.broken_image == Some(image(set).as_str());
            let ready = if broken { 0 } else { set.replicas() };
            set.status.replicas = set.replicas();
            set.status.ready_replicas = ready;
            set.status.available_replicas = ready;
        }
    }

    fn settle(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        for _ in 0..100 {
            let step = self.step();
            self.pods_follow();
            if step.is_empty() && self.plan().acts.is_empty() {
                return lines;
            }
            lines.extend(step.into_iter().filter(|line| line != "status"));
        }
        panic!("does not settle: {lines:?}");
    }

    fn roll_to(&mut self, image: &str) {
        self.deployment.spec.template["spec"]["containers"][0]["image"] = json!(image);
        let generation = self.deployment.generation() + 1;
        self.deployment.metadata.generation = Some(generation);
    }

    fn reason(&self, kind: &str) -> (String, String) {
        let found = condition::find(&self.deployment.status.conditions, kind).unwrap();
        (found.status.clone(), found.reason.clone().unwrap())
    }
}

fn image(set: &ReplicaSet) -> String {
    set.spec.template.pointer("/spec/containers/0/image").unwrap().as_str().unwrap().to_owned()
}

#[test]
fn a_new_deployment_gets_one_set_with_all_replicas_and_completes() {
    let mut world = World::new(deployment(3, rolling(1, 0), "v1"));
    assert_eq!(world.settle(), ["create 3 of v1", "number 1"]);
    assert_eq!(world.reason("Progressing"), ("True".into(), "NewReplicaSetAvailable".into()));
    assert_eq!(world.reason("Available"), ("True".into(), "MinimumReplicasAvailable".into()));
    let set = &world.sets[0];
    let hash = set.label(revision::HASH).unwrap();
    assert_eq!(set.name(), format!("web-{hash}"));
    assert_eq!(set.spec.selector.match_labels.as_ref().unwrap()[revision::HASH], hash);
    assert_eq!(set.spec.template["metadata"]["labels"][revision::HASH], json!(hash));
    assert_eq!((set.annotation("team"), set.annotation(revision::MAX)), (Some("a"), Some("4")));
    assert_eq!(set.annotation("kubectl.kubernetes.io/last-applied-configuration"), None);
}

#[test]
fn a_rolling_update_steps_within_surge_and_availability() {
    let mut world = World::new(deployment(2, rolling(1, 0), "v1"));
    world.settle();
    world.roll_to("v2");
    assert_eq!(
        world.settle(),
        ["create 1 of v2", "number 2", "scale v1 2->1", "scale v2 1->2", "scale v1 1->0"]
    );
}

#[test]
fn recreate_ends_the_old_before_it_begins_the_new() {
    let mut world = World::new(deployment(2, json!({"type": "Recreate"}), "v1"));
    world.settle();
    world.roll_to("v2");
    assert_eq!(world.step(), ["scale v1 2->0", "status"]);
    assert_eq!(world.step(), [""; 0], "old pods are still there");
    world.pods_follow();
    assert_eq!(world.settle(), ["create 2 of v2", "number 2"]);
}

#[test]
fn a_rollback_reuses_the_old_set_under_a_new_number() {
    let mut world = World::new(deployment(1, rolling(1, 0), "v1"));
    world.settle();
    world.roll_to("v2");
    world.settle();
    world.roll_to("v1");
    assert_eq!(world.settle(), ["annotate v1", "number 3", "scale v1 0->1", "scale v2 1->0"]);
    let first = world.sets.iter().find(|set| image(set) == "v1").unwrap();
    assert_eq!(
        (first.annotation(revision::REVISION), first.annotation(revision::HISTORY)),
        (Some("3"), Some("1"))
    );
}

#[test]
fn old_sets_beyond_the_limit_are_forgotten_only_when_the_rollout_is_done() {
    let mut world = World::new(deployment(1, rolling(1, 0), "v1"));
    for image in ["v2", "v3"] {
        world.settle();
        world.roll_to(image);
    }
    let lines = world.settle();
    assert_eq!(lines.last().unwrap(), "forget v1");
    assert_eq!(world.sets.len(), 2);
}

#[test]
fn a_paused_deployment_is_scaled_but_not_rolled() {
    let mut world = World::new(deployment(2, rolling(1, 0), "v1"));
    world.settle();
    world.deployment.spec.paused = true;
    world.roll_to("v2");
    world.deployment.spec.replicas = Some(4);
    assert_eq!(world.settle(), ["scale v1 2->4"]);
    assert_eq!(world.reason("Progressing"), ("Unknown".into(), "DeploymentPaused".into()));
}

#[test]
fn a_resize_in_the_middle_of_a_rollout_is_divided_in_proportion() {
    let mut world = World::new(deployment(10, rolling(3, 2), "v1"));
    world.settle();
    world.roll_to("v2");
    world.broken_image = Some("v2");
    world.settle();
    let sizes = |world: &World| world.sets.iter().map(ReplicaSet::replicas).collect::<Vec<_>>();
    assert_eq!(sizes(&world), [8, 5]);
    world.deployment.spec.replicas = Some(20);
    let lines = world.step();
    assert_eq!(lines[..2], ["scale v1 8->14", "scale v2 5->9"]);
}

#[test]
fn a_rollout_that_stands_still_is_told_after_its_deadline() {
    let mut world = World::new(deployment(2, rolling(1, 0), "v1"));
    world.settle();
    world.now = 1000;
    world.roll_to("v2");
    world.broken_image = Some("v2");
    world.settle();
    let again_at = world.plan().again_at.unwrap();
    assert_eq!(again_at, at(1600));
    world.now = 1600;
    world.settle();
    assert_eq!(world.reason("Progressing"), ("False".into(), "ProgressDeadlineExceeded".into()));
    assert_eq!(world.reason("Available"), ("True".into(), "MinimumReplicasAvailable".into()));
}

#[test]
fn the_hash_does_not_depend_on_key_order_nulls_or_the_hash_label() {
    let one =
        json!({"metadata": {"labels": {"a": "1"}, "creationTimestamp": null}, "spec": {"x": 1, "y": [1, 2]}});
    let two =
        json!({"spec": {"y": [1, 2], "x": 1}, "metadata": {"labels": {"pod-template-hash": "q", "a": "1"}}});
    assert_eq!(revision::hash(&one, 0), revision::hash(&two, 0));
    assert_ne!(revision::hash(&one, 0), revision::hash(&one, 1));
    let other = json!({"metadata": {"labels": {"a": "1"}}, "spec": {"x": 1, "y": [2, 1]}});
    assert_ne!(revision::hash(&one, 0), revision::hash(&other, 0));
}

proptest! {
    #[test]
    fn a_rollout_never_leaves_its_bounds_and_ends(
        replicas in 1_i32..20, surge in 0_i32..6, unavailable in 0_i32..6, rolls in 1_usize..4, impatience in 1_usize..4,
    ) {
        prop_assume!(surge + unavailable > 0);
        let mut world = World::new(deployment(replicas, rolling(surge, unavailable), "v0"));
        world.settle();
        let least = replicas - unavailable.min(replicas);
        for roll in 1..=rolls {
            world.roll_to(&format!("v{roll}"));
            for _ in 0..impatience {
                world.step();
                let total: i32 = world.sets.iter().map(ReplicaSet::replicas).sum();
                let serving: i32 = world.sets.iter().map(scale::available).sum();
                prop_assert!(total <= replicas + surge, "{total} pods of {replicas}+{surge}");
                prop_assert!(serving >= least, "{serving} serve, {least} must");
                world.pods_follow();
            }
        }
        world.settle();
        prop_assert_eq!(world.plan().acts, vec![]);
        let last = world.sets.iter().filter(|set| set.replicas() > 0).collect::<Vec<_>>();
        prop_assert_eq!(last.len(), 1);
        prop_assert_eq!((last[0].replicas(), image(last[0])), (replicas, format!("v{rolls}")));
    }
}
