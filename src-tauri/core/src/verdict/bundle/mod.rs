//! evidence.tar.zst: the same entries always give the same tar; a reader that accepts nothing but what the writer
//! would have written.

mod read;

pub use read::{Fault, Limits, Unpacked, Why, read};

use super::canonical;
use crate::check::evidence::{Entry, fits};
use crate::error::{Code, Error, Result};
use crate::scrub::Scrubbed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const MANIFEST: &str = "manifest.json";
/// Largest evidence.tar.zst, tar inside, and number of entries that are read.
pub const PACKED_MAX: usize = 64 << 20;
pub const TAR_MAX: usize = 128 << 20;
pub const ENTRIES_MAX: usize = 10_000;
/// Fast, and small enough for text; the level is no part of the format.
const LEVEL: i32 = 3;
/// 2^27 = 128 MiB: no frame may ask the reader for more memory (RFC 8878 3.1.1.1.2).
const WINDOW_LOG_MAX: u32 = 27;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    entries: Vec<Listed>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    path: String,
    kind: String,
    sha256: String,
    size: u64,
}

/// A bundle ready to be signed.
#[derive(Clone, Debug)]
pub struct Packed {
    pub tar: Vec<u8>,
    pub zst: Vec<u8>,
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::new(Code::EvidenceInvalid, format!("evidence.tar.zst {why}"))
}

/// Packs what has been scrubbed. `EvidenceInvalid` for a path that cannot stand in a bundle or is there twice, `TooLarge`
/// past the reader's limits.
pub fn pack(entries: &Scrubbed<Vec<Entry>>) -> Result<Packed> {
    pack_within(entries, TAR_MAX)
}

/// Like [`pack`] with another limit, for whoever hands the bundle to a reader with other [`Limits`].
pub fn pack_within(entries: &Scrubbed<Vec<Entry>>, tar_max: usize) -> Result<Packed> {
    let tar = tar_of(entries.get())?;
    if tar.len() > tar_max {
        return Err(Error::new(Code::TooLarge, "The evidence is too large for a verdict.")
            .details(serde_json::json!({"limit": tar_max, "actual": tar.len()})));
    }
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), LEVEL)?;
    encoder.include_checksum(true)?;
    encoder.include_contentsize(true)?;
    encoder.set_pledged_src_size(Some(tar.len() as u64))?;
    std::io::Write::write_all(&mut encoder, &tar)?;
    let zst = encoder.finish()?;
    Ok(Packed { tar, zst })
}

/// One lower-case word.
fn is_kind(kind: &str) -> bool {
    (1..=32).contains(&kind.len()) && kind.bytes().all(|b| b.is_ascii_lowercase())
}

/// ustar (POSIX.1-1988): sorted by path, regular files 0644, owner, group and time zero, manifest.json among them.
fn tar_of(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut all: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let mut listed = Vec::new();
    for e in entries {
        if !fits(&e.path) || e.path == MANIFEST || !is_kind(&e.kind) {
            return Err(invalid(format_args!("cannot hold an entry named {:?} of kind {:?}", e.path, e.kind)));
        }
        if all.insert(&e.path, &e.bytes).is_some() {
            return Err(invalid(format_args!("cannot hold {} twice", e.path)));
        }
        listed.push(Listed {
            path: e.path.clone(),
            kind: e.kind.clone(),
            sha256: canonical::sha256(&e.bytes),
            size: e.bytes.len() as u64,
        });
    }
    if all.len() >= ENTRIES_MAX {
        return Err(invalid(format_args!("cannot hold {} entries", all.len())));
    }
    listed.sort_by(|a, b| a.path.cmp(&b.path));
    let manifest = canonical::to_bytes(&Manifest { version: 1, entries: listed })?;
    all.insert(MANIFEST, &manifest);
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in all {
        let header = header(path, bytes.len() as u64).map_err(|e| invalid(format_args!("cannot hold {path}: {e}")))?;
        builder.append(&header, bytes)?;
    }
    Ok(builder.into_inner()?)
}

/// The only header that an entry can have.
fn header(path: &str, size: u64) -> std::io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    Ok(header)
}

/// Reads a bundle that lies in memory, with all its entries. `EvidenceInvalid` says what is wrong, see [`read()`].
pub fn unpack(zst: &[u8]) -> Result<Unpacked> {
    Ok(read(zst, &Limits::default(), |_| true)?)
}
