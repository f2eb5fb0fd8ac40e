//! Texts behind their lengths.

const SHORT: &str = "the header ends before its last part";

pub(super) fn push_length(mut length: usize, out: &mut Vec<u8>) {
    while 0x80 <= length {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
}

pub(super) fn push_text(text: &str, out: &mut Vec<u8>) {
    push_length(text.len(), out);
    out.extend_from_slice(text.as_bytes());
}

/// What is still to be read.
pub(super) struct Input<'a> {
    rest: &'a [u8],
}

impl<'a> Input<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*array)
    }

    fn length(&mut self) -> Result<usize, &'static str> {
        let mut length = 0;
        for shift in (0..28).step_by(7) {
            let [byte] = self.array()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
        Err("a length in the header is longer than any can be")
    }

    pub(super) fn text(&mut self) -> Result<&'a str, &'static str> {
        let length = self.length()?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| "a text in the header is not UTF-8")
    }

    /// A list of known length in one piece of memory.
    pub(super) fn list<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Box<[T]>, &'static str> {
        let count = self.length()?;
        if self.rest.len() < count {
            return Err(SHORT);
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(one(self)?);
        }
        Ok(list.into())
    }
}
