//! Accepted verdicts, in the order of their acceptance. A row is written once; only what a bundle establishes later is
//! added to it.

use super::{Row, Tx, Value};
use crate::params;
use bytes::Bytes;
use forge_core::api::TrustTier;
use forge_core::board::Fact;
use forge_core::error::{Code, Error, Result};
use forge_core::verdict::dsse;
use forge_core::verdict::statement::Statement;
use std::collections::BTreeSet;

/// Digests that are only compared are bytes; the envelope is what [`Verdict::envelope`] makes of payload and signature. Every tree
/// costs each verdict a page of the log, so there is none over what is mostly empty.
pub const SQL: &str = "
CREATE TABLE verdicts (seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL UNIQUE, tar BYTEA NOT NULL UNIQUE,
  key_id TEXT NOT NULL, learner TEXT NOT NULL, class TEXT NOT NULL, lab TEXT NOT NULL, version TEXT NOT NULL, track TEXT NOT NULL,
  score BIGINT NOT NULL, max BIGINT NOT NULL, started BIGINT NOT NULL, finished BIGINT NOT NULL, duration_ms BIGINT NOT NULL,
  received_at BIGINT NOT NULL, tier BIGINT NOT NULL, facts TEXT NOT NULL, session TEXT, nonce TEXT, seed BYTEA NOT NULL,
  payload BYTEA NOT NULL, signature BYTEA NOT NULL, score_json BYTEA, evidence_bytes BIGINT, answers TEXT);
CREATE INDEX verdicts_session ON verdicts (session) WHERE session IS NOT NULL;
CREATE UNIQUE INDEX verdicts_nonce ON verdicts (nonce) WHERE nonce IS NOT NULL;
";

#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    pub seq: i64,
    pub id: String,
    pub run: String,
    /// SHA-256 of the evidence's tar.
    pub tar: String,
    pub key_id: String,
    pub learner: String,
    pub class: String,
    pub lab: String,
    pub version: String,
    pub track: String,
    pub score: u64,
    pub max: u64,
    pub started: i64,
    pub finished: i64,
    pub duration_ms: u64,
    pub received_at: i64,
    pub tier: TrustTier,
    pub facts: Vec<Fact>,
    pub session: Option<String>,
    pub nonce: Option<String>,
    /// Commitment, as signed.
    pub seed: String,
    /// What was signed, and the signature.
    pub payload: Bytes,
    pub signature: [u8; 64],
    pub score_json: Option<Bytes>,
    pub evidence_bytes: Option<i64>,
    /// Digest of what was observed, whatever the lab: equal ones under different seeds are a question.
    pub answers: Option<String>,
}

pub const COLUMNS: &str = "seq, id, run, tar, key_id, learner, class, lab, version, track, score, max, started, finished, duration_ms, \
     received_at, tier, facts, session, nonce, seed, payload, signature, score_json, evidence_bytes, answers";
/// Up to version 4.
pub const COLUMNS_4: &str = "seq, id, run, tar, key_id, learner, class, lab, version, track, score, max, started, finished, duration_ms, \
     received_at, tier, facts, session, nonce, seed, envelope, score_json, evidence_bytes, answers";

impl Verdict {
    /// As it arrived, byte for byte: there is one way to write an envelope, and no other is accepted.
    pub fn envelope(&self) -> Result<Vec<u8>> {
        dsse::write(&self.payload, &self.key_id, &self.signature)
    }

    pub fn statement(&self) -> Result<Statement> {
        Statement::from_bytes(&self.payload)
    }
}

/// A row of [`COLUMNS_4`] as one of [`COLUMNS`]. `StoreFailed` for one whose envelope would not come back as it was.
pub fn from_4(mut row: Vec<Value>) -> Result<Vec<Value>> {
    let broken = || Error::new(Code::StoreFailed, "A stored verdict of an older version cannot be read.");
    let bytes = |value: &Value| match value {
        Value::Text(hex) => hex::decode(hex).map(Value::from).map_err(|_| broken()),
        _ => Err(broken()),
    };
    let [_, _, _, tar, key_id, .., seed, envelope, _, _, _] = row.as_mut_slice() else { return Err(broken()) };
    (*tar, *seed) = (bytes(tar)?, bytes(seed)?);
    let Value::Bytes(whole) = &*envelope else { return Err(broken()) };
    let opened = dsse::read(whole)?;
    let again = dsse::write(&opened.payload, &opened.key_id, &opened.signature)?;
    if again != *whole || *key_id != Value::Text(opened.key_id) {
        return Err(broken());
    }
    *envelope = opened.payload.into();
    let after = row.len() - 3;
    row.insert(after, opened.signature.to_vec().into());
    Ok(row)
}

pub const TIERS: [TrustTier; 4] =
    [TrustTier::SelfAttested, TrustTier::InstructorSeeded, TrustTier::ReGraded, TrustTier::ReExecuted];

pub fn tier_number(tier: TrustTier) -> i64 {
    match tier {
        TrustTier::SelfAttested => 0,
        TrustTier::InstructorSeeded => 1,
        TrustTier::ReGraded => 2,
        TrustTier::ReExecuted => 3,
    }
}

pub fn tier_of(n: i64) -> Result<TrustTier> {
    let tier = usize::try_from(n).ok().and_then(|n| TIERS.get(n).copied());
    tier.ok_or_else(|| Error::internal(format!("a tier {n} is stored")))
}

/// Points and milliseconds from a stranger's statement: what does not fit is capped long before (see `intake`).
fn stored(n: u64) -> Result<i64> {
    i64::try_from(n).map_err(|_| Error::internal("a number is too large to be stored"))
}

fn number(row: &Row, i: usize) -> Result<u64> {
    u64::try_from(row.int(i)?).map_err(|_| Error::internal("a number below zero is stored"))
}

fn read(row: &Row) -> Result<Verdict> {
    Ok(Verdict {
        seq: row.int(0)?,
        id: row.text(1)?,
        run: row.text(2)?,
        tar: hex::encode(row.bytes(3)?),
        key_id: row.text(4)?,
        learner: row.text(5)?,
        class: row.text(6)?,
        lab: row.text(7)?,
        version: row.text(8)?,
        track: row.text(9)?,
        score: number(row, 10)?,
        max: number(row, 11)?,
        started: row.int(12)?,
        finished: row.int(13)?,
        duration_ms: number(row, 14)?,
        received_at: row.int(15)?,
        tier: tier_of(row.int(16)?)?,
        facts: serde_json::from_str(&row.text(17)?)?,
        session: row.maybe_text(18)?,
        nonce: row.maybe_text(19)?,
        seed: hex::encode(row.bytes(20)?),
        payload: row.bytes(21)?,
        signature: row.bytes(22)?.as_ref().try_into().map_err(|_| super::wrong(22, "a signature"))?,
        score_json: row.maybe_bytes(23)?,
        evidence_bytes: row.maybe_int(24)?,
        answers: row.maybe_text(25)?,
    })
}

pub fn next_seq(tx: &mut dyn Tx) -> Result<i64> {
    tx.one("SELECT COALESCE(MAX(seq), 0) + 1 FROM verdicts", &[])?.map_or(Ok(1), |r| r.int(0))
}

/// Stores those that are new: whose id, run and evidence no stored one has, nor one before them in the list. They are numbered
/// from [`next_seq`] on; says for each whether it was stored.
pub fn insert_new(tx: &mut dyn Tx, fresh: &mut [&mut Verdict]) -> Result<Vec<bool>> {
    if fresh.is_empty() {
        return Ok(Vec::new());
    }
    let first = next_seq(tx)?;
    for (v, seq) in fresh.iter_mut().zip(first..) {
        v.seq = seq;
    }
    let rows: Vec<Vec<Value>> = fresh.iter().map(|v| row_of(v)).collect::<Result<_>>()?;
    let stored = tx.execute_rows(&format!("INSERT INTO verdicts ({COLUMNS}) {{rows}} ON CONFLICT DO NOTHING"), rows)?;
    if stored == fresh.len() as u64 {
        return Ok(vec![true; fresh.len()]);
    }
    let found = tx.query("SELECT seq FROM verdicts WHERE seq >= $1", params![first])?;
    let found: BTreeSet<i64> = found.iter().map(|r| r.int(0)).collect::<Result<_>>()?;
    let mut next = first..;
    let mut told = Vec::new();
    for v in fresh {
        told.push(found.contains(&v.seq));
        if found.contains(&v.seq)
            && let Some(seq) = next.next()
            && seq != v.seq
        {
            // No number is left out.
            tx.execute("UPDATE verdicts SET seq = $2 WHERE seq = $1", params![v.seq, seq])?;
            v.seq = seq;
        }
    }
    Ok(told)
}

/// One that is known to be new. It has its number.
pub fn insert(tx: &mut dyn Tx, v: &Verdict) -> Result<()> {
    tx.execute_rows(&format!("INSERT INTO verdicts ({COLUMNS}) {{rows}}"), vec![row_of(v)?]).map(drop)
}

fn bytes(hex: &str) -> Result<Value> {
    Ok(hex::decode(hex).map_err(|_| Error::internal("a digest is not hex"))?.into())
}

/// In the order of [`COLUMNS`].
fn row_of(v: &Verdict) -> Result<Vec<Value>> {
    Ok(vec![
        v.seq.into(),
        v.id.as_str().into(),
        v.run.as_str().into(),
        bytes(&v.tar)?,
        v.key_id.as_str().into(),
        v.learner.as_str().into(),
        v.class.as_str().into(),
        v.lab.as_str().into(),
        v.version.as_str().into(),
        v.track.as_str().into(),
        stored(v.score)?.into(),
        stored(v.max)?.into(),
        v.started.into(),
        v.finished.into(),
        stored(v.duration_ms)?.into(),
        v.received_at.into(),
        tier_number(v.tier).into(),
        serde_json::to_string(&v.facts)?.into(),
        v.session.clone().into(),
        v.nonce.clone().into(),
        bytes(&v.seed)?,
        v.payload.clone().into(),
        v.signature.to_vec().into(),
        v.score_json.clone().into(),
        v.evidence_bytes.into(),
        v.answers.clone().into(),
    ])
}

/// What a bundle that arrived after its envelope has established.
pub fn raise(tx: &mut dyn Tx, v: &Verdict) -> Result<()> {
    tx.execute(
        "UPDATE verdicts SET tier = $2, facts = $3, score_json = $4, evidence_bytes = $5, answers = $6, track = $7 WHERE id = $1",
        params![
            v.id.as_str(),
            tier_number(v.tier),
            serde_json::to_string(&v.facts)?,
            v.score_json.clone(),
            v.evidence_bytes,
            v.answers.clone(),
            v.track.as_str(),
        ],
    )?;
    super::export::raised(tx, &v.id, v.facts.len())
}

pub fn set_score(tx: &mut dyn Tx, id: &str, score_json: &Bytes) -> Result<()> {
    tx.execute("UPDATE verdicts SET score_json = $2 WHERE id = $1", params![id, score_json.clone()])?;
    Ok(())
}

pub fn by_id(tx: &mut dyn Tx, id: &str) -> Result<Option<Verdict>> {
    let row = tx.one(&format!("SELECT {COLUMNS} FROM verdicts WHERE id = $1"), params![id])?;
    row.as_ref().map(read).transpose()
}

pub fn by_run(tx: &mut dyn Tx, run: &str) -> Result<Option<Verdict>> {
    let row = tx.one(&format!("SELECT {COLUMNS} FROM verdicts WHERE run = $1"), params![run])?;
    row.as_ref().map(read).transpose()
}

/// Who sealed another verdict of this run or on this evidence: its id and key.
pub fn clash(tx: &mut dyn Tx, run: &str, tar: &str) -> Result<Option<(String, String)>> {
    let row = tx.one(
        "SELECT id, key_id FROM verdicts WHERE run = $1 UNION ALL SELECT id, key_id FROM verdicts WHERE tar = $2",
        params![run, bytes(tar)?],
    )?;
    row.map(|r| Ok((r.text(0)?, r.text(1)?))).transpose()
}

pub fn after(tx: &mut dyn Tx, seq: i64, limit: i64) -> Result<Vec<Verdict>> {
    let sql = format!("SELECT {COLUMNS} FROM verdicts WHERE seq > $1 ORDER BY seq LIMIT $2");
    tx.query(&sql, params![seq, limit])?.iter().map(read).collect()
}

/// How far back [`newest`] looks: what the public may ask for ends, however many verdicts other classes have.
pub const LOOK_BACK: i64 = 20_000;

/// The newest ones first; of one class, those among the last [`LOOK_BACK`] of all.
pub fn newest(tx: &mut dyn Tx, class: Option<&str>, limit: i64) -> Result<Vec<Verdict>> {
    let after = next_seq(tx)? - 1 - LOOK_BACK;
    let rows = match class {
        None => tx.query(&format!("SELECT {COLUMNS} FROM verdicts ORDER BY seq DESC LIMIT $1"), params![limit])?,
        Some(class) => tx.query(
            &format!("SELECT {COLUMNS} FROM verdicts WHERE seq > $1 AND class = $2 ORDER BY seq DESC LIMIT $3"),
            params![after, class, limit],
        )?,
    };
    rows.iter().map(read).collect()
}

pub fn of_session(tx: &mut dyn Tx, session: &str) -> Result<Vec<Verdict>> {
    let sql = format!("SELECT {COLUMNS} FROM verdicts WHERE session = $1 ORDER BY seq LIMIT 20000");
    tx.query(&sql, params![session])?.iter().map(read).collect()
}
