#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use rand::SeedableRng;

fn rng(n: u64) -> rand::rngs::StdRng {
    rand::rngs::StdRng::seed_from_u64(n)
}

fn keys() -> (tempfile::TempDir, Keys) {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open(home.path(), &mut rng(1)).unwrap();
    (home, keys)
}

#[test]
fn keys_are_made_once_and_stay() {
    let (home, keys) = keys();
    let again = Keys::open(home.path(), &mut rng(2)).unwrap();
    for name in KeyName::LAPTOP {
        assert_eq!(keys.id(name).unwrap(), again.id(name).unwrap());
        assert_eq!(keys.id(name).unwrap().len(), 32);
    }
    assert_ne!(keys.id(KeyName::Learner).unwrap(), keys.id(KeyName::Spawn).unwrap());
    let kept = keys.kept();
    assert_eq!(kept.place, crate::api::KeyPlace::Plain);
    assert!(kept.warning.as_ref().unwrap().contains("unencrypted"), "{kept:?}");
    assert_eq!(kept.command.as_deref(), Some("forge keys protect --passphrase"));
    assert!(!format!("{keys:?}").contains("current"));
}

#[cfg(unix)]
#[test]
fn key_files_are_private_even_when_they_were_not() {
    use std::os::unix::fs::PermissionsExt;
    let (home, _) = keys();
    let path = home.path().join("keys/learner.pem");
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&home.path().join("keys"))), (0o600, 0o700));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    Keys::open(home.path(), &mut rng(2)).unwrap();
    assert_eq!(mode(&path), 0o600);
}

#[test]
fn a_damaged_key_is_an_error_never_replaced() {
    let (home, _) = keys();
    let path = home.path().join("keys/learner.pem");
    std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n").unwrap();
    assert_eq!(Keys::open(home.path(), &mut rng(2)).unwrap_err().code, Code::KeyUnavailable);
    assert!(std::fs::read_to_string(&path).unwrap().contains("AAAA"));
    // A pipe in its place is told apart at once: reading it would wait for somebody to write.
    #[cfg(unix)]
    {
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let (done, ended) = std::sync::mpsc::channel();
        let home = home.path().to_owned();
        std::thread::spawn(move || done.send(Keys::open(&home, &mut rng(2)).unwrap_err().code));
        assert_eq!(ended.recv_timeout(std::time::Duration::from_secs(10)).unwrap(), Code::KeyUnavailable);
    }
}

#[test]
fn two_processes_at_once_end_with_the_same_keys() {
    let home = tempfile::tempdir().unwrap();
    let ids: Vec<String> = std::thread::scope(|s| {
        let all: Vec<_> = (0..8)
            .map(|i| {
                let home = home.path();
                s.spawn(move || Keys::open(home, &mut rng(i)).unwrap().id(KeyName::Learner).unwrap())
            })
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

#[test]
fn domains_do_not_mix() {
    let (_home, keys) = keys();
    let public = keys.public(KeyName::Learner).unwrap();
    let signature = keys.sign(KeyName::Learner, Domain::Challenge, b"bytes").unwrap();
    assert!(public.verify(Domain::Challenge, b"bytes", &signature));
    for other in [Domain::KeyRotation, Domain::TemplateLock, Domain::Entitlement, Domain::Receipt] {
        assert!(!public.verify(other, b"bytes", &signature));
    }
    assert!(!public.verify(Domain::Challenge, b"bytez", &signature));
    assert!(!public.verify(Domain::Challenge, b"bytes", &signature[..63]));
    let pae = b"DSSEv1 1 a 1 b";
    let signature = keys.sign_dsse(KeyName::Learner, pae).unwrap();
    assert!(public.verify_dsse(pae, &signature));
    assert!(keys.sign_dsse(KeyName::Learner, b"anything").is_err());
    assert!(keys.sign_note(KeyName::Learner, "DSSEv1 1 a 1 b\n").is_err());
    assert!(keys.sign_note(KeyName::Learner, "frostgate.dev/forge/x").is_err());
    let note = "frostgate.dev/forge/x\n";
    let signature = keys.sign_note(KeyName::Learner, note).unwrap();
    assert!(public.verify_note(note, &signature));
    assert!(!public.verify_dsse(note.as_bytes(), &signature));
}

#[test]
fn a_flipped_bit_anywhere_in_a_signature_is_refused() {
    let (_home, keys) = keys();
    let public = keys.public(KeyName::Learner).unwrap();
    let signature = keys.sign(KeyName::Learner, Domain::Receipt, b"x").unwrap();
    for bit in (0..512).step_by(5) {
        let mut forged = signature;
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(!public.verify(Domain::Receipt, b"x", &forged), "bit {bit}");
    }
}

#[test]
fn weak_and_broken_public_keys_are_refused() {
    // The eight points of small order, RFC 7748's curve in Edwards form; three in canonical encoding.
    let mut one = [0u8; 32];
    one[0] = 1;
    for weak in [[0u8; 32], one] {
        let e = PublicKey::from_bytes(&weak).unwrap_err();
        assert!(e.message.contains("weak"), "{}", e.message);
    }
    let mut minus_one = [0xff_u8; 32];
    minus_one[0] = 0xec;
    minus_one[31] = 0x7f;
    assert!(PublicKey::from_bytes(&minus_one).is_err());
    assert!(PublicKey::from_pem("nonsense").is_err());
}

#[test]
fn rotation_is_vouched_for_and_old_signatures_stay_good() {
    let (home, keys) = keys();
    let before = keys.public(KeyName::Learner).unwrap();
    let signature = keys.sign(KeyName::Learner, Domain::Receipt, b"x").unwrap();
    let rotation = keys.rotate(KeyName::Learner, 5, &mut rng(9)).unwrap();
    let after = keys.public(KeyName::Learner).unwrap();
    assert_eq!((rotation.old.as_str(), rotation.new.as_str()), (before.id().as_str(), after.id().as_str()));
    assert!(!after.verify(Domain::Receipt, b"x", &signature));
    let reopened = Keys::open(home.path(), &mut rng(10)).unwrap();
    assert_eq!(reopened.ever(KeyName::Learner).unwrap(), [after, before.clone()]);
    assert!(reopened.ever(KeyName::Learner).unwrap().iter().any(|k| k.verify(Domain::Receipt, b"x", &signature)));
    assert_eq!(reopened.ever(KeyName::Spawn).unwrap().len(), 1);
    let path = home.path().join("keys/rotations.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let stranger = PublicKey::of(&SigningKey::from_bytes(&[7; 32]));
    let mut forged: Vec<Rotation> = serde_json::from_str(&text).unwrap();
    forged[0].new_pem = stranger.pem();
    forged[0].new = stranger.id();
    std::fs::write(&path, serde_json::to_vec(&forged).unwrap()).unwrap();
    let e = Keys::open(home.path(), &mut rng(10)).unwrap_err();
    assert!(e.message.contains("did not sign"), "{}", e.message);
}

#[test]
fn openssl_accepts_key_signature_and_fingerprint() {
    let (home, keys) = keys();
    let at = |name: &str| home.path().join(name);
    let pae = b"DSSEv1 28 application/vnd.in-toto+json 2 {}";
    std::fs::write(at("pae"), pae).unwrap();
    std::fs::write(at("sig"), keys.sign_dsse(KeyName::Learner, pae).unwrap()).unwrap();
    std::fs::write(at("pub.pem"), keys.public_pem(KeyName::Learner).unwrap()).unwrap();
    let openssl = |args: &[&str]| {
        std::process::Command::new("openssl").current_dir(home.path()).args(args).output().expect("openssl is needed")
    };
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "pub.pem", "-rawin", "-in", "pae", "-sigfile", "sig"];
    let out = openssl(&verify);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    std::fs::write(at("pae"), b"DSSEv1 28 application/vnd.in-toto+json 2 []").unwrap();
    assert!(!openssl(&verify).status.success());
    let der = openssl(&["pkey", "-pubin", "-in", "pub.pem", "-outform", "DER"]);
    use sha2::Digest;
    assert!(hex::encode(sha2::Sha256::digest(der.stdout)).starts_with(&keys.id(KeyName::Learner).unwrap()));
    let private = openssl(&["pkey", "-in", "keys/learner.pem", "-pubout"]);
    assert_eq!(String::from_utf8(private.stdout).unwrap(), keys.public_pem(KeyName::Learner).unwrap());
}

fn phrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned().into()).unwrap()
}

fn under(text: &str) -> Keeping {
    let passphrase = phrase(text);
    Keeping {
        passphrase: Source { file: None, ask: Some(Arc::new(move || Ok(passphrase.clone()))) },
        ..Keeping::default()
    }
}

fn names(home: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(home.join("keys")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn keys_move_under_a_passphrase_to_another_and_back() {
    let (home, keys) = keys();
    let ids = KeyName::LAPTOP.map(|name| keys.id(name).unwrap());
    let moved = keys.protect(&Keeping::default(), Protect::Passphrase(phrase("first one")), &mut rng(2)).unwrap();
    assert_eq!(KeyName::LAPTOP.map(|name| moved.id(name).unwrap()), ids);
    assert_eq!(names(home.path()), [".lock", "kept.json", "keys.enc"]);
    assert_eq!(moved.kept().warning, None);
    // Without it, or under another: a code, and nothing new is made.
    let kind = |keeping: &Keeping| {
        let e = Keys::open_kept(home.path(), keeping, &mut rng(3)).unwrap_err();
        assert_eq!(e.code, Code::KeyUnavailable);
        assert!(!e.hints.is_empty());
        e.details["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(kind(&Keeping::default()), "passphrase_needed");
    assert_eq!(kind(&under("another")), "passphrase_wrong");
    // Rotated where they are.
    let rotation = moved.rotate(KeyName::Learner, 5, &mut rng(4)).unwrap();
    let again = Keys::open_kept(home.path(), &under("first one"), &mut rng(5)).unwrap();
    assert_eq!(again.id(KeyName::Learner).unwrap(), rotation.new);
    assert_eq!(again.ever(KeyName::Learner).unwrap().len(), 2);
    // Under another passphrase.
    let other = again.protect(&Keeping::default(), Protect::Passphrase(phrase("second one")), &mut rng(6)).unwrap();
    assert_eq!(other.id(KeyName::Learner).unwrap(), rotation.new);
    assert_eq!(kind(&under("first one")), "passphrase_wrong");
    // And out of it.
    let plain = other.protect(&Keeping::default(), Protect::Plain, &mut rng(7)).unwrap();
    assert_eq!(plain.id(KeyName::Learner).unwrap(), rotation.new);
    assert_eq!(
        names(home.path()),
        [".lock", "catalogue.pem", "kept.json", "learner.pem", "rotations.json", "spawn.pem"]
    );
    assert_eq!(Keys::open(home.path(), &mut rng(8)).unwrap().id(KeyName::Spawn).unwrap(), ids[1]);
}

#[test]
fn keys_that_were_moved_elsewhere_are_not_rotated_here() {
    let (home, keys) = keys();
    let stale = Keys::open(home.path(), &mut rng(2)).unwrap();
    keys.protect(&Keeping::default(), Protect::Passphrase(phrase("first one")), &mut rng(2)).unwrap();
    assert_eq!(stale.rotate(KeyName::Learner, 5, &mut rng(3)).unwrap_err().code, Code::WrongState);
    let e = stale.clone().protect(&Keeping::default(), Protect::Plain, &mut rng(3)).unwrap_err();
    assert_eq!(e.code, Code::WrongState);
    // It still signs: what it holds is the same key.
    stale.sign(KeyName::Learner, Domain::Receipt, b"x").unwrap();
}

#[test]
fn a_plain_file_that_is_another_key_survives_a_move() {
    let (home, keys) = keys();
    let pem = std::fs::read(home.path().join("keys/learner.pem")).unwrap();
    let moved = keys.protect(&Keeping::default(), Protect::Passphrase(phrase("first one")), &mut rng(2)).unwrap();
    let other = tempfile::tempdir().unwrap();
    Keys::open(other.path(), &mut rng(77)).unwrap();
    // As if a move had been cut off, and somebody had put a key of theirs there meanwhile.
    let record = home.path().join("keys/kept.json");
    let cut = r#"{"version":1,"kept":{"kind":"passphrase"},"leaving":{"kind":"plain","why":null}}"#;
    for (bytes, stays) in [(std::fs::read(other.path().join("keys/learner.pem")).unwrap(), true), (pem, false)] {
        std::fs::write(&record, cut).unwrap();
        std::fs::write(home.path().join("keys/learner.pem"), bytes).unwrap();
        let again = Keys::open_kept(home.path(), &under("first one"), &mut rng(3)).unwrap();
        assert_eq!(again.id(KeyName::Learner).unwrap(), moved.id(KeyName::Learner).unwrap());
        assert_eq!(home.path().join("keys/learner.pem").exists(), stays);
        assert_eq!(again.kept().warning.is_some(), stays);
    }
}

#[test]
fn new_keys_can_begin_under_a_passphrase() {
    let home = tempfile::tempdir().unwrap();
    let keeping = Keeping { first: Some(crate::api::KeyPlace::Passphrase), ..under("first one") };
    let keys = Keys::open_kept(home.path(), &keeping, &mut rng(1)).unwrap();
    assert_eq!(names(home.path()), [".lock", "kept.json", "keys.enc"]);
    // What is written down can be lost; the file says enough.
    std::fs::remove_file(home.path().join("keys/kept.json")).unwrap();
    let again = Keys::open_kept(home.path(), &under("first one"), &mut rng(2)).unwrap();
    assert_eq!(again.id(KeyName::Learner).unwrap(), keys.id(KeyName::Learner).unwrap());
    // The keys cannot: no others are made in their place.
    std::fs::write(home.path().join("keys/kept.json"), r#"{"version":1,"kept":{"kind":"passphrase"}}"#).unwrap();
    std::fs::remove_file(home.path().join("keys/keys.enc")).unwrap();
    let e = Keys::open_kept(home.path(), &under("first one"), &mut rng(2)).unwrap_err();
    assert_eq!((e.code, e.details["kind"].as_str()), (Code::KeyUnavailable, Some("damaged")));
}

#[test]
fn a_record_that_cannot_be_used_is_refused() {
    let (home, _) = keys();
    for bad in
        ["", "{}", r#"{"version":2,"kept":{"kind":"plain","why":null}}"#, r#"{"version":1,"kept":{"kind":"cloud"}}"#]
    {
        std::fs::write(home.path().join("keys/kept.json"), bad).unwrap();
        let e = Keys::open(home.path(), &mut rng(2)).unwrap_err();
        assert_eq!((e.code, e.details["kind"].as_str()), (Code::KeyUnavailable, Some("damaged")), "{bad}");
        assert!(!e.hints.is_empty());
    }
}

#[test]
fn the_environment_says_where_new_keys_go() {
    let from = |vars: &[(&str, &str)]| {
        Keeping::from(|name| vars.iter().find(|(k, _)| *k == name).map(|(_, v)| std::ffi::OsString::from(v)))
    };
    let free = from(&[]).unwrap();
    assert!(free.os && free.first.is_none());
    let home = from(&[("FORGE_HOME", "/f"), ("FORGE_PASSPHRASE_FILE", "/p")]).unwrap();
    assert!(!home.os && home.passphrase.file == Some("/p".into()));
    assert_eq!(from(&[("FORGE_KEYS", "os")]).unwrap().first, Some(crate::api::KeyPlace::Os));
    assert_eq!(from(&[("FORGE_KEYS", "os"), ("FORGE_HOME", "/f")]).unwrap_err().code, Code::InvalidInput);
    assert_eq!(from(&[("FORGE_KEYS", "cloud")]).unwrap_err().code, Code::InvalidInput);
    let e = keys().1.protect(&home, Protect::Os, &mut rng(2)).unwrap_err();
    assert_eq!(e.code, Code::InvalidInput);
}

#[test]
fn a_passphrase_is_the_first_line_of_a_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for (text, good) in [("one two\nthree", true), ("one two\r\n", true), ("", false), ("\n", false)] {
        std::fs::write(file.path(), text).unwrap();
        match Passphrase::read(file.path()) {
            Ok(p) => assert!(good && p.same(&phrase("one two"))),
            Err(e) => assert!(!good && e.code == Code::InvalidInput),
        }
    }
    std::fs::write(file.path(), [0xff, 0xfe]).unwrap();
    assert!(Passphrase::read(file.path()).is_err());
    std::fs::write(file.path(), "x".repeat(100_000)).unwrap();
    assert!(Passphrase::read(file.path()).is_err());
    assert!(phrase("short").worth_having().is_err());
}

#[test]
fn a_change_that_was_cut_off_breaks_no_chain() {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
    let first = keys.id(KeyName::Board).unwrap();
    let file = home.path().join("keys/board.pem");
    let old = std::fs::read(&file).unwrap();
    keys.rotate(KeyName::Board, 1, &mut rand::rng()).unwrap();
    // As if it had ended there: the record was written, the key was not.
    std::fs::write(&file, old).unwrap();
    let keys = Keys::open_board(home.path(), &mut rand::rng()).unwrap();
    assert_eq!(keys.id(KeyName::Board).unwrap(), first);
    let next = keys.rotate(KeyName::Board, 2, &mut rand::rng()).unwrap();
    assert!(keys.vouched(KeyName::Board, &first, &next.new));
    assert!(!keys.vouched(KeyName::Board, &next.new, &first));
}
