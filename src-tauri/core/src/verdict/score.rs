<<<<<<< HEAD
//! score.json: RFC 8785 canonical JSON, integers only (milli-points), ordered by criterion id. The same evidence gives the same
//! bytes.

use crate::api::{CheckReport, OutcomeKind};
use crate::check::evidence::OBSERVATIONS;
use crate::check::grade::{maximum, points};
=======
//! score.json: RFC 8785 canonical JSON, integers only, ordered by criterion id. Same evidence, same bytes.

use super::canonical;
use crate::api::OutcomeKind;
use crate::check::evidence::OBSERVATIONS;
use crate::check::{Finding, grade};
>>>>>>> check
use crate::error::{Code, Error, Result};
use crate::template::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: u32 = 1;
<<<<<<< HEAD
/// Far above any lab; a larger file is refused before it is parsed.
pub const MAX_BYTES: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
=======

/// Points are integer milli-points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
>>>>>>> check
#[serde(deny_unknown_fields)]
pub struct Score {
    pub version: u32,
    pub run: String,
    pub lab: String,
<<<<<<< HEAD
    pub lab_version: String,
    pub score: u64,
    pub max: u64,
    /// Ascending by id, each once.
    pub criteria: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
=======
    pub score: u64,
    pub max: u64,
    pub criteria: Vec<Row>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
>>>>>>> check
    pub id: String,
    pub weight: u32,
    /// `pass`, `fail` or `error`.
    pub outcome: OutcomeKind,
    pub points: u64,
    pub max: u64,
<<<<<<< HEAD
    /// Milli-points that revealed hints took.
    pub hint_cost: u64,
    /// Where in the bundle the observations lie that it was judged from.
=======
    pub hint_cost: u64,
    /// Where in the evidence it was decided: `observations.json#<criterion>/<index>`.
>>>>>>> check
    pub evidence: Vec<String>,
}

impl Score {
<<<<<<< HEAD
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
        let evidence = vec![format!("{OBSERVATIONS}#{id}")];
        Self { id: id.to_owned(), weight, outcome, points: points(outcome, weight, hint_cost), max: maximum(weight), hint_cost, evidence }
=======
    /// Graded anew from the findings: pure, so that it can be done again by whoever holds the evidence. `hint_costs` in
    /// milli-points by criterion id.
    pub fn of(run: &str, scenario: &Scenario, findings: &[Finding], hint_costs: &BTreeMap<String, u64>) -> Self {
        let mut criteria: Vec<Row> = scenario
            .criteria
            .iter()
            .map(|c| {
                let outcome = grade::grade(c, findings).outcome;
                let hint_cost = hint_costs.get(&c.id).copied().unwrap_or(0);
                Row {
                    id: c.id.clone(),
                    weight: c.weight,
                    outcome,
                    points: grade::points(outcome, c.weight, hint_cost),
                    max: grade::maximum(c.weight),
                    hint_cost,
                    evidence: (0..c.evidence.len()).map(|i| format!("{OBSERVATIONS}#{}/{i}", c.id)).collect(),
                }
            })
            .collect();
        criteria.sort_by(|a, b| a.id.cmp(&b.id));
        Self {
            version: VERSION,
            run: run.to_owned(),
            lab: scenario.lab.clone(),
            score: criteria.iter().map(|c| c.points).sum(),
            max: criteria.iter().map(|c| c.max).sum(),
            criteria,
        }
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        canonical::to_bytes(self)
    }

    /// Reads score.json; refused unless it is canonical and adds up.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let score: Self = canonical::from_bytes("score.json", bytes)?;
        score.adds_up().map_err(|why| Error::new(Code::VerdictInvalid, format!("score.json {why}")))?;
        Ok(score)
    }

    fn adds_up(&self) -> Result<(), String> {
        if self.version != VERSION {
            return Err(format!("has version {}, this program knows {VERSION}", self.version));
        }
        if self.criteria.windows(2).any(|w| matches!(w, [a, b] if a.id >= b.id)) {
            return Err("does not list its criteria in order, each once".into());
        }
        let (mut score, mut max) = (0u64, 0u64);
        for row in &self.criteria {
            if row.outcome == OutcomeKind::NotChecked {
                return Err(format!("leaves {} unchecked", row.id));
            }
            let want = (grade::points(row.outcome, row.weight, row.hint_cost), grade::maximum(row.weight));
            if (row.points, row.max) != want {
                return Err(format!(
                    "gives {} of {} milli-points for {}, its outcome gives {} of {}",
                    row.points, row.max, row.id, want.0, want.1
                ));
            }
            score = score.checked_add(row.points).ok_or("adds up to too much")?;
            max = max.checked_add(row.max).ok_or("adds up to too much")?;
        }
        if (self.score, self.max) != (score, max) {
            return Err(format!("claims {} of {}, its criteria add up to {score} of {max}", self.score, self.max));
        }
        Ok(())
    }

    /// Whether it is a score of this lab: same criteria and weights, no more taken off for hints than the lab's hints cost.
    pub fn fits(&self, scenario: &Scenario) -> Result<(), String> {
        if self.lab != scenario.lab {
            return Err(format!("is for {}, the evidence for {}", self.lab, scenario.lab));
        }
        let mut want: Vec<(&str, u32)> = scenario.criteria.iter().map(|c| (c.id.as_str(), c.weight)).collect();
        want.sort_unstable();
        let have: Vec<(&str, u32)> = self.criteria.iter().map(|r| (r.id.as_str(), r.weight)).collect();
        if want != have {
            return Err("does not score the criteria of the lab with their weights".into());
        }
        for row in &self.criteria {
            let most: u64 = scenario.hints.iter().filter(|h| h.criterion == row.id).map(|h| u64::from(h.cost)).sum();
            if row.hint_cost > most {
                return Err(format!("takes {} off {} for hints that cost {most} in all", row.hint_cost, row.id));
            }
        }
        Ok(())
>>>>>>> check
    }
}
