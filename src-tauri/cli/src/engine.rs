//! Opening the engine: the one file of this shell that names it by its type.

use crate::exit;
use crate::out::{Ink, Out, span};
use forge_core::api::{Caller, KeysKept};
use forge_core::error::{Code, Error, Result};
use forge_core::forge::{EgressOptions, Forge, KeeperEnd, Opening, Options, WorkOptions};
use forge_core::keys::{Keeping, Protect};
use forge_core::shell::Shellable;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Seeds a lab is proved on when none are named: enough to catch an answer that fits one draw only.
const SEEDS: [&str; 2] = ["prove-1", "prove-2"];

/// The engine on this data folder. A server keeps the runs itself while it runs; a command, and a server that ends, leave a
/// keeper process behind.
///
/// # Errors
/// Why the data folder, its keys, policies or labs cannot be opened.
pub async fn open(home: PathBuf, shell: &str, labs: Option<PathBuf>, keys: Keeping) -> Result<Arc<Forge>> {
    Forge::open(options(home, shell, labs, keys)?).await
}

/// For a shell that a person sits before, who can unlock the keys.
///
/// # Errors
/// `InvalidInput` for what the environment says.
pub fn opening(home: PathBuf, shell: &str, labs: Option<PathBuf>, keys: Keeping) -> Result<Arc<Opening>> {
    Ok(Arc::new(Opening::new(options(home, shell, labs, keys)?)))
}

fn options(home: PathBuf, shell: &str, labs: Option<PathBuf>, keys: Keeping) -> Result<Options> {
    if let Some(dir) = labs.as_deref().filter(|dir| !dir.is_dir()) {
        return Err(Error::new(
            Code::NotFound,
            format!("{} is not a folder, so no labs can be read from it.", dir.display()),
        )
        .hint("Give the folder that holds <track>/<lab>/lab.yaml."));
    }
    let keep = shell != "cli";
    let keeper = vec![std::env::current_exe()?.into_os_string(), "keep".into()];
    Ok(Options {
        home,
        shell: shell.to_owned(),
        labs,
        keep,
        keeper,
        egress: EgressOptions::from(|name| std::env::var_os(name))?,
        keys,
    })
}

/// The keeper process: ends runs whose time is up, until none is alive or another process keeps.
pub async fn keep(home: PathBuf, keys: Keeping) -> Result<ExitCode> {
    let forge = Forge::open(Options {
        home,
        shell: "cli".into(),
        labs: None,
        keep: false,
        keeper: Vec::new(),
        egress: EgressOptions::from(|name| std::env::var_os(name))?,
        keys,
    })
    .await?;
    let end = tokio::select! {
        end = forge.keep() => end?,
        () = crate::signal::asked_to_end() => KeeperEnd::ShutDown,
    };
    tracing::info!(?end, "the keeper ends");
    forge.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Without opening the engine: what is moved may be what it cannot open.
///
/// # Errors
/// Why they could not be moved.
pub async fn protect_keys(home: PathBuf, keys: Keeping, to: Protect, correlation: &str) -> Result<KeysKept> {
    Forge::protect_keys(home, keys, to, correlation).await
}

pub async fn prove(
    home: PathBuf,
    labs: Option<PathBuf>,
    keys: Keeping,
    caller: &Caller,
    out: &Out,
    lab: &str,
    seeds: Vec<String>,
) -> Result<ExitCode> {
    let seeds = if seeds.is_empty() { SEEDS.map(str::to_owned).to_vec() } else { seeds };
    let forge = open(home, "cli", labs, keys).await?;
    let instructor = Caller { instructor: true, ..caller.clone() };
    let told = |proof: &forge_core::forge::Proof| {
        let (mark, ink) = if proof.ok { ("✓", Ink::Good) } else { ("✗", Ink::Bad) };
        out.progress(
            ink,
            format!("{mark} {:<28} {:<12} {:>9}  {}", proof.answer, proof.seed, span(proof.ms), proof.detail),
        );
    };
    let proofs = tokio::select! {
        proofs = forge.prove(&instructor, lab, &seeds, &told) => proofs,
        () = crate::signal::asked_to_end() => Err(Error::cancelled()),
    };
    forge.shutdown().await;
    let proofs = proofs?;
    let ok = !proofs.is_empty() && proofs.iter().all(|p| p.ok);
    let document = serde_json::json!({"ok": ok, "lab": lab, "proofs": proofs});
    out.answer(&document, |out, _| out.line(if ok { "The lab is proved." } else { "The lab is not proved." }))?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// Until it is asked to end: what is under way then is given back, and nothing of it stays.
///
/// # Errors
/// Why this machine may not work, or with `once` cannot.
pub async fn worker(
    home: PathBuf,
    labs: Option<PathBuf>,
    keys: Keeping,
    caller: &Caller,
    out: &Out,
    options: WorkOptions,
) -> Result<ExitCode> {
    let forge = open(home, "cli", labs, keys).await?;
    let stop = CancellationToken::new();
    let asked = stop.clone();
    tokio::spawn(async move {
        crate::signal::asked_to_end().await;
        asked.cancel();
    });
    let last = forge.work(caller, options, &stop, &|worked| crate::cmd::worker::told(out, worked)).await;
    forge.shutdown().await;
    crate::cmd::worker::ended(out, last?.as_ref(), options.once)
}

/// # Errors
/// `Io` when it cannot be printed.
pub fn schema(out: &Out) -> Result<ExitCode> {
    out.document(&forge_core::template::schema::schema())?;
    Ok(ExitCode::SUCCESS)
}
