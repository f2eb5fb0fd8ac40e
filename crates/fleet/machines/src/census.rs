//! Counts machines by phase for the status of Sites, Racks and MachineRoles.

mod tally;

use kube::Api;
use kube::api::{Patch, PatchParams};
use muster_api::{Machine, MachineRole, Rack, Site};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, is_not_found};
use serde_json::json;

use crate::Context;
use tally::{Count, Group, Tally};

struct Census {
    context: Context,
    machines: Informer<Machine>,
    sites: Informer<Site>,
    racks: Informer<Rack>,
    roles: Informer<MachineRole>,
    tally: Tally,
}

/// A group and the name of its object.
fn key(group: Group, name: &str) -> ObjectKey {
    ObjectKey::namespaced(group.as_str(), name)
}

pub(crate) fn start(context: &Context) {
    let census = Census {
        context: context.clone(),
        machines: context.informers.of(),
        sites: context.informers.of(),
        racks: context.informers.of(),
        roles: context.informers.of(),
        tally: Tally::default(),
    };
    let queue = Queue::new();
    let (to, tally) = (queue.clone(), census.tally.clone());
    census.machines.on_change(move |change| {
        for (group, name) in tally.change(change.old.as_deref(), change.new.as_deref()) {
            to.add(key(group, &name), Cause::Watch);
        }
    });
    let to = queue.clone();
    census.sites.on_change(move |change| to.add(key(Group::Site, &change.key.name), Cause::Watch));
    let to = queue.clone();
    census.racks.on_change(move |change| to.add(key(Group::Rack, &change.key.name), Cause::Watch));
    let to = queue.clone();
    census.roles.on_change(move |change| to.add(key(Group::Role, &change.key.name), Cause::Watch));
    Driver::new("census", context.metrics.clone()).start(&context.tasks, &queue, census);
}

impl Census {
    /// Replaces the counts: a merge patch alone would keep phases no machine is in any more.
    async fn write<K>(&self, name: &str, count: &Count) -> Result<Outcome, kube::Error>
    where
        K: kube::Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let mut phases = json!(count.phases);
        if let Some(phases) = phases.as_object_mut() {
            for phase in muster_api::machine::Phase::ALL {
                phases.entry(phase.as_str()).or_insert(serde_json::Value::Null);
            }
        }
        let counts = Patch::Merge(json!({ "status": { "machines": count.machines, "phases": phases } }));
        let api: Api<K> = Api::all(self.context.client.clone());
        match api.patch_status(name, &PatchParams::default(), &counts).await {
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
        let Some(group) = Group::called(&key.namespace) else { return Ok(Outcome::IDLE) };
        let (name, object) = (&key.name, ObjectKey::cluster(&key.name));
        let count = self.tally.of(group, name);
        let written = match group {
            Group::Site => self.sites.get(&object).map(|site| site.status.as_ref().map(Count::from)),
            Group::Rack => self.racks.get(&object).map(|rack| rack.status.as_ref().map(Count::from)),
            Group::Role => self.roles.get(&object).map(|role| role.status.as_ref().map(Count::from)),
        };
        match written {
            None => Ok(Outcome::IDLE),
            Some(Some(written)) if written == count => Ok(Outcome::IDLE),
            Some(_) => match group {
                Group::Site => self.write::<Site>(name, &count).await,
                Group::Rack => self.write::<Rack>(name, &count).await,
                Group::Role => self.write::<MachineRole>(name, &count).await,
            },
        }
    }
}
