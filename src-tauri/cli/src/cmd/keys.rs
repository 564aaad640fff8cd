//! `forge keys`: where the private keys are, and moving them. It asks for passphrases; it never sees a key.

use crate::Cx;
use crate::args::{KeyArg, KeysCommand};
use crate::engine;
use crate::out::{Ink, Out};
use forge_core::api::{BoardKnows, KeyUse, KeysKept, RotateKey};
use forge_core::error::{Code, Error, Result};
use forge_core::keys::{Keeping, Keys, Passphrase, Protect, Source};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What the environment and the arguments say about keys; a person is asked only where one is.
pub fn keeping(file: Option<PathBuf>) -> Result<Keeping> {
    let mut keeping = Keeping::from(|name| std::env::var_os(name))?;
    let ask = move || ask("Passphrase of your keys: ");
    let file = file.or(keeping.passphrase.file);
    keeping.passphrase = Source { file, ask: somebody().then(|| Arc::new(ask) as _) };
    Ok(keeping)
}

fn somebody() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

fn ask(words: &str) -> Result<Passphrase> {
    let text = rpassword::prompt_password(words).map_err(|e| Error::from(e).context("Asking for the passphrase"))?;
    Passphrase::new(text.into())
}

/// # Errors
/// Why the keys cannot be looked at, opened or moved.
pub async fn run(
    home: PathBuf,
    keeping: Keeping,
    what: Option<KeysCommand>,
    correlation: &str,
    out: &Out,
) -> Result<ExitCode> {
    match what {
        // Needs the engine, which tells the scoreboard.
        None | Some(KeysCommand::Rotate { .. }) => show(&home, &keeping, out)?,
        Some(KeysCommand::Unlock) => {
            let kept = tokio::task::spawn_blocking(move || {
                let keeping = Keeping { patient: true, ..keeping };
                Keys::open_kept(&home, &keeping, &mut forge_core::keys::system_rng()).map(|keys| keys.kept())
            });
            let kept = kept.await.map_err(Error::internal)??;
            out.answer(&kept, told)?;
        }
        Some(KeysCommand::Protect { os, passphrase, new_passphrase_file, .. }) => {
            let to = match (os, passphrase) {
                (true, _) => Protect::Os,
                (_, true) => Protect::Passphrase(wanted(new_passphrase_file.as_deref())?),
                _ => Protect::Plain,
            };
            // Whoever asks for it is there to unlock the store.
            let keeping = Keeping { patient: somebody(), ..keeping };
            let kept = engine::protect_keys(home, keeping, to, correlation).await?;
            out.answer(&kept, |out, k| {
                out.line("The keys are moved; programs that were open must be started again.")?;
                told(out, k)
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// # Errors
/// Why the key cannot be changed.
pub async fn rotate(cx: &Cx, name: KeyArg) -> Result<()> {
    let name = match name {
        KeyArg::Learner => KeyUse::Learner,
        KeyArg::Spawn => KeyUse::Spawn,
        KeyArg::Catalogue => KeyUse::Catalogue,
    };
    let done = cx.engine.rotate_key(&cx.caller, RotateKey { name }).await?;
    cx.out.answer(&done, |out, k| {
        out.line(format!("{} {} follows {}, which signed it.", out.ink(Ink::Good, "✓"), k.new, k.old))?;
        out.line("What the old key signed stays good. Programs that were open must be started again.")?;
        match k.board {
            BoardKnows::NotNeeded => Ok(()),
            BoardKnows::Told => out.line("The scoreboard knows the new key: nothing to do there."),
            BoardKnows::Later => out.line(format!(
                "{} The scoreboard does not know the new key yet, and is told before anything is sent to it. {}",
                out.ink(Ink::Warn, "!"),
                k.trouble
            )),
        }
    })
}

fn show(home: &Path, keeping: &Keeping, out: &Out) -> Result<()> {
    let kept = Keys::look(home, keeping)?;
    out.answer(&kept, |out, kept| match kept {
        Some(kept) => told(out, kept),
        None => out.line("There are no keys yet; the first command that needs them makes them."),
    })
}

fn told(out: &Out, kept: &KeysKept) -> Result<()> {
    match &kept.warning {
        Some(warning) => out.line(format!("{} {warning}", out.ink(Ink::Warn, "!"))),
        None => out.line(format!("{} {}", out.ink(Ink::Good, "✓"), kept.told)),
    }?;
    kept.command.as_ref().map_or(Ok(()), |command| out.line(format!("  {} {command}", out.ink(Ink::Ember, "→"))))
}

/// A new passphrase: from a file, or typed twice.
fn wanted(file: Option<&Path>) -> Result<Passphrase> {
    if let Some(file) = file {
        return Passphrase::read(file)?.worth_having();
    }
    if !somebody() {
        return Err(Error::new(Code::InvalidInput, "Nobody here can be asked for the new passphrase.")
            .hint("Run this in a terminal, or name a file: --new-passphrase-file FILE."));
    }
    let new = ask("New passphrase: ")?.worth_having()?;
    if !new.same(&ask("Once more: ")?) {
        return Err(
            Error::new(Code::InvalidInput, "The two passphrases differ; nothing was changed.").hint("Try again.")
        );
    }
    Ok(new)
}
