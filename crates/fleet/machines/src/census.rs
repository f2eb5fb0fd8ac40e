//! Counts machines by phase for the status of Sites and MachineRoles.

use std::collections::BTreeMap;

use kube::Api;
use kube::api::{Patch, PatchParams};
use muster_api::role::MachineRoleStatus;
use muster_api::site::SiteStatus;
use muster_api::{Machine, MachineRole, Site};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, is_not_found};
use serde_json::json;

use crate::Context;

/// What a count is about: `site/NAME` or `role/NAME`, as an [`ObjectKey`].
const SITE: &str = "site";
const ROLE: &str = "role";

struct Census {
    context: Context,
    machines: Informer<Machine>,
    sites: Informer<Site>,
    roles: Informer<MachineRole>,
}

pub(crate) fn start(context: &Context) {
    let census = Census {
        context: context.clone(),
        machines: context.informers.of(),
        sites: context.informers.of(),
        roles: context.informers.of(),
    };
    let queue = Queue::new();
    let to = queue.clone();
    census.machines.on_change(move |change| {
        for machine in [&change.old, &change.new].into_iter().flatten() {
            to.add(ObjectKey::namespaced(SITE, &machine.spec.site), Cause::Watch);
            to.add(ObjectKey::namespaced(ROLE, &machine.spec.role), Cause::Watch);
        }
    });
    let to = queue.clone();
    census.sites.on_change(move |change| to.add(ObjectKey::namespaced(SITE, &change.key.name), Cause::Watch));
    let to = queue.clone();
    census.roles.on_change(move |change| to.add(ObjectKey::namespaced(ROLE, &change.key.name), Cause::Watch));
    Driver::new("census", context.metrics.clone()).start(&context.tasks, &queue, census);
}

fn count(machines: &[std::sync::Arc<Machine>]) -> (u32, BTreeMap<String, u32>) {
    let mut phases = BTreeMap::new();
    for machine in machines {
        let phase = machine.status.as_ref().map(|status| status.phase).unwrap_or_default();
        *phases.entry(phase.as_str().to_owned()).or_insert(0) += 1;
    }
    (u32::try_from(machines.len()).unwrap_or(u32::MAX), phases)
}

impl Census {
    async fn site(&self, name: &str) -> Result<Outcome, kube::Error> {
        let Some(site) = self.sites.get(&ObjectKey::cluster(name)) else { return Ok(Outcome::IDLE) };
        let (machines, phases) = count(&self.machines.filtered(|machine| machine.spec.site == name));
        let status = SiteStatus { machines, phases };
        if site.status.as_ref() == Some(&status) {
            return Ok(Outcome::IDLE);
        }
        self.write(&Api::<Site>::all(self.context.client.clone()), name, json!({ "status": status })).await
    }

    async fn role(&self, name: &str) -> Result<Outcome, kube::Error> {
        let Some(role) = self.roles.get(&ObjectKey::cluster(name)) else { return Ok(Outcome::IDLE) };
        let (machines, phases) = count(&self.machines.filtered(|machine| machine.spec.role == name));
        let status = MachineRoleStatus { machines, phases };
        if role.status.as_ref() == Some(&status) {
            return Ok(Outcome::IDLE);
        }
        self.write(&Api::<MachineRole>::all(self.context.client.clone()), name, json!({ "status": status }))
            .await
    }

    /// Replaces the counts: a merge patch alone would keep phases no machine is in any more.
    async fn write<K>(
        &self,
        api: &Api<K>,
        name: &str,
        counts: serde_json::Value,
    ) -> Result<Outcome, kube::Error>
    where
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
    {
        let mut counts = counts;
        if let Some(phases) = counts.pointer_mut("/status/phases").and_then(serde_json::Value::as_object_mut)
        {
            for phase in muster_api::machine::Phase::ALL {
                phases.entry(phase.as_str()).or_insert(serde_json::Value::Null);
            }
        }
        match api.patch_status(name, &PatchParams::default(), &Patch::Merge(counts)).await {
            Err(error) if is_not_found(&error) => Ok(Outcome::IDLE),
            Err(error) => Err(error),
            Ok(_) => Ok(Outcome::ACTED),
        }
    }
}

impl Pass for Census {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.machines.ready().await;
        if key.namespace == SITE { self.site(&key.name).await } else { self.role(&key.name).await }
    }
}
