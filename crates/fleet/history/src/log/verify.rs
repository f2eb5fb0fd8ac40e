//! Walking the chain: every byte of every segment, from the first on.

use serde::{Deserialize, Serialize};

use super::files::{self, Files};
use super::frame::{BadHeader, Chain, Frame, HEADER_BYTES, Header, frame_at};
use super::{LogError, failed};

/// The first place that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Broken {
    /// Which file.
    pub file: String,
    /// Where.
    pub offset: u64,
    /// Sequence number of the first record that cannot be trusted.
    pub record: u64,
    /// What is wrong.
    pub reason: String,
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Segments that hold.
    pub segments: u32,
    /// Records that hold.
    pub records: u64,
    /// Bytes walked.
    pub bytes: u64,
    /// The chain after the last record that holds; whoever notes it elsewhere can prove that nothing before it changed.
    pub chain: String,
    /// The first record that does not.
    pub broken: Option<Broken>,
}

/// As far as the log is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Until {
    pub(crate) segment: u32,
    pub(crate) bytes: u64,
}

/// A record and the chain after it, noted at an earlier time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Anchor {
    pub(crate) record: u64,
    pub(crate) chain: String,
}

impl Anchor {
    /// Reads `RECORD:CHAIN`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("anchor {text:?}: write RECORD:CHAIN as an earlier verification told it");
        let (record, chain) = text.split_once(':').ok_or_else(wrong)?;
        let record = record.parse().map_err(|_| wrong())?;
        if chain.len() != 64 || !chain.chars().all(|c| c.is_ascii_hexdigit()) || record == 0 {
            return Err(wrong());
        }
        Ok(Self { record, chain: chain.to_ascii_lowercase() })
    }
}

struct Walk<'a> {
    verdict: Verdict,
    next: u64,
    chain: Chain,
    anchor: Option<&'a Anchor>,
}

/// Walks the whole chain, up to `until` where the log is being written.
///
/// # Errors
/// A file cannot be read at all.
pub(crate) fn verify(
    files: &dyn Files,
    until: Option<Until>,
    anchor: Option<&Anchor>,
) -> Result<Verdict, LogError> {
    let names = files.list().map_err(failed("history", "list the directory"))?;
    let mut segments = files::segments(&names);
    segments.retain(|segment| until.is_none_or(|until| *segment <= until.segment));
    let verdict = Verdict { segments: 0, records: 0, bytes: 0, chain: String::new(), broken: None };
    let mut walk = Walk { verdict, next: 1, chain: Chain::default(), anchor };
    let last = until.map(|until| until.segment).or(segments.last().copied()).unwrap_or(0);
    for number in 1..=last {
        let name = files::name(number);
        let broken = if segments.contains(&number) {
            let mut bytes = files.read(&name).map_err(failed(&name, "read"))?;
            let end = until.filter(|until| until.segment == number).map(|until| until.bytes);
            walk.segment(&mut bytes, number, number == last, end)
        } else {
            Err((0, "the segment is missing".to_owned()))
        };
        if let Err((offset, reason)) = broken {
            walk.verdict.broken = Some(Broken { file: name, offset, record: walk.next, reason });
            break;
        }
        walk.verdict.segments += 1;
    }
    if walk.verdict.broken.is_none()
        && let Some(anchor) = anchor.filter(|anchor| anchor.record >= walk.next)
    {
        let reason = format!("record {} was there once and is not any more", anchor.record);
        let name = files::name(last);
        walk.verdict.broken = Some(Broken { file: name, offset: 0, record: walk.next, reason });
    }
    walk.verdict.chain = hex(&walk.chain.0);
    Ok(walk.verdict)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

type Step = Result<(), (u64, String)>;

impl Walk<'_> {
    fn segment(&mut self, bytes: &mut Vec<u8>, number: u32, is_last: bool, end: Option<u64>) -> Step {
        if let Some(end) = end {
            let end = usize::try_from(end).unwrap_or(usize::MAX);
            if bytes.len() < end {
                return Err((bytes.len() as u64, "the file was cut".to_owned()));
            }
            bytes.truncate(end);
        }
        let header = Header::decode(bytes).map_err(|bad| match bad {
            BadHeader::Format(found) => {
                (0, format!("its format is {found}, which this program does not read"))
            }
            BadHeader::Damaged(reason) => (0, reason.to_owned()),
        })?;
        if (header.segment, header.first, header.chain) != (number, self.next, self.chain.0) {
            return Err((0, "the segment does not continue the one before".to_owned()));
        }
        let mut at = HEADER_BYTES;
        let mut sealed = false;
        while at < bytes.len() {
            if sealed {
                return Err((at as u64, "something stands behind the seal".to_owned()));
            }
            (at, sealed) = self.frame(bytes, at, number).map_err(|reason| (at as u64, reason))?;
        }
        self.verdict.bytes += bytes.len() as u64;
        if !sealed && !is_last {
            return Err((at as u64, "the segment ends without a seal".to_owned()));
        }
        Ok(())
    }

    fn frame(&mut self, bytes: &[u8], at: usize, segment: u32) -> Result<(usize, bool), String> {
        let found = frame_at(bytes, at, segment)?;
        let sealed = match found.frame {
            Frame::Record { sequence, .. } => {
                let chain = self.chain.after(found.content);
                if sequence != self.next {
                    return Err(format!("record {} should stand here, not {sequence}", self.next));
                }
                if chain.link() != found.link {
                    return Err("the record does not continue the chain".to_owned());
                }
                if let Some(anchor) = self.anchor
                    && anchor.record == sequence
                    && anchor.chain != hex(&chain.0)
                {
                    return Err("the chain is not the one that was noted".to_owned());
                }
                self.chain = chain;
                self.next += 1;
                self.verdict.records += 1;
                false
            }
            Frame::Seal { next, chain } => {
                if (next, chain) != (self.next, self.chain.0) || found.link != self.chain.link() {
                    return Err("the seal does not fit the segment".to_owned());
                }
                true
            }
        };
        Ok((found.next, sealed))
    }
}
