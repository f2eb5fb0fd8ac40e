//! Whether a machine may join, and under which name.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::ResourceExt as _;
use muster_api::Machine;
use muster_api::inventory::InventoryStatus;
use muster_api::join::{
    DOCTOR_SIGNER, DOCTOR_USER, DOCTORS, EXPECTED_AS, Invitation, NODE_USER, NODES, SERIAL, SIGNER,
    TOKEN_USER,
};
use muster_api::machine::{MachineSpec, Phase};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;

use super::RequestView;

/// What is known beyond the request itself.
#[derive(Clone, Debug, Default)]
pub(super) struct World<'a> {
    /// Another request with the same token was approved.
    pub(super) token_used: bool,
    /// The machine of the wished name.
    pub(super) machine: Option<&'a Machine>,
    /// The machine that bears the serial number.
    pub(super) bearer: Option<&'a Machine>,
    /// What was observed of the machine of the wished name.
    pub(super) inventory: Option<InventoryStatus>,
    /// Whether the site of the invitation is there.
    pub(super) site: bool,
    /// Whether the role of the invitation is there.
    pub(super) role: bool,
}

/// What is to be said of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Somebody else's, or answered long ago.
    NotOurs,
    /// It was approved: its token must be gone.
    EndToken,
    Deny {
        reason: &'static str,
        message: String,
    },
    Approve {
        create: Option<Box<Machine>>,
        message: String,
    },
}

fn deny(reason: &'static str, message: impl Into<String>) -> Answer {
    Answer::Deny { reason, message: message.into() }
}

pub(super) fn is(request: &RequestView, kind: &str) -> bool {
    request.status.conditions.iter().any(|condition| condition.kind == kind)
}

pub(super) fn serial(request: &RequestView) -> &str {
    let annotations = request.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(SERIAL)).map(|serial| serial.trim()).unwrap_or_default()
}

/// The id of the token that was shown.
pub(super) fn token_id(request: &RequestView) -> Option<&str> {
    request.spec.username.strip_prefix(TOKEN_USER)
}

/// The name under which the certificate is asked for, or what is wrong with its subject.
pub(super) fn wished(request: &RequestView) -> Result<String, String> {
    let (prefix, group) = match request.spec.signer_name.as_str() {
        DOCTOR_SIGNER => (DOCTOR_USER, DOCTORS),
        _ => (NODE_USER, NODES),
    };
    let (user, groups) = subject(&request.spec.request).ok_or("the request cannot be read")?;
    if groups != [group] {
        return Err(format!("the subject must name the organisation {group} and no other"));
    }
    let name = user.strip_prefix(prefix).filter(|name| !name.is_empty());
    name.map(str::to_owned).ok_or_else(|| format!("the subject's common name must be {prefix}NAME"))
}

fn subject(request: &str) -> Option<(String, Vec<String>)> {
    let pem = STANDARD.decode(request).ok()?;
    let (_, pem) = parse_x509_pem(&pem).ok()?;
    let (_, request) = X509CertificationRequest::from_der(&pem.contents).ok()?;
    let subject = &request.certification_request_info.subject;
    let user = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups = subject.iter_organization().map(|name| name.as_str().ok().map(str::to_owned));
    Some((user, groups.collect::<Option<_>>()?))
}

/// Decides.
pub(super) fn plan(request: &RequestView, world: &World<'_>) -> Answer {
    let invitation = Invitation::of_groups(&request.spec.groups);
    let by_agent = request.spec.username.starts_with(NODE_USER);
    let for_doctor = request.spec.signer_name == DOCTOR_SIGNER;
    let ours = if for_doctor {
        // Others ask this signer for others.
        by_agent && wished(request).is_ok()
    } else {
        request.spec.signer_name == SIGNER && (invitation.is_some() || by_agent)
    };
    if !ours {
        return Answer::NotOurs;
    }
    if is(request, "Denied") || is(request, "Failed") {
        return Answer::NotOurs;
    }
    if is(request, "Approved") {
        return if invitation.is_some() { Answer::EndToken } else { Answer::NotOurs };
    }
    let name = match wished(request) {
        Ok(name) => name,
        Err(message) => return deny("BadSubject", message),
    };
    let known = ["client auth", "digital signature"];
    if request.spec.usages.iter().any(|usage| !known.contains(&usage.as_str())) {
        return deny("BadUsage", "such a certificate is for client auth and digital signature only");
    }
    match invitation {
        Some(invitation) if !for_doctor => joins(&name, serial(request), &invitation, world),
        Some(_) | None => own(request, &name, world, for_doctor),
    }
}

/// An agent asks for its own machine.
fn own(request: &RequestView, name: &str, world: &World<'_>, for_doctor: bool) -> Answer {
    if request.spec.username != format!("{NODE_USER}{name}") {
        return deny("NotItself", "an agent asks for certificates of its own machine only");
    }
    match world.machine.map(phase) {
        None => deny("Unknown", format!("there is no Machine {name:?} any more")),
        Some(Phase::Retired) => deny("Retired", format!("Machine {name:?} is retired")),
        Some(_) => {
            let whose = if for_doctor { "the certificate of its doctor" } else { "a new certificate" };
            Answer::Approve {
                create: None,
                message: format!("the agent of Machine {name:?} asks for {whose}"),
            }
        }
    }
}

fn phase(machine: &Machine) -> Phase {
    machine.status.as_ref().map(|status| status.phase).unwrap_or_default()
}

fn joins(name: &str, serial: &str, invitation: &Invitation, world: &World<'_>) -> Answer {
    if world.token_used {
        return deny("TokenUsed", "the token was used before; make another with `muster token create`");
    }
    let wanted = invitation.machine.as_str();
    let bearer = world.bearer.map(|bearer| bearer.name_any());
    if !wanted.is_empty()
        && let Some(bearer) = bearer.as_ref().filter(|bearer| *bearer != wanted)
    {
        let message = format!(
            "the token is for Machine {wanted:?}, but the serial {serial:?} belongs to Machine {bearer:?}"
        );
        return deny("SerialConflict", message);
    }
    if !wanted.is_empty() && wanted != name {
        return deny(EXPECTED_AS, format!("{wanted}: the token is for this machine"));
    }
    if let Some(other) = bearer.filter(|bearer| bearer != name) {
        return deny(EXPECTED_AS, format!("{other}: the serial {serial:?} is that of this machine"));
    }
    match world.machine {
        Some(machine) => expected(name, serial, machine, invitation, world),
        None => unexpected(name, serial, invitation, world),
    }
}

/// Identity is taken from the machine that was written down before, unless something speaks against it.
fn expected(
    name: &str,
    serial: &str,
    machine: &Machine,
    invitation: &Invitation,
    world: &World<'_>,
) -> Answer {
    if phase(machine) == Phase::Retired {
        return deny(
            "Retired",
            format!("Machine {name:?} is retired; take the hardware in under another name"),
        );
    }
    let differs = |other: &str| !other.is_empty() && !serial.is_empty() && other != serial;
    let written = machine.spec.serial.as_str();
    if differs(written) {
        let message = format!(
            "Machine {name:?} has the serial {written:?}, this one tells {serial:?}; correct spec.serial, or join under another name"
        );
        return deny("SerialConflict", message);
    }
    if world.inventory.as_ref().is_some_and(|inventory| differs(&inventory.serial)) {
        return deny(
            "SerialConflict",
            format!("Machine {name:?} announced itself with another serial before"),
        );
    }
    if world.inventory.is_some() && invitation.machine.is_empty() {
        let message = format!(
            "Machine {name:?} joined before; to let it join again make a token with --machine {name}"
        );
        return deny("AlreadyJoined", message);
    }
    Answer::Approve { create: None, message: format!("Machine {name:?} was expected") }
}

fn unexpected(name: &str, serial: &str, invitation: &Invitation, world: &World<'_>) -> Answer {
    let Invitation { site, role, .. } = invitation;
    if site.is_empty() {
        let message =
            format!("no Machine {name:?} is expected; import it first, or make a token with --site");
        return deny("NotExpected", message);
    }
    if !world.site {
        return deny("UnknownSite", format!("the token names the Site {site:?}, which is not there"));
    }
    if !role.is_empty() && !world.role {
        return deny("UnknownRole", format!("the token names the MachineRole {role:?}, which is not there"));
    }
    let spec = MachineSpec {
        site: site.clone(),
        role: role.clone(),
        serial: serial.to_owned(),
        ..MachineSpec::default()
    };
    Answer::Approve {
        create: Some(Box::new(Machine::new(name, spec))),
        message: format!("Machine {name:?} is new at site {site}"),
    }
}

#[cfg(test)]
mod tests;
