//! One short function per command: ask the engine, word the answer.

mod audit;
pub mod catalogue;
mod demo;
mod egress;
mod grade;
mod isolation;
pub mod keys;
mod learn;
mod look;
mod node;
pub mod policy;
mod prepare;
mod quota;
mod session;
pub mod start;
mod sync;
pub mod worker;

use crate::Cx;
use crate::args::{Command, EgressCommand, ImagesCommand, KeysCommand};
use forge_core::api::{
    Empty, ExtendRun, ForwardPort, IdRequest, ListRuns, NodeRequest, RunRequest, RunState, RunSummary, StopReport,
};
use forge_core::error::{Code, Error, Result};
use std::process::ExitCode;

/// # Errors
/// What the engine answered, or `Io` when the answer could not be written.
pub async fn run(cx: &Cx, command: Command) -> Result<ExitCode> {
    let engine = &cx.engine;
    match command {
        Command::Doctor => return look::doctor(cx).await,
        Command::Labs { what: Some(crate::args::LabsCommand::Pin { lab }), .. } => quota::pin(cx, lab).await?,
        Command::Labs { lab: None, .. } => look::labs(cx).await?,
        Command::Labs { lab: Some(lab), .. } => look::lab(cx, lab).await?,
        Command::Quota => quota::quota(cx).await?,
        Command::Plan => quota::plan(cx).await?,
        Command::Block { subject, reason } => quota::block(cx, subject, reason).await?,
        Command::Unblock { subject } => quota::unblock(cx, subject).await?,
        Command::Images { what: None } => prepare::list(cx).await?,
        Command::Images { what: Some(ImagesCommand::Prepare { images }) } => prepare::prepare(cx, images).await?,
        Command::Egress { what: EgressCommand::List } => egress::list(cx).await?,
        Command::Egress { what: EgressCommand::Approve { file } } => egress::approve(cx, &file).await?,
        Command::Start { lab, session: Some(session), .. } => {
            let start = engine.take_challenge(&cx.caller, forge_core::api::TakeChallenge { session, lab }).await?;
            sync::warn_of_clock(cx).await?;
            start::told(cx, start.lab, start.request_id, start.seed).await?;
        }
        Command::Start { lab, request_id, seed, session: None } => start::told(cx, lab, request_id, seed).await?,
        Command::Session { what } => session::run(cx, what).await?,
        Command::Ps { all } => look::ps(cx, all).await?,
        Command::Enter { run, node } => node::enter(cx, run, node).await?,
        Command::Exec { run, node, argv } => return node::exec(cx, &run, &node, argv).await,
        Command::Check { run, criteria, gentle, require_full } => {
            return grade::check(cx, run, criteria, gentle, require_full).await;
        }
        Command::Guide { run } => learn::guide(cx, run).await?,
        Command::Hint { run, hint: None } => learn::hints(cx, run).await?,
        Command::Hint { run, hint: Some(hint) } => learn::hint(cx, run, hint).await?,
        Command::Submit { run } => grade::submit(cx, run).await?,
        Command::Results => grade::results(cx).await?,
        Command::Verify { dir, regrade } => return grade::verify(cx, &dir, regrade).await,
        Command::Reexecute { verdict: Some(verdict), ask: false, report, .. } => {
            return grade::reexecute(cx, verdict, report).await;
        }
        Command::Reexecute { verdict: Some(verdict), .. } => worker::ask(cx, verdict).await?,
        Command::Reexecute { verdict: None, .. } => worker::jobs(cx).await?,
        Command::Keys { what: Some(KeysCommand::Rotate { name }) } => keys::rotate(cx, name).await?,
        Command::Enrol { url, code, name, ca, clear_text } => {
            sync::enrol(cx, url, code, name, ca.as_deref(), clear_text).await?;
        }
        Command::Unenrol => sync::unenrol(cx).await?,
        Command::Sync { preview: true, .. } => sync::preview(cx).await?,
        Command::Sync { status: true, .. } => sync::status(cx).await?,
        Command::Sync { retry_refused, .. } => sync::sync(cx, retry_refused).await?,
        Command::Stop { run, .. } => {
            let report = match run {
                Some(run) => engine.stop_run(&cx.caller, RunRequest { run }).await?,
                None => engine.stop_all(&cx.caller, Empty {}).await?,
            };
            let failed = failed(cx, &report).await?;
            cx.out.answer(&report, |out, r| told_stop(out, r, &failed))?;
        }
        Command::Pause { run } => {
            summary(cx, engine.pause_run(&cx.caller, RunRequest { run }).await?, "is paused; its clock stands still")?
        }
        Command::Resume { run } => summary(cx, engine.resume_run(&cx.caller, RunRequest { run }).await?, "goes on")?,
        Command::Extend { run, minutes } => {
            summary(cx, engine.extend_run(&cx.caller, ExtendRun { run, minutes }).await?, "has more time")?;
        }
        Command::Restart { run, node } => {
            let done = engine.restart_node(&cx.caller, NodeRequest { run, node: node.clone() }).await?;
            cx.out.answer(&done, |out, _| out.line(format!("{node} was restarted and wired again.")))?;
        }
        Command::Forward { run, node, port } => {
            let forward = engine.forward_port(&cx.caller, ForwardPort { run, node, port }).await?;
            cx.out.answer(&forward, |out, f| {
                out.line(f.url.as_deref().unwrap_or(&f.local))?;
                out.progress(crate::out::Ink::Dim, "Ctrl-C closes it.");
                Ok(())
            })?;
            crate::signal::asked_to_end().await;
            engine.close_forward(&cx.caller, IdRequest { id: forward.id }).await?;
        }
        Command::Solve { run } => {
            // Through the contract's door, where the role is checked.
            let request = serde_json::json!({ "run": run });
            let done = forge_core::shell::call(engine.as_ref(), &cx.caller, "solve_run", request).await?;
            cx.out.answer(&done, |out, _| out.line(format!("The reference solution is applied to {run}.")))?;
        }
        Command::Demo { lab, seed, keep } => return demo::run(cx, lab, seed, keep).await,
        Command::Isolation { run, full } => return isolation::isolation(cx, run, full).await,
        Command::Events { run, since, follow } => look::events(cx, run, since, follow).await?,
        Command::Policy { what } => return policy::run(cx, what).await,
        Command::Audit { what } => return audit::run(cx, what).await,
        Command::Serve(_)
        | Command::Bench { .. }
        | Command::Schema
        | Command::Keys { .. }
        | Command::Catalogue { .. }
        | Command::Prove { .. }
        | Command::Worker { .. }
        | Command::Keep => {
            return Err(Error::internal("a command that needs no engine reached the engine"));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Of those that were over when the stop came: which had failed, and why.
async fn failed(cx: &Cx, r: &StopReport) -> Result<Vec<(String, String)>> {
    if r.cleared.is_empty() && r.already.is_empty() {
        return Ok(Vec::new());
    }
    let all = cx.engine.list_runs(&cx.caller, ListRuns { all: true }).await?;
    let told = |run: &RunSummary| {
        run.state == RunState::Failed && (r.cleared.contains(&run.run) || r.already.contains(&run.run))
    };
    Ok(all.into_iter().filter(told).map(|run| (run.run, run.reason)).collect())
}

fn told_stop(out: &crate::out::Out, r: &StopReport, failed: &[(String, String)]) -> Result<()> {
    if !r.stopped.is_empty() {
        out.line(format!("Stopped {} in {}.", r.stopped.join(", "), crate::out::span(r.ms)))?;
    }
    if !r.cleared.is_empty() {
        out.line(format!("Removed what was left of {}.", r.cleared.join(", ")))?;
    }
    let is_failed = |run: &String| failed.iter().any(|(f, _)| f == run);
    let names = |wanted: bool| {
        let of: Vec<&str> = r.already.iter().filter(|run| is_failed(run) == wanted).map(String::as_str).collect();
        of.join(", ")
    };
    let (gone, over) = (names(true), names(false));
    if !over.is_empty() {
        out.line(format!("Over already, nothing to stop: {over}."))?;
    }
    if !gone.is_empty() {
        out.line(format!("Cleaned up already, nothing is left: {gone}."))?;
    }
    failed.iter().try_for_each(|(run, why)| out.line(format!("{run} had failed before: {why}")))?;
    if r.stopped.is_empty() && r.cleared.is_empty() && r.already.is_empty() {
        out.line("Nothing was running.")
    } else {
        Ok(())
    }
}

fn summary(cx: &Cx, run: RunSummary, words: &str) -> Result<()> {
    cx.out.answer(&run, |out, r| {
        let left =
            r.remaining_ms.and_then(|ms| u64::try_from(ms).ok()).map(|ms| format!(" ({} left)", crate::out::span(ms)));
        out.line(format!("{} {words}{}.", r.run, left.unwrap_or_default()))
    })
}

/// A file that somebody named: text, and no more of it than such a file can have, whatever the file says its size is.
fn text_file(path: &std::path::Path, most: u64) -> Result<String> {
    use std::io::Read;
    let doing = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => Error::new(Code::NotFound, format!("There is no file {}.", path.display())),
        _ => Error::from(e).context(format!("Reading {}", path.display())),
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path).and_then(|f| f.take(most + 1).read_to_end(&mut bytes)).map_err(doing)?;
    if bytes.len() as u64 > most {
        let error = format!("{} is larger than such a file can be.", path.display());
        return Err(Error::new(Code::TooLarge, error).hint(format!("At most {} KiB are read.", most >> 10)));
    }
    String::from_utf8(bytes).map_err(|_| {
        Error::new(Code::InvalidInput, format!("{} is not UTF-8 text.", path.display()))
            .hint("Save it as text in UTF-8, without anything else in it.")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use std::path::Path;

    #[test]
    fn a_file_is_read_no_further_than_it_can_be_long() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("f");
        std::fs::write(&file, "text").unwrap();
        assert_eq!(text_file(&file, 4).unwrap(), "text");
        assert_eq!(text_file(&file, 3).unwrap_err().code, Code::TooLarge);
        std::fs::write(&file, b"\xff").unwrap();
        assert_eq!(text_file(&file, 4).unwrap_err().code, Code::InvalidInput);
        assert_eq!(text_file(&home.path().join("none"), 4).unwrap_err().code, Code::NotFound);
        // Says that it is empty, and never ends.
        #[cfg(unix)]
        assert_eq!(text_file(Path::new("/dev/zero"), 4096).unwrap_err().code, Code::TooLarge);
    }
}
