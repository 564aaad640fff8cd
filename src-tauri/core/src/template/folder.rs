//! A lab's folder in memory: bounded, without links, and with one digest over all of it.

use crate::error::{Code, Error, Result};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

pub const MAX_FILES: usize = 400;
pub const MAX_TOTAL: usize = 8 * 1024 * 1024;
const MAX_DEPTH: usize = 12;

/// Relative path (with `/`) → bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    files: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    pub fn from_files(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Result<Self> {
        let mut folder = Self::default();
        for (path, bytes) in files {
            folder.add(path, bytes)?;
        }
        Ok(folder)
    }

    /// Reads a folder from disk. Links, devices and names that leave the folder are refused, as are more than 400
    /// files or 8 MiB.
    pub fn read(root: &Path) -> Result<Self> {
        let mut folder = Self::default();
        folder.walk(root, "", 0)?;
        Ok(folder)
    }

    fn walk(&mut self, dir: &Path, prefix: &str, depth: usize) -> Result<()> {
        if depth > MAX_DEPTH {
            return Err(Error::new(Code::TooLarge, format!("{prefix} lies deeper than {MAX_DEPTH} folders.")));
        }
        for entry in std::fs::read_dir(dir).map_err(|e| Error::from(e).context(format!("Reading {}", dir.display())))? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|n| !n.chars().any(char::is_control)) else {
                return Err(refused(&format!("{prefix}{}", name.to_string_lossy()), "its name is not plain text"));
            };
            let path = format!("{prefix}{name}");
            // Not followed: `file_type` of a directory entry is that of the link itself.
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.walk(&entry.path(), &format!("{path}/"), depth + 1)?;
            } else if kind.is_file() {
                let size = entry.metadata()?.len();
                if size > MAX_TOTAL as u64 {
                    return Err(too_large(&path, size));
                }
                self.add(path, std::fs::read(entry.path())?)?;
            } else {
                return Err(refused(&path, "it is neither a file nor a folder"));
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, bytes: Vec<u8>) -> Result<()> {
        if path.split('/').any(|p| matches!(p, "" | "." | "..")) {
            return Err(refused(&path, "its path leaves the folder"));
        }
        let total = self.files.values().map(Vec::len).sum::<usize>() + bytes.len();
        if self.files.len() >= MAX_FILES || total > MAX_TOTAL {
            return Err(too_large(&path, total as u64));
        }
        self.files.insert(path, bytes);
        Ok(())
    }

    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// All files in the order of their paths.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice()))
    }

    /// All files below a folder: path relative to it, bytes.
    pub fn below<'a>(&'a self, dir: &'a str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.files.iter().filter_map(move |(path, bytes)| {
            let rest = path.strip_prefix(dir)?.strip_prefix('/')?;
            Some((rest, bytes.as_slice()))
        })
    }

    /// SHA-256, hex, over every file in the order of its path (as bytes): length of the path (8 bytes, big-endian), the path,
    /// length of the content (8 bytes, big-endian), the content. Modes and times don't count.
    pub fn digest(&self) -> String {
        let mut h = Sha256::new();
        for (path, bytes) in &self.files {
            h.update((path.len() as u64).to_be_bytes());
            h.update(path.as_bytes());
            h.update((bytes.len() as u64).to_be_bytes());
            h.update(bytes);
        }
        hex::encode(h.finalize())
    }
}

fn refused(path: &str, why: &str) -> Error {
    Error::new(Code::TemplateInvalid, format!("{path} cannot be part of a lab: {why}."))
        .hint("A lab's folder holds plain files and folders; copy the file in place of a link.")
}

fn too_large(path: &str, bytes: u64) -> Error {
    Error::new(Code::TooLarge, format!("With {path} the lab's folder is larger than a lab may be."))
        .hint(format!("At most {MAX_FILES} files and {} MiB.", MAX_TOTAL >> 20))
        .details(serde_json::json!({"limit": MAX_TOTAL, "actual": bytes}))
}
