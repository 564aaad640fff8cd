//! Keeping: what must happen to runs whether or not anybody looks. One process per data folder at a time.
//!
//! Time-outs with warnings, re-wiring of nodes that Docker restarted, and repair: what a dead process left half-done is
//! taken over and swept, and objects of ours that belong to no run that is alive are removed. It never touches an
//! object without this installation's label.

use super::presence::{KeeperLock, Presence};
use super::{Forge, engine_caller, lock, now};
use crate::api::{Caller, Level, NodeState, RunState};
use crate::engine::ContainerState;
use crate::error::{Code, Result};
use crate::lab::{self, Keeper, Witness};
use crate::store::{intents, runs};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

const TICK: Duration = Duration::from_secs(1);
/// While another process keeps, how often to see whether it has gone.
const STAND_BY: Duration = Duration::from_secs(2);
/// Minutes left at which the learner is warned.
const WARN_AT: [i64; 2] = [10, 2];
/// How long a command waits for the keeper to mend what a killed process left.
const KEEPER_MENDS: Duration = Duration::from_secs(10);
/// Ticks between repairs.
const REPAIR_EVERY: u64 = 15;
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
        let Some(lock) = KeeperLock::try_take(&self.options.home)? else { return Ok(KeeperEnd::AnotherKeeps) };
        let end = self.keep_with(&lock, true).await;
        Ok(end)
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
                () = self.shutdown.cancelled() => {}
                () = tokio::time::sleep(STAND_BY) => {}
            }
        }
    }

    async fn keep_with(&self, _held: &KeeperLock, until_idle: bool) -> KeeperEnd {
        tokio::select! {
            end = self.tick_forever(until_idle) => end,
            () = self.watch_bounds() => KeeperEnd::ShutDown,
            () = self.shutdown.cancelled() => KeeperEnd::ShutDown,
        }
    }

    async fn tick_forever(&self, until_idle: bool) -> KeeperEnd {
        let mut warned: HashSet<(String, i64)> = HashSet::new();
        let mut keepers: HashMap<String, Keeper> = HashMap::new();
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
            idle = if alive { 0 } else { idle + 1 };
            if until_idle && idle >= LINGER {
                return KeeperEnd::NoRuns;
            }
            tokio::select! {
                () = tokio::time::sleep(TICK) => {}
                () = self.kick.notified() => {}
            }
        }
        KeeperEnd::ShutDown
    }

    async fn watch_clock(&self, row: &runs::Run, warned: &mut HashSet<(String, i64)>) {
        let (RunState::Ready, Some(deadline)) = (row.state, row.deadline) else { return };
        let left = deadline - now();
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

    /// A command that nobody keeps runs for looks after them itself before it tells of them or adds another.
    pub(super) async fn repair_if_alone(&self) {
        if self.options.keep {
            return;
        }
        match KeeperLock::try_take(&self.options.home) {
            // The keeper sees it within a tick; until then the truth is not known.
            Ok(None) => {
                let until = tokio::time::Instant::now() + KEEPER_MENDS;
                while self.anything_abandoned().await && tokio::time::Instant::now() < until {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            Ok(Some(_held)) => match self.recover().await {
                Ok(()) => {}
                // Said by whatever the command does next, if it needs Docker.
                Err(e) if e.code == Code::DockerUnavailable => {}
                Err(e) => tracing::warn!(code = ?e.code, "repair is not complete: {e}"),
            },
            Err(e) => tracing::warn!("the keeper's lock could not be taken: {e}"),
        }
    }

    /// Whether a run is being started or stopped by a process that is no more.
    async fn anything_abandoned(&self) -> bool {
        match self.store.read(|c| runs::list(c, false)).await {
            Ok(rows) => rows.iter().any(|row| self.abandoned_half_way(row)),
            Err(e) => {
                tracing::warn!("the runs could not be read: {e}");
                false
            }
        }
    }

    fn abandoned_half_way(&self, row: &runs::Run) -> bool {
        matches!(row.state, RunState::Starting | RunState::Stopping)
            && row.owner.as_ref().is_none_or(|o| !self.owner_alive(o))
    }

    /// Each run that is ready or paused has its nodes watched: Docker says which one came back, and its links do not come
    /// back by themselves.
    async fn watch_nodes(&self, rows: &[runs::Run], keepers: &mut HashMap<String, Keeper>) {
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

    /// Compares Docker's labels with the rows and repairs the difference: finishes stops, sweeps starts whose process died,
    /// brings back runs that went down with the engine, fails runs whose containers are gone, removes what belongs to nothing.
    pub async fn recover(&self) -> Result<()> {
        let found = lab::survey(self.engine.as_ref(), &self.instance).await?;
        let caller = engine_caller("repair");
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        for row in &rows {
            let abandoned = row.owner.as_ref().is_none_or(|o| !self.owner_alive(o));
            let outcome = match row.state {
                RunState::Starting | RunState::Stopping if abandoned => self.finish_abandoned(&caller, row).await,
                RunState::Ready | RunState::Paused if abandoned => {
                    self.see_that_it_lives(&caller, row, found.iter().find(|f| f.run == row.run)).await
                }
                _ => Ok(()),
            };
            if let Err(e) = outcome {
                tracing::warn!(run = row.run, code = ?e.code, "a run could not be repaired yet: {e}");
            }
        }
        // Read again: a run admitted meanwhile has containers by right.
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        let trials = self.trial_lock(Duration::ZERO).await;
        let ours = |run: &str| rows.iter().any(|r| r.run == run) || (run.starts_with("trial") && trials.is_err());
        for left in found.iter().filter(|f| !ours(&f.run)) {
            tracing::info!(run = left.run, "removing what is left of a run that is over");
            lab::stop(self.engine.as_ref(), &self.identity(&left.run)).await?;
        }
        self.sweep_probes().await
    }

    async fn finish_abandoned(&self, caller: &Caller, row: &runs::Run) -> Result<()> {
        let (id, owner, old) = (row.run.clone(), self.owner(), row.owner.clone());
        let starting = row.state == RunState::Starting;
        self.store
            .write(move |tx| {
                runs::claim(tx, &id, old.as_ref(), &owner)?;
                if starting {
                    runs::stopping(tx, &id, "the process that started it ended before it was ready")?;
                }
                intents::begin(tx, &id, "stop", now(), &serde_json::Value::Null)
            })
            .await?;
        self.clear_up(caller, &row.run).await
    }

    async fn see_that_it_lives(&self, caller: &Caller, row: &runs::Run, found: Option<&lab::Found>) -> Result<()> {
        let scenario = self.scenario(&row.run).await?;
        let dead = |state: Option<&ContainerState>| matches!(state, None | Some(ContainerState::Dead));
        let mut gone: Vec<&str> = scenario
            .nodes
            .iter()
            .map(|n| n.name.as_str())
            .filter(|n| dead(found.and_then(|f| f.nodes.get(*n))))
            .collect();
        let fabric = found.and_then(|f| f.fabric);
        if dead(fabric.as_ref()) {
            gone.push("fabric");
        }
        if !gone.is_empty() {
            let reason = format!("removed from outside: {}", gone.join(", "));
            self.forget(&row.run).await;
            lab::stop(self.engine.as_ref(), &self.identity(&row.run)).await?;
            let id = row.run.clone();
            let row = self.store.write(move |tx| runs::failed(tx, &id, &reason, now())).await?;
            self.tell_state(caller, &row, "Its containers were removed from outside; your submissions are safe.").await;
            return Ok(());
        }
        // A node that ended by itself is the learner's to see and restart; a fabric that ended went down with the engine.
        if fabric == Some(ContainerState::Running) {
            return Ok(());
        }
        self.tell_log(caller, &row.run, "Docker went down under this run; bringing it back as it was.").await;
        lock(&self.live).remove(&row.run);
        let live = self.live(&row.run).await?;
        lab::revive(&live, super::life::NODE_BACK).await?;
        if row.state == RunState::Paused {
            lab::pause(&live).await?;
        }
        self.tell_log(caller, &row.run, "The lab is back, wired as before.").await;
        Ok(())
    }

    async fn tell_log(&self, caller: &Caller, run: &str, text: &str) {
        self.emit(caller, Some(run), "log", Level::Info, text, serde_json::Value::Null).await;
    }
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
}

impl Teller {
    fn tell(&self, run: &str, kind: &'static str, text: &str, data: serde_json::Value) {
        let (forge, run, text) = (self.0.clone(), run.to_owned(), text.to_owned());
        tokio::spawn(async move {
            forge.emit(&engine_caller("keeper"), Some(&run), kind, Level::Info, text, data).await;
        });
    }
}
