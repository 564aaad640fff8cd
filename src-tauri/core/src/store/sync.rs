//! The scoreboard this laptop is enrolled at and those it was enrolled at before, their receipts, and refusals. The outbox is in `results.rs`, because a
//! verdict is queued in the transaction that records it.

use super::{Conn, Tx, decode, encode, from_word, word};
use crate::api::TrustTier;
use crate::error::Result;
use rusqlite::{OptionalExtension, Row, params};

pub(super) const V1: &str = "
CREATE TABLE board (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    url          TEXT NOT NULL,
    ca           TEXT,
    clear_text   INTEGER NOT NULL,
    learner      TEXT NOT NULL,
    name         TEXT NOT NULL,
    class        TEXT NOT NULL,
    instructor   INTEGER NOT NULL,
    key_id       TEXT NOT NULL,
    token        TEXT NOT NULL,
    root         TEXT NOT NULL,
    keys         TEXT NOT NULL,
    enrolled_at  INTEGER NOT NULL,
    ahead_ms     INTEGER NOT NULL,
    failures     INTEGER NOT NULL DEFAULT 0,
    retry_at     INTEGER NOT NULL DEFAULT 0,
    last_at      INTEGER,
    last_error   TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE TABLE receipts (
    result   TEXT PRIMARY KEY REFERENCES results (id) ON DELETE CASCADE,
    root     TEXT NOT NULL,
    tier     TEXT NOT NULL,
    receipt  TEXT NOT NULL,
    url      TEXT NOT NULL,
    notes    TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;
CREATE TABLE refusals (
    result   TEXT PRIMARY KEY REFERENCES results (id) ON DELETE CASCADE,
    code     TEXT NOT NULL,
    message  TEXT NOT NULL,
    hint     TEXT NOT NULL,
    at       INTEGER NOT NULL
) STRICT;";

pub(super) const V2: &str = "
CREATE TABLE challenges (
    nonce       TEXT PRIMARY KEY,
    request_id  TEXT NOT NULL UNIQUE,
    signed      TEXT NOT NULL
) STRICT;";

pub(super) const V3: &str = "ALTER TABLE receipts ADD COLUMN ask_at INTEGER NOT NULL DEFAULT 0;";

/// A row per scoreboard, of which one at most is the one that is set up: coming back to another needs no code. Receipts are kept
/// per scoreboard too.
pub(super) const V4: &str = "
CREATE TABLE boards (
    root         TEXT PRIMARY KEY,
    current      INTEGER NOT NULL,
    url          TEXT NOT NULL,
    ca           TEXT,
    clear_text   INTEGER NOT NULL,
    learner      TEXT NOT NULL,
    name         TEXT NOT NULL,
    class        TEXT NOT NULL,
    instructor   INTEGER NOT NULL,
    key_id       TEXT NOT NULL,
    token        TEXT NOT NULL,
    keys         TEXT NOT NULL,
    enrolled_at  INTEGER NOT NULL,
    ahead_ms     INTEGER NOT NULL,
    failures     INTEGER NOT NULL DEFAULT 0,
    retry_at     INTEGER NOT NULL DEFAULT 0,
    last_at      INTEGER,
    last_error   TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE UNIQUE INDEX boards_current ON boards (current) WHERE current = 1;
INSERT INTO boards (root, current, url, ca, clear_text, learner, name, class, instructor, key_id, token, keys, enrolled_at, ahead_ms,
                    failures, retry_at, last_at, last_error)
    SELECT root, 1, url, ca, clear_text, learner, name, class, instructor, key_id, token, keys, enrolled_at, ahead_ms,
           failures, retry_at, last_at, last_error FROM board;
DROP TABLE board;
CREATE TABLE receipts_by_board (
    result   TEXT NOT NULL REFERENCES results (id) ON DELETE CASCADE,
    root     TEXT NOT NULL,
    tier     TEXT NOT NULL,
    receipt  TEXT NOT NULL,
    url      TEXT NOT NULL,
    notes    TEXT NOT NULL,
    at       INTEGER NOT NULL,
    ask_at   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (result, root)
) STRICT;
INSERT INTO receipts_by_board (result, root, tier, receipt, url, notes, at, ask_at)
    SELECT result, root, tier, receipt, url, notes, at, ask_at FROM receipts;
DROP TABLE receipts;
ALTER TABLE receipts_by_board RENAME TO receipts;";

#[derive(Clone, PartialEq, Eq)]
pub struct Board {
    pub url: String,
    /// PEM of the only certificates that its https is believed under.
    pub ca: Option<String>,
    pub clear_text: bool,
    /// Empty, like `name` and `class`, when the key was enrolled from another machine.
    pub learner: String,
    pub name: String,
    pub class: String,
    pub instructor: bool,
    /// The learner's key that was enrolled.
    pub key_id: String,
    /// Empty when the key was enrolled from another machine.
    pub token: String,
    /// Fingerprint of the server's key that was pinned at enrolment.
    pub root: String,
    /// PEM of that key and of those it vouched for since, newest first.
    pub keys: Vec<String>,
    pub enrolled_at: i64,
    /// How far this machine's clock was ahead of the server's when that was looked at last.
    pub ahead_ms: i64,
    /// Times in a row that the server could not be worked with.
    pub failures: u32,
    pub retry_at: i64,
    pub last_at: Option<i64>,
    pub last_error: String,
}

impl std::fmt::Debug for Board {
    /// Without the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("url", &self.url).field("root", &self.root).finish_non_exhaustive()
    }
}

/// A scoreboard's receipt, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipted {
    pub result: String,
    pub root: String,
    pub tier: TrustTier,
    /// JSON, signature included.
    pub receipt: String,
    /// The verdict's own page.
    pub url: String,
    pub notes: Vec<String>,
    pub at: i64,
    /// When the scoreboard is asked whether it has established more.
    pub ask_at: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub result: String,
    pub code: String,
    pub message: String,
    pub hint: String,
    pub at: i64,
}

/// One verdict that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub result: String,
    pub attempts: u32,
    pub next_at: i64,
    pub last_error: String,
}

/// The one that is set up.
pub fn board(conn: &Conn) -> Result<Option<Board>> {
    let sql = format!("SELECT {BOARD} FROM boards WHERE current = 1");
    conn.prepare_cached(&sql)?.query_and_then([], read_board)?.next().transpose()
}

/// All that this laptop was ever enrolled at: the one that is set up first, then the newest.
pub fn boards(conn: &Conn) -> Result<Vec<Board>> {
    let sql = format!("SELECT {BOARD} FROM boards ORDER BY current DESC, enrolled_at DESC, root");
    conn.prepare_cached(&sql)?.query_and_then([], read_board)?.collect()
}

/// Takes the place of whatever is set up; that is kept aside. Everything of which this scoreboard has not acknowledged all waits
/// for it from now on; what another one refused is asked anew.
pub fn enrol(tx: &Tx, b: &Board) -> Result<()> {
    unenrol(tx)?;
    tx.execute("DELETE FROM boards WHERE root = ?1", [&b.root])?;
    tx.execute(
        "INSERT INTO boards (current, url, ca, clear_text, learner, name, class, instructor, key_id, token, root, keys, enrolled_at, ahead_ms)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        params![
            b.url, b.ca, b.clear_text, b.learner, b.name, b.class, b.instructor, b.key_id, b.token, b.root,
            encode(&b.keys)?, b.enrolled_at, b.ahead_ms
        ],
    )?;
    tx.execute("DELETE FROM refusals", [])?;
    tx.execute("UPDATE outbox SET attempts = 0, next_at = ?1, last_error = ''", [b.enrolled_at])?;
    // What waited for another one, and this one has.
    tx.execute(&format!("DELETE FROM outbox WHERE result IN ({ACKNOWLEDGED})"), [&b.root])?;
    let rest = format!(
        "INSERT INTO outbox (result, queued, next_at)
         SELECT id, at, ?2 FROM results WHERE id NOT IN (SELECT result FROM outbox) AND id NOT IN ({ACKNOWLEDGED})"
    );
    tx.execute(&rest, params![b.root, b.enrolled_at])?;
    Ok(())
}

/// It knows the learner by this key from now on, if it is still the one that was told.
pub fn introduced(tx: &Tx, old: &str, new: &str) -> Result<()> {
    tx.execute("UPDATE boards SET key_id = ?2 WHERE key_id = ?1 AND current = 1", [old, new])?;
    Ok(())
}

/// No scoreboard is set up any more. It is kept aside with its token, for coming back; receipts stay. True when there was one.
pub fn unenrol(tx: &Tx) -> Result<bool> {
    Ok(tx.execute("UPDATE boards SET current = 0 WHERE current = 1", [])? > 0)
}

/// The server's keys, after it was shown that each vouched for the next.
pub fn set_keys(tx: &Tx, root: &str, keys: &[String]) -> Result<()> {
    tx.execute("UPDATE boards SET keys = ?2 WHERE root = ?1", params![root, encode(&keys)?])?;
    Ok(())
}

/// How the clocks stand now, of the scoreboard with this root.
pub fn set_ahead(tx: &Tx, root: &str, ahead_ms: i64) -> Result<()> {
    tx.execute("UPDATE boards SET ahead_ms = ?2 WHERE root = ?1", params![root, ahead_ms])?;
    Ok(())
}

/// The server answered as it should.
pub fn worked(tx: &Tx, at: i64) -> Result<()> {
    tx.execute("UPDATE boards SET failures = 0, retry_at = 0, last_at = ?1, last_error = '' WHERE current = 1", [at])?;
    Ok(())
}

/// The server cannot be worked with for now.
pub fn failed(tx: &Tx, at: i64, retry_at: i64, why: &str) -> Result<()> {
    tx.execute(
        "UPDATE boards SET failures = failures + 1, retry_at = ?2, last_at = ?1, last_error = ?3 WHERE current = 1",
        params![at, retry_at, why],
    )?;
    Ok(())
}

/// Keeps a receipt; `done` when nothing more is to be sent for it. False when the same was kept before.
pub fn receipted(tx: &Tx, r: &Receipted, done: bool) -> Result<bool> {
    let changed = tx
        .prepare_cached(
            "INSERT INTO receipts (result, root, tier, receipt, url, notes, at, ask_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (result, root) DO UPDATE SET tier = excluded.tier, receipt = excluded.receipt, url = excluded.url,
                 notes = excluded.notes, at = excluded.at, ask_at = excluded.ask_at
             WHERE receipt <> excluded.receipt OR notes <> excluded.notes",
        )?
        .execute(params![r.result, r.root, word(&r.tier)?, r.receipt, r.url, encode(&r.notes)?, r.at, r.ask_at])?;
    if done {
        sent(tx, &r.result)?;
    }
    Ok(changed > 0)
}

/// Nothing more is to be sent of it.
pub fn sent(tx: &Tx, result: &str) -> Result<()> {
    tx.prepare_cached("DELETE FROM refusals WHERE result = ?1")?.execute([result])?;
    super::results::acknowledged(tx, result)
}

/// The receipt of this scoreboard that is kept for a result.
pub fn receipt_of(conn: &Conn, result: &str, root: &str) -> Result<Option<Receipted>> {
    let sql = format!("SELECT {RECEIPT} FROM receipts WHERE result = ?1 AND root = ?2");
    conn.prepare_cached(&sql)?.query_and_then([result, root], read_receipt)?.next().transpose()
}

/// Receipts of this scoreboard, kept at `since` or later, of which nothing waits to be sent and whose tier can still rise,
/// with the result's folder; the next to be asked about first.
pub fn may_rise(conn: &Conn, root: &str, since: i64) -> Result<Vec<(Receipted, String)>> {
    let columns = RECEIPT.split(", ").map(|c| format!("c.{c}")).collect::<Vec<_>>().join(", ");
    let sql = format!(
        "SELECT {columns}, r.dir FROM receipts c JOIN results r ON r.id = c.result
         WHERE c.root = ?1 AND c.at >= ?2 AND c.tier <> ?3 AND c.result NOT IN (SELECT result FROM outbox)
         ORDER BY c.ask_at, c.result"
    );
    conn.prepare_cached(&sql)?
        .query_and_then(params![root, since, word(&TrustTier::ReExecuted)?], |r| Ok((read_receipt(r)?, r.get(8)?)))?
        .collect()
}

/// When the first of those that [`may_rise`] tells is to be asked about; None without any.
pub fn ask_due(conn: &Conn, root: &str, since: i64) -> Result<Option<i64>> {
    let sql = "SELECT min(ask_at) FROM receipts WHERE root = ?1 AND at >= ?2 AND tier <> ?3
               AND result NOT IN (SELECT result FROM outbox)";
    Ok(conn.prepare_cached(sql)?.query_row(params![root, since, word(&TrustTier::ReExecuted)?], |r| r.get(0))?)
}

/// When the scoreboard is asked about it next.
pub fn ask_at(tx: &Tx, result: &str, at: i64) -> Result<()> {
    tx.prepare_cached("UPDATE receipts SET ask_at = ?2 WHERE result = ?1")?.execute(params![result, at])?;
    Ok(())
}

/// The scoreboard has lost what it had acknowledged: it is sent anew.
pub fn lost(tx: &Tx, result: &str, at: i64) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO outbox (result, queued, next_at) SELECT id, at, ?2 FROM results WHERE id = ?1 ON CONFLICT (result) DO NOTHING",
    )?
    .execute(params![result, at])?;
    Ok(())
}

/// It is not sent again by itself.
pub fn refused(tx: &Tx, r: &Refused) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO refusals (result, code, message, hint, at) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (result) DO UPDATE SET code = excluded.code, message = excluded.message, hint = excluded.hint, at = excluded.at",
    )?
    .execute(params![r.result, r.code, r.message, r.hint, r.at])?;
    super::results::acknowledged(tx, &r.result)
}

/// What was refused waits again. How many.
pub fn retry_refused(tx: &Tx, at: i64) -> Result<u64> {
    tx.execute(
        "INSERT INTO outbox (result, queued, next_at) SELECT f.result, r.at, ?1 FROM refusals f JOIN results r ON r.id = f.result
         WHERE true ON CONFLICT (result) DO NOTHING",
        [at],
    )?;
    Ok(tx.execute("DELETE FROM refusals", [])? as u64)
}

/// When the first verdict was sealed, by this machine's clock, that was refused because its time was still to come.
pub fn first_early(conn: &Conn) -> Result<Option<i64>> {
    let sql = "SELECT min(r.at) FROM refusals f JOIN results r ON r.id = f.result WHERE f.code = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([EARLY], |r| r.get(0))?)
}

/// Of those, the ones whose time has come wait again: `theirs` is the time by the scoreboard's clock. How many.
pub fn ripen(tx: &Tx, theirs: i64, at: i64) -> Result<usize> {
    let ripe = "SELECT f.result FROM refusals f JOIN results r ON r.id = f.result WHERE f.code = ?1 AND r.at <= ?2";
    tx.execute(
        &format!(
            "INSERT INTO outbox (result, queued, next_at) SELECT id, at, ?3 FROM results WHERE id IN ({ripe})
             ON CONFLICT (result) DO NOTHING"
        ),
        params![EARLY, theirs, at],
    )?;
    Ok(tx.execute(&format!("DELETE FROM refusals WHERE result IN ({ripe})"), params![EARLY, theirs])?)
}

/// Oldest first.
pub fn waiting(conn: &Conn) -> Result<Vec<Waiting>> {
    conn.prepare_cached("SELECT result, attempts, next_at, last_error FROM outbox ORDER BY queued, result")?
        .query_and_then([], |r| {
            Ok(Waiting { result: r.get(0)?, attempts: r.get(1)?, next_at: r.get(2)?, last_error: r.get(3)? })
        })?
        .collect()
}

/// Of all scoreboards; of one result, that of the scoreboard that is set up last, else the newest.
pub fn receipts(conn: &Conn) -> Result<Vec<Receipted>> {
    let sql = format!(
        "SELECT {RECEIPT} FROM receipts ORDER BY root IN (SELECT root FROM boards WHERE current = 1), at, result, root"
    );
    conn.prepare_cached(&sql)?.query_and_then([], read_receipt)?.collect()
}

pub fn refusals(conn: &Conn) -> Result<Vec<Refused>> {
    conn.prepare_cached("SELECT result, code, message, hint, at FROM refusals")?
        .query_and_then([], |r| {
            Ok(Refused { result: r.get(0)?, code: r.get(1)?, message: r.get(2)?, hint: r.get(3)?, at: r.get(4)? })
        })?
        .collect()
}

/// The request id that runs under this challenge are started with now.
pub fn request_of(conn: &Conn, nonce: &str) -> Result<Option<String>> {
    let sql = "SELECT request_id FROM challenges WHERE nonce = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([nonce], |r| r.get(0)).optional()?)
}

/// Keeps a challenge that was verified, as it came.
pub fn challenge(tx: &Tx, nonce: &str, request_id: &str, signed: &str) -> Result<()> {
    tx.prepare_cached(
        "INSERT INTO challenges (nonce, request_id, signed) VALUES (?1, ?2, ?3)
         ON CONFLICT (nonce) DO UPDATE SET request_id = excluded.request_id, signed = excluded.signed",
    )?
    .execute(params![nonce, request_id, signed])?;
    Ok(())
}

/// The challenge that binds the run of this request id.
pub fn challenge_of(conn: &Conn, request_id: &str) -> Result<Option<String>> {
    let sql = "SELECT signed FROM challenges WHERE request_id = ?1";
    Ok(conn.prepare_cached(sql)?.query_row([request_id], |r| r.get(0)).optional()?)
}

/// The scoreboard's word for a verdict that ends in its future.
pub const EARLY: &str = "future_dated";

/// Results of which the scoreboard with the root ?1 has all. A receipt for an envelope alone acknowledges no evidence.
const ACKNOWLEDGED: &str = "SELECT c.result FROM receipts c WHERE c.root = ?1
    AND EXISTS (SELECT 1 FROM json_each(c.receipt, '$.body.established') WHERE value = 'digests')";

const BOARD: &str = "url, ca, clear_text, learner, name, class, instructor, key_id, token, root, keys, enrolled_at, ahead_ms, \
    failures, retry_at, last_at, last_error";

fn read_board(r: &Row) -> Result<Board> {
    Ok(Board {
        url: r.get(0)?,
        ca: r.get(1)?,
        clear_text: r.get(2)?,
        learner: r.get(3)?,
        name: r.get(4)?,
        class: r.get(5)?,
        instructor: r.get(6)?,
        key_id: r.get(7)?,
        token: r.get(8)?,
        root: r.get(9)?,
        keys: decode("scoreboard key", &r.get::<_, String>(10)?)?,
        enrolled_at: r.get(11)?,
        ahead_ms: r.get(12)?,
        failures: r.get(13)?,
        retry_at: r.get(14)?,
        last_at: r.get(15)?,
        last_error: r.get(16)?,
    })
}

const RECEIPT: &str = "result, root, tier, receipt, url, notes, at, ask_at";

fn read_receipt(r: &Row) -> Result<Receipted> {
    Ok(Receipted {
        result: r.get(0)?,
        root: r.get(1)?,
        tier: from_word("trust tier", r.get(2)?)?,
        receipt: r.get(3)?,
        url: r.get(4)?,
        notes: decode("receipt's notes", &r.get::<_, String>(5)?)?,
        at: r.get(6)?,
        ask_at: r.get(7)?,
    })
}
