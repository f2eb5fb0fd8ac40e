//! Which fault comes when: drawn from a seed, printable, playable.

use std::fmt;
use std::time::Duration;

use crate::dice::Dice;
use crate::world::World;

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The runtime of a machine hangs.
    RuntimeHangs(String),
    /// The runtime of a machine is gone.
    RuntimeDies(String),
    /// The agent of a machine dies and is away for a while.
    AgentDies(String, Duration),
    /// All controllers die and are away for a while.
    ControllersDie(Duration),
    /// All controllers die with their so many-th next write.
    ControllersDieAtWrite(u64),
    /// Every watch ends once.
    WatchesEnd,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RuntimeHangs(machine) => write!(f, "the runtime of {machine} hangs"),
            Self::RuntimeDies(machine) => write!(f, "the runtime of {machine} dies"),
            Self::AgentDies(machine, away) => write!(f, "the agent of {machine} dies for {away:?}"),
            Self::ControllersDie(away) => write!(f, "the controllers die for {away:?}"),
            Self::ControllersDieAtWrite(write) => write!(f, "the controllers die at write {write} from here"),
            Self::WatchesEnd => f.write_str("every watch ends"),
        }
    }
}

/// Faults with the time each comes, counted from the begin, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timetable(pub Vec<(Duration, Fault)>);

impl Timetable {
    /// So many faults on these machines within `span`.
    pub fn random(seed: u64, machines: &[String], faults: usize, span: Duration) -> Self {
        let dice = Dice::new(seed, "timetable");
        let mut rows: Vec<(Duration, Fault)> = (0..faults)
            .map(|_| {
                let at = dice.between(Duration::ZERO, span);
                let machine = machines[dice.below(machines.len())].clone();
                let away = dice.between(Duration::from_millis(10), Duration::from_secs(90));
                let fault = match dice.below(8) {
                    0..=2 => Fault::RuntimeHangs(machine),
                    3 => Fault::RuntimeDies(machine),
                    4 => Fault::AgentDies(machine, away),
                    5 => Fault::ControllersDie(away),
                    6 => Fault::ControllersDieAtWrite(1 + dice.below(30) as u64),
                    _ => Fault::WatchesEnd,
                };
                (at, fault)
            })
            .collect();
        rows.sort_by_key(|(at, _)| *at);
        Self(rows)
    }

    /// Waits for each time and does what is due.
    pub async fn play(&self, world: &World) {
        let begin = tokio::time::Instant::now();
        for (at, fault) in &self.0 {
            tokio::time::sleep_until(begin + *at).await;
            tracing::info!(%fault, "a fault comes");
            world.strike(fault);
        }
    }
}

impl fmt::Display for Timetable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in &self.0 {
            writeln!(f, "{:>8.3} s  {fault}", at.as_secs_f64())?;
        }
        Ok(())
    }
}
