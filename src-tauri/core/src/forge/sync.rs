//! The scoreboard from here: enrolment, rounds of the outbox, by hand and while an app is open, and what is told of them.

use super::{Forge, engine_caller, now};
use crate::api::*;
use crate::audit::{self, Fact};
use crate::error::{Code, Error, Result};
use crate::http::Trust;
use crate::store::results;
use crate::store::sync::{self as rows, Board, Receipted, Refused, Waiting};
use crate::sync::enrol::Wanted;
use crate::sync::round::{Round, SEVERAL};
use crate::sync::{self, pace, parcel, preview};
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Weak;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PREVIEWED: usize = 20;
/// Milliseconds between two looks at the clocks for the sake of what was refused for its time.
const CLOCK_AGAIN: i64 = pace::LONGEST;
/// While an app is open, how often to see whether something is due.
const LOOK: Duration = Duration::from_secs(2);

impl Forge {
    pub(super) async fn sync_state(&self) -> Result<SyncStatus> {
        let (board, boards, summaries, waiting, receipts, refusals) = self
            .store
            .read(|c| {
                let (board, boards) = (rows::board(c)?, rows::boards(c)?);
                Ok((board, boards, results::list(c)?, rows::waiting(c)?, rows::receipts(c)?, rows::refusals(c)?))
            })
            .await?;
        let left = |b: &Board| !b.token.is_empty() && board.as_ref().is_none_or(|now| now.root != b.root);
        let on = board.is_some();
        let waiting: HashMap<&str, &Waiting> = waiting.iter().map(|w| (w.result.as_str(), w)).collect();
        let receipts: HashMap<&str, &Receipted> = receipts.iter().map(|r| (r.result.as_str(), r)).collect();
        let refusals: HashMap<&str, &Refused> = refusals.iter().map(|r| (r.result.as_str(), r)).collect();
        let results: Vec<ResultSync> = summaries
            .iter()
            .map(|s| {
                let id = s.id.as_str();
                let (receipt, refusal) = (receipts.get(id).copied(), refusals.get(id).copied());
                standing(id, board.as_ref().map(|b| b.root.as_str()), waiting.get(id).copied(), receipt, refusal)
            })
            .collect();
        let count = |state| u32::try_from(results.iter().filter(|r| r.state == state).count()).unwrap_or(u32::MAX);
        let retry_at = board.as_ref().map_or(0, |b| b.retry_at);
        let soonest = waiting.values().map(|w| w.next_at).min().filter(|_| on).map(|at| at.max(retry_at));
        Ok(SyncStatus {
            accepted: count(SyncState::Accepted),
            pending: count(SyncState::Pending),
            refused: count(SyncState::Refused),
            next_at: soonest,
            last_at: board.as_ref().and_then(|b| b.last_at),
            last_error: board.as_ref().map(|b| b.last_error.clone()).unwrap_or_default(),
            before: boards
                .into_iter()
                .filter(left)
                .map(|b| BoardBefore { url: b.url, name: b.name, class: b.class })
                .collect(),
            board: board.as_ref().map(told),
            results,
        })
    }

    pub(super) async fn enrol(&self, caller: &Caller, request: EnrolBoard) -> Result<SyncStatus> {
        let known = self.store.read(rows::boards).await?;
        let mut trust = Trust { ca: request.ca, clear_text: request.clear_text };
        // Who comes back decided about certificate and clear text when they enrolled.
        let there = |b: &&Board| b.url == request.url.trim().trim_end_matches('/');
        if request.code.trim().is_empty()
            && let Some(b) = known.iter().find(there)
        {
            trust = Trust { ca: trust.ca.or_else(|| b.ca.clone()), clear_text: trust.clear_text || b.clear_text };
        }
        let wanted = Wanted { url: request.url, code: request.code, name: request.name, trust };
        let board = sync::enrol::enrol(&wanted, &self.keys, &known, now).await?;
        let data = serde_json::json!({
            "url": board.url, "class": board.class, "name": board.name, "board_key": board.root, "correlation": caller.correlation,
        });
        let row = board.clone();
        self.store
            .write(move |tx| {
                rows::enrol(tx, &row)?;
                audit::append(tx, Fact { at: now(), run: None, kind: "sync.enrolled".into(), data }).map(drop)
            })
            .await?;
        let text = format!("Enrolled at {}.", board.url);
        let data = serde_json::json!({"url": board.url, "class": board.class});
        self.emit(caller, None, "sync.enrolled", Level::Info, text, data).await;
        self.outbox.notify_one();
        self.sync_state().await
    }

    pub(super) async fn unenrol(&self, caller: &Caller) -> Result<SyncStatus> {
        let data = serde_json::json!({"correlation": caller.correlation});
        let was = self
            .store
            .write(move |tx| {
                let was = rows::unenrol(tx)?;
                if was {
                    audit::append(tx, Fact { at: now(), run: None, kind: "sync.unenrolled".into(), data })?;
                }
                Ok(was)
            })
            .await?;
        if was {
            let text = "The scoreboard is turned off: nothing is sent any more.";
            self.emit(caller, None, "sync.unenrolled", Level::Info, text, serde_json::Value::Null).await;
        }
        self.sync_state().await
    }

    pub(super) async fn sync(&self, caller: &Caller, request: SyncNow) -> Result<SyncReport> {
        let Some(_) = self.store.read(rows::board).await? else { return Err(sync::not_enrolled()) };
        if request.retry_refused {
            self.store.write(|tx| rows::retry_refused(tx, now())).await?;
        } else {
            self.ripen(true).await?;
        }
        self.round(caller, true).await
    }

    /// One round at a time in this process. Two processes may do the same at once, which costs and harms nothing: the
    /// scoreboard knows a verdict by its id, and a receipt is kept once.
    async fn round(&self, caller: &Caller, all: bool) -> Result<SyncReport> {
        let _turn = self.syncing.lock().await;
        let introduced = self.introduce().await;
        let Some(board) = self.store.read(rows::board).await? else { return Err(sync::not_enrolled()) };
        match introduced {
            Ok(()) => {}
            // It will not take this key's word for the next one; what the older key signed can be sent all the same.
            Err(e) if sync::session::final_word(&e) => {
                tracing::warn!(code = ?e.code, "the scoreboard was not told of a new key: {e}");
            }
            // What a key signed that it does not know yet it would refuse for good.
            Err(e) if e.code == Code::ScoreboardFailed => return self.put_off(caller, &board, e).await,
            Err(e) => return Err(e),
        }
        let random = || rand::random::<u64>();
        let round = Round {
            store: &self.store,
            now: &now,
            random: &random,
            cancel: &self.shutdown,
            whole_max: sync::WHOLE_MAX,
            patience: sync::PATIENCE,
            all,
        };
        let told = round.run(&board).await?;
        let waiting = self.store.read(rows::waiting).await?;
        if told.stopped.is_none() && waiting.iter().any(|w| w.last_error.starts_with(rows::EARLY)) {
            self.look_at_clock(board).await;
        }
        let pending = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        let report = SyncReport {
            accepted: u32::try_from(told.accepted.len()).unwrap_or(u32::MAX),
            refused: u32::try_from(told.refused.len()).unwrap_or(u32::MAX),
            pending,
            raised: told.raised.into_iter().map(|(result, tier)| TierRise { result, tier }).collect(),
            error: told.stopped.map(|(code, message)| SyncTrouble { code, message }),
        };
        self.tell_round(caller, report).await
    }

    /// The scoreboard cannot be worked with for now: nothing is sent.
    async fn put_off(&self, caller: &Caller, board: &Board, e: Error) -> Result<SyncReport> {
        let (at, why) = (now(), e.message.clone());
        let retry_at = at + pace::wait(board.failures + 1, None, rand::random());
        self.store.write(move |tx| rows::failed(tx, at, retry_at, &why)).await?;
        let waiting = self.store.read(rows::waiting).await?;
        let code = e.details.get("code").and_then(|c| c.as_str()).unwrap_or("unreadable").to_owned();
        let report = SyncReport {
            accepted: 0,
            refused: 0,
            pending: u32::try_from(waiting.len()).unwrap_or(u32::MAX),
            raised: Vec::new(),
            error: Some(SyncTrouble { code, message: e.message }),
        };
        self.tell_round(caller, report).await
    }

    /// What came of a round, to whoever watches.
    async fn tell_round(&self, caller: &Caller, report: SyncReport) -> Result<SyncReport> {
        if !report.raised.is_empty() {
            let text = match report.raised.as_slice() {
                [one] => format!("A verdict stands higher on the scoreboard now: {}.", tier_word(one.tier)),
                more => format!("{} verdicts stand higher on the scoreboard now.", more.len()),
            };
            let data = serde_json::json!({"raised": report.raised});
            self.emit(caller, None, "sync.raised", Level::Info, text, data).await;
        }
        if report.accepted + report.refused > 0 || report.error.is_some() {
            let level = if report.error.is_some() || report.refused > 0 { Level::Warn } else { Level::Info };
            let why = report.error.as_ref().map(|e| format!(" {}", e.message)).unwrap_or_default();
            let text = format!(
                "Scoreboard: {} accepted, {} refused, {} waiting.{why}",
                report.accepted, report.refused, report.pending
            );
            self.emit(caller, None, "sync.done", level, text, serde_json::to_value(&report)?).await;
        }
        Ok(report)
    }

    /// What was refused because it ended in the scoreboard's future waits again once that has become the past. The clocks are looked
    /// at first if it may have: somebody may have set this machine's since.
    async fn ripen(&self, by_hand: bool) -> Result<()> {
        let (first, board) = self.store.read(|c| Ok((rows::first_early(c)?, rows::board(c)?))).await?;
        let (Some(first), Some(mut board)) = (first, board) else { return Ok(()) };
        let at = now();
        let looked = self.clock_looked.load(Ordering::Relaxed);
        let rested = !(looked..looked.saturating_add(CLOCK_AGAIN)).contains(&at);
        if by_hand || (first <= at && first > at - board.ahead_ms && rested) {
            self.clock_looked.store(at, Ordering::Relaxed);
            board = self.look_at_clock(board).await;
        }
        let theirs = at - board.ahead_ms;
        if first > theirs {
            return Ok(());
        }
        let ripe = self.store.write(move |tx| rows::ripen(tx, theirs, at)).await?;
        tracing::info!(ripe, "refused for their time, which has come by now: they are sent again");
        Ok(())
    }

    /// Looks again how far this machine's clock is ahead. What was known before counts where the scoreboard does not say.
    pub(super) async fn look_at_clock(&self, board: Board) -> Board {
        match sync::enrol::ahead(&board, now).await {
            Ok(ahead_ms) => self.keep_clock(board, ahead_ms).await,
            Err(e) => {
                tracing::info!(code = ?e.code, "the scoreboard's clock could not be looked at: {e}");
                board
            }
        }
    }

    pub(super) async fn keep_clock(&self, board: Board, ahead_ms: i64) -> Board {
        let root = board.root.clone();
        if let Err(e) = self.store.write_relaxed(move |tx| rows::set_ahead(tx, &root, ahead_ms)).await {
            tracing::warn!(code = ?e.code, "how the clocks stand could not be kept: {e}");
        }
        Board { ahead_ms, ..board }
    }

    /// Nobody has to ask: what is due while an app is open is sent, and asked about.
    async fn sync_if_due(&self) -> Result<()> {
        self.ripen(false).await?;
        let Some(board) = self.store.read(rows::board).await? else { return Ok(()) };
        let at = now();
        if !pace::due(board.retry_at, at) {
            return Ok(());
        }
        let (root, since) = (board.root.clone(), at - pace::ASKED_FOR);
        let (waiting, known) =
            self.store.read(move |c| Ok((rows::waiting(c)?, rows::ask_due(c, &root, since)?))).await?;
        if waiting.iter().any(|w| pace::due(w.next_at, at)) || known.is_some_and(|next| pace::again_due(next, at)) {
            self.round(&engine_caller("sync"), false).await.map(drop)
        } else {
            Ok(())
        }
    }

    pub(super) async fn preview(&self) -> Result<SyncPreview> {
        let (board, waiting, receipts) =
            self.store.read(|c| Ok((rows::board(c)?, rows::waiting(c)?, rows::receipts(c)?))).await?;
        let root = board.as_ref().map(|b| b.root.as_str());
        let acknowledged: HashSet<&str> =
            receipts.iter().filter(|r| Some(r.root.as_str()) == root).map(|r| r.result.as_str()).collect();
        let unknown = |id: &str| !acknowledged.contains(id);
        let several = waiting.iter().filter(|w| unknown(&w.result)).count() >= SEVERAL;
        let token = board.as_ref().map(|b| b.token.clone()).unwrap_or_default();
        let mut verdicts = Vec::new();
        for w in waiting.iter().take(PREVIEWED) {
            let id = w.result.clone();
            let (summary, _) = self.store.read(move |c| results::get(c, &id)).await?;
            let (token, ahead) = (token.clone(), several && unknown(&w.result));
            let shown = super::results::blocking(move || {
                let read = parcel::read(&PathBuf::from(&summary.dir), &summary.id)
                    .and_then(|p| preview::of(&p, &summary.lab_title, &token, sync::WHOLE_MAX, ahead));
                Ok(read.unwrap_or_else(|e| preview::problem(&summary.id, &summary.lab_title, &e.message)))
            });
            verdicts.push(shown.await?);
        }
        let more = u32::try_from(waiting.len().saturating_sub(PREVIEWED)).unwrap_or(u32::MAX);
        Ok(SyncPreview { url: board.map(|b| b.url), verdicts, more })
    }
}

pub(super) async fn sync_while_open(forge: Weak<Forge>, shutdown: CancellationToken) {
    loop {
        let Some(open) = forge.upgrade() else { return };
        let woken = open.outbox.clone();
        open.close_boards();
        match open.sync_if_due().await {
            Ok(()) => {}
            Err(e) if e.code == Code::Cancelled => return,
            Err(e) => tracing::warn!(code = ?e.code, "a round of the outbox failed: {e}"),
        }
        drop(open);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = woken.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn tier_word(tier: TrustTier) -> String {
    serde_json::to_value(tier).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

fn told(b: &Board) -> BoardInfo {
    BoardInfo {
        url: b.url.clone(),
        name: b.name.clone(),
        class: b.class.clone(),
        instructor: b.instructor,
        board_key: b.root.clone(),
        key_id: b.key_id.clone(),
        enrolled_at: b.enrolled_at,
        ahead_ms: b.ahead_ms,
        own_ca: b.ca.is_some(),
        token: !b.token.is_empty(),
    }
}

/// `root`: the first key of the scoreboard that is set up, if one is.
fn standing(
    id: &str,
    root: Option<&str>,
    waiting: Option<&Waiting>,
    receipt: Option<&Receipted>,
    refusal: Option<&Refused>,
) -> ResultSync {
    let on = root.is_some();
    // What another scoreboard said before is not where it stands with this one.
    let undecided = refusal.is_some() || (on && waiting.is_some());
    let receipt = receipt.filter(|r| !undecided || root.is_none_or(|root| root == r.root));
    let state = match (waiting, receipt, refusal) {
        (Some(_), _, _) if on => SyncState::Pending,
        (_, Some(_), _) => SyncState::Accepted,
        (_, None, Some(_)) => SyncState::Refused,
        _ => SyncState::Off,
    };
    let waiting = waiting.filter(|_| on);
    let refused = |r: &Refused| if r.hint.is_empty() { r.message.clone() } else { format!("{} {}", r.message, r.hint) };
    ResultSync {
        result: id.to_owned(),
        state,
        tier: receipt.map(|r| r.tier),
        url: receipt.map(|r| r.url.clone()),
        at: waiting.map(|w| w.next_at).or(receipt.map(|r| r.at)).or(refusal.map(|r| r.at)),
        attempts: waiting.map_or(0, |w| w.attempts),
        code: refusal.map(|r| r.code.clone()),
        why: match (waiting, refusal, receipt) {
            (Some(w), _, _) => w.last_error.clone(),
            (None, Some(r), Some(_)) => format!("Its evidence was refused: {}", refused(r)),
            (None, Some(r), None) => refused(r),
            (None, None, Some(r)) => r.notes.join(" "),
            (None, None, None) => String::new(),
        },
        receipt: receipt.map(|r| r.receipt.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_of_another_scoreboard_does_not_hide_what_this_one_said() {
        let receipt = Receipted {
            result: "r".into(),
            root: "old".into(),
            tier: TrustTier::ReGraded,
            receipt: "{}".into(),
            url: "https://old/v1/verdicts/r".into(),
            notes: Vec::new(),
            at: 1,
            ask_at: 1,
        };
        let refusal = Refused {
            result: "r".into(),
            code: "unknown_challenge".into(),
            message: "No.".into(),
            hint: String::new(),
            at: 2,
        };
        let there = standing("r", Some("new"), None, Some(&receipt), Some(&refusal));
        assert_eq!((there.state, there.tier, there.url), (SyncState::Refused, None, None));
        assert_eq!(there.why, "No.", "all of it was refused, not its evidence only");
        let here = standing("r", Some("old"), None, Some(&receipt), Some(&refusal));
        assert_eq!((here.state, here.tier), (SyncState::Accepted, Some(TrustTier::ReGraded)));
        assert!(here.why.starts_with("Its evidence was refused"), "{}", here.why);
        let kept = standing("r", None, None, Some(&receipt), None);
        assert_eq!((kept.state, kept.tier), (SyncState::Accepted, Some(TrustTier::ReGraded)), "receipts are kept");
    }
}
