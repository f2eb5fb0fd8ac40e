//! One record of the kernel log, in the form of `/dev/kmsg` (Documentation/ABI/testing/dev-kmsg).

/// Facility of what the kernel itself says; whoever writes to `/dev/kmsg` gets another (`LOG_USER` at least).
const KERN: u32 = 0;

/// A record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Number of the record since boot; each is one more than the one before.
    pub(crate) sequence: u64,
    /// Microseconds since boot.
    pub(crate) at_us: u64,
    /// Whether the kernel itself said it.
    pub(crate) is_kernels: bool,
    /// What it says.
    pub(crate) text: &'a str,
}

impl<'a> Record<'a> {
    /// The record of a line; none for the lines of a record's dictionary, and for what is no record.
    pub(crate) fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with(' ') {
            return None;
        }
        let (head, text) = line.split_once(';')?;
        let mut words = head.split(',');
        let mut number = || words.next()?.parse::<u64>().ok();
        let (priority, sequence, at_us) = (number()?, number()?, number()?);
        let facility = u32::try_from(priority >> 3).unwrap_or(u32::MAX);
        Some(Self { sequence, at_us, is_kernels: facility == KERN, text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_their_dictionaries_and_the_kernels_from_forged_ones() {
        let record = Record::parse("3,1423,5140900,-;EXT4-fs error (device sda1): x; y").unwrap();
        let expected = Record {
            sequence: 1423,
            at_us: 5_140_900,
            is_kernels: true,
            text: "EXT4-fs error (device sda1): x; y",
        };
        assert_eq!(record, expected);
        assert!(!Record::parse("11,1,2,-;forged").unwrap().is_kernels, "facility user");
        assert!(!Record::parse("34359738371,1,2,-;forged").unwrap().is_kernels, "a facility that overflows");
        assert!(Record::parse("6,1,2,c,caller=T12;more words in the head").unwrap().is_kernels);
        for line in [" SUBSYSTEM=acpi", "", "no record", "3,1;short", "x,1,2,-;y", "-3,1,2,-;y"] {
            assert_eq!(Record::parse(line), None, "{line}");
        }
    }
}
