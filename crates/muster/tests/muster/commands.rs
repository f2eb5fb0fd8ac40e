//! The commands people type, against a control plane alone: what they print, how they explain themselves.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::crash::free_port;
use crate::harness::{MUSTER, Process, done, here, wait_for};
use crate::history::Place;
use crate::transcript::{replay, steady};

const WITHIN: Duration = Duration::from_secs(30);

#[test]
fn the_commands_print_what_they_did_and_what_to_do() {
    if crate::history::is_missing("kubectl") {
        println!("could not run: kubectl is not installed");
        return;
    }
    let place = Place::new();
    let server = place.start();
    let goldens = here().join("tests/muster/goldens");
    let mut folders = vec![Path::new(MUSTER).parent().unwrap().to_owned()];
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    let path = std::env::join_paths(folders).unwrap();
    let shell = || {
        let mut shell = Command::new("bash");
        shell
            .current_dir(&goldens)
            .env("PATH", &path)
            .env("KUBECONFIG", place.kubeconfig())
            .env("KUBECACHEDIR", place.path("cache"));
        shell
    };
    let golden = goldens.join("commands.txt");
    let now = replay(&std::fs::read_to_string(&golden).unwrap(), shell, steady);
    expect_test::expect_file![golden].assert_eq(&now);
    drop(server);
}

/// The answer to one GET over plain HTTP, headers and all.
fn get(address: &str, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(WITHIN))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn controllers_that_wait_for_the_lead_show_their_metrics_and_refuse_a_taken_port() {
    let place = Place::new();
    let _server = place.start();
    let address = format!("127.0.0.1:{}", free_port());
    let command = || {
        let mut command = Command::new(MUSTER);
        command
            .args(["controllers", "--metrics-listen", &address, "--history-dir"])
            .arg(place.path("waiting"));
        command.env("KUBECONFIG", place.kubeconfig());
        command
    };
    let mut waiting = Process::start(command(), &place.path("controllers"));
    let metrics = wait_for("metrics", WITHIN, || {
        assert_eq!(waiting.ended(), None, "{}", waiting.words());
        get(&address, "/metrics").map_err(|error| format!("{error}: {}", waiting.words()))
    });
    assert!(metrics.starts_with("HTTP/1.1 200 ") && metrics.ends_with("# EOF\n"), "{metrics}");
    assert!(metrics.contains("\n# TYPE muster_canary_seconds histogram\n"), "{metrics}");
    assert!(get(&address, "/healthz").unwrap().ends_with("\r\n\r\nok"));
    assert!(get(&address, "/").unwrap().starts_with("HTTP/1.1 404 "));
    let second = command().stdin(Stdio::null()).output().unwrap();
    let expected = format!(
        "muster: cannot listen on {address}: Address already in use (os error 98); end what listens there, or choose another with --metrics-listen [cannot-listen]\n"
    );
    let said = String::from_utf8(second.stderr).unwrap();
    assert_eq!((second.status.code(), said.as_str()), (Some(2), expected.as_str()));
    assert_eq!(waiting.ended(), None);
}

fn help_of(command: &[String]) -> String {
    done(Command::new(MUSTER).args(command).arg("--help"))
}

/// The commands below one, as its help lists them.
fn below(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    listed
        .filter_map(|line| line.strip_prefix("  ")?.split(" ").next().filter(|name| !name.is_empty()))
        .map(str::to_owned)
        .collect()
}

fn walk(command: &[String], text: &mut String, without: &mut Vec<String>) {
    let help = help_of(command);
    text.push_str(&format!("$ muster {} --help\n{help}\n", command.join(" ")));
    let commands = below(&help);
    if commands.is_empty() && !help.contains("\nExample") {
        without.push(command.join(" "));
    }
    for name in commands {
        walk(&[command, &[name]].concat(), text, without);
    }
}

#[test]
fn the_commands_of_the_fleet_explain_themselves_with_examples() {
    let (mut text, mut without) = (String::new(), Vec::new());
    for name in [
        "machine",
        "claim",
        "run",
        "pause",
        "resume",
        "disruption",
        "token",
        "problem",
        "history",
        "fleet",
        "sim",
    ] {
        walk(&[name.to_owned()], &mut text, &mut without);
    }
    assert_eq!(without, Vec::<String>::new(), "these have no example in their help");
    expect_test::expect_file![here().join("tests/muster/goldens/help.txt")].assert_eq(&text);
    for shell in ["bash", "zsh", "fish"] {
        let script = done(Command::new(MUSTER).args(["completion", shell]));
        let unknown =
            ["history", "verify", "approve", "dry-run"].into_iter().find(|word| !script.contains(word));
        assert_eq!(unknown, None, "{shell}");
    }
}
