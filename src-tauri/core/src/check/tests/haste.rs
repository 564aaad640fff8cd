//! Running checks against a lab that is played: what is asked, how long, and what is left alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use crate::api::OutcomeKind;
use crate::check::grade::grade;
use crate::check::run::{Options, run};
use crate::check::vantage::{Output, Vantage};
use crate::error::Result;
use crate::template::scenario::{Criterion, Disturbance, Evidence, From, Probe};
use async_trait::async_trait;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::time::Instant;

/// Answers pings from the nodes named, and no logins; counts what is done to it.
#[derive(Default)]
struct Played {
    answering: Vec<&'static str>,
    disturbed: AtomicUsize,
    undone: AtomicUsize,
    logins: AtomicUsize,
    most_logins: AtomicUsize,
    /// How often the name server still says that it is loading its zone.
    loading: AtomicUsize,
}

#[async_trait]
impl Vantage for Played {
    async fn look(&self, from: &From, script: &str, _: &[u8], _: Duration) -> Result<Output> {
        if script.contains("ssh") {
            self.most_logins.fetch_max(self.logins.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.logins.fetch_sub(1, SeqCst);
            let stderr = "x@10.0.0.1: Permission denied (publickey).\n".to_owned();
            return Ok(Output { stderr, ..Output::default() });
        }
        if script.contains("dig") {
            let loading = self.loading.fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok();
            let status = if loading { "SERVFAIL" } else { "NOERROR" };
            let stdout = format!(";; ->>HEADER<<- opcode: QUERY, status: {status}, id: 7\n;; flags: qr aa; QUERY: 1\n");
            return Ok(Output { stdout, ..Output::default() });
        }
        let up = matches!(from, From::Node(n) if self.answering.contains(&n.as_str()));
        let stdout = format!("1 packets transmitted, {} received, 0% packet loss\n", u8::from(up));
        Ok(Output { exit: i32::from(!up), stdout, ..Output::default() })
    }

    async fn look_many(&self, from: &From, scripts: &[String], limit: Duration) -> Result<Vec<Output>> {
        let mut all = Vec::new();
        for script in scripts {
            all.push(self.look(from, script, &[], limit).await?);
        }
        Ok(all)
    }

    async fn inside(&self, _: &str, _: &[String], _: Duration) -> Result<Output> {
        unreachable!("no probe here asks inside")
    }

    async fn read_file(&self, _: &str, _: &str, _: usize) -> Result<Option<Vec<u8>>> {
        unreachable!("no probe here reads a file")
    }

    async fn read_tree(&self, _: &str, _: &str, _: usize) -> Result<Vec<(String, Vec<u8>)>> {
        unreachable!("no probe here reads a tree")
    }

    async fn capture(&self, _: &str, _: &str, _: Duration) -> Result<Output> {
        unreachable!("no probe here captures")
    }

    fn nodes(&self) -> Vec<String> {
        Vec::new()
    }

    async fn disturb(&self, _: &Disturbance) -> Result<()> {
        self.disturbed.fetch_add(1, SeqCst);
        Ok(())
    }

    async fn undo(&self, _: &Disturbance) -> Result<()> {
        self.undone.fetch_add(1, SeqCst);
        Ok(())
    }
}

fn to() -> IpAddr {
    IpAddr::from([10, 0, 0, 1])
}

fn ping(from: &str, within_s: u64, after: Option<Disturbance>) -> Evidence {
    Evidence {
        after,
        within_ms: within_s * 1000,
        probe: Probe::Ping { from: From::Node(from.into()), to: to(), reaches: true },
    }
}

fn cut() -> Option<Disturbance> {
    Some(Disturbance::Cut("a-b".into()))
}

fn criterion(evidence: Vec<Evidence>) -> Criterion {
    Criterion { id: "one".into(), title: "One".into(), weight: 1, evidence, failed: String::new() }
}

#[tokio::test]
async fn what_has_failed_disturbs_nothing_more() {
    let lab = Arc::new(Played { answering: vec!["up"], ..Played::default() });
    let c = criterion(vec![ping("down", 0, None), ping("up", 60, cut()), ping("up", 60, cut())]);
    let report = run(lab.clone(), std::slice::from_ref(&c), &Options::default()).await.unwrap();
    assert_eq!((report.outcomes[0].outcome, report.findings.len()), (OutcomeKind::Fail, 1));
    assert_eq!(lab.disturbed.load(SeqCst), 0);
    // Graded again from what was observed, it is the same.
    assert_eq!(grade(&c, &report.findings).outcome, OutcomeKind::Fail);

    let c = criterion(vec![ping("up", 0, None), ping("down", 0, cut()), ping("up", 60, cut())]);
    let report = run(lab.clone(), &[c], &Options::default()).await.unwrap();
    assert_eq!((report.outcomes[0].outcome, report.findings.len()), (OutcomeKind::Fail, 2));
    assert_eq!((lab.disturbed.load(SeqCst), lab.undone.load(SeqCst)), (1, 1));

    let c = criterion(vec![ping("up", 0, None), ping("up", 60, cut())]);
    let report = run(lab.clone(), &[c], &Options::default()).await.unwrap();
    assert_eq!((report.outcomes[0].outcome, report.findings.len()), (OutcomeKind::Pass, 2));
}

// Real time: deadlines are kept by the system's clock.
#[tokio::test]
async fn what_has_failed_is_waited_for_no_longer() {
    let lab = Arc::new(Played { answering: vec!["up"], ..Played::default() });
    let c = criterion(vec![ping("slow", 60, None), ping("down", 0, None), ping("up", 60, None)]);
    let other = Criterion { id: "two".into(), ..criterion(vec![ping("up", 60, None)]) };
    let began = Instant::now();
    let report = run(lab.clone(), &[c.clone(), other], &Options::default()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert_eq!(report.outcomes.iter().map(|o| o.outcome).collect::<Vec<_>>(), [OutcomeKind::Fail, OutcomeKind::Pass]);
    assert_eq!(grade(&c, &report.findings).outcome, OutcomeKind::Fail);
    assert!(report.findings.iter().all(|f| (f.criterion.as_str(), f.index) != ("one", 0)));

    let patient = criterion(vec![ping("slow", 2, None)]);
    let report = run(lab.clone(), std::slice::from_ref(&patient), &Options::default()).await.unwrap();
    assert!(report.findings[0].attempts > 1);
    let at_once = Options { at_once: true, ..Options::default() };
    let report = run(lab, &[patient], &at_once).await.unwrap();
    assert_eq!((report.outcomes[0].outcome, report.findings[0].attempts), (OutcomeKind::Fail, 1));
}

#[tokio::test]
async fn few_logins_are_tried_at_a_time() {
    let login = |n: usize| Evidence {
        after: None,
        within_ms: 0,
        probe: Probe::Ssh {
            from: From::Node(format!("n{n}")),
            to: to(),
            port: 22,
            user: "x".into(),
            key: None,
            password: Some("y".into()),
            accepted: false,
            command: None,
            output: None,
        },
    };
    let lab = Arc::new(Played::default());
    let report = run(lab.clone(), &[criterion((0..12).map(login).collect())], &Options::default()).await.unwrap();
    assert_eq!(report.outcomes[0].outcome, OutcomeKind::Pass);
    assert_eq!(lab.most_logins.load(SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_is_loading_its_zone_is_asked_again() {
    let probe = serde_json::from_value(serde_json::json!(
        {"probe": "dns", "from": {"node": "pc"}, "server": "10.0.0.53", "name": "a.test", "rtype": "A"}
    ));
    let c = criterion(vec![Evidence { after: None, within_ms: 0, probe: probe.unwrap() }]);
    let lab = |n| Arc::new(Played { loading: AtomicUsize::new(n), ..Played::default() });
    let check = async |n, options| run(lab(n), std::slice::from_ref(&c), &options).await.unwrap();
    let report = check(2, Options::default()).await;
    assert_eq!((report.outcomes[0].outcome, report.findings[0].attempts), (OutcomeKind::Pass, 3));
    // Not for ever, and not while somebody asks again anyway.
    assert_eq!(check(999, Options::default()).await.outcomes[0].outcome, OutcomeKind::Fail);
    let report = check(2, Options { at_once: true, ..Options::default() }).await;
    assert_eq!((report.outcomes[0].outcome, report.findings[0].attempts), (OutcomeKind::Fail, 1));
}
