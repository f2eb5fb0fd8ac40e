//! What `muster disruption show` tells; `muster pause` and `muster resume`.

mod held;
pub(super) mod pause;

use kube::ResourceExt as _;
use muster_api::{Disruption, DisruptionBudget};

use super::objects::{Shown, row};
use crate::output;

impl Shown for Disruption {
    fn described(&self) -> String {
        output::columns(described(self).into_iter())
    }
}

impl Shown for DisruptionBudget {
    fn described(&self) -> String {
        let status = self.status.clone().unwrap_or_default();
        let rows = vec![
            row("Name", self.name_any()),
            row("Allows", status.allows),
            row("In use", status.in_use),
            row("Waiting", status.waiting),
        ];
        output::columns(rows.into_iter())
    }
}

fn described(asked: &Disruption) -> Vec<Vec<String>> {
    let (spec, status) = (&asked.spec, asked.status.clone().unwrap_or_default());
    let mut rows = vec![
        row("Name", asked.name_any()),
        row("Machine", spec.machine.clone()),
        row("Purpose", format!("{:?}", spec.purpose).to_lowercase()),
        row("Phase", format!("{:?}", status.phase)),
    ];
    let counted = status.counted.as_ref().map(|place| {
        let parts = [("site", &place.site), ("rack", &place.rack), ("role", &place.role)];
        let told = parts.iter().filter(|(_, name)| !name.is_empty());
        told.map(|(what, name)| format!("{what} {name}")).collect::<Vec<_>>().join(", ")
    });
    let texts = [
        ("Run", Some(spec.run.clone())),
        ("Act", spec.act.map(|act| act.as_str().to_owned())),
        ("Reason", Some(status.reason)),
        ("Waits for", Some(status.blocked_by)),
        ("Counts in", counted),
    ];
    let told = texts.into_iter().filter_map(|(name, text)| text.map(|text| (name, text)));
    rows.extend(told.filter(|(_, text)| !text.is_empty()).map(|(name, text)| row(name, text)));
    let times = [
        ("Look again at", status.look_again_at),
        ("Granted at", status.granted_at),
        ("Held since", status.held_since),
        ("Ends at", Some(status.ends_at.unwrap_or(spec.until)).filter(|_| status.ended_at.is_none())),
        ("Ended at", status.ended_at),
    ];
    rows.extend(times.into_iter().filter_map(|(name, at)| at.map(|at| row(name, at))));
    rows
}
