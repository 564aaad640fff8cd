//! The ordered stream of everything that happens, kept in the store's `events` table.
//!
//! The table *is* the queue: a reader holds nothing but its position, so a slow one costs no memory, and replay and live
//! are the same query: no boundary for an event to fall into. Sequence numbers are given inside write transactions,
//! which SQLite lets through one at a time, whichever process asks: whoever sees number n sees all before it.

use crate::api::{Event, Level, ListEvents};
use crate::error::{Code, Error, Result};
use crate::store::Store;
use crate::store::events::{self as table, NewEvent};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// How often other processes' events are looked for; our own are announced at once.
const POLL: Duration = Duration::from_millis(150);
/// Pause after the store refused a reader.
const RETRY: Duration = Duration::from_millis(500);
/// Events read at a time; also what a slow reader holds in memory at most.
const PAGE: u32 = 256;
const LIST_DEFAULT: u32 = 1_000;
const LIST_MAX: u32 = 10_000;
/// Longest text and data of an event, in bytes.
const TEXT_MAX: usize = 4 << 10;
const DATA_MAX: usize = 256 << 10;

/// What is kept. Events of runs that are alive are never pruned.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    pub days: u32,
    pub events: u32,
    /// Prune after this many emitted events.
    pub every: u32,
}

impl Default for Retention {
    fn default() -> Self {
        Self { days: 30, events: 100_000, every: 1_000 }
    }
}

/// The stream's door; clones are the same stream.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    store: Store,
    retention: Retention,
    /// The newest number known to be committed.
    newest: watch::Sender<i64>,
    polling: Mutex<bool>,
    emitted: AtomicU32,
    /// Unix milliseconds.
    clock: fn() -> i64,
}

impl Events {
    pub fn new(store: Store) -> Self {
        Self::with(store, Retention::default(), || jiff::Timestamp::now().as_millisecond())
    }

    /// With its own rules for what is kept, and its own clock (Unix milliseconds).
    pub fn with(store: Store, retention: Retention, clock: fn() -> i64) -> Self {
        Self(Arc::new(Inner {
            store,
            retention,
            newest: watch::channel(0).0,
            polling: Mutex::new(false),
            emitted: AtomicU32::new(0),
            clock,
        }))
    }

    /// Writes an event down, tells all readers and logs it. Text beyond 4 KiB and data beyond 256 KiB are cut.
    pub async fn emit(
        &self,
        correlation: &str,
        run: Option<&str>,
        kind: &str,
        level: Level,
        text: impl Into<String>,
        data: Value,
    ) -> Result<Event> {
        let event = self.draft(correlation, run, kind, level, text, data);
        let event = self.0.store.write_relaxed(move |tx| table::append(tx, event)).await?;
        self.announce(&event);
        if (self.0.emitted.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(self.0.retention.every.max(1))
            && let Err(e) = self.prune().await
        {
            tracing::warn!(correlation, error = %e, "old events could not be pruned");
        }
        Ok(event)
    }

    /// An event to append in a transaction of the caller's (`store::events::append`), so that a change and its event
    /// stand or fall together; [`Self::announce`] it after the commit.
    pub fn draft(
        &self,
        correlation: &str,
        run: Option<&str>,
        kind: &str,
        level: Level,
        text: impl Into<String>,
        data: Value,
    ) -> NewEvent {
        NewEvent {
            at: (self.0.clock)(),
            correlation: correlation.to_owned(),
            run: run.map(str::to_owned),
            kind: kind.to_owned(),
            level,
            text: cut(text.into()),
            data: bounded(data),
        }
    }

    /// Tells readers and the log about a committed event.
    pub fn announce(&self, event: &Event) {
        let Event { seq, correlation, run, kind, text, .. } = event;
        let run = run.as_deref();
        match event.level {
            Level::Debug => tracing::debug!(correlation, run, kind, seq, "{text}"),
            Level::Info => tracing::info!(correlation, run, kind, seq, "{text}"),
            Level::Warn => tracing::warn!(correlation, run, kind, seq, "{text}"),
            Level::Error => tracing::error!(correlation, run, kind, seq, "{text}"),
        }
        self.0.saw(*seq);
    }

    /// All events after `since` (of one run, or of all), in order, each once: first what is written down, then what
    /// comes, from whichever process. Ends only with this `Events`. A reader so far behind that retention has overtaken
    /// it goes on with the oldest event there is; a `since` from another installation's future counts as now.
    pub fn stream(&self, run: Option<&str>, since: i64) -> BoxStream<'static, Event> {
        let follower = Follower {
            store: self.0.store.clone(),
            inner: Arc::downgrade(&self.0),
            newest: self.0.newest.subscribe(),
            run: run.map(str::to_owned),
            position: since,
            begun: false,
        };
        stream::unfold(follower, |mut follower| async move {
            let page = follower.page().await?;
            Some((stream::iter(page), follower))
        })
        .flatten()
        .boxed()
    }

    /// The newest events after `since`, in order. `Code::InvalidInput` when `limit` is not 1 to 10000.
    pub async fn list(&self, wanted: ListEvents) -> Result<Vec<Event>> {
        let limit = wanted.limit.unwrap_or(LIST_DEFAULT);
        if !(1..=LIST_MAX).contains(&limit) {
            return Err(Error::new(Code::InvalidInput, format!("`limit` is {limit}; it must be 1 to {LIST_MAX}.")));
        }
        self.0.store.read(move |conn| table::latest(conn, wanted.run.as_deref(), wanted.since, limit)).await
    }

    /// Drops what retention no longer keeps; returns how many events went.
    pub async fn prune(&self) -> Result<usize> {
        let Retention { days, events, .. } = self.0.retention;
        let before = (self.0.clock)() - i64::from(days) * 86_400_000;
        self.0.store.write_relaxed(move |tx| table::prune(tx, before, events)).await
    }
}

impl Inner {
    fn saw(&self, seq: i64) {
        self.newest.send_if_modified(|newest| {
            let newer = seq > *newest;
            *newest = seq.max(*newest);
            newer
        });
    }

    /// Looks for other processes' events while anybody reads.
    fn keep_polling(self: &Arc<Self>) {
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *polling, true) {
            tokio::spawn(poll(Arc::downgrade(self), self.store.clone()));
        }
    }
}

async fn poll(inner: Weak<Inner>, store: Store) {
    loop {
        let newest = store.read(table::newest).await;
        let Some(inner) = inner.upgrade() else { return };
        match newest {
            Ok(newest) => inner.saw(newest),
            Err(e) => tracing::warn!(error = %e, "the event stream could not be looked at"),
        }
        {
            let mut polling = inner.polling.lock().unwrap_or_else(PoisonError::into_inner);
            if inner.newest.receiver_count() == 0 {
                *polling = false;
                return;
            }
        }
        drop(inner);
        tokio::time::sleep(POLL).await;
    }
}

struct Follower {
    store: Store,
    inner: Weak<Inner>,
    newest: watch::Receiver<i64>,
    run: Option<String>,
    /// All events up to here have been handed out or are not for this reader.
    position: i64,
    begun: bool,
}

impl Follower {
    /// The next events, at least one; None when the stream has ended.
    async fn page(&mut self) -> Option<Vec<Event>> {
        if !self.begun {
            self.inner.upgrade()?.keep_polling();
        }
        loop {
            // Marked as seen before the query: what is committed after it makes `changed` return at once.
            let newest = *self.newest.borrow_and_update();
            if !self.begun || newest > self.position {
                match self.read().await {
                    Ok((page, seen)) => {
                        self.begun = true;
                        if !page.is_empty() {
                            return Some(page);
                        }
                        // The snapshot held everything up to `seen`, and none of it was for this reader.
                        // A position beyond `seen` came from another installation.
                        self.position = seen;
                    }
                    Err(e) => {
                        tracing::warn!(error = %e, "an event reader has to wait for the store");
                        tokio::time::sleep(RETRY).await;
                        self.inner.upgrade()?;
                        continue;
                    }
                }
            }
            self.newest.changed().await.ok()?;
        }
    }

    async fn read(&mut self) -> Result<(Vec<Event>, i64)> {
        let (run, position) = (self.run.clone(), self.position);
        let (page, seen) = self
            .store
            .read(move |conn| Ok((table::since(conn, run.as_deref(), position, PAGE)?, table::newest(conn)?)))
            .await?;
        if let Some(last) = page.last() {
            self.position = last.seq;
        }
        Ok((page, seen))
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        text.truncate(text.floor_char_boundary(TEXT_MAX - '…'.len_utf8()));
        text.push('…');
    }
    text
}

fn bounded(data: Value) -> Value {
    let bytes = data.to_string().len();
    if bytes > DATA_MAX { json!({ "omitted_bytes": bytes }) } else { data }
}

#[cfg(test)]
mod tests;
