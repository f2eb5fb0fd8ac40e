//! IPMI through Debian's `ipmitool`, one process per request.
//!
//! Reading asks for the privilege level USER: `ipmitool` 1.8.19 answers an empty sensor repository by clearing it, which a
//! session of that level may not. The password goes by the environment. `setpriv` has the kernel end the tool with us.

mod parse;

use std::process::Stdio;
use std::time::Duration;

use futures::future::BoxFuture;
use muster_api::inventory::bmc::{Identity, LogRecord, Sensor};
use muster_api::order::{Answer, BootDevice, BootUntil, Led};
use tokio::process::Command as Process;

use crate::access::Access;
use crate::address::Address;
use crate::bmc::{Bmc, Command, Power, Read, ReadError, Sent};

/// Programs are found here alone.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
const CIPHER_SUITE: u8 = 17;

pub(crate) struct Ipmi {
    address: Address,
    access: Access,
    timeout: Duration,
}

/// How one call of the tool ended.
#[derive(Debug)]
enum Ended {
    /// Its exit code is 0; what it printed.
    Well(String),
    /// Another exit code; its last words.
    Badly(String),
    /// It was ended at the time limit.
    Late,
    /// It could not be started.
    Never(String),
}

#[derive(Clone, Copy)]
enum Level {
    User,
    Administrator,
}

impl Ipmi {
    pub(crate) fn new(address: Address, access: Access, timeout: Duration) -> Self {
        Self { address, access, timeout }
    }

    fn process(&self, level: Level, words: &[&str]) -> Process {
        let (rest, tries) = self.patience(level);
        let level = match level {
            Level::User => "USER",
            Level::Administrator => "ADMINISTRATOR",
        };
        let suite = self.access.cipher_suite.unwrap_or(CIPHER_SUITE).to_string();
        let port = self.address.port.to_string();
        let mut process = Process::new("setpriv");
        process.args(["--pdeathsig", "KILL", "ipmitool", "-I", "lanplus", "-L", level, "-C", &suite]);
        process.args(["-H", &self.address.host, "-p", &port, "-U", &self.access.username, "-E"]);
        process.args(["-N", &rest, "-R", tries]).args(words);
        process.env_clear().env("PATH", PATH).env("LC_ALL", "C").env("IPMI_PASSWORD", &self.access.password);
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        process
    }

    /// How long the tool waits for an answer, and how often it sends. A controller that is slow to answer an act does it
    /// again when it is sent again, so an act is sent once; and the tool gives up early enough to say how far it came.
    fn patience(&self, level: Level) -> (String, &'static str) {
        match level {
            Level::User => ("1".to_owned(), "2"),
            Level::Administrator => ((self.timeout.as_secs() / 2).max(1).to_string(), "1"),
        }
    }

    async fn call(&self, level: Level, words: &[&str]) -> Ended {
        let output = match tokio::time::timeout(self.timeout, self.process(level, words).output()).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Ended::Never(format!("setpriv cannot be started: {error}")),
            Err(_) => return Ended::Late,
        };
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ended::Well(told);
        }
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        if words.contains("failed to execute ipmitool") {
            return Ended::Never(
                "ipmitool is not installed on the machine that runs Muster: apt-get install ipmitool"
                    .to_owned(),
            );
        }
        Ended::Badly(parse::last_words(&words, &told))
    }

    async fn ask(&self, words: &[&str]) -> Read<String> {
        match self.call(Level::User, words).await {
            Ended::Well(text) => Ok(text),
            Ended::Badly(words) => Err(parse::failure(words)),
            Ended::Late => {
                Err(ReadError::Silent(format!("no answer within {} s", self.timeout.as_secs_f32())))
            }
            Ended::Never(why) => Err(ReadError::Here(why)),
        }
    }

    async fn tell(&self, command: &Command) -> Sent {
        let Some(words) = words(command) else {
            return Sent::new(Answer::Refused, "IPMI has no virtual media: use a Redfish address for it");
        };
        match self.call(Level::Administrator, &words).await {
            Ended::Well(text) => Sent::new(Answer::Acknowledged, text.trim()),
            Ended::Badly(words) => Sent::new(parse::answer(&words), words),
            Ended::Late => Sent::new(
                Answer::Silence,
                format!("no answer within {} s; it may have been sent", self.timeout.as_secs_f32()),
            ),
            Ended::Never(why) => Sent::new(Answer::NotSent, why),
        }
    }
}

fn words(command: &Command) -> Option<Vec<&'static str>> {
    Some(match command {
        Command::On => vec!["chassis", "power", "on"],
        Command::Off => vec!["chassis", "power", "off"],
        Command::Soft => vec!["chassis", "power", "soft"],
        Command::Reset => vec!["chassis", "power", "reset"],
        Command::Boot(device, until) => {
            let device = match device {
                BootDevice::Pxe => "pxe",
                BootDevice::Disk => "disk",
                BootDevice::Cdrom => "cdrom",
                BootDevice::Bios => "bios",
            };
            let mut words = vec!["chassis", "bootdev", device];
            words.extend((*until == BootUntil::Changed).then_some("options=persistent"));
            words
        }
        Command::Light(Led::On) => vec!["chassis", "identify", "force"],
        Command::Light(Led::Off) => vec!["chassis", "identify", "0"],
        Command::Insert(_) | Command::Eject => return None,
    })
}

impl Bmc for Ipmi {
    fn power(&self) -> BoxFuture<'_, Read<Power>> {
        Box::pin(async { parse::power(&self.ask(&["chassis", "power", "status"]).await?) })
    }

    fn send<'a>(&'a self, command: &'a Command) -> BoxFuture<'a, Sent> {
        Box::pin(self.tell(command))
    }

    fn identity(&self) -> BoxFuture<'_, Read<Identity>> {
        Box::pin(async {
            let controller = self.ask(&["mc", "info"]).await?;
            // Many machines have neither: what they lack stays empty.
            let board = self.ask(&["fru", "print", "0"]).await.unwrap_or_default();
            let lan = self.ask(&["lan", "print"]).await.unwrap_or_default();
            Ok(parse::identity(&controller, &board, &lan))
        })
    }

    fn sensors(&self) -> BoxFuture<'_, Read<Vec<Sensor>>> {
        Box::pin(async {
            if parse::has_no_records(&self.ask(&["sdr", "info"]).await?) {
                return Ok(Vec::new());
            }
            Ok(parse::sensors(&self.ask(&["-c", "sdr", "list", "full"]).await?))
        })
    }

    fn events(&self) -> BoxFuture<'_, Read<Vec<LogRecord>>> {
        Box::pin(async { Ok(parse::events(&self.ask(&["-c", "sel", "list", "last", "32"]).await?)) })
    }
}
