//! Numbers for Prometheus. Every label takes its values from a list in this program, never from a request.

use crate::store::Store;
use forge_core::api::TrustTier;
use forge_core::board::{JobState, RefusalCode};
use prometheus_client::encoding::{EncodeLabelSet, text::encode};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    route: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Route {
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Tier {
    tier: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Standing {
    state: &'static str,
}

pub struct Metrics {
    registry: Registry,
    requests: Family<Answer, Counter>,
    seconds: Family<Route, Histogram, fn() -> Histogram>,
    accepted: Family<Tier, Counter>,
    pub duplicates: Counter,
    refused: Family<Reason, Counter>,
    pub evidence_bytes: Counter,
    reexecutions: Family<Standing, Gauge>,
    pub listeners: Gauge,
    pub events: Counter,
    pub resets: Counter,
    commits: Gauge,
    jobs: Gauge,
    commit_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    failures: Gauge,
    pub export: Export,
}

/// What NATS is told. Nothing is ever dropped: what is late is pending.
#[derive(Clone, Default)]
pub struct Export {
    pub configured: Gauge,
    pub connected: Gauge,
    pub pending: Gauge,
    pub published: Counter,
    pub failures: Counter,
}

impl Export {
    fn register(&self, registry: &mut Registry) {
        registry.register("export_configured", "1 when events are to be told to NATS", self.configured.clone());
        registry.register("export_connected", "1 while NATS is reached", self.connected.clone());
        registry.register("export_pending", "Events that NATS has not acknowledged yet", self.pending.clone());
        registry.register("export_published", "Events that NATS has acknowledged", self.published.clone());
        registry.register("export_failures", "Times that NATS could not be reached or told", self.failures.clone());
    }
}

fn buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0])
}

pub fn tier_word(tier: TrustTier) -> &'static str {
    match tier {
        TrustTier::SelfAttested => "self-attested",
        TrustTier::InstructorSeeded => "instructor-seeded",
        TrustTier::ReGraded => "re-graded",
        TrustTier::ReExecuted => "re-executed",
    }
}

impl Metrics {
    pub fn new(database: &'static str) -> Self {
        let mut registry = Registry::with_prefix("forge_scoreboard");
        let info = Info::new(vec![("version", env!("CARGO_PKG_VERSION")), ("database", database)]);
        registry.register("build", "What runs here", info);
        let metrics = Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(buckets as fn() -> Histogram),
            accepted: Family::default(),
            duplicates: Counter::default(),
            refused: Family::default(),
            evidence_bytes: Counter::default(),
            reexecutions: Family::default(),
            listeners: Gauge::default(),
            events: Counter::default(),
            resets: Counter::default(),
            commits: Gauge::default(),
            jobs: Gauge::default(),
            commit_seconds: Gauge::default(),
            failures: Gauge::default(),
            export: Export::default(),
            registry: Registry::default(),
        };
        registry.register("requests", "Answered requests by route and class of status", metrics.requests.clone());
        registry.register("request_seconds", "How long an answer took", metrics.seconds.clone());
        registry.register("accepted", "Verdicts accepted, by tier", metrics.accepted.clone());
        registry.register("duplicates", "Submissions of verdicts that were there already", metrics.duplicates.clone());
        registry.register("refused", "Requests refused, by code", metrics.refused.clone());
        registry.register("evidence_bytes", "Bytes of bundles accepted", metrics.evidence_bytes.clone());
        registry.register("reexecutions", "Verdicts to be executed again, by state", metrics.reexecutions.clone());
        registry.register("listeners", "Open live streams", metrics.listeners.clone());
        registry.register("events", "Live events told, once each", metrics.events.clone());
        registry.register(
            "resets",
            "Live streams that were too slow and were told to load anew",
            metrics.resets.clone(),
        );
        registry.register("store_commits", "Transactions committed since the start", metrics.commits.clone());
        registry.register("store_jobs", "Jobs committed since the start", metrics.jobs.clone());
        registry.register(
            "store_commit_seconds",
            "Time spent in commits since the start",
            metrics.commit_seconds.clone(),
        );
        registry.register("store_failures", "Jobs that failed since the start", metrics.failures.clone());
        metrics.export.register(&mut registry);
        // A counter that appears with its first refusal cannot be alerted on before.
        for code in RefusalCode::ALL {
            metrics.refused.get_or_create(&Reason { code: code.as_str() }).inc_by(0);
        }
        for tier in crate::store::verdicts::TIERS {
            metrics.accepted.get_or_create(&Tier { tier: tier_word(tier) }).inc_by(0);
        }
        Self { registry, ..metrics }
    }

    /// `route` is one of the routes' own patterns.
    pub fn answered(&self, route: &'static str, status: u16, took: Duration) {
        let status = match status / 100 {
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&Answer { route, status }).inc();
        self.seconds.get_or_create(&Route { route }).observe(took.as_secs_f64());
    }

    pub fn accepted(&self, tier: TrustTier) {
        self.accepted.get_or_create(&Tier { tier: tier_word(tier) }).inc();
    }

    pub fn refused(&self, code: RefusalCode) {
        self.refused.get_or_create(&Reason { code: code.as_str() }).inc();
    }

    /// How many are in each state; none in one that is not named.
    pub fn reexecutions(&self, tallies: &[(JobState, i64)]) {
        for state in JobState::ALL {
            let count = tallies.iter().find(|(s, _)| *s == state).map_or(0, |(_, n)| *n);
            self.reexecutions.get_or_create(&Standing { state: state.word() }).set(count);
        }
    }

    /// The text of `/metrics` (OpenMetrics 1.0).
    pub fn text(&self, store: &Store) -> String {
        let gauge = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let figures = store.figures();
        self.commits.set(gauge(figures.commits.load(Ordering::Relaxed)));
        self.jobs.set(gauge(figures.jobs.load(Ordering::Relaxed)));
        self.commit_seconds.set(figures.commit_micros.load(Ordering::Relaxed) as f64 / 1e6);
        self.failures.set(gauge(figures.failures.load(Ordering::Relaxed)));
        let mut out = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut out, &self.registry);
        out
    }
}
