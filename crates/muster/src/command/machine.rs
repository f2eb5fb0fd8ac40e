//! `muster machine list|show|import`.

use kube::api::{ListParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::condition::{self, ACCEPTED, Status};
use muster_api::{Machine, MachineRole, Site};
use muster_machines::import::{self, Existing, Import, Known, UnknownSites};
use std::time::Duration;

use crate::cli::{Format, ImportArgs, OutputArgs, ShowArgs};
use crate::client::connect;
use crate::failure::Failure;
use crate::output;

const PATH: &str = "/apis/muster.dev/v1alpha1/machines";

/// How long the machine database may take to answer whether machines stand.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

pub(crate) async fn list(args: OutputArgs) -> Result<(), Failure> {
    output::list(&connect(&args.client).await?, PATH, args.output).await
}

pub(crate) async fn show(args: ShowArgs) -> Result<(), Failure> {
    let client = connect(&args.output.client).await?;
    if args.output.output != Format::Table {
        return output::list(&client, &format!("{PATH}/{}", args.name), args.output.output).await;
    }
    let machine = Api::<Machine>::all(client)
        .get(&args.name)
        .await
        .map_err(|error| Failure::api(format!("machine {}", args.name), &error))?;
    output::text(&output::columns(described(&machine).into_iter()))
}

fn described(machine: &Machine) -> Vec<Vec<String>> {
    let (spec, status) = (&machine.spec, machine.status.clone().unwrap_or_default());
    let row = |name: &str, text: &str| vec![format!("{name}:"), text.to_owned()];
    let mut rows = vec![row("Name", &machine.name_any()), row("Site", &spec.site)];
    for (name, text) in
        [("Rack", &spec.rack), ("Serial", &spec.serial), ("Role", &spec.role), ("Profile", &spec.profile)]
    {
        if !text.is_empty() {
            rows.push(row(name, text));
        }
    }
    if let Some(bmc) = &spec.bmc {
        rows.push(row("BMC", &bmc.address));
    }
    rows.push(row("Phase", status.phase.as_str()));
    let times = [("Since", status.since), ("Deadline", status.deadline)];
    rows.extend(times.into_iter().filter_map(|(name, at)| at.map(|at| row(name, &at.to_string()))));
    for (name, text) in [
        ("Message", &status.message),
        ("Node", &status.node),
        ("Boot ID", &status.boot_id),
        ("Run", &status.run),
    ] {
        if !text.is_empty() {
            rows.push(row(name, text));
        }
    }
    for condition in &status.conditions {
        let text = format!("{:?} ({}): {}", condition.status, condition.reason, condition.message);
        rows.push(row(&condition.r#type, &text));
    }
    rows
}

pub(crate) async fn import(args: ImportArgs) -> Result<(), Failure> {
    let file = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::failed(format!("cannot read {file}"), &error))?;
    let client = connect(&args.client).await?;
    let sites = if args.create_sites { UnknownSites::Create } else { UnknownSites::Refuse };
    let existing = if args.update { Existing::Update } else { Existing::Refuse };
    let known = known(&client).await?;
    let import = import::parse(&text).and_then(|rows| import::plan(&rows, &known, sites, existing)).map_err(
        |faults| {
            let lines: Vec<String> = faults.iter().map(|fault| fault.in_file(&file).to_string()).collect();
            Failure::Refused(format!("nothing was imported\n{}", lines.join("\n")))
        },
    )?;
    write(&client, &import).await?;
    output::text(&format!(
        "{} sites and {} machines created, {} machines updated\n",
        import.sites.len(),
        import.create.len(),
        import.update.len()
    ))?;
    answered(&client, &import).await
}

async fn known(client: &Client) -> Result<Known, Failure> {
    let failure = |error: kube::Error| Failure::api("cannot read what is known already", &error);
    let all = ListParams::default();
    let sites = Api::<Site>::all(client.clone()).list(&all).await.map_err(failure)?;
    let roles = Api::<MachineRole>::all(client.clone()).list(&all).await.map_err(failure)?;
    let machines = Api::<Machine>::all(client.clone()).list(&all).await.map_err(failure)?;
    Ok(Known {
        sites: sites.iter().map(|site| site.name_any()).collect(),
        roles: roles.iter().map(|role| role.name_any()).collect(),
        machines: machines.iter().map(|machine| (machine.name_any(), machine.spec.serial.clone())).collect(),
    })
}

async fn write(client: &Client, import: &Import) -> Result<(), Failure> {
    let params = PostParams::default();
    let sites: Api<Site> = Api::all(client.clone());
    for site in &import.sites {
        let name = site.name_any();
        sites.create(&params, site).await.map_err(|error| Failure::api(format!("site {name}"), &error))?;
    }
    let machines: Api<Machine> = Api::all(client.clone());
    for machine in &import.create {
        let name = machine.name_any();
        machines
            .create(&params, machine)
            .await
            .map_err(|error| Failure::api(format!("machine {name}"), &error))?;
    }
    for machine in &import.update {
        update(&machines, machine).await?;
    }
    Ok(())
}

async fn update(machines: &Api<Machine>, wanted: &Machine) -> Result<(), Failure> {
    let name = wanted.name_any();
    let failure = |error: kube::Error| Failure::api(format!("machine {name}"), &error);
    let mut there = machines.get(&name).await.map_err(failure)?;
    there.spec = wanted.spec.clone();
    there.labels_mut().extend(wanted.labels().clone());
    machines.replace(&name, &PostParams::default(), &there).await.map_err(failure)?;
    Ok(())
}

/// Waits for the machine database to say whether the machines stand as written.
async fn answered(client: &Client, import: &Import) -> Result<(), Failure> {
    let machines: Api<Machine> = Api::all(client.clone());
    let names: Vec<String> =
        import.create.iter().chain(&import.update).map(|machine| machine.name_any()).collect();
    let mut refused = Vec::new();
    let wait = async {
        for name in &names {
            let stands =
                kube::runtime::wait::await_condition(machines.clone(), name, |machine: Option<&Machine>| {
                    machine.is_some_and(|machine| verdict(machine).is_some())
                });
            if let Ok(Some(machine)) = stands.await
                && let Some((Status::False, message)) = verdict(&machine)
            {
                refused.push(format!("machine {name}: {message}"));
            }
        }
    };
    if tokio::time::timeout(ANSWER_WITHIN, wait).await.is_err() {
        return output::text(
            "the machine database has not looked at all of them yet; `muster machine list` shows when\n",
        );
    }
    if refused.is_empty() { Ok(()) } else { Err(Failure::Refused(refused.join("\n"))) }
}

/// The answer to the generation that stands.
fn verdict(machine: &Machine) -> Option<(Status, String)> {
    let conditions = &machine.status.as_ref()?.conditions;
    let verdict = condition::find(conditions, ACCEPTED)?;
    (verdict.observed_generation == machine.metadata.generation)
        .then(|| (verdict.status, verdict.message.clone()))
}
