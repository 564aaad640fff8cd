//! What a probe expects, in words.

use crate::check::words::{list, quote};
use crate::template::scenario::{From, Probe, Proto};

pub(super) fn quoted(text: &str) -> String {
    quote(text)
}

pub(super) fn names<S: AsRef<str>>(items: &[S], nothing: &str) -> String {
    list(items, nothing)
}

fn place(from: &From) -> String {
    match from {
        From::Node(node) => node.clone(),
        From::Unseen { segment, address, .. } => format!("a new host {} on {segment}", address.addr()),
    }
}

pub(super) fn expected(probe: &Probe) -> String {
    match probe {
        Probe::Interface { node, interface, address, up } => {
            let state = if *up { "up" } else { "down" };
            match address {
                Some(a) => format!("{interface} on {node} is {state} and carries {a}"),
                None => format!("{interface} on {node} is {state}"),
            }
        }
        Probe::Route { node, to, via_protocol, via, dev, present } => {
            let mut how = String::new();
            if let Some(p) = via_protocol {
                how.push_str(&format!(" learned by {p}"));
            }
            if let Some(v) = via {
                how.push_str(&format!(" via {v}"));
            }
            if let Some(d) = dev {
                how.push_str(&format!(" out of {d}"));
            }
            let have = if *present { "has a" } else { "has no" };
            format!("{node} {have} route to {to}{how}")
        }
        Probe::Listening { node, proto, port, listening } => {
            let proto = if *proto == Proto::Tcp { "TCP" } else { "UDP" };
            let what = if *listening { "something listens" } else { "nothing listens" };
            format!("{what} on {proto} port {port} of {node}")
        }
        Probe::Process { node, name, running } => {
            format!("{name} {} on {node}", if *running { "runs" } else { "does not run" })
        }
        Probe::File { node, path, matches, lacks, exists } => {
            let mut parts = vec![format!("{path} on {node} {}", if *exists { "exists" } else { "does not exist" })];
            if let Some(m) = matches {
                parts.push(format!("has a line like {}", quote(m)));
            }
            if let Some(l) = lacks {
                parts.push(format!("has no line like {}", quote(l)));
            }
            names(&parts, "")
        }
        Probe::Ping { from, to, reaches } => {
            format!("a ping from {} to {to} {}", place(from), if *reaches { "is answered" } else { "gets no answer" })
        }
        Probe::Path { from, to, hops } => {
            let hops: Vec<String> = hops.iter().map(ToString::to_string).collect();
            format!("the way from {} to {to} is {}", place(from), hops.join(" → "))
        }
        Probe::Tcp { from, to, port, accepted } => {
            let word = if *accepted { "accepted" } else { "not accepted" };
            format!("a connection from {} to {to} port {port} is {word}", place(from))
        }
        Probe::Dns { server, name, rtype, answer, rcode, authoritative, .. } => {
            let mut parts = Vec::new();
            if let Some(answer) = answer {
                parts.push(format!("exactly {}", names(answer, "no record")));
            }
            if let Some(code) = rcode {
                parts.push(code.to_uppercase());
            }
            if answer.is_none() && rcode.is_none() {
                parts.push("NOERROR".into());
            }
            match authoritative {
                Some(true) => parts.push("authoritatively".into()),
                Some(false) => parts.push("without authority".into()),
                None => {}
            }
            format!("{server} answers {name} {} with {}", rtype.to_uppercase(), parts.join(", "))
        }
        Probe::ZoneTransfer { from, server, zone, allowed } => {
            let word = if *allowed { "gives" } else { "serves, but refuses to transfer," };
            format!("{server} {word} the zone {zone} to {}", place(from))
        }
        Probe::Http { from, url, status, body } => {
            let mut text = format!("{url} answers {}", place(from));
            match status {
                Some(s) => text.push_str(&format!(" with status {s}")),
                None => text.push_str(" over HTTP"),
            }
            if let Some(b) = body {
                text.push_str(&format!(" and a page like {}", quote(b)));
            }
            text
        }
        Probe::Ssh { from, to, user, key, password, accepted, output, .. } => {
            let by = match (key, password) {
                (Some(_), _) => "with its key",
                (None, Some(_)) => "with the password",
                (None, None) => "without any credential",
            };
            let word = if *accepted { "is accepted" } else { "is refused" };
            let mut text = format!("a login as {user} at {to} from {} {by} {word}", place(from));
            if let Some(o) = output {
                text.push_str(&format!(" and its command prints something like {}", quote(o)));
            }
            text
        }
        Probe::SshMethods { to, user, methods, .. } => {
            format!("{to} offers {user} only {}", names(methods, "no method"))
        }
        Probe::OspfNeighbours { node, full, exact } => {
            let only = if *exact { "exactly " } else { "" };
            format!("{node} has {only}{} as full OSPF neighbours", names(full, "no router"))
        }
        Probe::Packets { on, filter, for_ms, seen } => {
            let word = if *seen { "packets" } else { "no packet" };
            format!("{word} matching {} on {on} within {} s", quote(filter), *for_ms as f64 / 1000.0)
        }
        Probe::Log { node, path, line, present } => {
            let word = if *present { "a line" } else { "no line" };
            format!("{word} like {} in {path} on {node}", quote(line))
        }
        Probe::Command { on, argv, exit, output, .. } => {
            let mut text = format!("{} on {on}", quote(&argv.join(" ")));
            match (exit, output) {
                (Some(code), _) => text.push_str(&format!(" ends with {code}")),
                (None, None) => text.push_str(" ends with 0"),
                (None, Some(_)) => {}
            }
            if let Some(o) = output {
                text.push_str(&format!(" prints something like {}", quote(o)));
            }
            text
        }
    }
}
