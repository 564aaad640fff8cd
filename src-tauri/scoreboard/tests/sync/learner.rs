//! A laptop with a data folder of its own.
use crate::support::*;
use forge_core::api::{ResultSummary, TrustTier};
use forge_core::board::{NewSession, SeedPolicy};
use forge_core::check::evidence::Entry;
use forge_core::http::Trust;
use forge_core::store::sync::{self as rows, Board};
use forge_core::store::{Store, results};
use forge_core::sync::WHOLE_MAX;
use forge_core::sync::enrol::{Wanted, enrol};
use forge_core::sync::round::{Round, Told};
use forge_core::verdict::dsse;
use forge_scoreboard::bench::workshop::{Laptop, Made, Wish};
use serde_json::Value;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A data folder with a key, a store, and results as `forge submit` leaves them.
pub struct Learner {
    pub home: tempfile::TempDir,
    pub laptop: Laptop,
    pub store: Store,
    pub clock: AtomicI64,
}

/// A session of an hour with the test lab, one attempt each.
pub fn monday(seeds: SeedPolicy) -> NewSession {
    NewSession {
        title: "Monday".into(),
        labs: vec![LAB.into()],
        seeds,
        deadline: now() + 3_600_000,
        hints: false,
        attempts: 1,
        grace_minutes: 15,
        class: None,
    }
}

/// Somebody new in class N.
pub async fn person(server: &Server, role: &str) -> (Learner, Board) {
    let (person, code) = (Learner::new(), server.cli(&["invite", "--class", "N", "--role", role]).1);
    let board = person.enrol_at(&server.url, code["code"].as_str().unwrap()).await.unwrap();
    (person, board)
}

impl Learner {
    pub fn new() -> Self {
        Self::with(tempfile::tempdir().unwrap())
    }

    pub fn with(home: tempfile::TempDir) -> Self {
        let laptop = Laptop::new(home.path()).unwrap();
        let store = Store::open(&home.path().join("forge.db")).unwrap();
        Self { home, laptop, store, clock: AtomicI64::new(now()) }
    }

    /// Another machine with the same key.
    pub fn twin(&self) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("keys")).unwrap();
        for entry in std::fs::read_dir(self.home.path().join("keys")).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), home.path().join("keys").join(entry.file_name())).unwrap();
        }
        Self::with(home)
    }

    pub async fn submit(&self, run: &str) -> Made {
        let wish = Wish::new(run, now());
        self.submitted(self.laptop.seal(&scenario(&format!("seed-{run}")), SSH, &wish).unwrap(), run).await
    }

    /// With more than two megabytes of evidence.
    pub async fn submit_large(&self, run: &str) -> Made {
        let noise = (0..3_500_000_u32).map(|i| i.wrapping_mul(2_654_435_761).rotate_left(i % 31).to_le_bytes()[0]);
        let extra = vec![Entry::new("captures/a.pcap", "capture", noise.collect())];
        let wish = Wish { extra, ..Wish::new(run, now()) };
        let made = self.laptop.seal(&scenario("seed-large"), SSH, &wish).unwrap();
        assert!(made.evidence.len() > 2 << 20, "{}", made.evidence.len());
        self.submitted(made, run).await
    }

    pub async fn submitted(&self, made: Made, run: &str) -> Made {
        let dir = self.home.path().join("results").join(run);
        std::fs::create_dir_all(&dir).unwrap();
        let opened = dsse::read(&made.envelope).unwrap();
        let pae = dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload);
        let pem = self.laptop.pem().unwrap();
        let files: [(&str, &[u8]); 6] = [
            ("verdict.dsse.json", &made.envelope),
            ("score.json", &made.score),
            ("evidence.tar.zst", &made.evidence),
            ("verdict.sig", &opened.signature),
            ("verdict.pae", &pae),
            ("verdict.pub.pem", pem.as_bytes()),
        ];
        for (name, bytes) in files {
            std::fs::write(dir.join(name), bytes).unwrap();
        }
        let row = ResultSummary {
            id: made.id.clone(),
            run: run.into(),
            lab: LAB.into(),
            lab_title: "Test".into(),
            track: "netplus".into(),
            version: "1.0.0".into(),
            at: now(),
            score: 0,
            max: 0,
            duration_ms: 0,
            tier: TrustTier::SelfAttested,
            established: None,
            key_id: self.laptop.key_id.clone(),
            dir: dir.display().to_string(),
        };
        self.store.write(move |tx| results::record(tx, &row, &Value::Null)).await.unwrap();
        made
    }

    pub async fn enrol(&self, server: &Server, class: &str) -> Board {
        let invited = server.cli(&["invite", "--class", class]).1;
        self.enrol_at(&server.url, invited["code"].as_str().unwrap()).await.unwrap()
    }

    pub async fn enrol_at(&self, url: &str, code: &str) -> forge_core::error::Result<Board> {
        let wanted = Wanted { url: url.into(), code: code.into(), name: "Mara".into(), trust: Trust::default() };
        let known = self.store.read(rows::boards).await?;
        let board = enrol(&wanted, &self.laptop.keys, &known, || self.clock.load(Ordering::SeqCst)).await?;
        self.keep(&board).await;
        Ok(board)
    }

    pub async fn keep(&self, board: &Board) {
        let board = board.clone();
        self.store.write(move |tx| rows::enrol(tx, &board)).await.unwrap();
    }

    pub async fn round(&self, all: bool, whole_max: u64) -> Told {
        let board = self.store.read(rows::board).await.unwrap().unwrap();
        let cancel = CancellationToken::new();
        let clock = || self.clock.load(Ordering::SeqCst);
        let random = || 12_345;
        let patience = Duration::from_secs(if board.url.contains("127.0.0.1") && whole_max == 1 { 1 } else { 20 });
        let round =
            Round { store: &self.store, now: &clock, random: &random, cancel: &cancel, whole_max, patience, all };
        round.run(&board).await.unwrap()
    }

    pub async fn sync(&self) -> Told {
        self.round(true, WHOLE_MAX).await
    }

    pub async fn pending(&self) -> u32 {
        self.store.read(results::queued).await.unwrap()
    }

    pub async fn refusals(&self) -> Vec<rows::Refused> {
        self.store.read(rows::refusals).await.unwrap()
    }

    pub async fn tiers(&self) -> Vec<TrustTier> {
        self.store.read(rows::receipts).await.unwrap().into_iter().map(|r| r.tier).collect()
    }

    pub fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms, Ordering::SeqCst);
    }
}

pub async fn verdicts(server: &Server) -> i64 {
    server.get("/v1/stats").await.1["verdicts"].as_i64().unwrap()
}

pub fn stopped(told: &Told) -> &str {
    told.stopped.as_ref().map_or("", |(code, _)| code)
}
