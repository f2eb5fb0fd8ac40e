//! What ginkgo's JSON report says of one spec.
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How one spec ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum State {
    Passed,
    Failed,
    TimedOut,
}

/// One spec that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) seconds: f64,
    /// The first lines of the failure; empty for a spec that passed.
    pub(super) message: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Passed => "passed",
            State::Failed => "FAILED",
            State::TimedOut => "TIMED OUT",
        };
        write!(f, "{state} {:.1} s {}", self.seconds, self.name)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, "\n    {}", self.message) }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Suite {
    spec_reports: Vec<Node>,
}

/// A spec, or a node around the suite such as `SynchronizedBeforeSuite`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    container_hierarchy_texts: Option<Vec<String>>,
    leaf_node_type: String,
    leaf_node_text: String,
    state: String,
    run_time: i64,
    #[serde(default)]
    failure: Failure,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
}

impl Node {
    fn name(&self) -> String {
        let containers = self.container_hierarchy_texts.iter().flatten();
        containers
            .chain([&self.leaf_node_text])
            .filter(|text| !text.is_empty())
            .cloned()
            .collect::<Vec<_>>()
            .join(" ")
    }

    fn is_spec(&self) -> bool {
        self.leaf_node_type == "It"
    }
}

/// The names of all specs that a dry run would run, sorted.
pub(super) fn names(json: &str) -> Result<Vec<String>, serde_json::Error> {
    let nodes = nodes(json)?;
    let mut names: Vec<String> =
        nodes.iter().filter(|node| node.is_spec() && node.state == "passed").map(Node::name).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// How the spec `name` ended, from the report of the process that ran it alone.
pub(super) fn outcome(json: &str, name: &str) -> Result<Outcome, serde_json::Error> {
    let nodes = nodes(json)?;
    let spec = nodes.iter().find(|node| node.is_spec() && node.state != "skipped" && node.name() == name);
    let around = || nodes.iter().find(|node| !matches!(node.state.as_str(), "passed" | "skipped"));
    let Some(node) = spec.or_else(around) else {
        let message = "ginkgo ran no spec of this name".to_owned();
        return Ok(Outcome { name: name.to_owned(), state: State::Failed, seconds: 0.0, message });
    };
    let state = match node.state.as_str() {
        "passed" => State::Passed,
        "timedout" => State::TimedOut,
        _ => State::Failed,
    };
    let message = if node.is_spec() { first_lines(&node.failure.message) } else { around_message(node) };
    let seconds = Duration::from_nanos(node.run_time.unsigned_abs()).as_secs_f64();
    Ok(Outcome { name: name.to_owned(), state, seconds, message })
}

fn around_message(node: &Node) -> String {
    format!("in {}: {}", node.leaf_node_type, first_lines(&node.failure.message))
}

/// Four lines: gomega's first is often just `Expected`, and the rest says what.
fn first_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).take(4).collect();
    lines.join(" ").chars().take(300).collect()
}

fn nodes(json: &str) -> Result<Vec<Node>, serde_json::Error> {
    let suites: Vec<Suite> = serde_json::from_str(json)?;
    Ok(suites.into_iter().flat_map(|suite| suite.spec_reports).collect())
}

#[cfg(test)]
mod tests;
