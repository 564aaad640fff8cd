//! The steps of a launch: collected for the run's row, told as events, in order.

use super::{Forge, jobs, lock};
use crate::api::{Caller, Level, Step, StepState};
use crate::lab::Progress;
use std::sync::{Arc, Mutex};
use tokio::time::Instant;

pub(super) struct Steps {
    seen: Arc<Mutex<Vec<Step>>>,
    send: tokio::sync::mpsc::UnboundedSender<Step>,
    writer: tokio::task::JoinHandle<()>,
}

impl Steps {
    pub(super) fn new(forge: Arc<Forge>, caller: Caller, run: String) -> Self {
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel::<Step>();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let writer = tokio::spawn(async move {
            while let Some(step) = receive.recv().await {
                let level = if step.state == StepState::Failed { Level::Error } else { Level::Info };
                let text =
                    format!("{}: {}", step.name, if step.detail.is_empty() { word(step.state) } else { &step.detail });
                let data = serde_json::to_value(&step).unwrap_or_default();
                forge.emit(&caller, Some(&run), "run.step", level, text, data).await;
            }
        });
        Self { seen, send, writer }
    }

    pub(super) async fn finish(self) -> Vec<Step> {
        drop(self.send);
        // The writer ends with the channel; its events are then all in the stream, before the run's state changes.
        let _ = self.writer.await;
        std::mem::take(&mut *lock(&self.seen))
    }
}

impl Progress for Steps {
    fn step(&self, step: Step) {
        jobs::upsert(&mut lock(&self.seen), step.clone());
        // Only a closed channel fails, and then nobody listens.
        let _ = self.send.send(step);
    }
}

fn word(state: StepState) -> &'static str {
    match state {
        StepState::Running => "under way",
        StepState::Done => "done",
        StepState::Failed => "failed",
        StepState::Skipped => "not needed",
    }
}

/// Milliseconds since a moment.
pub(super) fn ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
