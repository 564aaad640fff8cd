//! A hundred thousand mutants, and a bundle of 200 MB in little memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#[allow(dead_code)]
mod support;

use bytes::Bytes;
use forge_core::check::evidence::Entry;
use forge_scoreboard::bench::workshop::{Laptop, Wish};
use forge_scoreboard::board::Board;
use forge_scoreboard::intake::{self, Parcel, bundle, envelope};
use forge_scoreboard::store::{Target, verdicts};
use rand::{Rng, RngExt, SeedableRng};
use std::io::Read;
use std::sync::Arc;
use support::*;

fn mutate(bytes: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..out.len().max(1));
        match rng.random_range(0..5) {
            0 => out[at] ^= 1 << rng.random_range(0..8),
            1 => out.insert(at, rng.random()),
            2 => drop(out.remove(at)),
            3 => out[at] = rng.random(),
            _ => {
                let other = rng.random_range(0..out.len());
                out.swap(at, other);
            }
        }
    }
    out
}

#[tokio::test(flavor = "multi_thread")]
async fn no_mutant_is_accepted() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("board");
    let board = tokio::task::spawn_blocking(move || {
        Board::open(&data, Target::of(&data, None).unwrap(), Some(labs())).unwrap().0
    })
    .await
    .unwrap();
    let board = Arc::new(board);
    let laptop = Arc::new(Laptop::new(&home.path().join("laptop")).unwrap());
    let enrolled = laptop.clone();
    board.store.write(move |tx| enrolled.enrol(tx, "A", "Mara", now())).await.unwrap();
    let good = laptop.seal(&scenario("seed"), SSH, &Wish::new("run", now())).unwrap();
    let mut rng = rand::rngs::StdRng::seed_from_u64(42);
    let mut tried = 0;
    while tried < 100_000 {
        let mutant = mutate(&good.envelope, &mut rng);
        if mutant != good.envelope {
            tried += 1;
            let outcome = intake::submit(&board, Bytes::from(mutant), None).await;
            assert!(outcome.is_err(), "mutant {tried} was accepted");
        }
    }
    // Bundles: through the same reader and judge, without the database between.
    let opened = envelope::open(&good.envelope).unwrap();
    let key = board.ring.learner(&board.store, &laptop.key_id).await.unwrap().unwrap();
    let statement = envelope::verify(&opened, &key).unwrap();
    let lab = board.labs.get(LAB).unwrap();
    let file = home.path().join("mutant");
    let mut bundles = 0;
    while bundles < 20_000 {
        let mutant = mutate(&good.evidence, &mut rng);
        if mutant != good.evidence {
            bundles += 1;
            std::fs::write(&file, &mutant).unwrap();
            assert!(
                bundle::check(&statement, &key, &good.score, &file, Some(&lab)).is_err(),
                "bundle {bundles} was accepted"
            );
        }
    }
    assert!(board.store.read(|tx| verdicts::after(tx, 0, 10)).await.unwrap().is_empty(), "a mutant was stored");
    std::fs::write(&file, &good.evidence).unwrap();
    let parcel = Parcel { score: good.score.clone().into(), file };
    assert!(
        intake::submit(&board, good.envelope.into(), Some(parcel)).await.is_ok(),
        "the original must be accepted, or nothing was tested"
    );
    println!("{tried} envelopes and {bundles} bundles, none accepted");
}

/// A bundle of so many captures of 4 MiB that do not pack, sent to a server of its own: its size, and the peak of the
/// server's memory before and after, in kB.
async fn taken_in(captures: usize) -> (usize, u64, u64) {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(&home.path().join("board"), None);
    let mara = server.newcomer("A", "learner", "Mara").await;
    let noise = |i: usize| {
        let mut bytes = Vec::new();
        std::fs::File::open("/dev/urandom").unwrap().take(4 << 20).read_to_end(&mut bytes).unwrap();
        Entry::new(format!("captures/{i:03}.pcap"), "capture", bytes)
    };
    let wish = Wish { extra: (0..captures).map(noise).collect(), tar_max: 400 << 20, ..Wish::new("large", now()) };
    let made = mara.laptop.seal(&scenario("large"), SSH, &wish).unwrap();
    let peak = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    };
    let before = peak();
    let (status, answer) = server.submit_bundle(&made).await;
    assert_eq!(status, 201, "{answer}");
    assert_eq!(answer["receipt"]["body"]["tier"], "re-graded", "{answer}");
    println!(
        "bundle of {} MB: peak {} MB, {} MB before",
        made.evidence.len() / 1_000_000,
        peak() / 1024,
        before / 1024
    );
    (made.evidence.len(), before, peak())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_is_never_held_whole() {
    let (size, before, after) = taken_in(4).await;
    let grown = (after - before) * 1024;
    assert!(grown <= size as u64 * 3 / 4, "{grown} bytes more for a bundle of {size}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the figure is one of a release build: cargo test --release -p forge-scoreboard --test limits -- --ignored"]
async fn two_hundred_megabytes_in_sixty_four() {
    let (size, _, peak) = taken_in(50).await;
    assert!(size >= 200_000_000, "{size}");
    assert!(peak <= 64 * 1024, "{peak} kB");
}
