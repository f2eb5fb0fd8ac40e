//! What holds on one machine, and whom.

use std::borrow::Borrow;
use std::fmt;

use jiff::Timestamp;
use kube::ResourceExt as _;
use muster_api::Machine;
use muster_api::order::Verb;
use muster_api::pause::Pause;

/// What somebody is about to do to a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It looks at the machine, or adds what disturbs nothing.
    Touches,
    /// It may take something from service.
    Disrupts,
}

impl Act {
    /// What an order does.
    pub fn of(verb: Verb) -> Self {
        if verb.is_disruptive() { Self::Disrupts } else { Self::Touches }
    }
}

/// Why something may not begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// What holds, as a stable word: `Pause/NAME`, `handsOff`.
    pub by: String,
    /// Who and why, for people.
    pub text: String,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// What holds on one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds {
    /// Holds what disrupts.
    pub pause: Option<Hold>,
    /// Holds everything.
    pub hands_off: Option<Hold>,
}

impl Holds {
    /// What holds back `act`.
    pub fn on(&self, act: Act) -> Option<&Hold> {
        let pause = match act {
            Act::Touches => None,
            Act::Disrupts => self.pause.as_ref(),
        };
        self.hands_off.as_ref().or(pause)
    }
}

/// What holds on `machine`. One that is not in the database is held by every pause: its site is not known.
pub fn holds<P: Borrow<Pause>>(
    machine: Option<&Machine>,
    pauses: impl IntoIterator<Item = P>,
    now: Timestamp,
) -> Holds {
    let site = machine.map(|machine| machine.spec.site.as_str());
    let mut pause: Option<Hold> = None;
    for candidate in pauses {
        let candidate = candidate.borrow();
        if site.is_none_or(|site| candidate.spec.holds_in(site)) {
            let held = paused(candidate);
            pause = Some(pause.filter(|first| first.by <= held.by).unwrap_or(held));
        }
    }
    let hands_off = machine.and_then(|machine| hands_off(machine, now));
    Holds { pause, hands_off }
}

fn paused(pause: &Pause) -> Hold {
    let place =
        pause.spec.site.as_deref().map_or_else(|| "everywhere".to_owned(), |s| format!("in site {s}"));
    let mut text = format!("paused {place}");
    if !pause.spec.by.is_empty() {
        text.push_str(&format!(" by {}", pause.spec.by));
    }
    if !pause.spec.reason.is_empty() {
        text.push_str(&format!(": {}", pause.spec.reason));
    }
    Hold { by: format!("Pause/{}", pause.name_any()), text, until: None }
}

fn hands_off(machine: &Machine, now: Timestamp) -> Option<Hold> {
    let wish = machine.spec.hands_off.as_ref().filter(|wish| now < wish.until)?;
    let text = format!("hands off until {} by {}: {}", wish.until, wish.by, wish.reason);
    Some(Hold { by: "handsOff".to_owned(), text, until: Some(wish.until) })
}

#[cfg(test)]
mod tests {
    use muster_api::machine::{HandsOff, MachineSpec};
    use muster_api::pause::PauseSpec;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn machine(hands_off_until: Option<i64>) -> Machine {
        let hands_off = hands_off_until.map(|until| HandsOff {
            until: at(until),
            by: "ops".into(),
            reason: "forensics".into(),
        });
        Machine::new("m1", MachineSpec { site: "a".into(), hands_off, ..MachineSpec::default() })
    }

    fn pause(site: Option<&str>, reason: &str) -> Pause {
        let spec = PauseSpec {
            site: site.map(str::to_owned),
            everywhere: site.is_none(),
            by: "ops".into(),
            reason: reason.into(),
        };
        Pause::new(&muster_api::pause::name(site), spec)
    }

    fn told(holds: &Holds, act: Act) -> String {
        holds.on(act).map_or_else(|| "free".to_owned(), |hold| format!("{}: {hold}", hold.by))
    }

    #[test]
    fn a_pause_holds_what_disrupts_where_it_holds_and_hands_off_holds_everything() {
        let free = holds(Some(&machine(None)), [pause(Some("b"), "x")], at(0));
        assert_eq!((told(&free, Act::Disrupts), told(&free, Act::Touches)), ("free".into(), "free".into()));
        let paused = holds(Some(&machine(None)), [pause(Some("a"), "flood"), pause(None, "")], at(0));
        assert_eq!(told(&paused, Act::Disrupts), "Pause/everywhere: paused everywhere by ops");
        assert_eq!(told(&paused, Act::Touches), "free");
        let kept = holds(Some(&machine(Some(5))), [pause(Some("a"), "flood")], at(0));
        let text = "handsOff: hands off until 2027-01-15T08:00:05Z by ops: forensics";
        assert_eq!((told(&kept, Act::Disrupts), told(&kept, Act::Touches)), (text.into(), text.into()));
        let over = holds(Some(&machine(Some(5))), [pause(Some("a"), "flood")], at(5));
        assert_eq!(told(&over, Act::Disrupts), "Pause/site-a: paused in site a by ops: flood");
    }

    #[test]
    fn a_machine_nobody_knows_is_held_by_any_pause() {
        let held = holds(None, [pause(Some("b"), "x")], at(0));
        assert_eq!(told(&held, Act::Disrupts), "Pause/site-b: paused in site b by ops: x");
        assert_eq!(told(&holds(None, Vec::<Pause>::new(), at(0)), Act::Disrupts), "free");
    }
}
