//! Transcripts: a text of commands (`$ `) and what they print. A golden file is its own script.

use std::process::{Command, Stdio};

/// Runs the commands of a transcript, in order, and gives the transcript as it reads now. Lines that start with `#` and
/// empty lines before a command stay; every other line is what a command printed last time.
pub(crate) fn replay(
    text: &str,
    mut shell: impl FnMut() -> Command,
    steady: impl Fn(&str) -> String,
) -> String {
    let mut now = String::new();
    for line in text.lines() {
        if line.starts_with('#') {
            now.push_str(&format!("{line}\n"));
        }
        let Some(command) = line.strip_prefix("$ ") else { continue };
        let output =
            shell().args(["-c", &format!("exec 2>&1; {command}")]).stdin(Stdio::null()).output().unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        now.push_str(&format!("$ {command}\n"));
        for line in printed.lines().filter(|line| !line.trim().is_empty()) {
            now.push_str(&format!("{}\n", steady(line)));
        }
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            now.push_str(&format!("[exit {code}]\n"));
        }
        now.push('\n');
    }
    now
}

/// A line without what differs from run to run: generated names, times, addresses, the width of columns.
pub(crate) fn steady(line: &str) -> String {
    let line = dates(line);
    let indent = line.len() - line.trim_start().len();
    let (spaces, rest) = line.split_at(indent);
    let cells: Vec<&str> = rest.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
    // What follows a label (`cpu:  10m`) is no age.
    let labelled = |index: usize| 0 < index && cells[index - 1].ends_with(':');
    let cells: Vec<String> = cells
        .iter()
        .enumerate()
        .map(|(index, text)| if labelled(index) { words(text) } else { cell(text) })
        .collect();
    numbered(&format!("{spaces}{}", cells.join("  ")))
}

/// `Mon, 23 Nov 2026 07:49:06 +0000`, as `kubectl describe` prints a time.
fn dates(line: &str) -> String {
    const ZONE: &str = " +0000";
    const LENGTH: usize = "Mon, 23 Nov 2026 07:49:06".len();
    match line.find(ZONE) {
        Some(at) if LENGTH <= at => {
            format!("{}TIME{}", &line[..at - LENGTH], dates(&line[at + ZONE.len()..]))
        }
        Some(_) | None => line.to_owned(),
    }
}

/// Fields whose whole value is a number of this run.
fn numbered(line: &str) -> String {
    for name in ["resourceVersion: ", "Resource Version:  "] {
        if let Some((before, value)) = line.split_once(name)
            && !matches!(value, "" | "\"\"")
        {
            return format!("{before}{name}N");
        }
    }
    line.to_owned()
}

/// One column of a table, or a line that has none.
fn cell(cell: &str) -> String {
    if is_age(cell) {
        return "AGE".to_owned();
    }
    words(cell)
}

fn words(cell: &str) -> String {
    let mut steady = String::new();
    let mut word = String::new();
    for letter in cell.chars() {
        if letter.is_ascii_alphanumeric() || ".-+".contains(letter) || (letter == ':' && is_clock(&word)) {
            word.push(letter);
        } else {
            steady.push_str(&of_word(&std::mem::take(&mut word)));
            steady.push(letter);
        }
    }
    steady.push_str(&of_word(&word));
    steady
}

/// The begin of an RFC 3339 time, up to a colon.
fn is_clock(word: &str) -> bool {
    word.get(..2) == Some("20") && word.get(10..11) == Some("T")
}

fn is_age(word: &str) -> bool {
    word.len() >= 2
        && word.starts_with(|letter: char| letter.is_ascii_digit())
        && word.ends_with(['s', 'm', 'h', 'd'])
        && word.chars().all(|letter| letter.is_ascii_digit() || "smhd".contains(letter))
}

fn of_word(word: &str) -> String {
    let hex = |text: &str| text.chars().all(|letter| letter.is_ascii_hexdigit());
    if is_clock(word) && word.ends_with('Z') {
        return "TIME".to_owned();
    }
    if word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) && hex(&word.replace('-', "")) {
        return "UID".to_owned();
    }
    if hex(word) && matches!(word.len(), 32 | 64) {
        return "ID".to_owned();
    }
    if let Some(address) = address(word) {
        return address.to_owned();
    }
    if let Some((name, id)) = word.rsplit_once('.')
        && id.len() == 16
        && hex(id)
    {
        return format!("{}.ID", generated(name));
    }
    // A run is named after the second in which it was asked for.
    if let Some((name, second)) = word.rsplit_once('-')
        && second.len() == 10
        && second.chars().all(|digit| digit.is_ascii_digit())
    {
        return format!("{name}-SECOND");
    }
    generated(word)
}

/// Addresses that are handed out: of pods (the gateway is the first) and of services (the API server's is the first).
fn address(word: &str) -> Option<&'static str> {
    let address: std::net::Ipv4Addr = word.parse().ok()?;
    match address.octets() {
        [10, 244, 0, 1] | [10, 96, 0, 1] => None,
        [10, 244, ..] => Some("POD-ADDRESS"),
        [10, 96, ..] => Some("SERVICE-ADDRESS"),
        [..] => None,
    }
}

/// `web-79669444bc-p62hl` as `web-HASH-RANDOM`.
fn generated(word: &str) -> String {
    const SAFE: &str = "bcdfghjklmnpqrstvwxz2456789";
    let safe = |part: &str| part.chars().all(|letter| SAFE.contains(letter));
    let is_hash = |part: &str| {
        (8..=10).contains(&part.len()) && safe(part) && part.contains(|letter: char| letter.is_ascii_digit())
    };
    if is_hash(word) {
        return "HASH".to_owned();
    }
    let Some((before, last)) = word.rsplit_once('-') else { return word.to_owned() };
    if is_hash(last) {
        return format!("{before}-HASH");
    }
    if last.len() != 5 || !safe(last) {
        return word.to_owned();
    }
    match before.rsplit_once('-') {
        Some((name, hash)) if is_hash(hash) => format!("{name}-HASH-RANDOM"),
        Some(_) | None => format!("{before}-RANDOM"),
    }
}

#[test]
fn a_steady_line_keeps_what_a_person_reads_and_drops_what_a_run_makes_up() {
    let rows = [
        (
            "hello-8b7b5ddf7-596f4   1/1     Running   0          114s   10.244.0.4   node1",
            "hello-HASH-RANDOM  1/1  Running  0  AGE  POD-ADDRESS  node1",
        ),
        (
            "service/kubernetes   ClusterIP   10.96.0.1      <none>        443/TCP   1m4s",
            "service/kubernetes  ClusterIP  10.96.0.1  <none>  443/TCP  AGE",
        ),
        ("Start Time:       Mon, 23 Nov 2026 07:49:06 +0000", "Start Time:  TIME"),
        ("  creationTimestamp: \"2026-11-23T07:49:02.978969304Z\"", "  creationTimestamp: \"TIME\""),
        ("    uid: 94442764-6033-4419-a3c1-daacd58d6864", "    uid: UID"),
        ("    resourceVersion: \"257\"", "    resourceVersion: N"),
        (
            "Tolerations:                  node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
            "Tolerations:  node.kubernetes.io/not-ready:NoExecute op=Exists for 300s",
        ),
    ];
    for (line, expected) in rows {
        assert_eq!(steady(line), expected);
    }
}
