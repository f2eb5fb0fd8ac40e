//! One process of e2e.test per spec: a spec that hangs or crashes takes no other with it.
use std::collections::VecDeque;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use super::kept::KeptError;
use super::plan::Job;
use super::report::{self, Outcome, State};

/// Ginkgo may take this long to clean up behind a spec that it has cut.
const GRACE_S: u64 = 20;
/// After this much more the process is killed, whatever it does.
const STUCK_S: u64 = 60;

#[derive(Debug, thiserror::Error)]
pub(crate) enum RunnerError {
    #[error("no cluster can be reached without {path}: {source}")]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} cannot be made: {source}")]
    Folder {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{program} cannot be started: {source}")]
    Start {
        program: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("e2e.test could not list its specs: {stderr}")]
    List { stderr: String },
    #[error("the list of specs in {path} is not a ginkgo report: {source}")]
    NotAReport {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{0}")]
    Kept(#[from] KeptError),
}

/// Where e2e.test is and what it runs against.
pub(super) struct Runner {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Reports, and a log of the last run of each spec that did not pass.
    folder: PathBuf,
}

impl Runner {
    pub(super) fn new(program: &Path, kubeconfig: &Path, folder: &Path) -> Result<Runner, RunnerError> {
        let kubeconfig = kubeconfig
            .canonicalize()
            .map_err(|source| RunnerError::Kubeconfig { path: kubeconfig.to_owned(), source })?;
        let logs = folder.join("logs");
        std::fs::create_dir_all(&logs).map_err(|source| RunnerError::Folder { path: logs, source })?;
        Ok(Runner { program: program.to_owned(), kubeconfig, folder: folder.to_owned() })
    }

    /// The names of all `[Conformance]` specs of this e2e.test.
    pub(super) fn specs(&self) -> Result<Vec<String>, RunnerError> {
        let path = self.folder.join("specs.json");
        let output = Command::new(&self.program)
            .args(["--ginkgo.dry-run", r"--ginkgo.focus=\[Conformance\]"])
            .arg(format!("--ginkgo.json-report={}", path.display()))
            .current_dir(&self.folder)
            .output()
            .map_err(|source| RunnerError::Start { program: self.program.clone(), source })?;
        let Ok(json) = std::fs::read_to_string(&path) else {
            let stderr = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(RunnerError::List { stderr });
        };
        report::names(&json).map_err(|source| RunnerError::NotAReport { path, source })
    }

    /// Runs the jobs in their order, `procs` at a time, none begun after the deadline; `each` sees every outcome.
    pub(super) fn run(
        &self,
        jobs: &[Job],
        procs: usize,
        deadline: Option<Instant>,
        mut each: impl FnMut(&Outcome) -> Result<(), KeptError>,
    ) -> Result<(), RunnerError> {
        let queue: Mutex<VecDeque<&Job>> = Mutex::new(jobs.iter().collect());
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for worker in 0..procs.min(jobs.len()) {
                let (queue, sender) = (&queue, sender.clone());
                scope.spawn(move || {
                    while let Some(job) = next(queue, deadline) {
                        if sender.send(self.spec(job, worker)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(sender);
            let outcome = receiver.iter().try_for_each(|outcome| Ok(each(&outcome?)?));
            if outcome.is_err() {
                lock(&queue).clear();
            }
            outcome
        })
    }

    fn spec(&self, job: &Job, worker: usize) -> Result<Outcome, RunnerError> {
        let report = self.folder.join(format!("report-{worker}.json"));
        let log = self.folder.join("logs").join(format!("{}.log", file_name(&job.name)));
        if report.exists() {
            std::fs::remove_file(&report)
                .map_err(|source| RunnerError::Folder { path: report.clone(), source })?;
        }
        let began = Instant::now();
        self.process(job, &report, &log)?;
        let lasted = began.elapsed().as_secs_f64();
        let outcome =
            std::fs::read_to_string(&report).ok().and_then(|json| report::outcome(&json, &job.name).ok());
        let outcome = outcome.unwrap_or_else(|| without_report(job, lasted, &log));
        if outcome.state == State::Passed {
            std::fs::remove_file(&log).map_err(|source| RunnerError::Folder { path: log, source })?;
        }
        Ok(outcome)
    }

    fn process(&self, job: &Job, report: &Path, log: &Path) -> Result<(), RunnerError> {
        let file =
            File::create(log).map_err(|source| RunnerError::Folder { path: log.to_owned(), source })?;
        let copy = file.try_clone().map_err(|source| RunnerError::Folder { path: log.to_owned(), source })?;
        // The exit status says less than the report.
        Command::new("timeout")
            .args(["--foreground", "--kill-after=5", &(job.limit_s + GRACE_S + STUCK_S).to_string()])
            .arg(&self.program)
            .arg(format!("--kubeconfig={}", self.kubeconfig.display()))
            .args(["--provider=skeleton", "--disable-log-dump", "--ginkgo.no-color"])
            .arg(format!("--ginkgo.focus={}$", quoted(&job.name)))
            .arg(format!("--ginkgo.timeout={}s", job.limit_s))
            .arg(format!("--ginkgo.grace-period={GRACE_S}s"))
            .arg(format!("--ginkgo.json-report={}", report.display()))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            .status()
            .map_err(|source| RunnerError::Start { program: PathBuf::from("timeout"), source })
            .map(drop)
    }
}

/// A process that was killed or crashed leaves no report.
fn without_report(job: &Job, lasted_s: f64, log: &Path) -> Outcome {
    #[expect(clippy::cast_precision_loss, reason = "seconds of a limit are small")]
    let state = if lasted_s >= job.limit_s as f64 { State::TimedOut } else { State::Failed };
    let message = format!("e2e.test left no report; see {}", log.display());
    Outcome { name: job.name.clone(), state, seconds: lasted_s, message }
}

fn next<'a>(queue: &Mutex<VecDeque<&'a Job>>, deadline: Option<Instant>) -> Option<&'a Job> {
    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
        return None;
    }
    lock(queue).pop_front()
}

/// The queue is whole whatever a worker did.
fn lock<'a, 'b>(queue: &'a Mutex<VecDeque<&'b Job>>) -> MutexGuard<'a, VecDeque<&'b Job>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The text as a regular expression that matches itself and nothing else.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}

/// Readable, short enough for a file system, and of no other spec: long names differ in their ends alone.
fn file_name(spec: &str) -> String {
    let words = spec.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let readable: String = words.collect::<Vec<_>>().join("-").chars().take(120).collect();
    let mut hasher = DefaultHasher::new();
    spec.hash(&mut hasher);
    format!("{readable}-{:08x}", hasher.finish() >> 32)
}

#[cfg(test)]
mod tests;
