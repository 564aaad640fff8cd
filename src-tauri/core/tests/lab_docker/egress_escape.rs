//! The full proof of isolation on a lab that has one way out: the forty others stay shut, and every control works.

use crate::bed::*;
use crate::world::World;
use forge_core::api::*;
use forge_core::forge::{EgressOptions, Forge, Options};
use forge_core::shell::Shellable;

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_with_one_way_out_has_no_other() {
    let world = World::new().await;
    let home = tempfile::tempdir().unwrap();
    let egress = EgressOptions {
        resolvers: vec![format!("{}.53", world.net).parse().unwrap()],
        near: Some(vec![format!("{}.1/32", world.net).parse().unwrap()]),
    };
    let labs = Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/egress").into());
    let options = Options {
        home: home.path().into(),
        shell: "cli".into(),
        labs,
        keep: true,
        keeper: Vec::new(),
        egress,
        keys: Default::default(),
    };
    let forge = Forge::open(options).await.unwrap();
    let me = Caller { correlation: "test".into(), instructor: true };
    let text = "apiVersion: frostgate.forge/v1\nkind: EgressProfile\nname: world\ntitle: The world\nallow:\n  \
                - {names: [allowed.example], ports: [tcp/80]}\n";
    forge.approve_egress(&me, ApproveEgress { text: text.into() }).await.unwrap();
    let start = StartLab { lab: "netplus-reach-out".into(), request_id: None, seed: Some("s".into()) };
    let run = forge.start_lab(&me, start).await.unwrap().run;
    forge.wait_ready(&run, Duration::from_secs(120)).await.unwrap();

    let rows = forge.probe_isolation(&me, ProbeIsolation { run: run.clone(), full: true }).await.unwrap();
    assert_eq!(rows.len(), 40);
    let broken: Vec<&IsolationRow> = rows.iter().filter(|r| !r.control).collect();
    assert!(broken.is_empty(), "controls that did not work: {broken:#?}");
    let escaped: Vec<&IsolationRow> = rows.iter().filter(|r| r.escaped).collect();
    assert!(escaped.is_empty(), "{escaped:#?}");
    // The app did it, with more rights than any node has: that was decided, too.
    let asked =
        ListDecisions { gate: Some("action".into()), run: Some(run.clone()), allow: None, before: None, limit: None };
    let decisions = forge.list_decisions(&me, asked).await.unwrap().decisions;
    let input = forge.get_decision(&me, DecisionRequest { id: decisions[0].id }).await.unwrap().input;
    assert_eq!((&input["action"]["class"], &input["actor"]["role"]), (&"privileged".into(), &"system".into()));

    forge.stop_run(&me, RunRequest { run: run.clone() }).await.unwrap();
    let engine = Docker::from_env().unwrap();
    let ours = [(label::RUN, run.as_str())];
    assert!(engine.list(&ours).await.unwrap().is_empty() && engine.networks(&ours).await.unwrap().is_empty());
    forge.shutdown().await;
}
