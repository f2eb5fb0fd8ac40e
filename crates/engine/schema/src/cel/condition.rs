//! Expressions over named documents that answer yes or no: the match conditions of webhooks.

use kube_cel::cel::{Program, Value as Cel};
use serde_json::Value;

use super::evaluate::with_libraries;
use super::{CompileError, cost, reference, value};

/// Steps that all conditions of one webhook may take together (`RuntimeCELCostBudgetMatchConditions`).
const BUDGET: u64 = 2_500_000;

/// A compiled condition.
#[derive(Debug)]
pub struct Condition {
    text: String,
    program: Program,
    cost: cost::Shape,
}

impl Condition {
    /// Compiles an expression that may name `variables` and yields a bool.
    ///
    /// # Errors
    /// A syntax error, a name that is no variable, or a result that is surely no bool.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, CompileError> {
        let refuse = |reason: String| CompileError::Rule { reason };
        let program = Program::compile(text).map_err(|error| refuse(error.to_string()))?;
        let expression = &program.expression().expr;
        if let Some(reason) = reference::wrong_condition(expression, variables) {
            return Err(refuse(reason));
        }
        let cost = cost::Shape::of(expression);
        Ok(Self { text: text.to_owned(), program, cost })
    }
}

/// Whether every condition holds for the documents. One that is false decides, whatever else fails to evaluate.
///
/// # Errors
/// What could not be evaluated, where none is false.
pub fn all_hold(conditions: &[Condition], documents: &[(&str, &Value)]) -> Result<bool, String> {
    let largest = documents.iter().map(|(_, document)| cost::largest(document)).max().unwrap_or(0);
    with_libraries(|libraries| {
        let mut scope = libraries.new_inner_scope();
        for (name, document) in documents {
            scope.add_variable_from_value(*name, value::generic(document));
        }
        let (mut budget, mut failed) = (BUDGET, Vec::new());
        for condition in conditions {
            let Some(left) = budget.checked_sub(condition.cost.steps(largest)) else {
                failed.push("validation failed due to running out of cost budget".to_owned());
                break;
            };
            budget = left;
            let text = condition.text.trim();
            match condition.program.execute(&scope) {
                Ok(Cel::Bool(true)) => {}
                Ok(Cel::Bool(false)) => return Ok(false),
                Ok(_) => failed.push(format!("expression '{text}' did not yield a bool")),
                Err(error) => failed.push(format!("expression '{text}' resulted in error: {error}")),
            }
        }
        match failed.as_slice() {
            [] => Ok(true),
            [one] => Err(one.clone()),
            several => Err(format!("[{}]", several.join(", "))),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(texts: &[&str]) -> Result<bool, String> {
        let object = json!({"metadata": {"name": "a", "namespace": "prod"}});
        let request = json!({"userInfo": {"username": "ann"}, "operation": "CREATE"});
        let compile = |text: &&str| Condition::compile(text, &["object", "request"]).expect("compiles");
        let conditions: Vec<Condition> = texts.iter().map(compile).collect();
        all_hold(&conditions, &[("object", &object), ("request", &request)])
    }

    #[test]
    fn one_that_is_false_decides_over_those_that_cannot_be_evaluated() {
        assert_eq!(judge(&[]), Ok(true));
        assert_eq!(
            judge(&["object.metadata.namespace == 'prod'", "request.operation in ['CREATE']"]),
            Ok(true)
        );
        assert_eq!(judge(&["object.spec.x == 1", "request.userInfo.username != 'ann'"]), Ok(false));
        let failed = judge(&["object.spec.x == 1"]).unwrap_err();
        assert!(failed.starts_with("expression 'object.spec.x == 1' resulted in error: "), "{failed}");
    }

    #[test]
    fn what_names_no_variable_or_is_no_bool_does_not_compile() {
        let refused = |text: &str| Condition::compile(text, &["object"]).unwrap_err().to_string();
        let unknown = refused("params.x == 1");
        assert_eq!(unknown, "compilation failed: undeclared reference to 'params' (in container '')");
        assert_eq!(refused("'text'"), "compilation failed: must evaluate to bool");
        assert!(refused("object.").starts_with("compilation failed: "));
    }
}
