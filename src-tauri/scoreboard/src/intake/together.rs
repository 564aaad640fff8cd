//! Candidates that arrive while the disk is busy are recorded together: one job of the store takes all that wait by the time
//! it is run. Each submission hears twice of its own: what was decided, so that its answer can be made while the disk works,
//! and then that it is on the disk. Nothing leaves before that.

use super::record::{self, Candidate, Decided};
use crate::store::Store;
use forge_core::error::{Error, Result};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::mpsc;

enum Word {
    /// Not durable yet. Comes again when it had to be decided again; the last one counts.
    Decided(Vec<Result<Decided>>),
    Durable,
    Failed(Error),
}

struct Waiting {
    candidates: Vec<Candidate>,
    told: mpsc::UnboundedSender<Word>,
}

impl Waiting {
    fn tell(&self, word: Word) {
        // An error only says that its client went away.
        let _ = self.told.send(word);
    }
}

/// Those who wait for the next job. Their number is bounded by that of the connections.
#[derive(Clone, Default)]
pub struct Together(Arc<Mutex<Vec<Waiting>>>);

impl Together {
    /// In this order: of two that exclude each other the first is stored. Returns what `prepare` made of what was decided, once
    /// that is on the disk. It may be called again, and what it made before is dropped then.
    pub async fn record<T>(
        &self,
        store: &Store,
        candidates: Vec<Candidate>,
        mut prepare: impl FnMut(Vec<Result<Decided>>) -> T,
    ) -> Result<T> {
        if candidates.is_empty() {
            return Ok(prepare(Vec::new()));
        }
        let (told, mut words) = mpsc::unbounded_channel();
        let first = {
            let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push(Waiting { candidates, told });
            waiting.len() == 1
        };
        if first {
            // A task of its own: the others must be answered even if the client of this one goes away.
            tokio::spawn(all(self.clone(), store.clone()));
        }
        let nobody = || Error::internal("nobody has recorded a candidate");
        let mut prepared = None;
        loop {
            match words.recv().await.ok_or_else(nobody)? {
                Word::Decided(decided) => prepared = Some(prepare(decided)),
                Word::Durable => return prepared.ok_or_else(nobody),
                Word::Failed(e) => return Err(e),
            }
        }
    }

    fn take(&self) -> Vec<Waiting> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Group = Arc<(Vec<Candidate>, Vec<(usize, Waiting)>)>;

/// All of their candidates in one list, and how many are whose.
fn grouped(mut waiting: Vec<Waiting>) -> Group {
    let mut candidates = Vec::new();
    let own = |w: Waiting| {
        let (count, told) = (w.candidates.len(), w.told);
        candidates.extend(w.candidates);
        (count, Waiting { candidates: Vec::new(), told })
    };
    let whose = waiting.drain(..).map(own).collect();
    Arc::new((candidates, whose))
}

async fn all(together: Together, store: Store) {
    let held: Arc<Mutex<Option<Group>>> = Arc::default();
    let (mine, source) = (held.clone(), together.clone());
    let outcome = store
        .write(move |tx| {
            // The job may be run again: with the same ones.
            let mut held = mine.lock().unwrap_or_else(PoisonError::into_inner);
            let (candidates, whose) = &**held.get_or_insert_with(|| grouped(source.take()));
            let mut decided = record::record(tx, candidates)?.into_iter().map(Ok);
            whose.iter().for_each(|(count, w)| w.tell(Word::Decided(decided.by_ref().take(*count).collect())));
            Ok(())
        })
        .await;
    let taken = held.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Without a connection the job was never run, and another attempt would only make all of them wait.
    let (group, ran) = taken.map_or_else(|| (grouped(together.take()), false), |group| (group, true));
    let (candidates, whose) = &*group;
    match outcome {
        Ok(()) => whose.iter().for_each(|(_, w)| w.tell(Word::Durable)),
        Err(_) if ran && candidates.len() > 1 => {
            // One may have failed all: each again by itself.
            let mut rest = candidates.iter();
            for (count, w) in whose {
                let mut decided = Vec::new();
                for candidate in rest.by_ref().take(*count) {
                    decided.push(alone(&store, candidate.clone()).await);
                }
                w.tell(Word::Decided(decided));
                w.tell(Word::Durable);
            }
        }
        Err(e) => whose.iter().for_each(|(_, w)| w.tell(Word::Failed(e.clone()))),
    }
}

/// On the disk when it returns.
async fn alone(store: &Store, candidate: Candidate) -> Result<Decided> {
    let mut decided = store.write(move |tx| record::record(tx, std::slice::from_ref(&candidate))).await?;
    decided.pop().ok_or_else(|| Error::internal("nothing was decided"))
}
