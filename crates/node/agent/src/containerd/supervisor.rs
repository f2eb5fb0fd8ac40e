//! Keeps one containerd running. An *exited* one is started again, within a budget; one that hangs is left alone until
//! somebody who may decide that asks for [`Supervisor::restart`]. Containers live on through all of it.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use muster_base::backoff::Backoff;
use muster_base::clock::{SharedClock, elapsed};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::process::{self, Identity, Life};
use super::{Layout, Settings};
use crate::runtime::cri::{self, Cri};
use crate::runtime::{Runtime, RuntimeError};

#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error("containerd: cannot prepare {}", .path.display())]
    Prepare {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("containerd: cannot start {}", .program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("containerd: cannot end process {pid}")]
    End {
        pid: i32,
        #[source]
        source: io::Error,
    },
    #[error("containerd ended while starting; its last words: {words}")]
    EndedAtStart { words: String },
    #[error("containerd does not answer {} s after its start", .waited.as_secs())]
    Silent {
        waited: Duration,
        #[source]
        source: RuntimeError,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From TERM to KILL.
    pub stop_grace: Duration,
    /// From start to the first answer.
    pub answer: Duration,
    /// Restarts of an exited service within `window`.
    pub restarts_max: usize,
    pub window: Duration,
    pub look_every: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            stop_grace: Duration::from_secs(5),
            answer: Duration::from_secs(30),
            restarts_max: 3,
            window: Duration::from_secs(600),
            look_every: Duration::from_millis(250),
        }
    }
}

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

/// What the supervisor saw or did: evidence for the doctor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Exited {
        pid: i32,
        at: Timestamp,
        words: String,
    },
    Restarted {
        at: Timestamp,
        restarts_in_window: usize,
    },
    RestartFailed {
        at: Timestamp,
        message: String,
    },
    /// The budget is used up: it stays down until somebody orders a restart.
    GaveUp {
        at: Timestamp,
        restarts_in_window: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    Fresh,
    /// It ran already: started by a former life of this agent.
    Adopted,
}

type Report = Box<dyn Fn(Event) + Send + Sync>;

pub struct Supervisor {
    layout: Layout,
    settings: Settings,
    program: PathBuf,
    limits: Limits,
    clock: SharedClock,
    report: Report,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    process: Option<Identity>,
    wanted: Wanted,
    restarts: Vec<Timestamp>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Wanted {
    #[default]
    Down,
    Up,
    GivenUp,
}

impl Supervisor {
    pub fn new(
        layout: Layout,
        settings: Settings,
        program: PathBuf,
        limits: Limits,
        clock: SharedClock,
        report: impl Fn(Event) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            layout,
            settings,
            program,
            limits,
            clock,
            report: Box::new(report),
            state: Mutex::default(),
        })
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The process id, while it runs (stopped counts as running).
    pub async fn pid(&self) -> Option<i32> {
        self.state
            .lock()
            .await
            .process
            .filter(|process| process.life() != Life::Gone)
            .map(|process| process.pid)
    }

    /// Adopts a running containerd or starts one, and waits until it answers.
    ///
    /// # Errors
    /// Why there is no answering containerd now. A hung adopted one is reported as [`ServiceError::Silent`] and left alone.
    pub async fn ensure_started(&self) -> Result<Started, ServiceError> {
        let mut state = self.state.lock().await;
        state.wanted = Wanted::Up;
        state.process = state.process.filter(|p| p.life() != Life::Gone).or_else(|| self.of_a_former_life());
        let (process, started) = match state.process {
            Some(process) => (process, Started::Adopted),
            None => (self.start(&mut state)?, Started::Fresh),
        };
        // An adopted one may hang: whoever is ordered to restart it must not wait for us.
        drop(state);
        self.answering(process).await?;
        Ok(started)
    }

    /// Ends it, by force if need be, and starts it again. Clears the budget: somebody who may decide has decided.
    ///
    /// # Errors
    /// Which of ending, starting and answering failed.
    pub async fn restart(&self) -> Result<Duration, ServiceError> {
        let began = self.clock.now();
        let mut state = self.state.lock().await;
        state.wanted = Wanted::Up;
        state.restarts.clear();
        state.process = state.process.or_else(|| self.of_a_former_life());
        self.end(&mut state).await?;
        let process = self.start(&mut state)?;
        drop(state);
        self.answering(process).await?;
        Ok(elapsed(began, self.clock.now()))
    }

    /// Ends it and leaves it down. Its containers live on, without anybody to look after them.
    ///
    /// # Errors
    /// The process did not end.
    pub async fn stop(&self) -> Result<(), ServiceError> {
        let mut state = self.state.lock().await;
        state.wanted = Wanted::Down;
        state.process = state.process.or_else(|| self.of_a_former_life());
        self.end(&mut state).await?;
        let path = self.layout.pid();
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(ServiceError::Prepare { path, source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Waits until the shims of its containers, which end by themselves after those, are gone. The ones that are there
    /// after `grace` are killed.
    ///
    /// # Errors
    /// Such a process did not end.
    pub async fn end_shims(&self, grace: Duration) -> Result<(), ServiceError> {
        let socket = self.layout.socket();
        for shim in process::of_program("containerd-shim", ["-address".as_ref(), socket.as_os_str()]) {
            let gone = shim.gone_or_killed(grace).await;
            gone.map_err(|source| ServiceError::End { pid: shim.pid, source })?;
        }
        Ok(())
    }

    /// One that was started before us. We may have died before its number was written down.
    fn of_a_former_life(&self) -> Option<Identity> {
        let config = self.layout.config();
        let unwritten =
            || process::of_program("containerd", ["-c".as_ref(), config.as_os_str()]).first().copied();
        Identity::load(&self.layout.pid()).or_else(unwritten)
    }

    /// Whether it was started here once and never stopped by [`Supervisor::stop`]: then it is wanted, alive or not.
    pub fn is_wanted(&self) -> bool {
        self.layout.pid().exists()
    }

    /// Watches over it until `shutdown`, and leaves it running then.
    pub async fn watch(&self, shutdown: CancellationToken) {
        while shutdown.run_until_cancelled(tokio::time::sleep(self.limits.look_every)).await.is_some() {
            // A restart in progress holds the lock for seconds; shutdown must not wait for it.
            if shutdown.run_until_cancelled(self.look()).await.is_none() {
                return;
            }
        }
    }

    async fn look(&self) {
        let mut state = self.state.lock().await;
        if state.wanted != Wanted::Up || state.process.is_some_and(|process| process.life() != Life::Gone) {
            return;
        }
        let now = self.clock.now();
        if let Some(process) = state.process.take() {
            process::reap(process.pid);
            (self.report)(Event::Exited {
                pid: process.pid,
                at: now,
                words: process::tail(&self.layout.log(), 3),
            });
        }
        state.restarts.retain(|at| elapsed(*at, now) < self.limits.window);
        let restarts = state.restarts.len();
        if restarts >= self.limits.restarts_max {
            state.wanted = Wanted::GivenUp;
            (self.report)(Event::GaveUp { at: now, restarts_in_window: restarts });
            return;
        }
        state.restarts.push(now);
        if restarts > 0 {
            tokio::time::sleep(BACKOFF.wait(u32::try_from(restarts).unwrap_or(u32::MAX))).await;
        }
        let started = self.start(&mut state);
        drop(state);
        let answers = match started {
            Ok(process) => self.answering(process).await,
            Err(error) => Err(error),
        };
        match answers {
            Ok(()) => {
                (self.report)(Event::Restarted { at: self.clock.now(), restarts_in_window: restarts + 1 })
            }
            Err(error) => {
                (self.report)(Event::RestartFailed {
                    at: self.clock.now(),
                    message: muster_base::error::chain(&error),
                });
            }
        }
    }

    async fn end(&self, state: &mut State) -> Result<(), ServiceError> {
        let Some(process) = state.process else { return Ok(()) };
        let ended = process.end(self.limits.stop_grace).await;
        ended.map_err(|source| ServiceError::End { pid: process.pid, source })?;
        state.process = None;
        Ok(())
    }

    fn start(&self, state: &mut State) -> Result<Identity, ServiceError> {
        self.prepare()?;
        let config = self.layout.config();
        let arguments = ["-c".as_ref(), config.as_os_str()];
        let process = process::start(&self.program, &arguments, &self.layout.log())
            .map_err(|source| ServiceError::Start { program: self.program.clone(), source })?;
        state.process = Some(process);
        let path = self.layout.pid();
        process.save(&path).map_err(|source| ServiceError::Prepare { path, source })?;
        Ok(process)
    }

    fn prepare(&self) -> Result<(), ServiceError> {
        let failed = |path: PathBuf| move |source| ServiceError::Prepare { path, source };
        for dir in [self.layout.root(), self.layout.state(), self.settings.cni_conf_dir.clone()] {
            fs::create_dir_all(&dir).map_err(failed(dir))?;
        }
        let config = self.layout.config();
        fs::write(&config, self.settings.render(&self.layout)).map_err(failed(config))
    }

    /// Waits until the CRI service answers; gives up early when the process has ended.
    async fn answering(&self, process: Identity) -> Result<(), ServiceError> {
        let limits = cri::Limits { query: Duration::from_secs(1), ..cri::Limits::default() };
        let runtime = Cri::new(&self.layout.socket(), limits);
        let deadline = tokio::time::Instant::now() + self.limits.answer;
        loop {
            let source = match runtime.version().await {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            process::reap(process.pid);
            if process.life() == Life::Gone {
                return Err(ServiceError::EndedAtStart { words: process::tail(&self.layout.log(), 3) });
            }
            if tokio::time::Instant::now() >= deadline {
                return Err(ServiceError::Silent { waited: self.limits.answer, source });
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}
