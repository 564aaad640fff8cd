//! A worker of the scoreboard: takes one verdict after the other that an instructor wants executed again, does it, and says
//! what came of it. What it was killed at goes back into the queue when its lease ends, and its run is swept (`repair.rs`).

use super::{Forge, now};
use crate::api::*;
use crate::board::{GiveUp, GivenUp, JobState, Lease, RefusalCode};
use crate::error::{Code, Error, Result};
use crate::store::sync::{self as rows, Board};
use crate::sync::{self, jobs, pace};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Between two looks at a queue that was empty.
const IDLE: Duration = Duration::from_secs(3);
const AWAY_LONGEST: i64 = 60_000;
/// A lease is renewed this many times while it lasts, so that one answer that is lost costs nothing.
const RENEWALS: u32 = 3;
const WHY_MOST: usize = 500;

/// How a worker works.
#[derive(Clone, Copy, Debug)]
pub struct WorkOptions {
    /// One job, or none when none waits; else until it is asked to stop.
    pub once: bool,
    /// Seconds after which a worker that is not heard of loses its job.
    pub lease: u32,
}

/// What a worker tells while it works.
#[derive(Clone, Debug, PartialEq)]
pub enum Worked {
    Taken {
        verdict: String,
        lab: String,
    },
    Ended {
        verdict: String,
        how: Ending,
        ms: u64,
    },
    /// No job can be asked for; it is tried again.
    Away(Error),
}

/// What came of a job.
#[derive(Clone, Debug, PartialEq)]
pub enum Ending {
    /// The scoreboard has the statement.
    Done { agrees: bool },
    /// Why not, and what the scoreboard was told to make of it.
    GivenUp(GivenUp, Error),
    /// It is another worker's by now, or over.
    Lost,
}

impl Forge {
    /// Returns how the job ended that was worked on last.
    ///
    /// # Errors
    /// `WrongState` when this machine is not enrolled; `ScoreboardFailed` when it may not work there. With `once` also
    /// whatever keeps it from asking for a job.
    pub async fn work(
        &self,
        caller: &Caller,
        options: WorkOptions,
        stop: &CancellationToken,
        tell: &(dyn Fn(&Worked) + Sync),
    ) -> Result<Option<Ending>> {
        self.repair_if_alone().await;
        self.sweep_fetched();
        let mut last = None;
        let mut failures: u32 = 0;
        while !stop.is_cancelled() {
            let board = self.enrolled().await?;
            let wait = match self.take_job(&board, options.lease).await {
                Ok(Some(lease)) => {
                    failures = 0;
                    tell(&Worked::Taken { verdict: lease.verdict.clone(), lab: lease.lab.clone() });
                    let began = std::time::Instant::now();
                    let how = self.one_job(caller, &board, &lease, stop).await;
                    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tell(&Worked::Ended { verdict: lease.verdict, how: how.clone(), ms });
                    last = Some(how);
                    Duration::ZERO
                }
                Ok(None) => {
                    failures = 0;
                    IDLE
                }
                Err(e) if options.once || hopeless(&e) => return Err(e),
                Err(e) => {
                    failures = failures.saturating_add(1);
                    tell(&Worked::Away(e));
                    let wait = pace::wait(failures, None, rand::random()).min(AWAY_LONGEST);
                    Duration::from_millis(wait.unsigned_abs())
                }
            };
            if options.once {
                break;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(last)
    }

    /// A machine that cannot start a lab now takes no job away from one that can.
    async fn take_job(&self, board: &Board, seconds: u32) -> Result<Option<Lease>> {
        self.engine.info().await?;
        jobs::lease(board, seconds).await
    }

    async fn one_job(&self, caller: &Caller, board: &Board, lease: &Lease, stop: &CancellationToken) -> Ending {
        let cancel = stop.child_token();
        let request = Reexecute { verdict: lease.verdict.clone(), report: true };
        let (done, lost) = {
            let mut work = std::pin::pin!(self.executed_again(caller, request, &cancel));
            tokio::select! {
                done = &mut work => (done, false),
                () = until_lost(board, lease) => {
                    cancel.cancel();
                    (work.await, true)
                }
            }
        };
        let error = match done {
            Ok(done) => return Ending::Done { agrees: done.agrees },
            Err(e) if lost || jobs::lost(&e) => {
                tracing::warn!(verdict = lease.verdict, "the job is another worker's by now: {e}");
                return Ending::Lost;
            }
            Err(e) => e,
        };
        let how = meaning(&error, stop.is_cancelled());
        let said = GiveUp { lease: lease.lease.clone(), how, why: one_line(&error.message) };
        match jobs::give_up(board, &lease.verdict, &said).await {
            Ok(()) => Ending::GivenUp(how, error),
            Err(e) if jobs::lost(&e) => Ending::Lost,
            Err(e) => {
                // The lease ends by itself, and the job goes back into the queue.
                tracing::warn!(verdict = lease.verdict, "the scoreboard could not be told: {e}");
                Ending::GivenUp(how, error)
            }
        }
    }

    /// Asks the scoreboard to have a verdict executed again; the same job however often it is asked for.
    pub(super) async fn reexecution_asked(&self, caller: &Caller, request: AskReexecution) -> Result<ReexecutionJob> {
        let board = self.enrolled().await?;
        let id = sync::reexecution::id_of(&board, &request.verdict).ok_or_else(|| {
            Error::new(Code::InvalidInput, format!("“{}” is no verdict of your scoreboard.", request.verdict))
                .hint("Give a verdict’s id, or the address of its page at the scoreboard you are enrolled at.")
        })?;
        let job = jobs::ask(&board, id).await?;
        let data = serde_json::json!({
            "verdict": job.verdict, "state": job.state.word(), "correlation": caller.correlation, "at": now(),
        });
        self.audited("reexecution.asked", data).await?;
        Ok(told(job))
    }

    pub(super) async fn reexecution_jobs(&self) -> Result<Vec<ReexecutionJob>> {
        let board = self.store.read(rows::board).await?.ok_or_else(sync::not_enrolled)?;
        Ok(jobs::list(&board).await?.into_iter().map(told).collect())
    }
}

/// Keeps the lease; returns when the scoreboard says that it is gone. While it does not answer the work goes on: nobody may
/// have taken the job meanwhile.
async fn until_lost(board: &Board, lease: &Lease) {
    let every = Duration::from_secs(u64::from(lease.seconds)) / RENEWALS;
    loop {
        tokio::time::sleep(every).await;
        match jobs::renew(board, lease).await {
            Ok(()) => {}
            Err(e) if jobs::lost(&e) => return,
            Err(e) => tracing::warn!(verdict = lease.verdict, "the lease could not be renewed: {e}"),
        }
    }
}

/// Whether this machine will be told the same whenever it asks.
fn hopeless(e: &Error) -> bool {
    let never = [RefusalCode::Forbidden, RefusalCode::Unauthorized, RefusalCode::KeyRevoked, RefusalCode::NotFound];
    e.code == Code::WrongState || jobs::refusal(e).is_some_and(|c| never.iter().any(|r| r.as_str() == c))
}

/// What an execution that failed means for its job: what depends on the machine or the moment may go otherwise elsewhere.
fn meaning(e: &Error, asked_to_stop: bool) -> GivenUp {
    let refused = jobs::refusal(e).and_then(|c| RefusalCode::ALL.iter().find(|r| r.as_str() == c));
    match e.code {
        _ if asked_to_stop => GivenUp::Returned,
        Code::SeedBound => GivenUp::Refused,
        Code::VerdictInvalid | Code::EvidenceInvalid | Code::TemplateInvalid | Code::TooLarge => GivenUp::Failed,
        Code::ScoreboardFailed if refused.is_some_and(|r| !r.retry()) => GivenUp::Failed,
        _ => GivenUp::Again,
    }
}

fn one_line(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WHY_MOST).collect();
    if line.trim().is_empty() { "It failed without a word.".to_owned() } else { line }
}

pub(super) fn told(job: crate::board::Job) -> ReexecutionJob {
    ReexecutionJob {
        verdict: job.verdict,
        lab: job.lab,
        state: match job.state {
            JobState::Queued => ReexecutionState::Queued,
            JobState::Running => ReexecutionState::Running,
            JobState::Done => ReexecutionState::Done,
            JobState::Refused => ReexecutionState::Refused,
            JobState::Failed => ReexecutionState::Failed,
        },
        asked_at: job.asked_at,
        ended_at: job.ended_at,
        tries: u32::try_from(job.tries).unwrap_or(0),
        agrees: job.agrees,
        why: job.why,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn said(code: Code, word: Option<&str>) -> Error {
        let e = Error::new(code, "it was so");
        word.map_or(e.clone(), |w| e.details(json!({"code": w})))
    }

    #[test]
    fn what_may_be_otherwise_elsewhere_is_tried_again() {
        let cases = [
            (said(Code::SeedBound, None), GivenUp::Refused),
            (said(Code::EvidenceInvalid, None), GivenUp::Failed),
            (said(Code::ScoreboardFailed, Some("re_execution_invalid")), GivenUp::Failed),
            (said(Code::ScoreboardFailed, Some("busy")), GivenUp::Again),
            (said(Code::ScoreboardFailed, Some("unreachable")), GivenUp::Again),
            (said(Code::WrongState, None), GivenUp::Again),
            (said(Code::Timeout, None), GivenUp::Again),
            (said(Code::DockerFailed, None), GivenUp::Again),
        ];
        for (e, want) in cases {
            assert_eq!(meaning(&e, false), want, "{e:?}");
            assert_eq!(meaning(&e, true), GivenUp::Returned, "{e:?}");
        }
    }

    #[test]
    fn a_worker_that_may_not_work_ends_and_one_that_cannot_now_stays() {
        for word in ["forbidden", "unauthorized", "key_revoked"] {
            assert!(hopeless(&said(Code::ScoreboardFailed, Some(word))), "{word}");
        }
        for word in ["busy", "unreachable", "timeout", "store_unavailable"] {
            assert!(!hopeless(&said(Code::ScoreboardFailed, Some(word))), "{word}");
        }
        assert!(hopeless(&said(Code::WrongState, None)) && !hopeless(&said(Code::DockerUnavailable, None)));
    }

    #[test]
    fn a_reason_is_one_line_that_the_scoreboard_takes() {
        assert_eq!(one_line("a\nb\u{1b}[2J"), "a b [2J");
        assert_eq!(one_line(&"ä".repeat(900)).chars().count(), WHY_MOST);
        assert!(!one_line("\n").trim().is_empty());
    }
}
