//! `forge-scoreboard`: reads its arguments and does what they say; errors in words, or in JSON with `--json`.

use clap::Parser;
use forge_core::observe::redact::redact;
use forge_scoreboard::cmd::{self, Cli};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = cli.json;
    match cmd::run(cli) {
        Ok(code) => code,
        Err(mut e) => {
            // It may end in a log like everything else: what was in an address that failed has no business there.
            e.message = redact(&e.message).into_owned();
            if json {
                eprintln!("{}", serde_json::json!({"error": e}));
            } else {
                eprintln!("error: {e}");
                for hint in &e.hints {
                    eprintln!("  → {hint}");
                }
            }
            ExitCode::FAILURE
        }
    }
}
