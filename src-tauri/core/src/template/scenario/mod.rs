//! A lab made concrete: what a template becomes once a seed has drawn its parameters and every `{{…}}` is
//! filled in. This is all that `lab/` and `check/` ever see of a template.

use crate::api::{Role, Values};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

mod grading;
pub use grading::{Criterion, Disturbance, Evidence, From, Hint, Probe};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    pub lab: String,
    pub title: String,
    pub track: String,
    pub tier: String,
    pub version: String,
    /// SHA-256 of the lab's folder, hex (the pin).
    pub digest: String,
    pub seed: String,
    pub values: Values,
    pub limits: Limits,
    pub egress: Egress,
    pub nodes: Vec<Node>,
    pub links: Vec<Link>,
    pub criteria: Vec<Criterion>,
    pub hints: Vec<Hint>,
    /// Markdown, values filled in.
    pub guide: String,
    /// None: the lab does not say, and is held to be bound to its seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reexecution: Option<Reexecution>,
}

impl Scenario {
    /// As its template and seed give it: without what the machine that ran it decided, which is what its gateway opened.
    pub fn as_written(&self) -> Self {
        let mut written = self.clone();
        if let Egress::Allowlist { opened, .. } = &mut written.egress {
            *opened = None;
        }
        written
    }
}

/// Whether a submission can be tried under another seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Reexecution {
    /// Its answers belong to one seed alone.
    Bound { why: String },
    Carry {
        files: Vec<Carried>,
        /// Parameters whose IPv4 addresses and networks in those files become the other seed's.
        renumber: Vec<String>,
    },
}

/// One file of what a learner made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Carried {
    pub node: String,
    /// Absolute, in a writable directory of the node.
    pub path: String,
    /// What is in force, instead of what is in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Running {
    Frr,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Of the whole lab, in CPUs; shared out to the nodes.
    pub cpu: f64,
    /// Of the whole lab, in MiB; shared out to the nodes.
    pub memory_mb: u64,
    pub timeout_minutes: u32,
    /// How many techniques attackers use; each attacker node plays one.
    pub attacker_max_exploits: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub enum Egress {
    Deny,
    Allowlist {
        profile: String,
        /// Looked up when the run is started; a template alone opens nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        opened: Option<Opened>,
    },
}

/// The node that a lab with an allowlist gets, by its reserved name.
pub const GATEWAY: &str = "egress";

/// What a run's gateway lets through, as it was when the run was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// Of the profile; see `template::egress::Profile::digest`.
    pub digest: String,
    pub allow: Vec<Allow>,
    /// Whom the gateway's resolver asks.
    pub resolvers: Vec<Ipv4Addr>,
    /// Networks the laptop itself is on: never open.
    pub near: Vec<Ipv4Net>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allow {
    /// Exact, or `*.` and the rest for one label in its place.
    pub names: Vec<String>,
    pub ports: Vec<Door>,
}

/// `tcp/443`: where something listens, or what a gateway lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Door {
    pub proto: Proto,
    pub port: u16,
}

impl TryFrom<String> for Door {
    type Error = String;

    fn try_from(s: String) -> Result<Self, String> {
        let wrong = || format!("expected `tcp/<port>` or `udp/<port>`, found “{s}”");
        let (proto, port) = s.split_once('/').ok_or_else(wrong)?;
        let proto = match proto {
            "tcp" => Proto::Tcp,
            "udp" => Proto::Udp,
            _ => return Err(wrong()),
        };
        let port = port.parse().ok().filter(|p| *p > 0).ok_or_else(wrong)?;
        Ok(Self { proto, port })
    }
}

impl std::convert::From<Door> for String {
    fn from(door: Door) -> Self {
        let proto = match door.proto {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
        };
        format!("{proto}/{}", door.port)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub name: String,
    pub role: Role,
    /// One of our images by short name: host, router, server, tools.
    pub image: String,
    /// May the learner open a terminal on it.
    pub enter: bool,
    /// Capabilities asked for beyond what the role gets, without the `CAP_` prefix.
    pub caps: Vec<String>,
    /// Directories that can be written and survive a node restart.
    pub writable: Vec<String>,
    pub env: BTreeMap<String, String>,
    /// Placed before the node starts; each must lie below a writable directory.
    pub files: Vec<NodeFile>,
    /// Shell text run by the node's init after wiring, at each (re)start; empty = nothing.
    pub startup: String,
    /// What must be true before the node counts as ready.
    pub ready: Vec<Ready>,
    /// Names for /etc/hosts: name → address.
    pub hosts: BTreeMap<String, IpAddr>,
    /// Via which address the default route goes, if any.
    pub gateway: Option<IpAddr>,
    pub forwarding: bool,
    /// TCP ports a learner may want in the browser: port → label.
    pub ports: BTreeMap<u16, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeFile {
    pub path: String,
    /// Octal permission bits, e.g. 0o640.
    pub mode: u32,
    /// Numeric or by name in the image: `user:group`; root when absent.
    pub owner: Option<String>,
    #[serde(with = "bytes_as_base64")]
    pub content: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Ready {
    /// A TCP or UDP socket listens on this port in the node's network namespace.
    Listen { proto: Proto, port: u16 },
    /// A path exists in the node.
    Path { path: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Proto {
    Tcp,
    Udp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    pub id: String,
    /// A bridge in the fabric's namespace, even with two endpoints; else a plain veth pair.
    pub segment: bool,
    pub endpoints: Vec<Endpoint>,
    pub subnet: Option<IpNet>,
    pub mtu: Option<u32>,
    pub impairment: Option<Impairment>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    pub node: String,
    /// At most 15 bytes, as Linux wants it.
    pub interface: String,
    /// Configured at (re)wiring; empty when the learner is to configure it.
    pub addresses: Vec<IpNet>,
    pub mac: Option<String>,
}

/// What the fabric does to a link, outside the learner's reach.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Impairment {
    pub rate_kbit: Option<u64>,
    pub delay_ms: Option<u32>,
    pub jitter_ms: Option<u32>,
    pub loss_percent: Option<f64>,
}

mod bytes_as_base64 {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&BASE64_STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<u8>, D::Error> {
        BASE64_STANDARD.decode(String::deserialize(d)?).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::template::{Catalogue, Sources};

    /// A server compares the lab in the evidence with its template: what only the laptop could know is no difference, all else is.
    #[test]
    fn what_a_machine_opened_is_not_part_of_what_was_written() {
        let catalogue = Catalogue::load(&Sources::default());
        let mut written = catalogue.get("netplus-dns-zone-reverse").unwrap().instantiate("s").unwrap();
        written.egress = Egress::Allowlist { profile: "package-updates".into(), opened: None };
        let opened = Opened { digest: "d".into(), allow: vec![], resolvers: vec![], near: vec![] };
        let mut ran = written.clone();
        ran.egress = Egress::Allowlist { profile: "package-updates".into(), opened: Some(opened) };
        assert!(ran != written && ran.as_written() == written);
        ran.limits.memory_mb += 1;
        assert!(ran.as_written() != written);
    }
}
