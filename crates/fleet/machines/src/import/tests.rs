use super::*;

fn known() -> Known {
    Known {
        sites: BTreeSet::from(["a".to_owned()]),
        roles: BTreeSet::from(["worker".to_owned()]),
        machines: BTreeMap::from([("old".to_owned(), "S-0".to_owned())]),
    }
}

fn check(csv: &str, expected: &[&str]) {
    let faults = match parse(csv) {
        Err(faults) => faults,
        Ok(rows) => {
            plan(&rows, &known(), UnknownSites::Refuse, Existing::Refuse).map_or_else(|f| f, |_| Vec::new())
        }
    };
    let told: Vec<String> = faults.iter().map(|fault| fault.in_file("m.csv").to_string()).collect();
    assert_eq!(told, expected);
}

#[test]
fn a_good_file_becomes_machines_with_labels_and_bmc() {
    let csv =
        "name,site,role,bmc,label:tier\nm1,a,worker,redfish://10.0.0.1:8000/437X,gold\nm2,a,,ipmi://bmc-2,\n";
    let import = plan(&parse(csv).unwrap(), &known(), UnknownSites::Refuse, Existing::Refuse).unwrap();
    assert_eq!((import.create.len(), import.update.len(), import.sites.len()), (2, 0, 0));
    let first = &import.create[0];
    assert_eq!(first.spec.bmc.as_ref().unwrap().address, "redfish://10.0.0.1:8000/437X");
    assert_eq!(first.metadata.labels.as_ref().unwrap()["tier"], "gold");
    assert_eq!(import.create[1].metadata.labels, None);
}

#[test]
fn every_bad_row_is_told_with_file_line_and_column() {
    check(
        "name,site,role,serial\nM_1,a,worker,S-1\nm2,b,wrker,S-1\nm2,a,worker,S-1\nold,a,,S-9\nm5,a,worker,S-0\n",
        &[
            "m.csv:2:1: name \"M_1\" must be lower case letters, digits, '-' and '.', and begin and end with a letter or digit",
        ],
    );
    check(
        "name,site,role,serial\nm1,a,worker,S-1\nm2,b,wrker,S-1\nm2,a,worker,\nold,a,,S-9\nm5,a,worker,S-9\n",
        &[
            "m.csv:3:2: there is no Site \"b\"; correct it or pass --create-sites",
            "m.csv:3:3: there is no MachineRole \"wrker\"; create it or correct the name",
            "m.csv:3:4: the serial \"S-1\" belongs to line 2 already",
            "m.csv:4:1: the name \"m2\" stands on line 3 already",
            "m.csv:5:1: there is a Machine \"old\" already; pass --update to change it",
            "m.csv:6:4: the serial \"S-9\" belongs to line 5 already",
        ],
    );
}

#[test]
fn a_serial_that_another_machine_bears_is_refused() {
    check(
        "name,site,serial\nm1,a,S-0\n",
        &["m.csv:2:3: the serial \"S-0\" belongs to Machine \"old\" already"],
    );
}

#[test]
fn the_header_is_judged_first() {
    check(
        "name,colour,name\nm1,red,x\n",
        &[
            "m.csv:1:2: unknown column \"colour\"; known are name, site, rack, serial, role, profile, bmc, label:KEY",
            "m.csv:1:3: the column \"name\" stands twice",
            "m.csv:1:1: the column \"site\" is missing",
        ],
    );
}

#[test]
fn rows_of_another_length_and_bad_bmcs_are_refused() {
    check(
        "name,site,bmc\nm1,a\nm2,a,http://x\nm3,a,ipmi://h:0\nm4,a,redfish://h\n",
        &[
            "m.csv:2:3: the row has 2 cells, the header 3",
            "m.csv:3:3: bmc \"http://x\" must be redfish://HOST[:PORT]/SYSTEM or ipmi://HOST[:PORT]",
            "m.csv:4:3: bmc \"ipmi://h:0\" must be redfish://HOST[:PORT]/SYSTEM or ipmi://HOST[:PORT]",
            "m.csv:5:3: bmc \"redfish://h\" must be redfish://HOST[:PORT]/SYSTEM or ipmi://HOST[:PORT]",
        ],
    );
}

#[test]
fn existing_machines_are_updated_and_unknown_sites_created_only_when_asked() {
    let rows = parse("name,site\nold,b\nm1,b\n").unwrap();
    let import = plan(&rows, &known(), UnknownSites::Create, Existing::Update).unwrap();
    let names =
        |machines: &[Machine]| machines.iter().map(|m| m.metadata.name.clone().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        (names(&import.create), names(&import.update)),
        (vec!["m1".to_owned()], vec!["old".to_owned()])
    );
    assert_eq!(import.sites.iter().map(|s| s.metadata.name.clone().unwrap()).collect::<Vec<_>>(), ["b"]);
}
