//! The egress gateway, as pure text: which packets its filter lets through ([`ruleset`]), which names its resolver answers
//! ([`startup`]), and what the kernel says of both ([`verify`], [`drops`]). No process, no clock, no Docker.
//!
//! Two programs decide together, and each alone is not enough to get out. The resolver (dnsmasq) answers allowed names and
//! enters their addresses into timed sets; the filter lets packets through to what is in a set, on that entry's ports, and lets the
//! resolver ask its upstream nothing but allowed names, byte for byte. Private, local and LAN addresses are refused
//! before any set is looked at.

mod answers;
mod listing;
mod questions;
mod rules;

pub use answers::{Refusal, refusals};
pub use listing::{Drops, Seen, drops, verify};
pub use rules::ruleset;

use ipnet::Ipv4Net;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// What Docker calls the first interface of a container on a network.
pub const LEG: &str = "eth0";
/// Ours in the gateway's network namespace; nobody else makes one there.
pub const TABLE: &str = "forge";
/// Names that a profile may open at most, and leading wildcards among them: each costs rules.
pub const MOST_NAMES: usize = 64;
pub const MOST_WILDCARDS: usize = 8;
/// How long a label may be where a profile has a wildcard: enough for names that are names, little for smuggling.
pub const WILD_LABEL: u8 = 20;

/// An address stays open this long after its name was last new to the set; answers live shorter, so that a client asks
/// again before.
const OPEN_SECONDS: u32 = 3600;
const ANSWER_SECONDS: u32 = 60;

/// Everything the gateway of one run is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// The gateway's ends in the lab: interface, its own address and subnet.
    pub inside: Vec<(String, Ipv4Net)>,
    pub openings: Vec<Opening>,
    /// Whom the gateway's resolver asks. The one kind of address that may be private.
    pub resolvers: Vec<Ipv4Addr>,
    /// Networks the laptop itself is on.
    pub near: Vec<Ipv4Net>,
}

/// Names with the ports that are open towards them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Lower case; exact, or `*.` and the rest for one label in its place.
    pub names: Vec<String>,
    pub tcp: Vec<u16>,
    pub udp: Vec<u16>,
}

/// Why a packet was dropped. The number marks it on its way through the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    Private = 1,
    Port = 2,
    Resolver = 3,
    Destination = 4,
    Ipv6 = 5,
    Source = 6,
    Inbound = 7,
    Name = 8,
    Gateway = 9,
}

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::Private,
        Self::Port,
        Self::Resolver,
        Self::Destination,
        Self::Ipv6,
        Self::Source,
        Self::Inbound,
        Self::Name,
        Self::Gateway,
    ];

    /// Its counter's name, and the word events and evidence have for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Port => "port",
            Self::Resolver => "resolver",
            Self::Destination => "destination",
            Self::Ipv6 => "ipv6",
            Self::Source => "source",
            Self::Inbound => "inbound",
            Self::Name => "name",
            Self::Gateway => "gateway",
        }
    }

    pub fn words(self) -> &'static str {
        match self {
            Self::Private => "private, local and LAN addresses are never open",
            Self::Port => "the profile does not open this port",
            Self::Resolver => "only the gateway's own resolver may be asked",
            Self::Destination => "no allowed name has this address",
            Self::Ipv6 => "nothing leaves by IPv6",
            Self::Source => "the sender is not on the gateway's segment",
            Self::Inbound => "nothing comes in unasked",
            Self::Name => "the profile does not open this name, or not this question about it",
            Self::Gateway => "the gateway itself answers DNS and nothing else",
        }
    }
}

/// Never reached, whatever a profile or a resolver says (IANA's special-purpose addresses, multicast, and all above).
/// 198.18.0.0/15 is missing on purpose: it is nobody's LAN, and where transparent proxies put the names they carry.
const NEVER: [(u8, u8, u8, u8, u8); 12] = [
    (0, 0, 0, 0, 8),
    (10, 0, 0, 0, 8),
    (100, 64, 0, 0, 10),
    (127, 0, 0, 0, 8),
    (169, 254, 0, 0, 16),
    (172, 16, 0, 0, 12),
    (192, 0, 0, 0, 24),
    (192, 0, 2, 0, 24),
    (192, 88, 99, 0, 24),
    (192, 168, 0, 0, 16),
    (198, 51, 100, 0, 24),
    (203, 0, 113, 0, 24),
];

impl Exit {
    /// Sorted, without overlaps: the filter takes no others.
    pub fn never(&self) -> Vec<Ipv4Net> {
        let fixed = NEVER.iter().filter_map(|(a, b, c, d, len)| Ipv4Net::new(Ipv4Addr::new(*a, *b, *c, *d), *len).ok());
        let above = Ipv4Net::new(Ipv4Addr::new(224, 0, 0, 0), 3).ok();
        let all: Vec<Ipv4Net> =
            fixed.chain(above).chain(self.near.iter().map(Ipv4Net::trunc).filter(|n| n.prefix_len() > 0)).collect();
        Ipv4Net::aggregate(&all)
    }

    /// The addresses under which lab nodes find the resolver.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.inside.iter().map(|(_, net)| net.addr())
    }
}

/// The set that an opening's addresses go to.
fn set(opening: usize) -> String {
    format!("open{opening}")
}

/// Shell text that starts the resolver and fails if it does not start. It gives root up and keeps NET_ADMIN, for the sets.
pub fn startup(exit: &Exit) -> String {
    format!("dnsmasq --conf-file=- <<'FORGE'\n{}FORGE\n", resolver(exit))
}

/// dnsmasq(8). No cache: an answer from it would not enter the sets again.
fn resolver(exit: &Exit) -> String {
    let mut out = String::from(
        "user=nobody\npid-file=\nlog-facility=-\nlog-queries=extra\nno-resolv\nno-hosts\nno-ident\nbind-interfaces\nno-dhcp-interface=*\n\
         cache-size=0\ndns-forward-max=64\nedns-packet-max=1232\nfilter-AAAA\nstop-dns-rebind\n",
    );
    let _ = writeln!(out, "max-ttl={ANSWER_SECONDS}");
    for address in exit.addresses() {
        let _ = writeln!(out, "listen-address={address}");
    }
    for net in exit.never() {
        let _ = writeln!(out, "bogus-nxdomain={net}");
    }
    for (index, opening) in exit.openings.iter().enumerate() {
        for name in &opening.names {
            for resolver in &exit.resolvers {
                let _ = writeln!(out, "server=/{name}/{resolver}");
            }
            let filled = match name.strip_prefix("*.") {
                Some(parent) => parent,
                None => {
                    // What lies below an exact name is answered here, with “no such domain”.
                    let _ = writeln!(out, "local=/*.{name}/");
                    name
                }
            };
            let _ = writeln!(out, "nftset=/{filled}/4#inet#{TABLE}#{}", set(index));
        }
    }
    out
}

#[cfg(test)]
mod tests;
