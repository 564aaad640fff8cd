//! `forge`: the engine on the command line. It reads arguments, asks the engine, and words the answer for people or, with
//! `--json`, for programs; what the answer is, it does not know.

mod args;
mod bench;
mod cmd;
mod engine;
mod exit;
mod out;
mod serve;
mod signal;

use args::{Cli, Command, KeysCommand};
use clap::Parser;
use clap::error::ErrorKind;
use forge_core::api::Caller;
use forge_core::error::{Code, Error, Result};
use forge_core::forge::WorkOptions;
use forge_core::observe::log::{LogOptions, init, span};
use forge_core::shell::{Shellable, correlation, data_home};
use out::Out;
use std::process::ExitCode;
use std::sync::Arc;
use tracing::Instrument;

/// What every command works with.
pub struct Cx {
    pub engine: Arc<dyn Shellable>,
    pub caller: Caller,
    pub out: Out,
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => return usage(&e),
    };
    let out = Out::for_process(cli.json);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return out.error(&Error::from(e).context("Starting")),
    };
    let code = runtime.block_on(run(cli, out.clone())).unwrap_or_else(|e| out.error(&e));
    // A read of the keyboard that never returns must not hold the process.
    runtime.shutdown_background();
    code
}

/// Help and version are answers; anything else is a usage error, in JSON when that was asked for.
fn usage(e: &clap::Error) -> ExitCode {
    if matches!(e.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // A closed pipe is the reader's choice.
        let _ = e.print();
        return ExitCode::SUCCESS;
    }
    if std::env::args_os().any(|a| a == "--json") {
        let text = e.render().to_string();
        let message = text.trim().strip_prefix("error: ").unwrap_or(text.trim()).to_owned();
        return Out::for_process(true).error(&Error::new(Code::InvalidInput, message));
    }
    let _ = e.print();
    ExitCode::from(exit::USAGE)
}

async fn run(cli: Cli, out: Out) -> Result<ExitCode> {
    let home = data_home(|name| std::env::var_os(name))?;
    let _log = init(&LogOptions { dir: home.join("logs"), stderr: cli.verbose })?;
    // Whoever has this machine's command line may teach on it, unless a classroom says otherwise; every solution that is
    // applied is in the audit log, and so in the evidence of what is submitted afterwards.
    let kept_out = std::env::var("FORGE_INSTRUCTOR").is_ok_and(|v| matches!(v.as_str(), "0" | "false" | "no" | "off"));
    let teaches = matches!(
        cli.command,
        args::Command::Solve { .. }
            | args::Command::Egress { .. }
            | args::Command::Block { .. }
            | args::Command::Unblock { .. }
            | args::Command::Quota
    ) && !kept_out;
    let caller = Caller { correlation: correlation(), instructor: cli.instructor || teaches };
    let span = span(&caller.correlation);
    let keys = cmd::keys::keeping(cli.passphrase_file)?;
    async move {
        match cli.command {
            Command::Bench { what } => return bench::run(what, &caller, &out).await,
            Command::Keep => return engine::keep(home, keys).await,
            Command::Catalogue { what } => return cmd::catalogue::run(what, &out),
            Command::Schema => return engine::schema(&out),
            Command::Keys { what } if !matches!(what, Some(KeysCommand::Rotate { .. })) => {
                return cmd::keys::run(home, keys, what, &caller.correlation, &out).await;
            }
            Command::Policy { what } if let Some(done) = cmd::policy::alone(&what, &out) => return done,
            Command::Prove { lab, seeds } => {
                return engine::prove(home, cli.labs, keys, &caller, &out, &lab, seeds).await;
            }
            Command::Worker { once, lease } => {
                return engine::worker(home, cli.labs, keys, &caller, &out, WorkOptions { once, lease }).await;
            }
            Command::Serve(options) => {
                let opening = engine::opening(home, "serve", cli.labs, keys)?;
                let served = serve::run(opening.clone(), options, caller.instructor, &out).await;
                opening.shutdown().await;
                return served.map(|()| ExitCode::SUCCESS);
            }
            _ => {}
        }
        let engine = engine::open(home, "cli", cli.labs, keys).await?;
        let cx = Cx { engine: engine.clone(), caller, out };
        let code = cmd::run(&cx, cli.command).await;
        engine.shutdown().await;
        code
    }
    .instrument(span)
    .await
}
