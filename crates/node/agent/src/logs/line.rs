//! One line of a CRI log: `TIME STREAM TAG TEXT`, where the tag `P` means that the line goes on.

use jiff::Timestamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) time: &'a str,
    pub(super) text: &'a [u8],
    pub(super) whole: Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whole {
    Yes,
    /// The next line of the same stream continues it.
    Partial,
}

/// Reads a line without its newline. None for what is not in the format (a torn write).
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = std::str::from_utf8(parts.next()?).ok()?;
    let stream = parts.next()?;
    let tags = parts.next()?;
    let text = parts.next()?;
    if stream != b"stdout" && stream != b"stderr" {
        return None;
    }
    let whole =
        if tags.split(|byte| *byte == b':').next() == Some(b"P") { Whole::Partial } else { Whole::Yes };
    Some(Line { time, text, whole })
}

impl Line<'_> {
    pub(super) fn at(&self) -> Option<Timestamp> {
        self.time.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_a_time_a_stream_a_tag_and_a_text() {
        let line = parse(b"2026-11-01T14:05:00.123456789Z stdout F hello  world").unwrap();
        assert_eq!(
            (line.time, line.text, line.whole),
            ("2026-11-01T14:05:00.123456789Z", &b"hello  world"[..], Whole::Yes)
        );
        assert_eq!(line.at().unwrap().to_string(), "2026-11-01T14:05:00.123456789Z");
        assert_eq!(parse(b"2026-11-01T14:05:00Z stderr P ab").unwrap().whole, Whole::Partial);
        assert_eq!(parse(b"2026-11-01T14:05:00Z stderr F ").unwrap().text, b"");
        assert_eq!(parse(b"torn"), None);
        assert_eq!(parse(b"2026-11-01T14:05:00Z nowhere F x"), None);
    }
}
