//! From text to rows; the syntax of each cell.

use std::collections::BTreeMap;

use super::Fault;

/// A cell and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Its text, trimmed.
    pub text: String,
    /// Line of the file, from 1.
    pub line: u64,
    /// Column of the table, from 1.
    pub column: usize,
}

impl Cell {
    pub(super) fn fault(&self, text: String) -> Fault {
        Fault { line: self.line, column: self.column, text }
    }
}

/// One machine as the file tells it; a column that is absent is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// `name`.
    pub name: Cell,
    /// `site`.
    pub site: Cell,
    /// `rack`.
    pub rack: Cell,
    /// `serial`.
    pub serial: Cell,
    /// `role`.
    pub role: Cell,
    /// `profile`.
    pub profile: Cell,
    /// `bmc`.
    pub bmc: Cell,
    /// `label:KEY`.
    pub labels: BTreeMap<String, String>,
}

const COLUMNS: &str = "name, site, rack, serial, role, profile, bmc, label:KEY";

/// Reads a CSV text with a header row.
///
/// # Errors
/// Every fault of syntax, in the order of the file.
pub fn parse(text: &str) -> Result<Vec<Row>, Vec<Fault>> {
    let mut reader =
        csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let header: Vec<String> = match reader.headers() {
        Ok(header) => header.iter().map(str::to_owned).collect(),
        Err(error) => {
            return Err(vec![Fault {
                line: 1,
                column: 1,
                text: format!("the header cannot be read: {error}"),
            }]);
        }
    };
    let mut faults = judge_header(&header);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => rows.push(row(&header, &record, &mut faults)),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                faults.push(Fault { line, column: 1, text: format!("the row cannot be read: {error}") });
            }
        }
    }
    if faults.is_empty() { Ok(rows) } else { Err(faults) }
}

fn judge_header(header: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, name) in header.iter().enumerate() {
        let fault = |text| Fault { line: 1, column: index + 1, text };
        let known = ["name", "site", "rack", "serial", "role", "profile", "bmc"].contains(&name.as_str());
        if !known && name.strip_prefix("label:").is_none_or(str::is_empty) {
            faults.push(fault(format!("unknown column {name:?}; known are {COLUMNS}")));
        } else if header[..index].contains(name) {
            faults.push(fault(format!("the column {name:?} stands twice")));
        }
    }
    for wanted in ["name", "site"] {
        if !header.iter().any(|name| name == wanted) {
            faults.push(Fault { line: 1, column: 1, text: format!("the column {wanted:?} is missing") });
        }
    }
    faults
}

fn row(header: &[String], record: &csv::StringRecord, faults: &mut Vec<Fault>) -> Row {
    let line = record.position().map_or(0, csv::Position::line);
    let mut row = Row::default();
    if record.len() != header.len() {
        let text = format!("the row has {} cells, the header {}", record.len(), header.len());
        faults.push(Fault { line, column: record.len().min(header.len()) + 1, text });
        return row;
    }
    for (index, (name, text)) in header.iter().zip(record).enumerate() {
        let cell = Cell { text: text.to_owned(), line, column: index + 1 };
        if let Some(text) = judge_cell(name, text) {
            faults.push(cell.fault(text));
        }
        match name.as_str() {
            "name" => row.name = cell,
            "site" => row.site = cell,
            "rack" => row.rack = cell,
            "serial" => row.serial = cell,
            "role" => row.role = cell,
            "profile" => row.profile = cell,
            "bmc" => row.bmc = cell,
            label => {
                if !cell.text.is_empty() {
                    let key = label.trim_start_matches("label:").to_owned();
                    row.labels.insert(key, cell.text);
                }
            }
        }
    }
    row
}

/// What is wrong with the syntax of a cell.
fn judge_cell(column: &str, text: &str) -> Option<String> {
    match column {
        "name" | "site" if text.is_empty() => Some(format!("{column} is empty")),
        "name" | "site" | "role" | "profile" | "rack" if !text.is_empty() && !is_subdomain(text) => {
            Some(format!(
                "{column} {text:?} must be lower case letters, digits, '-' and '.', and begin and end with a letter or digit"
            ))
        }
        "bmc" if !text.is_empty() && !is_bmc(text) => {
            Some(format!("bmc {text:?} must be redfish://HOST[:PORT]/SYSTEM or ipmi://HOST[:PORT]"))
        }
        label if label.starts_with("label:") && !is_label_value(text) => Some(format!(
            "{label} {text:?} must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit"
        )),
        _ => None,
    }
}

/// RFC 1123 subdomain, the syntax of object names.
fn is_subdomain(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn is_label_value(text: &str) -> bool {
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
