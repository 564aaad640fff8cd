//! What the resolver refused, from its log (dnsmasq(8), `log-queries=extra`): each question has a number that its lines begin with.

use std::net::Ipv4Addr;

/// A question of the lab that was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Counts from 1 at each start of the resolver.
    pub serial: u64,
    pub source: Ipv4Addr,
    pub name: String,
    /// `A`, `TXT`, …
    pub kind: String,
    /// An allowed name that led to an address which is never open.
    pub rebind: bool,
}

const STARTED: &str = "started, version";
/// Longer names are cut: they are shown to people.
const SHOWN: usize = 80;

/// The last lines of a gateway's log → refusals with a number above `after`, and the highest number seen. A resolver that was
/// started anew begins at 1 again, and so does what is told of it.
pub fn refusals(log: &str, after: u64) -> (Vec<Refusal>, u64) {
    let lines: Vec<&str> = log.lines().filter_map(|l| Some(l.split_once("]: ")?.1)).collect();
    let begin = lines.iter().rposition(|l| l.starts_with(STARTED)).map_or(0, |i| i + 1);
    let lines = lines.get(begin..).unwrap_or_default();
    let last = lines.iter().filter_map(|l| serial(l)).max().unwrap_or(0);
    let after = if last > 0 && last < after { 0 } else { after };
    let mut out: Vec<Refusal> = Vec::new();
    let mut asked: Option<Refusal> = None;
    for line in lines {
        if let Some(name) = line.strip_prefix("possible DNS-rebind attack detected: ") {
            // Without a number: it belongs to the newest question about that name.
            if let Some(question) = asked.as_ref().filter(|q| q.serial > after && q.name == shown(name)) {
                out.push(Refusal { rebind: true, ..question.clone() });
            }
            continue;
        }
        let Some(serial) = serial(line).filter(|s| *s > after) else { continue };
        if let Some(question) = question(line, serial) {
            asked = Some(question);
        } else if line.ends_with(" is REFUSED") || line.contains(" is NXDOMAIN") || line.contains(" is REFUSED (") {
            let Some(question) = asked.as_ref().filter(|q| q.serial == serial) else { continue };
            if !out.iter().any(|r| r.serial == serial) {
                out.push(question.clone());
            }
        }
    }
    (out, last.max(after))
}

fn serial(line: &str) -> Option<u64> {
    line.split(' ').next()?.parse().ok()
}

/// `17 10.77.0.2/46871 query[A] other.example from 10.77.0.2`
fn question(line: &str, serial: u64) -> Option<Refusal> {
    let mut words = line.split(' ').skip(1);
    let source = words.next()?.split('/').next()?.parse().ok()?;
    let kind = words.next()?.strip_prefix("query[")?.strip_suffix(']')?.to_owned();
    Some(Refusal { serial, source, name: shown(words.next()?), kind, rebind: false })
}

fn shown(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_graphic()).take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const LOG: &str = "\
Nov 25 09:42:14 dnsmasq[8]: 9 10.77.0.2/1 query[A] before.example from 10.77.0.2
Nov 25 09:42:14 dnsmasq[8]: 9 10.77.0.2/1 config error is REFUSED (EDE: not ready)
Nov 25 09:42:15 dnsmasq[9]: started, version 2.90 cache disabled
Nov 25 09:42:15 dnsmasq[9]: using nameserver 198.18.0.53#53 for domain allowed.example
Nov 25 09:42:15 dnsmasq[9]: 1 10.77.0.2/46871 query[A] allowed.example from 10.77.0.2
Nov 25 09:42:15 dnsmasq[9]: 1 10.77.0.2/46871 forwarded allowed.example to 198.18.0.53
Nov 25 09:42:15 dnsmasq[9]: 1 10.77.0.2/46871 reply allowed.example is 198.18.0.10
Nov 25 09:42:15 dnsmasq[9]: 2 10.77.0.3/5 query[TXT] other.example from 10.77.0.3
Nov 25 09:42:15 dnsmasq[9]: 2 10.77.0.3/5 config error is REFUSED (EDE: not ready)
Nov 25 09:42:15 dnsmasq[9]: 3 10.77.0.2/6 query[A] secret.allowed.example from 10.77.0.2
Nov 25 09:42:15 dnsmasq[9]: 3 10.77.0.2/6 config secret.allowed.example is NXDOMAIN
Nov 25 09:42:15 dnsmasq[9]: 4 10.77.0.2/7 query[A] rebind.example from 10.77.0.2
Nov 25 09:42:15 dnsmasq[9]: 4 10.77.0.2/7 forwarded rebind.example to 198.18.0.53
Nov 25 09:42:15 dnsmasq[9]: possible DNS-rebind attack detected: rebind.example
";

    #[test]
    fn refused_questions_are_read_once_each() {
        let (found, last) = refusals(LOG, 0);
        let said: Vec<_> = found
            .iter()
            .map(|r| (r.serial, r.source.octets()[3], r.name.as_str(), r.kind.as_str(), r.rebind))
            .collect();
        assert_eq!(
            said,
            [
                (2, 3, "other.example", "TXT", false),
                (3, 2, "secret.allowed.example", "A", false),
                (4, 2, "rebind.example", "A", true)
            ]
        );
        assert_eq!(last, 4);
        assert_eq!(refusals(LOG, 4), (vec![], 4));
        assert_eq!(refusals(LOG, 2).0.len(), 2);
        assert_eq!(refusals(LOG, 900).0.len(), 3, "a resolver started anew counts from 1");
        assert_eq!(refusals("nonsense\n\n", 3), (vec![], 3));
    }
}
