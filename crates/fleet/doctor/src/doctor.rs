//! The round: look, make something of it, file.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use muster_api::machine::Maintenance;
use muster_api::probe::Readings;
use muster_base::clock::SharedClock;
use muster_base::task::{Kind, Tasks};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::config::{Config, Local};
use crate::detect::nics::echo;
use crate::detect::objects::{self, Objects};
use crate::detect::{self, Detector, clock, disks, names, runtime};
use crate::diagnosis::Moment;
use crate::diagnosis::cases::Cases;
use crate::filing::Filing;
use crate::klog::rules;
use crate::klog::scan::Scanner;
use crate::klog::stream::Stream;
use crate::readings::{ReadingsError, Socket, Source};
use crate::rule::Look;
use crate::state::StateFile;

/// Looks that wait to be taken in; who looks waits while there are more.
const LOOKS_MAX: usize = 64;
/// The shortest rest of those that look at files.
const TICK: Duration = Duration::from_secs(1);
/// What happens shortly after planned maintenance still belongs to it.
const AFTER_MAINTENANCE: SignedDuration = SignedDuration::from_mins(5);

type Answer = Result<Readings, ReadingsError>;
type Asking = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// A detector, and when it looks again.
struct Due {
    detector: Box<dyn Detector>,
    at: Instant,
}

/// The doctor of one machine.
pub struct Doctor {
    config: Config,
    source: Arc<dyn Source>,
    client: Client,
    clock: SharedClock,
    cases: Cases,
    filing: Filing,
    boot_id: String,
    disks: disks::Disks,
    detectors: Vec<Due>,
    /// When it began, by the clock and by one that is never set.
    began: (Timestamp, Instant),
    scanner: Option<Scanner>,
    trials: StateFile,
    plans: watch::Receiver<objects::Plans>,
    planned: watch::Sender<objects::Plans>,
}

impl Doctor {
    /// Reads the rules, and what was filed in an earlier life.
    ///
    /// # Errors
    /// Those of the read requests.
    pub async fn build(config: Config, client: Client, clock: SharedClock) -> Result<Self, kube::Error> {
        let socket = Socket { path: config.probe_socket.clone(), within: config.answer_within };
        Self::over(config, Box::new(socket), client, clock).await
    }

    /// The same over readings from elsewhere.
    ///
    /// # Errors
    /// Those of the read requests.
    pub async fn over(
        config: Config,
        source: Box<dyn Source>,
        client: Client,
        clock: SharedClock,
    ) -> Result<Self, kube::Error> {
        let local = config.local.as_ref();
        let detectors = local.map(detect::local).unwrap_or_default();
        let scanner = local.filter(|local| local.kmsg_socket.is_some()).map(scanner);
        let disks = disks::Disks::new();
        let mut rules = runtime::rules();
        rules.extend(disks.rules());
        rules.extend(detectors.iter().flat_map(|detector| detector.rules()));
        rules.extend(scanner.iter().flat_map(Scanner::rules));
        if local.is_some() {
            rules.extend([clock::rule(), names::rule(), echo::rule()]);
            rules.extend(objects::Rules::new().all());
        }
        let state_dir = local.and_then(|local| local.state_dir.clone());
        let filing = Filing::new(client.clone(), &config.machine, config.lease, state_dir.as_deref());
        let mut cases = Cases::new(rules);
        filing.load(&mut cases).await?;
        let now = Instant::now();
        let began = (clock.now(), now);
        // Known before the first look: what a planned boot shows is planned too.
        let known = match &config.local {
            Some(_) => objects::plans(&client, &config.machine).await,
            None => objects::Plans::default(),
        };
        let (planned, plans) = watch::channel(known);
        Ok(Self {
            config,
            source: source.into(),
            client,
            clock,
            cases,
            filing,
            boot_id: String::new(),
            disks,
            detectors: detectors.into_iter().map(|detector| Due { detector, at: now }).collect(),
            began,
            scanner,
            trials: StateFile::new(state_dir.as_deref(), "on-trial.json"),
            plans,
            planned,
        })
    }

    /// Looks and files until shutdown.
    pub async fn run(mut self, tasks: &Tasks) {
        let (to, mut looks) = mpsc::channel(LOOKS_MAX);
        self.start(tasks, &to);
        let token = tasks.shutdown_token();
        let mut asking = ask(Arc::clone(&self.source), Duration::ZERO);
        let ticks = !self.detectors.is_empty();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = token.cancelled() => return,
                answer = &mut asking => {
                    self.answer(&answer);
                    asking = ask(Arc::clone(&self.source), self.config.look_every);
                }
                Some(look) = looks.recv() => {
                    self.take(&look);
                    while let Ok(look) = looks.try_recv() {
                        self.take(&look);
                    }
                }
                _ = tick.tick(), if ticks => self.tick(),
            }
            let now = self.clock.now();
            if token.run_until_cancelled(self.filing.file(&self.cases, now)).await.is_none() {
                return;
            }
        }
    }

    /// Those that wait for others look beside the round.
    fn start(&mut self, tasks: &Tasks, to: &mpsc::Sender<Look>) {
        let Some(local) = self.config.local.clone() else { return };
        let token = || tasks.shutdown_token();
        if let (Some(socket), Some(scanner)) = (local.kmsg_socket, self.scanner.take()) {
            let stream = Stream {
                socket,
                scanner,
                roots: local.roots.clone(),
                clock: Arc::clone(&self.clock),
                state: StateFile::new(local.state_dir.as_deref(), "kernel-log.json"),
                to: to.clone(),
            };
            tasks.spawn(Kind::Service, "kernel log", stream.run(token()));
        }
        if !local.time_servers.is_empty() {
            let watch = clock::watch(local.time_servers, Arc::clone(&self.clock), to.clone(), token());
            tasks.spawn(Kind::Service, "time servers", watch);
        }
        if let Some(resolv_conf) = local.resolv_conf {
            tasks.spawn(Kind::Service, "resolvers", names::watch(resolv_conf, to.clone(), token()));
        }
        let virtual_devices = local.trust.virtual_devices;
        let echoes = echo::watch(local.roots.clone(), virtual_devices, to.clone(), token());
        tasks.spawn(Kind::Service, "gateways", echoes);
        let objects = Objects {
            client: self.client.clone(),
            machine: self.config.machine.clone(),
            roots: local.roots,
            rules: objects::Rules::new(),
            to: to.clone(),
            plans: self.planned.clone(),
        };
        tasks.spawn(Kind::Service, "own objects", objects.watch(token()));
    }

    fn answer(&mut self, answer: &Answer) {
        if let Ok(readings) = answer {
            self.boot_id.clone_from(&readings.boot_id);
        }
        self.take(&runtime::look(answer));
        let disks = self.disks.look(answer);
        self.take(&disks);
    }

    fn tick(&mut self) {
        let now = Instant::now();
        // Ages and rates must not jump when somebody sets the clock.
        let steady = self.began.0.saturating_add(now - self.began.1).unwrap_or(self.began.0);
        let plans = self.plans.borrow().clone();
        let planned = plans.in_hand || is_planned(&plans.maintenance, self.clock.now());
        let mut looks = Vec::new();
        for due in self.detectors.iter_mut().filter(|due| due.at <= now) {
            due.at = now + due.detector.every();
            due.detector.planned(planned);
            looks.push(due.detector.look(steady));
        }
        for look in looks {
            self.take(&look);
        }
        self.cases.forget(self.clock.now());
    }

    fn take(&mut self, look: &Look) {
        let now = self.clock.now();
        let held = is_planned(&self.plans.borrow().maintenance, now);
        let before = self.cases.on_trial().count();
        let changed = self.cases.take(look, Moment { now, boot_id: &self.boot_id, held });
        self.filing.note(changed, &self.cases);
        if before != self.cases.on_trial().count() || look.found.iter().any(|finding| finding.rule.shadow) {
            self.show_trials();
        }
    }

    /// What rules on trial found, for people.
    fn show_trials(&self) {
        let row = |(key, diagnosis): (&crate::diagnosis::cases::Key, &crate::diagnosis::Diagnosis)| {
            (format!("{}/{}", key.class, key.component), diagnosis.status().cloned())
        };
        let rows: std::collections::BTreeMap<_, _> = self.cases.on_trial().map(row).collect();
        self.trials.write(&rows);
    }
}

fn scanner(local: &Local) -> Scanner {
    let (rules, faults) = rules::load(local.rules_dir.as_deref());
    for fault in faults {
        tracing::error!(%fault, "a rule of the kernel log is left out");
    }
    let (all, on_trial) = (rules.len(), rules.iter().filter(|rule| rule.rule.shadow).count());
    tracing::info!(rules = all, on_trial, "the rules of the kernel log are read");
    Scanner::new(rules, local.trust)
}

fn ask(source: Arc<dyn Source>, rest: Duration) -> Asking {
    Box::pin(async move {
        tokio::time::sleep(rest).await;
        source.readings().await
    })
}

fn is_planned(windows: &[Maintenance], now: Timestamp) -> bool {
    windows.iter().any(|window| {
        window.from <= now && now <= window.to.saturating_add(AFTER_MAINTENANCE).unwrap_or(window.to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::Rule;

    /// The rules that a doctor of everything has.
    fn all_rules() -> Vec<Arc<Rule>> {
        let local = Local { kmsg_socket: Some("/none".into()), ..Local::default() };
        let mut all = runtime::rules();
        all.extend(disks::Disks::new().rules());
        all.extend(detect::local(&local).iter().flat_map(|detector| detector.rules()));
        all.extend(scanner(&local).rules());
        all.extend([clock::rule(), names::rule(), echo::rule()]);
        all.extend(objects::Rules::new().all());
        all
    }

    #[test]
    fn no_two_rules_have_one_name_and_each_class_stands_in_the_documentation() {
        let rules = all_rules();
        let page = include_str!("../../../../docs/doctors.md");
        let mut names: Vec<&str> = rules.iter().map(|rule| rule.name.as_str()).collect();
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
        let missing: Vec<&str> = rules
            .iter()
            .map(|rule| rule.class.as_str())
            .filter(|class| !page.contains(&format!("| `{class}` |")))
            .collect();
        assert_eq!(missing, Vec::<&str>::new());
    }

    #[test]
    fn maintenance_is_its_window_and_five_minutes_more() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let window = Maintenance {
            from: at("2026-11-29T05:00:00Z"),
            to: at("2026-11-29T06:00:00Z"),
            reason: "new fans".into(),
        };
        for (now, planned) in
            [("04:59:59", false), ("05:00:00", true), ("06:05:00", true), ("06:05:01", false)]
        {
            let now = at(&format!("2026-11-29T{now}Z"));
            assert_eq!(is_planned(std::slice::from_ref(&window), now), planned, "{now}");
        }
    }
}
