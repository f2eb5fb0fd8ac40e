//! One request after the other, over counters that move with each grant.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::time::Duration;

use foldhash::fast::RandomState;
use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::disruption::{Counted, DisruptionPhase, DisruptionStatus};
use muster_api::{Disruption, Machine};
use muster_base::clock::elapsed;
use muster_brake::{Act, Hold, holds};

use super::board::Board;
use super::limit::{self, Limit};
use super::obstacle::Block;
use super::standing::{Standing, standing};
use super::{
    BATCH_MAX, DESTROYED_COUNTS, Decision, KEPT_WHEN_OVER, Plan, World, end, is_over, name, phase, version,
};

/// A grant stays held so long at least: an actor that had looked just before the hold has begun by then, or looks again.
const HOLD_MIN: Duration = Duration::from_secs(1);

/// What is to be done about one request.
enum Verdict {
    /// What stands is right.
    Keep,
    Write(DisruptionStatus),
    Grant(DisruptionStatus),
}

/// The state of one planning.
pub(super) struct Desk<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) board: Board<'a>,
    pub(super) limits: Vec<Limit<'a>>,
    /// The machines requests are about.
    machines: HashMap<&'a str, &'a Machine>,
    /// The machines under a grant, and the run that has it; empty for a person.
    pub(super) held: HashMap<&'a str, &'a str>,
    /// What each pause holds: grants and requests.
    pub(super) paused: HashMap<String, (u32, u32)>,
    pub(super) plan: Plan,
}

impl<'a> Desk<'a> {
    pub(super) fn new(world: &'a World<'a>) -> Self {
        let mut board = Board::default();
        limit::announce(&mut board, world.budgets);
        let mut desk = Self {
            world,
            board,
            limits: Vec::new(),
            machines: HashMap::new(),
            held: HashMap::new(),
            paused: HashMap::new(),
            plan: Plan::default(),
        };
        desk.count_machines();
        desk.limits = limit::all(&mut desk.board, world.budgets, world.now);
        desk.count_destroyed();
        desk
    }

    /// The newest version known of each machine. One that was written later than that counts as down until it is read.
    fn count_machines(&mut self) {
        let world = self.world;
        let wanted: HashSet<&str, RandomState> = world
            .requests
            .iter()
            .filter(|request| !is_over(phase(request)))
            .map(|request| request.spec.machine.as_str())
            .collect();
        let mut written: HashMap<&str, u64, RandomState> = HashMap::default();
        for request in world.requests.iter().filter(|request| phase(request) == DisruptionPhase::Released) {
            let seen = request.status.as_ref().and_then(|status| status.machine_version.parse().ok());
            let newest = written.entry(&request.spec.machine).or_insert(0);
            *newest = (*newest).max(seen.unwrap_or(0));
        }
        let mut read: BTreeSet<&str> = BTreeSet::new();
        let fresh_of = |name: &str| world.fresh.get(name);
        for watched in world.machines {
            let mut machine: &'a Machine = watched;
            match fresh_of(name(watched)) {
                Some(None) => continue,
                Some(Some(fresh)) => {
                    read.insert(name(watched));
                    if version(machine) < version(fresh) {
                        machine = fresh;
                    }
                }
                None => {}
            }
            let behind = written.remove(name(watched)).is_some_and(|newest| version(machine) < newest);
            self.count(machine, behind, &wanted);
        }
        for (name, fresh) in world.fresh {
            written.remove(name.as_str());
            if let Some(fresh) = fresh.as_ref().filter(|_| !read.contains(name.as_str())) {
                self.count(fresh, false, &wanted);
            }
        }
        for (name, _) in written.into_iter().filter(|(_, newest)| 0 < *newest) {
            self.look_at(name);
        }
    }

    fn count(&mut self, machine: &'a Machine, behind: bool, wanted: &HashSet<&str, RandomState>) {
        if behind {
            self.look_at(name(machine));
        }
        self.board.add(machine, if behind { Standing::Down } else { standing(machine) });
        if wanted.contains(name(machine)) {
            self.machines.insert(name(machine), machine);
        }
    }

    fn count_destroyed(&mut self) {
        for request in self.world.requests.iter().filter(|request| request.spec.act.is_some()) {
            let Some(status) = &request.status else { continue };
            let recent = status.granted_at.filter(|at| elapsed(*at, self.world.now) < DESTROYED_COUNTS);
            if let Some(place) = status.counted.as_ref().filter(|_| recent.is_some()) {
                self.board.destroyed(place);
            }
        }
    }

    /// Has a machine read anew, in the next round where no more fit into this one.
    fn look_at(&mut self, name: &str) {
        if self.plan.look_at.len() < BATCH_MAX {
            self.plan.look_at.insert(name.to_owned());
        } else {
            self.plan.more = true;
        }
    }

    /// Whether the machine was read in this round; if not, it is asked for.
    fn is_fresh(&mut self, name: &str) -> bool {
        self.world.fresh.contains_key(name) || {
            self.look_at(name);
            false
        }
    }

    pub(super) fn look_again(&mut self, at: Option<Timestamp>) {
        if let Some(at) = at {
            self.plan.look_again_at = Some(self.plan.look_again_at.map_or(at, |sooner| sooner.min(at)));
        }
    }

    pub(super) fn take(&mut self, request: &'a Disruption) {
        let old = request.status.clone().unwrap_or_default();
        let request_name = request.name_any();
        let verdict = match old.phase {
            DisruptionPhase::Denied | DisruptionPhase::Released => self.over(request, &old),
            DisruptionPhase::Waiting | DisruptionPhase::Granted => self.judge(request, &old),
        };
        let (status, list) = match verdict {
            Verdict::Keep => return,
            Verdict::Write(status) => (status, &mut self.plan.decisions),
            Verdict::Grant(status) => (status, &mut self.plan.grants),
        };
        list.push(Decision { request: request_name, status });
    }

    /// What is over is forgotten when nobody can want it any more.
    fn over(&mut self, request: &Disruption, old: &DisruptionStatus) -> Verdict {
        let kept = if request.spec.act.is_some() { DESTROYED_COUNTS } else { KEPT_WHEN_OVER };
        let Some(end) = old.ended_at.and_then(|at| at.checked_add(kept).ok()) else { return Verdict::Keep };
        let wanted = !request.spec.run.is_empty() && !self.world.lost.contains_key(&request.name_any());
        if end <= self.world.now && !wanted && self.plan.forget.len() < BATCH_MAX {
            self.plan.forget.push(request.name_any());
        } else if self.world.now < end {
            self.look_again(Some(end));
        }
        Verdict::Keep
    }

    fn judge(&mut self, request: &'a Disruption, old: &DisruptionStatus) -> Verdict {
        let machine = self.machines.get(request.spec.machine.as_str()).copied();
        let hold = holds(machine, self.world.pauses, self.world.now).on(Act::Disrupts).cloned();
        let end = end(request, self.world.now);
        let over = if request.spec.released {
            Some("given back".to_owned())
        } else if let Some(what) = self.world.lost.get(&request.name_any()) {
            Some(what.clone())
        } else {
            (end <= self.world.now && hold.is_none()).then(|| "ran out: its time was over".to_owned())
        };
        if hold.is_none() {
            self.look_again(Some(end).filter(|end| self.world.now < *end));
        }
        match (over, old.phase == DisruptionPhase::Granted) {
            (Some(why), true) => self.end_grant(request, machine, old, &why),
            (Some(why), false) => Verdict::Write(ended(old, DisruptionPhase::Released, &why, self.world.now)),
            (None, true) => self.granted(request, machine, old, hold, end),
            (None, false) => self.waiting(request, machine, old, hold, end),
        }
    }

    /// Ends a grant; its place is free in the next round, when that is written. A machine whose newest state nobody knows
    /// is read first, for what it is counts on.
    fn end_grant(
        &mut self,
        request: &'a Disruption,
        machine: Option<&'a Machine>,
        old: &DisruptionStatus,
        why: &str,
    ) -> Verdict {
        self.count_grant(request, machine);
        if !self.is_fresh(&request.spec.machine) {
            return Verdict::Keep;
        }
        self.plan.more = true;
        let mut status = ended(old, DisruptionPhase::Released, why, self.world.now);
        status.machine_version =
            machine.and_then(|machine| machine.metadata.resource_version.clone()).unwrap_or_default();
        Verdict::Write(status)
    }

    fn count_grant(&mut self, request: &'a Disruption, machine: Option<&'a Machine>) {
        if let Some(machine) = machine
            && let Entry::Vacant(free) = self.held.entry(name(machine))
        {
            free.insert(&request.spec.run);
            let counted = request.status.as_ref().and_then(|status| status.counted.as_ref());
            self.board.grant(machine, counted);
        }
    }

    fn granted(
        &mut self,
        request: &'a Disruption,
        machine: Option<&'a Machine>,
        old: &DisruptionStatus,
        hold: Option<Hold>,
        end: Timestamp,
    ) -> Verdict {
        let Some(machine) = machine else {
            return match self.is_fresh(&request.spec.machine) {
                true => self.end_grant(request, None, old, "its machine is not there any more"),
                false => Verdict::Keep,
            };
        };
        match (hold, old.held_since) {
            (Some(hold), since) => {
                self.count_grant(request, Some(machine));
                self.paused.entry(hold.by.clone()).or_default().0 += 1;
                self.look_again(hold.until);
                if since.is_some() && old.blocked_by == hold.by {
                    return Verdict::Keep;
                }
                let reason = format!("granted, and held: {hold}");
                let held_since = Some(since.unwrap_or(self.world.now));
                Verdict::Write(DisruptionStatus { reason, held_since, blocked_by: hold.by, ..old.clone() })
            }
            (None, Some(since)) if elapsed(since, self.world.now) < HOLD_MIN => {
                self.count_grant(request, Some(machine));
                self.look_again(since.checked_add(HOLD_MIN).ok());
                Verdict::Keep
            }
            (None, Some(_)) if !self.is_fresh(name(machine)) => {
                self.count_grant(request, Some(machine));
                Verdict::Keep
            }
            (None, Some(_)) => self.after_hold(request, machine, old, end),
            (None, None) => {
                self.count_grant(request, Some(machine));
                Verdict::Keep
            }
        }
    }

    /// A grant under which a run has not begun anything is decided anew in the next round; nothing is lost, for its age
    /// stays and its place is kept until then.
    fn after_hold(
        &mut self,
        request: &'a Disruption,
        machine: &'a Machine,
        old: &DisruptionStatus,
        end: Timestamp,
    ) -> Verdict {
        let kept = DisruptionStatus {
            held_since: None,
            blocked_by: String::new(),
            ends_at: Some(end),
            ..old.clone()
        };
        self.count_grant(request, Some(machine));
        if standing(machine) == Standing::Up && !request.spec.run.is_empty() {
            self.plan.more = true;
            let reason = "the hold is over, nothing was begun: it is decided anew".to_owned();
            return Verdict::Write(DisruptionStatus {
                phase: DisruptionPhase::Waiting,
                reason,
                granted_at: None,
                counted: None,
                look_again_at: Some(self.world.now),
                ..kept
            });
        }
        Verdict::Write(DisruptionStatus {
            reason: "granted; looked at again after a hold".to_owned(),
            ..kept
        })
    }

    fn waiting(
        &mut self,
        request: &'a Disruption,
        machine: Option<&'a Machine>,
        old: &DisruptionStatus,
        hold: Option<Hold>,
        end: Timestamp,
    ) -> Verdict {
        let Some(machine) = machine else {
            if !self.is_fresh(&request.spec.machine) {
                return Verdict::Keep;
            }
            let reason = format!("spec.machine: there is no Machine {:?}", request.spec.machine);
            return Verdict::Write(ended(old, DisruptionPhase::Denied, &reason, self.world.now));
        };
        if let Some(hold) = hold {
            self.paused.entry(hold.by.clone()).or_default().1 += 1;
            let held_since = Some(old.held_since.unwrap_or(self.world.now));
            let block =
                Block { by: hold.by, head: hold.text, tail: String::new(), at: hold.until, full: false };
            return self.wait(request, DisruptionStatus { held_since, ..old.clone() }, block);
        }
        let ends_at = if old.held_since.is_some() { Some(end) } else { old.ends_at };
        let old_unheld = DisruptionStatus { held_since: None, ends_at, ..old.clone() };
        if let Some((wanted, seen)) = self.wrong_phase(request, machine) {
            if !self.is_fresh(name(machine)) {
                return Verdict::Keep;
            }
            let reason = format!("spec.phase: machine {} is {seen}, not {wanted}", name(machine));
            return Verdict::Write(ended(old, DisruptionPhase::Denied, &reason, self.world.now));
        }
        match self.obstacle(request, machine) {
            Some(block) => self.wait(request, old_unheld, block),
            None => self.grant(request, machine, end),
        }
    }

    fn wrong_phase(&self, request: &Disruption, machine: &Machine) -> Option<(&'static str, &'static str)> {
        let wanted = request.spec.act.and(request.spec.phase)?;
        let seen = machine.status.as_ref().map(|status| status.phase).unwrap_or_default();
        (wanted != seen).then(|| (wanted.as_str(), seen.as_str()))
    }

    fn grant(&mut self, request: &'a Disruption, machine: &'a Machine, end: Timestamp) -> Verdict {
        let sure = self.is_fresh(name(machine)) && self.plan.grants.len() < BATCH_MAX;
        self.count_grant(request, Some(machine));
        if !sure {
            self.plan.more |= self.world.fresh.contains_key(name(machine));
            return Verdict::Keep;
        }
        let spec = &machine.spec;
        let counted = Counted { site: spec.site.clone(), rack: spec.rack.clone(), role: spec.role.clone() };
        if request.spec.act.is_some() {
            self.board.destroyed_at(machine);
        }
        Verdict::Grant(DisruptionStatus {
            phase: DisruptionPhase::Granted,
            reason: "granted".to_owned(),
            granted_at: Some(self.world.now),
            ends_at: Some(end),
            counted: Some(counted),
            ..DisruptionStatus::default()
        })
    }

    /// Says why it waits; what stands is rewritten when its cause is another one, or when its time is over. The numbers
    /// in a reason are those of the time it was written.
    fn wait(&mut self, request: &Disruption, old: DisruptionStatus, block: Block) -> Verdict {
        let now = self.world.now;
        let stood = request.status.as_ref().is_some_and(|stands| {
            stands.reason.starts_with(&block.head)
                && (&stands.blocked_by, stands.held_since, stands.ends_at)
                    == (&block.by, old.held_since, old.ends_at)
                && stands.look_again_at.is_some_and(|at| now < at)
        });
        if stood {
            self.look_again(old.look_again_at);
            return Verdict::Keep;
        }
        let timing = self.world.timing;
        let rest = (self.waited(request) / 2).clamp(timing.look_again_every, timing.look_again_max);
        let soon = now.checked_add(rest).unwrap_or(now);
        let end = Some(end(request, now)).filter(|end| now < *end && old.held_since.is_none());
        let at = [block.at, end].into_iter().flatten().fold(soon, Timestamp::min);
        self.look_again(Some(at));
        Verdict::Write(DisruptionStatus {
            phase: DisruptionPhase::Waiting,
            reason: format!("{}{}", block.head, block.tail),
            blocked_by: block.by,
            look_again_at: Some(at),
            ..old
        })
    }

    pub(super) fn waited(&self, request: &Disruption) -> Duration {
        request
            .metadata
            .creation_timestamp
            .as_ref()
            .map_or(Duration::ZERO, |at| elapsed(at.0, self.world.now))
    }
}

fn ended(old: &DisruptionStatus, phase: DisruptionPhase, reason: &str, now: Timestamp) -> DisruptionStatus {
    DisruptionStatus {
        phase,
        reason: reason.to_owned(),
        look_again_at: None,
        blocked_by: String::new(),
        held_since: None,
        ended_at: Some(now),
        ..old.clone()
    }
}
