//! The detectors: each looks at one thing, at its own pace, and says what it sees.

pub(crate) mod boots;
pub(crate) mod clock;
pub(crate) mod disks;
pub(crate) mod memory;
pub(crate) mod mounts;
pub(crate) mod names;
pub(crate) mod nics;
pub(crate) mod objects;
pub(crate) mod runtime;
pub(crate) mod tasks;
#[cfg(test)]
mod tree;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::config::Local;
use crate::rule::{Look, Rule};

/// Looks at files, quickly.
pub(crate) trait Detector: Send {
    /// The rest between two looks.
    fn every(&self) -> Duration;
    /// What it may find.
    fn rules(&self) -> Vec<Arc<Rule>>;
    /// Whether what happens now is planned maintenance, or done by a run; said before each look.
    fn planned(&mut self, _planned: bool) {}
    /// One look.
    fn look(&mut self, now: Timestamp) -> Look;
}

/// Those that look at the machine's own files.
pub(crate) fn local(config: &Local) -> Vec<Box<dyn Detector>> {
    let virtual_devices = config.trust.virtual_devices;
    vec![
        Box::new(mounts::Mounts::new(config.roots.clone(), virtual_devices)),
        Box::new(tasks::Tasks::new(config.roots.clone())),
        Box::new(nics::Nics::new(config.roots.clone(), virtual_devices)),
        Box::new(memory::Memory::new(config.roots.clone())),
        Box::new(boots::Boots::new(config.roots.clone(), config.state_dir.as_deref())),
    ]
}
