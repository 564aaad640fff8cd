//! From judged probes to a graded criterion. Pure, and used twice: after probing, and when a verdict is re-graded.

use super::judge::{Judged, judge};
use super::observation::Observation;
use super::words::fill;
use crate::api::{CriterionOutcome, OutcomeKind};
use crate::template::scenario::{Criterion, Disturbance, Evidence};
use serde::{Deserialize, Serialize};

/// What settled one piece of evidence of a criterion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    pub criterion: String,
    /// Position in the criterion's evidence.
    pub index: usize,
    /// The disturbance that was in force while it was observed.
    pub after: Option<Disturbance>,
    /// How often it was asked; the last answer is recorded.
    pub attempts: u32,
    pub observation: Observation,
}

impl Finding {
    /// Judged by the evidence it claims to be for; an observation made under another disturbance proves nothing.
    pub fn judge(&self, evidence: &Evidence) -> Judged {
        let mut judged = judge(&evidence.probe, &self.observation);
        if self.after != evidence.after && judged.outcome != OutcomeKind::Error {
            judged.outcome = OutcomeKind::Error;
            judged.seen =
                "could not be checked: it was observed under other circumstances than the lab asks for".into();
        }
        judged
    }
}

/// A criterion's outcome with its words, before points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grade {
    pub outcome: OutcomeKind,
    pub expected: String,
    pub seen: String,
}

/// All evidence must pass. One failure settles it, whatever else could not be asked; without a failure, one error leaves
/// it open. A criterion without evidence, or with some missing, is an error: nothing is never a pass.
pub fn grade(criterion: &Criterion, findings: &[Finding]) -> Grade {
    let judged: Vec<Judged> = criterion
        .evidence
        .iter()
        .enumerate()
        .map(|(index, evidence)| {
            let mut own = findings.iter().filter(|f| f.criterion == criterion.id && f.index == index);
            match (own.next(), own.next()) {
                (Some(finding), None) => finding.judge(evidence),
                (None, _) => missing("it was not observed"),
                (Some(_), Some(_)) => missing("there are two records of it"),
            }
        })
        .collect();
    let first = |kind: OutcomeKind| judged.iter().find(|j| j.outcome == kind);
    if let Some(j) = first(OutcomeKind::Fail).or_else(|| first(OutcomeKind::Error)) {
        return Grade { outcome: j.outcome, expected: j.expected.clone(), seen: j.seen.clone() };
    }
    if judged.is_empty() {
        let m = missing("the lab names no evidence for it");
        return Grade { outcome: m.outcome, expected: criterion.title.clone(), seen: m.seen };
    }
    let expected: Vec<&str> = judged.iter().map(|j| j.expected.as_str()).collect();
    let mut seen: Vec<&str> = judged.iter().map(|j| j.seen.as_str()).collect();
    seen.dedup();
    Grade { outcome: OutcomeKind::Pass, expected: expected.join("; "), seen: seen.join("; ") }
}

fn missing(why: &str) -> Judged {
    Judged { outcome: OutcomeKind::Error, expected: String::new(), seen: format!("could not be checked: {why}") }
}

/// Milli-points for an outcome: the full weight less the price of revealed hints for a pass, else nothing.
pub fn points(outcome: OutcomeKind, weight: u32, hint_cost: u64) -> u64 {
    match outcome {
        OutcomeKind::Pass => maximum(weight).saturating_sub(hint_cost),
        _ => 0,
    }
}

/// Milli-points a criterion is worth.
pub fn maximum(weight: u32) -> u64 {
    u64::from(weight) * 1000
}

/// As it is shown: with points, and with advice where there is something to do.
pub fn outcome(criterion: &Criterion, grade: Grade, hint_cost: u64, ms: u64) -> CriterionOutcome {
    let advice = match grade.outcome {
        OutcomeKind::Fail => fill(&criterion.failed, &grade.seen, &grade.expected),
        OutcomeKind::Error => "This is not held to be wrong, but it earns nothing yet: see that the lab's nodes are running, then check again.".into(),
        OutcomeKind::Pass | OutcomeKind::NotChecked => String::new(),
    };
    CriterionOutcome {
        id: criterion.id.clone(),
        title: criterion.title.clone(),
        outcome: grade.outcome,
        points: points(grade.outcome, criterion.weight, hint_cost),
        max: maximum(criterion.weight),
        expected: grade.expected,
        seen: grade.seen,
        advice,
        ms,
    }
}

/// A criterion that was left out this time.
pub fn not_checked(criterion: &Criterion) -> CriterionOutcome {
    let grade = Grade { outcome: OutcomeKind::NotChecked, expected: String::new(), seen: String::new() };
    outcome(criterion, grade, 0, 0)
}
