//! A reader's side of a terminal: frames from an offset on, as large as the reader is slow.

use super::ring::Next;
use super::session::Session;
use crate::api::TerminalFrame;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Largest frame.
const FRAME: usize = 128 << 10;
/// In a burst (this many bytes within [`BURST_TIME`]) a small remainder waits for more to come along, so that a large
/// output travels in few frames. An echoed key never comes near it and is not delayed.
const BURST: usize = 32 << 10;
const BURST_TIME: Duration = Duration::from_millis(4);
const BURST_WAIT: Duration = Duration::from_millis(1);

struct Follower {
    session: Arc<Session>,
    reader: u64,
    position: u64,
    burst: (Instant, usize),
    done: bool,
}

pub fn frames(session: Arc<Session>, from: u64) -> BoxStream<'static, TerminalFrame> {
    let reader = session.lock().ring.attach(from);
    let follower = Follower { session, reader, position: from, burst: (Instant::now(), 0), done: false };
    stream::unfold(follower, |mut follower| async move {
        let frame = follower.next().await?;
        Some((frame, follower))
    })
    .boxed()
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.session.lock().ring.detach(self.reader);
        self.session.reader_moved();
    }
}

impl Follower {
    async fn next(&mut self) -> Option<TerminalFrame> {
        if self.done {
            return None;
        }
        if self.burst.0.elapsed() > BURST_TIME {
            self.burst = (Instant::now(), 0);
        } else if self.burst.1 >= BURST && self.waiting() < BURST as u64 {
            tokio::time::sleep(BURST_WAIT).await;
        }
        let session = self.session.clone();
        loop {
            let changed = session.changed();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (next, closed) = {
                let mut state = session.lock();
                (state.ring.take(self.reader, self.position, FRAME), state.closed.clone())
            };
            match (next, closed) {
                (Next::Bytes { offset, bytes }, _) => {
                    self.position = offset + bytes.len() as u64;
                    self.burst.1 += bytes.len();
                    session.reader_moved();
                    return Some(TerminalFrame::Output { offset, bytes: Bytes::from(bytes) });
                }
                (Next::Gap { resumes_at }, _) => {
                    self.position = resumes_at;
                    session.reader_moved();
                    return Some(TerminalFrame::Gap { resumes_at });
                }
                (Next::Nothing, Some(reason)) => {
                    self.done = true;
                    return Some(TerminalFrame::Closed { reason });
                }
                (Next::Nothing, None) => changed.await,
            }
        }
    }

    fn waiting(&self) -> u64 {
        self.session.lock().ring.end().saturating_sub(self.position)
    }
}
