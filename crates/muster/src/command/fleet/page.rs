//! The report as a page that needs nothing else.

use super::{Rows, Told, summary, tables};

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2rem auto;max-width:60rem;color:#1c2733}\
table{border-collapse:collapse;margin:1.2rem 0;width:100%}\
th,td{text-align:left;padding:.25rem .8rem;border-bottom:1px solid #d5dde5}\
td+td,th+th{text-align:right}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn rows(rows: Rows, header: bool) -> String {
    let mut html = String::from("<table>\n");
    for (index, cells) in rows.iter().enumerate() {
        let tag = if header && index == 0 { "th" } else { "td" };
        let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect();
        html += &format!("<tr>{cells}</tr>\n");
    }
    html + "</table>\n"
}

pub(super) fn page(told: &Told) -> String {
    let title = "What became of the problems";
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n<p>from {:.0} to {:.0}</p>\n",
        told.since, told.until
    );
    html += &rows(summary(told), false);
    for table in tables(told) {
        html += &rows(table, true);
    }
    html + "</html>\n"
}
