//! Jobs and the threads that run them. One writer takes whatever has piled up while the disk was busy into one transaction,
//! so that a commit serves many submissions; readers never wait for it.

use super::{Connection, Target, Tx, migrate};
use forge_core::error::{Code, Error, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

const READERS: usize = 4;
/// Jobs that may wait; more make their callers wait.
const QUEUE: usize = 4096;
/// Jobs in one transaction.
const BATCH: usize = 512;
/// Changed rows after which the writer's log is worth copying into the file: often enough that it stays short, seldom enough that
/// a page which many of them change is copied once.
const UNTIDY: u64 = 6_000;
/// How long a lane without a connection waits before it tries to open one again.
const REOPEN: Duration = Duration::from_millis(250);

/// A job may be run twice: when its batch fails because of another, each runs again alone. A job decides whether it refuses
/// before its first write, because a value, even a refusal, is committed.
trait Job: Send {
    fn run(&mut self, tx: &mut dyn Tx) -> Result<()>;
    fn done(self: Box<Self>, outcome: Result<()>);
}

struct Work<T, F> {
    work: F,
    value: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnMut(&mut dyn Tx) -> Result<T> + Send> Job for Work<T, F> {
    fn run(&mut self, tx: &mut dyn Tx) -> Result<()> {
        self.value = Some((self.work)(tx)?);
        Ok(())
    }
    fn done(self: Box<Self>, outcome: Result<()>) {
        let Self { value, reply, .. } = *self;
        let value = outcome.and_then(|()| value.ok_or_else(|| Error::internal("a job was never run")));
        // Nobody waits any more: what was committed stays committed.
        let _ = reply.send(value);
    }
}

type Boxed = Box<dyn Job>;

/// What the writer has done so far.
#[derive(Debug, Default)]
pub struct Figures {
    pub commits: AtomicU64,
    pub jobs: AtomicU64,
    pub commit_micros: AtomicU64,
    pub failures: AtomicU64,
}

/// A handle to the database; clones share it.
#[derive(Clone)]
pub struct Store {
    target: Target,
    writer: mpsc::Sender<Boxed>,
    reader: mpsc::Sender<Boxed>,
    figures: Arc<Figures>,
}

impl Store {
    /// Opens the database and brings its tables up to date. Blocking, and not to be called on an async thread.
    pub fn open(target: Target) -> Result<Self> {
        let mut first = target.connect()?;
        migrate(first.as_mut())?;
        let figures = Arc::new(Figures::default());
        let (writer, jobs) = mpsc::channel(QUEUE);
        let (lane, counted) = (Lane { target: target.clone(), conn: Some(first) }, figures.clone());
        let (untidy, ring) = std::sync::mpsc::sync_channel(1);
        spawn("store-writer", move || write_loop(lane, jobs, &counted, &untidy))?;
        if target.tidies() {
            let lane = Lane { target: target.clone(), conn: None };
            spawn("store-tidier", move || tidy_loop(lane, &ring))?;
        }
        let (reader, jobs) = mpsc::channel(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for i in 0..READERS {
            let (lane, jobs) = (Lane { target: target.clone(), conn: None }, jobs.clone());
            spawn(&format!("store-reader-{i}"), move || read_loop(lane, &jobs))?;
        }
        Ok(Self { target, writer, reader, figures })
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Runs `work` in a transaction that may be shared with other jobs, and returns once it is on the disk. `work` must be
    /// able to run again, and must not refuse after it has written.
    pub async fn write<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        Self::send(&self.writer, work).await
    }

    /// Runs `work`, which only reads.
    pub async fn read<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        Self::send(&self.reader, work).await
    }

    async fn send<T: Send + 'static>(
        lane: &mpsc::Sender<Boxed>,
        work: impl FnMut(&mut dyn Tx) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        lane.send(Box::new(Work { work, value: None, reply })).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn gone() -> Error {
    Error::new(Code::StoreFailed, "The database is closing.")
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    std::thread::Builder::new().name(name.to_owned()).stack_size(1 << 20).spawn(work)?;
    Ok(())
}

struct Lane {
    target: Target,
    conn: Option<Box<dyn Connection>>,
}

impl Lane {
    fn conn(&mut self) -> Result<&mut dyn Connection> {
        if self.conn.as_ref().is_some_and(|c| c.broken()) {
            self.conn = None;
        }
        if self.conn.is_none() {
            match self.target.again() {
                Ok(conn) => self.conn = Some(conn),
                Err(e) => {
                    tracing::error!(error = %e, "the database cannot be reached");
                    std::thread::sleep(REOPEN);
                    return Err(e);
                }
            }
        }
        match self.conn.as_deref_mut() {
            Some(conn) => Ok(conn),
            None => Err(gone()),
        }
    }

    /// All jobs in one transaction, or none of them. Returns how many rows they changed.
    fn together(&mut self, jobs: &mut [Boxed], figures: &Figures) -> Result<u64> {
        let conn = self.conn()?;
        conn.begin(true)?;
        let mut tx = Through { conn: &mut *conn, changed: 0 };
        let ran = jobs.iter_mut().try_for_each(|job| job.run(&mut tx));
        let changed = tx.changed;
        let began = Instant::now();
        let outcome = ran.and_then(|()| conn.commit());
        if let Err(e) = outcome {
            if let Err(also) = conn.rollback() {
                tracing::warn!(error = %also, "rolling back failed; the connection is opened anew");
                self.conn = None;
            }
            return Err(e);
        }
        let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        figures.commits.fetch_add(1, Ordering::Relaxed);
        figures.jobs.fetch_add(jobs.len() as u64, Ordering::Relaxed);
        figures.commit_micros.fetch_add(micros, Ordering::Relaxed);
        Ok(changed)
    }
}

/// Hands a job the statements of a connection, not its transaction.
struct Through<'a> {
    conn: &'a mut dyn Connection,
    changed: u64,
}

impl Tx for Through<'_> {
    fn query(&mut self, sql: &str, params: &[super::Value]) -> Result<Vec<super::Row>> {
        self.conn.query(sql, params)
    }
    fn execute(&mut self, sql: &str, params: &[super::Value]) -> Result<u64> {
        let changed = self.conn.execute(sql, params)?;
        self.changed += changed;
        Ok(changed)
    }
    fn query_rows(&mut self, sql: &str, rows: Vec<Vec<super::Value>>) -> Result<Vec<super::Row>> {
        self.conn.query_rows(sql, rows)
    }
    fn execute_rows(&mut self, sql: &str, rows: Vec<Vec<super::Value>>) -> Result<u64> {
        let changed = self.conn.execute_rows(sql, rows)?;
        self.changed += changed;
        Ok(changed)
    }
}

fn write_loop(mut lane: Lane, mut jobs: mpsc::Receiver<Boxed>, figures: &Figures, untidy: &SyncSender<()>) {
    let mut changed = 0;
    while let Some(first) = jobs.blocking_recv() {
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = jobs.try_recv()
        {
            batch.push(next);
        }
        match lane.together(&mut batch, figures) {
            Ok(rows) => {
                batch.into_iter().for_each(|job| job.done(Ok(())));
                changed += rows;
            }
            Err(e) if batch.len() == 1 => {
                figures.failures.fetch_add(1, Ordering::Relaxed);
                batch.into_iter().for_each(|job| job.done(Err(e.clone())));
            }
            Err(_) => {
                for job in batch {
                    let mut one = [job];
                    let outcome = lane.together(&mut one, figures);
                    match &outcome {
                        Ok(rows) => changed += rows,
                        Err(_) => drop(figures.failures.fetch_add(1, Ordering::Relaxed)),
                    }
                    let [job] = one;
                    job.done(outcome.map(drop));
                }
            }
        }
        if changed >= UNTIDY {
            changed = 0;
            // Full: it is at it, and will be again when it has rung.
            let _ = untidy.try_send(());
        }
    }
}

/// Ends with the writer.
fn tidy_loop(mut lane: Lane, ring: &Receiver<()>) {
    while let Ok(()) = ring.recv() {
        if let Err(e) = lane.conn().and_then(Connection::tidy) {
            tracing::warn!(error = %e, "the database's log was not tidied; its writer will do it");
        }
    }
}

fn read_loop(mut lane: Lane, jobs: &Mutex<mpsc::Receiver<Boxed>>) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(mut job) = next else { return };
        let outcome = lane.conn().and_then(|conn| job.run(&mut Through { conn, changed: 0 }));
        job.done(outcome);
    }
}
