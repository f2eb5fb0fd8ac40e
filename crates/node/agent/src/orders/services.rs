//! Services of a role, by systemd, with a note of those that did not run before.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use muster_api::role::{SERVICES_MAX, ServiceFault, ServiceState, SystemService};
use serde::{Deserialize, Serialize};

use super::note;
use super::program::{Program, ProgramError};

const ASK_LIMIT: Duration = Duration::from_secs(30);
/// systemd itself gives a service 90 s to start, unless its unit says otherwise.
const ACT_LIMIT: Duration = Duration::from_secs(300);

/// The system's service manager.
#[derive(Debug, Clone)]
pub(super) struct Systemd {
    pub(super) systemctl: Program,
    /// A directory that is there exactly if systemd runs the machine (`sd_booted(3)`).
    pub(super) booted: PathBuf,
    /// Keeps what did not run before.
    pub(super) note: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ServiceError {
    #[error("arguments.services: this verb needs services")]
    Nothing,
    #[error("arguments.services: {count} services are more than {SERVICES_MAX}")]
    Many { count: usize },
    #[error("arguments.services[{index}]")]
    Fault {
        index: usize,
        #[source]
        source: ServiceFault,
    },
    #[error("arguments.services[{index}]: {name} stands twice, in two states: name it once")]
    Twice { index: usize, name: String },
    #[error(
        "arguments.services: {names} cannot be started: systemd does not run this machine ({} is not there). Start them by what does, and take them out of the role",
        .booted.display()
    )]
    NoSystemd { names: String, booted: PathBuf },
    #[error(
        "arguments.services: there is no unit {name} on this machine: have the role bring the package it belongs to"
    )]
    Unknown { name: String },
    #[error("arguments.services: {name} is {state}: unmask or mend the unit on the machine first")]
    Unusable { name: String, state: String },
    #[error("arguments.services: {name} cannot be enabled, for it is {state}: ask for state running")]
    NotEnabled { name: String, state: String },
    #[error("systemctl {verb} {name} failed: {words}")]
    Failed { verb: &'static str, name: String, words: String },
    #[error("{name} was started and is {state} ({result}): look at `journalctl -u {name}` on the machine")]
    NotRunning { name: String, state: String, result: String },
    #[error("cannot run the machine's service manager")]
    Program(#[from] ProgramError),
    #[error("cannot keep the note of former services {}", .path.display())]
    Note {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl ServiceError {
    /// Whether nothing was begun: what was asked for cannot be had here.
    pub(super) const fn is_refusal(&self) -> bool {
        match self {
            Self::Nothing
            | Self::Many { .. }
            | Self::Fault { .. }
            | Self::Twice { .. }
            | Self::NoSystemd { .. }
            | Self::Unknown { .. }
            | Self::Unusable { .. }
            | Self::NotEnabled { .. } => true,
            Self::Failed { .. } | Self::NotRunning { .. } | Self::Program(_) | Self::Note { .. } => false,
        }
    }
}

/// What systemd says of a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Unit {
    load: String,
    active: String,
    sub: String,
    file: String,
    kind: String,
    result: String,
}

/// How a service was before it was first touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Before {
    ran: bool,
    was_enabled: bool,
}

type Note = BTreeMap<String, Before>;

impl Unit {
    /// Lines `KEY=VALUE` of `systemctl show`.
    fn read(output: &str) -> Self {
        let mut unit = Self::default();
        for (key, value) in output.lines().filter_map(|line| line.split_once('=')) {
            let field = match key {
                "LoadState" => &mut unit.load,
                "ActiveState" => &mut unit.active,
                "SubState" => &mut unit.sub,
                "UnitFileState" => &mut unit.file,
                "Type" => &mut unit.kind,
                "Result" => &mut unit.result,
                _ => continue,
            };
            value.clone_into(field);
        }
        unit
    }

    fn runs(&self) -> bool {
        matches!(self.active.as_str(), "active" | "reloading" | "refreshing" | "activating")
            && self.sub != "auto-restart"
    }

    fn is_enabled(&self) -> bool {
        matches!(self.file.as_str(), "enabled" | "alias" | "generated")
    }

    /// Whether it did what it is for: one of type oneshot ends when it has.
    fn works(&self) -> bool {
        self.runs() || (self.kind == "oneshot" && self.result == "success")
    }

    /// Whether the wish can be had.
    fn judge(&self, service: &SystemService) -> Result<(), ServiceError> {
        let name = || service.name.clone();
        match self.load.as_str() {
            "loaded" => {}
            "not-found" => return Err(ServiceError::Unknown { name: name() }),
            state => return Err(ServiceError::Unusable { name: name(), state: state.to_owned() }),
        }
        let can_be = matches!(
            self.file.as_str(),
            "disabled" | "indirect" | "linked" | "linked-runtime" | "enabled-runtime"
        );
        match service.state {
            ServiceState::Enabled if !self.is_enabled() && !can_be => {
                let state = if self.file.is_empty() { "made at run time" } else { &self.file };
                Err(ServiceError::NotEnabled { name: name(), state: state.to_owned() })
            }
            ServiceState::Enabled | ServiceState::Running => Ok(()),
        }
    }
}

/// The services by name; whatever is wrong with one of them by itself is found here.
fn wanted(services: &[SystemService]) -> Result<Vec<&SystemService>, ServiceError> {
    if services.is_empty() {
        return Err(ServiceError::Nothing);
    }
    if SERVICES_MAX < services.len() {
        return Err(ServiceError::Many { count: services.len() });
    }
    let mut wanted: Vec<&SystemService> = Vec::new();
    for (index, service) in services.iter().enumerate() {
        service.check().map_err(|source| ServiceError::Fault { index, source })?;
        match wanted.iter().find(|other| other.name == service.name) {
            Some(other) if other.state != service.state => {
                return Err(ServiceError::Twice { index, name: service.name.clone() });
            }
            Some(_) => {}
            None => wanted.push(service),
        }
    }
    Ok(wanted)
}

impl Systemd {
    /// Has the services run, in the order they stand in. Says what changed; the second time nothing does.
    ///
    /// # Errors
    /// A wish that cannot be had, and then nothing was done; or the first service that does not run.
    pub(super) async fn ensure(&self, services: &[SystemService]) -> Result<Vec<String>, ServiceError> {
        let wanted = wanted(services)?;
        if !self.booted.is_dir() {
            let names = wanted.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(ServiceError::NoSystemd { names, booted: self.booted.clone() });
        }
        let mut units = Vec::new();
        for service in wanted {
            let unit = self.show(&service.name).await?;
            unit.judge(service)?;
            units.push((service, unit));
        }
        let mut changes = Vec::new();
        for (service, unit) in units {
            changes.extend(self.bring_about(service, &unit).await?);
        }
        Ok(changes)
    }

    async fn show(&self, name: &str) -> Result<Unit, ServiceError> {
        let properties = "--property=LoadState,ActiveState,SubState,UnitFileState,Type,Result";
        let words = ["show", properties, "--", name].map(str::to_owned);
        let said = self.systemctl.run(&words, ASK_LIMIT).await?;
        if said.status.success() {
            return Ok(Unit::read(&said.output));
        }
        Err(ServiceError::Failed { verb: "show", name: name.to_owned(), words: said.words })
    }

    async fn act(&self, verb: &'static str, name: &str) -> Result<(), ServiceError> {
        let words = ["--no-ask-password", "--no-pager", verb, "--", name].map(str::to_owned);
        let said = self.systemctl.run(&words, ACT_LIMIT).await?;
        if said.status.success() {
            return Ok(());
        }
        Err(ServiceError::Failed { verb, name: name.to_owned(), words: said.words })
    }

    async fn bring_about(
        &self,
        service: &SystemService,
        unit: &Unit,
    ) -> Result<Option<String>, ServiceError> {
        let name = &service.name;
        let enable = service.state == ServiceState::Enabled && !unit.is_enabled();
        let start = !unit.runs();
        if !enable && !start {
            return Ok(None);
        }
        self.write_down(name, Before { ran: unit.runs(), was_enabled: unit.is_enabled() })?;
        if enable {
            self.act("enable", name).await?;
        }
        if start {
            self.act("start", name).await?;
            let now = self.show(name).await?;
            if !now.works() {
                return Err(ServiceError::NotRunning {
                    name: name.clone(),
                    state: now.active,
                    result: now.result,
                });
            }
        }
        let done: Vec<&str> = [(enable, "enabled"), (start, "started")]
            .iter()
            .filter(|(is, _)| *is)
            .map(|(_, word)| *word)
            .collect();
        Ok(Some(format!("{name}: {}", done.join(" and "))))
    }

    fn write_down(&self, name: &str, before: Before) -> Result<(), ServiceError> {
        let noted = |source| ServiceError::Note { path: self.note.clone(), source };
        let mut kept: Note = note::load(&self.note).map_err(noted)?;
        if kept.contains_key(name) {
            return Ok(());
        }
        kept.insert(name.to_owned(), before);
        note::save(&self.note, &kept).map_err(noted)
    }

    /// Stops what did not run and disables what was not enabled before, and forgets it. Of a unit that is gone nothing runs.
    ///
    /// # Errors
    /// The first that could not be brought back.
    pub(crate) async fn restore(&self) -> Result<(), ServiceRestoreError> {
        let kept: Note = note::load(&self.note).map_err(ServiceRestoreError::Note)?;
        if kept.is_empty() || !self.booted.is_dir() {
            return note::forget(&self.note).map_err(ServiceRestoreError::Note);
        }
        for (name, before) in kept {
            self.bring_back(&name, before)
                .await
                .map_err(|source| ServiceRestoreError::Service(Box::new(source)))?;
        }
        note::forget(&self.note).map_err(ServiceRestoreError::Note)
    }

    async fn bring_back(&self, name: &str, before: Before) -> Result<(), ServiceError> {
        let unit = self.show(name).await?;
        if !before.ran && unit.runs() {
            self.act("stop", name).await?;
        }
        if !before.was_enabled && unit.is_enabled() {
            self.act("disable", name).await?;
        }
        Ok(())
    }
}

/// Why services are not as they were.
#[derive(Debug, thiserror::Error)]
pub enum ServiceRestoreError {
    #[error("its note cannot be read or removed")]
    Note(#[source] io::Error),
    #[error("one of them stays as it is")]
    Service(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests;
