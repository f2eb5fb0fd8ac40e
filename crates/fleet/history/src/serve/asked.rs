//! What stands behind the question mark of a list.

use jiff::Timestamp;

use crate::change::Path;
use crate::kinds::Kind;

/// Which part of the history is asked for. Of all objects of a kind it is told page by page.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) kind: Kind,
    /// One object; else all of the kind, those that are gone included.
    pub(super) name: Option<String>,
    /// Parts of the object; none: all.
    pub(super) fields: Vec<Path>,
    pub(super) since: Timestamp,
    pub(super) until: Timestamp,
    /// The number of the object that comes next.
    pub(super) from: u32,
}

impl Wanted {
    /// Reads `?kind=Machine&continue=TOKEN` and, of `name=m1&field=spec.role&since=TIME&until=TIME`, what is understood.
    ///
    /// # Errors
    /// In words, what is wrong.
    pub(super) fn read(query: &str, understood: &[&str]) -> Result<Self, String> {
        let mut kind = None;
        let (mut name, mut fields, mut from) = (None, Vec::new(), 0);
        let (mut since, mut until) = (Timestamp::MIN, Timestamp::MAX);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let time = || value.parse().map_err(|_| format!("{key}: {value:?} is no RFC 3339 time"));
            match &*key {
                "kind" => kind = Some(named(&value)?),
                "continue" => {
                    let wrong = |_| format!("continue: {value:?} is no token that a list gave");
                    from = value.parse().map_err(wrong)?;
                }
                // kubectl and client libraries add these to every list.
                "limit" | "timeout" | "timeoutSeconds" => {}
                key if !understood.contains(&key) => return Err(format!("there is no parameter {key:?}")),
                "name" => name = Some(value.into_owned()).filter(|name| !name.is_empty()),
                "field" => {
                    fields.push(Path::parse(&value).map_err(|error| error.to_string())?);
                }
                "since" => since = time()?,
                "until" => until = time()?,
                _ => return Err(format!("there is no parameter {key:?}")),
            }
        }
        let kind = kind.ok_or("which kind? add kind=Machine")?;
        Ok(Self { kind, name, fields, since, until, from })
    }

    /// Whether a field is part of what is asked for, or has such a part.
    pub(super) fn is_of(&self, path: &Path) -> bool {
        self.fields.is_empty() || self.fields.iter().any(|field| field.holds(path) || path.holds(field))
    }
}

fn named(text: &str) -> Result<Kind, String> {
    Kind::named(text).ok_or_else(|| {
        format!("kind {text:?} has no history; these have: {}", Kind::ALL.map(Kind::name).join(", "))
    })
}
