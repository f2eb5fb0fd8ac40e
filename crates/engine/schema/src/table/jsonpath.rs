//! The simple JSON paths of printer columns, scale and selectable fields: `.a.b`, `['x']`, `[0]`, `[*]`,
//! `[?(@.type=="Ready")].status`.

use serde_json::Value;

/// A parsed path.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

/// A path that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unrecognized JSON path {path:?} at {rest:?}: {wanted}")]
pub struct JsonPathError {
    path: String,
    rest: String,
    wanted: &'static str,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Negative counts from the end.
    Index(i64),
    All,
    Filter {
        path: JsonPath,
        test: Option<(Compare, Value)>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl JsonPath {
    /// Parses a path; the leading dot and enclosing braces may be left out.
    pub fn parse(path: &str) -> Result<Self, JsonPathError> {
        let inner = path.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(path);
        let mut parser = Parser { path, rest: inner.trim().trim_start_matches('$') };
        let steps = parser.steps()?;
        if parser.rest.is_empty() { Ok(steps) } else { Err(parser.wrong("a field, an index or the end")) }
    }

    /// What the path leads to, in the order of the document.
    pub fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.0
            .iter()
            .fold(vec![value], |found, step| found.into_iter().flat_map(|value| step.apply(value)).collect())
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match (self, value) {
            (Self::Field(name), Value::Object(map)) => map.get(name).into_iter().collect(),
            (Self::Index(index), Value::Array(items)) => {
                let from_end = items.len().checked_sub(index.unsigned_abs() as usize);
                let at = usize::try_from(*index).ok().or(from_end);
                at.and_then(|at| items.get(at)).into_iter().collect()
            }
            (Self::All, Value::Array(items)) => items.iter().collect(),
            (Self::All, Value::Object(map)) => map.values().collect(),
            (Self::Filter { path, test }, Value::Array(items)) => {
                items.iter().filter(|item| passes(path, test.as_ref(), item)).collect()
            }
            (Self::Field(_) | Self::Index(_) | Self::All | Self::Filter { .. }, _) => Vec::new(),
        }
    }
}

fn passes(path: &JsonPath, test: Option<&(Compare, Value)>, item: &Value) -> bool {
    let found = path.find(item);
    let (Some(found), Some((compare, wanted))) = (found.first(), test) else { return !found.is_empty() };
    let order = match (found, wanted) {
        (Value::Number(left), Value::Number(right)) => left.as_f64().partial_cmp(&right.as_f64()),
        (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
        (left, right) => (*left == right).then_some(std::cmp::Ordering::Equal),
    };
    match compare {
        Compare::Equal => order == Some(std::cmp::Ordering::Equal),
        Compare::NotEqual => order != Some(std::cmp::Ordering::Equal),
        Compare::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Compare::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Compare::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Compare::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

struct Parser<'a> {
    path: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn wrong(&self, wanted: &'static str) -> JsonPathError {
        JsonPathError { path: self.path.to_owned(), rest: self.rest.to_owned(), wanted }
    }

    fn eat(&mut self, text: &str) -> bool {
        let tail = self.rest.strip_prefix(text);
        self.rest = tail.unwrap_or(self.rest);
        tail.is_some()
    }

    fn steps(&mut self) -> Result<JsonPath, JsonPathError> {
        let mut steps = Vec::new();
        loop {
            if self.eat("[") {
                steps.push(self.bracket()?);
            } else if self.eat(".") {
                if self.rest.is_empty() || self.rest.starts_with('[') {
                    continue;
                }
                steps.push(self.field()?);
            } else if steps.is_empty() && self.rest.starts_with(|ch: char| ch.is_ascii_alphanumeric()) {
                steps.push(self.field()?);
            } else {
                return Ok(JsonPath(steps));
            }
        }
    }

    /// A name up to the next dot or bracket; `\.` is a dot of the name.
    fn field(&mut self) -> Result<Step, JsonPathError> {
        if self.eat("*") {
            return Ok(Step::All);
        }
        let mut name = String::new();
        let mut chars = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, ch)) = chars.next() {
            match ch {
                '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
                '.' | '[' | ']' | ')' | '=' | '!' | '<' | '>' | ' ' => {
                    end = at;
                    break;
                }
                ch => name.push(ch),
            }
        }
        if name.is_empty() {
            return Err(self.wrong("a field name"));
        }
        self.rest = &self.rest[end..];
        Ok(Step::Field(name))
    }

    fn bracket(&mut self) -> Result<Step, JsonPathError> {
        let step = if self.eat("*") {
            Step::All
        } else if self.eat("?(") {
            self.filter()?
        } else if self.rest.starts_with(['\'', '"']) {
            Step::Field(self.quoted()?)
        } else {
            let end = self.rest.find(']').ok_or_else(|| self.wrong("a closing bracket"))?;
            let index = self.rest[..end].trim().parse().map_err(|_| self.wrong("an index"))?;
            self.rest = &self.rest[end..];
            Step::Index(index)
        };
        if self.eat("]") { Ok(step) } else { Err(self.wrong("a closing bracket")) }
    }

    fn quoted(&mut self) -> Result<String, JsonPathError> {
        let quote = if self.rest.starts_with('\'') { '\'' } else { '"' };
        let body = &self.rest[1..];
        let end = body.find(quote).ok_or_else(|| self.wrong("a closing quote"))?;
        self.rest = &body[end + 1..];
        Ok(body[..end].to_owned())
    }

    fn filter(&mut self) -> Result<Step, JsonPathError> {
        if !self.eat("@") {
            return Err(self.wrong("@"));
        }
        let path = self.steps()?;
        self.rest = self.rest.trim_start();
        let operators = [
            ("==", Compare::Equal),
            ("!=", Compare::NotEqual),
            ("<=", Compare::LessOrEqual),
            (">=", Compare::GreaterOrEqual),
            ("<", Compare::Less),
            (">", Compare::Greater),
        ];
        let operator = operators.into_iter().find(|(text, _)| self.eat(text));
        let test = match operator {
            Some((_, compare)) => Some((compare, self.literal()?)),
            None => None,
        };
        self.rest = self.rest.trim_start();
        if self.eat(")") { Ok(Step::Filter { path, test }) } else { Err(self.wrong("a closing parenthesis")) }
    }

    fn literal(&mut self) -> Result<Value, JsonPathError> {
        self.rest = self.rest.trim_start();
        if self.rest.starts_with(['\'', '"']) {
            return self.quoted().map(Value::from);
        }
        let end = self.rest.find([')', ' ']).unwrap_or(self.rest.len());
        let value = serde_json::from_str(&self.rest[..end]).map_err(|_| self.wrong("a literal"))?;
        self.rest = &self.rest[end..];
        Ok(value)
    }
}
