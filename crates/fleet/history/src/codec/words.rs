//! Words that come again and again: keys, field paths, users. Each stands once in the log and is a number after that.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Malformed, Reader, put_bytes, put_number};

/// Words beyond this many are written out each time, so that the dictionary cannot grow without bound.
const WORDS_MAX: usize = 1 << 18;
const NEW: u64 = 0;
const WRITTEN_OUT: u64 = 1;
const FIRST: u64 = 2;

/// The dictionary of a log: words are numbered in the order of their first use.
#[derive(Debug, Default)]
pub(crate) struct Words {
    numbers: HashMap<Arc<str>, u32>,
    words: Vec<Arc<str>>,
}

impl Words {
    fn learn(&mut self, word: Arc<str>) {
        let number = u32::try_from(self.words.len()).expect("there are at most WORDS_MAX");
        self.numbers.insert(Arc::clone(&word), number);
        self.words.push(word);
    }

    pub(crate) fn learn_all(&mut self, new: Vec<Arc<str>>) {
        for word in new {
            self.learn(word);
        }
    }
}

pub(crate) fn put_word(out: &mut Vec<u8>, word: &str, words: &mut Words) {
    if let Some(number) = words.numbers.get(word) {
        return put_number(out, u64::from(*number) + FIRST);
    }
    let room = words.words.len() < WORDS_MAX;
    put_number(out, if room { NEW } else { WRITTEN_OUT });
    put_bytes(out, word.as_bytes());
    if room {
        words.learn(Arc::from(word));
    }
}

/// A record being read: its bytes, the dictionary before it, the words it adds.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    pub(crate) bytes: Reader<'a>,
    words: &'a Words,
    new: Vec<Arc<str>>,
}

impl<'a> Reading<'a> {
    pub(crate) fn new(bytes: &'a [u8], words: &'a Words) -> Self {
        Self { bytes: Reader::new(bytes), words, new: Vec::new() }
    }

    pub(crate) fn word(&mut self) -> Result<Arc<str>, Malformed> {
        match self.bytes.number()? {
            NEW => {
                let word: Arc<str> = self.bytes.text()?.into();
                self.new.push(Arc::clone(&word));
                Ok(word)
            }
            WRITTEN_OUT => Ok(self.bytes.text()?.into()),
            number => {
                let number = usize::try_from(number - FIRST).map_err(|_| Malformed("no such word"))?;
                let known = self.words.words.get(number);
                let added = || self.new.get(number.checked_sub(self.words.words.len())?);
                known.or_else(added).cloned().ok_or(Malformed("no such word"))
            }
        }
    }

    /// The words that this record used first; to be learned before the next record is read in order.
    pub(crate) fn new_words(self) -> Vec<Arc<str>> {
        self.new
    }
}
