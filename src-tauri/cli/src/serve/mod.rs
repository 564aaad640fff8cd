//! `forge serve`: the same UI and the same commands over HTTP, on this machine's loopback address unless told otherwise.

mod calls;
mod door;
mod health;
mod listen;
mod page;
mod stream;
#[cfg(test)]
mod tests;

use crate::args::ServeOptions;
use crate::out::{Ink, Out};
use crate::signal;
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};
use axum::{Router, middleware};
use door::Door;
use forge_core::error::{Code, Error, Result};
use forge_core::shell::Host;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The largest request is a `start_lab`; nothing legitimate comes near this.
const BODY_LIMIT: usize = 256 * 1024;
/// How long open requests may take to end once asked to.
const CLOSING: Duration = Duration::from_secs(5);

pub struct Server {
    pub host: Arc<dyn Host>,
    pub instructor: bool,
    pub door: Door,
    pub health: health::Health,
    /// Streams end when the server does.
    pub closing: CancellationToken,
}

/// # Errors
/// What the engine cannot be opened for, unless its keys only are locked; `PortUnavailable` when the address cannot be listened on.
pub async fn run(host: Arc<dyn Host>, options: ServeOptions, instructor: bool, out: &Out) -> Result<()> {
    let locked = match host.engine().await {
        Ok(_) => false,
        Err(e) if e.code == Code::KeysLocked => true,
        Err(e) => return Err(e),
    };
    let listener = TcpListener::bind(options.listen).await.map_err(|e| {
        Error::new(Code::PortUnavailable, format!("{} cannot be listened on: {e}", options.listen))
            .hint("Choose another port, or 0 for any free one: --listen 127.0.0.1:0")
    })?;
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        out.progress(Ink::Warn, "This address can be reached from the network, without encryption: whoever can read the traffic can act as you.");
    }
    let door = Door::new(address, &options.hosts);
    let (url, token) = (door.url(), door.api_token().to_owned());
    let server = Arc::new(Server {
        host,
        instructor,
        door,
        health: health::Health::default(),
        closing: CancellationToken::new(),
    });
    out.answer(&serde_json::json!({"url": url, "token": token}), |out, _| {
        out.line(&url)?;
        out.progress(
            Ink::Dim,
            "Open this address in a browser; it lets one browser in. Ctrl-C ends the server, labs go on.",
        );
        if locked {
            out.progress(Ink::Warn, "Your keys are locked; the page asks for what opens them.");
        }
        Ok(())
    })?;
    let closing = server.closing.clone();
    let asked = async move {
        signal::asked_to_end().await;
        closing.cancel();
    };
    listen::serve(listener, router(server), asked).await;
    Ok(())
}

fn router(server: Arc<Server>) -> Router {
    let inside = Router::new()
        .route("/api/call/{command}", post(calls::call))
        .route("/api/spawn", post(calls::spawn))
        .route("/v1/spawn", post(calls::spawn))
        .route("/api/stream", get(stream::upgrade))
        .route("/api/{*rest}", any(calls::unknown))
        .route_layer(middleware::from_fn(listen::whole))
        .route_layer(middleware::from_fn_with_state(server.clone(), door::let_in));
    Router::new()
        .merge(inside)
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .fallback(get(page::page))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(middleware::from_fn_with_state(server.clone(), door::guard))
        .with_state(server)
}
