//! Long work that a caller starts, watches and may cancel. Jobs live in the process that started them; what they did is
//! in the event stream.

use crate::api::{JobInfo, Step, StepState};
use crate::error::{Code, Error, Result};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tokio_util::sync::CancellationToken;

/// How many finished jobs stay listed.
const KEPT: usize = 20;

#[derive(Default)]
pub struct Jobs {
    inner: Mutex<BTreeMap<String, (JobInfo, CancellationToken)>>,
}

impl Jobs {
    pub fn begin(&self, kind: &str) -> (String, CancellationToken) {
        let id = uuid::Uuid::now_v7().simple().to_string();
        let cancel = CancellationToken::new();
        let info = JobInfo { job: id.clone(), kind: kind.to_owned(), steps: Vec::new(), done: false, error: None };
        self.with(|jobs| {
            let finished: Vec<String> = jobs.iter().filter(|(_, (i, _))| i.done).map(|(k, _)| k.clone()).collect();
            for old in finished.iter().take(finished.len().saturating_sub(KEPT)) {
                jobs.remove(old);
            }
            jobs.insert(id.clone(), (info, cancel.clone()));
        });
        (id, cancel)
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
        let (id, _) = jobs.begin("images");
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
        let (id, token) = jobs.begin("images");
        jobs.cancel(&id).unwrap();
        jobs.cancel(&id).unwrap();
        assert!(token.is_cancelled());
        assert_eq!(jobs.cancel("nope").unwrap_err().code, Code::NotFound);
    }

    #[test]
    fn finished_jobs_do_not_pile_up() {
        let jobs = Jobs::default();
        for _ in 0..60 {
            let (id, _) = jobs.begin("x");
            jobs.end(&id, None);
        }
        assert!(jobs.list().len() <= KEPT + 1);
    }
}
