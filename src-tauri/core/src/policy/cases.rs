//! Policy tests are data: `policies/tests/*.yaml`, run by `cargo test` and by `forge policy test`.

use super::{Gate, POLICIES, Policy};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The cases of one gate.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suite {
    pub gate: Gate,
    pub base: Value,
    pub cases: Vec<Case>,
}

/// `base` with `change` merged into it (RFC 7386) must be answered so.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub note: String,
    #[serde(default)]
    pub change: Value,
    pub allow: bool,
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// How one case came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    pub gate: Gate,
    pub note: String,
    pub ok: bool,
    /// What was answered instead; empty when ok.
    pub seen: String,
}

/// The embedded suites, by file name.
pub fn suites() -> Result<Vec<Suite>> {
    let folder = POLICIES.get_dir("tests").ok_or_else(|| Error::internal("policies/tests was not embedded"))?;
    folder
        .files()
        .map(|file| {
            let text = file.contents_utf8().unwrap_or_default();
            serde_saphyr::from_str(text).map_err(|e| {
                Error::new(Code::InvalidInput, format!("policies/{} does not parse: {e}", file.path().display()))
            })
        })
        .collect()
}

pub fn run(policy: &Policy, suite: &Suite) -> Vec<Outcome> {
    suite.cases.iter().map(|case| outcome(policy, suite, case)).collect()
}

pub(super) fn outcome(policy: &Policy, suite: &Suite, case: &Case) -> Outcome {
    let mut input = suite.base.clone();
    if !case.change.is_null() {
        merge(&mut input, &case.change);
    }
    let decision = policy.decide(suite.gate, &input);
    let mut wanted = case.reasons.clone();
    wanted.sort_unstable();
    let ok = decision.allow == case.allow && decision.reasons == wanted;
    let said = if decision.allow { "yes" } else { "no" };
    let seen = if ok { String::new() } else { format!("{said}: {}", decision.reasons.join(" ")) };
    Outcome { gate: suite.gate, note: case.note.clone(), ok, seen }
}

/// JSON merge patch, RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::new());
    }
    if let Value::Object(fields) = target {
        for (key, change) in changes {
            if change.is_null() {
                fields.remove(key);
            } else {
                merge(fields.entry(key).or_insert(Value::Null), change);
            }
        }
    }
}
