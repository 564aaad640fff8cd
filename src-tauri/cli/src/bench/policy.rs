//! `forge bench policy`: all gates, decided on the base inputs of their own test data.

use super::{ms, quantile};
use crate::out::{Out, cell};
use forge_core::error::Result;
use forge_core::policy::{Policy, cases};
use std::time::Instant;

pub fn run(rounds: u32, out: &Out) -> Result<()> {
    let policy = Policy::load()?;
    let suites = cases::suites()?;
    let mut samples = Vec::new();
    for _ in 0..rounds.max(1) {
        let began = Instant::now();
        for suite in &suites {
            std::hint::black_box(policy.decide(suite.gate, &suite.base));
        }
        samples.push(ms(began));
    }
    let (p50, p99) = (quantile(&mut samples, 0.5), quantile(&mut samples, 0.99));
    let document = serde_json::json!({"gates": suites.len(), "rounds": rounds, "p50_ms": p50, "p99_ms": p99});
    out.answer(&document, |out, _| {
        let told = |v: Option<f64>| cell(format!("{:.3} ms", v.unwrap_or_default()));
        out.table(
            &["GATES", "ROUNDS", "P50", "P99"],
            &[vec![cell(suites.len().to_string()), cell(rounds.to_string()), told(p50), told(p99)]],
        )
    })
}
