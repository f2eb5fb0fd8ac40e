//! What NetBox says of its devices: the answer of `/api/dcim/devices/`, or a list of such devices.
//!
//! The answer nests what a device refers to (`"site": {"id": 2, "slug": "dm-akron", …}`); the device's role stood under
//! `device_role` until NetBox 3.6. A rack's name is unique in its site only, so the Rack is named after both.

use std::collections::BTreeMap;

use super::Fault;
use super::rows::{Cell, Field, Row, Sheet, is_label_value};
use super::tree::{Next, Node, Place, Reader};

/// Label: lowest rack unit the machine takes.
pub const POSITION_LABEL: &str = "muster.dev/rack-unit";
/// Label: the owner's own number for the machine.
pub const ASSET_LABEL: &str = "muster.dev/asset-tag";

/// What becomes of devices of one NetBox role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// They are to carry this MachineRole.
    Role(String),
    /// They are taken in without a role.
    NoRole,
    /// They are left out.
    LeaveOut,
}

/// How devices are to be understood.
#[derive(Clone, Debug)]
pub struct Options {
    /// By slug of the NetBox role; one that is not named is taken for a MachineRole of the same name.
    pub roles: BTreeMap<String, Mapping>,
    /// Custom field that holds a whole controller address.
    pub bmc_field: String,
    /// Controller address made from the out-of-band address, which stands where it says `HOST`.
    pub oob_bmc: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { roles: BTreeMap::new(), bmc_field: "bmc".to_owned(), oob_bmc: "ipmi://HOST".to_owned() }
    }
}

/// Reads a text.
pub fn read(text: &str, options: &Options) -> Sheet {
    let mut sheet = Sheet::default();
    let mut reader = Reader::new(text);
    if let Err(fault) = read_answer(&mut reader, options, &mut sheet) {
        sheet.faults.push(fault);
    }
    sheet
}

fn read_answer(reader: &mut Reader<'_>, options: &Options, sheet: &mut Sheet) -> Result<(), Fault> {
    let no_list = |place: Place| Fault {
        line: place.line,
        column: place.column,
        text: "this is neither an answer of NetBox's /api/dcim/devices/ nor a list of devices".to_owned(),
    };
    match reader.next()? {
        Next::List(_) => read_devices(reader, options, sheet),
        Next::Map(place) => {
            let mut found = false;
            while let Some(key) = reader.node()? {
                match (key.text(), reader.next()?) {
                    (Some("results"), Next::List(_)) => {
                        found = true;
                        read_devices(reader, options, sheet)?;
                    }
                    (name, next) => {
                        let value = reader.rest_of(next)?;
                        if let (Some("next"), Some(page)) = (name, value.as_ref().and_then(Node::text)) {
                            sheet.faults.push(key.fault(format!(
                                "this is one page of several, the next is {page}; ask NetBox with limit=0, or join the pages into one list"
                            )));
                        }
                    }
                }
            }
            if found { Ok(()) } else { Err(no_list(place)) }
        }
        Next::Scalar(node) => Err(no_list(Place { line: node.line, column: node.column })),
        Next::End | Next::Eof => Err(no_list(Place { line: 1, column: 1 })),
    }
}

fn read_devices(reader: &mut Reader<'_>, options: &Options, sheet: &mut Sheet) -> Result<(), Fault> {
    while let Some(device) = reader.node()? {
        read_device(&device, options, sheet);
    }
    Ok(())
}

fn read_device(device: &Node, options: &Options, sheet: &mut Sheet) {
    let role = device.get("role").or_else(|| device.get("device_role"));
    let role = role.map(|role| slug(role, role.line, role.column));
    let mapping = role.as_ref().and_then(|role| options.roles.get(&role.text));
    if mapping == Some(&Mapping::LeaveOut) {
        return;
    }
    let faults = &mut sheet.faults;
    let mut row = Row::at(device.line, device.column);
    // Names of NetBox are equal whatever their case.
    let mut name = device.get("name").map_or_else(|| row.name.clone(), Node::cell);
    name.text = name.text.to_lowercase();
    row.put(Field::Name, name, faults);
    let site = device.get("site").map_or_else(|| row.site.clone(), |site| slug(site, site.line, site.column));
    if let Some(rack) = device.get("rack") {
        let own = slug(rack, rack.line, rack.column);
        row.put(Field::Rack, Cell { text: format!("{}-{}", site.text, own.text), ..own }, faults);
    }
    row.put(Field::Site, site, faults);
    if let Some(serial) = device.get("serial") {
        row.put(Field::Serial, serial.cell(), faults);
    }
    if let Some(role) = role {
        let text = match mapping {
            Some(Mapping::Role(name)) => name.clone(),
            Some(Mapping::NoRole | Mapping::LeaveOut) => String::new(),
            None => role.text.clone(),
        };
        row.put(Field::Role, Cell { text, ..role }, faults);
    }
    if let Some(bmc) = controller(device, options) {
        row.put(Field::Bmc, bmc, faults);
    }
    label(device, "position", POSITION_LABEL, &mut row);
    label(device, "asset_tag", ASSET_LABEL, &mut row);
    sheet.rows.push(row);
}

/// The slug of what a device refers to, or its name made one.
fn slug(referred: &Node, line: u64, column: usize) -> Cell {
    let text = referred.get("slug").and_then(Node::text).map(str::to_owned);
    let named = || referred.get("name").or_else(|| referred.get("display")).and_then(Node::text);
    let text = text.or_else(|| named().map(slugified)).unwrap_or_default();
    Cell { text: text.replace('_', "-").to_lowercase(), line, column, ..Cell::default() }
}

fn slugified(name: &str) -> String {
    let words: Vec<String> = name
        .split(|letter: char| !letter.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    words.join("-")
}

fn controller(device: &Node, options: &Options) -> Option<Cell> {
    let custom = device.get("custom_fields").and_then(|fields| fields.get(&options.bmc_field));
    if let Some(address) = custom.filter(|field| field.text().is_some()) {
        return Some(address.cell());
    }
    let address = device.get("oob_ip")?.get("address")?;
    let host = address.text()?.split('/').next().unwrap_or_default().to_owned();
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    Some(Cell { text: options.oob_bmc.replace("HOST", &host), ..address.cell() })
}

/// A device whose number is no label value is worth more than its number.
fn label(device: &Node, field: &str, key: &str, row: &mut Row) {
    let Some(text) = device.get(field).and_then(Node::text) else { return };
    let text = text.trim_end_matches(".0");
    if !text.is_empty() && is_label_value(text) {
        row.labels.insert(key.to_owned(), text.to_owned());
    }
}
