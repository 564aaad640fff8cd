//! How each probe is asked: pure, probe in, question out. Scripts are for the fabric's own programs (dash, iproute2 6.1,
//! dig 9.18, curl 7.88, OpenSSH 9.2, vtysh 8.4) with machine-readable output wherever the program has one.

use super::observation::Ask;
use super::quote::{sh_line, sh_quote};
use crate::template::scenario::{From, Probe, Proto};
use std::net::IpAddr;
use std::time::Duration;

/// A question, what the script gets on standard input (secrets), and how long the answer may take.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    pub ask: Ask,
    pub stdin: Vec<u8>,
    pub limit: Duration,
    /// Whether it only reads state (answers in milliseconds), so that it is not batched with slow ones.
    pub quick: bool,
}

/// Bytes of a file that are recorded; a log keeps its end.
const FILE_KEEP: usize = 256 * 1024;
/// Largest file that is fetched from a node at all.
pub const FILE_MAX: usize = 4 * 1024 * 1024;
/// Stands between the two parts of a zone transfer's answer; dig never begins a line so.
pub(super) const PART: &str = ";;;part";
/// Begins the one line about the exchange that curl writes after everything else.
pub(super) const HTTP_MARK: &str = "FORGE-HTTP";

/// The question that a probe asks.
pub fn question(probe: &Probe) -> Question {
    let node = |n: &String| From::Node(n.clone());
    match probe {
        Probe::Interface { node: n, .. } => state(node(n), "ip -j addr show".into()),
        Probe::Route { node: n, to, .. } => {
            let family = if to.addr().is_ipv4() { "-4" } else { "-6" };
            state(node(n), format!("ip -j {family} route show match {}", sh_quote(&to.trunc().to_string())))
        }
        Probe::Listening { node: n, proto, .. } => {
            let flag = if *proto == Proto::Tcp { "-t" } else { "-u" };
            state(node(n), format!("ss -H -l -n {flag}"))
        }
        Probe::Process { node: n, .. } => state(node(n), format!("exec perl -e {}", sh_quote(PROCESSES))),
        Probe::File { node, path, .. } | Probe::Log { node, path, .. } => Question {
            ask: Ask::File { node: node.clone(), path: path.clone(), keep: FILE_KEEP },
            stdin: Vec::new(),
            limit: Duration::from_secs(5),
            quick: true,
        },
        Probe::Ping { from, to, .. } => {
            let to = to.to_string();
            // One echo settles the usual case in a round trip; a lost first packet (ARP) gets two more.
            slow(from, format!("ping -n -q -c 1 -W 1 {to} || ping -n -q -c 2 -i 0.2 -W 1 {to}"), 6)
        }
        Probe::Path { from, to, .. } => slow(from, format!("traceroute -n -q 2 -w 1 -m 16 {to}"), 12),
        Probe::Tcp { from, to, port, .. } => slow(from, format!("nc -n -v -z -w 3 {to} {port} </dev/null"), 6),
        Probe::Dns { from, server, name, rtype, .. } => {
            let name = reverse_name(name, rtype);
            let dig = sh_line(&["dig", "-r", &format!("@{server}"), "-q", &name, "-t", rtype]);
            slow(from, format!("{dig} +time=2 +tries=2 +nocookie +noall +comments +answer +nottlid"), 8)
        }
        Probe::ZoneTransfer { from, server, zone, .. } => slow(from, zone_transfer(server, zone), 10),
        Probe::Http { from, url, .. } => {
            let mark = format!("%{{stderr}}\\n{HTTP_MARK} %{{http_code}} %{{exitcode}}\\n");
            let curl = sh_line(&[
                "curl", "-q", "-sS", "-g", "-k", "--proto", "=http,https", "--noproxy", "*", "--max-time", "5",
                "--max-filesize", "1000000", "-w", &mark, "--", url,
            ]);
            slow(from, curl, 8)
        }
        Probe::Ssh { from, to, port, user, key, password, command, .. } => {
            ssh(from, *to, *port, user, key.as_deref(), password.as_deref(), command.as_deref())
        }
        Probe::SshMethods { from, to, port, user, .. } => {
            let options = ["-o", "PreferredAuthentications=none", "-o", "LogLevel=DEBUG1"];
            slow(from, ssh_script(*to, *port, user, &options, "", "true"), 10)
        }
        Probe::OspfNeighbours { node: n, .. } => state(
            node(n),
            "test -n \"$NODE_PID\" || exit 126\nexec vtysh --vty_socket \"/proc/$NODE_PID/root/run/frr\" -c 'show ip ospf neighbor json'"
                .into(),
        ),
        Probe::Packets { on, filter, for_ms, .. } => Question {
            ask: Ask::Capture { link: on.clone(), filter: filter.clone(), for_ms: *for_ms },
            stdin: Vec::new(),
            limit: Duration::from_millis(*for_ms) + Duration::from_secs(5),
            quick: false,
        },
        Probe::Command { on, inside: true, argv, .. } => Question {
            ask: Ask::Inside { node: on.clone(), argv: argv.clone() },
            stdin: Vec::new(),
            limit: Duration::from_secs(15),
            quick: false,
        },
        Probe::Command { on, inside: false, argv, .. } => slow(&node(on), format!("exec {}", sh_line(argv)), 15),
    }
}

fn state(from: From, script: String) -> Question {
    Question { ask: Ask::Look { from, script }, stdin: Vec::new(), limit: Duration::from_secs(5), quick: true }
}

fn slow(from: &From, script: String, seconds: u64) -> Question {
    let ask = Ask::Look { from: from.clone(), script };
    Question { ask, stdin: Vec::new(), limit: Duration::from_secs(seconds), quick: false }
}

/// Names of the living processes in the PID namespace of the node's init, one per line, anything unprintable as `?`.
const PROCESSES: &str = r#"
my $p = $ENV{NODE_PID} or exit 126;
my $own = readlink("/proc/$p/ns/pid") or exit 126;
for my $d (glob "/proc/[0-9]*") {
  my $ns = readlink("$d/ns/pid");
  next unless defined $ns && $ns eq $own;
  open(my $s, "<", "$d/stat") or next; local $/; my $stat = <$s>;
  next unless $stat =~ /.*\) (\S)/s and $1 ne "Z" and $1 ne "X";
  open(my $f, "<", "$d/comm") or next; my $name = <$f>; chop $name;
  $name =~ s/[^ -~]/?/g; print "$name\n";
}"#;

/// An address asked for as PTR means its name below in-addr.arpa or ip6.arpa (RFC 1035 3.5, RFC 3596 2.5).
fn reverse_name(name: &str, rtype: &str) -> String {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) if rtype.eq_ignore_ascii_case("PTR") => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa")
        }
        Ok(IpAddr::V6(v6)) if rtype.eq_ignore_ascii_case("PTR") => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|b| [b & 15, b >> 4]).map(|n| format!("{n:x}."));
            format!("{}ip6.arpa", nibbles.collect::<String>())
        }
        _ => name.to_owned(),
    }
}

/// The zone's SOA first, as the control: a server that does not serve the zone refuses nothing.
fn zone_transfer(server: &IpAddr, zone: &str) -> String {
    let at = format!("@{server}");
    let soa = sh_line(&["dig", "-r", &at, "-q", zone, "-t", "SOA"]);
    let axfr = sh_line(&["dig", "-r", &at, "-q", zone, "-t", "AXFR"]);
    format!(
        "{soa} +time=2 +tries=2 +nocookie +noall +comments +answer +nottlid\necho '{PART}'\n{axfr} +time=3 +tries=1 +noall +answer +nottlid\nexit 0"
    )
}

fn ssh(
    from: &From,
    to: IpAddr,
    port: u16,
    user: &str,
    key: Option<&str>,
    password: Option<&str>,
    command: Option<&str>,
) -> Question {
    let command = command.unwrap_or("true");
    let (script, secret) = match (key, password) {
        (Some(key), _) => {
            let options = ["-o", "PreferredAuthentications=publickey", "-o", "BatchMode=yes"];
            (ssh_script(to, port, user, &options, "-i \"$WORK/secret\"", command), format!("{}\n", key.trim_end()))
        }
        (None, Some(password)) => {
            let options = [
                "-o",
                "PreferredAuthentications=password,keyboard-interactive",
                "-o",
                "PubkeyAuthentication=no",
                "-o",
                "NumberOfPasswordPrompts=1",
            ];
            (ssh_script(to, port, user, &options, "password", command), format!("{password}\n"))
        }
        (None, None) => {
            let options = ["-o", "PreferredAuthentications=none", "-o", "BatchMode=yes"];
            (ssh_script(to, port, user, &options, "", command), String::new())
        }
    };
    let mut question = slow(from, script, 14);
    question.stdin = secret.into_bytes();
    question
}

/// The client's own log goes to a file and is printed last, on standard error; what the server makes the client show (the
/// banner) is discarded, so that it cannot pose as the log.
fn ssh_script(to: IpAddr, port: u16, user: &str, options: &[&str], secret: &str, command: &str) -> String {
    let mut words = vec!["ssh", "-F", "/dev/null", "-T", "-x", "-a", "-E"];
    let mut line = sh_line(&words);
    line.push_str(" \"$WORK/log\" ");
    let (port, to) = (port.to_string(), to.to_string());
    words = vec!["-p", &port, "-l", user];
    if !options.iter().any(|o| o.starts_with("LogLevel")) {
        words.extend(["-o", "LogLevel=VERBOSE"]);
    }
    for fixed in [
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "GlobalKnownHostsFile=/dev/null",
        "IdentitiesOnly=yes",
        "ConnectTimeout=4",
        "ConnectionAttempts=1",
        "ServerAliveInterval=2",
        "ServerAliveCountMax=2",
    ] {
        words.extend(["-o", fixed]);
    }
    words.extend(options);
    line.push_str(&sh_line(&words));
    let mut prepare =
        "umask 077; cat >\"$WORK/secret\"; : >\"$WORK/log\"; export SSH_AUTH_SOCK= HOME=\"$WORK\"".to_owned();
    let mut program = "timeout 10".to_owned();
    match secret {
        "password" => program.push_str(" sshpass -f \"$WORK/secret\""),
        "" => prepare.push_str("; : >\"$WORK/secret\""),
        identity => {
            line.push(' ');
            line.push_str(identity);
        }
    }
    let tail = sh_line(&["--", &to, command]);
    format!("{prepare}\n{program} {line} {tail} </dev/null 2>/dev/null | head -c 60000\ncat \"$WORK/log\" >&2\nexit 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_by_their_reverse_names() {
        assert_eq!(reverse_name("10.1.2.3", "ptr"), "3.2.1.10.in-addr.arpa");
        assert!(reverse_name("2001:db8::1", "PTR").starts_with("1.0.0.0."));
        assert_eq!(reverse_name("10.1.2.3", "A"), "10.1.2.3");
    }

    #[test]
    fn hostile_values_stay_one_word() {
        let dns = Probe::Dns {
            from: From::Node("pc".into()),
            server: IpAddr::from([10, 0, 0, 1]),
            name: "+short; reboot".into(),
            rtype: "A".into(),
            answer: None,
            rcode: None,
            authoritative: None,
        };
        let Ask::Look { script, .. } = question(&dns).ask else { unreachable!() };
        assert!(script.contains("-q '+short; reboot' -t A"), "{script}");
    }

    #[test]
    fn secrets_travel_on_standard_input_only() {
        let from = From::Node("pc".into());
        let q = ssh(&from, IpAddr::from([10, 0, 0, 1]), 22, "root", None, Some("hunter2"), None);
        assert_eq!(q.stdin, b"hunter2\n");
        assert!(!format!("{:?}", q.ask).contains("hunter2"));
    }
}
