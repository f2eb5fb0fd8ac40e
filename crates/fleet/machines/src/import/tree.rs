//! YAML, and JSON as the part of it that it is, as trees whose nodes know where they stand.

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};
use serde_json::Value as Json;

use super::Fault;
use super::rows::Cell;

/// A node and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: u64,
    pub(super) column: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// Unquoted: a number, a word, `null`, `true`.
    Plain(String),
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    pub(super) fn fault(&self, text: impl Into<String>) -> Fault {
        Fault { line: self.line, column: self.column, text: text.into() }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Plain(text) if ["", "null", "~", "Null", "NULL"].contains(&text.as_str()))
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Quoted(text) if !self.is_null() => Some(text),
            Value::Plain(_) | Value::Quoted(_) | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The entries of a map; none for anything else.
    pub(super) fn entries(&self) -> &[(Node, Node)] {
        match &self.value {
            Value::Map(entries) => entries,
            Value::Plain(_) | Value::Quoted(_) | Value::List(_) => &[],
        }
    }

    /// The value of a key that is there and not null.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let found = self.entries().iter().find(|(found, _)| found.text() == Some(key));
        found.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// A cell with the node's text and place.
    pub(super) fn cell(&self) -> Cell {
        let text = self.text().unwrap_or_default().trim().to_owned();
        Cell { text, line: self.line, column: self.column, is_bad: false }
    }

    /// As JSON, plain scalars by YAML's core schema.
    pub(super) fn json(&self) -> Json {
        match &self.value {
            Value::Plain(_) if self.is_null() => Json::Null,
            Value::Plain(text) => match text.as_str() {
                "true" => Json::Bool(true),
                "false" => Json::Bool(false),
                number => number.parse::<i64>().map_or_else(|_| Json::from(number), Json::from),
            },
            Value::Quoted(text) => Json::from(text.as_str()),
            Value::List(items) => items.iter().map(Node::json).collect(),
            Value::Map(entries) => Json::Object(
                entries
                    .iter()
                    .map(|(key, value)| (key.text().unwrap_or_default().to_owned(), value.json()))
                    .collect(),
            ),
        }
    }
}

/// Reads nodes one after the other: a file of a hundred thousand devices is never in memory as one tree.
pub(super) struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
}

/// What comes next.
pub(super) enum Next {
    /// A whole scalar.
    Scalar(Node),
    /// A list begins.
    List(Place),
    /// A map begins.
    Map(Place),
    /// The list or map ends.
    End,
    /// The file ends.
    Eof,
}

/// Line and column, both from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) column: usize,
}

fn place(span: &Span) -> Place {
    Place { line: u64::try_from(span.start.line()).unwrap_or(u64::MAX), column: span.start.col() + 1 }
}

fn broken(error: &ScanError) -> Fault {
    let line = u64::try_from(error.marker().line()).unwrap_or(u64::MAX);
    Fault { line, column: error.marker().col() + 1, text: format!("this cannot be read: {}", error.info()) }
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { parser: Parser::new_from_str(text) }
    }

    /// The next thing; document marks are passed over.
    pub(super) fn next(&mut self) -> Result<Next, Fault> {
        loop {
            let (event, span) = match self.parser.next() {
                None => return Ok(Next::Eof),
                Some(Err(error)) => return Err(broken(&error)),
                Some(Ok(found)) => found,
            };
            let place = place(&span);
            match event {
                Event::StreamEnd => return Ok(Next::Eof),
                Event::Scalar(text, style, ..) => return Ok(Next::Scalar(scalar(&text, style, place))),
                Event::SequenceStart(..) => return Ok(Next::List(place)),
                Event::MappingStart(..) => return Ok(Next::Map(place)),
                Event::SequenceEnd | Event::MappingEnd => return Ok(Next::End),
                Event::Alias(_) => {
                    let text = "aliases (*NAME) are not taken; write the value out".to_owned();
                    return Err(Fault { line: place.line, column: place.column, text });
                }
                Event::StreamStart
                | Event::DocumentStart(..)
                | Event::DocumentEnd
                | Event::Anchor(..)
                | Event::UnresolvedAlias(_)
                | _ => {}
            }
        }
    }

    /// The next whole node; `None` at an end.
    pub(super) fn node(&mut self) -> Result<Option<Node>, Fault> {
        let next = self.next()?;
        self.rest_of(next)
    }

    /// The whole node that began with `next`.
    pub(super) fn rest_of(&mut self, next: Next) -> Result<Option<Node>, Fault> {
        let (place, value) = match next {
            Next::Scalar(node) => return Ok(Some(node)),
            Next::End | Next::Eof => return Ok(None),
            Next::List(place) => {
                let mut items = Vec::new();
                while let Some(item) = self.node()? {
                    items.push(item);
                }
                (place, Value::List(items))
            }
            Next::Map(place) => {
                let mut entries: Vec<(Node, Node)> = Vec::new();
                while let Some(key) = self.node()? {
                    let Some(value) = self.node()? else { break };
                    if key.text().is_some() && entries.iter().any(|(before, _)| before.text() == key.text()) {
                        return Err(
                            key.fault(format!("the key {:?} stands twice", key.text().unwrap_or_default()))
                        );
                    }
                    entries.push((key, value));
                }
                (place, Value::Map(entries))
            }
        };
        Ok(Some(Node { line: place.line, column: place.column, value }))
    }
}

fn scalar(text: &str, style: ScalarStyle, place: Place) -> Node {
    let text = text.to_owned();
    let value = if style == ScalarStyle::Plain { Value::Plain(text) } else { Value::Quoted(text) };
    Node { line: place.line, column: place.column, value }
}
