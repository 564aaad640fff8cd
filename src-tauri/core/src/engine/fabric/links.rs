//! A run's links: their bridges, what they do to packets, the nodes' ends of them, and cutting one.

use super::wiring::{self, Bridge};
use super::{FIRST_HANDLE, Fabric, OUTPUT_CAP, Place, Request, Wiring, text};
use crate::error::{Code, Error, Result};
use std::fmt::Write;
use std::time::Duration;

impl Fabric {
    /// Whether this kernel has sch_netem; asked once.
    pub async fn has_netem(&self) -> Result<bool> {
        self.netem
            .get_or_try_init(|| async {
                let probe = "tc qdisc replace dev lo root netem limit 1 && tc qdisc del dev lo root";
                Ok(self.script(None, probe, &[], Duration::from_secs(5)).await?.exit == 0)
            })
            .await
            .copied()
    }

    /// Sets up all bridges of a run in one round trip (two with loss that only nft can make).
    /// `Code::MachineLacks` when an impairment cannot be made on this kernel.
    pub async fn lay(&self, bridges: &[Bridge]) -> Result<()> {
        if bridges.is_empty() {
            return Ok(());
        }
        let netem = self.netem_for(bridges.iter().map(|b| &b.shape)).await?;
        let losses: Vec<(String, f64)> = bridges
            .iter()
            .filter(|b| b.shape.needs_nft(netem))
            .flat_map(|b| b.ports.iter().map(|p| (p.name(), b.shape.loss_percent.unwrap_or(0.0))))
            .collect();
        let request = Request {
            op: "exec",
            limit: Duration::from_secs(20),
            cap: OUTPUT_CAP,
            stdin: wiring::bridges(bridges).into(),
            args: ["ip", "-batch", "-"].map(Into::into).into(),
            ..Request::default()
        };
        let answer = self.call(&request, false).await?;
        if answer.exit != 0 {
            return Err(Error::new(Code::MachineLacks, format!("A link cannot be set up: {}", text(&answer.stderr)))
                .hint("The kernel needs the modules veth and bridge; `forge doctor` tests both."));
        }
        if !losses.is_empty() {
            let rules = wiring::loss_rules(&losses);
            let ran = self.run(None, &[], &["nft", "-f", "-"], rules.as_bytes(), Duration::from_secs(10)).await?;
            if ran.exit != 0 {
                return Err(lacks_netem("packet loss (neither sch_netem nor nft in the bridge family)"));
            }
        }
        Ok(())
    }

    async fn netem_for(&self, shapes: impl Iterator<Item = &wiring::Shape>) -> Result<bool> {
        let shapes: Vec<_> = shapes.filter(|s| **s != wiring::Shape::default()).collect();
        if shapes.is_empty() {
            return Ok(false);
        }
        let netem = self.has_netem().await?;
        if !netem && shapes.iter().any(|s| s.needs_netem()) {
            return Err(lacks_netem("delay (the kernel module sch_netem)"));
        }
        Ok(netem)
    }

    /// Wires a node: ports, interfaces, addresses, default route, and the mark its init waits for. Once per
    /// start of the node, whoever asks and however often: false when somebody had done it already.
    pub async fn wire(&self, place: &Place, wiring: &Wiring<'_>) -> Result<bool> {
        let Wiring { ports, gateway, again, owners } = *wiring;
        let netem = self.netem_for(ports.iter().map(|p| &p.shape)).await?;
        let shape = ports.iter().fold(String::new(), |all, p| all + &p.shape.tc(&p.name(), netem));
        let offload: Vec<_> = ports.iter().filter(|p| p.checksum_off).map(|p| p.interface.as_str()).collect();
        let args = [
            place.node.clone(),
            if again { wiring::leftovers(ports) } else { String::new() },
            wiring::outside(ports, &format!("/proc/self/fd/{FIRST_HANDLE}")),
            shape,
            wiring::inside(ports, gateway),
            offload.join(","),
            owners.iter().map(|(owner, path)| format!("{owner} {path}")).collect::<Vec<_>>().join("\n"),
        ];
        let request = Request {
            op: "wire",
            limit: Duration::from_secs(20),
            cap: OUTPUT_CAP,
            target: place.target(),
            args: args.into_iter().map(String::into_bytes).collect(),
            ..Request::default()
        };
        let answer = self.demand(&format!("wiring {}", place.node), request).await?;
        Ok(answer.stdout == b"wired")
    }

    /// Takes a link's ports down (carrier is lost in the nodes, who cannot undo it) or up again. Survives node restarts.
    pub async fn cut(&self, bridge: &Bridge, down: bool) -> Result<()> {
        let (index, state) = (bridge.index, if down { "down" } else { "up" });
        let mark = if down { "touch" } else { "rm -f" };
        let mut script = format!("{mark} /tmp/forge-cut-{index}\n");
        for port in &bridge.ports {
            // A port may be missing while its node restarts; wiring will heed the mark.
            let _ = writeln!(script, "[ ! -e /sys/class/net/{0} ] || ip link set {0} {state} || exit 1", port.name());
        }
        let ran = self.script(None, &script, &[], Duration::from_secs(10)).await?;
        match ran.exit {
            0 => Ok(()),
            _ => Err(Error::new(Code::DockerFailed, format!("link {}: {}", bridge.link, text(&ran.stderr)))),
        }
    }
}

fn lacks_netem(what: &str) -> Error {
    Error::new(
        Code::MachineLacks,
        format!("This lab impairs a link in a way this machine's kernel cannot: it lacks {what}."),
    )
    .hint("Docker Desktop and the kernels of most distributions have it; `forge doctor` shows what is missing here.")
}
