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
    /// Somebody has taken it upon them to publish.
    sampled: bool,
}

impl Channel {
    fn new() -> Self {
        Self { history: VecDeque::with_capacity(HISTORY), live: broadcast::channel(BACKLOG).0, sampled: false }
    }

    fn publish(&mut self, sample: Telemetry) {
        let sample = Arc::new(sample);
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(sample.clone());
        // An error only says that nobody is listening now.
        let _nobody = self.live.send(sample);
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
        self.lock().entry(sample.run.clone()).or_insert_with(Channel::new).publish(sample);
    }

    /// True for the first who asks, until the claim is given back: that one starts the run's sampler.
    pub fn claim_sampler(&self, run: &str) -> bool {
        let mut channels = self.lock();
        let channel = channels.entry(run.to_owned()).or_insert_with(Channel::new);
        !std::mem::replace(&mut channel.sampled, true)
    }

    /// Gives the claim back: the sampler failed or never started.
    pub fn release_sampler(&self, run: &str) {
        if let Some(channel) = self.lock().get_mut(run) {
            channel.sampled = false;
        }
    }

    /// Publishes while somebody reads. False when nobody does or the run was ended: the claim is given back in the same
    /// instant, so that a reader who comes now finds it free and starts the next sampler.
    pub fn publish_or_rest(&self, sample: Telemetry) -> bool {
        let mut channels = self.lock();
        let Some(channel) = channels.get_mut(&sample.run) else { return false };
        channel.sampled = channel.live.receiver_count() > 0;
        let read = channel.sampled;
        if read {
            channel.publish(sample);
        }
        read
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
    async fn one_sampler_at_a_time_and_it_rests_when_nobody_reads() {
        let hub = Hub::new();
        let reader = hub.subscribe("a");
        assert!(hub.claim_sampler("a") && !hub.claim_sampler("a") && hub.claim_sampler("b"));
        assert!(hub.publish_or_rest(sample("a", 1)));
        drop(reader);
        assert!(!hub.publish_or_rest(sample("a", 2)));
        assert!(hub.claim_sampler("a"), "the claim came back with the rest");
        hub.release_sampler("a");
        assert!(hub.claim_sampler("a"));
        assert_eq!(hub.recent("a").len(), 1);
        hub.end("a");
        assert!(!hub.publish_or_rest(sample("a", 3)) && hub.recent("a").is_empty());
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
