//! Live telemetry: one channel per run, with the last two minutes handed to whoever subscribes.
//!
//! Samples are not persisted and not precious: a slow reader skips to the newest ones instead of holding anyone up.

use crate::api::Telemetry;
use futures_util::stream::{self, BoxStream, StreamExt};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Samples kept per run (two minutes at one per second).
pub const HISTORY: usize = 120;
/// Samples a reader may be behind before the oldest are skipped.
const BACKLOG: usize = 32;

struct Channel {
    history: VecDeque<Arc<Telemetry>>,
    live: broadcast::Sender<Arc<Telemetry>>,
}

impl Channel {
    fn new() -> Self {
        Self { history: VecDeque::with_capacity(HISTORY), live: broadcast::channel(BACKLOG).0 }
    }
}

/// Where samplers publish and views subscribe, by run id.
#[derive(Default)]
pub struct Hub {
    channels: Mutex<HashMap<String, Channel>>,
}

impl Hub {
    pub fn new() -> Self {
        Self::default()
    }

    /// Hands a sample to all readers of its run and keeps it for later ones.
    pub fn publish(&self, sample: Telemetry) {
        let sample = Arc::new(sample);
        let mut channels = self.lock();
        let channel = channels.entry(sample.run.clone()).or_insert_with(Channel::new);
        if channel.history.len() == HISTORY {
            channel.history.pop_front();
        }
        channel.history.push_back(sample.clone());
        // An error only says that nobody is listening now.
        let _nobody = channel.live.send(sample);
    }

    /// The history, oldest first, then live samples without a gap or a duplicate between the two; ends with [`Self::end`].
    pub fn subscribe(&self, run: &str) -> BoxStream<'static, Telemetry> {
        let mut channels = self.lock();
        let channel = channels.entry(run.to_owned()).or_insert_with(Channel::new);
        let past: Vec<_> = channel.history.iter().cloned().collect();
        let live = channel.live.subscribe();
        drop(channels);
        let live = stream::unfold(live, |mut live| async move {
            loop {
                match live.recv().await {
                    Ok(sample) => return Some((sample, live)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        stream::iter(past).chain(live).map(Arc::unwrap_or_clone).boxed()
    }

    /// What is remembered of a run, oldest first.
    pub fn recent(&self, run: &str) -> Vec<Telemetry> {
        self.lock().get(run).map(|c| c.history.iter().map(|s| Telemetry::clone(s)).collect()).unwrap_or_default()
    }

    /// How many read this run's samples now; a sampler may rest while it is 0.
    pub fn readers(&self, run: &str) -> usize {
        self.lock().get(run).map_or(0, |c| c.live.receiver_count())
    }

    /// Forgets a run; its readers' streams end.
    pub fn end(&self, run: &str) {
        self.lock().remove(run);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Channel>> {
        // A panic elsewhere cannot leave the map half-changed: every change is one call.
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn sample(run: &str, at: i64) -> Telemetry {
        Telemetry { run: run.into(), at, nodes: vec![], links: vec![] }
    }

    #[tokio::test]
    async fn a_new_reader_gets_the_last_120_and_then_each_new_one_once() {
        let hub = Hub::new();
        for at in 0..200 {
            hub.publish(sample("a", at));
        }
        hub.publish(sample("b", 7));
        let reader = hub.subscribe("a");
        assert_eq!(hub.readers("a"), 1);
        for at in 200..210 {
            hub.publish(sample("a", at));
        }
        hub.end("a");
        let seen: Vec<i64> = reader.map(|s| s.at).collect().await;
        assert_eq!(seen, (80..210).collect::<Vec<_>>());
        assert!(hub.recent("a").is_empty());
        assert_eq!(hub.recent("b").len(), 1);
        assert_eq!(hub.readers("a"), 0);
    }

    #[tokio::test]
    async fn a_slow_reader_skips_but_ends_with_the_newest() {
        let hub = Hub::new();
        let reader = hub.subscribe("a");
        for at in 0..500 {
            hub.publish(sample("a", at));
        }
        hub.end("a");
        let seen: Vec<i64> = reader.map(|s| s.at).collect().await;
        assert_eq!(seen.len(), BACKLOG);
        assert_eq!(seen.last(), Some(&499));
    }
}
