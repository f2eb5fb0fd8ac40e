//! `muster machine discover`: the sweep is done here, where a person stands, with that person's rights.

use kube::api::PostParams;
use kube::{Api, Client, ResourceExt as _};
use muster_api::Machine;
use muster_api::machine::{Bmc, MachineSpec};
use muster_base::error::chain;
use muster_bmc::address::{Address, Protocol};
use muster_bmc::discover::{self, Found, Question};
use muster_bmc::{Access, Transport, read_access};
use muster_control::is_conflict;

use crate::cli::Format;
use crate::cli::bmc::{AskBy, DiscoverArgs, FoundFormat};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

pub(crate) async fn run(args: DiscoverArgs) -> Result<(), Failure> {
    let addresses = discover::addresses(&args.range).map_err(|error| Failure::Refused(error.to_string()))?;
    if args.import && (args.site.is_empty() || args.secret.is_empty()) {
        return Err(Failure::Refused("--import needs --site and --secret; nothing was asked".to_owned()));
    }
    let protocols: Vec<(Protocol, u16)> = args
        .protocol
        .iter()
        .map(|by| match by {
            AskBy::Redfish => (Protocol::Redfish, args.redfish_port),
            AskBy::Ipmi => (Protocol::Ipmi, args.ipmi_port),
        })
        .collect();
    let client = if args.secret.is_empty() { None } else { Some(connect(&args.client).await?) };
    let access = match (&client, addresses.first(), protocols.first()) {
        (Some(client), Some(ip), Some((protocol, port))) => {
            let address =
                Address { protocol: *protocol, host: ip.to_string(), port: *port, system: String::new() };
            Some(credentials(client, &args.secret, &address).await?)
        }
        _ => None,
    };
    let transport = match access.as_ref().map(|access| access.transport) {
        Some(Transport::Plain) => Transport::Plain,
        Some(Transport::Checked | Transport::Unchecked) | None => Transport::Unchecked,
    };
    let question = Question { addresses, protocols, access, transport, timeout: args.timeout.0 };
    let mut progress = Progress::new("addresses", question.addresses.len());
    let found = discover::sweep(&question, || progress.advance(1)).await;
    drop(progress);
    match client {
        Some(client) if args.import => import(&client, &args, &found).await,
        Some(_) | None => print(&args, &found),
    }
}

async fn credentials(client: &Client, name: &str, address: &Address) -> Result<Access, Failure> {
    read_access(client, name, address).await.map_err(|error| Failure::Refused(chain(&error)))
}

/// A name from the serial number, else from the address.
fn name(found: &Found) -> String {
    let serial = found.identity.serial.to_lowercase();
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !serial.is_empty() && serial.chars().all(fine) && !serial.starts_with('-') && !serial.ends_with('-') {
        return serial;
    }
    let place = format!("bmc-{}-{}", found.address.host, found.address.system).to_lowercase();
    let place: String = place.chars().map(|c| if fine(c) { c } else { '-' }).collect();
    place.trim_end_matches('-').chars().take(63).collect()
}

fn machine(args: &DiscoverArgs, found: &Found) -> Machine {
    let bmc = Bmc { address: found.address.to_string(), secret_ref: args.secret.clone() };
    let spec = MachineSpec {
        site: args.site.clone(),
        serial: found.identity.serial.clone(),
        bmc: Some(bmc),
        ..MachineSpec::default()
    };
    Machine::new(&name(found), spec)
}

fn print(args: &DiscoverArgs, found: &[Found]) -> Result<(), Failure> {
    let machines = || {
        let objects = found.iter().map(|one| serde_json::to_value(machine(args, one)));
        objects.collect::<Result<Vec<_>, _>>().map_err(|error| Failure::failed("cannot print", &error))
    };
    match args.output {
        FoundFormat::Json => output::items(machines()?, Format::Json),
        FoundFormat::Yaml => output::items(machines()?, Format::Yaml),
        FoundFormat::Csv => {
            let rows = found.iter().map(|one| {
                format!(
                    "{},{},{},{}\n",
                    name(one),
                    args.site,
                    one.identity.serial.replace(',', " "),
                    one.address
                )
            });
            output::text(
                &std::iter::once("name,site,serial,bmc\n".to_owned()).chain(rows).collect::<String>(),
            )
        }
        FoundFormat::Table => {
            let header =
                ["NAME", "BMC", "SERIAL", "MODEL", "FIRMWARE", "MACS", "NOTE"].map(str::to_owned).to_vec();
            let rows = found.iter().map(|one| {
                let identity = &one.identity;
                vec![
                    name(one),
                    one.address.to_string(),
                    identity.serial.clone(),
                    identity.model.clone(),
                    identity.firmware.clone(),
                    identity.macs.join(","),
                    one.note.clone(),
                ]
            });
            output::text(&output::columns(std::iter::once(header).chain(rows)))
        }
    }
}

async fn import(client: &Client, args: &DiscoverArgs, found: &[Found]) -> Result<(), Failure> {
    let api: Api<Machine> = Api::all(client.clone());
    let (mut created, mut known) = (0, 0);
    for one in found {
        let machine = machine(args, one);
        match api.create(&PostParams::default(), &machine).await {
            Ok(_) => created += 1,
            Err(error) if is_conflict(&error) => known += 1,
            Err(error) => return Err(Failure::api(format!("machine {}", machine.name_any()), &error)),
        }
    }
    output::text(&format!("{created} machines created, {known} known already\n"))
}

#[cfg(test)]
mod tests {
    use muster_api::inventory::bmc::Identity;

    use super::*;

    #[test]
    fn a_machine_is_named_by_its_serial_or_by_where_it_was_found() {
        let named = |address: &str, serial: &str| {
            let identity = Identity { serial: serial.to_owned(), ..Identity::default() };
            name(&Found { address: address.parse().unwrap(), identity, note: String::new() })
        };
        assert_eq!(named("ipmi://10.0.0.7", "CZJ38392GF"), "czj38392gf");
        assert_eq!(named("ipmi://10.0.0.7", ""), "bmc-10-0-0-7");
        assert_eq!(named("redfish://[fd00::7]/Sys.1", "has spaces"), "bmc-fd00--7-sys-1");
    }
}
