//! Connections: so many at a time, each with a limit on how long its request may take to say what it wants. Whoever is
//! silent, by mistake or on purpose, must not hold what the browser beside it needs.

use super::{BODY_LIMIT, CLOSING, calls};
use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use forge_core::error::{Code, Error};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Some dozens of browsers, each with its streams.
const CONNECTIONS: usize = 1_024;
/// For the head of a request, and once more for its body.
pub const PATIENCE: Duration = if cfg!(test) { Duration::from_secs(2) } else { Duration::from_secs(15) };

/// Serves until `asked`; then lets open requests end.
pub async fn serve(listener: TcpListener, router: Router, asked: impl Future<Output = ()> + Send) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let closing = CancellationToken::new();
    let mut open = JoinSet::new();
    tokio::pin!(asked);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = open.join_next() => continue,
            () = &mut asked => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Out of file descriptors, or the client is gone: the next one may fare better.
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(seat) = seats.clone().try_acquire_owned() else {
            tracing::warn!("too many connections; one was turned away");
            continue;
        };
        // A keystroke's echo must not wait for an acknowledgement.
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!(error = %e, "no-delay could not be set");
        }
        open.spawn(connection(stream, router.clone(), closing.clone(), seat));
    }
    drop(listener);
    closing.cancel();
    let ended = async { while open.join_next().await.is_some() {} };
    if tokio::time::timeout(CLOSING, ended).await.is_err() {
        tracing::warn!("some requests did not end in time and were cut off");
    }
}

async fn connection(stream: TcpStream, router: Router, closing: CancellationToken, _seat: OwnedSemaphorePermit) {
    // HTTP/1 and nothing else: finding out which it is would wait for the first bytes as long as they take.
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE).max_buf_size(64 << 10);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).with_upgrades();
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = closing.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(error = %e, "a connection ended early");
    }
}

/// The whole body within [`PATIENCE`], before a command sees any of it.
pub async fn whole(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match tokio::time::timeout(PATIENCE, axum::body::to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(parts, bytes.into())).await,
        // One that broke off looks the same, but nobody reads the answer to it.
        Ok(Err(_)) => {
            let error = Error::new(Code::TooLarge, "The request is larger than any command needs.");
            calls::refuse(StatusCode::PAYLOAD_TOO_LARGE, &error)
        }
        Err(_) => {
            let error = Error::new(Code::Timeout, "The request did not arrive: its body took too long.");
            calls::refuse(StatusCode::REQUEST_TIMEOUT, &error)
        }
    }
}
