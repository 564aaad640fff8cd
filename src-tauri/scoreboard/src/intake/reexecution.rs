//! Statements about verdicts that were executed again: who may say so, and that it is about this verdict. What happened on the
//! other machine is its word; that is why only some may say it, and why it is signed and kept.

use super::record::lift;
use super::{no, tier};
use crate::store::reexecution::{self, Kept};
use crate::store::verdicts::{self, Verdict};
use crate::store::{Tx, jobs, people};
use forge_core::board::{CLOCK_SKEW, Fact, Raised, Reexecution, Refusal, RefusalCode, Role, Signed};
use forge_core::check::grade;
use forge_core::error::{Error, Result};
use forge_core::keys::{Domain, PublicKey};
use forge_core::template::Catalogue;
use forge_core::template::instantiate::is_seed;
use forge_core::template::scenario;
use forge_core::verdict::canonical;
use forge_core::verdict::score::Score;
use forge_core::verdict::statement::seed_commitment;

/// What was decided, and the verdict with its learner's name when its tier rose.
pub struct Decided {
    pub raised: Raised,
    pub change: Option<(Verdict, String)>,
}

/// Before the database is asked: a genuine statement of the key that it names.
pub fn genuine(signed: &Signed<Reexecution>, key: &PublicKey) -> Result<(), Refusal> {
    signed.holds(key, Domain::ReExecution).map_err(|e| no(RefusalCode::BadSignature, e.message))?;
    if signed.body.version != 1 {
        return Err(no(RefusalCode::UnknownVersion, "A re-execution of a version that is unknown here."));
    }
    Ok(())
}

/// One transaction; every refusal comes before the first write.
pub fn record(
    tx: &mut dyn Tx,
    signed: &Signed<Reexecution>,
    labs: &Catalogue,
    now: i64,
) -> Result<Result<Decided, Refusal>> {
    let said = &signed.body;
    let Some(v) = verdicts::by_id(tx, &said.verdict)? else {
        return Ok(Err(no(RefusalCode::NotFound, "There is no such verdict here.")));
    };
    let Some(key) = people::key(tx, &signed.key_id)? else {
        return Ok(Err(no(RefusalCode::UnknownKey, "The key that signed this is not enrolled here.")));
    };
    let id = canonical::sha256(&canonical::to_bytes(said)?);
    let agrees = said.agrees();
    let known = reexecution::of_verdict(tx, &v.id)?;
    let answer = |v: &Verdict, duplicate| Raised { verdict: v.id.clone(), tier: v.tier, agrees, duplicate };
    // Whoever said it and never got the answer gets it now, also when the job has gone on since.
    if known.iter().any(|k| k.id == id && k.key_id == key.key_id) {
        return Ok(Ok(Decided { raised: answer(&v, true), change: None }));
    }
    let job = jobs::get(tx, &v.id)?;
    if let Err(refusal) = may(&key, &v, job.as_ref()) {
        return Ok(Err(refusal));
    }
    if let Err(refusal) = about(said, &v, labs, now) {
        return Ok(Err(refusal));
    }
    if known.iter().any(|k| k.id == id) {
        return Ok(Ok(Decided { raised: answer(&v, true), change: None }));
    }
    if known.len() as i64 >= reexecution::MOST {
        return Ok(Err(no(RefusalCode::TooLarge, "This verdict was executed again often enough.")));
    }
    let statement = serde_json::to_string(signed)?;
    reexecution::add(tx, &Kept { id, verdict: v.id.clone(), key_id: key.key_id, agrees, at: now, statement })?;
    super::jobs::settle(tx, &v.id, agrees, now)?;
    if !agrees || v.facts.contains(&Fact::ReExecuted) {
        return Ok(Ok(Decided { raised: answer(&v, false), change: None }));
    }
    let Some(learner) = people::get(tx, &v.learner)? else {
        return Err(Error::internal("a verdict's learner is not there"));
    };
    let mut higher = v.clone();
    higher.facts.push(Fact::ReExecuted);
    higher.facts.sort_unstable();
    higher.tier = tier(&higher.facts);
    lift(tx, v.tier, &higher, &learner.name)?;
    Ok(Ok(Decided { raised: answer(&higher, false), change: Some((higher, learner.name)) }))
}

fn may(key: &people::Key, v: &Verdict, job: Option<&jobs::Kept>) -> Result<(), Refusal> {
    if key.revoked_at.is_some() {
        return Err(no(RefusalCode::KeyRevoked, "The key that signed this was revoked."));
    }
    if key.owner.class != v.class {
        return Err(no(RefusalCode::OtherTenant, "The verdict belongs to another class."));
    }
    // A worker speaks of what it was given, and nobody else has been given since.
    if key.owner.role == Role::Worker && job.is_none_or(|j| j.worker.as_deref() != Some(key.owner.id.as_str())) {
        return Err(no(RefusalCode::LeaseLost, "This worker was not asked to execute the verdict, or no longer is.")
            .hint("Nothing is lost: ask for the next job."));
    }
    if key.owner.role == Role::Learner || key.owner.id == v.learner {
        return Err(no(
            RefusalCode::Forbidden,
            "Only an instructor of the class can vouch for a verdict, and not for their own.",
        )
        .hint("Ask your instructor to run: forge reexecute VERDICT --report"));
    }
    Ok(())
}

/// Whether it is about what was signed and established here, and possible at all.
fn about(said: &Reexecution, v: &Verdict, labs: &Catalogue, now: i64) -> Result<(), Refusal> {
    if ![Fact::Digests, Fact::SameLab, Fact::ReGraded].iter().all(|f| v.facts.contains(f)) {
        return Err(no(
            RefusalCode::NotReGraded,
            "The verdict was not re-graded here, so there is nothing to vouch for.",
        )
        .hint("Its learner's laptop must send the evidence as well."));
    }
    let wrong = |why: &str| no(RefusalCode::ReExecutionInvalid, why);
    if said.at > now + CLOCK_SKEW {
        return Err(no(RefusalCode::FutureDated, "It says that it ended in the future."));
    }
    if said.at + CLOCK_SKEW < v.finished {
        return Err(wrong("It ended before the run that it is about."));
    }
    let statement = v.statement().map_err(|e| super::trouble(&e))?;
    if said.lab != v.lab || said.template_digest != statement.predicate.forge.template_digest {
        return Err(wrong("It is about another lab, or another edition of it."));
    }
    let carries = labs.get(&v.lab).is_ok_and(|lab| {
        lab.digest == said.template_digest
            && matches!(lab.specimen.reexecution, Some(scenario::Reexecution::Carry { .. }))
    });
    if !carries {
        return Err(wrong("The answers of this lab belong to their seed: it cannot be executed again."));
    }
    if !is_seed(&said.seed) || seed_commitment(&said.seed) == v.seed {
        return Err(wrong("The seed is not a fresh one."));
    }
    let score = v.score_json.as_deref().ok_or_else(|| wrong("The verdict's score is not here."))?;
    let score = Score::from_bytes(score).map_err(|e| super::trouble(&e))?;
    let same = score.criteria.len() == said.criteria.len()
        && score.criteria.iter().zip(&said.criteria).all(|(row, t)| row.id == t.id && row.outcome == t.submitted);
    if !same {
        return Err(wrong("The submitted outcomes are other ones than were signed."));
    }
    let rows = score.criteria.iter().zip(&said.criteria);
    let points: u64 = rows.map(|(row, t)| grade::points(t.reexecuted, row.weight, row.hint_cost)).sum();
    if said.max != score.max || said.score != points {
        return Err(wrong("The points do not follow from the outcomes."));
    }
    Ok(())
}
