//! What an expression names and how large it is.

use kube_cel::cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, LiteralValue};

/// The part of an object that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fields {
    /// All of it.
    Whole,
    /// These fields of it.
    Of(Vec<(String, Fields)>),
}

impl Fields {
    fn read(&mut self, path: &[&str]) {
        let Self::Of(fields) = self else { return };
        let Some((first, rest)) = path.split_first() else {
            *self = Self::Whole;
            return;
        };
        match fields.iter_mut().find(|(name, _)| name == first) {
            Some((_, inner)) => inner.read(rest),
            None => {
                let mut inner = Self::Of(Vec::new());
                inner.read(rest);
                fields.push(((*first).to_owned(), inner));
            }
        }
    }

    /// Adds the dotted paths below `name`.
    pub(super) fn paths(&self, name: &str, paths: &mut Vec<String>) {
        match self {
            Self::Whole => paths.push(name.to_owned()),
            Self::Of(fields) => {
                for (field, inner) in fields {
                    inner.paths(&format!("{name}.{field}"), paths);
                }
            }
        }
    }
}

/// The size of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    nodes: u64,
    /// How deep its parts are nested.
    pub(super) depth: u32,
    /// How deep its loops are nested.
    pub(super) loops: u32,
}

impl Shape {
    pub(super) fn of(expr: &Expr) -> Self {
        let mut shape = Self { nodes: 1, depth: 0, loops: 0 };
        children(expr, &mut |inner| {
            let inner = Self::of(inner);
            shape.nodes += inner.nodes;
            shape.depth = shape.depth.max(inner.depth);
            shape.loops = shape.loops.max(inner.loops);
        });
        shape.depth += 1;
        shape.loops += u32::from(matches!(expr, Expr::Comprehension(_)));
        shape
    }

    /// Steps at most, on objects whose largest list or map has `largest` items.
    pub(super) fn steps(self, largest: u64) -> u64 {
        self.nodes.saturating_mul(largest.max(1).saturating_pow(self.loops))
    }
}

/// The variables an expression names, each with what it reads of them; the name of one that is not known else.
pub(super) fn variables(expr: &Expr, known: &[String]) -> Result<Vec<(String, Fields)>, String> {
    let mut walk = Walk { known, read: Vec::new(), bound: Vec::new(), unknown: None };
    walk.visit(expr);
    match walk.unknown {
        Some(name) => Err(name),
        None => Ok(walk.read),
    }
}

struct Walk<'a> {
    known: &'a [String],
    read: Vec<(String, Fields)>,
    /// Variables of the loops around.
    bound: Vec<String>,
    unknown: Option<String>,
}

impl Walk<'_> {
    fn visit(&mut self, expr: &Expr) {
        match expr {
            Expr::Ident(_) | Expr::Select(_) => {
                if let Some((name, path)) = path_of(expr) {
                    self.variable(name, &path);
                } else {
                    children(expr, &mut |inner| self.visit(inner));
                }
            }
            Expr::Comprehension(inner) => self.comprehension(inner),
            Expr::Call(call) => {
                // The target of a namespaced function, such as `math` in `math.greatest(1, 2)`, is no variable.
                let space = call.target.as_ref().is_some_and(|target| is_namespace(&target.expr));
                call.target.iter().filter(|_| !space).for_each(|target| self.visit(&target.expr));
                call.args.iter().for_each(|arg| self.visit(&arg.expr));
            }
            Expr::Unspecified | Expr::List(_) | Expr::Literal(_) | Expr::Map(_) | Expr::Struct(_) => {
                children(expr, &mut |inner| self.visit(inner));
            }
        }
    }

    fn variable(&mut self, name: &str, path: &[&str]) {
        if name.starts_with('@') || self.bound.iter().any(|bound| bound == name) {
            return;
        }
        if !self.known.iter().any(|known| known == name) {
            self.unknown.get_or_insert_with(|| name.to_owned());
            return;
        }
        match self.read.iter_mut().find(|(read, _)| read == name) {
            Some((_, fields)) => fields.read(path),
            None => {
                let mut fields = Fields::Of(Vec::new());
                fields.read(path);
                self.read.push((name.to_owned(), fields));
            }
        }
    }

    fn comprehension(&mut self, inner: &ComprehensionExpr) {
        self.visit(&inner.iter_range.expr);
        self.visit(&inner.accu_init.expr);
        let before = self.bound.len();
        self.bound.push(inner.iter_var.clone());
        self.bound.extend(inner.iter_var2.clone());
        self.bound.push(inner.accu_var.clone());
        for part in [&inner.loop_cond, &inner.loop_step, &inner.result] {
            self.visit(&part.expr);
        }
        self.bound.truncate(before);
    }
}

/// `a.b.c` as the variable `a` and the path `b`, `c`.
fn path_of(expr: &Expr) -> Option<(&str, Vec<&str>)> {
    match expr {
        Expr::Ident(name) => Some((name, Vec::new())),
        Expr::Select(select) => {
            let (name, mut path) = path_of(&select.operand.expr)?;
            path.push(&select.field);
            Some((name, path))
        }
        Expr::Unspecified
        | Expr::Call(_)
        | Expr::Comprehension(_)
        | Expr::List(_)
        | Expr::Literal(_)
        | Expr::Map(_)
        | Expr::Struct(_) => None,
    }
}

/// Prefixes of library functions.
fn is_namespace(expr: &Expr) -> bool {
    let names = ["optional", "sets", "math", "strings", "base64", "format", "lists"];
    matches!(expr, Expr::Ident(name) if names.contains(&name.as_str()))
}

/// Whether the form of an expression alone shows that its value is neither true nor false.
pub(super) fn is_no_condition(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) | Expr::Struct(_) => true,
        Expr::Call(call) => {
            matches!(call.func_name.as_str(), "_+_" | "_-_" | "_*_" | "_/_" | "_%_" | "-_" | "size")
        }
        Expr::Unspecified | Expr::Comprehension(_) | Expr::Ident(_) | Expr::Select(_) => false,
    }
}

/// Calls `visit` on each direct part of an expression.
fn children<'a>(expr: &'a Expr, visit: &mut dyn FnMut(&'a Expr)) {
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
