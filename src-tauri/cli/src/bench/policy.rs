//! `forge bench policy`: the gates that a lab passes to be started, those of an action in a run, and each gate by itself, decided on the base inputs of
//! their own test data.

use super::{ms, quantile};
use crate::out::{Out, cell};
use forge_core::error::{Error, Result};
use forge_core::policy::{Gate, Policy, cases};
use serde_json::{Value, json};
use std::time::Instant;

pub fn run(rounds: u32, out: &Out) -> Result<()> {
    let policy = Policy::load()?;
    let suites = cases::suites()?;
    let asked = |gates: &[Gate]| -> Result<Vec<(Gate, Value)>> {
        let base = |gate: &Gate| suites.iter().find(|s| s.gate == *gate).map(|s| (*gate, s.base.clone()));
        gates.iter().map(|g| base(g).ok_or_else(|| Error::internal("a gate without test data"))).collect()
    };
    let spawn = measured(&policy, rounds, &asked(&Gate::OF_A_SPAWN)?);
    let act = measured(&policy, rounds, &asked(&Gate::OF_AN_ACT)?);
    let mut each = Vec::new();
    for gate in Gate::ALL {
        each.push((gate.name(), measured(&policy, rounds, &asked(&[gate])?)));
    }
    let gates: Vec<Value> =
        each.iter().map(|(gate, (p50, p99))| json!({"gate": gate, "p50_ms": p50, "p99_ms": p99})).collect();
    let document = json!({
        "rounds": rounds,
        "spawn": {"gates": Gate::OF_A_SPAWN.map(Gate::name), "p50_ms": spawn.0, "p99_ms": spawn.1},
        "act": {"gates": Gate::OF_AN_ACT.map(Gate::name), "p50_ms": act.0, "p99_ms": act.1},
        "gates": gates,
    });
    out.answer(&document, |out, _| {
        let told = |v: Option<f64>| cell(format!("{:.3} ms", v.unwrap_or_default()));
        let mut rows = vec![
            vec![cell("all of a spawn"), told(spawn.0), told(spawn.1)],
            vec![cell("all of an action"), told(act.0), told(act.1)],
        ];
        rows.extend(each.iter().map(|(gate, (p50, p99))| vec![cell(*gate), told(*p50), told(*p99)]));
        out.table(&["GATES", "P50", "P99"], &rows)
    })
}

/// Median and 99th percentile of asking all of them once.
fn measured(policy: &Policy, rounds: u32, asked: &[(Gate, Value)]) -> (Option<f64>, Option<f64>) {
    let mut samples = Vec::new();
    for _ in 0..rounds.max(1) {
        let began = Instant::now();
        for (gate, input) in asked {
            std::hint::black_box(policy.decide(*gate, input));
        }
        samples.push(ms(began));
    }
    (quantile(&mut samples, 0.5), quantile(&mut samples, 0.99))
}
