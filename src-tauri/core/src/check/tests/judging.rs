//! Judging as data: probe, answer, outcome, and a word that the learner must read.

use crate::api::OutcomeKind::{self, Error, Fail, Pass};
use crate::check::ask::question;
use crate::check::{Answer, Ask, Observation, judge};
use crate::template::scenario::Probe;
use proptest::prelude::*;
use serde_json::json;

fn probe(value: serde_json::Value) -> Probe {
    serde_json::from_value(value).unwrap()
}

fn out(exit: i32, stdout: &str, stderr: &str) -> Answer {
    Answer::Output { exit, stdout: stdout.into(), stderr: stderr.into(), cut: false }
}

fn text(text: &str) -> Answer {
    Answer::Text { text: text.into(), cut: false }
}

fn judged(probe: &Probe, answered: Answer) -> crate::check::Judged {
    judge(probe, &Observation { asked: question(probe).ask, answered, at_ms: 1 })
}

#[track_caller]
fn case(p: serde_json::Value, answer: Answer, outcome: OutcomeKind, word: &str) {
    let p = probe(p);
    let j = judged(&p, answer);
    assert_eq!(j.outcome, outcome, "{j:?}");
    assert!(j.seen.contains(word), "“{word}” is not in {j:?}");
    assert!(!j.expected.is_empty());
}

const ADDR: &str = r#"[{"ifname":"eth1","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"addr_info":[{"family":"inet","local":"10.0.0.1","prefixlen":24}]},
 {"ifname":"eth2","flags":["NO-CARRIER","BROADCAST","UP"],"addr_info":[]}]"#;

#[test]
fn interface() {
    let p = |i: &str, more: serde_json::Value| {
        let mut v = json!({"probe":"interface","node":"r1","interface":i});
        v.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        v
    };
    case(p("eth1", json!({"address":"10.0.0.1/24"})), out(0, ADDR, ""), Pass, "is up");
    case(p("eth1", json!({"address":"10.0.0.1/25"})), out(0, ADDR, ""), Fail, "10.0.0.1/24");
    case(p("eth2", json!({})), out(0, ADDR, ""), Fail, "without a carrier");
    case(p("eth2", json!({"up":false})), out(0, ADDR, ""), Pass, "without a carrier");
    case(p("eth9", json!({})), out(0, ADDR, ""), Fail, "no interface eth9");
    case(p("eth1", json!({})), out(127, "", "ip: not found"), Error, "missing");
    case(p("eth1", json!({})), out(0, "[{]", ""), Error, "JSON");
    let cut = Answer::Output { exit: 0, stdout: ADDR.into(), stderr: String::new(), cut: true };
    case(p("eth1", json!({})), cut, Error, "too long");
}

#[test]
fn route() {
    let table = r#"[{"dst":"default","gateway":"10.0.0.254","dev":"eth1","protocol":"static","flags":[]},
      {"dst":"172.16.0.0/16","gateway":"10.0.0.9","dev":"eth1","protocol":"ospf","metric":20,"flags":[]},
      {"dst":"172.16.5.0/24","protocol":"188","metric":20,"flags":[],"nexthops":[{"gateway":"10.0.0.2","dev":"eth1","weight":1,"flags":[]},{"gateway":"10.0.1.2","dev":"eth2","weight":1,"flags":["linkdown"]}]}]"#;
    let p = |v: serde_json::Value| {
        let mut all = json!({"probe":"route","node":"r1","to":"172.16.5.7/32"});
        all.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
        all
    };
    case(p(json!({"via_protocol":"ospf"})), out(0, table, ""), Pass, "from ospf");
    case(p(json!({"via_protocol":"static"})), out(0, table, ""), Fail, "from ospf");
    case(p(json!({"via":"10.0.0.2"})), out(0, table, ""), Pass, "via 10.0.0.2");
    case(p(json!({"via":"10.0.1.2"})), out(0, table, ""), Fail, "via 10.0.0.2");
    case(p(json!({"present":false})), out(0, table, ""), Fail, "172.16.5.0/24");
    case(p(json!({"present":false,"via_protocol":"static"})), out(0, table, ""), Pass, "from ospf");
    let only_default = r#"[{"dst":"default","gateway":"10.0.0.254","dev":"eth1","protocol":"static","flags":[]}]"#;
    case(p(json!({})), out(0, only_default, ""), Fail, "no route");
    case(p(json!({"to":"0.0.0.0/0"})), out(0, only_default, ""), Pass, "0.0.0.0/0");
    let dead = r#"[{"dst":"172.16.5.7","dev":"eth1","protocol":"static","flags":["linkdown"]},{"type":"unreachable","dst":"172.16.5.0/24","dev":"lo","protocol":"static","flags":[]}]"#;
    case(p(json!({})), out(0, dead, ""), Fail, "no route");
    case(p(json!({})), out(0, r#"[{"dst":"10.0.0.0/99"}]"#, ""), Error, "not understood");
    case(p(json!({})), Answer::NotAsked { reason: "r1 is not running".into() }, Error, "r1 is not running");
}

#[test]
fn listening() {
    let table =
        "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\nLISTEN 0 511 [::]:80 [::]:*\nLISTEN 0 5 127.0.0.53%lo:53 0.0.0.0:*\n";
    let p = |port: u16, listening: bool| json!({"probe":"listening","node":"s","proto":"tcp","port":port,"listening":listening});
    case(p(80, true), out(0, table, ""), Pass, "[::]");
    case(p(443, true), out(0, table, ""), Fail, "open ports: 22, 53 and 80");
    case(p(22, false), out(0, table, ""), Fail, "port 22 is open");
    case(p(23, false), out(0, table, ""), Pass, "nothing listens on 23");
    case(p(23, false), out(1, "", "Cannot open netlink socket"), Error, "netlink");
    case(p(23, false), out(0, "garbage", ""), Error, "not understood");
    case(p(23, false), out(0, "LISTEN 0 1 here:there x", ""), Error, "not understood");
}

#[test]
fn process() {
    let p = |name: &str, running: bool| json!({"probe":"process","node":"s","name":name,"running":running});
    case(p("sshd", true), out(0, "tini\nsshd\nsshd\n", ""), Pass, "2 processes");
    case(p("nginx", true), out(0, "tini\nsshd\n", ""), Fail, "no nginx");
    case(p("nginx", false), out(0, "tini\n", ""), Pass, "no nginx");
    case(p("nginx", false), out(0, "", ""), Error, "not even");
    case(p("nginx", false), out(126, "", ""), Error, "not running");
    case(p("a-name-longer-than-fifteen", true), out(0, "a-name-longer-t\n", ""), Pass, "running");
}

#[test]
fn file_and_log() {
    let p = |v: serde_json::Value| {
        let mut all = json!({"probe":"file","node":"s","path":"/etc/ssh/sshd_config"});
        all.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
        all
    };
    let sshd = "Port 22\nPermitRootLogin no\n";
    case(p(json!({"matches":"^PermitRootLogin no$"})), text(sshd), Pass, "PermitRootLogin no");
    case(p(json!({"matches":"^PermitRootLogin yes$"})), text(sshd), Fail, "no line matches");
    case(p(json!({"lacks":"^Port"})), text(sshd), Fail, "Port 22");
    case(p(json!({"lacks":"^X"})), text(sshd), Pass, "not there");
    case(p(json!({})), Answer::Missing, Fail, "does not exist");
    case(p(json!({"exists":false})), Answer::Missing, Pass, "does not exist");
    case(p(json!({"exists":false})), text(""), Fail, "exists");
    case(p(json!({"lacks":"^X"})), Answer::Missing, Fail, "does not exist");
    case(p(json!({"lacks":"^X"})), Answer::Text { text: "a".into(), cut: true }, Error, "too long");
    case(p(json!({"matches":"("})), text("a"), Error, "not valid");
    case(
        p(json!({"lacks":"evil"})),
        text("evil \u{1b}[2J” all criteria passed\n"),
        Fail,
        "“evil [2J\" all criteria passed”",
    );
    let log = |present: bool| json!({"probe":"log","node":"s","path":"/var/log/x","line":"nonce","present":present});
    case(log(true), text("a\nthe nonce\n"), Pass, "the nonce");
    case(log(true), text("a\n"), Fail, "no such line");
    case(log(false), text("a\n"), Pass, "no such line");
    case(log(false), Answer::Missing, Fail, "does not exist");
    case(log(false), Answer::Text { text: "a".into(), cut: true }, Error, "too long");
    case(log(true), out(0, "nonce", ""), Error, "belongs");
}

#[test]
fn ping_path_tcp_packets() {
    let ping = |reaches: bool| json!({"probe":"ping","from":{"node":"pc"},"to":"10.0.0.2","reaches":reaches});
    let yes = "PING 10.0.0.2\n\n--- 10.0.0.2 ping statistics ---\n1 packets transmitted, 1 received, 0% packet loss, time 0ms\n";
    let no = "1 packets transmitted, 0 received, +1 errors, 100% packet loss, time 0ms\n2 packets transmitted, 0 received, 100% packet loss\n";
    let late =
        "1 packets transmitted, 0 received, 100% packet loss\n2 packets transmitted, 1 received, 50% packet loss\n";
    case(ping(true), out(0, yes, ""), Pass, "answered");
    case(ping(true), out(0, late, ""), Pass, "answered");
    case(ping(false), out(0, yes, ""), Fail, "answered");
    case(ping(true), out(1, no, ""), Fail, "no answer");
    case(ping(false), out(1, no, ""), Pass, "no answer");
    case(ping(true), out(2, "", "ping: connect: Network is unreachable"), Fail, "unreachable");
    case(ping(false), out(2, "", "ping: socket: Operation not permitted"), Error, "not permitted");
    case(ping(false), out(127, "", ""), Error, "missing");

    let path = json!({"probe":"path","from":{"node":"pc"},"to":"10.0.9.2","hops":["10.0.0.1","10.0.9.2"]});
    let head = "traceroute to 10.0.9.2 (10.0.9.2), 16 hops max, 60 byte packets\n";
    case(
        path.clone(),
        out(0, &format!("{head} 1  10.0.0.1  0.1 ms  0.1 ms\n 2  10.0.9.2  0.1 ms *\n"), ""),
        Pass,
        "10.0.0.1 → 10.0.9.2",
    );
    case(path.clone(), out(0, &format!("{head} 1  10.0.0.9  0.1 ms\n 2  10.0.9.2  0.1 ms\n"), ""), Fail, "10.0.0.9");
    case(path.clone(), out(0, &format!("{head} 1  10.0.0.1  0.1 ms\n 2  * *\n 3  * *\n"), ""), Fail, "no answer");
    case(path.clone(), out(1, head, "connect: Network is unreachable"), Fail, "unreachable");
    case(path, out(127, "", ""), Error, "missing");

    let tcp =
        |accepted: bool| json!({"probe":"tcp","from":{"node":"pc"},"to":"10.0.0.2","port":22,"accepted":accepted});
    case(tcp(true), out(0, "", "Connection to 10.0.0.2 22 port [tcp/*] succeeded!"), Pass, "accepted");
    case(tcp(false), out(0, "", ""), Fail, "accepted");
    case(tcp(true), out(1, "", "nc: connect to 10.0.0.2 port 22 (tcp) failed: Connection refused"), Fail, "refused");
    case(
        tcp(false),
        out(1, "", "nc: connect to 10.0.0.2 port 22 (tcp) timed out: Operation now in progress"),
        Pass,
        "timed out",
    );
    case(tcp(false), out(1, "", "nc: unknown option"), Error, "unknown option");
    case(tcp(false), out(127, "", ""), Error, "missing");

    let packets = |seen: bool| json!({"probe":"packets","on":"lan","filter":"proto ospf","for_ms":4000,"seen":seen});
    case(packets(false), out(0, "\n", "listening on b4, link-type EN10MB\n"), Pass, "no such packet");
    case(packets(false), out(0, "", ""), Error, "did not begin");
    case(packets(false), out(124, "12:00 IP 10.0.0.1 > 224.0.0.5: OSPFv2\n", ""), Fail, "224.0.0.5");
    case(packets(true), out(143, "a\nb\n", ""), Pass, "2 packets");
    case(packets(false), out(1, "", "tcpdump: syntax error"), Error, "syntax error");
}

#[test]
fn dns() {
    let head = |status: &str, flags: &str| {
        format!(
            ";; Got answer:\n;; ->>HEADER<<- opcode: QUERY, status: {status}, id: 7\n;; flags: {flags}; QUERY: 1, ANSWER: 1, AUTHORITY: 0, ADDITIONAL: 1\n\n;; OPT PSEUDOSECTION:\n; EDNS: version: 0\n;; ANSWER SECTION:\n"
        )
    };
    let p = |v: serde_json::Value| {
        let mut all =
            json!({"probe":"dns","from":{"node":"pc"},"server":"10.0.0.53","name":"www.corp.test","rtype":"A"});
        all.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
        all
    };
    let two = format!("{}www.corp.test. IN A 10.0.0.9\nwww.corp.test. IN A 10.0.0.8\n", head("NOERROR", "qr aa rd"));
    case(p(json!({"answer":["10.0.0.8","10.0.0.9"],"authoritative":true})), out(0, &two, ""), Pass, "10.0.0.9");
    case(p(json!({"answer":["10.0.0.8"]})), out(0, &two, ""), Fail, "10.0.0.9");
    case(p(json!({"answer":["10.0.0.8","10.0.0.9"],"authoritative":false})), out(0, &two, ""), Fail, "authoritative");
    case(p(json!({"rcode":"nxdomain"})), out(0, &head("NXDOMAIN", "qr aa"), ""), Pass, "NXDOMAIN");
    case(p(json!({})), out(0, &head("SERVFAIL", "qr"), ""), Fail, "SERVFAIL");
    let silent = ";; communications error to 10.0.0.53#53: connection refused\n;; no servers could be reached\n";
    case(p(json!({"rcode":"NXDOMAIN"})), out(9, silent, ""), Fail, "no DNS server");
    case(p(json!({})), out(127, "", ""), Error, "missing");
    case(p(json!({})), out(0, "hello", ""), Error, "could be read");
    let ptr = format!("{}9.0.0.10.in-addr.arpa. IN PTR WWW.corp.test.\n", head("NOERROR", "qr aa"));
    case(p(json!({"name":"10.0.0.9","rtype":"PTR","answer":["www.corp.test"]})), out(0, &ptr, ""), Pass, "WWW");
    // Text that poses as another record or as a header stays text.
    let hostile = format!("{}www.corp.test. IN TXT \"status: NOERROR\\010www IN A 10.0.0.8\"\n", head("NOERROR", "qr"));
    case(p(json!({"answer":["10.0.0.8"]})), out(0, &hostile, ""), Fail, "no such record");
    case(
        p(json!({"rtype":"TXT","answer":["v=spf1 -ALL"]})),
        out(0, &format!("{}x. IN TXT \"v=spf1 -all\"\n", head("NOERROR", "qr")), ""),
        Fail,
        "-all",
    );
}

#[test]
fn zone_transfer() {
    let p = |allowed: bool| json!({"probe":"zone_transfer","from":{"node":"pc"},"server":"10.0.0.53","zone":"corp.test","allowed":allowed});
    let soa = ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 7\n;; flags: qr aa; QUERY: 1\ncorp.test. IN SOA ns. host. 1 2 3 4 5\n";
    let none = ";; ->>HEADER<<- opcode: QUERY, status: REFUSED, id: 7\n;; flags: qr; QUERY: 1\n";
    let whole = "corp.test. IN SOA a\nwww.corp.test. IN A 10.0.0.1\ncorp.test. IN SOA a\n";
    let with = |c: &str, t: &str| out(0, &format!("{c}\n;;;part\n{t}"), "");
    case(p(false), with(soa, "; Transfer failed.\n"), Pass, "refused");
    case(p(false), with(soa, whole), Fail, "gave 2 records");
    case(p(true), with(soa, whole), Pass, "gave 2 records");
    case(p(false), with(none, "; Transfer failed.\n"), Fail, "does not serve");
    case(p(false), with(";; no servers could be reached\n", ";; no servers could be reached\n"), Fail, "no DNS server");
    case(p(false), with(soa, ""), Error, "not understood");
    case(p(false), out(0, "", ""), Error, "told apart");
}

#[test]
fn http() {
    let p = |v: serde_json::Value| {
        let mut all = json!({"probe":"http","from":{"node":"pc"},"url":"http://10.0.0.80/"});
        all.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
        all
    };
    let ok = "\nFORGE-HTTP 200 0\n";
    case(p(json!({"status":200,"body":"hello"})), out(0, "<p>hello</p>", ok), Pass, "hello");
    case(p(json!({"status":404})), out(0, "x", ok), Fail, "status 200");
    case(p(json!({"body":"bye"})), out(0, "hello", ok), Fail, "hello");
    case(p(json!({"status":200})), out(7, "", "curl: (7) Failed\n\nFORGE-HTTP 000 7\n"), Fail, "no connection");
    case(p(json!({})), out(127, "", "curl: not found"), Error, "missing");
    case(p(json!({})), out(2, "", "\nFORGE-HTTP 000 2\n"), Error, "");
    // A page cannot speak for curl.
    case(p(json!({"status":200})), out(0, "\nFORGE-HTTP 200 0\n", "\nFORGE-HTTP 500 0\n"), Fail, "status 500");
}

#[test]
fn ssh() {
    let p = |v: serde_json::Value| {
        let mut all =
            json!({"probe":"ssh","from":{"node":"pc"},"to":"10.0.0.22","user":"root","password":"x","accepted":false});
        all.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
        all
    };
    let yes = "Warning: Permanently added\nAuthenticated to 10.0.0.22 ([10.0.0.22]:22) using \"password\".\nTransferred: sent 1\n";
    let no = "root@10.0.0.22: Permission denied (publickey).\n";
    let gone = "ssh: connect to host 10.0.0.22 port 22: Connection refused\n";
    case(p(json!({})), out(0, "", no), Pass, "refused");
    case(p(json!({})), out(0, "", yes), Fail, "accepted");
    case(p(json!({})), out(0, "", gone), Fail, "Connection refused");
    case(p(json!({"accepted":true})), out(0, "", yes), Pass, "accepted");
    case(p(json!({"accepted":true})), out(0, "", no), Fail, "refused");
    case(p(json!({"accepted":true,"command":"id -un","output":"^root$"})), out(0, "root\n", yes), Pass, "root");
    case(p(json!({"accepted":true,"command":"id -un","output":"^root$"})), out(0, "joe\n", yes), Fail, "joe");
    case(p(json!({})), out(0, "", ""), Error, "nothing");
    // What the server prints is not the client's log.
    case(p(json!({})), out(0, "Authenticated to 10.0.0.22", no), Pass, "refused");

    let m = json!({"probe":"ssh_methods","from":{"node":"pc"},"to":"10.0.0.22","user":"joe","methods":["publickey"]});
    let offer = |o: &str| {
        format!(
            "debug1: Connecting\ndebug1: Authentications that can continue: {o}\njoe@10.0.0.22: Permission denied ({o}).\n"
        )
    };
    case(m.clone(), out(0, "", &offer("publickey")), Pass, "publickey");
    case(m.clone(), out(0, "", &offer("publickey,password")), Fail, "password");
    case(m.clone(), out(0, "", yes), Fail, "without any credential");
    case(m.clone(), out(0, "", gone), Fail, "no SSH server");
    case(m, out(0, "", ""), Error, "nothing");
}

#[test]
fn ospf() {
    let p = |full: &[&str], exact: bool| json!({"probe":"ospf_neighbours","node":"r1","full":full,"exact":exact});
    let table = r#"{"neighbors":{"2.2.2.2":[{"priority":1,"state":"Full/DR","nbrState":"Full/DR","converged":"Full"}],"3.3.3.3":[{"nbrState":"Init/DROther","state":"Init/DROther","converged":"Init"}]}}"#;
    case(p(&["2.2.2.2"], false), out(0, table, ""), Pass, "2.2.2.2");
    case(p(&["2.2.2.2"], true), out(0, table, ""), Pass, "Init/DROther");
    case(p(&["2.2.2.2", "3.3.3.3"], false), out(0, table, ""), Fail, "Init/DROther");
    case(p(&[], true), out(0, table, ""), Fail, "2.2.2.2");
    case(p(&["2.2.2.2"], false), out(0, "% OSPF instance not found\n", ""), Fail, "not running");
    case(p(&["2.2.2.2"], false), out(1, "", "Exiting: failed to connect to any daemons.\n"), Fail, "not running");
    case(p(&["2.2.2.2"], false), out(126, "", ""), Error, "not running");
    case(p(&["2.2.2.2"], false), out(0, "{}trailing", ""), Error, "JSON");
}

#[test]
fn command() {
    let p = |v: serde_json::Value| {
        let mut all = json!({"probe":"command","on":"pc","argv":["true"]});
        all.as_object_mut().unwrap().extend(v.as_object().unwrap().clone());
        all
    };
    case(p(json!({})), out(0, "", ""), Pass, "ended with 0");
    case(p(json!({})), out(1, "", ""), Fail, "ended with 1");
    case(p(json!({"exit":1})), out(1, "", ""), Pass, "ended with 1");
    case(p(json!({"output":"^ok$"})), out(3, "x\nok\n", ""), Pass, "ok");
    case(p(json!({"output":"^ok$"})), out(0, "nok\n", ""), Fail, "nok");
    case(p(json!({"exit":1})), out(127, "", ""), Error, "missing");
    case(p(json!({"exit":127})), out(127, "", ""), Pass, "127");
}

#[test]
fn an_answer_to_another_question_proves_nothing() {
    let p = probe(json!({"probe":"ping","from":{"node":"pc"},"to":"10.0.0.2"}));
    let other = probe(json!({"probe":"ping","from":{"node":"pc"},"to":"127.0.0.1"}));
    let answered = out(0, "1 packets transmitted, 1 received, 0% packet loss", "");
    let j = judge(&p, &Observation { asked: question(&other).ask, answered, at_ms: 0 });
    assert_eq!(j.outcome, Error);
}

#[test]
fn what_the_lab_holds_back_is_asked_inside() {
    let p = probe(json!({"probe":"command","on":"pc","inside":true,"argv":["cat","/x y"]}));
    assert_eq!(question(&p).ask, Ask::Inside { node: "pc".into(), argv: vec!["cat".into(), "/x y".into()] });
}

fn all_probes() -> Vec<Probe> {
    let node = json!({"node":"pc"});
    [
        json!({"probe":"interface","node":"a","interface":"eth1","address":"10.0.0.1/24"}),
        json!({"probe":"route","node":"a","to":"10.0.0.0/24"}),
        json!({"probe":"listening","node":"a","proto":"udp","port":53}),
        json!({"probe":"process","node":"a","name":"x"}),
        json!({"probe":"file","node":"a","path":"/x","matches":"a"}),
        json!({"probe":"log","node":"a","path":"/x","line":"a"}),
        json!({"probe":"ping","from":node,"to":"10.0.0.1"}),
        json!({"probe":"path","from":node,"to":"10.0.0.1","hops":["10.0.0.1"]}),
        json!({"probe":"tcp","from":node,"to":"10.0.0.1","port":1}),
        json!({"probe":"dns","from":node,"server":"10.0.0.1","name":"a","rtype":"A","answer":["10.0.0.1"]}),
        json!({"probe":"zone_transfer","from":node,"server":"10.0.0.1","zone":"a"}),
        json!({"probe":"http","from":node,"url":"http://a/","body":"x"}),
        json!({"probe":"ssh","from":node,"to":"10.0.0.1","user":"a","accepted":true,"output":"x"}),
        json!({"probe":"ssh_methods","from":node,"to":"10.0.0.1","user":"a","methods":["publickey"]}),
        json!({"probe":"ospf_neighbours","node":"a","full":["1.1.1.1"]}),
        json!({"probe":"packets","on":"l","filter":"ip","for_ms":1,"seen":true}),
        json!({"probe":"command","on":"a","argv":["x"],"output":"x"}),
    ]
    .into_iter()
    .map(probe)
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    /// Whatever comes back, judging ends with an outcome and one short, printable line; silence never passes.
    #[test]
    fn hostile_output_is_only_shown(exit in -20i32..300, a in ".{0,200}", b in ".{0,200}", cut: bool) {
        for p in all_probes() {
            let j = judged(&p, Answer::Output { exit, stdout: a.clone(), stderr: b.clone(), cut });
            prop_assert!(!j.seen.chars().any(char::is_control), "{:?}", j.seen);
            prop_assert!(j.seen.chars().count() < 4000);
            let t = judged(&p, Answer::Text { text: a.clone(), cut });
            prop_assert!(!t.seen.chars().any(char::is_control));
        }
    }
}

#[test]
fn nothing_asked_is_always_an_error() {
    for p in all_probes() {
        let j = judged(&p, Answer::NotAsked { reason: "the node is down".into() });
        assert_eq!(j.outcome, Error, "{p:?}");
        assert!(j.seen.contains("the node is down"));
        assert!(matches!(judged(&p, out(127, "", "sh: not found")).outcome, Error), "{p:?}");
    }
}
