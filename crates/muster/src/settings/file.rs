//! From the text of the file to settings: every fault is told at once, with its line and its key.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use muster_api::GoDuration;
use serde_json::Value;
use serde_saphyr::Spanned;
use tracing_subscriber::EnvFilter;

use super::{NodePart, Settings};

/// One key of the file.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) means: &'static str,
    /// JSON is YAML.
    pub(super) get: fn(&Settings) -> Value,
    set: fn(&mut Settings, &Value) -> Result<(), String>,
}

/// In the order in which they are printed.
pub(super) const KEYS: &[Key] = &[
    Key {
        name: "dataDir",
        means: "Where Muster keeps everything: objects, keys, containers.",
        get: |settings| settings.data_dir.display().to_string().into(),
        set: |settings, value| {
            settings.data_dir = absolute(value)?.into();
            Ok(())
        },
    },
    Key {
        name: "listen",
        means: "Address and port of the API.",
        get: |settings| settings.listen.to_string().into(),
        set: |settings, value| {
            let wrong = |_| "must be ADDRESS:PORT, such as 127.0.0.1:6443".to_owned();
            settings.listen = text(value)?.parse().map_err(wrong)?;
            Ok(())
        },
    },
    Key {
        name: "machine",
        means: "Name of this machine; empty: its host name.",
        get: |settings| settings.machine.clone().unwrap_or_default().into(),
        set: |settings, value| {
            settings.machine =
                optional(text(value)?).map(crate::command::checked_machine_name).transpose()?;
            Ok(())
        },
    },
    Key {
        name: "node",
        means: "Whether this machine runs containers: true, or false for the control plane alone.",
        get: |settings| (settings.node == NodePart::On).into(),
        set: |settings, value| {
            let on = value.as_bool().ok_or_else(|| "must be true or false".to_owned())?;
            settings.node = if on { NodePart::On } else { NodePart::Off };
            Ok(())
        },
    },
    Key {
        name: "containerRuntimeEndpoint",
        means: "Socket of the container runtime to use; empty: Muster's own containerd.",
        get: |settings| shown(settings.container_runtime_endpoint.as_deref()).into(),
        set: |settings, value| {
            let given = !text(value)?.is_empty();
            settings.container_runtime_endpoint = given.then(|| absolute(value)).transpose()?.map(Into::into);
            Ok(())
        },
    },
    Key {
        name: "sweepEvery",
        means: "How often everything is looked at, changed or not. The watch does the work; the sweep should find nothing.",
        get: |settings| GoDuration(settings.sweep_every).to_string().into(),
        set: |settings, value| {
            let every: GoDuration = text(value)?.parse().map_err(|error| format!("{error}"))?;
            if every.0.as_secs() == 0 {
                return Err("must be at least 1s".to_owned());
            }
            settings.sweep_every = every.0;
            Ok(())
        },
    },
    Key {
        name: "keepRuns",
        means: "How long a run is kept once it has ended, a day at least. What became of it stays in the history.",
        get: |settings| GoDuration(settings.keep_runs).to_string().into(),
        set: |settings, value| {
            settings.keep_runs = crate::cli::fleet::keep_runs(text(value)?)?.0;
            Ok(())
        },
    },
    Key {
        name: "timeServers",
        means: "Time servers the doctor compares the clock with, each HOST or HOST:PORT; none: the clock is not looked at.",
        get: |settings| settings.time_servers.clone().into(),
        set: |settings, value| {
            let wrong = || "must be a list of HOST or HOST:PORT".to_owned();
            let servers =
                value.as_array().ok_or_else(wrong)?.iter().map(|server| server.as_str().map(str::to_owned));
            settings.time_servers = servers.collect::<Option<_>>().ok_or_else(wrong)?;
            Ok(())
        },
    },
    Key {
        name: "log",
        means: "What is logged: a level (error, warn, info, debug, trace), or targets with levels: muster_workflow=debug,info",
        get: |settings| settings.log.clone().into(),
        set: |settings, value| {
            text(value)?.clone_into(&mut settings.log);
            check_filter(&settings.log)
        },
    },
];

/// Something wrong on a line.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fault {
    line: u64,
    text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// Every fault, in the order of the file.
pub(super) fn parse(text: &str) -> Result<Settings, Vec<Fault>> {
    let mut settings = Settings::default();
    let given: Option<BTreeMap<String, Spanned<Value>>> =
        serde_saphyr::from_str(text).map_err(|error| vec![unreadable(&error)])?;
    let mut faults: Vec<Fault> = given
        .unwrap_or_default()
        .iter()
        .filter_map(|(name, value)| {
            let fault = set(&mut settings, name, &value.value).err()?;
            Some(Fault { line: value.referenced.line(), text: format!("{name}: {fault}") })
        })
        .collect();
    faults.sort();
    if faults.is_empty() { Ok(settings) } else { Err(faults) }
}

fn set(settings: &mut Settings, name: &str, value: &Value) -> Result<(), String> {
    match KEYS.iter().find(|key| key.name == name) {
        Some(key) => (key.set)(settings, value),
        None => {
            let known: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            Err(format!("there is no such key; known are {}", known.join(", ")))
        }
    }
}

fn unreadable(error: &serde_saphyr::Error) -> Fault {
    let line = error.location().map_or(1, |place| place.line());
    let words = error.to_string();
    Fault {
        line,
        text: format!("is no YAML of keys and values: {}", words.lines().next().unwrap_or_default()),
    }
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "must be a text".to_owned())
}

fn shown(path: Option<&Path>) -> String {
    path.map(|path| path.display().to_string()).unwrap_or_default()
}

fn optional(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn absolute(value: &Value) -> Result<&str, String> {
    let path = text(value)?;
    if path.starts_with('/') { Ok(path) } else { Err(format!("{path:?} must be an absolute path")) }
}

fn check_filter(filter: &str) -> Result<(), String> {
    match EnvFilter::try_new(filter) {
        Ok(_) if !filter.is_empty() => Ok(()),
        Ok(_) => Err("must not be empty".to_owned()),
        Err(error) => Err(format!("{filter:?} is no filter: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect_file;

    use super::*;

    fn check(text: &str, expected: &[&str]) {
        let told =
            parse(text).map_or_else(|faults| faults.iter().map(Fault::to_string).collect(), |_| Vec::new());
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn the_default_prints_commented_and_reads_back_as_itself() {
        let text = Settings::default().to_yaml();
        expect_file!["default.yaml"].assert_eq(&text);
        assert_eq!(parse(&text), Ok(Settings::default()));
        assert_eq!(parse(""), Ok(Settings::default()));
    }

    #[test]
    fn each_key_sets_its_value() {
        let text = "dataDir: /d\nlisten: 10.0.0.1:7443\nmachine: m1\nnode: false\n\
                    containerRuntimeEndpoint: /run/c.sock\nsweepEvery: 1m\nkeepRuns: 48h\ntimeServers: [\"192.0.2.1\", \"ntp:1123\"]\nlog: muster_workflow=debug,info\n";
        let settings = parse(text).unwrap();
        let expected = Settings {
            data_dir: "/d".into(),
            listen: "10.0.0.1:7443".parse().unwrap(),
            machine: Some("m1".to_owned()),
            node: NodePart::Off,
            container_runtime_endpoint: Some("/run/c.sock".into()),
            sweep_every: std::time::Duration::from_secs(60),
            keep_runs: std::time::Duration::from_secs(48 * 3600),
            time_servers: vec!["192.0.2.1".to_owned(), "ntp:1123".to_owned()],
            log: "muster_workflow=debug,info".to_owned(),
        };
        assert_eq!(settings, expected);
        assert_eq!(parse(&settings.to_yaml()), Ok(expected));
    }

    #[test]
    fn every_fault_is_told_with_its_line_and_its_key() {
        check(
            "listen: here\ncolour: red\nnode: perhaps\ndataDir: d\nsweepEvery: 0\nkeepRuns: 23h\nmachine: Not Good\nlog: a=b=c\n",
            &[
                "1: listen: must be ADDRESS:PORT, such as 127.0.0.1:6443",
                "2: colour: there is no such key; known are dataDir, listen, machine, node, containerRuntimeEndpoint, sweepEvery, keepRuns, timeServers, log",
                "3: node: must be true or false",
                "4: dataDir: \"d\" must be an absolute path",
                "5: sweepEvery: must be a text",
                "6: keepRuns: must be at least 24h0m0s",
                "7: machine: \"Not Good\" is no name of a machine: use lower case letters, digits, '-' and '.'",
                "8: log: \"a=b=c\" is no filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5",
            ],
        );
    }

    #[test]
    fn a_file_that_is_no_yaml_is_refused_with_its_line() {
        for text in ["[", "- a\n", "listen: a\nlisten: b\n", "listen: \"a\n"] {
            let faults = parse(text).unwrap_err();
            assert_eq!(faults.len(), 1, "{text}");
            assert!(faults[0].text.starts_with("is no YAML of keys and values: "), "{faults:?}");
        }
    }
}
