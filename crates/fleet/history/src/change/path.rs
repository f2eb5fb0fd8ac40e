//! Where a field stands: `spec.role`, `metadata.labels["muster.dev/site"]`, `status.steps[name=restart].phase`.

use std::fmt::{self, Write as _};

use serde_json::Value;

/// One step from an object or list to what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The value of a key.
    Field(String),
    /// The element of a list that has this text under this key.
    Item { key: String, text: String },
}

/// Steps from the top of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Path(pub(crate) Vec<Step>);

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not the path of a field: {what} at character {column}")]
pub struct PathError {
    /// What was given.
    pub text: String,
    /// What is wrong.
    pub what: &'static str,
    /// Where, counted from 1.
    pub column: usize,
}

impl Path {
    pub(crate) fn field(&self, name: &str) -> Self {
        self.with(Step::Field(name.to_owned()))
    }

    pub(crate) fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Whether `other` is this field or lies within it.
    pub(crate) fn holds(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }

    pub(crate) fn find<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.0.iter().try_fold(value, |value, step| match step {
            Step::Field(name) => value.get(name),
            Step::Item { key, text } => value.as_array()?.iter().find(|each| has(each, key, text)),
        })
    }

    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        Parser { text, at: 0 }.path()
    }
}

pub(super) fn has(item: &Value, key: &str, text: &str) -> bool {
    item.get(key).and_then(Value::as_str) == Some(text)
}

fn is_plain(name: &str) -> bool {
    let mut characters = name.chars();
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    characters.next().is_some_and(letter) && characters.all(|c| letter(c) || c.is_ascii_digit())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Field(name) if is_plain(name) => {
                    if index > 0 {
                        f.write_char('.')?;
                    }
                    f.write_str(name)?;
                }
                Step::Field(name) => write!(f, "[{}]", Value::from(name.as_str()))?,
                Step::Item { key, text } if is_plain(text) && is_plain(key) => write!(f, "[{key}={text}]")?,
                Step::Item { key, text } => {
                    write!(f, "[{}={}]", Value::from(key.as_str()), Value::from(text.as_str()))?;
                }
            }
        }
        Ok(())
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn path(mut self) -> Result<Path, PathError> {
        let mut steps = Vec::new();
        while let Some(next) = self.rest().chars().next() {
            if next == '[' {
                self.at += 1;
                steps.push(self.bracket()?);
                continue;
            }
            if !steps.is_empty() {
                self.expect('.', "'.' or '[' should stand")?;
            }
            steps.push(Step::Field(self.plain()?));
        }
        Ok(Path(steps))
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn wrong<T>(&self, what: &'static str) -> Result<T, PathError> {
        let column = self.text[..self.at].chars().count() + 1;
        Err(PathError { text: self.text.to_owned(), what, column })
    }

    fn expect(&mut self, wanted: char, what: &'static str) -> Result<(), PathError> {
        if !self.rest().starts_with(wanted) {
            return self.wrong(what);
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    fn plain(&mut self) -> Result<String, PathError> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = rest[..end].to_owned();
        if !is_plain(&name) {
            return self.wrong("a name should stand");
        }
        self.at += end;
        Ok(name)
    }

    fn quoted_or_plain(&mut self) -> Result<(String, bool), PathError> {
        if !self.rest().starts_with('"') {
            return Ok((self.plain()?, false));
        }
        let mut values = serde_json::Deserializer::from_str(self.rest()).into_iter::<String>();
        match values.next() {
            Some(Ok(text)) => {
                self.at += values.byte_offset();
                Ok((text, true))
            }
            Some(Err(_)) | None => self.wrong("a text in quotes should stand"),
        }
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        let (first, quoted) = self.quoted_or_plain()?;
        let step = if self.rest().starts_with('=') {
            self.at += 1;
            Step::Item { key: first, text: self.quoted_or_plain()?.0 }
        } else if quoted {
            Step::Field(first)
        } else {
            return self.wrong("'=' should stand (a key with signs stands in quotes)");
        };
        self.expect(']', "']' should stand")?;
        Ok(step)
    }
}
