//! Judging reachability: ping, path, TCP, packets on a link.

use super::text::quoted;
use super::{Printed, Verdict};
use std::net::IpAddr;

/// Phrases with which our programs say that the network, not they, failed (strerror texts).
const NO_WAY: [&str; 6] = [
    "Network is unreachable",
    "No route to host",
    "Network is down",
    "Host is down",
    "Cannot assign requested address",
    "Destination address required",
];

fn no_way(text: &str) -> Option<&'static str> {
    NO_WAY.into_iter().find(|w| text.contains(w))
}

/// iputils: `N packets transmitted, M received, …`; the last run decides.
pub(super) fn ping(p: &Printed<'_>, want: bool) -> Verdict {
    let counts = p.out.lines().rev().find_map(|l| {
        let (sent, rest) = l.split_once(" packets transmitted, ")?;
        let (received, _) = rest.split_once(" received")?;
        Some((sent.parse::<u32>().ok()?, received.parse::<u32>().ok()?))
    });
    match counts {
        Some((sent, received)) if matches!(p.exit, 0 | 1) && sent > 0 => {
            let seen = match received {
                0 => "no answer came back".to_owned(),
                _ => "the ping was answered".to_owned(),
            };
            Ok(((received > 0) == want, seen))
        }
        _ => match no_way(p.err) {
            Some(why) => Ok((!want, format!("there is no way there ({why})"))),
            None => Err(p.broke()),
        },
    }
}

/// traceroute -n: ` 1  10.0.0.1  0.1 ms  0.1 ms`, `*` where nobody answered.
pub(super) fn path(p: &Printed<'_>, want: &[IpAddr]) -> Verdict {
    let mut hops: Vec<Option<IpAddr>> = Vec::new();
    let mut begun = false;
    for line in p.out.lines() {
        if line.starts_with("traceroute to ") {
            begun = true;
            continue;
        }
        let mut words = line.split_whitespace();
        if words.next().and_then(|n| n.parse::<usize>().ok()) == Some(hops.len() + 1) {
            hops.push(words.find_map(|w| w.parse::<IpAddr>().ok()));
        }
    }
    if hops.is_empty() {
        return match no_way(p.err).or(no_way(p.out)) {
            Some(why) => Ok((false, format!("there is no way there ({why})"))),
            None if begun && p.exit == 0 => Ok((false, "no hop answered".into())),
            None => Err(p.broke()),
        };
    }
    // Silence at the end is one fact, not sixteen.
    while hops.len() > 1 && hops.last() == Some(&None) && hops.iter().rev().nth(1) == Some(&None) {
        hops.pop();
    }
    let told: Vec<String> = hops.iter().map(|h| h.map_or_else(|| "no answer".to_owned(), |a| a.to_string())).collect();
    let holds = hops.len() == want.len() && hops.iter().zip(want).all(|(h, w)| h.as_ref() == Some(w));
    Ok((holds, format!("the way is {}", told.join(" → "))))
}

/// nc (OpenBSD) -v -z.
pub(super) fn tcp(p: &Printed<'_>, want: bool) -> Verdict {
    let refused = ["Connection refused", "timed out", "Operation now in progress", "Connection reset by peer"]
        .into_iter()
        .find(|w| p.err.contains(w))
        .or(no_way(p.err));
    match (p.exit, refused) {
        (0, _) => Ok((want, "the connection was accepted".into())),
        (1, Some("Operation now in progress")) => Ok((!want, "the connection was not accepted (timed out)".into())),
        (1, Some(why)) => Ok((!want, format!("the connection was not accepted ({why})"))),
        _ => Err(p.broke()),
    }
}

/// One line of tcpdump per packet. Ends of a capture by time are ends by a signal.
pub(super) fn packets(p: &Printed<'_>, want: bool) -> Verdict {
    if !matches!(p.exit, 0 | 124 | 130 | 137 | 143 | -2 | -9 | -15) {
        return Err(p.broke());
    }
    let lines: Vec<&str> = p.out.lines().filter(|l| !l.trim().is_empty()).collect();
    // Seeing nothing counts only for one who says that he was looking.
    if lines.is_empty() && !p.err.lines().any(|l| l.contains("listening on ")) {
        return Err("the capture did not begin".into());
    }
    let seen = match lines.as_slice() {
        [] => "no such packet".to_owned(),
        [first] => format!("one packet: {}", quoted(first)),
        [first, ..] => {
            format!("{}{} packets, the first {}", if p.cut { "more than " } else { "" }, lines.len(), quoted(first))
        }
    };
    Ok((lines.is_empty() != want, seen))
}
