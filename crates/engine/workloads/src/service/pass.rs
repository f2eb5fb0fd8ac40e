//! Carries out the plan of one Service.

use std::sync::Arc;

use muster_control::matching::{self, Labels};
use muster_control::rest::{PatchKind, Removal};
use muster_control::{Cause, Change, Informer, ObjectKey, Outcome, Pass, Queue};

use crate::expectations::Expectations;
use crate::index::Index;
use crate::kit::{Kit, SLICES, WriteError};
use crate::service::plan::{self, Act, MANAGED_BY, MANAGER, SERVICE_NAME, Zones};
use crate::view::{EndpointSlice, Node, Pod, Service};

pub(crate) struct Services {
    kit: Kit,
    services: Informer<Service>,
    nodes: Informer<Node>,
    pods_in: Index<Pod>,
    slices_of: Index<EndpointSlice>,
    expectations: Arc<Expectations>,
}

fn slice_of(slice: &EndpointSlice) -> Option<String> {
    let labels = slice.metadata.labels.as_ref()?;
    let ours = labels.get(MANAGED_BY).map(String::as_str) == Some(MANAGER);
    let service = labels.get(SERVICE_NAME).filter(|_| ours)?;
    Some(format!("{}/{service}", slice.metadata.namespace.as_deref()?))
}

fn namespace_of(pod: &Pod) -> Option<String> {
    Some(pod.namespace().to_owned())
}

impl Services {
    pub(crate) fn new(
        kit: Kit,
        services: &Informer<Service>,
        pods: &Informer<Pod>,
        nodes: &Informer<Node>,
        slices: &Informer<EndpointSlice>,
        queue: &Queue<ObjectKey>,
    ) -> Services {
        let expectations: Arc<Expectations> = Arc::default();
        let services_in = Arc::new(Index::over(services, |s: &Service| Some(s.namespace().to_owned())));
        let this = Services {
            kit,
            services: services.clone(),
            nodes: nodes.clone(),
            pods_in: Index::over(pods, namespace_of),
            slices_of: Index::over(slices, slice_of),
            expectations: Arc::clone(&expectations),
        };
        let added = queue.clone();
        services.on_change(move |change| added.add(change.key.clone(), Cause::Watch));
        let added = queue.clone();
        pods.on_change(move |change| pod_seen(change, &services_in, &added));
        let added = queue.clone();
        slices.on_change(move |change| slice_seen(change, &added, &expectations));
        this
    }

    async fn act(&self, service: &Service, act: &Act) -> Result<(), WriteError> {
        let namespace = service.namespace();
        match act {
            Act::Create(body) => {
                self.expectations.creation(service.uid(), self.kit.clock.now());
                let result = self.kit.create(SLICES, namespace, body).await;
                match result {
                    Ok(_) => Ok(()),
                    Err(error) => {
                        self.expectations.created(service.uid());
                        if error.is_namespace_ending() { Ok(()) } else { Err(error) }
                    }
                }
            }
            Act::Update { name, patch } => {
                self.kit.patch(SLICES, namespace, name, PatchKind::Merge, patch).await.map(|_| ())
            }
            Act::Delete { name, uid } => {
                let removal = Removal { uid: Some(uid), ..Removal::default() };
                self.kit.delete(SLICES, namespace, name, &removal).await
            }
        }
    }

    fn zones(&self, pods: &[&Pod]) -> Zones {
        let zone_of = |node: &str| {
            let node = self.nodes.get(&ObjectKey::cluster(node))?;
            Some((node.name().to_owned(), node.zone()?.to_owned()))
        };
        pods.iter().filter_map(|pod| pod.node()).filter_map(zone_of).collect()
    }
}

impl Pass for Services {
    type Key = ObjectKey;
    type Error = WriteError;

    async fn pass(&self, key: &ObjectKey) -> Result<Outcome, WriteError> {
        let Some(service) = self.services.get(key) else { return Ok(Outcome::IDLE) };
        let now = self.kit.clock.now();
        if let Some(wait) = self.expectations.wait(service.uid(), now) {
            return Ok(Outcome::IDLE.again_after(wait));
        }
        let pods = self.pods_in.get(service.namespace());
        let pods: Vec<&Pod> = pods.iter().map(|pod| &**pod).filter(|pod| is_behind(&service, pod)).collect();
        let slices = self.slices_of.get(&key.to_string());
        let slices: Vec<&EndpointSlice> = slices.iter().map(|slice| &**slice).collect();
        let acts = plan::plan(&service, &pods, &self.zones(&pods), &slices);
        for act in &acts {
            self.act(&service, act).await?;
        }
        Ok(if acts.is_empty() { Outcome::IDLE } else { Outcome::ACTED })
    }
}

fn is_behind(service: &Service, pod: &Pod) -> bool {
    let none = Labels::new();
    let labels = pod.metadata.labels.as_ref().unwrap_or(&none);
    !service.spec.selector.is_empty() && matching::has_all(&service.spec.selector, labels)
}

/// A pod concerns the services that select it, before or after the change.
fn pod_seen(change: &Change<Pod>, services_in: &Index<Service>, queue: &Queue<ObjectKey>) {
    for service in services_in.get(&change.key.namespace) {
        if change.old.iter().chain(&change.new).any(|pod| is_behind(&service, pod)) {
            queue.add(ObjectKey::of(&*service), Cause::Watch);
        }
    }
}

fn slice_seen(change: &Change<EndpointSlice>, queue: &Queue<ObjectKey>, expectations: &Expectations) {
    if change.old.is_none()
        && let Some(new) = &change.new
        && let Some(owners) = &new.metadata.owner_references
    {
        owners.iter().for_each(|owner| expectations.created(&owner.uid));
    }
    for slice in change.old.iter().chain(&change.new) {
        let key = slice_of(slice);
        if let Some((namespace, name)) = key.as_deref().and_then(|key| key.split_once('/')) {
            queue.add(ObjectKey::namespaced(namespace, name), Cause::Watch);
        }
    }
}
