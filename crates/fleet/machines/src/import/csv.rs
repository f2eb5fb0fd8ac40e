//! Tables with a header row.

use ::csv::{Position, ReaderBuilder, StringRecord, Trim};

use super::Fault;
use super::rows::{Cell, Field, Row, Sheet, is_label_key};

const COLUMNS: &str = "name, site, rack, serial, role, profile, bmc, label:KEY";

/// What a column of the file holds.
enum Column<'a> {
    Field(Field),
    Label(&'a str),
    /// Its header is bad: its cells are not looked at.
    Ignored,
}

/// Reads a CSV text. Without the columns `name` and `site` no row is looked at.
pub fn read(text: &str) -> Sheet {
    let mut sheet = Sheet::default();
    let open = unclosed_quote(text);
    // What follows the quote is no row: the reader would take all of it for one cell.
    let text = open.as_ref().map_or(text, |open| &text[..open.row_at]);
    sheet.faults.extend(open.map(|open| Fault {
        line: open.line,
        column: open.column,
        text: "the quote that opens this cell is never closed; close it".to_owned(),
    }));
    if text.is_empty() && !sheet.faults.is_empty() {
        return sheet;
    }
    let mut reader = ReaderBuilder::new().flexible(true).trim(Trim::All).from_reader(text.as_bytes());
    let header = match reader.headers() {
        Ok(header) => header.clone(),
        Err(error) => {
            let text = format!("the header cannot be read: {error}");
            sheet.faults.push(Fault { line: 1, column: 1, text });
            return sheet;
        }
    };
    let columns = judge_header(&header, &mut sheet.faults);
    if columns.is_empty() {
        return sheet;
    }
    for record in reader.records() {
        match record {
            Ok(record) => read_row(&columns, &record, &mut sheet),
            Err(error) => {
                let line = error.position().map_or(0, Position::line);
                let text = format!("the row cannot be read: {error}");
                sheet.faults.push(Fault { line, column: 1, text });
            }
        }
    }
    sheet
}

/// A quote without its end.
struct OpenQuote {
    line: u64,
    column: usize,
    /// Where its row begins.
    row_at: usize,
}

/// RFC 4180: a quote opens at the begin of a cell, and two in a row are one of the text.
fn unclosed_quote(text: &str) -> Option<OpenQuote> {
    let (mut line, mut column, mut row_at) = (1, 1, 0);
    let mut open: Option<OpenQuote> = None;
    let mut at_start = true;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        line += u64::from(byte == b'\n');
        if open.is_some() {
            if byte == b'"' && bytes.next_if(|(_, next)| *next == b'"').is_none() {
                open = None;
            }
            continue;
        }
        match byte {
            b'"' if at_start => open = Some(OpenQuote { line, column, row_at }),
            b',' => column += 1,
            b'\n' => (column, row_at) = (1, at + 1),
            _ => {}
        }
        at_start = matches!(byte, b',' | b'\n');
    }
    open
}

/// The columns; none where a wanted one is missing.
fn judge_header<'a>(header: &'a StringRecord, faults: &mut Vec<Fault>) -> Vec<Column<'a>> {
    let mut columns = Vec::new();
    for (index, name) in header.iter().enumerate() {
        let label = name.strip_prefix("label:").filter(|key| is_label_key(key));
        let column = Field::called(name).map(Column::Field).or(label.map(Column::Label));
        let text = match &column {
            None => Some(format!("unknown column {name:?}; known are {COLUMNS}")),
            Some(_) if header.iter().take(index).any(|before| before == name) => {
                Some(format!("the column {name:?} stands twice"))
            }
            Some(_) => None,
        };
        let is_bad = text.is_some();
        faults.extend(text.map(|text| Fault { line: 1, column: index + 1, text }));
        columns.push(column.filter(|_| !is_bad).unwrap_or(Column::Ignored));
    }
    let missing: Vec<&str> =
        ["name", "site"].into_iter().filter(|wanted| !header.iter().any(|name| name == *wanted)).collect();
    for wanted in &missing {
        faults.push(Fault { line: 1, column: 1, text: format!("the column {wanted:?} is missing") });
    }
    if missing.is_empty() { columns } else { Vec::new() }
}

fn read_row(columns: &[Column<'_>], record: &StringRecord, sheet: &mut Sheet) {
    let line = record.position().map_or(0, Position::line);
    if record.len() != columns.len() {
        let text = format!("the row has {} cells, the header {}", record.len(), columns.len());
        let column = record.len().min(columns.len()) + 1;
        sheet.faults.push(Fault { line, column, text });
        return;
    }
    let mut row = Row::at(line, 1);
    for (index, (column, text)) in columns.iter().zip(record).enumerate() {
        let cell = Cell { text: text.to_owned(), line, column: index + 1, is_bad: false };
        match column {
            Column::Field(field) => row.put(*field, cell, &mut sheet.faults),
            Column::Label(key) => row.label(key, &cell, &mut sheet.faults),
            Column::Ignored => {}
        }
    }
    sheet.rows.push(row);
}
