//! Images: what there is, and preparing what is missing with its steps told as they happen.

use crate::Cx;
use crate::out::{Cell, Ink, bytes, cell, span};
use crate::signal;
use forge_core::api::{Empty, JobInfo, JobRequest, PrepareImages, StepState};
use forge_core::error::{Code, Error, Result};
use std::collections::HashMap;
use std::time::Duration;

const POLL: Duration = Duration::from_millis(200);
/// A build may be silent this long before it is said that it still goes on.
const SILENCE_MS: u64 = 15_000;

pub async fn list(cx: &Cx) -> Result<()> {
    let images = cx.engine.list_images(&cx.caller, Empty {}).await?;
    cx.out.answer(&images, |out, images| {
        let rows: Vec<Vec<Cell>> = images
            .iter()
            .map(|i| {
                let state = if i.ready { ("ready".to_owned(), Ink::Good) } else { (i.reason.clone(), Ink::Warn) };
                let digest =
                    i.digest.as_deref().map(|d| d.trim_start_matches("sha256:").chars().take(12).collect::<String>());
                vec![
                    (i.name.clone(), Ink::Bold),
                    cell(&i.purpose),
                    cell(i.bytes.map_or_else(|| "–".into(), bytes)),
                    cell(digest.unwrap_or_else(|| "–".into())),
                    state,
                ]
            })
            .collect();
        out.table(&["IMAGE", "FOR", "SIZE", "DIGEST", "STATE"], &rows)?;
        if images.iter().any(|i| !i.ready) {
            out.line("\n`forge images prepare` builds what is missing.")?;
        }
        Ok(())
    })
}

/// # Errors
/// What the job ended with; `Cancelled` when this process was asked to end.
pub async fn prepare(cx: &Cx, images: Vec<String>) -> Result<()> {
    let job = cx.engine.prepare_images(&cx.caller, PrepareImages { images }).await?.job;
    let request = || JobRequest { job: job.clone() };
    let mut told = Told::default();
    let asked = signal::asked_to_end();
    tokio::pin!(asked);
    let mut cancelled = false;
    loop {
        let info = cx.engine.get_job(&cx.caller, request()).await?;
        told.tell(cx, &info);
        match (info.done, info.error) {
            (true, Some(e)) if e.code == Code::Cancelled || !cancelled => return Err(e),
            (true, _) if cancelled => return Err(Error::cancelled()),
            (true, _) => break,
            (false, _) => {}
        }
        tokio::select! {
            () = &mut asked, if !cancelled => {
                cancelled = true;
                cx.out.progress(Ink::Warn, "Stopping; what is built so far is kept…");
                cx.engine.cancel_job(&cx.caller, request()).await?;
            }
            () = tokio::time::sleep(POLL) => {}
        }
    }
    list(cx).await
}

/// What was said of each step, so that each thing is said once.
#[derive(Default)]
struct Told(HashMap<String, (StepState, String, u64)>);

impl Told {
    fn tell(&mut self, cx: &Cx, info: &JobInfo) {
        for step in &info.steps {
            let quiet = match self.0.get(&step.name) {
                Some((state, detail, ms)) => {
                    *state == step.state && *detail == step.detail && step.ms < ms + SILENCE_MS
                }
                None => false,
            };
            if quiet {
                continue;
            }
            self.0.insert(step.name.clone(), (step.state, step.detail.clone(), step.ms));
            let (mark, ink) = match step.state {
                StepState::Running => ("·", Ink::Dim),
                StepState::Done => ("✓", Ink::Good),
                StepState::Failed => ("✗", Ink::Bad),
                StepState::Skipped => ("–", Ink::Dim),
            };
            let percent = step
                .percent
                .filter(|_| step.state == StepState::Running)
                .map(|p| format!("{p:>3} %  "))
                .unwrap_or_default();
            cx.out.progress(
                ink,
                format!("  {mark} {:<18} {:>10}  {percent}{}", step.name, span(step.ms), step.detail).trim_end(),
            );
        }
    }
}
