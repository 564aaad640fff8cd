//! Opening a folder's keys: who is asked, what is made, and what is never replaced silently.

use super::kept::{Keeping, Kept, Record};
use super::passphrase::Passphrase;
use super::public::PublicKey;
use super::rotation::{self, Rotation};
use super::vault::{Files, Seed, Seeds, Vault};
use super::{KeyName, unusable};
use crate::api::KeyPlace;
use crate::error::{Code, Error, Result};
use crate::fault;
use ed25519_dalek::SigningKey;
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

pub(super) struct Opened {
    pub vault: Box<dyn Vault>,
    pub record: Record,
    pub passphrase: Option<Passphrase>,
    pub seeds: Seeds,
    pub rotations: Vec<Rotation>,
}

pub(super) fn open(
    folder: &Path,
    names: &[KeyName],
    keeping: &Keeping,
    rng: &mut dyn rand::CryptoRng,
) -> Result<Opened> {
    make_folder(folder)?;
    // A person is asked, and a store that may be silent, before the lock is taken: nobody waits for what another waits for.
    let before = Record::read(folder, names)?;
    let passphrase = match before.as_ref().map(|r| &r.kept) {
        Some(Kept::Passphrase {}) => Some(keeping.passphrase.get()?),
        None if keeping.first == Some(KeyPlace::Passphrase) => Some(keeping.passphrase.get()?),
        _ => None,
    };
    let begun = |record: &Record| matches!(&record.kept, Kept::Os { keys, .. } if keys.is_empty());
    let ahead = match &before {
        Some(record) if matches!(record.kept, Kept::Os { .. }) && !begun(record) => {
            Some(record.kept.vault(folder, None, keeping.limit())?.load(names)?)
        }
        _ => None,
    };
    let _lock = lock(folder)?;
    let rotations = rotation::read(folder)?;
    let known = Record::read(folder, names)?;
    let mut opened = match known {
        Some(record) if !begun(&record) => {
            let vault = record.kept.vault(folder, passphrase.clone(), keeping.limit())?;
            let seeds = match ahead {
                // No other process has put anything there since.
                Some(seeds) if before.as_ref() == Some(&record) => seeds,
                _ => vault.load(names)?,
            };
            Opened { vault, record, passphrase, seeds, rotations }
        }
        record => first(folder, names, keeping, passphrase, record, rng)?,
    };
    complete(folder, names, &mut opened, rng)?;
    if opened.record.leaving.is_some()
        && let Err(e) = leave(folder, names, &mut opened)
    {
        tracing::warn!(code = ?e.code, "what a move of the keys left behind is still there: {}", e.message);
    }
    Ok(opened)
}

/// Decides where new keys go.
fn first(
    folder: &Path,
    names: &[KeyName],
    keeping: &Keeping,
    passphrase: Option<Passphrase>,
    begun: Option<Record>,
    rng: &mut dyn rand::CryptoRng,
) -> Result<Opened> {
    let rotations = rotation::read(folder)?;
    let (mut why, written) = (None, begun.is_some());
    let os = match keeping.first {
        Some(place) => place == KeyPlace::Os,
        None => keeping.os,
    };
    if os {
        match first_in_store(folder, names, begun, keeping.limit(), rng) {
            Ok((record, vault, seeds)) => return Ok(Opened { vault, record, passphrase, seeds, rotations }),
            Err(e) if keeping.first.is_some() => return Err(e),
            Err(e) => {
                tracing::warn!("the keys are made as plain files: {}", e.message);
                why = Some(e.message);
            }
        }
    }
    let kept = if keeping.first == Some(KeyPlace::Passphrase) { Kept::Passphrase {} } else { Kept::Plain { why } };
    let record = Record::new(kept, None);
    let vault = record.kept.vault(folder, passphrase.clone(), keeping.limit())?;
    let mut seeds = Seeds::new();
    if record.kept == (Kept::Passphrase {}) {
        // Whole or not there: this kind is one file.
        seeds = names.iter().map(|name| (*name, draw(rng))).collect();
        vault.save(&seeds)?;
    }
    if written || record.kept != (Kept::Plain { why: None }) {
        record.write(folder)?;
    }
    Ok(Opened { vault, record, passphrase, seeds, rotations })
}

fn first_in_store(
    folder: &Path,
    names: &[KeyName],
    begun: Option<Record>,
    limit: Duration,
    rng: &mut dyn rand::CryptoRng,
) -> Result<(Record, Box<dyn Vault>, Seeds)> {
    let id = match begun.map(|r| r.kept) {
        Some(Kept::Os { id, .. }) => id,
        _ => hex::encode(draw(rng).get(..8).unwrap_or_default()),
    };
    // Two questions in the time that one start may lose.
    let halved = |keys| (Kept::Os { id: id.clone(), keys }).vault(folder, None, limit / 2);
    let vault = halved(Default::default())?;
    let mut seeds = vault.load(names)?;
    // Before anything is put there: so that a next start finds it again.
    Record::new(Kept::Os { id: id.clone(), keys: Default::default() }, None).write(folder)?;
    fault::point("keys.make.begun");
    for name in names {
        seeds.entry(*name).or_insert_with(|| draw(rng));
    }
    vault.save(&seeds)?;
    fault::point("keys.make.saved");
    let record = Record::new(Kept::Os { id: id.clone(), keys: fingerprints(&seeds) }, None);
    record.write(folder)?;
    let vault = record.kept.vault(folder, None, limit)?;
    Ok((record, vault, seeds))
}

/// Makes what was never there; refuses what was there and is not, or is another.
fn complete(folder: &Path, names: &[KeyName], opened: &mut Opened, rng: &mut dyn rand::CryptoRng) -> Result<()> {
    let mut fresh = Seeds::new();
    for &name in names {
        let told = match &opened.record.kept {
            Kept::Os { keys, .. } => keys.get(&name),
            _ => None,
        };
        match (opened.seeds.get(&name), told) {
            (Some(seed), Some(told)) if !belongs(name, told, seed, &opened.rotations) => {
                return Err(lost(
                    folder,
                    "store_changed",
                    format!(
                        "This system's secret store holds another {} key than the one that was put there.",
                        name.word()
                    ),
                ));
            }
            (None, Some(_)) => {
                return Err(lost(
                    folder,
                    "store_lost",
                    format!("The {} key is no longer in this system's secret store.", name.word()),
                ));
            }
            (None, None) => {
                fresh.insert(name, draw(rng));
            }
            (Some(_), _) => {}
        }
    }
    if !fresh.is_empty() {
        opened.vault.save(&fresh)?;
        opened.seeds.append(&mut fresh);
    }
    if let Kept::Os { keys, .. } = &mut opened.record.kept {
        let now = fingerprints(&opened.seeds);
        if *keys != now {
            *keys = now;
            opened.record.write(folder)?;
        }
    }
    Ok(())
}

/// The key that was written down, or one that a rotation leads to or from: a crash may have come between its steps.
fn belongs(name: KeyName, told: &str, seed: &Seed, rotations: &[Rotation]) -> bool {
    let id = PublicKey::of(&SigningKey::from_bytes(seed)).id();
    id == told || rotations.iter().any(|r| r.name == name && (r.old == id || r.new == id))
}

fn lost(folder: &Path, kind: &str, message: String) -> Error {
    unusable(kind, message)
        .hint("Restore the entry “FrostGate Forge” in its password manager, or the keyring from a backup.")
        .hint(format!(
            "If it is gone for good, move {} away: new keys are made, results so far stay valid, but the old key cannot vouch for the new one.",
            folder.display()
        ))
}

/// Takes away what a move has left at the old place: only what is known to be here.
pub(super) fn leave(folder: &Path, names: &[KeyName], opened: &mut Opened) -> Result<()> {
    let Some(old) = opened.record.leaving.clone() else { return Ok(()) };
    if let Some(name) = names.iter().find(|name| !opened.seeds.contains_key(name)) {
        return Err(Error::internal(format!("the {} key did not arrive", name.word())));
    }
    match &old {
        Kept::Plain { .. } => {
            let files = Files(folder.to_owned());
            for (name, seed) in files.load(names)? {
                if opened.seeds.get(&name) != Some(&seed) {
                    return Err(Error::new(
                        Code::WrongState,
                        format!("{}.pem in {} is not the key in use, so it stays.", name.word(), folder.display()),
                    )
                    .hint("Move it to where you keep what must not be lost."));
                }
                files.remove(&[name])?;
                fault::point("keys.move.first");
            }
        }
        Kept::Passphrase {} => super::vault::remove(&folder.join(super::encrypted::FILE))?,
        Kept::Os { .. } => old.vault(folder, None, super::os::LIMIT)?.remove(names)?,
    }
    fault::point("keys.move.removed");
    opened.record.leaving = None;
    opened.record.write(folder)
}

pub(super) fn fingerprints(seeds: &Seeds) -> std::collections::BTreeMap<KeyName, String> {
    seeds.iter().map(|(name, seed)| (*name, PublicKey::of(&SigningKey::from_bytes(seed)).id())).collect()
}

pub(super) fn draw(rng: &mut dyn rand::CryptoRng) -> Seed {
    let mut seed = Zeroizing::new([0u8; 32]);
    rng.fill_bytes(seed.as_mut());
    seed
}

fn make_folder(folder: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(folder).map_err(|e| Error::from(e).context(format!("Making {}", folder.display())))
}

/// Two processes must not both make, move or rotate keys. Held until dropped; of what waits for a person, only a move into a
/// locked store does so with it.
pub(super) fn lock(folder: &Path) -> Result<std::fs::File> {
    const LONGEST: Duration = Duration::from_secs(20);
    let path = folder.join(".lock");
    let doing = |e: std::io::Error| Error::from(e).context(format!("Locking {}", path.display()));
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(doing)?;
    let until = Instant::now() + LONGEST;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::Error(e)) => return Err(doing(e)),
            Err(std::fs::TryLockError::WouldBlock) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(5))
            }
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(Error::new(
                    Code::Timeout,
                    "Another process of this program has held your keys for too long.",
                )
                .hint("End it, then try again."));
            }
        }
    }
}
