//! Reading the whole log again: the first entry that is not as it was written is named, with what was done to it.

use super::lineage;
use super::note::{self, Checkpoint};
use super::{Body, FIRST};
use crate::error::Result;
use crate::keys::{KeyName, Keys, PublicKey};
use crate::merkle::{self, Hash, Peaks};
use crate::store::{Conn, Store, audit as rows};
use std::collections::BTreeMap;

/// What was done to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// An entry's bytes are not what was hashed.
    Edited,
    /// An entry is gone from the middle.
    Deleted,
    /// An entry stands where another belongs.
    Reordered,
    /// Entries at the end are gone, though something signed or recorded says that there were more.
    Truncated,
    /// The log is consistent in itself but is not the one a checkpoint was signed over.
    Forked,
    /// The record of the log's end, or a checkpoint, was tampered with.
    Head,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The first entry that is wrong (numbered from 0).
    pub entry: u64,
    pub damage: Damage,
    /// One sentence.
    pub detail: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub ok: bool,
    pub entries: u64,
    /// How many checkpoints were verified against the log, and how many of them came from outside the database.
    pub checkpoints: usize,
    pub outside: usize,
    /// Where checkpoints of other machines' keys were found; they say nothing about this log.
    pub strangers: Vec<String>,
    /// How many checkpoints are by a key of this machine that was exchanged without its signature. They were held against the log,
    /// which is broken where one does not fit; that one fits proves nothing any more.
    pub orphans: usize,
    pub broken: Option<Broken>,
}

/// A checkpoint that was kept outside the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Where, as a sentence names it: “the verdict in …”.
    pub from: String,
    pub note: String,
}

/// A checkpoint whose signature holds, and where it is from.
struct Point {
    is: Checkpoint,
    from: String,
    /// Under a key that is gone.
    orphan: bool,
}

/// Verifies the log in `store`, its own checkpoints, and those in `known` (from verdicts, or kept elsewhere: only
/// these can show that somebody who owns the database cut it off and removed the checkpoints as well).
pub async fn verify(store: &Store, keys: &Keys, known: &[Known]) -> Result<Report> {
    let trusted = keys.ever(KeyName::Learner)?;
    let known = known.to_vec();
    store.read(move |conn| verify_on(conn, &trusted, &known)).await
}

fn verify_on(conn: &Conn, trusted: &[PublicKey], known: &[Known]) -> Result<Report> {
    let gone = lineage::gone(conn)?;
    let open = |text: &str| match note::open(text, trusted) {
        Ok(is) => Ok((is, false)),
        Err(e) => note::open(text, &gone).map(|is| (is, true)).map_err(|_| e),
    };
    let mut points: Vec<Point> = Vec::new();
    let mut bad_note = None;
    let mut head = |entry, detail| {
        bad_note.get_or_insert(Broken { entry, damage: Damage::Head, detail });
    };
    for (size, text) in rows::checkpoints(conn)? {
        let filed = u64::try_from(size).unwrap_or_default();
        match open(&text) {
            Ok((is, orphan)) if is.size == filed => {
                points.push(Point { is, from: "a signed checkpoint in the database".into(), orphan });
            }
            Ok((point, _)) => {
                head(point.size, "A checkpoint is filed under another size than it was signed for.".into())
            }
            Err(e) => head(filed, e.message),
        }
    }
    let counted = |points: &[Point]| points.iter().filter(|p| !p.orphan).count();
    let (own, mut strangers) = (counted(&points), Vec::new());
    for Known { from, note } in known {
        match open(note) {
            Ok((is, orphan)) => points.push(Point { is, from: from.clone(), orphan }),
            Err(_) if note::of_another_key(note, trusted) => strangers.push(from.clone()),
            Err(e) => head(0, format!("{} It is from {from}.", e.message)),
        }
    }
    let mut heads: BTreeMap<u64, Hash> = points.iter().map(|p| (p.is.size, Hash::default())).collect();
    let mut peaks = Peaks::default();
    let broken = match walk(conn, &mut peaks, &mut heads)? {
        Walked::Broken(b) => Some(b),
        Walked::Whole { last } => ending(conn, &peaks, &last, &points, &heads)?.or(bad_note),
    };
    Ok(Report {
        ok: broken.is_none(),
        entries: peaks.size,
        checkpoints: counted(&points),
        outside: counted(&points) - own,
        orphans: points.iter().filter(|p| p.orphan).count(),
        strangers,
        broken,
    })
}

enum Walked {
    /// `last`: what the next entry would name as the one before it.
    Whole {
        last: String,
    },
    Broken(Broken),
}

/// Goes through the entries in order until one is wrong.
fn walk(conn: &Conn, peaks: &mut Peaks, heads: &mut BTreeMap<u64, Hash>) -> Result<Walked> {
    const PAGE: u32 = 500;
    let mut previous = FIRST.to_owned();
    if let Some(head) = heads.get_mut(&0) {
        *head = peaks.root();
    }
    loop {
        let page = rows::page(conn, i64::try_from(peaks.size).unwrap_or(i64::MAX), PAGE)?;
        let last = page.len() < PAGE as usize;
        for row in page {
            let entry = peaks.size;
            let broken = |damage, detail: String| Ok(Walked::Broken(Broken { entry, damage, detail }));
            if u64::try_from(row.seq) != Ok(entry) {
                return broken(Damage::Deleted, format!("Entry {entry} is missing; the next one is {}.", row.seq));
            }
            let hash = merkle::leaf(row.entry.as_bytes());
            let body: Body = match serde_json::from_str(&row.entry) {
                Ok(body) => body,
                Err(e) => return broken(Damage::Edited, format!("Entry {entry} is not an audit entry any more: {e}.")),
            };
            if hash.as_slice() != row.hash {
                return broken(Damage::Edited, format!("Entry {entry} was changed after it was written."));
            }
            if body.seq != entry {
                let gone = !holds(conn, entry)?;
                return if gone {
                    broken(
                        Damage::Deleted,
                        format!("Entry {entry} is missing; entry {} stands in its place.", body.seq),
                    )
                } else {
                    broken(Damage::Reordered, format!("Where entry {entry} belongs stands entry {}.", body.seq))
                };
            }
            if body.prev != previous {
                let before = entry.saturating_sub(1);
                let detail = format!("Entry {before} is not the one that entry {entry} was written after.");
                return Ok(Walked::Broken(Broken { entry: before, damage: Damage::Edited, detail }));
            }
            if body.run != row.run || body.kind != row.kind {
                return broken(Damage::Edited, format!("Entry {entry} is filed under another run or kind."));
            }
            previous = hex::encode(hash);
            peaks.push(hash);
            if let Some(head) = heads.get_mut(&peaks.size) {
                *head = peaks.root();
            }
        }
        if last {
            return Ok(Walked::Whole { last: previous });
        }
    }
}

/// Whether any row's entry says that it is number `wanted`.
fn holds(conn: &Conn, wanted: u64) -> Result<bool> {
    let mut from = 0;
    loop {
        let page = rows::page(conn, from, 500)?;
        let Some(last) = page.last() else { return Ok(false) };
        from = last.seq + 1;
        if page.iter().any(|r| serde_json::from_str::<Body>(&r.entry).is_ok_and(|b| b.seq == wanted)) {
            return Ok(true);
        }
    }
}

/// Does the log end where it was recorded to end, and does each checkpoint fit?
fn ending(
    conn: &Conn,
    peaks: &Peaks,
    last: &str,
    points: &[Point],
    heads: &BTreeMap<u64, Hash>,
) -> Result<Option<Broken>> {
    let size = peaks.size;
    let cut = |said: u64, who: &str| Broken {
        entry: size,
        damage: Damage::Truncated,
        detail: format!("The log ends after {size} entries; {who} says that there were {said}."),
    };
    let mut points: Vec<&Point> = points.iter().collect();
    points.sort_by_key(|p| p.is.size);
    // A log that was rewritten and is shorter as well was rewritten in the first place: the shortest checkpoint that does
    // not fit tells where.
    let mut good = 0;
    for point in points.iter().filter(|p| p.is.size <= size) {
        if heads.get(&point.is.size) != Some(&point.is.root) {
            let detail = format!(
                "The log was rewritten at or after entry {good}: its first {} entries are not those that {} was signed over.",
                point.is.size, point.from
            );
            return Ok(Some(Broken { entry: good, damage: Damage::Forked, detail }));
        }
        good = point.is.size;
    }
    if let Some(longest) = points.last().filter(|p| p.is.size > size) {
        return Ok(Some(cut(longest.is.size, &longest.from)));
    }
    let head = rows::head(conn)?.unwrap_or_default();
    let said = u64::try_from(head.size).unwrap_or_default();
    if said > size {
        return Ok(Some(cut(said, "the record of its end")));
    }
    if said < size || (size > 0 && (head.peaks != peaks.encode() || hex::encode(&head.hash) != last)) {
        let detail =
            format!("The record of the log's end says {said} entries, the log has {size}, or their hashes differ.");
        return Ok(Some(Broken { entry: said, damage: Damage::Head, detail }));
    }
    Ok(None)
}
