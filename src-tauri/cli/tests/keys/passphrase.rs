//! Keys under a passphrase, on the command line.

use crate::desk::Desk;
use std::io::Write;
use std::process::Stdio;

fn under(phrase: &str) -> Desk {
    let desk = Desk::bare();
    desk.forge(&["results"]).ok();
    let file = desk.file("new", phrase);
    desk.forge(&["keys", "protect", "--passphrase", "--new-passphrase-file", &file]).ok();
    desk
}

#[test]
fn it_is_read_from_a_file_a_descriptor_or_stdin_and_a_wrong_one_is_told() {
    let desk = under("four words of mine\n");
    let (good, bad) = (desk.file("good", "four words of mine\n"), desk.file("bad", "four words of yours\n"));
    assert_eq!(desk.forge(&["results"]).refused(), "passphrase_needed");
    assert_eq!(desk.forge(&["--passphrase-file", &bad, "results"]).refused(), "passphrase_wrong");
    desk.forge(&["--passphrase-file", &good, "results"]).ok();
    // Where they are can be asked without it.
    let told = desk.forge(&["keys"]).ok();
    assert_eq!((told["place"].as_str(), told["warning"].is_null()), (Some("passphrase"), true));
    let forge = env!("CARGO_BIN_EXE_forge");
    let line = format!("'{forge}' --json --passphrase-file /dev/fd/7 results 7<'{good}'");
    assert!(desk.command("sh").args(["-c", &line]).output().unwrap().status.success());
    for (text, opens) in [("four words of mine\n", true), ("no\n", false)] {
        let mut child = desk.command(forge);
        child.args(["--json", "--passphrase-file", "-", "results"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = child.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert_eq!(child.wait().unwrap().success(), opens);
    }
    let gone = desk.forge(&["--passphrase-file", "/nowhere", "results"]);
    assert_eq!((gone.output.status.code(), gone.json()["error"]["code"].as_str()), (Some(2), Some("invalid_input")));
    let short = desk.file("short", "short");
    let short =
        desk.forge(&["--passphrase-file", &good, "keys", "protect", "--passphrase", "--new-passphrase-file", &short]);
    assert_eq!(short.output.status.code(), Some(2));
    // Nobody to be asked for the new one.
    let nobody = desk.forge(&["--passphrase-file", &good, "keys", "protect", "--passphrase"]);
    assert_eq!(nobody.output.status.code(), Some(2));
    desk.forge(&["--passphrase-file", &good, "results"]).ok();
}

#[test]
fn a_damaged_short_unreadable_or_missing_file_is_told_and_never_replaced() {
    let mut desk = under("four words of mine\n");
    desk.vars.push(("FORGE_PASSPHRASE_FILE".into(), desk.file("good", "four words of mine\n")));
    let path = desk.keys().join("keys.enc");
    let bytes = std::fs::read(&path).unwrap();
    let id = desk.id();
    for at in [0, 7, 8, 30, 50, 100, bytes.len() - 1] {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        std::fs::write(&path, &changed).unwrap();
        assert_eq!(desk.forge(&["results"]).refused(), "damaged", "byte {at}");
        assert_eq!(std::fs::read(&path).unwrap(), changed);
    }
    std::fs::write(&path, &bytes[..100]).unwrap();
    assert_eq!(desk.forge(&["results"]).refused(), "damaged");
    std::fs::remove_file(&path).unwrap();
    assert_eq!(desk.forge(&["results"]).refused(), "damaged");
    assert!(!path.exists());
    // What even root cannot read as a file.
    std::fs::create_dir(&path).unwrap();
    assert_eq!(desk.forge(&["results"]).refused(), "unreadable");
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(desk.id(), id);
}

#[test]
fn under_forge_home_keys_stay_in_that_folder() {
    let mut desk = Desk::with_keyring();
    let home = desk.home.path().join("elsewhere").display().to_string();
    desk.vars.push(("FORGE_HOME".into(), home.clone()));
    desk.forge(&["results"]).ok();
    let told = desk.forge(&["keys"]).ok();
    assert_eq!(
        (told["place"].as_str(), told["command"].as_str()),
        (Some("plain"), Some("forge keys protect --passphrase"))
    );
    assert!(std::path::Path::new(&home).join("keys/learner.pem").exists());
    let refused = desk.forge(&["keys", "protect", "--os"]);
    assert_eq!(
        (refused.output.status.code(), refused.json()["error"]["code"].as_str()),
        (Some(2), Some("invalid_input"))
    );
}
