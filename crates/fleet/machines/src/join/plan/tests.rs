use muster_api::machine::MachineStatus;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use super::super::{RequestCondition, RequestSpec};
use super::*;

fn signing_request(user: &str, group: &str) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, group);
    STANDARD.encode(params.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap())
}

/// A request of machine `name` with a token that says what `invitation` says: `"machine=m1 site=a"`.
fn request(name: &str, serial: &str, invitation: &str) -> RequestView {
    let mut says = Invitation::default();
    for word in invitation.split_whitespace() {
        match word.split_once('=').unwrap() {
            ("machine", value) => says.machine = value.into(),
            ("site", value) => says.site = value.into(),
            (_, value) => says.role = value.into(),
        }
    }
    let mut request = RequestView {
        spec: RequestSpec {
            request: signing_request(&format!("system:node:{name}"), "system:nodes"),
            signer_name: SIGNER.into(),
            username: "system:bootstrap:abc123".into(),
            groups: says.groups(),
            usages: vec!["client auth".into(), "digital signature".into()],
        },
        ..RequestView::default()
    };
    request.metadata.annotations = Some([(SERIAL.to_owned(), serial.to_owned())].into());
    request
}

fn machine(name: &str, serial: &str, phase: Phase) -> Machine {
    let spec = MachineSpec { site: "a".into(), serial: serial.into(), ..MachineSpec::default() };
    let mut machine = Machine::new(name, spec);
    machine.status = Some(MachineStatus { phase, ..MachineStatus::default() });
    machine
}

/// A request of the agent of `agent` for the doctor of `name`.
fn for_doctor(agent: &str, name: &str, group: &str) -> RequestView {
    RequestView {
        spec: RequestSpec {
            request: signing_request(&format!("system:muster:doctor:{name}"), group),
            signer_name: DOCTOR_SIGNER.into(),
            username: format!("system:node:{agent}"),
            groups: vec![NODES.into()],
            usages: vec!["client auth".into()],
        },
        ..RequestView::default()
    }
}

#[test]
fn an_agent_has_the_doctor_of_its_own_machine_named_and_nobody_else() {
    let known = machine("m1", "S1", Phase::Healthy);
    let world = World { machine: Some(&known), ..World::default() };
    check(&for_doctor("m1", "m1", DOCTORS), &world, "approve");
    let other = "NotItself: an agent asks for certificates of its own machine only";
    check(&for_doctor("m2", "m1", DOCTORS), &world, other);
    check(&for_doctor("m1", "m1", "system:masters"), &world, "not ours");
    check(&for_doctor("m1", "m1", "system:nodes"), &world, "not ours");
    let mut request = for_doctor("m1", "m1", DOCTORS);
    request.spec.username = "kim".into();
    check(&request, &world, "not ours");
    request.spec.username = "system:bootstrap:abc123".into();
    request.spec.groups = Invitation::default().groups();
    check(&request, &world, "not ours");
    let mut request = for_doctor("m1", "m1", DOCTORS);
    request.spec.usages.push("server auth".into());
    let usage = "BadUsage: such a certificate is for client auth and digital signature only";
    check(&request, &world, usage);
    let unknown = "Unknown: there is no Machine \"m1\" any more";
    check(&for_doctor("m1", "m1", DOCTORS), &World::default(), unknown);
    let gone = machine("m1", "S1", Phase::Retired);
    let world = World { machine: Some(&gone), ..World::default() };
    check(&for_doctor("m1", "m1", DOCTORS), &world, "Retired: Machine \"m1\" is retired");
}

fn told(answer: Answer) -> String {
    match answer {
        Answer::NotOurs => "not ours".into(),
        Answer::EndToken => "end the token".into(),
        Answer::Deny { reason, message } => format!("{reason}: {message}"),
        Answer::Approve { create: None, .. } => "approve".into(),
        Answer::Approve { create: Some(machine), .. } => {
            let spec = &machine.spec;
            format!("create {} {}/{}/{}", machine.name_any(), spec.site, spec.role, spec.serial)
        }
    }
}

fn check(request: &RequestView, world: &World<'_>, expected: &str) {
    let found = told(plan(request, world));
    assert!(found.starts_with(expected), "{found}\nexpected {expected}");
}

fn there<'a>() -> World<'a> {
    World { site: true, role: true, ..World::default() }
}

#[test]
fn a_machine_nobody_expected_is_made_where_the_token_says_or_refused() {
    check(&request("m1", "S1", "site=a role=worker"), &there(), "create m1 a/worker/S1");
    check(&request("m1", "S1", ""), &there(), "NotExpected: ");
    check(&request("m1", "", "site=b"), &World { site: false, ..there() }, "UnknownSite: ");
    check(&request("m1", "", "site=a role=x"), &World { role: false, ..there() }, "UnknownRole: ");
}

#[test]
fn an_expected_machine_is_known_by_its_serial_whatever_it_calls_itself() {
    let db = machine("db-01", "S1", Phase::Registered);
    let known = World { bearer: Some(&db), ..there() };
    check(&request("localhost", "S1", ""), &known, "ExpectedAs: db-01: ");
    check(&request("db-01", "S1", ""), &World { machine: Some(&db), ..known.clone() }, "approve");
    check(&request("other", "S9", "machine=db-01"), &there(), "ExpectedAs: db-01: ");
    check(&request("m2", "S1", "machine=m2"), &known, "SerialConflict: ");
    check(&request("m2", "S1", "machine=m3"), &known, "SerialConflict: ");
}

#[test]
fn what_speaks_against_a_machine_is_a_visible_refusal() {
    let m1 = machine("m1", "S1", Phase::Healthy);
    let known = World { machine: Some(&m1), ..there() };
    check(&request("m1", "S2", ""), &known, "SerialConflict: ");
    let seen = |serial: &str| {
        let inventory = InventoryStatus { serial: serial.into(), ..InventoryStatus::default() };
        World { inventory: Some(inventory), ..known.clone() }
    };
    check(&request("m1", "S1", ""), &seen("S1"), "AlreadyJoined: ");
    check(&request("m1", "S1", "machine=m1"), &seen("S1"), "approve");
    check(&request("m1", "S1", "machine=m1"), &seen("S8"), "SerialConflict: ");
    let retired = machine("m1", "S1", Phase::Retired);
    check(&request("m1", "S1", "machine=m1"), &World { machine: Some(&retired), ..there() }, "Retired: ");
    check(&request("m1", "S1", "site=a"), &World { token_used: true, ..there() }, "TokenUsed: ");
}

#[test]
fn only_an_agents_subject_and_usages_are_signed() {
    let mut request = request("m1", "", "site=a");
    request.spec.usages.push("server auth".into());
    check(&request, &there(), "BadUsage: ");
    request.spec.usages.clear();
    let rows =
        [("system:node:m1", "system:masters"), ("kim", "system:nodes"), ("system:node:", "system:nodes")];
    for (user, group) in rows {
        request.spec.request = signing_request(user, group);
        check(&request, &there(), "BadSubject: ");
    }
    request.spec.request = "nonsense".into();
    check(&request, &there(), "BadSubject: ");
}

#[test]
fn an_agent_renews_its_own_certificate_while_its_machine_is_there() {
    let m1 = machine("m1", "", Phase::Healthy);
    let mut request = request("m1", "", "");
    request.spec.groups = vec!["system:nodes".into()];
    request.spec.username = "system:node:m1".into();
    check(&request, &World { machine: Some(&m1), ..there() }, "approve");
    check(&request, &there(), "Unknown: ");
    let retired = machine("m1", "", Phase::Retired);
    check(&request, &World { machine: Some(&retired), ..there() }, "Retired: ");
    request.spec.username = "system:node:m2".into();
    check(&request, &World { machine: Some(&m1), ..there() }, "NotItself: ");
}

#[test]
fn what_is_answered_or_somebody_elses_is_left_alone_and_a_used_token_goes() {
    let mut asked = request("m1", "", "site=a");
    asked.status.conditions = vec![RequestCondition { kind: "Approved".into() }];
    check(&asked, &there(), "end the token");
    asked.status.conditions = vec![RequestCondition { kind: "Denied".into() }];
    check(&asked, &there(), "not ours");
    let mut other = request("m1", "", "site=a");
    other.spec.signer_name = "example.com/x".into();
    check(&other, &there(), "not ours");
    let mut user = request("m1", "", "");
    user.spec.username = "kim".into();
    user.spec.groups = vec!["system:authenticated".into()];
    check(&user, &there(), "not ours");
}
