//! Waiting for a start to end, whichever process it happens in, and why it ended.

use super::{Forge, lock};
use crate::api::{RunDetail, RunState};
use crate::error::{Code, Error, Result};
use crate::store::runs;
use std::time::Duration;
use tokio::time::Instant;

/// How often a start is looked at that happens in another process.
const READY_POLL: Duration = Duration::from_millis(10);

impl Forge {
    /// Waits until a start has ended, one way or the other, in whichever process it happens.
    ///
    /// # Errors
    /// What the launch failed with; `Cancelled`; `Timeout` after `limit`.
    pub(super) async fn ready_within(&self, run: &str, limit: Duration) -> Result<RunDetail> {
        let until = Instant::now() + limit;
        loop {
            // Listened to before the row is read: what is settled in between is heard.
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            let row = self.run_row(run).await?;
            if let (RunState::Starting, Some(error)) = (row.state, lock(&self.unsaid).get(run)) {
                return Err(error.clone());
            }
            match row.state {
                RunState::Starting if Instant::now() >= until => {
                    return Err(Error::new(
                        Code::Timeout,
                        format!("Run {run} was not ready after {} s.", limit.as_secs()),
                    )
                    .hint(format!("It may still get there: `forge ps`; or give up with `forge stop {run}`.")));
                }
                // Another process's launch is seen, not heard.
                RunState::Starting => drop(tokio::time::timeout(READY_POLL, settled).await),
                RunState::Ready | RunState::Paused => return self.detail(run).await,
                RunState::Stopping | RunState::Stopped | RunState::Failed => return Err(self.why_ended(&row).await),
            }
        }
    }

    /// The error a start ended with, as the event stream recorded it.
    async fn why_ended(&self, row: &runs::Run) -> Error {
        let asked = crate::api::ListEvents { run: Some(row.run.clone()), since: 0, limit: None };
        let recorded = self.events.list(asked).await.ok().and_then(|events| {
            events
                .into_iter()
                .rev()
                .filter(|e| e.kind == "run.state")
                .find_map(|e| serde_json::from_value::<Error>(e.data.get("error")?.clone()).ok())
        });
        recorded.unwrap_or_else(|| match row.state {
            RunState::Failed => Error::new(Code::Internal, row.reason.clone()),
            _ => Error::cancelled(),
        })
    }
}
