//! Names in a rule that nothing declares. A small part of CEL's type check: variables, and fields reached from
//! `self` through declared types.

use kube_cel::cel::common::ast::{ComprehensionExpr, Expr, LiteralValue};

use super::cost::children;
use super::value::escape;
use crate::types::{Format, NodeId, Rule, Scalar, Schema, Shape};

/// What the rule on `node` names and the type does not have, in words.
pub(crate) fn unknown_reference(schema: &Schema, node: NodeId, rule: &Rule) -> Option<String> {
    let compiled = rule.compiled.as_ref()?;
    let mut walk = Walk { schema, scope: vec![("self".to_owned(), Some(node))], unknown: None };
    let old = if rule.optional_old_self { None } else { Some(node) };
    walk.scope.push(("oldSelf".to_owned(), old));
    let rule = &compiled.rule().expression().expr;
    let found = walk.visit(rule);
    if let Some(name) = walk.unknown {
        return Some(format!("compilation failed: {name}"));
    }
    let wrong =
        yields(rule).is_some_and(|kind| kind != Yields::Flag) || is_other(schema, found, Scalar::Boolean);
    wrong.then(|| "cel expression must evaluate to a bool".to_owned())
}

/// What is wrong with the rule's `messageExpression`, in words.
pub(crate) fn wrong_message(schema: &Schema, node: NodeId, rule: &Rule) -> Option<String> {
    let message = &rule.compiled.as_ref()?.message()?.expression().expr;
    let scope = vec![("self".to_owned(), Some(node)), ("oldSelf".to_owned(), None)];
    let mut walk = Walk { schema, scope, unknown: None };
    let found = walk.visit(message);
    if let Some(name) = walk.unknown {
        return Some(format!("messageExpression compilation failed: {name}"));
    }
    let text = Scalar::String(Format::Plain);
    let wrong = yields(message).is_some_and(|kind| kind != Yields::Text) || is_other(schema, found, text);
    wrong.then(|| "messageExpression must evaluate to a string".to_owned())
}

/// What is wrong with a condition over documents of no known type, in words.
pub(super) fn wrong_condition(expression: &Expr, variables: &[&str]) -> Option<String> {
    let scope = variables.iter().map(|name| ((*name).to_owned(), None)).collect();
    let mut walk = Walk { schema: crate::Catalog::builtin().types(), scope, unknown: None };
    walk.visit(expression);
    let no_bool = || yields(expression).is_some_and(|kind| kind != Yields::Flag);
    walk.unknown.or_else(|| no_bool().then(|| "must evaluate to bool".to_owned()))
}

/// What an expression surely evaluates to, by its form alone.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Yields {
    Flag,
    Text,
    Other,
}

fn yields(expr: &Expr) -> Option<Yields> {
    match expr {
        Expr::Literal(LiteralValue::Boolean(_)) => Some(Yields::Flag),
        Expr::Literal(LiteralValue::String(_)) => Some(Yields::Text),
        Expr::Literal(_) | Expr::List(_) | Expr::Map(_) => Some(Yields::Other),
        Expr::Call(call) => match call.func_name.as_str() {
            "_==_" | "_!=_" | "_<_" | "_<=_" | "_>_" | "_>=_" | "_&&_" | "_||_" | "!_" | "@in" => {
                Some(Yields::Flag)
            }
            "_-_" | "_*_" | "_/_" | "_%_" | "-_" | "size" => Some(Yields::Other),
            "_+_" => call.args.iter().find_map(|arg| yields(&arg.expr)),
            _ => None,
        },
        Expr::Select(select) if select.test => Some(Yields::Flag),
        Expr::Unspecified | Expr::Comprehension(_) | Expr::Ident(_) | Expr::Select(_) | Expr::Struct(_) => {
            None
        }
    }
}

/// Whether the expression's declared type is known and is another scalar.
fn is_other(schema: &Schema, found: Option<NodeId>, wanted: Scalar) -> bool {
    match found.map(|node| &schema.at(node).shape) {
        Some(Shape::Scalar(Scalar::String(_))) => !matches!(wanted, Scalar::String(_)),
        Some(Shape::Scalar(found)) => *found != wanted && *found != Scalar::IntOrString,
        Some(Shape::Any | Shape::List { .. } | Shape::Map { .. } | Shape::Object { .. }) | None => false,
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    /// Variables with their type, where it is known.
    scope: Vec<(String, Option<NodeId>)>,
    unknown: Option<String>,
}

impl Walk<'_> {
    /// The type of the expression, where it is known.
    fn visit(&mut self, expr: &Expr) -> Option<NodeId> {
        match expr {
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => {
                if is_namespace(&select.operand.expr) {
                    return None;
                }
                let operand = self.visit(&select.operand.expr)?;
                let field = self.field(operand, &select.field);
                field.filter(|_| !select.test)
            }
            Expr::Comprehension(inner) => {
                self.comprehension(inner);
                None
            }
            Expr::Call(call) => {
                let target = call.target.as_ref().filter(|target| !is_namespace(&target.expr));
                let target = target.and_then(|target| self.visit(&target.expr));
                let first = call.args.iter().map(|arg| self.visit(&arg.expr)).collect::<Vec<_>>();
                let indexed = call.func_name == "_[_]";
                target
                    .or(first.first().copied().flatten())
                    .filter(|_| indexed)
                    .and_then(|list| self.items(list))
            }
            Expr::Unspecified | Expr::List(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) => {
                children(expr, &mut |inner| {
                    self.visit(inner);
                });
                None
            }
        }
    }

    fn variable(&mut self, name: &str) -> Option<NodeId> {
        match self.scope.iter().rev().find(|(known, _)| known == name) {
            Some((_, node)) => *node,
            None => {
                let text = format!("undeclared reference to '{name}' (in container '')");
                self.unknown.get_or_insert(text);
                None
            }
        }
    }

    fn field(&mut self, node: NodeId, field: &str) -> Option<NodeId> {
        match &self.schema.at(node).shape {
            Shape::Object { fields, preserve_unknown, .. } => {
                let found = fields.iter().find(|(name, _)| escape(name) == field);
                if found.is_none() && !preserve_unknown {
                    self.unknown.get_or_insert(format!("undefined field '{field}'"));
                }
                found.map(|(_, field)| field.node)
            }
            Shape::Map { values, .. } => Some(*values),
            Shape::Any | Shape::Scalar(_) | Shape::List { .. } => None,
        }
    }

    fn items(&self, node: NodeId) -> Option<NodeId> {
        match &self.schema.at(node).shape {
            Shape::List { items, .. } => Some(*items),
            Shape::Map { values, .. } => Some(*values),
            Shape::Any | Shape::Scalar(_) | Shape::Object { .. } => None,
        }
    }

    fn comprehension(&mut self, inner: &ComprehensionExpr) {
        let range = self.visit(&inner.iter_range.expr);
        let item = range.and_then(|range| match &self.schema.at(range).shape {
            Shape::List { items, .. } => Some(*items),
            Shape::Any | Shape::Scalar(_) | Shape::Map { .. } | Shape::Object { .. } => None,
        });
        self.visit(&inner.accu_init.expr);
        let before = self.scope.len();
        self.scope.push((inner.iter_var.clone(), item.filter(|_| inner.iter_var2.is_none())));
        if let Some(second) = &inner.iter_var2 {
            self.scope.push((second.clone(), None));
        }
        self.scope.push((inner.accu_var.clone(), None));
        for part in [&inner.loop_cond, &inner.loop_step, &inner.result] {
            self.visit(&part.expr);
        }
        self.scope.truncate(before);
    }
}

/// Prefixes of library functions and type names, which are no variables.
fn is_namespace(expr: &Expr) -> bool {
    let names =
        ["optional", "sets", "math", "strings", "base64", "format", "jsonpatch", "cel", "google", "lists"];
    matches!(expr, Expr::Ident(name) if names.contains(&name.as_str()))
        || matches!(expr, Expr::Select(select) if is_namespace(&select.operand.expr))
}
