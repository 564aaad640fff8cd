//! Judging services: DNS, HTTP, SSH, files and logs, commands.

use super::text::{names, quoted};
use super::{Printed, Verdict, expression};
use crate::check::ask::{HTTP_MARK, PART};
use crate::check::observation::Answer;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// What dig printed about one exchange: response code, flags, and the records of the answer section.
struct Reply<'a> {
    status: &'a str,
    flags: Vec<&'a str>,
    /// (owner, type, data) as printed.
    records: Vec<(String, String, String)>,
}

fn records(text: &str) -> Result<Vec<(String, String, String)>, String> {
    let mut all = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with(';')) {
        let mut words = line.split_whitespace();
        let (Some(owner), Some("IN"), Some(kind)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("the record {} was not understood", quoted(line)));
        };
        all.push((owner.to_owned(), kind.to_owned(), words.collect::<Vec<_>>().join(" ")));
    }
    Ok(all)
}

/// `Ok(None)`: no server answered.
fn reply(text: &str) -> Result<Option<Reply<'_>>, String> {
    let header = text.lines().find_map(|l| l.strip_prefix(";; ->>HEADER<<- "));
    let Some(header) = header else {
        let silent = text.lines().any(|l| {
            l.starts_with(";; no servers could be reached")
                || l.starts_with(";; communications error")
                || l.starts_with(";; connection timed out")
        });
        return if silent { Ok(None) } else { Err("dig gave no answer that could be read".into()) };
    };
    let status = header.split(", ").find_map(|f| f.strip_prefix("status: ")).ok_or("dig's header has no status")?;
    let flags = text.lines().find_map(|l| l.strip_prefix(";; flags: ")).and_then(|l| l.split(';').next()).unwrap_or("");
    Ok(Some(Reply { status, flags: flags.split_whitespace().collect(), records: records(text)? }))
}

/// Two spellings of the same data compare equal: addresses by value, names without case and final dot, text without its
/// quotation marks.
fn normal(data: &str) -> String {
    if let Ok(address) = data.trim().parse::<IpAddr>() {
        return address.to_string();
    }
    let data = data.trim();
    if data.starts_with('"') {
        return data.split("\" \"").collect::<String>().trim_matches('"').to_owned();
    }
    let words: Vec<String> = data.split_whitespace().map(|w| w.trim_end_matches('.').to_ascii_lowercase()).collect();
    words.join(" ")
}

pub(super) fn dns(
    p: &Printed<'_>,
    rtype: &str,
    answer: Option<&[String]>,
    rcode: Option<&str>,
    authoritative: Option<bool>,
) -> Verdict {
    if p.cut {
        return Err("the answer was too long to be judged".into());
    }
    if !matches!(p.exit, 0 | 9) {
        return Err(p.broke());
    }
    let Some(reply) = reply(p.out)? else {
        return Ok((false, "no DNS server answered there".into()));
    };
    let have: Vec<&str> = reply
        .records
        .iter()
        .filter(|(_, kind, _)| kind.eq_ignore_ascii_case(rtype))
        .map(|(.., d)| d.as_str())
        .collect();
    let own = reply.flags.contains(&"aa");
    let text_type = rtype.eq_ignore_ascii_case("TXT") || rtype.eq_ignore_ascii_case("SPF");
    let bare = |d: &str| if text_type { text_data(d) } else { normal(d) };
    let mut holds = reply.status.eq_ignore_ascii_case(rcode.unwrap_or("NOERROR"));
    if let Some(want) = answer {
        let mut want: Vec<String> = want.iter().map(|w| bare(w)).collect();
        let mut got: Vec<String> = have.iter().map(|h| bare(h)).collect();
        want.sort();
        got.sort();
        holds &= want == got;
    }
    holds &= authoritative.is_none_or(|want| want == own);
    let told: Vec<String> = have.iter().take(8).map(|d| quoted(d)).collect();
    let source = if own { "authoritative" } else { "not authoritative" };
    Ok((holds, format!("{}, {source}, {}", quoted(reply.status), names(&told, "no such record"))))
}

fn text_data(data: &str) -> String {
    data.split("\" \"").collect::<String>().trim_matches('"').to_owned()
}

pub(super) fn zone_transfer(p: &Printed<'_>, allowed: bool) -> Verdict {
    if p.cut {
        return Err("the answer was too long to be judged".into());
    }
    if p.exit != 0 {
        return Err(p.broke());
    }
    let mark = format!("\n{PART}\n");
    let Some((control, transfer)) = p.out.split_once(&mark) else {
        return Err("the two answers could not be told apart".into());
    };
    let Some(control) = reply(control)? else {
        return Ok((false, "no DNS server answered there".into()));
    };
    if control.status != "NOERROR" || !control.records.iter().any(|(_, kind, _)| kind == "SOA") {
        return Ok((false, format!("the server does not serve the zone ({})", quoted(control.status))));
    }
    let got = records(transfer)?;
    let starts = got.iter().filter(|(_, kind, _)| kind == "SOA").count();
    if starts >= 2 {
        return Ok((allowed, format!("the transfer gave {} records", got.len().saturating_sub(1))));
    }
    let refused = transfer.lines().any(|l| {
        l.starts_with("; Transfer failed.")
            || l.starts_with(";; communications error")
            || l.starts_with(";; Connection to")
            || l.starts_with(";; no servers could be reached")
            || l.starts_with(";; connection timed out")
    });
    match refused {
        true => Ok((!allowed, "the transfer was refused".into())),
        false => Err("the transfer ended in a way that was not understood".into()),
    }
}

pub(super) fn http(p: &Printed<'_>, status: Option<u16>, body: Option<&str>) -> Verdict {
    let mark = p.err.lines().rev().find(|l| !l.is_empty()).and_then(|l| l.strip_prefix(HTTP_MARK));
    let fields: Vec<&str> = mark.map(|m| m.split_whitespace().collect()).unwrap_or_default();
    let [code, ended] = fields.as_slice() else { return Err(p.broke()) };
    let (Ok(code), Ok(ended)) = (code.parse::<u16>(), ended.parse::<i32>()) else { return Err(p.broke()) };
    // curl's numbers for exchanges that the other side (or its absence) ended; the rest is about us.
    let silent = match ended {
        6 => Some("the name is not known"),
        7 => Some("no connection"),
        28 => Some("it took too long"),
        35 | 51 | 58 | 60 | 83 => Some("TLS failed"),
        1 | 8 | 18 | 52 | 56 | 92 => Some("what answered does not speak proper HTTP"),
        0 | 63 => None,
        _ => return Err(p.broke()),
    };
    if let Some(why) = silent {
        return Ok((false, format!("no page: {why}")));
    }
    let mut holds = code > 0 && status.is_none_or(|want| want == code);
    if let Some(pattern) = body {
        let found = expression(pattern)?.is_match(p.out);
        if !found && p.cut {
            return Err("the page was too long to be judged".into());
        }
        holds &= found;
    }
    let seen = match body {
        Some(_) => format!("status {code}, page {}", quoted(p.out)),
        None => format!("status {code}"),
    };
    Ok((holds, seen))
}

/// What the SSH client's own log says happened.
enum Login {
    Accepted,
    Refused(String),
    NoServer(String),
}

fn login(log: &str) -> Result<Login, String> {
    let lines: Vec<&str> = log.lines().map(str::trim_end).collect();
    if lines.iter().any(|l| l.starts_with("Authenticated to ")) {
        return Ok(Login::Accepted);
    }
    let refusal = |l: &&&str| {
        l.contains(": Permission denied (")
            || l.contains("Too many authentication failures")
            || l.starts_with("Permission denied, please try again")
    };
    if let Some(line) = lines.iter().rev().find(refusal) {
        return Ok(Login::Refused((*line).to_owned()));
    }
    let gone = [
        "Connection refused",
        "timed out",
        "No route to host",
        "Network is unreachable",
        "Connection closed",
        "Connection reset",
        "kex_exchange_identification",
        "banner exchange",
        "no matching",
        "Broken pipe",
        "Timeout, server",
    ];
    match lines.iter().rev().find(|l| gone.iter().any(|g| l.contains(g))) {
        Some(line) => Ok(Login::NoServer((*line).to_owned())),
        None => Err(match lines.last() {
            Some(line) => format!("the SSH client said {}", quoted(line)),
            None => "the SSH client said nothing".into(),
        }),
    }
}

pub(super) fn ssh(p: &Printed<'_>, accepted: bool, output: Option<&str>) -> Verdict {
    if p.exit != 0 {
        return Err(p.broke());
    }
    match login(p.err)? {
        Login::Accepted => {
            let mut holds = accepted;
            let mut seen = "the login was accepted".to_owned();
            if let Some(pattern) = output {
                let found = p.out.lines().any({
                    let expression = expression(pattern)?;
                    move |l| expression.is_match(l)
                });
                if !found && p.cut {
                    return Err("the command's output was too long to be judged".into());
                }
                holds &= found;
                seen.push_str(&format!(" and the command printed {}", quoted(p.out)));
            }
            Ok((holds, seen))
        }
        Login::Refused(_) => Ok((!accepted, "the login was refused".into())),
        // Neither: a server that is not there has refused nobody.
        Login::NoServer(line) => Ok((false, format!("no SSH server took the login: {}", quoted(&line)))),
    }
}

pub(super) fn ssh_methods(p: &Printed<'_>, want: &[String]) -> Verdict {
    if p.exit != 0 {
        return Err(p.broke());
    }
    const OFFER: &str = "debug1: Authentications that can continue: ";
    let offer = p.err.lines().find_map(|l| l.strip_prefix(OFFER));
    match (offer, login(p.err)) {
        (_, Ok(Login::Accepted)) => Ok((want.is_empty(), "the server lets the user in without any credential".into())),
        (Some(offer), _) => {
            let offered: BTreeSet<&str> = offer.trim().split(',').map(str::trim).filter(|m| !m.is_empty()).collect();
            let wanted: BTreeSet<&str> = want.iter().map(String::as_str).collect();
            let told: Vec<String> = offered.iter().map(|m| quoted(m)).collect();
            Ok((offered == wanted, format!("it offers {}", names(&told, "no method"))))
        }
        (None, Ok(Login::NoServer(line))) => Ok((false, format!("no SSH server answered: {}", quoted(&line)))),
        (None, Ok(Login::Refused(line))) => Err(format!("the SSH client said {}", quoted(&line))),
        (None, Err(why)) => Err(why),
    }
}

pub(super) fn file(answer: &Answer, path: &str, matches: Option<&str>, lacks: Option<&str>, exists: bool) -> Verdict {
    let (text, cut) = match answer {
        Answer::Text { text, cut } => (text, *cut),
        Answer::Missing => return Ok((!exists, format!("{path} does not exist"))),
        Answer::NotAsked { reason } => return Err(quoted(reason)),
        Answer::Output { .. } => return Err("a program's output was recorded where a file belongs".into()),
    };
    if !exists {
        return Ok((false, format!("{path} exists")));
    }
    let mut told = Vec::new();
    let mut holds = true;
    if let Some(pattern) = matches {
        let expression = expression(pattern)?;
        match text.lines().find(|l| expression.is_match(l)) {
            Some(line) => told.push(format!("found {}", quoted(line))),
            None if cut => return Err(format!("{path} is too long to be judged")),
            None => {
                holds = false;
                told.push("no line matches".into());
            }
        }
    }
    if let Some(pattern) = lacks {
        let expression = expression(pattern)?;
        match text.lines().find(|l| expression.is_match(l)) {
            Some(line) => {
                holds = false;
                told.push(format!("there is still {}", quoted(line)));
            }
            None if cut => return Err(format!("{path} is too long to be judged")),
            None => told.push("the unwanted line is not there".into()),
        }
    }
    Ok((holds, if told.is_empty() { format!("{path} exists") } else { format!("in {path} {}", told.join(", and ")) }))
}

pub(super) fn log(answer: &Answer, path: &str, line: &str, present: bool) -> Verdict {
    let (text, cut) = match answer {
        Answer::Text { text, cut } => (text.as_str(), *cut),
        Answer::Missing => ("", false),
        Answer::NotAsked { reason } => return Err(quoted(reason)),
        Answer::Output { .. } => return Err("a program's output was recorded where a file belongs".into()),
    };
    // A log that does not exist can hold no line, but it proves no absence either.
    if matches!(answer, Answer::Missing) {
        return Ok((false, format!("{path} does not exist")));
    }
    let expression = expression(line)?;
    match text.lines().rev().find(|l| expression.is_match(l)) {
        Some(found) => Ok((present, format!("{path} says {}", quoted(found)))),
        None if cut && !present => Err(format!("{path} is too long to be judged")),
        None => Ok((!present, format!("no such line in {path}"))),
    }
}

pub(super) fn command(p: &Printed<'_>, exit: Option<i32>, output: Option<&str>) -> Verdict {
    // 126 and 127 are the shell's way to say that nothing ran.
    if matches!(p.exit, 126 | 127) && exit != Some(p.exit) {
        return Err(p.broke());
    }
    let mut holds = match (exit, output) {
        (Some(want), _) => p.exit == want,
        (None, None) => p.exit == 0,
        (None, Some(_)) => true,
    };
    if let Some(pattern) = output {
        let expression = expression(pattern)?;
        let found = p.out.lines().any(|l| expression.is_match(l));
        if !found && p.cut {
            return Err("the output was too long to be judged".into());
        }
        holds &= found;
    }
    Ok((holds, format!("it ended with {} and printed {}", p.exit, quoted(p.out))))
}
