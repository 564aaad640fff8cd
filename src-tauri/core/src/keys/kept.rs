//! Where the keys of a folder are kept, written down beside them: so that a store that is silent today is never taken for one that
//! has no keys, and a move that was cut off goes on.

use super::encrypted::{self, Encrypted};
use super::os::{self, Os};
use super::passphrase::{Passphrase, Source};
use super::vault::{self, Files, Vault};
use super::{KeyName, unusable};
use crate::api::{KeyPlace, KeysKept};
use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

const FILE: &str = "kept.json";
const VERSION: u32 = 1;

/// What a shell decides about keys.
#[derive(Clone, Default)]
pub struct Keeping {
    /// New keys may go into the operating system's secret store.
    pub os: bool,
    /// Where new keys go, if it was said.
    pub first: Option<KeyPlace>,
    pub passphrase: Source,
    /// A person is there who may have to unlock the store.
    pub patient: bool,
}

impl std::fmt::Debug for Keeping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeping").field("os", &self.os).field("first", &self.first).finish_non_exhaustive()
    }
}

impl Keeping {
    /// `FORGE_KEYS` (`os`, `passphrase`, `plain`), `FORGE_PASSPHRASE_FILE`. Under `FORGE_HOME` keys stay in that folder.
    ///
    /// # Errors
    /// `InvalidInput` for a place that there is not.
    pub fn from(env: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        let set = |name: &str| env(name).filter(|v| !v.is_empty());
        let os = set("FORGE_HOME").is_none();
        let first = match set("FORGE_KEYS").map(|v| v.to_string_lossy().into_owned()).as_deref() {
            None | Some("auto") => None,
            Some("os") if os => Some(KeyPlace::Os),
            Some("os") => return Err(not_os()),
            Some("passphrase") => Some(KeyPlace::Passphrase),
            Some("plain") => Some(KeyPlace::Plain),
            Some(other) => {
                return Err(Error::new(
                    Code::InvalidInput,
                    format!("FORGE_KEYS is “{other}”, which is no place for keys."),
                )
                .hint("It is os, passphrase, plain or auto."));
            }
        };
        let file = set("FORGE_PASSPHRASE_FILE").map(Into::into);
        Ok(Self { os, first, passphrase: Source { file, ask: None }, patient: false })
    }

    pub(super) fn limit(&self) -> Duration {
        if self.patient { os::PATIENT } else { os::LIMIT }
    }
}

pub(super) fn not_os() -> Error {
    Error::new(Code::InvalidInput, "FORGE_HOME moves all data and keys, so the keys stay in that folder.")
        .hint("Unset FORGE_HOME to use this system's secret store, or take `forge keys protect --passphrase`.")
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Kept {
    Plain {
        /// Why not in the operating system's store, when that was tried.
        why: Option<String>,
    },
    Passphrase {},
    Os {
        id: String,
        /// Fingerprints of the keys that were put there; none = it was begun and nothing was ever signed.
        keys: BTreeMap<KeyName, String>,
    },
}

impl Kept {
    pub fn same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain { .. }, Self::Plain { .. }) | (Self::Passphrase {}, Self::Passphrase {}) => true,
            (Self::Os { id, .. }, Self::Os { id: other, .. }) => id == other,
            _ => false,
        }
    }

    pub fn vault(&self, folder: &Path, passphrase: Option<Passphrase>, limit: Duration) -> Result<Box<dyn Vault>> {
        Ok(match self {
            Self::Plain { .. } => Box::new(Files(folder.to_owned())),
            Self::Os { id, .. } => Box::new(Os { id: id.clone(), limit }),
            Self::Passphrase {} => {
                let passphrase = passphrase.ok_or_else(|| {
                    unusable("passphrase_needed", "The keys were put under a passphrase a moment ago.")
                        .hint("Try again: now it is known that one is needed.")
                })?;
                Box::new(Encrypted::new(folder, passphrase))
            }
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    pub kept: Kept,
    /// Where they were before, until nothing of them is there any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Kept>,
}

impl Record {
    pub fn new(kept: Kept, leaving: Option<Kept>) -> Self {
        Self { version: VERSION, kept, leaving }
    }

    /// What is written down; without it, what the folder's files say; None = there are no keys yet.
    pub fn read(folder: &Path, names: &[KeyName]) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let damaged = |why: &dyn std::fmt::Display| {
            unusable("damaged", format!("{}, which says where your keys are, cannot be used: {why}", path.display()))
                .hint("Restore the file from a backup.")
        };
        match std::fs::read(&path) {
            Ok(text) => {
                let version = serde_json::from_slice::<serde_json::Value>(&text).map_err(|e| damaged(&e))?;
                if version.get("version").and_then(serde_json::Value::as_u64) != Some(VERSION.into()) {
                    return Err(damaged(&"another version of this program wrote it"));
                }
                serde_json::from_slice(&text).map(Some).map_err(|e| damaged(&e))
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                // Plain ones first: a file under a passphrase beside them is what a move that was cut off had begun.
                let plain = Files(folder.to_owned()).any(names).then_some(Kept::Plain { why: None });
                let kept = plain.or_else(|| folder.join(encrypted::FILE).exists().then_some(Kept::Passphrase {}));
                Ok(kept.map(|kept| Self::new(kept, None)))
            }
            Err(e) => Err(damaged(&e)),
        }
    }

    pub fn write(&self, folder: &Path) -> Result<()> {
        vault::replace(&folder.join(FILE), &serde_json::to_vec_pretty(self).map_err(Error::internal)?)
    }

    /// In words. `os`: whether they could go into the operating system's store.
    pub fn told(&self, folder: &Path, os: bool) -> KeysKept {
        let folder = folder.display();
        let (place, told, mut warning, mut command) = match &self.kept {
            Kept::Os { .. } => (KeyPlace::Os, "In this system's secret store.".to_owned(), None, None),
            Kept::Passphrase {} => (
                KeyPlace::Passphrase,
                format!("In {folder}, encrypted under your passphrase. Nobody can recover it."),
                None,
                None,
            ),
            Kept::Plain { why } => {
                let command =
                    format!("forge keys protect {}", if os && why.is_none() { "--os" } else { "--passphrase" });
                let why = why.as_ref().map(|why| format!(" When they were made: {why}")).unwrap_or_default();
                let warning = format!(
                    "The private keys lie unencrypted in {folder}, readable only by you. Whoever can read your files can sign in \
                     your name.{why}"
                );
                (KeyPlace::Plain, format!("Unencrypted in {folder}."), Some(warning), Some(command))
            }
        };
        if self.leaving.is_some() {
            let left = "A copy from before the keys were moved could not be removed yet; each start tries again.";
            warning = Some(warning.map_or_else(|| left.to_owned(), |w| format!("{w} {left}")));
            command = command.or_else(|| Some("forge keys".into()));
        }
        KeysKept { place, told, warning, command }
    }
}
