//! Machine manifests: one, several documents, or a List, in YAML or JSON.

use std::collections::BTreeMap;

use super::Fault;
use super::rows::{Field, Row, Sheet, is_label_key};
use super::tree::{Node, Reader, Value};

/// What the API writes into metadata and an import leaves to it.
const OF_THE_API: &[&str] = &[
    "creationTimestamp",
    "finalizers",
    "generation",
    "managedFields",
    "ownerReferences",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// Reads every document of a text.
pub fn read(text: &str) -> Sheet {
    let mut sheet = Sheet::default();
    let mut reader = Reader::new(text);
    loop {
        match reader.node() {
            Ok(None) => return sheet,
            // A document with nothing in it, as between two `---`.
            Ok(Some(document)) if document.is_null() => {}
            Ok(Some(document)) => read_object(&document, &mut sheet),
            Err(fault) => {
                sheet.faults.push(fault);
                return sheet;
            }
        }
    }
}

fn read_object(object: &Node, sheet: &mut Sheet) {
    let text = |key| object.get(key).and_then(Node::text);
    match (text("apiVersion"), text("kind")) {
        (Some("muster.dev/v1alpha1"), Some("Machine")) => read_machine(object, sheet),
        (Some("v1"), Some("List")) | (Some("muster.dev/v1alpha1"), Some("MachineList")) => {
            match object.get("items").map(|items| &items.value) {
                Some(Value::List(items)) => items.iter().for_each(|item| read_object(item, sheet)),
                Some(_) | None => sheet.faults.push(object.fault("items: a List needs a list of items")),
            }
        }
        (version, kind) => {
            let (version, kind) = (version.unwrap_or("nothing"), kind.unwrap_or("nothing"));
            sheet.faults.push(object.fault(format!(
                "this is kind {kind} of {version}; only Machine of muster.dev/v1alpha1, or a List of them, is taken (other kinds: kubectl apply)"
            )));
        }
    }
}

fn unknown(key: &Node, path: &str, known: &str) -> Fault {
    key.fault(format!("{path}{}: unknown field; known are {known}", key.text().unwrap_or_default()))
}

fn read_machine(object: &Node, sheet: &mut Sheet) {
    let mut row = Row::at(object.line, object.column);
    let faults = &mut sheet.faults;
    for (key, value) in object.entries() {
        match key.text().unwrap_or_default() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => read_metadata(value, &mut row, faults),
            "spec" => read_spec(value, &mut row, faults),
            _ => faults.push(unknown(key, "", "apiVersion, kind, metadata, spec")),
        }
    }
    for (section, field, cell) in [("metadata", Field::Name, &row.name), ("spec", Field::Site, &row.site)] {
        if cell.text.is_empty() && !cell.is_bad {
            faults.push(object.fault(format!("{section}.{}: must be given", field.as_str())));
        }
    }
    sheet.rows.push(row);
}

fn read_metadata(metadata: &Node, row: &mut Row, faults: &mut Vec<Fault>) {
    for (key, value) in metadata.entries() {
        match key.text().unwrap_or_default() {
            "name" => row.put(Field::Name, value.cell(), faults),
            "labels" => {
                for (key, value) in value.entries() {
                    let name = key.text().unwrap_or_default();
                    if !is_label_key(name) {
                        faults.push(key.fault(format!("metadata.labels: {name:?} is no label key")));
                    }
                    row.label(name, &value.cell(), faults);
                }
            }
            "annotations" => {
                let annotations: BTreeMap<String, String> = value
                    .entries()
                    .iter()
                    .map(|(key, value)| {
                        (key.text().unwrap_or_default().into(), value.text().unwrap_or_default().into())
                    })
                    .collect();
                row.rest.metadata.annotations = Some(annotations);
            }
            other if OF_THE_API.contains(&other) => {}
            _ => faults.push(unknown(key, "metadata.", "name, labels, annotations")),
        }
    }
}

fn read_spec(spec: &Node, row: &mut Row, faults: &mut Vec<Fault>) {
    for (key, value) in spec.entries() {
        match key.text().unwrap_or_default() {
            "bmc" => read_bmc(value, row, faults),
            "maintenance" => match serde_json::from_value(value.json()) {
                Ok(windows) => row.rest.spec.maintenance = windows,
                Err(error) => faults.push(value.fault(format!("spec.maintenance: {error}"))),
            },
            "handsOff" => match serde_json::from_value(value.json()) {
                Ok(hands_off) => row.rest.spec.hands_off = hands_off,
                Err(error) => faults.push(value.fault(format!("spec.handsOff: {error}"))),
            },
            other => match Field::called(other).filter(|field| *field != Field::Name) {
                Some(field) => row.put(field, value.cell(), faults),
                None => faults.push(unknown(
                    key,
                    "spec.",
                    "site, rack, serial, role, profile, bmc, maintenance, handsOff",
                )),
            },
        }
    }
}

fn read_bmc(bmc: &Node, row: &mut Row, faults: &mut Vec<Fault>) {
    for (key, value) in bmc.entries() {
        match key.text().unwrap_or_default() {
            "address" => row.put(Field::Bmc, value.cell(), faults),
            "secretRef" => {
                let secret = row.rest.spec.bmc.get_or_insert_default();
                secret.secret_ref = value.text().unwrap_or_default().to_owned();
            }
            _ => faults.push(unknown(key, "spec.bmc.", "address, secretRef")),
        }
    }
    if bmc.get("address").is_none() {
        faults.push(bmc.fault("spec.bmc.address: must be given"));
    }
}
