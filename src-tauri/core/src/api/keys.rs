//! The private keys of this installation: unlocked, moved, changed. What is secret comes in and never goes out.

use super::contract;
use super::machine::{KeyPlace, KeysKept};
use zeroize::Zeroizing;

/// A text that is cleared when it is dropped, and that nothing here can show or write.
#[derive(Clone, ts_rs::TS)]
#[ts(export, export_to = "api.ts", type = "string")]
pub struct Secret(#[ts(skip)] Zeroizing<String>);

impl Secret {
    pub fn into_text(self) -> Zeroizing<String> {
        self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    /// Through any value, so that an error of ours never repeats what was sent.
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(from) {
            Ok(serde_json::Value::String(text)) => Ok(Self(Zeroizing::new(text))),
            _ => Err(serde::de::Error::custom("a passphrase is a text")),
        }
    }
}

/// Not of the `contract!` family: these cannot be written, only read.
#[derive(Clone, Debug, serde::Deserialize, ts_rs::TS)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct UnlockKeys {
    /// None = the system's store was unlocked, or is to ask for it now.
    #[serde(default)]
    pub passphrase: Option<Secret>,
}

#[derive(Clone, Debug, serde::Deserialize, ts_rs::TS)]
#[serde(deny_unknown_fields)]
#[ts(export, export_to = "api.ts")]
pub struct ProtectKeys {
    pub to: KeyPlace,
    /// The new passphrase, when they go under one.
    #[serde(default)]
    pub passphrase: Option<Secret>,
    /// The one they are under now, when they are under one.
    #[serde(default)]
    pub current: Option<Secret>,
}

contract! {
    pub struct KeysStatus {
        /// As long as they are, only `keys_status` and `unlock_keys` are answered.
        pub locked: bool,
        /// None = there are none yet.
        pub kept: Option<KeysKept>,
        /// This system's secret store may take them.
        pub os: bool,
        /// The next passphrase is looked at after this many milliseconds.
        pub wait_ms: u32,
        /// Those in use; empty while they are locked.
        pub keys: Vec<KeyInfo>,
    }

    /// A laptop's three keys.
    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum KeyUse {
        /// Signs verdicts and audit checkpoints.
        Learner,
        /// Signs launch tokens.
        Spawn,
        /// Signs labs and egress profiles that are made here.
        Catalogue,
    }

    pub struct KeyInfo {
        pub name: KeyUse,
        pub id: String,
        /// How many keys it has replaced; what they signed stays good.
        pub before: u32,
    }

    #[serde(deny_unknown_fields)]
    pub struct RotateKey { pub name: KeyUse }

    pub struct KeyRotated {
        pub name: KeyUse,
        /// Fingerprints: the old key signed the new one.
        pub old: String,
        pub new: String,
        pub at: i64,
        /// Whether the scoreboard knows the new key.
        pub board: BoardKnows,
        /// Why it does not; empty when it does or need not.
        pub trouble: String,
    }

    #[derive(Copy, Eq)]
    #[serde(rename_all = "snake_case")]
    pub enum BoardKnows {
        /// There is no scoreboard, or it has nothing to do with this key.
        NotNeeded,
        Told,
        /// It is told before anything is sent to it.
        Later,
    }
}
