//! `forge bench`: measures this machine, tests nothing. The one place of this shell that looks below the engine: what
//! Docker alone needs (the floor) can only be measured by asking Docker alone.

mod floor;
mod own;
mod policy;
mod probes;
mod ring;
mod spawn;
mod telemetry;
mod terminal;

use crate::args::BenchCommand;
use crate::out::Out;
use forge_core::api::Caller;
use forge_core::error::Result;
use std::process::ExitCode;
use std::time::Instant;

/// # Errors
/// What could not be measured, and why.
pub async fn run(what: BenchCommand, caller: &Caller, out: &Out) -> Result<ExitCode> {
    match what {
        BenchCommand::Spawn { nodes, rounds } => spawn::run(&nodes, rounds, caller, out).await?,
        BenchCommand::Policy { rounds } => policy::run(rounds, out)?,
        BenchCommand::Probes { rounds } => probes::run(rounds, caller, out).await?,
        BenchCommand::Terminal => terminal::run(caller, out).await?,
        BenchCommand::Telemetry { nodes, seconds } => telemetry::run(nodes, seconds, caller, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Milliseconds since `began`, with three decimals.
fn ms(began: Instant) -> f64 {
    (began.elapsed().as_secs_f64() * 1e6).round() / 1e3
}

/// The value below which `part` (0..=1) of the samples lie.
fn quantile(samples: &mut [f64], part: f64) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().checked_sub(1)?;
    samples.get((last as f64 * part).round() as usize).copied()
}

fn median(mut samples: Vec<f64>) -> Option<f64> {
    quantile(&mut samples, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(quantile(&mut [5.0, 1.0, 4.0, 2.0, 3.0], 0.99), Some(5.0));
        assert_eq!(median(Vec::new()), None);
    }
}
