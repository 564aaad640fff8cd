//! Moving keys: written to the new place, read back from it, written down as moved, and only then removed from the old one. Killed
//! between any two steps, the keys are whole at the place that is written down, and the next start or the same command goes on.

use super::encrypted::Encrypted;
use super::kept::{Keeping, Kept, Record, not_os};
use super::opening::{self, Opened};
use super::os::Os;
use super::passphrase::{Passphrase, Source};
use super::vault::{Files, Vault};
use super::{KeyName, Keys, unusable};
use crate::api::KeysKept;
use crate::error::{Error, Result};
use crate::fault;
use std::sync::{Arc, PoisonError};

/// Where keys are to be moved.
#[derive(Clone)]
pub enum Protect {
    Os,
    /// Under this one, also when they are under another.
    Passphrase(Passphrase),
    Plain,
}

impl Keys {
    /// [`protect`](Self::protect) for a program that goes on with them: all its clones find them at the new place.
    ///
    /// # Errors
    /// As `protect`.
    pub fn move_to(&self, keeping: &Keeping, to: Protect, rng: &mut dyn rand::CryptoRng) -> Result<KeysKept> {
        let moved = self.clone().protect(keeping, to, rng)?;
        let kept = moved.kept();
        if let Some(new) = Arc::into_inner(moved.0) {
            let place = new.place.into_inner().unwrap_or_else(PoisonError::into_inner);
            let held = new.held.into_inner().unwrap_or_else(PoisonError::into_inner);
            *self.0.place.write().unwrap_or_else(PoisonError::into_inner) = place;
            *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = held;
        }
        Ok(kept)
    }

    /// Moves the private keys, and opens them at their new place.
    ///
    /// # Errors
    /// `KeyUnavailable` when the new place does not take them, and then they are where they were; `WrongState` when another
    /// process moved them; `InvalidInput` for the system's store under `FORGE_HOME`.
    pub fn protect(self, keeping: &Keeping, to: Protect, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        let (folder, names) = (self.0.folder.clone(), KeyName::LAPTOP);
        if matches!(to, Protect::Os) && !keeping.os {
            return Err(not_os());
        }
        let lock = opening::lock(&folder)?;
        let record = self.still_here()?;
        if record.leaving.is_some() {
            return Err(unusable("leftover", "What the last move left behind could not be removed yet.")
                .hint("`forge keys` says where it is; unlock that place, then try again."));
        }
        let seeds = self.place().vault.load(&names)?;
        if let Some(name) = names.iter().find(|name| !seeds.contains_key(name)) {
            return Err(super::missing(*name));
        }
        let limit = keeping.limit();
        let (kept, source): (Kept, Source) = match to {
            Protect::Os => {
                let keys = opening::fingerprints(&seeds);
                // The same for each try, so that one that was cut off leaves no second copy.
                let id = keys.get(&KeyName::Learner).cloned().unwrap_or_default();
                Os { id: id.clone(), limit }.save(&seeds)?;
                (Kept::Os { id, keys }, Source::default())
            }
            Protect::Passphrase(passphrase) => {
                Encrypted::new(&folder, passphrase.clone()).write(&seeds)?;
                (Kept::Passphrase {}, Source::given(passphrase))
            }
            Protect::Plain => {
                Files(folder.clone()).save(&seeds)?;
                (Kept::Plain { why: None }, Source::default())
            }
        };
        fault::point("keys.move.written");
        // By a reader that has seen nothing of the writing.
        let passphrase = if kept == (Kept::Passphrase {}) { Some(source.get()?) } else { None };
        let vault = kept.vault(&folder, passphrase.clone(), limit)?;
        if vault.load(&names)? != seeds {
            return Err(Error::internal("the keys' new place does not hold what it was given"));
        }
        if !kept.same_place(&record.kept) {
            let record = Record::new(kept, Some(record.kept));
            record.write(&folder)?;
            fault::point("keys.move.switched");
            let rotations = super::rotation::read(&folder)?;
            let mut opened = Opened { vault, record, passphrase, seeds, rotations };
            // They are moved; what could not be removed is told by `kept`, and each opening tries again.
            if let Err(e) = opening::leave(&folder, &names, &mut opened) {
                tracing::warn!("the keys were moved, and a copy of before is left: {}", e.message);
            }
        }
        drop(lock);
        let keeping = Keeping { passphrase: source, ..keeping.clone() };
        Self::open_with(folder, &names, &keeping, rng)
    }
}
