#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::api::{Level, RunState, Settings, TrustTier};

fn owner() -> runs::Owner {
    runs::Owner { pid: 7, process: "p".into() }
}

fn new_run(run: &str, request: &str, created: i64) -> runs::NewRun {
    runs::NewRun {
        run: run.into(),
        request_id: request.into(),
        subject: "learner".into(),
        tenant: "school".into(),
        lab: "netplus-dns".into(),
        lab_title: "DNS".into(),
        track: "netplus".into(),
        version: "1.0.0".into(),
        digest: "00".repeat(32),
        seed: "s".into(),
        scenario: "{}".into(),
        nodes: 3,
        cpu_milli: 1500,
        memory_mb: 512,
        pids: 768,
        disk_mb: 768,
        created,
        owner: owner(),
    }
}

fn started() -> runs::Started {
    runs::Started { at: 2000, boot: "b".into(), monotonic_ms: 55, later: None }
}

fn event(kind: &str, run: Option<&str>) -> events::NewEvent {
    events::NewEvent {
        at: 1,
        correlation: "c".into(),
        run: run.map(Into::into),
        kind: kind.into(),
        level: Level::Info,
        text: "t".into(),
        data: serde_json::json!({"n": 1}),
    }
}

#[tokio::test]
async fn a_run_lives_along_the_arrows_only() {
    let store = Store::memory().unwrap();
    store
        .write(|tx| {
            let run = runs::insert(tx, &new_run("a", "r1", 1000))?;
            assert_eq!(run.state, RunState::Starting);
            assert_eq!(runs::pause(tx, "a", 0).unwrap_err().code, Code::WrongState);
            assert_eq!(runs::stopped(tx, "a", 0).unwrap_err().code, Code::WrongState);
            assert_eq!(runs::extend(tx, "a", 5).unwrap_err().code, Code::WrongState);
            let run = runs::ready(tx, "a", 730, &started(), 100_000)?;
            assert_eq!((run.state, run.ready_ms, run.deadline), (RunState::Ready, Some(730), Some(100_000)));
            assert_eq!(runs::ready(tx, "a", 1, &started(), 1).unwrap_err().code, Code::WrongState);
            let run = runs::pause(tx, "a", 40_000)?;
            assert_eq!((run.deadline, run.remaining_ms), (None, Some(60_000)));
            assert_eq!(run.summary(90_000).remaining_ms, Some(60_000));
            runs::extend(tx, "a", 10_000)?;
            let run = runs::resume(tx, "a", 200_000)?;
            assert_eq!((run.deadline, run.remaining_ms), (Some(270_000), None));
            assert_eq!(run.summary(210_000).remaining_ms, Some(60_000));
            assert_eq!(runs::stopping(tx, "a", "time is up")?.reason, "time is up");
            let run = runs::stopped(tx, "a", 300_000)?;
            assert_eq!((run.state, run.ended, run.owner), (RunState::Stopped, Some(300_000), None));
            assert_eq!(run.reason, "time is up");
            for wish in [runs::stopping(tx, "a", ""), runs::failed(tx, "a", "x", 1)] {
                assert_eq!(wish.unwrap_err().code, Code::WrongState);
            }
            assert_eq!(runs::get(tx, "zz").unwrap_err().code, Code::UnknownRun);
            assert_eq!(runs::stopping(tx, "zz", "").unwrap_err().code, Code::UnknownRun);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn every_pair_of_states_obeys_the_table() {
    use RunState::*;
    let all = [Starting, Ready, Paused, Stopping, Stopped, Failed];
    let store = Store::memory().unwrap();
    store
        .write(move |tx| {
            runs::insert(tx, &new_run("a", "r1", 1000))?;
            let mut allowed = 0;
            for from in all {
                for to in all {
                    tx.execute("UPDATE runs SET state = ?1", [word(&from)?])?;
                    let outcome = runs::advance(tx, "a", from, to, "");
                    assert_eq!(outcome.is_ok(), runs::legal(from, to), "{from:?} to {to:?}");
                    let stays = if outcome.is_ok() { to } else { from };
                    assert_eq!(runs::get(tx, "a")?.state, stays);
                    allowed += u32::from(outcome.is_ok());
                }
            }
            assert_eq!(allowed, 11);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn of_two_that_expect_the_same_state_one_acts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("forge.db");
    let (one, two) = (Store::open(&path).unwrap(), Store::open(&path).unwrap());
    one.write(|tx| runs::insert(tx, &new_run("a", "r1", 1))).await.unwrap();
    one.write(|tx| runs::ready(tx, "a", 1, &started(), 10)).await.unwrap();
    let act =
        |s: Store| async move { s.write(|tx| runs::advance(tx, "a", RunState::Ready, RunState::Stopping, "")).await };
    let (x, y) = tokio::join!(act(one.clone()), act(two.clone()));
    assert_eq!(u32::from(x.is_ok()) + u32::from(y.is_ok()), 1);
    let other = runs::Owner { pid: 8, process: "q".into() };
    let (expected, new) = (owner(), other.clone());
    two.write(move |tx| runs::claim(tx, "a", Some(&expected), &new)).await.unwrap();
    let late = one.write(|tx| runs::claim(tx, "a", Some(&owner()), &owner())).await.unwrap_err();
    assert_eq!(late.code, Code::WrongState);
    two.write(move |tx| runs::release(tx, "a", &other)).await.unwrap();
    one.write(|tx| runs::claim(tx, "a", None, &owner())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_handles_write_at_once_and_events_have_no_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/forge.db");
    let opened: Vec<_> = std::thread::scope(|s| {
        let threads: Vec<_> = (0..4).map(|_| s.spawn(|| Store::open(&path).unwrap())).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let mut tasks = Vec::new();
    for store in opened {
        tasks.push(tokio::spawn(async move {
            for i in 0..50 {
                let fails = i % 5 == 0;
                let outcome = store
                    .write_relaxed(move |tx| {
                        events::append(tx, event("log", None))?;
                        if fails { Err(Error::cancelled()) } else { Ok(()) }
                    })
                    .await;
                assert_eq!(outcome.is_err(), fails);
            }
        }));
    }
    for t in tasks {
        t.await.unwrap();
    }
    let store = Store::open(&path).unwrap();
    let seqs: Vec<i64> =
        store.read(|c| Ok(events::since(c, None, 0, 10_000)?.iter().map(|e| e.seq).collect())).await.unwrap();
    assert_eq!(seqs, (1..=160).collect::<Vec<i64>>());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for name in ["forge.db", "forge.db-wal", "forge.db-shm"] {
            let mode = std::fs::metadata(folder.path().join("deep").join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }
}

#[tokio::test]
async fn events_replay_and_prune() {
    let store = Store::memory().unwrap();
    store
        .write(|tx| {
            runs::insert(tx, &new_run("alive", "r1", 1))?;
            for i in 0..10 {
                let run = if i % 2 == 0 { Some("alive") } else { Some("gone") };
                events::append(tx, event("log", run))?;
            }
            let seqs = |v: Vec<crate::api::Event>| v.iter().map(|e| e.seq).collect::<Vec<_>>();
            assert_eq!(seqs(events::since(tx, None, 3, 2)?), [4, 5]);
            assert_eq!(seqs(events::latest(tx, None, 3, 2)?), [9, 10]);
            assert_eq!(seqs(events::since(tx, Some("gone"), 3, 2)?), [4, 6]);
            assert_eq!(seqs(events::latest(tx, Some("gone"), 0, 2)?), [8, 10]);
            assert_eq!(events::prune(tx, 0, 4)?, 3);
            assert_eq!(seqs(events::since(tx, None, 0, 100)?), [1, 3, 5, 7, 8, 9, 10]);
            assert_eq!(events::prune(tx, 100, 100)?, 2);
            runs::failed(tx, "alive", "x", 1)?;
            assert_eq!(events::prune(tx, 100, 100)?, 5);
            assert_eq!(events::newest(tx)?, 10);
            assert_eq!(events::append(tx, event("log", None))?.seq, 11);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn tokens_and_intents() {
    let store = Store::memory().unwrap();
    store
        .write(|tx| {
            runs::insert(tx, &new_run("a", "r1", 1))?;
            tokens::spend(tx, "j", "a", 1)?;
            assert_eq!(tokens::spend(tx, "j", "b", 1).unwrap_err().code, Code::TokenSpent);
            assert_eq!(tokens::spent_for(tx, "j")?.as_deref(), Some("a"));
            let id = intents::begin(tx, "a", "launch", 5, &serde_json::json!({"x": 1}))?;
            intents::begin(tx, "a", "stop", 6, &serde_json::Value::Null)?;
            assert_eq!(intents::open(tx)?.len(), 2);
            assert_eq!(intents::of_run(tx, "a")?[0].data["x"], 1);
            intents::done(tx, id)?;
            assert_eq!(intents::done(tx, id).unwrap_err().code, Code::NotFound);
            assert_eq!(intents::clear(tx, "a", Some("launch"))?, 0);
            assert_eq!(intents::clear(tx, "a", None)?, 1);
            assert!(intents::begin(tx, "nobody", "stop", 6, &serde_json::Value::Null).is_err());
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn usage_counts_days_minutes_and_what_is_held() {
    let store = Store::memory().unwrap();
    store
        .write(|tx| {
            let day = 24 * 3_600_000;
            let now = 10 * day;
            for (i, created) in [now - 2 * day, now - day - 1, now - 3_600_000, now - 1000, now + 5].iter().enumerate()
            {
                runs::insert(tx, &new_run(&format!("r{i}"), &format!("q{i}"), *created))?;
            }
            runs::failed(tx, "r0", "x", 1)?;
            runs::failed(tx, "r2", "x", 1)?;
            let used = usage::of(tx, "learner", now)?;
            assert_eq!(
                used,
                usage::Usage {
                    today: 3,
                    last_minute: 2,
                    concurrent: 3,
                    cpu_milli: 4500,
                    memory_mb: 1536,
                    pids: 2304,
                    disk_mb: 2304,
                }
            );
            assert_eq!(usage::of(tx, "other", now)?, usage::Usage::default());
            assert_eq!(usage::of_machine(tx, now)?, used);
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn results_enter_with_their_outbox_row_once() {
    let store = Store::memory().unwrap();
    let result = |id: &str, score: u64, at: i64| crate::api::ResultSummary {
        id: id.repeat(64),
        run: "a".into(),
        lab: "l".into(),
        lab_title: "L".into(),
        track: "netplus".into(),
        version: "1".into(),
        at,
        score,
        max: 1000,
        duration_ms: 5,
        tier: TrustTier::SelfAttested,
        established: None,
        key_id: "k".into(),
        dir: "/d".into(),
    };
    store
        .write(move |tx| {
            let (one, two) = (result("a", 500, 1), result("b", 900, 2));
            for r in [&one, &two, &one] {
                results::record(tx, r, &serde_json::json!({"d": r.score}))?;
            }
            assert_eq!(results::list(tx)?, [two.clone(), one.clone()]);
            assert_eq!(results::queued(tx)?, 2);
            assert_eq!(results::best(tx, "l")?, Some(two.clone()));
            assert_eq!(results::get(tx, "AAAAAAAAA")?, (one.clone(), serde_json::json!({"d": 500})));
            assert_eq!(results::get(tx, "aaaa").unwrap_err().code, Code::NotFound);
            assert_eq!(results::get(tx, "cccccccc").unwrap_err().code, Code::NotFound);
            results::postponed(tx, &one.id, 50, "offline")?;
            assert_eq!(results::due(tx, 10, 10)?.len(), 1);
            results::acknowledged(tx, &two.id)?;
            let due = results::due(tx, 50, 10)?;
            assert_eq!((due.len(), due[0].attempts, due[0].last_error.as_str()), (1, 1, "offline"));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn unreadable_settings_fall_back_with_a_warning() {
    let store = Store::memory().unwrap();
    store
        .write(|tx| {
            assert_eq!(settings::get(tx)?, (Settings::default(), None));
            let mine = Settings { terminal_font_size: 20, ..Settings::default() };
            settings::set(tx, &mine)?;
            assert_eq!(settings::get(tx)?, (mine, None));
            tx.execute("UPDATE settings SET value = '{\"theme\": 7'", [])?;
            let (fallback, warning) = settings::get(tx)?;
            assert_eq!(fallback, Settings::default());
            assert!(warning.unwrap().contains("cannot be read"));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_error_rolls_back_and_a_panic_leaves_the_store_usable() {
    let store = Store::memory().unwrap();
    let outcome: Result<()> = store
        .write(|tx| {
            events::append(tx, event("log", None))?;
            Err(Error::cancelled())
        })
        .await;
    assert_eq!(outcome.unwrap_err().code, Code::Cancelled);
    let outcome: Result<()> = store
        .write(|tx| {
            events::append(tx, event("log", None))?;
            panic!("on purpose")
        })
        .await;
    assert_eq!(outcome.unwrap_err().code, Code::Internal);
    assert_eq!(store.read(events::newest).await.unwrap(), 0);
}

#[tokio::test]
async fn files_that_cannot_be_ours_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer.db");
    drop(Store::open(&newer).unwrap());
    Conn::open(&newer).unwrap().pragma_update(None, "user_version", 999).unwrap();
    let e = Store::open(&newer).err().unwrap();
    assert_eq!(e.code, Code::StoreFailed);
    assert!(e.message.contains("newer version"), "{}", e.message);
    let garbage = folder.path().join("garbage.db");
    std::fs::write(&garbage, "this is not a database, not at all, whatever its name may say".repeat(50)).unwrap();
    let e = Store::open(&garbage).err().unwrap();
    assert_eq!(e.code, Code::StoreFailed);
    assert!(e.message.contains("damaged"), "{}", e.message);
}

#[tokio::test]
async fn a_full_disk_has_its_own_code_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("forge.db")).unwrap();
    store.write(|tx| events::append(tx, event("kept", None))).await.unwrap();
    let e = store
        .write(|tx| {
            tx.pragma_update(None, "max_page_count", 1)?;
            for _ in 0..10_000 {
                events::append(tx, event("too much, far too much", None))?;
            }
            Ok(())
        })
        .await
        .unwrap_err();
    assert_eq!(e.code, Code::DiskFull);
    assert_eq!(store.read(events::newest).await.unwrap(), 1);
}

#[tokio::test]
async fn readers_cannot_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("forge.db")).unwrap();
    let outcome = store.read(|c| Ok(c.execute("DELETE FROM events", [])?)).await;
    assert!(outcome.is_err());
}

#[test]
fn the_migrations_are_sound() {
    migrations().validate().unwrap();
}

#[test]
fn an_enrolment_and_receipts_of_before_there_were_several_are_kept() {
    let mut conn = Conn::open_in_memory().unwrap();
    migrations().to_version(&mut conn, 17).unwrap();
    conn.execute_batch(
        "INSERT INTO board (id, url, clear_text, learner, name, class, instructor, key_id, token, root, keys, enrolled_at, ahead_ms, failures)
             VALUES (1, 'https://a', 0, 'm', 'Mara', 'N', 0, 'k', 'secret', 'root-a', '[\"pem\"]', 5, 7, 3);
         INSERT INTO results (id, run, lab, lab_title, track, version, at, score, max, duration_ms, tier, key_id, dir, detail)
             VALUES ('r', 'a', 'l', 'L', 't', '1', 1, 0, 0, 0, 'self-attested', 'k', '/d', 'null');
         INSERT INTO receipts (result, root, tier, receipt, url, notes, at) VALUES ('r', 'root-a', 're-graded', '{}', 'u', '[]', 9);",
    )
    .unwrap();
    migrate(&mut conn).unwrap();
    let board = sync::board(&conn).unwrap().unwrap();
    assert_eq!((board.root.as_str(), board.token.as_str(), board.failures), ("root-a", "secret", 3));
    assert_eq!(board.keys, ["pem"]);
    let receipts = sync::receipts(&conn).unwrap();
    assert_eq!((receipts.len(), receipts[0].at, receipts[0].tier), (1, 9, TrustTier::ReGraded));
    assert_eq!(results::list(&conn).unwrap()[0].established, Some(TrustTier::ReGraded));
}
