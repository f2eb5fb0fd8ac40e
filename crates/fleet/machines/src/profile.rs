//! Counts, for each HardwareProfile, the machines that match it and those that differ.

mod tally;

use kube::Api;
use kube::api::{Patch, PatchParams};
use muster_api::{HardwareProfile, Machine};
use muster_control::{Cause, Driver, Informer, ObjectKey, Outcome, Pass, Queue, is_not_found};
use serde_json::json;

use crate::Context;
use tally::Tally;

struct Profiles {
    context: Context,
    machines: Informer<Machine>,
    profiles: Informer<HardwareProfile>,
    tally: Tally,
}

pub(crate) fn start(context: &Context) {
    let profiles = Profiles {
        context: context.clone(),
        machines: context.informers.of(),
        profiles: context.informers.of(),
        tally: Tally::default(),
    };
    let queue = Queue::new();
    let (to, tally) = (queue.clone(), profiles.tally.clone());
    profiles.machines.on_change(move |change| {
        for name in tally.change(change.old.as_deref(), change.new.as_deref()) {
            to.add(ObjectKey::cluster(name), Cause::Watch);
        }
    });
    let to = queue.clone();
    profiles.profiles.on_change(move |change| to.add(change.key.clone(), Cause::Watch));
    Driver::new("profiles", context.metrics.clone()).start(&context.tasks, &queue, profiles);
}

impl Pass for Profiles {
    type Key = ObjectKey;
    type Error = kube::Error;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, kube::Error> {
        self.machines.ready().await;
        let Some(profile) = self.profiles.get(key) else { return Ok(Outcome::IDLE) };
        let counted = self.tally.of(&key.name);
        if profile.status.as_ref() == Some(&counted) {
            return Ok(Outcome::IDLE);
        }
        let api: Api<HardwareProfile> = Api::all(self.context.client.clone());
        let body = Patch::Merge(json!({ "status": counted }));
        match api.patch_status(&key.name, &PatchParams::default(), &body).await {
            Err(error) if is_not_found(&error) => Ok(Outcome::IDLE),
            Err(error) => Err(error),
            Ok(_) => Ok(Outcome::ACTED),
        }
    }
}
