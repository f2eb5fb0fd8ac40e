use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::harness::{Run, Text, config, open};
use crate::config::Config;
use crate::disk::sim::{Fault, Left, SimDisk};
use crate::entry::{Change, Expect, Write};
use crate::error::{CommitError, OpenError};
use crate::key::{Key, Revision};
use crate::watch::Watch;

const STRICT: &str = "pods";
const RELAXED: &str = "leases";

type State = BTreeMap<Key, String>;

/// What must be there after a restart: the state that was made durable, and then the first few of the batches whose
/// fate is open, each whole.
#[derive(Default)]
struct Model {
    durable: State,
    /// What readers of the running store see.
    visible: State,
    open: Vec<Vec<Write<Text>>>,
    /// The highest revision that anybody, or the log alone, has been given.
    given: Revision,
    acknowledged: Revision,
    texts: u64,
}

impl Model {
    fn candidates(&self) -> Vec<State> {
        let mut states = vec![self.durable.clone()];
        for batch in &self.open {
            let mut state = states.last().expect("the durable state").clone();
            if apply(&mut state, batch) {
                states.push(state);
            }
        }
        states
    }

    fn random_batch(&mut self, rng: &mut StdRng) -> Vec<Write<Text>> {
        let relaxed = rng.random_bool(0.3);
        let count = [1, 1, 1, 2, 5][rng.random_range(0..5)];
        (0..count).map(|_| self.random_write(rng, relaxed)).collect()
    }

    fn random_write(&mut self, rng: &mut StdRng, relaxed: bool) -> Write<Text> {
        let resource = if relaxed { RELAXED } else { STRICT };
        let key = Key::new(resource, "ns", format!("n{}", rng.random_range(0..12)));
        let expect = [Expect::Any, Expect::Any, Expect::Absent, Expect::Exists][rng.random_range(0..4)];
        if rng.random_bool(0.25) {
            return Write::Delete { key, expect };
        }
        self.texts += 1;
        let text = format!("{}{}", self.texts, "x".repeat(rng.random_range(0..300)));
        Write::Put { key, value: Text(text), expect }
    }
}

/// Does the batch, or nothing and says so.
fn apply(state: &mut State, batch: &[Write<Text>]) -> bool {
    let before = state.clone();
    for write in batch {
        let present = state.contains_key(write.key());
        let holds = match write.expect() {
            Expect::Absent => !present,
            Expect::Exists => present,
            Expect::Any => true,
            Expect::Revision(_) => unreachable!("not generated"),
        };
        if !holds {
            *state = before;
            return false;
        }
        match write {
            Write::Put { key, value, .. } => state.insert(key.clone(), value.0.clone()),
            Write::Delete { key, .. } => state.remove(key),
        };
    }
    true
}

/// Names and the numbers of their texts.
fn brief(state: &State) -> String {
    let one = |(key, text): (&Key, &String)| format!("{key}={}", text.trim_end_matches('x'));
    state.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn state(run: &Run) -> State {
    let mut state = State::new();
    for resource in run.shared.resources() {
        let snapshot = run.shared.snapshot(&resource);
        state.extend(snapshot.iter().map(|entry| (entry.key.clone(), entry.value.0.clone())));
    }
    state
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    Works,
    Failed,
}

/// One group of commits; what is acknowledged goes into the model.
fn commit_some(run: &mut Run, model: &mut Model, rng: &mut StdRng) -> Disk {
    let batches: Vec<_> = (0..rng.random_range(1..5)).map(|_| model.random_batch(rng)).collect();
    let answers = run.group(batches.clone());
    model.given = model.given.max(run.journal.sequencer.last());
    if answers.iter().any(|answer| matches!(answer, Err(CommitError::Failed(_)))) {
        assert!(answers.iter().all(|answer| matches!(answer, Err(CommitError::Failed(_)))));
        model.open.extend(batches);
        return Disk::Failed;
    }
    for (batch, answer) in batches.into_iter().zip(answers) {
        let should = apply(&mut model.visible, &batch);
        match answer {
            Ok(committed) => {
                assert!(should, "acknowledged against a precondition");
                let revisions: Vec<_> = committed.entries.iter().map(|entry| entry.revision).collect();
                assert!(revisions.is_sorted() && revisions.iter().all(|one| model.acknowledged < *one));
                model.acknowledged = committed.revision.max(model.acknowledged);
                model.open.push(batch);
            }
            Err(CommitError::Conflict { .. }) => assert!(!should, "refused without a conflict"),
            Err(other) => panic!("{other}"),
        }
    }
    if !run.journal.is_unsynced() {
        model.durable.clone_from(&model.visible);
        model.open.clear();
    }
    Disk::Works
}

/// A restart found one of the states that it may find, and history hangs together.
fn check_recovered(run: &Run, model: &mut Model) {
    let found = state(run);
    let fits = model.candidates().into_iter().any(|candidate| candidate == found);
    assert!(fits, "found {}\nafter {}\nand {:?}", brief(&found), brief(&model.durable), model.open);
    model.durable.clone_from(&found);
    model.visible = found;
    model.open.clear();
    assert!(model.given <= run.recovery.revision, "a revision is given twice");
    (model.given, model.acknowledged) = (run.recovery.revision, run.recovery.revision);
    for resource in [STRICT, RELAXED] {
        check_events(run, resource);
    }
}

fn check_events(run: &Run, resource: &str) {
    let oldest = run.shared.oldest(resource);
    let mut watch = Watch::begin(run.shared.clone(), resource, oldest).expect("not expired");
    let mut last = BTreeMap::new();
    let mut revision = oldest;
    while let Some(event) = watch.try_next().expect("not lapped") {
        assert!(revision < event.revision);
        revision = event.revision;
        assert_eq!(event.previous.is_none(), event.change == Change::Created);
        if let Some(Some(before)) = last.get(&event.entry.key) {
            assert!(Arc::ptr_eq(event.previous.as_ref().expect("updated or deleted"), before));
        }
        let after = (event.change != Change::Deleted).then(|| event.entry.clone());
        last.insert(event.entry.key.clone(), after);
    }
    for (key, entry) in last {
        let found = run.shared.get(&key).map(|entry| entry.revision);
        assert_eq!(found, entry.map(|entry| entry.revision), "{key}");
    }
}

fn session(disk: &SimDisk, config: &Config, model: &mut Model, rng: &mut StdRng) -> Result<(), OpenError> {
    let fault = [Fault::Crash, Fault::Crash, Fault::Crash, Fault::Full, Fault::SyncFails];
    disk.fault_after(rng.random_range(0..150), fault[rng.random_range(0..fault.len())]);
    let mut run = open(disk, config)?;
    check_recovered(&run, model);
    for _ in 0..rng.random_range(1..60) {
        let works = commit_some(&mut run, model, rng);
        assert_eq!(brief(&state(&run)), brief(&model.visible), "visible is what was acknowledged");
        if works == Disk::Failed {
            let refused = run.one(vec![super::harness::put("late", "late")]);
            assert!(matches!(refused, Err(CommitError::Failed(_))), "{refused:?}");
            break;
        }
        run.begin_checkpoint();
        if rng.random_bool(0.3) {
            run.finish_checkpoint();
        }
        if rng.random_bool(0.1) {
            run.journal.sync();
        }
    }
    Ok(())
}

fn history(seed: u64) -> u64 {
    let mut rng = StdRng::seed_from_u64(seed);
    let disk = SimDisk::default();
    let config = Config { relaxed: [RELAXED.to_owned()].into(), ..config() };
    let mut model = Model::default();
    for _ in 0..rng.random_range(2..6) {
        if let Err(error) = session(&disk, &config, &mut model, &mut rng) {
            let expected = matches!(error, OpenError::Write(_)) || disk.has_crashed();
            assert!(expected, "seed {seed}: {error}");
        }
        match rng.random_range(0..4) {
            0 => disk.repair(),
            1 => disk.crash(Left::Nothing, &mut rng),
            _ => disk.crash(Left::Pieces, &mut rng),
        }
    }
    let run = open(&disk, &config).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    check_recovered(&run, &mut model);
    disk.operations()
}

#[test]
fn no_acknowledged_write_is_lost_and_no_batch_is_halved_in_any_of_2000_histories() {
    let mut operations = 0;
    for seed in 0..2000 {
        let result = std::panic::catch_unwind(|| history(seed));
        operations += result.unwrap_or_else(|_| panic!("history {seed} failed, see above"));
    }
    assert!(200_000 < operations, "the histories were too short to tell: {operations} operations");
}
