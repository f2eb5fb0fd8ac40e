//! A condition in parts, each decided by itself.

use muster_control::expression::ExpressionError;
use serde_json::Value;

use super::Compiled;
use super::field::{Field, Place, Schemas};
use crate::change::{Change, Edit, Path, apply};
use crate::kinds::Kind;

const VARIABLES: [&str; 2] = ["machine", "inventory"];

pub(super) fn compile(text: &str) -> Result<Compiled, ExpressionError> {
    Compiled::compile(text, &VARIABLES)
}

/// A part of a condition, with the fields it reads.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) expression: Compiled,
    pub(super) fields: Vec<Field>,
    /// `FIELD == "text"`: decided by comparing numbers.
    pub(super) equals: Option<String>,
}

/// What a part is for one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Holds,
    Fails,
    /// A field it needs is not there; counts as failed.
    Undecided,
}

impl Part {
    /// All its fields must be known to the schemas.
    pub(super) fn new(expression: Compiled, schemas: &Schemas) -> Self {
        let fields: Vec<Field> =
            expression.fields().iter().filter_map(|name| schemas.find(name).ok()).collect();
        let equals = match fields.as_slice() {
            [field] if field.place == Place::Column => {
                text_equality(expression.text(), &expression.fields()[0])
            }
            _ => None,
        };
        Self { expression, fields, equals }
    }

    /// Whether the columns decide it. Where there are more labels than columns, a label may have none.
    pub(super) fn is_hot(&self, columns_are_complete: bool) -> bool {
        let certain = |field: &Field| columns_are_complete || !field.is_label();
        self.fields.iter().all(|field| field.place != Place::Log && certain(field))
    }

    pub(super) fn decide(&self, machine: &Value, inventory: &Value) -> Verdict {
        match self.expression.evaluate(&[("machine", machine), ("inventory", inventory)]) {
            Ok(true) => Verdict::Holds,
            Ok(false) => Verdict::Fails,
            Err(_) => Verdict::Undecided,
        }
    }
}

/// Puts a value where an expression reads it.
pub(super) fn place(kind: Kind, path: &Path, value: Value, machine: &mut Value, inventory: &mut Value) {
    let target = if kind == Kind::Inventory { inventory } else { machine };
    let path = if kind == Kind::Inventory { Path(path.0[1..].to_vec()) } else { path.clone() };
    apply(target, &Change { path, edit: Edit::Set(value) });
}

/// The text that `field` is compared with, if that is all the condition says.
fn text_equality(text: &str, field: &str) -> Option<String> {
    let (left, right) = text.split_once("==")?;
    let right = right.trim();
    let plain = right.len() >= 2 && right.starts_with('"') && right.ends_with('"');
    let inner = right.get(1..right.len() - 1).filter(|inner| plain && !inner.contains(['"', '\\']))?;
    (left.trim() == field).then(|| inner.to_owned())
}

/// The parts between `&&` outside of brackets and quotes; the whole where `||` or `?` stands there too.
pub(super) fn cut(text: &str, whole: Compiled) -> Vec<Compiled> {
    let Some(texts) = conjuncts(text) else { return vec![whole] };
    let compiled: Result<Vec<Compiled>, _> = texts.iter().map(|text| compile(text)).collect();
    compiled.unwrap_or_else(|_| vec![whole])
}

fn conjuncts(text: &str) -> Option<Vec<&str>> {
    let bytes = text.as_bytes();
    let (mut parts, mut start, mut depth, mut at) = (Vec::new(), 0, 0u32, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.checked_sub(1)?,
            b'"' | b'\'' => at = end_of_quote(bytes, at)?,
            // Raw and long texts, comments: rare enough to be decided as a whole.
            b'/' if bytes.get(at + 1) == Some(&b'/') => return None,
            b'?' if depth == 0 => return None,
            b'|' if depth == 0 => return None,
            b'&' if depth == 0 && bytes.get(at + 1) == Some(&b'&') => {
                parts.push(&text[start..at]);
                at += 1;
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&text[start..]);
    (parts.len() > 1).then_some(parts)
}

fn end_of_quote(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = bytes[open];
    let raw = open > 0 && bytes[open - 1].is_ascii_alphabetic();
    if raw || bytes[open..].starts_with(&[quote; 3]) {
        return None;
    }
    let mut at = open + 1;
    while *bytes.get(at)? != quote {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    Some(at)
}

/// Line and column of a field's name, from 1.
pub(super) fn position(text: &str, field: &str) -> (usize, usize) {
    let at = text.find(field).unwrap_or(0);
    let line = text[..at].matches('\n').count() + 1;
    let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_cut_at_its_ands_alone() {
        let rows = [
            ("a == 1 && b == 2", Some(vec!["a == 1 ", " b == 2"])),
            ("a == \"x && y\" && (b || c)", Some(vec!["a == \"x && y\" ", " (b || c)"])),
            ("a && b || c", None),
            ("a", None),
            ("a && b ? c : d", None),
            ("a == '\\'' && b", Some(vec!["a == '\\'' ", " b"])),
            ("a == r'\\' && b", None),
        ];
        for (text, expected) in rows {
            assert_eq!(conjuncts(text), expected, "{text}");
        }
    }

    #[test]
    fn an_equality_with_a_text_is_known_by_its_form() {
        let field = "machine.spec.role";
        let rows = [
            ("machine.spec.role == \"web\"", Some("web")),
            ("machine.spec.role==\"\"", Some("")),
            ("machine.spec.role == \"a\\n\"", None),
            ("machine.spec.role == \"a\" + \"b\"", None),
            ("\"web\" == machine.spec.role", None),
        ];
        for (text, expected) in rows {
            assert_eq!(text_equality(text, field).as_deref(), expected, "{text}");
        }
    }
}
