//! A compiled rule.

use std::sync::Arc;

use kube_cel::cel::Program;

use super::cost;

/// A rule's programs; cheap to clone. All compiled rules are equal: rules are compared by their text.
#[derive(Clone, Debug)]
pub struct Compiled(Arc<Programs>);

#[derive(Debug)]
struct Programs {
    rule: Program,
    message: Option<Program>,
    uses_old_self: bool,
    cost: cost::Shape,
}

/// An expression that does not compile.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The rule itself.
    #[error("compilation failed: {reason}")]
    Rule {
        /// What the parser found.
        reason: String,
    },
    /// The expression for the message.
    #[error("messageExpression compilation failed: {reason}")]
    Message {
        /// What the parser found.
        reason: String,
    },
}

impl CompileError {
    /// The field of the rule that is wrong.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Rule { .. } => "rule",
            Self::Message { .. } => "messageExpression",
        }
    }
}

impl Compiled {
    /// Compiles a rule and the expression of its message.
    pub fn new(rule: &str, message: Option<&str>) -> Result<Self, CompileError> {
        let rule =
            Program::compile(rule).map_err(|error| CompileError::Rule { reason: error.to_string() })?;
        let message = message
            .map(|source| {
                Program::compile(source).map_err(|error| CompileError::Message { reason: error.to_string() })
            })
            .transpose()?;
        let uses_old_self = rule.references().has_variable("oldSelf");
        let cost = cost::Shape::of(&rule.expression().expr);
        Ok(Self(Arc::new(Programs { rule, message, uses_old_self, cost })))
    }

    /// Whether the rule compares with the old value.
    pub fn uses_old_self(&self) -> bool {
        self.0.uses_old_self
    }

    pub(super) fn rule(&self) -> &Program {
        &self.0.rule
    }

    pub(super) fn message(&self) -> Option<&Program> {
        self.0.message.as_ref()
    }

    pub(super) fn cost(&self) -> cost::Shape {
        self.0.cost
    }
}

impl PartialEq for Compiled {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Compiled {}
