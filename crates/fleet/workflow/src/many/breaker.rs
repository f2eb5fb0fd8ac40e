//! The breaker half open: what a Problem of many holds is tried again, one machine first, then ever more.
//!
//! A try that is proven well lets two further ones begin; one that fails ends it, and a person decides. Nothing is tried
//! where a machine does not speak for itself: what is silent is not touched.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Problem;
use muster_api::problem::{EpisodeKey, State, Suspect, SuspectKind};
use muster_api::workflow::RunPhase;
use muster_base::clock::elapsed;

use crate::repair::climb::Tried;

/// A Problem of one machine that is held.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    pub problem: &'a Problem,
    /// What was tried for it, in the order in which it began.
    pub tried: &'a [Tried],
}

/// A Problem of many, and what it holds.
pub struct Case<'a> {
    pub parent: &'a Problem,
    pub members: &'a [Member<'a>],
    /// How long it must not have grown; `None`: nothing is ever tried.
    pub after: Option<Duration>,
    /// Whether a repair would begin for a member, were it not held.
    pub may: &'a dyn Fn(&Problem) -> bool,
    pub now: Timestamp,
}

/// What may be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, for this reason.
    Never(&'static str),
    /// Nothing before that time.
    NotBefore(Timestamp),
    /// A try has failed: a person decides.
    Failed(String),
    /// These problems, by name.
    Try {
        problems: BTreeSet<String>,
        /// Tries that are under way.
        under_way: usize,
        /// Tries that were proven well.
        well: usize,
    },
}

/// Whether anything is ever tried of what is held because of a suspect. A rule that is suspected of the whole fleet is
/// more likely wrong itself; a feed is not mended by its machines.
pub fn is_ever_tried(suspect: &Suspect) -> Result<(), &'static str> {
    match suspect.kind {
        SuspectKind::Rack | SuspectKind::Site => Ok(()),
        SuspectKind::Rule if !suspect.site.is_empty() => Ok(()),
        SuspectKind::Rule => Err("the rule is suspected of the whole fleet"),
        SuspectKind::Power => Err("a power feed is suspected"),
        SuspectKind::Image | SuspectKind::Firmware => {
            Err("what machines bear wherever they stand is suspected")
        }
    }
}

/// Whether the machine itself has told of it; whoever else did names no boot.
pub fn speaks(problem: &Problem) -> bool {
    problem.status.as_ref().is_some_and(|status| !status.boot_id.is_empty())
}

fn is_there(problem: &Problem) -> bool {
    problem.status.as_ref().is_some_and(|status| matches!(status.state, State::Open | State::Unknown))
}

/// Judges one Problem of many.
pub fn judge(case: &Case<'_>) -> Verdict {
    let status = case.parent.status.clone().unwrap_or_default();
    let suspect = status.suspect.clone().unwrap_or_default();
    let (State::Open, Some(opened), Some(after)) = (status.state, status.opened_at, case.after) else {
        return Verdict::Never("it does not stand, or its policy wants no tries");
    };
    if let Err(why) = is_ever_tried(&suspect) {
        return Verdict::Never(why);
    }
    let open = || case.members.iter().filter(|member| is_there(member.problem));
    if !open().all(|member| speaks(member.problem)) {
        return Verdict::Never("some of the machines are silent");
    }
    let classes: BTreeSet<&str> = open().map(|member| member.problem.spec.class.as_str()).collect();
    if 1 < classes.len() {
        return Verdict::Never("the machines do not all show the same");
    }
    let tries = Tries::of(case.members, opened);
    if let Some(failed) = tries.failed {
        return Verdict::Failed(failed);
    }
    let grew = status.last_seen.unwrap_or(opened).max(opened);
    let from = grew.checked_add(after).unwrap_or(grew);
    if case.now < from {
        return Verdict::NotBefore(from);
    }
    let free = (tries.well + 1).saturating_sub(tries.under_way);
    let mut waiting: Vec<&Problem> = open()
        .filter(|member| !member.tried.iter().any(Tried::is_under_way))
        .map(|one| one.problem)
        .collect();
    let seen = |problem: &Problem| problem.status.as_ref().and_then(|status| status.last_seen);
    waiting.sort_by_key(|problem| (Reverse(seen(problem)), problem.name_any()));
    let chosen = waiting.into_iter().filter(|problem| free != 0 && (case.may)(problem)).take(free);
    Verdict::Try {
        problems: chosen.map(|problem| problem.name_any()).collect(),
        under_way: tries.under_way,
        well: tries.well,
    }
}

/// What became of the tries since the opening.
#[derive(Default)]
struct Tries {
    under_way: usize,
    well: usize,
    failed: Option<String>,
}

impl Tries {
    fn of(members: &[Member<'_>], opened: Timestamp) -> Self {
        let mut tries = Self::default();
        for member in members {
            tries.under_way += member.tried.iter().filter(|one| one.is_under_way()).count();
            for one in member.tried.iter().filter(|one| one.counts() && opened <= one.began) {
                match failure(member.problem, one) {
                    None => tries.well += 1,
                    Some(why) => tries.failed = tries.failed.take().or(Some(why)),
                }
            }
        }
        tries
    }
}

/// Why a try that has ended was none.
fn failure(problem: &Problem, one: &Tried) -> Option<String> {
    let status = problem.status.clone().unwrap_or_default();
    let machine = &problem.spec.machine;
    if one.phase != RunPhase::Succeeded {
        return Some(format!("run {} on machine {machine} ended {}", one.run, one.phase.as_str()));
    }
    let back = one.episode < EpisodeKey::of(problem) && is_there(problem);
    back.then(|| {
        let after = one.ended.zip(status.opened_at).map(|(end, at)| elapsed(end, at)).unwrap_or_default();
        format!("{} was back {} s after run {}", problem.name_any(), after.as_secs(), one.run)
    })
}

#[cfg(test)]
mod tests;
