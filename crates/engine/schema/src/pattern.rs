//! Regular expressions as Kubernetes writes them (RE2), on the `regex` crate.

use std::fmt;

use regex::Regex;

/// A compiled RE2 expression. Cheap to clone; equal when the text is equal.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    regex: Regex,
}

/// An expression that does not compile.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason}")]
pub struct PatternError {
    reason: String,
}

impl Pattern {
    /// Compiles an RE2 expression.
    pub fn compile(text: &str) -> Result<Self, PatternError> {
        let regex =
            Regex::new(&translate(text)).map_err(|error| PatternError { reason: error.to_string() })?;
        Ok(Self { text: text.into(), regex })
    }

    /// The expression as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether any part of `value` matches.
    pub fn is_match(&self, value: &str) -> bool {
        self.regex.is_match(value)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// RE2's Perl classes are ASCII, `[` inside a class and a `{` that starts no repetition are literal; the
/// `regex` crate differs in each.
fn translate(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut chars = text.char_indices().peekable();
    let mut class_start: Option<usize> = None;
    while let Some((at, ch)) = chars.next() {
        match ch {
            '\\' => {
                let Some((_, escaped)) = chars.next() else {
                    out.push('\\');
                    break;
                };
                push_escape(&mut out, escaped, class_start.is_some());
            }
            '[' if class_start.is_none() => {
                out.push('[');
                class_start = Some(class_body(text, at));
            }
            '[' if !text[at..].starts_with("[:") => out.push_str("\\["),
            ']' if class_start.is_some_and(|start| at > start) => {
                let closes_posix = text[..at].ends_with(':')
                    && text[..at].rfind("[:").is_some_and(|open| {
                        class_start.is_some_and(|start| open >= start) && !text[open..at].contains(']')
                    });
                out.push(']');
                if !closes_posix {
                    class_start = None;
                }
            }
            '&' | '~' if class_start.is_some() => {
                out.push('\\');
                out.push(ch);
            }
            '{' if class_start.is_none() && !is_repetition(&text[at..]) => out.push_str("\\{"),
            ch => out.push(ch),
        }
    }
    out
}

/// Offset up to which a `]` of the class opened at `at` is literal.
fn class_body(text: &str, at: usize) -> usize {
    if text[at + 1..].starts_with('^') { at + 2 } else { at + 1 }
}

fn push_escape(out: &mut String, escaped: char, in_class: bool) {
    let name = match escaped {
        'd' => "[:digit:]",
        'D' => "[:^digit:]",
        'w' => "[:word:]",
        'W' => "[:^word:]",
        's' => "\\t\\n\\x0C\\r ",
        'b' if !in_class => "(?-u:\\b)",
        'S' if !in_class => "[^\\t\\n\\x0C\\r ]",
        'S' => "[:^space:]",
        'B' if !in_class => "(?-u:\\B)",
        other => {
            out.push('\\');
            out.push(other);
            return;
        }
    };
    let whole = in_class || matches!(escaped, 'b' | 'B' | 'S');
    if whole {
        out.push_str(name);
    } else {
        out.push('[');
        out.push_str(name);
        out.push(']');
    }
}

fn is_repetition(text: &str) -> bool {
    let Some(end) = text.find('}') else { return false };
    let inner = &text[1..end];
    let (low, high) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    !low.is_empty() && digits(low) && digits(high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, yes: &[&str], no: &[&str]) {
        let compiled = Pattern::compile(pattern).unwrap();
        for text in yes {
            assert!(compiled.is_match(text), "{pattern} must match {text:?}");
        }
        for text in no {
            assert!(!compiled.is_match(text), "{pattern} must not match {text:?}");
        }
    }

    #[test]
    fn perl_classes_are_ascii_as_in_re2() {
        check(r"^\d+$", &["12"], &["١٢", "a"]);
        check(r"^[\w-]+$", &["a_b-1"], &["é"]);
        check(r"^\S+$", &["ab"], &["a b"]);
        check(r"^[^\s]+$", &["ab"], &["a b"]);
        check(r"\bfoo\b", &["a foo b"], &["afoo"]);
    }

    #[test]
    fn a_bracket_inside_a_class_and_a_lone_brace_are_literal() {
        check(r"^[[]$", &["["], &["]"]);
        check(r"^[]a]$", &["]", "a"], &["["]);
        check(r"^[^]a]$", &["["], &["]", "a"]);
        check(r"^a{$", &["a{"], &["a"]);
        check(r"^a{2}$", &["aa"], &["a{2}"]);
        check(r"^[[:alpha:]]+$", &["abc"], &["1", ":"]);
        check(r"^[a&&b]+$", &["a&b"], &["c"]);
    }

    #[test]
    fn the_names_of_kubernetes_compile() {
        check(
            r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
            &["a-b.c"],
            &["A", "-a", "a."],
        );
        check(r"^(([a-zA-Z0-9.-]+)(:[0-9]+)?/)?\{[A-Z]+\}$", &["h:1/{A}"], &["{a}"]);
    }

    #[test]
    fn a_broken_expression_says_why() {
        let error = Pattern::compile("a(").unwrap_err().to_string();
        assert!(error.contains("unclosed group"), "{error}");
    }
}
