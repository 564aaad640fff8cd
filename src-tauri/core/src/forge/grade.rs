//! Grading while the learner works: on demand, continuously while somebody looks, and hints with their price.

use super::journal::Journal;
use super::{Forge, engine_caller, lock, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::check::{self, Options};
use crate::error::{Code, Error, Result};
use crate::fault;
use crate::lab::Live;
use crate::store::runs;
use crate::template::scenario::Scenario;
use std::collections::BTreeMap;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// How long one `watch_run` keeps continuous checking on.
pub(super) const WATCH: Duration = Duration::from_secs(30);
/// Rest between two continuous checks, so that they cost little.
const PACE: Duration = Duration::from_secs(2);
/// A check that waits for another one of the same run gives up after this.
const TURN: Duration = Duration::from_secs(120);

impl Forge {
    pub(super) async fn check(&self, caller: &Caller, request: CheckRun) -> Result<CheckReport> {
        self.checked(caller, request, false).await
    }

    async fn checked(&self, caller: &Caller, request: CheckRun, at_once: bool) -> Result<CheckReport> {
        self.ready_row(&request.run).await?;
        let scenario = self.scenario(&request.run).await?;
        if let Some(unknown) = request.criteria.iter().find(|id| scenario.criteria.iter().all(|c| c.id != **id)) {
            let known: Vec<&str> = scenario.criteria.iter().map(|c| c.id.as_str()).collect();
            return Err(Error::new(Code::NotFound, format!("This lab has no criterion “{unknown}”."))
                .hint(format!("It has {}.", known.join(", "))));
        }
        let live = self.live(&request.run).await?;
        let _turn = self.turn(&request.run, !request.gentle).await?;
        let graded = self.graded(caller, &live, &scenario, &request, at_once).await?;
        let kept = self.keep_report(caller, graded.report).await;
        fault::point("check.record.after");
        kept
    }

    /// Runs the probes, gentle ones only once with `at_once`. The caller holds the run's turn.
    pub(super) async fn graded(
        &self,
        caller: &Caller,
        live: &Arc<Live>,
        scenario: &Scenario,
        request: &CheckRun,
        at_once: bool,
    ) -> Result<Graded> {
        let CheckRun { run, criteria, gentle } = request;
        let (id, gentle) = (run.clone(), *gentle);
        if !gentle {
            // What a check that was killed left changed would be held against the learner.
            self.settle_disturbances(run).await?;
        }
        let _at_work = self.at_work(run);
        let revealed = self.store.read(move |c| runs::revealed_hints(c, &id)).await?;
        let costs = hint_costs(scenario, &revealed);
        let options = Options {
            gentle,
            only: criteria.iter().cloned().collect(),
            at_once,
            cancel: self.shutdown.child_token(),
            on_outcome: if gentle { None } else { Some(self.telling(caller, run)?) },
            hint_costs: costs.clone(),
        };
        tracing::debug!(correlation = caller.correlation, run, gentle, "checking");
        fault::point("check.probes.before");
        let lab = Arc::new(Journal { forge: self.arc()?, live: live.clone() });
        let found = check::run(lab, &scenario.criteria, &options).await?;
        fault::point("check.probes.after");
        for left in &found.unrestored {
            let text = format!("A check could not put the lab back as it was ({left}); restart its nodes.");
            self.emit(caller, Some(run), "log", Level::Error, text, serde_json::Value::Null).await;
        }
        let report = CheckReport {
            run: run.to_owned(),
            at: now(),
            score: found.score,
            max: found.max,
            criteria: found.outcomes,
        };
        Ok(Graded { report, findings: found.findings, hint_costs: costs })
    }

    /// Each outcome as it comes, for whoever watches a full check; the report that follows is what counts.
    fn telling(&self, caller: &Caller, run: &str) -> Result<check::run::OnOutcome> {
        let (forge, caller, run) = (self.arc()?, caller.clone(), run.to_owned());
        Ok(Arc::new(move |outcome: &CriterionOutcome| {
            let (forge, caller, run) = (forge.clone(), caller.clone(), run.clone());
            let text = format!("{}: {}", outcome.title, outcome.outcome.words());
            let data = serde_json::to_value(outcome).unwrap_or_default();
            tokio::spawn(async move {
                forge.emit(&caller, Some(&run), "check.outcome", Level::Debug, text, data).await;
            });
        }))
    }

    /// Saves a report over what was known before (criteria it left out keep their last outcome), and tells it if it is news.
    async fn keep_report(&self, caller: &Caller, report: CheckReport) -> Result<CheckReport> {
        // What a check saw while its run was ended or paused says nothing about the learner's work.
        let row = self.ready_row(&report.run).await?;
        let merged = merged(row.last_check.as_ref(), report);
        let saved = merged.clone();
        let (run, at) = (merged.run.clone(), now());
        let news = row
            .last_check
            .as_ref()
            .is_none_or(|old| old.criteria.iter().map(news_of).ne(merged.criteria.iter().map(news_of)));
        self.store
            .write_relaxed(move |tx| {
                if news {
                    let outcomes: BTreeMap<&str, OutcomeKind> =
                        saved.criteria.iter().map(|c| (c.id.as_str(), c.outcome)).collect();
                    let data = serde_json::json!({"score": saved.score, "max": saved.max, "outcomes": outcomes});
                    audit::append(tx, Fact { at, run: Some(run.clone()), kind: "check".into(), data })?;
                }
                runs::set_last_check(tx, &run, &saved)
            })
            .await?;
        if news {
            let passed = merged.criteria.iter().filter(|c| c.outcome == OutcomeKind::Pass).count();
            let text = format!("{passed} of {} criteria pass.", merged.criteria.len());
            let data = serde_json::to_value(&merged)?;
            self.emit(caller, Some(&merged.run), "check.report", Level::Info, text, data).await;
        }
        Ok(merged)
    }

    /// Until nobody has asked for it for a while, or the run is no longer there to be checked.
    pub(super) async fn check_while_watched(self: Arc<Self>, run: &str) {
        let caller = engine_caller("watch");
        loop {
            let wanted = lock(&self.watches).get(run).is_some_and(|until| *until > tokio::time::Instant::now());
            if !wanted || self.shutdown.is_cancelled() {
                break;
            }
            match self.run_row(run).await {
                Ok(row) if row.state == RunState::Ready => {}
                Ok(row) if row.state == RunState::Paused => {
                    tokio::time::sleep(PACE).await;
                    continue;
                }
                _ => break,
            }
            let request = CheckRun { run: run.to_owned(), criteria: Vec::new(), gentle: true };
            match self.checked(&caller, request, true).await {
                Ok(_) => {}
                // A full check is under way, or the run has just ended: the next round will see.
                Err(e) if matches!(e.code, Code::Timeout | Code::WrongState) => {}
                Err(e) => tracing::debug!(run, code = ?e.code, "a continuous check could not be made: {e}"),
            }
            tokio::time::sleep(PACE).await;
        }
        lock(&self.watches).remove(run);
    }

    /// Checks that disturb a lab have it alone, across all processes; gentle ones share it.
    pub(super) async fn turn(&self, run: &str, alone: bool) -> Result<Turn> {
        self.hold(run, "check.lock", alone).await
    }

    /// While a program is being started in a node it must not be frozen: Docker then waits for the start, the start for the
    /// frozen node, and resuming for Docker (seen on 20.10). So whoever starts one shares this, and pausing has it alone.
    pub(super) async fn starting_programs(&self, run: &str, alone: bool) -> Result<Turn> {
        self.hold(run, "exec.lock", alone).await
    }

    async fn hold(&self, run: &str, name: &str, alone: bool) -> Result<Turn> {
        let folder = self.run_folder(run);
        std::fs::create_dir_all(&folder)?;
        let file = File::options().create(true).truncate(false).write(true).read(true).open(folder.join(name))?;
        let until = tokio::time::Instant::now() + TURN;
        loop {
            let tried = if alone { file.try_lock() } else { file.try_lock_shared() };
            match tried {
                Ok(()) => return Ok(Turn { _file: file }),
                Err(std::fs::TryLockError::WouldBlock) if tokio::time::Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(std::fs::TryLockError::WouldBlock) => {
                    return Err(Error::new(Code::Timeout, "Another piece of work on this run takes very long.")
                        .hint("Try again in a moment."));
                }
                Err(std::fs::TryLockError::Error(e)) => return Err(e.into()),
            }
        }
    }

    pub(super) async fn reveal(&self, caller: &Caller, request: RevealHint) -> Result<HintInfo> {
        let row = self.run_row(&request.run).await?;
        if !runs::alive(row.state) {
            return Err(Error::new(
                Code::WrongState,
                format!("Run {} is over; its hints no longer matter.", request.run),
            ));
        }
        if self.bound(&row.request_id).await?.is_some_and(|c| !c.hints) {
            return Err(
                Error::new(Code::Denied, "This run belongs to a session without hints.").hint("Ask your instructor.")
            );
        }
        let scenario = self.scenario(&request.run).await?;
        let Some(hint) = scenario.hints.into_iter().find(|h| h.id == request.hint) else {
            return Err(Error::new(Code::NotFound, format!("This lab has no hint “{}”.", request.hint)));
        };
        let (run, id, cost, at) = (request.run.clone(), request.hint.clone(), hint.cost, now());
        let first = self
            .store
            .write(move |tx| {
                let first = runs::reveal_hint(tx, &run, &id, at)?;
                if first {
                    let data = serde_json::json!({"hint": id, "cost": cost});
                    audit::append(tx, Fact { at, run: Some(run), kind: "hint.revealed".into(), data })?;
                }
                Ok(first)
            })
            .await?;
        if first {
            let text = format!("Hint for {}: costs {} points.", hint.criterion, f64::from(hint.cost) / 1000.0);
            let data = serde_json::json!({"hint": hint.id, "criterion": hint.criterion, "cost": hint.cost});
            self.emit(caller, Some(&request.run), "hint.revealed", Level::Info, text, data).await;
        }
        Ok(HintInfo { id: hint.id, criterion: hint.criterion, cost: hint.cost, text: Some(hint.text) })
    }
}

/// A report and what it was judged from.
pub(super) struct Graded {
    pub report: CheckReport,
    pub findings: Vec<check::Finding>,
    /// What the report was graded with: a hint revealed since counts for the next one.
    pub hint_costs: BTreeMap<String, u64>,
}

/// The right to check a run; let go when dropped.
pub(super) struct Turn {
    _file: File,
}

/// Criterion → milli-points its revealed hints cost.
pub(super) fn hint_costs(scenario: &Scenario, revealed: &[String]) -> BTreeMap<String, u64> {
    let mut costs = BTreeMap::new();
    for hint in scenario.hints.iter().filter(|h| revealed.contains(&h.id)) {
        *costs.entry(hint.criterion.clone()).or_insert(0) += u64::from(hint.cost);
    }
    costs
}

/// What makes a report worth telling: everything but how long it took.
fn news_of(c: &CriterionOutcome) -> (&str, OutcomeKind, &str, u64) {
    (&c.id, c.outcome, &c.seen, c.points)
}

fn merged(old: Option<&CheckReport>, mut new: CheckReport) -> CheckReport {
    for c in &mut new.criteria {
        if c.outcome != OutcomeKind::NotChecked {
            continue;
        }
        if let Some(known) = old.and_then(|o| o.criteria.iter().find(|k| k.id == c.id)) {
            *c = known.clone();
        }
    }
    new.score = new.criteria.iter().map(|c| c.points).sum();
    new
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn outcome(id: &str, outcome: OutcomeKind, points: u64) -> CriterionOutcome {
        CriterionOutcome {
            id: id.into(),
            title: String::new(),
            outcome,
            expected: String::new(),
            seen: String::new(),
            advice: String::new(),
            points,
            max: 1000,
            ms: 0,
        }
    }

    fn report(criteria: Vec<CriterionOutcome>) -> CheckReport {
        CheckReport { run: "r".into(), at: 0, score: criteria.iter().map(|c| c.points).sum(), max: 2000, criteria }
    }

    #[test]
    fn what_a_check_left_out_keeps_its_last_outcome() {
        let old = report(vec![outcome("a", OutcomeKind::Pass, 1000), outcome("b", OutcomeKind::Pass, 1000)]);
        let new = report(vec![outcome("a", OutcomeKind::Fail, 0), outcome("b", OutcomeKind::NotChecked, 0)]);
        let both = merged(Some(&old), new.clone());
        assert_eq!(
            (both.criteria[0].outcome, both.criteria[1].outcome, both.score),
            (OutcomeKind::Fail, OutcomeKind::Pass, 1000)
        );
        assert_eq!(merged(None, new).criteria[1].outcome, OutcomeKind::NotChecked);
    }
}
