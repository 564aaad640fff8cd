#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use super::*;
use crate::error::Code;

const CHEAP: Cost = Cost { kib: 32, passes: 1, lanes: 1 };
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/keys.enc");

fn phrase(text: &str) -> Passphrase {
    Passphrase::new(text.to_owned().into()).unwrap()
}

fn seeds() -> Seeds {
    KeyName::LAPTOP.into_iter().zip(1..).map(|(name, n)| (name, Zeroizing::new([n; 32]))).collect()
}

fn made() -> (tempfile::TempDir, Encrypted, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let vault = Encrypted::with_cost(folder.path(), phrase("correct horse"), CHEAP);
    vault.write(&seeds()).unwrap();
    let bytes = std::fs::read(folder.path().join(FILE)).unwrap();
    (folder, vault, bytes)
}

/// What a new reader says of these bytes: `details.kind`, or that they opened.
fn said(folder: &Path, bytes: &[u8], text: &str) -> String {
    std::fs::write(folder.join(FILE), bytes).unwrap();
    match Encrypted::with_cost(folder, phrase(text), CHEAP).load(&KeyName::LAPTOP) {
        Ok(found) => {
            assert_eq!(found, seeds());
            "opened".into()
        }
        Err(e) => {
            assert_eq!(e.code, Code::KeyUnavailable);
            assert!(!e.hints.is_empty(), "{e:?}");
            e.details["kind"].as_str().unwrap().to_owned()
        }
    }
}

/// The checksum put right, as whoever changes a file on purpose would.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - CHECK;
    let check = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&check);
    bytes
}

#[test]
fn the_format_is_what_was_written_down() {
    let setup = Setup { cost: Cost::USUAL, salt: [4; 16] };
    let passphrase = phrase("correct horse battery staple");
    let bytes = seal(&derive(&passphrase, setup).unwrap(), setup, [5; 24], &seeds()).unwrap();
    if std::env::var_os("FORGE_GOLDEN_UPDATE").is_some() {
        std::fs::write(GOLDEN, &bytes).unwrap();
    }
    assert!(std::fs::read(GOLDEN).unwrap() == bytes, "another format is another version");
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(GOLDEN, folder.path().join(FILE)).unwrap();
    assert_eq!(Encrypted::new(folder.path(), passphrase).load(&KeyName::LAPTOP).unwrap(), seeds());
}

#[test]
fn every_flipped_byte_is_refused_with_and_without_its_checksum() {
    let (folder, _, bytes) = made();
    assert_eq!(bytes.len(), HEADER + 3 * ROW + 16 + CHECK);
    assert_eq!(said(folder.path(), &bytes, "correct horse"), "opened");
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            assert_eq!(said(folder.path(), &changed, "correct horse"), "damaged", "byte {at}");
            if at < bytes.len() - CHECK {
                let kind = said(folder.path(), &resealed(changed), "correct horse");
                assert!(kind == "damaged" || kind == "passphrase_wrong", "byte {at}: {kind}");
            }
        }
    }
}

#[test]
fn a_truncated_or_longer_file_is_refused() {
    let (folder, _, bytes) = made();
    for end in 0..bytes.len() {
        assert_eq!(said(folder.path(), &bytes[..end], "correct horse"), "damaged", "{end} bytes");
        if end > CHECK {
            let kind = said(folder.path(), &resealed(bytes[..end].to_vec()), "correct horse");
            assert!(kind == "damaged" || kind == "passphrase_wrong", "{end} bytes: {kind}");
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(said(folder.path(), &longer, "correct horse"), "damaged");
    assert_eq!(said(folder.path(), &vec![0; 10_000_000], "correct horse"), "damaged");
}

#[test]
fn a_wrong_passphrase_is_told_from_a_damaged_file() {
    let (folder, vault, bytes) = made();
    for wrong in ["correct horsf", "Correct horse", "correct horse ", "x"] {
        assert_eq!(said(folder.path(), &bytes, wrong), "passphrase_wrong");
    }
    // Nobody who cannot read them writes them.
    let wrong = Encrypted::with_cost(folder.path(), phrase("another one"), CHEAP);
    assert_eq!(wrong.save(&seeds()).unwrap_err().details["kind"], "passphrase_wrong");
    assert_eq!(std::fs::read(folder.path().join(FILE)).unwrap(), bytes);
    assert_eq!(vault.load(&[KeyName::Spawn]).unwrap().len(), 1);
}

#[test]
fn what_a_file_asks_for_is_bounded() {
    let (folder, _, bytes) = made();
    for (at, value) in [(8, u32::MAX), (8, 1024 * 1024), (8, 0), (12, 1000), (12, 0), (16, 255), (16, 0)] {
        let mut changed = bytes.clone();
        changed[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let began = std::time::Instant::now();
        assert_eq!(said(folder.path(), &resealed(changed), "correct horse"), "damaged");
        assert!(began.elapsed().as_millis() < 500);
    }
}

#[test]
fn a_save_changes_one_key_and_no_two_files_look_alike() {
    let (folder, vault, first) = made();
    vault.save(&Seeds::from([(KeyName::Learner, Zeroizing::new([9; 32]))])).unwrap();
    let second = std::fs::read(folder.path().join(FILE)).unwrap();
    // The nonce is never used again under the same key.
    assert_eq!(first[20..36], second[20..36]);
    assert_ne!(first[36..60], second[36..60]);
    let found = Encrypted::with_cost(folder.path(), phrase("correct horse"), CHEAP).load(&KeyName::LAPTOP).unwrap();
    assert_eq!((found[&KeyName::Learner][0], found[&KeyName::Spawn][0]), (9, 2));
    vault.write(&seeds()).unwrap();
    assert_ne!(std::fs::read(folder.path().join(FILE)).unwrap()[20..36], first[20..36]);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
