//! Judges all rows against each other and against what is known.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use muster_api::machine::Bmc;
use muster_api::rack::RackSpec;
use muster_api::site::SiteSpec;
use muster_api::{Machine, Rack, Site};

use super::{Bearer, Cell, Existing, Fault, Import, Known, Row, Sheet, UnknownSites};

/// What is to be written.
///
/// # Errors
/// Every fault of every row, in the order of the file; then nothing is to be imported.
pub fn plan(
    sheet: Sheet,
    known: &Known,
    sites: UnknownSites,
    existing: Existing,
) -> Result<Import, Vec<Fault>> {
    let Sheet { rows, mut faults } = sheet;
    names_twice(&rows, &mut faults);
    let in_file: BTreeSet<&str> = rows.iter().map(|row| row.name.text.as_str()).collect();
    let held = |bears: fn(&Bearer) -> &str| {
        let others = known.machines.iter().filter(|(name, _)| !in_file.contains(name.as_str()));
        others.map(move |(name, bearer)| (bears(bearer).to_owned(), format!("Machine {name:?}")))
    };
    taken("serial", &rows, held(|bearer| &bearer.serial), |row| (&row.serial, str::to_owned), &mut faults);
    taken("bmc address", &rows, held(|bearer| &bearer.bmc), |row| (&row.bmc, identity), &mut faults);
    let racks = racks(&rows, known, &mut faults);
    for row in &rows {
        judge(row, known, sites, existing, &mut faults);
    }
    if !faults.is_empty() {
        faults.sort();
        return Err(faults);
    }
    let unknown = rows.iter().map(|row| row.site.text.as_str()).filter(|site| !known.sites.contains(*site));
    let new_sites: BTreeSet<&str> = unknown.collect();
    let mut import = Import {
        sites: new_sites.iter().map(|site| Site::new(site, SiteSpec::default())).collect(),
        racks: racks.into_iter().filter(|rack| !known.racks.contains_key(&rack.0)).map(rack).collect(),
        ..Import::default()
    };
    for row in rows {
        let there = known.machines.contains_key(&row.name.text);
        let target = if there { &mut import.update } else { &mut import.create };
        target.push(machine(row));
    }
    Ok(import)
}

fn identity(address: &str) -> String {
    Bmc { address: address.to_owned(), secret_ref: String::new() }.identity()
}

fn judge(row: &Row, known: &Known, sites: UnknownSites, existing: Existing, faults: &mut Vec<Fault>) {
    let refuse = sites == UnknownSites::Refuse;
    if let Some(site) = row.site.sound().filter(|site| refuse && !known.sites.contains(*site)) {
        let text = format!("there is no Site {site:?}; correct it or pass --create-sites");
        faults.push(row.site.fault(text));
    }
    if let Some(rack) = row.rack.sound().filter(|rack| refuse && !known.racks.contains_key(*rack)) {
        let text = format!("there is no Rack {rack:?}; correct it or pass --create-sites");
        faults.push(row.rack.fault(text));
    }
    for (cell, kind, there) in
        [(&row.role, "MachineRole", &known.roles), (&row.profile, "HardwareProfile", &known.profiles)]
    {
        if let Some(name) = cell.sound().filter(|name| !there.contains(*name)) {
            faults.push(cell.fault(format!("there is no {kind} {name:?}; create it or correct the name")));
        }
    }
    let is_there = |name: &&str| existing == Existing::Refuse && known.machines.contains_key(*name);
    if let Some(name) = row.name.sound().filter(is_there) {
        let text = format!("there is a Machine {name:?} already; pass --update to change it");
        faults.push(row.name.fault(text));
    }
}

fn names_twice(rows: &[Row], faults: &mut Vec<Fault>) {
    let mut lines: HashMap<&str, u64> = HashMap::new();
    for row in rows {
        let Some(name) = row.name.sound() else { continue };
        match lines.get(name) {
            Some(line) => {
                faults.push(row.name.fault(format!("the name {name:?} stands on line {line} already")));
            }
            None => {
                lines.insert(name, row.name.line);
            }
        }
    }
}

type Picked<'a> = (&'a Cell, fn(&str) -> String);

/// What one machine alone may bear.
fn taken(
    what: &str,
    rows: &[Row],
    held: impl Iterator<Item = (String, String)>,
    pick: impl Fn(&Row) -> Picked<'_>,
    faults: &mut Vec<Fault>,
) {
    let mut holders: HashMap<String, String> = held.filter(|(value, _)| !value.is_empty()).collect();
    for row in rows {
        let (cell, identity) = pick(row);
        let Some(text) = cell.sound() else { continue };
        match holders.entry(identity(text)) {
            std::collections::hash_map::Entry::Occupied(holder) => {
                faults.push(cell.fault(format!("the {what} {text:?} belongs to {} already", holder.get())));
            }
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(format!("line {}", cell.line));
            }
        }
    }
}

/// The racks of the rows and their sites. A rack stands in one site.
fn racks(rows: &[Row], known: &Known, faults: &mut Vec<Fault>) -> BTreeMap<String, String> {
    let mut racks: BTreeMap<String, String> = BTreeMap::new();
    for row in rows {
        let (Some(rack), Some(site)) = (row.rack.sound(), row.site.sound()) else { continue };
        let stands = known.racks.get(rack).or_else(|| racks.get(rack));
        match stands {
            Some(other) if other != site => faults.push(row.rack.fault(format!(
                "the Rack {rack:?} stands in site {other:?}, not in {site:?}; a rack's name is its identity, so name this one otherwise"
            ))),
            Some(_) => {}
            None => {
                racks.insert(rack.to_owned(), site.to_owned());
            }
        }
    }
    racks
}

fn rack((name, site): (String, String)) -> Rack {
    Rack::new(&name, RackSpec { site, ..RackSpec::default() })
}

fn machine(row: Row) -> Machine {
    let mut machine = row.rest;
    let secret = machine.spec.bmc.take().map(|bmc| bmc.secret_ref).unwrap_or_default();
    machine.spec.bmc =
        (!row.bmc.text.is_empty()).then(|| Bmc { address: row.bmc.text.clone(), secret_ref: secret });
    machine.spec.site = row.site.text;
    machine.spec.rack = row.rack.text;
    machine.spec.serial = row.serial.text;
    machine.spec.role = row.role.text;
    machine.spec.profile = row.profile.text;
    machine.metadata.name = Some(row.name.text);
    machine.metadata.labels = (!row.labels.is_empty()).then_some(row.labels);
    machine
}
