//! Many machines at once, through the real binary.

use std::fs;

use serde_json::Value;

use crate::history::{Place, done};

const MACHINES: usize = 5_000;

#[test]
fn thousands_of_machines_are_imported_and_each_is_admitted_and_kept() {
    let place = Place::new();
    let server = place.start();
    let file = place.path("machines.csv");
    let rows: String = (0..MACHINES).map(|n| format!("m{n:04},a,S{n}\n")).collect();
    fs::write(&file, format!("name,site,serial\n{rows}")).unwrap();
    let file = file.to_str().unwrap();
    let said = done(&place.muster(&["machine", "import", file, "--create-sites", "--reason", "bought"]));
    assert!(said.starts_with("1 sites, 0 racks and 5000 machines created, 0 machines updated\n"), "{said}");
    let told = done(&place.muster(&["machine", "list", "-o", "json"]));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["items"].as_array().unwrap().len(), MACHINES);
    // The history was asked about each of them, as at any create.
    let changes = place.settled("m4999", "spec.serial", 1);
    assert_eq!((&changes[0]["new"], &changes[0]["reason"]), (&"S4999".into(), &"bought".into()));
    // What is there already is found before anything is written.
    let again = place.muster(&["machine", "import", file]);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).starts_with("muster: nothing was imported\n"));
    drop(server);
}
