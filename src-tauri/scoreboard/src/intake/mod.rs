//! What makes a submission a verdict. In this order, each step before the next may cost anything: size, spelling, key,
//! signature, claims, bundle; then one transaction that decides what must be unique and stores it.
//!
//! [`envelope`] bytes to a signed statement · [`claims`] what it says, held against the clock and the catalogue ·
//! [`bundle`] score and evidence · [`record`] the transaction, which [`together`] shares · [`receipt`] the signed answer ·
//! [`reexecution`] who vouches for a verdict later · [`jobs`] who is to try.

pub mod bundle;
pub mod claims;
pub mod envelope;
pub mod jobs;
pub mod receipt;
pub mod record;
pub mod reexecution;
mod together;

pub use together::Together;

use crate::board::Board;
use crate::clock;
use crate::live::Topic;
use crate::metrics::tier_word;
use crate::store::verdicts::{self, Verdict};
use bytes::Bytes;
use forge_core::api::TrustTier;
use forge_core::board::{Accepted, Fact, Receipt, Refusal, RefusalCode, Signed};
use forge_core::error::{Code, Error};
use std::path::PathBuf;
use std::sync::Arc;

/// Score and evidence as they arrived.
pub struct Parcel {
    pub score: Bytes,
    /// evidence.tar.zst on the disk.
    pub file: PathBuf,
}

/// What was decided, for the answer's status.
pub struct Outcome {
    pub accepted: Accepted,
    pub fresh: bool,
}

pub fn no(code: RefusalCode, message: impl Into<String>) -> Refusal {
    Refusal::new(code, message)
}

/// Trouble of ours, told without details that are nobody's business.
pub fn trouble(e: &Error) -> Refusal {
    tracing::error!(error = %e, code = ?e.code, "a request failed for a reason of ours");
    match e.code {
        Code::DiskFull => no(RefusalCode::DiskFull, "The server's disk is full. Nothing was stored."),
        Code::StoreFailed | Code::Timeout => {
            no(RefusalCode::StoreUnavailable, "The server's database does not answer. Nothing was stored.")
        }
        _ => no(RefusalCode::Internal, "Something went wrong on the server. Nothing was stored."),
    }
    .hint("Try again later; the server's log says more.")
}

/// The tier that follows from what was established.
pub fn tier(facts: &[Fact]) -> TrustTier {
    let all = |needed: &[Fact]| needed.iter().all(|f| facts.contains(f));
    let graded = [Fact::Digests, Fact::SameLab, Fact::ReGraded];
    if all(&graded) && facts.contains(&Fact::ReExecuted) {
        TrustTier::ReExecuted
    } else if all(&graded) {
        TrustTier::ReGraded
    } else if all(&[Fact::IssuedSeed]) {
        TrustTier::InstructorSeeded
    } else {
        TrustTier::SelfAttested
    }
}

/// Takes a submission in. Nothing is stored unless this returns `Ok`, and what it returns is on the disk.
pub async fn submit(board: &Arc<Board>, envelope: Bytes, parcel: Option<Parcel>) -> Result<Outcome, Refusal> {
    let candidate = judge(board, envelope, parcel.as_ref()).await?;
    let id = candidate.id().to_owned();
    let mut settled = recorded(board, vec![candidate]).await;
    let (outcome, refused) = settled.pop().unwrap_or_else(|| (Err(trouble(&undecided())), false));
    if parcel.is_some() && refused {
        unplace(board, &id).await;
    }
    outcome
}

/// Takes many envelopes in, each as if they had come one after the other; they are stored together.
pub async fn submit_all(board: &Arc<Board>, envelopes: Vec<Bytes>) -> Vec<Result<Outcome, Refusal>> {
    let (mut judged, mut candidates) = (Vec::new(), Vec::new());
    for envelope in envelopes {
        judged.push(judge(board, envelope, None).await.map(|candidate| candidates.push(candidate)));
    }
    let mut settled = recorded(board, candidates).await.into_iter();
    let mut next = || settled.next().map_or_else(|| Err(trouble(&undecided())), |(outcome, _)| outcome);
    judged.into_iter().map(|held| held.and_then(|()| next())).collect()
}

fn undecided() -> Error {
    Error::internal("a candidate has no decision")
}

/// Everything before the database is asked; the evidence is in its place then.
async fn judge(board: &Arc<Board>, envelope: Bytes, parcel: Option<&Parcel>) -> Result<record::Candidate, Refusal> {
    let opened = envelope::open(&envelope)?;
    let key = board.ring.learner(&board.store, &opened.key_id).await.map_err(|e| trouble(&e))?.ok_or_else(|| {
        no(RefusalCode::UnknownKey, "The key that signed this is not enrolled here.")
            .hint("Enrol it with a code of your instructor: forge enrol URL CODE")
    })?;
    let statement = envelope::verify(&opened, &key)?;
    let now = clock::now();
    let checked = claims::check(&statement, &opened.key_id, now, &board.labs)?;
    let established = match parcel {
        None => None,
        Some(parcel) => {
            let (score, file) = (parcel.score.clone(), parcel.file.clone());
            let work = (statement.clone(), key.clone(), checked.lab.clone());
            let turn = board.grading.clone().acquire_owned().await;
            let task = tokio::task::spawn_blocking(move || {
                let (statement, key, lab) = work;
                let established = bundle::check(&statement, &key, &score, &file, lab.as_deref());
                drop(turn);
                established
            });
            Some(task.await.map_err(|e| trouble(&Error::internal(e)))??)
        }
    };
    if let (Some(parcel), Some(_)) = (parcel, &established) {
        // Before the row that speaks of it. Should the row be refused, the file is what any later submission would bring.
        let (evidence, file, id) = (board.evidence.clone(), parcel.file.clone(), opened.id.clone());
        let placed = tokio::task::spawn_blocking(move || evidence.place(&file, &id)).await;
        placed.map_err(|e| trouble(&Error::internal(e)))?.map_err(|e| trouble(&e))?;
    }
    Ok(record::Candidate::new(opened, statement, checked, established, now))
}

/// Decides and stores, and tells the listeners what is on the disk. Says for each also whether it was refused for what it is, not
/// for trouble of ours.
async fn recorded(board: &Arc<Board>, mut candidates: Vec<record::Candidate>) -> Vec<(Result<Outcome, Refusal>, bool)> {
    let count = candidates.len();
    let notes: Vec<Vec<String>> = candidates.iter_mut().map(|c| std::mem::take(&mut c.notes)).collect();
    // Receipts are signed while the disk works.
    let prepare = |decided: Vec<forge_core::error::Result<record::Decided>>| {
        let taken = decided.iter().filter_map(|d| d.as_ref().ok()?.as_ref().ok());
        let mut receipts = receipt::all(board, taken.map(|recorded| &recorded.verdict)).map(Vec::into_iter);
        let mut each = |(decided, notes): (_, &Vec<String>)| settle(&mut receipts, notes.clone(), decided);
        decided.into_iter().zip(&notes).map(&mut each).collect::<Vec<_>>()
    };
    match board.together.record(&board.store, candidates, prepare).await {
        Err(e) => (0..count).map(|_| (Err(trouble(&e)), false)).collect(),
        Ok(settled) => {
            if count > 1 {
                let seqs: Vec<i64> = settled.iter().filter_map(Settled::fresh).collect();
                tracing::info!(
                    count,
                    new = seqs.len(),
                    first = seqs.first(),
                    last = seqs.last(),
                    "many verdicts decided"
                );
            }
            settled.into_iter().map(|settled| settled.done(board, count == 1)).collect()
        }
    }
}

/// What is to be said about a candidate once that is true.
struct Settled {
    outcome: Result<Outcome, Refusal>,
    recorded: Option<record::Recorded>,
    /// For what it is, not for trouble of ours.
    refused: bool,
}

impl Settled {
    /// The number of a verdict that is new.
    fn fresh(&self) -> Option<i64> {
        self.recorded.as_ref().filter(|r| r.change == record::Change::New).map(|r| r.verdict.seq)
    }

    fn done(self, board: &Board, alone: bool) -> (Result<Outcome, Refusal>, bool) {
        if let Some(recorded) = &self.recorded {
            told(board, recorded, alone);
        }
        (self.outcome, self.refused)
    }
}

/// Takes the next of the receipts, if there is to be one, or the reason why there are none.
fn settle(
    receipts: &mut forge_core::error::Result<std::vec::IntoIter<Signed<Receipt>>>,
    mut notes: Vec<String>,
    decided: forge_core::error::Result<record::Decided>,
) -> Settled {
    let no = |refusal, refused| Settled { outcome: Err(refusal), recorded: None, refused };
    let mut recorded = match decided {
        Err(e) => return no(trouble(&e), false),
        Ok(Err(refusal)) => return no(refusal, true),
        Ok(Ok(recorded)) => recorded,
    };
    let receipt = match receipts {
        Ok(receipts) => receipts.next().ok_or_else(|| trouble(&undecided())),
        Err(e) => Err(trouble(e)),
    };
    notes.append(&mut recorded.notes);
    // An envelope that comes again stands where its verdict does.
    if !recorded.verdict.facts.contains(&Fact::Digests) {
        notes.push("Score and evidence were not sent: nothing was recomputed.".into());
    }
    let outcome = receipt.map(|receipt| answer(&recorded.verdict, recorded.change, notes, receipt));
    Settled { outcome, recorded: Some(recorded), refused: false }
}

/// Takes back a bundle whose verdict was refused, unless there is one that it belongs to.
async fn unplace(board: &Board, id: &str) {
    let wanted = id.to_owned();
    let known = board.store.read(move |tx| verdicts::by_id(tx, &wanted)).await;
    if matches!(known, Ok(None))
        && let Err(e) = std::fs::remove_file(board.evidence.path(id))
    {
        tracing::warn!(error = %e, verdict = id, "the bundle of a refused verdict could not be removed");
    }
}

fn answer(v: &Verdict, change: record::Change, notes: Vec<String>, receipt: Signed<Receipt>) -> Outcome {
    let accepted =
        Accepted { duplicate: change == record::Change::None, notes, page: format!("/v1/verdicts/{}", v.id), receipt };
    Outcome { accepted, fresh: change == record::Change::New }
}

/// Counts, logs and tells the listeners. Of many, the log has one line that counts them.
fn told(board: &Board, recorded: &record::Recorded, alone: bool) {
    let (v, name) = (&recorded.verdict, recorded.name.as_str());
    if recorded.change == record::Change::None {
        board.metrics.duplicates.inc();
        return;
    }
    board.metrics.accepted(v.tier);
    if let Some(bytes) = v.evidence_bytes {
        board.metrics.evidence_bytes.inc_by(u64::try_from(bytes).unwrap_or(0));
    }
    if alone {
        tracing::info!(verdict = %v.id, seq = v.seq, lab = %v.lab, class = %v.class, tier = tier_word(v.tier), "verdict accepted");
    }
    tell(board, v, name);
}

/// What listeners hear of a verdict.
#[derive(serde::Serialize)]
struct News<'a> {
    id: &'a str,
    seq: i64,
    track: &'a str,
    lab: &'a str,
    class: &'a str,
    name: &'a str,
    learner: &'a str,
    score: u64,
    max: u64,
    tier: &'static str,
    received_at: i64,
}

/// A verdict that is new or stands higher now, to everybody who looks at a board that it is on.
pub fn tell(board: &Board, v: &Verdict, name: &str) {
    let (id, track, lab, class, learner) = (&*v.id, &*v.track, &*v.lab, &*v.class, &*v.learner);
    let (seq, score, max, tier, received_at) = (v.seq, v.score, v.max, tier_word(v.tier), v.received_at);
    let data =
        match serde_json::to_string(&News { id, seq, track, lab, class, name, learner, score, max, tier, received_at })
        {
            Ok(data) => data,
            Err(e) => return tracing::warn!(error = %e, verdict = id, "a verdict could not be told"),
        };
    board.live.tell(Topic::Board { track: v.track.clone(), class: v.class.clone() }, "verdict", &data);
    board.metrics.events.inc();
    if let Some(session) = &v.session {
        let topic = Topic::Session { id: session.clone(), learner: Some(v.learner.clone()), instructors_only: true };
        board.live.tell(topic, "verdict", &data);
    }
}

/// Jobs whose workers said nothing for as long as their lease was.
pub async fn tell_silent(board: &Board, jobs: &[forge_core::board::Job]) {
    for job in jobs {
        tracing::warn!(verdict = %job.verdict, tries = job.tries, state = job.state.word(), "a worker fell silent");
        tell_job(board, &job.verdict).await;
    }
}

/// What has become of a verdict's job, to the instructors who look at its session. It is on the disk already, and whoever does not
/// hear of it finds it there.
pub async fn tell_job(board: &Board, verdict: &str) {
    let id = verdict.to_owned();
    let told = match board.store.read(move |tx| crate::store::jobs::in_session(tx, &id)).await {
        Ok(None) => return,
        Ok(Some((kept, session))) => serde_json::to_value(&kept.job).map(|data| (data, session)).map_err(Error::from),
        Err(e) => Err(e),
    };
    match told {
        Ok((data, id)) => {
            board.live.tell(Topic::Session { id, learner: None, instructors_only: true }, "job", &data);
            board.metrics.events.inc();
        }
        Err(e) => tracing::warn!(error = %e, verdict, "a change of a job could not be told"),
    }
}

/// Finishes a bundle that came in parts, after its envelope. On any refusal the parts are dropped and the verdict stays.
pub async fn complete(board: &Arc<Board>, id: &str) -> Result<Outcome, Refusal> {
    let wanted = id.to_owned();
    let found = board.store.read(move |tx| verdicts::by_id(tx, &wanted)).await.map_err(|e| trouble(&e))?;
    let v = found.ok_or_else(|| no(RefusalCode::NotFound, "There is no such verdict here."))?;
    let envelope = v.envelope().map_err(|e| trouble(&e))?;
    let score = v.score_json.ok_or_else(|| {
        no(RefusalCode::Inconsistent, "score.json has not been sent yet.").hint("PUT it first, then the evidence.")
    })?;
    let file = board.evidence.part(id);
    let outcome = submit(board, envelope.into(), Some(Parcel { score, file })).await;
    if outcome.as_ref().is_err_and(|r| !r.code.retry())
        && let Err(e) = board.evidence.drop_part(id)
    {
        tracing::warn!(error = %e, verdict = id, "the parts of a refused bundle could not be removed");
    }
    outcome
}
