//! How machines come in, as typed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use muster_api::GoDuration;
use muster_machines::import::netbox::Mapping;

use super::{ClientArgs, Format, OutputArgs, ShowArgs};

/// What a file of machines is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// A table with a header row
    Csv,
    /// Machine manifests: one, several documents, or a List; JSON is taken too
    Yaml,
    /// The answer of NetBox's /api/dcim/devices/
    Netbox,
}

pub(crate) const IMPORT_HELP: &str = "\
Columns of a CSV file: name and site; optional rack, serial, role, profile, bmc, label:KEY
Of a NetBox device: name, site, rack (named SITE-RACK), serial, role, position, asset tag, custom field or out-of-band
address of the BMC

Examples:
  muster machine import machines.csv --create-sites
  muster machine import machines.yaml --update
  muster machine import devices.json --role-map server=worker --role-map pdu=- --oob-bmc redfish://HOST/1";

#[derive(Debug, Clone, Args)]
pub(crate) struct ImportArgs {
    /// CSV, YAML or NetBox JSON file
    pub(crate) file: PathBuf,
    /// Format of the file; else by its name (.csv, .yaml, .yml, .json) and what stands in it
    #[arg(long, value_enum)]
    pub(crate) format: Option<ImportFormat>,
    /// Create the sites and racks that are not there yet
    #[arg(long)]
    pub(crate) create_sites: bool,
    /// Change the machines that are there already
    #[arg(long)]
    pub(crate) update: bool,
    /// Why; the history keeps it with each machine's change
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// What becomes of devices of a NetBox role (by slug): NETBOX=ROLE, NETBOX= for no role, NETBOX=- leaves them out
    #[arg(long, value_name = "NETBOX=ROLE", value_parser = role_mapping)]
    pub(crate) role_map: Vec<(String, Mapping)>,
    /// Custom field of NetBox that holds a BMC address as in the CSV column
    #[arg(long, default_value = "bmc", value_name = "FIELD")]
    pub(crate) bmc_field: String,
    /// BMC address made of a NetBox device's out-of-band address, which takes the place of HOST
    #[arg(long, default_value = "ipmi://HOST", value_name = "ADDRESS")]
    pub(crate) oob_bmc: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

impl ImportArgs {
    /// How devices of NetBox are to be understood.
    pub(crate) fn netbox(&self) -> muster_machines::import::netbox::Options {
        let roles: BTreeMap<String, Mapping> = self.role_map.iter().cloned().collect();
        muster_machines::import::netbox::Options {
            roles,
            bmc_field: self.bmc_field.clone(),
            oob_bmc: self.oob_bmc.clone(),
        }
    }
}

pub(crate) const RETIRE_HELP: &str = "\
Starts a run of the workflow `retire`: a person approves, the grant is taken, the node cordoned and emptied, the machine
Retired. Its record and its history stay; its serial number and its controller may serve on under another name.

With --erase-disk (workflow `retire-erased`) the agent overwrites those disks, once the machine is emptied and the ledger
has given leave for it, and reads back that nothing is left. Each is named by its serial number (muster machine show);
one that is in use is refused, and then none is touched: to erase the system's own disk, boot the machine from the network
first.

Examples:
  muster machine retire db-07 --reason 'end of warranty'
  muster machine retire db-07 --reason 'end of warranty' --erase-disk S4EVNX0R --erase-disk S4EVNX1T";

#[derive(Debug, Clone, Args)]
pub(crate) struct RetireArgs {
    /// Name of the machine
    pub(crate) name: String,
    /// Why; it stands in the machine's transitions
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Serial number of a disk to erase; several times for several
    #[arg(long, value_name = "SERIAL")]
    pub(crate) erase_disk: Vec<String>,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

pub(crate) const AGENT_HELP: &str = "\
With --server, --token and --ca-hash a new machine joins: it gets a certificate of its own, kept under the data directory
and renewed in time. Started again, the agent needs the data directory only.

Examples:
  muster agent --server https://10.0.0.1:6443 --token ID.SECRET --ca-hash sha256:HASH
  muster agent --kubeconfig /etc/kubernetes/admin.conf --node-address 10.0.0.7";

/// How a new machine finds its cluster and is let in.
#[derive(Debug, Clone, Args)]
pub(crate) struct JoinArgs {
    /// Address of the cluster to join
    #[arg(long, value_name = "URL", requires = "token")]
    pub(crate) server: Option<String>,
    /// One-time token of `muster token create`
    #[arg(long, value_name = "TOKEN", requires = "ca_hash")]
    pub(crate) token: Option<String>,
    /// Hash of the public key of the cluster's authority
    #[arg(long, value_name = "sha256:HASH", requires = "server")]
    pub(crate) ca_hash: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClaimCommand {
    /// List claims
    #[command(after_help = "Example:\n  muster claim list -o wide")]
    List(OutputArgs),
    /// Show one claim, the machines it holds, and why some are missing
    #[command(after_help = "Example:\n  muster claim show databases")]
    Show(ShowArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token that lets one new machine join, once
    #[command(
        after_help = "Examples:\n  muster token create\n  muster token create --machine db-07 --ttl 10m\n  muster token create --site a --role worker --server https://10.0.0.1:6443"
    )]
    Create(TokenCreateArgs),
    /// List the tokens that were not used yet
    #[command(after_help = "Example:\n  muster token list")]
    List(OutputArgs),
    /// Take a token back
    #[command(after_help = "Example:\n  muster token revoke abc123")]
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TokenCreateArgs {
    /// How long it lasts
    #[arg(long, default_value = "1h", value_name = "DURATION")]
    pub(crate) ttl: GoDuration,
    /// The only machine it is for; such a machine may join again
    #[arg(long, value_name = "NAME")]
    pub(crate) machine: Option<String>,
    /// Site at which a machine that nobody expected is taken in; else such a machine is refused
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<String>,
    /// Role of a machine that nobody expected
    #[arg(long, value_name = "ROLE", requires = "site")]
    pub(crate) role: Option<String>,
    /// Address at which the new machine reaches the cluster; else that of the kubeconfig
    #[arg(long, value_name = "URL")]
    pub(crate) server: Option<String>,
    /// Output format
    #[arg(short, long, value_enum, default_value = "table")]
    pub(crate) output: Format,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct TokenRevokeArgs {
    /// The token, or its first half
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

fn role_mapping(text: &str) -> Result<(String, Mapping), String> {
    let (netbox, role) = text
        .split_once('=')
        .filter(|(netbox, _)| !netbox.is_empty())
        .ok_or_else(|| format!("{text:?} is not NETBOX=ROLE"))?;
    let mapping = match role {
        "" => Mapping::NoRole,
        "-" => Mapping::LeaveOut,
        role => Mapping::Role(role.to_owned()),
    };
    Ok((netbox.replace('_', "-").to_lowercase(), mapping))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_mapping_names_a_role_none_or_leaves_out() {
        let read = |text: &str| role_mapping(text).map(|(_, mapping)| mapping);
        assert_eq!(read("server=worker"), Ok(Mapping::Role("worker".into())));
        assert_eq!(read("router="), Ok(Mapping::NoRole));
        assert_eq!(read("pdu=-"), Ok(Mapping::LeaveOut));
        assert!(read("server").is_err() && read("=worker").is_err());
    }
}
