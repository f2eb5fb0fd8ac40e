//! `cargo xtask conformance`: the real `[Conformance]` specs of Kubernetes against a cluster, one process per spec.
//!
//! A spec that is on the list of passing names and fails, fails the run; with `--keep`, one that passes for the first
//! time is added to the list. An interrupted run goes on where it was.
mod kept;
mod plan;
mod report;
mod runner;
mod verdict;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kept::{Kept, KeptError};
use plan::{Limits, Plan, Wish};
use runner::{Runner, RunnerError};
use verdict::Verdict;

/// The names that pass, one a line, relative to the top of the tree.
const PASSING: &str = "tests/conformance/passing.txt";

/// What a person may choose.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The cluster to run against
    #[arg(long, env = "KUBECONFIG")]
    kubeconfig: PathBuf,
    /// Run only the names on the list, as the build server does
    #[arg(long)]
    list_only: bool,
    /// Add names that pass for the first time to the list; not meant for another cluster than Muster's own
    #[arg(long, conflicts_with = "list_only")]
    keep: bool,
    /// How many specs run side by side; those marked [Serial] always run alone
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    procs: u8,
    /// Run only specs whose name contains this text; may be given more than once
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// A spec that is not on the list is cut after this many seconds
    #[arg(long, default_value_t = 120)]
    unlisted_seconds: u64,
    /// A spec that is on the list is cut after this many seconds
    #[arg(long, default_value_t = 600)]
    listed_seconds: u64,
    /// Begin no further spec after this many seconds, and count those that were not begun
    #[arg(long, value_name = "SECONDS")]
    budget: Option<u64>,
    /// What the cluster is called in the state of a run: a run that was interrupted goes on under the same name
    /// [default: the kubeconfig's path]
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Forget what an interrupted run has done already
    #[arg(long)]
    fresh: bool,
    /// Where built programs and the state of runs are kept [default: ~/.cache/muster]
    #[arg(long, env = "MUSTER_CACHE")]
    cache: Option<PathBuf>,
}

/// Why the specs could not be run, or that a listed one was lost.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConformanceError {
    #[error("conformance: there is no home folder to keep a cache in: give --cache FOLDER")]
    NoCache,
    #[error("conformance: e2e.test could not be built: `tests/upstream/build e2e.test` says why")]
    Build,
    #[error("conformance: tests/upstream/build cannot be started: {0}")]
    BuildStart(#[source] std::io::Error),
    #[error("conformance: {0}")]
    Runner(#[from] RunnerError),
    #[error("conformance: {0}")]
    Kept(#[from] KeptError),
    #[error("conformance: no spec is called like that: {0:?} is part of no name of e2e.test")]
    NothingMeant(Vec<String>),
    #[error("conformance: {0} listed spec(s) did not pass; a name may be added to {PASSING}, never lost")]
    Lost(usize),
}

/// Builds e2e.test, runs what is wished, prints the count, keeps the list.
pub(crate) fn run(root: &Path, options: &Options) -> Result<(), ConformanceError> {
    let began = Instant::now();
    let folder = cache(options)?.join("conformance");
    let runner = Runner::new(&build(root)?.join("e2e.test"), &options.kubeconfig, &folder)?;
    let passing_path = root.join(PASSING);
    let passing = kept::read_names(&passing_path)?;
    let specs = runner.specs()?;
    let mut kept = Kept::open(&folder.join("state.jsonl"), &run_key(options, &specs), options.fresh)?;
    if !kept.outcomes().is_empty() {
        println!("going on: {} spec(s) are done already (--fresh forgets them)", kept.outcomes().len());
    }
    let wish = Wish { list_only: options.list_only, only: options.only.clone(), limits: limits(options) };
    let plan = plan::plan(&specs, &passing, kept.outcomes(), &wish);
    if plan.meant == 0 && !options.only.is_empty() {
        return Err(ConformanceError::NothingMeant(options.only.clone()));
    }
    let deadline = options.budget.map(|seconds| began + Duration::from_secs(seconds));
    execute(&runner, &plan, &mut kept, usize::from(options.procs), deadline)?;

    let verdict = Verdict::of(&plan, &passing, kept.outcomes());
    print!("{}", verdict.text(specs.len(), began.elapsed().as_secs()));
    if options.keep && !verdict.gained.is_empty() {
        kept::write_names(&passing_path, passing.iter().chain(&verdict.gained))?;
    }
    if verdict.not_run == 0 {
        kept.finish()?;
    }
    if verdict.lost.is_empty() { Ok(()) } else { Err(ConformanceError::Lost(verdict.lost.len())) }
}

/// Side by side, then alone, then once more alone what is listed and failed: one failure under load proves nothing.
fn execute(
    runner: &Runner,
    plan: &Plan,
    kept: &mut Kept,
    procs: usize,
    deadline: Option<Instant>,
) -> Result<(), ConformanceError> {
    let total = plan.together.len() + plan.alone.len();
    println!("{total} spec(s) to run, {} of them alone", plan.alone.len());
    let mut done = 0;
    for (jobs, procs) in [(&plan.together, procs), (&plan.alone, 1)] {
        runner.run(jobs, procs, deadline, |outcome| {
            done += 1;
            println!("[{done}/{total}] {outcome}");
            kept.add(outcome)
        })?;
    }
    let again = plan.again(kept.outcomes());
    if !again.is_empty() {
        println!("{} listed spec(s) did not pass: once more, alone", again.len());
    }
    // A spec that was begun gets its second chance whatever the budget: a name is not lost for want of time.
    runner.run(&again, 1, None, |outcome| {
        println!("[again] {outcome}");
        kept.add(outcome)
    })?;
    Ok(())
}

fn limits(options: &Options) -> Limits {
    Limits { listed_s: options.listed_seconds, unlisted_s: options.unlisted_seconds }
}

/// An interrupted run goes on only if it is the same run: same cluster, same specs, same wish.
fn run_key(options: &Options, specs: &[String]) -> String {
    let cluster = options.cluster.clone().unwrap_or_else(|| options.kubeconfig.display().to_string());
    format!("{cluster} {} specs, list only: {}, only: {:?}", specs.len(), options.list_only, options.only)
}

fn cache(options: &Options) -> Result<PathBuf, ConformanceError> {
    let fallback = || std::env::home_dir().map(|home| home.join(".cache/muster"));
    options.cache.clone().or_else(fallback).ok_or(ConformanceError::NoCache)
}

/// The folder of the upstream programs, with an up-to-date e2e.test in it.
fn build(root: &Path) -> Result<PathBuf, ConformanceError> {
    let output = Command::new(root.join("tests/upstream/build"))
        .arg("e2e.test")
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(ConformanceError::BuildStart)?;
    if !output.status.success() {
        return Err(ConformanceError::Build);
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim_end()))
}
