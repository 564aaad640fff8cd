//! The operating system's secret store: Secret Service over D-Bus, macOS Keychain, Windows Credential Manager. It may be dead, locked
//! or waiting for a person, and its library would wait with it: so each question has a thread and a time of its own.

use super::vault::{Seeds, Vault};
use super::{KeyName, unusable};
use crate::error::{Error, Result};
use keyring_core::CredentialStore;
use keyring_core::Error as StoreError;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use zeroize::Zeroizing;

const SERVICE: &str = "FrostGate Forge";
/// All that a start may lose to a store that does not answer.
pub(super) const LIMIT: Duration = Duration::from_secs(2);
/// For a person who unlocks it.
pub(super) const PATIENT: Duration = Duration::from_secs(120);

pub(super) struct Os {
    /// Tells the entries of several data folders apart.
    pub id: String,
    pub limit: Duration,
}

impl Os {
    /// A new connection each time: one to a store that was restarted since is of no use.
    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CredentialStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T> {
        let (send, receive) = mpsc::sync_channel(1);
        std::thread::Builder::new().name("secret store".into()).spawn(move || {
            let answer = store().and_then(|store| work(store.as_ref()));
            // Nobody waits any more when it took too long.
            let _ = send.send(answer);
        })?;
        match receive.recv_timeout(self.limit) {
            Ok(answer) => answer.map_err(worded),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(silent(self.limit)),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                Err(unlock(unusable("store_failed", "This system's secret store failed while it was asked.")))
            }
        }
    }

    fn user(&self, name: KeyName) -> String {
        format!("{} {}", name.word(), self.id)
    }
}

impl Vault for Os {
    fn load(&self, names: &[KeyName]) -> Result<Seeds> {
        let users: Vec<(KeyName, String)> = names.iter().map(|name| (*name, self.user(*name))).collect();
        let found = self.ask(move |store| {
            let mut found = Vec::new();
            for (name, user) in users {
                match store.build(SERVICE, &user, None)?.get_secret() {
                    Ok(secret) => found.push((name, Zeroizing::new(secret))),
                    Err(StoreError::NoEntry) => {}
                    Err(e) => return Err(e),
                }
            }
            Ok(found)
        })?;
        let mut seeds = Seeds::new();
        for (name, secret) in found {
            let seed: [u8; 32] = secret.as_slice().try_into().map_err(|_| {
                unusable(
                    "damaged",
                    format!("This system's secret store holds something else as the {} key.", name.word()),
                )
            })?;
            seeds.insert(name, Zeroizing::new(seed));
        }
        Ok(seeds)
    }

    fn save(&self, seeds: &Seeds) -> Result<()> {
        let rows: Vec<_> = seeds.iter().map(|(name, seed)| (self.user(*name), seed.clone())).collect();
        let same = self.ask(move |store| {
            for (user, seed) in rows {
                let entry = store.build(SERVICE, &user, None)?;
                entry.set_secret(seed.as_slice())?;
                if *Zeroizing::new(entry.get_secret()?) != seed.as_slice() {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        if same {
            Ok(())
        } else {
            Err(unusable("store_failed", "This system's secret store does not hold what it was given."))
        }
    }

    fn remove(&self, names: &[KeyName]) -> Result<()> {
        let users: Vec<String> = names.iter().map(|name| self.user(*name)).collect();
        self.ask(move |store| {
            users.iter().try_for_each(|user| match store.build(SERVICE, user, None)?.delete_credential() {
                Ok(()) | Err(StoreError::NoEntry) => Ok(()),
                Err(e) => Err(e),
            })
        })
    }
}

fn store() -> Result<Arc<CredentialStore>, StoreError> {
    #[cfg(target_os = "macos")]
    let store = apple_native_keyring_store::keychain::Store::new()?;
    #[cfg(windows)]
    let store = windows_native_keyring_store::Store::new()?;
    #[cfg(all(unix, not(target_os = "macos")))]
    let store = zbus_secret_service_keyring_store::Store::new()?;
    Ok(store)
}

fn silent(limit: Duration) -> Error {
    unlock(unusable(
        "store_silent",
        format!("This system's secret store did not answer within {} s; it may be locked.", limit.as_secs_f32()),
    ))
}

fn unlock(e: Error) -> Error {
    e.hint("Unlock it (log in to your desktop, or open its password manager), then try again; `forge keys unlock` waits two minutes for you.")
}

/// The library's words, without what it may have attached of a secret.
fn worded(e: StoreError) -> Error {
    match e {
        StoreError::NoStorageAccess(why) => {
            unlock(unusable("store_locked", format!("This system's secret store is locked or has no keyring: {why}.")))
        }
        StoreError::PlatformFailure(why) => {
            unusable("store_failed", format!("This system's secret store cannot be used: {why}."))
                .hint("On Linux it is the Secret Service of your desktop session (GNOME Keyring, KWallet, KeePassXC).")
        }
        StoreError::Ambiguous(_) => {
            unusable("store_failed", "This system's secret store has several entries for one key.")
                .hint("Open its password manager and look under “FrostGate Forge”.")
        }
        other => unusable("store_failed", format!("This system's secret store cannot be used: {}.", named(&other))),
    }
}

fn named(e: &StoreError) -> &'static str {
    match e {
        StoreError::BadEncoding(_) | StoreError::BadDataFormat(..) | StoreError::BadStoreFormat(_) => "it is damaged",
        StoreError::NoEntry => "an entry is gone",
        StoreError::TooLong(..) | StoreError::Invalid(..) | StoreError::NotSupportedByStore(_) => {
            "it refused the entry"
        }
        _ => "it gave no reason that is known here",
    }
}
