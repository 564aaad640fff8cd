//! Nothing that is written down, shown or logged holds a private key or a passphrase.

use crate::desk::Desk;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use std::path::Path;

/// Every form in which 32 bytes may have slipped into a text, and the bytes themselves.
fn forms(seed: &[u8]) -> Vec<Vec<u8>> {
    let list = format!("{seed:?}");
    let mut forms = vec![seed.to_vec(), hex::encode(seed).into_bytes(), hex::encode_upper(seed).into_bytes()];
    forms.push(list.trim_matches(['[', ']']).as_bytes().to_vec());
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        // Also inside something longer, at each of the three offsets; the ends depend on the neighbours.
        for pad in 0..3 {
            let text = engine.encode([&vec![0; pad], seed].concat());
            forms.push(text.as_bytes()[4..text.len() - 3].to_vec());
        }
    }
    forms
}

fn holds(bytes: &[u8], forms: &[Vec<u8>]) -> bool {
    forms.iter().any(|form| bytes.windows(form.len()).any(|w| w == form))
}

pub fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found)
        } else if path.is_file() {
            found.push(path)
        }
    }
}

#[test]
fn no_log_answer_or_other_file_holds_a_seed_or_the_passphrase() {
    let mut desk = Desk::with_keyring();
    let phrase = "quite unlikely words of mine";
    let file = desk.file("phrase", phrase);
    desk.vars.push(("RUST_LOG".into(), "trace".into()));
    desk.vars.push(("FORGE_PASSPHRASE_FILE".into(), file.clone()));
    desk.vars.push(("FORGE_KEYS".into(), "plain".into()));
    let mut said = desk.forge(&["-v", "results"]).output.stderr;
    let mut secrets = vec![phrase.as_bytes().to_vec()];
    for name in ["learner", "spawn", "catalogue"] {
        let pem = std::fs::read(desk.keys().join(format!("{name}.pem"))).unwrap();
        let text: String = String::from_utf8(pem.clone()).unwrap().lines().filter(|l| !l.starts_with('-')).collect();
        let der = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
        let seed = &der[der.len() - 32..];
        // The search finds what is there, in the one file that may hold it.
        assert!(holds(&pem, &forms(seed)), "{name}");
        secrets.extend(forms(seed));
    }
    for args in [
        vec!["-v", "keys", "protect", "--passphrase", "--new-passphrase-file", &file],
        vec!["-v", "results"],
        vec!["-v", "keys", "protect", "--os"],
        vec!["-v", "results"],
        vec!["-v", "audit", "list"],
        vec!["-v", "keys"],
    ] {
        let told = desk.forge(&args);
        told.ok();
        said.extend(told.output.stdout);
        said.extend(told.output.stderr);
    }
    let text = String::from_utf8_lossy(&said);
    for word in ["keys.protect", "encrypted under your passphrase", "secret store", "\"entries\""] {
        assert!(text.contains(word), "there was something to look through: {word} in {text}");
    }
    assert!(!holds(&said, &secrets));
    let mut left = Vec::new();
    files(&desk.data(), &mut left);
    assert!(left.iter().any(|p| p.starts_with(desk.data().join("logs"))));
    assert!(left.iter().any(|p| p.ends_with("forge.db")));
    for path in left {
        assert!(!holds(&std::fs::read(&path).unwrap(), &secrets), "{}", path.display());
    }
}
