//! An engine that may have to wait for a passphrase: opened at once where the keys open, and else as soon as somebody unlocks
//! them. Until then nothing of this installation is told but where its keys are.

use super::{Forge, Options, lock};
use crate::api::{KeysStatus, UnlockKeys};
use crate::error::{Code, Error, Result};
use crate::keys::{Keeping, Keys, Passphrase, Source};
use crate::shell::{Host, Shellable};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// A wrong passphrase holds the next one up for a second, the one after it for two, and never longer than this.
const SLOWEST: Duration = Duration::from_secs(30);

pub struct Opening {
    options: Options,
    engine: OnceCell<Arc<Forge>>,
    /// Known to be locked: they are not tried again for each call, only when somebody unlocks them.
    locked: Mutex<bool>,
    guesses: tokio::sync::Mutex<Guesses>,
}

/// Wrong passphrases in a row.
#[derive(Default)]
pub(super) struct Guesses {
    wrong: u32,
    next: Option<Instant>,
}

impl Guesses {
    fn left(&self) -> Duration {
        self.next.map_or(Duration::ZERO, |at| at.saturating_duration_since(Instant::now()))
    }

    /// # Errors
    /// `KeyUnavailable` (`too_soon`) when the last wrong one is not long enough ago.
    pub fn may(&self) -> Result<()> {
        let left = self.left();
        if left.is_zero() { Ok(()) } else { Err(too_soon(left)) }
    }

    pub fn right(&mut self) {
        *self = Self::default();
    }

    /// The same error, with when the next one may be tried.
    pub fn wrong(&mut self, error: Error) -> Error {
        let pause = Duration::from_secs(1 << self.wrong.min(5)).min(SLOWEST);
        self.wrong = self.wrong.saturating_add(1);
        self.next = Some(Instant::now() + pause);
        error.details(serde_json::json!({"kind": "passphrase_wrong", "wait_ms": millis(pause)}))
    }
}

impl Opening {
    pub fn new(options: Options) -> Self {
        Self { options, engine: OnceCell::new(), locked: Mutex::new(false), guesses: tokio::sync::Mutex::default() }
    }

    async fn open(&self, keys: Keeping) -> Result<Arc<Forge>> {
        let opened = self
            .engine
            .get_or_try_init(|| Forge::open(Options { keys: keys.clone(), ..self.options.clone() }))
            .await
            .cloned();
        *lock(&self.locked) = opened.as_ref().err().is_some_and(waits);
        opened
    }

    pub async fn shutdown(&self) {
        if let Some(engine) = self.engine.get() {
            engine.shutdown().await;
        }
    }
}

#[async_trait]
impl Host for Opening {
    async fn engine(&self) -> Result<Arc<dyn Shellable>> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine.clone());
        }
        if *lock(&self.locked) {
            return Err(locked());
        }
        match self.open(self.options.keys.clone()).await {
            Ok(engine) => Ok(engine),
            Err(e) if waits(&e) => {
                tracing::info!("the keys are locked: {}", e.message);
                Err(locked())
            }
            Err(e) => Err(e),
        }
    }

    async fn keys_status(&self) -> Result<KeysStatus> {
        let wait = self.guesses.try_lock().map_or(Duration::ZERO, |g| g.left());
        Ok(KeysStatus {
            locked: true,
            kept: Keys::look(&self.options.home, &self.options.keys)?,
            os: self.options.keys.os,
            wait_ms: millis(wait),
            keys: Vec::new(),
        })
    }

    async fn unlock(&self, request: UnlockKeys) -> Result<KeysStatus> {
        // One at a time: many at once would be many guesses for one pause.
        let Ok(mut guesses) = self.guesses.try_lock() else { return Err(too_soon(Duration::from_secs(1))) };
        guesses.may()?;
        let mut keys = Keeping { patient: true, ..self.options.keys.clone() };
        if let Some(text) = request.passphrase {
            let mut passphrase = Passphrase::new(text.into_text())?;
            if Keys::look(&self.options.home, &keys)?.is_none() {
                passphrase = passphrase.worth_having()?;
            }
            keys.passphrase = Source::given(passphrase);
        }
        match self.open(keys).await {
            Ok(engine) => {
                guesses.right();
                engine.keys_state()
            }
            Err(e) if kind(&e) == Some("passphrase_wrong") => {
                // It stays locked, whatever was known of it before.
                *lock(&self.locked) = true;
                Err(guesses.wrong(e))
            }
            Err(e) => Err(e),
        }
    }
}

fn kind(e: &Error) -> Option<&str> {
    e.details.get("kind").and_then(serde_json::Value::as_str).filter(|_| e.code == Code::KeyUnavailable)
}

/// For a person, and not for something to be mended.
fn waits(e: &Error) -> bool {
    matches!(kind(e), Some("passphrase_needed" | "store_locked" | "store_silent"))
}

fn locked() -> Error {
    Error::new(Code::KeysLocked, "Your keys are locked, and nothing here goes on without them.")
        .hint("Unlock them in the app, or call `unlock_keys`.")
}

fn too_soon(left: Duration) -> Error {
    Error::new(Code::KeyUnavailable, "The next passphrase can be tried in a moment.")
        .hint("After a wrong one there is a pause, which grows.")
        .details(serde_json::json!({"kind": "too_soon", "wait_ms": millis(left)}))
}

fn millis(d: Duration) -> u32 {
    u32::try_from(d.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::api::Caller;
    use crate::keys::Protect;
    use crate::shell;

    const GOOD: &str = "four words of mine";

    fn at(home: &std::path::Path) -> Opening {
        Opening::new(Options {
            home: home.to_owned(),
            shell: "serve".into(),
            labs: None,
            keep: false,
            keeper: Vec::new(),
            egress: Default::default(),
            keys: Keeping::default(),
        })
    }

    fn phrase(text: &str) -> Passphrase {
        Passphrase::new(text.to_owned().into()).unwrap()
    }

    fn protected() -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        let mut rng = rand::rng();
        let keys = Keys::open(home.path(), &mut rng).unwrap();
        keys.protect(&Keeping::default(), Protect::Passphrase(phrase(GOOD)), &mut rng).unwrap();
        home
    }

    async fn ask(host: &Opening, name: &str, args: serde_json::Value) -> Result<serde_json::Value> {
        shell::ask(host, &Caller { correlation: "c".into(), instructor: true }, name, args).await
    }

    #[tokio::test(start_paused = true)]
    async fn locked_keys_answer_two_commands_and_open_with_the_passphrase() {
        let home = protected();
        let host = at(home.path());
        for name in ["list_labs", "about", "get_settings", "protect_keys", "rotate_key"] {
            let e = ask(&host, name, serde_json::json!({})).await.unwrap_err();
            assert_eq!(e.code, Code::KeysLocked, "{name}");
            assert!(!e.hints.is_empty());
        }
        let told = ask(&host, "keys_status", serde_json::Value::Null).await.unwrap();
        assert_eq!((&told["locked"], &told["kept"]["place"]), (&true.into(), &"passphrase".into()));
        let nobody = ask(&host, "unlock_keys", serde_json::json!({})).await.unwrap_err();
        assert_eq!(kind(&nobody), Some("passphrase_needed"));
        // Wrong ones: a pause that grows, and no answer within it, not even to the right one.
        for pause in [1000, 2000, 4000] {
            let wrong = serde_json::json!({"passphrase": "four words of yours"});
            let e = ask(&host, "unlock_keys", wrong).await.unwrap_err();
            assert_eq!((kind(&e), &e.details["wait_ms"]), (Some("passphrase_wrong"), &pause.into()));
            let e = ask(&host, "unlock_keys", serde_json::json!({"passphrase": GOOD})).await.unwrap_err();
            assert_eq!(kind(&e), Some("too_soon"));
            assert!(ask(&host, "keys_status", serde_json::json!({})).await.unwrap()["wait_ms"].as_u64().unwrap() > 0);
            tokio::time::advance(Duration::from_millis(pause)).await;
        }
        let told = ask(&host, "unlock_keys", serde_json::json!({"passphrase": GOOD})).await.unwrap();
        assert_eq!((&told["locked"], told["keys"].as_array().unwrap().len()), (&false.into(), 3));
        assert!(ask(&host, "list_labs", serde_json::json!({})).await.unwrap().as_array().unwrap().len() >= 3);
        // Again, when it is open: nothing to do, and nothing wrong.
        let told = ask(&host, "unlock_keys", serde_json::json!({"passphrase": "x"})).await.unwrap();
        assert_eq!(told["locked"], false);
        host.shutdown().await;
    }

    #[tokio::test]
    async fn what_was_sent_as_a_passphrase_is_in_no_error() {
        let home = protected();
        let host = at(home.path());
        for args in [
            serde_json::json!({"passphrase": 83_118_465}),
            serde_json::json!({"passphrase": ["83118465"]}),
            serde_json::json!("83118465"),
            serde_json::json!({"passphrase": "83118465"}),
        ] {
            let e = ask(&host, "unlock_keys", args).await.unwrap_err();
            assert!(!serde_json::to_string(&e).unwrap().contains("83118465"), "{e:?}");
        }
        let request: UnlockKeys = serde_json::from_value(serde_json::json!({"passphrase": "83118465"})).unwrap();
        assert!(!format!("{request:?}").contains("83118465"));
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_moved_and_changed_while_the_engine_is_open() {
        let home = protected();
        let host = at(home.path());
        // Known to be locked before they are moved: what another program did counts at the next attempt.
        ask(&host, "keys_status", serde_json::json!({})).await.unwrap();
        ask(&host, "unlock_keys", serde_json::json!({"passphrase": GOOD})).await.unwrap();
        let id = |told: &serde_json::Value| told["keys"][0]["id"].as_str().unwrap().to_owned();
        let before = id(&ask(&host, "keys_status", serde_json::json!({})).await.unwrap());
        let other = "other words of mine";
        // Whoever finds the app open cannot take them out from under the passphrase.
        for current in [serde_json::Value::Null, "four words of yours".into()] {
            let wish = serde_json::json!({"to": "plain", "current": current});
            let e = ask(&host, "protect_keys", wish).await.unwrap_err();
            assert_eq!(kind(&e), Some("passphrase_wrong"));
            tokio::time::advance(SLOWEST).await;
        }
        let short = serde_json::json!({"to": "passphrase", "passphrase": "short", "current": GOOD});
        assert_eq!(ask(&host, "protect_keys", short).await.unwrap_err().code, Code::InvalidInput);
        let os = serde_json::json!({"to": "os", "current": GOOD});
        assert_eq!(ask(&host, "protect_keys", os).await.unwrap_err().code, Code::InvalidInput);
        let wish = serde_json::json!({"to": "passphrase", "passphrase": other, "current": GOOD});
        ask(&host, "protect_keys", wish).await.unwrap();
        let opens = |text: &str| {
            let keeping = Keeping { passphrase: Source::given(phrase(text)), ..Keeping::default() };
            Keys::open_kept(home.path(), &keeping, &mut rand::rng()).is_ok()
        };
        assert!(opens(other) && !opens(GOOD));
        // Rotated by the same process, which has moved with them.
        let rotated = ask(&host, "rotate_key", serde_json::json!({"name": "learner"})).await.unwrap();
        assert_eq!((rotated["old"].as_str(), &rotated["board"]), (Some(before.as_str()), &"not_needed".into()));
        let told = ask(&host, "protect_keys", serde_json::json!({"to": "plain", "current": other})).await.unwrap();
        assert_eq!((&told["kept"]["place"], &told["keys"][0]["before"]), (&"plain".into(), &1.into()));
        assert_eq!(Some(id(&told).as_str()), rotated["new"].as_str());
        let e = ask(&host, "protect_keys", serde_json::json!({"to": "plain"})).await.unwrap_err();
        assert_eq!(e.code, Code::WrongState);
        let audit = ask(&host, "list_audit", serde_json::json!({})).await.unwrap().to_string();
        assert!(audit.contains("keys.protect") && audit.contains("keys.rotate"), "{audit}");
        assert!(!audit.contains(other) && !audit.contains(GOOD));
        host.shutdown().await;
    }
}
