//! A DaemonSet keeps one pod on every node that will have it.
pub(crate) mod pass;
pub mod placement;
pub mod plan;

use crate::apps::claim::{Leaving, Owner};
use crate::view::DaemonSet;

pub fn owner(set: &DaemonSet) -> Owner<'_> {
    Owner {
        api_version: "apps/v1",
        kind: "DaemonSet",
        name: set.name(),
        uid: set.uid(),
        selector: &set.spec.selector,
        leaving: if set.is_leaving() { Leaving::Yes } else { Leaving::No },
    }
}
