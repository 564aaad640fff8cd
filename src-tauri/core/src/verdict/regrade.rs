//! Judging again, from the evidence alone: the same pure judge, the scenario as it was run, the answers as they were recorded.

use super::bundle::Entry;
use super::score::{Line, Score};
use super::{OBSERVATIONS, SCENARIO};
use crate::check::grade::{Finding, grade};
use crate::error::{Code, Error, Result};
use crate::template::scenario::Scenario;

/// Recomputes every outcome and compares; how many criteria there were. The first difference is named.
pub(super) fn again(entries: &[Entry], scenario: &Scenario, score: &Score) -> Result<usize> {
    let invalid = |why: String| Error::new(Code::EvidenceInvalid, why);
    let recorded = entries
        .iter()
        .find(|e| e.path == OBSERVATIONS)
        .ok_or_else(|| invalid(format!("The evidence has no {OBSERVATIONS}, so nothing can be judged again.")))?;
    let findings: Vec<Finding> = serde_json::from_slice(&recorded.bytes)
        .map_err(|e| invalid(format!("{OBSERVATIONS} cannot be read: {e}")))?;
    if let Some(stray) = findings.iter().find(|f| scenario.criteria.iter().all(|c| c.id != f.criterion)) {
        return Err(invalid(format!("{OBSERVATIONS} tells of a criterion “{}” that {SCENARIO} does not have.", stray.criterion)));
    }
    for criterion in &scenario.criteria {
        let outcome = grade(criterion, &findings).outcome;
        let line = score.criteria.iter().find(|l| l.id == criterion.id);
        let told = line.ok_or_else(|| invalid(format!("score.json says nothing about {}.", criterion.id)))?;
        let again = Line::new(&criterion.id, criterion.weight, outcome, told.hint_cost);
        if again != *told {
            return Err(invalid(format!(
                "{}: score.json says {:?}, the evidence says {:?}.",
                criterion.id, told.outcome, outcome
            )));
        }
    }
    Ok(scenario.criteria.len())
}
