//! A run's life after its start: pause, resume, more time, a node's restart, the stop. Each names the state it expects,
//! so that of two processes (or two clicks) one acts and the other is told why not.

use super::acting::Deed;
use super::clock::{steady, summary};
use super::{Forge, lock, now};
use crate::api::{Caller, Empty, Level, NodeRequest, RunState, RunSummary, StopReport};
use crate::error::{Code, Error, Result};
use crate::fault;
use crate::lab;
use crate::spawn::acting::Class;
use crate::store::{intents, runs};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// A launching process notices a stop within `launch::STOP_POLL`, lets the call to Docker that is under way end (30 s at most), and
/// clears up.
const HAND_OVER: Duration = Duration::from_secs(60);
/// A restarted node's startup and readiness.
pub(super) const NODE_BACK: Duration = Duration::from_secs(60);
/// More time than this at once is a slip of the finger.
const EXTEND_MOST: u32 = 24 * 60;

impl Forge {
    pub(super) async fn pause(&self, caller: &Caller, run: &str) -> Result<RunSummary> {
        if self.run_row(run).await?.state == RunState::Paused {
            return Err(Error::new(Code::WrongState, format!("Run {run} is paused already; its clock stands still."))
                .hint(format!("`forge resume {run}` lets it go on.")));
        }
        self.ready_row(run).await?;
        let live = self.live(run).await?;
        let _turn = self.turn(run, true).await?;
        let _starting = self.starting_programs(run, true).await?;
        let _at_work = self.at_work(run);
        // Should this process end half-way, the nodes must not stay frozen under a run that is ready.
        let intent = self.intend(run, "pause", serde_json::Value::Null).await?;
        let id = run.to_owned();
        let frozen = match lab::pause(&live).await {
            Ok(()) => {
                let paused = move |tx: &crate::store::Tx<'_>| {
                    let started = runs::get(tx, &id)?.started;
                    intents::close(tx, intent)?;
                    runs::pause(tx, &id, steady(started.as_ref()))
                };
                self.store.write(paused).await
            }
            Err(e) => Err(e),
        };
        let row = match frozen {
            Ok(row) => row,
            Err(e) => {
                lab::resume(&live).await?;
                self.store.write(move |tx| intents::close(tx, intent)).await?;
                return Err(e);
            }
        };
        self.tell_state(caller, &row, "Paused; the clock stands still.").await;
        Ok(summary(&row))
    }

    pub(super) async fn resume(&self, caller: &Caller, run: &str) -> Result<RunSummary> {
        let row = self.run_row(run).await?;
        if row.state != RunState::Paused {
            return Err(unpaused(&row));
        }
        self.room_to_resume().await?;
        lab::resume(&*self.live(run).await?).await?;
        let id = run.to_owned();
        let resumed = move |tx: &crate::store::Tx<'_>| {
            let started = runs::get(tx, &id)?.started;
            runs::resume(tx, &id, steady(started.as_ref()))
        };
        let row = self.store.write(resumed).await?;
        self.tell_state(caller, &row, "Resumed.").await;
        Ok(summary(&row))
    }

    pub(super) async fn extend(&self, caller: &Caller, run: &str, minutes: u32) -> Result<RunSummary> {
        if !(1..=EXTEND_MOST).contains(&minutes) {
            return Err(Error::new(Code::InvalidInput, format!("A run is extended by 1 to {EXTEND_MOST} minutes.")));
        }
        let id = run.to_owned();
        let row = self.store.write(move |tx| runs::extend(tx, &id, i64::from(minutes) * 60_000)).await?;
        self.tell_state(caller, &row, &format!("{minutes} minutes more.")).await;
        Ok(summary(&row))
    }

    pub(super) async fn restart(&self, caller: &Caller, request: &NodeRequest) -> Result<Empty> {
        self.ready_row(&request.run).await?;
        let node = &request.node;
        self.node_of(&self.scenario(&request.run).await?, &request.run, node)?;
        let acts = self.by(caller, Deed::new("restart", Class::Execute).on(node)).await?;
        self.may_act(caller, &request.run, acts, None).await?;
        let live = self.live(&request.run).await?;
        self.tell_node(caller, &request.run, node, "rewiring", format!("Restarting {node}.")).await;
        lab::restart_node(&live, node, NODE_BACK).await?;
        self.tell_node(caller, &request.run, node, "running", format!("{node} is back, its links as before.")).await;
        Ok(Empty {})
    }

    /// Stops a run or ends a start that is under way. One that has failed stays so, with its reason: what is left of it is
    /// removed. Of several who stop the same run one does it and the others wait; when that one's process ends half-way,
    /// another takes over.
    pub(super) async fn stop(&self, caller: &Caller, run: &str, reason: &str) -> Result<StopReport> {
        let began = Instant::now();
        let _at_work = self.at_work(run);
        // What it was when we came: of a run that was ending then, we have the credit only if we took the work over.
        let mut found = None;
        let mine = loop {
            fault::point("stop.intent.before");
            let (whose, was) = self.begin_stop(run, reason).await?;
            fault::point("stop.intent.after");
            let found = *found.get_or_insert(was);
            match whose {
                Whose::Over if found == RunState::Failed => {
                    let cleared = self.clear_up(caller, run).await? > 0;
                    let (cleared, already) =
                        if cleared { (vec![run.to_owned()], vec![]) } else { (vec![], vec![run.to_owned()]) };
                    return Ok(StopReport { stopped: vec![], cleared, already, ms: ms_since(began) });
                }
                Whose::Over => break runs::alive(found) && found != RunState::Stopping,
                Whose::Ours => {
                    self.clear_up(caller, run).await?;
                    break true;
                }
                Whose::Theirs => {
                    if let Some(cancel) = lock(&self.launches).get(run) {
                        cancel.cancel();
                    }
                    if self.until_over(run, began + HAND_OVER).await? {
                        break found != RunState::Stopping;
                    }
                }
            }
        };
        let (mut stopped, mut already) = (Vec::new(), Vec::new());
        if mine { &mut stopped } else { &mut already }.push(run.to_owned());
        Ok(StopReport { stopped, cleared: vec![], already, ms: ms_since(began) })
    }

    /// Marks the run as stopping and says who removes it, and what it was before: decided in one transaction.
    async fn begin_stop(&self, run: &str, reason: &str) -> Result<(Whose, RunState)> {
        let forge = self.arc()?;
        let (id, reason) = (run.to_owned(), reason.to_owned());
        self.store
            .write(move |tx| {
                let row = runs::get(tx, &id)?;
                let me = forge.owner();
                let theirs = match &row.owner {
                    // A start of ours ends itself when it is cancelled, and removes what it made.
                    Some(owner) if *owner == me => {
                        row.state != RunState::Stopping && lock(&forge.launches).contains_key(&id)
                    }
                    Some(owner) => forge.owner_alive(owner),
                    None => false,
                };
                match row.state {
                    RunState::Stopped | RunState::Failed => return Ok((Whose::Over, row.state)),
                    RunState::Stopping => {}
                    _ => drop(runs::stopping(tx, &id, &reason)?),
                }
                if theirs {
                    return Ok((Whose::Theirs, row.state));
                }
                runs::claim(tx, &id, row.owner.as_ref(), &me)?;
                intents::clear(tx, &id, Some("stop"))?;
                intents::begin(tx, &id, "stop", now(), &serde_json::Value::Null)?;
                Ok((Whose::Ours, row.state))
            })
            .await
    }

    /// Removes what carries the run's label, and closes its row if it is not over. Safe to repeat. How many containers there were.
    pub(super) async fn clear_up(&self, caller: &Caller, run: &str) -> Result<usize> {
        self.forget(run).await;
        if let Err(e) = self.settle_submissions(caller, Some(run)).await {
            tracing::warn!(run, "an interrupted submission could not be settled yet: {e}");
        }
        fault::point("stop.remove.before");
        let removed = lab::stop(self.engine.as_ref(), &self.identity(run)).await?.containers;
        // Its networks, when another process was proving the isolation of this run.
        lab::clear_probe(self.engine.as_ref(), self.outside.as_ref(), &self.instance, Some(run)).await?;
        fault::point("stop.remove.after");
        let id = run.to_owned();
        fault::point("stop.record.before");
        let ended = self
            .store
            .write(move |tx| {
                // A submission has its own end: see `submit`.
                intents::clear_but(tx, &id, "submit")?;
                match runs::get(tx, &id)?.state {
                    RunState::Stopped | RunState::Failed => Ok(None),
                    _ => runs::stopped(tx, &id, now()).map(Some),
                }
            })
            .await?;
        fault::point("stop.record.after");
        if let Some(row) = ended {
            self.tell_state(caller, &row, "Stopped; nothing of it is left.").await;
        } else if removed > 0 {
            self.tell_log(caller, run, "What was left of this run is removed.").await;
        }
        Ok(removed)
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

    /// False when whoever was stopping it is gone and it is not over.
    async fn until_over(&self, run: &str, until: Instant) -> Result<bool> {
        while Instant::now() < until {
            let row = self.run_row(run).await?;
            if matches!(row.state, RunState::Stopped | RunState::Failed) {
                self.forget(run).await;
                return Ok(true);
            }
            if !row.owner.as_ref().is_some_and(|o| self.owner_alive(o)) {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(Error::new(Code::Timeout, format!("Run {run} is still being stopped by another process."))
            .hint("`forge ps` tells when it is gone."))
    }

    /// This process is doing something about the run that it will bring to an end itself, until the guard is dropped.
    pub(super) fn at_work(&self, run: &str) -> AtWork<'_> {
        *lock(&self.works).entry(run.to_owned()).or_insert(0) += 1;
        AtWork { works: &self.works, run: run.to_owned() }
    }

    /// Every run that is alive, and what is left of those that are over.
    pub(super) async fn stop_every(&self, caller: &Caller) -> Result<StopReport> {
        let began = Instant::now();
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        let mut ids: Vec<String> = rows.into_iter().map(|row| row.run).collect();
        let mut first_error = None;
        match self.leftovers().await {
            Ok(left) => ids.extend(left),
            // Where there is no Docker there is nothing of theirs either; those that are alive say so themselves.
            Err(e) if e.code == Code::DockerUnavailable => {}
            Err(e) => first_error = Some(e),
        }
        let stops = ids.iter().map(|run| self.stop(caller, run, "stopped"));
        let (mut stopped, mut cleared, mut already) = (Vec::new(), Vec::new(), Vec::new());
        for (run, outcome) in ids.iter().zip(futures_util::future::join_all(stops).await) {
            match outcome {
                Ok(mut one) => {
                    stopped.append(&mut one.stopped);
                    cleared.append(&mut one.cleared);
                    already.append(&mut one.already);
                }
                Err(e) => first_error = first_error.or(Some(e.context(format!("Stopping {run}")))),
            }
        }
        match first_error {
            Some(e) => Err(e.details(serde_json::json!({"stopped": stopped, "cleared": cleared}))),
            None => Ok(StopReport { stopped, cleared, already, ms: ms_since(began) }),
        }
    }

    /// Runs that have failed, and of which Docker still has something.
    async fn leftovers(&self) -> Result<Vec<String>> {
        let found = lab::survey(self.engine.as_ref(), &self.instance).await?;
        let failed = move |c: &crate::store::Conn| {
            let rows = runs::list(c, true)?;
            let left = |r: &runs::Run| r.state == RunState::Failed && found.iter().any(|f| f.run == r.run);
            Ok(rows.into_iter().filter(left).map(|r| r.run).collect())
        };
        self.store.read(failed).await
    }

    pub(super) async fn tell_state(&self, caller: &Caller, row: &runs::Run, text: &str) {
        let data = serde_json::json!({
            "state": row.state, "reason": row.reason, "deadline": row.deadline, "remaining_ms": summary(row).remaining_ms,
        });
        self.emit(caller, Some(&row.run), "run.state", Level::Info, text, data).await;
    }

    pub(super) async fn tell_node(&self, caller: &Caller, run: &str, node: &str, state: &str, text: String) {
        let data = serde_json::json!({"node": node, "state": state});
        self.emit(caller, Some(run), "node.state", Level::Info, text, data).await;
    }
}

fn ms_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn unpaused(row: &runs::Run) -> Error {
    let error = |why: &str| Error::new(Code::WrongState, format!("Run {} {why}.", row.run));
    match row.state {
        RunState::Starting => error("is still starting, so there is nothing to resume"),
        RunState::Ready | RunState::Paused => error("is not paused; it goes on already"),
        RunState::Stopping | RunState::Stopped | RunState::Failed => {
            error("is over and cannot go on").hint("Start the lab again.")
        }
    }
}

/// Who brings a stop to its end.
enum Whose {
    Ours,
    Theirs,
    Over,
}

/// See [`Forge::at_work`].
pub(super) struct AtWork<'a> {
    works: &'a Mutex<HashMap<String, usize>>,
    run: String,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        let mut works = lock(self.works);
        if let Some(count) = works.get_mut(&self.run) {
            *count -= 1;
            if *count == 0 {
                works.remove(&self.run);
            }
        }
    }
}
