//! evidence.tar.zst: a deterministic tar (sorted, uid/gid/mtime zero, mode 0644, regular files only) with a manifest, compressed.
//!
//! The reader believes nothing: sizes, counts and depth are bounded before anything is kept, and the tar must be byte for byte
//! what the writer makes of its entries, so that nothing can hide in headers, padding or after the end.

use super::sha256;
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;

pub const MANIFEST: &str = "manifest.json";
pub const MAX_COMPRESSED: usize = 64 << 20;
pub const MAX_TAR: usize = 256 << 20;
pub const MAX_ENTRIES: usize = 4096;
const MAX_PATH: usize = 200;
const MAX_DEPTH: usize = 12;
const LEVEL: i32 = 6;

/// One file of the evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative, `/`-separated, of `[A-Za-z0-9._@+=,-]` in each part.
    pub path: String,
    /// What it is, for whoever reads the manifest: `observations`, `config`, `kernel`, `terminal`, `audit`, …
    pub kind: String,
    pub bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Manifest {
    version: u32,
    files: Vec<Listed>,
}

#[derive(Serialize, Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Listed {
    path: String,
    kind: String,
    sha256: String,
    size: u64,
}

/// A bundle in both forms.
pub struct Packed {
    pub tar: Vec<u8>,
    pub compressed: Vec<u8>,
}

/// Packs entries and their manifest. `EvidenceInvalid` for a path that a bundle cannot hold or that comes twice.
pub fn pack(entries: Vec<Entry>) -> Result<Packed> {
    let mut files: BTreeMap<String, (String, Vec<u8>)> = BTreeMap::new();
    for entry in entries {
        check_path(&entry.path)?;
        if entry.path == MANIFEST || files.contains_key(&entry.path) {
            return Err(invalid(format!("holds {} twice", entry.path)));
        }
        files.insert(entry.path, (entry.kind, entry.bytes));
    }
    let tar = tar_of(&files)?;
    if tar.len() > MAX_TAR {
        return Err(Error::new(Code::TooLarge, "The evidence is larger than a bundle may be.")
            .details(serde_json::json!({"limit": MAX_TAR, "actual": tar.len()})));
    }
    let compressed = zstd::stream::encode_all(tar.as_slice(), LEVEL)?;
    Ok(Packed { tar, compressed })
}

/// Unpacks; returns the entries (without the manifest) and the SHA-256 of the uncompressed tar.
pub fn unpack(compressed: &[u8]) -> Result<(Vec<Entry>, String)> {
    if compressed.len() > MAX_COMPRESSED {
        return Err(invalid("is larger than a bundle may be".into()));
    }
    let tar = inflate(compressed)?;
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let mut archive = tar::Archive::new(tar.as_slice());
    let broken = |e: std::io::Error| invalid(format!("is not a tar archive we can read: {e}"));
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        if files.len() >= MAX_ENTRIES {
            return Err(invalid(format!("holds more than {MAX_ENTRIES} files")));
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(invalid("holds something that is not a regular file".into()));
        }
        let path = String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| invalid("holds a path that is not text".into()))?;
        check_path(&path)?;
        // Bounded by the tar itself, which is bounded.
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        if files.insert(path.clone(), bytes).is_some() {
            return Err(invalid(format!("holds {path} twice")));
        }
    }
    let manifest = files.remove(MANIFEST).ok_or_else(|| invalid("has no manifest.json".into()))?;
    let manifest: Manifest =
        serde_json::from_slice(&manifest).map_err(|e| invalid(format!("has a manifest that cannot be read: {e}")))?;
    let kinds: BTreeMap<&str, &Listed> = manifest.files.iter().map(|l| (l.path.as_str(), l)).collect();
    let mut whole = BTreeMap::new();
    for (path, bytes) in files {
        let Some(listed) = kinds.get(path.as_str()) else {
            return Err(invalid(format!("holds {path}, which its manifest does not list")));
        };
        if listed.sha256 != sha256(&bytes) || listed.size != bytes.len() as u64 {
            return Err(invalid(format!("holds another {path} than its manifest says")));
        }
        whole.insert(path, (listed.kind.clone(), bytes));
    }
    if let Some(missing) = manifest.files.iter().find(|l| !whole.contains_key(&l.path)) {
        return Err(invalid(format!("lacks {}, which its manifest lists", missing.path)));
    }
    if tar_of(&whole)? != tar {
        return Err(invalid("is not written the one way a bundle is written".into()));
    }
    let digest = sha256(&tar);
    Ok((whole.into_iter().map(|(path, (kind, bytes))| Entry { path, kind, bytes }).collect(), digest))
}

/// Decompresses one frame and nothing after it, never beyond the limit.
fn inflate(compressed: &[u8]) -> Result<Vec<u8>> {
    let broken = |e: std::io::Error| invalid(format!("cannot be decompressed: {e}"));
    let mut rest = compressed;
    let mut tar = Vec::new();
    {
        let decoder = zstd::stream::read::Decoder::with_buffer(&mut rest).map_err(broken)?.single_frame();
        decoder.take(MAX_TAR as u64 + 1).read_to_end(&mut tar).map_err(broken)?;
    }
    if tar.len() > MAX_TAR {
        return Err(invalid("unpacks to more than a bundle may hold".into()));
    }
    if !rest.is_empty() {
        return Err(invalid("goes on after its end".into()));
    }
    Ok(tar)
}

fn tar_of(files: &BTreeMap<String, (String, Vec<u8>)>) -> Result<Vec<u8>> {
    let listed = files
        .iter()
        .map(|(path, (kind, bytes))| Listed {
            path: path.clone(),
            kind: kind.clone(),
            sha256: sha256(bytes),
            size: bytes.len() as u64,
        })
        .collect();
    let manifest =
        serde_json_canonicalizer::to_vec(&Manifest { version: 1, files: listed }).map_err(Error::internal)?;
    let mut builder = tar::Builder::new(Vec::new());
    // The manifest comes first, so that a stream's reader knows what to expect.
    append(&mut builder, MANIFEST, &manifest)?;
    for (path, (_, bytes)) in files {
        append(&mut builder, path, bytes)?;
    }
    Ok(builder.into_inner()?)
}

fn append(builder: &mut tar::Builder<Vec<u8>>, path: &str, bytes: &[u8]) -> Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes.len() as u64);
    header.set_path(path).map_err(|e| invalid(format!("cannot hold the path {path}: {e}")))?;
    header.set_cksum();
    Ok(builder.append(&header, bytes)?)
}

fn check_path(path: &str) -> Result<()> {
    let part_fine = |p: &str| {
        !matches!(p, "" | "." | "..") && p.bytes().all(|b| b.is_ascii_alphanumeric() || b"._@+=,-".contains(&b))
    };
    if path.len() <= MAX_PATH && path.split('/').count() <= MAX_DEPTH && path.split('/').all(part_fine) {
        return Ok(());
    }
    Err(invalid(format!("holds the path {:?}, which leaves the bundle or is not plain", path.chars().take(80).collect::<String>())))
}

fn invalid(why: String) -> Error {
    Error::new(Code::EvidenceInvalid, format!("evidence.tar.zst {why}."))
}
