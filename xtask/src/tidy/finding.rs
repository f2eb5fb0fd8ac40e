//! One thing that is not tidy: what, where, what to do.
use std::fmt;

/// The rules, by the names that the exceptions use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rule {
    Dependency,
    Parse,
    FileSize,
    FunctionSize,
    ModuleChildren,
    ModRs,
    Glob,
    NamedPath,
    CommentShare,
    Undocumented,
    Word,
    Exception,
    ConformanceList,
    PlanPurity,
}

impl Rule {
    const NAMES: &[(Rule, &str)] = &[
        (Rule::Dependency, "dependency"),
        (Rule::Parse, "parse"),
        (Rule::FileSize, "file-size"),
        (Rule::FunctionSize, "function-size"),
        (Rule::ModuleChildren, "module-children"),
        (Rule::ModRs, "mod-rs"),
        (Rule::Glob, "glob"),
        (Rule::NamedPath, "named-path"),
        (Rule::CommentShare, "comment-share"),
        (Rule::Undocumented, "undocumented"),
        (Rule::Word, "word"),
        (Rule::Exception, "exception"),
        (Rule::ConformanceList, "conformance-list"),
        (Rule::PlanPurity, "plan-purity"),
    ];

    pub(super) fn name(self) -> &'static str {
        Rule::NAMES.iter().find(|(rule, _)| *rule == self).map_or("?", |(_, name)| name)
    }

    pub(super) fn named(wanted: &str) -> Option<Rule> {
        Rule::NAMES.iter().find(|(_, name)| *name == wanted).map(|(rule, _)| *rule)
    }
}

/// `subject` is what an exception names: a path, `path::function`, a crate, or `crate -> crate`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) subject: String,
    pub(super) line: Option<usize>,
    pub(super) rule: Rule,
    /// The size that is too large, for the rules that have one.
    pub(super) measure: Option<usize>,
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.subject)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}; {}", self.rule.name(), self.what, self.remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::{Finding, Rule};

    #[test]
    fn a_finding_says_where_what_and_what_to_do() {
        let finding = Finding {
            subject: "crates/a/src/b.rs".to_owned(),
            line: Some(7),
            rule: Rule::Glob,
            measure: None,
            what: "glob import".to_owned(),
            remedy: "name what is used",
        };
        assert_eq!(finding.to_string(), "crates/a/src/b.rs:7: glob: glob import; name what is used");
    }

    #[test]
    fn every_rule_is_found_by_its_own_name() {
        for (rule, name) in Rule::NAMES {
            assert_eq!((Rule::named(name), rule.name()), (Some(*rule), *name));
        }
        assert_eq!(Rule::named("Glob"), None);
    }
}
