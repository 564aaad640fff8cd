//! The part of the log that tells of one run, with what proves that each entry is in the log a checkpoint was signed
//! over. It goes into the evidence and needs nothing but the public key to be verified.

use super::{Body, note};
use crate::error::{Code, Error, Result};
use crate::keys::{Keys, PublicKey};
use crate::merkle::{self, Hash, Peaks};
use crate::store::{Tx, audit as rows};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// A C2SP checkpoint over the log that holds all the entries.
    pub checkpoint: String,
    pub entries: Vec<Proven>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// The canonical JSON, exactly as hashed.
    pub entry: String,
    /// RFC 6962 audit path, bottom up, hex.
    pub path: Vec<String>,
}

/// The entries of a run under a fresh checkpoint. Reads the whole log once (about a millisecond per thousand entries).
pub fn segment(tx: &Tx, keys: &Keys, run: &str, at: i64) -> Result<Segment> {
    let own = rows::of_run(tx, run)?;
    let mut leaves: Vec<Hash> = Vec::new();
    let mut peaks = Peaks::default();
    loop {
        let page = rows::page(tx, i64::try_from(leaves.len()).map_err(Error::internal)?, 1000)?;
        if page.is_empty() {
            break;
        }
        for row in page {
            let leaf = merkle::leaf(row.entry.as_bytes());
            peaks.push(leaf);
            leaves.push(leaf);
        }
    }
    let recorded = rows::head(tx)?.map(|h| h.peaks).unwrap_or_default();
    if recorded != peaks.encode() {
        return Err(Error::new(Code::StoreFailed, "The audit log has been tampered with; it cannot vouch for a run.")
            .hint("`forge audit verify` names the first broken entry."));
    }
    let wanted: Vec<u64> = own.iter().filter_map(|r| u64::try_from(r.seq).ok()).collect();
    let paths = merkle::paths(leaves, &wanted);
    let entries = own
        .into_iter()
        .zip(paths)
        .map(|(row, path)| Proven { entry: row.entry, path: path.iter().map(hex::encode).collect() })
        .collect();
    Ok(Segment { checkpoint: super::checkpoint(tx, keys, at)?, entries })
}

/// What the segment tells, if its checkpoint was signed by one of `trusted` and every entry is under it, in order and
/// about `run`. `EvidenceInvalid` names the first entry that is not.
pub fn verify_segment(segment: &Segment, trusted: &[PublicKey], run: &str) -> Result<Vec<Body>> {
    let point = note::open(&segment.checkpoint, trusted)?;
    let mut told: Vec<Body> = Vec::new();
    for (i, proven) in segment.entries.iter().enumerate() {
        let bad = |why: &str| Error::new(Code::EvidenceInvalid, format!("Entry {i} of the audit segment {why}."));
        let body: Body = serde_json::from_str(&proven.entry).map_err(|e| bad(&format!("cannot be read: {e}")))?;
        let path: Option<Vec<Hash>> =
            proven.path.iter().map(|h| hex::decode(h).ok().and_then(|b| b.try_into().ok())).collect();
        let path = path.ok_or_else(|| bad("has a proof that is not made of hashes"))?;
        let root = merkle::root_from(merkle::leaf(proven.entry.as_bytes()), body.seq, point.size, &path);
        if root != Some(point.root) {
            return Err(bad("is not in the log that the checkpoint was signed over"));
        }
        if body.run.as_deref() != Some(run) {
            return Err(bad("tells of another run"));
        }
        if told.last().is_some_and(|before| before.seq >= body.seq) {
            return Err(bad("is out of order"));
        }
        told.push(body);
    }
    Ok(told)
}
