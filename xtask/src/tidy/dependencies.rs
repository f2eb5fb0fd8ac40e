//! Which crate may use which: the picture of ARCHITECTURE.md as a table.
use super::finding::{Finding, Rule};

/// What a crate may name under `[dependencies]`, `[build-dependencies]` and `[dev-dependencies]`.
/// `sim` may stand under every crate's `[dev-dependencies]` besides.
const MAY_USE: &[(&str, &[&str])] = &[
    ("muster-base", &[]),
    ("muster-api", &["base"]),
    ("muster-control", SYSTEM_BASE),
    ("muster-store", &["base"]),
    ("muster-schema", &["base"]),
    ("muster-apiserver", &["base", "api", "schema", "store"]),
    ("muster-scheduler", SYSTEM),
    ("muster-workloads", SYSTEM),
    ("muster-brake", SYSTEM_BASE),
    ("muster-agent", FLEET),
    ("muster-network", SYSTEM),
    ("muster-machines", FLEET),
    ("muster-workflow", FLEET),
    ("muster-doctor", SYSTEM),
    ("muster-bmc", FLEET),
    ("muster-history", SYSTEM),
    ("muster-rehearsal", &["base", "api", "brake", "machines", "workflow", "doctor"]),
    ("muster", ALL),
    ("muster-sim", ALL),
    ("xtask", &[]),
];

const SYSTEM_BASE: &[&str] = &["base", "api"];
const SYSTEM: &[&str] = &["base", "api", "control"];
/// Systems that act on machines, or let others do so.
const FLEET: &[&str] = &["base", "api", "control", "brake"];
const ALL: &[&str] = &[
    "base",
    "api",
    "control",
    "store",
    "schema",
    "apiserver",
    "scheduler",
    "workloads",
    "agent",
    "network",
    "brake",
    "machines",
    "workflow",
    "doctor",
    "bmc",
    "history",
    "rehearsal",
];

/// Crates of others that may not come in, with what stands for them.
const BANNED: &[(&str, &str)] = &[
    ("anyhow", "use a thiserror enum; anyhow is for `muster`, `xtask` and tests"),
    ("aws-lc-rs", "use rustls with ring"),
    ("chrono", "use jiff"),
    ("lazy_static", "use std::sync::LazyLock"),
    ("native-tls", "use rustls with ring"),
    ("once_cell", "use std::sync::OnceLock"),
    ("openssl", "use rustls with ring"),
    ("reqwest", "use hyper through kube or hyper-util"),
    ("serde_yaml", "use serde-saphyr"),
];

const MAY_USE_ANYHOW: &[&str] = &["muster", "xtask"];

/// A package of the workspace and the names its manifest depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Crate {
    pub(super) name: String,
    pub(super) needs: Vec<Need>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    pub(super) name: String,
    pub(super) stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Shipped,
    Test,
}

impl From<&cargo_metadata::Package> for Crate {
    fn from(package: &cargo_metadata::Package) -> Self {
        let stage = |kind| {
            if kind == cargo_metadata::DependencyKind::Development { Stage::Test } else { Stage::Shipped }
        };
        let needs = package.dependencies.iter().map(|d| Need { name: d.name.clone(), stage: stage(d.kind) });
        Crate { name: package.name.to_string(), needs: needs.collect() }
    }
}

pub(super) fn check(crates: &[Crate]) -> Vec<Finding> {
    crates.iter().flat_map(|each| own(each).into_iter().chain(foreign(each))).collect()
}

fn own(each: &Crate) -> Vec<Finding> {
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == each.name) else {
        return vec![finding(
            each.name.clone(),
            "the crate is in no row of MAY_USE".to_owned(),
            "add its row in xtask/src/tidy/dependencies.rs and its line in ARCHITECTURE.md",
        )];
    };
    let ours = each.needs.iter().filter_map(|need| Some((need, need.name.strip_prefix("muster-")?)));
    ours.filter(|(need, short)| !(allowed.contains(short) || *short == "sim" && need.stage == Stage::Test))
        .map(|(need, _)| {
            let verb = if need.stage == Stage::Test { "uses in tests" } else { "uses" };
            finding(
                format!("{} -> {}", each.name, need.name),
                format!("{} {verb} {}, which MAY_USE does not allow", each.name, need.name),
                "meet in objects of the API, or move what both need to base, api or control",
            )
        })
        .collect()
}

fn foreign(each: &Crate) -> Vec<Finding> {
    let banned = |need: &Need| {
        let (name, instead) = BANNED.iter().find(|(name, _)| *name == need.name)?;
        let allowed =
            *name == "anyhow" && (need.stage == Stage::Test || MAY_USE_ANYHOW.contains(&each.name.as_str()));
        (!allowed).then(|| {
            finding(
                format!("{} -> {name}", each.name),
                format!("{} depends on the banned {name}", each.name),
                instead,
            )
        })
    };
    each.needs.iter().filter_map(banned).collect()
}

fn finding(subject: String, what: String, remedy: &'static str) -> Finding {
    Finding { subject, line: None, rule: Rule::Dependency, measure: None, what, remedy }
}

#[cfg(test)]
mod tests;
