//! The functions an expression may call: CEL's own and those Kubernetes adds.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use kube_cel::KubeCelExt as _;
use kube_cel::cel::extractors::This;
use kube_cel::cel::{Context, ExecutionError, Program};
use regex::Regex;

/// Compiled patterns each thread keeps; when there are more, it begins anew.
const PATTERNS_KEPT: usize = 64;

thread_local! {
    /// Registering the functions costs more than evaluating most expressions.
    static LIBRARY: Context<'static> = library();
    /// Compiling a pattern costs more than a hundred matches.
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

fn library() -> Context<'static> {
    let mut context = Context::default().with_all();
    context.add_function("matches", |This(text): This<Arc<String>>, pattern: Arc<String>| {
        matches(&text, &pattern)
    });
    context
}

/// Lends the functions.
pub(super) fn with<T>(work: impl FnOnce(&Context<'static>) -> T) -> T {
    LIBRARY.with(work)
}

/// Whether there is a function of that name. Operators bear names that are no words.
pub(super) fn has(name: &str) -> bool {
    let is_word = name.chars().all(|c| c.is_alphanumeric() || c == '_') && !name.starts_with('_');
    if !is_word {
        return true;
    }
    let Ok(call) = Program::compile(&format!("{name}()")) else { return true };
    with(|library| !matches!(call.execute(library), Err(ExecutionError::UndeclaredReference(_))))
}

fn matches(text: &str, pattern: &str) -> Result<bool, ExecutionError> {
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(compiled) = patterns.get(pattern) {
            return Ok(compiled.is_match(text));
        }
        let compiled =
            Regex::new(pattern).map_err(|error| ExecutionError::function_error("matches", error))?;
        if patterns.len() >= PATTERNS_KEPT {
            patterns.clear();
        }
        let matches = compiled.is_match(text);
        patterns.insert(pattern.to_owned(), compiled);
        Ok(matches)
    })
}
