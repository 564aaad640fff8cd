#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::api::RunState;
use crate::keys::KeyName;
use crate::store::tokens;
use crate::template::scenario::{Limits, Node};
use rand::SeedableRng;
use std::collections::BTreeMap;

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

#[tokio::test]
async fn an_admitted_run_has_token_intent_and_audit() {
    let b = bench();
    let (run, token) = new(b.admit(request(1)).await.unwrap());
    assert_eq!((run.state, run.cpu_milli), (RunState::Starting, 1500));
    assert_eq!((token.run(), token.claims().lab.as_str()), (run.run.as_str(), "ccna-ospf-single-area"));
    assert_eq!(token.claims().policy_digest, b.policy.digest());
    let id = run.run.clone();
    let (open, entries, spent) = b
        .store
        .read(move |c| {
            let spent = tokens::spent_for(c, &draw_jti(&mut rng(1)))?;
            Ok((intents::of_run(c, &id)?, newest(c)?, spent))
        })
        .await
        .unwrap();
    assert_eq!((open.len(), open[0].kind.as_str()), (1, "launch"));
    assert_eq!(spent.as_deref(), Some(run.run.as_str()));
    let kinds: Vec<_> = entries.iter().rev().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["gate.access", "gate.spawn", "gate.training", "gate.quota", "gate.capabilities", "token.spent"]);
    assert!(entries.iter().all(|e| e.run.as_deref() == Some(run.run.as_str())));
    assert!(audit::verify(&b.store, &b.keys, &[]).await.unwrap().ok);
    let stored = b.store.read(move |c| runs::scenario(c, &run.run)).await.unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&stored).unwrap(), request(1).scenario);
}

#[tokio::test]
async fn the_same_request_is_the_same_run() {
    let b = bench();
    let (run, _) = new(b.admit(request(1)).await.unwrap());
    // A second click: other run id and token drawn, no seed named, another seed drawn.
    let mut again = request(1);
    (again.run, again.jti, again.scenario.seed) = ("other".into(), "0".repeat(32), "drawn-later".into());
    match b.admit(again.clone()).await.unwrap() {
        Admission::Existing(found) => assert_eq!(found.run, run.run),
        Admission::New(..) => panic!("admitted twice"),
    }
    again.asked_seed = Some("drawn-later".into());
    assert_eq!(b.admit(again.clone()).await.unwrap_err().code, Code::RequestReused);
    again.asked_seed = Some("seed-1".into());
    assert!(matches!(b.admit(again.clone()).await, Ok(Admission::Existing(_))));
    again.scenario.lab = "netplus-dns".into();
    assert_eq!(b.admit(again).await.unwrap_err().code, Code::RequestReused);
    assert_eq!((b.count("runs").await, b.count("intents").await, b.count("spent_tokens").await), (1, 1, 1));
}

#[tokio::test]
async fn two_clicks_at_once_from_two_processes_start_one_run() {
    let b = bench();
    let other = Store::open(&b.home.path().join("forge.db")).unwrap();
    let mut second = request(1);
    (second.run, second.jti) = ("other".into(), "1".repeat(32));
    let (x, y) = tokio::join!(b.admit(request(1)), admit(&other, &b.policy, &b.keys, second));
    let started = [x.unwrap(), y.unwrap()].iter().filter(|a| matches!(a, Admission::New(..))).count();
    assert_eq!((started, b.count("runs").await), (1, 1));
}

#[tokio::test]
async fn a_denial_says_why_is_audited_and_leaves_nothing_else() {
    let b = bench();
    let mut r = request(1);
    r.pin = "cd".repeat(32);
    r.scenario.limits.attacker_max_exploits = 3;
    r.nodes[0].caps.push("SYS_MODULE".into());
    let e = b.admit(r).await.unwrap_err();
    assert_eq!(e.code, Code::Denied);
    assert_eq!(e.details["gates"], json!(["spawn", "training", "capabilities"]));
    let reasons = e.details["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().any(|r| r.as_str().unwrap().contains("SYS_MODULE")), "{reasons:?}");
    assert_eq!((b.count("runs").await, b.count("intents").await, b.count("spent_tokens").await), (0, 0, 0));
    let entries = b.store.read(newest).await.unwrap();
    assert_eq!(entries.len(), 5);
    assert!(entries.iter().all(|e| e.run.is_none() && e.data["request_id"] == "request-1"));
    // The same request may try again once the reason is gone.
    assert!(matches!(b.admit(request(1)).await, Ok(Admission::New(..))));
}

#[tokio::test]
async fn quotas_count_what_is_alive() {
    let b = bench();
    let under_plan = |n: u64| {
        let mut r = request(n);
        r.entitlement = Entitlement::Plan("free".into());
        r.scenario.limits.cpu = 1.0;
        r
    };
    let (run, _) = new(b.admit(under_plan(1)).await.unwrap());
    let e = b.admit(under_plan(2)).await.unwrap_err();
    assert_eq!(e.details["gates"], json!(["quota"]));
    assert!(e.message.contains("Stop one first"), "{}", e.message);
    b.store.write(move |tx| runs::failed(tx, &run.run, "x", NOW)).await.unwrap();
    let mut later = under_plan(2);
    later.now = NOW + 61_000;
    assert!(matches!(b.admit(later).await, Ok(Admission::New(..))));
    let mut odd = request(9);
    odd.entitlement = Entitlement::Plan("gold".into());
    assert_eq!(b.admit(odd).await.unwrap_err().code, Code::Denied);
}

#[tokio::test]
async fn ids_of_other_forms_do_not_enter() {
    let b = bench();
    for bad in ["", "a b", "../x", "ä", &"x".repeat(65)] {
        let mut r = request(1);
        r.request_id = bad.into();
        assert_eq!(b.admit(r).await.unwrap_err().code, Code::InvalidInput, "{bad}");
    }
    let mut r = request(1);
    r.scenario.limits.cpu = f64::NAN;
    assert!(b.admit(r).await.is_err());
    assert_eq!(b.count("runs").await, 0);
}

fn claims() -> Claims {
    Claims {
        jti: "00112233445566778899aabbccddeeff".into(),
        sub: "learner".into(),
        tenant: "local".into(),
        request_id: "request-1".into(),
        lab: "ccna-ospf-single-area".into(),
        template_digest: "ab".repeat(32),
        policy_digest: "cd".repeat(32),
        plan: "practice".into(),
        tier: "foundation".into(),
        limits: TokenLimits { cpu_milli: 1500, memory_mb: 512, minutes: 90, pids: 256, disk_mb: 256 },
        iat: instant(NOW).unwrap(),
        exp: instant(NOW + LIFE_MS).unwrap(),
    }
}

fn expected(claims: &Claims) -> Expected<'_> {
    Expected {
        subject: &claims.sub,
        tenant: &claims.tenant,
        request_id: &claims.request_id,
        lab: &claims.lab,
        plan: &claims.plan,
        tier: &claims.tier,
        limits: claims.limits,
        template_digest: &claims.template_digest,
        policy_digest: &claims.policy_digest,
    }
}

/// Tries to spend in a transaction that is kept if it works.
async fn try_spend(b: &Bench, token: String, claims: Claims, now: i64) -> Result<()> {
    let keys = b.keys.clone();
    b.store.write(move |tx| spend(tx, &keys, &token, &expected(&claims), "run", now).map(|_| ())).await
}

#[tokio::test]
async fn a_token_is_good_once_and_for_two_minutes() {
    let b = bench();
    let token = mint(&b.keys, &claims()).unwrap();
    for now in [NOW - 1, NOW + LIFE_MS, NOW + 10 * LIFE_MS, i64::MAX] {
        assert_eq!(try_spend(&b, token.clone(), claims(), now).await.unwrap_err().code, Code::TokenInvalid);
    }
    try_spend(&b, token.clone(), claims(), NOW + LIFE_MS - 1).await.unwrap();
    assert_eq!(try_spend(&b, token, claims(), NOW + 1).await.unwrap_err().code, Code::TokenSpent);
    for exp in [NOW + LIFE_MS + 1, NOW + 2 * LIFE_MS, NOW, NOW - 1] {
        let mut odd = claims();
        odd.jti = "f".repeat(32);
        odd.exp = instant(exp).unwrap();
        let token = mint(&b.keys, &odd).unwrap();
        assert_eq!(try_spend(&b, token, odd, NOW).await.unwrap_err().code, Code::TokenInvalid, "{exp}");
    }
    let mut short = claims();
    short.jti = "e".repeat(32);
    short.exp = instant(NOW + 1000).unwrap();
    let token = mint(&b.keys, &short).unwrap();
    assert_eq!(try_spend(&b, token.clone(), short.clone(), NOW + 1000).await.unwrap_err().code, Code::TokenInvalid);
    try_spend(&b, token, short, NOW + 999).await.unwrap();
}

#[tokio::test]
async fn a_token_for_something_else_is_refused() {
    let b = bench();
    let token = mint(&b.keys, &claims()).unwrap();
    // Each claim says something else than what is about to be done; nothing but that claim is wrong.
    type Change = (&'static str, fn(&mut Claims));
    let changes: [Change; 13] = [
        ("signed here", |c| c.template_digest = "ee".repeat(32)),
        ("signed here", |c| c.policy_digest = "ee".repeat(32)),
        ("another subject", |c| c.sub = "somebody".into()),
        ("another organisation", |c| c.tenant = "school".into()),
        ("another request", |c| c.request_id = "request-2".into()),
        ("another lab", |c| c.lab = "netplus-dns".into()),
        ("another plan", |c| c.plan = "enterprise".into()),
        ("another tier", |c| c.tier = "expert".into()),
        ("another set of limits", |c| c.limits.cpu_milli = 16_000),
        ("another set of limits", |c| c.limits.memory_mb = 16_384),
        ("another set of limits", |c| c.limits.minutes = 900),
        ("another set of limits", |c| c.limits.pids = 9999),
        ("another set of limits", |c| c.limits.disk_mb = 9999),
    ];
    for (word, change) in changes {
        let mut other = claims();
        change(&mut other);
        let e = try_spend(&b, token.clone(), other, NOW).await.unwrap_err();
        assert_eq!(e.code, Code::TokenInvalid);
        assert!(e.message.contains(word), "{word}: {}", e.message);
    }
    let mut guessable = claims();
    guessable.jti = "1".into();
    let weak = mint(&b.keys, &guessable).unwrap();
    assert_eq!(try_spend(&b, weak, guessable, NOW).await.unwrap_err().code, Code::TokenInvalid);
    let elsewhere = bench();
    let stranger = Keys::open(elsewhere.home.path().join("other").as_path(), &mut rng(77)).unwrap();
    let forged = mint(&stranger, &claims()).unwrap();
    assert_eq!(try_spend(&b, forged, claims(), NOW).await.unwrap_err().code, Code::TokenInvalid);
    // A rotation does not strand a token that is on its way.
    b.keys.rotate(KeyName::Spawn, NOW, &mut rng(5)).unwrap();
    try_spend(&b, token, claims(), NOW).await.unwrap();
}

/// The digests are bound twice; each binding must hold where the other one is got round.
#[tokio::test]
async fn claims_and_implicit_assertion_bind_each_by_itself() {
    use pasetors::keys::AsymmetricSecretKey;
    use pasetors::version4::{PublicToken, V4};
    let b = bench();
    let secret = AsymmetricSecretKey::<V4>::from(b.keys.spawn_pair().unwrap().as_slice()).unwrap();
    let footer = format!("{{\"kid\":\"{}\"}}", b.keys.id(KeyName::Spawn).unwrap());
    let asserted = |c: &Claims| {
        format!("{{\"policy_digest\":\"{}\",\"template_digest\":\"{}\"}}", c.policy_digest, c.template_digest)
    };
    let signed = |inside: &Claims, implicit: &str, footer: &str| {
        let payload = serde_json_canonicalizer::to_vec(inside).unwrap();
        PublicToken::sign(&secret, &payload, Some(footer.as_bytes()), Some(implicit.as_bytes())).unwrap()
    };
    let good = claims();
    for change in [(|c| c.template_digest = "ee".repeat(32)) as fn(&mut Claims), |c| c.policy_digest = "ee".repeat(32)]
    {
        let mut other = claims();
        change(&mut other);
        // The claims are right, the assertion is another's; then the other way round.
        let e = try_spend(&b, signed(&good, &asserted(&other), &footer), claims(), NOW).await.unwrap_err();
        assert!(e.message.contains("not signed here"), "{}", e.message);
        let e = try_spend(&b, signed(&other, &asserted(&good), &footer), claims(), NOW).await.unwrap_err();
        assert!(e.message.contains("made for another"), "{}", e.message);
    }
    assert!(try_spend(&b, signed(&good, "", &footer), claims(), NOW).await.is_err());
    let stranger = format!("{{\"kid\":\"{}\"}}", "0".repeat(32));
    assert!(try_spend(&b, signed(&good, &asserted(&good), &stranger), claims(), NOW).await.is_err());
    try_spend(&b, signed(&good, &asserted(&good), &footer), claims(), NOW).await.unwrap();
}

#[tokio::test]
async fn a_token_is_spent_with_its_launch_intent_or_not_at_all() {
    let b = bench();
    let trap = "CREATE TRIGGER trap BEFORE INSERT ON intents BEGIN SELECT raise(ABORT, 'no intent'); END";
    b.store.write(move |tx| Ok(tx.execute_batch(trap)?)).await.unwrap();
    assert_eq!(b.admit(request(1)).await.unwrap_err().code, Code::StoreFailed);
    assert_eq!((b.count("spent_tokens").await, b.count("runs").await, b.count("audit").await), (0, 0, 0));
    b.store.write(|tx| Ok(tx.execute_batch("DROP TRIGGER trap")?)).await.unwrap();
    // The same token id is good again, because it was never spent.
    assert!(matches!(b.admit(request(1)).await, Ok(Admission::New(..))));
    assert_eq!(b.count("spent_tokens").await, 1);
}

#[tokio::test]
async fn two_processes_cannot_both_take_the_last_place() {
    let b = bench();
    let other = Store::open(&b.home.path().join("forge.db")).unwrap();
    let last = |n: u64| {
        let mut r = request(n);
        r.entitlement = Entitlement::Plan("basic".into());
        r.scenario.limits.cpu = 1.5;
        r
    };
    let mut admitted = 0;
    let mut refused = Vec::new();
    let (x, y) = tokio::join!(b.admit(last(1)), admit(&other, &b.policy, &b.keys, last(2)));
    for outcome in [x, y] {
        match outcome {
            Ok(_) => admitted += 1,
            Err(e) => refused.push(e),
        }
    }
    assert_eq!((admitted, b.count("runs").await), (1, 1));
    assert!(refused[0].message.contains("3 of the 2 allowed"), "{}", refused[0].message);
}

#[tokio::test]
async fn the_machine_has_an_end_whoever_asks() {
    let b = bench();
    new(b.admit(request(1)).await.unwrap());
    let ask = |change: fn(&mut Request)| {
        let mut r = request(2);
        r.subject = "other".into();
        change(&mut r);
        r
    };
    for (change, word) in [
        ((|r| r.footprint.pids = 16_384) as fn(&mut Request), "16640 processes"),
        (|r| r.footprint.memory_mb = 6000, "All labs together would need 6512 MiB"),
        (|r| r.scenario.limits.cpu = 7.0, "promised 8.5 CPUs"),
        (|r| r.machine.disk_free_mb = Some(1279), "only 1279 MiB are"),
        (|r| r.machine.disk_floor_mb = 60_000, "60000 MiB of the disk must stay free"),
        (|r| r.machine.memory_free_mb = Some(255), "Only 255 MiB of this machine's memory are free"),
    ] {
        let e = b.admit(ask(change)).await.unwrap_err();
        assert_eq!(e.details["gates"], json!(["quota"]));
        assert!(e.message.contains(word), "{word}: {}", e.message);
    }
    assert!(matches!(b.admit(ask(|_| ())).await, Ok(Admission::New(..))));
}

#[tokio::test]
async fn a_blocked_subject_starts_nothing_until_it_is_let_in_again() {
    let b = bench();
    b.store.write(|tx| block(tx, "learner", " exam is over ", "c", NOW)).await.unwrap();
    let e = b.admit(request(1)).await.unwrap_err();
    assert!(e.message.contains("blocked from starting labs: exam is over. Ask"), "{}", e.message);
    let mut other = request(2);
    other.subject = "other".into();
    new(b.admit(other).await.unwrap());
    b.store.write(|tx| unblock(tx, "learner", "c", NOW)).await.unwrap();
    new(b.admit(request(1)).await.unwrap());
    let e = b.store.write(|tx| unblock(tx, "learner", "c", NOW)).await.unwrap_err();
    assert_eq!(e.code, Code::NotFound);
    // A block that comes later finds the runs that are alive.
    b.store.write(|tx| block(tx, "learner", "again", "c", NOW)).await.unwrap();
    let alive = b.store.read(crate::store::blocks::alive_runs).await.unwrap();
    let found: Vec<(&str, &str)> = alive.iter().map(|(run, b)| (run.as_str(), b.reason.as_str())).collect();
    assert_eq!(found, [(request(1).run.as_str(), "again")]);
    let kinds: Vec<String> = b.store.read(|c| Ok(newest(c)?.into_iter().map(|e| e.kind).collect())).await.unwrap();
    assert_eq!(kinds.iter().filter(|k| k.starts_with("subject.")).count(), 3);
    for (subject, reason) in [("", "x"), ("a b", "x"), ("a", ""), ("a", "x\ny"), ("a", &"x".repeat(201))] {
        let (subject, reason) = (subject.to_owned(), reason.to_owned());
        assert!(b.store.write(move |tx| block(tx, &subject, &reason, "c", NOW)).await.is_err());
    }
}

#[tokio::test]
async fn a_blocked_organisation_is_found_by_what_runs_for_it() {
    let b = bench();
    let mut other = request(2);
    (other.tenant, other.access.tenant) = ("elsewhere".into(), "elsewhere".into());
    new(b.admit(request(1)).await.unwrap());
    new(b.admit(other.clone()).await.unwrap());
    let tenant = format!("tenant:{}", request(1).tenant);
    let blocked = tenant.clone();
    b.store.write(move |tx| block(tx, &blocked, "not paid", "c", NOW)).await.unwrap();
    let alive = || b.store.read(crate::store::blocks::alive_runs);
    let found = alive().await.unwrap();
    assert_eq!(found.iter().map(|(run, b)| (run, &b.subject)).collect::<Vec<_>>(), [(&request(1).run, &tenant)]);
    // Its own block goes before that of its organisation, and each run is named once.
    b.store.write(|tx| block(tx, "learner", "cheated", "c", NOW)).await.unwrap();
    let found = alive().await.unwrap();
    let reasons: Vec<&str> = found.iter().map(|(_, b)| b.reason.as_str()).collect();
    assert_eq!((found.len(), reasons), (2, vec!["cheated", "cheated"]));
}

#[tokio::test]
async fn a_refusal_beside_a_hog_is_an_alert() {
    let b = bench();
    let mut hog = request(1);
    hog.footprint.memory_mb = 5000;
    new(b.admit(hog).await.unwrap());
    let mut r = request(2);
    r.subject = "other".into();
    r.footprint.memory_mb = 2000;
    let e = b.admit(r.clone()).await.unwrap_err();
    let unfair: Unfair = serde_json::from_value(e.details["unfair"].clone()).unwrap();
    assert_eq!(unfair, Unfair { holder: "learner".into(), refused: "other".into(), percent: 81 });
    let alerts = b.store.read(newest).await.unwrap();
    assert_eq!(alerts.iter().filter(|e| e.kind == "quota.unfair").count(), 1);
    // Refused for another reason, or in one's own way: no alert.
    r.footprint.memory_mb = 100;
    r.pin = "cd".repeat(32);
    assert!(b.admit(r).await.unwrap_err().details.get("unfair").is_none());
    let mut own = request(3);
    own.footprint.memory_mb = 2000;
    assert!(b.admit(own).await.unwrap_err().details.get("unfair").is_none());
}

#[tokio::test]
async fn the_ceilings_that_are_shown_are_the_policys() {
    let b = bench();
    let machine = request(1).machine;
    let practice = ceilings(&b.policy, &Entitlement::Practice, &machine).unwrap();
    assert_eq!(practice.limits.memory_mb, Some(6144.0));
    assert_eq!((practice.limits.per_day, practice.machine.pids), (None, Some(16_384.0)));
    assert_eq!((practice.machine.disk_floor_mb, practice.machine.memory_floor_mb), (Some(1024.0), Some(256.0)));
    let free = ceilings(&b.policy, &Entitlement::Plan("free".into()), &machine).unwrap();
    assert_eq!((free.limits.per_day, free.limits.at_once, free.limits.cpu), (Some(5.0), Some(1.0), Some(1.0)));
    assert_eq!(ceilings(&b.policy, &Entitlement::Plan("gold".into()), &machine).unwrap_err().code, Code::Denied);
}

#[tokio::test]
async fn what_must_be_paid_for_does_not_start_unpaid() {
    let b = bench();
    let mut r = request(1);
    r.entitlement = Entitlement::Granted("standard".into());
    let e = b.admit(r).await.unwrap_err();
    assert_eq!((e.code, e.message.contains("not been paid")), (Code::Denied, true));
    assert_eq!((b.count("runs").await, b.count("spent_tokens").await), (0, 0));
}

#[tokio::test]
async fn every_byte_of_a_token_counts() {
    let b = bench();
    let token = mint(&b.keys, &claims()).unwrap();
    let keys = b.keys.clone();
    let text = token.clone();
    let accepted = b
        .store
        .write(move |tx| {
            let mut accepted = Vec::new();
            for i in 0..text.len() {
                for with in ["A", "B", "_", ".", "=", ""] {
                    let forged = format!("{}{with}{}", &text[..i], &text[i + 1..]);
                    if forged == text {
                        continue;
                    }
                    match spend(tx, &keys, &forged, &expected(&claims()), "run", NOW) {
                        Err(e) => assert_eq!(e.code, Code::TokenInvalid, "at {i}"),
                        Ok(_) => accepted.push(i),
                    }
                }
            }
            Ok(accepted)
        })
        .await
        .unwrap();
    assert_eq!(accepted, Vec::<usize>::new());
    for odd in ["", "v4.public.", "v4.local.AAAA", "v3.public.AAAA", &format!("{token}.x"), &format!(" {token}")] {
        assert_eq!(try_spend(&b, odd.into(), claims(), NOW).await.unwrap_err().code, Code::TokenInvalid, "{odd}");
    }
    try_spend(&b, token, claims(), NOW).await.unwrap();
}

#[test]
fn the_layout_of_the_token_is_pinned() {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join("keys")).unwrap();
    // The test key of RFC 8032, section 7.1, test 1.
    let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
    std::fs::write(home.path().join("keys/spawn.pem"), pem).unwrap();
    let keys = Keys::open(home.path(), &mut rng(1)).unwrap();
    let payload = serde_json_canonicalizer::to_string(&claims()).unwrap();
    let text = format!("{payload}\n{}\n", mint(&keys, &claims()).unwrap());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/spawn-token.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn run_ids_are_ten_base32_characters() {
    let mut r = rng(3);
    for _ in 0..100 {
        let id = draw_run_id(&mut r);
        assert!(id.len() == 10 && id.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)), "{id}");
    }
    assert_ne!(draw_run_id(&mut r), draw_run_id(&mut r));
}

#[tokio::test]
async fn a_decision_can_be_looked_up_from_its_denial() {
    let b = bench();
    let mut r = request(1);
    r.subject = "mara".into();
    r.scrubber = Scrubber::new("/home/mara", "mara", "marabook");
    r.pin = "cd".repeat(32);
    let e = b.admit(r).await.unwrap_err();
    let id = e.details["decisions"][0].as_i64().unwrap();
    let kept = b.store.read(move |c| decisions::get(c, id)).await.unwrap();
    assert_eq!((kept.gate.as_str(), kept.answer.allow), ("spawn", false));
    assert_eq!(json!(kept.answer.reasons), e.details["reasons"]);
    assert_eq!(kept.answer.policy_digest, b.policy.digest());
    assert!(kept.answer.micros.is_some_and(|m| m > 0));
    assert_eq!(kept.occasion.lab.as_deref(), Some("ccna-ospf-single-area"));
    // Decided on the name, kept without it.
    assert_eq!(kept.answer.input["subject"], "[user]");
    let others = b.store.read(move |c| decisions::others(c, &kept)).await.unwrap();
    assert_eq!(
        others.iter().map(|k| k.gate.as_str()).collect::<Vec<_>>(),
        ["access", "training", "quota", "capabilities"]
    );
}
