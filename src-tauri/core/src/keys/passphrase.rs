//! A passphrase, and where it comes from: a terminal or a file, never an argument or a variable, which other programs can read.

use super::unusable;
use crate::error::{Code, Error, Result};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

const SHORTEST: usize = 8;
const LONGEST: usize = 1024;

/// Cleared when dropped; neither shown nor written by anything.
#[derive(Clone)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// One that opens something; how good it is was decided when it was made.
    pub fn new(text: Zeroizing<String>) -> Result<Self> {
        if text.is_empty() || text.len() > LONGEST {
            return Err(Error::new(Code::InvalidInput, format!("A passphrase has 1 to {LONGEST} bytes.")));
        }
        Ok(Self(text))
    }

    /// `InvalidInput` when it is too short to be somebody's new passphrase.
    pub fn worth_having(self) -> Result<Self> {
        if self.0.chars().count() < SHORTEST {
            return Err(Error::new(
                Code::InvalidInput,
                format!("This passphrase has fewer than {SHORTEST} characters."),
            )
            .hint("Take four or five words that have nothing to do with each other."));
        }
        Ok(self)
    }

    /// The first line of a file, of a descriptor (`/dev/fd/3`) or of standard input (`-`).
    pub fn read(path: &Path) -> Result<Self> {
        let cannot = |e: std::io::Error| {
            Error::new(Code::InvalidInput, format!("The passphrase cannot be read from {}: {e}", path.display()))
                .hint("Name a file that only you can read, with the passphrase as its only line.")
        };
        // Room for it all at once: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 3));
        let limit = LONGEST as u64 + 2;
        if path == Path::new("-") {
            std::io::stdin().lock().take(limit).read_to_end(&mut bytes).map_err(cannot)?;
        } else {
            std::fs::File::open(path).map_err(cannot)?.take(limit).read_to_end(&mut bytes).map_err(cannot)?;
        }
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| Error::new(Code::InvalidInput, "The passphrase is not UTF-8 text."))?;
        Self::new(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// For a process that this one starts, and that has no terminal: what it reads under `-`.
    pub fn write_to(&self, mut pipe: impl std::io::Write) -> std::io::Result<()> {
        pipe.write_all(self.bytes())?;
        pipe.write_all(b"\n")
    }

    pub fn same(&self, other: &Self) -> bool {
        *self.0 == *other.0
    }
}

/// Asks a person; blocks until they have answered.
pub type Ask = Arc<dyn Fn() -> Result<Passphrase> + Send + Sync>;

/// Where a passphrase comes from, should one be needed.
#[derive(Clone, Default)]
pub struct Source {
    pub file: Option<PathBuf>,
    pub ask: Option<Ask>,
}

impl Source {
    /// One that is known already.
    pub fn given(passphrase: Passphrase) -> Self {
        Self { file: None, ask: Some(Arc::new(move || Ok(passphrase.clone()))) }
    }

    pub(super) fn get(&self) -> Result<Passphrase> {
        match (&self.file, &self.ask) {
            (Some(file), _) => Passphrase::read(file),
            (None, Some(ask)) => ask(),
            (None, None) => Err(unusable("passphrase_needed", "Your keys are under a passphrase, and nobody here can be asked for it.")
                .hint("The app asks for it, and so does any `forge` command in a terminal.")
                .hint("Without one: write it into a file that only you can read, and start this with FORGE_PASSPHRASE_FILE=<that file>.")
                .hint("To do without it, `forge keys protect --os` or `--plain` moves the keys.")),
        }
    }
}
