//! What the kernel says: `nft -j list table` compared with what was meant, and what it has dropped.

use super::Reason;
use crate::error::{Code, Error, Result};
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// A listing is as long as the rules allow; beyond this it is not one of ours.
const MOST: usize = 4 << 20;

/// What was dropped so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drops {
    /// Packets, by reason; reasons without any are left out.
    pub reasons: BTreeMap<Reason, u64>,
    /// Who wanted what lately; bounded, and forgotten after some minutes.
    pub seen: Vec<Seen>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// IANA's protocol number.
    pub protocol: u8,
    /// TCP and UDP alone.
    pub port: Option<u16>,
    pub reason: Reason,
    pub packets: u64,
}

impl Drops {
    pub fn total(&self) -> u64 {
        self.reasons.values().sum()
    }
}

impl Seen {
    /// `tcp 1.2.3.4:80`.
    pub fn target(&self) -> String {
        let protocol = match self.protocol {
            1 => "icmp".to_owned(),
            6 => "tcp".to_owned(),
            17 => "udp".to_owned(),
            132 => "sctp".to_owned(),
            other => format!("protocol {other}"),
        };
        match self.port {
            Some(port) => format!("{protocol} {}:{port}", self.destination),
            None => format!("{protocol} {}", self.destination),
        }
    }
}

/// Whether a listing is exactly the rule set that was meant. `Code::Internal` names the first thing that is not.
pub fn verify(meant: &[Value], listing: &[u8]) -> Result<()> {
    let held = objects(listing)?;
    let differs = |what: String| {
        Error::new(Code::Internal, format!("The egress gateway's packet filter is not as it must be: {what}."))
            .hint("Nothing leaves meanwhile. Stop the run and start it anew.")
    };
    let short = |value: &Value| value.to_string().chars().take(300).collect::<String>();
    for (index, want) in meant.iter().enumerate() {
        match held.get(index).map(|found| plain(found.clone())) {
            Some(found) if found == plain(want.clone()) => {}
            Some(found) => return Err(differs(format!("{} where {} was meant", short(&found), short(want)))),
            None => return Err(differs(format!("it lacks {}", short(want)))),
        }
    }
    match held.get(meant.len()) {
        Some(more) => Err(differs(format!("it also holds {}", short(more)))),
        None => Ok(()),
    }
}

/// Counters and what is remembered of the dropped.
pub fn drops(listing: &[u8]) -> Result<Drops> {
    let mut out = Drops::default();
    for object in objects(listing)? {
        if let Some(counter) = object.get("counter") {
            let reason = Reason::ALL.into_iter().find(|r| counter.get("name").is_some_and(|n| n == r.name()));
            let packets = counter.get("packets").and_then(Value::as_u64).unwrap_or(0);
            if let Some(reason) = reason.filter(|_| packets > 0) {
                out.reasons.insert(reason, packets);
            }
        }
        let Some(set) = object.get("set") else { continue };
        let ported = set.get("name").is_some_and(|n| n == "seen");
        if ported || set.get("name").is_some_and(|n| n == "seen_other") {
            let elements = set.get("elem").and_then(Value::as_array).into_iter().flatten();
            out.seen.extend(elements.filter_map(|e| seen(e, ported)));
        }
    }
    out.seen.sort();
    Ok(out)
}

fn seen(element: &Value, ported: bool) -> Option<Seen> {
    let element = element.get("elem")?;
    let fields = element.get("val")?.get("concat")?.as_array()?;
    let address = |at: usize| fields.get(at)?.as_str()?.parse().ok();
    let number = |at: usize| fields.get(at)?.as_u64();
    let mark = number(if ported { 4 } else { 3 })?;
    Some(Seen {
        source: address(0)?,
        destination: address(1)?,
        protocol: protocol(fields.get(2)?)?,
        port: if ported { Some(u16::try_from(number(3)?).ok()?) } else { None },
        reason: Reason::ALL.into_iter().find(|r| *r as u64 == mark)?,
        packets: element.get("counter")?.get("packets")?.as_u64()?,
    })
}

/// nft names the protocols that /etc/protocols knows where there is such a file.
fn protocol(value: &Value) -> Option<u8> {
    match value.as_str() {
        Some("icmp") => Some(1),
        Some("tcp") => Some(6),
        Some("udp") => Some(17),
        Some("sctp") => Some(132),
        Some(_) => Some(255),
        None => u8::try_from(value.as_u64()?).ok(),
    }
}

fn objects(listing: &[u8]) -> Result<Vec<Value>> {
    let unreadable =
        |why: String| Error::new(Code::Internal, format!("The packet filter's listing cannot be read: {why}"));
    if listing.len() > MOST {
        return Err(unreadable(format!("it has {} bytes", listing.len())));
    }
    let mut whole: Value = serde_json::from_slice(listing).map_err(|e| unreadable(e.to_string()))?;
    let list = whole.get_mut("nftables").and_then(Value::as_array_mut).map(std::mem::take);
    let list = list.ok_or_else(|| unreadable("it lists nothing".into()))?;
    Ok(list.into_iter().filter(|o| o.get("metainfo").is_none()).collect())
}

/// Without what changes by itself: handles, counts, and the contents of sets that fill and empty themselves.
fn plain(mut object: Value) -> Value {
    if let Some(inner) = object.as_object_mut().and_then(|o| o.values_mut().next()).and_then(Value::as_object_mut) {
        for changing in ["handle", "packets", "bytes"] {
            inner.remove(changing);
        }
        if inner.contains_key("timeout") {
            inner.remove("elem");
        }
    }
    object
}
