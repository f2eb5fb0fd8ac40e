//! What a machine calls for, and which of what is held is tried.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Problem;
use muster_api::problem::State;
use muster_workflow::planner::{self, Breaker, Known, Member, Verdict, Wanted};

use crate::store::Store;

/// Those that wait for tries of others look again so often.
const WAITS: Duration = Duration::from_secs(60);

pub(super) fn wanted(
    store: &Store,
    number: usize,
    tries: &BTreeMap<String, String>,
    now: Timestamp,
) -> Wanted {
    planner::wanted(
        &store.machines[number],
        &Known {
            inventory: Some(&store.inventories[number]),
            role: Some(&store.role.spec),
            problems: &store.problems[number],
            parents: &store.parents,
            tries,
            workflows: &store.workflows,
            policies: &store.policies,
            book: &store.book,
            now,
        },
    )
}

/// Which problems of a machine may be tried although they are held, and when to look again.
pub(super) fn tries(
    store: &Store,
    number: usize,
    now: Timestamp,
) -> (BTreeMap<String, String>, Option<Timestamp>) {
    let (mut tries, mut again) = (BTreeMap::new(), None);
    for problem in &store.problems[number] {
        let Some(status) = problem.status.as_ref().filter(|status| status.state == State::Open) else {
            continue;
        };
        if status.parent.is_empty() || !planner::speaks(problem) {
            continue;
        }
        let parent =
            store.parents.iter().find(|parent| parent.metadata.name.as_ref() == Some(&status.parent));
        let Some(parent) = parent.filter(|parent| is_ever_tried(parent)) else { continue };
        let (name, holder) = (problem.name_any(), parent.name_any());
        match judged(store, parent, &problem.spec.class, now) {
            Verdict::Try { problems, .. } => {
                again = now.checked_add(WAITS).ok();
                if problems.contains(&name) {
                    tries.insert(name, holder);
                }
            }
            Verdict::NotBefore(from) => again = Some(from),
            Verdict::Never(_) | Verdict::Failed(_) => {}
        }
    }
    (tries, again)
}

fn is_ever_tried(parent: &Problem) -> bool {
    let suspect = parent.status.as_ref().and_then(|status| status.suspect.as_ref());
    suspect.is_some_and(|suspect| planner::is_ever_tried(suspect).is_ok())
}

fn judged(store: &Store, parent: &Problem, class: &str, now: Timestamp) -> Verdict {
    let name = parent.name_any();
    let holds = |problem: &&Arc<Problem>| problem.status.as_ref().is_some_and(|status| status.parent == name);
    let held: Vec<&Arc<Problem>> = store.problems.iter().flatten().filter(holds).collect();
    let members: Vec<Member<'_>> =
        held.iter().map(|problem| Member { problem, tried: store.book.tried(&problem.name_any()) }).collect();
    let policy = store.policies.iter().find(|policy| policy.spec.classes.iter().any(|one| one == class));
    let may = |problem: &Problem| {
        let this = BTreeMap::from([(problem.name_any(), name.clone())]);
        let plan = wanted(store, store.number(&problem.spec.machine), &this, now);
        planner::is_repair_of(&plan, &problem.name_any())
    };
    planner::breaker(&Breaker {
        parent,
        members: &members,
        after: policy.and_then(|policy| policy.spec.try_held_after()),
        may: &may,
        now,
    })
}
