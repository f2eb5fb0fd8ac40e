//! The commands people type, against a control plane alone: what they print, how they explain themselves.

use std::path::Path;
use std::process::Command;

use crate::harness::{MUSTER, done, here};
use crate::history::Place;
use crate::transcript::{replay, steady};

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
