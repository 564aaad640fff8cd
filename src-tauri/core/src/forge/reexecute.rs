//! Trying a submission again: the same lab under a fresh seed, the submitted files with the seed's addresses exchanged, all
//! checks anew. What was submitted is data: it is written into nodes that the learner could enter anyway, behind the same
//! isolation, and nothing on the host looks into it but the exchange of addresses.

use super::presence::Presence;
use super::results::blocking;
use super::{Forge, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::board::{Reexecution as Statement, Signed, Twice};
use crate::engine::ExecSpec;
use crate::error::{Code, Error, Result};
use crate::keys::{Domain, KeyName};
use crate::lab;
use crate::store::{results, runs, sync as rows};
use crate::sync;
use crate::template::carry::Renumbering;
use crate::template::scenario::{Carried, Reexecution};
use crate::verdict::Submission;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Before the process, in the request id of a run that is there for a submission alone.
const AGAIN: &str = "again.";
const FETCHED: &str = "fetched";
const READY_LIMIT: Duration = Duration::from_secs(120);
const PLACE_LIMIT: Duration = Duration::from_secs(20);
/// Checks of the slowest lab take a minute; whatever was submitted, it ends here.
const WHOLE_LIMIT: Duration = Duration::from_secs(600);

impl Forge {
    /// `cancel` ends it and leaves no run behind.
    pub(super) async fn executed_again(
        &self,
        caller: &Caller,
        request: Reexecute,
        cancel: &CancellationToken,
    ) -> Result<Reexecuted> {
        let began = std::time::Instant::now();
        let fetched = Fetched(self.options.home.join(FETCHED).join(self.marked()));
        let dir = unless(cancel, self.submitted_folder(&request.verdict, &fetched.0)).await?;
        let submission = blocking(move || Submission::of(&dir)).await?;
        drop(fetched);
        let (files, renumber) = self.carried(&submission)?;
        let scenario = &submission.scenario;
        let seed = format!("{:032x}", rand::random::<u128>());
        let fresh = self.catalogue().get(&scenario.lab)?.instantiate(&seed)?;
        let exchange = Renumbering::between(scenario, &fresh, &renumber);
        let mut placed = Vec::new();
        for file in files {
            let text = exchange.apply(submission.text(&file)?);
            placed.push((file, text));
        }
        let data = serde_json::json!({"verdict": submission.id, "seed": seed, "correlation": caller.correlation});
        self.audited("reexecution.started", data).await?;
        let report = self.again(caller, &scenario.lab, &seed, &placed, cancel).await?;
        let statement = compared(&submission, &report, &seed, now());
        let agrees = statement.agrees();
        let data =
            serde_json::json!({"verdict": statement.verdict, "seed": seed, "agrees": agrees, "score": statement.score});
        self.audited("reexecution.ended", data).await?;
        let signed = Signed::seal(statement, &self.keys, KeyName::Learner, Domain::ReExecution)?;
        let mut tier = if agrees { TrustTier::ReExecuted } else { TrustTier::ReGraded };
        if request.report {
            let board = self.store.read(rows::board).await?.ok_or_else(sync::not_enrolled)?;
            tier = sync::reexecution::report(&board, &signed).await?.tier;
        }
        let statement_text = serde_json::to_string(&signed)?;
        let Statement { verdict, lab, score, max, criteria, .. } = signed.body;
        let twice = |t: Twice| CriterionTwice {
            seen: report.criteria.iter().find(|c| c.id == t.id).map(|c| c.seen.clone()).unwrap_or_default(),
            id: t.id,
            submitted: t.submitted,
            reexecuted: t.reexecuted,
        };
        Ok(Reexecuted {
            verdict,
            lab,
            seed,
            score,
            max,
            criteria: criteria.into_iter().map(twice).collect(),
            agrees,
            tier,
            reported: request.report,
            statement: statement_text,
            ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    pub(super) async fn audited(&self, kind: &str, data: serde_json::Value) -> Result<()> {
        let fact = Fact { at: now(), run: None, kind: kind.to_owned(), data };
        self.store.write(move |tx| audit::append(tx, fact)).await.map(drop)
    }

    /// A results folder, a run or verdict of this installation, or a verdict of the scoreboard it is enrolled at.
    async fn submitted_folder(&self, wanted: &str, into: &Path) -> Result<PathBuf> {
        let path = PathBuf::from(wanted);
        if path.is_absolute() && path.is_dir() {
            return Ok(path);
        }
        let all = self.store.read(results::list).await?;
        if let Some(own) = all.iter().find(|r| r.id == wanted || r.run == wanted) {
            return Ok(PathBuf::from(&own.dir));
        }
        let board = self.store.read(rows::board).await?;
        let missing = || {
            Error::new(Code::NotFound, format!("There is no verdict “{wanted}” here.")).hint(
                "Give a results folder, a run, a verdict’s id, or its address at the scoreboard you are enrolled at.",
            )
        };
        let board = board.ok_or_else(missing)?;
        let id = sync::reexecution::id_of(&board, wanted).ok_or_else(missing)?;
        std::fs::create_dir_all(into)?;
        sync::reexecution::fetch(&board, id, into).await?;
        Ok(into.to_owned())
    }

    /// What the lab carries to another seed, if the evidence is of this program's own edition of it.
    fn carried(&self, submission: &Submission) -> Result<(Vec<Carried>, Vec<String>)> {
        let scenario = &submission.scenario;
        let lab = self.catalogue().get(&scenario.lab)?;
        if lab.digest != scenario.digest {
            return Err(Error::new(
                Code::WrongState,
                format!("The verdict is of {} {}, another edition than the one here.", scenario.lab, scenario.version),
            )
            .hint("Use the version of FrostGate Forge that has this lab."));
        }
        let ours = lab.instantiate(&scenario.seed)?;
        if ours != scenario.as_written() {
            return Err(Error::new(
                Code::EvidenceInvalid,
                "The lab in the evidence is not what its template gives for that seed: it was changed.",
            ));
        }
        let bound = |why: &str| {
            Error::new(Code::SeedBound, format!("{} cannot be executed again: {why}", scenario.title))
                .hint("The verdict stays re-graded, which is as far as this lab goes.")
        };
        match ours.reexecution {
            Some(Reexecution::Carry { files, renumber }) => Ok((files, renumber)),
            Some(Reexecution::Bound { why }) => Err(bound(&why)),
            None => Err(bound("its template does not say what of an answer belongs to the seed.")),
        }
    }

    /// Starts, places, restarts, checks and stops, whatever happens in between.
    async fn again(
        &self,
        caller: &Caller,
        lab: &str,
        seed: &str,
        placed: &[(Carried, String)],
        cancel: &CancellationToken,
    ) -> Result<CheckReport> {
        let request_id = Some(format!("{AGAIN}{}", self.marked()));
        let request = StartLab { lab: lab.to_owned(), request_id, seed: Some(seed.to_owned()) };
        let run = self.start(caller, request).await?.run;
        let work = async {
            self.ready_within(&run, READY_LIMIT).await?;
            self.place(caller, &run, placed).await?;
            self.check(caller, CheckRun { run: run.clone(), criteria: Vec::new(), gentle: false }).await
        };
        let scored = tokio::time::timeout(WHOLE_LIMIT, unless(cancel, work)).await.unwrap_or_else(|_| {
            Err(Error::new(Code::Timeout, format!("It took longer than {} s.", WHOLE_LIMIT.as_secs())))
        });
        let stopped = self.stop(caller, &run, "executed again").await;
        let report = scored?;
        stopped?;
        Ok(report)
    }

    /// A name that tells which process it belongs to, for whoever comes after it.
    fn marked(&self) -> String {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        format!("{}-{}", self.presence.id, unique.get(..12).unwrap_or_default())
    }

    /// Whether a run is there for a submission alone, and the process that tries it is gone: nobody else will end it.
    pub(super) fn forlorn(&self, row: &runs::Run) -> bool {
        let process = row.request_id.strip_prefix(AGAIN).and_then(|name| name.split_once('-'));
        matches!(row.state, RunState::Ready | RunState::Paused)
            && process.is_some_and(|(process, _)| self.gone(process))
    }

    fn gone(&self, process: &str) -> bool {
        process != self.presence.id && !Presence::alive(&self.options.home, process)
    }

    /// Removes what processes that are gone had fetched.
    pub(super) fn sweep_fetched(&self) {
        let Ok(entries) = std::fs::read_dir(self.options.home.join(FETCHED)) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let process = name.to_str().and_then(|n| n.split_once('-')).map(|(process, _)| process.to_owned());
            if process.is_some_and(|process| self.gone(&process)) {
                drop(Fetched(entry.path()));
            }
        }
    }

    /// The files in their places, then a restart of their nodes: what is tried is what a node makes of its files alone.
    async fn place(&self, caller: &Caller, run: &str, placed: &[(Carried, String)]) -> Result<()> {
        let live = self.live(run).await?;
        {
            let _starting = self.starting_programs(run, false).await?;
            for (file, text) in placed {
                let container = live.container(&file.node)?;
                // The path is the template's; the submission is standard input. An owner and mode that are there stay.
                let argv = ["sh", "-eu", "-c", "cat > \"$1\"", "place", &file.path].map(str::to_owned).to_vec();
                let spec = ExecSpec { argv, stdin: true, ..ExecSpec::default() };
                let input = text.clone().into_bytes().into();
                let done = self.engine.exec(&container, &spec, Some(input), PLACE_LIMIT).await?;
                if done.exit != 0 {
                    let said: String = String::from_utf8_lossy(&done.stderr).chars().take(300).collect();
                    return Err(Error::new(
                        Code::DockerFailed,
                        format!("{} could not be written in {}: {}", file.path, file.node, said.trim()),
                    ));
                }
            }
        }
        let nodes: std::collections::BTreeSet<&str> = placed.iter().map(|(f, _)| f.node.as_str()).collect();
        let restarts = nodes.iter().map(|node| lab::restart_node(&live, node, super::life::NODE_BACK));
        futures_util::future::try_join_all(restarts).await?;
        let text = format!("Placed what was submitted: {} files.", placed.len());
        self.emit(caller, Some(run), "log", Level::Info, text, serde_json::Value::Null).await;
        Ok(())
    }
}

/// What `work` gives, unless it is cancelled before.
async fn unless<T>(cancel: &CancellationToken, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::cancelled()),
        done = work => done,
    }
}

/// A verdict of somebody else, here only as long as it is read.
struct Fetched(PathBuf);

impl Drop for Fetched {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0)
            && e.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), error = %e, "a fetched verdict could not be removed");
        }
    }
}

fn compared(submission: &Submission, report: &CheckReport, seed: &str, at: i64) -> Statement {
    let scenario = &submission.scenario;
    let mut criteria = Vec::new();
    let mut score = 0;
    for row in &submission.score.criteria {
        let found = report.criteria.iter().find(|c| c.id == row.id);
        let reexecuted = found.map_or(OutcomeKind::NotChecked, |c| c.outcome);
        score += crate::check::grade::points(reexecuted, row.weight, row.hint_cost);
        criteria.push(Twice { id: row.id.clone(), submitted: row.outcome, reexecuted });
    }
    Statement {
        version: 1,
        verdict: submission.id.clone(),
        lab: scenario.lab.clone(),
        template_digest: scenario.digest.clone(),
        seed: seed.to_owned(),
        score,
        max: submission.score.max,
        criteria,
        at,
    }
}
