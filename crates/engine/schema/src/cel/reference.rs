//! Names in a rule that nothing declares. A small part of CEL's type check: variables, and fields reached from
//! `self` through declared types.

use kube_cel::cel::common::ast::{ComprehensionExpr, Expr};

use super::cost::children;
use super::value::escape;
use crate::types::{NodeId, Rule, Schema, Shape};

/// What the rule on `node` names and the type does not have, in words.
pub(crate) fn unknown_reference(schema: &Schema, node: NodeId, rule: &Rule) -> Option<String> {
    let compiled = rule.compiled.as_ref()?;
    let mut walk = Walk { schema, scope: vec![("self".to_owned(), Some(node))], unknown: None };
    let old = if rule.optional_old_self { None } else { Some(node) };
    walk.scope.push(("oldSelf".to_owned(), old));
    walk.visit(&compiled.rule().expression().expr);
    walk.unknown.map(|name| format!("compilation failed: {name}"))
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
                self.field(operand, &select.field)
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
