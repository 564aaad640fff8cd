//! The audit log: every gate decision, token, launch step, action, check, verdict and setting change, in the
//! transaction of what it tells of. Each entry holds the hash of the one before; over all of them stands an RFC 6962
//! tree whose head is signed as a C2SP checkpoint. The newest checkpoint goes into each verdict and into a file beside the
//! database, so that a log cut short later is found out.
//!
//! An entry is RFC 8785 canonical JSON: `{"at","data","kind","prev","run","seq","v"}`; `prev` is the leaf hash of the
//! entry before, hex, 64 zeros in the first.

pub mod decisions;
pub mod lineage;
mod note;
mod segment;
mod verify;
pub mod witness;

pub use note::{Checkpoint, open as open_checkpoint};
pub use segment::{Segment, segment, verify_segment};
pub use verify::{Broken, Damage, Known, Report, verify};

use crate::error::{Code, Error, Result};
use crate::keys::Keys;
use crate::merkle::{self, Peaks};
use crate::store::{Conn, Tx, audit as rows};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const FIRST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What happened, before it has its place in the log. No secret belongs into `data`: it leaves the laptop inside
/// evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    pub at: i64,
    pub run: Option<String>,
    /// Dotted: `gate.spawn`, `token.spent`, `run.state`, `check`, `verdict.sealed`, `settings`, …
    pub kind: String,
    pub data: Value,
}

/// An entry as it is hashed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    pub v: u32,
    pub seq: u64,
    pub at: i64,
    pub run: Option<String>,
    pub kind: String,
    pub data: Value,
    pub prev: String,
}

/// Adds an entry in the caller's transaction and returns its number, from 0. Constant work but for log n hashes.
pub fn append(tx: &Tx, fact: Fact) -> Result<u64> {
    let (mut peaks, prev) = end(tx)?;
    let body = Body { v: 1, seq: peaks.size, at: fact.at, run: fact.run, kind: fact.kind, data: fact.data, prev };
    let entry = serde_json_canonicalizer::to_string(&body).map_err(Error::internal)?;
    let hash = merkle::leaf(entry.as_bytes());
    let seq = i64::try_from(body.seq).map_err(Error::internal)?;
    rows::insert(tx, &rows::Entry { seq, run: body.run, kind: body.kind, entry, hash: hash.to_vec() })?;
    peaks.push(hash);
    rows::set_head(tx, &rows::Head { size: seq + 1, hash: hash.to_vec(), peaks: peaks.encode() })?;
    Ok(body.seq)
}

/// Signs the log as it is now (about 20 µs), keeps the checkpoint and returns it as a note.
pub fn checkpoint(tx: &Tx, keys: &Keys, at: i64) -> Result<String> {
    let (peaks, _) = end(tx)?;
    let note = note::seal(keys, peaks.size, &peaks.root())?;
    rows::keep_checkpoint(tx, i64::try_from(peaks.size).map_err(Error::internal)?, at, &note)?;
    Ok(note)
}

/// Where the next entry goes, and what it follows.
fn end(conn: &Conn) -> Result<(Peaks, String)> {
    let Some(head) = rows::head(conn)? else {
        return Ok((Peaks::default(), FIRST.to_owned()));
    };
    let peaks = u64::try_from(head.size).ok().and_then(|size| Peaks::decode(size, &head.peaks));
    let peaks = peaks.ok_or_else(|| {
        Error::new(Code::StoreFailed, "The record of the audit log's end is damaged.")
            .hint("`forge audit verify` says what is wrong with the log.")
    })?;
    Ok((peaks, hex::encode(head.hash)))
}

#[cfg(test)]
mod tests;
