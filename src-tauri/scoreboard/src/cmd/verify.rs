//! `verify-all`: everything that is stored, as if it arrived now: signature, digests, score, and the standing that follows.

use super::say;
use crate::evidence::Evidence;
use crate::intake::{self, bundle, claims, envelope};
use crate::store::verdicts::{self, Verdict, tier_number};
use crate::store::{Connection, Target, migrate, people, standing};
use forge_core::board::Fact;
use forge_core::error::Result;
use forge_core::keys::PublicKey;
use forge_core::template::{Catalogue, Sources};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Default)]
pub struct Verified {
    pub verdicts: u64,
    pub bundles: u64,
    pub problems: Vec<String>,
}

const PAGE: i64 = 500;
const PROBLEMS: usize = 1_000;

/// Blocking. Opens no data folder: it only looks.
pub fn verify_all(data: &Path, target: Target) -> Result<Verified> {
    let mut conn = target.connect()?;
    migrate(conn.as_mut())?;
    let evidence = Evidence::open(data)?;
    let labs = Catalogue::load(&Sources::default());
    let mut verified = Verified::default();
    let mut best: BTreeMap<(String, String, i64), BTreeMap<String, i64>> = BTreeMap::new();
    let mut seq = 0;
    loop {
        let page = verdicts::after(conn.as_mut(), seq, PAGE)?;
        for v in &page {
            verified.verdicts += 1;
            verified.bundles += u64::from(v.evidence_bytes.is_some());
            if let Err(why) = one(conn.as_mut(), v, &evidence, &labs)
                && verified.problems.len() < PROBLEMS
            {
                verified.problems.push(format!("{} (no. {}): {why}", v.id, v.seq));
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
    if standing::all(conn.as_mut())? != again {
        verified.problems.push("the leaderboards do not follow from the stored verdicts".into());
    }
    Ok(verified)
}

fn one(conn: &mut dyn Connection, v: &Verdict, evidence: &Evidence, labs: &Catalogue) -> Result<(), String> {
    let told = |r: forge_core::board::Refusal| format!("{}: {}", r.code.as_str(), r.message);
    let opened = envelope::open(&v.envelope).map_err(told)?;
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
    let checked = claims::check(&statement, &v.key_id, v.received_at, labs).map_err(told)?;
    if v.evidence_bytes.is_some() {
        let score = v.score_json.as_deref().ok_or("its score.json is missing")?;
        // A lab that this program no longer knows in that edition cannot be held against its template again.
        bundle::check(&statement, &key, score, &evidence.path(&v.id), checked.lab.as_deref()).map_err(told)?;
    }
    Ok(())
}

struct Look<'a>(&'a mut dyn Connection);

impl crate::store::Tx for Look<'_> {
    fn query(&mut self, sql: &str, params: &[crate::store::Value]) -> Result<Vec<crate::store::Row>> {
        self.0.query(sql, params)
    }
    fn execute(&mut self, sql: &str, params: &[crate::store::Value]) -> Result<u64> {
        self.0.execute(sql, params)
    }
}

pub fn report(verified: &Verified, json: bool) -> Result<ExitCode> {
    let ok = verified.problems.is_empty();
    let value = serde_json::json!({"ok": ok, "verdicts": verified.verdicts, "bundles": verified.bundles, "problems": verified.problems});
    say(json, &value, || {
        let head = format!(
            "{} verdicts, {} with evidence: {}",
            verified.verdicts,
            verified.bundles,
            if ok { "all hold" } else { "NOT all hold" }
        );
        std::iter::once(head).chain(verified.problems.iter().cloned()).collect::<Vec<_>>().join("\n")
    });
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
