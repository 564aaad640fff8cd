//! Everything that reads bytes a stranger may have written, one function each: `cargo fuzz` calls them, and so does the
//! seeded mutator of `src-tauri/core/tests/fuzz.rs`, which needs nothing but a stable compiler. Each panics when the reader
//! does, or when it accepts what it must not: a signed thing that is not, byte for byte, what was signed.

use forge_core::check::{Answer, Observation, ask, judge};
use forge_core::keys::{Keys, PublicKey};
use forge_core::spawn::{self, Claims, Expected, TokenLimits};
use forge_core::store::Store;
use forge_core::template::folder::Folder;
use forge_core::template::scenario::Probe;
use forge_core::template::{Catalogue, Lab, Sources};
use forge_core::verdict::{bundle, dsse};
use std::sync::OnceLock;

const ENVELOPE: &[u8] = include_bytes!("../src-tauri/core/tests/golden/verdict/verdict.dsse.json");
const EVIDENCE: &[u8] = include_bytes!("../src-tauri/core/tests/golden/verdict/evidence.tar.zst");
const KEY: &str = include_str!("../src-tauri/core/tests/golden/verdict/verdict.pub.pem");

/// lab.yaml of a stranger's lab: read, and drawn if it can be.
pub fn template(data: &[u8]) {
    let files = [("lab.yaml".to_owned(), data.to_vec()), ("guide.md".to_owned(), b"# Lab\n\nGo.\n".to_vec())];
    if let Ok(lab) = Folder::from_files(files).and_then(|folder| Lab::load("netplus/fuzzed", folder)) {
        drop(lab.instantiate("s"));
    }
}

/// evidence.tar.zst. It may be spelled otherwise; what it holds may not be anything else.
pub fn bundle(data: &[u8]) {
    static GOOD: OnceLock<String> = OnceLock::new();
    let good = GOOD.get_or_init(|| bundle::unpack(EVIDENCE).expect("the golden bundle").tar_sha256);
    if let Ok(unpacked) = bundle::unpack(data) {
        // Mutants of the golden one; what a fuzzer makes up from nothing may be another bundle that is whole in itself.
        let ours = unpacked.entries.keys().any(|path| path == "observations.json");
        assert!(!ours || unpacked.tar_sha256 == *good, "a changed bundle was accepted");
    }
}

/// The DSSE envelope of a verdict, under the key it names.
pub fn envelope(data: &[u8]) {
    static GOOD: OnceLock<PublicKey> = OnceLock::new();
    let key = GOOD.get_or_init(|| PublicKey::from_pem(KEY).expect("the golden key"));
    if let Ok(opened) = dsse::read(data) {
        let pae = dsse::pae(dsse::PAYLOAD_TYPE, &opened.payload);
        let accepted = opened.key_id == key.id() && key.verify_dsse(&pae, &opened.signature);
        assert!(!accepted || data == ENVELOPE, "a changed envelope was accepted");
    }
}

struct Token {
    store: Store,
    keys: Keys,
    runtime: tokio::runtime::Runtime,
    text: String,
    at: i64,
    _folder: tempfile::TempDir,
}

const LIMITS: TokenLimits = TokenLimits { cpu_milli: 1000, memory_mb: 128, minutes: 30, pids: 100, disk_mb: 100 };

fn token() -> &'static Token {
    static TOKEN: OnceLock<Token> = OnceLock::new();
    TOKEN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let keys = Keys::open(folder.path(), &mut rand::rng()).expect("keys");
        let iat: jiff::Timestamp = "2026-11-25T10:00:00Z".parse().expect("a time");
        let claims = Claims {
            jti: "0123456789abcdef0123456789abcdef".into(),
            sub: "local".into(),
            tenant: "local".into(),
            request_id: "r".into(),
            lab: "lab".into(),
            template_digest: "t".into(),
            policy_digest: "p".into(),
            plan: "practice".into(),
            tier: "foundation".into(),
            limits: LIMITS,
            iat,
            exp: iat + jiff::SignedDuration::from_millis(spawn::LIFE_MS),
        };
        Token {
            text: spawn::mint(&keys, &claims).expect("a token"),
            store: Store::memory().expect("a store"),
            runtime: tokio::runtime::Builder::new_current_thread().build().expect("a runtime"),
            at: iat.as_millisecond() + 1,
            keys,
            _folder: folder,
        }
    })
}

/// A good spawn token: its key is drawn anew in each process, so the corpus cannot hold one.
pub fn good_token() -> Vec<u8> {
    token().text.clone().into_bytes()
}

/// The spawn token. The good one is good once, which is not asked here.
pub fn sat(data: &[u8]) {
    let t = token();
    let Ok(text) = std::str::from_utf8(data).map(str::to_owned) else { return };
    let (good, keys, at) = (text == t.text, t.keys.clone(), t.at);
    let spent = t.runtime.block_on(t.store.write(move |tx| {
        let expected = Expected {
            subject: "local",
            tenant: "local",
            request_id: "r",
            lab: "lab",
            plan: "practice",
            tier: "foundation",
            limits: LIMITS,
            template_digest: "t",
            policy_digest: "p",
        };
        let spent = spawn::spend(tx, &keys, &text, &expected, "run", at).is_ok();
        // Nothing is kept: the next one meets the same database.
        Err::<(), _>(forge_core::error::Error::internal(spent))
    }));
    let said = spent.expect_err("rolled back").message;
    assert!(good || said.ends_with("false"), "a changed token was spent");
}

/// A call over IPC or HTTP: the command's name, a line's end, its arguments. Decoded, and refused or not; never made.
pub fn call(data: &[u8]) {
    let Some(end) = data.iter().position(|b| *b == b'\n') else { return };
    let (name, args) = data.split_at(end);
    let (Ok(name), Ok(args)) = (std::str::from_utf8(name), serde_json::from_slice::<serde_json::Value>(&args[1..]))
    else {
        return;
    };
    for instructor in [false, true] {
        let caller = forge_core::api::Caller { correlation: "fuzz".into(), instructor };
        let refused = forge_core::api::well_formed(&caller, name, args.clone());
        let known = forge_core::api::COMMANDS.iter().any(|c| c.name == name);
        assert!(known || refused.is_err(), "an unknown command was accepted");
    }
}

/// What programs in a lab print (ip, ss, dig, ping, traceroute, tcpdump, vtysh, …), put to every kind of probe there is.
pub fn answers(data: &[u8]) {
    static PROBES: OnceLock<Vec<Probe>> = OnceLock::new();
    let probes = PROBES.get_or_init(|| {
        let labs = Catalogue::load(&Sources { instead: None, user: None });
        let drawn = labs.list().filter_map(|lab| lab.instantiate("s").ok());
        let mut kinds: Vec<(std::mem::Discriminant<Probe>, usize)> = Vec::new();
        let all = drawn.flat_map(|s| s.criteria).flat_map(|c| c.evidence).map(|e| e.probe);
        // Three of a kind are enough, or each mutant is judged by all labs there are.
        all.filter(|p| {
            let kind = std::mem::discriminant(p);
            match kinds.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, count)) => {
                    *count += 1;
                    *count <= 3
                }
                None => {
                    kinds.push((kind, 1));
                    true
                }
            }
        })
        .collect()
    });
    let text = String::from_utf8_lossy(data).into_owned();
    let said = [
        Answer::Output { exit: 0, stdout: text.clone(), stderr: String::new(), cut: false },
        Answer::Output { exit: 1, stdout: String::new(), stderr: text.clone(), cut: true },
        Answer::Text { text, cut: false },
    ];
    for probe in probes {
        for answered in &said {
            let observed = Observation { asked: ask::question(probe).ask, answered: answered.clone(), at_ms: 1 };
            let judged = judge(probe, &observed);
            assert!(judged.seen.len() < 4096, "what was seen is told at full length: {} bytes", judged.seen.len());
        }
    }
}
