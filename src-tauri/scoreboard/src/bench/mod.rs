//! `bench`: this machine, measured; each figure beside the limit it is held against, in the same run.

mod board;
mod ground;
mod ingest;
mod server;
pub mod workshop;

use crate::cmd::say;
use clap::{Args, Subcommand};
use forge_core::error::Result;

/// Without it, SQLite in a temporary folder.
#[derive(Clone, Debug, Args)]
pub struct Empty {
    /// An empty PostgreSQL database, which is filled: postgres://user:password@host/name
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum What {
    /// Envelopes verified and stored per second over HTTP, beside bare Ed25519 and fsync
    Ingest {
        #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..))]
        verdicts: u32,
        /// Submissions that are open at the same time
        #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=4_000))]
        open: u32,
        /// Envelopes in one submission; more than one go by POST /v1/envelopes
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
        batch: u32,
        #[command(flatten)]
        empty: Empty,
    },
    /// The leaderboard with this many stored verdicts
    Leaderboard {
        #[arg(long, default_value_t = 10_000)]
        verdicts: u32,
        #[arg(long, default_value_t = 2_000)]
        asked: u32,
        #[command(flatten)]
        empty: Empty,
    },
    /// Fill a new data folder with a few verdicts to look at
    Demo {
        #[arg(long, value_name = "DIR")]
        data: std::path::PathBuf,
    },
    /// Clients on the live board, and how far they are behind
    Live {
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=4_000))]
        clients: u32,
        #[arg(long, default_value_t = 200)]
        events: u32,
        #[command(flatten)]
        empty: Empty,
    },
}

pub fn run(what: &What, json: bool) -> Result<()> {
    let value = match what {
        What::Ingest { verdicts, open, batch, empty } => {
            ingest::run(*verdicts, *open, *batch, empty.database.as_deref())?
        }
        What::Leaderboard { verdicts, asked, empty } => {
            board::leaderboard(*verdicts, *asked, empty.database.as_deref())?
        }
        What::Live { clients, events, empty } => board::live(*clients, *events, empty.database.as_deref())?,
        What::Demo { data } => ingest::demo(data)?,
    };
    say(json, &value, || serde_json::to_string_pretty(&value).unwrap_or_default());
    Ok(())
}

/// What is being done, on stderr: a measurement takes minutes.
fn progress(what: impl std::fmt::Display) {
    eprintln!("{what} …");
}

/// The value below which this share of the (sorted) values lies.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}
