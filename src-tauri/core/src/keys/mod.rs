//! Key pairs: made on first use, rotated with the old key vouching for the new, used through domains that keep one
//! kind of signature from passing as another. This room knows nothing of what it signs.

mod derived;
mod encrypted;
mod kept;
mod opening;
mod os;
mod passphrase;
mod portable;
mod protect;
mod public;
mod rotation;
mod vault;

pub use derived::ed25519_public;
pub use kept::Keeping;
pub use passphrase::{Passphrase, Source};
pub use portable::{Portable, system_rng};
pub use protect::Protect;
pub use public::{DSSE_PREFIX, Domain, NOTE_PREFIX, PublicKey};
pub use rotation::Rotation;

use crate::api::KeysKept;
use crate::error::{Code, Error, Result};
use crate::fault;
use ed25519_dalek::{Signer, SigningKey};
use kept::Record;
use opening::{Opened, draw};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use vault::{Seeds, Vault};
use zeroize::Zeroizing;

/// Whose key, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyName {
    /// Verdicts and audit checkpoints: says that this learner's installation made them.
    Learner,
    /// Spawn tokens, and nothing else.
    Spawn,
    /// Lock files of the labs that are made on this machine.
    Catalogue,
    /// Receipts and challenges of a scoreboard. No laptop has one.
    Board,
}

impl KeyName {
    const LAPTOP: [Self; 3] = [Self::Learner, Self::Spawn, Self::Catalogue];
    const SCOREBOARD: [Self; 1] = [Self::Board];

    pub fn named(word: &str) -> Option<Self> {
        Self::LAPTOP.into_iter().chain(Self::SCOREBOARD).find(|name| name.word() == word)
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Learner => "learner",
            Self::Spawn => "spawn",
            Self::Catalogue => "catalogue",
            Self::Board => "board",
        }
    }
}

/// The keys of one data folder; clones share them. Signing takes about 20 µs and needs no I/O.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    names: Vec<KeyName>,
    place: RwLock<Place>,
    held: RwLock<Held>,
}

/// Where they lie, as they were opened or moved last.
struct Place {
    vault: Box<dyn Vault>,
    record: Record,
    kept: KeysKept,
    passphrase: Option<Passphrase>,
}

struct Held {
    current: BTreeMap<KeyName, Pair>,
    rotations: Vec<Rotation>,
}

struct Pair {
    key: SigningKey,
    /// Of the public half: a scoreboard names it in each receipt.
    id: String,
}

impl Pair {
    fn of(key: SigningKey) -> Self {
        let id = PublicKey::of(&key).id();
        Self { key, id }
    }
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("folder", &self.0.folder).finish_non_exhaustive()
    }
}

impl Keys {
    /// Opens the keys in `<home>/keys`, making those that are missing from `rng`; new ones as plain files, nobody is asked anything.
    /// Blocking, a few milliseconds. `KeyUnavailable` when a key is there but cannot be used; it is never replaced silently.
    pub fn open(home: &Path, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        Self::open_kept(home, &Keeping::default(), rng)
    }

    /// Like [`open`](Self::open), with what a shell decides. Blocking: two seconds at most for a secret store, some 0.2 s for a
    /// passphrase, and as long as the person takes who is asked for it.
    pub fn open_kept(home: &Path, keeping: &Keeping, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        Self::open_with(home.join("keys"), &KeyName::LAPTOP, keeping, rng)
    }

    /// Like [`open`](Self::open), for a scoreboard's data folder: its one key and no laptop's.
    pub fn open_board(data: &Path, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        Self::open_with(data.join("keys"), &KeyName::SCOREBOARD, &Keeping::default(), rng)
    }

    /// Whether a scoreboard's key lies in its data folder. Makes nothing.
    pub fn board_is_there(data: &Path) -> Result<bool> {
        let folder = data.join("keys");
        // Elsewhere than in a plain file it is only by what is written down about it.
        Ok(match Record::read(&folder, &KeyName::SCOREBOARD)? {
            Some(record) if matches!(record.kept, kept::Kept::Plain { .. }) => {
                vault::Files(folder).any(&KeyName::SCOREBOARD)
            }
            found => found.is_some(),
        })
    }

    fn open_with(folder: PathBuf, names: &[KeyName], keeping: &Keeping, rng: &mut dyn rand::CryptoRng) -> Result<Self> {
        let Opened { vault, record, passphrase, seeds, rotations } = opening::open(&folder, names, keeping, rng)?;
        let current = seeds.iter().map(|(name, seed)| (*name, Pair::of(SigningKey::from_bytes(seed)))).collect();
        let kept = record.told(&folder, keeping.os);
        let held = RwLock::new(Held { current, rotations });
        let place = RwLock::new(Place { vault, record, kept, passphrase });
        Ok(Self(Arc::new(Inner { folder, names: names.to_vec(), place, held })))
    }

    /// How the keys below `home` are kept, without opening them; None = there are none yet.
    pub fn look(home: &Path, keeping: &Keeping) -> Result<Option<KeysKept>> {
        let folder = home.join("keys");
        Ok(Record::read(&folder, &KeyName::LAPTOP)?.map(|record| record.told(&folder, keeping.os)))
    }

    /// How the private keys are kept here, for the doctor and the settings.
    pub fn kept(&self) -> KeysKept {
        self.place().kept.clone()
    }

    /// What they were opened with, for a process that this one starts.
    pub fn passphrase(&self) -> Option<Passphrase> {
        self.place().passphrase.clone()
    }

    fn place(&self) -> RwLockReadGuard<'_, Place> {
        self.0.place.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn public(&self, name: KeyName) -> Result<PublicKey> {
        self.with(name, PublicKey::of)
    }

    /// The fingerprint of the key in use; see [`PublicKey::id`].
    pub fn id(&self, name: KeyName) -> Result<String> {
        self.pair(name, |pair| pair.id.clone())
    }

    pub fn public_pem(&self, name: KeyName) -> Result<String> {
        Ok(self.public(name)?.pem())
    }

    /// The key in use and all before it, newest first: what this installation ever signed verifies under one.
    pub fn ever(&self, name: KeyName) -> Result<Vec<PublicKey>> {
        let mut keys = vec![self.public(name)?];
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        for rotation in held.rotations.iter().rev().filter(|r| r.name == name) {
            let (old, _) = rotation.checked()?;
            if !keys.contains(&old) {
                keys.push(old);
            }
        }
        Ok(keys)
    }

    /// Whose keys lie here.
    pub fn names(&self) -> Vec<KeyName> {
        self.0.names.clone()
    }

    /// Whether recorded changes lead from the one key to the other (fingerprints), each signed by the key before.
    pub fn vouched(&self, name: KeyName, from: &str, to: &str) -> bool {
        // A change that was cut off leaves a key that was vouched for and never used: the next one begins where it did.
        let mut led_to = vec![from.to_owned()];
        for change in self.rotations().into_iter().filter(|r| r.name == name) {
            if led_to.contains(&change.old) {
                led_to.push(change.new);
            }
        }
        led_to.iter().any(|id| id == to)
    }

    /// Signs under a domain; 64 bytes (RFC 8032).
    pub fn sign(&self, name: KeyName, domain: Domain, bytes: &[u8]) -> Result<[u8; 64]> {
        self.with(name, |key| key.sign(&domain.message(bytes)).to_bytes())
    }

    /// Signs exactly these bytes, which must be a DSSE PAE: its own prefix keeps it apart from all domains.
    pub fn sign_dsse(&self, name: KeyName, pae: &[u8]) -> Result<[u8; 64]> {
        if !pae.starts_with(DSSE_PREFIX) {
            return Err(Error::internal("what was to be signed as DSSE is not a PAE"));
        }
        self.with(name, |key| key.sign(pae).to_bytes())
    }

    /// Signs exactly this text as a C2SP signed note; it must begin with [`NOTE_PREFIX`] and end with a newline.
    pub fn sign_note(&self, name: KeyName, text: &str) -> Result<[u8; 64]> {
        if !text.starts_with(NOTE_PREFIX) || !text.ends_with('\n') {
            return Err(Error::internal("what was to be signed as a note is not one of ours"));
        }
        self.with(name, |key| key.sign(text.as_bytes()).to_bytes())
    }

    /// Seed and public key of the spawn key, for the PASETO library, which signs by itself. No other key has this way
    /// out, so that none can be used under PASETO and under a domain.
    pub(crate) fn spawn_pair(&self) -> Result<Zeroizing<[u8; 64]>> {
        self.with(KeyName::Spawn, |key| Zeroizing::new(key.to_keypair_bytes()))
    }

    /// Replaces a key. The old one signs the new one, its public half stays for verification.
    pub fn rotate(&self, name: KeyName, at: i64, rng: &mut dyn rand::CryptoRng) -> Result<Rotation> {
        let _lock = opening::lock(&self.0.folder)?;
        let mut record = self.still_here()?;
        let place = self.place();
        let stored = place.vault.load(&self.0.names)?;
        let old = SigningKey::from_bytes(stored.get(&name).ok_or_else(|| missing(name))?);
        let seed = draw(rng);
        let new = SigningKey::from_bytes(&seed);
        let rotation = Rotation::make(name, at, &old, &new);
        // The record first: a crash between the two leaves a vouched-for key that was never used, not a key
        // nobody vouches for.
        let mut rotations = rotation::read(&self.0.folder)?;
        rotations.push(rotation.clone());
        rotation::write(&self.0.folder, &rotations)?;
        fault::point("keys.rotate.recorded");
        place.vault.save(&Seeds::from([(name, seed)]))?;
        fault::point("keys.rotate.saved");
        if let kept::Kept::Os { keys, .. } = &mut record.kept {
            keys.insert(name, rotation.new.clone());
            record.write(&self.0.folder)?;
        }
        let mut held = self.0.held.write().unwrap_or_else(PoisonError::into_inner);
        held.current.insert(name, Pair::of(new));
        held.rotations = rotations;
        Ok(rotation)
    }

    /// What is written down about where the keys are, if that is still where they were opened. Under the lock.
    fn still_here(&self) -> Result<Record> {
        match Record::read(&self.0.folder, &self.0.names)? {
            Some(record) if record.kept.same_place(&self.place().record.kept) => Ok(record),
            _ => Err(Error::new(Code::WrongState, "The keys were moved while this program was open.")
                .hint("Close it and start it again.")),
        }
    }

    /// All changes of key recorded here, oldest first.
    pub fn rotations(&self) -> Vec<Rotation> {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner).rotations.clone()
    }

    fn with<T>(&self, name: KeyName, work: impl FnOnce(&SigningKey) -> T) -> Result<T> {
        self.pair(name, |pair| work(&pair.key))
    }

    fn pair<T>(&self, name: KeyName, work: impl FnOnce(&Pair) -> T) -> Result<T> {
        let held = self.0.held.read().unwrap_or_else(PoisonError::into_inner);
        held.current.get(&name).map(work).ok_or_else(|| missing(name))
    }
}

fn missing(name: KeyName) -> Error {
    unusable("missing", format!("The {} key is not there.", name.word()))
        .hint("Start again; if it was deleted on purpose, a new one is made then.")
}

/// `details.kind` tells the reasons apart.
fn unusable(kind: &str, message: impl Into<String>) -> Error {
    Error::new(Code::KeyUnavailable, message).details(serde_json::json!({ "kind": kind }))
}

#[cfg(test)]
mod tests;
