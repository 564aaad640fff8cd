//! Server-sent events: what is kept is replayed, then it goes live without a gap; who is too slow is told to load anew.

use super::App;
use super::error::{Answer, no};
use crate::live::{Event, Topic};
use axum::body::Body;
use axum::extract::{Query, State};
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

const HEARTBEAT: Duration = Duration::from_secs(15);

#[derive(Deserialize)]
pub struct Filter {
    track: Option<String>,
    class: Option<String>,
}

pub async fn board(State(app): State<App>, Query(filter): Query<Filter>, headers: HeaderMap) -> Answer<Response> {
    stream(app, &headers, move |topic| match topic {
        Topic::Board { track, class } => {
            filter.track.as_ref().is_none_or(|t| t == track) && filter.class.as_ref().is_none_or(|c| c == class)
        }
        Topic::Session { .. } => false,
    })
}

pub fn stream(
    app: App,
    headers: &HeaderMap,
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
            loop {
                tokio::select! {
                    next = events.recv() => match next {
                        Ok(event) => tell(&out, &event, &wants).await?,
                        Err(RecvError::Lagged(_)) => {
                            app.metrics.resets.inc();
                            send(&out, RESET).await?;
                        }
                        Err(RecvError::Closed) => return None,
                    },
                    () = tokio::time::sleep(HEARTBEAT) => send(&out, Bytes::from_static(b":\n\n")).await?,
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

async fn send(out: &mpsc::Sender<Result<Bytes, Infallible>>, frame: Bytes) -> Option<()> {
    out.send(Ok(frame)).await.ok()
}

async fn tell(
    out: &mpsc::Sender<Result<Bytes, Infallible>>,
    event: &Arc<Event>,
    wants: &(impl Fn(&Topic) -> bool + Sync),
) -> Option<()> {
    if wants(&event.topic) { send(out, event.frame.clone()).await } else { Some(()) }
}
