//! Grading again, from the evidence alone: the lab as it ran and what was observed, both out of the bundle.

use super::bundle::Unpacked;
use super::score::Score;
use crate::api::wrong;
use crate::check::evidence::{OBSERVATIONS, Observations, SCENARIO};
use crate::check::grade;
use crate::error::{Code, Error, Result};
use crate::template::scenario::Scenario;
use std::collections::BTreeMap;

/// What a bundle says about the lab and what was seen in it.
pub struct Material {
    pub scenario: Scenario,
    pub scenario_bytes: Vec<u8>,
    pub observations: Observations,
}

impl Material {
    pub fn of(bundle: &Unpacked) -> Result<Self> {
        fn json<T: serde::de::DeserializeOwned>(bundle: &Unpacked, path: &str) -> Result<(T, Vec<u8>)> {
            let invalid = |why: String| Error::new(Code::EvidenceInvalid, format!("{path} in the evidence {why}"));
            let entry = bundle.entries.get(path).ok_or_else(|| invalid("is missing".into()))?;
            let value = serde_json::from_slice(&entry.bytes)
                .map_err(|_| invalid(format!("cannot be read. {}", wrong::why::<T>(&entry.bytes))))?;
            Ok((value, entry.bytes.clone()))
        }
        let (scenario, scenario_bytes) = json(bundle, SCENARIO)?;
        let (observations, _): (Observations, _) = json(bundle, OBSERVATIONS)?;
        if observations.version != 1 {
            return Err(Error::new(
                Code::EvidenceInvalid,
                format!("{OBSERVATIONS} has version {}, this program knows 1", observations.version),
            ));
        }
        Ok(Self { scenario, scenario_bytes, observations })
    }
}

/// Judges every criterion anew and names each difference to what was scored; none means that the score follows from the
/// evidence.
pub fn regrade(material: &Material, score: &Score) -> Vec<String> {
    let hint_costs: BTreeMap<String, u64> = score.criteria.iter().map(|r| (r.id.clone(), r.hint_cost)).collect();
    let again = Score::of(&score.run, &material.scenario, &material.observations.findings, &hint_costs);
    let mut differences = Vec::new();
    for row in &again.criteria {
        match score.criteria.iter().find(|r| r.id == row.id) {
            Some(claimed) if claimed == row => {}
            Some(claimed) => {
                let why = material
                    .scenario
                    .criteria
                    .iter()
                    .find(|c| c.id == row.id)
                    .map(|c| grade::grade(c, &material.observations.findings).seen)
                    .unwrap_or_default();
                differences.push(format!(
                    "{}: scored {} ({} milli-points), the evidence gives {} ({}): {why}",
                    row.id,
                    word(claimed.outcome),
                    claimed.points,
                    word(row.outcome),
                    row.points
                ));
            }
            None => differences.push(format!("{}: not scored at all", row.id)),
        }
    }
    for row in score.criteria.iter().filter(|r| !again.criteria.iter().any(|a| a.id == r.id)) {
        differences.push(format!("{}: scored, but no criterion of the lab", row.id));
    }
    for finding in &material.observations.findings {
        let known =
            material.scenario.criteria.iter().any(|c| c.id == finding.criterion && finding.index < c.evidence.len());
        if !known {
            differences
                .push(format!("{}/{}: observed, but no evidence the lab asks for", finding.criterion, finding.index));
        }
    }
    differences
}

fn word(outcome: crate::api::OutcomeKind) -> &'static str {
    use crate::api::OutcomeKind::{Error, Fail, NotChecked, Pass};
    match outcome {
        Pass => "pass",
        Fail => "fail",
        Error => "error",
        NotChecked => "not checked",
    }
}
