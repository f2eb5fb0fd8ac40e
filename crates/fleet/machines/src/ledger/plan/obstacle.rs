//! Why a machine cannot be disturbed now.

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::{Disruption, Machine};

use super::board::Domain;
use super::desk::Desk;
use super::limit;
use super::name;
use super::standing::{Standing, standing};

/// What a request waits for.
pub(super) struct Block {
    /// The stable word for it.
    pub(super) by: String,
    /// What the reason begins with: as long as that is so, nothing is rewritten.
    pub(super) head: String,
    /// The rest, with numbers as of now.
    pub(super) tail: String,
    /// When it ends by itself.
    pub(super) at: Option<Timestamp>,
    /// Whether it ends when others give their places back.
    pub(super) full: bool,
}

impl<'a> Desk<'a> {
    /// The first thing in the way; every limit in the way counts the request as waiting.
    pub(super) fn obstacle(&mut self, request: &'a Disruption, machine: &'a Machine) -> Option<Block> {
        let name = name(machine);
        if let Some(holder) = self.held.get(name).copied() {
            // What destroys is asked for beside the leave to disturb, by the same run: the machine is down for it already.
            if request.spec.act.is_some() && !request.spec.run.is_empty() && request.spec.run == holder {
                return self.radius(request, machine);
            }
            let head = format!("machine {name} is already disturbed under another grant");
            return Some(Block {
                by: format!("Machine/{name}"),
                head,
                tail: String::new(),
                at: None,
                full: false,
            });
        }
        let ids = self.board.of(machine);
        let is_down = standing(machine) == Standing::Down;
        let mut blocks = Vec::new();
        let mut free = Vec::new();
        for id in ids {
            let mut room = true;
            for index in self.board.tallies[id].limits.clone() {
                if let Some(block) = self.blocked(index, is_down) {
                    self.limits[index].waiting += 1;
                    blocks.push(block);
                    room = false;
                }
            }
            if room {
                free.push(id);
            }
        }
        blocks.extend(self.radius(request, machine));
        let patient = self.waited(request) < self.world.timing.kept_after;
        if !blocks.is_empty() && !patient && !is_down && blocks.iter().all(|block| block.full) {
            self.keep(request, &free);
        }
        blocks.into_iter().next()
    }

    /// Keeps a place in every domain that has one.
    fn keep(&mut self, request: &'a Disruption, free: &[usize]) {
        for id in free {
            let tally = &mut self.board.tallies[*id];
            if tally.kept == 0 {
                tally.kept_for = request.metadata.name.as_deref().unwrap_or_default();
            }
            tally.kept += 1;
        }
    }

    /// A machine that is down already takes nothing more from service, but not more than the budget are worked on.
    fn blocked(&self, index: usize, is_down: bool) -> Option<Block> {
        let limit = &self.limits[index];
        let tally = &self.board.tallies[limit.domain];
        let (source, max, now) = (limit.source, limit.max, self.world.now);
        let block =
            |head: String, tail: String, at, full| Some(Block { by: source.word(), head, tail, at, full });
        if let Some((reason, until)) = limit.frozen {
            return block(
                format!("{source} is frozen until {until}: {reason}"),
                String::new(),
                Some(until),
                false,
            );
        }
        let head = format!("{source} allows {max} at once");
        if is_down {
            let tail = format!(", and {} were under a grant at {now}", tally.granted);
            return if max <= tally.granted { block(head, tail, None, 0 < max) } else { None };
        }
        if max <= tally.down {
            let tail = format!(", and {} counted as down at {now} ({})", tally.down, tally.names());
            return block(head, tail, None, 0 < max);
        }
        if max <= tally.down + tally.kept {
            let head = format!("{source} keeps its last place for {}", tally.kept_for);
            return block(head, ", which waits longest".to_owned(), None, true);
        }
        None
    }

    /// How far a destruction may reach, asked for now or intended.
    fn radius(&mut self, request: &Disruption, machine: &'a Machine) -> Option<Block> {
        let act = request.spec.act.or(request.spec.intends)?.as_str();
        let spec = &machine.spec;
        let rack = (!spec.rack.is_empty()).then_some(Domain::Rack(&spec.site, &spec.rack));
        for domain in [Some(Domain::Role(&spec.role)), rack].into_iter().flatten() {
            let id = self.board.id(domain);
            let Some(max) = limit::destruction(domain, id, &self.board, &self.limits) else { continue };
            let so_far = self.board.tallies[id].destroyed;
            if so_far < max {
                continue;
            }
            let (what, word) = match domain {
                Domain::Rack(site, rack) => {
                    (format!("rack {rack} of site {site}"), format!("Rack/{site}/{rack}"))
                }
                Domain::Role(role) => (format!("role {role:?}"), format!("Role/{role}")),
                Domain::Machine(name) | Domain::Site(name) => (name.to_owned(), name.to_owned()),
            };
            let head =
                format!("{act} of more than {max} machines of {what} within 24 hours needs a person's word");
            let tail = format!(
                "; {so_far} so far at {}; approve more with spec.destruction of a DisruptionBudget of that scope ({})",
                self.world.now,
                request.name_any()
            );
            return Some(Block { by: format!("Destruction/{word}"), head, tail, at: None, full: false });
        }
        None
    }
}
