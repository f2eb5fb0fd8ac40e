//! The thread around the journal.

use std::sync::Arc;

use futures::FutureExt;

use super::harness::{Text, config, open, put};
use crate::disk::lock::DirectoryLock;
use crate::disk::sim::{Fault, SimDisk};
use crate::entry::Write;
use crate::error::{CommitError, FailureKind};
use crate::journal::committer::Committer;
use crate::key::Key;
use crate::memory::shared::Shared;

fn lock(dir: &tempfile::TempDir) -> DirectoryLock {
    DirectoryLock::acquire(dir.path()).expect("nobody else has it")
}

fn start(disk: &SimDisk, dir: &tempfile::TempDir) -> (Committer<Text>, Arc<Shared<Text>>) {
    let run = open(disk, &config()).expect("it opens");
    let committer = Committer::start(run.journal, &config(), lock(dir)).expect("it starts");
    (committer, run.shared)
}

fn pod(name: &str) -> Key {
    Key::new("pods", "", name)
}

#[tokio::test]
async fn a_commit_whose_caller_went_away_is_done_all_the_same() {
    let (disk, dir) = (SimDisk::default(), tempfile::tempdir().unwrap());
    let (committer, shared) = start(&disk, &dir);
    assert!(committer.commit(vec![put("a", "1")]).now_or_never().is_none());
    committer.commit(vec![put("b", "1")]).await.unwrap();
    assert!(shared.get(&pod("a")).is_some());
}

#[tokio::test]
async fn what_was_queued_before_a_close_is_answered_and_what_comes_after_is_refused() {
    let (disk, dir) = (SimDisk::default(), tempfile::tempdir().unwrap());
    let (committer, shared) = start(&disk, &dir);
    let before = (0..50).map(|n| committer.commit(vec![put(&format!("p{n}"), "1")]));
    let (before, ()) = futures::future::join(futures::future::join_all(before), committer.close()).await;
    assert!(before.iter().all(Result::is_ok), "{before:?}");
    assert_eq!(shared.snapshot("pods").len(), 50);
    let after = committer.commit(vec![put("late", "1")]).await;
    assert!(matches!(after, Err(CommitError::Closed)), "{after:?}");
    drop(lock(&dir));
    assert_eq!(open(&disk, &config()).unwrap().rows().len(), 50);
}

#[tokio::test]
async fn everybody_learns_of_a_full_disk_and_reading_goes_on() {
    let (disk, dir) = (SimDisk::default(), tempfile::tempdir().unwrap());
    let (committer, shared) = start(&disk, &dir);
    committer.commit(vec![put("a", "1")]).await.unwrap();
    assert!(committer.failure().is_none());
    disk.fault_after(0, Fault::Full);
    let waiting = (0..20).map(|n| committer.commit(vec![put(&format!("p{n}"), "1")]));
    for answer in futures::future::join_all(waiting).await {
        let Err(CommitError::Failed(failure)) = answer else { panic!("{answer:?}") };
        assert_eq!(failure.kind, FailureKind::DiskFull);
    }
    assert!(committer.failure().is_some());
    assert!(shared.get(&pod("a")).is_some());
    assert_eq!(shared.snapshot("pods").len(), 1);
    committer.close().await;
}

#[tokio::test]
async fn more_than_the_queue_holds_waits_and_is_done() {
    let (disk, dir) = (SimDisk::default(), tempfile::tempdir().unwrap());
    let (committer, shared) = start(&disk, &dir);
    let large = "x".repeat(20 << 20);
    let writes = (0..5).map(|n| vec![put(&format!("p{n}"), &large)]).collect::<Vec<Vec<Write<Text>>>>();
    let done = futures::future::join_all(writes.into_iter().map(|write| committer.commit(write))).await;
    assert!(done.iter().all(Result::is_ok), "{done:?}");
    assert_eq!(shared.snapshot("pods").len(), 5);
}
