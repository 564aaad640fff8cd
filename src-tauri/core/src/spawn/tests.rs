#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::api::RunState;
use crate::keys::KeyName;
use crate::template::scenario::{Limits, Node};
use rand::SeedableRng;
use std::collections::BTreeMap;

mod admission;
mod limits;
mod sat;

pub(super) const NOW: i64 = 1_795_000_000_000;

fn rng(n: u64) -> rand::rngs::StdRng {
    rand::rngs::StdRng::seed_from_u64(n)
}

pub(super) struct Bench {
    home: tempfile::TempDir,
    pub store: Store,
    pub policy: Policy,
    pub keys: Keys,
}

pub(super) fn bench() -> Bench {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open(home.path(), &mut rng(1)).unwrap();
    let store = Store::open(&home.path().join("forge.db")).unwrap();
    Bench { store, policy: Policy::load().unwrap(), keys, home }
}

impl Bench {
    pub async fn admit(&self, request: Request) -> Result<Admission> {
        admit(&self.store, &self.policy, &self.keys, request).await
    }

    async fn count(&self, table: &str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.store.read(move |c| Ok(c.query_row(&sql, [], |r| r.get(0))?)).await.unwrap()
    }
}

pub(super) fn request(n: u64) -> Request {
    let node = Node {
        name: "pc".into(),
        role: Role::Client,
        image: "host".into(),
        enter: true,
        caps: Vec::new(),
        writable: Vec::new(),
        env: BTreeMap::new(),
        files: Vec::new(),
        startup: String::new(),
        ready: Vec::new(),
        hosts: BTreeMap::new(),
        gateway: None,
        forwarding: false,
        ports: BTreeMap::new(),
    };
    Request {
        request_id: format!("request-{n}"),
        asked_seed: None,
        scenario: Scenario {
            lab: "ccna-ospf-single-area".into(),
            title: "OSPF in a single area".into(),
            track: "ccna".into(),
            tier: "foundation".into(),
            version: "1.0.0".into(),
            digest: "ab".repeat(32),
            seed: format!("seed-{n}"),
            values: BTreeMap::new(),
            limits: Limits { cpu: 1.5, memory_mb: 512, timeout_minutes: 90, attacker_max_exploits: 0 },
            egress: Egress::Deny,
            nodes: vec![node],
            links: Vec::new(),
            criteria: Vec::new(),
            hints: Vec::new(),
            guide: String::new(),
            reexecution: None,
        },
        pin: "ab".repeat(32),
        nodes: vec![NodeRights {
            name: "pc".into(),
            role: Role::Client,
            caps: vec!["NET_ADMIN".into()],
            seccomp: "node".into(),
        }],
        footprint: Footprint { memory_mb: 512, pids: 256, disk_mb: 256 },
        subject: "learner".into(),
        tenant: "local".into(),
        access: Access { tenant: "local".into(), ..Access::default() },
        entitlement: Entitlement::Practice,
        settlement: Settlement::stub(),
        approved_profiles: Vec::new(),
        machine: Machine {
            cpus: 2,
            memory_mb: 8192,
            disk_free_mb: Some(50_000),
            disk_floor_mb: 0,
            memory_free_mb: None,
            memory_floor_mb: 0,
        },
        correlation: "c1".into(),
        scrubber: Scrubber::default(),
        owner: Owner { pid: 1, process: "p".into() },
        run: draw_run_id(&mut rng(n)),
        jti: draw_jti(&mut rng(n)),
        now: NOW,
    }
}

/// The audit log, newest first.
pub(super) fn newest(c: &Conn) -> Result<Vec<audit::Body>> {
    let rows = crate::store::audit::search(c, &crate::store::audit::Search::default(), 100)?;
    rows.iter().map(|r| Ok(serde_json::from_str(&r.entry)?)).collect()
}

pub(super) fn new(admission: Admission) -> (Run, SpentToken) {
    match admission {
        Admission::New(run, token) => (run, token),
        Admission::Existing(run) => panic!("existed: {run:?}"),
    }
}
