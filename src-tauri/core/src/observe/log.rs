//! The log: one JSON object per line in `FORGE_HOME/logs/`, a file per day, seven kept. Each line carries the
//! correlation id of the click or request that caused it, and no secret (see `redact`).

use super::redact::{MASK, redact, secret_name};
use crate::error::{Code, Error, Result};
use serde_json::{Map, Value};
use std::io::Write;
use std::path::PathBuf;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Span, Subscriber};
use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

/// What is logged when `RUST_LOG` says nothing.
pub const DEFAULT_FILTER: &str = "info,forge_core=debug,hyper=warn,h2=warn,bollard=warn";
const DAYS_KEPT: usize = 7;
/// The programs and libraries whose details may be logged: we know what is in them.
const OURS: [&str; 4] = ["forge_core", "forge", "frostgate_forge", "forge_scoreboard"];

/// Where the log goes.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// `FORGE_HOME/logs`; made when absent.
    pub dir: PathBuf,
    /// Human-readable lines on stderr as well.
    pub stderr: bool,
}

/// Keeps the log's writer alive; dropping it writes what is still buffered.
#[must_use = "the log stops when this is dropped"]
pub struct LogGuard(#[allow(dead_code)] WorkerGuard);

/// Sets the log up for this process, once. `Code::Io` when the directory cannot be used, `Code::WrongState` when a
/// log is already set up, `Code::InvalidInput` when `RUST_LOG` cannot be understood.
pub fn init(options: &LogOptions) -> Result<LogGuard> {
    let filter = filter(DEFAULT_FILTER)?;
    let (file, guard) = file(&options.dir)?;
    let human = options.stderr.then(|| {
        tracing_subscriber::fmt::layer().with_target(false).with_ansi(false).with_writer(Redacting(std::io::stderr))
    });
    Registry::default()
        .with(own_details())
        .with(filter)
        .with(JsonLines::new(file))
        .with(human)
        .try_init()
        .map_err(|e| Error::new(Code::WrongState, format!("The log is already set up in this process: {e}")))?;
    Ok(LogGuard(guard))
}

/// Lets nobody else's DEBUG and TRACE through, whatever `RUST_LOG` asks for: there, libraries write down what they send and
/// receive whole (bollard the bodies that carry the labs' passwords, a database's client its parameters), and no pattern knows
/// which of it is secret.
pub fn own_details() -> FilterFn {
    filter_fn(ours_or_important)
}

fn ours_or_important(line: &Metadata<'_>) -> bool {
    let from = line.target().split("::").next().unwrap_or_default();
    *line.level() <= Level::INFO || OURS.contains(&from)
}

/// The span in which everything done for one click or request runs: `work.instrument(span(&caller.correlation))`.
pub fn span(correlation: &str) -> Span {
    tracing::info_span!("request", correlation)
}

/// What `RUST_LOG` asks for, or the usual. `Code::InvalidInput` when it cannot be understood.
pub fn filter(usual: &str) -> Result<EnvFilter> {
    wanted(std::env::var("RUST_LOG").ok().as_deref(), usual)
}

fn wanted(wanted: Option<&str>, usual: &str) -> Result<EnvFilter> {
    let wanted = wanted.filter(|w| !w.trim().is_empty()).unwrap_or(usual);
    EnvFilter::try_new(wanted).map_err(|e| {
        Error::new(Code::InvalidInput, format!("RUST_LOG is “{wanted}”, which is not a log filter: {e}"))
            .hint("Use something like RUST_LOG=info or RUST_LOG=info,forge_core=trace, or unset it.")
    })
}

fn file(dir: &std::path::Path) -> Result<(tracing_appender::non_blocking::NonBlocking, WorkerGuard)> {
    std::fs::create_dir_all(dir).map_err(|e| {
        Error::from(e)
            .context(format!("The log folder {}", dir.display()))
            .hint("FORGE_HOME must be a folder that you may write, or a place where one can be made.")
    })?;
    let appender = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("forge")
        .filename_suffix("jsonl")
        .max_log_files(DAYS_KEPT)
        .build(dir)
        .map_err(|e| Error::new(Code::Io, format!("The log in {} cannot be written: {e}", dir.display())))?;
    Ok(tracing_appender::non_blocking(appender))
}

/// One JSON object per event: `ts`, `level`, `target`, `message`, then the fields of the spans around it (outermost
/// first, `correlation` among them) and its own.
struct JsonLines<W> {
    out: W,
}

impl<W> JsonLines<W> {
    fn new(out: W) -> Self {
        Self { out }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        let name = field.name().strip_prefix("r#").unwrap_or(field.name());
        let value = if secret_name(name) { Value::from(MASK) } else { value };
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, redact(&format!("{value:?}")).into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, redact(value).into());
    }
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, redact(&value.to_string()).into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'a> MakeWriter<'a> + 'static,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, ctx: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = ctx.span(id) {
            span.extensions_mut().replace(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, ctx: Context<'_, S>) {
        if let Some(span) = ctx.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, ctx: Context<'_, S>) {
        let meta = event.metadata();
        let mut line = Map::new();
        line.insert("ts".into(), jiff::Timestamp::now().to_string().into());
        line.insert("level".into(), meta.level().to_string().into());
        line.insert("target".into(), meta.target().into());
        let mut own = Fields::default();
        event.record(&mut own);
        line.insert("message".into(), own.0.remove("message").unwrap_or_else(|| "".into()));
        for span in ctx.event_scope(event).into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<Fields>() {
                line.extend(fields.0.clone());
            }
        }
        line.extend(own.0);
        let mut bytes = Value::Object(line).to_string().into_bytes();
        bytes.push(b'\n');
        // A log that cannot be written has nowhere to say so; the work goes on.
        let _full_disk = self.out.make_writer_for(meta).write_all(&bytes);
    }
}

/// Writes what it is given without its secrets. The formatter hands over whole lines.
pub struct Redacting<M>(pub M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacting<M> {
    type Writer = RedactingWriter<M::Writer>;
    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter(self.0.make_writer())
    }
}

/// What [`Redacting`] writes with.
pub struct RedactingWriter<W>(W);

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.write_all(redact(&String::from_utf8_lossy(line)).as_bytes())?;
        Ok(line.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn lines(dir: &std::path::Path) -> Vec<Value> {
        let mut files: Vec<_> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        let path = files.remove(0);
        assert!(path.extension().is_some_and(|e| e == "jsonl"));
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// Runs `work` with the JSON log and the human log set up as `init` does, and returns both.
    fn logged(filter_text: Option<&str>, work: impl FnOnce()) -> (Vec<Value>, String) {
        let dir = tempfile::tempdir().unwrap();
        let shown = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (out, guard) = file(dir.path()).unwrap();
        struct Shared(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);
        impl Write for Shared {
            fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
                self.0.lock().unwrap().write(b)
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let sink = shown.clone();
        let human =
            tracing_subscriber::fmt::layer().with_ansi(false).with_writer(Redacting(move || Shared(sink.clone())));
        let subscriber = Registry::default()
            .with(own_details())
            .with(wanted(filter_text, DEFAULT_FILTER).unwrap())
            .with(JsonLines::new(out))
            .with(human);
        tracing::subscriber::with_default(subscriber, work);
        drop(guard);
        let human = String::from_utf8(shown.lock().unwrap().clone()).unwrap();
        (lines(dir.path()), human)
    }

    #[test]
    fn lines_carry_the_correlation_of_the_outermost_span_and_all_fields() {
        let (lines, human) = logged(Some("debug"), || {
            let _request = span("c-42").entered();
            let inner = tracing::info_span!("launch", run = "abc", ms = tracing::field::Empty).entered();
            inner.record("ms", 7_u64);
            tracing::info!(node = "h1", ok = true, "started");
        });
        let line = &lines[0];
        assert_eq!(line["correlation"], "c-42");
        assert_eq!(line["run"], "abc");
        assert_eq!(line["ms"], 7);
        assert_eq!(line["node"], "h1");
        assert_eq!(line["ok"], true);
        assert_eq!(line["message"], "started");
        assert_eq!(line["level"], "INFO");
        assert!(line["ts"].as_str().unwrap().ends_with('Z'));
        assert!(human.contains("started") && human.contains("c-42"));
    }

    #[test]
    fn no_secret_reaches_either_log() {
        let secrets = ["hunter2", "MC4CAQAwBQYDK2Vw", "eyJqdGkiOiJ4In0", "s3cr3t-cookie", "Zm9vYmFyYmF6"];
        let (lines, human) = logged(Some("trace"), || {
            let _request = tracing::info_span!("login", password = secrets[0]).entered();
            tracing::info!(token = "Zm9vYmFyYmF6", "password={}", secrets[0]);
            tracing::warn!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", secrets[1]);
            tracing::error!(detail = ?("token", "v4.public.eyJqdGkiOiJ4In0"), "sat v4.public.{}", secrets[2]);
            tracing::debug!(headers = ?[("Cookie: s3cr3t-cookie")], url = "http://x/?token=Zm9vYmFyYmF6", "sent");
        });
        assert_eq!(lines.len(), 4);
        let json = serde_json::to_string(&lines).unwrap();
        for secret in secrets {
            assert!(!json.contains(secret), "{secret} in {json}");
            assert!(!human.contains(secret), "{secret} in {human}");
        }
        assert!(json.contains(MASK));
    }

    #[test]
    fn what_others_say_in_detail_is_not_written_whatever_is_asked_for() {
        let (lines, human) = logged(Some("trace,bollard=trace,hyper=debug,forge_core=trace"), || {
            let body = r#"{"Cmd":["sshpass","-p","Xk29vTqp"]}"#;
            tracing::debug!(target: "bollard::docker", "Decoded into string: {body}");
            tracing::trace!(target: "hyper::proto::h1", payload = body);
            tracing::debug!(target: "forge_corelike", body);
            let _span = tracing::debug_span!(target: "h2::client", "request", body).entered();
            tracing::warn!(target: "bollard::docker", "the connection was closed");
            tracing::trace!("ours");
        });
        let told: Vec<_> = lines.iter().map(|l| l["message"].as_str().unwrap()).collect();
        assert_eq!(told, ["the connection was closed", "ours"]);
        let json = serde_json::to_string(&lines).unwrap();
        assert!(!json.contains("Xk29vTqp") && !human.contains("Xk29vTqp"), "{json}\n{human}");
    }

    #[test]
    fn rust_log_is_honoured_and_nonsense_in_it_is_an_error() {
        let (lines, _) = logged(Some("warn"), || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        });
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0]["message"], "loud");
        assert_eq!(wanted(Some("a=b=c=!"), "info").unwrap_err().code, Code::InvalidInput);
        assert!(wanted(Some("  "), "info").is_ok());
    }

    #[test]
    fn seven_days_are_kept_and_other_files_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        for day in 10..22 {
            std::fs::write(dir.path().join(format!("forge.2020-01-{day}.jsonl")), "").unwrap();
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        std::fs::write(dir.path().join("notes.txt"), "").unwrap();
        drop(file(dir.path()).unwrap());
        let names: Vec<String> =
            std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(names.iter().filter(|n| n.ends_with(".jsonl")).count(), DAYS_KEPT, "{names:?}");
        assert!(names.contains(&"notes.txt".to_owned()) && names.contains(&"forge.2020-01-21.jsonl".to_owned()));
        assert!(!names.contains(&"forge.2020-01-10.jsonl".to_owned()));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let blocked = dir.path().join("file");
        std::fs::write(&blocked, "x").unwrap();
        assert!(file(&blocked.join("logs")).is_err());
    }
}
