//! Sessions from here: join or make one, take its challenges, look at it. A run is bound by the request id it is started under.

use super::{Forge, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::board::{Challenge, NewSession, SeedPolicy, Session, Signed};
use crate::error::{Code, Error, Result};
use crate::store::runs;
use crate::store::sync::{self as rows, Board};
use crate::sync;

impl Forge {
    async fn enrolled(&self) -> Result<Board> {
        self.store.read(rows::board).await?.ok_or_else(sync::not_enrolled)
    }

    pub(super) async fn session_create(&self, request: CreateSession) -> Result<SessionInfo> {
        let wanted = NewSession {
            title: request.title,
            labs: request.labs,
            seeds: if request.shared_seed { SeedPolicy::Shared } else { SeedPolicy::PerLearner },
            deadline: now() - self.ahead().await? + i64::from(request.minutes) * 60_000,
            hints: request.hints,
            attempts: request.attempts,
            grace_minutes: 15,
            class: None,
        };
        Ok(told(sync::session::create(&self.enrolled().await?, &wanted).await?))
    }

    /// The deadline is by the scoreboard's clock.
    async fn ahead(&self) -> Result<i64> {
        Ok(self.enrolled().await?.ahead_ms)
    }

    pub(super) async fn session_join(&self, request: JoinSession) -> Result<SessionInfo> {
        Ok(told(sync::session::join(&self.enrolled().await?, &request.code).await?.session))
    }

    pub(super) async fn session_state(&self, request: SessionRequest) -> Result<SessionState> {
        let board = self.enrolled().await?;
        let session = told(sync::session::get(&board, &request.session).await?);
        let live = if board.instructor { Some(sync::session::live(&board, &request.session).await?) } else { None };
        Ok(SessionState { session, board: live.unwrap_or_default() })
    }

    /// The same challenge until it was answered; under the same request id as long as the run it started is alive or has
    /// not been started, so that a crash or a second click starts one run.
    pub(super) async fn take(&self, caller: &Caller, request: TakeChallenge) -> Result<StartLab> {
        let board = self.enrolled().await?;
        let lab = self.catalogue().get(&request.lab)?.id.clone();
        let signed = sync::session::challenge(&board, &request.session, &lab).await?;
        let text = serde_json::to_string(&signed)?;
        let (nonce, seed) = (signed.body.nonce.clone(), signed.body.seed.clone());
        let fresh = uuid::Uuid::now_v7().to_string();
        let data = serde_json::json!({
            "session": signed.body.session, "lab": lab, "nonce": nonce, "attempt": signed.body.attempt, "correlation": caller.correlation,
        });
        let request_id = self
            .store
            .write(move |tx| {
                if let Some(id) = rows::request_of(tx, &nonce)? {
                    let run = runs::by_request(tx, &id)?;
                    if run.is_none_or(|r| runs::alive(r.state)) {
                        return Ok(id);
                    }
                }
                rows::challenge(tx, &nonce, &fresh, &text)?;
                audit::append(tx, Fact { at: now(), run: None, kind: "session.challenge".into(), data })?;
                Ok(fresh)
            })
            .await?;
        Ok(StartLab { lab, request_id: Some(request_id), seed: Some(seed) })
    }

    /// What binds a run to a session, if something does.
    pub(super) async fn bound(&self, request_id: &str) -> Result<Option<Challenge>> {
        let id = request_id.to_owned();
        let Some(text) = self.store.read(move |c| rows::challenge_of(c, &id)).await? else { return Ok(None) };
        let signed: Signed<Challenge> = serde_json::from_str(&text).map_err(|e| {
            Error::new(Code::StoreFailed, format!("A session’s challenge cannot be read any more: {e}"))
        })?;
        Ok(Some(signed.body))
    }
}

fn told(s: Session) -> SessionInfo {
    SessionInfo {
        id: s.id,
        class: s.class,
        title: s.title,
        labs: s.labs,
        shared_seed: s.seeds == SeedPolicy::Shared,
        deadline: s.deadline,
        hints: s.hints,
        attempts: s.attempts,
        frozen: s.frozen,
        join_code: s.join_code,
    }
}
