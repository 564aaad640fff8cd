//! Labs are what their versions stand for, or are not started; and the labs of this repository fit their lock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use forge_core::api::LabOrigin;
use forge_core::error::Code;
use forge_core::keys::{Keys, Portable};
use forge_core::template::catalogue::{Catalogue, Sources};
use forge_core::template::pins::{self, Embedded, LOCK_FILE, Pins};
use rand::SeedableRng;
use std::path::{Path, PathBuf};

fn templates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../templates")
}

/// `UPDATE_LOCK=1` writes new versions down; a changed lab with an old version it never does.
#[test]
fn the_labs_of_this_repository_are_what_their_lock_says() {
    if std::env::var_os("UPDATE_LOCK").is_some() {
        println!("{:?}", pins::write_lock(&templates()).unwrap());
    }
    if let Err(e) = pins::check_lock(&templates()) {
        panic!(
            "{}\n\nA changed lab needs a new metadata.version; then `UPDATE_LOCK=1 cargo test -p forge-core --test pins`, \
             or `forge catalogue lock`, writes it down.",
            e.message
        );
    }
}

struct Bench {
    home: tempfile::TempDir,
    keys: Keys,
}

fn bench() -> Bench {
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open(home.path(), &mut rand::rngs::StdRng::seed_from_u64(1)).unwrap();
    Bench { home, keys }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Bench {
    fn labs(&self) -> PathBuf {
        self.home.path().join("labs")
    }

    /// A lab of one's own, made from a built-in one.
    fn own_lab(&self) -> PathBuf {
        let dir = self.labs().join("netplus/mine");
        copy(&templates().join("netplus/dns-zone-reverse"), &dir);
        let yaml = std::fs::read_to_string(dir.join("lab.yaml")).unwrap();
        let name = yaml.lines().find(|l| l.trim_start().starts_with("name:")).unwrap().to_owned();
        let indent = &name[..name.find("name:").unwrap()];
        std::fs::write(dir.join("lab.yaml"), yaml.replacen(&name, &format!("{indent}name: netplus-mine"), 1)).unwrap();
        dir
    }

    fn pins(&self) -> Pins {
        Pins::open(self.home.path(), &self.keys, Catalogue::embedded())
    }

    fn catalogue(&self) -> Catalogue {
        Catalogue::pinned(&Sources { instead: None, user: Some(self.labs()) }, &mut self.pins())
    }

    fn pin(&self, lab: &str) -> Result<bool, forge_core::error::Error> {
        let mut pins = self.pins();
        let lab = Catalogue::pinned(&Sources { instead: None, user: Some(self.labs()) }, &mut pins).get(lab)?;
        pins.pin(&lab)
    }
}

fn bump(yaml: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(yaml).unwrap();
    assert!(text.contains(&format!("version: {from}")), "{text}");
    std::fs::write(yaml, text.replacen(&format!("version: {from}"), &format!("version: {to}"), 1)).unwrap();
}

#[test]
fn built_in_labs_are_pinned_and_remembered() {
    let b = bench();
    let catalogue = b.catalogue();
    assert!(catalogue.list().count() >= 3);
    for lab in catalogue.list() {
        assert_eq!((lab.origin, lab.pin.as_ref().unwrap()), (LabOrigin::BuiltIn, &lab.digest), "{}", lab.id);
    }
    let seen = std::fs::read_to_string(b.home.path().join(LOCK_FILE)).unwrap();
    assert_eq!(seen.lines().count(), catalogue.list().count() + 1);
    assert!(seen.lines().last().unwrap().starts_with("signed "));
    // A second opening writes nothing.
    let before = std::fs::metadata(b.home.path().join(LOCK_FILE)).unwrap().modified().unwrap();
    b.catalogue();
    assert_eq!(std::fs::metadata(b.home.path().join(LOCK_FILE)).unwrap().modified().unwrap(), before);
}

#[test]
fn a_lab_of_ones_own_is_listed_pinned_changed_and_pinned_again() {
    let b = bench();
    let dir = b.own_lab();
    let mine = b.catalogue().get("netplus-mine").unwrap();
    assert_eq!(mine.origin, LabOrigin::Yours);
    let e = mine.pin.clone().unwrap_err();
    assert!(
        e.message.contains("has not been pinned yet") && e.hints[0].contains("forge labs pin netplus-mine"),
        "{e:?}"
    );
    assert!(b.pin("netplus-mine").unwrap());
    assert!(!b.pin("netplus-mine").unwrap(), "pinned twice");
    let mine = b.catalogue().get("netplus-mine").unwrap();
    assert_eq!(mine.pin.as_ref().unwrap(), &mine.digest);
    // Each kind of change under the same version is refused and shown.
    let version = mine.version.clone();
    std::fs::write(dir.join("new.txt"), "x").unwrap();
    let guide = std::fs::read_to_string(dir.join("guide.md")).unwrap();
    std::fs::write(dir.join("guide.md"), format!("{guide}\nMore.\n")).unwrap();
    let yaml = std::fs::read_to_string(dir.join("lab.yaml")).unwrap();
    std::fs::write(dir.join("lab.yaml"), yaml.replacen("title: ", "title:  ", 1)).unwrap();
    let solution = std::fs::read_dir(dir.join("solution")).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(&solution).unwrap();
    let gone = format!("solution/{}", solution.file_name().unwrap().to_str().unwrap());
    let e = b.catalogue().get("netplus-mine").unwrap().pin.clone().unwrap_err();
    assert_eq!(e.code, Code::TemplateInvalid);
    for word in ["has changed, but its version is still", "added: new.txt", "changed: guide.md, lab.yaml", "title:  "] {
        assert!(e.message.contains(word), "{word}: {}", e.message);
    }
    let difference = &e.details["difference"];
    assert_eq!(difference["removed"], serde_json::json!([gone]));
    let lines = difference["lines"].as_str().unwrap();
    assert!(lines.lines().any(|l| l.starts_with("-") && l.contains("title: ")), "{lines}");
    assert!(lines.lines().any(|l| l.starts_with("+") && l.contains("title:  ")), "{lines}");
    assert_eq!(b.pin("netplus-mine").unwrap_err().code, Code::TemplateInvalid);
    // With a new version it is a new lab, to be pinned once more; the old pin stays.
    bump(&dir.join("lab.yaml"), &version, "9.0.0");
    let e = b.catalogue().get("netplus-mine").unwrap().pin.clone().unwrap_err();
    assert!(
        e.message.contains(&format!("Version 9.0.0 of netplus-mine has not been pinned yet; pinned: {version}")),
        "{e:?}"
    );
    assert!(b.pin("netplus-mine").unwrap());
    assert!(b.catalogue().get("netplus-mine").unwrap().pin.is_ok());
}

#[test]
fn no_lab_takes_a_built_in_labs_place() {
    let b = bench();
    // The same id.
    copy(&templates().join("netplus/dns-zone-reverse"), &b.labs().join("netplus/other"));
    // Another id in the same place, sorted before it.
    let yaml = std::fs::read_to_string(b.own_lab().join("lab.yaml")).unwrap();
    copy(&templates().join("netplus/dns-zone-reverse"), &b.labs().join("netplus/dns-zone-reverse"));
    std::fs::write(
        b.labs().join("netplus/dns-zone-reverse/lab.yaml"),
        yaml.replacen("name: netplus-mine", "name: aaa-first", 1),
    )
    .unwrap();
    let catalogue = b.catalogue();
    for name in ["netplus/dns-zone-reverse", "dns-zone-reverse"] {
        assert_eq!(catalogue.get(name).unwrap().origin, LabOrigin::BuiltIn, "{name}");
    }
    assert!(catalogue.get("aaa-first").is_err());
    let places: Vec<_> = catalogue.broken().iter().map(|b| b.error.message.clone()).collect();
    assert_eq!(places.iter().filter(|m| m.contains("yours cannot take its place")).count(), 2, "{places:?}");
    // A built-in lab is nobody's to pin.
    assert_eq!(b.pin("netplus/dns-zone-reverse").unwrap_err().code, Code::InvalidInput);
}

/// Whatever is done to a signed lock, its labs are refused with the lock named, and nothing is written over it.
#[test]
fn a_lock_that_was_tampered_with_trusts_no_lab() {
    let b = bench();
    b.own_lab();
    b.pin("netplus-mine").unwrap();
    for (path, own) in [(b.labs().join(LOCK_FILE), true), (b.home.path().join(LOCK_FILE), false)] {
        let good = std::fs::read_to_string(&path).unwrap();
        let entry = good.lines().next().unwrap();
        let digest = &serde_json::from_str::<serde_json::Value>(entry).unwrap()["digest"].as_str().unwrap().to_owned();
        let body: String = good.lines().filter(|l| !l.starts_with("signed ")).map(|l| format!("{l}\n")).collect();
        let stranger = Keys::open(&b.home.path().join("x"), &mut rand::rngs::StdRng::seed_from_u64(9)).unwrap();
        let forged = {
            let lock = forge_core::template::lock::Read::parse(good.as_bytes()).unwrap().lock;
            let id = stranger.id(forge_core::keys::KeyName::Catalogue).unwrap();
            lock.signed(&id, |bytes| {
                stranger.sign(forge_core::keys::KeyName::Catalogue, forge_core::keys::Domain::TemplateLock, bytes)
            })
            .unwrap()
        };
        let flipped = good.strip_suffix('\n').unwrap();
        let last = if flipped.ends_with('0') { '1' } else { '0' };
        for (what, bad, word) in [
            ("digest", good.replacen(digest.as_str(), &"0".repeat(64), 1), "changed after it was signed"),
            ("unsigned", body.clone(), "not signed"),
            ("signature", format!("{}{last}\n", &flipped[..flipped.len() - 1]), "signature does not fit"),
            ("another key", forged, "not trusted here"),
            ("an entry gone", good.lines().skip(1).map(|l| format!("{l}\n")).collect(), "signature does not fit"),
            ("cut off", good[..good.len() / 2].to_owned(), "cut off"),
            ("something after", format!("{good}{entry}\n"), "after the signature"),
            ("twice", format!("{entry}\n{good}"), "the same version twice"),
            ("spaced", good.replacen("\":\"", "\": \"", 1), "canonical form"),
            ("noise", "\u{0}\n".into(), "line 1"),
        ] {
            std::fs::write(&path, &bad).unwrap();
            let catalogue = b.catalogue();
            for lab in catalogue.list() {
                let about = (lab.origin == LabOrigin::Yours) == own;
                match &lab.pin {
                    Err(e) if about => {
                        assert!(e.message.contains(word), "{what}: {}", e.message);
                        assert!(e.message.contains(&path.display().to_string()), "{what}: {}", e.message);
                    }
                    Err(e) => panic!("{what}: {} is refused for another's lock: {e}", lab.id),
                    Ok(_) => assert!(!about, "{what}: {} is trusted", lab.id),
                }
            }
            assert_eq!(std::fs::read_to_string(&path).unwrap(), bad, "{what}: written over");
            if own {
                assert!(b.pin("netplus-mine").is_err(), "{what}");
            }
        }
        std::fs::write(&path, &good).unwrap();
        assert!(b.catalogue().list().all(|l| l.pin.is_ok()));
    }
}

#[test]
fn a_rotated_key_leaves_the_pins_good() {
    let b = bench();
    b.own_lab();
    b.pin("netplus-mine").unwrap();
    b.keys.rotate(forge_core::keys::KeyName::Catalogue, 5, &mut rand::rngs::StdRng::seed_from_u64(7)).unwrap();
    assert!(b.catalogue().list().all(|l| l.pin.is_ok()));
}

#[test]
fn two_processes_that_pin_at_once_both_keep_their_pins() {
    let b = bench();
    let first = b.own_lab();
    let names: Vec<String> = (0..6).map(|n| format!("netplus-mine{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let dir = b.labs().join(format!("netplus/mine{n}"));
        copy(&first, &dir);
        let yaml = std::fs::read_to_string(dir.join("lab.yaml")).unwrap();
        std::fs::write(dir.join("lab.yaml"), yaml.replacen("netplus-mine", name, 1)).unwrap();
    }
    std::thread::scope(|s| {
        for name in &names {
            let b = &b;
            s.spawn(move || b.pin(name).unwrap());
        }
    });
    let catalogue = b.catalogue();
    assert!(names.iter().all(|n| catalogue.get(n).unwrap().pin.is_ok()));
}

/// A newer build must not bring other files under a version that this installation has seen.
#[test]
fn another_build_with_the_same_version_is_refused() {
    let b = bench();
    b.catalogue();
    // The same as a build whose embedded lab differs: this installation remembers another digest for its version.
    let path = b.home.path().join(LOCK_FILE);
    let mut lock = forge_core::template::lock::Lock::default();
    for entry in forge_core::template::lock::Read::parse(&std::fs::read(&path).unwrap()).unwrap().lock.entries() {
        let mut entry = entry.clone();
        if entry.lab.starts_with("ccna") {
            entry.digest = "0".repeat(64);
            entry.files.insert("guide.md".into(), "1".repeat(64));
            entry.yaml = entry.yaml.map(|y| y.replacen("version: ", "version:   ", 1));
        }
        lock.add(entry).unwrap();
    }
    let name = forge_core::keys::KeyName::Catalogue;
    let id = b.keys.id(name).unwrap();
    let sign = |bytes: &[u8]| b.keys.sign(name, forge_core::keys::Domain::TemplateLock, bytes);
    std::fs::write(&path, lock.signed(&id, sign).unwrap()).unwrap();
    let catalogue = b.catalogue();
    let refused: Vec<_> = catalogue.list().filter(|l| l.pin.is_err()).collect();
    assert!(!refused.is_empty() && refused.iter().all(|l| l.track == "ccna"));
    let e = refused[0].pin.clone().unwrap_err();
    assert!(e.message.contains("this installation pinned with other files. changed: guide.md"), "{}", e.message);
    assert!(e.message.contains("-  version:   "), "{}", e.message);
}

#[test]
fn maintainers_write_sign_and_are_told_of_changes() {
    let work = tempfile::tempdir().unwrap();
    let dir = work.path().join("templates");
    copy(&templates(), &dir);
    let _ = std::fs::remove_file(dir.join(LOCK_FILE));
    let _ = std::fs::remove_file(dir.join(pins::KEY_FILE));
    assert!(pins::check_lock(&dir).is_err());
    let written = pins::write_lock(&dir).unwrap();
    assert_eq!(pins::check_lock(&dir).unwrap(), written.len());
    assert!(pins::write_lock(&dir).unwrap().is_empty());
    // A release: signed with a key whose public half the build embeds.
    let mut rng = rand::rngs::StdRng::seed_from_u64(4);
    let key_file = work.path().join("release.pem");
    let key = Portable::make(&key_file, &mut rng).unwrap();
    assert!(Portable::make(&key_file, &mut rng).is_err(), "a key was overwritten");
    let id = pins::sign_lock(&dir, &Portable::open(&key_file).unwrap()).unwrap();
    assert_eq!(id, key.public().id());
    pins::check_lock(&dir).unwrap();
    let lock = std::fs::read(dir.join(LOCK_FILE)).unwrap();
    let pem = std::fs::read_to_string(dir.join(pins::KEY_FILE)).unwrap();
    let b = bench();
    let built_in = Sources::default();
    let all = |lock: &[u8], pem: &str| {
        let mut pins = Pins::open(b.home.path(), &b.keys, Embedded { lock: Some(lock), key: Some(pem) });
        Catalogue::pinned(&built_in, &mut pins).list().filter(|l| l.pin.is_ok()).count()
    };
    assert_eq!(all(&lock, &pem), written.len());
    let other = Portable::make(&work.path().join("other.pem"), &mut rng).unwrap();
    assert_eq!(all(&lock, &other.public().pem()), 0);
    let mut forged = String::from_utf8(lock).unwrap();
    forged = forged.replacen("\"version\":\"1.", "\"version\":\"9.", 1);
    assert_eq!(all(forged.as_bytes(), &pem), 0);
    // A lab changes and its version does not.
    std::fs::write(dir.join("cissp/ssh-hardening/extra.txt"), "x").unwrap();
    for outcome in
        [pins::check_lock(&dir).map(drop), pins::write_lock(&dir).map(drop), pins::sign_lock(&dir, &key).map(drop)]
    {
        let e = outcome.unwrap_err();
        assert!(e.message.contains("ssh-hardening") && e.message.contains("added: extra.txt"), "{}", e.message);
    }
}
