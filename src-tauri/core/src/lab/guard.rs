//! What no network namespace keeps in. A node that holds NET_ADMIN can make the *host's* network stack answer for it: a packet
//! waits for the link-layer address of its next hop, its route is deleted, and three seconds later the kernel sends an ICMP “host
//! unreachable” that quotes the packet, from the host, to a source address of the sender's choice. (A deleted route's
//! device becomes `blackhole_netdev`, which belongs to the initial network namespace; measured on Linux 6.18.) No container's
//! own rules are asked, so a rule of the host must refuse it.
//!
//! That rule lives exactly as long as labs do: one container for each Docker engine, whoever's labs run there, in the host's
//! network namespace with NET_ADMIN alone (`guard.pl`). It carries no installation's label since it belongs to all; it ends by itself
//! half a minute after the last fabric, and the kernel takes the rule back with it, however it ends.

use crate::api::IsolationRow;
use crate::engine::fabric::Fabric;
use crate::engine::{Container, ContainerSpec, ContainerState, Engine, label};
use crate::error::{Code, Error, Result};
use std::time::Duration;

const PROGRAM: &str = include_str!("guard.pl");
const NAME: &str = "forge-guard";
const KIND: &str = "guard";
/// From a container that starts to a rule that holds.
const HOLDS: Duration = Duration::from_secs(10);
/// How often a guard is looked for, and how long another process may take to start the one it has created.
const LOOKS: u32 = 20;
const PAUSE: Duration = Duration::from_millis(150);

fn spec(image: &str) -> ContainerSpec {
    ContainerSpec {
        name: NAME.into(),
        image: image.into(),
        labels: [(label::KIND.to_owned(), KIND.to_owned())].into(),
        command: ["--now", "perl", "-e", PROGRAM].map(String::from).into(),
        caps: vec!["NET_ADMIN".into()],
        memory_bytes: Some(64 << 20),
        pids: 64,
        nofile: 1024,
        host_pid: true,
        host_net: true,
        fleeting: true,
        ..ContainerSpec::default()
    }
}

async fn found(engine: &dyn Engine) -> Result<Option<Container>> {
    Ok(engine.list(&[(label::KIND, KIND)]).await?.into_iter().next())
}

/// The id of the guard that runs, started if there is none. Any number of processes may ask at once: its name is taken once.
pub async fn ensure(engine: &dyn Engine, image: &str) -> Result<String> {
    let mut last = None;
    for look in 0..LOOKS {
        match found(engine).await? {
            Some(guard) if guard.state == ContainerState::Running => return Ok(guard.id),
            // Somebody is about to start it, or has died before doing so.
            Some(guard) if guard.state == ContainerState::Created && look < LOOKS / 2 => {}
            Some(guard) => engine.remove(&guard.id).await?,
            None => match begin(engine, image).await {
                Ok(id) => return Ok(id),
                // Another process was first, or ours was removed before it started.
                Err(error) => last = Some(error),
            },
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(last
        .unwrap_or_else(|| Error::new(Code::Timeout, "The guard container could not be started."))
        .context("the guard"))
}

async fn begin(engine: &dyn Engine, image: &str) -> Result<String> {
    let id = engine.create(&spec(image)).await?;
    engine.start(&id).await?;
    Ok(id)
}

/// Waits until the rule of this guard is in the host's packet filter. One that went away meanwhile (its time was just over) is
/// started anew.
pub async fn hold(engine: &dyn Engine, fabric: &Fabric, guard: &str, image: &str) -> Result<IsolationRow> {
    match fabric.guarded(guard, HOLDS).await {
        Ok(()) => {}
        Err(error) if error.code == Code::WrongState => {
            let guard = ensure(engine, image).await?;
            fabric.guarded(&guard, HOLDS).await?;
        }
        Err(error) => return Err(error),
    }
    Ok(row(None))
}

/// The same question about a lab that runs, without mending anything.
pub async fn look(engine: &dyn Engine, fabric: &Fabric) -> Result<IsolationRow> {
    let Some(guard) = found(engine).await?.filter(|g| g.state == ContainerState::Running) else {
        return Ok(row(Some(
            "the guard does not run; it returns within seconds while an app or `forge` keeps the lab".into(),
        )));
    };
    Ok(row(fabric.guarded(&guard.id, Duration::ZERO).await.err().map(|e| e.message)))
}

/// True when labs run that nobody guards: somebody removed the container.
pub async fn missing(engine: &dyn Engine) -> Result<bool> {
    Ok(!found(engine).await?.is_some_and(|g| g.state == ContainerState::Running))
}

fn row(open: Option<String>) -> IsolationRow {
    IsolationRow {
        id: "kernel-answers".into(),
        group: "By construction".into(),
        technique: "An ICMP message that the host's own kernel sends for a node".into(),
        control: true,
        escaped: open.is_some(),
        detail: open.unwrap_or_else(|| "the host's packet filter refuses it as long as labs run".into()),
    }
}
