//! score.json: RFC 8785 canonical JSON, integers only (milli-points), ordered by criterion id. The same evidence gives the same
//! bytes.

use crate::api::{CheckReport, OutcomeKind};
use crate::error::{Code, Error, Result};
use crate::template::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: u32 = 1;
/// Far above any lab; a larger file is refused before it is parsed.
pub const MAX_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    pub version: u32,
    pub run: String,
    pub lab: String,
    pub lab_version: String,
    pub score: u64,
    pub max: u64,
    /// Ascending by id, each once.
    pub criteria: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    pub id: String,
    pub weight: u32,
    /// `pass`, `fail` or `error`.
    pub outcome: OutcomeKind,
    pub points: u64,
    pub max: u64,
    /// Milli-points that revealed hints took.
    pub hint_cost: u64,
    /// Where in the bundle the observations lie that it was judged from.
    pub evidence: Vec<String>,
}

impl Score {
    /// From a full check of a run. A criterion that was not checked cannot be in a verdict.
    pub fn of(report: &CheckReport, scenario: &Scenario, hint_costs: &BTreeMap<String, u64>) -> Result<Self> {
        let mut criteria = Vec::with_capacity(scenario.criteria.len());
        for criterion in &scenario.criteria {
            let found = report.criteria.iter().find(|c| c.id == criterion.id);
            let Some(outcome) = found.filter(|c| c.outcome != OutcomeKind::NotChecked) else {
                return Err(Error::internal(format!("criterion {} was not checked", criterion.id)));
            };
            let hint_cost = hint_costs.get(&criterion.id).copied().unwrap_or(0);
            criteria.push(Line::new(&criterion.id, criterion.weight, outcome.outcome, hint_cost));
        }
        criteria.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(Self {
            version: VERSION,
            run: report.run.clone(),
            lab: scenario.lab.clone(),
            lab_version: scenario.version.clone(),
            score: criteria.iter().map(|c| c.points).sum(),
            max: criteria.iter().map(|c| c.max).sum(),
            criteria,
        })
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json_canonicalizer::to_vec(self).map_err(Error::internal)
    }

    /// Strict: known fields, canonical bytes, sums that add up, points that follow from outcome and hints.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let invalid = |why: String| Error::new(Code::VerdictInvalid, format!("score.json {why}"));
        if bytes.len() > MAX_BYTES {
            return Err(invalid("is larger than a score can be.".into()));
        }
        let score: Self = serde_json::from_slice(bytes).map_err(|e| invalid(format!("cannot be read: {e}")))?;
        if score.version != VERSION {
            return Err(invalid(format!("has version {}, which this program does not know.", score.version)));
        }
        if score.to_bytes()? != bytes {
            return Err(invalid("is not in canonical form (RFC 8785).".into()));
        }
        if !score.criteria.windows(2).all(|w| matches!(w, [a, b] if a.id < b.id)) {
            return Err(invalid("does not list its criteria once each, in order.".into()));
        }
        if let Some(line) = score.criteria.iter().find(|l| **l != Line::new(&l.id, l.weight, l.outcome, l.hint_cost)) {
            return Err(invalid(format!("gives {} points that do not follow from its outcome.", line.id)));
        }
        let sum = |f: fn(&Line) -> u64| score.criteria.iter().fold(0_u64, |a, l| a.saturating_add(f(l)));
        if score.score != sum(|l| l.points) || score.max != sum(|l| l.max) {
            return Err(invalid("does not add up.".into()));
        }
        Ok(score)
    }
}

impl Line {
    /// The only rule by which points come about.
    pub fn new(id: &str, weight: u32, outcome: OutcomeKind, hint_cost: u64) -> Self {
        let max = u64::from(weight) * 1000;
        let points = if outcome == OutcomeKind::Pass { max.saturating_sub(hint_cost) } else { 0 };
        let evidence = vec![format!("{}#{id}", super::OBSERVATIONS)];
        Self { id: id.to_owned(), weight, outcome, points, max, hint_cost, evidence }
    }
}
