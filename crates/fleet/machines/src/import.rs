//! Machine lists in CSV: read, judged row by row, and either wholly good or not imported at all.

mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kube::api::ObjectMeta;
use muster_api::machine::{Bmc, MachineSpec};
use muster_api::site::SiteSpec;
use muster_api::{Machine, Site};

pub use rows::{Row, parse};

/// What is there already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Names of sites.
    pub sites: BTreeSet<String>,
    /// Names of roles.
    pub roles: BTreeSet<String>,
    /// Machines: serial by name.
    pub machines: BTreeMap<String, String>,
}

/// What to do with sites nobody knows yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownSites {
    /// They make the row bad.
    Refuse,
    /// They are created.
    Create,
}

/// What to do with machines already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// They make the row bad.
    Refuse,
    /// Their intended state is replaced.
    Update,
}

/// Something wrong at a place of the file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl Fault {
    /// With the name of the file in front: `FILE:LINE:COLUMN: text`.
    pub fn in_file<'a>(&'a self, file: &'a str) -> impl fmt::Display + 'a {
        struct Shown<'a>(&'a Fault, &'a str);
        impl fmt::Display for Shown<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}:{}: {}", self.1, self.0.line, self.0.column, self.0.text)
            }
        }
        Shown(self, file)
    }
}

/// What an import will write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// Sites to be created.
    pub sites: Vec<Site>,
    /// Machines to be created.
    pub create: Vec<Machine>,
    /// Machines to be updated.
    pub update: Vec<Machine>,
}

/// Judges all rows against each other and against what is known.
///
/// # Errors
/// Every fault of every row, in the order of the file; then nothing is to be imported.
pub fn plan(
    rows: &[Row],
    known: &Known,
    sites: UnknownSites,
    existing: Existing,
) -> Result<Import, Vec<Fault>> {
    let mut faults = duplicates(rows, known);
    let mut import = Import::default();
    let mut new_sites = BTreeSet::new();
    for row in rows {
        faults.extend(judge(row, known, sites, existing));
        if !known.sites.contains(&row.site.text) {
            new_sites.insert(row.site.text.clone());
        }
        let target =
            if known.machines.contains_key(&row.name.text) { &mut import.update } else { &mut import.create };
        target.push(machine(row));
    }
    if !faults.is_empty() {
        faults.sort();
        return Err(faults);
    }
    import.sites = new_sites.iter().map(|site| Site::new(site, SiteSpec::default())).collect();
    Ok(import)
}

fn judge(row: &Row, known: &Known, sites: UnknownSites, existing: Existing) -> Vec<Fault> {
    let mut faults = Vec::new();
    let site = &row.site.text;
    if sites == UnknownSites::Refuse && !known.sites.contains(site) {
        faults.push(row.site.fault(format!("there is no Site {site:?}; correct it or pass --create-sites")));
    }
    let role = &row.role.text;
    if !role.is_empty() && !known.roles.contains(role) {
        faults
            .push(row.role.fault(format!("there is no MachineRole {role:?}; create it or correct the name")));
    }
    let name = &row.name.text;
    if existing == Existing::Refuse && known.machines.contains_key(name) {
        faults
            .push(row.name.fault(format!("there is a Machine {name:?} already; pass --update to change it")));
    }
    faults
}

fn duplicates(rows: &[Row], known: &Known) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut names: BTreeMap<&str, u64> = BTreeMap::new();
    let mut serials: BTreeMap<&str, String> = BTreeMap::new();
    let in_file: BTreeSet<&str> = rows.iter().map(|row| row.name.text.as_str()).collect();
    for (name, serial) in &known.machines {
        if !serial.is_empty() && !in_file.contains(name.as_str()) {
            serials.insert(serial, format!("Machine {name:?}"));
        }
    }
    for row in rows {
        let name = row.name.text.as_str();
        match names.get(name) {
            Some(line) => {
                faults.push(row.name.fault(format!("the name {name:?} stands on line {line} already")))
            }
            None => {
                names.insert(name, row.name.line);
            }
        }
        let serial = row.serial.text.as_str();
        if serial.is_empty() {
            continue;
        }
        match serials.get(serial) {
            Some(owner) => {
                faults.push(row.serial.fault(format!("the serial {serial:?} belongs to {owner} already")))
            }
            None => {
                serials.insert(serial, format!("line {}", row.name.line));
            }
        }
    }
    faults
}

fn machine(row: &Row) -> Machine {
    let bmc =
        (!row.bmc.text.is_empty()).then(|| Bmc { address: row.bmc.text.clone(), secret_ref: String::new() });
    let spec = MachineSpec {
        site: row.site.text.clone(),
        rack: row.rack.text.clone(),
        serial: row.serial.text.clone(),
        role: row.role.text.clone(),
        profile: row.profile.text.clone(),
        bmc,
        ..MachineSpec::default()
    };
    let mut machine = Machine::new(&row.name.text, spec);
    if !row.labels.is_empty() {
        machine.metadata = ObjectMeta {
            name: Some(row.name.text.clone()),
            labels: Some(row.labels.clone()),
            ..ObjectMeta::default()
        };
    }
    machine
}

#[cfg(test)]
mod tests;
