#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::store::Store;
use rand::SeedableRng;

struct Bench {
    _home: tempfile::TempDir,
    keys: Keys,
    store: Store,
}

impl Bench {
    /// A log of `n` entries that alternate between two runs, with a checkpoint after half of them.
    async fn with(n: u32) -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("keys")).unwrap();
        // The test key of RFC 8032, section 7.1, test 1: the golden file must not depend on a generator.
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";
        std::fs::write(home.path().join("keys/learner.pem"), pem).unwrap();
        let keys = Keys::open(home.path(), &mut rand::rngs::StdRng::seed_from_u64(1)).unwrap();
        let store = Store::memory().unwrap();
        let mine = keys.clone();
        store
            .write(move |tx| {
                for i in 0..n {
                    append(tx, fact(i))?;
                    if i + 1 == n / 2 {
                        checkpoint(tx, &mine, 1)?;
                    }
                }
                tx.execute_batch("DROP TRIGGER audit_no_update; DROP TRIGGER audit_no_delete;")?;
                Ok(())
            })
            .await
            .unwrap();
        Self { _home: home, keys, store }
    }

    async fn sql(&self, text: &str) {
        let text = text.to_owned();
        self.store.write(move |tx| Ok(tx.execute_batch(&text)?)).await.unwrap();
    }

    async fn seal(&self) -> String {
        let keys = self.keys.clone();
        self.store.write(move |tx| checkpoint(tx, &keys, 2)).await.unwrap()
    }

    async fn broken(&self, known: &[String]) -> Option<(u64, Damage)> {
        let known: Vec<Known> =
            known.iter().map(|note| Known { from: "a verdict".into(), note: note.clone() }).collect();
        let report = verify(&self.store, &self.keys, &known).await.unwrap();
        assert_eq!(report.ok, report.broken.is_none());
        report.broken.map(|b| (b.entry, b.damage))
    }
}

fn fact(i: u32) -> Fact {
    Fact {
        at: i64::from(i),
        run: Some(if i.is_multiple_of(2) { "even" } else { "odd" }.into()),
        kind: "gate.spawn".into(),
        data: serde_json::json!({"allow": true, "n": i}),
    }
}

/// The text of entry `i` with `old` replaced, and its hash recomputed as a careful forger would.
fn forge(i: i64, old: &str, new: &str) -> impl FnOnce(&Tx) -> Result<()> + Send + 'static {
    let (old, new) = (old.to_owned(), new.to_owned());
    move |tx| {
        let row = rows::page(tx, i, 1)?.remove(0);
        let entry = row.entry.replace(&old, &new);
        assert_ne!(entry, row.entry);
        let hash = hex::encode(merkle::leaf(entry.as_bytes()));
        let sql = format!("UPDATE audit SET entry = '{entry}', hash = x'{hash}' WHERE seq = {i}");
        Ok(tx.execute_batch(&sql)?)
    }
}

#[tokio::test]
async fn an_untouched_log_verifies() {
    for n in [0, 1, 2, 7, 20] {
        let bench = Bench::with(n).await;
        let newest = bench.seal().await;
        assert_eq!(bench.broken(&[newest]).await, None, "{n}");
    }
}

#[tokio::test]
async fn entries_are_final_in_the_database_itself() {
    let bench = Bench::with(3).await;
    let fresh = Store::memory().unwrap();
    fresh.write(|tx| append(tx, fact(0))).await.unwrap();
    for sql in ["UPDATE audit SET kind = 'x'", "DELETE FROM audit"] {
        let e = fresh.write(move |tx| Ok(tx.execute_batch(sql)?)).await.unwrap_err();
        assert!(e.message.contains("final"), "{}", e.message);
    }
    drop(bench);
}

#[tokio::test]
async fn an_edited_entry_is_named() {
    let bench = Bench::with(20).await;
    bench.sql("UPDATE audit SET entry = replace(entry, 'true', 'false') WHERE seq = 7").await;
    assert_eq!(bench.broken(&[]).await, Some((7, Damage::Edited)));
    let bench = Bench::with(20).await;
    bench.store.write(forge(7, "true", "false")).await.unwrap();
    assert_eq!(bench.broken(&[]).await, Some((7, Damage::Edited)));
    let bench = Bench::with(20).await;
    bench.sql("UPDATE audit SET run = 'other' WHERE seq = 7").await;
    assert_eq!(bench.broken(&[]).await, Some((7, Damage::Edited)));
    let bench = Bench::with(20).await;
    bench.sql("UPDATE audit SET entry = 'nonsense' WHERE seq = 0").await;
    assert_eq!(bench.broken(&[]).await, Some((0, Damage::Edited)));
}

#[tokio::test]
async fn a_deleted_entry_is_named_even_when_the_rest_moves_up() {
    let bench = Bench::with(20).await;
    bench.sql("DELETE FROM audit WHERE seq = 5").await;
    assert_eq!(bench.broken(&[]).await, Some((5, Damage::Deleted)));
    bench.sql("UPDATE audit SET seq = -seq WHERE seq > 5; UPDATE audit SET seq = -seq - 1 WHERE seq < 0").await;
    assert_eq!(bench.broken(&[]).await, Some((5, Damage::Deleted)));
}

#[tokio::test]
async fn swapped_entries_are_named() {
    let bench = Bench::with(20).await;
    bench
        .sql("UPDATE audit SET seq = 999 WHERE seq = 3; UPDATE audit SET seq = 3 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 999")
        .await;
    assert_eq!(bench.broken(&[]).await, Some((3, Damage::Reordered)));
}

#[tokio::test]
async fn a_log_cut_short_is_found_by_record_checkpoint_or_verdict() {
    let bench = Bench::with(20).await;
    bench.sql("DELETE FROM audit WHERE seq >= 15").await;
    assert_eq!(bench.broken(&[]).await, Some((15, Damage::Truncated)));
    // A careful forger mends the record of the end, too; the checkpoint over ten entries still says otherwise.
    let bench = Bench::with(20).await;
    let in_a_verdict = bench.seal().await;
    let short = Bench::with(8).await;
    let head = short.store.read(|c| Ok(rows::head(c)?.unwrap())).await.unwrap();
    bench.sql("DELETE FROM audit WHERE seq >= 8; DELETE FROM audit_checkpoints WHERE size = 20").await;
    bench.store.write(move |tx| rows::set_head(tx, &head)).await.unwrap();
    assert_eq!(bench.broken(&[]).await, Some((8, Damage::Truncated)));
    // With all checkpoints gone from the file, only the one in a verdict tells.
    bench.sql("DELETE FROM audit_checkpoints").await;
    assert_eq!(bench.broken(&[]).await, None);
    assert_eq!(bench.broken(&[in_a_verdict]).await, Some((8, Damage::Truncated)));
}

#[tokio::test]
async fn a_rewritten_log_is_a_fork() {
    let bench = Bench::with(20).await;
    let sealed = bench.seal().await;
    let other = Store::memory().unwrap();
    other
        .write(|tx| {
            for i in 0..20 {
                let mut f = fact(i);
                if i == 12 {
                    f.data = serde_json::json!({"allow": false});
                }
                append(tx, f)?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let known = [Known { from: "the verdict in x".into(), note: sealed }];
    let report = verify(&other, &bench.keys, &known).await.unwrap();
    let broken = report.broken.unwrap();
    assert_eq!(broken.damage, Damage::Forked);
    assert!(broken.detail.contains("the verdict in x"), "{}", broken.detail);
}

#[tokio::test]
async fn tampered_checkpoints_and_heads_are_named() {
    let bench = Bench::with(20).await;
    bench.sql("UPDATE audit_checkpoints SET note = replace(note, char(10) || '10' || char(10), char(10) || '11' || char(10))").await;
    assert_eq!(bench.broken(&[]).await.unwrap().1, Damage::Head);
    let bench = Bench::with(20).await;
    bench.sql("UPDATE audit_head SET size = 19").await;
    assert_eq!(bench.broken(&[]).await.unwrap().1, Damage::Head);
    let e = bench.store.write(|tx| append(tx, fact(1))).await.unwrap_err();
    assert_eq!(e.code, Code::StoreFailed);
    // The next entry would be chained to it: then an entry that nobody touched would look edited.
    let bench = Bench::with(20).await;
    bench.sql("UPDATE audit_head SET hash = zeroblob(32)").await;
    assert_eq!(bench.broken(&[]).await.unwrap(), (20, Damage::Head));
}

#[tokio::test]
async fn a_checkpoint_by_a_stranger_is_not_trusted() {
    let bench = Bench::with(4).await;
    let note = bench.seal().await;
    let mine = bench.keys.ever(crate::keys::KeyName::Learner).unwrap();
    assert_eq!(open_checkpoint(&note, &mine).unwrap().size, 4);
    assert!(open_checkpoint(&note, &[]).is_err());
    for (i, _) in note.char_indices() {
        let mut forged = note.clone();
        let c = forged.remove(i);
        forged.insert(i, if c == 'A' { 'B' } else { 'A' });
        assert!(open_checkpoint(&forged, &mine).is_err(), "changed at {i}: {forged}");
    }
}

/// The learner's key file is removed, and the folder opened again.
fn exchange(home: &std::path::Path, seed: u64) -> Keys {
    std::fs::remove_file(home.join("keys/learner.pem")).unwrap();
    Keys::open(home, &mut rand::rngs::StdRng::seed_from_u64(seed)).unwrap()
}

async fn remember(store: &Store, keys: &Keys, at: i64) -> Vec<lineage::Exchanged> {
    let mine = keys.clone();
    store.write(move |tx| lineage::remember(tx, &mine, at)).await.unwrap()
}

#[tokio::test]
async fn a_key_removed_by_hand_is_told_once_and_a_rotated_one_never() {
    use crate::keys::KeyName::{Catalogue, Learner};
    let bench = Bench::with(4).await;
    assert_eq!(remember(&bench.store, &bench.keys, 1).await, [], "keys that are seen for the first time replace none");
    bench.keys.rotate(Catalogue, 2, &mut rand::rngs::StdRng::seed_from_u64(2)).unwrap();
    bench.keys.rotate(Learner, 2, &mut rand::rngs::StdRng::seed_from_u64(3)).unwrap();
    let before = bench.keys.id(Learner).unwrap();
    assert_eq!(remember(&bench.store, &bench.keys, 3).await, []);
    assert_eq!(bench.store.read(|c| Ok(rows::head(c)?.unwrap().size)).await.unwrap(), 4, "the log says nothing of it");
    let keys = exchange(bench._home.path(), 4);
    let mine = keys.clone();
    assert!(!bench.store.read(move |c| lineage::is_known(c, &mine)).await.unwrap());
    let told = remember(&bench.store, &keys, 5).await;
    let new = keys.id(Learner).unwrap();
    assert_eq!(told.iter().map(|e| (e.at, e.name, &e.old, &e.new)).collect::<Vec<_>>(), [(5, Learner, &before, &new)]);
    let row = bench.store.read(|c| rows::page(c, 4, 9)).await.unwrap();
    assert_eq!((row.len(), row[0].kind.as_str()), (1, "keys.exchanged"));
    assert!(row[0].entry.contains(&before) && row[0].entry.contains(&new));
    assert_eq!(remember(&bench.store, &keys, 6).await, [], "once");
    assert_eq!(bench.store.read(lineage::exchanged).await.unwrap(), told);
}

#[tokio::test]
async fn what_a_lost_key_signed_is_compared_and_counts_for_nothing() {
    let bench = Bench::with(20).await;
    remember(&bench.store, &bench.keys, 1).await;
    let in_a_verdict = Known { from: "a verdict".into(), note: bench.seal().await };
    let beside = bench._home.path().join("beside");
    std::fs::create_dir(&beside).unwrap();
    let sign = |keys: &Keys| {
        let (keys, folder) = (keys.clone(), beside.clone());
        bench.store.write(move |tx| witness::witness(tx, &keys, 2, &folder))
    };
    sign(&bench.keys).await.unwrap();
    let keys = exchange(bench._home.path(), 9);
    // Until it is written down that the key was exchanged, its checkpoints are a stranger's.
    assert_eq!(verify(&bench.store, &keys, &[]).await.unwrap().broken.unwrap().damage, Damage::Head);
    remember(&bench.store, &keys, 3).await;
    let report = verify(&bench.store, &keys, std::slice::from_ref(&in_a_verdict)).await.unwrap();
    assert_eq!(report.broken, None);
    assert_eq!((report.checkpoints, report.outside, report.orphans, report.strangers.len()), (0, 0, 3, 0));
    // Signing goes on where the old key left off.
    sign(&keys).await.unwrap();
    let report = verify(&bench.store, &keys, &[]).await.unwrap();
    assert_eq!((report.ok, report.checkpoints, report.orphans), (true, 1, 2));
    // And what does not fit the log still says so.
    bench.store.write(forge(7, "true", "false")).await.unwrap();
    assert_eq!(bench.broken(&[]).await.unwrap(), (7, Damage::Edited));
    let other = Bench::with(20).await;
    other.store.write(|tx| append(tx, fact(3)).map(drop)).await.unwrap();
    other.sql("UPDATE audit_checkpoints SET size = size").await;
    remember(&other.store, &other.keys, 1).await;
    let other_keys = exchange(other._home.path(), 9);
    remember(&other.store, &other_keys, 2).await;
    let cut = Known { from: "a verdict".into(), note: in_a_verdict.note };
    other.sql("DELETE FROM audit WHERE seq >= 15").await;
    let report = verify(&other.store, &other_keys, &[cut]).await.unwrap();
    assert_eq!(report.broken.map(|b| (b.entry, b.damage)), Some((15, Damage::Truncated)));
}

#[tokio::test]
async fn a_segment_proves_itself_and_nothing_else() {
    let bench = Bench::with(21).await;
    let keys = bench.keys.clone();
    let part = bench.store.write(move |tx| segment(tx, &keys, "odd", 9)).await.unwrap();
    let trusted = bench.keys.ever(crate::keys::KeyName::Learner).unwrap();
    let told = verify_segment(&part, &trusted, "odd").unwrap();
    assert_eq!(told.iter().map(|b| b.seq).collect::<Vec<_>>(), (0..10).map(|i| i * 2 + 1).collect::<Vec<_>>());
    assert!(verify_segment(&part, &trusted, "even").is_err());
    let mut forged = part.clone();
    forged.entries[3].entry = forged.entries[3].entry.replace("true", "false");
    assert!(verify_segment(&forged, &trusted, "odd").unwrap_err().message.contains("Entry 3"));
    let mut forged = part.clone();
    forged.entries.swap(1, 2);
    assert!(verify_segment(&forged, &trusted, "odd").unwrap_err().message.contains("out of order"));
    bench.sql("UPDATE audit SET entry = replace(entry, 'true', 'false') WHERE seq = 7").await;
    let keys = bench.keys.clone();
    assert!(bench.store.write(move |tx| segment(tx, &keys, "odd", 9)).await.is_err());
}

#[tokio::test]
async fn the_checkpoint_format_is_pinned() {
    let bench = Bench::with(5).await;
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit-checkpoint.txt");
    let note = bench.seal().await;
    let entry = bench.store.read(|c| Ok(rows::page(c, 4, 1)?.remove(0).entry)).await.unwrap();
    let text = format!("{entry}\n---\n{note}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}
