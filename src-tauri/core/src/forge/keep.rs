//! Keeping: what must happen to runs whether or not anybody looks. One process per data folder at a time.
//!
//! Time-outs with warnings, re-wiring of nodes that Docker restarted, and repair: what a dead process left half-done is
//! taken over and swept, and objects of ours that belong to no run that is alive are removed. It never touches an
//! object without this installation's label.

use super::presence::KeeperLock;
use super::{Forge, engine_caller, now};
use crate::api::{Level, RunState};
use crate::error::{Code, Result};
use crate::lab;
use crate::store::{intents, runs};
use std::collections::HashSet;
use std::time::Duration;

const TICK: Duration = Duration::from_secs(1);
/// While another process keeps, how often to see whether it has gone.
const STAND_BY: Duration = Duration::from_secs(2);
/// Minutes left at which the learner is warned.
const WARN_AT: [i64; 2] = [10, 2];
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
        let rewiring = self.rewire_forever();
        let ticking = self.tick_forever(until_idle);
        tokio::select! {
            end = ticking => end,
            () = rewiring => KeeperEnd::ShutDown,
            () = self.shutdown.cancelled() => KeeperEnd::ShutDown,
        }
    }

    async fn tick_forever(&self, until_idle: bool) -> KeeperEnd {
        let mut warned: HashSet<(String, i64)> = HashSet::new();
        let mut idle = 0;
        for tick in 0_u64.. {
            if tick % REPAIR_EVERY == 0
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
            tokio::time::sleep(TICK).await;
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

    /// Compares Docker's labels with the rows and repairs the difference: finishes stops, sweeps starts whose process died,
    /// brings back nodes after a restart of the engine, fails runs whose containers are gone, removes what belongs to nothing.
    pub async fn recover(&self) -> Result<()> {
        let found = lab::found(self.engine.as_ref(), &self.instance).await?;
        let caller = super::launch::recovered();
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        for row in &rows {
            let abandoned = row.owner.as_ref().is_none_or(|o| !self.owner_alive(o));
            let outcome = match row.state {
                RunState::Starting | RunState::Stopping if abandoned => self.finish_abandoned(&caller, row).await,
                RunState::Ready | RunState::Paused if abandoned => self.see_that_it_lives(&caller, row, &found).await,
                _ => Ok(()),
            };
            if let Err(e) = outcome {
                tracing::warn!(run = row.run, code = ?e.code, "a run could not be repaired yet: {e}");
            }
        }
        // Read again: a run admitted meanwhile has containers by right.
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        for run in found.runs() {
            if rows.iter().all(|r| r.run != run) {
                tracing::info!(run, "removing what is left of a run that is over");
                lab::remove_run(self.engine.as_ref(), &self.instance, run).await?;
            }
        }
        Ok(())
    }

    async fn finish_abandoned(&self, caller: &crate::api::Caller, row: &runs::Run) -> Result<()> {
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

    async fn see_that_it_lives(&self, caller: &crate::api::Caller, row: &runs::Run, found: &lab::Found) -> Result<()> {
        let scenario = self.scenario(&row.run).await?;
        match found.health(&row.run, &scenario) {
            lab::Health::Whole => Ok(()),
            lab::Health::Down(nodes) => {
                let live = self.live(&row.run).await?;
                let names = nodes.join(", ");
                self.emit(caller, Some(&row.run), "log", Level::Warn, format!("Bringing back {names}."), serde_json::Value::Null).await;
                live.revive(row.state == RunState::Paused).await?;
                self.emit(caller, Some(&row.run), "log", Level::Info, format!("{names}: back, wired as before."), serde_json::Value::Null).await;
                Ok(())
            }
            lab::Health::Gone(nodes) => {
                let reason = format!("removed from outside: {}", nodes.join(", "));
                self.forget(&row.run).await;
                lab::remove_run(self.engine.as_ref(), &self.instance, &row.run).await?;
                let id = row.run.clone();
                let row = self.store.write(move |tx| runs::failed(tx, &id, &reason, now())).await?;
                self.tell_state(caller, &row, "Its containers were removed from outside; your submissions are safe.").await;
                Ok(())
            }
        }
    }

    /// Docker says which node came back; its links do not come back by themselves.
    async fn rewire_forever(&self) {
        loop {
            let outcome = lab::watch(self.engine.as_ref(), &self.instance, |happened| self.node_happened(happened)).await;
            if let Err(e) = outcome {
                tracing::debug!(code = ?e.code, "the engine's events are not to be had: {e}");
            }
            tokio::time::sleep(STAND_BY).await;
        }
    }

    async fn node_happened(&self, happened: lab::Happened) {
        let caller = engine_caller("keeper");
        let (run, node) = (happened.run, happened.node);
        let alive = self.run_row(&run).await.is_ok_and(|r| r.state == RunState::Ready);
        if !alive {
            return;
        }
        match happened.what {
            lab::What::Started => {
                let rewired = match self.live(&run).await {
                    Ok(live) => live.rewire(&node).await,
                    Err(e) => Err(e),
                };
                match rewired {
                    Ok(false) => {}
                    Ok(true) => self.tell_node(&caller, &run, &node, "running", format!("{node} was restarted; its links are back.")).await,
                    Err(e) => {
                        let text = format!("{node} came back, but its links could not be restored: {e}");
                        self.emit(&caller, Some(&run), "log", Level::Error, text, serde_json::Value::Null).await;
                    }
                }
            }
            lab::What::Died => self.tell_node(&caller, &run, &node, "exited", format!("{node} ended.")).await,
        }
    }
}
