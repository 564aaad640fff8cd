//! Reading a bundle as it streams by: hashed, bounded and held against the one layout that the writer has, with no more in
//! memory than what the caller asks to keep.

use super::{Listed, MANIFEST, Manifest, PACKED_MAX, TAR_MAX, WINDOW_LOG_MAX, canonical, header, is_kind};
use crate::check::evidence::{Entry, fits};
use crate::error::{Code, Error};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};

const BLOCK: usize = 512;
/// 10,000 entries take about 2.5 MB in the manifest.
const MANIFEST_MAX: u64 = 4 << 20;
/// Below this the ratio says nothing: an empty lab's evidence packs very well.
const RATIO_FROM: u64 = 16 << 20;

/// What a reader lets a bundle cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of evidence.tar.zst.
    pub packed: u64,
    /// Bytes of the tar in it.
    pub tar: u64,
    /// Times that the tar may be larger than its packed form, once it is past 16 MiB.
    pub ratio: u64,
    pub entries: usize,
    /// Memory that a zstd frame may ask for, as a power of two (RFC 8878 3.1.1.1.2).
    pub window_log: u32,
    /// Bytes of an entry that is kept.
    pub kept: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packed: PACKED_MAX as u64,
            tar: TAR_MAX as u64,
            ratio: u64::MAX,
            entries: super::ENTRIES_MAX,
            window_log: WINDOW_LOG_MAX,
            kept: TAR_MAX as u64,
        }
    }
}

/// The kinds of wrong that a receiver tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It ends before it is whole.
    Truncated,
    TooLarge,
    /// It unpacks to more than it may, or asks for more memory than it may.
    Bomb,
    /// A path that leaves the bundle, or an entry that is no regular file.
    UnsafePath,
    UnknownVersion,
    /// Anything else that the writer would not have written.
    Malformed,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("evidence.tar.zst {message}")]
pub struct Fault {
    pub why: Why,
    pub message: String,
}

impl Fault {
    fn new(why: Why, message: impl std::fmt::Display) -> Self {
        Self { why, message: message.to_string() }
    }

    fn malformed(message: impl std::fmt::Display) -> Self {
        Self::new(Why::Malformed, message)
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::new(Code::EvidenceInvalid, fault.to_string())
    }
}

/// A bundle that was read and found whole. Digests in lower-case hex SHA-256.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpacked {
    pub packed_sha256: String,
    pub packed_bytes: u64,
    pub tar_sha256: String,
    pub tar_bytes: u64,
    /// Entries listed, kept or not.
    pub files: usize,
    /// Those that were to be kept, by path; manifest.json is never among them.
    pub entries: BTreeMap<String, Entry>,
}

/// Reads a bundle. The fault says what is wrong: too large, not one zstd frame, anything but sorted regular files with our
/// headers, an entry the manifest does not list or lists otherwise, bytes left over.
pub fn read(packed: impl Read, limits: &Limits, keep: impl FnMut(&str) -> bool) -> Result<Unpacked, Fault> {
    let mut source = BufReader::with_capacity(64 << 10, Counted::new(packed, limits.packed));
    let mut tar = {
        let mut decoder =
            zstd::stream::read::Decoder::with_buffer(&mut source).map_err(|e| inflating(&e))?.single_frame();
        decoder.window_log_max(limits.window_log).map_err(|e| inflating(&e))?;
        Tar::new(decoder, limits)
    };
    let walked = tar.walk(keep);
    let (tar_sha256, tar_bytes) = tar.source.finish();
    drop(tar);
    let packed_now = source.get_ref().count;
    let walked = walked?;
    if tar_bytes > RATIO_FROM && tar_bytes / packed_now.max(1) > limits.ratio {
        return Err(Fault::new(Why::Bomb, format_args!("unpacks to more than {} times its size", limits.ratio)));
    }
    let left = source.fill_buf().map_err(|e| inflating(&e))?.len();
    if left > 0 {
        return Err(Fault::malformed(format_args!("has {left} bytes or more after its end")));
    }
    let (packed_sha256, packed_bytes) = source.into_inner().finish();
    let (files, entries) = walked.listed()?;
    Ok(Unpacked { packed_sha256, packed_bytes, tar_sha256, tar_bytes, files, entries })
}

fn inflating(e: &io::Error) -> Fault {
    let message = format!("cannot be decompressed: {e}");
    match e.kind() {
        ErrorKind::UnexpectedEof => Fault::new(Why::Truncated, message),
        ErrorKind::FileTooLarge => Fault::new(Why::TooLarge, e),
        _ if e.to_string().contains("too much memory") => Fault::new(Why::Bomb, message),
        _ => Fault::malformed(message),
    }
}

/// Counts and hashes what passes, and ends it at a limit.
struct Counted<R> {
    inner: R,
    hash: Sha256,
    count: u64,
    limit: u64,
}

impl<R> Counted<R> {
    fn new(inner: R, limit: u64) -> Self {
        Self { inner, hash: Sha256::new(), count: 0, limit }
    }

    fn finish(&self) -> (String, u64) {
        (hex::encode(self.hash.clone().finalize()), self.count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(out)?;
        self.hash.update(out.get(..n).unwrap_or_default());
        self.count += n as u64;
        if self.count > self.limit {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("is larger than {} MiB", self.limit.div_ceil(1 << 20)),
            ));
        }
        Ok(n)
    }
}

struct Tar<R> {
    source: Counted<R>,
    entries_max: usize,
    kept_max: u64,
    tar_max: u64,
}

struct Seen {
    sha256: String,
    size: u64,
    /// None for what was not to be kept.
    bytes: Option<Vec<u8>>,
}

#[derive(Default)]
struct Walked {
    seen: BTreeMap<String, Seen>,
    manifest: Option<Vec<u8>>,
    /// Whatever else a tar can say (other header fields, order, padding, extensions, a tail): read on, refused at the end.
    odd: bool,
}

impl<R: Read> Tar<R> {
    fn new(source: R, limits: &Limits) -> Self {
        Self {
            source: Counted::new(source, limits.tar),
            entries_max: limits.entries,
            kept_max: limits.kept,
            tar_max: limits.tar,
        }
    }

    fn walk(&mut self, mut keep: impl FnMut(&str) -> bool) -> Result<Walked, Fault> {
        let mut walked = Walked::default();
        let mut last: Option<String> = None;
        let mut block = [0u8; BLOCK];
        loop {
            if !self.block(&mut block)? {
                walked.odd = true;
                return Ok(walked);
            }
            if block == [0u8; BLOCK] {
                // Two blocks of zeros, then nothing.
                let second = self.block(&mut block)? && block == [0u8; BLOCK];
                walked.odd |= !second | self.block(&mut block)?;
                self.drain()?;
                return Ok(walked);
            }
            let found = tar::Header::from_byte_slice(&block);
            let path =
                String::from_utf8(found.path_bytes().into_owned()).ok().filter(|p| fits(p)).ok_or_else(|| {
                    Fault::new(Why::UnsafePath, "holds an entry whose path leaves the bundle or cannot be shown")
                })?;
            if found.entry_type() != tar::EntryType::Regular {
                return Err(Fault::new(Why::UnsafePath, format_args!("holds {path:?}, which is not a regular file")));
            }
            let size = found.entry_size().map_err(|e| Fault::malformed(format_args!("holds a broken tar: {e}")))?;
            walked.odd |= header(&path, size).map_or(true, |ours| ours.as_bytes() != &block);
            walked.odd |= last.as_ref().is_some_and(|last| *last > path);
            if walked.seen.len() >= self.entries_max {
                return Err(Fault::new(Why::TooLarge, format_args!("holds more than {} entries", self.entries_max)));
            }
            if walked.seen.contains_key(&path) || (path == MANIFEST && walked.manifest.is_some()) {
                return Err(Fault::malformed(format_args!("holds {path:?} twice")));
            }
            let manifest = path == MANIFEST;
            let kept = manifest || keep(&path);
            let max = if manifest { MANIFEST_MAX } else { self.kept_max };
            if kept && size > max {
                return Err(Fault::new(
                    Why::TooLarge,
                    format_args!("holds {path:?} of {size} bytes, {max} is the most"),
                ));
            }
            let seen = self.content(size, kept, &mut walked.odd)?;
            if manifest {
                walked.manifest = seen.bytes;
            } else {
                walked.seen.insert(path.clone(), seen);
            }
            last = Some(path);
        }
    }

    /// One block; false at the end, `Truncated` in the middle of one.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, Fault> {
        let mut have = 0;
        while have < BLOCK {
            let n = self.some(block.get_mut(have..).unwrap_or_default())?;
            if n == 0 {
                return if have == 0 { Ok(false) } else { Err(cut()) };
            }
            have += n;
        }
        Ok(true)
    }

    fn content(&mut self, size: u64, kept: bool, odd: &mut bool) -> Result<Seen, Fault> {
        let (mut hash, mut bytes) = (Sha256::new(), kept.then(Vec::new));
        let mut left = size;
        let mut buffer = [0u8; 16 << 10];
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let n = self.some(buffer.get_mut(..want).unwrap_or_default())?;
            if n == 0 {
                return Err(cut());
            }
            let part = buffer.get(..n).unwrap_or_default();
            hash.update(part);
            if let Some(bytes) = &mut bytes {
                bytes.extend_from_slice(part);
            }
            left -= n as u64;
        }
        let mut padding = (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64;
        while padding > 0 {
            let want = usize::try_from(padding).unwrap_or(0);
            let n = self.some(buffer.get_mut(..want).unwrap_or_default())?;
            if n == 0 {
                return Err(cut());
            }
            *odd |= buffer.get(..n).unwrap_or_default().iter().any(|b| *b != 0);
            padding -= n as u64;
        }
        Ok(Seen { sha256: hex::encode(hash.finalize()), size, bytes })
    }

    fn drain(&mut self) -> Result<(), Fault> {
        let mut buffer = [0u8; 16 << 10];
        while self.some(&mut buffer)? > 0 {}
        Ok(())
    }

    fn some(&mut self, out: &mut [u8]) -> Result<usize, Fault> {
        loop {
            match self.source.read(out) {
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                // The packed source has a limit of its own, with other words.
                Err(e) if e.kind() == ErrorKind::FileTooLarge && self.source.count > self.tar_max => {
                    let most = self.tar_max.div_ceil(1 << 20);
                    return Err(Fault::new(Why::Bomb, format_args!("unpacks to more than {most} MiB")));
                }
                Err(e) => return Err(inflating(&e)),
            }
        }
    }
}

fn cut() -> Fault {
    Fault::new(Why::Truncated, "holds a broken tar: it ends in the middle of an entry")
}

impl Walked {
    /// Holds what was seen against the manifest, both ways.
    fn listed(mut self) -> Result<(usize, BTreeMap<String, Entry>), Fault> {
        let manifest = self.manifest.take().ok_or_else(|| Fault::malformed("has no manifest"))?;
        let manifest: Manifest = canonical::from_bytes(MANIFEST, &manifest)
            .map_err(|e| Fault::malformed(format_args!("holds a bad manifest: {e}")))?;
        if manifest.version != 1 {
            let message = format!("has manifest version {}, this program knows 1", manifest.version);
            return Err(Fault::new(Why::UnknownVersion, message));
        }
        let files = manifest.entries.len();
        let mut entries = BTreeMap::new();
        let mut last = String::new();
        for Listed { path, kind, sha256, size } in manifest.entries {
            let Some(seen) = self.seen.remove(&path) else {
                let why = if path == last { "twice" } else { "which is not in it" };
                return Err(Fault::malformed(format_args!("lists {path:?}, {why}")));
            };
            if (seen.sha256, seen.size) != (sha256, size) {
                return Err(Fault::malformed(format_args!("holds another {path:?} than its manifest says")));
            }
            self.odd |= !is_kind(&kind) | (last > path);
            if let Some(bytes) = seen.bytes {
                entries.insert(path.clone(), Entry { path: path.clone(), kind, bytes });
            }
            last = path;
        }
        if let Some(extra) = self.seen.keys().next() {
            return Err(Fault::malformed(format_args!("holds {extra:?}, which its manifest does not list")));
        }
        if self.odd {
            return Err(Fault::malformed("is not laid out as we write it"));
        }
        Ok((files, entries))
    }
}
