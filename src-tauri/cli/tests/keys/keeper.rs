//! The process that a start leaves behind has no terminal: it is handed the passphrase, and keeps.

use crate::desk::{Desk, until};

#[test]
fn a_keeper_is_handed_the_passphrase() {
    let mut desk = Desk::bare();
    let (home, phrase) = (desk.home.path().join("forge"), desk.file("phrase", "four words of mine\n"));
    desk.vars.push(("FORGE_HOME".into(), home.display().to_string()));
    desk.vars.push(("FORGE_LABS".into(), concat!(env!("CARGO_MANIFEST_DIR"), "/tests/labs").into()));
    desk.forge(&["results"]).ok();
    desk.forge(&["keys", "protect", "--passphrase", "--new-passphrase-file", &phrase]).ok();
    let kept = || std::fs::File::open(home.join("keeper.lock")).is_ok_and(|f| f.try_lock_shared().is_err());
    let run = desk.forge(&["--passphrase-file", &phrase, "start", "one-link"]).ok()["run"].as_str().unwrap().to_owned();
    until("somebody keeps", kept);
    let submitted = desk.forge(&["--passphrase-file", &phrase, "submit", &run]).ok();
    let dir = submitted["dir"].as_str().unwrap();
    // Verifying needs none of it.
    let verify = [
        "pkeyutl",
        "-verify",
        "-pubin",
        "-inkey",
        "verdict.pub.pem",
        "-rawin",
        "-in",
        "verdict.pae",
        "-sigfile",
        "verdict.sig",
    ];
    let openssl = desk.command("openssl").current_dir(dir).args(verify).output().unwrap();
    assert!(openssl.status.success(), "{openssl:?}");
    desk.forge(&["--passphrase-file", &phrase, "stop", &run]).ok();
    until("nobody keeps any more", || !kept());
}
