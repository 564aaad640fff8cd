//! What can be measured.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// Ring labs: cold start to ready and removal, beside the bare containers and docker-compose
    Spawn {
        /// Ring size (repeatable)
        #[arg(long, default_values_t = [3, 10, 25], value_parser = clap::value_parser!(u32).range(3..=64))]
        nodes: Vec<u32>,
        /// Rounds per size; the median is told
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
        rounds: u32,
    },
    /// All gates for one spawn, decided many times
    Policy {
        #[arg(long, default_value_t = 1000)]
        rounds: u32,
    },
    /// A check with twenty probes over five nodes
    Probes {
        #[arg(long, default_value_t = 5)]
        rounds: u32,
    },
    /// Keystroke echo and output of a terminal, beside a bare `docker exec`
    Terminal,
    /// What watching a lab costs, beside `docker stats`; on a quiet machine
    Telemetry {
        #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(3..=64))]
        nodes: u32,
        /// How long each is watched, twice
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(5..=300))]
        seconds: u64,
    },
}
