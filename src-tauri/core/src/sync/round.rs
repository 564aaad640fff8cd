//! The outbox, from the oldest on: each verdict leaves it by a receipt that was verified or a refusal that was kept, in the
//! transaction that keeps it. A crash at any moment repeats at most one request, whose verdicts the scoreboard knows by their id.

use super::judge::{Later, Outcome};
use super::parcel::{self, Parcel};
use super::send::{self, Way};
use super::{many, pace, server};
use crate::api::TrustTier;
use crate::board::{ENVELOPES_MAX, Fact};
use crate::error::{Code, Error, Result};
use crate::http::Server;
use crate::keys::PublicKey;
use crate::store::sync::{self as rows, Board, Waiting};
use crate::store::{Store, results};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// From so many on, envelopes go ahead together.
pub const SEVERAL: usize = 4;

/// What a round takes from outside: the time, randomness, and when to end.
pub struct Round<'a> {
    pub store: &'a Store,
    pub now: &'a (dyn Fn() -> i64 + Send + Sync),
    pub random: &'a (dyn Fn() -> u64 + Send + Sync),
    pub cancel: &'a CancellationToken,
    pub whole_max: u64,
    pub patience: Duration,
    /// Everything that waits, whenever its time is; and whatever may stand higher by now.
    pub all: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub accepted: Vec<String>,
    pub refused: Vec<String>,
    /// Accepted before, and of a higher tier now.
    pub raised: Vec<(String, TrustTier)>,
    /// Why it ended early: code and words.
    pub stopped: Option<(String, String)>,
}

/// The scoreboard as this round knows it.
pub(super) struct Peer<'a> {
    pub board: &'a Board,
    pub server: Server,
    /// Those whose receipts are believed, newest first.
    pub keys: Vec<PublicKey>,
}

/// What became of a verdict; nothing else of it is tried in this round.
pub(super) enum Step {
    Accepted,
    Refused,
    Postponed,
    Stop(Later),
}

impl Round<'_> {
    /// # Errors
    /// What the store says, and `Cancelled`. A scoreboard that does not do as it should is told in [`Told::stopped`].
    pub async fn run(&self, board: &Board) -> Result<Told> {
        let mut told = Told::default();
        let keys = board.keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>>>()?;
        let mut peer = Peer { board, server: server(board)?, keys };
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Error::cancelled()),
            done = self.work(&mut peer, &mut told) => done.map(|()| told),
        }
    }

    async fn work(&self, peer: &mut Peer<'_>, told: &mut Told) -> Result<()> {
        let mut waiting = self.store.read(rows::waiting).await?;
        waiting.retain(|w| self.all || pace::due(w.next_at, (self.now)()));
        let stopped = match self.ahead(peer, &mut waiting, told).await? {
            None => self.in_turn(peer, &waiting, told).await?,
            stop => stop,
        };
        let at = (self.now)();
        if let Some(later) = stopped {
            let why = later.message.clone();
            let retry_at = at + pace::wait(peer.board.failures + 1, later.asked, (self.random)());
            self.store.write(move |tx| rows::failed(tx, at, retry_at, &why)).await?;
            told.stopped = Some((later.code, later.message));
            return Ok(());
        }
        self.store.write(move |tx| rows::worked(tx, at)).await?;
        self.ask_again(peer, told).await
    }

    /// Where several wait, their envelopes go ahead, many in a request: all have arrived in seconds, and in time for their
    /// deadlines, before the first evidence follows. Those that are through with are taken out of `waiting`.
    async fn ahead(&self, peer: &mut Peer<'_>, waiting: &mut Vec<Waiting>, told: &mut Told) -> Result<Option<Later>> {
        if waiting.len() < SEVERAL {
            return Ok(None);
        }
        let acknowledged: BTreeSet<String> = self
            .store
            .read(rows::receipts)
            .await?
            .into_iter()
            .filter(|r| r.root == peer.board.root)
            .map(|r| r.result)
            .collect();
        let mut open =
            waiting.iter().filter(|w| !acknowledged.contains(&w.result)).cloned().collect::<Vec<_>>().into_iter();
        if open.len() < SEVERAL {
            return Ok(None);
        }
        let mut through = BTreeSet::new();
        let mut read: Vec<(Parcel, Waiting)> = Vec::new();
        // Few at first: for a scoreboard that is away, not hundreds of folders are read and verified.
        let mut most = SEVERAL;
        let stopped = loop {
            while read.len() < most
                && let Some(w) = open.next()
            {
                match self.open(&w).await? {
                    Ok(parcel) => read.push((parcel.envelope_only(), w)),
                    Err(step) => {
                        through.insert(w.result.clone());
                        told.note(step, w.result);
                    }
                }
            }
            let fit = many::fit(read.iter().map(|(p, _)| p.envelope.as_slice()));
            if fit == 0 {
                // One that is too large for this way goes alone.
                if read.is_empty() {
                    break None;
                }
                read.remove(0);
                continue;
            }
            let some: Vec<(Parcel, Waiting)> = read.drain(..fit).collect();
            let asked: Vec<(&Parcel, u32)> = some.iter().map(|(p, w)| (p, w.attempts)).collect();
            match many::ask(&self.way(peer), &asked).await {
                many::Said::Each(outcomes) => {
                    let stop = self.answered(peer, &some, outcomes, &mut through, told).await?;
                    if stop.is_some() {
                        break stop;
                    }
                    most = ENVELOPES_MAX;
                }
                many::Said::OneByOne => break None,
                many::Said::Later(later) => break Some(later),
            }
        };
        waiting.retain(|w| !through.contains(&w.result));
        Ok(stopped)
    }

    /// What was said to each of many envelopes; their receipts are kept in one transaction.
    async fn answered(
        &self,
        peer: &mut Peer<'_>,
        sent: &[(Parcel, Waiting)],
        outcomes: Vec<Outcome>,
        through: &mut BTreeSet<String>,
        told: &mut Told,
    ) -> Result<Option<Later>> {
        let (mut kept, mut stop) = (Vec::new(), None);
        for ((parcel, w), outcome) in sent.iter().zip(outcomes) {
            let step = match outcome {
                Outcome::Accepted(accepted) => match self.genuine(peer, parcel, &accepted).await? {
                    Ok(()) => {
                        // All of it was there: an answer was lost, or another laptop with this key sent it.
                        let done = accepted.receipt.body.established.contains(&Fact::Digests);
                        kept.push((accepted, done));
                        if !done {
                            continue;
                        }
                        Step::Accepted
                    }
                    Err(later) => Step::Stop(later),
                },
                Outcome::Refused { code, message, hint } => self.refuse(w, code, message, hint).await?,
                Outcome::Later(later) if later.whole => Step::Stop(later),
                Outcome::Later(later) => self.postpone(w, &later).await?,
            };
            through.insert(w.result.clone());
            if let Step::Stop(later) = step {
                self.postpone(w, &later).await?;
                stop = Some(later);
                break;
            }
            told.note(step, w.result.clone());
        }
        self.keep_all(peer, kept).await?;
        Ok(stop)
    }

    async fn in_turn(&self, peer: &mut Peer<'_>, waiting: &[Waiting], told: &mut Told) -> Result<Option<Later>> {
        for w in waiting {
            match self.one(peer, w).await? {
                Step::Stop(later) => return Ok(Some(later)),
                step => told.note(step, w.result.clone()),
            }
        }
        Ok(None)
    }

    async fn one(&self, peer: &mut Peer<'_>, w: &Waiting) -> Result<Step> {
        let parcel = match self.open(w).await? {
            Ok(parcel) => parcel,
            Err(step) => return Ok(step),
        };
        let mut early = None;
        let sent = send::send(&self.way(peer), &parcel, w.attempts, &mut early).await;
        if let Some(accepted) = early {
            match self.genuine(peer, &parcel, &accepted).await? {
                Ok(()) => self.keep_all(peer, vec![(accepted, false)]).await?,
                Err(later) => return Ok(Step::Stop(later)),
            }
        }
        match sent {
            Outcome::Accepted(accepted) => match self.genuine(peer, &parcel, &accepted).await? {
                Ok(()) => self.keep_all(peer, vec![(accepted, true)]).await.map(|()| Step::Accepted),
                Err(later) => {
                    self.postpone(w, &later).await?;
                    Ok(Step::Stop(later))
                }
            },
            Outcome::Refused { code, message, hint } => self.refuse(w, code, message, hint).await,
            Outcome::Later(later) if later.whole => {
                self.postpone(w, &later).await?;
                Ok(Step::Stop(later))
            }
            Outcome::Later(later) => self.postpone(w, &later).await,
        }
    }

    /// Its results folder, verified; or what became of it because it cannot be sent.
    async fn open(&self, w: &Waiting) -> Result<Result<Parcel, Step>> {
        let id = w.result.clone();
        let (summary, _) = self.store.read(move |c| results::get(c, &id)).await?;
        let (dir, id) = (PathBuf::from(summary.dir), w.result.clone());
        let read = tokio::task::spawn_blocking(move || parcel::read(&dir, &id)).await.map_err(Error::internal)?;
        match read {
            Ok(parcel) => Ok(Ok(parcel)),
            Err(e) if matches!(e.code, Code::VerdictInvalid | Code::EvidenceInvalid | Code::TooLarge) => {
                let hint = e.hints.first().cloned().unwrap_or_default();
                self.refuse(w, "changed_here".into(), e.message, hint).await.map(Err)
            }
            Err(e) => self.postpone(w, &Later::whole("unreadable_here", e.message)).await.map(Err),
        }
    }

    pub(super) fn way<'a>(&self, peer: &'a Peer<'_>) -> Way<'a> {
        let token = &peer.board.token;
        Way { server: &peer.server, token, whole_max: self.whole_max, patience: self.patience }
    }
}

impl Told {
    fn note(&mut self, step: Step, result: String) {
        match step {
            Step::Accepted => self.accepted.push(result),
            Step::Refused => self.refused.push(result),
            Step::Postponed | Step::Stop(_) => {}
        }
    }
}
