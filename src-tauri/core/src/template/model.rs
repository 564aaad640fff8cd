//! What an author writes in lab.yaml (apiVersion frostgate.forge/v1). Everything is read after `{{…}}` has been
//! filled in, so the types here are the real ones; the JSON Schema (see [`super::schema`]) is made from them.

use super::probes::ProbeSpec;
use super::typed::At;
use super::words::{Span, either};
use crate::api::Role;
use crate::template::scenario::{Door, Impairment, Running};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub const API_VERSION: &str = "frostgate.forge/v1";
pub const KIND: &str = "ScenarioTemplate";

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LabFile {
    /// `frostgate.forge/v1`.
    pub api_version: At<String>,
    /// `ScenarioTemplate`.
    pub kind: At<String>,
    pub metadata: Metadata,
    pub spec: Spec,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metadata {
    /// The lab's id: lower-case letters, digits and hyphens.
    pub name: At<String>,
    pub title: At<String>,
    /// Semantic version; a changed lab needs a higher one.
    pub version: At<String>,
    /// `class:<track>` (once), `tier:<level>` (once), `topic:<word>` (any number).
    pub labels: Vec<At<String>>,
    #[serde(default)]
    pub objectives: Vec<ObjectiveSpec>,
    /// How long a learner of this tier needs.
    #[serde(default = "half_an_hour")]
    pub minutes: At<u32>,
    /// One or two sentences for the library.
    #[serde(default)]
    pub summary: String,
}

fn half_an_hour() -> At<u32> {
    At { value: 30, ..At::default() }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectiveSpec {
    /// The exam's code, such as `N10-009`.
    pub exam: String,
    /// The objective's number, in quotes: `"3.4"`.
    pub id: String,
    /// In our own words.
    pub text: String,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Spec {
    /// Values drawn from the run's seed, by name; see the parameter kinds.
    #[expect(dead_code, reason = "declared for the schema and so that the field is known; drawn from the tree")]
    #[serde(default)]
    pub parameters: Parameters,
    pub limits: LimitsSpec,
    pub network: NetworkSpec,
    pub assets: AssetsSpec,
    pub success_criteria: Vec<CriterionSpec>,
    #[serde(default)]
    pub hints: Vec<HintSpec>,
    #[serde(default)]
    pub requires: RequiresSpec,
    /// Whether what a learner made can be tried under another seed (`forge reexecute`); a lab that does not say is bound to its own.
    #[serde(default)]
    pub reexecution: Option<ReexecutionSpec>,
}

/// Read one by one from the tree (`params`), because a later parameter may use an earlier one.
#[derive(Clone, Debug, Default)]
pub struct Parameters;

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(d).map(|_| Self)
    }
}

impl JsonSchema for Parameters {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Parameters".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        <BTreeMap<String, super::params::ParamSpec>>::json_schema(generator)
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSpec {
    /// CPUs of the whole lab.
    pub cpu: At<f64>,
    /// MiB of the whole lab.
    pub memory_mb: At<u64>,
    /// How many techniques attackers may use, each as often as it likes; an attacker node plays one. 0 = no attackers.
    #[serde(default)]
    pub attacker_max_exploits: u32,
    pub timeout_minutes: At<u32>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    pub egress: At<EgressSpec>,
    /// Which destinations `allowlist` opens.
    #[serde(default)]
    pub allowlist_profile: Option<At<String>>,
    /// Address blocks of the lab; when given, each link's subnet must lie in one. In the flat form each block is
    /// a segment with the container on it.
    #[serde(default)]
    pub subnets: Vec<At<Net>>,
    /// Point-to-point: exactly two ends.
    #[serde(default)]
    pub links: Vec<LinkSpec>,
    /// A bridge with any number of members.
    #[serde(default)]
    pub segments: Vec<SegmentSpec>,
    /// Put the names of all nodes into each node's /etc/hosts.
    #[serde(default = "yes")]
    pub names: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EgressSpec {
    #[default]
    Deny,
    Allowlist,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkSpec {
    pub id: At<String>,
    pub between: At<Vec<EndpointSpec>>,
    #[serde(default)]
    pub subnet: Option<At<Net>>,
    /// `none` leaves the interfaces without addresses: that is the learner's work.
    #[serde(default)]
    pub addressing: Addressing,
    #[serde(default)]
    pub mtu: Option<At<u32>>,
    #[serde(default)]
    pub impairment: Option<ImpairmentSpec>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SegmentSpec {
    pub id: At<String>,
    pub members: Vec<EndpointSpec>,
    #[serde(default)]
    pub subnet: Option<At<Net>>,
    #[serde(default)]
    pub addressing: Addressing,
    /// The member that gets the first address and is the other members' default route (routers excepted).
    #[serde(default)]
    pub gateway: Option<At<String>>,
    #[serde(default)]
    pub mtu: Option<At<u32>>,
    #[serde(default)]
    pub impairment: Option<ImpairmentSpec>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Addressing {
    /// Each end without an address of its own gets the next free one of the subnet.
    #[default]
    Auto,
    None,
}

/// A subnet or an address with its prefix length, such as `192.168.10.0/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Net(pub IpNet);

impl JsonSchema for Net {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Net".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "An address with its prefix length, such as 192.168.10.0/24."})
    }
}

either! {
    /// `node:interface`, or a mapping with an address and a MAC of its own.
    pub enum EndpointSpec { Short(At<String>), Long(EndpointLong) }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointLong {
    pub node: At<String>,
    pub interface: At<String>,
    /// An address of the link's subnet, `none`, or with a prefix length of its own.
    #[serde(default)]
    pub address: Option<At<String>>,
    #[serde(default)]
    pub mac: Option<At<String>>,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImpairmentSpec {
    #[serde(default)]
    pub rate_kbit: Option<u64>,
    #[serde(default)]
    pub delay_ms: Option<u32>,
    #[serde(default)]
    pub jitter_ms: Option<u32>,
    /// 0 to 100.
    #[serde(default)]
    pub loss_percent: Option<At<f64>>,
}

impl From<&ImpairmentSpec> for Impairment {
    fn from(s: &ImpairmentSpec) -> Self {
        Self {
            rate_kbit: s.rate_kbit,
            delay_ms: s.delay_ms,
            jitter_ms: s.jitter_ms,
            loss_percent: s.loss_percent.as_ref().map(|l| l.value),
        }
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssetsSpec {
    pub nodes: Vec<NodeSpec>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// The host name: lower-case letters, digits and hyphens.
    pub name: At<String>,
    #[schemars(with = "String")]
    pub role: Role,
    /// `host`, `router`, `server` or `tools`; from the role when absent.
    #[serde(default)]
    pub image: Option<At<String>>,
    /// May the learner open a terminal on it; true but for attackers.
    #[serde(default)]
    pub enter: Option<bool>,
    /// Capabilities beyond what the role gets, without `CAP_`.
    #[serde(default)]
    pub caps: Vec<At<String>>,
    /// Directories that can be written and survive a restart of the node.
    #[serde(default)]
    pub writable: Vec<At<String>>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    #[serde(default)]
    pub files: Vec<FileSpec>,
    /// Shell text run at each start of the node, after its links are there.
    #[serde(default)]
    pub startup: String,
    #[serde(default)]
    pub ready: Vec<ReadySpec>,
    /// Default route; from the segment's gateway when absent.
    #[serde(default)]
    pub gateway: Option<IpAddr>,
    /// Forward packets; true for routers.
    #[serde(default)]
    pub forwarding: Option<bool>,
    /// TCP ports a learner may want in the browser.
    #[serde(default)]
    pub ports: Vec<PortSpec>,
}

/// Either a folder (`from`) whose tree is laid over the node's root, or one file (`path` with `content`).
/// `{{…}}` in UTF-8 files is filled in.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// A folder below the lab's `files/`.
    #[serde(default)]
    pub from: Option<At<String>>,
    /// Where the folder's tree goes; `/` when absent.
    #[serde(default)]
    pub to: Option<At<String>>,
    #[serde(default)]
    pub path: Option<At<String>>,
    #[serde(default)]
    pub content: Option<String>,
    /// `user` or `user:group`.
    #[serde(default)]
    pub owner: Option<String>,
    /// Octal, in quotes: `"0640"`; `"0644"` when absent.
    #[serde(default)]
    pub mode: Option<At<String>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadySpec {
    /// `tcp/22` or `udp/53`: something listens there.
    Listen(Door),
    /// This path exists in the node.
    Path(String),
}

impl JsonSchema for Door {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Socket".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "description": "tcp/<port> or udp/<port>"})
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    pub port: u16,
    pub label: String,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CriterionSpec {
    pub id: At<String>,
    pub title: At<String>,
    /// 1 = 1000 milli-points.
    #[serde(default = "one")]
    pub weight: At<u32>,
    /// All must pass.
    pub evidence: At<Vec<EvidenceSpec>>,
    /// Where to look when it fails; `{{seen}}` and `{{expected}}` are filled in then.
    #[serde(default)]
    pub failed: String,
}

fn one() -> At<u32> {
    At { value: 1, ..At::default() }
}

/// Written flat: `{probe: ping, from: pc, to: …, within: 20s}`. `normal` folds it before reading.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceSpec {
    /// Done before, undone afterwards.
    #[serde(default)]
    pub after: Option<DisturbanceSpec>,
    /// How long to keep asking until it passes: `500ms`, `20s`; at most `120s`.
    #[serde(default)]
    pub within: Option<At<Span>>,
    #[schemars(flatten)]
    pub probe: ProbeSpec,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DisturbanceSpec {
    /// Takes a link down.
    Cut(At<String>),
    Restart(At<String>),
    /// A router that the learner cannot enter announces a new prefix.
    Announce(AnnounceSpec),
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnounceSpec {
    pub node: At<String>,
    pub prefix: Net,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HintSpec {
    /// The criterion it helps with.
    #[serde(rename = "for")]
    pub criterion: At<String>,
    /// Milli-points taken from that criterion when revealed.
    pub cost: At<u32>,
    pub text: String,
}

/// What a machine must have; the doctor compares, and says so before launch.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequiresSpec {
    /// Kernel features by name: `veth`, `bridge`, `netem`, `8021q`, `wireguard`, `vrf`, `macvlan`, `tun`, `nftables`.
    #[serde(default)]
    pub kernel: Vec<At<String>>,
    /// Free memory in MiB.
    #[serde(default)]
    pub memory_mb: Option<u64>,
    /// `amd64`, `arm64`; any when empty.
    #[serde(default)]
    pub arch: Vec<At<String>>,
}

/// Either `bound`, or `carry`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReexecutionSpec {
    /// What in an answer belongs to one seed alone, so that it cannot be tried under another; shown to people.
    #[serde(default)]
    pub bound: Option<At<String>>,
    /// The files that a learner's work consists of.
    #[serde(default)]
    pub carry: Vec<CarrySpec>,
    /// Parameters whose IPv4 addresses and networks in those files become the other seed's.
    #[serde(default)]
    pub renumber: Vec<At<String>>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CarrySpec {
    /// A node that the learner can enter.
    pub node: At<String>,
    /// A file in one of its writable directories; it is read at submission, and put there before the node starts again.
    pub path: At<String>,
    /// Take what is in force instead of what is in the file: `frr`, the running configuration of FRR.
    #[serde(default)]
    pub running: Option<Running>,
}
