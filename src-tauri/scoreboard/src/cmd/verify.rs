//! `verify-all`: everything that is stored, as if it arrived now: signature, digests, score, and the standing that follows.

use super::{many, say};
use crate::board::labs_of;
use crate::evidence::Evidence;
use crate::intake::{self, bundle, claims, envelope};
use crate::lineage;
use crate::store::verdicts::{self, Verdict, tier_number};
use crate::store::{Connection, Target, migrate, people, reexecution, standing};
use forge_core::board::{Fact, Reexecution, Signed};
use forge_core::error::Result;
use forge_core::keys::{Domain, PublicKey};
use forge_core::template::{Catalogue, Sources};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

#[derive(Debug, Default)]
pub struct Verified {
    pub verdicts: u64,
    pub bundles: u64,
    /// Of the bundles, those whose lab was held against its template; the others' edition is not known here.
    pub held: u64,
    pub problems: Vec<String>,
}

const PAGE: i64 = 500;
const PROBLEMS: usize = 1_000;

/// Blocking. Opens no data folder: it only looks. `labs` as for serving; see [`crate::board::labs_of`].
pub fn verify_all(data: &Path, target: Target, labs: Option<PathBuf>) -> Result<Verified> {
    let mut conn = target.connect()?;
    migrate(conn.as_mut())?;
    let evidence = Evidence::open(data)?;
    let labs = Catalogue::load(&Sources { instead: labs_of(data, labs)?, user: None });
    let mut verified = Verified::default();
    let mut best: BTreeMap<(String, String, i64), BTreeMap<String, i64>> = BTreeMap::new();
    let mut seq = 0;
    loop {
        let page = verdicts::after(conn.as_mut(), seq, PAGE)?;
        for v in &page {
            verified.verdicts += 1;
            verified.bundles += u64::from(v.evidence_bytes.is_some());
            match one(conn.as_mut(), v, &evidence, &labs) {
                Ok(held) => verified.held += u64::from(held),
                Err(why) if verified.problems.len() < PROBLEMS => {
                    verified.problems.push(format!("{} (no. {}): {why}", v.id, v.seq));
                }
                Err(_) => {}
            }
            if v.facts.contains(&Fact::KnownLab) {
                for floor in 0..=tier_number(v.tier) {
                    let labs = best.entry((v.learner.clone(), v.track.clone(), floor)).or_default();
                    let points = i64::try_from(v.score).unwrap_or(i64::MAX);
                    let old = labs.entry(v.lab.clone()).or_insert(points);
                    *old = points.max(*old);
                }
            }
        }
        match page.last() {
            Some(last) if page.len() as i64 == PAGE => seq = last.seq,
            _ => break,
        }
    }
    let again: Vec<_> = best
        .into_iter()
        .map(|((learner, track, floor), labs)| (learner, track, floor, labs.values().sum::<i64>(), labs.len() as i64))
        .collect();
    if let Err(e) = lineage::check(conn.as_mut(), data) {
        verified.problems.push(e.message);
    }
    if standing::all(conn.as_mut())? != again {
        verified.problems.push("the leaderboards do not follow from the stored verdicts".into());
    }
    Ok(verified)
}

/// Whether it was held against its template.
fn one(conn: &mut dyn Connection, v: &Verdict, evidence: &Evidence, labs: &Catalogue) -> Result<bool, String> {
    let told = |r: forge_core::board::Refusal| format!("{}: {}", r.code.as_str(), r.message);
    let opened = envelope::open(&v.envelope().map_err(|e| e.message)?).map_err(told)?;
    if opened.id != v.id {
        return Err("its id is not the digest of what was signed".into());
    }
    // Through the transaction-less connection: a look, nothing more.
    let key = people::key(&mut Look(conn), &v.key_id).map_err(|e| e.message)?.ok_or("its key is not enrolled")?;
    let key = PublicKey::from_pem(&key.pem).map_err(|e| e.message)?;
    let statement = envelope::verify(&opened, &key).map_err(told)?;
    let claimed = &statement.predicate.forge;
    if (claimed.score, claimed.max, &claimed.run, &claimed.lab) != (v.score, v.max, &v.run, &v.lab) {
        return Err("its row says something else than what was signed".into());
    }
    if intake::tier(&v.facts) != v.tier {
        return Err("its tier does not follow from what was established".into());
    }
    if v.facts.contains(&Fact::ReExecuted) && !vouched(conn, v)? {
        return Err("nobody whose signature holds has executed it again".into());
    }
    let checked = claims::check(&statement, &v.key_id, v.received_at, labs).map_err(told)?;
    if v.evidence_bytes.is_some() {
        let score = v.score_json.as_deref().ok_or("its score.json is missing")?;
        // A lab that this program no longer knows in that edition cannot be held against its template again.
        bundle::check(&statement, &key, score, &evidence.path(&v.id), checked.lab.as_deref()).map_err(told)?;
    }
    Ok(v.evidence_bytes.is_some() && checked.lab.is_some())
}

/// Whether somebody's genuine statement says that it came out as submitted.
fn vouched(conn: &mut dyn Connection, v: &Verdict) -> Result<bool, String> {
    let mut tx = Look(conn);
    for kept in reexecution::of_verdict(&mut tx, &v.id).map_err(|e| e.message)? {
        let signed: Signed<Reexecution> = serde_json::from_str(&kept.statement).map_err(|e| e.to_string())?;
        let Some(key) = people::key(&mut tx, &signed.key_id).map_err(|e| e.message)? else { continue };
        let key = PublicKey::from_pem(&key.pem).map_err(|e| e.message)?;
        let holds =
            signed.body.verdict == v.id && signed.body.agrees() && signed.holds(&key, Domain::ReExecution).is_ok();
        if holds {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Look<'a>(&'a mut dyn Connection);

impl crate::store::Tx for Look<'_> {
    fn query(&mut self, sql: &str, params: &[crate::store::Value]) -> Result<Vec<crate::store::Row>> {
        self.0.query(sql, params)
    }
    fn execute(&mut self, sql: &str, params: &[crate::store::Value]) -> Result<u64> {
        self.0.execute(sql, params)
    }
    fn query_rows(&mut self, sql: &str, rows: Vec<Vec<crate::store::Value>>) -> Result<Vec<crate::store::Row>> {
        self.0.query_rows(sql, rows)
    }
    fn execute_rows(&mut self, sql: &str, rows: Vec<Vec<crate::store::Value>>) -> Result<u64> {
        self.0.execute_rows(sql, rows)
    }
}

pub fn report(verified: &Verified, json: bool) -> Result<ExitCode> {
    let ok = verified.problems.is_empty();
    let value = serde_json::json!({"ok": ok, "verdicts": verified.verdicts, "bundles": verified.bundles, "held": verified.held, "problems": verified.problems});
    say(json, &value, || {
        let head = format!(
            "{}, {} with evidence, {} of these held against the lab’s template: {}",
            many(verified.verdicts, "verdict", "verdicts"),
            verified.bundles,
            verified.held,
            if ok {
                "everything holds".to_owned()
            } else {
                many(verified.problems.len() as u64, "problem", "problems")
            }
        );
        std::iter::once(head).chain(verified.problems.iter().cloned()).collect::<Vec<_>>().join("\n")
    });
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
