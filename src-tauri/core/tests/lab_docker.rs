//! A lab on a real Docker: launched, wired, looked at, disturbed, forwarded into, paused, cancelled, stopped.
//! Needs a daemon and the lab images (`forge images prepare`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use forge_core::api::{NodeState, Role, Step, StepState};
use forge_core::check::vantage::Vantage;
use forge_core::engine::{Docker, Engine, ExecSpec, label};
use forge_core::error::{Code, Error};
use forge_core::keys::Keys;
use forge_core::lab::{self, Forwarder, Identity, Images, Keeper, Live, Plan, Progress, Witness};
use forge_core::spawn::{self, Claims, Expected, SpentToken, TokenLimits};
use forge_core::store::Store;
use forge_core::template::scenario::*;
use forge_core::template::{Catalogue, Sources};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

const LIMIT: Duration = Duration::from_secs(10);

fn images() -> Images {
    ["host", "router", "server", "tools"].map(|i| (i.to_string(), format!("frostgate/{i}:latest"))).into()
}

fn node(name: &str, role: Role) -> Node {
    Node {
        name: name.into(),
        role,
        image: "host".into(),
        enter: true,
        caps: vec!["NET_ADMIN".into()],
        writable: vec!["/srv".into()],
        env: Default::default(),
        files: vec![],
        startup: String::new(),
        ready: vec![],
        hosts: Default::default(),
        gateway: None,
        forwarding: false,
        ports: Default::default(),
    }
}

fn endpoint(node: &str, interface: &str, address: &str) -> Endpoint {
    let addresses = address.split_whitespace().map(|a| a.parse().unwrap()).collect();
    Endpoint { node: node.into(), interface: interface.into(), addresses, mac: None }
}

fn link(id: &str, endpoints: Vec<Endpoint>) -> Link {
    Link { id: id.into(), segment: endpoints.len() > 2, endpoints, subnet: None, mtu: None, impairment: None }
}

/// A ring of `count` hosts; node i and the next share 10.0.i.0/24.
fn ring(count: usize) -> Scenario {
    let nodes = (1..=count).map(|i| node(&format!("n{i}"), Role::Client)).collect();
    let links = (1..=count).map(|i| {
        let next = i % count + 1;
        let (a, b) = (format!("10.0.{i}.1/24 fd00:{i}::1/64"), format!("10.0.{i}.2/24 fd00:{i}::2/64"));
        link(&format!("l{i}"), vec![endpoint(&format!("n{i}"), "eth1", &a), endpoint(&format!("n{next}"), "eth2", &b)])
    });
    Scenario {
        lab: "test".into(),
        title: "Test".into(),
        track: "test".into(),
        tier: "test".into(),
        version: "1.0.0".into(),
        digest: String::new(),
        seed: "1".into(),
        values: Default::default(),
        limits: Limits { cpu: 2.0, memory_mb: 256, timeout_minutes: 10, attacker_max_exploits: 0 },
        egress: Egress::Deny,
        nodes,
        links: links.collect(),
        criteria: vec![],
        hints: vec![],
        guide: String::new(),
    }
}

/// Four nodes in a ring and on one segment; n4 is trusted and serves HTTP on its segment address alone.
fn four() -> Scenario {
    let mut scenario = ring(4);
    let members = (1..=4).map(|i| endpoint(&format!("n{i}"), "lan0", &format!("192.168.7.{i}/24")));
    scenario.links.push(link("lan", members.collect()));
    let n4 = &mut scenario.nodes[3];
    n4.enter = false;
    n4.role = Role::Server;
    n4.files.push(NodeFile {
        path: "/srv/www/answer".into(),
        mode: 0o640,
        owner: Some("nobody:www-data".into()),
        content: b"forty-two".to_vec(),
    });
    n4.startup = "while printf 'HTTP/1.0 200 OK\\r\\nContent-Length: 9\\r\\n\\r\\nforty-two' | \
                  nc -l -N -s 192.168.7.4 -p 8080 >/dev/null; do :; done & "
        .into();
    n4.ready.push(Ready::Listen { proto: Proto::Tcp, port: 8080 });
    scenario.nodes[0].hosts.insert("peer".into(), "10.0.1.2".parse().unwrap());
    scenario
}

/// A token as a launch needs one: minted, verified and spent for this run, there being no other way.
async fn spent(run: &str, digest: &str) -> SpentToken {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open(home.path(), &mut rand::rng()).unwrap();
    let now = jiff::Timestamp::now();
    let claims = Claims {
        jti: run.into(),
        sub: "local".into(),
        tenant: "local".into(),
        request_id: run.into(),
        lab: "test".into(),
        template_digest: digest.into(),
        policy_digest: String::new(),
        plan: "practice".into(),
        tier: "test".into(),
        limits: TokenLimits { cpu_milli: 2000, memory_mb: 256, minutes: 10 },
        iat: now,
        exp: now + jiff::SignedDuration::from_millis(spawn::LIFE_MS),
    };
    let token = spawn::mint(&keys, &claims).unwrap();
    let store = Store::memory().unwrap();
    let run = run.to_owned();
    store
        .write(move |tx| {
            let expected = Expected {
                lab: &claims.lab,
                request_id: &claims.request_id,
                template_digest: &claims.template_digest,
                policy_digest: &claims.policy_digest,
            };
            spawn::spend(tx, &keys, &token, &expected, &run, now.as_millisecond())
        })
        .await
        .unwrap()
}

/// A run whose objects go when the test ends, however it ends.
struct Bed {
    engine: Arc<Docker>,
    identity: Identity,
}

impl Bed {
    fn new() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let identity = Identity { instance: format!("test-{}", &id[..8]), run: id[8..18].to_string() };
        Self { engine: Arc::new(Docker::from_env().unwrap()), identity }
    }

    async fn plan(&self, scenario: Scenario) -> Plan {
        let token = spent(&self.identity.run, &scenario.digest).await;
        Plan::new(token, self.identity.clone(), Arc::new(scenario), &images()).unwrap()
    }

    async fn launch(&self, scenario: Scenario) -> Arc<Live> {
        let plan = self.plan(scenario).await;
        lab::launch(self.engine.clone(), &plan, &Steps::default(), &CancellationToken::new()).await.unwrap()
    }

    async fn left(&self) -> usize {
        self.engine.list(&[(label::INSTANCE, &self.identity.instance)]).await.unwrap().len()
    }

    /// What a learner types.
    async fn inside(&self, live: &Live, node: &str, script: &str) -> (i64, String) {
        let spec = ExecSpec { argv: ["sh", "-c", script].map(String::from).into(), ..Default::default() };
        let out = self.engine.exec(&live.container(node).unwrap(), &spec, None, LIMIT).await.unwrap();
        (out.exit, String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let filter = format!("label={}={}", label::INSTANCE, self.identity.instance);
        let docker = |args: &[&str]| std::process::Command::new("docker").args(args).output().unwrap();
        let ids = String::from_utf8(docker(&["ps", "-aq", "--filter", &filter]).stdout).unwrap();
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            docker(&[&["rm", "-fv"], &ids[..]].concat());
        }
    }
}

#[derive(Default)]
struct Steps {
    seen: Mutex<Vec<Step>>,
    cancel_at: Option<(String, StepState, CancellationToken)>,
}

impl Progress for Steps {
    fn step(&self, step: Step) {
        if let Some((name, state, cancel)) = &self.cancel_at
            && (name, state) == (&step.name, &step.state)
        {
            cancel.cancel();
        }
        self.seen.lock().unwrap().push(step);
    }
}

async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let end = Instant::now() + Duration::from_secs(15);
    while !check().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn pings(live: &Live, from: &str, to: &str) -> bool {
    live.look(&From::Node(from.into()), &format!("ping -n -c1 -W1 {to}"), &[], LIMIT).await.unwrap().exit == 0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_is_what_its_scenario_says() {
    let bed = Bed::new();
    let steps = Steps::default();
    let plan = bed.plan(four()).await;
    let live = lab::launch(bed.engine.clone(), &plan, &steps, &CancellationToken::new()).await.unwrap();
    let done: Vec<String> =
        steps.seen.lock().unwrap().iter().filter(|s| s.state == StepState::Done).map(|s| s.name.clone()).collect();
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), 6, "{done:?}");

    for (from, to) in [("n1", "10.0.1.2"), ("n4", "10.0.4.2"), ("n2", "192.168.7.3"), ("n3", "fd00:3::2")] {
        assert!(pings(&live, from, to).await, "{from} → {to}");
    }
    assert!(!pings(&live, "n1", "10.0.3.1").await, "there is no route to the far side");
    // The learner's own view: the same interfaces, ping without a capability of its own, names from the template.
    let (exit, seen) =
        bed.inside(&live, "n1", "ls /sys/class/net; ping -c1 -W1 peer; cat /proc/sys/net/ipv4/ip_forward").await;
    assert_eq!(exit, 0, "{seen}");
    assert!(seen.starts_with("eth1\neth2\nlan0\nlo\n"), "{seen}");
    assert!(seen.ends_with("0\n"), "a host forwards nothing: {seen}");
    let (_, owner) = bed.inside(&live, "n4", "stat -c '%U:%G %a' /srv/www/answer").await;
    assert_eq!(owner.trim(), "nobody:www-data 640");
    assert_eq!(live.read_file("n4", "/srv/www/answer", 100).await.unwrap().unwrap(), b"forty-two");
    assert_eq!(live.inside("n4", &["hostname".into()], LIMIT).await.unwrap().stdout.trim(), "n4");
    assert_eq!(live.inside("n1", &["true".into()], LIMIT).await.unwrap_err().code, Code::Denied);

    // Everything can be found again from the labels alone.
    let again = Live::adopt(bed.engine.clone(), bed.identity.clone(), plan.scenario.clone()).await.unwrap();
    assert_eq!(again.containers(), live.containers());
    assert!(pings(&again, "n2", "10.0.1.1").await);

    let questions = ["echo $NODE_PID", "exit 3", "pwd; echo $WORK"].map(String::from);
    let many = live.look_many(&From::Node("n1".into()), &questions, LIMIT).await.unwrap();
    assert!(many[0].stdout.trim().parse::<u32>().is_ok());
    assert_eq!(many[1].exit, 3);
    let lines: Vec<&str> = many[2].stdout.lines().collect();
    assert_eq!(lines[0], lines[1]);
    let gone = live.look(&From::Node("n1".into()), &format!("ls -d {}", lines[0]), &[], LIMIT).await.unwrap();
    assert_ne!(gone.exit, 0, "the scratch directory is removed");

    lab::stop(bed.engine.as_ref(), &bed.identity).await.unwrap();
    assert_eq!(bed.left().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_are_bounded() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let n1 = From::Node("n1".into());
    let began = Instant::now();
    let late = live.look(&n1, "sleep 30 & sleep 30", &[], Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(late.code, Code::Timeout);
    assert!(began.elapsed() < Duration::from_millis(1300), "{:?}", began.elapsed());
    let flood = live.look(&n1, "yes | head -c 5000000; exit 4", &[], LIMIT).await.unwrap();
    assert_eq!((flood.exit, flood.truncated, flood.stdout.len()), (4, true, 1 << 20));
    let echo = live.look(&n1, "cat", &vec![b'x'; 300_000], LIMIT).await.unwrap();
    assert_eq!(echo.stdout.len(), 300_000);
    // What a script leaves running in the background ends with it and does not hold the answer up.
    let began = Instant::now();
    let left = live.look(&n1, "sleep 40 & echo $!", &[], LIMIT).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2));
    let alive = format!("kill -0 {}", left.stdout.trim());
    assert_ne!(live.look(&n1, &alive, &[], LIMIT).await.unwrap().exit, 0);
    let scripts: Vec<String> = (0..100).map(|i| format!("sleep 0.05; echo {i}")).collect();
    let began = Instant::now();
    let all = live.look_many(&n1, &scripts, LIMIT).await.unwrap();
    assert!(all.iter().enumerate().all(|(i, o)| o.stdout.trim() == i.to_string()));
    assert!(began.elapsed() < Duration::from_secs(4), "a hundred naps side by side took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_at_any_step_leaves_nothing() {
    for (name, state) in [
        ("create", StepState::Running),
        ("create", StepState::Done),
        ("start", StepState::Running),
        ("start", StepState::Done),
        ("wire", StepState::Running),
        ("wire", StepState::Done),
        ("startup", StepState::Running),
        ("ready", StepState::Running),
        ("isolation", StepState::Running),
        ("isolation", StepState::Done),
    ] {
        let bed = Bed::new();
        let cancel = CancellationToken::new();
        let steps = Steps { cancel_at: Some((name.into(), state, cancel.clone())), ..Default::default() };
        let outcome = lab::launch(bed.engine.clone(), &bed.plan(four()).await, &steps, &cancel).await;
        let error = outcome.err().unwrap_or_else(|| panic!("cancelled at {name} and yet ready"));
        assert_eq!(error, Error::cancelled(), "at {name} {state:?}");
        assert_eq!(bed.left().await, 0, "after cancelling at {name} {state:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_says_why_and_leaves_nothing() {
    type Case = (&'static str, fn(&mut Scenario), Code, &'static str);
    let cases: [Case; 3] = [
        ("startup", |s| s.nodes[1].startup = "echo no such thing >&2; exit 7".into(), Code::WrongState, "n2"),
        (
            "address",
            |s| s.links[0].endpoints[0].addresses.push("10.0.1.1/24".parse().unwrap()),
            Code::DockerFailed,
            "n1",
        ),
        (
            "owner",
            |s| {
                s.nodes[0].files.push(NodeFile {
                    path: "/srv/x".into(),
                    mode: 0o600,
                    owner: Some("nobody-here:root".into()),
                    content: vec![],
                })
            },
            Code::DockerFailed,
            "nobody-here",
        ),
    ];
    for (what, change, code, word) in cases {
        let bed = Bed::new();
        let mut scenario = ring(2);
        change(&mut scenario);
        let outcome =
            lab::launch(bed.engine.clone(), &bed.plan(scenario).await, &Steps::default(), &CancellationToken::new())
                .await;
        let error = outcome.err().unwrap_or_else(|| panic!("{what} did not fail"));
        assert_eq!(error.code, code, "{what}: {error:?}");
        assert!(error.message.contains(word), "{what}: {error:?}");
        if what == "startup" {
            assert!(error.hints.iter().any(|h| h.contains("no such thing")), "its log is shown: {error:?}");
        }
        assert_eq!(bed.left().await, 0, "after {what}");
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<(String, NodeState)>>);

impl Witness for Heard {
    fn node(&self, _: &str, node: &str, state: NodeState, _: &str) {
        self.0.lock().unwrap().push((node.into(), state));
    }

    fn run(&self, run: &str, text: &str) {
        panic!("{run}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_comes_back_is_rewired_by_itself() {
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    let heard = Arc::new(Heard::default());
    let keeper = Keeper::start(live.clone(), heard.clone());
    tokio::time::sleep(Duration::from_millis(300)).await;
    // What the learner configured on a neighbour must outlive the restart of the other end.
    assert_eq!(
        bed.inside(&live, "n1", "ip addr add 10.9.9.9/32 dev eth1 && ip route add 10.8.0.0/16 via 10.0.1.2").await.0,
        0
    );
    assert_eq!(bed.inside(&live, "n2", "echo kept > /srv/note; echo gone > /tmp/note").await.0, 0);
    let before = bed.inside(&live, "n2", "cat /sys/class/net/eth2/address").await.1;
    let container = live.container("n2").unwrap();
    let restarted = std::process::Command::new("docker").args(["restart", "-t", "0", &container]).output().unwrap();
    assert!(restarted.status.success());
    eventually("n2 is wired again", || pings(&live, "n1", "10.0.1.2")).await;
    eventually("n2 reported as running", || async {
        heard.0.lock().unwrap().contains(&("n2".into(), NodeState::Running))
    })
    .await;
    assert!(pings(&live, "n3", "192.168.7.2").await);
    assert_eq!(bed.inside(&live, "n2", "cat /sys/class/net/eth2/address").await.1, before, "the MAC address stays");
    assert_eq!(bed.inside(&live, "n2", "cat /srv/note; ls /tmp/note").await.1.lines().next(), Some("kept"));
    let (_, kept) = bed.inside(&live, "n1", "ip -o addr show eth1; ip route").await;
    assert!(kept.contains("10.9.9.9") && kept.contains("10.8.0.0/16"), "{kept}");
    let states: Vec<NodeState> = heard.0.lock().unwrap().iter().filter(|(n, _)| n == "n2").map(|(_, s)| *s).collect();
    assert_eq!(states, [NodeState::Exited, NodeState::Rewiring, NodeState::Running]);

    // By command, with two rewiring it at the same time.
    lab::restart_node(&live, "n4", LIMIT).await.unwrap();
    assert!(pings(&live, "n1", "192.168.7.4").await);
    drop(keeper);
}

#[tokio::test(flavor = "multi_thread")]
async fn pause_cut_restart_announce() {
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    lab::pause(&live).await.unwrap();
    let frozen = bed.engine.list(&[(label::RUN, &bed.identity.run), (label::KIND, "node")]).await.unwrap();
    assert!(frozen.iter().all(|c| c.state == forge_core::engine::ContainerState::Paused));
    lab::resume(&live).await.unwrap();
    assert!(pings(&live, "n1", "10.0.1.2").await);

    let cut = Disturbance::Cut("l1".into());
    live.disturb(&cut).await.unwrap();
    assert_eq!(bed.inside(&live, "n1", "cat /sys/class/net/eth1/carrier").await.1.trim(), "0");
    // The learner holds NET_ADMIN, and yet cannot bring it back.
    let _ = bed.inside(&live, "n1", "ip link set eth1 down; ip link set eth1 up").await;
    assert!(!pings(&live, "n1", "10.0.1.2").await);
    lab::restart_node(&live, "n2", LIMIT).await.unwrap();
    assert!(!pings(&live, "n1", "10.0.1.2").await, "a restart does not mend a cut");
    live.undo(&cut).await.unwrap();
    eventually("the link is back", || pings(&live, "n1", "10.0.1.2")).await;

    live.disturb(&Disturbance::Restart { node: "n3".into() }).await.unwrap();
    assert!(pings(&live, "n3", "192.168.7.1").await);
    let prefix: ipnet::IpNet = "172.16.9.0/24".parse().unwrap();
    let hidden = Disturbance::Announce { node: "n4".into(), prefix };
    live.disturb(&hidden).await.unwrap();
    assert!(live.inside("n4", &["ip".into(), "addr".into()], LIMIT).await.unwrap().stdout.contains("172.16.9.1/24"));
    live.undo(&hidden).await.unwrap();
    live.undo(&hidden).await.unwrap();
    assert!(!live.inside("n4", &["ip".into(), "addr".into()], LIMIT).await.unwrap().stdout.contains("172.16.9."));
    let untrusted = live.disturb(&Disturbance::Announce { node: "n1".into(), prefix }).await.unwrap_err();
    assert_eq!(untrusted.code, Code::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unseen_host_joins_and_leaves() {
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    let from = From::Unseen { segment: "lan".into(), address: "192.168.7.99/24".parse().unwrap(), gateway: None };
    let seen = live.look(
        &from,
        "ip -br addr show eth0; ping -n -c1 -W1 192.168.7.3; curl -s http://192.168.7.4:8080/; echo \"<$NODE_PID>\"",
        &[],
        LIMIT,
    );
    let seen = seen.await.unwrap();
    assert!(seen.stdout.contains("192.168.7.99/24") && seen.stdout.contains("1 received"), "{seen:?}");
    assert!(seen.stdout.contains("forty-two<>"), "{seen:?}");
    eventually("it has left", || async { !pings(&live, "n1", "192.168.7.99").await }).await;
    let routed = From::Unseen {
        segment: "l1".into(),
        address: "10.0.1.9/24".parse().unwrap(),
        gateway: Some("10.0.1.1".parse().unwrap()),
    };
    let route = live.look(&routed, "ip route get 9.9.9.9", &[], LIMIT).await.unwrap();
    assert!(route.stdout.contains("via 10.0.1.1"), "{route:?}");

    let capture = live.capture("lan", "icmp and host 192.168.7.2", Duration::from_millis(900));
    let ping = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        pings(&live, "n1", "192.168.7.2").await
    };
    let (captured, reached) = tokio::join!(capture, ping);
    let captured = captured.unwrap();
    assert!(reached && captured.exit == 0 && captured.stdout.contains("ICMP echo request"), "{captured:?}");
    let bad = live.capture("lan", "no such filter", Duration::from_millis(300)).await.unwrap();
    assert_ne!(bad.exit, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_files_cannot_be_tricked() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let tricks = "cd /srv && mkdir t && echo inner > t/a && ln -s /etc/shadow shadow && ln -s ../../../../../../etc/hostname up && \
        ln -s /proc/1/root/etc/hostname magic && ln -s /proc/self/cwd self && mkfifo pipe && ln -s t dir && \
        ln -s /etc t/escape && head -c 2000 /dev/zero > big && ln -s loop loop && ln -s a t/link";
    let (exit, said) = bed.inside(&live, "n1", tricks).await;
    assert_eq!(exit, 0, "{said}");
    let read = |path: &'static str| live.read_file("n1", path, 1000);
    let shadow = read("/srv/shadow").await.unwrap().unwrap();
    let (_, own) = bed.inside(&live, "n1", "sha256sum < /etc/hostname").await;
    assert!(!own.is_empty());
    let fabric_shadow = live.look(&From::Node("n1".into()), "cat /etc/shadow", &[], LIMIT).await.unwrap().stdout;
    assert_ne!(String::from_utf8_lossy(&shadow), fabric_shadow, "a link resolves in the node, not in the fabric");
    assert_eq!(read("/srv/up").await.unwrap().unwrap(), b"n1\n", "dot-dot ends at the node's root");
    for (path, code) in [
        ("/srv/magic", Code::Io),
        ("/srv/pipe", Code::InvalidInput),
        ("/srv/t", Code::InvalidInput),
        ("/dev/null", Code::InvalidInput),
        ("/srv/big", Code::TooLarge),
        ("/srv/loop", Code::Io),
        ("relative", Code::InvalidInput),
    ] {
        let refused = read(path).await.expect_err(path);
        assert_eq!(refused.code, code, "{path}: {refused:?}");
    }
    assert_eq!(read("/srv/none").await.unwrap(), None);
    assert_eq!(read("/srv/self/etc/hostname").await.ok().flatten(), None, "the fabric is not in the node's /proc");
    let tree = live.read_tree("n1", "/srv/dir/", 1000).await.unwrap();
    assert_eq!(tree, [("/srv/dir/a".to_string(), b"inner\n".to_vec())], "links below a tree are left out");
    assert_eq!(live.read_tree("n1", "/srv", 1000).await.unwrap_err().code, Code::TooLarge);
    assert!(live.read_tree("n1", "/nowhere", 1000).await.unwrap().is_empty());
    assert_eq!(read("/etc/hostname").await.unwrap().unwrap(), b"n1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forward_carries_http_and_closes() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let bed = Bed::new();
    let live = bed.launch(four()).await;
    let forward = Forwarder::open(live.clone(), "n4", 8080).await.unwrap();
    assert!(forward.local().ip().is_loopback());
    for _ in 0..3 {
        let mut stream = tokio::net::TcpStream::connect(forward.local()).await.unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        tokio::time::timeout(LIMIT, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
        assert!(answer.ends_with("forty-two"), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(forward.connections(), 3);
    let silent = Forwarder::open(live.clone(), "n1", 9).await.unwrap();
    let mut stream = tokio::net::TcpStream::connect(silent.local()).await.unwrap();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.is_empty(), "nothing listens there");
    let local = forward.local();
    drop(forward);
    eventually("the forward is closed", || async { tokio::net::TcpStream::connect(local).await.is_err() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn telemetry_counts_what_flows() {
    use futures_util::StreamExt;
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let mut samples = lab::telemetry(live.clone(), || 7).await.unwrap();
    let first = samples.next().await.unwrap().unwrap();
    assert_eq!((first.run.as_str(), first.at, first.nodes.len(), first.links.len()), (live.run(), 7, 2, 4));
    assert!(first.nodes.iter().all(|n| n.memory_bytes > 100_000 && n.pids >= 1), "{first:?}");
    let n1 = From::Node("n1".into());
    live.look(&n1, "ping -q -n -c 200 -i 0.002 -s 1000 10.0.1.2", &[], LIMIT).await.unwrap();
    let mut most = 0.0;
    for _ in 0..2 {
        let sample = samples.next().await.unwrap().unwrap();
        let link = sample.links.iter().find(|l| l.link == "l1" && l.node == "n1").unwrap();
        assert!(link.up);
        most = f64::max(most, link.tx_bps);
    }
    assert!(most > 200_000.0, "200 kB went out, {most} bit/s were seen");
    // A restarted node is found again.
    lab::restart_node(&live, "n2", LIMIT).await.unwrap();
    for _ in 0..12 {
        if samples.next().await.unwrap().unwrap().nodes.len() == 2 {
            return;
        }
    }
    panic!("n2 is missing from the telemetry");
}

#[tokio::test(flavor = "multi_thread")]
async fn sweeping_adopts_what_lives_and_removes_the_rest() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let other =
        Bed { engine: bed.engine.clone(), identity: Identity { run: "leftoverxx".into(), ..bed.identity.clone() } };
    other.launch(ring(2)).await;
    let strange = Bed::new();
    strange.launch(ring(2)).await;
    let living = BTreeSet::from([live.run().to_string()]);
    let swept = lab::sweep(bed.engine.as_ref(), &bed.identity.instance, &living).await.unwrap();
    assert_eq!(swept.removed, ["leftoverxx"]);
    assert!(swept.failed.is_empty());
    assert_eq!(swept.adopt.len(), 1);
    assert_eq!(swept.adopt[0].nodes.len(), 2);
    assert_eq!((bed.left().await, strange.left().await), (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_channel_is_reopened_and_a_lost_fabric_is_said() {
    let bed = Bed::new();
    let live = bed.launch(ring(2)).await;
    let n1 = From::Node("n1".into());
    let suicide = live.look(&n1, "kill -9 $PPID", &[], LIMIT);
    assert_eq!(suicide.await.unwrap_err().code, Code::DockerFailed);
    assert_eq!(live.look(&n1, "echo again", &[], LIMIT).await.unwrap().stdout, "again\n");

    // Everything ends at once, as when Docker itself is restarted: then it can be brought back as it was.
    assert_eq!(bed.inside(&live, "n2", "echo kept > /srv/note").await.0, 0);
    let all = bed.engine.list(&[(label::RUN, &bed.identity.run)]).await.unwrap();
    let ids: Vec<&str> = all.iter().map(|c| c.id.as_str()).collect();
    assert!(std::process::Command::new("docker").arg("kill").args(&ids).output().unwrap().status.success());
    let lost = live.look(&n1, "true", &[], LIMIT).await.unwrap_err();
    assert!(matches!(lost.code, Code::WrongState | Code::DockerFailed), "{lost:?}");
    let swept = lab::survey(bed.engine.as_ref(), &bed.identity.instance).await.unwrap();
    assert_eq!(swept[0].fabric, Some(forge_core::engine::ContainerState::Exited));
    lab::revive(&live, LIMIT).await.unwrap();
    assert!(pings(&live, "n1", "10.0.1.2").await);
    assert_eq!(bed.inside(&live, "n2", "cat /srv/note").await.1, "kept\n");
    lab::revive(&live, LIMIT).await.unwrap();

    let fabric = all.iter().find(|c| c.labels[label::KIND] == "fabric").unwrap();
    bed.engine.remove(&fabric.id).await.unwrap();
    let gone = live.look(&n1, "true", &[], LIMIT).await.unwrap_err();
    assert_eq!(gone.code, Code::WrongState, "{gone:?}");
    assert!(gone.message.contains("fabric"), "{gone:?}");
    let adopted = Live::adopt(bed.engine.clone(), bed.identity.clone(), live.scenario().clone()).await;
    assert_eq!(adopted.err().unwrap().code, Code::WrongState);
}

#[tokio::test(flavor = "multi_thread")]
async fn impairments_hold_or_are_refused_before_anything_runs() {
    let bed = Bed::new();
    let mut scenario = ring(2);
    scenario.links[0].impairment = Some(Impairment { rate_kbit: Some(1000), ..Default::default() });
    scenario.links[1].mtu = Some(1300);
    let live = bed.launch(scenario).await;
    let n1 = From::Node("n1".into());
    let began = Instant::now();
    // 60 kB in each direction at 1 Mbit/s take about half a second; unshaped, nothing.
    let burst = live.look(&n1, "ping -q -n -c 50 -l 50 -s 1172 -W 3 10.0.1.2", &[], LIMIT).await.unwrap();
    assert!(began.elapsed() > Duration::from_millis(300), "{:?} {burst:?}", began.elapsed());
    let (_, mtu) =
        bed.inside(&live, "n1", "cat /sys/class/net/eth2/mtu; tc qdisc show dev eth1; ip link set eth1 mtu 1500").await;
    assert!(mtu.starts_with("1300") && !mtu.contains("tbf"), "the shaping is out of the node's reach: {mtu}");
    lab::restart_node(&live, "n2", LIMIT).await.unwrap();
    let began = Instant::now();
    live.look(&n1, "ping -q -n -c 50 -l 50 -s 1172 -W 3 10.0.1.2", &[], LIMIT).await.unwrap();
    assert!(began.elapsed() > Duration::from_millis(300), "shaped after a restart as well");
    let netem =
        live.look(&n1, "unshare -n tc qdisc add dev lo root netem limit 1", &[], LIMIT).await.unwrap().exit == 0;
    for impairment in [
        Impairment { delay_ms: Some(60), ..Default::default() },
        Impairment { loss_percent: Some(100.0), ..Default::default() },
    ] {
        let bed = Bed::new();
        let mut scenario = ring(2);
        scenario.links[0].impairment = Some(impairment.clone());
        let plan = bed.plan(scenario).await;
        match lab::launch(bed.engine.clone(), &plan, &Steps::default(), &CancellationToken::new()).await {
            Ok(live) => {
                let seen = live.look(&From::Node("n1".into()), "ping -n -c1 -W1 10.0.1.2", &[], LIMIT).await.unwrap();
                match impairment.loss_percent {
                    Some(_) => assert_ne!(seen.exit, 0, "{seen:?}"),
                    None => assert!(netem && seen.stdout.contains("time=1"), "{seen:?}"),
                }
            }
            Err(error) => {
                assert!(!netem);
                assert_eq!(error.code, Code::MachineLacks, "{error:?}");
                assert_eq!(bed.left().await, 0);
            }
        }
    }
}

/// The catalogue's own labs: ready, solvable with nothing but what their nodes have, and the judge's prefix is learned.
#[tokio::test(flavor = "multi_thread")]
async fn four_real_routers_speak_ospf_over_these_links() {
    let catalogue = Catalogue::load(&Sources::default());
    let lab = catalogue.get("ccna-ospf-single-area").unwrap();
    let bed = Bed::new();
    let scenario = lab.instantiate("seed").unwrap();
    let announced =
        |e: &Evidence| matches!(e.after, Some(Disturbance::Announce { .. })).then(|| e.after.clone().unwrap());
    let hidden = scenario.criteria.iter().flat_map(|c| &c.evidence).find_map(announced).unwrap();
    let Disturbance::Announce { prefix, .. } = hidden else { unreachable!() };
    let live = bed.launch(scenario).await;
    for (node, script) in lab.solution("seed").unwrap() {
        let (exit, said) = bed.inside(&live, &node, &script).await;
        assert_eq!(exit, 0, "{node}: {said}");
    }
    let r2 = From::Node("r2".into());
    let full = "vtysh --vty_socket /proc/$NODE_PID/root/run/frr -c 'show ip ospf neighbor' | grep -c Full";
    eventually("r2 is adjacent to both", || async {
        live.look(&r2, full, &[], LIMIT).await.unwrap().stdout.trim() == "2"
    })
    .await;
    let route = format!("ip route show {}", prefix.addr());
    live.disturb(&hidden).await.unwrap();
    eventually("the prefix is learned", || async {
        live.look(&r2, &route, &[], LIMIT).await.unwrap().stdout.contains("proto ospf")
    })
    .await;
    live.undo(&hidden).await.unwrap();
    eventually("and forgotten", || async { live.look(&r2, &route, &[], LIMIT).await.unwrap().stdout.is_empty() }).await;
    lab::restart_node(&live, "r3", LIMIT).await.unwrap();
    eventually("r3 has come back with what was written", || async {
        live.look(&r2, full, &[], LIMIT).await.unwrap().stdout.trim() == "2"
    })
    .await;
}

/// `cargo test -p forge-core --test lab_docker -- --ignored --nocapture measure`: start and stop against the floor (the same
/// containers created and started, then removed, with nothing else done to them).
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_start_and_stop_against_the_floor() {
    use futures_util::future::try_join_all;
    println!("nodes  floor_ms  ready_ms  ratio  floor_down_ms  stop_ms   steps");
    for count in [3, 10, 25] {
        for _ in 0..3 {
            let bed = Bed::new();
            let plan = bed.plan(ring(count)).await;
            let began = Instant::now();
            let ids: Vec<String> = try_join_all(plan.nodes.iter().map(|n| async {
                let id = bed.engine.create(&n.spec).await?;
                bed.engine.start(&id).await?;
                Ok::<_, Error>(id)
            }))
            .await
            .unwrap();
            let floor = began.elapsed().as_millis();
            let began = Instant::now();
            try_join_all(ids.iter().map(|id| bed.engine.remove(id))).await.unwrap();
            let floor_down = began.elapsed().as_millis();

            let steps = Steps::default();
            let began = Instant::now();
            lab::launch(bed.engine.clone(), &plan, &steps, &CancellationToken::new()).await.unwrap();
            let ready = began.elapsed().as_millis();
            let began = Instant::now();
            lab::stop(bed.engine.as_ref(), &bed.identity).await.unwrap();
            let stop = began.elapsed().as_millis();
            let steps = steps.seen.lock().unwrap();
            let steps: Vec<String> =
                steps.iter().filter(|s| s.state == StepState::Done).map(|s| format!("{} {}", s.name, s.ms)).collect();
            let ratio = ready as f64 / floor as f64;
            println!("{count:>5} {floor:>9} {ready:>9} {ratio:>6.2} {floor_down:>14} {stop:>8}   {}", steps.join(", "));
        }
    }
}

/// What watching 25 nodes costs: processor time of the sampler, over some seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_telemetry() {
    use futures_util::StreamExt;
    let bed = Bed::new();
    let live = bed.launch(ring(25)).await;
    let mut samples = lab::telemetry(live.clone(), || 0).await.unwrap();
    let ticks = || {
        let of = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            let used: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
            command.contains("Counters of all nodes").then_some(used)
        };
        std::fs::read_dir("/proc").unwrap().filter_map(|e| of(e.unwrap().file_name().to_str()?)).sum::<u64>()
    };
    samples.next().await.unwrap().unwrap();
    let (before, began) = (ticks(), Instant::now());
    for _ in 0..10 {
        assert_eq!(samples.next().await.unwrap().unwrap().nodes.len(), 25);
    }
    let percent = (ticks() - before) as f64 / began.elapsed().as_secs_f64();
    println!("telemetry of 25 nodes: {percent:.1} % of a core");
}
