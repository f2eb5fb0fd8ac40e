//! `muster pause` and `muster resume`: the big red button, and `handsOff` of one machine.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use muster_api::machine::HandsOff;
use muster_api::pause::{self, PauseSpec};
use muster_api::{Disruption, Machine, Pause, Site};
use muster_control::{is_conflict, is_not_found};
use serde_json::json;

use super::held::Held;
use crate::cli::{PauseArgs, PlaceArgs, ResumeArgs};
use crate::client::connect;
use crate::command::clock;
use crate::failure::Failure;
use crate::output;

/// How long the ledger may take to say that it heeds a pause, or that it has looked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Who types, unless told otherwise.
fn user(given: Option<String>) -> String {
    let this = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten().map(|user| user.name);
    given.or_else(this).unwrap_or_else(|| "somebody".to_owned())
}

fn place(place: &PlaceArgs) -> String {
    place.site.as_ref().map_or_else(|| "everywhere".to_owned(), |site| format!("in site {site}"))
}

pub(crate) async fn pause(args: PauseArgs) -> Result<(), Failure> {
    let client = connect(&args.client).await?;
    let by = user(args.by.clone());
    if let Some(machine) = &args.place.machine {
        return hands_off(&client, machine, &args, by).await;
    }
    if let Some(site) = &args.place.site {
        known_site(&client, site).await?;
    }
    let site = args.place.site.as_deref();
    let name = pause::name(site);
    let spec = PauseSpec {
        site: site.map(str::to_owned),
        everywhere: site.is_none(),
        by,
        reason: args.reason.clone().unwrap_or_default(),
    };
    let pauses: Api<Pause> = Api::all(client.clone());
    let place = place(&args.place);
    match pauses.create(&PostParams::default(), &Pause::new(&name, spec)).await {
        Ok(_) => output::text(&format!("paused {place}: nothing disruptive begins any more\n"))?,
        Err(error) if is_conflict(&error) => output::text(&format!("was paused {place} already\n"))?,
        Err(error) => return Err(Failure::api(format!("cannot pause {place}"), &error)),
    }
    let heeded = |pause: Option<&Pause>| {
        pause.and_then(|pause| pause.status.as_ref()).is_some_and(|status| status.heeded_at.is_some())
    };
    let answer = kube::runtime::wait::await_condition(pauses, &name, heeded);
    if !matches!(tokio::time::timeout(ANSWER_WITHIN, answer).await, Ok(Ok(_))) {
        output::text(
            "the ledger has not answered yet; every actor looks for itself before it begins anything\n",
        )?;
    }
    output::text(&Held::read(&client, site).await?.told())?;
    let which = site.map(|site| format!(" --site {site}")).unwrap_or_default();
    output::text(&format!("to go on: muster resume{which}\n"))
}

async fn known_site(client: &Client, site: &str) -> Result<(), Failure> {
    match Api::<Site>::all(client.clone()).get(site).await {
        Ok(_) => Ok(()),
        Err(error) if is_not_found(&error) => Err(Failure::Refused(format!(
            "--site: there is no Site {site:?}; `kubectl get sites` shows those there are"
        ))),
        Err(error) => Err(Failure::api(format!("site {site}"), &error)),
    }
}

async fn hands_off(client: &Client, machine: &str, args: &PauseArgs, by: String) -> Result<(), Failure> {
    let (Some(length), Some(reason)) = (args.length, &args.reason) else {
        return Err(Failure::Refused("--machine needs an end and a reason: --for and --reason".to_owned()));
    };
    if length.0.is_zero() {
        return Err(Failure::Refused("--for: hands off needs an end in the future".to_owned()));
    }
    let until = clock().now().checked_add(length.0).unwrap_or(Timestamp::MAX);
    let wish = HandsOff { until, by, reason: reason.clone() };
    let patch = Patch::Merge(json!({ "spec": { "handsOff": wish } }));
    let machines: Api<Machine> = Api::all(client.clone());
    machines
        .patch(machine, &PatchParams::default(), &patch)
        .await
        .map_err(|error| Failure::api(format!("machine {machine}"), &error))?;
    output::text(&format!("every actor keeps its hands off {machine} until {until}\n"))
}

pub(crate) async fn resume(args: ResumeArgs) -> Result<(), Failure> {
    let client = connect(&args.client).await?;
    if let Some(machine) = &args.place.machine {
        return hands_on(&client, machine).await;
    }
    let place = place(&args.place);
    let name = pause::name(args.place.site.as_deref());
    match Api::<Pause>::all(client.clone()).delete(&name, &DeleteParams::default()).await {
        Ok(_) => output::text(&format!("resumed {place}\n"))?,
        Err(error) if is_not_found(&error) => {
            return Err(Failure::Refused(format!("nothing is paused {place}: there is no Pause {name}")));
        }
        Err(error) => return Err(Failure::api(format!("cannot resume {place}"), &error)),
    }
    looked_again(&client, args.place.site.as_deref()).await
}

async fn hands_on(client: &Client, machine: &str) -> Result<(), Failure> {
    let machines: Api<Machine> = Api::all(client.clone());
    let found =
        machines.get(machine).await.map_err(|error| Failure::api(format!("machine {machine}"), &error))?;
    if found.spec.hands_off.is_none() {
        return Err(Failure::Refused(format!(
            "machine {machine} is not kept from anybody: it has no handsOff"
        )));
    }
    let patch = Patch::Merge(json!({ "spec": { "handsOff": null } }));
    machines
        .patch(machine, &PatchParams::default(), &patch)
        .await
        .map_err(|error| Failure::api(format!("machine {machine}"), &error))?;
    output::text(&format!("{machine} may be worked on again\n"))
}

/// Waits until the ledger has looked again at every grant that was held.
async fn looked_again(client: &Client, site: Option<&str>) -> Result<(), Failure> {
    let held = Held::read(client, site).await?;
    let names: Vec<String> = held.grants.iter().map(|grant| grant.name_any()).collect();
    let grants: Api<Disruption> = Api::all(client.clone());
    let all = async {
        for name in &names {
            let free = |grant: Option<&Disruption>| {
                grant.and_then(|grant| grant.status.as_ref()).is_none_or(|status| status.held_since.is_none())
            };
            if let Err(error) = kube::runtime::wait::await_condition(grants.clone(), name, free).await {
                tracing::debug!(%error, name, "a grant could not be watched");
            }
        }
    };
    if tokio::time::timeout(ANSWER_WITHIN, all).await.is_err() {
        return output::text(
            "the ledger has not looked at every grant again; `muster disruption list -o wide` shows which\n",
        );
    }
    output::text(&format!("{} grants were held and looked at again\n", names.len()))
}
