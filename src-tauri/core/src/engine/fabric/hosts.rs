//! A host nobody has seen before: a fresh network namespace in the fabric, joined to a link's bridge for as long as a
//! check needs it.

use super::wiring::bridge_name;
use super::{Fabric, Place, text};
use crate::error::{Code, Error, Result};
use ipnet::IpNet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Leaves when it is dropped, or at the latest when its time is over, whatever becomes of us.
pub struct UnseenHost {
    fabric: Arc<Fabric>,
    place: Place,
}

impl UnseenHost {
    /// Joins link number `link` with this address; it stays for `stay` at most. Its MAC address is a random one.
    pub async fn join(
        fabric: &Arc<Fabric>,
        link: usize,
        address: IpNet,
        gateway: Option<IpAddr>,
        stay: Duration,
    ) -> Result<Self> {
        let script = join_script(link, address, gateway, stay.as_secs() + 5);
        let ran = fabric.script(None, &script, &[], Duration::from_secs(10)).await?;
        let pid = text(&ran.stdout).parse().ok().filter(|_| ran.exit == 0).ok_or_else(|| {
            let why = text(&ran.stderr);
            Error::new(Code::DockerFailed, format!("An unseen host could not join with {address}: {why}"))
        })?;
        // The holder lives in the fabric's own container, which is what the broker's guard compares then.
        let place = Place { node: String::new(), container: "self".into(), pid };
        Ok(Self { fabric: fabric.clone(), place })
    }

    pub fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for UnseenHost {
    fn drop(&mut self) {
        // Without a runtime the process is ending, and the holder's own time limit does it.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (fabric, pid) = (self.fabric.clone(), self.place.pid);
        runtime.spawn(async move {
            let script = format!("ip link del u{pid}; kill {pid}");
            if let Err(error) = fabric.script(None, &script, &[], Duration::from_secs(5)).await {
                tracing::debug!(%error, "an unseen host stays until its time is over");
            }
        });
    }
}

/// The holder is a `sleep` in a session of its own, so that it outlives this script; its port is named after its pid.
/// The kernel opens a port (state 3, `BR_STATE_FORWARDING`) in a work queue of its own, late on a busy machine, and what is sent
/// before is lost: it is waited for, up to a second, since the port of a segment that is cut never opens.
fn join_script(link: usize, address: IpNet, gateway: Option<IpAddr>, seconds: u64) -> String {
    let dad = if address.addr().is_ipv6() { " nodad" } else { "" };
    let route = gateway.map(|g| {
        let family = if g.is_ipv6() { "-6 " } else { "" };
        format!("{family}route add default via {g}\n")
    });
    format!(
        "set -e\nmine=$(readlink /proc/self/ns/net)\nsetsid unshare -n sleep {seconds} </dev/null >/dev/null 2>&1 &\nh=$!\n\
         n=0\nwhile [ \"$(readlink /proc/$h/ns/net)\" = \"$mine\" ]; do n=$((n+1)); [ $n -lt 200 ]; sleep 0.005; done\n\
         trap 'kill $h' EXIT\n\
         ip link add u$h type veth peer name eth0 netns $h\nip link set u$h master {} up\n\
         nsenter -t $h -n ip -batch - <<'BATCH'\nlink set lo up\naddr add {address} dev eth0{dad}\nlink set eth0 up\n{}BATCH\n\
         n=0\nuntil [ $n -ge 200 ] || [ \"$(cat /sys/class/net/u$h/brport/state)\" = 3 ]; do n=$((n+1)); sleep 0.005; done\n\
         trap - EXIT\necho $h\n",
        bridge_name(link),
        route.unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn an_unseen_host_gets_its_address_and_route() {
        let script = join_script(2, "10.0.0.9/24".parse().unwrap(), Some("10.0.0.1".parse().unwrap()), 15);
        assert!(script.contains("unshare -n sleep 15"));
        assert!(script.contains("master b2 up"));
        assert!(script.contains("addr add 10.0.0.9/24 dev eth0\n"));
        assert!(script.contains("route add default via 10.0.0.1\nBATCH\n"));
        let six = join_script(0, "fd00::9/64".parse().unwrap(), None, 5);
        assert!(six.contains("addr add fd00::9/64 dev eth0 nodad\n") && !six.contains("default"));
    }
}
