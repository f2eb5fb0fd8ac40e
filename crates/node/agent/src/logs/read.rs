//! Reading one log file: from its end or from a moment, to its end or for ever, with or without times.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};

use super::line::{self, Whole};

/// Which life of the container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Which {
    #[default]
    Current,
    Previous,
}

/// What to read. The names are those of the Kubernetes log endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    pub which: Which,
    pub tail_lines: Option<u64>,
    pub since: Option<Since>,
    pub limit_bytes: Option<u64>,
    pub timestamps: Timestamps,
    pub follow: Follow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    Seconds(i64),
    Time(Timestamp),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Timestamps {
    #[default]
    Hide,
    Show,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Follow {
    #[default]
    ToTheEnd,
    ForEver,
}

/// The attempt numbers that have a log, rising.
pub(super) fn attempts(dir: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok();
    let mut found: Vec<u32> = entries.flatten().filter_map(number).collect();
    found.sort_unstable();
    found
}

/// A log being read.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    file: File,
    offset: u64,
    rest: Vec<u8>,
    since: Option<Timestamp>,
    left: Option<u64>,
    timestamps: Timestamps,
    mid_line: bool,
}

const CHUNK: usize = 64 << 10;

impl Reader {
    /// # Errors
    /// The file cannot be opened or read.
    pub fn open(path: &Path, options: Options, now: Timestamp) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let offset = match options.tail_lines {
            Some(lines) => tail_offset(&mut file, lines)?,
            None => 0,
        };
        file.seek(SeekFrom::Start(offset))?;
        let since = options.since.map(|since| match since {
            Since::Seconds(seconds) => now - SignedDuration::from_secs(seconds),
            Since::Time(time) => time,
        });
        Ok(Self {
            path: path.to_owned(),
            file,
            offset,
            rest: Vec::new(),
            since,
            left: options.limit_bytes,
            timestamps: options.timestamps,
            mid_line: false,
        })
    }

    /// Whether the limit of bytes is reached.
    pub fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    /// What can be read now, decoded; empty at the end of the file.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_chunk(&mut self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.is_empty() && !self.is_full() {
            let mut buffer = vec![0; CHUNK];
            let length = self.file.read(&mut buffer)?;
            if length == 0 {
                if self.rotated()? {
                    continue;
                }
                break;
            }
            self.offset += length as u64;
            self.rest.extend_from_slice(&buffer[..length]);
            self.decode(&mut out);
        }
        Ok(out)
    }

    /// Another file has taken the name: go on with it.
    fn rotated(&mut self) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt;
        let Ok(new) = fs::metadata(&self.path) else { return Ok(false) };
        if new.ino() == self.file.metadata()?.ino() {
            return Ok(false);
        }
        self.file = File::open(&self.path)?;
        self.offset = 0;
        Ok(true)
    }

    fn decode(&mut self, out: &mut Vec<u8>) {
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { return };
        let complete: Vec<u8> = self.rest.drain(..=end).collect();
        for line in complete.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let Some(line) = line::parse(line) else { continue };
            if self.since.is_some_and(|since| line.at().is_some_and(|at| at < since)) {
                continue;
            }
            let mut text = Vec::with_capacity(line.text.len() + 40);
            if self.timestamps == Timestamps::Show && !self.mid_line {
                text.extend_from_slice(line.time.as_bytes());
                text.push(b' ');
            }
            text.extend_from_slice(line.text);
            self.mid_line = line.whole == Whole::Partial;
            if !self.mid_line {
                text.push(b'\n');
            }
            self.give(&text, out);
        }
    }

    fn give(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let Some(left) = &mut self.left else { return out.extend_from_slice(text) };
        let length = text.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
        out.extend_from_slice(&text[..length]);
        *left -= length as u64;
    }
}

/// Where the last `lines` whole lines begin, found from the end so that a large file is not read through.
fn tail_offset(file: &mut File, lines: u64) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(end);
    }
    let mut position = end;
    let mut seen = 0;
    while position > 0 {
        let size = position.min(CHUNK as u64);
        position -= size;
        file.seek(SeekFrom::Start(position))?;
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(CHUNK)];
        file.read_exact(&mut buffer)?;
        for (at, byte) in buffer.iter().enumerate().rev() {
            let absolute = position + at as u64;
            // The newline that ends the file ends the last line; it does not begin another.
            if *byte == b'\n' && absolute + 1 != end {
                seen += 1;
                if seen == lines {
                    return Ok(absolute + 1);
                }
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn log(dir: &tempfile::TempDir) -> PathBuf {
        let path = dir.path().join("0.log");
        let lines = [
            "2026-11-01T14:00:00Z stdout F one",
            "2026-11-01T14:00:10Z stderr F two",
            "2026-11-01T14:00:20Z stdout P thr",
            "2026-11-01T14:00:20Z stdout F ee",
        ];
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    }

    fn text(path: &Path, options: Options) -> String {
        let mut reader = Reader::open(path, options, "2026-11-01T14:00:21Z".parse().unwrap()).unwrap();
        String::from_utf8(reader.next_chunk().unwrap()).unwrap()
    }

    #[test]
    fn options_choose_what_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(&dir);
        let all = Options::default();
        assert_eq!(text(&path, all), "one\ntwo\nthree\n");
        assert_eq!(text(&path, Options { tail_lines: Some(3), ..all }), "two\nthree\n");
        assert_eq!(text(&path, Options { tail_lines: Some(0), ..all }), "");
        assert_eq!(text(&path, Options { tail_lines: Some(99), ..all }), "one\ntwo\nthree\n");
        assert_eq!(text(&path, Options { since: Some(Since::Seconds(15)), ..all }), "two\nthree\n");
        assert_eq!(text(&path, Options { limit_bytes: Some(5), ..all }), "one\nt");
        let times = "2026-11-01T14:00:00Z one\n2026-11-01T14:00:10Z two\n2026-11-01T14:00:20Z three\n";
        assert_eq!(text(&path, Options { timestamps: Timestamps::Show, ..all }), times);
    }

    #[test]
    fn a_reader_goes_on_with_what_is_appended_and_with_the_file_that_replaces_its_own() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(&dir);
        let mut reader = Reader::open(&path, Options::default(), Timestamp::UNIX_EPOCH).unwrap();
        reader.next_chunk().unwrap();
        assert_eq!(reader.next_chunk().unwrap(), b"");
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"2026-11-01T14:00:30Z stdout F fo").unwrap();
        assert_eq!(reader.next_chunk().unwrap(), b"");
        file.write_all(b"ur\n").unwrap();
        assert_eq!(reader.next_chunk().unwrap(), b"four\n");
        fs::rename(&path, dir.path().join("old")).unwrap();
        fs::write(&path, "2026-11-01T14:00:40Z stdout F five\n").unwrap();
        assert_eq!(reader.next_chunk().unwrap(), b"five\n");
    }

    #[test]
    fn attempts_are_found_in_their_order() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["10.log", "9.log", "x.log", "1.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(attempts(dir.path()), [9, 10]);
    }
}
