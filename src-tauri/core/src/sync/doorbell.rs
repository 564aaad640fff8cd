//! A session's stream as a doorbell: it rings when there is something to ask for, and never says what. A word that is lost on its
//! way, told twice or made up costs a question and no more. While it is not live, whoever has it asks at a slow pace.

use super::{pace, session};
use crate::error::Error;
use crate::store::sync::Board;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// A scoreboard sends at least a comment every fifteen seconds.
const SILENT: Duration = Duration::from_secs(40);
/// A stream that held so long was a good one: what ended it does not count as another failure in a row.
const STEADY: Duration = Duration::from_secs(30);
const LONGEST: i64 = 60_000;
/// After a no that will be the same one soon.
const REFUSED: Duration = Duration::from_secs(300);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How often it rang.
    pub rings: u64,
    /// The stream is open, so that what happens is heard.
    pub live: bool,
}

/// Listens as long as it lives.
pub struct Doorbell {
    heard: watch::Receiver<Heard>,
    _task: AbortOnDropHandle<()>,
}

impl Doorbell {
    /// `woken` is notified of each ring, for whoever has several.
    pub fn at(board: Board, session: String, woken: Arc<Notify>) -> Self {
        let (tell, heard) = watch::channel(Heard::default());
        let task = tokio::spawn(async move { listen(&board, &session, &tell, &woken).await });
        Self { heard, _task: AbortOnDropHandle::new(task) }
    }

    pub fn heard(&self) -> Heard {
        *self.heard.borrow()
    }

    /// Waits until it has rung another number of times than `seen`; no longer than `live` while the stream is open, than
    /// `otherwise` while it is not. Does not borrow the bell: it may go meanwhile.
    pub fn rung(&self, seen: u64, live: Duration, otherwise: Duration) -> impl Future<Output = ()> + Send + use<> {
        let (mut heard, began) = (self.heard.clone(), Instant::now());
        async move {
            loop {
                let now = *heard.borrow_and_update();
                let limit = if now.live { live } else { otherwise };
                let left = limit.saturating_sub(began.elapsed());
                if now.rings != seen || left.is_zero() {
                    return;
                }
                match tokio::time::timeout(left, heard.changed()).await {
                    Ok(Ok(())) | Err(_) => {}
                    // Nobody listens any more.
                    Ok(Err(_)) => return tokio::time::sleep(left.min(otherwise)).await,
                }
            }
        }
    }
}

async fn listen(board: &Board, session: &str, tell: &watch::Sender<Heard>, woken: &Notify) {
    let (mut failures, mut last) = (0_u32, None);
    loop {
        let began = Instant::now();
        let Err(e) = hear(board, session, &mut last, tell, woken).await;
        if tell.send_if_modified(|h| std::mem::replace(&mut h.live, false)) {
            tracing::info!(session, code = ?e.details.get("code"), "the session’s stream ended: {e}");
        }
        failures = if began.elapsed() >= STEADY { 1 } else { failures.saturating_add(1) };
        let wait = pace::wait(failures, None, rand::random()).min(LONGEST);
        let wait = if session::final_word(&e) { REFUSED } else { Duration::from_millis(wait.unsigned_abs()) };
        tokio::time::sleep(wait).await;
    }
}

/// One stream, until it ends; `last` is the event it can be gone on from.
async fn hear(
    board: &Board,
    session: &str,
    last: &mut Option<String>,
    tell: &watch::Sender<Heard>,
    woken: &Notify,
) -> Result<std::convert::Infallible, Error> {
    let ring = || {
        tell.send_modify(|h| *h = Heard { rings: h.rings + 1, live: true });
        woken.notify_one();
    };
    let mut feed = session::listen(board, session, last.as_deref()).await?;
    if last.is_none() {
        // What happened before it was open is not told.
        ring();
    } else {
        tell.send_modify(|h| h.live = true);
    }
    loop {
        let event = feed.next(SILENT).await.map_err(|s| session::away(&s))?;
        if event.id.is_some() {
            *last = event.id;
        }
        ring();
    }
}
