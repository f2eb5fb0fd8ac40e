//! Values that are encrypted on disk.

use std::error::Error;
use std::fs;
use std::path::Path;

use muster_store::{Config, DataKeys, Key, OpenError, Sealing, Store};

use crate::durable::open;
use crate::text::{Text, pod, put};

const SECRET: &str = "correct horse battery staple";

fn config(dir: &Path) -> Config {
    let keys = DataKeys::open(dir.join("pki/data.keys")).expect("keys");
    let sealing = Some(Sealing::new(keys, &["secrets"]));
    let (segment_bytes, checkpoint_after_bytes) = (16 << 10, 32 << 10);
    Config { sealing, segment_bytes, checkpoint_after_bytes, ..Config::new(dir.join("data")) }
}

fn secret(name: &str) -> Key {
    Key::new("secrets", "default", name)
}

/// The files below a directory that hold a text.
fn holding(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(holding(&path, text));
        } else if fs::read(&path).expect("a file").windows(text.len()).any(|window| window == text.as_bytes())
        {
            found.push(path.file_name().expect("a name").to_string_lossy().into_owned());
        }
    }
    found
}

/// An error and its causes.
fn told(error: &OpenError) -> String {
    let source = error.source().map(ToString::to_string).unwrap_or_default();
    format!("{error}: {source}")
}

async fn filled(dir: &Path, writes: usize) -> Store<Text> {
    let (store, _) = Store::open(config(dir)).expect("the directory opens");
    for n in 0..writes {
        let text = format!("{SECRET} {n} {}", "x".repeat(500));
        let both = vec![put(secret(&format!("s{}", n % 10)), &text), put(pod("p"), "plain")];
        store.commit(both).await.expect("a commit");
    }
    store
}

#[tokio::test]
async fn no_file_holds_a_sealed_value_and_it_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = filled(dir.path(), 200).await;
    let names = |dir: &Path| -> Vec<String> {
        let entries = fs::read_dir(dir.join("data")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    store.close().await;
    assert!(names(dir.path()).iter().any(|name| name.starts_with("checkpoint-")), "{:?}", names(dir.path()));
    assert_eq!(holding(dir.path(), SECRET), [] as [&str; 0]);
    assert_ne!(holding(dir.path(), "plain"), [] as [&str; 0]);
    let (store, recovery) = Store::<Text>::open(config(dir.path())).unwrap();
    assert_eq!(recovery.entries, 11);
    assert!(store.get(&secret("s9")).unwrap().value.0.starts_with(&format!("{SECRET} 199 ")));
}

#[tokio::test]
async fn a_new_key_is_for_what_is_written_from_now_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pki/data.keys");
    drop(filled(dir.path(), 3).await);
    let lines = || fs::read_to_string(&file).unwrap().lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(lines(), 1);
    DataKeys::open(&file).unwrap().rotate().unwrap();
    assert_eq!(lines(), 2);
    drop(filled(dir.path(), 3).await);
    let (store, _) = Store::<Text>::open(config(dir.path())).unwrap();
    assert_eq!(store.snapshot("secrets").len(), 3);
}

#[tokio::test]
async fn a_missing_or_changed_key_is_told_with_its_file_and_nothing_is_changed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pki/data.keys");
    drop(filled(dir.path(), 3).await);
    let good = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let missing = Store::<Text>::open(config(dir.path())).err().unwrap();
    assert!(matches!(missing, OpenError::Sealed { .. }));
    let text = told(&missing);
    let named = format!("which {} does not hold; restore that file as it was", file.display());
    assert!(text.contains("the encrypted value of secrets/default/s0") && text.contains(&named), "{text}");
    assert!(!file.exists(), "a file that was lost is not replaced");
    let last = good.trim_end().len() - 1;
    let changed = format!("{}{}\n", &good[..last], if good.as_bytes()[last] == b'0' { '1' } else { '0' });
    fs::write(&file, changed).unwrap();
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&file, permissions).unwrap();
    let wrong = told(&Store::<Text>::open(config(dir.path())).err().unwrap());
    assert!(wrong.contains(&format!("of {} does not open it", file.display())), "{wrong}");
    fs::write(&file, &good).unwrap();
    assert_eq!(Store::<Text>::open(config(dir.path())).unwrap().1.entries, 4);
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let open = DataKeys::open(&file).err().unwrap().to_string();
    assert!(open.contains("others may read it (mode 640)"), "{open}");
}

#[tokio::test]
async fn what_was_written_before_values_were_sealed_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(&dir.path().join("data"));
    store.commit(vec![put(secret("old"), SECRET)]).await.unwrap();
    drop(store);
    let (store, _) = Store::<Text>::open(config(dir.path())).unwrap();
    assert_eq!(store.get(&secret("old")).unwrap().value.0, SECRET);
}
