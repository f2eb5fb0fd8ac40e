//! Evaluation of the rules of a type on a value.

use std::sync::Arc;

use kube_cel::KubeCelExt;
use kube_cel::cel::objects::OptionalValue;
use kube_cel::cel::{Context, ExecutionError, Value as Cel};
use serde_json::Value;

use super::{Compiled, cost, value};
use crate::error::{FieldError, FieldErrorKind, Path, join};
use crate::structural::correlated;
use crate::types::{MapKind, NodeId, Rule, Schema, Shape};

thread_local! {
    /// Registering the libraries costs more than evaluating most rules.
    static LIBRARIES: Context<'static> = libraries();
}

fn libraries() -> Context<'static> {
    let mut context = Context::default().with_all();
    // CEL's conversions also take what is converted already (`timestamp(timestamp)`, `duration(duration)`): a field of
    // format date-time is a timestamp before the rule sees it.
    context.add_function("timestamp", |argument: Cel| value::timestamp(argument));
    context.add_function("duration", |argument: Cel| value::duration(argument));
    context
}

/// Evaluates with the function libraries of Kubernetes.
pub(super) fn with_libraries<T>(evaluate: impl FnOnce(&Context<'static>) -> T) -> T {
    LIBRARIES.with(|libraries| evaluate(libraries))
}

/// Runs every rule that applies: those over `oldSelf` only where there is an old value (or `optionalOldSelf`), the
/// others only where the value changed. Null values are not judged.
pub fn validate(schema: &Schema, value: &Value, old: Option<&Value>, path: &str) -> Vec<FieldError> {
    if schema.definitions().nodes.iter().all(|node| node.rules.is_empty()) {
        return Vec::new();
    }
    LIBRARIES.with(|libraries| {
        let path = Path::new(path);
        let mut run =
            Run { schema, libraries, path, errors: Vec::new(), budget: cost::BUDGET, exhausted: false };
        run.node(schema.root(), value, old);
        run.errors
    })
}

struct Run<'a> {
    schema: &'a Schema,
    libraries: &'a Context<'static>,
    path: Path,
    errors: Vec<FieldError>,
    budget: u64,
    exhausted: bool,
}

impl Run<'_> {
    fn node(&mut self, id: NodeId, value: &Value, old: Option<&Value>) {
        if value.is_null() || self.exhausted {
            return;
        }
        if !self.schema.at(id).rules.is_empty() {
            self.rules(id, value, old.filter(|old| !old.is_null()));
        }
        match (&self.schema.at(id).shape, value) {
            (Shape::Object { fields, kind, .. }, Value::Object(map)) => {
                for (name, field) in fields {
                    if let Some(inner) = map.get(&**name) {
                        let here = self.path.field(name);
                        self.node(field.node, inner, child(*kind, old, name));
                        self.path.leave(here);
                    }
                }
            }
            (Shape::Map { values, kind }, Value::Object(map)) => {
                for (key, inner) in map {
                    let here = self.path.item(key);
                    self.node(*values, inner, child(*kind, old, key));
                    self.path.leave(here);
                }
            }
            (Shape::List { items, kind }, Value::Array(list)) => {
                for (index, inner) in list.iter().enumerate() {
                    let before = old.and_then(|old| correlated(kind, inner, old));
                    let here = self.path.item(index);
                    self.node(*items, inner, before);
                    self.path.leave(here);
                }
            }
            (
                Shape::Any | Shape::Scalar(_) | Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. },
                _,
            ) => {}
        }
    }

    fn rules(&mut self, id: NodeId, value: &Value, old: Option<&Value>) {
        let mut context = self.libraries.new_inner_scope();
        context.add_variable_from_value("self", value::convert(self.schema, id, value));
        let before = old.map(|old| value::convert(self.schema, id, old));
        if let Some(before) = &before {
            context.add_variable_from_value("oldSelf", before.clone());
        }
        let mut optional = context.new_inner_scope();
        let wrapped = before.map_or_else(OptionalValue::none, OptionalValue::of);
        optional.add_variable_from_value("oldSelf", Cel::Opaque(Arc::new(wrapped)));
        let unchanged = old == Some(value);
        let largest = cost::largest(value);
        for rule in &self.schema.at(id).rules {
            let Some(compiled) = &rule.compiled else { continue };
            let transition = compiled.uses_old_self();
            if (transition && old.is_none() && !rule.optional_old_self) || (!transition && unchanged) {
                continue;
            }
            if !self.afford(compiled.cost().steps(largest), value) {
                return;
            }
            let scope = if rule.optional_old_self { &optional } else { &context };
            self.errors.extend(one_rule(rule, compiled, scope, value, &self.path));
        }
    }

    fn afford(&mut self, steps: u64, value: &Value) -> bool {
        match self.budget.checked_sub(steps) {
            Some(left) => {
                self.budget = left;
                true
            }
            None => {
                let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.errors.push(FieldError::invalid(shown(&self.path), type_word(value).into(), detail));
                self.exhausted = true;
                false
            }
        }
    }
}

fn child<'a>(kind: MapKind, old: Option<&'a Value>, name: &str) -> Option<&'a Value> {
    match kind {
        MapKind::Granular => old?.get(name),
        MapKind::Atomic => None,
    }
}

fn one_rule(
    rule: &Rule,
    compiled: &Compiled,
    scope: &Context<'_>,
    value: &Value,
    path: &str,
) -> Option<FieldError> {
    let refuse = |detail: String| Some(FieldError::invalid(shown(path), type_word(value).into(), detail));
    match compiled.rule().execute(scope) {
        Ok(Cel::Bool(true)) => None,
        Ok(Cel::Bool(false)) => Some(refusal(rule, message(rule, compiled, scope), value, path)),
        Ok(_) => {
            refuse(format!("rule compile error: cel expression must evaluate to a bool: {}", rule_text(rule)))
        }
        Err(ExecutionError::NoSuchOverload) => refuse(format!(
            "'no such overload': call arguments did not match a supported operator, function or macro signature for \
             rule: {}",
            rule_text(rule)
        )),
        Err(ExecutionError::NoSuchKey(key)) => {
            refuse(format!("no such key: {key} evaluating rule: {}", rule_text(rule)))
        }
        Err(error) => refuse(format!("{error} evaluating rule: {}", rule_text(rule))),
    }
}

/// The text of the refusal; an expression that yields no text gives way to the fixed one.
fn message(rule: &Rule, compiled: &Compiled, scope: &Context<'_>) -> String {
    if let Some(Ok(Cel::String(text))) = compiled.message().map(|program| program.execute(scope)) {
        let usable = !text.trim().is_empty() && !text.contains('\n');
        if usable {
            return text.to_string();
        }
    }
    match rule.message.as_deref().map(str::trim) {
        Some(text) if !text.is_empty() => text.to_owned(),
        Some(_) | None => format!("failed rule: {}", rule.rule.trim()),
    }
}

fn refusal(rule: &Rule, detail: String, value: &Value, path: &str) -> FieldError {
    let path = match rule.field_path.as_deref() {
        Some(below) if below.starts_with('[') => format!("{path}{}", below.replace(['\''], "")),
        Some(below) => join(path, below.trim_start_matches('.')),
        None => shown(path),
    };
    let kind = match rule.reason.as_deref() {
        Some("FieldValueForbidden") => FieldErrorKind::Forbidden,
        Some("FieldValueRequired") => FieldErrorKind::Required,
        Some("FieldValueDuplicate") => FieldErrorKind::Duplicate,
        Some(_) | None => FieldErrorKind::Invalid,
    };
    let bad_value = (!value.is_object() && !value.is_array()).then(|| value.clone());
    let detail = if kind == FieldErrorKind::Duplicate { String::new() } else { detail };
    FieldError { kind, path, bad_value, detail }
}

fn rule_text(rule: &Rule) -> String {
    match rule.message.as_deref().map(str::trim) {
        Some(text) if !text.is_empty() => text.to_owned(),
        Some(_) | None => rule.rule.trim().to_owned(),
    }
}

/// The root has no path; upstream prints it so.
fn shown(path: &str) -> String {
    if path.is_empty() { "<nil>".to_owned() } else { path.to_owned() }
}

fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
