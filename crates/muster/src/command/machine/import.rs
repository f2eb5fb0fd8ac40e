//! `muster machine import`.

mod write;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::time::Duration;

use futures::TryStreamExt as _;
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, Resource, ResourceExt as _};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::{HardwareProfile, Machine, MachineRole, Rack, Site};
use muster_machines::import::{
    self, Bearer, Existing, Import, Known, Sheet, UnknownSites, csv, manifests, netbox,
};
use serde::de::DeserializeOwned;

use crate::cli::intake::{ImportArgs, ImportFormat};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;
use crate::progress::Progress;

/// How long nothing may be heard of the machine database before the rest of its answers is no longer waited for.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Objects read with one request.
const PAGE: u32 = 500;

pub(crate) async fn import(args: ImportArgs) -> Result<(), Failure> {
    let file = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::Refused(format!("cannot read {file}: {error}; nothing was imported")))?;
    let sheet = read(&args, &text);
    let client = connect(&args.client).await?;
    let sites = if args.create_sites { UnknownSites::Create } else { UnknownSites::Refuse };
    let existing = if args.update { Existing::Update } else { Existing::Refuse };
    let known = known(&client).await?;
    let mut import = import::plan(sheet, &known, sites, existing).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(|fault| fault.in_file(&file).to_string()).collect();
        Failure::Refused(format!("nothing was imported\n{}", lines.join("\n")))
    })?;
    if let Some(reason) = &args.reason {
        give_reason(&mut import, reason);
    }
    write::write(&client, &import).await?;
    output::text(&format!(
        "{} sites, {} racks and {} machines created, {} machines updated\n",
        import.sites.len(),
        import.racks.len(),
        import.create.len(),
        import.update.len()
    ))?;
    answered(&client, &import).await
}

/// The history keeps it with each change.
fn give_reason(import: &mut Import, reason: &str) {
    for machine in import.create.iter_mut().chain(&mut import.update) {
        machine.annotations_mut().insert(muster_api::REASON.to_owned(), reason.to_owned());
    }
}

fn read(args: &ImportArgs, text: &str) -> Sheet {
    let by_name = || match args.file.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => ImportFormat::Yaml,
        Some("json") if text.contains("\"apiVersion\"") => ImportFormat::Yaml,
        Some("json") => ImportFormat::Netbox,
        Some(_) | None => ImportFormat::Csv,
    };
    match args.format.unwrap_or_else(by_name) {
        ImportFormat::Csv => csv::read(text),
        ImportFormat::Yaml => manifests::read(text),
        ImportFormat::Netbox => netbox::read(text, &args.netbox()),
    }
}

/// Every object of a kind, page by page, as `keep` leaves it.
async fn each<K, T>(client: &Client, mut keep: impl FnMut(K) -> T) -> Result<Vec<T>, Failure>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let mut kept = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api
            .list(&params)
            .await
            .map_err(|error| Failure::api(format!("cannot read the {}", K::plural(&())), &error))?;
        let next = page.metadata.continue_.clone().filter(|token| !token.is_empty());
        kept.extend(page.items.into_iter().map(&mut keep));
        match next {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(kept),
        }
    }
}

async fn known(client: &Client) -> Result<Known, Failure> {
    Ok(Known {
        sites: each(client, |site: Site| site.name_any()).await?.into_iter().collect(),
        racks: each(client, |rack: Rack| (rack.name_any(), rack.spec.site)).await?.into_iter().collect(),
        roles: each(client, |role: MachineRole| role.name_any()).await?.into_iter().collect(),
        profiles: each(client, |profile: HardwareProfile| profile.name_any()).await?.into_iter().collect(),
        machines: each(client, |machine: Machine| (machine.name_any(), Bearer::of(&machine)))
            .await?
            .into_iter()
            .collect(),
    })
}

/// Waits for the machine database to say whether the machines stand as written: one watch for all of them.
async fn answered(client: &Client, import: &Import) -> Result<(), Failure> {
    let mut open: HashSet<String> =
        import.create.iter().chain(&import.update).map(|machine| machine.name_any()).collect();
    let mut refused: HashMap<String, String> = HashMap::new();
    let mut progress = Progress::new("machines answered", open.len());
    let machines: Api<Machine> = Api::all(client.clone());
    let config = watcher::Config::default().page_size(PAGE);
    let mut seen = std::pin::pin!(watcher(machines, config).default_backoff().applied_objects());
    while !open.is_empty() {
        let Ok(next) = tokio::time::timeout(ANSWER_WITHIN, news(&mut seen, &mut open)).await else {
            drop(progress);
            output::text(&format!(
                "the machine database has not looked at {} of them yet; `muster machine list` shows when\n",
                open.len()
            ))?;
            break;
        };
        let Some((name, status, message)) = next? else { break };
        progress.advance(1);
        if status == Status::False {
            refused.insert(name, message);
        }
    }
    if refused.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> =
        refused.into_iter().map(|(name, message)| format!("machine {name}: {message}")).collect();
    lines.sort();
    Err(Failure::Refused(lines.join("\n")))
}

/// The next answer to one of the open names.
async fn news(
    seen: &mut (impl futures::Stream<Item = Result<Machine, watcher::Error>> + Unpin),
    open: &mut HashSet<String>,
) -> Result<Option<(String, Status, String)>, Failure> {
    while let Some(machine) =
        seen.try_next().await.map_err(|error| Failure::failed("cannot watch the machines", &error))?
    {
        if let Some((status, message)) = verdict(&machine)
            && open.remove(&machine.name_any())
        {
            return Ok(Some((machine.name_any(), status, message)));
        }
    }
    Ok(None)
}

/// The answer to the generation that stands.
fn verdict(machine: &Machine) -> Option<(Status, String)> {
    let conditions = &machine.status.as_ref()?.conditions;
    let verdict = condition::find(conditions, ACCEPTED)?;
    (verdict.observed_generation == machine.metadata.generation)
        .then(|| (verdict.status, verdict.message.clone()))
}
