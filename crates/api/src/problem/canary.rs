//! The fault that is made up once an hour in each site, to see that what is filed is answered and clears.

use kube::ResourceExt as _;

use super::{Problem, ProblemSpec};

/// Its class. The component is the site. Nothing is wrong with the machine that bears it.
pub const CANARY: &str = "canary";

/// Whether a Problem is made up.
pub fn is_canary(spec: &ProblemSpec) -> bool {
    spec.class == CANARY
}

/// Name of the Run that answers the present opening of a made-up Problem.
pub fn answer(problem: &Problem) -> String {
    let episode = problem.status.as_ref().map_or(0, |status| status.episode);
    format!("{}-{episode}", problem.name_any())
}
