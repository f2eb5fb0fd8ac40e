//! Printing: tables as the API renders them, objects as JSON or YAML.

use std::io::Write as _;

use http::header::ACCEPT;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::Format;
use crate::failure::Failure;

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Table {
    column_definitions: Vec<ColumnDefinition>,
    #[serde(default)]
    rows: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct ColumnDefinition {
    name: String,
    #[serde(default)]
    priority: i32,
}

#[derive(Debug, Deserialize)]
struct Row {
    cells: Vec<Value>,
}

/// Prints the objects at `path` of the API; `what` they are stands in errors.
pub(crate) async fn list(client: &Client, what: &str, path: &str, format: Format) -> Result<(), Failure> {
    match format {
        Format::Table | Format::Wide => {
            let table: Table = get(client, what, path, TABLE).await?;
            text(&render(&table, format))
        }
        Format::Json | Format::Yaml => {
            let value: Value = get(client, what, path, "application/json").await?;
            object(&value, format)
        }
    }
}

async fn get<T: for<'de> Deserialize<'de>>(
    client: &Client,
    what: &str,
    path: &str,
    accept: &str,
) -> Result<T, Failure> {
    let request = http::Request::get(path)
        .header(ACCEPT, accept)
        .body(Vec::new())
        .map_err(|error| Failure::failed(format!("{path} is no path of the API"), &error))?;
    client.request(request).await.map_err(|error| Failure::api(what, &error))
}

fn render(table: &Table, format: Format) -> String {
    let shown: Vec<usize> = table
        .column_definitions
        .iter()
        .enumerate()
        .filter(|(_, column)| column.priority == 0 || format == Format::Wide)
        .map(|(index, _)| index)
        .collect();
    let header = shown.iter().map(|index| table.column_definitions[*index].name.to_uppercase()).collect();
    let rows = table.rows.iter().map(|row| {
        shown.iter().map(|index| row.cells.get(*index).map(cell).unwrap_or_default()).collect::<Vec<_>>()
    });
    columns(std::iter::once(header).chain(rows))
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// Rows in columns as wide as their widest cell.
pub(crate) fn columns(rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |index: usize| rows.iter().filter_map(|row| row.get(index)).map(|c| c.chars().count()).max();
    let widths: Vec<usize> = (0..count).map(|index| width(index).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 3));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Prints one value as JSON or YAML.
pub(crate) fn object(value: &impl Serialize, format: Format) -> Result<(), Failure> {
    let printed = match format {
        Format::Yaml => {
            serde_saphyr::to_string(value).map_err(|error| Failure::failed("cannot print YAML", &error))?
        }
        Format::Json | Format::Table | Format::Wide => {
            serde_json::to_string_pretty(value)
                .map_err(|error| Failure::failed("cannot print JSON", &error))?
                + "\n"
        }
    };
    text(&printed)
}

/// Prints many values as a Kubernetes List.
pub(crate) fn items(values: Vec<Value>, format: Format) -> Result<(), Failure> {
    let list = Map::from_iter([
        ("apiVersion".to_owned(), Value::from("v1")),
        ("kind".to_owned(), Value::from("List")),
        ("items".to_owned(), Value::from(values)),
    ]);
    object(&Value::Object(list), format)
}

/// Prints text; a reader that has gone away is no error.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("cannot write to standard output", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Tells a person something besides the answer, on standard error.
pub(crate) fn note(words: &str) -> Result<(), Failure> {
    match writeln!(std::io::stderr(), "{words}") {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::failed("cannot write to standard error", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wide_columns_show_only_when_asked_and_cells_line_up() {
        let table = serde_json::from_value(json!({
            "columnDefinitions": [{"name": "Name"}, {"name": "Phase"}, {"name": "Rack", "priority": 1}],
            "rows": [{"cells": ["m1", "Healthy", "r1"]}, {"cells": ["machine-2", null, 7]}],
        }))
        .unwrap();
        assert_eq!(render(&table, Format::Table), "NAME        PHASE\nm1          Healthy\nmachine-2\n");
        assert_eq!(
            render(&table, Format::Wide),
            "NAME        PHASE     RACK\nm1          Healthy   r1\nmachine-2             7\n"
        );
    }
}
