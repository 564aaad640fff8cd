//! Pumps between the engine's streams and the window's channels.
//!
//! A channel has no back-pressure of its own: what is sent waits in memory until the page fetches it. So a caller that
//! gives a `window` acknowledges bytes with [`ack_stream`], and a pump stands still while more than that is under way.
//! A page that reloads takes its channels with it: its pumps end when the next page begins to load.

use crate::engine::Opening;
use forge_core::api::StreamRequest;
use forge_core::error::Result;
use forge_core::shell::{self, Frame};
use futures_util::StreamExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tauri::ipc::{Channel, InvokeResponseBody};
use tauri::{AppHandle, Manager, State};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
pub struct Streams(Mutex<Open>);

#[derive(Default)]
struct Open {
    next: u32,
    pumps: HashMap<u32, Pump>,
}

#[derive(Clone)]
struct Pump {
    end: CancellationToken,
    credit: Option<Arc<Credit>>,
}

/// Bytes that may still be sent before the page has to acknowledge some.
struct Credit {
    left: Mutex<i64>,
    more: Notify,
}

impl Credit {
    fn left(&self) -> MutexGuard<'_, i64> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may be sent, then takes `bytes` (which may overdraw once).
    async fn take(&self, bytes: i64) {
        loop {
            let more = self.more.notified();
            {
                let mut left = self.left();
                if *left > 0 {
                    *left -= bytes;
                    return;
                }
            }
            more.await;
        }
    }

    fn give(&self, bytes: i64) {
        *self.left() += bytes;
        self.more.notify_one();
    }
}

impl Streams {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, pump: Pump) -> u32 {
        let mut open = self.open();
        open.next = open.next.wrapping_add(1);
        let id = open.next;
        open.pumps.insert(id, pump);
        id
    }

    fn remove(&self, id: u32) {
        if let Some(pump) = self.open().pumps.remove(&id) {
            pump.end.cancel();
        }
    }

    /// Ends every pump; the engine's terminals and runs go on.
    pub fn end_all(&self) {
        self.open().pumps.drain().for_each(|(_, pump)| pump.end.cancel());
    }
}

#[tauri::command]
pub async fn open_stream(
    app: AppHandle,
    opening: State<'_, Opening>,
    request: StreamRequest,
    channel: Channel<InvokeResponseBody>,
    window: Option<u32>,
) -> Result<u32> {
    let engine = opening.engine().await?;
    let mut frames = shell::open(engine.as_ref(), request).await?;
    let credit = window.map(|w| Arc::new(Credit { left: Mutex::new(i64::from(w)), more: Notify::new() }));
    let pump = Pump { end: CancellationToken::new(), credit };
    let id = app.state::<Streams>().add(pump.clone());
    tauri::async_runtime::spawn(async move {
        let work = async {
            while let Some(frame) = frames.next().await {
                let body = match frame {
                    Frame::Json(text) => InvokeResponseBody::Json(text),
                    Frame::Bytes(bytes) => InvokeResponseBody::Raw(bytes),
                };
                if let Some(credit) = &pump.credit {
                    credit.take(weight(&body)).await;
                }
                if channel.send(body).is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = work => {}
            () = pump.end.cancelled() => {}
        }
        app.state::<Streams>().remove(id);
    });
    Ok(id)
}

fn weight(body: &InvokeResponseBody) -> i64 {
    let bytes = match body {
        InvokeResponseBody::Json(text) => text.len(),
        InvokeResponseBody::Raw(bytes) => bytes.len(),
    };
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The page has taken in this many bytes of the stream.
#[tauri::command]
pub fn ack_stream(streams: State<'_, Streams>, id: u32, bytes: u32) {
    if let Some(Pump { credit: Some(credit), .. }) = streams.open().pumps.get(&id) {
        credit.give(i64::from(bytes));
    }
}

/// Closing what is closed already is no error: the stream may just have ended by itself.
#[tauri::command]
pub fn close_stream(streams: State<'_, Streams>, id: u32) {
    streams.remove(id);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_pump_waits_for_acknowledgement_and_goes_on_after_it() {
        let credit = Arc::new(Credit { left: Mutex::new(10), more: Notify::new() });
        credit.take(25).await;
        let waiting = tokio::spawn({
            let credit = credit.clone();
            async move { credit.take(5).await }
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "15 bytes over the window: it must stand still");
        credit.give(10);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!waiting.is_finished(), "still 5 over");
        credit.give(15);
        tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    }
}
