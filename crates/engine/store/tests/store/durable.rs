use std::fs;
use std::path::Path;
use std::sync::Arc;

use muster_store::{CommitError, Config, Expect, Key, OpenError, Recovery, Store, Sync};

use crate::text::{Text, delete, drain, pod, put, put_if, rev, rows, soon};

pub(crate) fn open(dir: &Path) -> (Store<Text>, Recovery) {
    Store::open(Config::new(dir)).expect("the directory opens")
}

fn small(dir: &Path) -> Config {
    Config { segment_bytes: 16 << 10, checkpoint_after_bytes: 32 << 10, ..Config::new(dir) }
}

#[tokio::test]
async fn comes_back_as_it_was_with_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery { revision: rev(0), entries: 0, replayed: 0, torn: None });
    store.commit(vec![put(pod("a"), "1"), put(pod("b"), "2")]).await.unwrap();
    store.commit(vec![put(pod("a"), "3"), delete(pod("b"))]).await.unwrap();
    store.commit(vec![put(Key::new("nodes", "", "n"), "4")]).await.unwrap();
    store.close().await;

    let (store, recovery) = open(dir.path());
    let revision = rev(5 + 16384);
    assert_eq!(recovery, Recovery { revision, entries: 2, replayed: 5, torn: None });
    assert_eq!(store.revision(), revision);
    let a = store.get(&pod("a")).unwrap();
    assert_eq!((a.value.0.as_str(), a.revision, a.created), ("3", rev(3), rev(1)));
    assert!(store.get(&pod("b")).is_none());
    assert_eq!(store.resources(), [Arc::from("nodes"), Arc::from("pods")]);
    let mut watch = store.watch("pods", rev(2)).unwrap();
    assert_eq!(drain(&mut watch), ["~pods/default/a=3@3/1 was 1", "-pods/default/b=2@4/2 was 2"]);
    let next = store.commit(vec![put_if(pod("a"), "5", Expect::Revision(rev(3)))]).await.unwrap();
    assert_eq!(rows(&next), ["pods/default/a=5@16390/1"]);
}

#[tokio::test]
async fn many_committers_share_syncs_and_each_gets_its_own_answer() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let creates = (0..200).map(|n| {
        let store = store.clone();
        async move { store.commit(vec![put_if(pod(&format!("p{}", n % 100)), "x", Expect::Absent)]).await }
    });
    let answers = soon("200 commits", futures::future::join_all(creates)).await;
    let won = answers.iter().filter(|answer| answer.is_ok()).count();
    let lost = answers.iter().filter(|answer| matches!(answer, Err(CommitError::Conflict { .. }))).count();
    assert_eq!((won, lost, store.snapshot("pods").len()), (100, 100, 100));
    drop(store);
    assert_eq!(open(dir.path()).1.entries, 100);
}

#[tokio::test]
async fn survives_checkpoints_with_watchers_able_to_resume() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(small(dir.path())).unwrap();
    let body = "x".repeat(500);
    for n in 0..400 {
        store.commit(vec![put(pod(&format!("p{}", n % 50)), &format!("{n}{body}"))]).await.unwrap();
    }
    let last = store.revision();
    store.close().await;
    let files = fs::read_dir(dir.path()).unwrap().count();
    assert!(files < 15, "{files} files");
    let (store, recovery) = Store::<Text>::open(small(dir.path())).unwrap();
    assert_eq!(recovery.entries, 50);
    let mut watch = store.watch("pods", rev(last.get() - 40)).unwrap();
    assert_eq!(drain(&mut watch).len(), 40);
}

#[tokio::test]
async fn relaxed_and_lingering_writes_are_there_after_a_close() {
    let dir = tempfile::tempdir().unwrap();
    let linger = Sync::Linger(std::time::Duration::from_millis(5));
    let config = Config { relaxed: ["leases".to_owned()].into(), sync: linger, ..Config::new(dir.path()) };
    let (store, _) = Store::open(config.clone()).unwrap();
    let lease = Key::new("leases", "kube-node-lease", "n");
    for n in 0..20 {
        store.commit(vec![put(lease.clone(), &n.to_string())]).await.unwrap();
    }
    store.commit(vec![put(pod("a"), "1")]).await.unwrap();
    store.commit(vec![put(lease.clone(), "last")]).await.unwrap();
    store.close().await;
    let (store, recovery) = Store::<Text>::open(config).unwrap();
    assert_eq!((recovery.entries, store.get(&lease).unwrap().value.0.as_str()), (2, "last"));
}

#[tokio::test]
async fn a_second_open_is_refused_and_names_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let error = Store::<Text>::open(Config::new(dir.path())).err().unwrap();
    assert!(matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory {} is in use by process {}; stop that process first",
            dir.path().display(),
            std::process::id()
        )
    );
    drop(store);
    open(dir.path());
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "in the way").unwrap();
    let error = Store::<Text>::open(Config::new(file.join("data"))).err().unwrap();
    assert_eq!(
        error.to_string(),
        format!(
            "the data directory {} cannot be used; make it writable or choose another",
            file.join("data").display()
        )
    );
}

#[tokio::test]
async fn the_directory_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("made");
    let (_store, _) = open(&data);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("log-00000000000000000001.wal")), 0o600);
}

#[tokio::test]
async fn damage_on_the_real_disk_is_refused_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for n in 0..3 {
        store.commit(vec![put(pod("a"), &format!("value {n}"))]).await.unwrap();
    }
    store.close().await;
    let log = dir.path().join("log-00000000000000000001.wal");
    let mut bytes = fs::read(&log).unwrap();
    bytes[100] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let error = Store::<Text>::open(Config::new(dir.path())).err().unwrap();
    assert!(
        matches!(&error, OpenError::Corrupt { file, offset: 64, .. } if file == "log-00000000000000000001.wal"),
        "{error}"
    );
    assert_eq!(fs::read(&log).unwrap(), bytes);
}
