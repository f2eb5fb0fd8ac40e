//! The life of Problems of many: when one opens, what it holds, when it clears.
//!
//! A parent opens with a burst that it explains and holds what opens within its reach while it stands. It clears when few
//! of its members are left, for a quiet time. What is still open then stays held until its own doctor has shown it again:
//! nothing that was held fires by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{self, CORRELATED, State, Suspect, SuspectKind};
use muster_base::clock::elapsed;

use super::burst::{self, Explanation, Opening};
use super::place::Census;

#[cfg(test)]
mod tests;

/// Openings so close together are judged once.
const TOGETHER: Duration = Duration::from_secs(10);

/// When a parent clears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closing {
    /// Fewer of its members than so many percent are still open …
    pub below_percent: u32,
    /// … for so long.
    pub quiet: Duration,
}

impl Default for Closing {
    fn default() -> Self {
        Self { below_percent: 10, quiet: Duration::from_secs(60) }
    }
}

/// A Problem of one machine, as it was filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What opened; its time is that of the present episode.
    pub opening: Opening,
    /// Whether it is there.
    pub state: State,
    /// Last evidence.
    pub last_seen: Option<Timestamp>,
    /// What holds it; empty: nothing.
    pub parent: String,
}

impl Case {
    /// What was open and was not seen to be gone.
    fn is_open(&self) -> bool {
        matches!(self.state, State::Open | State::Unknown)
    }
}

/// A Problem of many.
#[derive(Clone, Debug, PartialEq)]
pub struct Parent {
    /// What is suspected, and how many machines failed in this episode.
    pub suspect: Suspect,
    /// Whether it stands.
    pub is_open: bool,
    /// Counts the times it opened.
    pub episode: i64,
    /// First opening of its burst.
    pub since: Timestamp,
    /// When it opened.
    pub opened_at: Timestamp,
    /// Last time something joined it.
    pub last_seen: Timestamp,
    /// When it cleared.
    pub cleared_at: Option<Timestamp>,
    /// What was seen last, for people.
    pub evidence: String,
    /// Machines that failed in this episode, as far as this life has seen them.
    pub(crate) machines: BTreeSet<String>,
    /// Since when few of its members are left.
    pub(crate) quiet_since: Option<Timestamp>,
}

impl Parent {
    /// One that was filed in an earlier life.
    pub fn filed(suspect: Suspect, is_open: bool, episode: i64, since: Timestamp) -> Self {
        Self {
            suspect,
            is_open,
            episode,
            since,
            opened_at: since,
            last_seen: since,
            cleared_at: None,
            evidence: String::new(),
            machines: BTreeSet::new(),
            quiet_since: None,
        }
    }

    /// Whether it may hold what opened there and then.
    fn reaches(&self, opening: &Opening, window: Duration) -> bool {
        let begin = self.since.checked_sub(window).unwrap_or(Timestamp::MIN);
        self.is_open && begin <= opening.at && opening.is_reached_by(&self.suspect)
    }
}

/// What a judgement changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Parents that opened, changed or cleared.
    pub parents: BTreeSet<String>,
    /// Problems whose parent may have changed: see [`Correlation::parent_of`].
    pub problems: BTreeSet<String>,
}

/// All that opened, and what holds it.
#[derive(Clone, Debug, Default)]
pub struct Correlation {
    limits: burst::Limits,
    closing: Closing,
    /// Machines by what they have in common.
    pub census: Census,
    cases: HashMap<String, Case>,
    by_time: BTreeSet<(Timestamp, String)>,
    unjudged: BTreeSet<Timestamp>,
    touched: BTreeSet<String>,
    pending: Judged,
    members: HashMap<String, BTreeSet<String>>,
    parents: BTreeMap<String, Parent>,
}

/// The name of the Problem of a suspect.
pub fn parent_name(suspect: &Suspect) -> String {
    problem::name("", &class_of(suspect.kind), &component_of(suspect))
}

/// The class of a parent.
pub fn class_of(kind: SuspectKind) -> String {
    format!("{CORRELATED}{}", kind.as_str())
}

/// The component of a parent: the name of its suspect, with the site of a feed, and of a rule that is suspected in one.
pub fn component_of(suspect: &Suspect) -> String {
    let Suspect { kind, name, site, .. } = suspect;
    let in_site = matches!(kind, SuspectKind::Power | SuspectKind::Rule) && !site.is_empty();
    if in_site { format!("{site}/{name}") } else { name.clone() }
}

impl Correlation {
    /// Nothing is known yet.
    pub fn new(limits: burst::Limits, closing: Closing) -> Self {
        Self { limits, closing, ..Self::default() }
    }

    /// Takes a parent of an earlier life over; before the first judgement.
    pub fn load(&mut self, name: String, parent: Parent) {
        self.parents.insert(name, parent);
    }

    /// A parent was deleted by somebody: what it held is free.
    pub fn forget(&mut self, name: &str) {
        self.parents.remove(name);
        self.touched.extend(self.members.get(name).into_iter().flatten().cloned());
    }

    /// Every parent by its name.
    pub fn parents(&self) -> &BTreeMap<String, Parent> {
        &self.parents
    }

    /// What should hold a problem; `None` where it is not known, an empty name where nothing should.
    pub fn parent_of(&self, problem: &str) -> Option<&str> {
        self.cases.get(problem).map(|case| case.parent.as_str())
    }

    /// Problems that a parent holds.
    pub fn members(&self, parent: &str) -> impl Iterator<Item = &str> {
        self.members.get(parent).into_iter().flatten().map(String::as_str)
    }

    /// A problem opened, changed or is gone. True where it is to be judged: see [`Correlation::judge`]. Of one that is
    /// known already it is not asked what holds it: that is decided here.
    pub fn problem(&mut self, name: &str, mut case: Option<Case>) -> bool {
        let before = self.cases.remove(name);
        if let (Some(before), Some(case)) = (&before, &mut case) {
            case.parent.clone_from(&before.parent);
        }
        if let Some(before) = &before {
            self.by_time.remove(&(before.opening.at, name.to_owned()));
            self.leave(name, &before.parent);
        }
        let Some(case) = case.filter(|case| case.is_open() || !case.parent.is_empty()) else {
            return before.is_some_and(|before| !before.parent.is_empty());
        };
        let opened = case.is_open()
            && before.as_ref().is_none_or(|old| !old.is_open() || old.opening.at != case.opening.at);
        if case.is_open() {
            self.by_time.insert((case.opening.at, name.to_owned()));
        }
        if opened {
            self.unjudged.insert(case.opening.at);
        }
        let changed = before.as_ref() != Some(&case);
        if changed {
            self.touched.insert(name.to_owned());
        }
        self.join(name, &case.parent);
        let is_free = case.parent.is_empty();
        self.cases.insert(name.to_owned(), case);
        if opened && is_free {
            // What falls within the reach of a parent that stands is held at once.
            let mut judged = std::mem::take(&mut self.pending);
            self.settle(name, &mut judged);
            self.pending = judged;
        }
        changed
    }

    /// What opened since the last time is explained, what is held is looked at anew.
    pub fn judge(&mut self, now: Timestamp) -> Judged {
        let mut judged = std::mem::take(&mut self.pending);
        for at in self.anchors(now) {
            self.explain(at, now, &mut judged);
        }
        for name in std::mem::take(&mut self.touched) {
            self.settle(&name, &mut judged);
        }
        self.close(now, &mut judged);
        judged
    }

    /// When to judge again though nothing changes.
    pub fn next(&self) -> Option<Timestamp> {
        let quiet = self.parents.values().filter(|parent| parent.is_open).filter_map(|p| p.quiet_since);
        quiet.min().and_then(|since| since.checked_add(self.closing.quiet).ok())
    }

    /// The ends of the windows to look at: the last of each handful of openings.
    fn anchors(&mut self, now: Timestamp) -> Vec<Timestamp> {
        let mut anchors: Vec<Timestamp> = Vec::new();
        let mut first = None;
        for at in std::mem::take(&mut self.unjudged) {
            let at = at.min(now);
            match (first, anchors.last_mut()) {
                (Some(begin), Some(last)) if elapsed(begin, at) < TOGETHER => *last = at,
                _ => {
                    first = Some(at);
                    anchors.push(at);
                }
            }
        }
        anchors
    }

    fn explain(&mut self, at: Timestamp, now: Timestamp, judged: &mut Judged) {
        let begin = at.checked_sub(self.limits.window).unwrap_or(Timestamp::MIN);
        let within: Vec<&str> = self
            .by_time
            .range((begin, String::new())..)
            .skip_while(|(opened, _)| *opened == begin)
            .take_while(|(opened, _)| *opened <= at)
            .map(|(_, name)| name.as_str())
            .filter(|name| self.cases.get(*name).is_some_and(|case| !self.is_left_over(case)))
            .collect();
        let openings = within.iter().filter_map(|name| self.cases.get(*name)).map(|case| &case.opening);
        let causes = burst::explain(openings, &self.census, &self.limits);
        let since = within.first().and_then(|name| self.cases.get(*name)).map_or(at, |case| case.opening.at);
        let within: BTreeSet<String> = within.into_iter().map(str::to_owned).collect();
        for cause in causes {
            self.take_up(&cause, since, now, judged);
            // The next one is judged by what this one holds.
            within.iter().for_each(|name| self.settle(name, judged));
        }
    }

    /// Held by a parent that has cleared: it explains nothing new.
    fn is_left_over(&self, case: &Case) -> bool {
        self.parents.get(&case.parent).is_some_and(|parent| !parent.is_open)
    }

    fn take_up(&mut self, cause: &Explanation, since: Timestamp, now: Timestamp, judged: &mut Judged) {
        let name = parent_name(&cause.suspect);
        let evidence = cause.evidence(self.limits.window);
        let before = self.parents.get(&name);
        if before.is_some_and(|parent| parent.is_open) {
            return;
        }
        let held = self.held_elsewhere(cause);
        let free = cause.machines.len() - held;
        // What is already explained for the most part needs no further parent.
        if free < 2 || free < held {
            return;
        }
        let episode = before.map_or(0, |parent| parent.episode) + 1;
        let parent = Parent {
            opened_at: now,
            last_seen: now,
            evidence,
            ..Parent::filed(cause.suspect.clone(), true, episode, since)
        };
        self.absorb(&name, &parent, now, judged);
        self.parents.insert(name.clone(), parent);
        judged.parents.insert(name);
    }

    fn held_elsewhere(&self, cause: &Explanation) -> usize {
        let mut held = BTreeSet::new();
        for parent in self.parents.iter().filter(|(_, parent)| parent.is_open).map(|(name, _)| name) {
            let cases = self.members(parent).filter_map(|name| self.cases.get(name));
            let machines = cases.filter(|case| case.is_open()).map(|case| case.opening.machine.as_str());
            held.extend(machines.filter(|machine| cause.machines.contains(*machine)));
        }
        held.len()
    }

    /// Narrower parents end of which everything that is open is explained by the new one.
    fn absorb(&mut self, by: &str, new: &Parent, now: Timestamp, judged: &mut Judged) {
        let window = self.limits.window;
        let mut absorbed = Vec::new();
        for (name, parent) in self.parents.iter().filter(|(_, parent)| parent.is_open) {
            let mut open = self.members(name).filter_map(|name| self.cases.get(name)).filter(|c| c.is_open());
            if elapsed(parent.opened_at, now) <= window && open.all(|case| new.reaches(&case.opening, window))
            {
                absorbed.push(name.clone());
            }
        }
        for name in absorbed {
            let Some(parent) = self.parents.get_mut(&name) else { continue };
            parent.clear(now, format!("{by} explains it"));
            self.touched.extend(self.members.get(&name).into_iter().flatten().cloned());
            judged.parents.insert(name);
        }
    }

    /// Whether something holds a problem, and what.
    fn settle(&mut self, name: &str, judged: &mut Judged) {
        let Some(case) = self.cases.get(name) else { return };
        let parent = self.wanted(case);
        if let Some(holder) = self.parents.get_mut(&parent).filter(|parent| parent.is_open)
            && case.is_open()
            && holder.machines.insert(case.opening.machine.clone())
        {
            let machines = u32::try_from(holder.machines.len()).unwrap_or(u32::MAX);
            if holder.suspect.machines < machines {
                holder.suspect.machines = machines;
                holder.suspect.of = holder.suspect.of.max(machines);
                holder.last_seen = holder.last_seen.max(case.opening.at);
                judged.parents.insert(parent.clone());
            }
        }
        if parent == case.parent {
            return;
        }
        let before = case.parent.clone();
        self.leave(name, &before);
        self.join(name, &parent);
        judged.problems.insert(name.to_owned());
        if let Some(case) = self.cases.get_mut(name) {
            case.parent = parent;
        }
    }

    fn wanted(&self, case: &Case) -> String {
        let window = self.limits.window;
        let holder = self.parents.get(&case.parent);
        if holder.is_some_and(|parent| parent.is_open) {
            return case.parent.clone();
        }
        if case.is_open() {
            let reaching = self.parents.iter().filter(|(_, parent)| parent.reaches(&case.opening, window));
            if let Some((name, _)) = reaching.min_by_key(|(name, parent)| (parent.suspect.kind, *name)) {
                return name.clone();
            }
        }
        let shown_again = holder.and_then(|parent| parent.cleared_at).is_none_or(|cleared_at| {
            case.state == State::Clear || case.last_seen.is_some_and(|seen| cleared_at < seen)
        });
        if shown_again { String::new() } else { case.parent.clone() }
    }

    fn close(&mut self, now: Timestamp, judged: &mut Judged) {
        let Closing { below_percent, quiet } = self.closing;
        for (name, parent) in self.parents.iter_mut().filter(|(_, parent)| parent.is_open) {
            let members = self.members.get(name).into_iter().flatten();
            let cases = members.filter_map(|member| self.cases.get(member)).filter(|case| case.is_open());
            let left = cases.map(|case| case.opening.machine.as_str()).collect::<BTreeSet<_>>().len();
            let is_few = left == 0 || left as u64 * 100 < u64::from(below_percent * parent.suspect.machines);
            if !is_few {
                parent.quiet_since = None;
                continue;
            }
            let since = *parent.quiet_since.get_or_insert(now);
            if quiet <= elapsed(since, now) {
                parent.clear(now, format!("{left} of {} machines are left", parent.suspect.machines));
                self.touched.extend(self.members.get(name).into_iter().flatten().cloned());
                judged.parents.insert(name.clone());
            }
        }
        for name in std::mem::take(&mut self.touched) {
            self.settle(&name, judged);
        }
    }

    fn join(&mut self, problem: &str, parent: &str) {
        if !parent.is_empty() {
            self.members.entry(parent.to_owned()).or_default().insert(problem.to_owned());
        }
    }

    fn leave(&mut self, problem: &str, parent: &str) {
        if let Some(members) = self.members.get_mut(parent) {
            members.remove(problem);
            if members.is_empty() {
                self.members.remove(parent);
            }
        }
    }
}

impl Parent {
    fn clear(&mut self, now: Timestamp, evidence: String) {
        self.is_open = false;
        self.cleared_at = Some(now);
        self.quiet_since = None;
        self.evidence = evidence;
    }
}
