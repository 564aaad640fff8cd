//! The board, kept ready: the best of each learner and lab, and each learner's sum over a track, for every tier from which
//! one may count. A leaderboard is then one short walk along an index, however many verdicts there are.

use super::verdicts::{Verdict, tier_number};
use super::{Row, Tx, Value};
use crate::params;
use forge_core::api::TrustTier;
use forge_core::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};

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

/// A verdict that is to be taken into account.
pub struct Counted<'a> {
    pub verdict: &'a Verdict,
    /// Of its learner.
    pub name: &'a str,
    /// It counts already up to this tier; `None`: it is new.
    pub below: Option<TrustTier>,
}

type Place = (String, String, i64);

struct Best {
    points: i64,
    max: i64,
    /// `None`: as it is stored.
    verdict: Option<String>,
}

#[derive(Default)]
struct Gain {
    class: String,
    name: String,
    points: i64,
    max: i64,
    labs: i64,
    at: i64,
}

/// Takes verdicts into account, one after the other, on every floor above the one where each counts already up to its tier.
pub fn count(tx: &mut dyn Tx, verdicts: &[Counted<'_>]) -> Result<()> {
    let number = |n: u64| i64::try_from(n).map_err(|_| Error::internal("too many points to be stored"));
    let floors = |c: &Counted<'_>| c.below.map_or(0, |t| tier_number(t) + 1)..=tier_number(c.verdict.tier);
    let place = |v: &Verdict, floor| (v.learner.clone(), v.lab.clone(), floor);
    let wanted: BTreeSet<Place> =
        verdicts.iter().flat_map(|c| floors(c).map(|floor| place(c.verdict, floor))).collect();
    let mut best = stored_best(tx, wanted)?;
    let mut gains: BTreeMap<Place, Gain> = BTreeMap::new();
    for counted in verdicts {
        let v = counted.verdict;
        let (points, max) = (number(v.score)?, number(v.max)?);
        for floor in floors(counted) {
            let before = best.get(&place(v, floor));
            if before.is_some_and(|b| points <= b.points) {
                continue;
            }
            let (old_points, old_max, labs) = before.map_or((0, 0, 1), |b| (b.points, b.max, 0));
            best.insert(place(v, floor), Best { points, max, verdict: Some(v.id.clone()) });
            let gain = gains.entry((v.learner.clone(), v.track.clone(), floor)).or_default();
            (gain.class, gain.name, gain.at) = (v.class.clone(), counted.name.to_owned(), v.received_at);
            gain.points += points - old_points;
            gain.max += max - old_max;
            gain.labs += labs;
        }
    }
    store(tx, best, gains)
}

fn stored_best(tx: &mut dyn Tx, wanted: BTreeSet<Place>) -> Result<BTreeMap<Place, Best>> {
    let rows = wanted.into_iter().map(|(learner, lab, floor)| vec![learner.into(), lab.into(), floor.into()]);
    let sql = "WITH wanted (learner, lab, floor) AS ({rows})
             SELECT b.learner, b.lab, b.floor, b.points, b.max FROM wanted w CROSS JOIN best b
             WHERE b.learner = w.learner AND b.lab = w.lab AND b.floor = w.floor";
    let found = tx.query_rows(sql, rows.collect())?;
    let read = |row: &Row| {
        let at = (row.text(0)?, row.text(1)?, row.int(2)?);
        Ok((at, Best { points: row.int(3)?, max: row.int(4)?, verdict: None }))
    };
    found.iter().map(read).collect()
}

fn store(tx: &mut dyn Tx, best: BTreeMap<Place, Best>, gains: BTreeMap<Place, Gain>) -> Result<()> {
    let rows = best.into_iter().filter_map(|((learner, lab, floor), b)| {
        let verdict = b.verdict?;
        Some(vec![learner.into(), lab.into(), floor.into(), b.points.into(), b.max.into(), verdict.into()])
    });
    let sql = "INSERT INTO best (learner, lab, floor, points, max, verdict) {rows}
             ON CONFLICT (learner, lab, floor) DO UPDATE SET points = excluded.points, max = excluded.max, verdict = excluded.verdict";
    tx.execute_rows(sql, rows.collect())?;
    let rows = gains.into_iter().map(|((learner, track, floor), g)| {
        let (who, sums) = ([learner, track], [g.points, g.max, g.labs, g.at]);
        let mut row: Vec<Value> = who.map(Value::from).into();
        row.extend([Value::from(floor), g.class.into(), g.name.into()]);
        row.extend(sums.map(Value::from));
        row
    });
    let sql = "INSERT INTO standing (learner, track, floor, class, name, points, max, labs, at) {rows}
             ON CONFLICT (learner, track, floor) DO UPDATE SET points = standing.points + excluded.points, max = standing.max + excluded.max,
               labs = standing.labs + excluded.labs, at = excluded.at";
    tx.execute_rows(sql, rows.collect()).map(drop)
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
