//! The one model of a row that every format is read into, and the syntax of its cells.

use std::collections::BTreeMap;

use muster_api::Machine;
use muster_api::machine::MachineSpec;

use super::Fault;

/// A cell and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Its text, trimmed.
    pub text: String,
    /// Line of the file, from 1.
    pub line: u64,
    /// Column, from 1: of the table where the file is one, else of the line.
    pub column: usize,
    /// Its syntax was found bad: nothing more is to be said of it.
    pub(super) is_bad: bool,
}

impl Cell {
    pub(super) fn fault(&self, text: String) -> Fault {
        Fault { line: self.line, column: self.column, text }
    }

    /// The text, unless there is none or it is bad.
    pub(super) fn sound(&self) -> Option<&str> {
        (!self.is_bad && !self.text.is_empty()).then_some(self.text.as_str())
    }
}

/// One machine as the file tells it; what is absent is empty.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: Cell,
    /// Its site.
    pub site: Cell,
    /// Its rack.
    pub rack: Cell,
    /// Its serial number.
    pub serial: Cell,
    /// The role it is to carry.
    pub role: Cell,
    /// The profile it must match.
    pub profile: Cell,
    /// The address of its controller.
    pub bmc: Cell,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What else the format can say of it.
    pub rest: Machine,
}

impl Row {
    pub(super) fn at(line: u64, column: usize) -> Self {
        let cell = Cell { line, column, ..Cell::default() };
        Self {
            name: cell.clone(),
            site: cell.clone(),
            rack: cell.clone(),
            serial: cell.clone(),
            role: cell.clone(),
            profile: cell.clone(),
            bmc: cell,
            labels: BTreeMap::new(),
            rest: Machine::new("", MachineSpec::default()),
        }
    }

    /// Puts a cell in its place; its syntax is judged.
    pub(super) fn put(&mut self, field: Field, mut cell: Cell, faults: &mut Vec<Fault>) {
        if let Some(text) = field.judge(&cell.text) {
            faults.push(cell.fault(text));
            cell.is_bad = true;
        }
        *match field {
            Field::Name => &mut self.name,
            Field::Site => &mut self.site,
            Field::Rack => &mut self.rack,
            Field::Serial => &mut self.serial,
            Field::Role => &mut self.role,
            Field::Profile => &mut self.profile,
            Field::Bmc => &mut self.bmc,
        } = cell;
    }

    /// Adds a label; key and value are judged.
    pub(super) fn label(&mut self, key: &str, cell: &Cell, faults: &mut Vec<Fault>) {
        if cell.text.is_empty() {
            return;
        }
        if !is_label_value(&cell.text) {
            faults.push(cell.fault(format!(
                "label:{key} {:?} must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit",
                cell.text
            )));
        }
        self.labels.insert(key.to_owned(), cell.text.clone());
    }
}

/// The rows of a file, and what is wrong with its syntax.
#[derive(Clone, Debug, Default)]
pub struct Sheet {
    /// The rows that could be read, good or bad.
    pub rows: Vec<Row>,
    /// The faults found so far.
    pub faults: Vec<Fault>,
}

/// A cell every format has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Name,
    Site,
    Rack,
    Serial,
    Role,
    Profile,
    Bmc,
}

impl Field {
    pub(super) const ALL: [Self; 7] =
        [Self::Name, Self::Site, Self::Rack, Self::Serial, Self::Role, Self::Profile, Self::Bmc];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Site => "site",
            Self::Rack => "rack",
            Self::Serial => "serial",
            Self::Role => "role",
            Self::Profile => "profile",
            Self::Bmc => "bmc",
        }
    }

    pub(super) fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.as_str() == name)
    }

    /// What is wrong with the syntax of a cell.
    fn judge(self, text: &str) -> Option<String> {
        let name = self.as_str();
        match self {
            Self::Name | Self::Site if text.is_empty() => Some(format!("{name} is empty")),
            Self::Name | Self::Site | Self::Rack | Self::Role | Self::Profile
                if !text.is_empty() && !is_subdomain(text) =>
            {
                Some(format!(
                    "{name} {text:?} must be lower case letters, digits, '-' and '.', and begin and end with a letter or digit"
                ))
            }
            Self::Bmc if !text.is_empty() && !is_bmc(text) => {
                Some(format!("bmc {text:?} must be redfish://HOST[:PORT]/SYSTEM or ipmi://HOST[:PORT]"))
            }
            Self::Name | Self::Site | Self::Rack | Self::Serial | Self::Role | Self::Profile | Self::Bmc => {
                None
            }
        }
    }
}

/// RFC 1123 subdomain, the syntax of object names.
pub(super) fn is_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// `[PREFIX/]NAME`.
pub(super) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_subdomain(prefix) && !name.is_empty() && is_label_value(name),
        None => !text.is_empty() && is_label_value(text),
    }
}

pub(super) fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

fn is_bmc(text: &str) -> bool {
    let authority = |text: &str| {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
            Some(_) | None => (text, None),
        };
        let host_ok =
            !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._:[]".contains(c));
        host_ok && port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port != 0))
    };
    if let Some(rest) = text.strip_prefix("redfish://") {
        return rest.split_once('/').is_some_and(|(host, system)| authority(host) && !system.is_empty());
    }
    text.strip_prefix("ipmi://").is_some_and(|rest| !rest.contains('/') && authority(rest))
}
