//! The operating system's secret store: used when it answers, waited for two seconds when it does not, never replaced.

use crate::desk::{Desk, until};
use serde_json::{Value, json};

fn record(desk: &Desk) -> Value {
    serde_json::from_slice(&std::fs::read(desk.keys().join("kept.json")).unwrap()).unwrap()
}

#[test]
fn new_keys_go_into_the_store_and_are_signed_with_and_rotated_there() {
    let desk = Desk::with_keyring();
    assert_eq!(desk.forge(&["keys"]).ok(), Value::Null);
    desk.forge(&["results"]).within(2).ok();
    assert_eq!(desk.names(), ["kept.json"]);
    let told = desk.forge(&["keys"]).ok();
    assert_eq!((&told["place"], &told["warning"]), (&json!("os"), &Value::Null));
    let id = desk.id();
    assert_eq!(record(&desk)["kept"]["keys"]["learner"], json!(id));
    let mut hand = desk.hand();
    assert_eq!(hand.say("sign").unwrap().len(), 128);
    let new = hand.say("rotate").unwrap();
    assert_ne!(new, id);
    assert_eq!((desk.id(), record(&desk)["kept"]["keys"]["learner"].as_str()), (new.clone(), Some(new.as_str())));
}

#[test]
fn a_store_that_dies_while_the_keys_are_open_costs_no_key() {
    let mut desk = Desk::with_keyring();
    let mut hand = desk.hand();
    let id = hand.say("id").unwrap();
    desk.end_keyring();
    until("its name is free", || hand.say("rotate") == Err("store_failed".into()));
    assert_eq!(hand.say("id").unwrap(), id);
    hand.say("sign").unwrap();
    assert_eq!(desk.forge(&["results"]).within(2).refused(), "store_failed");
    assert_eq!(desk.names(), ["kept.json"], "no other key was made");
    desk.start_keyring(true);
    assert_eq!(desk.id(), id);
    // The same process, which had spoken with the one that died.
    let new = hand.say("rotate").unwrap();
    assert_eq!(desk.id(), new);
}

#[test]
fn a_store_that_is_silent_holds_nobody_up() {
    let desk = Desk::with_keyring();
    desk.forge(&["results"]).ok();
    let id = desk.id();
    desk.signal_keyring("STOP");
    assert_eq!(desk.forge(&["results"]).within(2).refused(), "store_silent");
    // Also while another process is patient with it, which then has the keys.
    let mut patient = desk.command(env!("CARGO_BIN_EXE_forge")).args(["keys", "unlock"]).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(desk.forge(&["results"]).within(2).refused(), "store_silent");
    assert!(patient.try_wait().unwrap().is_none(), "it waits");
    desk.signal_keyring("CONT");
    assert!(patient.wait().unwrap().success());
    assert_eq!(desk.id(), id);

    // Nothing there yet: plain files, and it is said why.
    std::fs::remove_dir_all(desk.data()).unwrap();
    desk.signal_keyring("STOP");
    desk.forge(&["results"]).within(2).ok();
    let told = desk.forge(&["keys"]).ok();
    let warning = told["warning"].as_str().unwrap();
    assert_eq!(told["place"], "plain");
    assert!(warning.contains("did not answer"), "{warning}");
    assert_eq!(told["command"], "forge keys protect --passphrase");
    assert_eq!(desk.names(), ["catalogue.pem", "kept.json", "learner.pem", "spawn.pem"]);
    // From now on it is not asked.
    assert!(desk.forge(&["results"]).took.as_millis() < 1500);
    let id = desk.id();
    desk.signal_keyring("CONT");
    desk.forge(&["keys", "protect", "--os"]).ok();
    assert_eq!((desk.id(), desk.names()), (id, vec!["kept.json".to_owned()]));
}

#[test]
fn a_locked_store_is_told_and_nothing_is_made_instead() {
    let mut desk = Desk::with_keyring();
    desk.forge(&["results"]).ok();
    let (id, before) = (desk.id(), record(&desk));
    desk.end_keyring();
    desk.start_keyring(false);
    let kind = desk.forge(&["results"]).within(2).refused();
    assert!(kind == "store_locked" || kind == "store_silent", "{kind}");
    assert_eq!((desk.names(), record(&desk)), (vec!["kept.json".to_owned()], before));
    desk.end_keyring();
    desk.start_keyring(true);
    assert_eq!(desk.id(), id);

    // Locked from the first start on: plain files with a warning.
    std::fs::remove_dir_all(desk.data()).unwrap();
    desk.end_keyring();
    desk.start_keyring(false);
    desk.forge(&["results"]).within(2).ok();
    assert_eq!(desk.forge(&["keys"]).ok()["place"], "plain");
}

#[test]
fn a_store_that_lost_the_keys_is_told_and_nothing_is_made_instead() {
    let mut desk = Desk::with_keyring();
    desk.forge(&["results"]).ok();
    desk.lose_keyring();
    for _ in 0..2 {
        assert_eq!(desk.forge(&["results"]).refused(), "store_lost");
    }
}

#[test]
fn without_a_store_keys_are_plain_and_the_warning_says_what_to_do() {
    let desk = Desk::bare();
    desk.forge(&["results"]).within(0).ok();
    let told = desk.forge(&["keys"]).ok();
    let warning = told["warning"].as_str().unwrap();
    assert!(warning.contains("cannot be used"), "{warning}");
    assert_eq!(told["command"], "forge keys protect --passphrase");
    // A move that fails leaves them where they are.
    let (id, names) = (desk.id(), desk.names());
    assert_eq!(desk.forge(&["keys", "protect", "--os"]).within(2).refused(), "store_failed");
    assert_eq!((desk.id(), desk.names()), (id, names));
    // Asked for by name, it is not quietly something else.
    let mut other = Desk::bare();
    other.vars.push(("FORGE_KEYS".into(), "os".into()));
    assert_eq!(other.forge(&["results"]).within(2).refused(), "store_failed");
    assert_eq!(other.names(), [""; 0]);
}

#[test]
fn many_first_processes_make_one_key() {
    for place in ["os", "passphrase", "plain"] {
        let mut desk = Desk::with_keyring();
        desk.vars.push(("FORGE_KEYS".into(), place.into()));
        desk.vars.push(("FORGE_PASSPHRASE_FILE".into(), desk.file("phrase", "eight at once\n")));
        let mut hands: Vec<_> = (0..8).map(|_| desk.hand()).collect();
        let ids: Vec<String> = hands.iter_mut().map(|hand| hand.say("id").unwrap()).collect();
        assert!(ids.iter().all(|id| *id == ids[0]), "{place}: {ids:?}");
        assert_eq!(desk.id(), ids[0], "{place}");
        assert_eq!(desk.forge(&["keys"]).ok()["place"], place);
    }
}
