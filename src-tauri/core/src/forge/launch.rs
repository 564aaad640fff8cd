//! Starting a lab: intake here, the launch itself in a task of its own that survives the caller, not the process.

use super::clock::{self, summary};
use super::steps::{Steps, ms};
use super::{Forge, lock, now};
use crate::api::{Caller, Isolation, IsolationState, Level, RunState, RunSummary, StartLab, Step, StepState};
use crate::error::{Code, Error, Result};
use crate::fault;
use crate::lab::{self, Live, Plan, Progress as _};
use crate::spawn::billing::Billing;
use crate::spawn::{self, Admission, Settlement, SpentToken};
use crate::store::{events, intents, runs};
use crate::template::scenario::Scenario;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a launching process looks whether another one asked to stop the run.
const STOP_POLL: Duration = Duration::from_millis(150);

impl Forge {
    pub(super) async fn start(&self, caller: &Caller, request: StartLab) -> Result<RunSummary> {
        let began = Instant::now();
        let lab = self.catalogue().get(&request.lab)?;
        let request_id = request.request_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string());
        // Before a seed is drawn, because the run this id has may have drawn one already.
        let (id, name, seed) = (request_id.clone(), lab.id.clone(), request.seed.clone());
        let known = self.store.read(move |c| spawn::existing(c, &id, &name, seed.as_deref())).await?;
        if let Some(row) = known {
            return Ok(summary(&row));
        }
        let seed = match &request.seed {
            Some(seed) => checked_seed(seed)?,
            None => fresh_seed(),
        };
        let pin = self.pinned(caller, &lab).await?;
        let mut scenario = lab.instantiate(&seed)?;
        let approved_profiles = self.open_egress(&mut scenario)?;
        let standing = self.standing().await?;
        // Docker gone is said before anything is written; a run that never began needs no row.
        let ((), machine) = tokio::join!(self.repair_if_alone(), self.machine_now());
        let machine = machine?;
        let run = spawn::draw_run_id(&mut *super::rng());
        // Known as under way before its row exists: a row of ours that is not is taken for one that nobody brings to an end.
        let launching = Launching::begin(self.arc()?, &run);
        let mut asked = spawn::Request {
            request_id,
            asked_seed: request.seed,
            pin,
            nodes: lab::rights(&scenario),
            footprint: lab::footprint(&scenario),
            subject: standing.subject,
            tenant: standing.tenant,
            access: standing.access,
            entitlement: standing.entitlement,
            settlement: Settlement::stub(),
            approved_profiles,
            machine,
            correlation: caller.correlation.clone(),
            scrubber: super::submit::this_laptop(&scenario),
            owner: self.owner(),
            run,
            jti: spawn::draw_jti(&mut rand::rng()),
            now: now(),
            scenario: scenario.clone(),
        };
        let paid = match &standing.billing {
            Billing::Stub => Ok(()),
            Billing::Gateway(gateway) => self.pay(caller, gateway, &mut asked).await,
        };
        fault::point("start.admit.before");
        let admitted = match paid {
            Ok(()) => spawn::admit(&self.store, &self.policy, &self.keys, asked).await,
            Err(e) => Err(e),
        };
        self.happened.notify_one();
        let (row, token) = match admitted {
            Ok(Admission::Existing(row)) => return Ok(row.summary(now())),
            Ok(Admission::New(row, token)) => (row, token),
            Err(e) => return Err(self.tell_unfair(caller, e).await),
        };
        fault::point("start.admit.after");
        self.emit(
            caller,
            Some(&row.run),
            "run.state",
            Level::Info,
            format!("Starting {} (seed {}).", row.lab_title, row.seed),
            serde_json::json!({"state": RunState::Starting, "lab": row.lab}),
        )
        .await;
        let caller = caller.clone();
        tokio::spawn(async move {
            let (forge, run) = (launching.forge.clone(), launching.run.clone());
            forge.launch(&caller, &run, scenario, token, began, launching.cancel.clone()).await;
        });
        Ok(summary(&row))
    }

    async fn launch(
        self: &Arc<Self>,
        caller: &Caller,
        run: &str,
        scenario: Scenario,
        token: SpentToken,
        began: Instant,
        cancel: CancellationToken,
    ) {
        let steps = Steps::new(self.clone(), caller.clone(), run.to_owned());
        steps.step(Step {
            name: "admit".into(),
            state: StepState::Done,
            ms: ms(began),
            detail: "gates passed, token spent".into(),
            percent: None,
        });
        let watcher = self.clone().cancel_when_stopped(run.to_owned(), cancel.clone());
        let watching = tokio::spawn(watcher);
        let outcome = self.launch_steps(caller, run, &scenario, token, &steps, &cancel).await;
        watching.abort();
        let steps = steps.finish().await;
        let settled = match outcome {
            Ok(live) => self.launched(caller, run, &scenario, &steps, live, began).await,
            Err(e) => Err(e),
        };
        if let Err(e) = settled {
            // Before the state changes: whoever waits for it reads the steps next.
            let id = run.to_owned();
            if let Err(e) = self.store.write_relaxed(move |tx| runs::set_steps(tx, &id, &steps)).await {
                tracing::error!(run, "the steps of a launch could not be saved: {e}");
            }
            self.launch_failed(caller, run, &e).await;
        }
        self.settled.notify_waiters();
    }

    async fn launch_steps(
        &self,
        caller: &Caller,
        run: &str,
        scenario: &Scenario,
        token: SpentToken,
        steps: &Steps,
        cancel: &CancellationToken,
    ) -> Result<Arc<Live>> {
        fault::point("start.images.before");
        // At once: the log's way to the disk is not waited for on the way to a ready lab.
        let (images, asked) =
            tokio::join!(self.images_for(scenario, steps, cancel), self.ask_again(&caller.correlation, run, scenario));
        asked?;
        let images = images?;
        fault::point("start.images.after");
        let plan = Plan::new(token, self.identity(run), Arc::new(scenario.clone()), &images)?;
        lab::launch(self.engine.clone(), &plan, steps, cancel).await
    }

    /// By digest; what is missing is prepared on the way, so that a first start needs no other click.
    async fn images_for(&self, scenario: &Scenario, steps: &Steps, cancel: &CancellationToken) -> Result<lab::Images> {
        let began = Instant::now();
        let step =
            |state, percent, detail: String| Step { name: "images".into(), state, ms: ms(began), detail, percent };
        steps.step(step(StepState::Running, None, String::new()));
        let mut names: Vec<String> = scenario.nodes.iter().map(|n| n.image.clone()).collect();
        names.push("tools".into());
        names.sort();
        names.dedup();
        let found = match self.resolve_all(&names).await {
            Err(e) if e.code == Code::ImageMissing => {
                let tell = |p: crate::engine::images::Progress| {
                    steps.step(step(
                        StepState::Running,
                        Some(p.percent),
                        format!("{}: {} {}", p.image, p.step, p.detail),
                    ));
                };
                match self.images.prepare(&names, &tell, cancel).await {
                    Ok(()) => self.resolve_all(&names).await,
                    Err(e) => Err(e),
                }
            }
            other => other,
        };
        match &found {
            Ok(images) => steps.step(step(StepState::Done, None, format!("{} by digest", images.len()))),
            Err(e) => steps.step(step(StepState::Failed, None, e.message.clone())),
        }
        found
    }

    pub(super) async fn resolve_all(&self, names: &[String]) -> Result<lab::Images> {
        let each = names.iter().map(|name| async move { Ok((name.clone(), self.images.resolve(name).await?)) });
        futures_util::future::try_join_all(each).await.map(|found| found.into_iter().collect())
    }

    /// The run is ready: its clock starts. A stop that came in at the last moment wins.
    async fn launched(
        &self,
        caller: &Caller,
        run: &str,
        scenario: &Scenario,
        steps: &[Step],
        live: Arc<Live>,
        began: Instant,
    ) -> Result<()> {
        let ready_ms = ms(began);
        let started = clock::moment();
        let at = started.at;
        let proof = steps.iter().find(|s| s.name == "isolation").map(|s| s.detail.clone()).unwrap_or_default();
        let isolation = Isolation {
            state: IsolationState::Isolated,
            detail: proof,
            at: Some(at),
            quick: live.proof().to_vec(),
            full: None,
        };
        let deadline = at + i64::from(scenario.limits.timeout_minutes) * 60_000;
        let id = run.to_owned();
        let owner = self.owner();
        let steps = steps.to_vec();
        lock(&self.live).insert(run.to_owned(), live.clone());
        fault::point("start.record.before");
        let saved = self
            .store
            .write(move |tx| {
                runs::ready(tx, &id, ready_ms, &started, deadline)?;
                runs::set_steps(tx, &id, &steps)?;
                runs::set_isolation(tx, &id, &isolation)?;
                intents::clear(tx, &id, Some("launch"))?;
                runs::release(tx, &id, &owner)
            })
            .await;
        if let Err(e) = saved {
            lock(&self.live).remove(run);
            lab::stop(self.engine.as_ref(), &self.identity(run)).await?;
            return Err(e);
        }
        fault::point("start.record.after");
        self.emit(
            caller,
            Some(run),
            "run.state",
            Level::Info,
            format!("Ready after {ready_ms} ms."),
            serde_json::json!({"state": RunState::Ready, "ready_ms": ready_ms, "deadline": deadline}),
        )
        .await;
        self.kick.notify_one();
        self.ensure_keeper();
        Ok(())
    }

    /// What was made is gone by now (`lab::launch` sees to it); the row says how it ended. Its event is written together with it:
    /// whoever sees the one looks for the error in the other.
    async fn launch_failed(&self, caller: &Caller, run: &str, error: &Error) {
        let cancelled = error.code == Code::Cancelled;
        let text =
            if cancelled { "Start cancelled; nothing was left behind.".to_owned() } else { error.message.clone() };
        let level = if cancelled { Level::Info } else { Level::Error };
        let (id, reason, stream) = (run.to_owned(), error.message.clone(), self.events.clone());
        let (correlation, said, cause) = (caller.correlation.clone(), text.clone(), error.clone());
        let outcome = self
            .store
            .write(move |tx| {
                intents::clear(tx, &id, Some("launch"))?;
                let row = runs::get(tx, &id)?;
                let row = match row.state {
                    // Somebody else is stopping it and waits for us to let go.
                    RunState::Stopping => runs::stopped(tx, &id, now())?,
                    RunState::Stopped | RunState::Failed => row,
                    _ if cancelled => {
                        runs::stopping(tx, &id, "cancelled while starting")?;
                        runs::stopped(tx, &id, now())?
                    }
                    _ => runs::failed(tx, &id, &reason, now())?,
                };
                let data = serde_json::json!({"state": row.state, "error": cause});
                let event = stream.draft(&correlation, Some(&id), "run.state", level, said, data);
                events::append(tx, event)
            })
            .await;
        match outcome {
            Ok(event) => {
                self.events.announce(&event);
                self.happened.notify_one();
            }
            Err(e) => {
                tracing::error!(run, "a failed start could not be recorded: {e}");
                // Whoever waits for it must not wait for a row that cannot change; a repair closes it when there is room.
                lock(&self.unsaid).insert(run.to_owned(), if cancelled { e } else { error.clone() });
                let data = serde_json::json!({"state": RunState::Failed, "error": error});
                self.emit(caller, Some(run), "run.state", level, text, data).await;
            }
        }
    }

    async fn cancel_when_stopped(self: Arc<Self>, run: String, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            tokio::time::sleep(STOP_POLL).await;
            match self.run_row(&run).await {
                Ok(row) if row.state == RunState::Starting => {}
                Ok(_) => return cancel.cancel(),
                Err(e) => tracing::warn!(run, "a launching run's state could not be read: {e}"),
            }
        }
    }
}

/// A start that is under way in this process, until it is dropped.
struct Launching {
    forge: Arc<Forge>,
    run: String,
    cancel: CancellationToken,
}

impl Launching {
    fn begin(forge: Arc<Forge>, run: &str) -> Self {
        let cancel = forge.shutdown.child_token();
        lock(&forge.launches).insert(run.to_owned(), cancel.clone());
        Self { forge, run: run.to_owned(), cancel }
    }
}

impl Drop for Launching {
    fn drop(&mut self) {
        lock(&self.forge.launches).remove(&self.run);
    }
}

fn checked_seed(seed: &str) -> Result<String> {
    let fine = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if (1..=64).contains(&seed.len()) && seed.bytes().all(fine) {
        Ok(seed.to_owned())
    } else {
        Err(Error::new(Code::InvalidInput, "A seed is 1 to 64 of the characters A-Z a-z 0-9 . _ -"))
    }
}

/// 128 random bits as hex.
fn fresh_seed() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn seeds_keep_their_alphabet() {
        assert!(checked_seed("class-2026_a.1").is_ok());
        for bad in ["", "two words", "ü", &"x".repeat(65), "a/b"] {
            assert_eq!(checked_seed(bad).unwrap_err().code, Code::InvalidInput, "{bad:?}");
        }
    }
}
