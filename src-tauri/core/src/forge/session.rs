//! Sessions from here: join or make one, take its challenges, look at it, speak to it. A run is bound by the request id it is
//! started under.

use super::{Forge, lock, now, standing};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::board::{
    CLOCK_SKEW, Challenge, Joined, Message, MessageRequest, NewSession, SeedPolicy, Session, Signed, apart,
};
use crate::error::{Code, Error, Result};
use crate::store::sync::{self as rows, Board};
use crate::store::{runs, session as kept};
use crate::sync;
use crate::sync::doorbell::Doorbell;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

impl Forge {
    pub(super) async fn enrolled(&self) -> Result<Board> {
        self.store.read(rows::board).await?.ok_or_else(sync::not_enrolled)
    }

    pub(super) async fn session_create(&self, request: CreateSession) -> Result<SessionInfo> {
        let board = self.look_at_clock(self.enrolled().await?).await;
        let wanted = NewSession {
            title: request.title,
            labs: request.labs,
            seeds: if request.shared_seed { SeedPolicy::Shared } else { SeedPolicy::PerLearner },
            // By the scoreboard's clock.
            deadline: now() - board.ahead_ms + i64::from(request.minutes) * 60_000,
            hints: request.hints,
            attempts: request.attempts,
            grace_minutes: 15,
            class: None,
        };
        Ok(told(sync::session::create(&board, &wanted).await?, &board))
    }

    pub(super) async fn session_join(&self, request: JoinSession) -> Result<SessionInfo> {
        let board = self.enrolled().await?;
        let Joined { session: joined, now: theirs } = sync::session::join(&board, &request.code).await?;
        let board = self.keep_clock(board, now() - theirs).await;
        self.note_session(&board, &joined).await?;
        Ok(told(joined, &board))
    }

    pub(super) async fn session_state(&self, request: SessionRequest) -> Result<SessionState> {
        let board = self.enrolled().await?;
        let session = told(sync::session::get(&board, &request.session).await?, &board);
        let live = if board.instructor {
            serde_json::to_value(sync::session::live(&board, &request.session).await?)?
        } else {
            serde_json::Value::Null
        };
        Ok(SessionState { session, board: live })
    }

    /// An instructor's own are asked for; a learner's are those that were joined here, each asked for as long as the
    /// scoreboard answers.
    pub(super) async fn session_list(&self) -> Result<SessionList> {
        let Some(board) = self.store.read(rows::board).await? else {
            return Ok(SessionList { enrolled: false, instructor: false, sessions: Vec::new(), trouble: None });
        };
        let root = board.root.clone();
        let known = self.store.read(move |c| kept::list(c, &root, LISTED)).await?;
        let mut sessions = known.iter().map(|k| read(&k.told)).collect::<Result<Vec<Session>>>()?;
        let mut trouble = None;
        if board.token.is_empty() {
            sessions.clear();
        } else if board.instructor {
            match sync::session::list(&board).await {
                Ok(own) => sessions = own,
                Err(e) => trouble = Some(said(&e)),
            }
            sessions.sort_by_key(|s| std::cmp::Reverse(s.created_at));
        } else {
            for s in sessions.iter_mut().take(ASKED) {
                match sync::session::get(&board, &s.id).await {
                    Ok(now) => {
                        self.note_session(&board, &now).await?;
                        *s = now;
                    }
                    Err(e) => {
                        trouble = Some(said(&e));
                        break;
                    }
                }
            }
        }
        let sessions = sessions.into_iter().map(|s| told(s, &board)).collect();
        Ok(SessionList { enrolled: !board.token.is_empty(), instructor: board.instructor, sessions, trouble })
    }

    pub(super) async fn session_live(&self, request: WatchBoard) -> Result<LiveBoard> {
        let (board, id) = (self.enrolled().await?, request.session.as_str());
        let turn = match request.seen {
            None => 0,
            Some(seen) => {
                let rung = self.watched(&board, id, |w| w.bell.rung(seen, LIVE, UNTOLD));
                tokio::select! {
                    () = rung => {}
                    () = self.shutdown.cancelled() => return Err(Error::cancelled()),
                }
                // Before the board is asked for: what happens meanwhile is another turn.
                self.watched(&board, id, |w| w.bell.heard().rings)
            }
        };
        let (session, seen, said) = futures_util::try_join!(
            sync::session::get(&board, id),
            sync::session::live(&board, id),
            sync::session::messages(&board, id, 0)
        )?;
        let messages = said.into_iter().map(message).collect();
        let at = now() - board.ahead_ms;
        Ok(LiveBoard { turn, ..standing::board(seen, told(session, &board), messages, &self.catalogue(), at) })
    }

    /// The bell of a board that is open; hung up when it is not yet.
    fn watched<T>(&self, board: &Board, id: &str, with: impl FnOnce(&Watched) -> T) -> T {
        let mut boards = lock(&self.boards);
        // Under another enrolment it is another board.
        let key = (board.token.clone(), id.to_owned());
        if boards.len() >= BOARDS && !boards.contains_key(&key) {
            boards.clear();
        }
        let fresh =
            || Watched { bell: Doorbell::at(board.clone(), id.to_owned(), Arc::default()), used: Instant::now() };
        let watched = boards.entry(key).or_insert_with(fresh);
        watched.used = Instant::now();
        with(watched)
    }

    /// Boards that nobody looks at any more are not listened to.
    pub(super) fn close_boards(&self) {
        lock(&self.boards).retain(|_, w| w.used.elapsed() < LIVE + CLOSED);
    }

    pub(super) async fn session_say(&self, caller: &Caller, request: SayToSession) -> Result<SessionMessage> {
        let text = request.text.trim().to_owned();
        if !(1..=500).contains(&text.chars().count()) {
            return Err(Error::new(Code::InvalidInput, "A message has 1 to 500 characters."));
        }
        let wanted = MessageRequest { text, learner: request.learner };
        let said = sync::session::say(&self.enrolled().await?, &request.session, &wanted).await?;
        tracing::info!(
            correlation = caller.correlation,
            session = request.session,
            seq = said.seq,
            "said to a session"
        );
        Ok(message(said))
    }

    pub(super) async fn session_freeze(&self, caller: &Caller, request: FreezeSession) -> Result<SessionInfo> {
        let board = self.enrolled().await?;
        let now_so = sync::session::freeze(&board, &request.session, request.frozen).await?;
        let data = serde_json::json!({
            "session": now_so.id, "frozen": now_so.frozen, "correlation": caller.correlation,
        });
        let fact = Fact { at: now(), run: None, kind: "session.freeze".into(), data };
        self.store.write(move |tx| audit::append(tx, fact).map(drop)).await?;
        Ok(told(now_so, &board))
    }

    pub(super) async fn session_said(&self, request: SessionRequest) -> Result<Vec<SessionMessage>> {
        self.store.read(move |c| kept::messages(c, &request.session)).await
    }

    pub(super) async fn session_of(&self, run: &str) -> Result<RunSession> {
        let row = self.run_row(run).await?;
        let (messages, clock) = (Vec::new(), String::new());
        let none = RunSession { session: None, attempt: 0, messages, trouble: String::new(), clock };
        let (Some(challenge), Some(board)) = (self.bound(&row.request_id).await?, self.store.read(rows::board).await?)
        else {
            return Ok(none);
        };
        let id = challenge.session.clone();
        let (known, messages, root, boards) = self
            .store
            .read(move |c| Ok((kept::get(c, &id)?, kept::messages(c, &id)?, kept::root_of(c, &id)?, rows::boards(c)?)))
            .await?;
        let elsewhere = root.filter(|root| *root != board.root);
        let elsewhere = elsewhere.map(|root| elsewhere_words(boards.iter().find(|b| b.root == root)));
        let (session, trouble) = match known {
            Some(k) => (read(&k.told)?, k.trouble),
            None => (of_challenge(&challenge), String::new()),
        };
        let trouble = elsewhere.unwrap_or(trouble);
        let (clock, attempt) = (clock_words(board.ahead_ms), challenge.attempt);
        Ok(RunSession { session: Some(told(session, &board)), attempt, messages, trouble, clock })
    }

    /// The same challenge until it was answered; under the same request id as long as the run it started is alive or has
    /// not been started, so that a crash or a second click starts one run.
    pub(super) async fn take(&self, caller: &Caller, request: TakeChallenge) -> Result<StartLab> {
        self.introduce_first().await;
        let board = self.enrolled().await?;
        let lab = self.catalogue().get(&request.lab)?.id.clone();
        let (signed, theirs) = sync::session::challenge(&board, &request.session, &lab).await?;
        // A class begins at one moment: nothing is asked that this answer tells. What was told to the millisecond stays, unless the
        // clock was set since.
        if let Some(ahead_ms) = theirs.map(|theirs| now() - theirs).filter(|ms| (ms - board.ahead_ms).abs() > SECONDS) {
            self.keep_clock(board, ahead_ms).await;
        }
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

/// What a learner has to know of a clock with which a run does not count; empty when there is nothing to say.
fn clock_words(ahead_ms: i64) -> String {
    if ahead_ms.abs() <= CLOCK_SKEW {
        return String::new();
    }
    let (by, way) = (apart(ahead_ms), if ahead_ms > 0 { "ahead of" } else { "behind" });
    format!(
        "This machine’s clock is {by} {way} the scoreboard’s: a run begun with it does not count for the session. Set it \
         right, and start the lab again."
    )
}

/// A run whose session is at another scoreboard than the one that is set up, which would not count what is submitted.
fn elsewhere_words(there: Option<&Board>) -> String {
    let back = there.map_or_else(String::new, |b| format!(" Come back to it before you submit: forge enrol {}", b.url));
    format!("It is held on another scoreboard than the one that is set up here now.{back}")
}

/// What a Date header tells of a clock is right to about a second, and an answer takes its time.
const SECONDS: i64 = 5_000;
/// Sessions that a learner's list shows, and of these asks about; older ones are as they were known.
const LISTED: u32 = 200;
const ASKED: usize = 10;
/// How long an open board waits for something to happen,
const LIVE: Duration = Duration::from_secs(20);
/// or, where nobody tells, until it is asked for again.
const UNTOLD: Duration = Duration::from_secs(3);
/// A board that nobody has asked for this long after is closed.
const CLOSED: Duration = Duration::from_secs(30);

/// More than anybody has open; beyond, they are listened to anew.
const BOARDS: usize = 16;

/// A board that somebody looks at.
pub(super) struct Watched {
    bell: Doorbell,
    used: Instant,
}

/// What a session is, from a challenge of it alone.
fn of_challenge(c: &Challenge) -> Session {
    Session {
        id: c.session.clone(),
        class: c.class.clone(),
        title: "A session".into(),
        labs: vec![c.lab.clone()],
        seeds: SeedPolicy::PerLearner,
        deadline: c.deadline,
        hints: c.hints,
        attempts: c.attempt,
        grace_minutes: 0,
        created_at: c.issued_at,
        frozen: false,
        join_code: None,
    }
}

fn read(told: &str) -> Result<Session> {
    serde_json::from_str(told)
        .map_err(|e| Error::new(Code::StoreFailed, format!("A session that was joined cannot be read any more: {e}")))
}

fn said(e: &Error) -> SyncTrouble {
    let code = e.details.get("code").and_then(|c| c.as_str()).unwrap_or("internal").to_owned();
    SyncTrouble { code, message: e.message.clone() }
}

fn message(m: Message) -> SessionMessage {
    SessionMessage { seq: m.seq, at: m.at, text: m.text, learner: m.learner }
}

pub(super) fn told(s: Session, board: &Board) -> SessionInfo {
    SessionInfo {
        remaining_ms: s.deadline - (now() - board.ahead_ms),
        grace_minutes: s.grace_minutes,
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
