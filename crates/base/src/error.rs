//! Printing an error with its causes.

use std::error::Error;
use std::fmt::Write as _;

/// The error and everything under it on one line: `outer: inner: innermost`.
///
/// A cause whose text is already the end of what stands is not repeated.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            write!(text, ": {words}").expect("writing to a String cannot fail");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the store in {dir}")]
    struct Outer {
        dir: &'static str,
        #[source]
        cause: std::io::Error,
    }

    #[test]
    fn names_every_cause_once() {
        let error = Outer { dir: "/data", cause: std::io::Error::other("disk on fire") };
        assert_eq!(chain(&error), "cannot open the store in /data: disk on fire");
    }
}
