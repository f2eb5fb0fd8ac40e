//! What cannot be done is refused in one clear sentence, and nothing half-made is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::crash::{control_plane, free_port};
use crate::harness::{MUSTER, Process, wait_for};

const WITHIN: Duration = Duration::from_secs(30);

fn ready(server: &mut Process) {
    wait_for("ready control plane", WITHIN, || {
        assert_eq!(server.ended(), None, "{}", server.words());
        if server.words().contains("the control plane is ready") { Ok(()) } else { Err(server.words()) }
    });
}

/// The exit code and the last line of a server that does not start.
fn refusal(data_dir: &Path, port: u16, log: &Path) -> (i32, String) {
    let mut server = control_plane(data_dir, port, log);
    let code = wait_for("end of the server", WITHIN, || server.ended().ok_or_else(|| server.words()));
    (code, server.words().lines().last().unwrap_or_default().to_owned())
}

#[test]
fn a_second_up_on_one_data_directory_is_refused_and_names_the_holder() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("d");
    let mut first = control_plane(&data_dir, free_port(), &directory.path().join("first"));
    ready(&mut first);
    let (code, words) = refusal(&data_dir, free_port(), &directory.path().join("second"));
    assert_ne!(code, 0);
    assert!(words.contains(&first.pid().to_string()), "{words}");
    assert_eq!(first.ended(), None);
}

#[test]
fn a_taken_port_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, words) = refusal(&directory.path().join("d"), port, &directory.path().join("log"));
    assert_ne!(code, 0);
    let expected = format!(
        "muster: cannot listen on 127.0.0.1:{port}: Address already in use (os error 98); end what listens there, or choose another with --listen"
    );
    assert_eq!(words, expected);
}

/// The log segments of a store, oldest first.
fn segments(data_dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        fs::read_dir(data_dir.join("store")).unwrap().flatten().map(|entry| entry.path()).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "wal"));
    found.sort();
    found
}

fn filled(directory: &Path) -> PathBuf {
    let data_dir = directory.join("d");
    let mut server = control_plane(&data_dir, free_port(), &directory.join("filled"));
    ready(&mut server);
    server.kill();
    data_dir
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_with_its_place_and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = filled(directory.path());
    let segment = segments(&data_dir).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[3000] ^= 0x40;
    fs::write(&segment, &bytes).unwrap();
    let (code, words) = refusal(&data_dir, free_port(), &directory.path().join("log"));
    assert_ne!(code, 0);
    assert!(words.contains(segment.file_name().unwrap().to_str().unwrap()), "{words}");
    assert!(words.contains("offset") || words.contains("byte"), "{words}");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_full_disk_is_one_clear_sentence() {
    if !nix::unistd::Uid::effective().is_root() {
        println!("could not run: not root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let mounted =
        Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(&disk).status().unwrap();
    assert!(mounted.success());
    let (code, words) = refusal(&disk.join("d"), free_port(), &directory.path().join("log"));
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    assert_ne!(code, 0);
    assert!(
        words.starts_with("muster: cannot open the data directory") && words.contains("No space left"),
        "{words}"
    );
}

#[test]
fn a_client_without_a_cluster_says_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(MUSTER)
        .args(["machine", "list", "--data-dir"])
        .arg(directory.path())
        .env_remove("KUBECONFIG")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let words = String::from_utf8(output.stderr).unwrap();
    assert!(words.starts_with("muster: no cluster: ") && words.contains("run `muster up`"), "{words}");
}
