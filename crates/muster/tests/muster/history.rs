//! Who changed what, why and when, on the real binary; and that nobody can change it afterwards unseen.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::crash::{control_plane, free_port};
use crate::harness::{MUSTER, Process, wait_for};

const WITHIN: Duration = Duration::from_secs(60);

/// A control plane alone, and its clients.
pub(crate) struct Place {
    directory: tempfile::TempDir,
    data_dir: PathBuf,
    port: u16,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path().join("d");
        Self { directory, data_dir, port: free_port() }
    }

    pub(crate) fn start(&self) -> Process {
        let mut server = control_plane(&self.data_dir, self.port, &self.path("log"));
        wait_for("answer of the history", WITHIN, || {
            assert_eq!(server.ended(), None, "{}", server.words());
            let verified = self.muster(&["history", "verify"]);
            if verified.status.success() { Ok(()) } else { Err(format!("{verified:?}")) }
        });
        wait_for("webhook", WITHIN, || {
            let found =
                self.kubectl("admin", &["get", "validatingwebhookconfiguration", "muster-history"], "");
            if found.status.success() { Ok(()) } else { Err(format!("{found:?}")) }
        });
        server
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.data_dir.join("kubeconfig")
    }

    pub(crate) fn muster(&self, words: &[&str]) -> Output {
        let mut command = Command::new(MUSTER);
        command.args(words).arg("--data-dir").arg(&self.data_dir).env_remove("KUBECONFIG");
        command.stdin(Stdio::null()).output().unwrap()
    }

    /// As one of the administrators.
    fn kubectl(&self, user: &str, words: &[&str], input: &str) -> Output {
        use std::io::Write as _;
        let mut command = Command::new("kubectl");
        command.args(words).args(["--as", user, "--as-group", "system:masters"]);
        command.env("KUBECONFIG", self.kubeconfig());
        command.env("KUBECACHEDIR", self.path("cache"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn changes(&self, name: &str, field: &str) -> Result<Vec<Value>, String> {
        let output = self.muster(&["history", "show", "Machine", name, "--field", field, "-o", "json"]);
        if !output.status.success() {
            return Err(words(&output));
        }
        let list: Value = serde_json::from_slice(&output.stdout).unwrap();
        Ok(list["items"].as_array().unwrap().clone())
    }

    /// Waits until the field has had so many values.
    pub(crate) fn settled(&self, name: &str, field: &str, count: usize) -> Vec<Value> {
        wait_for("recorded changes", WITHIN, || {
            let changes = self.changes(name, field)?;
            if changes.len() == count { Ok(changes) } else { Err(format!("{changes:?}")) }
        })
    }
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub(crate) fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", words(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn is_missing(program: &str) -> bool {
    let found = Command::new(program)
        .args(["version", "--client"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    !found.is_ok_and(|status| status.success())
}

fn machine(name: &str, role: &str, reason: &str) -> String {
    format!(
        "apiVersion: muster.dev/v1alpha1\nkind: Machine\nmetadata: {{name: {name}, annotations: {{muster.dev/reason: {reason}}}}}\nspec: {{site: a, role: {role}}}\n"
    )
}

const SITE: &str = "apiVersion: muster.dev/v1alpha1\nkind: Site\nmetadata: {name: a}\nspec: {}\n";

#[test]
fn two_people_edit_a_machine_and_the_history_tells_who_why_and_when() {
    if is_missing("kubectl") {
        println!("could not run: kubectl is not installed");
        return;
    }
    let place = Place::new();
    let server = place.start();
    done(&place.kubectl("ada", &["apply", "-f", "-"], SITE));
    done(&place.kubectl("ada", &["apply", "-f", "-"], &machine("m1", "worker", "bought")));
    place.settled("m1", "spec.role", 1);
    done(&place.kubectl("ada", &["apply", "-f", "-"], &machine("m2", "worker", "bought")));
    let second = place.settled("m2", "spec.role", 1);
    let between = second[0]["time"].as_str().unwrap().to_owned();
    let patch =
        r#"{"spec":{"role":"storage"},"metadata":{"annotations":{"muster.dev/reason":"more disks"}}}"#;
    done(&place.kubectl("bob", &["patch", "machine", "m1", "--type", "merge", "-p", patch], ""));
    let changes = place.settled("m1", "spec.role", 2);
    let told = |change: &Value, key: &str| change[key].as_str().unwrap_or("").to_owned();
    let who: Vec<[String; 5]> = changes
        .iter()
        .map(|change| ["user", "reason", "old", "new", "via"].map(|key| told(change, key)))
        .collect();
    let expected =
        [["ada", "bought", "", "worker", "Webhook"], ["bob", "more disks", "worker", "storage", "Webhook"]];
    assert_eq!(who, expected);
    let story = done(&place.muster(&["machine", "history", "m1"]));
    assert!(story.contains("spec.role: worker → storage") && story.contains("by bob: more disks"), "{story}");
    asked_as_of(&place, &between);
    refused(&place);
    ends_and_is_remembered(&place);
    drop(server);
    let server = place.start();
    assert_eq!(place.changes("m1", "spec.role").unwrap(), changes_of_a_whole_life(&place));
    one_changed_byte_is_found(&place);
    drop(server);
}

#[test]
fn a_restart_asks_no_webhook_of_its_former_life() {
    if is_missing("kubectl") {
        println!("could not run: kubectl is not installed");
        return;
    }
    let place = Place::new();
    let server = place.start();
    done(&place.kubectl("ada", &["delete", "workflow", "retire"], ""));
    drop(server);
    let server = place.start();
    // It was made again before the history listened: nobody was asked, and nobody was waited for.
    done(&place.kubectl("ada", &["get", "workflow", "retire"], ""));
    let warned = server.words();
    let warned: Vec<&str> = warned.lines().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warned, Vec::<&str>::new());
}

fn names(output: &Output) -> Vec<String> {
    done(output).lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

fn asked_as_of(place: &Place, between: &str) {
    let worker = r#"machine.spec.role == "worker""#;
    assert_eq!(names(&place.muster(&["machine", "list", "--where", worker])), ["m2"]);
    assert_eq!(
        names(&place.muster(&["machine", "list", "--where", worker, "--as-of", between])),
        ["m1", "m2"]
    );
    let groups = done(&place.muster(&["machine", "list", "--as-of", between, "--group-by", "role"]));
    let cells: Vec<&str> = groups.split_whitespace().collect();
    assert_eq!(cells, ["ROLE", "MACHINES", "worker", "2"]);
    let answer = done(&place.muster(&["machine", "list", "--group-by", "role", "-o", "json"]));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["status"]["matched"], 2);
}

fn refused(place: &Place) {
    let rows: &[(&[&str], &str)] = &[
        (&["machine", "list", "--as-of", "2199-01-01T00:00:00Z"], "that is in the future"),
        (&["machine", "list", "--as-of", "2001-01-01T00:00:00Z"], "the history begins at"),
        (
            &["machine", "list", "--where", "machine.spec.rol == \"a\""],
            "1:1: there is no field machine.spec.rol",
        ),
        (&["machine", "list", "--where", "machine.spec.role =="], "where: 1:"),
        (&["machine", "list", "--group-by", "colour"], "there is no such field"),
        (&["machine", "history", "m1", "--field", "spec..role"], "at character 6"),
        (&["machine", "history", "nobody"], "the history knows no Machine \"nobody\""),
        (&["history", "show", "Pod", "p"], "kind \"Pod\" has no history"),
        (&["history", "verify", "--anchor", "x"], "write RECORD:CHAIN"),
    ];
    for (command, expected) in rows {
        let output = place.muster(command);
        assert!(words(&output).contains(expected), "{command:?}: {}", words(&output));
        assert_eq!(output.status.code(), Some(2), "{command:?}");
    }
}

fn ends_and_is_remembered(place: &Place) {
    done(&place.kubectl("bob", &["delete", "machine", "m1"], ""));
    let changes = place.settled("m1", "spec.role", 3);
    let end = &changes[2];
    assert_eq!(
        (&end["operation"], &end["old"], &end["user"]),
        (&"Delete".into(), &"storage".into(), &"bob".into())
    );
    let story = done(&place.muster(&["machine", "history", "m1"]));
    assert!(story.contains("deleted") && story.contains("by bob"), "{story}");
}

fn changes_of_a_whole_life(place: &Place) -> Vec<Value> {
    place.settled("m1", "spec.role", 3)
}

fn one_changed_byte_is_found(place: &Place) {
    let anchor = done(&place.muster(&["history", "verify"]));
    let anchor = anchor.lines().last().unwrap().strip_prefix("anchor: ").unwrap().to_owned();
    done(&place.muster(&["history", "verify", "--anchor", &anchor]));
    let file = segment(&place.data_dir);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[400] ^= 0x10;
    std::fs::write(&file, &bytes).unwrap();
    let files = place.data_dir.join("history");
    for command in
        [&["history", "verify"][..], &["history", "verify", "--files", files.to_str().unwrap()][..]]
    {
        let output = place.muster(command);
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let told = words(&output);
        assert!(
            told.contains("the history is broken at record") && told.contains("0000000001.history at offset"),
            "{told}"
        );
    }
}

fn segment(data_dir: &Path) -> PathBuf {
    data_dir.join("history/0000000001.history")
}
