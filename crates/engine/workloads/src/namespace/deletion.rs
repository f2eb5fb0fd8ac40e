//! What an ending namespace says of its end, and whether it may go. In the reasons and words of Kubernetes.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::apps::condition;
use crate::view::Condition;

/// What one round of deletions came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Round {
    /// Group versions whose resources are not known.
    pub undiscovered: Vec<String>,
    /// Deletions and lists that failed, in words.
    pub failed: Vec<String>,
    /// Objects still there, by `plural.group`.
    pub remaining: BTreeMap<String, usize>,
    /// Finalizers on them, with how many carry each.
    pub finalizers: BTreeMap<String, usize>,
}

impl Round {
    /// Nothing is left, and nothing is unknown.
    pub fn is_empty(&self) -> bool {
        self.undiscovered.is_empty() && self.failed.is_empty() && self.remaining.is_empty()
    }
}

/// One condition: what it says when all is well, and the trouble if there is any.
struct Row {
    kind: &'static str,
    trouble: Option<String>,
    bad_reason: &'static str,
    good_reason: &'static str,
    good: &'static str,
}

/// The namespace's conditions after this round.
pub fn conditions(before: &[Condition], round: &Round, now: Timestamp) -> Vec<Condition> {
    let mut conditions = before.to_vec();
    for row in rows(round) {
        let (status, reason, message) = match row.trouble {
            Some(message) => ("True", row.bad_reason, message),
            None => ("False", row.good_reason, row.good.to_owned()),
        };
        set(&mut conditions, condition::new(row.kind, status, reason, message, now));
    }
    conditions
}

fn rows(round: &Round) -> [Row; 5] {
    let failing = |list: &[String], text: &str| {
        (!list.is_empty()).then(|| text.replace("{}", &list.len().to_string()) + &list.join(", "))
    };
    [
        Row {
            kind: "NamespaceDeletionDiscoveryFailure",
            trouble: failing(&round.undiscovered, "Discovery failed for some groups, {} failing: "),
            bad_reason: "DiscoveryFailed",
            good_reason: "ResourcesDiscovered",
            good: "All resources successfully discovered",
        },
        Row {
            kind: "NamespaceDeletionGroupVersionParsingFailure",
            trouble: None,
            bad_reason: "GroupVersionParsingFailed",
            good_reason: "ParsedGroupVersions",
            good: "All legacy kube types successfully parsed",
        },
        Row {
            kind: "NamespaceDeletionContentFailure",
            trouble: failing(&round.failed, "Failed to delete all resource types, {} remaining: "),
            bad_reason: "ContentDeletionFailed",
            good_reason: "ContentDeleted",
            good: "All content successfully deleted, may be waiting on finalization",
        },
        Row {
            kind: "NamespaceContentRemaining",
            trouble: counted(&round.remaining, "Some resources are remaining: ", "has"),
            bad_reason: "SomeResourcesRemain",
            good_reason: "ContentRemoved",
            good: "All content successfully removed",
        },
        Row {
            kind: "NamespaceFinalizersRemaining",
            trouble: counted(
                &round.finalizers,
                "Some content in the namespace has finalizers remaining: ",
                "in",
            ),
            bad_reason: "SomeFinalizersRemain",
            good_reason: "ContentHasNoFinalizers",
            good: "All content-preserving finalizers finished",
        },
    ]
}

fn counted(counts: &BTreeMap<String, usize>, text: &str, verb: &str) -> Option<String> {
    let rows: Vec<String> =
        counts.iter().map(|(name, count)| format!("{name} {verb} {count} resource instances")).collect();
    (!rows.is_empty()).then(|| text.to_owned() + &rows.join(", "))
}

/// Unlike other conditions these follow their message too: it counts what is left.
fn set(conditions: &mut Vec<Condition>, mut new: Condition) {
    new.last_update_time = None;
    match conditions.iter_mut().find(|condition| condition.r#type == new.r#type) {
        Some(old) => {
            if old.status == new.status {
                new.last_transition_time = old.last_transition_time;
            }
            *old = new;
        }
        None => conditions.push(new),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_remains_and_keeps_the_time_of_what_did_not_change() {
        let at = |seconds: i64| Timestamp::from_second(1_800_000_000 + seconds).unwrap();
        let round = Round {
            remaining: [("pods.".into(), 2), ("widgets.example.com".into(), 1)].into(),
            finalizers: [("example.com/hold".into(), 1)].into(),
            ..Round::default()
        };
        assert!(!round.is_empty());
        let first = conditions(&[], &round, at(0));
        let find = |all: &[Condition], kind: &str| {
            let found = condition::find(all, kind).unwrap().clone();
            (found.status, found.reason.unwrap(), found.message.unwrap())
        };
        assert_eq!(find(&first, "NamespaceContentRemaining"), (
            "True".into(),
            "SomeResourcesRemain".into(),
            "Some resources are remaining: pods. has 2 resource instances, widgets.example.com has 1 resource instances".into(),
        ));
        assert_eq!(
            find(&first, "NamespaceFinalizersRemaining").2,
            "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
        );
        assert_eq!(find(&first, "NamespaceDeletionContentFailure").0, "False");
        let second = conditions(&first, &Round::default(), at(5));
        let content = condition::find(&second, "NamespaceContentRemaining").unwrap();
        assert_eq!((content.status.as_str(), content.last_transition_time), ("False", Some(at(5))));
        let parsing = condition::find(&second, "NamespaceDeletionGroupVersionParsingFailure").unwrap();
        assert_eq!(parsing.last_transition_time, Some(at(0)));
        assert!(Round::default().is_empty());
    }
}
