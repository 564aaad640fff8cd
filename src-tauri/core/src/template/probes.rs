//! The probes as an author writes them: short names for places, durations in words. [`super::criteria`] turns them
//! into [`super::scenario::Probe`]; each field means what the field there says.

use super::model::Net;
use super::typed::At;
use super::words::{Span, either};
use crate::template::scenario::Proto;
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::IpAddr;

either! {
    /// A node's name, or `{unseen: <segment>}`: a host that did not exist while the learner worked.
    pub enum FromSpec { Short(At<String>), Long(UnseenFrom) }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnseenFrom {
    pub unseen: UnseenSpec,
}

either! {
    /// The segment it joins; its address is drawn from the seed unless given.
    pub enum UnseenSpec { Short(At<String>), Long(UnseenLong) }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnseenLong {
    pub segment: At<String>,
    #[serde(default)]
    pub address: Option<Net>,
    #[serde(default)]
    pub gateway: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProtoSpec {
    Tcp,
    Udp,
}

impl From<ProtoSpec> for Proto {
    fn from(p: ProtoSpec) -> Self {
        match p {
            ProtoSpec::Tcp => Self::Tcp,
            ProtoSpec::Udp => Self::Udp,
        }
    }
}

/// Declares the probes: one struct each (unknown fields refused), and the enum over them.
macro_rules! probes {
    ($( $(#[$doc:meta])* $name:ident $spec:ident { $( $(#[$fmeta:meta])* $field:ident : $ty:ty ),* $(,)? } )*) => {
        /// Read as `{<name>: {…}}`; written with a `probe` field that holds the name.
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[schemars(tag = "probe")]
        pub enum ProbeSpec { $( $(#[$doc])* $name($spec) ),* }

        $( #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $spec { $( $(#[$fmeta])* pub $field: $ty ),* } )*
    };
}

probes! {
    /// An interface is up, and carries an address.
    Interface InterfaceProbe {
        node: At<String>, interface: String,
        #[serde(default)] address: Option<Net>, #[serde(default = "yes")] up: bool,
    }
    /// The kernel's route to a destination; or that there is none.
    Route RouteProbe {
        node: At<String>, to: Net,
        #[serde(default)] via_protocol: Option<String>, #[serde(default)] via: Option<IpAddr>,
        #[serde(default)] dev: Option<String>, #[serde(default = "yes")] present: bool,
    }
    Listening ListeningProbe { node: At<String>, proto: ProtoSpec, port: u16, #[serde(default = "yes")] listening: bool }
    Process ProcessProbe { node: At<String>, name: String, #[serde(default = "yes")] running: bool }
    /// A file's lines, read from outside the node.
    File FileProbe {
        node: At<String>, path: At<String>,
        #[serde(default)] matches: Option<At<String>>, #[serde(default)] lacks: Option<At<String>>,
        #[serde(default = "yes")] exists: bool,
    }
    Ping PingProbe { from: FromSpec, to: IpAddr, #[serde(default = "yes")] reaches: bool }
    /// The hops on the way, in order.
    Path PathProbe { from: FromSpec, to: IpAddr, hops: Vec<IpAddr> }
    Tcp TcpProbe { from: FromSpec, to: IpAddr, port: u16, #[serde(default = "yes")] accepted: bool }
    /// One question to one server: exactly these answers in any order, or this response code.
    Dns DnsProbe {
        from: FromSpec, server: IpAddr, name: String,
        /// A record type that the judge knows, such as `AAAA`; upper or lower case.
        rtype: At<String>,
        #[serde(default)] answer: Option<Vec<String>>,
        /// A response code, such as `NXDOMAIN`.
        #[serde(default)] rcode: Option<At<String>>,
        #[serde(default)] authoritative: Option<bool>,
    }
    /// A zone transfer is refused (or allowed).
    ZoneTransfer ZoneTransferProbe { from: FromSpec, server: IpAddr, zone: String, #[serde(default)] allowed: bool }
    Http HttpProbe {
        from: FromSpec, url: String,
        #[serde(default)] status: Option<u16>, #[serde(default)] body: Option<At<String>>,
    }
    /// A login by key or by password is accepted (or refused).
    Ssh SshProbe {
        from: FromSpec, to: IpAddr, #[serde(default = "ssh")] port: u16, user: String,
        #[serde(default)] key: Option<String>, #[serde(default)] password: Option<String>,
        accepted: bool,
        #[serde(default)] command: Option<String>, #[serde(default)] output: Option<At<String>>,
    }
    /// Which authentication methods the server offers.
    SshMethods SshMethodsProbe { from: FromSpec, to: IpAddr, #[serde(default = "ssh")] port: u16, user: String, methods: Vec<String> }
    /// Neighbours in state Full, by router id.
    OspfNeighbours OspfNeighboursProbe { node: At<String>, full: Vec<String>, #[serde(default)] exact: bool }
    /// Packets that match a pcap filter are seen (or not) on a link.
    Packets PacketsProbe { on: At<String>, filter: At<String>, #[serde(rename = "for")] wait: At<Span>, seen: bool }
    /// A line of a node's file matches (or none does).
    Log LogProbe { node: At<String>, path: At<String>, line: At<String>, #[serde(default = "yes")] present: bool }
    /// Everything else.
    Command CommandProbe {
        on: At<String>, #[serde(default)] inside: bool, argv: At<Vec<String>>,
        #[serde(default)] exit: Option<i32>, #[serde(default)] output: Option<At<String>>,
    }
}

/// What one question can be about. A zone is asked for with the `zone_transfer` probe.
pub const RECORD_TYPES: [&str; 19] = [
    "A", "AAAA", "CAA", "CNAME", "DNAME", "DNSKEY", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SPF", "SRV",
    "SSHFP", "SVCB", "TLSA", "TXT",
];

/// The response codes a server's answer to a question can have (RFC 1035, RFC 2136), as dig prints them.
pub const RESPONSE_CODES: [&str; 7] = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "NOTAUTH"];

fn yes() -> bool {
    true
}

fn ssh() -> u16 {
    22
}
