//! Moving and making keys, killed at every point that the library lists: the keys stay, and the same command ends it.

use crate::desk::Desk;
use forge_core::fault::POINTS;
use std::os::unix::process::ExitStatusExt;

fn points(of: &str) -> Vec<&'static str> {
    let found: Vec<_> = POINTS.into_iter().filter(|p| p.starts_with(of)).collect();
    assert!(found.len() > 1);
    found
}

fn killed(desk: &Desk, point: &str, args: &[&str]) {
    let out = desk.command(env!("CARGO_BIN_EXE_forge")).args(args).env("FORGE_FAULT", point).output().unwrap();
    assert!(out.status.signal().is_some(), "{point} was not reached: {out:?}");
}

const PLAIN: [&str; 4] = ["catalogue.pem", "kept.json", "learner.pem", "spawn.pem"];

fn files(place: &str) -> &'static [&'static str] {
    match place {
        "os" => &["kept.json"],
        "passphrase" => &["kept.json", "keys.enc"],
        _ => &PLAIN,
    }
}

#[test]
fn a_move_killed_anywhere_loses_nothing_and_is_ended_by_the_same_command() {
    let mut desk = Desk::with_keyring();
    let phrase = desk.file("phrase", "four words of mine");
    desk.vars.push(("FORGE_PASSPHRASE_FILE".into(), phrase.clone()));
    desk.forge(&["results"]).ok();
    let id = desk.id();
    let mut from = "os";
    for to in ["plain", "passphrase", "os", "passphrase", "plain", "os"] {
        let flag = format!("--{to}");
        let mut protect = vec!["keys", "protect", &flag];
        if to == "passphrase" {
            protect.extend(["--new-passphrase-file", &phrase]);
        }
        for point in points("keys.move") {
            // Only plain files are more than one thing.
            if point == "keys.move.first" && from != "plain" {
                continue;
            }
            desk.forge(
                &["keys", "protect", &format!("--{from}"), "--new-passphrase-file", &phrase]
                    [..if from == "passphrase" { 5 } else { 3 }],
            )
            .ok();
            assert_eq!(desk.names(), files(from), "{from} before {point}");
            killed(&desk, point, &protect);
            // As written down, whichever that is.
            assert_eq!(desk.id(), id, "{from} to {to}, {point}");
            desk.forge(&protect).ok();
            assert_eq!(desk.id(), id, "{from} to {to}, {point}, ended");
            assert_eq!(desk.names(), files(to), "{from} to {to}, {point}");
            assert_eq!(desk.forge(&["keys"]).ok()["place"], to);
        }
        from = to;
    }
}

#[test]
fn the_next_start_ends_a_move_too() {
    let desk = Desk::with_keyring();
    desk.forge(&["results"]).ok();
    desk.forge(&["keys", "protect", "--plain"]).ok();
    let id = desk.id();
    killed(&desk, "keys.move.switched", &["keys", "protect", "--os"]);
    assert_eq!(desk.names(), PLAIN, "still there beside the store's");
    desk.forge(&["results"]).ok();
    assert_eq!((desk.names(), desk.id()), (vec!["kept.json".to_owned()], id));
}

#[test]
fn first_keys_killed_anywhere_are_made_by_the_next_start() {
    for point in points("keys.make") {
        let desk = Desk::with_keyring();
        killed(&desk, point, &["results"]);
        desk.forge(&["results"]).ok();
        let id = desk.id();
        assert_eq!((desk.id(), desk.names()), (id, vec!["kept.json".to_owned()]), "{point}");
    }
    // The store is gone when the next one starts: nothing was ever signed with what had been begun.
    let mut desk = Desk::with_keyring();
    killed(&desk, "keys.make.saved", &["results"]);
    desk.end_keyring();
    desk.forge(&["results"]).ok();
    assert_eq!(desk.names(), PLAIN);
}

#[test]
fn a_rotation_killed_anywhere_leaves_a_key_that_is_vouched_for() {
    for place in ["os", "plain", "passphrase"] {
        for point in points("keys.rotate") {
            let mut desk = Desk::with_keyring();
            desk.vars.push(("FORGE_KEYS".into(), place.into()));
            desk.vars.push(("FORGE_PASSPHRASE_FILE".into(), desk.file("phrase", "four words of mine")));
            let id = desk.id();
            desk.vars.push(("FORGE_FAULT".into(), point.into()));
            assert_eq!(desk.hand().say("rotate"), Err("ended".into()), "{point} was not reached");
            desk.vars.pop();
            let now = desk.id();
            assert_eq!(now == id, point == "keys.rotate.recorded", "{place} {point}");
            let new = desk.hand().say("rotate").unwrap();
            assert_eq!(desk.id(), new, "{place} {point}");
        }
    }
}
