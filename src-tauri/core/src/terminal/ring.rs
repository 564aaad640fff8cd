//! The last bytes a terminal printed, addressed by their offset since it opened, and who reads them.
//!
//! Invariant: a byte that an attached reader has not taken is never dropped. The writer asks [`Ring::room`] first and
//! waits when a reader is a whole capacity behind; with nobody attached there is always room and the oldest roll out.

use std::collections::{BTreeMap, VecDeque};

/// Bytes looked through for the start of a line when the output goes on after a gap.
const LINE_SEARCH: usize = 4096;

pub struct Ring {
    bytes: VecDeque<u8>,
    /// Offset of the first byte held.
    start: u64,
    capacity: usize,
    readers: BTreeMap<u64, Reader>,
    next_reader: u64,
}

struct Reader {
    position: u64,
    /// A reader that has stood still for too long no longer holds the writer up.
    patient: bool,
}

/// What a reader gets next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    Bytes {
        offset: u64,
        bytes: Vec<u8>,
    },
    /// What the reader wanted is gone, or was never there; the output goes on here.
    Gap {
        resumes_at: u64,
    },
    Nothing,
}

impl Ring {
    pub fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), start: 0, capacity: capacity.max(4), readers: BTreeMap::new(), next_reader: 0 }
    }

    /// Offset of the first byte that can still be read.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset that the next byte will have.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// How many bytes may be appended now without dropping what an attached reader has not taken.
    pub fn room(&self) -> usize {
        match self.readers.values().filter(|r| r.patient).map(|r| r.position).min() {
            None => usize::MAX,
            Some(slowest) => self.capacity.saturating_sub(self.end().saturating_sub(slowest) as usize),
        }
    }

    /// Appends; the caller keeps within [`Self::room`].
    pub fn push(&mut self, bytes: &[u8]) {
        let skipped = bytes.len().saturating_sub(self.capacity);
        if skipped > 0 {
            self.start = self.end() + skipped as u64;
            self.bytes.clear();
        }
        let bytes = bytes.get(skipped..).unwrap_or_default();
        let over = (self.bytes.len() + bytes.len()).saturating_sub(self.capacity);
        self.bytes.drain(..over);
        self.start += over as u64;
        self.bytes.extend(bytes);
    }

    /// Attaches a reader at an offset.
    pub fn attach(&mut self, from: u64) -> u64 {
        let id = self.next_reader;
        self.next_reader += 1;
        // Behind the start or past the end, it holds nobody up until its first read has told it where it is.
        let position = from.clamp(self.start, self.end());
        self.readers.insert(id, Reader { position, patient: true });
        id
    }

    pub fn detach(&mut self, reader: u64) {
        self.readers.remove(&reader);
    }

    /// Stops waiting for readers that hold the writer up; they will find a gap. Returns whether there were any.
    pub fn give_up_on_the_slowest(&mut self) -> bool {
        let (end, capacity) = (self.end(), self.capacity as u64);
        let mut any = false;
        for reader in self.readers.values_mut().filter(|r| r.patient && r.position + capacity <= end) {
            reader.patient = false;
            any = true;
        }
        any
    }

    /// Up to `max` bytes from offset `wanted`; the reader's position moves behind them.
    /// A cut made by `max` does not split a UTF-8 character, and after a gap the output goes on at the start of a
    /// line where there is one near, else of a character.
    pub fn take(&mut self, reader: u64, wanted: u64, max: usize) -> Next {
        let (start, end) = (self.start, self.end());
        let next = if wanted < start {
            Next::Gap { resumes_at: start + self.clean_start() as u64 }
        } else if wanted > end {
            Next::Gap { resumes_at: end }
        } else if wanted == end {
            Next::Nothing
        } else {
            let from = (wanted - start) as usize;
            let available = self.bytes.len() - from;
            let take = if available <= max { available } else { self.whole_characters(from, max.max(4)) };
            Next::Bytes { offset: wanted, bytes: self.copy(from, take) }
        };
        if let Some(r) = self.readers.get_mut(&reader) {
            r.patient = true;
            r.position = match &next {
                Next::Bytes { offset, bytes } => offset + bytes.len() as u64,
                Next::Gap { resumes_at } => *resumes_at,
                Next::Nothing => wanted,
            };
        }
        next
    }

    fn copy(&self, from: usize, len: usize) -> Vec<u8> {
        let (a, b) = self.bytes.as_slices();
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(a.get(from..(from + len).min(a.len())).unwrap_or_default());
        let rest = len - out.len();
        let skip = from.saturating_sub(a.len());
        out.extend_from_slice(b.get(skip..skip + rest).unwrap_or_default());
        out
    }

    fn clean_start(&self) -> usize {
        if self.start == 0 {
            return 0;
        }
        let line = self.bytes.iter().take(LINE_SEARCH).position(|b| *b == b'\n').map(|i| i + 1);
        line.unwrap_or_else(|| self.bytes.iter().take(3).take_while(|b| continues(**b)).count())
    }

    fn whole_characters(&self, from: usize, max: usize) -> usize {
        // The byte after the cut tells: while it continues a character, the cut moves left, at most three bytes.
        let inside = |cut: usize| self.bytes.get(from + cut).is_some_and(|b| continues(*b));
        (0..4).map(|back| max - back).find(|cut| !inside(*cut)).unwrap_or(max)
    }
}

/// Whether a byte is inside a UTF-8 character rather than its first (RFC 3629: 10xxxxxx).
fn continues(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn bytes(offset: u64, text: &str) -> Next {
        Next::Bytes { offset, bytes: text.as_bytes().to_vec() }
    }

    #[test]
    fn without_readers_the_oldest_roll_out_and_a_late_reader_is_told() {
        let mut ring = Ring::new(8);
        ring.push(b"one\ntwo\nthree\n");
        assert_eq!((ring.start(), ring.end(), ring.room()), (6, 14, usize::MAX));
        let r = ring.attach(0);
        assert_eq!(ring.take(r, 0, 100), Next::Gap { resumes_at: 8 });
        assert_eq!(ring.take(r, 8, 100), bytes(8, "three\n"));
        assert_eq!(ring.take(r, 14, 100), Next::Nothing);
        assert_eq!(ring.take(r, 99, 100), Next::Gap { resumes_at: 14 });
    }

    #[test]
    fn an_attached_reader_holds_the_writer_up_until_it_reads_detaches_or_is_given_up() {
        let mut ring = Ring::new(8);
        let slow = ring.attach(0);
        ring.push(b"12345678");
        assert_eq!(ring.room(), 0);
        assert_eq!(ring.take(slow, 0, 5), bytes(0, "12345"));
        assert_eq!(ring.room(), 5);
        ring.push(b"abcde");
        assert_eq!(ring.room(), 0);
        assert!(ring.give_up_on_the_slowest());
        assert!(!ring.give_up_on_the_slowest());
        assert_eq!(ring.room(), usize::MAX);
        ring.push(b"XYZ");
        assert_eq!(ring.take(slow, 5, 100), Next::Gap { resumes_at: 8 });
        assert_eq!(ring.room(), 0, "it reads again, so it counts again");
        ring.detach(slow);
        assert_eq!(ring.room(), usize::MAX);
    }

    #[test]
    fn characters_are_not_split_by_a_cut_or_a_gap() {
        let mut ring = Ring::new(16);
        let r = ring.attach(0);
        ring.push("aé漢🙂".as_bytes());
        assert_eq!(ring.take(r, 0, 8), bytes(0, "aé漢"));
        assert_eq!(ring.take(r, 6, 8), bytes(6, "🙂"));
        ring.detach(r);
        // 22 bytes in all, 16 kept: the first kept is the first of 🙂. Two more cut into it.
        ring.push("漢漢漢漢".as_bytes());
        ring.push(b"zz");
        let r = ring.attach(0);
        assert_eq!(ring.take(r, 0, 100), Next::Gap { resumes_at: 10 });
        assert_eq!(ring.take(r, 10, 100), bytes(10, "漢漢漢漢zz"));
    }

    #[test]
    fn more_than_fits_at_once_keeps_the_newest() {
        let mut ring = Ring::new(4);
        ring.push(b"ab");
        ring.push(b"0123456789");
        assert_eq!((ring.start(), ring.end()), (8, 12));
    }

    proptest! {
        /// Whatever the sizes, a reader that stays attached sees every byte once and in order, and memory stays bounded.
        #[test]
        fn an_attached_reader_loses_nothing(ops in proptest::collection::vec((1usize..40, 1usize..40), 1..200)) {
            let mut ring = Ring::new(32);
            let r = ring.attach(0);
            let (mut written, mut read) = (0u64, Vec::new());
            for (want_write, want_read) in ops {
                let n = want_write.min(ring.room());
                let chunk: Vec<u8> = (written..written + n as u64).map(|i| (i % 251) as u8).collect();
                ring.push(&chunk);
                written += n as u64;
                prop_assert!(ring.bytes.len() <= 32);
                match ring.take(r, read.len() as u64, want_read) {
                    Next::Bytes { offset, bytes } => {
                        prop_assert_eq!(offset, read.len() as u64);
                        read.extend(bytes);
                    }
                    Next::Nothing => prop_assert_eq!(read.len() as u64, written),
                    Next::Gap { .. } => prop_assert!(false, "a gap for an attached reader"),
                }
            }
            prop_assert!(read.iter().enumerate().all(|(i, b)| *b == (i % 251) as u8));
        }
    }
}
