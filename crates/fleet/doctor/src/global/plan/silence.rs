//! When each machine was last heard, and whose word is due: an ordered map of times, touched by what changes alone.
//!
//! A sign of life of a machine that is well costs one write into a map: its time is moved on only when it comes up. What
//! comes up is to be asked for before anything is said ([`Look::Ask`]), for a watch may be behind.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

/// When silence is said, and when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Without a sign of life for so long a machine is asked for, and said to be silent.
    pub after: Duration,
    /// With signs of life again for so long it is not silent any more.
    pub quiet: Duration,
    /// How often what is silent is asked for again.
    pub again: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            after: Duration::from_secs(40),
            quiet: Duration::from_secs(30),
            again: Duration::from_secs(100),
        }
    }
}

/// What is to be done about a machine whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nothing.
    Nothing,
    /// It is to be asked for; then [`Silence::heard`] or [`Silence::silent`] is told.
    Ask,
    /// It speaks again and has done so for long enough: [`Silence::cleared`] is told.
    Clear,
}

#[derive(Clone, Debug)]
struct Entry {
    heard: Timestamp,
    due: Timestamp,
    /// Said to be silent, and since when it speaks again.
    said: Option<Option<Timestamp>>,
}

/// All machines that are listened for.
#[derive(Clone, Debug)]
pub struct Silence {
    limits: Limits,
    /// Nobody could be heard before.
    floor: Timestamp,
    machines: HashMap<Arc<str>, Entry>,
    due: BTreeSet<(Timestamp, Arc<str>)>,
}

fn after(at: Timestamp, wait: Duration) -> Timestamp {
    at.checked_add(wait).unwrap_or(Timestamp::MAX)
}

impl Silence {
    /// Nobody is listened for yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, floor: Timestamp::MIN, machines: HashMap::new(), due: BTreeSet::new() }
    }

    /// Listens for a machine from now on; one that is listened for already stays as it is.
    pub fn expect(&mut self, machine: &str, now: Timestamp) {
        self.enter(machine, now, None, self.limits.after);
    }

    /// Listens for a machine that was said to be silent in an earlier life.
    pub fn expect_silent(&mut self, machine: &str, now: Timestamp) {
        self.enter(machine, now, Some(None), self.limits.after);
        if let Some(entry) = self.machines.get_mut(machine) {
            entry.said.get_or_insert(None);
        }
    }

    fn enter(&mut self, machine: &str, now: Timestamp, said: Option<Option<Timestamp>>, wait: Duration) {
        if self.machines.contains_key(machine) {
            return;
        }
        let (name, due): (Arc<str>, _) = (machine.into(), after(now, wait));
        self.machines.insert(Arc::clone(&name), Entry { heard: now, due, said });
        self.due.insert((due, name));
    }

    /// Listens no longer.
    pub fn forget(&mut self, machine: &str) {
        if let Some((name, entry)) = self.machines.remove_entry(machine) {
            self.due.remove(&(entry.due, name));
        }
    }

    /// Whether the machine is said to be silent.
    pub fn is_said(&self, machine: &str) -> bool {
        self.machines.get(machine).is_some_and(|entry| entry.said.is_some())
    }

    /// When it was last heard.
    pub fn last_heard(&self, machine: &str) -> Option<Timestamp> {
        self.machines.get(machine).map(|entry| entry.heard)
    }

    /// A sign of life.
    pub fn heard(&mut self, machine: &str, now: Timestamp) {
        let Some(entry) = self.machines.get_mut(machine) else { return };
        let paused = after(entry.heard, self.limits.after) < now;
        entry.heard = now;
        if let Some(speaks_since) = &mut entry.said
            && (speaks_since.is_none() || paused)
        {
            *speaks_since = Some(now);
            self.move_to(machine, after(now, self.limits.quiet));
        }
    }

    /// Nobody could be heard until now: what was missed proves nothing.
    pub fn nobody_could_be_heard(&mut self, now: Timestamp) {
        self.floor = now;
    }

    /// Looks at up to `max` of those whose time has come and returns those for which something is to be done; until
    /// [`Silence::next`] lies ahead there are more. What nothing is done about comes again.
    pub fn due(&mut self, now: Timestamp, max: usize) -> Vec<Arc<str>> {
        let mut found = Vec::new();
        for _ in 0..max {
            let Some((at, name)) = self.due.first().cloned() else { break };
            if now < at {
                break;
            }
            if self.look(&name, now) == Look::Nothing {
                self.rest(&name);
            } else {
                // It is looked at elsewhere; should that fail it comes again.
                self.move_to(&name, after(now, self.limits.after));
                found.push(name);
            }
        }
        found
    }

    /// The next time that comes.
    pub fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What is to be done about a machine now.
    pub fn look(&self, machine: &str, now: Timestamp) -> Look {
        let Some(entry) = self.machines.get(machine) else { return Look::Nothing };
        let is_silent = after(entry.heard.max(self.floor), self.limits.after) <= now;
        match entry.said {
            None if is_silent => Look::Ask,
            None => Look::Nothing,
            Some(_) if is_silent => Look::Ask,
            Some(Some(since)) if after(since, self.limits.quiet) <= now => Look::Clear,
            Some(_) => Look::Nothing,
        }
    }

    /// It was asked for and is silent, and that was said: it is asked for again in a while.
    pub fn silent(&mut self, machine: &str, now: Timestamp) {
        if let Some(entry) = self.machines.get_mut(machine) {
            entry.said = Some(None);
            self.move_to(machine, after(now, self.limits.again));
        }
    }

    /// It speaks again, and that was said.
    pub fn cleared(&mut self, machine: &str) {
        if let Some(entry) = self.machines.get_mut(machine) {
            entry.said = None;
            self.rest(machine);
        }
    }

    /// Its silence is expected: it is looked at again then.
    pub fn rest_until(&mut self, machine: &str, at: Timestamp) {
        self.move_to(machine, at);
    }

    /// Looked at again when its silence, or the quiet time after it, would be over.
    fn rest(&mut self, machine: &str) {
        let Some(entry) = self.machines.get(machine) else { return };
        let silent_at = after(entry.heard.max(self.floor), self.limits.after);
        let quiet_at = entry.said.flatten().map(|since| after(since, self.limits.quiet));
        self.move_to(machine, quiet_at.map_or(silent_at, |quiet_at| quiet_at.min(silent_at)));
    }

    fn move_to(&mut self, machine: &str, at: Timestamp) {
        let Some((name, _)) = self.machines.get_key_value(machine) else { return };
        let name = Arc::clone(name);
        let Some(entry) = self.machines.get_mut(machine) else { return };
        self.due.remove(&(entry.due, Arc::clone(&name)));
        entry.due = at;
        self.due.insert((at, name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Plays `heard` against a machine for `seconds`, with every question answered truthfully; what was said when.
    fn play(
        silence: &mut Silence,
        seconds: std::ops::Range<i64>,
        heard: impl Fn(i64) -> bool,
    ) -> Vec<String> {
        let mut told = Vec::new();
        for second in seconds {
            let now = at(second);
            if heard(second) {
                silence.heard("m", now);
            }
            for machine in silence.due(now, 10) {
                match silence.look(&machine, now) {
                    Look::Ask => {
                        let before = silence.is_said(&machine);
                        silence.silent(&machine, now);
                        told.push(format!("{second} {}", if before { "still" } else { "silent" }));
                    }
                    Look::Clear => {
                        silence.cleared(&machine);
                        told.push(format!("{second} clear"));
                    }
                    Look::Nothing => {}
                }
            }
        }
        told
    }

    fn listening() -> Silence {
        let mut silence = Silence::new(Limits::default());
        silence.expect("m", at(0));
        silence
    }

    #[test]
    fn a_machine_that_speaks_is_never_asked_for() {
        assert_eq!(play(&mut listening(), 0..1000, |second| second % 10 == 0), Vec::<String>::new());
    }

    #[test]
    fn silence_is_said_after_its_time_said_again_and_cleared_after_the_quiet_time() {
        let heard = |second: i64| second % 10 == 0 && !(101..400).contains(&second);
        let told = play(&mut listening(), 0..600, heard);
        assert_eq!(told, ["140 silent", "240 still", "340 still", "430 clear"]);
    }

    #[test]
    fn one_sign_in_a_long_silence_clears_nothing() {
        let heard = |second: i64| second == 0 || second == 200;
        let mut short = Silence::new(Limits { quiet: Duration::from_secs(60), ..Limits::default() });
        short.expect("m", at(0));
        let told = play(&mut short, 0..400, heard);
        assert_eq!(told, ["40 silent", "140 still", "260 still", "360 still"]);
    }

    #[test]
    fn a_silence_of_an_earlier_life_neither_clears_by_itself_nor_is_said_anew() {
        let mut silence = Silence::new(Limits::default());
        silence.expect_silent("m", at(0));
        assert_eq!(play(&mut silence, 0..200, |_| false), ["40 still", "140 still"]);
        let mut silence = Silence::new(Limits::default());
        silence.expect("m", at(0));
        silence.expect_silent("m", at(0));
        assert_eq!(play(&mut silence, 0..200, |second| 20 <= second && second % 10 == 0), ["50 clear"]);
    }

    #[test]
    fn while_nobody_could_be_heard_nobody_is_asked_for() {
        let mut silence = listening();
        silence.nobody_could_be_heard(at(30));
        assert_eq!(play(&mut silence, 0..100, |_| false), ["70 silent"]);
    }

    #[test]
    fn what_rests_or_is_forgotten_is_not_asked_for() {
        let mut silence = listening();
        silence.rest_until("m", at(500));
        assert_eq!(play(&mut silence, 0..600, |_| false), ["500 silent"]);
        silence.forget("m");
        assert_eq!((silence.next(), silence.look("m", at(9000))), (None, Look::Nothing));
    }

    #[test]
    fn what_is_due_comes_in_bounded_portions_and_comes_again_where_nothing_follows() {
        let mut silence = Silence::new(Limits::default());
        for number in 0..25 {
            silence.expect(&format!("m{number:02}"), at(0));
        }
        let portions: Vec<usize> = (0..4).map(|_| silence.due(at(40), 10).len()).collect();
        assert_eq!(portions, [10, 10, 5, 0]);
        assert_eq!(silence.due(at(80), 100).len(), 25);
    }

    #[test]
    fn those_that_were_heard_meanwhile_hide_none_that_were_not() {
        let mut silence = Silence::new(Limits::default());
        for number in 0..100 {
            silence.expect(&format!("m{number:02}"), at(0));
        }
        (0..99).for_each(|number| silence.heard(&format!("m{number:02}"), at(30)));
        let mut found = Vec::new();
        while silence.next().is_some_and(|next| next <= at(45)) {
            found.extend(silence.due(at(45), 10));
        }
        assert_eq!(found, [Arc::from("m99")]);
    }
}
