use super::*;

fn known() -> Known {
    let bearer = Bearer { serial: "S-0".into(), bmc: "ipmi://bmc-0:623/".into() };
    Known {
        sites: BTreeSet::from(["a".to_owned()]),
        racks: BTreeMap::from([("r1".to_owned(), "a".to_owned())]),
        roles: BTreeSet::from(["worker".to_owned()]),
        profiles: BTreeSet::from(["big".to_owned()]),
        machines: BTreeMap::from([("old".to_owned(), bearer)]),
    }
}

fn faults(sheet: Sheet, file: &str) -> Vec<String> {
    let faults = plan(sheet, &known(), UnknownSites::Refuse, Existing::Refuse).err().unwrap_or_default();
    faults.iter().map(|fault| fault.in_file(file).to_string()).collect()
}

fn check(text: &str, expected: &[&str]) {
    assert_eq!(faults(csv::read(text), "m.csv"), expected);
}

fn planned(sheet: Sheet) -> Import {
    plan(sheet, &known(), UnknownSites::Create, Existing::Refuse).unwrap()
}

#[test]
fn a_good_file_becomes_machines_with_labels_and_bmc() {
    let text = "name,site,rack,role,profile,bmc,label:tier\nm1,a,r1,worker,big,redfish://10.0.0.1:8000/437X,gold\nm2,a,,,,ipmi://bmc-2,\n";
    let import = plan(csv::read(text), &known(), UnknownSites::Refuse, Existing::Refuse).unwrap();
    assert_eq!((import.create.len(), import.update.len(), import.sites.len()), (2, 0, 0));
    let first = &import.create[0];
    assert_eq!(first.spec.bmc.as_ref().unwrap().address, "redfish://10.0.0.1:8000/437X");
    assert_eq!(first.metadata.labels.as_ref().unwrap()["tier"], "gold");
    assert_eq!(import.create[1].metadata.labels, None);
}

#[test]
fn a_quote_that_is_never_closed_is_a_fault_and_the_rows_before_it_are_judged() {
    let open = "the quote that opens this cell is never closed; close it";
    check(
        "name,site,label:x\n\"m1\",a,\"two\nlines\"\nm2,\"b\",\nm3,\"a,x\nm4,a,\n",
        &[
            "m.csv:2:3: label:x \"two\\nlines\" must be at most 63 letters, digits, '-', '_' and '.', and begin and end with a letter or digit",
            "m.csv:4:2: there is no Site \"b\"; correct it or pass --create-sites",
            &format!("m.csv:5:2: {open}"),
        ],
    );
    check("\"name,site\nm1,a\n", &[&format!("m.csv:1:1: {open}")]);
    check(
        "name,site\nm\"1,a\n",
        &[
            "m.csv:2:1: name \"m\\\"1\" must be lower case letters, digits, '-' and '.', and begin and end with a letter or digit",
        ],
    );
    check("name,site,serial\nm1,a,\"a\"\"b\"\n", &[]);
}

#[test]
fn every_fault_of_every_row_is_told_at_once_with_file_line_and_column() {
    check(
        "name,site,role,serial,profile\nM_1,a,worker,S-1,\nm2,b,wrker,S-1,huge\nm2,a,worker,,\nold,a,,S-9,\nm5,a,worker,S-9\nm6,a,worker,S-0,\n",
        &[
            "m.csv:2:1: name \"M_1\" must be lower case letters, digits, '-' and '.', and begin and end with a letter or digit",
            "m.csv:3:2: there is no Site \"b\"; correct it or pass --create-sites",
            "m.csv:3:3: there is no MachineRole \"wrker\"; create it or correct the name",
            "m.csv:3:4: the serial \"S-1\" belongs to line 2 already",
            "m.csv:3:5: there is no HardwareProfile \"huge\"; create it or correct the name",
            "m.csv:4:1: the name \"m2\" stands on line 3 already",
            "m.csv:5:1: there is a Machine \"old\" already; pass --update to change it",
            "m.csv:6:5: the row has 4 cells, the header 5",
        ],
    );
}

#[test]
fn what_another_machine_bears_is_refused_however_it_is_written() {
    check(
        "name,site,serial,bmc\nm1,a,S-0,ipmi://BMC-0:623\nm2,a,,redfish://h/1\nm3,a,,redfish://H:443/1/\n",
        &[
            "m.csv:2:3: the serial \"S-0\" belongs to Machine \"old\" already",
            "m.csv:2:4: the bmc address \"ipmi://BMC-0:623\" belongs to Machine \"old\" already",
            "m.csv:4:4: the bmc address \"redfish://H:443/1/\" belongs to line 3 already",
        ],
    );
}

#[test]
fn a_bad_header_does_not_hide_the_rows_unless_they_cannot_be_read() {
    check(
        "name,colour,name,site\nm1,red,x,b\n",
        &[
            "m.csv:1:2: unknown column \"colour\"; known are name, site, rack, serial, role, profile, bmc, label:KEY",
            "m.csv:1:3: the column \"name\" stands twice",
            "m.csv:2:4: there is no Site \"b\"; correct it or pass --create-sites",
        ],
    );
    check("name,serial\nm1,x\n", &["m.csv:1:1: the column \"site\" is missing"]);
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
fn existing_machines_are_updated_and_unknown_sites_and_racks_created_only_when_asked() {
    let sheet = csv::read("name,site,rack,serial\nold,b,r9,S-0\nm1,b,r9,\nm2,a,r1,\n");
    let import = plan(sheet, &known(), UnknownSites::Create, Existing::Update).unwrap();
    let names = |machines: &[Machine]| {
        machines.iter().map(|m| m.metadata.name.clone().unwrap()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!((names(&import.create), names(&import.update)), ("m1 m2".to_owned(), "old".to_owned()));
    assert_eq!(import.sites.iter().map(|s| s.metadata.name.clone().unwrap()).collect::<Vec<_>>(), ["b"]);
    let racks: Vec<_> =
        import.racks.iter().map(|r| (r.metadata.name.as_deref().unwrap(), &*r.spec.site)).collect();
    assert_eq!(racks, [("r9", "b")]);
}

#[test]
fn a_rack_stands_in_one_site() {
    check(
        "name,site,rack\nm1,a,r1\nm2,b,r1\nm3,a,r7\n",
        &[
            "m.csv:3:2: there is no Site \"b\"; correct it or pass --create-sites",
            "m.csv:3:3: the Rack \"r1\" stands in site \"a\", not in \"b\"; a rack's name is its identity, so name this one otherwise",
            "m.csv:4:3: there is no Rack \"r7\"; correct it or pass --create-sites",
        ],
    );
}

const MANIFESTS: &str = r#"apiVersion: muster.dev/v1alpha1
kind: Machine
metadata:
  name: m1
  labels: {tier: gold}
  uid: left-alone
spec:
  site: a
  role: worker
  serial: "007"
  bmc: {address: "redfish://h/1", secretRef: bmc-1}
  handsOff: {until: 2026-12-01T00:00:00Z, by: kim, reason: cabling}
status: {phase: Healthy}
---
apiVersion: v1
kind: List
items:
- apiVersion: muster.dev/v1alpha1
  kind: Machine
  metadata: {name: m2}
  spec: {site: a}
"#;

#[test]
fn manifests_keep_what_a_table_cannot_say() {
    let import = planned(manifests::read(MANIFESTS));
    let [first, second] = import.create.as_slice() else { panic!("{import:?}") };
    assert_eq!((first.spec.serial.as_str(), second.spec.site.as_str()), ("007", "a"));
    assert_eq!(first.spec.bmc.as_ref().unwrap().secret_ref, "bmc-1");
    assert_eq!(first.spec.hands_off.as_ref().unwrap().by, "kim");
    assert_eq!((&first.status, &first.metadata.uid), (&None, &None));
}

#[test]
fn every_fault_of_manifests_is_told_at_its_place() {
    let text = "kind: Machine\napiVersion: muster.dev/v1alpha1\nmetadata:\n  name: M1\nspec:\n  site: b\n  colour: red\n  handsOff: {until: soon}\n---\nkind: Pod\napiVersion: v1\n---\nkind: Machine\napiVersion: muster.dev/v1alpha1\nmetadata: {name: old}\nspec: {serial: S-0}\n";
    assert_eq!(
        faults(manifests::read(text), "m.yaml"),
        [
            "m.yaml:4:9: name \"M1\" must be lower case letters, digits, '-' and '.', and begin and end with a letter or digit",
            "m.yaml:6:9: there is no Site \"b\"; correct it or pass --create-sites",
            "m.yaml:7:3: spec.colour: unknown field; known are site, rack, serial, role, profile, bmc, maintenance, handsOff",
            "m.yaml:8:13: spec.handsOff: failed to parse four digit integer as year: invalid digit, expected 0-9 but got s",
            "m.yaml:10:1: this is kind Pod of v1; only Machine of muster.dev/v1alpha1, or a List of them, is taken (other kinds: kubectl apply)",
            "m.yaml:13:1: spec.site: must be given",
            "m.yaml:15:18: there is a Machine \"old\" already; pass --update to change it",
        ]
    );
    assert_eq!(faults(manifests::read("a: [1\nb: 2\n"), "m.yaml").len(), 1);
}

const DEVICES: &str = r#"{"count": 3, "next": null, "previous": null, "results": [
  {"id": 1, "name": "DB-01", "role": {"id": 4, "slug": "database"}, "serial": "S-7", "asset_tag": "A 1",
   "site": {"id": 2, "name": "Berlin 1", "slug": "berlin_1"}, "rack": {"id": 9, "name": "Row 4 / R12"},
   "position": 5.0, "oob_ip": {"id": 3, "address": "10.9.0.1/24", "family": 4}, "custom_fields": {"bmc": null}},
  {"id": 2, "name": "db-02", "device_role": {"id": 4, "slug": "database"}, "serial": "", "asset_tag": "A-2",
   "site": {"id": 2, "name": "Berlin 1", "slug": "berlin_1"}, "rack": null, "oob_ip": null,
   "custom_fields": {"bmc": "redfish://10.9.0.2/1"}},
  {"id": 3, "name": "sw:1", "role": {"id": 5, "slug": "switch"}, "site": {"id": 2, "slug": "berlin_1"}}
]}"#;

fn netbox(roles: &[(&str, netbox::Mapping)]) -> netbox::Options {
    let roles = roles.iter().map(|(slug, mapping)| ((*slug).to_owned(), mapping.clone())).collect();
    netbox::Options { roles, ..netbox::Options::default() }
}

#[test]
fn devices_of_netbox_become_machines_with_site_rack_role_and_controller() {
    use netbox::Mapping;
    let options = netbox(&[("database", Mapping::Role("worker".into())), ("switch", Mapping::LeaveOut)]);
    let import = planned(netbox::read(DEVICES, &options));
    let [first, second] = import.create.as_slice() else { panic!("{import:?}") };
    let spec = &first.spec;
    assert_eq!(
        (first.metadata.name.as_deref().unwrap(), &*spec.site, &*spec.rack, &*spec.role, &*spec.serial),
        ("db-01", "berlin-1", "berlin-1-row-4-r12", "worker", "S-7")
    );
    assert_eq!(spec.bmc.as_ref().unwrap().address, "ipmi://10.9.0.1");
    assert_eq!(first.metadata.labels, Some(BTreeMap::from([(netbox::POSITION_LABEL.into(), "5".into())])));
    assert_eq!((second.spec.rack.as_str(), second.spec.role.as_str()), ("", "worker"));
    assert_eq!(second.spec.bmc.as_ref().unwrap().address, "redfish://10.9.0.2/1");
    assert_eq!(second.metadata.labels.as_ref().unwrap()[netbox::ASSET_LABEL], "A-2");
    assert_eq!((import.sites.len(), import.racks.len()), (1, 1));
}

#[test]
fn devices_without_a_mapping_or_a_name_and_half_an_export_are_refused() {
    let one = r#"{"next": "http://n/?offset=50", "results": [
  {"name": null, "role": {"slug": "router"}, "site": {"slug": "a"}}]}"#;
    assert_eq!(
        faults(netbox::read(one, &netbox(&[])), "d.json"),
        [
            "d.json:1:2: this is one page of several, the next is http://n/?offset=50; ask NetBox with limit=0, or join the pages into one list",
            "d.json:2:3: name is empty",
            "d.json:2:26: there is no MachineRole \"router\"; create it or correct the name",
        ]
    );
    let list = r#"[{"name": "m1", "role": {"slug": "router"}, "site": {"slug": "a"}}]"#;
    let import = planned(netbox::read(list, &netbox(&[("router", netbox::Mapping::NoRole)])));
    assert_eq!(import.create[0].spec.role, "");
    assert_eq!(
        faults(netbox::read("{\"a\": 1}", &netbox(&[])), "d.json"),
        ["d.json:1:1: this is neither an answer of NetBox's /api/dcim/devices/ nor a list of devices"]
    );
}
