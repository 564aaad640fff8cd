//! Server-sent events: what is kept is replayed, then it goes live without a gap; who is too slow is told to load anew.

use super::App;
use super::ask::Query;
use super::error::{Answer, no};
use crate::live::{Event, Topic};
use crate::store::people;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use forge_core::board::RefusalCode;
use serde::Deserialize;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

const HEARTBEAT: Duration = Duration::from_secs(15);
/// A listener that takes nothing for so long gives its seat to others.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    track: Option<String>,
    class: Option<String>,
}

pub async fn board(State(app): State<App>, Query(filter): Query<Filter>, headers: HeaderMap) -> Answer<Response> {
    stream(app, &headers, None, move |topic| match topic {
        Topic::Board { track, class } => {
            filter.track.as_ref().is_none_or(|t| t == track) && filter.class.as_ref().is_none_or(|c| c == class)
        }
        Topic::Session { .. } => false,
    })
}

/// `token` (its digest) is what the listener was let in with: a stream ends when it counts no longer.
pub fn stream(
    app: App,
    headers: &HeaderMap,
    token: Option<String>,
    wants: impl Fn(&Topic) -> bool + Send + Sync + 'static,
) -> Answer<Response> {
    let Ok(seat) = app.listeners.clone().try_acquire_owned() else {
        return Err(no(RefusalCode::Busy, "Too many listen at the moment."));
    };
    let last = headers.get("last-event-id").and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let (missed, gap, mut events) = app.live.listen(last);
    let (out, frames) = mpsc::channel::<Result<Bytes, Infallible>>(32);
    app.metrics.listeners.inc();
    tokio::spawn(async move {
        let _seat = seat;
        let told = async {
            send(&out, Bytes::from_static(b"retry: 2000\n\n")).await?;
            if gap {
                send(&out, RESET).await?;
            }
            for event in missed {
                tell(&out, &event, &wants).await?;
            }
            let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
            heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    next = events.recv() => match next {
                        Ok(event) if wants(&event.topic) => {
                            counts(&app, token.as_deref()).await.then_some(())?;
                            send(&out, event.frame.clone()).await?;
                        }
                        Ok(_) => {}
                        Err(RecvError::Lagged(_)) => {
                            app.metrics.resets.inc();
                            send(&out, RESET).await?;
                        }
                        Err(RecvError::Closed) => return None,
                    },
                    _ = heartbeat.tick() => {
                        counts(&app, token.as_deref()).await.then_some(())?;
                        send(&out, Bytes::from_static(b":\n\n")).await?;
                    }
                    () = app.closing.cancelled() => return None,
                    () = out.closed() => return None,
                }
            }
        };
        let _gone: Option<()> = told.await;
        app.metrics.listeners.dec();
    });
    let body = Body::from_stream(tokio_stream::wrappers::ReceiverStream::new(frames));
    let head = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((head, body).into_response())
}

const RESET: Bytes = Bytes::from_static(b"event: reset\ndata: {}\n\n");

/// A database that does not answer has revoked nothing meanwhile.
async fn counts(app: &App, token: Option<&str>) -> bool {
    let Some(digest) = token.filter(|t| *t != app.admin).map(str::to_owned) else { return true };
    match app.store.read(move |tx| people::by_token(tx, &digest)).await {
        Ok(found) => found.is_some_and(|(_, counts)| counts),
        Err(e) => {
            tracing::warn!("whether a listener's key still counts could not be looked at: {e}");
            true
        }
    }
}

async fn send(out: &mpsc::Sender<Result<Bytes, Infallible>>, frame: Bytes) -> Option<()> {
    tokio::time::timeout(PATIENCE, out.send(Ok(frame))).await.ok()?.ok()
}

async fn tell(
    out: &mpsc::Sender<Result<Bytes, Infallible>>,
    event: &Arc<Event>,
    wants: &(impl Fn(&Topic) -> bool + Sync),
) -> Option<()> {
    if wants(&event.topic) { send(out, event.frame.clone()).await } else { Some(()) }
}
