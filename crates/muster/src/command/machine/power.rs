//! `muster machine power`: shows what the controller told, or asks for a Run and waits for its end.

use std::time::Duration;

use futures::TryStreamExt as _;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use muster_api::machine::Phase;
use muster_api::workflow::{RunPhase, RunSpec};
use muster_api::{BmcReading, MACHINE_LABEL, Machine, Run};
use muster_workflow::builtin::power;

use crate::cli::Format;
use crate::cli::bmc::{PowerArgs, PowerVerb};
use crate::client::connect;
use crate::command::clock;
use crate::failure::Failure;
use crate::output;

const READINGS: &str = "/apis/muster.dev/v1alpha1/bmcreadings";
/// A grant may be waited for that long; the Run goes on whether or not somebody watches.
const WATCHED: Duration = Duration::from_secs(2 * 3600);

pub(crate) async fn run(args: PowerArgs) -> Result<(), Failure> {
    let client = connect(&args.client).await?;
    let workflow = match args.verb {
        PowerVerb::Status => return status(client, &args.name, args.output).await,
        PowerVerb::On => power::ON,
        PowerVerb::Off => power::OFF,
        PowerVerb::Cycle => power::CYCLE,
        PowerVerb::Reset => power::RESET,
    };
    let machine = machine(&client, &args.name).await?;
    let phase = machine.status.as_ref().map(|status| status.phase).unwrap_or_default();
    let workflow = if may_serve_again(phase) { workflow.to_owned() } else { power::idle(workflow) };
    let name = format!("{workflow}-{}-{}", args.name, clock().now().as_second());
    let spec = RunSpec { workflow, machine: args.name.clone(), ..RunSpec::default() };
    let mut wanted = Run::new(&name, spec);
    wanted.labels_mut().insert(MACHINE_LABEL.to_owned(), args.name.clone());
    let runs: Api<Run> = Api::all(client);
    runs.create(&PostParams::default(), &wanted)
        .await
        .map_err(|error| Failure::api(format!("run {name}"), &error))?;
    output::text(&format!("run {name} is asked for; `muster run show {name}` tells how far it is\n"))?;
    if args.no_wait { Ok(()) } else { watch(runs, &name).await }
}

/// Whether a grant takes the machine out of service, or returns it.
fn may_serve_again(phase: Phase) -> bool {
    match phase {
        Phase::Healthy | Phase::Disrupted | Phase::Failed | Phase::Probation => true,
        Phase::Registered | Phase::Inspecting | Phase::Provisioning | Phase::Quarantined | Phase::Retired => {
            false
        }
    }
}

async fn machine(client: &Client, name: &str) -> Result<Machine, Failure> {
    let machine = Api::<Machine>::all(client.clone())
        .get(name)
        .await
        .map_err(|error| Failure::api(format!("machine {name}"), &error))?;
    if machine.spec.bmc.is_none() {
        return Err(Failure::Refused(format!(
            "machine {name} has no management controller: set spec.bmc.address and spec.bmc.secretRef"
        )));
    }
    Ok(machine)
}

/// Prints each step of the way until the run has ended.
async fn watch(runs: Api<Run>, name: &str) -> Result<(), Failure> {
    let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
    let mut changes = std::pin::pin!(watcher(runs, config).default_backoff().applied_objects());
    let mut told = String::new();
    let follow = async {
        loop {
            let run = match changes.try_next().await {
                Ok(Some(run)) => run,
                Ok(None) => return Err(Failure::Failed(format!("run {name} is gone"))),
                // A machine that boots is silent for minutes, and this client takes silence for a lost answer; the
                // watch begins anew where it was.
                Err(watcher::Error::WatchFailed(_)) => continue,
                Err(error) => return Err(Failure::failed("the run cannot be watched", &error)),
            };
            let status = run.status.unwrap_or_default();
            if status.message != told && !status.message.is_empty() {
                output::text(&format!("{}: {}\n", status.phase.as_str(), status.message))?;
                told.clone_from(&status.message);
            }
            match status.phase {
                RunPhase::Succeeded => return Ok(()),
                phase if phase.is_final() => {
                    return Err(Failure::Failed(format!(
                        "run {name} ended {}: {}",
                        phase.as_str(),
                        status.message
                    )));
                }
                RunPhase::Pending | RunPhase::Running | RunPhase::Paused => {}
                RunPhase::Failed | RunPhase::Ambiguous | RunPhase::Cancelled | RunPhase::Undone => {}
            }
        }
    };
    tokio::time::timeout(WATCHED, follow).await.unwrap_or_else(|_| {
        Err(Failure::Failed(format!(
            "run {name} has not ended yet; `muster run show {name}` tells how far it is"
        )))
    })
}

async fn status(client: Client, name: &str, format: Format) -> Result<(), Failure> {
    let machine = machine(&client, name).await?;
    if format != Format::Table {
        return output::list(
            &client,
            &format!("the reading of {name}"),
            &format!("{READINGS}/{name}"),
            format,
        )
        .await;
    }
    let reading = Api::<BmcReading>::all(client)
        .get_opt(name)
        .await
        .map_err(|error| Failure::api(format!("the reading of {name}"), &error))?;
    let Some(status) = reading.and_then(|reading| reading.status) else {
        return Err(Failure::Failed(format!(
            "the controller of {name} was not read yet; it is read every minute"
        )));
    };
    let row = |name: &str, text: String| vec![format!("{name}:"), text];
    let bmc = machine.spec.bmc.map(|bmc| bmc.address).unwrap_or_default();
    let time = |at: Option<jiff::Timestamp>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let answers = if status.reachable { "yes" } else { "no" };
    let mut rows = vec![
        row("Name", name.to_owned()),
        row("BMC", bmc),
        row("Power", status.power),
        row("Answers", format!("{answers}, since {}", time(status.since))),
        row("Observed", time(status.observed_at)),
    ];
    for (name, text) in [
        ("Message", status.message),
        ("Serial", status.identity.serial),
        ("Model", status.identity.model),
        ("Firmware", status.identity.firmware),
    ] {
        if !text.is_empty() {
            rows.push(row(name, text));
        }
    }
    for sensor in status.sensors {
        let value = sensor.value.map_or_else(|| "-".to_owned(), |value| value.to_string());
        rows.push(row(
            &sensor.name,
            format!("{value} {} {}", sensor.unit, sensor.health).trim_end().to_owned(),
        ));
    }
    output::text(&output::columns(rows.into_iter()))
}
