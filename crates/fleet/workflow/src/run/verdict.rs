//! The values of the expressions of steps.

use std::collections::HashMap;
use std::sync::Arc;

use muster_control::expression::{Expression, view};
use parking_lot::Mutex;
use serde_json::Value;

/// What the expressions of steps may name.
pub(crate) const VARIABLES: [&str; 5] = ["machine", "inventory", "node", "problems", "parameters"];
/// Compiled expressions that are kept; when there are more, it begins anew.
const KEPT: usize = 1000;

type Compiled = Result<Arc<Expression>, String>;

/// Compiled expressions by their text.
#[derive(Default)]
pub(crate) struct Expressions(Mutex<HashMap<String, Compiled>>);

impl Expressions {
    pub(crate) fn get(&self, text: &str) -> Compiled {
        if let Some(known) = self.0.lock().get(text) {
            return known.clone();
        }
        let compiled = Expression::compile(text, &VARIABLES).map(Arc::new).map_err(|error| error.to_string());
        let mut known = self.0.lock();
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(text.to_owned(), compiled.clone());
        compiled
    }
}

/// The value over these objects; an Inventory is seen by its status.
pub(crate) fn judge(expression: &Expression, objects: &[(&str, Value)]) -> Result<bool, String> {
    let objects: Vec<(&str, &Value)> =
        objects.iter().map(|(name, object)| (*name, view(name, object))).collect();
    expression.evaluate(&objects).map_err(|error| error.to_string())
}
