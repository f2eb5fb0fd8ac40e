//! A Deployment moves its pods from one template to the next through ReplicaSets.
pub(crate) mod pass;
pub mod plan;
pub mod revision;
pub mod scale;
pub mod status;

use crate::apps::amount::{self, Rounding};
use crate::view::{Deployment, ReplicaSet};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// How one template replaces another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    Recreate,
    Rolling { surge: i32, unavailable: i32 },
}

impl Deployment {
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1).max(0)
    }

    pub fn strategy(&self) -> Strategy {
        if self.spec.strategy.r#type.as_deref() == Some("Recreate") {
            return Strategy::Recreate;
        }
        let quarter = IntOrString::String("25%".into());
        let rolling = self.spec.strategy.rolling_update.as_ref();
        let surge = rolling.and_then(|r| r.max_surge.as_ref()).unwrap_or(&quarter);
        let unavailable = rolling.and_then(|r| r.max_unavailable.as_ref()).unwrap_or(&quarter);
        let surge = amount::of(surge, self.replicas(), Rounding::Up);
        let unavailable = amount::of(unavailable, self.replicas(), Rounding::Down);
        // With neither, no step could ever be taken (small percentages round down to this).
        let unavailable = if surge == 0 && unavailable == 0 { 1 } else { unavailable };
        Strategy::Rolling { surge, unavailable: unavailable.min(self.replicas()) }
    }

    pub fn surge(&self) -> i32 {
        match self.strategy() {
            Strategy::Recreate => 0,
            Strategy::Rolling { surge, .. } => surge,
        }
    }

    pub fn unavailable_max(&self) -> i32 {
        match self.strategy() {
            Strategy::Recreate => 0,
            Strategy::Rolling { unavailable, .. } => unavailable,
        }
    }

    /// The deadline in seconds, `None` when the user asked for none (the largest value means that).
    pub fn progress_deadline_seconds(&self) -> Option<i32> {
        self.spec.progress_deadline_seconds.filter(|seconds| *seconds != i32::MAX)
    }
}

impl ReplicaSet {
    pub fn replicas(&self) -> i32 {
        self.spec.replicas.unwrap_or(1).max(0)
    }
}
