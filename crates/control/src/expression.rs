//! Conditions over objects, in CEL: `machine.spec.role == "storage" && inventory.memoryGiB < 256`.
//!
//! An expression sees objects by their JSON names. A variable is a whole object (`machine.spec.role`,
//! `machine.status.phase`), with one exception: `inventory` is the `status` of an Inventory, for an Inventory has
//! nothing else ([`view`] makes it so). Numbers without a fraction are whole numbers; times and durations are texts,
//! read with `timestamp(…)` and `duration(…)`. What is null counts as absent.
//!
//! It is compiled once. Evaluation reads only the fields the expression names, so that it can be done a million times.
//!
//! ```
//! use muster_control::expression::{EvaluateError, Expression};
//! use serde_json::json;
//!
//! let small = Expression::compile("inventory.memoryGiB < 256", &["machine", "inventory"])?;
//! assert_eq!(small.evaluate(&[("inventory", &json!({"memoryGiB": 64}))]), Ok(true));
//! assert_eq!(
//!     small.evaluate(&[("inventory", &json!({}))]),
//!     Err(EvaluateError::Missing { field: "memoryGiB".into() })
//! );
//! # Ok::<(), muster_control::expression::ExpressionError>(())
//! ```

mod analysis;
mod library;
mod value;

use kube_cel::cel::common::ast::Expr;
use kube_cel::cel::{ExecutionError, Program, Value as Cel};
use serde_json::Value;

use analysis::{Fields, Shape};

/// Bytes an expression may have.
pub const TEXT_BYTES_MAX: usize = 2048;
/// Loops may be nested so deep.
pub const LOOPS_MAX: u32 = 2;
/// Parts may be nested so deep.
const DEPTH_MAX: u32 = 48;
/// Steps that one evaluation may take at most.
const STEPS_MAX: u64 = 1_000_000;
/// A text within [`TEXT_BYTES_MAX`] can be nested deeper than a worker's stack bears; it is read on a stack of its own.
const STACK_BYTES: usize = 64 << 20;

/// Why a text is not a usable condition. Nothing was done with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It is not CEL.
    #[error("{line}:{column}: {reason}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What was found and what was expected.
        reason: String,
    },
    /// It names a variable that is not there.
    #[error("{line}:{column}: there is no variable {name:?}; there are {}", .known.join(", "))]
    UnknownVariable {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The name.
        name: String,
        /// What may be named.
        known: Vec<String>,
    },
    /// It calls a function that is not there.
    #[error("{line}:{column}: there is no function {name:?}")]
    UnknownFunction {
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// The name.
        name: String,
    },
    /// Its value can be no true or false.
    #[error("it is no condition: its value is neither true nor false; compare it with something")]
    NoCondition,
    /// It is empty.
    #[error("it is empty; write a condition such as machine.spec.role == \"storage\"")]
    Empty,
    /// It is longer than [`TEXT_BYTES_MAX`].
    #[error("it has {bytes} bytes; at most {TEXT_BYTES_MAX} are read")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It is nested deeper than is evaluated.
    #[error("its parts are nested {depth} deep, at most {DEPTH_MAX} are evaluated; split it")]
    TooDeep {
        /// Its depth.
        depth: u32,
    },
    /// Its loops are nested deeper than [`LOOPS_MAX`].
    #[error("its loops are nested {loops} deep, at most {LOOPS_MAX} are evaluated")]
    TooManyLoops {
        /// Its loops within loops.
        loops: u32,
    },
    /// There was no memory to read it with.
    #[error("it could not be read: no thread could be started ({reason})")]
    NoThread {
        /// What the system said.
        reason: String,
    },
}

/// Why an expression has no value for these objects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvaluateError {
    /// A field it names is not there. A caller that selects objects takes it as false, and counts it.
    #[error("there is no field {field:?}")]
    Missing {
        /// The last part of its name.
        field: String,
    },
    /// Its value is neither true nor false.
    #[error("the value is neither true nor false")]
    NoCondition,
    /// The objects are too large for its loops.
    #[error("it would take {steps} steps, at most {STEPS_MAX} are taken")]
    TooCostly {
        /// What it would take at most.
        steps: u64,
    },
    /// Values that do not go together, such as a text and a number.
    #[error("{reason}")]
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// A compiled condition.
#[derive(Debug)]
pub struct Expression {
    text: String,
    program: Program,
    variables: Vec<(String, Fields)>,
    shape: Shape,
}

/// The object as an expression sees it under that variable: `inventory` is an Inventory's status.
pub fn view<'a>(variable: &str, object: &'a Value) -> &'a Value {
    if variable == "inventory" { object.get("status").unwrap_or(&Value::Null) } else { object }
}

impl Expression {
    /// Reads a condition that may name `variables`.
    ///
    /// # Errors
    /// [`ExpressionError`] says what is wrong and where.
    pub fn compile(text: &str, variables: &[&str]) -> Result<Self, ExpressionError> {
        if text.trim().is_empty() {
            return Err(ExpressionError::Empty);
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err(ExpressionError::TooLong { bytes: text.len() });
        }
        let known: Vec<String> = variables.iter().map(|&name| name.to_owned()).collect();
        let own = text.to_owned();
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || read(own, &known));
        let read = thread.map_err(|error| ExpressionError::NoThread { reason: error.to_string() })?;
        read.join().unwrap_or_else(|_| {
            let reason = "the parser cannot read it".to_owned();
            Err(ExpressionError::Syntax { line: 1, column: 1, reason })
        })
    }

    /// The text it was compiled from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The fields it reads, such as `machine.spec.role`; a variable alone where it is read as a whole.
    pub fn fields(&self) -> Vec<String> {
        let mut fields = Vec::new();
        for (name, read) in &self.variables {
            read.paths(name, &mut fields);
        }
        fields
    }

    /// Whether it names that variable.
    pub fn uses(&self, variable: &str) -> bool {
        self.variables.iter().any(|(name, _)| name == variable)
    }

    /// Whether the condition holds for these objects. A variable without an object is an object without fields.
    ///
    /// # Errors
    /// [`EvaluateError`] where it has no value for them.
    pub fn evaluate(&self, objects: &[(&str, &Value)]) -> Result<bool, EvaluateError> {
        library::with(|library| {
            let mut scope = library.new_inner_scope();
            let mut largest = 1;
            for (name, fields) in &self.variables {
                let object = objects.iter().find(|(bound, _)| bound == name).map(|(_, object)| *object);
                if self.shape.loops > 0 {
                    largest = largest.max(object.map_or(1, value::largest));
                }
                scope.add_variable_from_value(name.as_str(), value::project(object, fields));
            }
            let steps = self.shape.steps(largest);
            if steps > STEPS_MAX {
                return Err(EvaluateError::TooCostly { steps });
            }
            match self.program.execute(&scope) {
                Ok(Cel::Bool(holds)) => Ok(holds),
                Ok(_) => Err(EvaluateError::NoCondition),
                Err(error) => Err(failure(&error)),
            }
        })
    }
}

fn failure(error: &ExecutionError) -> EvaluateError {
    if let ExecutionError::NoSuchKey(field) = error {
        return EvaluateError::Missing { field: field.to_string() };
    }
    if matches!(error, ExecutionError::IndexOutOfBounds(_)) {
        return EvaluateError::Missing { field: "[index]".to_owned() };
    }
    let types = matches!(error, ExecutionError::NoSuchOverload);
    let reason =
        if types { "values of these types cannot be combined so".to_owned() } else { error.to_string() };
    EvaluateError::Failed { reason }
}

fn read(text: String, known: &[String]) -> Result<Expression, ExpressionError> {
    let program = Program::compile(&text).map_err(|errors| syntax(&errors))?;
    let expression = &program.expression().expr;
    let shape = Shape::of(expression);
    if shape.depth > DEPTH_MAX {
        return Err(ExpressionError::TooDeep { depth: shape.depth });
    }
    if shape.loops > LOOPS_MAX {
        return Err(ExpressionError::TooManyLoops { loops: shape.loops });
    }
    let variables = declared(&text, expression, known)?;
    for name in program.references().functions() {
        if !library::has(name) {
            let (line, column) = position(&text, name);
            return Err(ExpressionError::UnknownFunction { line, column, name: name.to_owned() });
        }
    }
    if analysis::is_no_condition(expression) {
        return Err(ExpressionError::NoCondition);
    }
    Ok(Expression { text, program, variables, shape })
}

fn declared(
    text: &str,
    expression: &Expr,
    known: &[String],
) -> Result<Vec<(String, Fields)>, ExpressionError> {
    analysis::variables(expression, known).map_err(|name| {
        let (line, column) = position(text, &name);
        ExpressionError::UnknownVariable { line, column, name, known: known.to_vec() }
    })
}

fn syntax(errors: &kube_cel::cel::ParseErrors) -> ExpressionError {
    let place = |number: isize| usize::try_from(number).unwrap_or(0);
    match errors.errors.first() {
        Some(error) => ExpressionError::Syntax {
            line: place(error.pos.0).max(1),
            column: place(error.pos.1).max(1),
            reason: error.msg.clone(),
        },
        None => ExpressionError::Syntax { line: 1, column: 1, reason: errors.to_string() },
    }
}

/// Line and column at which a name first stands as a word of its own, outside quotes and not as a field.
fn position(text: &str, name: &str) -> (usize, usize) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let begin = text
        .match_indices(name)
        .map(|(at, _)| at)
        .find(|&at| {
            let before = text[..at].chars().next_back();
            let after = text[at + name.len()..].chars().next();
            let quoted = text[..at].matches(['"', '\'']).count() % 2 == 1;
            !before.is_some_and(|c| is_word(c) || c == '.') && !after.is_some_and(is_word) && !quoted
        })
        .or_else(|| text.find(name))
        .unwrap_or(0);
    let line = text[..begin].matches('\n').count() + 1;
    let column = text[..begin].chars().rev().take_while(|&c| c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests;
