//! Allowlist egress through the façade: a profile nobody approved is refused by the gate, an approved one opens; what is refused is
//! an event, a number in the run's view, and evidence.

use crate::bed::*;
use crate::world::World;
use forge_core::api::*;
use forge_core::forge::{EgressOptions, Forge, Options};
use forge_core::shell::Shellable;

fn caller(instructor: bool) -> Caller {
    Caller { correlation: "test".into(), instructor }
}

fn profile(names: &str) -> String {
    format!(
        "apiVersion: frostgate.forge/v1\nkind: EgressProfile\nname: world\ntitle: The world\nallow:\n  - {{names: [{names}], ports: [tcp/80]}}\n"
    )
}

async fn approve(forge: &Arc<Forge>, text: String, instructor: bool) -> Result<serde_json::Value, Error> {
    let request = serde_json::json!({ "text": text });
    forge_core::shell::call(forge.as_ref(), &caller(instructor), "approve_egress", request).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_reaches_out_by_an_approved_profile_and_its_refusals_are_seen() {
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
    let me = caller(false);
    let start = || StartLab { lab: "netplus-reach-out".into(), request_id: None, seed: Some("s".into()) };

    let denied = forge.start_lab(&me, start()).await.unwrap_err();
    assert_eq!(denied.code, Code::Denied);
    assert!(denied.message.contains("“world”, which nobody has approved"), "{denied:?}");
    assert_eq!(
        approve(&forge, profile("allowed.example"), false).await.unwrap_err().code,
        Code::Denied,
        "a learner approves nothing"
    );
    approve(&forge, profile("allowed.example"), true).await.unwrap();
    let listed = forge.list_egress(&me, Empty {}).await.unwrap();
    let states: Vec<(&str, bool)> = listed.iter().map(|p| (p.name.as_str(), p.problem.is_empty())).collect();
    assert_eq!(states, [("none", true), ("package-updates", true), ("world", true)]);

    // Changed behind our back: refused by name, until it is approved again.
    let file = home.path().join("egress/world.yaml");
    std::fs::write(&file, profile("allowed.example, evil.example")).unwrap();
    let tampered = forge.start_lab(&me, start()).await.unwrap_err();
    assert!(
        tampered.message.contains("“world”") && tampered.message.contains("changed after it was approved"),
        "{tampered:?}"
    );
    std::fs::write(&file, profile("allowed.example")).unwrap();

    let run = forge.start_lab(&me, start()).await.unwrap().run;
    let detail = forge.wait_ready(&run, Duration::from_secs(120)).await.unwrap();
    assert!(detail.isolation.detail.contains("by the profile world"), "{:?}", detail.isolation);
    assert_eq!(detail.nodes.iter().find(|n| n.role == Role::Gateway).unwrap().name, GATEWAY);
    let open =
        forge.open_terminal(&me, OpenTerminal { run: run.clone(), node: GATEWAY.into(), cols: 80, rows: 24 }).await;
    assert_eq!(open.unwrap_err().code, Code::Denied, "a learner does not enter the gateway");
    let entered = forge.exec(&me, &run, GATEWAY, vec!["true".into()], None).await;
    assert_eq!(entered.err().unwrap().code, Code::Denied);

    // The keeper's first look tells nothing: it begins with what was refused before.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let bad = format!("curl -s -m 1 http://{}.11/; dig +time=1 +tries=1 other.example; true", world.net);
    let exec = forge.exec(&me, &run, "pc", ["sh", "-c", &bad].map(String::from).into(), None).await.unwrap();
    futures_util::StreamExt::collect::<Vec<_>>(exec.output).await;
    let told = || async {
        let events =
            forge.list_events(&me, ListEvents { run: Some(run.clone()), since: 0, limit: None }).await.unwrap();
        events.into_iter().filter(|e| e.kind == "egress.drop").collect::<Vec<_>>()
    };
    eventually("both refusals are told", || async { told().await.len() >= 2 }).await;
    let told = told().await;
    let address = told.iter().find(|e| e.data["reason"] == "destination").unwrap();
    assert_eq!(
        (&address.data["node"], &address.data["target"]),
        (&"pc".into(), &format!("tcp {}.11:80", world.net).into())
    );
    assert!(address.text.contains("pc → tcp"), "{}", address.text);
    let name = told.iter().find(|e| e.data["reason"] == "name").unwrap();
    assert_eq!(name.data["target"], "other.example (A)");
    let seen = forge.get_run(&me, RunRequest { run: run.clone() }).await.unwrap().egress.unwrap();
    assert_eq!((seen.profile.as_str(), seen.allow[0].names.as_slice()), ("world", &["allowed.example".to_owned()][..]));
    assert!(seen.dropped.unwrap() >= 2 && seen.reasons["name"] >= 1, "{seen:?}");

    let teacher = caller(true);
    forge.solve_run(&teacher, RunRequest { run: run.clone() }).await.unwrap();
    let submitted = forge.submit_run(&me, RunRequest { run: run.clone() }).await.unwrap();
    assert_eq!(submitted.score, submitted.max, "what is allowed was fetched");
    let read = |path: &str| {
        let archive = format!("{}/evidence.tar.zst", submitted.dir);
        let out = std::process::Command::new("tar").args(["--zstd", "-xOf", &archive, path]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).into_owned()
    };
    let lab = read("scenario.json");
    assert!(
        lab.contains("allowed.example") && !lab.contains(&format!("{}.53", world.net)),
        "whom the laptop asks stays on it: {lab}"
    );
    let again = forge.verify_result(&me, VerifyRequest { dir: submitted.dir.clone(), regrade: true }).await.unwrap();
    assert!(again.ok, "{again:?}");
    assert!(read("egress.json").contains("\"destination\""), "{}", read("egress.json"));
    let rules = read("nodes/egress/state/nft.json");
    assert!(rules.contains("\"never\"") && rules.contains("\"policy\":\"drop\""), "the rules as applied: {rules}");
    forge.stop_run(&me, RunRequest { run: run.clone() }).await.unwrap();
    let engine = Docker::from_env().unwrap();
    assert!(
        engine.networks(&[(label::RUN, &run)]).await.unwrap().is_empty()
            && engine.list(&[(label::RUN, &run)]).await.unwrap().is_empty()
    );
    forge.shutdown().await;
}
