//! What a signed statement says, held against itself, the clock and the labs that this server knows. Without the bundle this
//! is all that can be said: points that the lab cannot give are refused, points that it can give are believed to be claimed.

use super::no;
use forge_core::api::TrustTier;
use forge_core::board::{CLOCK_SKEW, Fact, Refusal, RefusalCode};
use forge_core::check::grade;
use forge_core::template::{Catalogue, Lab};
use forge_core::verdict::statement::Statement;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Where verdicts of unknown labs are filed; not ranked.
pub const OTHER_TRACK: &str = "other";
/// A thousand points; no lab comes near it, and sums of it fit an i64.
const POINTS_MAX: u64 = 1_000_000_000;
/// 2001-09-09, before any of this existed.
const EARLIEST: i64 = 1_000_000_000_000;

pub struct Checked {
    pub facts: Vec<Fact>,
    pub notes: Vec<String>,
    pub track: String,
    /// The server's own lab of that digest.
    pub lab: Option<Arc<Lab>>,
}

pub fn check(statement: &Statement, key_id: &str, now: i64, labs: &Catalogue) -> Result<Checked, Refusal> {
    let claims = &statement.predicate.forge;
    let inconsistent = |why: &str| no(RefusalCode::Inconsistent, why);
    if claims.key_id != key_id {
        return Err(no(RefusalCode::Rekeyed, "The statement was made for another key than the one that signed it."));
    }
    shapes(statement)?;
    if claims.tier != TrustTier::SelfAttested {
        return Err(inconsistent("The statement claims a trust tier that a laptop's key cannot give."));
    }
    if claims.finished > now + CLOCK_SKEW {
        return Err(no(RefusalCode::FutureDated, "It says that the run ended in the future.")
            .hint(
                "Set the laptop's clock right and do the lab again. Should the server's clock have been wrong: forge sync --retry-refused",
            )
            .details(serde_json::json!({"finished": claims.finished, "now": now})));
    }
    if claims.started < EARLIEST || claims.finished < claims.started {
        return Err(inconsistent("The run began or ended at an impossible time."));
    }
    let (passed, failed) = (&statement.predicate.passed_tests, &statement.predicate.failed_tests);
    if statement.predicate.result != if failed.is_empty() { "PASSED" } else { "FAILED" } {
        return Err(inconsistent("The result does not follow from the criteria."));
    }
    let [configuration] = statement.predicate.configuration.as_slice() else {
        return Err(inconsistent("The statement must name one template."));
    };
    if configuration.name != format!("{}@{}", claims.lab, claims.version)
        || configuration.digest.sha256 != claims.template_digest
    {
        return Err(inconsistent("The statement names two different templates."));
    }
    if claims.score > claims.max || claims.max > POINTS_MAX {
        return Err(inconsistent("More points than there can be."));
    }
    let mut checked = Checked {
        facts: vec![Fact::Signature, Fact::EnrolledKey],
        notes: Vec::new(),
        track: OTHER_TRACK.into(),
        lab: None,
    };
    let Ok(lab) = labs.get(&claims.lab) else {
        checked
            .notes
            .push(format!("The lab {} is not one of this server's: stored, not ranked, not re-graded.", claims.lab));
        return Ok(checked);
    };
    if lab.id != claims.lab || lab.digest != claims.template_digest || lab.version != claims.version {
        checked.notes.push(format!(
            "This server has {} {}, the verdict is of another edition ({}): stored, not ranked, not re-graded.",
            lab.id, lab.version, claims.version
        ));
        return Ok(checked);
    }
    of_this_lab(&lab, passed, failed, claims.score, claims.max)?;
    checked.facts.push(Fact::KnownLab);
    checked.track.clone_from(&lab.track);
    checked.lab = Some(lab);
    Ok(checked)
}

/// Lengths and alphabets of what is stored, shown or looked up by.
fn shapes(statement: &Statement) -> Result<(), Refusal> {
    let claims = &statement.predicate.forge;
    let malformed =
        |what: &str| no(RefusalCode::Malformed, format!("The statement's {what} is not what it should be."));
    let word = |s: &str, max: usize| {
        (1..=max).contains(&s.len())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'+'))
    };
    let hex = |s: &str| s.len() == 64 && s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let checks = [
        ("run", word(&claims.run, 64)),
        ("lab", word(&claims.lab, 100)),
        ("version", word(&claims.version, 64)),
        ("template digest", hex(&claims.template_digest)),
        ("scenario digest", hex(&claims.scenario_digest)),
        ("seed commitment", hex(&claims.seed_commitment)),
        ("challenge", claims.challenge.as_ref().is_none_or(|c| word(c, 128))),
        ("subject", statement.subject.iter().all(|s| hex(&s.digest.sha256))),
        ("duration", claims.duration_ms < 1 << 40),
        ("images", claims.images.len() <= 64),
    ];
    match checks.iter().find(|(_, ok)| !ok) {
        Some((what, _)) => Err(malformed(what)),
        None => Ok(()),
    }
}

fn of_this_lab(lab: &Lab, passed: &[String], failed: &[String], score: u64, max: u64) -> Result<(), Refusal> {
    let inconsistent = |why: &str| no(RefusalCode::Inconsistent, why);
    let criteria = &lab.specimen.criteria;
    let named: Vec<&str> = passed.iter().chain(failed).map(String::as_str).collect();
    let (unique, own): (BTreeSet<&str>, BTreeSet<&str>) =
        (named.iter().copied().collect(), criteria.iter().map(|c| c.id.as_str()).collect());
    if named.len() != unique.len() || unique != own {
        return Err(inconsistent("The criteria are not those of the lab."));
    }
    if max != criteria.iter().map(|c| grade::maximum(c.weight)).sum::<u64>() {
        return Err(inconsistent("The lab gives another number of points."));
    }
    let reachable: u64 = criteria.iter().filter(|c| passed.contains(&c.id)).map(|c| grade::maximum(c.weight)).sum();
    if score > reachable {
        return Err(inconsistent("More points than the passed criteria give."));
    }
    Ok(())
}
