//! score.json: RFC 8785 canonical JSON, integers only, ordered by criterion id. Same evidence, same bytes.

use super::canonical;
use crate::api::OutcomeKind;
use crate::check::evidence::OBSERVATIONS;
use crate::check::{Finding, grade};
use crate::error::{Code, Error, Result};
use crate::template::scenario::Scenario;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

pub const VERSION: u32 = 1;

/// Points are integer milli-points.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Score {
    pub criteria: Vec<Row>,
    pub lab: String,
    pub max: u64,
    pub run: String,
    pub score: u64,
    pub version: u32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Where in the evidence it was decided: `observations.json#<criterion>/<index>`.
    pub evidence: Vec<String>,
    pub hint_cost: u64,
    pub id: String,
    pub max: u64,
    /// `pass`, `fail` or `error`.
    pub outcome: OutcomeKind,
    pub points: u64,
    pub weight: u32,
}

impl Score {
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
                    evidence: (0..c.evidence.len())
                        .filter(|i| findings.iter().any(|f| f.criterion == c.id && f.index == *i))
                        .map(|i| format!("{OBSERVATIONS}#{}/{i}", c.id))
                        .collect(),
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
    }
}
