//! evidence.tar.zst: the same entries always give the same tar; a reader that accepts nothing but what the writer
//! would have written.

use super::canonical;
use crate::check::evidence::{Entry, fits};
use crate::error::{Code, Error, Result};
use crate::scrub::Scrubbed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;

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

/// The entries of a bundle that was read and found whole, by path; manifest.json is not among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Unpacked {
    pub tar: Vec<u8>,
    pub entries: BTreeMap<String, Entry>,
}

fn invalid(why: impl std::fmt::Display) -> Error {
    Error::new(Code::EvidenceInvalid, format!("evidence.tar.zst {why}"))
}

/// Packs what has been scrubbed. `EvidenceInvalid` for a path that cannot stand in a bundle or is there twice, `TooLarge`
/// past the reader's limits.
pub fn pack(entries: &Scrubbed<Vec<Entry>>) -> Result<Packed> {
    let tar = tar_of(entries.get())?;
    if tar.len() > TAR_MAX {
        return Err(Error::new(Code::TooLarge, "The evidence is too large for a verdict.")
            .details(serde_json::json!({"limit": TAR_MAX, "actual": tar.len()})));
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
        let mut header = tar::Header::new_ustar();
        header.set_path(path).map_err(|e| invalid(format_args!("cannot hold {path}: {e}")))?;
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append(&header, bytes)?;
    }
    Ok(builder.into_inner()?)
}

/// Reads a bundle. `EvidenceInvalid` says what is wrong: too large, not one zstd frame, anything but sorted regular files
/// with our headers, an entry the manifest does not list or lists otherwise, bytes left over.
pub fn unpack(zst: &[u8]) -> Result<Unpacked> {
    let tar = inflate(zst)?;
    let (entries, manifest) = read_tar(&tar)?;
    let manifest: Manifest =
        canonical::from_bytes(MANIFEST, &manifest).map_err(|e| invalid(format_args!("holds a bad manifest: {e}")))?;
    if manifest.version != 1 {
        return Err(invalid(format_args!("has manifest version {}, this program knows 1", manifest.version)));
    }
    let mut found = BTreeMap::new();
    for listed in &manifest.entries {
        let Some(bytes) = entries.get(&listed.path) else {
            return Err(invalid(format_args!("lists {:?}, which is not in it", listed.path)));
        };
        if canonical::sha256(bytes) != listed.sha256 || bytes.len() as u64 != listed.size {
            return Err(invalid(format_args!("holds another {:?} than its manifest says", listed.path)));
        }
        let entry = Entry { path: listed.path.clone(), kind: listed.kind.clone(), bytes: bytes.clone() };
        if found.insert(listed.path.clone(), entry).is_some() {
            return Err(invalid(format_args!("lists {:?} twice", listed.path)));
        }
    }
    if let Some(extra) = entries.keys().find(|p| !found.contains_key(*p)) {
        return Err(invalid(format_args!("holds {extra:?}, which its manifest does not list")));
    }
    // Whatever else a tar can say (other header fields, padding, extensions, a tail) is refused by writing it again.
    let all: Vec<Entry> = found.values().cloned().collect();
    if tar_of(&all)? != tar {
        return Err(invalid("is not laid out as we write it"));
    }
    Ok(Unpacked { tar, entries: found })
}

fn inflate(zst: &[u8]) -> Result<Vec<u8>> {
    if zst.len() > PACKED_MAX {
        return Err(invalid(format_args!("is larger than {} MiB", PACKED_MAX >> 20)));
    }
    let broken = |e: std::io::Error| invalid(format_args!("cannot be decompressed: {e}"));
    let mut rest = zst;
    let mut decoder = zstd::stream::read::Decoder::with_buffer(&mut rest).map_err(broken)?.single_frame();
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(broken)?;
    let mut tar = Vec::new();
    (&mut decoder).take(TAR_MAX as u64 + 1).read_to_end(&mut tar).map_err(broken)?;
    if tar.len() > TAR_MAX {
        return Err(invalid(format_args!("unpacks to more than {} MiB", TAR_MAX >> 20)));
    }
    drop(decoder);
    if !rest.is_empty() {
        return Err(invalid(format_args!("has {} bytes after its end", rest.len())));
    }
    Ok(tar)
}

type Files = BTreeMap<String, Vec<u8>>;

fn read_tar(tar: &[u8]) -> Result<(Files, Vec<u8>)> {
    let mut files = Files::new();
    let mut archive = tar::Archive::new(tar);
    let broken = |e: std::io::Error| invalid(format_args!("holds a broken tar: {e}"));
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        let path = String::from_utf8(entry.path_bytes().into_owned())
            .ok()
            .filter(|p| fits(p))
            .ok_or_else(|| invalid("holds an entry whose path leaves the bundle or cannot be shown"))?;
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(invalid(format_args!("holds {path:?}, which is not a regular file")));
        }
        if files.len() >= ENTRIES_MAX {
            return Err(invalid(format_args!("holds more than {ENTRIES_MAX} entries")));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if files.insert(path.clone(), bytes).is_some() {
            return Err(invalid(format_args!("holds {path:?} twice")));
        }
    }
    let manifest = files.remove(MANIFEST).ok_or_else(|| invalid("has no manifest"))?;
    Ok((files, manifest))
}
