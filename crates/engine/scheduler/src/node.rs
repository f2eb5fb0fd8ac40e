//! A node with what is taken of it.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Taint;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use muster_base::quantity::{Quantity, QuantityError};
use muster_control::matching::Labels;

use crate::pod::{HostPort, Pod};
use crate::resources::Resources;
use crate::view::{NodeSpec, NodeStatus};

/// Whether new pods may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cordon {
    Open,
    Cordoned,
}

/// What a node offers, from its object.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    pub name: Arc<str>,
    pub labels: Labels,
    pub taints: Vec<Taint>,
    pub cordon: Cordon,
    pub allocatable: Resources,
    pub pods_max: usize,
}

impl Offer {
    /// # Errors
    /// An allocatable amount that is no quantity.
    pub fn parse(meta: &ObjectMeta, spec: &NodeSpec, status: &NodeStatus) -> Result<Offer, QuantityError> {
        let pods: Quantity = match status.allocatable.get("pods") {
            Some(text) => text.0.parse()?,
            None => Quantity::default(),
        };
        Ok(Offer {
            name: meta.name.as_deref().unwrap_or_default().into(),
            labels: meta.labels.clone().unwrap_or_default(),
            taints: spec.taints.clone(),
            cordon: if spec.unschedulable { Cordon::Cordoned } else { Cordon::Open },
            allocatable: Resources::parse(&status.allocatable)?,
            pods_max: usize::try_from(pods.units()).unwrap_or(0),
        })
    }
}

/// An offer and the pods on it. Sums are kept up to date, never recomputed.
#[derive(Debug, Clone)]
pub struct Node {
    pub offer: Offer,
    pub used: Resources,
    pub weight: Resources,
    pub pods: HashMap<Arc<str>, Arc<Pod>>,
    pub owners: HashMap<Arc<str>, usize>,
    ports: Vec<HostPort>,
}

impl Node {
    pub fn new(offer: Offer) -> Node {
        Node {
            offer,
            used: Resources::default(),
            weight: Resources::default(),
            pods: HashMap::new(),
            owners: HashMap::new(),
            ports: Vec::new(),
        }
    }

    pub fn add(&mut self, pod: Arc<Pod>) {
        self.remove(&pod.uid);
        self.used.add(&pod.requests);
        self.weight.add(&pod.weight);
        self.ports.extend(pod.ports.iter().cloned());
        if let Some(owner) = &pod.owner {
            *self.owners.entry(Arc::clone(owner)).or_default() += 1;
        }
        self.pods.insert(Arc::clone(&pod.uid), pod);
    }

    pub fn remove(&mut self, uid: &str) {
        let Some(pod) = self.pods.remove(uid) else { return };
        self.used.subtract(&pod.requests);
        self.weight.subtract(&pod.weight);
        for port in &pod.ports {
            if let Some(at) = self.ports.iter().position(|taken| taken == port) {
                self.ports.swap_remove(at);
            }
        }
        if let Some(owner) = &pod.owner
            && let Some(count) = self.owners.get_mut(owner)
        {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(owner);
            }
        }
    }

    pub fn clashes(&self, ports: &[HostPort]) -> bool {
        ports.iter().any(|asked| self.ports.iter().any(|taken| taken.clashes(asked)))
    }
}
