//! Scenarios, and a place to launch them that cleans up after itself.

pub use forge_core::api::{NodeState, Role, Step, StepState};
pub use forge_core::check::vantage::Vantage;
pub use forge_core::engine::{Docker, Engine, ExecSpec, label};
pub use forge_core::error::{Code, Error};
pub use forge_core::keys::Keys;
pub use forge_core::lab::{self, Forwarder, Identity, Images, Keeper, Live, Plan, Progress, Witness};
pub use forge_core::spawn::{self, Claims, Expected, SpentToken, TokenLimits};
pub use forge_core::store::Store;
pub use forge_core::template::scenario::*;
pub use forge_core::template::{Catalogue, Sources};
pub use std::collections::BTreeSet;
pub use std::sync::{Arc, Mutex};
pub use std::time::{Duration, Instant};
pub use tokio_util::sync::CancellationToken;

pub const LIMIT: Duration = Duration::from_secs(10);

pub fn images() -> Images {
    ["gateway", "host", "router", "server", "tools"].map(|i| (i.to_string(), format!("frostgate/{i}:latest"))).into()
}

pub fn node(name: &str, role: Role) -> Node {
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

pub fn endpoint(node: &str, interface: &str, address: &str) -> Endpoint {
    let addresses = address.split_whitespace().map(|a| a.parse().unwrap()).collect();
    Endpoint { node: node.into(), interface: interface.into(), addresses, mac: None }
}

pub fn link(id: &str, endpoints: Vec<Endpoint>) -> Link {
    Link { id: id.into(), segment: endpoints.len() > 2, endpoints, subnet: None, mtu: None, impairment: None }
}

/// A ring of `count` hosts; node i and the next share 10.0.i.0/24.
pub fn ring(count: usize) -> Scenario {
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
        reexecution: None,
    }
}

/// Four nodes in a ring and on one segment; n4 is trusted and serves HTTP on its segment address alone.
pub fn four() -> Scenario {
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
pub async fn spent(run: &str, lab: &str, digest: &str) -> SpentToken {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open(home.path(), &mut rand::rng()).unwrap();
    let now = jiff::Timestamp::now();
    let claims = Claims {
        jti: spawn::draw_jti(&mut rand::rng()),
        sub: "local".into(),
        tenant: "local".into(),
        request_id: run.into(),
        lab: lab.into(),
        template_digest: digest.into(),
        policy_digest: String::new(),
        plan: "practice".into(),
        tier: "test".into(),
        limits: TokenLimits { cpu_milli: 2000, memory_mb: 256, minutes: 10, pids: 500, disk_mb: 500 },
        iat: now,
        exp: now + jiff::SignedDuration::from_millis(spawn::LIFE_MS),
    };
    let token = spawn::mint(&keys, &claims).unwrap();
    let store = Store::memory().unwrap();
    let run = run.to_owned();
    store
        .write(move |tx| {
            let expected = Expected {
                subject: &claims.sub,
                tenant: &claims.tenant,
                request_id: &claims.request_id,
                lab: &claims.lab,
                plan: &claims.plan,
                tier: &claims.tier,
                limits: claims.limits,
                template_digest: &claims.template_digest,
                policy_digest: &claims.policy_digest,
            };
            spawn::spend(tx, &keys, &token, &expected, &run, now.as_millisecond())
        })
        .await
        .unwrap()
}

/// A run whose objects go when the test ends, however it ends.
pub struct Bed {
    pub engine: Arc<Docker>,
    pub identity: Identity,
}

impl Bed {
    pub fn new() -> Self {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let identity = Identity { instance: format!("test-{}", &id[..8]), run: id[8..18].to_string() };
        Self { engine: Arc::new(Docker::from_env().unwrap()), identity }
    }

    pub async fn plan(&self, scenario: Scenario) -> Plan {
        let token = spent(&self.identity.run, &scenario.lab, &scenario.digest).await;
        Plan::new(token, self.identity.clone(), Arc::new(scenario), &images()).unwrap()
    }

    pub async fn launch(&self, scenario: Scenario) -> Arc<Live> {
        let plan = self.plan(scenario).await;
        lab::launch(self.engine.clone(), &plan, &Steps::default(), &CancellationToken::new()).await.unwrap()
    }

    pub async fn left(&self) -> usize {
        let ours = [(label::INSTANCE, &*self.identity.instance)];
        self.engine.list(&ours).await.unwrap().len() + self.engine.networks(&ours).await.unwrap().len()
    }

    /// What a learner types.
    pub async fn inside(&self, live: &Live, node: &str, script: &str) -> (i64, String) {
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
        let networks = String::from_utf8(docker(&["network", "ls", "-q", "--filter", &filter]).stdout).unwrap();
        for id in networks.split_whitespace() {
            docker(&["network", "rm", id]);
        }
    }
}

#[derive(Default)]
pub struct Steps {
    pub seen: Mutex<Vec<Step>>,
    pub cancel_at: Option<(String, StepState, CancellationToken)>,
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

pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let end = Instant::now() + Duration::from_secs(15);
    while !check().await {
        assert!(Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub async fn pings(live: &Live, from: &str, to: &str) -> bool {
    live.look(&From::Node(from.into()), &format!("ping -n -c1 -W1 {to}"), &[], LIMIT).await.unwrap().exit == 0
}
