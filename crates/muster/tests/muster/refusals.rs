//! What cannot be done is refused in one clear sentence, and nothing half-made is left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::crash::{control_plane, free_port};
use crate::harness::{MUSTER, Process, done, wait_for};

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
    let port = free_port();
    let mut first = control_plane(&data_dir, port, &directory.path().join("first"));
    ready(&mut first);
    // The same port: that the directory is held is the better reason.
    for port in [free_port(), port] {
        let (code, words) = refusal(&data_dir, port, &directory.path().join("second"));
        let expected = format!(
            "muster: cannot open the data directory: the data directory {}/store is in use by process {}; stop that process first [data-directory-held]",
            data_dir.canonicalize().unwrap().display(),
            first.pid()
        );
        assert_eq!((code, words), (2, expected));
    }
    assert_eq!(first.ended(), None);
}

#[test]
fn a_taken_port_is_refused_with_what_to_do_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let data_dir = directory.path().join("d");
    let (code, words) = refusal(&data_dir, port, &directory.path().join("log"));
    let expected = format!(
        "muster: cannot listen on 127.0.0.1:{port}: Address already in use (os error 98); end what listens there, or choose another with --listen [cannot-listen]"
    );
    assert_eq!((code, words), (2, expected));
    assert!(!data_dir.exists());
}

#[test]
fn a_data_directory_that_cannot_be_made_or_written_is_refused_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let mut places = vec![(file.join("d"), "Not a directory (os error 20)")];
    let _disk = root_user().then(|| {
        let disk = Disk::mount(&directory.path().join("disk"), "ro,size=64k");
        places.push((disk.0.join("d"), "Read-only file system (os error 30)"));
        disk
    });
    for (place, reason) in places {
        let (code, words) = refusal(&place, free_port(), &directory.path().join("log"));
        let expected = format!(
            "muster: cannot use the data directory {}: {reason}; make it writable, or choose another with --data-dir [data-directory-unusable]",
            place.display()
        );
        assert_eq!((code, words), (2, expected));
    }
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

/// Every file below a directory, with its bytes.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        if entry.path().is_dir() {
            found.extend(contents(&entry.path()));
        } else {
            found.insert(entry.path(), fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn damage_in_the_middle_of_the_log_is_refused_with_its_place_and_nothing_is_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = filled(directory.path());
    let segment = segments(&data_dir).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    bytes[3000] ^= 0x40;
    fs::write(&segment, &bytes).unwrap();
    let without_lock = || {
        let mut files = contents(&data_dir);
        files.remove(&data_dir.join("store/lock"));
        files
    };
    let before = without_lock();
    let (code, words) = refusal(&data_dir, free_port(), &directory.path().join("log"));
    assert_eq!(code, 2);
    let name = segment.file_name().unwrap().to_str().unwrap();
    let begin = format!("muster: cannot open the data directory: {name}: damaged at byte ");
    let offset: u64 = words
        .strip_prefix(&begin)
        .and_then(|rest| rest.split_once(':')?.0.parse().ok())
        .unwrap_or_else(|| panic!("no offset: {words}"));
    assert!((1..=3000).contains(&offset), "{words}");
    assert!(words.ends_with("restore the data directory from a backup [store-damaged]"), "{words}");
    assert!(without_lock() == before, "a file was changed");
}

#[test]
fn a_torn_end_of_the_log_is_cut_off_with_a_warning_and_the_rest_stands() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = filled(directory.path());
    let segment = segments(&data_dir).pop().unwrap();
    let bytes = fs::read(&segment).unwrap();
    // The log is reserved ahead with zeros: a write that did not come through breaks off inside of a frame.
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    let mut torn = bytes.clone();
    torn[end - 20..=end].fill(0);
    fs::write(&segment, &torn).unwrap();
    let mut server = control_plane(&data_dir, free_port(), &directory.path().join("log"));
    ready(&mut server);
    let words = server.words();
    let warned = words.lines().filter(|line| line.contains(" WARN ")).collect::<Vec<_>>();
    assert_eq!(warned.len(), 1, "{words}");
    assert!(warned[0].contains("what was not acknowledged is dropped"), "{words}");
    assert!(warned[0].contains(segment.file_name().unwrap().to_str().unwrap()), "{words}");
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_nothing_is_changed() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = filled(directory.path());
    let segment = segments(&data_dir).remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    // Eight bytes of magic, then the format.
    bytes[8] = 99;
    fs::write(&segment, &bytes).unwrap();
    let (code, words) = refusal(&data_dir, free_port(), &directory.path().join("log"));
    assert_eq!(code, 2);
    assert!(words.contains("has format 99, this program reads and writes format"), "{words}");
    assert!(words.ends_with("[store-format]"), "{words}");
    assert_eq!(fs::read(&segment).unwrap(), bytes);
}

fn root_user() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// A small file system of its own, unmounted with the test.
struct Disk(PathBuf);

impl Disk {
    fn mount(place: &Path, options: &str) -> Self {
        fs::create_dir(place).unwrap();
        done(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(place));
        Self(place.to_owned())
    }

    fn grow(&self, options: &str) {
        done(Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        done(Command::new("umount").arg(&self.0));
    }
}

#[test]
fn a_full_disk_is_one_clear_sentence_and_with_room_it_starts() {
    if !root_user() {
        println!("could not run: not root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let disk = Disk::mount(&directory.path().join("disk"), "size=64k");
    let data_dir = disk.0.join("d");
    let (code, words) = refusal(&data_dir, free_port(), &directory.path().join("log"));
    assert_eq!(code, 1);
    assert!(
        words.starts_with("muster: cannot open the data directory: ") && words.contains("the disk is full"),
        "{words}"
    );
    assert!(words.ends_with("[disk-full]"), "{words}");
    disk.grow("size=256m");
    let mut server = control_plane(&data_dir, free_port(), &directory.path().join("log"));
    ready(&mut server);
}

fn muster(words: &[&str]) -> Command {
    let mut command = Command::new(MUSTER);
    command.args(words).env_remove("KUBECONFIG");
    command
}

/// The exit code, and what stands on standard error.
fn ends(command: &mut Command) -> (i32, String) {
    let output = command.output().unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn settings_with_faults_are_refused_with_all_of_them_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("muster.yaml");
    let data_dir = directory.path().join("d");
    fs::write(&file, format!("dataDir: {}\nlisten: here\ncolour: red\n", data_dir.display())).unwrap();
    let shown = file.display();
    let expected = format!(
        "muster: the settings are not used\n{shown}:2: listen: must be ADDRESS:PORT, such as 127.0.0.1:6443\n{shown}:3: colour: there is no such key; known are dataDir, listen, machine, node, containerRuntimeEndpoint, sweepEvery, keepRuns, timeServers, log\n"
    );
    for words in [["up", "--config"].as_slice(), &["config", "show", "--config"]] {
        assert_eq!(ends(muster(words).arg(&file)), (2, expected.clone()));
    }
    assert!(!data_dir.exists());
}

#[test]
fn settings_are_used_and_a_flag_wins() {
    let directory = tempfile::tempdir().unwrap();
    let (file, data_dir, port) =
        (directory.path().join("muster.yaml"), directory.path().join("d"), free_port());
    fs::write(&file, format!("dataDir: /nowhere\nlisten: 127.0.0.1:{port}\nnode: false\nmachine: m7\n"))
        .unwrap();
    let mut command = muster(&["up", "--config"]);
    command.arg(&file).arg("--data-dir").arg(&data_dir);
    let mut server = Process::start(command, &directory.path().join("log"));
    ready(&mut server);
    let kubeconfig = fs::read_to_string(data_dir.join("kubeconfig")).unwrap();
    assert!(kubeconfig.contains(&format!("https://127.0.0.1:{port}")), "{kubeconfig}");
    wait_for("leader", WITHIN, || {
        if server.words().contains("muster-up-m7") { Ok(()) } else { Err(server.words()) }
    });
}

#[test]
fn a_cluster_that_does_not_answer_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = filled(directory.path());
    let data_dir = data_dir.to_str().unwrap();
    for words in [["status"].as_slice(), &["machine", "list"], &["run", "show", "x"]] {
        let (code, said) = ends(muster(words).args(["--data-dir", data_dir]));
        assert_eq!(code, 1, "{said}");
        assert!(said.starts_with("muster: the API at https://127.0.0.1:"), "{said}");
        assert!(
            said.contains("does not answer: Connection refused (os error 111); start it with `muster up`"),
            "{said}"
        );
        assert!(said.ends_with("[api-unreachable]\n"), "{said}");
    }
}

#[test]
fn the_status_of_a_control_plane_alone_is_not_well_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("d");
    let mut server = control_plane(&data_dir, free_port(), &directory.path().join("log"));
    ready(&mut server);
    wait_for("word on the node part", WITHIN, || {
        if server.words().contains("the node part is off") { Ok(()) } else { Err(server.words()) }
    });
    let expected = "muster: node part: off, as was asked for; start Muster without --without-node to run containers here\n";
    // Found by the kubeconfig, wherever the default data directory is.
    let (code, said) = ends(muster(&["status"]).env("KUBECONFIG", data_dir.join("kubeconfig")));
    assert_eq!((code, said.as_str()), (1, expected));
    // An empty variable is none, a list is one as kubectl reads it.
    let (code, said) = ends(muster(&["status", "--data-dir"]).arg(&data_dir).env("KUBECONFIG", ""));
    assert_eq!((code, said.as_str()), (1, expected));
    let list = format!("/nowhere/config:{}", data_dir.join("kubeconfig").display());
    assert_eq!(ends(muster(&["machine", "list"]).env("KUBECONFIG", list)), (0, String::new()));
    let warned: Vec<String> = server
        .words()
        .lines()
        .filter(|line| line.contains(" WARN ") || line.contains(" ERROR "))
        .map(str::to_owned)
        .collect();
    assert_eq!(warned, Vec::<String>::new());
}

#[test]
fn what_is_not_there_is_refused_by_its_name_in_every_format() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("d");
    let mut server = control_plane(&data_dir, free_port(), &directory.path().join("log"));
    ready(&mut server);
    for (noun, verbs) in
        [("machine", ["show", "history"].as_slice()), ("problem", &["show"]), ("run", &["show"])]
    {
        for (verb, format) in
            verbs.iter().flat_map(|verb| ["table", "wide", "json", "yaml"].map(|f| (verb, f)))
        {
            let mut command = muster(&[noun, verb, "ghost", "-o", format, "--data-dir"]);
            let expected = if *verb == "history" {
                "muster: history: the history knows no Machine \"ghost\"\n".to_owned()
            } else {
                format!("muster: {noun} ghost: {noun}s.muster.dev \"ghost\" not found\n")
            };
            assert_eq!(ends(command.arg(&data_dir)), (2, expected));
        }
    }
}

#[test]
fn a_client_without_a_cluster_says_how_to_get_one() {
    let directory = tempfile::tempdir().unwrap();
    let (code, words) = ends(muster(&["machine", "list", "--data-dir"]).arg(directory.path()));
    assert_eq!(code, 1);
    assert!(words.starts_with("muster: no cluster: ") && words.contains("run `muster up`"), "{words}");
}

#[test]
fn a_kubeconfig_that_is_not_there_or_not_one_is_named_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let odd = directory.path().join("odd");
    fs::write(&odd, "- a\n").unwrap();
    let (code, words) = ends(&mut muster(&["status", "--kubeconfig", "/nowhere/config"]));
    let expected = "muster: cannot read the kubeconfig /nowhere/config: there is no such file; name another with --kubeconfig or $KUBECONFIG\n";
    assert_eq!((code, words.as_str()), (1, expected));
    let (code, words) = ends(muster(&["status", "--kubeconfig"]).arg(&odd));
    assert_eq!(code, 1);
    assert!(words.starts_with(&format!("muster: cannot read the kubeconfig {}: ", odd.display())), "{words}");
}
