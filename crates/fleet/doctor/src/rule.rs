//! When a class of fault opens and clears, and what a look at the machine says of it.

use std::sync::Arc;
use std::time::Duration;

/// Letters of a piece of evidence at most.
const EVIDENCE_LETTERS_MAX: usize = 512;
/// Letters of a component at most.
const COMPONENT_LETTERS_MAX: usize = 63;

/// One look at one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is as it should be.
    Good,
    /// It is not.
    Bad(String),
    /// So many more bad signs than are taken in.
    More(u64),
    /// It could not be looked at.
    Unseen,
}

/// What it takes to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opens {
    /// Bad signs without a good one between them.
    InARow(u32),
    /// Bad signs within a time, for what is told only when it is bad.
    Within {
        /// How many.
        count: u32,
        /// In which time.
        window: Duration,
    },
}

/// When a fault opens and clears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its own name.
    pub name: String,
    /// Class of the fault.
    pub class: String,
    /// Which detector looks.
    pub source: &'static str,
    /// What opens it.
    pub opens: Opens,
    /// Only good signs for so long clear it.
    pub quiet: Duration,
    /// It is tried: counted and told, never filed.
    pub shadow: bool,
}

impl Rule {
    /// A rule of a detector that sees good as well as bad.
    pub fn level(source: &'static str, name: &str, class: &str, in_a_row: u32, quiet_s: u64) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            class: class.to_owned(),
            source,
            opens: Opens::InARow(in_a_row),
            quiet: Duration::from_secs(quiet_s),
            shadow: false,
        })
    }
}

/// What a look says of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// By which rule.
    pub(crate) rule: Arc<Rule>,
    /// Of which part of the machine.
    pub(crate) component: String,
    /// What.
    pub(crate) sign: Sign,
}

impl Finding {
    /// A finding of bounded length.
    pub(crate) fn new(rule: &Arc<Rule>, component: &str, sign: Sign) -> Self {
        let sign = match sign {
            Sign::Bad(text) => Sign::Bad(bounded(&text, EVIDENCE_LETTERS_MAX)),
            Sign::Good | Sign::More(_) | Sign::Unseen => sign,
        };
        Self { rule: Arc::clone(rule), component: bounded(component, COMPONENT_LETTERS_MAX), sign }
    }

    /// A bad sign.
    pub(crate) fn bad(rule: &Arc<Rule>, component: &str, text: impl Into<String>) -> Self {
        Self::new(rule, component, Sign::Bad(text.into()))
    }

    /// Bad with that text, or good.
    pub(crate) fn of(rule: &Arc<Rule>, component: &str, bad: Option<String>) -> Self {
        Self::new(rule, component, bad.map_or(Sign::Good, Sign::Bad))
    }
}

/// Everything one detector saw at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Which detector.
    pub(crate) source: &'static str,
    /// What it says of parts.
    pub(crate) found: Vec<Finding>,
    /// What it says of those parts that it once found and does not name.
    pub(crate) rest: Rest,
}

/// What is said of parts that a look does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They are as they should be.
    Good,
    /// Nothing.
    Unseen,
    /// The look is a part of one; it says nothing of others, not even that they were not seen.
    Untouched,
}

/// The text on one line, cut where it is too long.
fn bounded(text: &str, letters_max: usize) -> String {
    let clean = |letter: char| if letter.is_control() { ' ' } else { letter };
    let mut kept: String = text.chars().take(letters_max).map(clean).collect();
    if text.chars().nth(letters_max).is_some() {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_one_line_of_bounded_length() {
        let rule = Rule::level("test", "test", "test", 1, 1);
        let finding = Finding::bad(&rule, &"c".repeat(100), format!("a\nb\u{1b}[31m{}", "ü".repeat(600)));
        let Sign::Bad(text) = finding.sign else { panic!("not bad") };
        assert_eq!(text.chars().count(), EVIDENCE_LETTERS_MAX + 1);
        assert!(text.starts_with("a b [31mü") && text.ends_with("ü…"), "{text}");
        assert_eq!(finding.component.chars().count(), COMPONENT_LETTERS_MAX + 1);
    }
}
