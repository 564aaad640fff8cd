//! Each lab proves itself on a real Docker engine: untouched it scores nothing, its solution everything on three seeds, and each
//! wrong answer fails what it should. `FORGE_PROVE_SEEDS` (1 to 9, default 3) trades depth for time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use forge_core::api::{Caller, Commands, Empty};
use forge_core::forge::{Forge, Options};
use forge_core::shell::Shellable;

/// One lab at a time: what is proven is the lab, not how the machine copes with three of them.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn prove(lab: &str) {
    let _alone = ALONE.lock().await;
    let home = tempfile::tempdir().unwrap();
    let options = Options {
        home: home.path().into(),
        shell: "cli".into(),
        labs: None,
        keep: true,
        keeper: Vec::new(),
        egress: Default::default(),
        keys: Default::default(),
    };
    let forge = Forge::open(options).await.unwrap();
    let me = Caller { correlation: format!("prove-{lab}"), instructor: true };
    let count: usize = std::env::var("FORGE_PROVE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3).clamp(1, 9);
    let seeds: Vec<String> = (1..=count).map(|n| format!("proof-{n}")).collect();
    let told = |p: &forge_core::forge::Proof| {
        println!(
            "{} {lab} {} (seed {}, {} ms): {}",
            if p.ok { "ok  " } else { "FAIL" },
            p.answer,
            p.seed,
            p.ms,
            p.detail
        );
    };
    let proofs = forge.prove(&me, lab, &seeds, &told).await;
    forge.stop_all(&me, Empty {}).await.unwrap();
    forge.shutdown().await;
    let proofs = proofs.unwrap();
    let failed: Vec<String> =
        proofs.iter().filter(|p| !p.ok).map(|p| format!("{} ({}): {}", p.answer, p.seed, p.detail)).collect();
    assert!(failed.is_empty(), "{lab}:\n{}", failed.join("\n"));
    assert_eq!(proofs.iter().filter(|p| p.answer == "solution").count(), count);
    assert!(
        proofs.iter().filter(|p| p.answer.starts_with("wrong/")).count() >= 2,
        "{lab} needs two wrong answers at least"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_zone_and_reverse() {
    prove("netplus-dns-zone-reverse").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ospf_single_area() {
    prove("ccna-ospf-single-area").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_hardening() {
    prove("cissp-ssh-hardening").await;
}
