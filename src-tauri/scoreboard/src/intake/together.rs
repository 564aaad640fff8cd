//! Candidates that arrive while the disk is busy are recorded together: one job of the store takes all that wait by the time
//! it is run, and each submission hears of its own once that is on the disk.

use super::record::{self, Candidate, Decided};
use crate::store::Store;
use forge_core::error::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

struct Waiting {
    candidate: Candidate,
    reply: oneshot::Sender<Result<Decided>>,
}

/// Those who wait for the next job. Their number is bounded by that of the connections.
#[derive(Clone, Default)]
pub struct Together(Arc<Mutex<Vec<Waiting>>>);

impl Together {
    /// Returns once what was decided is on the disk.
    pub async fn record(&self, store: &Store, candidate: Candidate) -> Result<Decided> {
        let decided = self.record_all(store, vec![candidate]).await.pop();
        decided.unwrap_or_else(|| Err(Error::internal("nothing was decided")))
    }

    /// In this order: of two that exclude each other the first is stored.
    pub async fn record_all(&self, store: &Store, candidates: Vec<Candidate>) -> Vec<Result<Decided>> {
        if candidates.is_empty() {
            return Vec::new();
        }
        let waits = |candidate| {
            let (reply, answer) = oneshot::channel();
            (Waiting { candidate, reply }, answer)
        };
        let (more, answers): (Vec<_>, Vec<_>) = candidates.into_iter().map(waits).unzip();
        let first = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let first = waiting.is_empty();
            waiting.extend(more);
            first
        };
        if first {
            // A task of its own: the others must be answered even if the client of this one goes away.
            tokio::spawn(all(self.clone(), store.clone()));
        }
        let mut decided = Vec::new();
        for answer in answers {
            decided.push(answer.await.unwrap_or_else(|_| Err(Error::internal("nobody has recorded a candidate"))));
        }
        decided
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn all(together: Together, store: Store) {
    let held: Arc<Mutex<Option<Split>>> = Arc::default();
    let (mine, source) = (held.clone(), together.clone());
    let outcome = store
        .write(move |tx| {
            // The job may be run again: with the same ones.
            let mut held = mine.lock().unwrap_or_else(PoisonError::into_inner);
            let split = held.get_or_insert_with(|| Split::of(source.take()));
            record::record(tx, &split.candidates)
        })
        .await;
    let taken = held.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Without a connection the job was never run, and another attempt would only make all of them wait.
    let (split, ran) = taken.map_or_else(|| (Split::of(together.take()), false), |split| (split, true));
    match outcome {
        Ok(decided) => split.replies.into_iter().zip(decided).for_each(|(reply, decided)| told(reply, Ok(decided))),
        Err(_) if ran && split.replies.len() > 1 => {
            // One may have failed all: each again by itself.
            for (reply, candidate) in split.replies.into_iter().zip(split.candidates) {
                let alone = store.write(move |tx| record::record(tx, std::slice::from_ref(&candidate))).await;
                let decided = alone.and_then(|mut d| d.pop().ok_or_else(|| Error::internal("nothing was decided")));
                told(reply, decided);
            }
        }
        Err(e) => split.replies.into_iter().for_each(|reply| told(reply, Err(e.clone()))),
    }
}

struct Split {
    candidates: Vec<Candidate>,
    replies: Vec<oneshot::Sender<Result<Decided>>>,
}

impl Split {
    fn of(waiting: Vec<Waiting>) -> Self {
        let (candidates, replies) = waiting.into_iter().map(|w| (w.candidate, w.reply)).unzip();
        Self { candidates, replies }
    }
}

fn told(reply: oneshot::Sender<Result<Decided>>, decided: Result<Decided>) {
    // An error only says that its client went away.
    let _ = reply.send(decided);
}
