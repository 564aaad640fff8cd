//! The façade: every command of the contract, and the order of steps. It names no vendor crate; it decides what
//! happens when, and what a crash leaves to be repaired.
//!
//! Several processes may have one data folder open. What they share is SQLite and Docker's labels; what lives here
//! in memory (live handles, terminals, forwards, jobs) can be lost at any moment without losing the learner's work.

mod acting;
mod attempts;
mod bounds;
mod clock;
mod commands;
mod doctor;
mod egress;
mod follow;
mod gather;
mod governance;
mod grade;
mod handout;
mod isolation;
mod jobs;
mod journal;
mod keep;
mod keeper;
mod launch;
mod library;
mod life;
mod lineage;
mod plan;
mod presence;
mod protect;
mod quota;
mod ready;
mod reexecute;
mod repair;
mod results;
mod session;
#[cfg(test)]
mod sim;
mod solve;
mod standing;
mod steps;
mod streams;
mod submit;
mod sync;
mod unlock;
mod worker;

pub use keep::KeeperEnd;
pub use solve::{Answer, Proof};
pub use unlock::Opening;
pub use worker::{Ending, WorkOptions, Worked};

use crate::api::{Caller, Level};
use crate::engine::outside::Outside;
use crate::engine::{Docker, Engine, Images, Shelf};
use crate::error::{Code, Error, Result};
use crate::keys::{Keeping, Keys};
use crate::lab::{Identity, Live};
use crate::observe::events::Events;
use crate::observe::telemetry::Hub;
use crate::policy::Policy;
use crate::store::{self, Store, runs};
use crate::template::pins::Pins;
use crate::template::scenario::Scenario;
use crate::template::{Catalogue, Sources};
use crate::terminal::Terminals;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use tokio_util::sync::CancellationToken;

use clock::now;

/// What a shell decides for the engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// All data and keys.
    pub home: PathBuf,
    /// `desktop`, `serve` or `cli`.
    pub shell: String,
    /// Labs from this folder instead of the embedded ones; for authors.
    pub labs: Option<PathBuf>,
    /// Keep the runs (timeouts, re-wiring, sweeping) in this process as long as no other does.
    pub keep: bool,
    /// Started when a run begins and nobody keeps: program and arguments of a process that calls [`Forge::keep`].
    pub keeper: Vec<std::ffi::OsString>,
    pub egress: EgressOptions,
    /// How keys are kept, and who is asked for a passphrase.
    pub keys: Keeping,
}

/// What a lab's way out is to know of this machine's network, where looking is not enough.
#[derive(Clone, Debug, Default)]
pub struct EgressOptions {
    /// Whom egress gateways ask for names; empty = this machine's own resolvers.
    pub resolvers: Vec<std::net::Ipv4Addr>,
    /// Networks this machine is on, never open to a lab; None = look.
    pub near: Option<Vec<ipnet::Ipv4Net>>,
}

pub struct Forge {
    me: Weak<Forge>,
    options: Options,
    store: Store,
    keys: Keys,
    policy: Policy,
    /// Read anew when a lab is pinned.
    catalogue: Mutex<Arc<Catalogue>>,
    events: Events,
    engine: Arc<dyn Engine>,
    /// The same Docker, for the controls of isolation probes.
    outside: Arc<dyn Outside>,
    kernel: tokio::sync::OnceCell<Vec<String>>,
    images: Arc<dyn Shelf>,
    terminals: Terminals,
    telemetry: Hub,
    presence: presence::Presence,
    /// Identifies this installation in Docker's labels.
    instance: String,
    jobs: jobs::Jobs,
    live: Mutex<HashMap<String, Arc<Live>>>,
    launches: Mutex<HashMap<String, CancellationToken>>,
    /// A launch of this process has ended, one way or the other.
    settled: tokio::sync::Notify,
    /// Runs whose isolation is being proven here.
    probes: Mutex<HashMap<String, CancellationToken>>,
    /// What starts of this process failed with whose end could not be written down.
    unsaid: Mutex<HashMap<String, Error>>,
    /// Runs this process is about to bring to another state, and how many times over.
    works: Mutex<HashMap<String, usize>>,
    watches: Mutex<HashMap<String, tokio::time::Instant>>,
    forwards: Mutex<HashMap<String, streams::OpenForward>>,
    /// Wakes the keeper before its next turn: a run has just become ready.
    kick: tokio::sync::Notify,
    /// Something was told, so the audit log may have grown.
    happened: Arc<tokio::sync::Notify>,
    /// What runs have taken of the disk, as the keeper saw it last: MiB.
    disk_used: Mutex<HashMap<String, u64>>,
    /// Something waits for the scoreboard that did not before.
    outbox: Arc<tokio::sync::Notify>,
    /// One round of the outbox at a time.
    syncing: tokio::sync::Mutex<()>,
    /// When the clocks were last looked at for the sake of what was refused for its time.
    clock_looked: std::sync::atomic::AtomicI64,
    /// Passphrases that were given to move the keys.
    guesses: tokio::sync::Mutex<unlock::Guesses>,
    /// Boards of sessions that somebody looks at, by the enrolment's token and the session.
    boards: Mutex<HashMap<(String, String), session::Watched>>,
    shutdown: CancellationToken,
}

/// What an engine is made of: rooms that are open already.
struct Parts {
    store: Store,
    instance: String,
    keys: Keys,
    policy: Policy,
    catalogue: Mutex<Arc<Catalogue>>,
    engine: Arc<dyn Engine>,
    outside: Arc<dyn Outside>,
    images: Arc<dyn Shelf>,
}

impl Forge {
    /// Opens the data folder and its keys and loads policies and labs. Docker is not asked yet, so that everything that
    /// needs no container works without it.
    ///
    /// # Errors
    /// `StoreFailed`, `KeyUnavailable`, `DiskFull`, `Io`; `Internal` when a policy of ours does not load.
    pub async fn open(mut options: Options) -> Result<Arc<Self>> {
        let store = Store::open(&options.home.join("forge.db"))?;
        let instance = instance_of(&options.home)?;
        let (home, keeping) = (options.home.clone(), options.keys.clone());
        // Here a secret store, or a person, may be waited for.
        let opening = tokio::task::spawn_blocking(move || Keys::open_kept(&home, &keeping, &mut rand::rng()));
        let keys = opening.await.map_err(|e| Error::internal(format!("opening the keys ended early: {e}")))??;
        let exchanged = lineage::look(&store, &keys).await.unwrap_or_else(|e| {
            // A full disk must not keep anybody from looking at their results; the next start looks again.
            tracing::error!(code = ?e.code, "the keys could not be compared with those that were here last: {e}");
            Vec::new()
        });
        // From here on only the keys themselves know what they were opened with.
        options.keys.passphrase = Default::default();
        let policy = Policy::load()?;
        let mut pins = Pins::open(&options.home, &keys, Catalogue::embedded());
        let catalogue = Mutex::new(Arc::new(Catalogue::pinned(&sources(&options), &mut pins)));
        let docker = Arc::new(Docker::from_env()?);
        let keep = options.keep;
        let images = Arc::new(Images::new(docker.clone()));
        let outside = docker.clone();
        let parts = Parts { store, instance, keys, policy, catalogue, engine: docker, outside, images };
        let forge = Self::assemble(options, parts)?;
        forge.tell_exchanged(&exchanged).await;
        if keep {
            let keeper = forge.clone();
            tokio::spawn(async move { keeper.keep_while_open().await });
            tokio::spawn(sync::sync_while_open(Arc::downgrade(&forge), forge.shutdown.clone()));
        }
        tokio::spawn(governance::witness_while_open(
            Arc::downgrade(&forge),
            forge.happened.clone(),
            forge.shutdown.clone(),
        ));
        Ok(forge)
    }

    fn assemble(options: Options, parts: Parts) -> Result<Arc<Self>> {
        let Parts { store, instance, keys, policy, catalogue, engine, outside, images } = parts;
        let presence = presence::Presence::claim(&options.home)?;
        Ok(Arc::new_cyclic(|me| Self {
            me: me.clone(),
            events: Events::new(store.clone()),
            images,
            terminals: Terminals::new(engine.clone()).owned_by(&presence.id),
            telemetry: Hub::default(),
            keys,
            policy,
            catalogue,
            engine,
            outside,
            kernel: tokio::sync::OnceCell::new(),
            presence,
            instance,
            jobs: jobs::Jobs::default(),
            live: Mutex::default(),
            launches: Mutex::default(),
            settled: tokio::sync::Notify::new(),
            probes: Mutex::default(),
            unsaid: Mutex::default(),
            works: Mutex::default(),
            watches: Mutex::default(),
            forwards: Mutex::default(),
            kick: tokio::sync::Notify::new(),
            happened: Arc::new(tokio::sync::Notify::new()),
            disk_used: Mutex::default(),
            outbox: Arc::new(tokio::sync::Notify::new()),
            syncing: tokio::sync::Mutex::default(),
            clock_looked: std::sync::atomic::AtomicI64::new(i64::MIN),
            guesses: tokio::sync::Mutex::default(),
            boards: Mutex::default(),
            shutdown: CancellationToken::new(),
            store,
            options,
        }))
    }

    /// Ends what lives in this process: launches are cancelled and cleaned up, terminals and forwards close, runs go on.
    async fn close(&self) {
        self.shutdown.cancel();
        self.jobs.cancel_all();
        let launches: Vec<CancellationToken> = lock(&self.launches).values().cloned().collect();
        launches.iter().for_each(CancellationToken::cancel);
        let gone = async {
            while !lock(&self.launches).is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        // Cleaning up a half-made lab is bounded by Docker's own limits; what is left then, the next start sweeps.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(20), gone).await;
        // A probe that is under way removes its world first.
        let probed: Vec<String> = lock(&self.probes).keys().cloned().collect();
        for run in probed {
            self.end_probe(&run).await;
        }
        // A trial of the wiring that is under way removes its nodes first.
        if let Err(e) = self.trial_lock(std::time::Duration::from_secs(10)).await {
            tracing::debug!("closing without waiting for a trial any longer: {e}");
        }
        lock(&self.forwards).clear();
        self.terminals.shutdown().await;
        self.witness().await;
        // A window that closes leaves its labs running; somebody must end them when their time is up.
        let left = self.store.read(|c| runs::list(c, false)).await;
        if self.options.keep && left.is_ok_and(|runs| !runs.is_empty()) {
            self.spawn_keeper();
        }
    }

    pub fn home(&self) -> &Path {
        &self.options.home
    }

    fn catalogue(&self) -> Arc<Catalogue> {
        lock(&self.catalogue).clone()
    }

    fn run_folder(&self, run: &str) -> PathBuf {
        self.options.home.join("runs").join(run)
    }

    fn identity(&self, run: &str) -> Identity {
        Identity { instance: self.instance.clone(), run: run.to_owned() }
    }

    /// This process, as owner of runs it works on.
    fn owner(&self) -> runs::Owner {
        runs::Owner { pid: std::process::id(), process: self.presence.id.clone() }
    }

    fn owner_alive(&self, owner: &runs::Owner) -> bool {
        presence::Presence::alive(&self.options.home, &owner.process)
    }

    async fn run_row(&self, run: &str) -> Result<runs::Run> {
        let id = run.to_owned();
        self.store.read(move |c| runs::get(c, &id)).await
    }

    async fn scenario(&self, run: &str) -> Result<Scenario> {
        let id = run.to_owned();
        let text = self.store.read(move |c| runs::scenario(c, &id)).await?;
        serde_json::from_str(&text)
            .map_err(|e| Error::new(Code::StoreFailed, format!("The saved scenario of run {run} cannot be read: {e}")))
    }

    /// The handle on a running lab: the one in memory, or rebuilt from what Docker's labels say.
    async fn live(&self, run: &str) -> Result<Arc<Live>> {
        if let Some(live) = lock(&self.live).get(run) {
            return Ok(live.clone());
        }
        let scenario = Arc::new(self.scenario(run).await?);
        let live = Live::adopt(self.engine.clone(), self.identity(run), scenario).await?;
        Ok(lock(&self.live).entry(run.to_owned()).or_insert(live).clone())
    }

    /// `WrongState` unless the run is ready to be worked in.
    async fn ready_row(&self, run: &str) -> Result<runs::Run> {
        use crate::api::RunState;
        let row = self.run_row(run).await?;
        let hint = match row.state {
            RunState::Ready => return Ok(row),
            RunState::Paused => "Resume it first.",
            RunState::Starting => "Wait until it is ready.",
            RunState::Stopping | RunState::Stopped | RunState::Failed => "Start the lab again.",
        };
        let state = serde_json::to_value(row.state)?;
        Err(Error::new(Code::WrongState, format!("Run {run} is {}.", state.as_str().unwrap_or("not ready"))).hint(hint))
    }

    async fn emit(
        &self,
        caller: &Caller,
        run: Option<&str>,
        kind: &str,
        level: Level,
        text: impl Into<String>,
        data: serde_json::Value,
    ) {
        if let Err(e) = self.events.emit(&caller.correlation, run, kind, level, text, data).await {
            // The stream must never stop the work it tells of; the log still has it.
            tracing::error!(code = ?e.code, "an event could not be recorded: {e}");
        }
        self.happened.notify_one();
    }

    fn arc(&self) -> Result<Arc<Self>> {
        self.me.upgrade().ok_or_else(|| Error::internal("the engine is closing"))
    }
}

fn sources(options: &Options) -> Sources {
    Sources { instead: options.labs.clone(), user: Some(options.home.join("labs")) }
}

/// Where ids come from; a simulation draws the same ones again.
fn rng() -> Box<dyn rand::CryptoRng> {
    #[cfg(test)]
    if clock::is_fake() {
        return Box::new(<rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(now().unsigned_abs()));
    }
    Box::new(rand::rng())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Drawn once per data folder; two folders on one Docker engine never touch each other's objects.
fn instance_of(home: &Path) -> Result<String> {
    let path = home.join("instance");
    match std::fs::read(&path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
        Ok(text) if text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()) => return Ok(text),
        Ok(_) => {
            return Err(Error::new(Code::StoreFailed, format!("{} is damaged.", path.display()))
                .hint("Restore it from a backup, or stop all labs with Docker's own tools and delete it."));
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::from(e).context(format!("Reading {}", path.display()))),
    }
    // Two first starts at once: the one that creates the file wins, the other reads it.
    let fresh = uuid::Uuid::new_v4().simple().to_string();
    let staged = home.join(format!("instance.{fresh}"));
    std::fs::write(&staged, &fresh)?;
    let linked = std::fs::hard_link(&staged, &path);
    std::fs::remove_file(&staged)?;
    match linked {
        Ok(()) => Ok(fresh),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(std::fs::read_to_string(&path)?),
        Err(e) => Err(e.into()),
    }
}

/// Events that the engine emits on its own account.
fn engine_caller(what: &str) -> Caller {
    Caller { correlation: format!("{what}-{}", &uuid::Uuid::new_v4().simple().to_string()[..8]), instructor: false }
}

pub use store::runs::Run;
