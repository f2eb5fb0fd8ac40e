//! One request at a time to a controller, a bound over all of them, slow ones in a lane of their own, and orders before
//! readings: a service that speaks for hundreds of machines is not to tell their temperatures while one waits for power.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedMutexGuard, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::Config;

/// Who may wait for one controller; others are told to come back.
const WAITERS_MAX: usize = 4;
/// Readings stand back so long after an order was told to come back: it is expected within that time.
const STANDS_BACK: Duration = Duration::from_secs(1);

/// What a turn is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// An order is carried out, or somebody waits for the answer.
    Order,
    /// Something is read because it is time to. It has to come back while an order waits.
    Reading,
}

#[derive(Debug, Default)]
struct Host {
    /// When the last request ended.
    last: Arc<tokio::sync::Mutex<Option<Instant>>>,
    waiting: AtomicUsize,
    /// Orders among those.
    orders: AtomicUsize,
    /// When an order was last told to come back.
    turned_away: Mutex<Option<Instant>>,
    /// Its last request was not answered.
    silent: AtomicBool,
}

/// The gates to all controllers.
#[derive(Debug)]
pub(crate) struct Gates {
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    answering: Semaphore,
    silent: Semaphore,
    spacing: Duration,
}

/// The right to speak with one controller.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    host: Arc<Host>,
    last: OwnedMutexGuard<Option<Instant>>,
    _permit: SemaphorePermit<'a>,
}

/// Too many wait for this controller already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

impl Gates {
    pub(crate) fn new(config: Config) -> Self {
        let silent = (config.concurrency / 4).max(1);
        Self {
            hosts: Mutex::default(),
            answering: Semaphore::new(config.concurrency.saturating_sub(silent).max(1)),
            silent: Semaphore::new(silent),
            spacing: config.spacing,
        }
    }

    /// Waits for the turn at `controller`. The bound over all is taken last, so that who waits for a slow controller
    /// holds up nobody else.
    pub(crate) async fn enter(&self, controller: &str, purpose: Purpose) -> Result<Turn<'_>, Busy> {
        let host = Arc::clone(self.hosts.lock().entry(controller.to_owned()).or_default());
        let Some(_waiter) = Waiter::enter(&host, purpose) else { return Err(Busy) };
        let last = Arc::clone(&host.last).lock_owned().await;
        if let Some(last) = *last {
            tokio::time::sleep_until(last + self.spacing).await;
        }
        let lane = if host.silent.load(Ordering::Relaxed) { &self.silent } else { &self.answering };
        let permit = lane.acquire().await.map_err(|_| Busy)?;
        Ok(Turn { host: Arc::clone(&host), last, _permit: permit })
    }
}

struct Waiter<'a> {
    host: &'a Host,
    purpose: Purpose,
}

impl<'a> Waiter<'a> {
    fn enter(host: &'a Host, purpose: Purpose) -> Option<Self> {
        if purpose == Purpose::Reading && host.is_wanted_by_orders() {
            return None;
        }
        let before = host.waiting.fetch_add(1, Ordering::Relaxed);
        if purpose == Purpose::Order {
            host.orders.fetch_add(1, Ordering::Relaxed);
        }
        let waiter = Self { host, purpose };
        if before < WAITERS_MAX {
            return Some(waiter);
        }
        if purpose == Purpose::Order {
            *host.turned_away.lock() = Some(Instant::now());
        }
        None
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.host.waiting.fetch_sub(1, Ordering::Relaxed);
        if self.purpose == Purpose::Order {
            self.host.orders.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Host {
    fn is_wanted_by_orders(&self) -> bool {
        let turned_away = *self.turned_away.lock();
        0 < self.orders.load(Ordering::Relaxed) || turned_away.is_some_and(|at| at.elapsed() < STANDS_BACK)
    }
}

impl Turn<'_> {
    /// Ends the turn and notes whether the controller had answered.
    pub(crate) fn end(mut self, answered: bool) {
        self.host.silent.store(!answered, Ordering::Relaxed);
        *self.last = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(concurrency: usize) -> Gates {
        Gates::new(Config { concurrency, spacing: Duration::from_secs(1), ..Config::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn one_at_a_time_and_spaced() {
        let gates = gates(8);
        let began = Instant::now();
        gates.enter("a", Purpose::Order).await.unwrap().end(true);
        gates.enter("a", Purpose::Order).await.unwrap().end(true);
        assert_eq!(began.elapsed(), Duration::from_secs(1));
        let held = gates.enter("a", Purpose::Order).await.unwrap();
        let second = tokio::time::timeout(Duration::from_secs(60), gates.enter("a", Purpose::Order)).await;
        assert!(second.is_err(), "two at once");
        held.end(true);
    }

    #[tokio::test(start_paused = true)]
    async fn silent_controllers_never_take_the_places_of_those_that_answer() {
        let gates = gates(4);
        for host in ["s1", "s2", "s3", "s4"] {
            gates.enter(host, Purpose::Order).await.unwrap().end(false);
        }
        tokio::time::advance(Duration::from_secs(5)).await;
        let _hanging = gates.enter("s1", Purpose::Order).await.unwrap();
        let blocked = tokio::time::timeout(Duration::from_secs(60), gates.enter("s2", Purpose::Order)).await;
        assert!(blocked.is_err(), "the lane of silent ones has one place");
        for host in ["a", "b", "c"] {
            gates.enter(host, Purpose::Order).await.unwrap().end(true);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reading_stands_back_while_an_order_waits_or_was_told_to_come_back() {
        let gates = Arc::new(gates(8));
        let held = gates.enter("a", Purpose::Reading).await.unwrap();
        let mut orders: Vec<_> =
            (0..WAITERS_MAX).map(|_| Box::pin(gates.enter("a", Purpose::Order))).collect();
        assert!(futures::poll!(&mut orders[0]).is_pending());
        assert_eq!(gates.enter("a", Purpose::Reading).await.err(), Some(Busy));
        gates.enter("b", Purpose::Reading).await.unwrap().end(true);
        for order in &mut orders[1..] {
            assert!(futures::poll!(order).is_pending());
        }
        assert_eq!(gates.enter("a", Purpose::Order).await.err(), Some(Busy));
        drop(orders);
        held.end(true);
        assert_eq!(gates.enter("a", Purpose::Reading).await.err(), Some(Busy));
        tokio::time::advance(STANDS_BACK).await;
        gates.enter("a", Purpose::Reading).await.unwrap().end(true);
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_before_one_controller_is_told_to_come_back() {
        let gates = Arc::new(gates(8));
        let _held = gates.enter("a", Purpose::Order).await.unwrap();
        let mut waiting: Vec<_> =
            (0..WAITERS_MAX).map(|_| Box::pin(gates.enter("a", Purpose::Order))).collect();
        for waiter in &mut waiting {
            assert!(futures::poll!(waiter).is_pending());
        }
        assert_eq!(gates.enter("a", Purpose::Order).await.err(), Some(Busy));
        drop(waiting);
        let next = tokio::time::timeout(Duration::from_secs(5), gates.enter("a", Purpose::Order)).await;
        assert!(next.is_err(), "there is room to wait again");
    }
}
