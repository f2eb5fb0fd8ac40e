//! Many expressions at once: which of them find something in a line.

use regex_automata::meta::{Builder, Config, Regex};
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

/// Bytes of all expressions together compiled, and of what they keep while they look.
const BYTES_MAX: usize = 2 << 20;

/// The engine of `RegexSet`, without the automaton that looks for the beginnings of the expressions: those are so many
/// and so short that no line is told sooner by it, and it is a megabyte.
#[derive(Debug)]
pub(super) struct Set {
    engine: Regex,
    matching: PatternSet,
}

impl Set {
    /// None where the expressions are too much together.
    pub(super) fn new(patterns: &[&str]) -> Option<Self> {
        let config = Config::new()
            .auto_prefilter(false)
            .match_kind(MatchKind::All)
            .utf8_empty(false)
            .which_captures(WhichCaptures::None)
            .nfa_size_limit(Some(BYTES_MAX))
            .hybrid_cache_capacity(BYTES_MAX);
        let engine = Builder::new()
            .configure(config)
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .build_many(patterns)
            .inspect_err(|error| tracing::info!(%error, "the rules of the kernel log are tried one by one"))
            .ok()?;
        Some(Self { engine, matching: PatternSet::new(patterns.len()) })
    }

    /// The places of those that find something, in their order.
    pub(super) fn matching(&mut self, line: &[u8]) -> Vec<usize> {
        self.matching.clear();
        self.engine.which_overlapping_matches(&Input::new(line), &mut self.matching);
        self.matching.iter().map(|pattern| pattern.as_usize()).collect()
    }
}

#[cfg(test)]
mod tests {
    use regex::bytes::RegexBuilder;

    use super::*;

    #[test]
    fn those_match_that_match_alone() {
        let patterns = [
            "^ata[0-9]+: ",
            "error",
            "I/O error, dev (?<component>[a-z]+)",
            "b.*d$",
            r"\bx\b",
            "(?i)BUG",
            "",
        ];
        let lines = [
            "ata3: hard resetting link, I/O error, dev sda, sector 1",
            "no ata3: here",
            "a bug; b and d",
            "x",
            "xx ERROR",
            "",
            "\u{fffd} x \u{1f525} error",
        ];
        let mut set = Set::new(&patterns).unwrap();
        for line in lines {
            let alone = |pattern: &str| RegexBuilder::new(pattern).unicode(false).build().unwrap();
            let alone =
                patterns.iter().enumerate().filter(|(_, pattern)| alone(pattern).is_match(line.as_bytes()));
            let alone: Vec<usize> = alone.map(|(at, _)| at).collect();
            assert_eq!(set.matching(line.as_bytes()), alone, "{line:?}");
        }
    }

    #[test]
    fn there_is_none_of_what_is_too_much() {
        let large = "(?:[a-z]{1,60} ){1,60}";
        assert!(Set::new(&[large]).is_some());
        assert!(Set::new(&[large; 200]).is_none());
    }
}
