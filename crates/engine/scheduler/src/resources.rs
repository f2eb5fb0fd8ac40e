//! Amounts of what a node offers and a pod asks for.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use muster_base::quantity::{Quantity, QuantityError};

/// A set of amounts. The three that almost every pod names are fields; all others are by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    pub cpu_milli: i64,
    pub memory_bytes: i64,
    pub ephemeral_bytes: i64,
    /// Extended resources and huge pages, in whole units.
    pub extended: BTreeMap<String, i64>,
}

pub type Texts = BTreeMap<String, Text>;

impl Resources {
    /// # Errors
    /// The first amount that is no quantity.
    pub fn parse(texts: &Texts) -> Result<Resources, QuantityError> {
        let mut out = Resources::default();
        for (name, text) in texts {
            let quantity: Quantity = text.0.parse()?;
            match name.as_str() {
                "cpu" => out.cpu_milli = clamp(quantity.milli()),
                "memory" => out.memory_bytes = clamp(quantity.units()),
                "ephemeral-storage" => out.ephemeral_bytes = clamp(quantity.units()),
                "pods" => {}
                _ => {
                    out.extended.insert(name.clone(), clamp(quantity.units()));
                }
            }
        }
        Ok(out)
    }

    pub fn add(&mut self, other: &Resources) {
        self.cpu_milli = self.cpu_milli.saturating_add(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.saturating_add(other.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.saturating_add(other.ephemeral_bytes);
        for (name, amount) in &other.extended {
            let sum = self.extended.entry(name.clone()).or_default();
            *sum = sum.saturating_add(*amount);
        }
    }

    pub fn subtract(&mut self, other: &Resources) {
        self.cpu_milli -= other.cpu_milli;
        self.memory_bytes -= other.memory_bytes;
        self.ephemeral_bytes -= other.ephemeral_bytes;
        for (name, amount) in &other.extended {
            if let Some(sum) = self.extended.get_mut(name) {
                *sum -= amount;
            }
        }
    }

    /// The larger of both, amount by amount.
    pub fn at_least(&mut self, other: &Resources) {
        self.cpu_milli = self.cpu_milli.max(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.max(other.ephemeral_bytes);
        for (name, amount) in &other.extended {
            let most = self.extended.entry(name.clone()).or_default();
            *most = (*most).max(*amount);
        }
    }

    /// What `other` names replaces what stands here (pod-level requests over the sum of the containers').
    pub fn replace_named(&mut self, other: &Resources, names: &Texts) {
        for name in names.keys() {
            match name.as_str() {
                "cpu" => self.cpu_milli = other.cpu_milli,
                "memory" => self.memory_bytes = other.memory_bytes,
                "ephemeral-storage" => self.ephemeral_bytes = other.ephemeral_bytes,
                _ => {
                    self.extended.insert(name.clone(), other.extended.get(name).copied().unwrap_or(0));
                }
            }
        }
    }

    /// The names of what does not fit when `used` of these amounts is taken and `asked` comes on top.
    pub fn lacking<'a>(&self, used: &Resources, asked: &'a Resources) -> Vec<&'a str> {
        let short = |have: i64, used: i64, asked: i64| asked > 0 && used.saturating_add(asked) > have;
        let mut names = Vec::new();
        if short(self.cpu_milli, used.cpu_milli, asked.cpu_milli) {
            names.push("cpu");
        }
        if short(self.memory_bytes, used.memory_bytes, asked.memory_bytes) {
            names.push("memory");
        }
        if short(self.ephemeral_bytes, used.ephemeral_bytes, asked.ephemeral_bytes) {
            names.push("ephemeral-storage");
        }
        for (name, &amount) in &asked.extended {
            let of = |r: &Resources| r.extended.get(name).copied().unwrap_or(0);
            if short(of(self), of(used), amount) {
                names.push(name);
            }
        }
        names
    }
}

fn clamp(amount: i128) -> i64 {
    i64::try_from(amount).unwrap_or(if amount > 0 { i64::MAX } else { 0 })
}
