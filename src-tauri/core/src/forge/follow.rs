//! Following a session while a run is bound to it, or while it was joined here and is open: where the run is goes to the
//! instructor, what the instructor says comes here. Done by whoever keeps the runs, from what the store says, so that nothing here
//! can disturb a lab: a scoreboard that is away, slow or lying is tried again later, and the lab never waits for it.
//! The session's stream says when there is something to ask for; where it cannot be had, it is asked at a slow pace.

use super::{Forge, clock, engine_caller, now};
use crate::api::*;
use crate::board::{Challenge, Progress, ProgressState, Session, Signed};
use crate::error::{Error, Result};
use crate::store::sync::{self as rows, Board};
use crate::store::{results, runs, session as kept};
use crate::sync;
use crate::sync::doorbell::Doorbell;
use crate::sync::session::final_word;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How often the store is looked at: a check is told within so long.
const LOOK: Duration = Duration::from_secs(1);
const BURST: Duration = Duration::from_millis(100);
/// Milliseconds between two reports of one run.
const TELL_EVERY: i64 = 2_000;
/// A run that does not change is told again after this, so that an instructor sees who is still there.
const STILL_HERE: i64 = 60_000;
/// Milliseconds between two questions to the scoreboard about a session whose stream cannot be had,
const ASK_EVERY: i64 = 10_000;
/// and of one that is heard, should a ring have been lost all the same.
const ASK_LIVE: i64 = 120_000;
/// Sessions that are followed without a run, the last joined first.
const FOLLOWED: u32 = 8;
/// Longest pause after failures.
const LONGEST: i64 = 60_000;
/// A run that ended so long ago has been told, or it is too late.
const ENDED: i64 = 120_000;
/// Characters of a message that are shown; a scoreboard takes no longer ones.
const TEXT: usize = 500;

/// What was done already; forgotten with the process, which costs a report and no more.
#[derive(Default)]
struct Memory {
    /// By run: what was told, and when.
    told: BTreeMap<String, (Progress, i64)>,
    /// By session: when it was asked about, and how often its bell had rung then.
    asked: BTreeMap<String, (i64, u64)>,
    bells: BTreeMap<String, Doorbell>,
    /// One of the bells rings.
    woken: Arc<Notify>,
    /// The enrolment that all this is of.
    enrolment: Option<(String, String)>,
    failures: u32,
    /// How often the bells had rung at the last failure; who rings is there.
    failed_at: u64,
    retry_at: i64,
}

impl Memory {
    /// What is known of another enrolment is worth nothing under this one.
    fn under(&mut self, board: Option<&Board>) {
        let enrolment = board.map(|b| (b.url.clone(), b.token.clone()));
        if self.enrolment != enrolment {
            *self = Self { enrolment, woken: self.woken.clone(), ..Self::default() };
        }
    }

    /// Listens to these sessions and to no others.
    fn listen(&mut self, board: &Board, sessions: &BTreeSet<String>) {
        self.bells.retain(|s, _| sessions.contains(s));
        self.asked.retain(|s, _| sessions.contains(s));
        for s in sessions {
            let woken = &self.woken;
            self.bells.entry(s.clone()).or_insert_with(|| Doorbell::at(board.clone(), s.clone(), woken.clone()));
        }
    }

    /// How often its bell has rung, if it is time to ask about a session.
    fn due(&self, session: &str, at: i64) -> Option<u64> {
        let heard = self.bells.get(session).map(Doorbell::heard).unwrap_or_default();
        let Some((last, rings)) = self.asked.get(session) else { return Some(heard.rings) };
        let every = if heard.live { ASK_LIVE } else { ASK_EVERY };
        // The lower end: a clock that was set back holds nothing up.
        let rests = *rings == heard.rings && (last - 2 * LONGEST..last + every).contains(&at);
        (!rests).then_some(heard.rings)
    }

    /// How often any of the bells has rung.
    fn rings(&self) -> u64 {
        self.bells.values().map(|b| b.heard().rings).sum()
    }
}

impl Forge {
    pub(super) async fn follow_sessions(&self) {
        let mut memory = Memory::default();
        loop {
            if let Err(e) = self.follow(&mut memory).await {
                memory.failures = memory.failures.saturating_add(1);
                memory.failed_at = memory.rings();
                let wait = sync::pace::wait(memory.failures, None, rand::random()).min(LONGEST);
                memory.retry_at = now() + wait;
                tracing::info!(code = ?e.code, wait, "the session cannot be followed now: {e}");
            }
            // A burst of rings is one question.
            tokio::time::sleep(BURST).await;
            let woken = memory.woken.clone();
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = woken.notified() => {}
            }
        }
    }

    /// One look. An error means that the scoreboard cannot be worked with for now.
    async fn follow(&self, memory: &mut Memory) -> Result<()> {
        let at = now();
        let since = at - ENDED;
        let (board, bound, joined) = self
            .store
            .read(move |c| {
                let board = rows::board(c)?;
                let joined = match &board {
                    Some(b) if !b.instructor => kept::list(c, &b.root, FOLLOWED)?,
                    _ => Vec::new(),
                };
                Ok((board, kept::bound(c, since)?, joined))
            })
            .await?;
        let board = board.filter(|b| !b.token.is_empty());
        memory.under(board.as_ref());
        let Some(board) = board else { return Ok(()) };
        memory.told.retain(|run, _| bound.iter().any(|b| b.run == *run));
        let bound: Vec<(String, String)> = bound.iter().filter_map(|b| followed(b, &board)).collect();
        let mut sessions: BTreeSet<String> = bound.iter().map(|(_, session)| session.clone()).collect();
        sessions.extend(joined.iter().filter_map(|k| open(&k.told, at - board.ahead_ms)));
        memory.listen(&board, &sessions);
        if sessions.is_empty() || !(memory.rings() != memory.failed_at || sync::pace::due(memory.retry_at, at)) {
            return Ok(());
        }
        for (run, session) in &bound {
            let asked = memory.asked.contains_key(session);
            if asked && let Err(e) = self.tell_progress(&board, memory, run, session).await {
                return self.gave_up(session, e).await;
            }
        }
        for session in sessions {
            let Some(rings) = memory.due(&session, at) else { continue };
            match self.ask_session(&board, &session).await {
                Ok(news) => {
                    if news {
                        // What was not taken while it was frozen may be taken now.
                        memory.told.retain(|run, _| !bound.iter().any(|(r, s)| r == run && *s == session));
                    }
                    memory.asked.insert(session, (at, rings));
                }
                Err(e) if final_word(&e) => {
                    memory.asked.insert(session.clone(), (at + LONGEST, rings));
                    self.note_trouble(&session, &e).await?;
                }
                Err(e) => return self.gave_up(&session, e).await,
            }
        }
        memory.failures = 0;
        memory.retry_at = 0;
        Ok(())
    }

    async fn tell_progress(&self, board: &Board, memory: &mut Memory, run: &str, session: &str) -> Result<()> {
        let (progress, ended) = self.progress_of(run).await?;
        let at = now();
        if !tellable(memory.told.get(run), &progress, ended, at) {
            return Ok(());
        }
        match sync::session::progress(board, session, &progress).await {
            Ok(()) => {}
            // A frozen session takes nothing more; another report may be taken once it goes on.
            Err(e) if final_word(&e) => tracing::debug!(run, session, "the progress was not taken: {e}"),
            Err(e) => return Err(e),
        }
        memory.told.insert(run.to_owned(), (progress, at));
        Ok(())
    }

    /// Where a run is, and whether it has ended.
    async fn progress_of(&self, run: &str) -> Result<(Progress, bool)> {
        let id = run.to_owned();
        let (row, hints, submitted) = self
            .store
            .read(move |c| {
                Ok((runs::get(c, &id)?, runs::revealed_hints(c, &id)?, !results::of_run(c, &id)?.is_empty()))
            })
            .await?;
        let state = match row.state {
            _ if submitted => ProgressState::Submitted,
            RunState::Starting => ProgressState::Starting,
            RunState::Ready => ProgressState::Working,
            RunState::Paused => ProgressState::Paused,
            RunState::Stopping | RunState::Stopped | RunState::Failed => ProgressState::Stopped,
        };
        let (score, max, criteria) = match &row.last_check {
            Some(c) => (c.score, c.max, c.criteria.iter().take(64).map(|c| (c.id.clone(), c.outcome)).collect()),
            None => (0, 0, BTreeMap::new()),
        };
        let ended = !runs::alive(row.state);
        let elapsed_ms = match (&row.started, row.ended) {
            (Some(started), None) => clock::elapsed_ms(started),
            (Some(started), Some(ended)) => u64::try_from(ended - started.at).unwrap_or(0),
            (None, _) => 0,
        };
        let hints = u32::try_from(hints.len()).unwrap_or(u32::MAX);
        Ok((Progress { lab: row.lab, run: row.run, state, criteria, score, max, hints, elapsed_ms }, ended))
    }

    /// The session as it is now, and what was said since. True when the session itself is news.
    async fn ask_session(&self, board: &Board, id: &str) -> Result<bool> {
        let told = sync::session::get(board, id).await?;
        let wanted = id.to_owned();
        let after = self.store.read(move |c| kept::heard(c, &wanted)).await?;
        let said = sync::session::messages(board, id, after).await?;
        let news = self.note_session(board, &told).await?;
        let messages = said.into_iter().filter(|m| m.learner.as_ref().is_none_or(|l| *l == board.learner));
        for m in messages {
            let text: String = m.text.chars().filter(|c| !c.is_control() || *c == '\n').take(TEXT).collect();
            let message = SessionMessage { seq: m.seq, at: m.at, text, learner: m.learner };
            let (session, kept_message) = (id.to_owned(), message.clone());
            if self.store.write_relaxed(move |tx| kept::hear(tx, &session, &kept_message)).await? {
                let mut data = serde_json::to_value(&message)?;
                if let Some(data) = data.as_object_mut() {
                    data.insert("session".into(), id.into());
                }
                self.tell_runs(id, "session.message", Level::Info, format!("Your instructor: {}", message.text), data)
                    .await?;
            }
        }
        Ok(news)
    }

    /// Keeps a session as it is told now, and tells its runs when that is news, which is what comes back.
    pub(super) async fn note_session(&self, board: &Board, told: &Session) -> Result<bool> {
        let (id, root, at) = (told.id.clone(), board.root.clone(), now());
        let text = serde_json::to_string(&Session { join_code: None, ..told.clone() })?;
        let news = self.store.write_relaxed(move |tx| kept::keep(tx, &id, &root, &text, at)).await?;
        if news {
            let words = if told.frozen {
                format!("{} is frozen: what you submit now does not count.", told.title)
            } else {
                format!("You take part in {}.", told.title)
            };
            let level = if told.frozen { Level::Warn } else { Level::Info };
            let data = serde_json::json!({"session": told.id, "frozen": told.frozen, "deadline": told.deadline});
            self.tell_runs(&told.id, "session.changed", level, words, data).await?;
        }
        Ok(news)
    }

    async fn gave_up(&self, session: &str, e: Error) -> Result<()> {
        self.note_trouble(session, &e).await?;
        Err(e)
    }

    async fn note_trouble(&self, session: &str, e: &Error) -> Result<()> {
        let (id, why) = (session.to_owned(), e.message.clone());
        if self.store.write_relaxed(move |tx| kept::troubled(tx, &id, &why)).await? {
            let text = format!("The session cannot be followed now; the lab goes on. {}", e.message);
            self.tell_runs(session, "session.trouble", Level::Warn, text, serde_json::Value::Null).await?;
        }
        Ok(())
    }

    /// An event for each run of this session that is alive; one without a run when there is none.
    async fn tell_runs(
        &self,
        session: &str,
        kind: &'static str,
        level: Level,
        text: String,
        data: serde_json::Value,
    ) -> Result<()> {
        let bound = self.store.read(|c| kept::bound(c, i64::MAX)).await?;
        let mut runs: Vec<Option<&str>> =
            bound.iter().filter(|b| of(&b.signed, session)).map(|b| Some(b.run.as_str())).collect();
        if runs.is_empty() {
            runs.push(None);
        }
        for run in runs {
            self.emit(&engine_caller("session"), run, kind, level, text.clone(), data.clone()).await;
        }
        Ok(())
    }
}

/// The id of a session that goes on, by the scoreboard's clock; until its grace is over there may be something to say.
fn open(told: &str, at: i64) -> Option<String> {
    let session: Session = serde_json::from_str(told).ok()?;
    (session.deadline + i64::from(session.grace_minutes) * 60_000 > at).then_some(session.id)
}

/// The run and the session that the scoreboard is asked about and told of. One of another scoreboard is none of its business, and a
/// challenge that cannot be read any more binds nothing; submitting says so.
fn followed(bound: &kept::Bound, board: &Board) -> Option<(String, String)> {
    let body = serde_json::from_str::<Signed<Challenge>>(&bound.signed).ok()?.body;
    let here = bound.root.as_ref().is_none_or(|root| *root == board.root);
    (here && body.key_id == board.key_id).then(|| (bound.run.clone(), body.session))
}

/// Whether a challenge is of this session.
fn of(signed: &str, session: &str) -> bool {
    serde_json::from_str::<Signed<Challenge>>(signed).is_ok_and(|s| s.body.session == session)
}

/// Whether a run's progress is to be told now, given what was told last and when.
fn tellable(last: Option<&(Progress, i64)>, progress: &Progress, ended: bool, at: i64) -> bool {
    let Some((old, told_at)) = last else { return true };
    let same = Progress { elapsed_ms: old.elapsed_ms, ..progress.clone() } == *old;
    // What a run ended with is told at once: whoever keeps may be about to go.
    match (same, ended) {
        (true, true) => false,
        (false, true) => true,
        (true, false) => !(*told_at..told_at + STILL_HERE).contains(&at),
        (false, false) => !(*told_at..told_at + TELL_EVERY).contains(&at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_change_is_told_soon_an_end_at_once_and_nothing_twice() {
        let of = |score, elapsed_ms| Progress {
            lab: "l".into(),
            run: "r".into(),
            state: ProgressState::Working,
            criteria: BTreeMap::new(),
            score,
            max: 10,
            hints: 0,
            elapsed_ms,
        };
        let told = (of(1, 100), 1_000_000);
        let cases = [
            (of(1, 900), false, TELL_EVERY, false, "time alone is no news"),
            (of(1, 900), false, STILL_HERE, true, "but once in a while it says who is there"),
            (of(2, 900), false, TELL_EVERY - 1, false, "a burst of checks is one report"),
            (of(2, 900), false, TELL_EVERY, true, "a change"),
            (of(2, 900), true, 0, true, "an end"),
            (of(1, 900), true, STILL_HERE, false, "an end that was told"),
            (of(2, 900), false, -500, true, "a clock that was set back holds nothing up"),
        ];
        for (progress, ended, later, want, why) in cases {
            assert_eq!(tellable(Some(&told), &progress, ended, told.1 + later), want, "{why}");
        }
        assert!(tellable(None, &of(1, 0), false, 0));
    }

    #[test]
    fn a_run_is_told_to_the_scoreboard_that_its_session_is_at_and_to_no_other() {
        let board = Board {
            url: String::new(),
            ca: None,
            clear_text: false,
            learner: String::new(),
            name: String::new(),
            class: String::new(),
            instructor: false,
            key_id: "k".into(),
            token: "t".into(),
            root: "here".into(),
            keys: Vec::new(),
            enrolled_at: 0,
            ahead_ms: 0,
            failures: 0,
            retry_at: 0,
            last_at: None,
            last_error: String::new(),
        };
        let bound = |key: &str, root: Option<&str>| kept::Bound {
            run: "r".into(),
            root: root.map(str::to_owned),
            signed: serde_json::json!({"body": {"version": 1, "session": "s", "class": "c", "lab": "l", "key_id": key,
                "nonce": "n", "seed": "s", "hints": false, "attempt": 1, "issued_at": 1, "deadline": 2},
                "key_id": "b", "signature": "00"})
            .to_string(),
        };
        let it = Some(("r".to_owned(), "s".to_owned()));
        assert_eq!(followed(&bound("k", Some("here")), &board), it);
        assert_eq!(followed(&bound("k", None), &board), it, "joined from another laptop");
        assert_eq!(followed(&bound("k", Some("there")), &board), None);
        assert_eq!(followed(&bound("other", Some("here")), &board), None);
    }

    #[test]
    fn only_a_session_that_goes_on_is_followed() {
        let told = |deadline: i64| {
            serde_json::json!({"id": "s", "class": "c", "title": "t", "labs": ["l"], "seeds": "shared", "deadline": deadline,
                "hints": true, "attempts": 1, "grace_minutes": 15, "created_at": 0, "frozen": true, "join_code": null})
            .to_string()
        };
        let grace = 15 * 60_000;
        assert_eq!(open(&told(1_000), 1_000 + grace - 1).as_deref(), Some("s"), "frozen or not: it may go on");
        assert_eq!(open(&told(1_000), 1_000 + grace), None);
        assert_eq!(open("{}", 0), None);
    }

    #[test]
    fn a_session_is_asked_about_seldom_and_an_absence_is_not_forgotten() {
        let mut memory = Memory::default();
        assert_eq!(memory.due("s", 5), Some(0), "at first");
        memory.asked.insert("s".into(), (1_000_000, 0));
        let asks = |memory: &Memory, later: i64| memory.due("s", 1_000_000 + later).is_some();
        assert!(!asks(&memory, ASK_EVERY - 1) && asks(&memory, ASK_EVERY), "without a stream, at a slow pace");
        assert!(asks(&memory, -3 * LONGEST), "a clock that was set back holds nothing up");
        memory.asked.insert("s".into(), (1_000_000, 7));
        assert!(asks(&memory, 1), "it rang");
        memory.enrolment = Some(("https://board.example".into(), "token".into()));
        memory.under(None);
        assert!(memory.asked.is_empty(), "nothing is carried over to another enrolment");
    }

    #[test]
    fn a_no_is_not_an_absence() {
        let said = |code: &str| Error::new(Code::ScoreboardFailed, "x").details(serde_json::json!({"code": code}));
        for code in ["session_frozen", "forbidden", "not_found", "unauthorized", "malformed"] {
            assert!(final_word(&said(code)), "{code}");
        }
        for code in ["unreachable", "timeout", "unreadable", "busy", "store_unavailable", "lie", ""] {
            assert!(!final_word(&said(code)), "{code}");
        }
        assert!(!final_word(&Error::internal("x")));
    }
}
