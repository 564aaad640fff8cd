//! A node's TCP port on 127.0.0.1, on request: inbound only. Each connection is carried by a relay in the fabric that enters
//! the node's network namespace; the node gets no way out by it.

use super::live::Live;
use crate::engine::ExecStream;
use crate::error::{Code, Error, Result};
use futures_util::StreamExt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Connections open at the same time; more wait.
const PARALLEL: usize = 64;

/// An open forward. Closed, with its connections, when it is dropped.
pub struct Forwarder {
    pub node: String,
    pub port: u16,
    local: SocketAddr,
    connections: Arc<AtomicU64>,
    _stop: DropGuard,
}

impl Forwarder {
    /// Listens on 127.0.0.1 at a port the system chooses. `Code::PortUnavailable` when it has none to give.
    pub async fn open(live: Arc<Live>, node: &str, port: u16) -> Result<Self> {
        live.node(node)?;
        if port == 0 {
            return Err(Error::new(Code::InvalidInput, "TCP ports go from 1 to 65535."));
        }
        let unavailable = |e: std::io::Error| {
            Error::new(Code::PortUnavailable, format!("No local port could be opened: {e}"))
                .hint("Close a forward or another program that holds many connections.")
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(unavailable)?;
        let local = listener.local_addr().map_err(unavailable)?;
        let cancel = CancellationToken::new();
        let connections = Arc::new(AtomicU64::new(0));
        let accepting = accept(listener, live, node.to_string(), port, connections.clone(), cancel.clone());
        let stop = cancel.clone().drop_guard();
        tokio::spawn(async move { cancel.run_until_cancelled(accepting).await });
        Ok(Self { node: node.into(), port, local, connections, _stop: stop })
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    live: Arc<Live>,
    node: String,
    port: u16,
    connections: Arc<AtomicU64>,
    cancel: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(PARALLEL));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of descriptors, mostly: waiting is all that helps.
                tracing::warn!(%error, node, port, "a connection to a forward was not accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
        };
        connections.fetch_add(1, Ordering::Relaxed);
        let (live, node, cancel) = (live.clone(), node.clone(), cancel.clone());
        tokio::spawn(async move {
            let carried = cancel.run_until_cancelled(carry(&live, &node, port, stream)).await;
            if let Some(Err(error)) = carried {
                tracing::debug!(%error, node, port, "a forwarded connection ended");
            }
            drop(place);
        });
    }
}

async fn carry(live: &Live, node: &str, port: u16, mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let relay = live.at(node, |place| async move { live.fabric.relay(&place, port).await }).await?;
    let ExecStream { mut input, mut output, .. } = relay;
    let (mut from_client, mut to_client) = stream.split();
    let upwards = async {
        let copied = tokio::io::copy(&mut from_client, &mut input).await;
        // The client may only have finished sending: hand that on and keep listening to the node.
        let closed = input.shutdown().await;
        copied.map(drop).and(closed)
    };
    let downwards = async {
        while let Some(chunk) = output.next().await {
            match chunk? {
                (1, bytes) => to_client.write_all(&bytes).await?,
                // The relay says why it gave up; whoever connected sees the connection close.
                (_, bytes) => tracing::info!(node, port, text = %String::from_utf8_lossy(&bytes).trim_end(), "forward"),
            }
        }
        to_client.shutdown().await?;
        Ok::<_, Error>(())
    };
    // The end of the node's side ends it; the end of the client's side alone does not.
    tokio::select! {
        done = downwards => done,
        never = async { if let Err(error) = upwards.await { tracing::debug!(%error, "client side of a forward") }; std::future::pending().await } => never,
    }
}
