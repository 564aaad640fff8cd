//! The audit checkpoint that a results folder carries, for whoever holds it against the log.

use super::dsse;
use super::seal::ENVELOPE;
use super::statement::Statement;
use crate::error::{Error, Result};
use std::io::Read;
use std::path::Path;

/// A statement has some kilobytes.
const MOST: u64 = 1 << 20;

/// The note as it stands in the verdict; None for a folder without a verdict, or a verdict without a note. Says nothing about
/// the verdict's own signature: the note has one.
pub fn checkpoint_in(dir: &Path) -> Result<Option<String>> {
    let file = match std::fs::File::open(dir.join(ENVELOPE)) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(Error::from(e)),
    };
    let mut bytes = Vec::new();
    file.take(MOST).read_to_end(&mut bytes)?;
    let statement = Statement::from_bytes(&dsse::read(&bytes)?.payload)?;
    Ok(statement.predicate.forge.audit.map(|checkpoint| checkpoint.note))
}
