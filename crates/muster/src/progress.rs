//! How far long work is: one line on standard error, rewritten in place, and only where a person watches.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

/// How often the line is rewritten at most.
const EVERY: Duration = Duration::from_millis(200);

/// A count that grows towards a total.
pub(crate) struct Progress {
    what: &'static str,
    total: usize,
    done: usize,
    /// When the line was last written; `None` where nobody watches.
    shown: Option<Instant>,
    written: bool,
}

impl Progress {
    /// Nothing done yet.
    pub(crate) fn new(what: &'static str, total: usize) -> Self {
        let shown = std::io::stderr().is_terminal().then(Instant::now);
        Self { what, total, done: 0, shown, written: false }
    }

    /// So many more are done.
    pub(crate) fn advance(&mut self, by: usize) {
        self.done += by;
        let Some(shown) = &mut self.shown else { return };
        if shown.elapsed() < EVERY {
            return;
        }
        *shown = Instant::now();
        self.written = true;
        let line = format!("\r\x1b[K{} of {} {}", self.done, self.total, self.what);
        self.shown = put(&line).then(Instant::now);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.written {
            self.shown = put("\r\x1b[K").then(Instant::now);
        }
    }
}

/// Whether somebody still reads.
fn put(line: &str) -> bool {
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(line.as_bytes()).and_then(|()| stderr.flush()).is_ok()
}
