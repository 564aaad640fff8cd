//! `forge bench probes`: a check with twenty probes over five nodes, asked of the ring as it runs.

use super::own::Own;
use super::{ms, quantile, ring};
use crate::out::{Out, cell};
use forge_core::api::{Caller, CheckRun, Commands};
use forge_core::error::{Code, Error, Result};
use std::time::Instant;

const NODES: u32 = 5;

pub async fn run(rounds: u32, caller: &Caller, out: &Out) -> Result<()> {
    let own = Own::open(vec![(ring::lab_id(NODES), ring::lab(NODES))]).await?;
    let measured = tokio::select! {
        samples = measure(&own, rounds, caller) => samples,
        () = crate::signal::asked_to_end() => Err(Error::cancelled()),
    };
    own.close(caller).await?;
    let mut samples = measured?;
    let (p50, worst) = (quantile(&mut samples, 0.5), quantile(&mut samples, 1.0));
    let probes = NODES * ring::PROBES_PER_NODE;
    let document =
        serde_json::json!({"nodes": NODES, "probes": probes, "rounds": rounds, "p50_ms": p50, "max_ms": worst});
    out.answer(&document, |out, _| {
        let told = |v: Option<f64>| cell(format!("{:.0} ms", v.unwrap_or_default()));
        let row = vec![cell(NODES.to_string()), cell(probes.to_string()), told(p50), told(worst)];
        out.table(&["NODES", "PROBES", "P50", "WORST"], &[row])
    })
}

async fn measure(own: &Own, rounds: u32, caller: &Caller) -> Result<Vec<f64>> {
    let run = own.start(caller, &ring::lab_id(NODES)).await?.run.run;
    let mut samples = Vec::new();
    for _ in 0..rounds.max(1) {
        let began = Instant::now();
        let request = CheckRun { run: run.clone(), criteria: Vec::new(), gentle: true };
        let report = own.forge.check_run(caller, request).await?;
        samples.push(ms(began));
        // A check that fails early would be measured as a quick one.
        if report.score != report.max {
            return Err(Error::new(Code::WrongState, "The ring did not pass its own check.")
                .details(serde_json::json!(report.criteria)));
        }
    }
    Ok(samples)
}
