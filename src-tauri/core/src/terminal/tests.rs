#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
//! Terminals over an engine made of pipes.

use super::*;
use crate::engine::*;
use async_trait::async_trait;
use futures_util::StreamExt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// What the node's side of an opened terminal looks like.
struct Far {
    /// What is written here, the terminal prints; dropping it ends the output.
    prints: DuplexStream,
    /// What was typed.
    typed: DuplexStream,
    spec: ExecSpec,
}

#[derive(Default)]
struct Pipes {
    far: Mutex<Vec<Far>>,
    pid: AtomicU32,
    /// Exec exit code + 1; 0 = still running.
    exit: AtomicU32,
    resizes: Mutex<Vec<(u16, u16)>>,
    hung_up: Mutex<Vec<String>>,
    read: Arc<AtomicUsize>,
}

fn absent<T>() -> Result<T> {
    Err(Error::internal("the terminals do not call this"))
}

#[async_trait]
impl Engine for Pipes {
    async fn info(&self) -> Result<EngineInfo> {
        absent()
    }
    async fn create(&self, _: &ContainerSpec) -> Result<String> {
        absent()
    }
    async fn put_tar(&self, _: &str, _: &str, _: Bytes) -> Result<()> {
        absent()
    }
    async fn start(&self, _: &str) -> Result<()> {
        absent()
    }
    async fn pid(&self, _: &str) -> Result<u32> {
        match self.pid.load(Ordering::SeqCst) {
            0 => Err(Error::new(Code::WrongState, "it does not run")),
            pid => Ok(pid),
        }
    }
    async fn pause(&self, _: &str) -> Result<()> {
        absent()
    }
    async fn unpause(&self, _: &str) -> Result<()> {
        absent()
    }
    async fn restart(&self, _: &str) -> Result<()> {
        absent()
    }
    async fn remove(&self, _: &str) -> Result<()> {
        absent()
    }
    async fn list(&self, _: &[(&str, &str)]) -> Result<Vec<Container>> {
        absent()
    }
    async fn exec(&self, _: &str, spec: &ExecSpec, _: Option<Bytes>, _: Duration) -> Result<ExecOutput> {
        self.hung_up.lock().unwrap().push(spec.argv.last().unwrap().clone());
        Ok(ExecOutput::default())
    }
    async fn attach(&self, _: &str, spec: &ExecSpec) -> Result<ExecStream> {
        let (prints, mut near) = tokio::io::duplex(8 << 10);
        let (input, typed) = tokio::io::duplex(8 << 10);
        self.far.lock().unwrap().push(Far { prints, typed, spec: spec.clone() });
        let read = self.read.clone();
        let output = async_stream(move |tx| async move {
            let mut buffer = vec![0; 8 << 10];
            while let Ok(n @ 1..) = near.read(&mut buffer).await {
                read.fetch_add(n, Ordering::SeqCst);
                if tx.send(Ok((1, Bytes::copy_from_slice(&buffer[..n])))).await.is_err() {
                    break;
                }
            }
        });
        Ok(ExecStream { id: "exec".into(), input: Box::pin(input), output })
    }
    async fn resize(&self, _: &str, cols: u16, rows: u16) -> Result<()> {
        self.resizes.lock().unwrap().push((cols, rows));
        Ok(())
    }
    async fn exec_exit(&self, _: &str) -> Result<Option<i64>> {
        Ok(self.exit.load(Ordering::SeqCst).checked_sub(1).map(i64::from))
    }
    async fn events(&self, _: &[(&str, &str)]) -> Result<BoxStream<'static, Result<EngineEvent>>> {
        absent()
    }
    async fn logs(&self, _: &str, _: u32) -> Result<String> {
        absent()
    }
}

type Item = Result<(u8, Bytes)>;

fn async_stream<F, Fut>(run: F) -> BoxStream<'static, Item>
where
    F: FnOnce(tokio::sync::mpsc::Sender<Item>) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let (tx, rx) = tokio::sync::mpsc::channel(1);
    tokio::spawn(run(tx));
    tokio_stream::wrappers::ReceiverStream::new(rx).boxed()
}

fn limits() -> Limits {
    Limits { scrollback: 64 << 10, per_run: 2, transcript: 1 << 20, stall: Duration::from_secs(60) }
}

async fn one(limits: Limits) -> (Arc<Pipes>, Terminals, String, Far) {
    let engine = Arc::new(Pipes::default());
    engine.pid.store(42, Ordering::SeqCst);
    let terminals = Terminals::with_limits(engine.clone(), limits);
    let info = terminals.open(&wanted("run", None)).await.unwrap();
    let far = engine.far.lock().unwrap().pop().unwrap();
    (engine, terminals, info.id, far)
}

fn wanted(run: &str, record: Option<PathBuf>) -> Open {
    Open { run: run.into(), node: "h1".into(), container: "c1".into(), cols: 80, rows: 24, record }
}

async fn next(stream: &mut BoxStream<'static, TerminalFrame>) -> TerminalFrame {
    tokio::time::timeout(Duration::from_secs(10), stream.next()).await.expect("a frame in time").expect("not the end")
}

async fn text(stream: &mut BoxStream<'static, TerminalFrame>, len: usize) -> String {
    let mut all = Vec::new();
    while all.len() < len {
        match next(stream).await {
            TerminalFrame::Output { bytes, .. } => all.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
    String::from_utf8(all).unwrap()
}

async fn until<F: Fn() -> bool>(what: &str, holds: F) {
    for _ in 0..500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn what_is_printed_is_read_what_is_typed_arrives_and_a_reload_replays() {
    let (engine, terminals, id, mut far) = one(limits()).await;
    assert_eq!(far.spec.tty, Some((80, 24)));
    assert!(far.spec.env.contains(&("TERM".into(), "xterm-256color".into())));
    assert!(far.spec.env.contains(&(MARK.into(), format!(":{id}"))));
    let mut stream = terminals.stream(&id, 0).unwrap();
    far.prints.write_all("hé$ ".as_bytes()).await.unwrap();
    assert_eq!(text(&mut stream, 5).await, "hé$ ");
    terminals.write(&id, Bytes::from_static(b"ls\n")).await.unwrap();
    let mut typed = [0; 3];
    far.typed.read_exact(&mut typed).await.unwrap();
    assert_eq!(&typed, b"ls\n");
    drop(stream);
    far.prints.write_all(b"more").await.unwrap();
    let mut again = terminals.stream(&id, 0).unwrap();
    assert_eq!(text(&mut again, 9).await, "hé$ more");
    let mut resumed = terminals.stream(&id, 5).unwrap();
    assert_eq!(next(&mut resumed).await, TerminalFrame::Output { offset: 5, bytes: Bytes::from_static(b"more") });
    terminals.resize(&id, 120, 40).await.unwrap();
    assert_eq!(*engine.resizes.lock().unwrap(), [(120, 40)]);
    let info = &terminals.list("run")[0];
    assert_eq!((info.cols, info.rows, info.open, info.from, info.next), (120, 40, true, 0, 9));
    assert!(terminals.list("other").is_empty());
}

#[tokio::test]
async fn without_a_reader_the_oldest_output_goes_and_the_next_reader_sees_a_gap_at_a_line() {
    let (_engine, terminals, id, mut far) = one(limits()).await;
    let line = format!("{}\n", "x".repeat(99));
    for _ in 0..2_000 {
        far.prints.write_all(line.as_bytes()).await.unwrap();
    }
    until("all is in", || terminals.list("run")[0].next == 200_000).await;
    let mut stream = terminals.stream(&id, 0).unwrap();
    let TerminalFrame::Gap { resumes_at } = next(&mut stream).await else { panic!() };
    assert_eq!(resumes_at % 100, 0);
    assert!((200_000 - (64 << 10)..200_000 - (64 << 10) + 100).contains(&resumes_at));
    assert_eq!(text(&mut stream, 200_000 - resumes_at as usize).await.len(), 200_000 - resumes_at as usize);
}

#[tokio::test]
async fn a_slow_reader_makes_the_shell_wait_and_loses_nothing() {
    let (engine, terminals, id, mut far) = one(limits()).await;
    let mut stream = terminals.stream(&id, 0).unwrap();
    let total = 600_000usize;
    let writer = tokio::spawn(async move {
        for i in 0..total / 10 {
            far.prints.write_all(format!("{i:09}\n").as_bytes()).await.unwrap();
        }
        far
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let taken = engine.read.load(Ordering::SeqCst);
    assert!(!writer.is_finished() && taken < 64 * 1024 + 4 * 8 * 1024, "read ahead: {taken}");
    let all = text(&mut stream, total).await;
    assert!(all.lines().enumerate().all(|(i, l)| l.parse() == Ok(i)));
    assert_eq!(all.len(), total);
    writer.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_stands_still_is_given_up_and_then_told() {
    let (_engine, terminals, id, mut far) = one(Limits { stall: Duration::from_millis(50), ..limits() }).await;
    let mut stuck = terminals.stream(&id, 0).unwrap();
    far.prints.write_all(&[b'x'; 300_000]).await.unwrap();
    until("all is in", || terminals.list("run")[0].next == 300_000).await;
    assert!(matches!(next(&mut stuck).await, TerminalFrame::Gap { .. }));
}

#[tokio::test]
async fn dropping_a_slow_reader_lets_the_shell_go_on_at_once() {
    let (_engine, terminals, id, mut far) = one(limits()).await;
    let slow = terminals.stream(&id, 0).unwrap();
    let writer = tokio::spawn(async move {
        far.prints.write_all(&[b'x'; 300_000]).await.unwrap();
        far
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!writer.is_finished());
    drop(slow);
    tokio::time::timeout(Duration::from_secs(5), writer).await.unwrap().unwrap();
}

#[tokio::test]
async fn how_it_ended_is_said_after_the_last_output() {
    for (pid, exit, says) in [
        (42, 1, "the shell ended with 0"),
        (42, 4, "the shell ended with 3"),
        (0, 138, "the node stopped"),
        (77, 138, "the node was restarted"),
        (42, 138, "the shell ended with 137"),
        (42, 0, "the connection to Docker was lost"),
    ] {
        let (engine, terminals, id, mut far) = one(limits()).await;
        far.prints.write_all(b"bye").await.unwrap();
        engine.pid.store(pid, Ordering::SeqCst);
        engine.exit.store(exit, Ordering::SeqCst);
        drop(far);
        let mut stream = terminals.stream(&id, 0).unwrap();
        assert_eq!(text(&mut stream, 3).await, "bye");
        assert_eq!(next(&mut stream).await, TerminalFrame::Closed { reason: says.into() });
        assert_eq!(stream.next().await, None);
        assert!(!terminals.list("run")[0].open);
        let refused = terminals.write(&id, Bytes::from_static(b"x")).await.unwrap_err();
        assert_eq!(refused.code, Code::WrongState);
        assert!(refused.message.contains(says), "{}", refused.message);
    }
}

#[tokio::test]
async fn closing_hangs_up_and_the_end_of_a_run_does_not() {
    let (engine, terminals, id, _far) = one(limits()).await;
    let mut stream = terminals.stream(&id, 0).unwrap();
    terminals.close(&id).await.unwrap();
    assert_eq!(next(&mut stream).await, TerminalFrame::Closed { reason: "you closed it".into() });
    assert_eq!(*engine.hung_up.lock().unwrap(), [format!(":{id}")]);
    assert_eq!(terminals.close(&id).await.unwrap_err().code, Code::NotFound);
    let second = terminals.open(&wanted("run", None)).await.unwrap();
    let mut stream = terminals.stream(&second.id, 0).unwrap();
    terminals.end_run("run").await;
    assert_eq!(next(&mut stream).await, TerminalFrame::Closed { reason: "the run ended".into() });
    assert_eq!(engine.hung_up.lock().unwrap().len(), 1);
    assert!(terminals.list("run").is_empty());
}

#[tokio::test]
async fn a_run_has_so_many_terminals_and_an_ended_one_makes_room() {
    let (engine, terminals, _id, far) = one(limits()).await;
    terminals.open(&wanted("run", None)).await.unwrap();
    let full = terminals.open(&wanted("run", None)).await.unwrap_err();
    assert_eq!((full.code, full.details["limit"].as_u64()), (Code::TooLarge, Some(2)));
    assert!(full.message.contains('2') && !full.hints.is_empty());
    terminals.open(&wanted("other", None)).await.unwrap();
    engine.exit.store(1, Ordering::SeqCst);
    drop(far);
    until("it has ended", || !terminals.list("run")[0].open).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    terminals.open(&wanted("run", None)).await.unwrap();
    assert_eq!(terminals.list("run").len(), 3, "the ended one can still be read");
}

#[tokio::test]
async fn impossible_sizes_and_inputs_are_refused() {
    let (_engine, terminals, id, _far) = one(limits()).await;
    assert_eq!(terminals.resize(&id, 0, 24).await.unwrap_err().code, Code::InvalidInput);
    assert_eq!(terminals.resize(&id, 80, 1001).await.unwrap_err().code, Code::InvalidInput);
    let huge = Bytes::from(vec![b'x'; (1 << 20) + 1]);
    assert_eq!(terminals.write(&id, huge).await.unwrap_err().code, Code::TooLarge);
    assert_eq!(terminals.write("nope", Bytes::new()).await.unwrap_err().code, Code::NotFound);
    assert!(terminals.stream("nope", 0).is_err());
}

#[tokio::test]
async fn a_paste_that_nobody_reads_ends_when_the_terminal_does() {
    let (_engine, terminals, id, _far) = one(limits()).await;
    let terminals = Arc::new(terminals);
    let (t, i) = (terminals.clone(), id.clone());
    let paste = tokio::spawn(async move { t.write(&i, Bytes::from(vec![b'x'; 100_000])).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!paste.is_finished());
    terminals.close(&id).await.unwrap();
    assert_eq!(paste.await.unwrap().unwrap_err().code, Code::WrongState);
}

#[tokio::test]
async fn the_transcript_holds_what_was_shown_and_not_what_was_typed() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Arc::new(Pipes::default());
    engine.pid.store(42, Ordering::SeqCst);
    let terminals = Terminals::with_limits(engine.clone(), limits());
    let id = terminals.open(&wanted("run", Some(dir.path().join("casts")))).await.unwrap().id;
    let mut far = engine.far.lock().unwrap().pop().unwrap();
    far.prints.write_all("Password: ".as_bytes()).await.unwrap();
    terminals.write(&id, Bytes::from_static(b"hunter2\n")).await.unwrap();
    terminals.resize(&id, 100, 30).await.unwrap();
    far.prints.write_all("\r\nwelcome é".as_bytes()).await.unwrap();
    let mut stream = terminals.stream(&id, 0).unwrap();
    text(&mut stream, 22).await;
    terminals.sync_transcripts("run").await;
    let cast = std::fs::read_to_string(dir.path().join("casts").join(format!("{id}.cast"))).unwrap();
    assert!(cast.contains("Password: ") && cast.contains("welcome é") && cast.contains("100x30"), "{cast}");
    assert!(!cast.contains("hunter2"));
}
