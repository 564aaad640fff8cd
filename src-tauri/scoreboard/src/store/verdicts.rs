//! Accepted verdicts, in the order of their acceptance. A row is written once; only what a bundle establishes later is
//! added to it.

use super::many::in_parts;
use super::{Row, Tx, Value};
use crate::params;
use bytes::Bytes;
use forge_core::api::TrustTier;
use forge_core::board::Fact;
use forge_core::error::{Error, Result};

pub const SQL: &str = "
CREATE TABLE verdicts (seq BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, run TEXT NOT NULL UNIQUE, tar TEXT NOT NULL UNIQUE,
  key_id TEXT NOT NULL, learner TEXT NOT NULL, class TEXT NOT NULL, lab TEXT NOT NULL, version TEXT NOT NULL, track TEXT NOT NULL,
  score BIGINT NOT NULL, max BIGINT NOT NULL, started BIGINT NOT NULL, finished BIGINT NOT NULL, duration_ms BIGINT NOT NULL,
  received_at BIGINT NOT NULL, tier BIGINT NOT NULL, facts TEXT NOT NULL, session TEXT, nonce TEXT UNIQUE, seed TEXT NOT NULL,
  envelope BYTEA NOT NULL, score_json BYTEA, evidence_bytes BIGINT, answers TEXT);
CREATE INDEX verdicts_session ON verdicts (session);
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
    pub envelope: Bytes,
    pub score_json: Option<Bytes>,
    pub evidence_bytes: Option<i64>,
    /// Digest of what was observed, whatever the lab: equal ones under different seeds are a question.
    pub answers: Option<String>,
}

pub const COLUMNS: &str = "seq, id, run, tar, key_id, learner, class, lab, version, track, score, max, started, finished, duration_ms, \
     received_at, tier, facts, session, nonce, seed, envelope, score_json, evidence_bytes, answers";

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
        tar: row.text(3)?,
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
        seed: row.text(20)?,
        envelope: row.bytes(21)?,
        score_json: row.maybe_bytes(22)?,
        evidence_bytes: row.maybe_int(23)?,
        answers: row.maybe_text(24)?,
    })
}

pub fn next_seq(tx: &mut dyn Tx) -> Result<i64> {
    tx.one("SELECT COALESCE(MAX(seq), 0) + 1 FROM verdicts", &[])?.map_or(Ok(1), |r| r.int(0))
}

pub fn insert(tx: &mut dyn Tx, fresh: &[&Verdict]) -> Result<()> {
    let rows = fresh.iter().map(|v| row_of(v)).collect::<Result<_>>()?;
    in_parts(rows, |places, values| {
        tx.execute(&format!("INSERT INTO verdicts ({COLUMNS}) VALUES {places}"), values).map(drop)
    })
}

/// In the order of [`COLUMNS`].
fn row_of(v: &Verdict) -> Result<Vec<Value>> {
    Ok(vec![
        v.seq.into(),
        v.id.as_str().into(),
        v.run.as_str().into(),
        v.tar.as_str().into(),
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
        v.seed.as_str().into(),
        v.envelope.clone().into(),
        v.score_json.clone().into(),
        v.evidence_bytes.into(),
        v.answers.clone().into(),
    ])
}

/// Which of these ids, runs and tars are taken: all three of each verdict that has one of them.
pub fn taken(tx: &mut dyn Tx, wanted: &[&Verdict]) -> Result<Vec<[String; 3]>> {
    let rows = wanted.iter().map(|v| vec![v.id.as_str().into(), v.run.as_str().into(), v.tar.as_str().into()]);
    let mut found = Vec::new();
    // Written so that both databases look each one up in its index, whatever they believe about the table's size.
    in_parts(rows.collect(), |places, values| {
        let sql = format!(
            "WITH wanted (id, run, tar) AS (VALUES {places})
             SELECT v.id, v.run, v.tar FROM wanted w CROSS JOIN verdicts v WHERE v.id = w.id
             UNION ALL SELECT v.id, v.run, v.tar FROM wanted w CROSS JOIN verdicts v WHERE v.run = w.run
             UNION ALL SELECT v.id, v.run, v.tar FROM wanted w CROSS JOIN verdicts v WHERE v.tar = w.tar"
        );
        for row in tx.query(&sql, values)? {
            found.push([row.text(0)?, row.text(1)?, row.text(2)?]);
        }
        Ok(())
    })?;
    Ok(found)
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
        params![run, tar],
    )?;
    row.map(|r| Ok((r.text(0)?, r.text(1)?))).transpose()
}

pub fn after(tx: &mut dyn Tx, seq: i64, limit: i64) -> Result<Vec<Verdict>> {
    let sql = format!("SELECT {COLUMNS} FROM verdicts WHERE seq > $1 ORDER BY seq LIMIT $2");
    tx.query(&sql, params![seq, limit])?.iter().map(read).collect()
}

pub fn of_session(tx: &mut dyn Tx, session: &str) -> Result<Vec<Verdict>> {
    let sql = format!("SELECT {COLUMNS} FROM verdicts WHERE session = $1 ORDER BY seq LIMIT 20000");
    tx.query(&sql, params![session])?.iter().map(read).collect()
}
