//! How much this machine does: a little work, measured now and then, so that it can be compared with its like.
//!
//! What counts is the processor's time and not the clock's: other work on the machine slows nobody's figure down by
//! waiting. The best of several tries counts, for others make the caches cold and the bus busy, and nobody makes a
//! machine faster than it is.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use muster_api::inventory::Speed;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

/// The rest between two measurements, and how many of them the best is taken of.
const EVERY: Duration = Duration::from_secs(600);
const KEPT: usize = 3;
/// Tries of one measurement.
const TRIES: usize = 5;
/// Steps of one try: a millisecond or so.
const STEPS: u32 = 1_000_000;
/// Bytes copied in one try: more than the caches hold of it.
const BYTES: usize = 16 << 20;
/// Who gives way to everybody.
const NICEST: i32 = 19;
/// A figure that moves by less is told as before: an object that always changes is written and kept for nothing.
const TOLD_PERCENT: u32 = 5;

/// What was measured lately, and told.
#[derive(Debug, Default)]
pub(super) struct Speedometer {
    lately: VecDeque<Speed>,
    told: Option<Speed>,
    begun: Option<Instant>,
    measuring: Option<Receiver<Option<Speed>>>,
}

impl Speedometer {
    /// What is to be told now. Where it is time to, it is measured anew beside: who gives way to everybody may need long.
    pub(super) fn speed(&mut self) -> Option<Speed> {
        if self.measuring.is_none() && self.begun.is_none_or(|at| EVERY <= at.elapsed()) {
            self.begun = Some(Instant::now());
            self.measuring = measure();
        }
        match self.measuring.as_mut().map(Receiver::try_recv) {
            None | Some(Err(TryRecvError::Empty)) => {}
            Some(Err(TryRecvError::Closed)) => self.measuring = None,
            Some(Ok(measured)) => {
                self.measuring = None;
                if let Some(speed) = measured {
                    return Some(self.take(speed));
                }
            }
        }
        self.told.clone()
    }

    /// Takes a measurement in; what is to be told.
    fn take(&mut self, measured: Speed) -> Speed {
        self.lately.push_back(measured.clone());
        if KEPT < self.lately.len() {
            self.lately.pop_front();
        }
        let best = |of: fn(&Speed) -> u32| self.lately.iter().map(of).max().unwrap_or(0);
        let best = Speed {
            cpu_steps_per_us: best(|speed| speed.cpu_steps_per_us),
            memory_mbps: best(|speed| speed.memory_mbps),
            by: measured.by,
        };
        let is_near = |told: &Speed| {
            told.by == best.by
                && near(told.cpu_steps_per_us, best.cpu_steps_per_us)
                && near(told.memory_mbps, best.memory_mbps)
        };
        self.told.take_if(|told| !is_near(told));
        self.told.get_or_insert(best).clone()
    }
}

fn near(told: u32, now: u32) -> bool {
    u64::from(told.abs_diff(now)) * 100 <= u64::from(told) * u64::from(TOLD_PERCENT)
}

/// Measures in a thread of its own that gives way to everybody else. Nothing where it cannot be begun.
fn measure() -> Option<Receiver<Option<Speed>>> {
    let (to, measured) = tokio::sync::oneshot::channel();
    let work = move || {
        if let Err(error) = rustix::process::setpriority_process(None, NICEST) {
            tracing::debug!(%error, "the speed of the machine is measured without giving way");
        }
        if to.send(work()).is_err() {
            tracing::debug!("nobody waits for the speed of the machine any more");
        }
    };
    match std::thread::Builder::new().name("speed".into()).spawn(work) {
        Ok(_) => Some(measured),
        Err(error) => {
            tracing::debug!(%error, "the speed of the machine cannot be measured");
            None
        }
    }
}

fn work() -> Option<Speed> {
    let (from, mut to) = (vec![1_u8; BYTES], vec![2_u8; BYTES]);
    let mut best = [None; 2];
    for _ in 0..TRIES {
        let steps = spent(|| {
            black_box(steps(black_box(STEPS)));
        });
        let copy = spent(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        for (best, spent) in best.iter_mut().zip([steps, copy]) {
            *best = spent.filter(|spent| best.is_none_or(|best| *spent < best)).or(*best);
        }
    }
    let [steps, copy] = best;
    let per_us = |amount: u64, spent: Duration| {
        let figure = amount * 1000 / u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX).max(1);
        u32::try_from(figure).unwrap_or(u32::MAX)
    };
    let bytes = u64::try_from(BYTES).unwrap_or(0);
    Some(Speed {
        cpu_steps_per_us: per_us(STEPS.into(), steps?),
        // Bytes a microsecond are megabytes a second.
        memory_mbps: per_us(bytes, copy?),
        by: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Each step waits for the one before it, in the arithmetic unit alone (xorshift64*, Marsaglia 2003).
fn steps(count: u32) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..count {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
    }
    state
}

/// The processor's time that this thread took for it.
fn spent(work: impl FnOnce()) -> Option<Duration> {
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).ok().map(Duration::from);
    let began = now()?;
    work();
    now()?.checked_sub(began)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(cpu: u32, memory: u32) -> Speed {
        Speed { cpu_steps_per_us: cpu, memory_mbps: memory, by: "0.1.0".into() }
    }

    #[test]
    fn the_best_of_the_last_three_is_told_and_small_changes_are_not() {
        let mut meter = Speedometer::default();
        let figures = [(500, 9000), (1000, 10_000), (990, 10_100), (300, 2000), (1020, 10_000), (400, 9000)];
        let mut told: Vec<(u32, u32)> = Vec::new();
        for (cpu, memory) in figures.into_iter().chain([(400, 9000); 2]) {
            let speed = meter.take(speed(cpu, memory));
            told.push((speed.cpu_steps_per_us, speed.memory_mbps));
        }
        let before = (1000, 10_000);
        assert_eq!(told, [(500, 9000), before, before, before, before, before, before, (400, 9000)]);
        let of_another = Speed { by: "0.2.0".into(), ..speed(400, 9000) };
        assert_eq!(meter.take(of_another.clone()), of_another);
    }

    #[tokio::test]
    async fn a_measurement_says_something_and_nobody_waits_for_it() {
        let mut meter = Speedometer::default();
        assert_eq!(meter.speed(), None);
        let speed = measure().unwrap().await.unwrap().unwrap();
        assert!(1 < speed.cpu_steps_per_us && 100 < speed.memory_mbps, "{speed:?}");
    }
}
