//! Running checks against a lab that is only a script: retries, cancelling, restoring, batching, streaming.

use crate::api::OutcomeKind::{Error as Errored, Fail, NotChecked, Pass};
use crate::check::vantage::{Output, Vantage};
use crate::check::{Options, Report, run};
use crate::error::{Code, Error, Result};
use crate::template::scenario::{Criterion, Disturbance, From};
use async_trait::async_trait;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A lab in which pings are answered from the n-th attempt on, and every call is written down.
#[derive(Default)]
struct FakeVantage {
    log: Mutex<Vec<String>>,
    pings: Mutex<u32>,
    /// Pings before this one get no answer.
    from_ping: u32,
    delay: Duration,
    disturb_fails: bool,
    undo_fails: Mutex<u32>,
}

impl FakeVantage {
    fn note(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }
    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
    fn count(&self, what: &str) -> usize {
        self.log().iter().filter(|l| l.starts_with(what)).count()
    }
    fn answer(&self, script: &str) -> Output {
        let text = if script.starts_with("ping") {
            let mut n = self.pings.lock().unwrap();
            *n += 1;
            if *n > self.from_ping { "1 packets transmitted, 1 received" } else { "1 packets transmitted, 0 received" }
        } else {
            "LISTEN 0 1 0.0.0.0:22 0.0.0.0:*"
        };
        Output { exit: i32::from(text.contains(", 0 received")), stdout: text.into(), ..Output::default() }
    }
}

#[async_trait]
impl Vantage for FakeVantage {
    async fn look(&self, from: &From, script: &str, _: &[u8], _: Duration) -> Result<Output> {
        self.note(format!("look {from:?}"));
        tokio::time::sleep(self.delay).await;
        Ok(self.answer(script))
    }
    async fn look_many(&self, from: &From, scripts: &[String], _: Duration) -> Result<Vec<Output>> {
        self.note(format!("many {from:?} {}", scripts.len()));
        tokio::time::sleep(self.delay).await;
        Ok(scripts.iter().map(|s| self.answer(s)).collect())
    }
    async fn inside(&self, _: &str, _: &[String], _: Duration) -> Result<Output> {
        Err(Error::new(Code::Denied, "no"))
    }
    async fn read_file(&self, node: &str, _: &str, _: usize) -> Result<Option<Vec<u8>>> {
        match node {
            "down" => Err(Error::new(Code::WrongState, "down is not running")),
            _ => Ok(Some(b"hello\n".to_vec())),
        }
    }
    async fn read_tree(&self, _: &str, _: &str, _: usize) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(vec![("/etc/x".into(), b"x".to_vec())])
    }
    async fn capture(&self, _: &str, _: &str, wait: Duration) -> Result<Output> {
        tokio::time::sleep(wait).await;
        Ok(Output::default())
    }
    fn nodes(&self) -> Vec<String> {
        vec!["pc".into()]
    }
    async fn disturb(&self, what: &Disturbance) -> Result<()> {
        self.note(format!("disturb {what:?}"));
        if self.disturb_fails { Err(Error::new(Code::WrongState, "no such link")) } else { Ok(()) }
    }
    async fn undo(&self, what: &Disturbance) -> Result<()> {
        self.note(format!("undo {what:?}"));
        let mut fails = self.undo_fails.lock().unwrap();
        if *fails == 0 {
            return Ok(());
        }
        *fails -= 1;
        Err(Error::new(Code::Timeout, "not yet"))
    }
}

fn criterion(id: &str, evidence: serde_json::Value) -> Criterion {
    serde_json::from_value(json!({"id":id,"title":id,"weight":2,"evidence":evidence,"failed":"{{seen}}. Look."}))
        .unwrap()
}

fn ping(within_ms: u64, after: serde_json::Value) -> serde_json::Value {
    json!([{"after":after,"within_ms":within_ms,"probe":{"probe":"ping","from":{"node":"pc"},"to":"10.0.0.2"}}])
}

fn port(node: &str, port: u16) -> serde_json::Value {
    json!({"after":null,"within_ms":0,"probe":{"probe":"listening","node":node,"proto":"tcp","port":port}})
}

fn cut() -> serde_json::Value {
    json!({"cut":"a-b"})
}

async fn check(v: &Arc<FakeVantage>, criteria: &[Criterion], options: &Options) -> Result<Report> {
    run(v.clone(), criteria, options).await
}

#[tokio::test]
async fn asks_again_until_it_passes_or_time_is_up() {
    let v = Arc::new(FakeVantage { from_ping: 2, ..Default::default() });
    let report = check(&v, &[criterion("c", ping(5000, json!(null)))], &Options::default()).await.unwrap();
    assert_eq!((report.outcomes[0].outcome, report.findings[0].attempts), (Pass, 3));
    let v = Arc::new(FakeVantage { from_ping: 99, ..Default::default() });
    let report = check(&v, &[criterion("c", ping(500, json!(null)))], &Options::default()).await.unwrap();
    assert_eq!(report.outcomes[0].outcome, Fail);
    assert!(report.findings[0].attempts >= 2);
    assert_eq!(report.outcomes[0].advice, "no answer came back. Look.");
    let v = Arc::new(FakeVantage { from_ping: 99, ..Default::default() });
    let report = check(&v, &[criterion("c", ping(0, json!(null)))], &Options::default()).await.unwrap();
    assert_eq!(report.findings[0].attempts, 1);
}

#[tokio::test]
async fn one_round_trip_per_place_and_all_places_at_once() {
    let v = Arc::new(FakeVantage { delay: Duration::from_millis(150), ..Default::default() });
    let criteria: Vec<Criterion> = (0..5)
        .map(|n| {
            let node = format!("n{n}");
            criterion(&node, json!((0..4).map(|_| port(&node, 22)).collect::<Vec<_>>()))
        })
        .collect();
    let began = std::time::Instant::now();
    let report = check(&v, &criteria, &Options::default()).await.unwrap();
    assert!(report.outcomes.iter().all(|o| o.outcome == Pass));
    assert_eq!((v.count("many"), v.count("look")), (5, 0), "{:?}", v.log());
    assert!(began.elapsed() < Duration::from_millis(600), "places were asked one after another");
    assert_eq!((report.score, report.max), (10_000, 10_000));
}

#[tokio::test]
async fn gentle_first_then_one_disturbance_at_a_time_each_undone() {
    let v = Arc::new(FakeVantage::default());
    let criteria = [
        criterion("rough1", ping(0, cut())),
        criterion("calm", json!([port("pc", 22)])),
        criterion("rough2", ping(0, json!({"restart":{"node":"r1"}}))),
    ];
    let told = Arc::new(Mutex::new(Vec::new()));
    let ear = told.clone();
    let options =
        Options { on_outcome: Some(Arc::new(move |o| ear.lock().unwrap().push(o.id.clone()))), ..Default::default() };
    let report = check(&v, &criteria, &options).await.unwrap();
    let order: Vec<String> = v.log().iter().map(|l| l.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(order, ["look", "disturb", "look", "undo", "look", "disturb", "look", "undo", "look"]);
    assert_eq!(*told.lock().unwrap(), ["calm", "rough1", "rough2"]);
    let ids: Vec<&str> = report.outcomes.iter().map(|o| o.id.as_str()).collect();
    assert_eq!(ids, ["rough1", "calm", "rough2"]);
    assert!(report.unrestored.is_empty());
}

#[tokio::test]
async fn gentle_leaves_disturbing_criteria_out() {
    let v = Arc::new(FakeVantage::default());
    let options = Options { gentle: true, ..Default::default() };
    let report = check(&v, &[criterion("rough", ping(0, cut()))], &options).await.unwrap();
    assert_eq!(report.outcomes[0].outcome, NotChecked);
    assert!(v.log().is_empty());
}

#[tokio::test]
async fn a_failed_disturbance_is_an_error_and_is_undone() {
    let v = Arc::new(FakeVantage { disturb_fails: true, ..Default::default() });
    let report = check(&v, &[criterion("rough", ping(0, cut()))], &Options::default()).await.unwrap();
    assert_eq!(report.outcomes[0].outcome, Errored);
    assert!(report.outcomes[0].seen.contains("no such link"), "{:?}", report.outcomes[0]);
    assert_eq!((v.count("undo"), v.count("look")), (1, 0));
}

#[tokio::test]
async fn what_cannot_be_undone_is_told_and_stops_further_harm() {
    let v = Arc::new(FakeVantage { undo_fails: Mutex::new(3), ..Default::default() });
    let criteria = [criterion("a", ping(0, cut())), criterion("b", ping(0, cut()))];
    let report = check(&v, &criteria, &Options::default()).await.unwrap();
    assert_eq!(report.unrestored.len(), 1);
    assert_eq!(v.count("disturb"), 1);
    assert_eq!(report.outcomes[1].outcome, Errored);
    let v = Arc::new(FakeVantage { undo_fails: Mutex::new(2), ..Default::default() });
    let report = check(&v, &criteria, &Options::default()).await.unwrap();
    assert!(report.unrestored.is_empty());
    assert_eq!(report.outcomes[1].outcome, Pass);
}

#[tokio::test]
async fn cancelling_ends_soon_and_restores() {
    for disturbing in [false, true] {
        let v = Arc::new(FakeVantage { from_ping: 999, ..Default::default() });
        let after = if disturbing { cut() } else { json!(null) };
        let options = Options::default();
        let stop = options.cancel.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.cancel();
        });
        let began = std::time::Instant::now();
        let result = check(&v, &[criterion("c", ping(60_000, after))], &options).await;
        assert_eq!(result.unwrap_err().code, Code::Cancelled);
        assert!(began.elapsed() < Duration::from_secs(2));
        assert_eq!(v.count("undo"), usize::from(disturbing));
    }
}

#[tokio::test]
async fn a_check_that_is_dropped_half_way_still_restores() {
    let v = Arc::new(FakeVantage { from_ping: 999, ..Default::default() });
    let criteria = [criterion("c", ping(60_000, cut()))];
    let (vantage, seen) = (v.clone(), v.clone());
    let task = tokio::spawn(async move { run(vantage, &criteria, &Options::default()).await });
    while seen.count("disturb") == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    task.abort();
    drop(task.await);
    tokio::time::timeout(Duration::from_secs(2), async {
        while seen.count("undo") == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the lab stayed disturbed");
}

#[tokio::test]
async fn hints_cost_and_down_nodes_are_errors() {
    let v = Arc::new(FakeVantage::default());
    let file = |node: &str| json!([{"after":null,"within_ms":0,"probe":{"probe":"file","node":node,"path":"/x","matches":"hello"}}]);
    let criteria = [criterion("a", file("pc")), criterion("b", file("down")), criterion("c", json!([]))];
    let hint_costs = BTreeMap::from([("a".to_owned(), 500)]);
    let report = check(&v, &criteria, &Options { hint_costs, ..Default::default() }).await.unwrap();
    assert_eq!((report.score, report.max), (1500, 6000));
    assert_eq!(report.outcomes[1].outcome, Errored);
    assert!(report.outcomes[1].seen.contains("down is not running"));
    assert_eq!(report.outcomes[2].outcome, Errored);
    let options = Options { hint_costs: BTreeMap::from([("a".to_owned(), 99_000)]), ..Default::default() };
    assert_eq!(check(&v, &criteria, &options).await.unwrap().score, 0);
    let options = Options { only: ["nope".to_owned()].into(), ..Default::default() };
    assert_eq!(check(&v, &criteria, &options).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn evidence_is_collected_and_cuts_are_noted() {
    use crate::check::evidence::{Entry, Limits, NOTES, collect};
    let v = Arc::new(FakeVantage::default());
    let scenario = super::example_scenario();
    let report = check(&v, &scenario.criteria, &Options::default()).await.unwrap();
    let given = vec![
        Entry::new("terminals/1.cast", "terminal", vec![b'x'; 2000]),
        Entry::new("../escape", "terminal", vec![]),
        Entry::new("scenario.json", "scenario", vec![]),
    ];
    let limits = Limits { entry: 1000, ..Limits::default() };
    let entries = collect(&*v, &scenario, &report.findings, given, limits).await.unwrap();
    let paths: Vec<&str> = entries.iter().map(|e| e.path.as_str()).collect();
    assert!(paths.contains(&"nodes/pc/files/etc/x") && paths.contains(&"nodes/pc/state/routes.json"), "{paths:?}");
    assert!(!paths.contains(&"../escape"));
    let notes: Vec<String> = serde_json::from_slice(&entries.iter().find(|e| e.path == NOTES).unwrap().bytes).unwrap();
    assert_eq!(notes.len(), 3, "{notes:?}");
    assert_eq!(entries.iter().find(|e| e.path == "terminals/1.cast").unwrap().bytes.len(), 1000);
    let tiny = Limits { total: 10, ..Limits::default() };
    assert_eq!(collect(&*v, &scenario, &report.findings, vec![], tiny).await.unwrap_err().code, Code::TooLarge);
}

/// A lab that needs a while after a cut: its port closes with the cut and opens again on the third look after the undo.
#[tokio::test]
async fn the_lab_is_given_back_as_it_was_found() {
    struct Slow(FakeVantage, Mutex<u32>);
    #[async_trait]
    impl Vantage for Slow {
        async fn look(&self, from: &From, script: &str, stdin: &[u8], limit: Duration) -> Result<Output> {
            let mut answer = self.0.look(from, script, stdin, limit).await?;
            let mut shut = self.1.lock().unwrap();
            if !script.starts_with("ping") && *shut > 0 {
                *shut -= 1;
                answer.stdout.clear();
            }
            Ok(answer)
        }
        async fn look_many(&self, _: &From, _: &[String], _: Duration) -> Result<Vec<Output>> {
            Err(Error::internal("one question is no batch"))
        }
        async fn inside(&self, n: &str, a: &[String], l: Duration) -> Result<Output> {
            self.0.inside(n, a, l).await
        }
        async fn read_file(&self, n: &str, p: &str, m: usize) -> Result<Option<Vec<u8>>> {
            self.0.read_file(n, p, m).await
        }
        async fn read_tree(&self, n: &str, d: &str, m: usize) -> Result<Vec<(String, Vec<u8>)>> {
            self.0.read_tree(n, d, m).await
        }
        async fn capture(&self, l: &str, f: &str, w: Duration) -> Result<Output> {
            self.0.capture(l, f, w).await
        }
        fn nodes(&self) -> Vec<String> {
            self.0.nodes()
        }
        async fn disturb(&self, what: &Disturbance) -> Result<()> {
            *self.1.lock().unwrap() = 3;
            self.0.disturb(what).await
        }
        async fn undo(&self, what: &Disturbance) -> Result<()> {
            self.0.undo(what).await
        }
    }
    let v = Arc::new(Slow(FakeVantage::default(), Mutex::new(0)));
    let criteria = [criterion("calm", json!([port("pc", 22)])), criterion("rough", ping(0, cut()))];
    for _ in 0..2 {
        let report = run(v.clone(), &criteria, &Options::default()).await.unwrap();
        assert_eq!(report.score, report.max, "{:?}", report.outcomes);
    }
    assert_eq!(*v.1.lock().unwrap(), 0);
}

#[tokio::test]
async fn unseen_hosts_with_one_address_take_turns() {
    #[derive(Default)]
    struct Busy(Mutex<(u32, u32)>);
    impl Busy {
        fn most(&self) -> u32 {
            self.0.lock().unwrap().1
        }
    }
    let busy = Arc::new(Busy::default());
    let lanes = Arc::new(crate::check::lanes::Lanes::default());
    let probe = |address: &str, to: &str| -> crate::template::scenario::Probe {
        let from = json!({"unseen":{"segment":"lan","address":address}});
        serde_json::from_value(json!({"probe":"ssh","from":from,"to":to,"user":"a","accepted":true})).unwrap()
    };
    let go = |address: String, to: String| {
        let (busy, lanes) = (busy.clone(), lanes.clone());
        let probe = probe(&address, &to);
        tokio::spawn(async move {
            let ask = crate::check::ask::question(&probe).ask;
            let _turn = lanes.turn(&ask, &probe).await;
            {
                let mut b = busy.0.lock().unwrap();
                b.0 += 1;
                b.1 = b.1.max(b.0);
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
            busy.0.lock().unwrap().0 -= 1;
        })
    };
    for t in (0..4).map(|n| go("10.0.0.7/24".into(), format!("10.0.1.{n}"))).collect::<Vec<_>>() {
        t.await.unwrap();
    }
    assert_eq!(busy.most(), 1, "one address was on the segment twice");
    for t in (0..6).map(|n| go(format!("10.0.0.{n}/24"), "10.0.1.1".into())).collect::<Vec<_>>() {
        t.await.unwrap();
    }
    assert_eq!(busy.most(), 2, "too many logins at once, or none beside another");
}

/// A node whose files are as long as their names say.
struct Files(FakeVantage);

#[async_trait]
impl Vantage for Files {
    async fn look(&self, from: &From, script: &str, stdin: &[u8], limit: Duration) -> Result<Output> {
        assert!(script.contains("vtysh --vty_socket \"/proc/$NODE_PID/root/run/frr\""), "{script}");
        let truncated = matches!(from, From::Node(n) if n == "long");
        let found = self.0.look(from, script, stdin, limit).await?;
        Ok(Output { stdout: "router ospf\n".into(), truncated, ..found })
    }
    async fn look_many(&self, from: &From, scripts: &[String], limit: Duration) -> Result<Vec<Output>> {
        self.0.look_many(from, scripts, limit).await
    }
    async fn inside(&self, _: &str, _: &[String], _: Duration) -> Result<Output> {
        panic!("nothing of the learner's is run")
    }
    async fn read_file(&self, _: &str, path: &str, _: usize) -> Result<Option<Vec<u8>>> {
        let long: Option<usize> = path.rsplit('/').next().unwrap().parse().ok();
        Ok(long.map(|n| vec![b'x'; n]))
    }
    async fn read_tree(&self, _: &str, _: &str, _: usize) -> Result<Vec<(String, Vec<u8>)>> {
        Ok(vec![("/etc/x".into(), vec![b'y'; 4000])])
    }
    async fn capture(&self, _: &str, _: &str, _: Duration) -> Result<Output> {
        unreachable!()
    }
    fn nodes(&self) -> Vec<String> {
        Vec::new()
    }
    async fn disturb(&self, _: &Disturbance) -> Result<()> {
        unreachable!()
    }
    async fn undo(&self, _: &Disturbance) -> Result<()> {
        unreachable!()
    }
}

#[tokio::test]
async fn a_submitted_file_is_whole_or_not_there() {
    use crate::check::evidence::{Limits, NOTES, SUBMITTED_MAX, collect};
    let mut scenario = super::example_scenario();
    let file =
        |node: &str, path: String, running: serde_json::Value| json!({"node": node, "path": path, "running": running});
    let (fits, over) = (SUBMITTED_MAX, SUBMITTED_MAX + 1);
    scenario.reexecution = serde_json::from_value(json!({"kind": "carry", "renumber": [], "files": [
        file("pc", "/etc/5".into(), json!(null)), file("pc", format!("/etc/{fits}"), json!(null)), file("pc", format!("/etc/{over}"), json!(null)),
        file("pc", "/etc/0".into(), json!(null)), file("pc", "/etc/none".into(), json!(null)),
        file("pc", "/etc/frr/frr.conf".into(), json!("frr")), file("long", "/etc/frr/frr.conf".into(), json!("frr")),
    ]}))
    .unwrap();
    // Room for what was submitted and a little more: the rest of the node is what is cut.
    let limits = Limits { entry: 512 << 10, tree: 4 << 20, total: SUBMITTED_MAX + 4096 };
    let entries = collect(&Files(FakeVantage::default()), &scenario, &[], Vec::new(), limits).await.unwrap();
    let kept: Vec<(&str, usize)> =
        entries.iter().filter(|e| e.kind == "submitted").map(|e| (e.path.as_str(), e.bytes.len())).collect();
    let longest = format!("nodes/pc/submitted/etc/{fits}");
    let wanted =
        [(longest.as_str(), fits), ("nodes/pc/submitted/etc/5", 5), ("nodes/pc/submitted/etc/frr/frr.conf", 12)];
    assert_eq!(kept, wanted);
    let notes = String::from_utf8(entries.iter().find(|e| e.path == NOTES).unwrap().bytes.clone()).unwrap();
    for left in
        [format!("/etc/{over}"), "/etc/0".into(), "/etc/none".into(), "nodes/long/submitted/etc/frr/frr.conf".into()]
    {
        assert!(notes.contains(&left), "{left} is not among {notes}");
    }
}
