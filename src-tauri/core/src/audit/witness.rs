//! The newest checkpoint as a file beside the database. Whoever puts an older copy of the database in its place does not
//! change this file by that, and so is found out.
//!
//! The file is replaced only when the log that it was signed over is a beginning of the log as it is now: what shows that
//! something is wrong is never written over.

use super::lineage;
use super::note;
use crate::error::{Code, Error, Result};
use crate::keys::{KeyName, Keys};
use crate::merkle::{self, Hash, Peaks};
use crate::store::{Conn, Tx, audit as rows};
use std::io::{Read, Write};
use std::path::Path;

pub const FILE: &str = "audit.checkpoint";
/// A checkpoint has about 300 bytes.
const MOST: u64 = 4096;

/// Signs the log as it is now and keeps the checkpoint in the database and in `folder`; nothing when that has been done for
/// this length. `EvidenceInvalid` when the file there was signed over another log: it stays as it is.
pub fn witness(tx: &Tx, keys: &Keys, at: i64, folder: &Path) -> Result<()> {
    if is_current(tx, folder)? {
        return Ok(());
    }
    if let Some(before) = read(folder)?
        && !continues(tx, keys, &before)?
    {
        return Err(Error::new(
            Code::EvidenceInvalid,
            "The audit log is not the one that this machine last signed a checkpoint over.",
        )
        .hint("`forge audit verify` says what is wrong with it."));
    }
    let size = rows::head(tx)?.map_or(0, |head| head.size);
    let note = super::checkpoint(tx, keys, at)?;
    // The first checkpoint over this length is the one that counts, should two keys have signed it.
    let note = rows::checkpoint_at(tx, size)?.unwrap_or(note);
    write(folder, &note)
}

/// Whether the file holds the checkpoint over the log as long as it is now: then there is nothing to sign.
pub fn is_current(conn: &Conn, folder: &Path) -> Result<bool> {
    let size = rows::head(conn)?.map_or(0, |head| head.size);
    Ok(match read(folder)? {
        None => size == 0,
        Some(before) => rows::checkpoint_at(conn, size)?.is_some_and(|kept| kept == before),
    })
}

/// The checkpoint in the file, if there is one.
pub fn read(folder: &Path) -> Result<Option<String>> {
    let file = match std::fs::File::open(folder.join(FILE)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::from(e).context(format!("Reading {FILE}"))),
    };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes).map_err(|e| Error::from(e).context(format!("Reading {FILE}")))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// Whether the log goes on from where `before` was signed.
fn continues(conn: &Conn, keys: &Keys, before: &str) -> Result<bool> {
    let mut known = keys.ever(KeyName::Learner)?;
    // A key that was exchanged cannot sign what comes after; what it signed is still where the log went on from.
    known.extend(lineage::gone(conn)?);
    let Ok(point) = note::open(before, &known) else { return Ok(false) };
    let size = i64::try_from(point.size).map_err(Error::internal)?;
    // Usually the database has the very same checkpoint, and the log need not be read.
    match rows::checkpoint_at(conn, size)? {
        Some(kept) if kept == before => Ok(true),
        _ => Ok(root_at(conn, point.size)? == Some(point.root)),
    }
}

/// The tree head over the first `size` entries; None when there are not so many.
fn root_at(conn: &Conn, size: u64) -> Result<Option<Hash>> {
    const PAGE: u32 = 500;
    let mut peaks = Peaks::default();
    while peaks.size < size {
        let page = rows::page(conn, i64::try_from(peaks.size).map_err(Error::internal)?, PAGE)?;
        if page.is_empty() {
            return Ok(None);
        }
        for row in page.iter().take(usize::try_from(size - peaks.size).unwrap_or(usize::MAX)) {
            peaks.push(merkle::leaf(row.entry.as_bytes()));
        }
    }
    Ok(Some(peaks.root()))
}

/// In one step, and on the disk before the old one is gone: half a checkpoint would look like tampering.
fn write(folder: &Path, note: &str) -> Result<()> {
    let staged = folder.join(format!("{FILE}.part"));
    let save = || -> std::io::Result<()> {
        let mut file = std::fs::File::create(&staged)?;
        file.write_all(note.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&staged, folder.join(FILE))
    };
    save().map_err(|e| Error::from(e).context(format!("Writing {FILE}")))
}
