//! The outbox, from the oldest on: each verdict leaves it by a receipt that was verified or a refusal that was kept, in the
//! transaction that keeps it. A crash at any moment repeats at most one submission, which the scoreboard knows by its id.

use super::judge::{self, Doubt, Later, Outcome};
use super::parcel::{self, Parcel};
use super::send::{self, Way};
use super::{enrol, pace, server};
use crate::audit::{self, Fact};
use crate::board::{Accepted, Receipt, Signed};
use crate::error::{Code, Error, Result};
use crate::http::Server;
use crate::keys::PublicKey;
use crate::store::sync::{self as rows, Board, Receipted, Refused, Waiting};
use crate::store::{Store, results};
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What a round takes from outside: the time, randomness, and when to end.
pub struct Round<'a> {
    pub store: &'a Store,
    pub now: &'a (dyn Fn() -> i64 + Send + Sync),
    pub random: &'a (dyn Fn() -> u64 + Send + Sync),
    pub cancel: &'a CancellationToken,
    pub whole_max: u64,
    pub patience: Duration,
    /// Everything that waits, whenever its time is.
    pub all: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub accepted: Vec<String>,
    pub refused: Vec<String>,
    /// Why it ended early: code and words.
    pub stopped: Option<(String, String)>,
}

enum Step {
    Accepted,
    Refused,
    Postponed,
    Stop(Later),
}

impl Round<'_> {
    /// # Errors
    /// What the store says. A scoreboard that does not do as it should is told in [`Told::stopped`].
    pub async fn run(&self, board: &Board) -> Result<Told> {
        let mut told = Told::default();
        let mut keys = board.keys.iter().map(|pem| PublicKey::from_pem(pem)).collect::<Result<Vec<_>>>()?;
        let server = server(board)?;
        let waiting = self.store.read(rows::waiting).await?;
        for w in waiting.iter().filter(|w| self.all || pace::due(w.next_at, (self.now)())) {
            if self.cancel.is_cancelled() {
                return Err(Error::cancelled());
            }
            let step = tokio::select! {
                step = self.one(board, &server, &mut keys, w) => step?,
                () = self.cancel.cancelled() => return Err(Error::cancelled()),
            };
            match step {
                Step::Accepted => told.accepted.push(w.result.clone()),
                Step::Refused => told.refused.push(w.result.clone()),
                Step::Postponed => {}
                Step::Stop(later) => {
                    let (at, why) = ((self.now)(), later.message.clone());
                    let retry_at = at + pace::wait(board.failures + 1, later.asked, (self.random)());
                    self.store.write(move |tx| rows::failed(tx, at, retry_at, &why)).await?;
                    told.stopped = Some((later.code, later.message));
                    return Ok(told);
                }
            }
        }
        let at = (self.now)();
        self.store.write(move |tx| rows::worked(tx, at)).await?;
        Ok(told)
    }

    async fn one(&self, board: &Board, server: &Server, keys: &mut Vec<PublicKey>, w: &Waiting) -> Result<Step> {
        let id = w.result.clone();
        let (summary, _) = self.store.read(move |c| results::get(c, &id)).await?;
        let (dir, id) = (PathBuf::from(summary.dir), w.result.clone());
        let read = tokio::task::spawn_blocking(move || parcel::read(&dir, &id)).await.map_err(Error::internal)?;
        let parcel = match read {
            Ok(parcel) => parcel,
            Err(e) if matches!(e.code, Code::VerdictInvalid | Code::EvidenceInvalid | Code::TooLarge) => {
                let hint = e.hints.first().cloned().unwrap_or_default();
                return self.refuse(w, "changed_here".into(), e.message, hint).await;
            }
            Err(e) => return self.postpone(w, &Later::whole("unreadable_here", e.message)).await,
        };
        let way = Way { server, token: &board.token, whole_max: self.whole_max, patience: self.patience };
        let mut early = None;
        let sent = send::send(&way, &parcel, w.attempts, &mut early).await;
        if let Some(accepted) = early
            && let Err(later) = self.keep(board, server, keys, &parcel, &accepted, false).await?
        {
            return Ok(Step::Stop(later));
        }
        match sent {
            Outcome::Accepted(accepted) => match self.keep(board, server, keys, &parcel, &accepted, true).await? {
                Ok(()) => Ok(Step::Accepted),
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

    /// Verifies a receipt and keeps it. The inner error: it is not to be believed.
    async fn keep(
        &self,
        board: &Board,
        server: &Server,
        keys: &mut Vec<PublicKey>,
        parcel: &Parcel,
        accepted: &Accepted,
        done: bool,
    ) -> Result<Result<(), Later>> {
        let signed = &accepted.receipt;
        let mut verdict = judge::receipt(signed, parcel, keys);
        if verdict == Err(Doubt::OtherKey) {
            match enrol::successors(server, keys).await {
                Ok(now) if now.len() > keys.len() => {
                    let (root, pems) = (board.root.clone(), now.iter().map(PublicKey::pem).collect::<Vec<_>>());
                    self.store.write(move |tx| rows::set_keys(tx, &root, &pems)).await?;
                    *keys = now;
                    verdict = judge::receipt(signed, parcel, keys);
                }
                Ok(_) => {}
                Err(e) => tracing::warn!("the scoreboard's keys could not be looked at: {e}"),
            }
        }
        if let Err(doubt) = verdict {
            let why = match doubt {
                Doubt::OtherKey => "it is signed with a key that the pinned one does not vouch for",
                Doubt::Lie(why) => why,
            };
            let message =
                format!("The scoreboard’s receipt is not genuine: {why}. The verdict is kept and will be sent again.");
            return Ok(Err(Later::whole("bad_receipt", message)));
        }
        self.record(board, accepted, signed, done).await.map(Ok)
    }

    async fn record(&self, board: &Board, accepted: &Accepted, signed: &Signed<Receipt>, done: bool) -> Result<()> {
        let body = &signed.body;
        let row = Receipted {
            result: body.verdict.clone(),
            root: board.root.clone(),
            tier: body.tier,
            receipt: serde_json::to_string(signed)?,
            url: format!("{}/v1/verdicts/{}", board.url, body.verdict),
            notes: accepted.notes.iter().take(20).map(|n| n.chars().take(500).collect()).collect(),
            at: (self.now)(),
        };
        let data = serde_json::json!({
            "verdict": body.verdict, "tier": body.tier, "seq": body.seq, "received_at": body.received_at, "key_id": signed.key_id,
        });
        let run = body.run.clone();
        self.store
            .write(move |tx| {
                let at = row.at;
                if rows::receipted(tx, &row, done)? {
                    audit::append(tx, Fact { at, run: Some(run), kind: "sync.accepted".into(), data })?;
                }
                Ok(())
            })
            .await
    }

    async fn refuse(&self, w: &Waiting, code: String, message: String, hint: String) -> Result<Step> {
        let row = Refused { result: w.result.clone(), code, message, hint, at: (self.now)() };
        let data = serde_json::json!({"verdict": row.result, "code": row.code, "message": row.message});
        self.store
            .write(move |tx| {
                rows::refused(tx, &row)?;
                audit::append(tx, Fact { at: row.at, run: None, kind: "sync.refused".into(), data }).map(drop)
            })
            .await?;
        Ok(Step::Refused)
    }

    async fn postpone(&self, w: &Waiting, later: &Later) -> Result<Step> {
        let next_at = (self.now)() + pace::wait(w.attempts + 1, later.asked, (self.random)());
        let (id, why) = (w.result.clone(), format!("{}: {}", later.code, later.message));
        self.store.write(move |tx| results::postponed(tx, &id, next_at, &why)).await?;
        Ok(Step::Postponed)
    }
}
