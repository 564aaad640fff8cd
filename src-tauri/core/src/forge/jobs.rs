//! Long work that a caller starts, watches and may cancel. Jobs live in the process that started them; what they did is
//! in the event stream.

use super::Forge;
use crate::api::{Caller, JobInfo, Level, Step, StepState};
use crate::error::{Code, Error, Result};
use crate::lab::Progress;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many finished jobs stay listed.
const KEPT: usize = 20;

#[derive(Default)]
pub struct Jobs {
    inner: Mutex<BTreeMap<String, (JobInfo, CancellationToken)>>,
}

impl Jobs {
    pub fn begin(&self, kind: &str, cancel: CancellationToken) -> String {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let info = JobInfo { job: id.clone(), kind: kind.to_owned(), steps: Vec::new(), done: false, error: None };
        self.with(|jobs| {
            let finished: Vec<String> = jobs.iter().filter(|(_, (i, _))| i.done).map(|(k, _)| k.clone()).collect();
            for old in finished.iter().take(finished.len().saturating_sub(KEPT)) {
                jobs.remove(old);
            }
            jobs.insert(id.clone(), (info, cancel));
        });
        id
    }

    /// The job of this kind that still runs, so that a second click joins it.
    pub fn running(&self, kind: &str) -> Option<String> {
        self.with(|jobs| jobs.values().find(|(i, _)| i.kind == kind && !i.done).map(|(i, _)| i.job.clone()))
    }

    pub fn step(&self, id: &str, step: Step) {
        self.with(|jobs| {
            if let Some((info, _)) = jobs.get_mut(id) {
                upsert(&mut info.steps, step);
            }
        });
    }

    pub fn end(&self, id: &str, error: Option<Error>) {
        self.with(|jobs| {
            if let Some((info, _)) = jobs.get_mut(id) {
                info.done = true;
                for step in info.steps.iter_mut().filter(|s| s.state == StepState::Running) {
                    step.state = if error.is_some() { StepState::Failed } else { StepState::Done };
                }
                info.error = error;
            }
        });
    }

    pub fn get(&self, id: &str) -> Result<JobInfo> {
        self.with(|jobs| jobs.get(id).map(|(i, _)| i.clone())).ok_or_else(|| unknown(id))
    }

    pub fn list(&self) -> Vec<JobInfo> {
        self.with(|jobs| jobs.values().rev().map(|(i, _)| i.clone()).collect())
    }

    /// Cancelling what is done already is not an error: the second click of an impatient hand.
    pub fn cancel(&self, id: &str) -> Result<()> {
        self.with(|jobs| jobs.get(id).map(|(_, c)| c.cancel())).ok_or_else(|| unknown(id))
    }

    pub fn cancel_all(&self) {
        self.with(|jobs| jobs.values().for_each(|(_, c)| c.cancel()));
    }

    fn with<T>(&self, f: impl FnOnce(&mut BTreeMap<String, (JobInfo, CancellationToken)>) -> T) -> T {
        f(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A job's steps, told as `job.step` events in order while it works, and `job.done` at its end.
pub struct Reporter {
    forge: Arc<Forge>,
    caller: Caller,
    job: String,
    run: Option<String>,
    send: mpsc::UnboundedSender<Step>,
    writer: tokio::task::JoinHandle<()>,
}

impl Reporter {
    pub fn begin(forge: Arc<Forge>, caller: &Caller, kind: &str, run: Option<&str>, cancel: CancellationToken) -> Self {
        let job = forge.jobs.begin(kind, cancel);
        let (send, mut steps) = mpsc::unbounded_channel::<Step>();
        let (run, caller) = (run.map(str::to_owned), caller.clone());
        let writer = {
            let (forge, caller, job, run) = (forge.clone(), caller.clone(), job.clone(), run.clone());
            tokio::spawn(async move {
                while let Some(step) = steps.recv().await {
                    forge.jobs.step(&job, step.clone());
                    let text = format!("{}: {}", step.name, step.detail);
                    let data = serde_json::json!({"job": job, "step": step});
                    forge.emit(&caller, run.as_deref(), "job.step", Level::Debug, text, data).await;
                }
            })
        };
        Self { forge, caller, job, run, send, writer }
    }

    pub fn job(&self) -> &str {
        &self.job
    }

    pub async fn end(self, error: Option<Error>, text: String) {
        drop(self.send);
        // Ends with the channel; a panic of the teller would only cost progress lines.
        let _ = self.writer.await;
        self.forge.jobs.end(&self.job, error.clone());
        let level = if error.is_some() { Level::Error } else { Level::Info };
        let data = serde_json::json!({"job": self.job, "error": error});
        self.forge.emit(&self.caller, self.run.as_deref(), "job.done", level, text, data).await;
    }
}

impl Progress for Reporter {
    fn step(&self, step: Step) {
        // Only a closed channel fails, and the job then has nobody to tell.
        let _ = self.send.send(step);
    }
}

/// A step replaces the one of its name, so that progress is one line that changes.
pub fn upsert(steps: &mut Vec<Step>, step: Step) {
    match steps.iter_mut().find(|s| s.name == step.name) {
        Some(old) => *old = step,
        None => steps.push(step),
    }
}

fn unknown(id: &str) -> Error {
    Error::new(Code::NotFound, format!("There is no job “{id}” in this process."))
        .hint("Jobs belong to the window or command that started them.")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn step(name: &str, state: StepState) -> Step {
        Step { name: name.into(), state, ms: 1, detail: String::new(), percent: None }
    }

    #[test]
    fn a_step_is_one_line_that_changes_and_a_failure_ends_it() {
        let jobs = Jobs::default();
        let id = jobs.begin("images", CancellationToken::new());
        jobs.step(&id, step("base", StepState::Running));
        jobs.step(&id, step("base", StepState::Done));
        jobs.step(&id, step("host", StepState::Running));
        assert_eq!(jobs.running("images"), Some(id.clone()));
        jobs.end(&id, Some(Error::cancelled()));
        let info = jobs.get(&id).unwrap();
        assert_eq!(info.steps.iter().map(|s| s.state).collect::<Vec<_>>(), [StepState::Done, StepState::Failed]);
        assert_eq!(info.error.unwrap().code, Code::Cancelled);
        assert_eq!(jobs.running("images"), None);
    }

    #[test]
    fn cancelling_twice_is_fine_and_an_unknown_job_is_named() {
        let jobs = Jobs::default();
        let token = CancellationToken::new();
        let id = jobs.begin("images", token.clone());
        jobs.cancel(&id).unwrap();
        jobs.cancel(&id).unwrap();
        assert!(token.is_cancelled());
        assert_eq!(jobs.cancel("nope").unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn finished_jobs_do_not_pile_up() {
        let jobs = Jobs::default();
        for _ in 0..60 {
            let id = jobs.begin("x", CancellationToken::new());
            jobs.end(&id, None);
        }
        assert!(jobs.list().len() <= KEPT + 1);
    }
}
