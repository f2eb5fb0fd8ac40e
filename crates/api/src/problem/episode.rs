//! Which opening of which life of a problem.

use std::fmt;

use jiff::Timestamp;
use kube::ResourceExt as _;

use super::Problem;
use crate::workflow::{Run, RunSpec};

/// One opening of a Problem. One that is removed and filed anew counts its openings from one again: its runs of before
/// are of another opening. Ordered by time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpisodeKey {
    /// When the Problem was filed, by the API's clock.
    pub filed: Option<Timestamp>,
    /// Counts its openings since.
    pub number: i64,
}

impl EpisodeKey {
    /// The last opening of `problem`.
    pub fn of(problem: &Problem) -> Self {
        Self {
            filed: problem.creation_timestamp().map(|time| time.0),
            number: problem.status.as_ref().map_or(0, |status| status.episode),
        }
    }

    /// The opening that `run` is for.
    pub fn of_run(run: &Run) -> Self {
        Self { filed: run.spec.problem_filed_at, number: run.spec.episode.unwrap_or_default() }
    }

    /// Whether `problem` is in this opening; whoever does not say when it was filed means the one that is there.
    pub fn is_of(self, problem: &Problem) -> bool {
        let now = Self::of(problem);
        now.number == self.number && self.filed.is_none_or(|filed| now.filed == Some(filed))
    }
}

/// As a part of keys under which others are told of it.
impl fmt::Display for EpisodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(filed) = self.filed {
            write!(f, "{filed}/")?;
        }
        write!(f, "{}", self.number)
    }
}

impl RunSpec {
    /// Of a run for the last opening of `problem`.
    #[must_use]
    pub fn answering(problem: &Problem) -> Self {
        let episode = EpisodeKey::of(problem);
        Self {
            problem: problem.name_any(),
            problem_filed_at: episode.filed,
            episode: Some(episode.number),
            ..Self::default()
        }
    }
}
