//! Where private keys are kept, on real parts: real processes, files, a session bus and GNOME Keyring.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod desk;
mod exchanged;
mod keeper;
mod moves;
mod passphrase;
mod quiet;
mod served;
mod store;

use forge_core::keys::{Domain, Keeping, KeyName, Keys};
use std::io::BufRead;

/// Not a test: another process with the keys open, which does what it is told on stdin (`Desk::hand`).
#[test]
#[ignore = "started by the others"]
fn inner() {
    let Some(home) = std::env::var_os("FORGE_TEST_DATA") else { return };
    let keeping = Keeping::from(|name| std::env::var_os(name)).unwrap();
    let mut rng = rand::rng();
    let told = |answer: forge_core::error::Result<String>| match answer {
        Ok(text) => println!("=> ok {text}"),
        Err(e) => println!("=> err {}", e.details["kind"].as_str().unwrap_or(&format!("{:?}", e.code))),
    };
    let keys = match Keys::open_kept(home.as_ref(), &keeping, &mut rng) {
        Ok(keys) => keys,
        Err(e) => return told(Err(e)),
    };
    for word in std::io::stdin().lock().lines() {
        told(match word.unwrap().as_str() {
            "id" => keys.id(KeyName::Learner),
            "sign" => keys.sign(KeyName::Learner, Domain::Receipt, b"x").map(hex::encode),
            "rotate" => keys.rotate(KeyName::Learner, 7, &mut rng).map(|r| r.new),
            other => panic!("{other}"),
        });
    }
}
