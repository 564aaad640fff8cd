//! `forge demo LAB`: the whole journey, narrated; whatever happens in between, the run is stopped at the end.

use super::{grade, start};
use crate::Cx;
use crate::exit;
use crate::out::{Ink, points, span};
use forge_core::api::{Caller, CheckReport, CheckRun, RunRequest, SubmitReport, VerifyReport, VerifyRequest};
use forge_core::error::{Code, Error, Result};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a solved lab may take to settle (routing protocols, reloading servers).
const SETTLING: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_secs(2);

#[derive(serde::Serialize)]
struct Act {
    name: &'static str,
    ms: u64,
}

/// The acts played so far, with how long each took.
#[derive(Default)]
struct Play(Vec<Act>);

impl Play {
    async fn act<T>(
        &mut self,
        cx: &Cx,
        name: &'static str,
        words: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        cx.out.progress(Ink::Bold, format!("\n{}. {words}", self.0.len() + 1));
        let began = Instant::now();
        let done = work.await.map_err(|e| e.context(format!("The demo failed at “{name}”")))?;
        let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.push(Act { name, ms });
        cx.out.progress(Ink::Dim, format!("   {name}: {}", span(ms)));
        Ok(done)
    }
}

struct Ended {
    check: CheckReport,
    submit: SubmitReport,
    verify: VerifyReport,
}

pub async fn run(cx: &Cx, lab: String, seed: Option<String>, keep: bool) -> Result<ExitCode> {
    let mut play = Play::default();
    let detail = play.act(cx, "start", &format!("Starting {lab}"), start::start(cx, lab, None, seed)).await?;
    let run = detail.run.run.clone();
    cx.out.progress(Ink::Plain, format!("   run {run}, seed {}, {} nodes", detail.run.seed, detail.nodes.len()));
    let journey = tokio::select! {
        journey = journey(cx, &mut play, &run) => journey,
        () = crate::signal::asked_to_end() => Err(Error::cancelled()),
    };
    let stopped = if keep {
        cx.out.progress(Ink::Warn, format!("\nThe run is left standing; `forge stop {run}` ends it."));
        Ok(None)
    } else {
        let request = RunRequest { run: run.clone() };
        play.act(cx, "stop", "Stopping the run", cx.engine.stop_run(&cx.caller, request)).await.map(Some)
    };
    // What went wrong first is told first.
    let ended = journey?;
    let stopped = stopped?;
    let ok = ended.verify.ok && ended.check.score == ended.check.max && ended.submit.score == ended.submit.max;
    let document = serde_json::json!({
        "ok": ok, "run": run, "lab": detail.run.lab, "seed": detail.run.seed, "ready_ms": detail.run.ready_ms,
        "check": ended.check, "submit": ended.submit, "verify": ended.verify, "stop": stopped, "acts": play.0,
    });
    cx.out.answer(&document, |out, _| {
        let (ink, word) = if ok { (Ink::Good, "passed") } else { (Ink::Bad, "failed") };
        out.line(format!(
            "\n{} {}: {} of {}, verdict {}, in {}",
            out.ink(ink, word),
            detail.run.lab,
            points(ended.submit.score),
            points(ended.submit.max),
            ended.submit.dir,
            span(play.0.iter().map(|a| a.ms).sum())
        ))
    })?;
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

async fn journey(cx: &Cx, play: &mut Play, run: &str) -> Result<Ended> {
    let request = || RunRequest { run: run.to_owned() };
    // The demo shows the reference solution on a run of its own, so it acts as the instructor for this one step.
    let instructor = Caller { instructor: true, ..cx.caller.clone() };
    play.act(cx, "solve", "Applying the reference solution", cx.engine.solve_run(&instructor, request())).await?;
    let check = play.act(cx, "check", "Checking every criterion", settled(cx, run)).await?;
    if !cx.out.json {
        grade::check_words(&cx.out, &check)?;
    }
    let submit = play
        .act(cx, "submit", "Submitting: evidence, score, signature", cx.engine.submit_run(&cx.caller, request()))
        .await?;
    cx.out.progress(Ink::Plain, format!("   {} ({} of {})", submit.dir, points(submit.score), points(submit.max)));
    let asked = VerifyRequest { dir: submit.dir.clone(), regrade: true };
    let verify = play
        .act(
            cx,
            "verify",
            "Verifying the verdict and re-grading from the evidence",
            cx.engine.verify_result(&cx.caller, asked),
        )
        .await?;
    if !cx.out.json {
        grade::verify_words(&cx.out, &verify)?;
    }
    if !verify.ok {
        let wrong =
            verify.checks.iter().find(|c| !c.ok).map_or_else(String::new, |c| format!("{}: {}", c.name, c.detail));
        return Err(Error::new(Code::VerdictInvalid, format!("The verdict does not hold: {wrong}")));
    }
    Ok(Ended { check, submit, verify })
}

/// Checks until every point is reached or the lab has had its time to settle; the last report counts.
async fn settled(cx: &Cx, run: &str) -> Result<CheckReport> {
    let until = Instant::now() + SETTLING;
    loop {
        let request = CheckRun { run: run.to_owned(), criteria: Vec::new(), gentle: false };
        let report = cx.engine.check_run(&cx.caller, request).await?;
        if report.score == report.max || Instant::now() >= until {
            return Ok(report);
        }
        tokio::time::sleep(PAUSE).await;
    }
}
