//! What each world's tries are aimed at: from the table's lines to lines for `try.pl`, and to what the ears must know.

use super::table::{TECHNIQUES, key};
use crate::error::{Error, Result};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// Addresses that stand for the world. A container of ours holds them on the control bridge, and nobody anywhere else:
/// kept for documentation (RFC 5737), for shared networks (RFC 6598) or by the services themselves.
pub const INTERNET: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 77);
pub const RESOLVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
pub const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
pub const DESKTOP: Ipv4Addr = Ipv4Addr::new(192, 168, 65, 254);
pub const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 99);
pub const OTHER_LAB: Ipv4Addr = Ipv4Addr::new(100, 64, 99, 2);
pub const STAND_INS: [Ipv4Addr; 6] = [INTERNET, RESOLVER, METADATA, DESKTOP, NEIGHBOUR, OTHER_LAB];

/// Where sockets of daemons lie; the last is the control world's own.
pub const SOCKETS: [&str; 7] = [
    "/var/run/docker.sock",
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/proc/1/root/run/docker.sock",
    CONTROL_SOCKET,
];
pub const CONTROL_SOCKET: &str = "/srv/control/docker.sock";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    Control,
    Lab,
}

impl World {
    pub fn letter(self) -> char {
        match self {
            Self::Control => 'c',
            Self::Lab => 'l',
        }
    }
}

/// Numbers drawn for one probe, so that nothing heard can be anybody else's.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// Ten letters.
    pub prefix: String,
    pub port: u16,
    pub published: u16,
    /// The first of the source ports; each try has its own.
    pub from: u16,
    pub vsock: u32,
}

impl Drawn {
    /// From 128 random bits.
    pub fn from_bits(bits: u128) -> Self {
        let letters = (0..10).map(|i| char::from(b'a' + ((bits >> (i * 8)) & 0xff) as u8 % 26));
        let high = (bits >> 80) as u64;
        let port = |shift: u32, base: u16, span: u64| base + ((high >> shift) % span) as u16;
        Self {
            prefix: letters.collect(),
            port: port(0, 40_000, 5_000),
            published: port(13, 46_000, 5_000),
            from: port(26, 20_000, 10_000),
            vsock: 0x1000_0000 | (high >> 16) as u32 & 0x0fff_ffff,
        }
    }
}

/// The host as the probe found it.
#[derive(Clone, Debug)]
pub struct Host {
    pub gateway: Ipv4Addr,
    pub bridge_mac: String,
    pub bridge6: String,
    pub other_gateway: Ipv4Addr,
    pub docker0: Ipv4Addr,
    pub lan: Ipv4Addr,
    /// Lives on the host's other network.
    pub neighbour: Ipv4Addr,
}

/// What differs between the worlds.
#[derive(Clone, Debug)]
pub struct Aims {
    pub world: World,
    pub neighbour: Ipv4Addr,
    pub next_hop: Ipv4Addr,
    /// `ADDRESS`, or `ADDRESS@INTERFACE` where it is in reach of that one alone.
    pub pivots: Vec<String>,
    pub vsock: u32,
}

/// Lines for `try.pl`, without the head, and the connections the host's ear must know by their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    pub lines: Vec<String>,
    pub syns: Vec<String>,
}

pub fn script(host: &Host, aims: &Aims, drawn: &Drawn) -> Result<Script> {
    let mut values: BTreeMap<&str, String> = [
        ("gateway", host.gateway.to_string()),
        ("lan", host.lan.to_string()),
        ("docker0", host.docker0.to_string()),
        ("other_gateway", host.other_gateway.to_string()),
        ("bridge_mac", host.bridge_mac.clone()),
        ("bridge6", host.bridge6.clone()),
        ("published", drawn.published.to_string()),
        ("port", drawn.port.to_string()),
        ("internet", INTERNET.to_string()),
        ("resolver", RESOLVER.to_string()),
        ("metadata", METADATA.to_string()),
        ("desktop", DESKTOP.to_string()),
        ("other_lab", OTHER_LAB.to_string()),
        ("neighbour", aims.neighbour.to_string()),
        ("next_hop", aims.next_hop.to_string()),
        ("pivots", aims.pivots.join(" ")),
        ("pivot_end", host.neighbour.to_string()),
        ("sockets", SOCKETS.join(" ")),
        ("vsock", aims.vsock.to_string()),
        ("abstract", abstract_name(drawn)),
    ]
    .into();
    let mut out = Script::default();
    let mut from = drawn.from + if aims.world == World::Lab { 200 } else { 0 };
    for (number, technique) in TECHNIQUES.iter().enumerate() {
        for (letter, attempt) in technique.tries.iter().enumerate() {
            let key = key(aims.world.letter(), number, letter);
            from += 1;
            values.insert("from", from.to_string());
            let line = filled(attempt.line, &values)?;
            let words: Vec<&str> = line.split(' ').collect();
            if let ["tcp", to, port, ..] = words.as_slice() {
                out.syns.push(format!("syn {to} {from} {port} {key}"));
            }
            out.lines.push(format!("{key} {line}"));
        }
    }
    Ok(out)
}

/// In the abstract namespace of whoever listens or connects.
pub fn abstract_name(drawn: &Drawn) -> String {
    format!("forge-probe-{}", drawn.port)
}

fn filled(line: &str, values: &BTreeMap<&str, String>) -> Result<String> {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').ok_or_else(|| Error::internal(format!("a brace is open: {line}")))?;
        let value = values.get(name).ok_or_else(|| Error::internal(format!("nothing is known as {name}: {line}")))?;
        out.push_str(before);
        out.push_str(value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    pub fn host() -> Host {
        Host {
            gateway: Ipv4Addr::new(172, 30, 0, 1),
            bridge_mac: "02:42:00:00:00:01".into(),
            bridge6: "fe80::1".into(),
            other_gateway: Ipv4Addr::new(172, 31, 0, 1),
            docker0: Ipv4Addr::new(172, 17, 0, 1),
            lan: Ipv4Addr::new(10, 1, 2, 3),
            neighbour: Ipv4Addr::new(172, 31, 0, 2),
        }
    }

    fn aims(world: World) -> Aims {
        Aims { world, neighbour: NEIGHBOUR, next_hop: INTERNET, pivots: vec!["172.30.0.9".into()], vsock: 7 }
    }

    #[test]
    fn every_line_is_filled_and_no_two_connections_look_alike() {
        let drawn = Drawn::from_bits(u128::MAX / 3);
        let control = script(&host(), &aims(World::Control), &drawn).unwrap();
        let lab = script(&host(), &aims(World::Lab), &drawn).unwrap();
        assert_eq!(control.lines.len(), lab.lines.len());
        for line in control.lines.iter().chain(&lab.lines) {
            assert!(!line.contains(['{', '}']), "{line}");
            // What travels to the containers may pass the host's interfaces itself when Docker is spoken to over TCP.
            assert!(!line.contains(&drawn.prefix), "{line}");
        }
        let mut numbers: Vec<&str> =
            control.syns.iter().chain(&lab.syns).map(|s| s.rsplit_once(' ').unwrap().0).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count);
        assert!(control.lines[0].starts_with("c01a tcp 172.30.0.1 "));
        assert!(lab.syns[0].starts_with("syn 172.30.0.1 ") && lab.syns[0].ends_with(" l01a"));
    }

    #[test]
    fn what_is_drawn_fits_its_fields() {
        for bits in [0, u128::MAX, 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef] {
            let drawn = Drawn::from_bits(bits);
            assert!(drawn.prefix.len() == 10 && drawn.prefix.bytes().all(|b| b.is_ascii_lowercase()));
            assert!((40_000..45_000).contains(&drawn.port) && (46_000..51_000).contains(&drawn.published));
            assert!((20_000..31_000).contains(&drawn.from) && drawn.vsock > 1 << 20);
        }
    }
}
