//! Streams over a WebSocket: text frames carry JSON items, binary frames terminal bytes; what a browser sends as binary is
//! keyboard input. A slow reader slows the stream down, not the memory up: each frame is sent before the next is taken.

use super::Server;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use forge_core::api::StreamRequest;
use forge_core::error::{Code, Error, Result};
use forge_core::shell::{self, Frame, Shellable};
use futures_util::{SinkExt, StreamExt};
use std::sync::Arc;
use std::time::Duration;

/// A pasted file is fine, a stuck key of megabytes is not.
const INPUT_LIMIT: usize = 1 << 20;
const PING: Duration = Duration::from_secs(20);
/// Close codes of ours (RFC 6455, 7.4.2): the engine's answer to this request will not change by asking again.
const ENDED: u16 = 4000;
const REFUSED: u16 = 4001;

#[derive(serde::Deserialize)]
pub struct Asked {
    request: String,
}

pub async fn upgrade(
    State(server): State<Arc<Server>>,
    Query(asked): Query<Asked>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let request: StreamRequest = match serde_json::from_str(&asked.request) {
        Ok(request) => request,
        Err(e) => return super::calls::refuse(StatusCode::BAD_REQUEST, &Error::from(e)),
    };
    upgrade.max_message_size(INPUT_LIMIT).on_upgrade(move |socket| async move {
        let terminal = match &request {
            StreamRequest::Terminal { id, .. } => Some(id.clone()),
            StreamRequest::Events { .. } | StreamRequest::Telemetry { .. } => None,
        };
        pump(&server, socket, request, terminal).await;
    })
}

async fn pump(server: &Server, socket: WebSocket, request: StreamRequest, terminal: Option<String>) {
    let (mut to, mut from) = socket.split();
    let opened = async {
        let engine = server.host.engine().await?;
        let frames = shell::open(engine.as_ref(), request).await?;
        Ok::<_, Error>((engine, frames))
    };
    let (engine, mut frames) = match opened.await {
        Ok(opened) => opened,
        Err(e) => {
            // The browser may be gone already; then nobody is left to tell.
            let _ = to.send(close(REFUSED, &e.message)).await;
            return;
        }
    };
    let mut ping = tokio::time::interval(PING);
    let typing = async {
        while let Some(message) = from.next().await {
            match message {
                Ok(Message::Binary(bytes)) => type_in(engine.as_ref(), terminal.as_deref(), bytes).await?,
                Ok(Message::Close(_)) | Err(_) => break,
                Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_)) => {}
            }
        }
        Ok::<(), Error>(())
    };
    tokio::pin!(typing);
    let end = loop {
        let message = tokio::select! {
            typed = &mut typing => break typed.err().map(|e| close(REFUSED, &e.message)),
            () = server.closing.cancelled() => break Some(close(1001, "The server is closing.")),
            _ = ping.tick() => Message::Ping(Vec::new().into()),
            frame = frames.next() => match frame {
                Some(Frame::Json(text)) => Message::Text(text.into()),
                Some(Frame::Bytes(bytes)) => Message::Binary(bytes.into()),
                None => break Some(close(ENDED, "")),
            },
        };
        if to.send(message).await.is_err() {
            break None;
        }
    };
    if let Some(end) = end {
        let _ = to.send(end).await;
    }
}

async fn type_in(engine: &dyn Shellable, terminal: Option<&str>, bytes: axum::body::Bytes) -> Result<()> {
    match terminal {
        Some(id) => engine.terminal_write(id, bytes).await,
        None => Err(Error::new(Code::InvalidInput, "Only a terminal takes input.")),
    }
}

/// A close reason is at most 123 bytes.
fn close(code: u16, reason: &str) -> Message {
    let end = (0..=reason.len().min(123)).rev().find(|i| reason.is_char_boundary(*i)).unwrap_or(0);
    let reason = reason.get(..end).unwrap_or_default().to_owned();
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}
