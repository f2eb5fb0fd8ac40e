//! What pauses hold, and what is under way all the same.

use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use muster_api::disruption::DisruptionPhase;
use muster_api::order::OrderPhase;
use muster_api::{Disruption, Machine, Order, Run};
use std::collections::BTreeMap;

use crate::failure::Failure;
use crate::output;

/// At most so many rows of a kind are shown.
const ROWS_MAX: usize = 20;

/// What is held in a site, or everywhere.
pub(super) struct Held {
    pub(super) grants: Vec<Disruption>,
    waiting: Vec<Disruption>,
    runs: Vec<Run>,
    under_way: Vec<Order>,
}

async fn all<K>(client: &Client) -> Result<Vec<K>, Failure>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let found = Api::<K>::all(client.clone()).list(&ListParams::default()).await;
    found
        .map(|list| list.items)
        .map_err(|error| Failure::api(format!("cannot list {}", K::plural(&())), &error))
}

impl Held {
    pub(super) async fn read(client: &Client, site: Option<&str>) -> Result<Self, Failure> {
        let sites: BTreeMap<String, String> =
            all::<Machine>(client).await?.into_iter().map(|m| (m.name_any(), m.spec.site)).collect();
        let here =
            |machine: &str| site.is_none_or(|site| sites.get(machine).is_none_or(|stands| stands == site));
        let held = |asked: &Disruption, phase| {
            here(&asked.spec.machine)
                && asked.status.as_ref().is_some_and(|s| s.phase == phase && s.held_since.is_some())
        };
        let (grants, rest): (Vec<_>, Vec<_>) = all::<Disruption>(client)
            .await?
            .into_iter()
            .partition(|asked| held(asked, DisruptionPhase::Granted));
        let waiting = rest.into_iter().filter(|asked| held(asked, DisruptionPhase::Waiting)).collect();
        let is_held = |run: &Run| {
            let status = run.status.as_ref();
            let steps = status.iter().flat_map(|status| &status.steps);
            here(&run.spec.machine)
                && !status.is_some_and(|status| status.phase.is_final())
                && steps.into_iter().any(|step| !step.phase.is_final() && step.message.starts_with("held: "))
        };
        let runs = all::<Run>(client).await?.into_iter().filter(is_held).collect();
        let begun = |order: &Order| {
            here(&order.spec.machine)
                && order.spec.verb.is_disruptive()
                && order.status.as_ref().is_some_and(|status| status.phase == OrderPhase::Accepted)
        };
        let under_way = all::<Order>(client).await?.into_iter().filter(begun).collect();
        Ok(Self { grants, waiting, runs, under_way })
    }

    pub(super) fn told(&self) -> String {
        let mut rows = Vec::new();
        let asked = |asked: &Disruption| {
            let reason = asked.status.as_ref().map(|status| status.reason.clone()).unwrap_or_default();
            (asked.spec.machine.clone(), format!("{}: {reason}", asked.name_any()))
        };
        add(&mut rows, "grant", self.grants.iter().map(asked));
        add(&mut rows, "request", self.waiting.iter().map(asked));
        let run = |run: &Run| {
            let message = run.status.as_ref().map(|status| status.message.clone()).unwrap_or_default();
            (run.spec.machine.clone(), format!("{}: {message}", run.name_any()))
        };
        add(&mut rows, "run", self.runs.iter().map(run));
        let order = |order: &Order| {
            let text = format!("{} is under way and is seen to its end", order.spec.verb.as_str());
            (order.spec.machine.clone(), text)
        };
        add(&mut rows, "order", self.under_way.iter().map(order));
        if rows.is_empty() {
            return "nothing was under way, nothing is held\n".to_owned();
        }
        let header = ["HELD", "MACHINE", "DETAIL"].map(str::to_owned).to_vec();
        output::columns(std::iter::once(header).chain(rows))
    }
}

fn add(rows: &mut Vec<Vec<String>>, what: &str, found: impl ExactSizeIterator<Item = (String, String)>) {
    let more = found.len().saturating_sub(ROWS_MAX);
    rows.extend(found.take(ROWS_MAX).map(|(machine, text)| vec![what.to_owned(), machine, text]));
    if 0 < more {
        rows.push(vec![what.to_owned(), "…".to_owned(), format!("and {more} more")]);
    }
}
