//! What evaluating an expression may cost at most.

use kube_cel::cel::common::ast::{EntryExpr, Expr};
use serde_json::Value;

/// Steps that all rules of one object may take together, as upstream's `RuntimeCELCostBudget`.
pub(super) const BUDGET: u64 = 10_000_000;

/// The size of an expression and the depth to which its loops are nested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    nodes: u64,
    depth: u32,
}

impl Shape {
    pub(super) fn of(expr: &Expr) -> Self {
        let (mut nodes, mut depth) = (1, 0);
        children(expr, &mut |inner| {
            let inner = Self::of(inner);
            nodes += inner.nodes;
            depth = depth.max(inner.depth);
        });
        Self { nodes, depth: depth + u32::from(matches!(expr, Expr::Comprehension(_))) }
    }

    /// Steps on a value whose largest list, map or string has `largest` items.
    pub(super) fn steps(self, largest: u64) -> u64 {
        self.nodes.saturating_mul(largest.max(1).saturating_pow(self.depth))
    }
}

/// Calls `visit` on each direct part of an expression.
pub(super) fn children<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
    match expr {
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Call(call) => {
            call.target.iter().for_each(|target| visit(&target.expr));
            call.args.iter().for_each(|arg| visit(&arg.expr));
        }
        Expr::Comprehension(inner) => {
            for part in
                [&inner.iter_range, &inner.accu_init, &inner.loop_cond, &inner.loop_step, &inner.result]
            {
                visit(&part.expr);
            }
        }
        Expr::List(list) => list.elements.iter().for_each(|item| visit(&item.expr)),
        Expr::Select(select) => visit(&select.operand.expr),
        Expr::Map(map) => map.entries.iter().for_each(|entry| entries(&entry.expr, visit)),
        Expr::Struct(fields) => fields.entries.iter().for_each(|entry| entries(&entry.expr, visit)),
    }
}

fn entries<'a>(entry: &'a EntryExpr, visit: &mut dyn FnMut(&'a Expr)) {
    match entry {
        EntryExpr::StructField(field) => visit(&field.value.expr),
        EntryExpr::MapEntry(entry) => {
            visit(&entry.key.expr);
            visit(&entry.value.expr);
        }
    }
}

/// Items of the largest list or map in a value.
pub(super) fn largest(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.iter().map(largest).max().unwrap_or(0).max(items.len() as u64),
        Value::Object(map) => map.values().map(largest).max().unwrap_or(0).max(map.len() as u64),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
    }
}
