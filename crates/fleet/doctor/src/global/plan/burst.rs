//! Which cause many failures of one moment have in common.
//!
//! Of the machines that failed within the window, each rack, feed, site, image, firmware and rule is asked: what share of
//! its machines failed (*share*), and what part of the burst is that (*cover*)? The suspect is the one whose share times
//! cover is largest, the narrowest on a tie; what it explains is taken away and the rest is asked again. Nothing is
//! suspected below the limits, nor where chance alone would do it: with the rate of failures elsewhere, the chance that so
//! many of a domain fail, times the number of such domains, must be below one in a thousand (the bound of Chernoff); and
//! half of a domain's machines must show the same class, for one cause shows itself alike.
//! Measured by Ford et al., OSDI 2010: 37 % of failures come in bursts of two and more within 120 s, and the large
//! bursts belong to racks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use muster_api::problem::{Suspect, SuspectKind};

use super::place::{Census, Place};

#[cfg(test)]
mod tests;

/// What the global doctor finds itself: no rule of a local doctor can be to blame for it.
pub const SILENT: &str = "machine.silent";
/// The other class it finds itself.
pub const UNREACHABLE: &str = "bmc.unreachable";
/// A machine that does less than its like.
pub const SLOW: &str = "slow";

/// Machines named as examples.
const EXAMPLES: usize = 5;
/// Causes looked for in one burst.
const CAUSES_MAX: usize = 64;
/// As if besides the machines elsewhere a thousand more had been watched and one had failed: without it nothing could be
/// said of a fleet that fails as a whole.
const ELSEWHERE_MACHINES: f64 = 1000.0;
/// The rate that was seen elsewhere counts in full only where there are more machines than these.
const ELSEWHERE_FEW: f64 = 10.0;
/// How likely a coincidence among all domains of a kind may be.
const COINCIDENCE: f64 = 0.001;

/// When a cause is suspected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Failures within it belong to one burst.
    pub window: Duration,
    /// Machines of a rack or a feed that must have failed at least.
    pub rack_machines: u32,
    /// Of the machines of a rack or a feed, in percent.
    pub rack_percent: u32,
    /// Machines of a site that must have failed at least.
    pub site_machines: u32,
    /// Of the machines of a site, in percent.
    pub site_percent: u32,
    /// Machines with an image or a firmware that must have failed at least.
    pub bearer_machines: u32,
    /// Of the machines with an image or a firmware, in percent.
    pub bearer_percent: u32,
    /// Machines that one rule must have found at least.
    pub rule_machines: u32,
    /// Of the fleet or of a site, in percent.
    pub rule_percent: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(120),
            rack_machines: 3,
            rack_percent: 50,
            site_machines: 5,
            site_percent: 20,
            bearer_machines: 5,
            bearer_percent: 20,
            rule_machines: 5,
            rule_percent: 20,
        }
    }
}

/// A Problem that opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// On which machine.
    pub machine: String,
    /// When.
    pub at: Timestamp,
    /// Its class.
    pub class: String,
    /// The rule that found it; empty: its class stands for it.
    pub rule: String,
    /// What the machine has in common with others.
    pub place: Place,
}

impl Opening {
    /// The rule that may be wrong, if it was one.
    pub fn rule(&self) -> Option<&str> {
        match self.class.as_str() {
            SILENT | UNREACHABLE | SLOW => None,
            class if self.rule.is_empty() => Some(class),
            _ => Some(&self.rule),
        }
    }

    /// Whether a suspect reaches it.
    pub fn is_reached_by(&self, suspect: &Suspect) -> bool {
        let by_rule = suspect.kind != SuspectKind::Rule || self.rule() == Some(suspect.name.as_str());
        by_rule && self.place.is_reached_by(suspect)
    }
}

/// A suspect, and what speaks against it.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// The suspect.
    pub suspect: Suspect,
    /// Machines in the burst, explained by it or not.
    pub burst: u32,
    /// Machines it explains.
    pub machines: BTreeSet<String>,
}

impl Explanation {
    /// For people.
    pub fn evidence(&self, window: Duration) -> String {
        let Suspect { kind, name, machines, of, .. } = &self.suspect;
        let named: Vec<&str> = self.machines.iter().take(EXAMPLES).map(String::as_str).collect();
        let whose = if *kind == SuspectKind::Rule {
            format!("by rule {name}")
        } else {
            format!("of {} {name}", kind.as_str())
        };
        format!(
            "{machines} of {of} machines {whose} failed within {} s, of {} in all: {}{}",
            window.as_secs(),
            self.burst,
            named.join(", "),
            if named.len() < self.machines.len() { " …" } else { "" }
        )
    }
}

/// A machine that failed, with everything that opened on it.
struct Fallen<'a> {
    place: &'a Place,
    classes: BTreeSet<&'a str>,
    rules: BTreeSet<&'a str>,
}

/// What failed of one domain.
struct Tally<'a> {
    machines: u32,
    place: &'a Place,
    /// Whether it is more than one rack.
    racks: bool,
    /// Rules that found every one of them.
    common: BTreeSet<&'a str>,
    /// Machines by class.
    classes: BTreeMap<&'a str, u32>,
}

impl<'a> Tally<'a> {
    fn first(fallen: &Fallen<'a>) -> Self {
        let place = fallen.place;
        let classes = fallen.classes.iter().map(|class| (*class, 1)).collect();
        Self { machines: 1, place, racks: place.rack.is_empty(), common: fallen.rules.clone(), classes }
    }

    fn add(&mut self, fallen: &Fallen<'a>) {
        self.machines += 1;
        self.racks |= fallen.place.rack != self.place.rack;
        if !self.common.is_empty() {
            self.common.retain(|rule| fallen.rules.contains(rule));
        }
        for class in &fallen.classes {
            *self.classes.entry(class).or_insert(0) += 1;
        }
    }

    /// Half of them show the same.
    fn is_alike(&self) -> bool {
        self.classes.values().any(|machines| self.machines <= 2 * machines)
    }
}

struct Candidate {
    suspect: Suspect,
    score: f64,
}

/// The causes of one burst, the one that explains most first. `openings` are those within one window.
pub fn explain<'a>(
    openings: impl Iterator<Item = &'a Opening>,
    census: &Census,
    limits: &Limits,
) -> Vec<Explanation> {
    let mut left: BTreeMap<&str, Fallen<'a>> = BTreeMap::new();
    for opening in openings {
        let (classes, rules) = (BTreeSet::new(), BTreeSet::new());
        let fallen = left.entry(opening.machine.as_str()).or_insert_with(|| Fallen {
            place: &opening.place,
            classes,
            rules,
        });
        fallen.classes.insert(&opening.class);
        fallen.rules.extend(opening.rule());
    }
    let mut causes = Vec::new();
    while causes.len() < CAUSES_MAX {
        let burst = whole(left.len());
        let Some(best) = best(&left, census, limits) else { break };
        let reached: BTreeSet<String> = left
            .iter()
            .filter(|(_, fallen)| reaches(&best.suspect, fallen))
            .map(|(name, _)| (*name).to_owned())
            .collect();
        left.retain(|name, _| !reached.contains(*name));
        causes.push(Explanation { suspect: best.suspect, burst, machines: reached });
    }
    causes
}

fn reaches(suspect: &Suspect, fallen: &Fallen<'_>) -> bool {
    let by_rule = suspect.kind != SuspectKind::Rule || fallen.rules.contains(suspect.name.as_str());
    by_rule && fallen.place.is_reached_by(suspect)
}

fn best(left: &BTreeMap<&str, Fallen<'_>>, census: &Census, limits: &Limits) -> Option<Candidate> {
    let burst = whole(left.len());
    if burst < limits.rack_machines.min(limits.rule_machines) {
        return None;
    }
    let mut tallies: HashMap<(SuspectKind, &str), Tally<'_>> = HashMap::new();
    let mut rules: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
    for fallen in left.values() {
        for kind in SuspectKind::ALL {
            let name = fallen.place.of(kind);
            if !name.is_empty() {
                tallies
                    .entry((kind, name))
                    .and_modify(|tally| tally.add(fallen))
                    .or_insert_with(|| Tally::first(fallen));
            }
        }
        for rule in &fallen.rules {
            *rules.entry(rule).or_default().entry(fallen.place.site.as_str()).or_insert(0) += 1;
        }
    }
    let domains = tallies.iter().filter_map(|((kind, name), tally)| {
        Domain { kind: *kind, name, tally, burst, census, limits }.candidate()
    });
    let rules = rules.iter().filter_map(|(rule, sites)| rule_candidate(rule, sites, burst, census, limits));
    domains.chain(rules).max_by(|one, other| {
        let key = |candidate: &Candidate| (candidate.suspect.kind, candidate.suspect.name.clone());
        one.score.total_cmp(&other.score).then_with(|| key(other).cmp(&key(one)))
    })
}

struct Domain<'a> {
    kind: SuspectKind,
    name: &'a str,
    tally: &'a Tally<'a>,
    burst: u32,
    census: &'a Census,
    limits: &'a Limits,
}

impl Domain<'_> {
    fn candidate(&self) -> Option<Candidate> {
        let Limits { rack_machines, rack_percent, site_machines, site_percent, .. } = *self.limits;
        let failed = self.tally.machines;
        let size = self.census.size(self.kind, self.name).max(failed);
        let fleet = self.census.machines().max(size);
        let (least, percent, spread) = match self.kind {
            SuspectKind::Rack => (rack_machines, rack_percent, false),
            SuspectKind::Power => (rack_machines, rack_percent, true),
            SuspectKind::Site => (site_machines, site_percent, true),
            SuspectKind::Image | SuspectKind::Firmware => {
                (self.limits.bearer_machines, self.limits.bearer_percent, true)
            }
            SuspectKind::Rule => return None,
        };
        // One rule found them all: a place is to blame only if most of it failed and others did not.
        let one_rule = !self.tally.common.is_empty();
        let percent = if one_rule { percent.max(rack_percent) } else { percent };
        let has_elsewhere = size < fleet || !(one_rule || self.is_borne());
        let many = least <= failed && percent * size <= 100 * failed && self.tally.is_alike();
        let is_suspect =
            many && has_elsewhere && (self.tally.racks || !spread) && self.is_no_chance(size, fleet);
        let place = self.tally.place;
        let (name, site) = match self.kind {
            SuspectKind::Power => (place.feed(), place.site.as_str()),
            SuspectKind::Rack => (self.name, place.site.as_str()),
            SuspectKind::Site | SuspectKind::Image | SuspectKind::Firmware | SuspectKind::Rule => {
                (self.name, "")
            }
        };
        let (name, site) = (name.to_owned(), site.to_owned());
        is_suspect.then(|| Candidate {
            suspect: Suspect { kind: self.kind, name, site, machines: failed, of: size },
            score: share(failed, size) * share(failed, self.burst),
        })
    }

    /// What a machine bears wherever it stands.
    fn is_borne(&self) -> bool {
        matches!(self.kind, SuspectKind::Image | SuspectKind::Firmware)
    }

    fn is_no_chance(&self, size: u32, fleet: u32) -> bool {
        let failed = self.tally.machines;
        let (others, machines) = (f64::from(self.burst.saturating_sub(failed)), f64::from(fleet - size));
        let elsewhere =
            ((others + 1.0) / (machines + ELSEWHERE_MACHINES)).max(others / (machines + ELSEWHERE_FEW));
        let rate = share(failed, size);
        if rate <= elsewhere {
            return false;
        }
        let divergence = part(rate, elsewhere) + part(1.0 - rate, 1.0 - elsewhere);
        let domains = whole(self.census.domains(self.kind)).max(1);
        (f64::from(domains) / COINCIDENCE).ln() <= f64::from(size) * divergence
    }
}

/// A rule is suspected of the fleet, or of the one site in which it found anything.
fn rule_candidate(
    rule: &str,
    sites: &BTreeMap<&str, u32>,
    burst: u32,
    census: &Census,
    limits: &Limits,
) -> Option<Candidate> {
    let failed: u32 = sites.values().sum();
    let fleet = census.machines().max(failed);
    let many =
        |failed: u32, of: u32| limits.rule_machines <= failed && limits.rule_percent * of <= 100 * failed;
    let of_site = |site: &str, failed: u32| census.size(SuspectKind::Site, site).max(failed);
    let in_site =
        sites.iter().any(|(site, failed)| !site.is_empty() && many(*failed, of_site(site, *failed)));
    if !many(failed, fleet) && !in_site {
        return None;
    }
    let only = if sites.len() == 1 { sites.keys().next().copied().unwrap_or_default() } else { "" };
    let of = if only.is_empty() { fleet } else { of_site(only, failed) };
    let suspect = Suspect {
        kind: SuspectKind::Rule,
        name: rule.to_owned(),
        site: if of == fleet { String::new() } else { only.to_owned() },
        machines: failed,
        of,
    };
    Some(Candidate { suspect, score: share(failed, of) * share(failed, burst) })
}

fn part(of: f64, against: f64) -> f64 {
    if of <= 0.0 { 0.0 } else { of * (of / against).ln() }
}

fn share(some: u32, all: u32) -> f64 {
    f64::from(some) / f64::from(all.max(1))
}

fn whole(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
