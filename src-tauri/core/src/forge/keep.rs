//! Keeping: what must happen to runs whether or not anybody looks. One process per data folder at a time.
//!
//! Time-outs with warnings, re-wiring of nodes that Docker restarted, and repair (see `repair.rs`) of what a dead process
//! left half-done.

use super::clock::steady;
use super::presence::{KeeperLock, Presence};
use super::{Forge, engine_caller};
use crate::api::{Level, NodeState, RunState};
use crate::error::{Code, Result};
use crate::lab::{self, Keeper, Witness};
use crate::store::{events, runs};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_secs(1);
/// While another process keeps, how often to see whether it has gone.
const STAND_BY: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_millis(50);
/// Minutes left at which the learner is warned.
const WARN_AT: [i64; 2] = [10, 2];
/// How long a command waits for the keeper to mend what a killed process left.
pub(super) const KEEPER_MENDS: Duration = Duration::from_secs(10);
/// Ticks between repairs.
const REPAIR_EVERY: u64 = 15;
/// Ticks between two looks at the guard.
const GUARD_EVERY: u64 = 5;
/// A keeper of its own process stays this many ticks after the last run.
const LINGER: u64 = 3;

/// Why [`Forge::keep`] came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeeperEnd {
    NoRuns,
    AnotherKeeps,
    ShutDown,
}

impl Forge {
    /// The keeper process: keeps until no run is alive.
    pub async fn keep(&self) -> Result<KeeperEnd> {
        // Whoever started this process may be letting go of the lock only now.
        let until = tokio::time::Instant::now() + STAND_BY;
        let lock = loop {
            match KeeperLock::try_take(&self.options.home)? {
                Some(lock) => break lock,
                None if tokio::time::Instant::now() >= until => return Ok(KeeperEnd::AnotherKeeps),
                None => tokio::time::sleep(RETRY).await,
            }
        };
        Ok(self.keep_with(&lock, true).await)
    }

    /// The keeper within an app: keeps as long as the app is open, whenever no other process does.
    pub(super) async fn keep_while_open(&self) {
        while !self.shutdown.is_cancelled() {
            match KeeperLock::try_take(&self.options.home) {
                Ok(Some(lock)) => {
                    self.keep_with(&lock, false).await;
                }
                Ok(None) => {}
                Err(e) => tracing::warn!("the keeper's lock could not be taken: {e}"),
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => {}
                () = tokio::time::sleep(STAND_BY) => {}
            }
        }
    }

    async fn keep_with(&self, _held: &KeeperLock, until_idle: bool) -> KeeperEnd {
        tokio::select! {
            biased;
            end = self.tick_forever(until_idle) => end,
            () = self.watch_bounds() => KeeperEnd::ShutDown,
            () = self.follow_sessions() => KeeperEnd::ShutDown,
            () = self.shutdown.cancelled() => KeeperEnd::ShutDown,
        }
    }

    async fn tick_forever(&self, until_idle: bool) -> KeeperEnd {
        let mut warned: HashSet<(String, i64)> = HashSet::new();
        let mut keepers: BTreeMap<String, Keeper> = BTreeMap::new();
        let mut idle = 0;
        for tick in 0_u64.. {
            if (tick % REPAIR_EVERY == 0 || self.anything_abandoned().await)
                && let Err(e) = self.recover().await
                && e.code != Code::DockerUnavailable
            {
                tracing::warn!(code = ?e.code, "repair is not complete: {e}");
            }
            let alive = match self.store.read(|c| runs::list(c, false)).await {
                Ok(rows) => {
                    for row in &rows {
                        self.watch_clock(row, &mut warned).await;
                    }
                    self.watch_nodes(&rows, &mut keepers).await;
                    !rows.is_empty()
                }
                Err(e) => {
                    tracing::warn!("the runs could not be read: {e}");
                    true
                }
            };
            if alive
                && tick % GUARD_EVERY == 0
                && let Err(e) = self.keep_guard().await
                && e.code != Code::DockerUnavailable
            {
                tracing::warn!(code = ?e.code, "labs run without their guard: {e}");
            }
            idle = if alive { 0 } else { idle + 1 };
            // Somebody removed the data folder: there is nothing left to keep.
            let gone = !self.options.home.join("instance").exists();
            if until_idle && (idle >= LINGER || gone) {
                return KeeperEnd::NoRuns;
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(TICK) => {}
                () = self.kick.notified() => {}
            }
        }
        KeeperEnd::ShutDown
    }

    async fn watch_clock(&self, row: &runs::Run, warned: &mut HashSet<(String, i64)>) {
        let (RunState::Ready, Some(deadline)) = (row.state, row.deadline) else { return };
        let left = deadline - steady(row.started.as_ref());
        let caller = engine_caller("keeper");
        if left <= 0 {
            tracing::info!(run = row.run, "its time is up");
            if let Err(e) = self.stop(&caller, &row.run, "the time was up").await {
                tracing::warn!(run = row.run, "a run whose time is up could not be stopped yet: {e}");
            }
            return;
        }
        // Of the warnings that are due only the most urgent is told; an extension makes it tellable again.
        let due = WARN_AT.into_iter().filter(|m| left <= m * 60_000).min();
        let Some(minutes) = due else {
            warned.retain(|(run, _)| *run != row.run);
            return;
        };
        if warned.insert((row.run.clone(), minutes)) {
            let text = format!("About {} min left; extend the time if you need more.", (left + 59_999) / 60_000);
            let data = serde_json::json!({"remaining_ms": left});
            self.emit(&caller, Some(&row.run), "timer.warning", Level::Warn, text, data).await;
        }
    }

    /// Each run that is ready or paused has its nodes watched: Docker says which one came back, and its links do not come
    /// back by themselves.
    async fn watch_nodes(&self, rows: &[runs::Run], keepers: &mut BTreeMap<String, Keeper>) {
        let watched = |row: &&runs::Run| matches!(row.state, RunState::Ready | RunState::Paused);
        keepers.retain(|run, _| rows.iter().filter(watched).any(|r| r.run == *run));
        for row in rows.iter().filter(watched) {
            if keepers.contains_key(&row.run) {
                continue;
            }
            match (self.live(&row.run).await, self.arc()) {
                (Ok(live), Ok(forge)) => {
                    self.end_orphaned_shells(&live).await;
                    keepers.insert(row.run.clone(), Keeper::start(live, Arc::new(Teller(forge))));
                }
                (Err(e), _) | (_, Err(e)) => tracing::debug!(run = row.run, "its nodes cannot be watched yet: {e}"),
            }
        }
    }

    /// A launch starts the guard; it may be gone since, with Docker or by somebody's hand.
    async fn keep_guard(&self) -> Result<()> {
        if !lab::guard_missing(self.engine.as_ref()).await? {
            return Ok(());
        }
        let image = self.images.resolve("tools").await?;
        lab::ensure_guard(self.engine.as_ref(), &image).await.map(drop)
    }

    /// Once for each count, however many keepers come and go: decided where the event is written.
    async fn tell_starved(&self, run: String, node: String, life: i64, kills: u64) -> Result<()> {
        const KIND: &str = "node.starved";
        let text = format!("{node} ran out of the memory its lab gives it; the program that wanted it was ended.");
        let news = Starved { node, life, kills };
        let data = serde_json::to_value(&news)?;
        let caller = engine_caller("keeper");
        let event = self.events.draft(&caller.correlation, Some(&run), KIND, Level::Warn, text, data);
        let told = self.store.write_relaxed(move |tx| {
            let same = |told: Starved| told.node == news.node && told.life == news.life && told.kills >= news.kills;
            let known = events::of_kind(tx, &run, KIND)?;
            let known = known.into_iter().any(|e| serde_json::from_value(e.data).is_ok_and(same));
            if known { Ok(None) } else { events::append(tx, event).map(Some) }
        });
        if let Some(event) = told.await? {
            self.events.announce(&event);
            self.happened.notify_one();
        }
        Ok(())
    }

    /// Docker leaves shells running whose window was killed; nobody can reach them any more.
    async fn end_orphaned_shells(&self, live: &lab::Live) {
        let paused = self.run_row(live.run()).await.is_ok_and(|row| row.state == RunState::Paused);
        let _starting = match self.starting_programs(live.run(), false).await {
            Ok(held) if !paused => held,
            // Shells of a frozen node can wait until somebody watches it again.
            _ => return,
        };
        for (node, container) in live.containers() {
            let alive = |process: &str| Presence::alive(&self.options.home, process);
            match self.terminals.sweep(&container, alive).await {
                Ok(0) => {}
                Ok(ended) => tracing::info!(run = live.run(), node, ended, "ended shells of a process that is gone"),
                Err(e) => tracing::debug!(run = live.run(), node, "its shells could not be looked at: {e}"),
            }
        }
    }
}

/// What is told of a node that ran out of memory; see [`Witness::starved`].
#[derive(Serialize, Deserialize)]
struct Starved {
    node: String,
    life: i64,
    kills: u64,
}

/// Tells what happens to nodes as events of their run.
struct Teller(Arc<Forge>);

impl Witness for Teller {
    fn node(&self, run: &str, node: &str, state: NodeState, text: &str) {
        let data = serde_json::json!({"node": node, "state": state});
        self.tell(run, "node.state", text, data);
    }

    fn run(&self, run: &str, text: &str) {
        self.tell(run, "log", text, serde_json::Value::Null);
    }

    fn starved(&self, run: &str, node: &str, life: i64, kills: u64) {
        let (forge, run, node) = (self.0.clone(), run.to_owned(), node.to_owned());
        tokio::spawn(async move {
            if let Err(e) = forge.tell_starved(run, node, life, kills).await {
                tracing::error!("a node that ran out of memory could not be told of: {e}");
            }
        });
    }

    fn refused(&self, run: &str, news: &lab::Refused) {
        let more = if news.more > 0 { format!(" (and {} more)", news.more) } else { String::new() };
        let text = format!("Egress refused: {} → {}: {}{more}", news.node, news.target, news.words);
        match serde_json::to_value(news) {
            Ok(data) => self.tell(run, "egress.drop", &text, data),
            Err(e) => tracing::error!(run, "a refusal could not be told: {e}"),
        }
    }
}

impl Teller {
    fn tell(&self, run: &str, kind: &'static str, text: &str, data: serde_json::Value) {
        let (forge, run, text) = (self.0.clone(), run.to_owned(), text.to_owned());
        tokio::spawn(async move {
            forge.emit(&engine_caller("keeper"), Some(&run), kind, Level::Info, text, data).await;
        });
    }
}
