#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use std::path::Path;

const CHILD: &str = "FORGE_TEST_EVENTS_CHILD";

fn open(path: &Path) -> Events {
    Events::new(Store::open(path).unwrap())
}

async fn put(events: &Events, run: Option<&str>, n: usize) -> Event {
    events.emit("c", run, "test", Level::Info, format!("event {n}"), json!({ "n": n })).await.unwrap()
}

async fn take(stream: &mut BoxStream<'static, Event>, n: usize) -> Vec<Event> {
    tokio::time::timeout(Duration::from_secs(60), stream.by_ref().take(n).collect()).await.expect("in time")
}

async fn none(stream: &mut BoxStream<'static, Event>) {
    let more = tokio::time::timeout(Duration::from_millis(400), stream.next()).await;
    assert!(more.is_err(), "{more:?}");
}

fn seqs(events: &[Event]) -> Vec<i64> {
    events.iter().map(|e| e.seq).collect()
}

#[tokio::test]
async fn a_reader_replays_after_its_number_and_goes_live() {
    let events = Events::with(Store::memory().unwrap(), Retention::default(), || 1_234);
    for n in 1..=5 {
        put(&events, None, n).await;
    }
    let mut stream = events.stream(None, 2);
    assert_eq!(seqs(&take(&mut stream, 3).await), [3, 4, 5]);
    none(&mut stream).await;
    let emitted = put(&events, Some("r"), 6).await;
    let began = std::time::Instant::now();
    assert_eq!(take(&mut stream, 1).await, [emitted]);
    assert!(began.elapsed() < POLL, "our own events do not wait for the poll");
    drop(events);
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_reader_of_one_run_sees_that_run_only_and_wakes_for_it() {
    let events = Events::new(Store::memory().unwrap());
    let mut stream = events.stream(Some("a"), 0);
    let (other, own) = (put(&events, Some("b"), 1).await, put(&events, Some("a"), 2).await);
    assert_eq!(take(&mut stream, 1).await, [own]);
    put(&events, None, 3).await;
    none(&mut stream).await;
    let own = put(&events, Some("a"), 4).await;
    assert_eq!(take(&mut stream, 1).await, [own]);
    assert_eq!(seqs(&take(&mut events.stream(Some("b"), 0), 1).await), [other.seq]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_join_under_load_from_two_stores_miss_nothing_and_see_nothing_twice() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forge.db");
    let (here, there) = (open(&path), open(&path));
    const EACH: usize = 300;
    let write = |events: Events| async move {
        for n in 0..EACH {
            put(&events, Some(if n % 3 == 0 { "a" } else { "b" }), n).await;
        }
    };
    let writers = [tokio::spawn(write(here.clone())), tokio::spawn(write(there.clone()))];
    let mut readers = Vec::new();
    for n in 0..12 {
        let events = if n % 2 == 0 { &here } else { &there };
        let run = (n % 3 == 0).then_some("a");
        let mut stream = events.stream(run, 0);
        let total = if run.is_some() { EACH / 3 * 2 } else { EACH * 2 };
        readers.push((run, tokio::spawn(async move { (take(&mut stream, total).await, stream) })));
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let all = here.list(ListEvents { run: None, since: 0, limit: Some(10_000) }).await.unwrap();
    assert_eq!(seqs(&all), (1..=2 * EACH as i64).collect::<Vec<_>>(), "numbered without a gap");
    for (run, reader) in readers {
        let (seen, mut stream) = reader.await.unwrap();
        let expected: Vec<_> = all.iter().filter(|e| run.is_none() || e.run.as_deref() == run).cloned().collect();
        assert_eq!(seen, expected);
        assert!(tokio::time::timeout(Duration::from_millis(20), stream.next()).await.is_err());
    }
}

/// Not a test of its own: the body of the other process below.
#[tokio::test]
async fn another_process() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let events = open(Path::new(&path));
    for n in 0..50 {
        put(&events, None, n).await;
    }
}

#[tokio::test]
async fn another_process_on_the_same_file_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("forge.db");
    let events = open(&path);
    put(&events, None, 0).await;
    let mut stream = events.stream(None, 0);
    assert_eq!(take(&mut stream, 1).await.len(), 1);
    let child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "observe::events::tests::another_process", "--quiet"])
        .env(CHILD, &path)
        .stdout(std::process::Stdio::null())
        .status();
    let (status, seen) = tokio::join!(child, take(&mut stream, 50));
    assert!(status.unwrap().success());
    assert_eq!(seqs(&seen), (2..=51).collect::<Vec<_>>());
    assert_eq!(seen[49].data["n"], 49);
}

#[tokio::test]
async fn a_slow_reader_gets_all_pages_in_order() {
    let events = Events::new(Store::memory().unwrap());
    let total = PAGE as usize * 2 + 10;
    let mut stream = events.stream(None, 0);
    for n in 0..total {
        put(&events, None, n).await;
    }
    assert_eq!(seqs(&take(&mut stream, total).await), (1..=total as i64).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_number_from_another_installations_future_counts_as_now() {
    let events = Events::new(Store::memory().unwrap());
    put(&events, None, 1).await;
    let mut stream = events.stream(None, 9_000);
    none(&mut stream).await;
    put(&events, None, 2).await;
    assert_eq!(seqs(&take(&mut stream, 1).await), [2]);
}

#[tokio::test]
async fn old_events_go_and_a_reader_behind_them_goes_on() {
    let retention = Retention { days: 30, events: 10, every: 20 };
    let events = Events::with(Store::memory().unwrap(), retention, || 10_000_000_000);
    let mut behind = events.stream(None, 0);
    for n in 0..40 {
        put(&events, None, n).await;
    }
    let kept = events.list(ListEvents { run: None, since: 0, limit: None }).await.unwrap();
    assert_eq!(seqs(&kept), (31..=40).collect::<Vec<_>>());
    assert_eq!(seqs(&take(&mut behind, 10).await), (31..=40).collect::<Vec<_>>());
    let next = put(&events, None, 41).await;
    assert_eq!(next.seq, 41, "numbers are never given twice");
}

#[tokio::test]
async fn the_poll_rests_when_nobody_reads() {
    let events = Events::new(Store::memory().unwrap());
    let polling = || *events.0.polling.lock().unwrap();
    let mut stream = events.stream(None, 0);
    assert!(!polling());
    none(&mut stream).await;
    assert!(polling());
    drop(stream);
    tokio::time::sleep(POLL * 3).await;
    assert!(!polling());
    let mut stream = events.stream(None, 0);
    none(&mut stream).await;
    assert!(polling());
}

#[tokio::test]
async fn lists_have_bounds_and_large_events_are_cut() {
    let events = Events::new(Store::memory().unwrap());
    for limit in [0, 10_001] {
        let refused = events.list(ListEvents { run: None, since: 0, limit: Some(limit) }).await.unwrap_err();
        assert_eq!(refused.code, Code::InvalidInput);
    }
    let long = "é".repeat(TEXT_MAX);
    let event = events.emit("c", None, "k", Level::Warn, long, json!("x".repeat(DATA_MAX))).await.unwrap();
    assert!(event.text.len() <= TEXT_MAX && event.text.ends_with("é…"));
    assert_eq!(event.data["omitted_bytes"], DATA_MAX + 2);
    for n in 0..3 {
        put(&events, Some("r"), n).await;
    }
    let newest = events.list(ListEvents { run: Some("r".into()), since: 1, limit: Some(2) }).await.unwrap();
    assert_eq!(seqs(&newest), [3, 4]);
}
