//! Machine lists: read, judged row by row, and either wholly good or not imported at all.
//!
//! Every format ([`csv`], [`manifests`], [`netbox`]) is read into one [`Sheet`], which one [`plan`] judges, so that a
//! person sees every fault of a file at once, whatever its kind.

pub mod csv;
pub mod manifests;
pub mod netbox;
mod plan;
mod rows;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use muster_api::{Machine, Rack, Site};

pub use plan::plan;
pub use rows::{Cell, Row, Sheet};

/// What is there already.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Names of sites.
    pub sites: BTreeSet<String>,
    /// Racks: site by name.
    pub racks: BTreeMap<String, String>,
    /// Names of roles.
    pub roles: BTreeSet<String>,
    /// Names of profiles.
    pub profiles: BTreeSet<String>,
    /// Machines by name.
    pub machines: BTreeMap<String, Bearer>,
}

/// What a machine that is there bears and no other may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bearer {
    /// Serial number; empty where none is known, or the machine is retired.
    pub serial: String,
    /// Its controller's [`muster_api::machine::Bmc::identity`]; empty as above.
    pub bmc: String,
}

impl Bearer {
    /// What `machine` bears.
    pub fn of(machine: &Machine) -> Self {
        let [serial, bmc] = crate::machine::identities(machine);
        Self { serial: serial.unwrap_or_default(), bmc: bmc.unwrap_or_default() }
    }
}

/// What to do with sites and racks nobody knows yet.
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

/// What an import will write, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Import {
    /// Sites to be created.
    pub sites: Vec<Site>,
    /// Racks to be created.
    pub racks: Vec<Rack>,
    /// Machines to be created.
    pub create: Vec<Machine>,
    /// Machines to be updated.
    pub update: Vec<Machine>,
}

#[cfg(test)]
mod tests;
