//! Connections: so many at a time, each with a limit on how long its request may take to say what it wants.

use super::{App, router};
use axum::Router;
use forge_core::error::Result;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// Those who listen, and room for those who ask.
const CONNECTIONS: usize = crate::board::LISTENERS + 1_024;
const HEADERS: Duration = Duration::from_secs(15);
const CLOSING: Duration = Duration::from_secs(10);

/// Serves until `board.closing`; then lets open requests end.
pub async fn serve(listener: TcpListener, board: App) -> Result<()> {
    let router = router(board.clone());
    let seats = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = board.closing.cancelled() => break,
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
        // Small answers must not wait for an acknowledgement.
        if let Err(e) = stream.set_nodelay(true) {
            tracing::debug!(error = %e, "no-delay could not be set");
        }
        connection(stream, router.clone(), &graceful, seat);
    }
    tokio::select! {
        () = graceful.shutdown() => {}
        () = tokio::time::sleep(CLOSING) => tracing::warn!("some requests did not end in time and were cut off"),
    }
    Ok(())
}

fn connection(
    stream: tokio::net::TcpStream,
    router: Router,
    graceful: &GracefulShutdown,
    seat: tokio::sync::OwnedSemaphorePermit,
) {
    // Told at once: finding out would wait for the first bytes as long as they take.
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(64 << 10);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).into_owned();
    let watched = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(e) = watched.await {
            tracing::debug!(error = %e, "a connection ended early");
        }
        drop(seat);
    });
}
