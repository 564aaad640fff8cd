//! The gates. Rego policies (`policies/*.rego`, embedded) are parsed once; a decision evaluates one rule on one input
//! and returns whether it is allowed, why not, and under which policies. Whatever goes wrong on the way is a denial
//! that says so. After loading there is no I/O, and no clock but for measuring.
//!
//! Bounds of a decision: 1 s, 128 MiB ([`bounds`]), 256 KiB and 32 levels of input ([`input`]).

mod about;
mod bounds;
pub mod cases;
pub mod input;

pub use about::About;

use crate::error::{Code, Error, Result};
use bounds::MemoryBound;
use include_dir::{Dir, include_dir};
use regorus::Engine;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

static POLICIES: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../policies");

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    Spawn,
    Training,
    Quota,
    Action,
    Llm,
    Capabilities,
    Access,
}

impl Gate {
    pub const ALL: [Self; 7] =
        [Self::Spawn, Self::Training, Self::Quota, Self::Capabilities, Self::Action, Self::Llm, Self::Access];
    /// Those that a lab has to pass to be started, in order.
    pub const OF_A_SPAWN: [Self; 5] = [Self::Access, Self::Spawn, Self::Training, Self::Quota, Self::Capabilities];
    /// Those that whatever is done in a run has to pass.
    pub const OF_AN_ACT: [Self; 2] = [Self::Access, Self::Action];

    pub fn name(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Training => "training",
            Self::Quota => "quota",
            Self::Action => "action",
            Self::Llm => "llm",
            Self::Capabilities => "capabilities",
            Self::Access => "access",
        }
    }
}

impl std::str::FromStr for Gate {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|g| g.name() == name).ok_or_else(|| {
            let known = Self::ALL.map(Self::name).join(", ");
            Error::new(Code::NotFound, format!("There is no gate named “{name}”.")).hint(format!("Known are {known}."))
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decision {
    pub gate: Gate,
    pub allow: bool,
    /// Why not, in a learner's words, sorted; empty when allowed.
    pub reasons: Vec<String>,
    /// SHA-256 over the policies, hex; see [`Policy::digest`].
    pub policy_digest: String,
    pub micros: u64,
}

/// The policies, parsed. Cheap to share; each decision works on a copy of the engine that shares what was parsed.
#[derive(Clone)]
pub struct Policy {
    gates: BTreeMap<Gate, Engine>,
    /// As they were given, by file name.
    files: Arc<BTreeMap<String, String>>,
    digest: String,
}

/// What every gate's `decision` rule returns.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    allow: bool,
    reasons: Vec<String>,
}

impl Policy {
    /// The embedded policies. Takes some milliseconds; an error is a defect of the build.
    pub fn load() -> Result<Self> {
        let files: BTreeMap<String, String> = POLICIES
            .files()
            .filter(|f| f.path().extension().is_some_and(|e| e == "rego"))
            .filter_map(|f| Some((f.path().to_str()?.to_owned(), f.contents_utf8()?.to_owned())))
            .collect();
        Self::from_files(&files)
    }

    /// Policies by file name. `InvalidInput` names file, line and column of what does not parse.
    pub fn from_files(files: &BTreeMap<String, String>) -> Result<Self> {
        let _bound = MemoryBound::hold();
        let mut engine = Engine::new();
        if let Some(timer) = bounds::timer() {
            engine.set_execution_timer_config(timer);
        }
        engine.set_strict_builtin_errors(false);
        for (path, text) in files {
            engine
                .add_policy(path.clone(), text.clone())
                .map_err(|e| Error::new(Code::InvalidInput, format!("The policy {path} does not parse: {e}")))?;
        }
        let mut gates = BTreeMap::new();
        for gate in Gate::ALL {
            let mut own = engine.clone();
            // Evaluated once here, so that analysis and scheduling are not paid for by the first learner.
            own.set_input(regorus::Value::new_object());
            own.eval_rule(rule(gate)).map_err(|e| {
                Error::new(Code::InvalidInput, format!("The policies have no working {} gate: {e}", gate.name()))
            })?;
            gates.insert(gate, own);
        }
        Ok(Self { gates, files: Arc::new(files.clone()), digest: digest(files) })
    }

    /// SHA-256, hex, over the policies sorted by name: for each the name, a zero byte, the length as 8 bytes
    /// big-endian, and the text.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Asks a gate. Never fails: what cannot be decided is denied, with the reason.
    pub fn decide(&self, gate: Gate, input: &serde_json::Value) -> Decision {
        let began = Instant::now();
        let (allow, mut reasons) = match self.answer(gate, input) {
            Ok(Answer { allow: true, reasons }) if reasons.is_empty() => (true, reasons),
            Ok(Answer { reasons, .. }) if !reasons.is_empty() => (false, reasons),
            Ok(_) => (false, vec!["The policy denies this without saying why.".to_owned()]),
            Err(why) => (false, vec![format!("The policy could not decide, so the answer is no: {why}")]),
        };
        reasons.sort_unstable();
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        Decision { gate, allow, reasons, policy_digest: self.digest.clone(), micros }
    }

    /// What the quota policy allows for such an input, for showing: `{limits, machine}`; `limits` is missing when the
    /// policy knows none. It decides nothing.
    ///
    /// # Errors
    /// `Internal` when the policy cannot be evaluated.
    pub fn quota_limits(&self, input: &serde_json::Value) -> Result<serde_json::Value> {
        let failed = |e: &dyn std::fmt::Display| Error::internal(format!("the quota policy could not be read: {e}"));
        let mut engine = self.gates.get(&Gate::Quota).ok_or_else(|| failed(&"no such gate"))?.clone();
        let text = serde_json::to_string(input)?;
        engine.set_input(regorus::Value::from_json_str(&text).map_err(|e| failed(&e))?);
        let mut found = serde_json::Map::new();
        for name in ["limits", "machine"] {
            let value = engine.eval_rule(format!("data.frostgate.forge.quota.{name}")).map_err(|e| failed(&e))?;
            if value != regorus::Value::Undefined {
                let text = value.to_json_str().map_err(|e| failed(&e))?;
                found.insert(name.to_owned(), serde_json::from_str(&text)?);
            }
        }
        Ok(found.into())
    }

    /// What an action of this class costs, in points; 0 for a class that the policy does not know, which it denies.
    ///
    /// # Errors
    /// `Internal` when the policy cannot be evaluated.
    pub fn action_cost(&self, class: &str) -> Result<u64> {
        let failed = |e: &dyn std::fmt::Display| Error::internal(format!("the action policy could not be read: {e}"));
        let mut engine = self.gates.get(&Gate::Action).ok_or_else(|| failed(&"no such gate"))?.clone();
        let value = engine.eval_rule("data.frostgate.forge.action.costs".into()).map_err(|e| failed(&e))?;
        let text = value.to_json_str().map_err(|e| failed(&e))?;
        let costs: BTreeMap<String, u64> = serde_json::from_str(&text)?;
        Ok(costs.get(class).copied().unwrap_or_default())
    }

    fn answer(&self, gate: Gate, input: &serde_json::Value) -> Result<Answer, String> {
        let text = input::text_of(input).map_err(|e| e.message)?;
        let _bound = MemoryBound::hold();
        let mut engine = self.gates.get(&gate).ok_or("there is no such gate")?.clone();
        engine.set_input(regorus::Value::from_json_str(&text).map_err(|e| e.to_string())?);
        let value = engine.eval_rule(rule(gate)).map_err(|e| e.to_string())?;
        let answer = value.to_json_str().map_err(|e| e.to_string())?;
        serde_json::from_str(&answer).map_err(|e| format!("its answer is not one: {e}"))
    }
}

fn rule(gate: Gate) -> String {
    format!("data.frostgate.forge.{}.decision", gate.name())
}

fn digest(files: &BTreeMap<String, String>) -> String {
    let mut h = Sha256::new();
    for (path, text) in files {
        h.update(path.as_bytes());
        h.update([0]);
        h.update((text.len() as u64).to_be_bytes());
        h.update(text.as_bytes());
    }
    hex::encode(h.finalize())
}

#[cfg(test)]
mod mutants;
#[cfg(test)]
mod tests;
