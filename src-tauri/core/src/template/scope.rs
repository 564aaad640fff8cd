//! What `{{…}}` may name, and filling it in.
//!
//! A reference is a name and parts joined by dots: a drawn value (`{{secret}}`), an item (`{{core.0}}`), a key half
//! (`{{admin.public}}`), a node's address (`{{r1.eth1}}`), a link's subnet (`{{lan.subnet}}`). A text that is one
//! reference and nothing else takes the value's type. On a subnet, further parts derive: `network`, `prefix`, `mask`,
//! `wildcard`, `first`, `last`, `broadcast`, `host.<n>`, `reverse`; on an address: `reverse` (its PTR name), `octet.<1-4>`.
//! `\{{` stands for `{{` itself. `{{seen}}` and `{{expected}}` stay open until a check has run.

use super::params::{host_range, nth_host};
use super::problem::{Pos, Problem, did_you_mean};
use super::tree::{Kind, Tree};
use crate::api::Values;
use ipnet::IpNet;
use serde_json::Value;
use std::net::IpAddr;

pub const RESERVED: &[&str] = &["seen", "expected"];

#[derive(Clone, Debug)]
pub struct Scope {
    values: Values,
}

type Unknown = (String, Option<String>);

impl Scope {
    pub fn new(values: &Values) -> Self {
        Self { values: values.clone() }
    }

    pub fn insert(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    pub fn contains(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// Fills in a whole tree; every unknown reference becomes a problem of its own.
    pub fn fill(&self, file: &str, tree: &Tree) -> Result<Tree, Vec<Problem>> {
        let mut problems = Vec::new();
        let filled = tree.fill(&mut |at, text| match self.value(text) {
            Ok(kind) => kind,
            Err((message, hint)) => {
                problems.push(Problem::new(file, at, message).maybe_hint(hint));
                Kind::Text(text.to_owned())
            }
        });
        if problems.is_empty() { Ok(filled) } else { Err(problems) }
    }

    /// Fills in a text file, with the place of what is unknown.
    pub fn fill_text(&self, file: &str, text: &str) -> Result<String, Problem> {
        let mut out = String::with_capacity(text.len());
        for part in parts(text) {
            match part {
                Part::Plain(p) => out.push_str(p),
                Part::Reference { path, at } => match self.shown(path) {
                    Ok(shown) => out.push_str(&shown),
                    Err((message, hint)) => {
                        return Err(Problem::new(file, place(text, at), message).maybe_hint(hint));
                    }
                },
            }
        }
        Ok(out)
    }

    fn value(&self, text: &str) -> Result<Kind, Unknown> {
        let parts = parts(text);
        if let [Part::Reference { path, .. }] = parts.as_slice() {
            return Ok(match self.lookup(path)? {
                Some(value) => value.into(),
                None => Kind::Text(text.to_owned()),
            });
        }
        let mut out = String::with_capacity(text.len());
        for part in parts {
            match part {
                Part::Plain(p) => out.push_str(p),
                Part::Reference { path, .. } => out.push_str(&self.shown(path)?),
            }
        }
        Ok(Kind::Text(out))
    }

    fn shown(&self, path: &str) -> Result<String, Unknown> {
        match self.lookup(path)? {
            None => Ok(format!("{{{{{path}}}}}")),
            Some(Value::String(s)) => Ok(s),
            Some(v @ (Value::Number(_) | Value::Bool(_))) => Ok(v.to_string()),
            Some(Value::Array(_)) => Err((
                format!("“{{{{{path}}}}}” is a list and cannot stand inside a text"),
                Some(format!("Name one item, such as {{{{{path}.0}}}}.")),
            )),
            Some(Value::Object(map)) => Err((
                format!("“{{{{{path}}}}}” has parts and cannot stand inside a text"),
                did_you_mean("", map.keys().map(String::as_str)),
            )),
            Some(Value::Null) => Err((format!("“{{{{{path}}}}}” has no value"), None)),
        }
    }

    /// None for the names that stay open.
    fn lookup(&self, path: &str) -> Result<Option<Value>, Unknown> {
        let mut steps = path.split('.');
        let name = steps.next().unwrap_or_default();
        if RESERVED.contains(&path) {
            return Ok(None);
        }
        let Some(mut value) = self.values.get(name).cloned() else {
            return Err((
                format!("“{{{{{path}}}}}” names nothing: there is no parameter, node or link “{name}”"),
                did_you_mean(name, self.values.keys().map(String::as_str)),
            ));
        };
        let rest: Vec<&str> = steps.collect();
        let mut rest = rest.as_slice();
        while let [step, tail @ ..] = rest {
            rest = tail;
            value = match &value {
                Value::Array(items) => {
                    step.parse::<usize>().ok().and_then(|i| items.get(i)).cloned().ok_or_else(|| {
                        (
                            format!("“{{{{{path}}}}}”: “{name}” has the items 0 to {}", items.len().saturating_sub(1)),
                            None,
                        )
                    })?
                }
                Value::Object(map) => map.get(*step).cloned().ok_or_else(|| {
                    (
                        format!("“{{{{{path}}}}}”: “{name}” has no “{step}”"),
                        did_you_mean(step, map.keys().map(String::as_str)),
                    )
                })?,
                Value::String(text) => {
                    let (derived, tail) = derive(text, step, rest).ok_or_else(|| {
                        (
                            format!("“{{{{{path}}}}}”: “{step}” cannot be derived from {text}"),
                            Some("Subnets have network, prefix, mask, wildcard, first, last, broadcast, host.<n>, reverse; addresses have reverse, octet.<1-4>.".into()),
                        )
                    })?;
                    rest = tail;
                    derived
                }
                _ => return Err((format!("“{{{{{path}}}}}”: there is nothing below “{step}”"), None)),
            };
        }
        match value {
            Value::Null => Err((format!("“{{{{{path}}}}}” has no address: the lab leaves it unconfigured"), None)),
            v => Ok(Some(v)),
        }
    }
}

/// What lies below a subnet or an address; with the steps that remain.
fn derive<'a>(text: &str, step: &str, rest: &'a [&'a str]) -> Option<(Value, &'a [&'a str])> {
    if let Ok(net) = text.parse::<IpNet>() {
        let (first, last) = host_range(&net);
        let host = |n| nth_host(&net.trunc(), n).map(|ip| ip.to_string());
        let shown = match step {
            "network" => net.network().to_string(),
            "prefix" => return Some((net.prefix_len().into(), rest)),
            "mask" => net.netmask().to_string(),
            "wildcard" => net.hostmask().to_string(),
            "broadcast" => net.broadcast().to_string(),
            "first" => host(first)?,
            "last" => host(last)?,
            "reverse" => reverse_zone(&net)?,
            "host" => {
                let (n, tail) = rest.split_first()?;
                return Some((host(n.parse().ok()?)?.into(), tail));
            }
            _ => return None,
        };
        return Some((shown.into(), rest));
    }
    match (text.parse::<IpAddr>().ok()?, step) {
        (ip, "reverse") => Some((reverse_name(ip).into(), rest)),
        (IpAddr::V4(ip), "octet") => {
            let (n, tail) = rest.split_first()?;
            let i = n.parse::<usize>().ok()?.checked_sub(1)?;
            Some((u64::from(*ip.octets().get(i)?).into(), tail))
        }
        _ => None,
    }
}

/// The name of an address's PTR record, without a final dot (RFC 1035 §3.5, RFC 3596 §2.5).
pub fn reverse_name(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        IpAddr::V6(ip) => {
            let mut out = String::new();
            for byte in ip.octets().iter().rev() {
                out.push_str(&format!("{:x}.{:x}.", byte & 15, byte >> 4));
            }
            out + "ip6.arpa"
        }
    }
}

/// The reverse zone of a subnet whose prefix ends on a label (8, 16, 24; any nibble for IPv6).
fn reverse_zone(net: &IpNet) -> Option<String> {
    let per_label = if matches!(net, IpNet::V4(_)) { 8 } else { 4 };
    let host_bits = net.max_prefix_len() - net.prefix_len();
    if net.prefix_len() == 0 || !host_bits.is_multiple_of(per_label) {
        return None;
    }
    let name = reverse_name(net.network());
    Some(name.splitn(usize::from(host_bits / per_label) + 1, '.').last()?.to_owned())
}

enum Part<'a> {
    Plain(&'a str),
    /// `at` is the byte offset in the text.
    Reference {
        path: &'a str,
        at: usize,
    },
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut out = Vec::new();
    let (mut done, mut look) = (0, 0);
    while let Some(open) = text.get(look..).and_then(|t| t.find("{{")).map(|i| i + look) {
        let inner = open + 2;
        let close = text.get(inner..).and_then(|t| t.find("}}")).map(|i| i + inner);
        let path = close.and_then(|c| text.get(inner..c)).map(str::trim).filter(|p| is_path(p));
        let escaped = open > done && text.as_bytes().get(open - 1) == Some(&b'\\');
        match (path, close) {
            (Some(path), Some(close)) => {
                let before = if escaped { open - 1 } else { open };
                out.push(Part::Plain(text.get(done..before).unwrap_or_default()));
                let end = close + 2;
                if escaped {
                    out.push(Part::Plain(text.get(open..end).unwrap_or_default()));
                } else {
                    out.push(Part::Reference { path, at: open });
                }
                done = end;
                look = end;
            }
            _ => look = inner,
        }
    }
    out.push(Part::Plain(text.get(done..).unwrap_or_default()));
    out.retain(|p| !matches!(p, Part::Plain("")));
    out
}

fn is_path(p: &str) -> bool {
    p.starts_with(|c: char| c.is_ascii_alphabetic())
        && p.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn place(text: &str, offset: usize) -> Pos {
    let before = text.get(..offset).unwrap_or_default();
    let line = 1 + before.matches('\n').count();
    let column = 1 + before.rsplit('\n').next().unwrap_or_default().chars().count();
    Pos { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
}
