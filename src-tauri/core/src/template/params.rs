//! Parameters: what a lab draws from its run's seed.

use super::model::Net;
use super::problem::Problem;
use super::scope::Scope;
use super::ssh_key::key_pair;
use super::stream::Stream;
use super::tree::{Kind, Tree};
use super::typed;
use crate::api::Values;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::IpAddr;

/// One parameter: `name: {<kind>: {…}}`, or `name: <kind>` when the kind needs nothing.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ParamSpec {
    /// Subnets of one block that overlap neither each other nor any other drawn or written subnet of the lab.
    Subnets(Subnets),
    /// One such subnet.
    Prefix(Prefix),
    /// Different host addresses of a subnet (which may be an earlier parameter).
    Hosts(Hosts),
    Int(Range),
    /// Different whole numbers.
    Ints(Ints),
    /// One of a list, or `count` different ones.
    Pick(Pick),
    /// A host name, or `count` different ones.
    Name(Counted),
    /// A TCP or UDP port, 1024 to 49151 unless said otherwise.
    Port(PortRange),
    /// VLAN ids, 2 to 4094.
    Vlan(Counted),
    Password(Length),
    /// Ed25519, as `{{name.private}}` and `{{name.public}}` in OpenSSH's text form.
    SshKeypair(Comment),
    /// Hexadecimal text of so many random bytes.
    Secret(SecretBytes),
}

macro_rules! fields {
    ($($name:ident { $($(#[$meta:meta])* $field:ident : $ty:ty),* $(,)? })*) => { $(
        #[derive(Clone, Debug, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name { $($(#[$meta])* pub $field: $ty),* }
    )* };
}

fields! {
    Subnets { from: Net, prefix: u8, count: usize }
    Prefix { from: Net, prefix: u8 }
    Hosts {
        #[serde(rename = "in")] subnet: Net,
        count: usize,
        /// Host numbers within the subnet; 1 = the first address after the network's own.
        #[serde(default = "first_host")] min: u64,
        #[serde(default)] max: Option<u64>,
    }
    Range { min: i64, max: i64 }
    Ints { min: i64, max: i64, #[serde(default = "one")] count: usize }
    Pick { of: Vec<Scalar>, #[serde(default)] count: Option<usize> }
    Counted { #[serde(default)] count: Option<usize> }
    PortRange { #[serde(default = "port_min")] min: u16, #[serde(default = "port_max")] max: u16 }
    Length { #[serde(default = "twelve")] length: usize }
    Comment { #[serde(default)] comment: String }
    SecretBytes { #[serde(default = "twelve")] bytes: usize }
}

/// An item of `pick`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Scalar {
    Number(i64),
    Flag(bool),
    Text(String),
}

fn one() -> usize {
    1
}
fn twelve() -> usize {
    12
}
fn first_host() -> u64 {
    1
}
fn port_min() -> u16 {
    1024
}
fn port_max() -> u16 {
    49151
}

const MOST: usize = 64;
const TRIES: usize = 20_000;

/// Draws all parameters in the author's order. `taken` are the subnets written out in the lab; drawn ones keep clear
/// of them and are added.
pub fn draw(file: &str, parameters: &Tree, seed: &str, taken: &mut Vec<IpNet>) -> Result<Values, Vec<Problem>> {
    let mut values = Values::new();
    let mut problems = Vec::new();
    if !matches!(parameters.kind, Kind::Map(_) | Kind::Null) {
        return Err(vec![Problem::new(
            file,
            parameters.at,
            format!("expected a mapping of parameters, found {}", parameters.what()),
        )]);
    }
    for (key, body) in parameters.entries() {
        if !is_name(&key.name) || super::scope::RESERVED.contains(&key.name.as_str()) {
            problems.push(Problem::new(file, key.at, format!("“{}” cannot be a parameter's name", key.name)).hint(
                "Use a lower-case letter, then lower-case letters, digits or underscores; seen and expected are taken.",
            ));
            continue;
        }
        let scope = Scope::new(&values);
        let filled = match scope.fill(file, body) {
            Ok(filled) => filled,
            Err(mut p) => {
                problems.append(&mut p);
                continue;
            }
        };
        let drawn = typed::read::<ParamSpec>(file, &filled).and_then(|spec| {
            one_value(&spec, &mut Stream::new(seed, &key.name), taken).map_err(|m| Problem::new(file, body.at, m))
        });
        match drawn {
            Ok(value) => {
                values.insert(key.name.clone(), value);
            }
            Err(p) => problems.push(p),
        }
    }
    if problems.is_empty() { Ok(values) } else { Err(problems) }
}

pub fn is_name(s: &str) -> bool {
    s.len() <= 40
        && s.starts_with(|c: char| c.is_ascii_lowercase())
        && s.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

fn one_value(spec: &ParamSpec, s: &mut Stream, taken: &mut Vec<IpNet>) -> Result<Value, String> {
    Ok(match spec {
        ParamSpec::Subnets(p) => {
            let nets: Result<Vec<_>, _> =
                (0..counted(p.count)?).map(|_| subnet(s, p.from.0, p.prefix, taken).map(|n| n.to_string())).collect();
            json!(nets?)
        }
        ParamSpec::Prefix(p) => json!(subnet(s, p.from.0, p.prefix, taken)?.to_string()),
        ParamSpec::Hosts(p) => json!(hosts(s, p)?),
        ParamSpec::Int(r) => json!(integer(s, r.min, r.max)?),
        ParamSpec::Ints(p) => {
            let room = i128::from(p.max) - i128::from(p.min) + 1;
            let count = counted(p.count)?;
            if room < count as i128 {
                return Err(format!("{} to {} holds fewer than {count} different numbers", p.min, p.max));
            }
            let mut out: Vec<i64> = Vec::new();
            while out.len() < count {
                let n = integer(s, p.min, p.max)?;
                if !out.contains(&n) {
                    out.push(n);
                }
            }
            json!(out)
        }
        ParamSpec::Pick(p) => {
            let of: Vec<Value> =
                p.of.iter()
                    .map(|v| match v {
                        Scalar::Number(n) => json!(n),
                        Scalar::Flag(b) => json!(b),
                        Scalar::Text(t) => json!(t),
                    })
                    .collect();
            several(s, &of, p.count)?
        }
        ParamSpec::Name(p) => several(s, &NAMES.iter().map(|n| json!(n)).collect::<Vec<_>>(), p.count)?,
        ParamSpec::Port(p) => {
            if p.min > p.max || p.min == 0 {
                return Err(format!("ports from {} to {} are no range", p.min, p.max));
            }
            json!(s.between(p.min.into(), p.max.into()))
        }
        ParamSpec::Vlan(p) => several(s, &(2..=4094).map(|n| json!(n)).collect::<Vec<_>>(), p.count)?,
        ParamSpec::Password(p) => {
            if !(8..=64).contains(&p.length) {
                return Err("a password has 8 to 64 characters".into());
            }
            // Without characters that look alike.
            const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
            json!((0..p.length).filter_map(|_| s.pick(ALPHABET).map(|b| char::from(*b))).collect::<String>())
        }
        ParamSpec::SshKeypair(p) => {
            if p.comment.contains(['\n', '\r']) {
                return Err("a key's comment is one line".into());
            }
            let pair = key_pair(&s.bytes(), s.bytes(), &p.comment);
            json!({"private": pair.private, "public": pair.public})
        }
        ParamSpec::Secret(p) => {
            if !(4..=64).contains(&p.bytes) {
                return Err("a secret has 4 to 64 bytes".into());
            }
            json!((0..p.bytes).map(|_| format!("{:02x}", s.bytes::<1>()[0])).collect::<String>())
        }
    })
}

fn counted(n: usize) -> Result<usize, String> {
    if (1..=MOST).contains(&n) { Ok(n) } else { Err(format!("count is {n}; 1 to {MOST} are allowed")) }
}

fn integer(s: &mut Stream, min: i64, max: i64) -> Result<i64, String> {
    let width = u64::try_from(i128::from(max) - i128::from(min)).map_err(|_| format!("{min} to {max} is no range"))?;
    Ok(min.saturating_add_unsigned(s.between(0, width)))
}

fn several(s: &mut Stream, of: &[Value], count: Option<usize>) -> Result<Value, String> {
    match count {
        None => s.pick(of).cloned().ok_or_else(|| "there is nothing to pick from".into()),
        Some(n) if counted(n)? > of.len() => {
            Err(format!("{n} different ones were asked for, but there are {}", of.len()))
        }
        Some(n) => Ok(json!(s.choose(of, n))),
    }
}

fn subnet(s: &mut Stream, from: IpNet, prefix: u8, taken: &mut Vec<IpNet>) -> Result<IpNet, String> {
    let from = from.trunc();
    if prefix < from.prefix_len() || prefix > from.max_prefix_len() {
        return Err(format!("a /{prefix} does not fit into {from}"));
    }
    let choices = 1u128.checked_shl(u32::from(prefix - from.prefix_len())).unwrap_or(u128::MAX);
    for _ in 0..TRIES {
        let net = nth_subnet(from, prefix, s.below(choices)).map_err(|e| e.to_string())?;
        if !taken.iter().any(|t| overlap(t, &net)) {
            taken.push(net);
            return Ok(net);
        }
    }
    Err(format!("{from} has no room for another /{prefix}"))
}

fn nth_subnet(from: IpNet, prefix: u8, n: u128) -> Result<IpNet, ipnet::PrefixLenError> {
    let shift = u32::from(from.max_prefix_len() - prefix);
    let offset = n.checked_shl(shift).unwrap_or(0);
    Ok(match from {
        IpNet::V4(f) => {
            let base = u32::from(f.network()).wrapping_add(u32::try_from(offset).unwrap_or(0));
            IpNet::V4(Ipv4Net::new(base.into(), prefix)?)
        }
        IpNet::V6(f) => IpNet::V6(Ipv6Net::new(u128::from(f.network()).wrapping_add(offset).into(), prefix)?),
    })
}

pub fn overlap(a: &IpNet, b: &IpNet) -> bool {
    a.contains(&b.network()) || b.contains(&a.network())
}

/// The address with this host number: 0 is the network's own. None outside the subnet.
pub fn nth_host(net: &IpNet, n: u128) -> Option<IpAddr> {
    let ip: IpAddr = match net {
        IpNet::V4(f) => IpAddr::V4(u32::from(f.network()).checked_add(u32::try_from(n).ok()?)?.into()),
        IpNet::V6(f) => IpAddr::V6(u128::from(f.network()).checked_add(n)?.into()),
    };
    net.contains(&ip).then_some(ip)
}

/// First and last host number that an interface may carry (RFC 3021 for /31).
pub fn host_range(net: &IpNet) -> (u128, u128) {
    let bits = u32::from(net.max_prefix_len() - net.prefix_len());
    let size = 1u128.checked_shl(bits).unwrap_or(u128::MAX);
    match (net, bits) {
        (_, 0) => (0, 0),
        (_, 1) => (0, 1),
        (IpNet::V4(_), _) => (1, size - 2),
        (IpNet::V6(_), _) => (1, size - 1),
    }
}

fn hosts(s: &mut Stream, p: &Hosts) -> Result<Vec<String>, String> {
    let net = p.subnet.0.trunc();
    let (first, last) = host_range(&net);
    let low = first.max(p.min.into());
    let high = p.max.map_or(last, |m| last.min(m.into()));
    let count = counted(p.count)?;
    let room = (high + 1).saturating_sub(low);
    if room < count as u128 {
        return Err(format!("{net} has {room} host addresses between {low} and {high}; {count} were asked for"));
    }
    let mut out: Vec<String> = Vec::new();
    while out.len() < count {
        if let Some(ip) = nth_host(&net, low + s.below(room)) {
            let ip = ip.to_string();
            if !out.contains(&ip) {
                out.push(ip);
            }
        }
    }
    Ok(out)
}

/// Short, plain, no two alike when read aloud.
const NAMES: &[&str] = &[
    "acorn", "amber", "aspen", "atlas", "badger", "basil", "beacon", "birch", "bison", "bramble", "breeze", "canyon",
    "cedar", "cinder", "clover", "cobalt", "comet", "copper", "coral", "crane", "cypress", "dahlia", "delta", "dune",
    "ember", "falcon", "fennel", "fern", "fjord", "flint", "garnet", "ginger", "glacier", "granite", "harbor", "hazel",
    "heron", "hickory", "indigo", "iris", "ivory", "jasper", "juniper", "kestrel", "lagoon", "larch", "lichen",
    "linden", "lotus", "lunar", "maple", "marble", "meadow", "nectar", "nimbus", "nutmeg", "onyx", "opal", "orchid",
    "osprey", "otter", "pepper", "pine", "poplar", "prairie", "quartz", "raven", "ridge", "saffron", "sage", "sierra",
    "sparrow", "spruce", "summit", "tundra", "umber", "velvet", "violet", "walnut", "willow", "zephyr", "zinc",
];
