//! The forty ways out, as data: what is tried, and who must hear of it where it works.
//!
//! A try is a line for `try.pl`; words in braces are filled in by each world ([`super::aims`]). In the control world, on
//! an ordinary Docker bridge, everybody named in `heard` must hear it. In the lab nobody may.

use Ear::{Host, Neighbour, Target};

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ear {
    /// Every interface of the host's own network namespace.
    Host,
    /// A container on the control bridge that holds the addresses which stand for the world.
    Target,
    /// A machine on another network of the host.
    Neighbour,
    /// A node of another lab. In the control world the target stands for it.
    OtherLab,
    /// The links of the lab that is probed: proves that the prisoner really speaks there.
    Lab,
}

impl Ear {
    pub fn words(self) -> &'static str {
        match self {
            Self::Host => "the host",
            Self::Target => "the stand-in for the world",
            Self::Neighbour => "the machine next door",
            Self::OtherLab => "a node of another lab",
            Self::Lab => "the lab's own links",
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Try {
    pub line: &'static str,
    pub heard: &'static [Ear],
    /// An answer is proof too: needed in the control world, and an escape in the lab.
    pub answer: bool,
    /// Must not get through even in the control world: what a later try is compared with.
    pub silent: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Technique {
    pub id: &'static str,
    pub group: &'static str,
    pub words: &'static str,
    pub tries: &'static [Try],
}

const fn heard(line: &'static str, heard: &'static [Ear]) -> Try {
    Try { line, heard, answer: false, silent: false }
}

const fn answered(line: &'static str, heard: &'static [Ear]) -> Try {
    Try { line, heard, answer: true, silent: false }
}

const fn silent(line: &'static str) -> Try {
    Try { line, heard: &[], answer: false, silent: true }
}

const fn way(id: &'static str, group: &'static str, words: &'static str, tries: &'static [Try]) -> Technique {
    Technique { id, group, words, tries }
}

pub const IP: &str = "IP";
pub const DNS: &str = "DNS";
pub const IPV6: &str = "IPv6";
pub const LINK: &str = "Link layer and raw";
pub const LAB: &str = "Lab and daemon";

/// What is aimed at the host is heard at its own interfaces, before any firewall. What is aimed at the world is aimed at an
/// address that, in the control world, a container of ours holds; no packet of a control leaves this machine.
pub const TECHNIQUES: [Technique; 40] = [
    way(
        "gateway-tcp",
        IP,
        "TCP to the gateway of a Docker bridge",
        &[heard("tcp {gateway} {port} {from} plain", &[Host])],
    ),
    way("gateway-udp", IP, "UDP to the gateway of a Docker bridge", &[heard("udp {gateway} {port}", &[Host])]),
    way(
        "host-lan",
        IP,
        "The host's address on its LAN",
        &[heard("udp {lan} {port}", &[Host]), heard("tcp {lan} {port} {from} plain", &[Host])],
    ),
    way(
        "docker0",
        IP,
        "The host's address on docker0",
        &[heard("udp {docker0} {port}", &[Host]), heard("tcp {docker0} {port} {from} plain", &[Host])],
    ),
    way(
        "other-gateway",
        IP,
        "The gateway of another Docker bridge",
        &[heard("udp {other_gateway} {port}", &[Host]), heard("tcp {other_gateway} {port} {from} plain", &[Host])],
    ),
    way(
        "published-port",
        IP,
        "A port that the host publishes for a container",
        &[heard("tcp {gateway} {published} {from} plain", &[Host, Target])],
    ),
    way(
        "internet",
        IP,
        "An address of the internet",
        &[heard("tcp {internet} 80 {from} http", &[Host, Target]), heard("udp {internet} {port}", &[Host, Target])],
    ),
    way(
        "lan-neighbour",
        IP,
        "A machine on another network of the host",
        &[heard("udp {neighbour} {port}", &[Host, Target])],
    ),
    way(
        "metadata",
        IP,
        "The metadata service of clouds, 169.254.169.254",
        &[heard("tcp {metadata} 80 {from} http", &[Host, Target])],
    ),
    way(
        "desktop",
        IP,
        "Docker Desktop's 192.168.65.254 and host.docker.internal",
        &[heard("udp {desktop} {port}", &[Host, Target]), heard("host host.docker.internal {port}", &[Host, Target])],
    ),
    way(
        "icmp-tunnel",
        IP,
        "Data inside ICMP echo",
        &[heard("icmp {gateway}", &[Host]), heard("icmp {internet}", &[Host, Target])],
    ),
    way(
        "broadcast",
        IP,
        "Broadcast and multicast",
        &[
            heard("broadcast {port}", &[Host]),
            heard("udp 239.255.7.7 {port}", &[Host]),
            heard("udp 224.0.0.1 {port}", &[Host]),
        ],
    ),
    way(
        "other-protocols",
        IP,
        "SCTP, GRE and IPIP",
        &[heard("ip {gateway} 132", &[Host]), heard("ip {gateway} 47", &[Host]), heard("ip {gateway} 4", &[Host])],
    ),
    way(
        "docker-dns",
        DNS,
        "A question to Docker's resolver, 127.0.0.11",
        &[answered("dns 127.0.0.11 53 A", &[Host, Target])],
    ),
    way(
        "dns-txt",
        DNS,
        "Data in TXT questions to whichever resolver is named",
        &[answered("resolv TXT", &[Host, Target])],
    ),
    way("dns-tcp", DNS, "DNS over TCP", &[heard("tcp {resolver} 53 {from} dns", &[Host, Target])]),
    way(
        "dns-direct",
        DNS,
        "A question straight to a public resolver",
        &[heard("dns {resolver} 53 A", &[Host, Target])],
    ),
    way("dns-https", DNS, "DNS over HTTPS", &[heard("tls {resolver} 443", &[Host, Target])]),
    way(
        "mdns-llmnr",
        DNS,
        "mDNS and LLMNR",
        &[heard("udp 224.0.0.251 5353", &[Host]), heard("udp 224.0.0.252 5355", &[Host])],
    ),
    way(
        "search-domain",
        DNS,
        "A name in the search domain, through the C library",
        &[heard("lookup", &[Host, Target])],
    ),
    way("bridge-fe80", IPV6, "The link-local address of a Docker bridge", &[heard("udp {bridge6} {port}", &[Host])]),
    way("all-nodes", IPV6, "All nodes of the link, ff02::1", &[heard("udp ff02::1 {port}", &[Host])]),
    way("slaac", IPV6, "An outside router asked for a prefix (SLAAC)", &[answered("solicit", &[Host, Target])]),
    way("rogue-ra", IPV6, "A rogue router advertisement outwards", &[heard("frame ra", &[Host])]),
    way("6in4", IPV6, "IPv6 inside IPv4 (6in4)", &[heard("ip {gateway} 41", &[Host])]),
    way("mapped", IPV6, "An IPv4-mapped IPv6 address", &[heard("mapped {gateway} {port}", &[Host])]),
    way(
        "arp-spoof",
        LINK,
        "ARP that claims the host's addresses",
        &[heard("frame arp ff:ff:ff:ff:ff:ff {docker0}", &[Host]), heard("frame arp ff:ff:ff:ff:ff:ff {lan}", &[Host])],
    ),
    way("raw-frame", LINK, "A raw frame to a bridge's MAC address", &[heard("frame raw {bridge_mac}", &[Host])]),
    way(
        "weak-host",
        LINK,
        "One-way UDP to another of the host's addresses (weak host)",
        &[heard("frame udp {bridge_mac} {lan}", &[Host])],
    ),
    way("vlan", LINK, "A frame with a VLAN tag", &[heard("frame vlan {bridge_mac} {gateway}", &[Host])]),
    way("spoof", LINK, "Somebody else's MAC and IP addresses", &[heard("frame spoof {bridge_mac} {gateway}", &[Host])]),
    way("stp-lldp", LINK, "STP and LLDP outwards", &[heard("frame stp", &[Host]), heard("frame lldp", &[Host])]),
    way("macvlan", LINK, "A macvlan child of the interface", &[heard("macvlan {gateway} {port}", &[Host])]),
    way(
        "default-route",
        LINK,
        "A default route of one's own",
        &[heard("default {internet} {port} {next_hop}", &[Host, Target])],
    ),
    way("other-lab", LAB, "A node of another lab", &[heard("udp {other_lab} {port}", &[Host, Target])]),
    way(
        "pivot",
        LAB,
        "Through a neighbour with a leg in two networks",
        &[heard("route {pivot_end} {port} {pivots}", &[Host, Neighbour])],
    ),
    way(
        "docker-socket",
        LAB,
        "Docker's socket, and its ports 2375 and 2376",
        &[
            answered("unix {sockets}", &[Target]),
            heard("tcp {gateway} 2375 {from} docker", &[Host]),
            heard("tcp {gateway} 2376 {from} docker", &[Host]),
        ],
    ),
    way("vsock", LAB, "A socket to the hypervisor's host (AF_VSOCK)", &[answered("vsock {vsock}", &[Target])]),
    way("abstract-socket", LAB, "An abstract Unix socket of the host", &[answered("abstract {abstract}", &[Host])]),
    way(
        "firewall-flush",
        LAB,
        "After a firewall is flushed, as a restart of dockerd does: nothing may rest on rules",
        &[silent("wall {internet} {port}"), heard("flush {internet} {port}", &[Host, Target])],
    ),
];

/// How one try of one technique is told from all others: its world, its number and its letter.
pub fn key(world: char, technique: usize, attempt: usize) -> String {
    let letter = u8::try_from(attempt).ok().and_then(|n| b'a'.checked_add(n)).map_or('z', char::from);
    format!("{world}{:02}{letter}", technique + 1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn forty_of_them_each_with_a_control_that_can_fail() {
        let ids: BTreeSet<&str> = TECHNIQUES.iter().map(|t| t.id).collect();
        assert_eq!(ids.len(), 40);
        for t in &TECHNIQUES {
            assert!(!t.tries.is_empty() && t.tries.len() <= 26 && !t.words.is_empty(), "{}", t.id);
            assert!(t.tries.iter().any(|a| !a.heard.is_empty()), "{}: nobody would hear it", t.id);
            assert!(t.tries.iter().all(|a| a.silent == a.heard.is_empty()), "{}", t.id);
        }
    }

    #[test]
    fn keys_are_unique_and_of_one_length() {
        let keys: BTreeSet<String> = ['c', 'l']
            .into_iter()
            .flat_map(|w| {
                TECHNIQUES.iter().enumerate().flat_map(move |(t, x)| (0..x.tries.len()).map(move |a| key(w, t, a)))
            })
            .collect();
        assert_eq!(keys.len(), 2 * TECHNIQUES.iter().map(|t| t.tries.len()).sum::<usize>());
        assert!(keys.iter().all(|k| k.len() == 4));
        assert!(keys.contains("l40b"));
    }
}
