//! Looking whether anything leads out of a running lab: quickly, as every launch does, or in full by forty techniques. Each
//! outcome goes into the run's row, and with it into what is submitted and shown.

use super::jobs::Reporter;
use super::{Forge, lock, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::error::{Code, Error, Result};
use crate::lab;
use crate::spawn::acting::Class;
use crate::store::runs;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const KIND: &str = "isolation";
/// A stop waits so long for a probe of the run to remove what it made.
const PROBE_ENDS: Duration = Duration::from_secs(20);

impl Forge {
    pub(super) async fn probe(&self, caller: &Caller, request: ProbeIsolation) -> Result<Vec<IsolationRow>> {
        let run = request.run.as_str();
        self.ready_row(run).await?;
        if request.full { self.probe_in_full(caller, run).await } else { self.probe_quickly(caller, run).await }
    }

    async fn probe_quickly(&self, caller: &Caller, run: &str) -> Result<Vec<IsolationRow>> {
        let live = self.live(run).await?;
        let rows = lab::look(&live).await?;
        let quick = rows.clone();
        self.keep_proof(caller, run, &rows, move |isolation| isolation.quick = quick).await?;
        Ok(rows)
    }

    /// The work goes on in a task of its own: a caller that goes away must not leave half a world behind.
    async fn probe_in_full(&self, caller: &Caller, run: &str) -> Result<Vec<IsolationRow>> {
        let cancel = self.shutdown.child_token();
        if lock(&self.probes).contains_key(run) {
            return Err(Error::new(Code::WrongState, format!("The isolation of run {run} is being proven already."))
                .hint("Wait for it; its steps are in the run's events."));
        }
        // The app itself does it, with more rights than any node of the lab has.
        self.may_act(caller, run, vec![self.by_itself("isolation", Class::Privileged).await?], None).await?;
        let (forge, caller, id) = (self.arc()?, caller.clone(), run.to_owned());
        lock(&self.probes).insert(id.clone(), cancel.clone());
        let work = tokio::spawn(async move {
            let outcome = forge.prove_isolation(&caller, &id, cancel).await;
            lock(&forge.probes).remove(&id);
            outcome
        });
        work.await.map_err(|e| Error::internal(format!("the isolation probe ended early: {e}")))?
    }

    async fn prove_isolation(
        &self,
        caller: &Caller,
        run: &str,
        cancel: CancellationToken,
    ) -> Result<Vec<IsolationRow>> {
        let began = Instant::now();
        // One at a time for the whole installation: whoever holds this may remove what no probe owns.
        let _held = self.probe_lock(Duration::from_secs(60)).await?;
        // Nothing else disturbs or grades the lab meanwhile.
        let _turn = self.turn(run, true).await?;
        self.ready_row(run).await?;
        let live = self.live(run).await?;
        let image = self.images.resolve("tools").await?;
        let reporter = Reporter::begin(self.arc()?, caller, KIND, Some(run), cancel.clone());
        let proven = lab::prove(&live, self.outside.as_ref(), &image, &reporter, &cancel).await;
        let error = proven.as_ref().err().cloned();
        let text = match &proven {
            Ok(rows) => format!("{} ways out tried: {}.", rows.len(), summary(rows)),
            Err(e) => e.message.clone(),
        };
        reporter.end(error, text).await;
        let rows = proven?;
        let full = FullProof {
            at: now(),
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            rows: rows.clone(),
        };
        self.keep_proof(caller, run, &rows, move |isolation| isolation.full = Some(full)).await?;
        Ok(rows)
    }

    /// Saves what was found. A leak found once stays until a look of the same kind finds none.
    async fn keep_proof(
        &self,
        caller: &Caller,
        run: &str,
        rows: &[IsolationRow],
        change: impl FnOnce(&mut Isolation) + Send + 'static,
    ) -> Result<()> {
        let (id, at) = (run.to_owned(), now());
        let data = serde_json::json!({
            "tried": rows.len(),
            "controls": rows.iter().filter(|r| r.control).count(),
            "escaped": rows.iter().filter(|r| r.escaped).map(|r| r.id.as_str()).collect::<Vec<_>>(),
        });
        let fact = Fact { at, run: Some(run.to_owned()), kind: "isolation".into(), data: data.clone() };
        let saved = self
            .store
            .write(move |tx| {
                let row = runs::get(tx, &id)?;
                let mut isolation = row.isolation.unwrap_or_else(|| Isolation::unknown(""));
                change(&mut isolation);
                (isolation.state, isolation.detail) = judged(&isolation);
                isolation.at = Some(at);
                runs::set_isolation(tx, &id, &isolation)?;
                audit::append(tx, fact)?;
                Ok(isolation)
            })
            .await?;
        let level = if saved.state == IsolationState::Leaking { Level::Error } else { Level::Info };
        let data = serde_json::json!({"state": saved.state, "found": data});
        self.emit(caller, Some(run), "isolation.report", level, saved.detail, data).await;
        Ok(())
    }

    /// Ends the probe of a run that this process is busy with, and waits until it has cleared up.
    pub(super) async fn end_probe(&self, run: &str) {
        let Some(cancel) = lock(&self.probes).get(run).cloned() else { return };
        cancel.cancel();
        let until = tokio::time::Instant::now() + PROBE_ENDS;
        while lock(&self.probes).contains_key(run) && tokio::time::Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is left of probes when nobody is probing: a process was killed.
    pub(super) async fn sweep_probes(&self) -> Result<()> {
        let Ok(_held) = self.probe_lock(Duration::ZERO).await else { return Ok(()) };
        let removed = lab::clear_probe(self.engine.as_ref(), self.outside.as_ref(), &self.instance, None).await?;
        if removed > 0 {
            tracing::info!(removed, "removed what is left of an isolation probe");
        }
        Ok(())
    }

    pub(super) async fn probe_lock(&self, limit: Duration) -> Result<std::fs::File> {
        self.lock_file("probe.lock", limit, "Another isolation probe is under way.").await
    }
}

fn summary(rows: &[IsolationRow]) -> String {
    let escaped = rows.iter().filter(|r| r.escaped).count();
    let broken = rows.iter().filter(|r| !r.control).count();
    match (escaped, broken) {
        (0, 0) => "none led out, every control worked".into(),
        (0, n) => format!("none led out, but {n} controls did not work"),
        (n, 0) => format!("{n} led out"),
        (n, m) => format!("{n} led out, {m} controls did not work"),
    }
}

/// A lab is isolated when everything that was looked at holds; a broken control leaves it unproven.
fn judged(isolation: &Isolation) -> (IsolationState, String) {
    let full: &[IsolationRow] = isolation.full.as_ref().map_or(&[], |f| &f.rows);
    let all: Vec<&IsolationRow> = isolation.quick.iter().chain(full).collect();
    let out: Vec<&str> = all.iter().filter(|r| r.escaped).map(|r| r.technique.as_str()).collect();
    if !out.is_empty() {
        return (IsolationState::Leaking, format!("Something leads out of this lab: {}.", out.join("; ")));
    }
    if all.is_empty() || isolation.quick.iter().any(|r| !r.control) {
        let blind: Vec<&str> = isolation.quick.iter().filter(|r| !r.control).map(|r| r.detail.as_str()).collect();
        return (IsolationState::Unknown, format!("Not proven: {}.", blind.join("; ")));
    }
    let tried =
        if full.is_empty() { String::new() } else { format!(" {} ways out tried: {}.", full.len(), summary(full)) };
    (IsolationState::Isolated, format!("No interface, route or namespace leads out of the lab.{tried}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(control: bool, escaped: bool) -> IsolationRow {
        IsolationRow {
            id: "x".into(),
            group: "g".into(),
            technique: "A way".into(),
            control,
            escaped,
            detail: "why".into(),
        }
    }

    #[test]
    fn a_lab_is_isolated_only_when_all_that_was_tried_holds() {
        let with = |quick: Vec<IsolationRow>, full: Vec<IsolationRow>| {
            let full = (!full.is_empty()).then_some(FullProof { at: 1, ms: 2, rows: full });
            judged(&Isolation { quick, full, ..Isolation::unknown("") })
        };
        let good = || vec![row(true, false)];
        assert_eq!(with(good(), vec![]).0, IsolationState::Isolated);
        assert_eq!(with(good(), good()).0, IsolationState::Isolated);
        assert!(with(good(), good()).1.contains("1 ways out tried: none led out"));
        assert_eq!(with(good(), vec![row(true, true)]).0, IsolationState::Leaking);
        assert_eq!(
            with(vec![row(false, true)], good()).0,
            IsolationState::Leaking,
            "an escape counts whatever its control"
        );
        assert_eq!(with(vec![row(false, false)], good()).0, IsolationState::Unknown);
        assert_eq!(with(vec![], vec![]).0, IsolationState::Unknown);
        let (state, words) = with(good(), vec![row(false, false)]);
        assert!(state == IsolationState::Isolated && words.contains("controls did not work"), "{words}");
    }
}
