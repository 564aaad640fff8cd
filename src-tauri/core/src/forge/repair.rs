//! Repair: compares Docker's labels and the open intents with the rows, and finishes or undoes what a process that is no
//! more left half-done. It never touches an object without this installation's label, and what may have changed since it
//! looked it looks at again before it acts.

use super::presence::RepairLock;
use super::{Forge, clock, engine_caller, lock, now};
use crate::api::{Caller, Level, RunState};
use crate::check::vantage::Vantage;
use crate::engine::ContainerState;
use crate::error::{Code, Error, Result};
use crate::lab;
use crate::store::intents::{self, Intent};
use crate::store::runs;
use crate::template::scenario::Disturbance;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long two repairs at once wait for each other.
const TURN: Duration = Duration::from_secs(60);

/// Intents that a repair settles by themselves; `launch` and `stop` go with the state of their run.
const INTERRUPTED: [&str; 4] = ["submit", "disturb", "pause", "revive"];

/// What an intent says about who acts; whatever else it says lies beside it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Actor {
    /// As in [`runs::Owner`].
    pub process: String,
}

/// An intent to change a lab and to change it back.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Disturbed {
    what: Disturbance,
}

impl Forge {
    /// Finishes stops and submissions, sweeps starts whose process died, brings back runs that went down with the engine,
    /// undoes what a check had changed, fails runs whose containers are gone, removes what belongs to nothing.
    pub async fn recover(&self) -> Result<()> {
        let Some(_alone) = RepairLock::take(&self.options.home, TURN).await? else { return Ok(()) };
        let caller = engine_caller("repair");
        // Needs no Docker, so it is not held up by one that is away.
        if let Err(e) = self.settle_submissions(&caller, None).await {
            tracing::warn!("interrupted submissions could not be settled yet: {e}");
        }
        self.store.write(intents::clear_over).await?;
        // The rows first: what is ready by then has its containers, or has lost them.
        let rows = self.store.read(|c| runs::list(c, false)).await?;
        let found = lab::survey(self.engine.as_ref(), &self.instance).await?;
        for row in &rows {
            let outcome = match row.state {
                RunState::Starting | RunState::Stopping if self.abandoned(row) => {
                    self.finish_abandoned(&caller, row).await
                }
                RunState::Ready | RunState::Paused if self.forlorn(row) => {
                    self.stop(&caller, &row.run, "the process that tried a submission again is gone").await.map(drop)
                }
                RunState::Ready | RunState::Paused if self.abandoned(row) => {
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

    /// Nobody will bring it to an end: no process owns it, its owner is gone, or it is this one and has given up.
    pub(super) fn abandoned(&self, row: &runs::Run) -> bool {
        row.owner.as_ref().is_none_or(|o| self.left_alone(&row.run, &o.process))
    }

    fn left_alone(&self, run: &str, process: &str) -> bool {
        if process == self.presence.id {
            return !lock(&self.works).contains_key(run) && !lock(&self.launches).contains_key(run);
        }
        !super::presence::Presence::alive(&self.options.home, process)
    }

    /// Writes down what this process is about to do to the world; `data` is for whoever must finish or undo it.
    pub(super) async fn intend(&self, run: &str, kind: &'static str, data: serde_json::Value) -> Result<i64> {
        let (id, data) = (run.to_owned(), self.signed(data)?);
        self.store
            .write(move |tx| {
                // Another process may have stopped it: what is written down now nobody would settle.
                let state = runs::get(tx, &id)?.state;
                if !runs::alive(state) {
                    return Err(Error::new(Code::WrongState, format!("Run {id} is over.")));
                }
                intents::begin(tx, &id, kind, now(), &data)
            })
            .await
    }

    /// The data of an intent with its actor in it.
    pub(super) fn signed(&self, data: serde_json::Value) -> Result<serde_json::Value> {
        let mut signed = serde_json::to_value(Actor { process: self.presence.id.clone() })?;
        if let (Some(all), serde_json::Value::Object(more)) = (signed.as_object_mut(), data) {
            all.extend(more);
        }
        Ok(signed)
    }

    /// Open intents of these kinds whose process will not close them.
    pub(super) async fn interrupted(&self, kinds: &[&str], run: Option<&str>) -> Result<Vec<Intent>> {
        let run = run.map(str::to_owned);
        let open = self
            .store
            .read(move |c| match run {
                Some(run) => intents::of_run(c, &run),
                None => intents::open(c),
            })
            .await?;
        let by_nobody = |i: &Intent| {
            let actor = serde_json::from_value::<Actor>(i.data.clone());
            actor.map_or(true, |a| self.left_alone(&i.run, &a.process))
        };
        Ok(open.into_iter().filter(|i| kinds.contains(&i.kind.as_str()) && by_nobody(i)).collect())
    }

    async fn finish_abandoned(&self, caller: &Caller, row: &runs::Run) -> Result<()> {
        let _at_work = self.at_work(&row.run);
        let (id, owner, old) = (row.run.clone(), self.owner(), row.owner.clone());
        let claimed = self
            .store
            .write(move |tx| {
                // A start may have become ready since, or a stop may be over.
                let now_is = runs::get(tx, &id)?;
                if !matches!(now_is.state, RunState::Starting | RunState::Stopping) || now_is.owner != old {
                    return Ok(false);
                }
                runs::claim(tx, &id, old.as_ref(), &owner)?;
                if now_is.state == RunState::Starting {
                    runs::stopping(tx, &id, "the process that started it ended before it was ready")?;
                }
                intents::begin(tx, &id, "stop", now(), &serde_json::Value::Null)?;
                Ok(true)
            })
            .await?;
        if claimed { self.clear_up(caller, &row.run).await.map(drop) } else { Ok(()) }
    }

    async fn see_that_it_lives(&self, caller: &Caller, row: &runs::Run, found: Option<&lab::Found>) -> Result<()> {
        let scenario = self.scenario(&row.run).await?;
        let mut gone = missing(&scenario, found);
        if !gone.is_empty() {
            // Repairing the runs before this one takes its time: what was seen then may be long past.
            let found = lab::survey(self.engine.as_ref(), &self.instance).await?;
            gone = missing(&scenario, found.iter().find(|f| f.run == row.run));
        }
        if !gone.is_empty() {
            return self.fail_removed(caller, row, &format!("removed from outside: {}", gone.join(", "))).await;
        }
        if let Some(boot) = row.started.as_ref().and_then(clock::rebooted) {
            let id = row.run.clone();
            self.store.write(move |tx| runs::counts_from(tx, &id, &boot)).await?;
        }
        let half_way = !self.interrupted(&["revive"], Some(&row.run)).await?.is_empty();
        // A node that ended by itself is the learner's to see and restart; a fabric that ended went down with the engine.
        if found.and_then(|f| f.fabric) != Some(ContainerState::Running) {
            self.bring_back(caller, row, half_way).await?;
        } else if half_way || !self.live(&row.run).await?.woven().await? {
            self.bring_back(caller, row, true).await?;
        }
        self.thaw(row).await?;
        self.settle_disturbances(&row.run).await
    }

    async fn fail_removed(&self, caller: &Caller, row: &runs::Run, reason: &str) -> Result<()> {
        let (id, why) = (row.run.clone(), reason.to_owned());
        let failed = self
            .store
            .write(move |tx| {
                // Its containers may be gone because somebody has just stopped it.
                if !matches!(runs::get(tx, &id)?.state, RunState::Ready | RunState::Paused) {
                    return Ok(None);
                }
                intents::clear_but(tx, &id, "submit")?;
                runs::failed(tx, &id, &why, now()).map(Some)
            })
            .await?;
        let Some(failed) = failed else { return Ok(()) };
        self.forget(&row.run).await;
        self.tell_state(caller, &failed, "Its containers were removed from outside; your submissions are safe.").await;
        lab::stop(self.engine.as_ref(), &self.identity(&row.run)).await.map(drop)
    }

    async fn bring_back(&self, caller: &Caller, row: &runs::Run, half_way: bool) -> Result<()> {
        self.tell_log(caller, &row.run, "Docker went down under this run; bringing it back as it was.").await;
        let old = self.interrupted(&["revive"], Some(&row.run)).await?;
        let intent = self.intend(&row.run, "revive", serde_json::Value::Null).await?;
        lock(&self.live).remove(&row.run);
        let live = self.live(&row.run).await?;
        let back = async {
            lab::revive(&live, super::life::NODE_BACK, half_way).await?;
            if row.state == RunState::Paused { lab::pause(&live).await } else { Ok(()) }
        };
        let back = match back.await {
            // A node that does not start any more is the learner's to see; starting all of them again would not mend it.
            Err(e) if e.details.get("node").or(e.details.get("waiting")).is_some() => Err(e),
            // The engine's doing: the intent stays open, and it is tried again.
            Err(e) => return Err(e),
            Ok(()) => Ok(()),
        };
        let done = move |tx: &crate::store::Tx<'_>| {
            old.iter().map(|i| i.id).chain([intent]).try_for_each(|id| intents::close(tx, id))
        };
        self.store.write(done).await?;
        let text = match &back {
            Ok(()) => "The lab is back, wired as before.".to_owned(),
            Err(e) => format!("The lab is back, but not as it was: {}", e.message),
        };
        self.tell_log(caller, &row.run, &text).await;
        back
    }

    /// A process ended between freezing the nodes and saying so.
    async fn thaw(&self, row: &runs::Run) -> Result<()> {
        for intent in self.interrupted(&["pause"], Some(&row.run)).await? {
            if row.state == RunState::Ready {
                lab::resume(&*self.live(&row.run).await?).await?;
            }
            self.store.write(move |tx| intents::close(tx, intent.id)).await?;
        }
        Ok(())
    }

    /// Takes back what a check that was killed had changed in the lab.
    pub(super) async fn settle_disturbances(&self, run: &str) -> Result<()> {
        for intent in self.interrupted(&["disturb"], Some(run)).await? {
            match serde_json::from_value::<Disturbed>(intent.data) {
                Ok(disturbed) => {
                    self.live(run).await?.undo(&disturbed.what).await?;
                    tracing::info!(run, what = ?disturbed.what, "took back what an interrupted check had changed");
                }
                Err(e) => tracing::error!(run, "an intent to disturb a lab cannot be read: {e}"),
            }
            self.store.write(move |tx| intents::close(tx, intent.id)).await?;
        }
        Ok(())
    }

    pub(super) async fn tell_log(&self, caller: &Caller, run: &str, text: &str) {
        self.emit(caller, Some(run), "log", Level::Info, text, serde_json::Value::Null).await;
    }

    /// A command that nobody keeps runs for looks after them itself before it tells of them or adds another.
    pub(super) async fn repair_if_alone(&self) {
        if self.options.keep {
            return;
        }
        match super::presence::KeeperLock::taken(&self.options.home) {
            // The keeper sees it within a tick; until then the truth is not known.
            Ok(true) => {
                let until = tokio::time::Instant::now() + super::keep::KEEPER_MENDS;
                while self.anything_abandoned().await && tokio::time::Instant::now() < until {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                // Once the keeper has claimed a run, somebody owns it again; what is left of it is gone when the repair is over.
                let left = until.saturating_duration_since(tokio::time::Instant::now());
                if let Err(e) = RepairLock::take(&self.options.home, left).await {
                    tracing::warn!(code = ?e.code, "the repair's lock could not be looked at: {e}");
                }
            }
            Ok(false) => match self.recover().await {
                Ok(()) => {}
                // Said by whatever the command does next, if it needs Docker.
                Err(e) if e.code == Code::DockerUnavailable => {}
                Err(e) => tracing::warn!(code = ?e.code, "repair is not complete: {e}"),
            },
            Err(e) => tracing::warn!("the keeper's lock could not be looked at: {e}"),
        }
    }

    /// Whether a run is being started or stopped, or a submission made, by a process that will not finish it.
    pub(super) async fn anything_abandoned(&self) -> bool {
        let looked = async {
            let rows = self.store.read(|c| runs::list(c, false)).await?;
            let half_way = |r: &runs::Run| matches!(r.state, RunState::Starting | RunState::Stopping);
            let left = rows.iter().any(|row| (half_way(row) && self.abandoned(row)) || self.forlorn(row));
            Ok::<_, Error>(left || !self.interrupted(&INTERRUPTED, None).await?.is_empty())
        };
        looked.await.unwrap_or_else(|e| {
            tracing::warn!("the runs could not be read: {e}");
            false
        })
    }
}

/// Nodes of the scenario, and the fabric, that do not exist any more.
fn missing(scenario: &crate::template::scenario::Scenario, found: Option<&lab::Found>) -> Vec<String> {
    let dead = |state: Option<ContainerState>| matches!(state, None | Some(ContainerState::Dead));
    let nodes = scenario.nodes.iter().map(|n| n.name.clone());
    let mut gone: Vec<String> = nodes.filter(|n| dead(found.and_then(|f| f.nodes.get(n)).copied())).collect();
    if dead(found.and_then(|f| f.fabric)) {
        gone.push("fabric".into());
    }
    gone
}
