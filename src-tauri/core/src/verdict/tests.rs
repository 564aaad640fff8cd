#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::seal::{ENVELOPE, EVIDENCE, FILES, PAE, PUBLIC_KEY, SCORE, SIGNATURE};
use super::*;
use crate::api::{OutcomeKind, TrustTier, VerifyReport};
use crate::check::evidence::{Entry, OBSERVATIONS, Observations, SCENARIO};
use crate::check::tests::example_scenario;
use crate::check::{Answer, Finding, Observation, ask};
use crate::error::{Code, Result};
use crate::keys::{KeyName, Keys};
use crate::scrub::{Scrubbed, Scrubber};
use crate::template::scenario::Scenario;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn findings(scenario: &Scenario) -> Vec<Finding> {
    let found = |id: &str| Finding {
        criterion: id.into(),
        index: 0,
        after: None,
        attempts: 1,
        observation: Observation {
            asked: ask::question(&scenario.criteria.iter().find(|c| c.id == id).unwrap().evidence[0].probe).ask,
            answered: Answer::Output {
                exit: 0,
                stdout: "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\n".into(),
                stderr: String::new(),
                cut: false,
            },
            at_ms: 12,
        },
    };
    vec![found("ssh"), found("http")]
}

fn entries() -> Vec<Entry> {
    let scenario = example_scenario();
    let observations = Observations { version: 1, findings: findings(&scenario) };
    vec![
        Entry::json(SCENARIO, "scenario", &scenario).unwrap(),
        Entry::json(OBSERVATIONS, "observations", &observations).unwrap(),
        Entry::new("nodes/pc/files/etc/hosts", "config", b"127.0.0.1 localhost\n".to_vec()),
    ]
}

fn scrubbed() -> Scrubbed<Vec<Entry>> {
    seal::scrub(entries(), &Scrubber::new("/home/mara", "mara", "marabook")).unwrap()
}

fn sealing() -> Sealing {
    Sealing {
        run: "abcdefghij".into(),
        policy_digest: "bb".repeat(32),
        images: BTreeMap::from([("host".into(), "sha256:cc".into())]),
        started: 1_790_000_000_000,
        finished: 1_790_000_600_000,
        duration_ms: 600_000,
        challenge: None,
        audit: None,
        isolation: "isolated".into(),
        hint_costs: BTreeMap::from([("ssh".into(), 500)]),
    }
}

/// The same key on every run: for golden files.
struct Fixed(#[allow(dead_code)] tempfile::TempDir, Keys);

fn keys() -> Fixed {
    use rand::SeedableRng;
    let home = tempfile::tempdir().unwrap();
    let keys = Keys::open(home.path(), &mut rand::rngs::StdRng::seed_from_u64(7)).unwrap();
    Fixed(home, keys)
}

struct Folder(#[allow(dead_code)] tempfile::TempDir, PathBuf);

fn sealed() -> (Folder, Sealed) {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("results").join("one");
    let sealed = seal(&scrubbed(), &sealing(), &keys().1, &dir).unwrap();
    (Folder(home, dir), sealed)
}

fn failing(report: &VerifyReport) -> String {
    report.checks.iter().find(|c| !c.ok).map(|c| format!("{}: {}", c.name, c.detail)).unwrap_or_default()
}

#[test]
fn a_sealed_verdict_verifies_and_regrades() {
    let (folder, sealed) = sealed();
    assert_eq!((sealed.score.score, sealed.score.max), (1500, 3000));
    let report = verify_dir(&folder.1, false).unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.verdict_id, sealed.id);
    assert_eq!(report.key_id, sealed.key_id);
    assert_eq!(report.tier, Some(TrustTier::SelfAttested));
    let report = verify_dir(&folder.1, true).unwrap();
    assert!(report.ok, "{report:?}");
    assert_eq!(report.tier, Some(TrustTier::ReGraded));
    assert!(std::fs::read_dir(folder.1.parent().unwrap()).unwrap().count() == 1, "a temporary folder was left");
    let again = seal(&scrubbed(), &sealing(), &keys().1, &folder.1);
    assert!(again.unwrap_err().message.contains("exists already"));
}

#[test]
fn openssl_verifies_it_with_nothing_of_ours() {
    let (folder, _) = sealed();
    let openssl = |sig: &str| {
        std::process::Command::new("openssl")
            .current_dir(&folder.1)
            .args(["pkeyutl", "-verify", "-pubin", "-inkey", PUBLIC_KEY, "-rawin", "-in", PAE, "-sigfile", sig])
            .output()
            .expect("openssl is needed for this test")
    };
    let said = openssl(SIGNATURE);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let mut wrong = std::fs::read(folder.1.join(SIGNATURE)).unwrap();
    wrong[5] ^= 1;
    std::fs::write(folder.1.join("wrong.sig"), wrong).unwrap();
    assert!(!openssl("wrong.sig").status.success());
    let sums = std::process::Command::new("sh")
        .current_dir(&folder.1)
        .args(["-c", "sha256sum < verdict.pae"])
        .output()
        .unwrap();
    let id = verify_dir_without(&folder.1, "wrong.sig").verdict_id;
    assert!(String::from_utf8_lossy(&sums.stdout).starts_with(&id));
}

fn verify_dir_without(dir: &Path, extra: &str) -> VerifyReport {
    std::fs::remove_file(dir.join(extra)).unwrap();
    verify_dir(dir, false).unwrap()
}

/// Each byte of each file, flipped: refused, naming the file or what it holds.
#[test]
fn one_flipped_byte_anywhere_is_refused() {
    let (folder, _) = sealed();
    let names: BTreeMap<&str, &[&str]> = BTreeMap::from([
        (SCORE, &["score.json"][..]),
        (EVIDENCE, &["evidence.tar.zst"][..]),
        (ENVELOPE, &["verdict.dsse.json"][..]),
        (SIGNATURE, &["verdict.sig"][..]),
        (PAE, &["verdict.pae"][..]),
        (PUBLIC_KEY, &["verdict.pub.pem"][..]),
    ]);
    let mut tried = 0;
    for file in FILES {
        let path = folder.1.join(file);
        let original = std::fs::read(&path).unwrap();
        for at in 0..original.len() {
            let mut changed = original.clone();
            changed[at] ^= 1 << (at % 8);
            std::fs::write(&path, &changed).unwrap();
            let report = verify_dir(&folder.1, false).unwrap();
            let said = failing(&report);
            assert!(!report.ok && report.tier.is_none(), "{file} byte {at} was not missed");
            assert!(names[file].iter().any(|n| said.contains(n)), "{file} byte {at}: {said}");
            tried += 1;
        }
        std::fs::write(&path, &original).unwrap();
    }
    assert!(tried > 3000, "only {tried} bytes were tried");
    assert!(verify_dir(&folder.1, true).unwrap().ok);
}

#[test]
fn missing_extra_and_odd_files_are_named() {
    let (folder, _) = sealed();
    std::fs::write(folder.1.join("notes.txt"), "x").unwrap();
    assert!(failing(&verify_dir(&folder.1, false).unwrap()).contains("notes.txt"));
    std::fs::remove_file(folder.1.join("notes.txt")).unwrap();
    let aside = folder.0.path().join("aside");
    std::fs::rename(folder.1.join(SIGNATURE), &aside).unwrap();
    assert!(failing(&verify_dir(&folder.1, false).unwrap()).contains("missing: verdict.sig"));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(&aside, folder.1.join(SIGNATURE)).unwrap();
        assert!(failing(&verify_dir(&folder.1, false).unwrap()).contains("not a regular file"));
    }
    assert_eq!(verify_dir(&folder.0.path().join("nowhere"), false).unwrap_err().code, Code::NotFound);
}

/// A forger with a key of their own can sign anything; what they sign must still hang together.
fn forged(change: impl FnOnce(&mut score::Score, &mut Vec<Entry>, &mut serde_json::Value)) -> Result<VerifyReport> {
    let mut entries = entries();
    let scenario = example_scenario();
    let mut score = score::Score::of("abcdefghij", &scenario, &findings(&scenario), &sealing().hint_costs);
    let (folder, _) = sealed();
    let payload = dsse::read(&std::fs::read(folder.1.join(ENVELOPE)).unwrap()).unwrap().payload;
    let mut statement: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    change(&mut score, &mut entries, &mut statement);
    let scrubber = Scrubber::default();
    let packed = bundle::pack(&scrubber.apply(entries))?;
    let score = canonical::to_bytes(&score)?;
    for (i, bytes) in [&score, &packed.zst, &packed.tar].into_iter().enumerate() {
        statement["subject"][i]["digest"]["sha256"] = json!(canonical::sha256(bytes));
    }
    let payload = canonical::to_bytes(&statement)?;
    let keys = keys().1;
    let pae = dsse::pae(dsse::PAYLOAD_TYPE, &payload);
    let signature = keys.sign_dsse(KeyName::Learner, &pae)?;
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.1.join(name), bytes).unwrap();
    write(SCORE, &score);
    write(EVIDENCE, &packed.zst);
    write(ENVELOPE, &dsse::write(&payload, &keys.id(KeyName::Learner)?, &signature)?);
    write(SIGNATURE, &signature);
    write(PAE, &pae);
    verify_dir(&folder.1, true)
}

#[test]
fn signed_nonsense_is_refused() {
    assert!(
        forged(|_, _, _| {}).unwrap().ok,
        "the forger's workshop must produce a good verdict when nothing is changed"
    );
    let said = |change: fn(&mut score::Score, &mut Vec<Entry>, &mut serde_json::Value)| {
        let report = forged(change).unwrap();
        assert!(!report.ok, "{report:?}");
        failing(&report)
    };
    // More points than the outcomes give.
    assert!(said(|s, _, _| s.score = 3000).contains("add up"));
    // An outcome that the evidence does not give: everything agrees, but re-grading does not.
    let better = said(|s, _, st| {
        let row = s.criteria.iter_mut().find(|r| r.id == "http").unwrap();
        (row.outcome, row.points) = (OutcomeKind::Pass, 1000);
        s.score += 1000;
        st["predicate"]["forge"]["score"] = json!(s.score);
        st["predicate"]["passedTests"] = json!(["http", "ssh"]);
        st["predicate"]["failedTests"] = json!([]);
        st["predicate"]["result"] = json!("PASSED");
    });
    assert!(better.starts_with("re-grade: http: scored pass"), "{better}");
    assert!(said(|_, _, st| st["predicate"]["forge"]["tier"] = json!("re-executed")).contains("trust tier"));
    assert!(said(|_, _, st| st["predicate"]["result"] = json!("PASSED")).contains("do not follow"));
    assert!(said(|_, _, st| st["predicate"]["extra"] = json!(1)).contains("“predicate.extra” is not known here"));
    assert!(said(|_, _, st| st["predicateType"] = json!("x")).contains("another type"));
    assert!(said(|_, _, st| st["predicate"]["forge"]["seed_commitment"] = json!("00")).contains("seed"));
    assert!(said(|_, _, st| st["predicate"]["forge"]["template_digest"] = json!("00")).contains("template"));
    assert!(said(|_, e, _| e.retain(|e| e.path != SCENARIO)).contains("scenario.json"));
    // Another lab's evidence, an easier one.
    assert!(
        said(|_, e, _| {
            let mut easy = example_scenario();
            easy.criteria.truncate(1);
            e[0] = Entry::json(SCENARIO, "scenario", &easy).unwrap();
        })
        .contains("not the one the statement names")
    );
    assert!(said(|s, _, _| s.criteria[0].hint_cost = 7).contains("hints"));
}

#[test]
fn hostile_bundles_are_refused() {
    let pack_raw = |tar: &[u8]| zstd::encode_all(tar, 1).unwrap();
    let tar_with = |entries: &[(&str, tar::EntryType, &[u8])]| {
        let mut b = tar::Builder::new(Vec::new());
        for (path, kind, bytes) in entries {
            let mut h = tar::Header::new_ustar();
            h.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            h.set_entry_type(*kind);
            h.set_size(bytes.len() as u64);
            h.set_mode(0o644);
            h.set_cksum();
            b.append(&h, *bytes).unwrap();
        }
        b.into_inner().unwrap()
    };
    let refused = |zst: &[u8], word: &str| {
        let e = bundle::unpack(zst).unwrap_err();
        assert!(e.code == Code::EvidenceInvalid && e.message.contains(word), "{e:?} lacks “{word}”");
    };
    use tar::EntryType::{Directory, Link, Regular, Symlink};
    for (path, word) in
        [("../x", "leaves"), ("/etc/passwd", "leaves"), ("a//b", "leaves"), ("a/./b", "leaves"), ("a\\b", "leaves")]
    {
        refused(&pack_raw(&tar_with(&[(path, Regular, b"x")])), word);
    }
    for kind in [Directory, Link, Symlink] {
        refused(&pack_raw(&tar_with(&[("x", kind, b"")])), "not a regular file");
    }
    refused(&pack_raw(&tar_with(&[("x", Regular, b"1"), ("x", Regular, b"2")])), "twice");
    refused(&pack_raw(&tar_with(&[("x", Regular, b"1")])), "no manifest");
    let good = bundle::pack(&scrubbed()).unwrap();
    assert!(bundle::unpack(&good.zst).is_ok());
    refused(&[good.zst.as_slice(), b"x"].concat(), "after its end");
    refused(&[good.zst.clone(), good.zst.clone()].concat(), "after its end");
    refused(&good.zst[..good.zst.len() - 3], "decompressed");
    refused(b"", "");
    let mut tail = good.tar.clone();
    tail.extend_from_slice(&[0; 512]);
    refused(&pack_raw(&tail), "laid out");
    let mut owner = good.tar.clone();
    owner[265] = b'r';
    refused(&pack_raw(&owner), "");
    // A bomb: 1 GiB of zeros in some 32 KiB.
    let bomb = zstd::encode_all(std::io::Read::take(std::io::repeat(0), 1 << 30), 3).unwrap();
    assert!(bomb.len() < 1 << 20);
    refused(&bomb, "unpacks to more");
    for path in ["", "a/../b", "/a", "x".repeat(101).as_str(), "ü"] {
        let entry = vec![Entry::new(path, "x", vec![])];
        assert!(bundle::pack(&Scrubber::default().apply(entry)).is_err(), "{path:?}");
    }
}

#[test]
fn same_entries_same_bytes_in_any_order() {
    let mut other = entries();
    other.reverse();
    let scrubber = Scrubber::default();
    assert_eq!(
        bundle::pack(&scrubber.apply(other)).unwrap().zst,
        bundle::pack(&scrubber.apply(entries())).unwrap().zst
    );
}

#[test]
fn redaction_that_would_change_a_grade_is_refused() {
    let mut scenario = example_scenario();
    scenario.criteria.truncate(1);
    scenario.criteria[0].evidence[0].probe =
        serde_json::from_value(json!({"probe":"file","node":"pc","path":"/x","matches":"joe@gmail\\.com"})).unwrap();
    let finding = Finding {
        observation: Observation {
            asked: ask::question(&scenario.criteria[0].evidence[0].probe).ask,
            answered: Answer::Text { text: "joe@gmail.com".into(), cut: false },
            at_ms: 0,
        },
        ..findings(&example_scenario())[0].clone()
    };
    let all = vec![
        Entry::json(SCENARIO, "scenario", &scenario).unwrap(),
        Entry::json(OBSERVATIONS, "observations", &Observations { version: 1, findings: vec![finding] }).unwrap(),
    ];
    let e = seal::scrub(all.clone(), &Scrubber::default()).unwrap_err();
    assert!(e.code == Code::EvidenceInvalid && e.message.contains("ssh"), "{e:?}");
    assert!(seal::scrub(all, &Scrubber::default().keep(["joe@gmail.com".to_owned()])).is_ok());
}

/// Pinned bytes: what was sealed must verify for ever, and the same evidence must give the same bytes.
#[test]
fn golden() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/verdict");
    let (folder, _) = sealed();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(&golden).unwrap();
        for file in FILES {
            std::fs::copy(folder.1.join(file), golden.join(file)).unwrap();
        }
        std::fs::write(golden.join("../evidence.tar"), bundle::pack(&scrubbed()).unwrap().tar).unwrap();
    }
    let report = verify_dir(&golden, true).unwrap();
    assert!(report.ok, "{report:?}");
    // The compressed form may differ between zstd versions, and with it what is signed; score and tar may not.
    let same = |name: &str, new: &[u8]| assert!(std::fs::read(golden.join(name)).unwrap() == new, "{name} differs");
    same(SCORE, &std::fs::read(folder.1.join(SCORE)).unwrap());
    same(PUBLIC_KEY, &std::fs::read(folder.1.join(PUBLIC_KEY)).unwrap());
    same("../evidence.tar", &bundle::pack(&scrubbed()).unwrap().tar);
    assert_eq!(
        dsse::pae("http://example.com/HelloWorld", b"hello world"),
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    );
}

#[test]
fn envelopes_are_read_strictly() {
    let (folder, _) = sealed();
    let good = String::from_utf8(std::fs::read(folder.1.join(ENVELOPE)).unwrap()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&good).unwrap();
    let refused = |v: serde_json::Value| assert!(dsse::read(&canonical::to_bytes(&v).unwrap()).is_err(), "{v}");
    let change = |f: &dyn Fn(&mut serde_json::Value)| {
        let mut v = value.clone();
        f(&mut v);
        v
    };
    refused(change(&|v| v["extra"] = json!(1)));
    refused(change(&|v| v["payloadType"] = json!("text/plain")));
    refused(change(&|v| v["signatures"] = json!([])));
    refused(change(&|v| {
        let one = v["signatures"][0].clone();
        v["signatures"] = json!([one.clone(), one]);
    }));
    refused(change(&|v| v["signatures"][0]["sig"] = json!("AAAA")));
    refused(change(&|v| v["payload"] = json!(v["payload"].as_str().unwrap().to_owned() + "=")));
    refused(change(&|v| v["payload"] = json!("Zm9")));
    refused(change(&|v| v["payload"] = json!("Zm-_")));
    assert!(dsse::read(good.replacen(':', ": ", 1).as_bytes()).is_err());
    assert!(dsse::read(format!("{good}\n").as_bytes()).is_err());
    assert!(dsse::read(good.as_bytes()).is_ok());
}

fn mutate(bytes: &[u8], edits: &[(usize, u8, u8)]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for (at, kind, value) in edits {
        let at = if out.is_empty() { 0 } else { at % out.len() };
        match kind % 4 {
            0 if !out.is_empty() => out[at] = *value,
            1 => out.insert(at, *value),
            2 if !out.is_empty() => drop(out.remove(at)),
            _ => out.truncate(at),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    #[test]
    fn mutants_are_never_accepted_and_never_panic(edits in proptest::collection::vec((any::<usize>(), any::<u8>(), any::<u8>()), 1..6)) {
        thread_local! {
            static GOOD: (Vec<u8>, Vec<u8>, Vec<u8>) = {
                let (folder, _) = sealed();
                let packed = bundle::pack(&scrubbed()).unwrap();
                (std::fs::read(folder.1.join(ENVELOPE)).unwrap(), packed.zst, packed.tar)
            };
        }
        GOOD.with(|(envelope, zst, tar)| {
            let opened = dsse::read(envelope).unwrap();
            let key = keys_once();
            let changed = mutate(envelope, &edits);
            if changed != *envelope && let Ok(o) = dsse::read(&changed) {
                let holds = key.verify_dsse(&dsse::pae(dsse::PAYLOAD_TYPE, &o.payload), &o.signature);
                prop_assert!(!holds || o.key_id != opened.key_id);
            }
            // The compressed form may be changed without changing what it holds (its digest is signed, not its spelling).
            if let Ok(u) = bundle::unpack(&mutate(zst, &edits)) {
                prop_assert_eq!(&u.tar_sha256, &canonical::sha256(tar));
            }
            // An unsigned bundle may be another one that is whole in itself (a kind spelled otherwise), never one that holds
            // other files than its manifest lists.
            if let Ok(u) = bundle::unpack(&zstd::encode_all(mutate(tar, &edits).as_slice(), 1).unwrap()) {
                let files = |u: &bundle::Unpacked| u.entries.values().map(|e| (e.path.clone(), e.bytes.clone())).collect::<Vec<_>>();
                prop_assert_eq!(files(&u), files(&bundle::unpack(zst).unwrap()));
            }
            Ok(())
        })?;
    }
}

fn keys_once() -> crate::keys::PublicKey {
    static KEY: std::sync::OnceLock<crate::keys::PublicKey> = std::sync::OnceLock::new();
    KEY.get_or_init(|| keys().1.public(KeyName::Learner).unwrap()).clone()
}
