//! Where the host is, from what `ip -j` says in its network namespace. Pure.

use super::aims::Host;
use crate::error::{Code, Error, Result};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

#[derive(Clone, Debug, Deserialize)]
pub struct Link {
    ifname: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    addr_info: Vec<Address>,
}

#[derive(Clone, Debug, Deserialize)]
struct Address {
    #[serde(default)]
    local: Option<IpAddr>,
    #[serde(default)]
    scope: String,
}

#[derive(Deserialize)]
struct Route {
    #[serde(default)]
    dev: Option<String>,
}

pub fn links(json: &[u8]) -> Result<Vec<Link>> {
    serde_json::from_slice(json).map_err(|e| Error::internal(format!("the host's addresses cannot be read: {e}")))
}

/// The device of the first default route. None on a machine without a network, which is a place to practise too.
pub fn default_device(json: &[u8]) -> Result<Option<String>> {
    if json.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let routes: Vec<Route> =
        serde_json::from_slice(json).map_err(|e| Error::internal(format!("the host's routes cannot be read: {e}")))?;
    Ok(routes.into_iter().find_map(|r| r.dev))
}

fn global4(link: &Link) -> Option<Ipv4Addr> {
    link.addr_info.iter().filter(|a| a.scope == "global").find_map(|a| match a.local {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    })
}

/// Without a LAN (or a docker0) the next best address of the host stands in: every one of them is its own.
pub fn host(
    links: &[Link],
    way: Option<&str>,
    bridge: &str,
    gateway: Ipv4Addr,
    other_gateway: Ipv4Addr,
    neighbour: Ipv4Addr,
) -> Result<Host> {
    let named = |name: &str| links.iter().find(|l| l.ifname == name);
    let street = named(bridge).ok_or_else(|| {
        Error::new(Code::MachineLacks, format!("The host's network namespace has no {bridge}."))
            .hint("The probe needs an engine whose host network is where its bridges are.")
    })?;
    let bridge6 = street.addr_info.iter().filter(|a| a.scope == "link").find_map(|a| match a.local {
        Some(IpAddr::V6(address)) => Some(address.to_string()),
        _ => None,
    });
    let ours = |l: &&Link| l.ifname == "lo" || ["docker", "br-", "veth"].iter().any(|p| l.ifname.starts_with(p));
    let docker0 = named("docker0").and_then(global4).unwrap_or(gateway);
    let lan = way.and_then(named).and_then(global4);
    let lan = lan.or_else(|| links.iter().filter(|l| !ours(l)).find_map(global4)).unwrap_or(docker0);
    Ok(Host {
        gateway,
        bridge_mac: street.address.clone(),
        // A host without IPv6 has none; then the control says so, because nobody hears it.
        bridge6: bridge6.unwrap_or_else(|| "fe80::1".into()),
        other_gateway,
        docker0,
        lan,
        neighbour,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    const ADDRESSES: &str = r#"[
        {"ifname":"lo","address":"00:00:00:00:00:00","addr_info":[{"family":"inet","local":"127.0.0.1","scope":"host"}]},
        {"ifname":"wlan0","address":"aa:aa:aa:aa:aa:aa","addr_info":[{"local":"10.1.1.5","scope":"global"}]},
        {"ifname":"eth0","address":"aa:aa:aa:aa:aa:ab","addr_info":[{"local":"10.2.2.5","scope":"global"}]},
        {"ifname":"docker0","address":"02:42:00:00:00:00","addr_info":[{"local":"172.17.0.1","scope":"global"}]},
        {"ifname":"br-0123456789ab","address":"02:42:00:00:00:01","addr_info":[
            {"local":"172.30.0.1","scope":"global"},{"local":"fe80::42","scope":"link"}]},{}]"#;

    fn at(way: Option<&str>, text: &str) -> Result<Host> {
        let four = |d| Ipv4Addr::new(172, 30, d, 1);
        host(&links(text.as_bytes())?, way, "br-0123456789ab", four(0), four(1), four(2))
    }

    #[test]
    fn the_host_is_found_with_and_without_a_lan() {
        let text = ADDRESSES.replace(",{}]", "]");
        let online = at(Some("eth0"), &text).unwrap();
        assert_eq!((online.lan.to_string().as_str(), online.docker0.to_string().as_str()), ("10.2.2.5", "172.17.0.1"));
        assert_eq!((online.bridge_mac.as_str(), online.bridge6.as_str()), ("02:42:00:00:00:01", "fe80::42"));
        assert_eq!(at(None, &text).unwrap().lan.to_string(), "10.1.1.5");
        let alone = text.replace("\"global\"", "\"site\"");
        let alone = at(None, &alone).unwrap();
        assert_eq!((alone.lan, alone.docker0), (alone.gateway, alone.gateway));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        assert_eq!(links(b"not json").unwrap_err().code, Code::Internal);
        let elsewhere = ADDRESSES.replace(",{}]", "]").replace("br-0123456789ab", "br-other");
        assert_eq!(at(None, &elsewhere).unwrap_err().code, Code::MachineLacks);
        assert_eq!(default_device(b"").unwrap(), None);
        assert_eq!(default_device(b"[]\n").unwrap(), None);
        assert_eq!(
            default_device(br#"[{"dst":"default","gateway":"10.0.0.1","dev":"eth0"}]"#).unwrap().as_deref(),
            Some("eth0")
        );
    }
}
