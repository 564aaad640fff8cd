//! A run's life after its start: pause, resume, more time, a node's restart, the stop. Each names the state it expects,
//! so that of two processes (or two clicks) one acts and the other is told why not.

use super::{Forge, lock, now};
use crate::api::{Caller, Empty, Level, NodeRequest, RunState, RunSummary, StopReport};
use crate::error::{Code, Error, Result};
use crate::lab;
use crate::store::{intents, runs};
use std::time::{Duration, Instant};

/// A launching process notices a stop within `launch::STOP_POLL` and needs this long at most to clear up.
const HAND_OVER: Duration = Duration::from_secs(30);
/// A restarted node's startup and readiness.
pub(super) const NODE_BACK: Duration = Duration::from_secs(60);
/// More time than this at once is a slip of the finger.
const EXTEND_MOST: u32 = 24 * 60;

impl Forge {
    pub(super) async fn pause(&self, caller: &Caller, run: &str) -> Result<RunSummary> {
        self.ready_row(run).await?;
        let live = self.live(run).await?;
        let _turn = self.turn(run, true).await?;
        let _starting = self.starting_programs(run, true).await?;
        lab::pause(&live).await?;
        let id = run.to_owned();
        let row = match self.store.write(move |tx| runs::pause(tx, &id, now())).await {
            Ok(row) => row,
            Err(e) => {
                // The row did not follow, so the nodes must not stay frozen.
                lab::resume(&live).await?;
                return Err(e);
            }
        };
        self.tell_state(caller, &row, "Paused; the clock stands still.").await;
        Ok(row.summary(now()))
    }

    pub(super) async fn resume(&self, caller: &Caller, run: &str) -> Result<RunSummary> {
        let row = self.run_row(run).await?;
        if row.state != RunState::Paused {
            return Err(Error::new(Code::WrongState, format!("Run {run} is not paused.")));
        }
        self.room_to_resume().await?;
        lab::resume(&*self.live(run).await?).await?;
        let id = run.to_owned();
        let row = self.store.write(move |tx| runs::resume(tx, &id, now())).await?;
        self.tell_state(caller, &row, "Resumed.").await;
        Ok(row.summary(now()))
    }

    pub(super) async fn extend(&self, caller: &Caller, run: &str, minutes: u32) -> Result<RunSummary> {
        if !(1..=EXTEND_MOST).contains(&minutes) {
            return Err(Error::new(Code::InvalidInput, format!("A run is extended by 1 to {EXTEND_MOST} minutes.")));
        }
        let id = run.to_owned();
        let row = self.store.write(move |tx| runs::extend(tx, &id, i64::from(minutes) * 60_000)).await?;
        self.tell_state(caller, &row, &format!("{minutes} minutes more.")).await;
        Ok(row.summary(now()))
    }

    pub(super) async fn restart(&self, caller: &Caller, request: &NodeRequest) -> Result<Empty> {
        self.ready_row(&request.run).await?;
        let live = self.live(&request.run).await?;
        let node = &request.node;
        self.tell_node(caller, &request.run, node, "rewiring", format!("Restarting {node}.")).await;
        lab::restart_node(&live, node, NODE_BACK).await?;
        self.tell_node(caller, &request.run, node, "running", format!("{node} is back, its links as before.")).await;
        Ok(Empty {})
    }

    /// Stops a run or ends a start that is under way; a run that is over already is stopped all the same.
    pub(super) async fn stop(&self, caller: &Caller, run: &str, reason: &str) -> Result<StopReport> {
        let began = Instant::now();
        let row = self.run_row(run).await?;
        match row.state {
            RunState::Stopped => {}
            RunState::Starting => self.stop_a_start(caller, &row, reason).await?,
            RunState::Stopping if row.owner.as_ref().is_some_and(|o| self.owner_alive(o) && *o != self.owner()) => {
                self.until_over(run).await?;
            }
            _ => self.stop_now(caller, run, reason).await?,
        }
        Ok(StopReport {
            stopped: vec![run.to_owned()],
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    async fn stop_a_start(&self, caller: &Caller, row: &runs::Run, reason: &str) -> Result<()> {
        let run = row.run.clone();
        let id = run.clone();
        let reason_said = reason.to_owned();
        self.store.write(move |tx| runs::stopping(tx, &id, &reason_said)).await?;
        if let Some(cancel) = lock(&self.launches).get(&run) {
            cancel.cancel();
        }
        let theirs = row.owner.as_ref().is_some_and(|o| self.owner_alive(o));
        if theirs { self.until_over(&run).await } else { self.clear_up(caller, &run).await }
    }

    async fn stop_now(&self, caller: &Caller, run: &str, reason: &str) -> Result<()> {
        let (id, owner, reason) = (run.to_owned(), self.owner(), reason.to_owned());
        self.store
            .write(move |tx| {
                let row = runs::get(tx, &id)?;
                if row.state != RunState::Stopping {
                    runs::stopping(tx, &id, &reason)?;
                }
                runs::claim(tx, &id, row.owner.as_ref(), &owner)?;
                intents::begin(tx, &id, "stop", now(), &serde_json::Value::Null)
            })
            .await?;
        self.clear_up(caller, run).await
    }

    /// Removes what carries the run's label and closes its row. Safe to repeat.
    pub(super) async fn clear_up(&self, caller: &Caller, run: &str) -> Result<()> {
        self.forget(run).await;
        lab::stop(self.engine.as_ref(), &self.identity(run)).await?;
        // Its networks, when another process was proving the isolation of this run.
        lab::clear_probe(self.engine.as_ref(), self.outside.as_ref(), &self.instance, Some(run)).await?;
        let id = run.to_owned();
        let row = self
            .store
            .write(move |tx| {
                intents::clear(tx, &id, None)?;
                runs::stopped(tx, &id, now())
            })
            .await?;
        self.tell_state(caller, &row, "Stopped; nothing of it is left.").await;
        Ok(())
    }

    /// Lets go of what this process holds of a run.
    pub(super) async fn forget(&self, run: &str) {
        self.end_probe(run).await;
        lock(&self.live).remove(run);
        lock(&self.watches).remove(run);
        lock(&self.forwards).retain(|_, f| f.run != run);
        self.telemetry.end(run);
        self.terminals.end_run(run).await;
    }

    async fn until_over(&self, run: &str) -> Result<()> {
        let until = Instant::now() + HAND_OVER;
        while Instant::now() < until {
            let state = self.run_row(run).await?.state;
            if matches!(state, RunState::Stopped | RunState::Failed) {
                self.forget(run).await;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Error::new(Code::Timeout, format!("Run {run} is still being stopped by another process."))
            .hint("`forge ps` tells when it is gone."))
    }

    pub(super) async fn stop_every(&self, caller: &Caller) -> Result<StopReport> {
        let began = Instant::now();
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        let stops = rows.iter().map(|row| self.stop(caller, &row.run, "stopped"));
        let mut stopped = Vec::new();
        let mut first_error = None;
        for (row, outcome) in rows.iter().zip(futures_util::future::join_all(stops).await) {
            match outcome {
                Ok(_) => stopped.push(row.run.clone()),
                Err(e) => first_error = first_error.or(Some(e.context(format!("Stopping {}", row.run)))),
            }
        }
        match first_error {
            Some(e) => Err(e.details(serde_json::json!({"stopped": stopped}))),
            None => Ok(StopReport { stopped, ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX) }),
        }
    }

    pub(super) async fn tell_state(&self, caller: &Caller, row: &runs::Run, text: &str) {
        let data = serde_json::json!({
            "state": row.state, "reason": row.reason, "deadline": row.deadline, "remaining_ms": row.summary(now()).remaining_ms,
        });
        self.emit(caller, Some(&row.run), "run.state", Level::Info, text, data).await;
    }

    pub(super) async fn tell_node(&self, caller: &Caller, run: &str, node: &str, state: &str, text: String) {
        let data = serde_json::json!({"node": node, "state": state});
        self.emit(caller, Some(run), "node.state", Level::Info, text, data).await;
    }
}

/// When the run became ready, also by a clock that nobody can set (within one boot of a Linux machine).
pub(super) fn clocks(at: i64) -> runs::Started {
    let boot =
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|s| s.trim().to_owned()).unwrap_or_default();
    runs::Started { at, boot, monotonic_ms: uptime_ms() }
}

/// Milliseconds a run has lasted: monotonic within the same boot, by the wall clock otherwise, never negative.
pub(super) fn elapsed_ms(started: &runs::Started, at: i64) -> u64 {
    let here = clocks(at);
    let span = if !here.boot.is_empty() && here.boot == started.boot {
        here.monotonic_ms - started.monotonic_ms
    } else {
        at - started.at
    };
    u64::try_from(span).unwrap_or(0)
}

fn uptime_ms() -> i64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = text.split(' ').next().and_then(|s| s.parse().ok()).unwrap_or(0.0);
    (seconds * 1000.0) as i64
}
