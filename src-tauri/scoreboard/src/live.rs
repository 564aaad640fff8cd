//! What happens, told to whoever listens. Each event is written once, as the bytes that travel, and handed to all.

use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::broadcast;

/// Events kept for those who come back.
const KEPT: usize = 1_000;

/// Who may be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topic {
    /// The public board.
    Board { track: String, class: String },
    /// A session; with a learner, only they and the instructors.
    Session { id: String, learner: Option<String>, instructors_only: bool },
}

#[derive(Debug)]
pub struct Event {
    pub id: u64,
    pub topic: Topic,
    /// As it stands in the stream, blank line included.
    pub frame: Bytes,
}

pub struct Live {
    next: AtomicU64,
    kept: Mutex<VecDeque<Arc<Event>>>,
    channel: broadcast::Sender<Arc<Event>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { next: AtomicU64::new(1), kept: Mutex::new(VecDeque::new()), channel: broadcast::channel(1024).0 }
    }
}

impl Live {
    /// Numbers are counted up per process; `start` keeps those of the next process above those of the last.
    pub fn starting_at(start: u64) -> Self {
        Self { next: AtomicU64::new(start), ..Self::default() }
    }

    pub fn tell(&self, topic: Topic, kind: &str, data: &impl std::fmt::Display) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let frame = Bytes::from(format!("id: {id}\nevent: {kind}\ndata: {data}\n\n"));
        let event = Arc::new(Event { id, topic, frame });
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back(event.clone());
        // An error only says that nobody listens.
        let _ = self.channel.send(event);
    }

    /// The events after `last` that are still kept, whether some are missing in between, and what comes from now on.
    pub fn listen(&self, last: Option<u64>) -> (Vec<Arc<Event>>, bool, broadcast::Receiver<Arc<Event>>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.channel.subscribe();
        let Some(last) = last else { return (Vec::new(), false, receiver) };
        let next = self.next.load(Ordering::Relaxed);
        let oldest = kept.front().map_or(next, |e| e.id);
        let gap = last + 1 < oldest || last >= next;
        let missed = if gap { Vec::new() } else { kept.iter().filter(|e| e.id > last).cloned().collect() };
        (missed, gap, receiver)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Topic {
        Topic::Board { track: "ccna".into(), class: "A".into() }
    }

    #[tokio::test]
    async fn who_comes_back_gets_what_was_missed_or_is_told_of_the_gap() {
        let live = Live::starting_at(100);
        for i in 0..5 {
            live.tell(board(), "verdict", &serde_json::json!({"i": i}));
        }
        let (missed, gap, mut rest) = live.listen(Some(102));
        assert!(!gap);
        assert_eq!(missed.iter().map(|e| e.id).collect::<Vec<_>>(), [103, 104]);
        live.tell(board(), "verdict", &serde_json::json!({}));
        assert_eq!(rest.recv().await.map(|e| e.id), Ok(105));
        assert!(live.listen(Some(42)).1, "a former process's number is a gap");
        assert!(live.listen(Some(4000)).1, "a number of the future is a gap");
        for _ in 0..2 * KEPT {
            live.tell(board(), "verdict", &serde_json::json!({}));
        }
        assert!(live.listen(Some(105)).1);
    }
}
