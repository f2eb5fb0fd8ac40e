//! The list of exceptions: it may only shrink, and a row that nothing needs is itself a finding.
use super::finding::{Finding, Rule};

pub(super) const PATH: &str = "xtask/tidy-exceptions.txt";

/// `rule subject` or `rule subject size`: the size that a measured rule lets pass instead of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    line: usize,
    rule: Rule,
    subject: String,
    size_max: Option<usize>,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{PATH}:{line}: {what}; write `rule subject` or `rule subject size`")]
pub(crate) struct RowError {
    line: usize,
    what: String,
}

/// Rows from text; empty lines and lines that begin with `#` say nothing.
pub(super) fn parse(text: &str) -> Result<Vec<Row>, RowError> {
    let meant = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    meant
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| row(number, line))
        .collect()
}

fn row(line: usize, text: &str) -> Result<Row, RowError> {
    let error = |what: String| RowError { line, what };
    let (name, rest) = text.split_once(' ').ok_or_else(|| error(format!("`{text}` has no subject")))?;
    let rule = Rule::named(name).ok_or_else(|| error(format!("there is no rule `{name}`")))?;
    let (subject, size_max) =
        match rest.trim().rsplit_once(' ').map(|(subject, size)| (subject, size.parse())) {
            Some((subject, Ok(size))) => (subject, Some(size)),
            Some((_, Err(_))) | None => (rest.trim(), None),
        };
    Ok(Row { line, rule, subject: subject.to_owned(), size_max })
}

impl Row {
    fn lets_pass(&self, finding: &Finding) -> bool {
        self.rule == finding.rule && self.subject == finding.subject && self.size_max >= finding.measure
    }
}

/// The findings that no row lets pass, and a finding for each row that is unused or larger than needed.
pub(super) fn apply(rows: &[Row], findings: Vec<Finding>) -> Vec<Finding> {
    let stale = rows.iter().filter_map(|row| stale(row, &findings)).collect::<Vec<_>>();
    let mut left: Vec<Finding> =
        findings.into_iter().filter(|finding| !rows.iter().any(|row| row.lets_pass(finding))).collect();
    left.extend(stale);
    left
}

fn stale(row: &Row, findings: &[Finding]) -> Option<Finding> {
    let used = findings.iter().filter(|finding| row.lets_pass(finding)).map(|finding| finding.measure).max();
    match used {
        None => {
            Some(about(row.line, format!("nothing needs the row for `{}`", row.subject), "delete the row"))
        }
        Some(size) if size < row.size_max => Some(about(
            row.line,
            format!("`{}` is down to {}", row.subject, size.unwrap_or_default()),
            "write the smaller size in its row",
        )),
        Some(_) => None,
    }
}

/// Rows that the earlier list did not have, or with a smaller size. No earlier list: nothing to compare with.
pub(super) fn grown(rows: &[Row], earlier: Option<&str>) -> Result<Vec<Finding>, RowError> {
    let Some(earlier) = earlier else { return Ok(Vec::new()) };
    let earlier = parse(earlier)?;
    let known = |row: &Row| {
        earlier
            .iter()
            .any(|old| (old.rule, &old.subject) == (row.rule, &row.subject) && row.size_max <= old.size_max)
    };
    let new = rows.iter().filter(|row| !known(row));
    Ok(new
        .map(|row| {
            about(row.line, format!("the row for `{}` is new or larger", row.subject), "mend what it excuses")
        })
        .collect())
}

fn about(line: usize, what: String, remedy: &'static str) -> Finding {
    Finding { subject: PATH.to_owned(), line: Some(line), rule: Rule::Exception, measure: None, what, remedy }
}

#[cfg(test)]
mod tests;
