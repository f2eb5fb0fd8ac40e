//! The order of steps: unknown names, cycles, and which steps may begin.

use std::collections::{BTreeMap, BTreeSet};

use muster_api::workflow::{Step, WorkflowSpec};

/// Something wrong with a workflow, and the field it stands in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GraphError {
    /// Two steps bear one name.
    #[error("{path}: the name {name:?} stands twice")]
    Duplicate { path: String, name: String },
    /// A step comes after one that is not there.
    #[error("{path}: there is no step {name:?}")]
    Unknown { path: String, name: String },
    /// Steps wait for each other.
    #[error("{path}: the steps wait for each other: {}", .names.join(" → "))]
    Cycle { path: String, names: Vec<String> },
}

/// The names each step of a list comes after, explicit or by its place.
pub(crate) fn after(steps: &[Step]) -> Vec<Vec<&str>> {
    steps
        .iter()
        .enumerate()
        .map(|(index, step)| match &step.after {
            Some(names) => names.iter().map(String::as_str).collect(),
            None => index.checked_sub(1).map(|before| steps[before].name.as_str()).into_iter().collect(),
        })
        .collect()
}

/// Judges both parts of a workflow.
pub(crate) fn check(spec: &WorkflowSpec) -> Result<(), GraphError> {
    let mut names = BTreeSet::new();
    for (part, steps) in [("spec.steps", &spec.steps), ("spec.finally", &spec.finally)] {
        for (index, step) in steps.iter().enumerate() {
            if !names.insert(step.name.as_str()) {
                let path = format!("{part}[{index}].name");
                return Err(GraphError::Duplicate { path, name: step.name.clone() });
            }
        }
        repeated(part, steps)?;
        check_part(part, steps)?;
    }
    Ok(())
}

/// No step bears the name of a repetition of another.
fn repeated(part: &str, steps: &[Step]) -> Result<(), GraphError> {
    for (index, step) in steps.iter().enumerate() {
        let number =
            |of: &Step| step.name.strip_prefix(of.name.as_str())?.strip_prefix('-')?.parse::<u32>().ok();
        if steps.iter().any(|other| !other.repeat.is_empty() && number(other).is_some()) {
            let path = format!("{part}[{index}].name");
            return Err(GraphError::Duplicate { path, name: step.name.clone() });
        }
    }
    Ok(())
}

fn check_part(part: &str, steps: &[Step]) -> Result<(), GraphError> {
    let names: BTreeSet<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let after = after(steps);
    for (index, before) in after.iter().enumerate() {
        if let Some(name) = before.iter().find(|name| !names.contains(**name)) {
            let path = format!("{part}[{index}].after");
            return Err(GraphError::Unknown { path, name: (*name).to_owned() });
        }
    }
    match cycle(steps, &after) {
        Some(names) => Err(GraphError::Cycle { path: part.to_owned(), names }),
        None => Ok(()),
    }
}

/// All the steps that must have succeeded before each, of a list that was checked.
pub(crate) fn ancestors(steps: &[Step]) -> Vec<BTreeSet<&str>> {
    let after = after(steps);
    let mut all: Vec<BTreeSet<&str>> = vec![BTreeSet::new(); steps.len()];
    let place: BTreeMap<&str, usize> =
        steps.iter().enumerate().map(|(index, step)| (step.name.as_str(), index)).collect();
    for index in order(steps) {
        let mut before = BTreeSet::new();
        for name in &after[index] {
            before.insert(*name);
            if let Some(place) = place.get(name) {
                before.extend(all[*place].iter().copied());
            }
        }
        all[index] = before;
    }
    all
}

/// The places of the steps in an order in which each comes after those it waits for; of a list that was checked.
pub(crate) fn order(steps: &[Step]) -> Vec<usize> {
    let after = after(steps);
    let mut placed: BTreeSet<&str> = BTreeSet::new();
    let mut order = Vec::with_capacity(steps.len());
    while order.len() < steps.len() {
        let free: Vec<usize> = (0..steps.len())
            .filter(|index| !placed.contains(steps[*index].name.as_str()))
            .filter(|index| after[*index].iter().all(|name| placed.contains(name)))
            .collect();
        if free.is_empty() {
            break;
        }
        placed.extend(free.iter().map(|index| steps[*index].name.as_str()));
        order.extend(free);
    }
    order
}

/// A cycle, begun and ended by the same name: whatever remains when all that can run has run contains one.
fn cycle(steps: &[Step], after: &[Vec<&str>]) -> Option<Vec<String>> {
    let mut waits: BTreeMap<&str, &Vec<&str>> =
        steps.iter().zip(after).map(|(step, before)| (step.name.as_str(), before)).collect();
    loop {
        let free: Vec<&str> = waits
            .iter()
            .filter(|(_, before)| before.iter().all(|name| !waits.contains_key(name)))
            .map(|(name, _)| *name)
            .collect();
        if free.is_empty() {
            break;
        }
        for name in free {
            waits.remove(name);
        }
    }
    let mut path = vec![*waits.keys().next()?];
    loop {
        let last = path[path.len() - 1];
        let next = *waits[last].iter().find(|name| waits.contains_key(**name))?;
        if let Some(begin) = path.iter().position(|name| *name == next) {
            let mut names: Vec<String> = path[begin..].iter().map(|name| (*name).to_owned()).collect();
            names.push(next.to_owned());
            return Some(names);
        }
        path.push(next);
    }
}

#[cfg(test)]
mod tests {
    use muster_api::GoDuration;
    use muster_api::workflow::Action;

    use super::*;

    /// `"a b<a c<a,b"`: steps with what they come after; `<` alone means nothing.
    fn steps(text: &str) -> Vec<Step> {
        text.split_whitespace()
            .map(|word| {
                let (name, after) = match word.split_once('<') {
                    Some((name, after)) => {
                        (name, Some(after.split(',').filter(|s| !s.is_empty()).map(str::to_owned).collect()))
                    }
                    None => (word, None),
                };
                Step { after, ..Step::new(name, Action::Cordon, GoDuration::default()) }
            })
            .collect()
    }

    fn judge(text: &str, finally: &str) -> String {
        let spec = WorkflowSpec { steps: steps(text), finally: steps(finally), ..WorkflowSpec::default() };
        check(&spec).map_or_else(|error| error.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn chains_forks_and_joins_are_fine() {
        assert_eq!(judge("a b c", "x"), "fine");
        assert_eq!(judge("a b<a c<a d<b,c", ""), "fine");
        assert_eq!(judge("a b< c<", ""), "fine");
        assert_eq!(after(&steps("a b c<a")), [vec![], vec!["a"], vec!["a"]]);
    }

    #[test]
    fn cycles_are_named_and_unknown_or_double_names_point_at_their_field() {
        assert_eq!(judge("a<c b<a c<b d<a", ""), "spec.steps: the steps wait for each other: a → c → b → a");
        assert_eq!(judge("a b<b", ""), "spec.steps: the steps wait for each other: b → b");
        assert_eq!(judge("a b<x", ""), "spec.steps[1].after: there is no step \"x\"");
        assert_eq!(judge("a b", "r<a"), "spec.finally[0].after: there is no step \"a\"");
        assert_eq!(judge("a b", "a"), "spec.finally[0].name: the name \"a\" stands twice");
    }
}
