//! The board, kept ready: the best of each learner and lab, and each learner's sum over a track, for every tier from which
//! one may count. A leaderboard is then one short walk along an index, however many verdicts there are.

use super::verdicts::{Verdict, tier_number};
use super::{Row, Tx};
use crate::params;
use forge_core::api::TrustTier;
use forge_core::error::{Error, Result};

pub const SQL: &str = "
CREATE TABLE best (learner TEXT NOT NULL, lab TEXT NOT NULL, floor BIGINT NOT NULL, points BIGINT NOT NULL, max BIGINT NOT NULL,
  verdict TEXT NOT NULL, PRIMARY KEY (learner, lab, floor));
CREATE TABLE standing (learner TEXT NOT NULL, track TEXT NOT NULL, floor BIGINT NOT NULL, class TEXT NOT NULL, name TEXT NOT NULL,
  points BIGINT NOT NULL, max BIGINT NOT NULL, labs BIGINT NOT NULL, at BIGINT NOT NULL, PRIMARY KEY (learner, track, floor));
CREATE INDEX standing_all ON standing (track, floor, points DESC, at, learner);
CREATE INDEX standing_class ON standing (class, track, floor, points DESC, at, learner);
CREATE TABLE counters (track TEXT NOT NULL, tier BIGINT NOT NULL, verdicts BIGINT NOT NULL, PRIMARY KEY (track, tier));
";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    pub learner: String,
    pub name: String,
    pub class: String,
    pub points: i64,
    pub max: i64,
    pub labs: i64,
    pub at: i64,
}

/// Takes a verdict into account on every floor above `below` (`None`: it is new) up to its tier.
pub fn count(tx: &mut dyn Tx, v: &Verdict, name: &str, below: Option<TrustTier>) -> Result<()> {
    let from = below.map_or(0, |t| tier_number(t) + 1);
    for floor in from..=tier_number(v.tier) {
        on_floor(tx, v, name, floor)?;
    }
    Ok(())
}

fn on_floor(tx: &mut dyn Tx, v: &Verdict, name: &str, floor: i64) -> Result<()> {
    let number = |n: u64| i64::try_from(n).map_err(|_| Error::internal("too many points to be stored"));
    let (points, max) = (number(v.score)?, number(v.max)?);
    let who = params![v.learner.as_str(), v.lab.as_str(), floor];
    let before = tx.one("SELECT points, max FROM best WHERE learner = $1 AND lab = $2 AND floor = $3", who)?;
    let (old_points, old_max, labs) = match before {
        Some(row) => (row.int(0)?, row.int(1)?, 0),
        None => (0, 0, 1),
    };
    if labs == 0 && points <= old_points {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO best (learner, lab, floor, points, max, verdict) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (learner, lab, floor) DO UPDATE SET points = excluded.points, max = excluded.max, verdict = excluded.verdict",
        params![v.learner.as_str(), v.lab.as_str(), floor, points, max, v.id.as_str()],
    )?;
    tx.execute(
        "INSERT INTO standing (learner, track, floor, class, name, points, max, labs, at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (learner, track, floor) DO UPDATE SET points = standing.points + excluded.points, max = standing.max + excluded.max,
           labs = standing.labs + excluded.labs, at = excluded.at",
        params![
            v.learner.as_str(),
            v.track.as_str(),
            floor,
            v.class.as_str(),
            name,
            points - old_points,
            max - old_max,
            labs,
            v.received_at,
        ],
    )?;
    Ok(())
}

/// `by` verdicts more (or fewer) of this track and tier.
pub fn tally(tx: &mut dyn Tx, track: &str, tier: TrustTier, by: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO counters (track, tier, verdicts) VALUES ($1, $2, $3)
         ON CONFLICT (track, tier) DO UPDATE SET verdicts = counters.verdicts + excluded.verdicts",
        params![track, tier_number(tier), by],
    )?;
    Ok(())
}

/// (track, tier, verdicts), all of them.
pub fn tallies(tx: &mut dyn Tx) -> Result<Vec<(String, TrustTier, i64)>> {
    let rows = tx.query("SELECT track, tier, verdicts FROM counters WHERE verdicts > 0 ORDER BY track, tier", &[])?;
    rows.iter().map(|r| Ok((r.text(0)?, super::verdicts::tier_of(r.int(1)?)?, r.int(2)?))).collect()
}

fn read(row: &Row) -> Result<Standing> {
    Ok(Standing {
        learner: row.text(0)?,
        name: row.text(1)?,
        class: row.text(2)?,
        points: row.int(3)?,
        max: row.int(4)?,
        labs: row.int(5)?,
        at: row.int(6)?,
    })
}

/// Most points first, then who had them first.
pub fn top(
    tx: &mut dyn Tx,
    track: &str,
    class: Option<&str>,
    floor: TrustTier,
    limit: i64,
    offset: i64,
) -> Result<Vec<Standing>> {
    let floor = tier_number(floor);
    let rows = match class {
        None => tx.query(
            "SELECT learner, name, class, points, max, labs, at FROM standing WHERE track = $1 AND floor = $2
             ORDER BY points DESC, at, learner LIMIT $3 OFFSET $4",
            params![track, floor, limit, offset],
        )?,
        Some(class) => tx.query(
            "SELECT learner, name, class, points, max, labs, at FROM standing WHERE class = $5 AND track = $1 AND floor = $2
             ORDER BY points DESC, at, learner LIMIT $3 OFFSET $4",
            params![track, floor, limit, offset, class],
        )?,
    };
    rows.iter().map(read).collect()
}

/// Tracks with somebody on them.
pub fn tracks(tx: &mut dyn Tx) -> Result<Vec<String>> {
    tx.query("SELECT DISTINCT track FROM counters WHERE verdicts > 0 ORDER BY track", &[])?
        .iter()
        .map(|r| r.text(0))
        .collect()
}

/// (learner, track, floor, points, labs)
pub type Sum = (String, String, i64, i64, i64);

/// Everything that [`count`] has made of the stored verdicts, for holding it against a recount.
pub fn all(tx: &mut dyn Tx) -> Result<Vec<Sum>> {
    let rows =
        tx.query("SELECT learner, track, floor, points, labs FROM standing ORDER BY learner, track, floor", &[])?;
    rows.iter().map(|r| Ok((r.text(0)?, r.text(1)?, r.int(2)?, r.int(3)?, r.int(4)?))).collect()
}
