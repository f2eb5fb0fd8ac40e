//! What makes pods: Deployments, ReplicaSets, DaemonSets, StatefulSets, Jobs.

use serde_json::Value;

use super::spot::Spot;
use super::{immutable, names, pod, selector};
use crate::error::FieldError;

pub(super) fn deployment(object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = object.child("spec");
    not_negative(&spec, &["replicas"], errors);
    select_template(&spec, "deployment", "ReplicaSet", errors);
    strategy(&spec.child("strategy"), errors);
    not_negative(&spec, &["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"], errors);
    let deadline = spec.child("progressDeadlineSeconds");
    let ready = spec.child("minReadySeconds").number().unwrap_or(0);
    if deadline.number().is_some_and(|seconds| seconds <= ready) {
        errors.push(deadline.invalid("must be greater than minReadySeconds"));
    }
    selector_stays(&spec, old, errors);
}

pub(super) fn replica_set(object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = object.child("spec");
    not_negative(&spec, &["replicas", "minReadySeconds"], errors);
    select_template(&spec, "deployment", "ReplicaSet", errors);
    selector_stays(&spec, old, errors);
}

pub(super) fn daemon_set(object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = object.child("spec");
    select_template(&spec, "daemonset", "DaemonSet", errors);
    not_negative(&spec, &["minReadySeconds", "revisionHistoryLimit"], errors);
    let strategy = spec.child("updateStrategy");
    match strategy.child("type").text() {
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = strategy.child("rollingUpdate");
            if rolling.is_absent() {
                errors.push(rolling.required(""));
            } else {
                daemon_rolling(&rolling, errors);
            }
        }
        _ => {
            let supported = ["RollingUpdate", "OnDelete"];
            errors.push(FieldError::not_supported(&strategy.path, strategy.value.clone(), &supported));
        }
    }
    selector_stays(&spec, old, errors);
}

fn daemon_rolling(rolling: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
    int_or_percent(&unavailable, errors);
    int_or_percent(&surge, errors);
    match (amount(&unavailable) > 0, amount(&surge) > 0) {
        (false, false) => errors.push(unavailable.required("cannot be 0 when maxSurge is 0")),
        (true, true) => errors.push(surge.invalid("may not be set when maxUnavailable is non-zero")),
        _ => {}
    }
}

pub(super) fn stateful_set(object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = object.child("spec");
    spec.child("podManagementPolicy").one_of(&["OrderedReady", "Parallel"], errors);
    not_negative(&spec, &["replicas", "minReadySeconds", "revisionHistoryLimit"], errors);
    select_template(&spec, "statefulset", "StatefulSet", errors);
    let partition = spec.child("updateStrategy").child("rollingUpdate").child("partition");
    partition.not_negative(errors);
    let Some(old) = old else { return };
    for field in ["selector", "volumeClaimTemplates", "serviceName", "podManagementPolicy"] {
        immutable(&spec.child(field), &old["spec"][field], errors);
    }
}

pub(super) fn replication_controller(object: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let spec = object.child("spec");
    let (selector, template) = (spec.child("selector"), spec.child("template"));
    if selector.is_empty() {
        errors.push(selector.required(""));
    }
    not_negative(&spec, &["replicas", "minReadySeconds"], errors);
    if template.is_absent() {
        errors.push(template.required(""));
        return;
    }
    let labels = template.child("metadata").child("labels");
    if selector
        .value
        .as_object()
        .into_iter()
        .flatten()
        .any(|(key, value)| labels.value.get(key) != Some(value))
    {
        errors.push(labels.invalid("`selector` does not match template `labels`"));
    }
    pod::template(&template, errors);
    always_restarts(&template, "ReplicationController", errors);
}

pub(super) fn job(object: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    let spec = object.child("spec");
    job_spec(&spec, errors);
    let selector = spec.child("selector");
    if !selector.is_absent() {
        selector::check(&selector, errors);
        let labels = spec.child("template").child("metadata").child("labels");
        if !selector::matches(&selector, labels.value) {
            let detail = "`selector` does not match template `labels`";
            errors.push(FieldError::invalid("spec.template.metadata.labels", labels.value.clone(), detail));
        }
    }
    let Some(old) = old else { return };
    for field in ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "selector"] {
        immutable(&spec.child(field), &old["spec"][field], errors);
    }
    if old["spec"]["suspend"] != true {
        immutable(&spec.child("template"), &old["spec"]["template"], errors);
    }
}

fn job_spec(spec: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let fields =
        ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"];
    not_negative(spec, &fields, errors);
    let mode = spec.child("completionMode");
    if !mode.is_absent() {
        mode.one_of(&["NonIndexed", "Indexed"], errors);
        let completions = spec.child("completions");
        if mode.text() == "Indexed" && completions.is_absent() {
            errors.push(completions.required("when completion mode is Indexed"));
        }
    }
    let template = spec.child("template");
    pod::template(&template, errors);
    let policy = template.child("spec").child("restartPolicy");
    // The default of every pod is no policy for a Job, so a wish is asked for.
    if policy.text() == "Always" {
        errors.push(policy.required(r#"valid values: "OnFailure", "Never""#));
    }
}

pub(super) fn cron_job(object: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let spec = object.child("spec");
    let schedule = spec.child("schedule");
    if schedule.is_empty() {
        errors.push(schedule.required(""));
    }
    not_negative(
        &spec,
        &["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"],
        errors,
    );
    spec.child("concurrencyPolicy").one_of(&["Allow", "Forbid", "Replace"], errors);
    job_spec(&spec.child("jobTemplate").child("spec"), errors);
}

fn not_negative(spec: &Spot<'_>, fields: &[&str], errors: &mut Vec<FieldError>) {
    fields.iter().for_each(|field| spec.child(field).not_negative(errors));
}

/// The selector, and that it selects the pods of the template. `kind` is the word of the reference implementation.
fn select_template(spec: &Spot<'_>, kind: &str, restarting: &str, errors: &mut Vec<FieldError>) {
    let (selector, template) = (spec.child("selector"), spec.child("template"));
    let labels = template.child("metadata").child("labels");
    let mut broken = false;
    if selector.is_absent() {
        if kind != "daemonset" {
            errors.push(selector.required(""));
        }
    } else {
        let before = errors.len();
        selector::check(&selector, errors);
        broken = errors.len() > before;
        if selector::is_empty(&selector) {
            errors.push(selector.invalid(format!("empty selector is invalid for {kind}")));
        }
    }
    match (broken, kind) {
        (true, "deployment") => errors.push(selector.invalid("invalid label selector")),
        (true, "statefulset") => errors.push(selector.invalid("")),
        (true, _) => {}
        // No selector selects nothing.
        (false, _) if selector.is_absent() || !selector::matches(&selector, labels.value) => {
            errors.push(labels.invalid("`selector` does not match template `labels`"));
        }
        (false, _) => {}
    }
    pod::template(&template, errors);
    always_restarts(&template, restarting, errors);
}

fn always_restarts(template: &Spot<'_>, kind: &str, errors: &mut Vec<FieldError>) {
    let spec = template.child("spec");
    let policy = spec.child("restartPolicy");
    if policy.text() != "Always" {
        errors.push(FieldError::not_supported(&policy.path, policy.text().into(), &["Always"]));
    }
    let deadline = spec.child("activeDeadlineSeconds");
    if !deadline.is_absent() {
        errors.push(deadline.forbidden(format!("activeDeadlineSeconds in {kind} is not Supported")));
    }
}

fn strategy(strategy: &Spot<'_>, errors: &mut Vec<FieldError>) {
    let rolling = strategy.child("rollingUpdate");
    match strategy.child("type").text() {
        "Recreate" if !rolling.is_absent() => {
            errors.push(rolling.forbidden("may not be specified when strategy `type` is 'Recreate'"));
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_absent() => {
            errors.push(rolling.required("this should be defaulted and never be nil"));
        }
        "RollingUpdate" => {
            let (unavailable, surge) = (rolling.child("maxUnavailable"), rolling.child("maxSurge"));
            int_or_percent(&unavailable, errors);
            int_or_percent(&surge, errors);
            if amount(&unavailable) == 0 && amount(&surge) == 0 {
                errors.push(unavailable.invalid("may not be 0 when `maxSurge` is 0"));
            }
            if unavailable.text().ends_with('%') && amount(&unavailable) > 100 {
                errors.push(unavailable.invalid("must not be greater than 100%"));
            }
        }
        _ => {
            let supported = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(&strategy.path, strategy.value.clone(), &supported));
        }
    }
}

fn int_or_percent(spot: &Spot<'_>, errors: &mut Vec<FieldError>) {
    if spot.value.is_string() {
        spot.all_invalid(names::percent(spot.text()), errors);
    } else {
        spot.not_negative(errors);
    }
}

/// The number, of a percentage too.
fn amount(spot: &Spot<'_>) -> i64 {
    spot.number().or_else(|| spot.text().trim_end_matches('%').parse().ok()).unwrap_or(0)
}

fn selector_stays(spec: &Spot<'_>, old: Option<&Value>, errors: &mut Vec<FieldError>) {
    if let Some(old) = old {
        immutable(&spec.child("selector"), &old["spec"]["selector"], errors);
    }
}
