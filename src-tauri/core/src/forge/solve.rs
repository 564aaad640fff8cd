//! Applying an answer to a run, and proving a lab: the untouched lab scores nothing, the reference solution everything, on
//! several seeds, and each wrong answer fails the criteria it should.

use super::acting::Deed;
use super::{Forge, now};
use crate::api::{Caller, CheckReport, CheckRun, Empty, Level, OutcomeKind, RunRequest, StartLab};
use crate::audit::Fact;
use crate::engine::ExecSpec;
use crate::error::{Code, Error, Result};
use crate::spawn::acting::Class;
use std::time::Duration;

/// A script of an answer may wait for services, not forever.
const SCRIPT_LIMIT: Duration = Duration::from_secs(180);
const READY_LIMIT: Duration = Duration::from_secs(120);

/// What is done to a run instead of a learner's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Solution,
    /// By the name of its folder below `wrong/`.
    Wrong(String),
}

/// One thing that a proof found, in order.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Proof {
    /// `untouched`, `solution` or `wrong/<name>`.
    pub answer: String,
    pub seed: String,
    pub ok: bool,
    pub detail: String,
    pub ms: u64,
}

impl Forge {
    /// Runs an answer's scripts in the nodes they are named after, all nodes at once, with the run's own values filled in.
    pub(super) async fn solve(&self, caller: &Caller, run: &str, answer: Answer) -> Result<Empty> {
        let row = self.ready_row(run).await?;
        let lab = self.catalogue().get(&row.lab)?;
        if lab.digest != row.digest {
            return Err(Error::new(Code::WrongState, format!("{} has changed since run {run} was started.", row.lab))
                .hint("Start it again to get the version its solution belongs to."));
        }
        let (name, scripts) = match &answer {
            Answer::Solution => ("the reference solution".to_owned(), lab.solution(&row.seed)?),
            Answer::Wrong(name) => match lab.wrong(&row.seed)?.into_iter().find(|w| w.name == *name) {
                Some(wrong) => (format!("the wrong answer “{name}”"), wrong.scripts),
                None => {
                    return Err(Error::new(Code::NotFound, format!("{} has no wrong answer “{name}”.", row.lab)));
                }
            },
        };
        let fact = Fact {
            at: now(),
            run: Some(run.to_owned()),
            kind: "answer.applied".into(),
            data: serde_json::json!({"answer": name, "correlation": caller.correlation}),
        };
        let deeds =
            scripts.iter().map(|(node, script)| Deed::new("answer", Class::Execute).on(node).running(script.clone()));
        let acts = self.by_all(caller, deeds).await?;
        self.may_act(caller, run, acts, Some(fact)).await?;
        let live = self.live(run).await?;
        let _starting = self.starting_programs(run, false).await?;
        let applied = scripts.iter().map(|(node, script)| {
            let live = live.clone();
            async move {
                let container = live.container(node)?;
                let spec = ExecSpec { argv: vec!["sh".into(), "-eus".into()], stdin: true, ..ExecSpec::default() };
                let output =
                    self.engine.exec(&container, &spec, Some(script.clone().into_bytes().into()), SCRIPT_LIMIT).await?;
                if output.exit == 0 {
                    return Ok(());
                }
                let said = String::from_utf8_lossy(&output.stderr);
                let said = said.trim().chars().rev().take(500).collect::<String>().chars().rev().collect::<String>();
                Err(Error::new(
                    Code::Internal,
                    format!("The answer's script for {node} ended with {}: {said}", output.exit),
                ))
            }
        });
        futures_util::future::try_join_all(applied).await?;
        self.emit(caller, Some(run), "log", Level::Info, format!("Applied {name}."), serde_json::Value::Null).await;
        Ok(Empty {})
    }

    /// Proves a lab on a real engine; each proof is told as it is found. `Ok` also when proofs failed: read `ok`.
    pub async fn prove(
        &self,
        caller: &Caller,
        lab: &str,
        seeds: &[String],
        found: &(dyn Fn(&Proof) + Sync),
    ) -> Result<Vec<Proof>> {
        let mut proofs = Vec::new();
        let mut tell = |proof: Proof| {
            found(&proof);
            proofs.push(proof);
        };
        for (i, seed) in seeds.iter().enumerate() {
            for proof in self.prove_solution(caller, lab, seed, i == 0).await? {
                tell(proof);
            }
        }
        let seed = seeds.first().cloned().unwrap_or_else(|| "proof".to_owned());
        let wrongs = self.catalogue().get(lab)?.wrong(&seed)?;
        for wrong in wrongs {
            let began = std::time::Instant::now();
            let report = self.scored(caller, lab, &seed, Some(Answer::Wrong(wrong.name.clone()))).await?;
            let passed: Vec<&str> =
                wrong.fails.iter().map(String::as_str).filter(|id| !failed_outright(&report, id)).collect();
            let ok = passed.is_empty() && !wrong.fails.is_empty() && report.score < report.max;
            let detail = if ok {
                format!("fails {} as it should ({} of {})", wrong.fails.join(", "), report.score, report.max)
            } else {
                format!("should fail {} but did not; {}", passed.join(", "), told(&report))
            };
            tell(Proof { answer: format!("wrong/{}", wrong.name), seed: seed.clone(), ok, detail, ms: ms(began) });
        }
        Ok(proofs)
    }

    async fn prove_solution(&self, caller: &Caller, lab: &str, seed: &str, untouched: bool) -> Result<Vec<Proof>> {
        let began = std::time::Instant::now();
        let mut proofs = Vec::new();
        if untouched {
            let report = self.scored(caller, lab, seed, None).await?;
            let ok = report.score == 0 && report.criteria.iter().all(|c| c.outcome == OutcomeKind::Fail);
            let detail =
                if ok { "scores nothing".to_owned() } else { format!("has free points or errors; {}", told(&report)) };
            proofs.push(Proof { answer: "untouched".into(), seed: seed.into(), ok, detail, ms: ms(began) });
        }
        let began = std::time::Instant::now();
        let report = self.scored(caller, lab, seed, Some(Answer::Solution)).await?;
        let ok = report.score == report.max && report.max > 0;
        proofs.push(Proof { answer: "solution".into(), seed: seed.into(), ok, detail: told(&report), ms: ms(began) });
        Ok(proofs)
    }

    /// Starts, answers, checks and stops, whatever happens in between.
    async fn scored(&self, caller: &Caller, lab: &str, seed: &str, answer: Option<Answer>) -> Result<CheckReport> {
        let request = StartLab { lab: lab.to_owned(), request_id: None, seed: Some(seed.to_owned()) };
        let run = self.start(caller, request).await?.run;
        let scored = async {
            self.ready_within(&run, READY_LIMIT).await?;
            if let Some(answer) = answer {
                self.solve(caller, &run, answer).await?;
            }
            self.check(caller, CheckRun { run: run.clone(), criteria: Vec::new(), gentle: false }).await
        }
        .await;
        let stopped = self.stop(caller, &RunRequest { run }.run, "proved").await;
        let report = scored?;
        stopped?;
        Ok(report)
    }
}

/// A wrong answer must *fail*: an error would only say that the question could not be asked.
fn failed_outright(report: &CheckReport, id: &str) -> bool {
    report.criteria.iter().any(|c| c.id == id && c.outcome == OutcomeKind::Fail)
}

fn told(report: &CheckReport) -> String {
    let open: Vec<String> = report
        .criteria
        .iter()
        .filter(|c| c.outcome != OutcomeKind::Pass)
        .map(|c| format!("{}: {}, seen {}", c.id, c.outcome.words(), c.seen))
        .collect();
    let score = format!("{} of {}", report.score, report.max);
    if open.is_empty() { score } else { format!("{score}; {}", open.join("; ")) }
}

fn ms(since: std::time::Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
