//! Who is let in, as what, and what a refusal leaves behind.

use super::*;
use crate::store::tokens;

#[tokio::test]
async fn an_admitted_run_has_token_intent_and_audit() {
    let b = bench();
    let (run, token) = new(b.admit(request(1)).await.unwrap());
    assert_eq!((run.state, run.cpu_milli), (RunState::Starting, 1500));
    assert_eq!((token.run(), token.claims().lab.as_str()), (run.run.as_str(), "ccna-ospf-single-area"));
    assert_eq!(token.claims().policy_digest, b.policy.digest());
    let id = run.run.clone();
    let (open, entries, spent) = b
        .store
        .read(move |c| {
            let spent = tokens::spent_for(c, &draw_jti(&mut rng(1)))?;
            Ok((intents::of_run(c, &id)?, newest(c)?, spent))
        })
        .await
        .unwrap();
    assert_eq!((open.len(), open[0].kind.as_str()), (1, "launch"));
    assert_eq!(spent.as_deref(), Some(run.run.as_str()));
    let kinds: Vec<_> = entries.iter().rev().map(|e| e.kind.as_str()).collect();
    assert_eq!(kinds, ["gate.access", "gate.spawn", "gate.training", "gate.quota", "gate.capabilities", "token.spent"]);
    assert!(entries.iter().all(|e| e.run.as_deref() == Some(run.run.as_str())));
    assert!(audit::verify(&b.store, &b.keys, &[]).await.unwrap().ok);
    let stored = b.store.read(move |c| runs::scenario(c, &run.run)).await.unwrap();
    assert_eq!(serde_json::from_str::<Scenario>(&stored).unwrap(), request(1).scenario);
}

#[tokio::test]
async fn the_same_request_is_the_same_run() {
    let b = bench();
    let (run, _) = new(b.admit(request(1)).await.unwrap());
    // A second click: other run id and token drawn, no seed named, another seed drawn.
    let mut again = request(1);
    (again.run, again.jti, again.scenario.seed) = ("other".into(), "0".repeat(32), "drawn-later".into());
    match b.admit(again.clone()).await.unwrap() {
        Admission::Existing(found) => assert_eq!(found.run, run.run),
        Admission::New(..) => panic!("admitted twice"),
    }
    again.asked_seed = Some("drawn-later".into());
    assert_eq!(b.admit(again.clone()).await.unwrap_err().code, Code::RequestReused);
    again.asked_seed = Some("seed-1".into());
    assert!(matches!(b.admit(again.clone()).await, Ok(Admission::Existing(_))));
    again.scenario.lab = "netplus-dns".into();
    assert_eq!(b.admit(again).await.unwrap_err().code, Code::RequestReused);
    assert_eq!((b.count("runs").await, b.count("intents").await, b.count("spent_tokens").await), (1, 1, 1));
}

#[tokio::test]
async fn two_clicks_at_once_from_two_processes_start_one_run() {
    let b = bench();
    let other = Store::open(&b.home.path().join("forge.db")).unwrap();
    let mut second = request(1);
    (second.run, second.jti) = ("other".into(), "1".repeat(32));
    let (x, y) = tokio::join!(b.admit(request(1)), admit(&other, &b.policy, &b.keys, second));
    let started = [x.unwrap(), y.unwrap()].iter().filter(|a| matches!(a, Admission::New(..))).count();
    assert_eq!((started, b.count("runs").await), (1, 1));
}

#[tokio::test]
async fn a_denial_says_why_is_audited_and_leaves_nothing_else() {
    let b = bench();
    let mut r = request(1);
    r.pin = "cd".repeat(32);
    r.scenario.limits.attacker_max_exploits = 3;
    r.nodes[0].caps.push("SYS_MODULE".into());
    let e = b.admit(r).await.unwrap_err();
    assert_eq!(e.code, Code::Denied);
    assert_eq!(e.details["gates"], json!(["spawn", "training", "capabilities"]));
    let reasons = e.details["reasons"].as_array().unwrap();
    assert_eq!(reasons.len(), 3);
    assert!(reasons.iter().any(|r| r.as_str().unwrap().contains("SYS_MODULE")), "{reasons:?}");
    assert_eq!((b.count("runs").await, b.count("intents").await, b.count("spent_tokens").await), (0, 0, 0));
    let entries = b.store.read(newest).await.unwrap();
    assert_eq!(entries.len(), 5);
    assert!(entries.iter().all(|e| e.run.is_none() && e.data["request_id"] == "request-1"));
    // The same request may try again once the reason is gone.
    assert!(matches!(b.admit(request(1)).await, Ok(Admission::New(..))));
}

#[tokio::test]
async fn ids_of_other_forms_do_not_enter() {
    let b = bench();
    for bad in ["", "a b", "../x", "ä", &"x".repeat(65)] {
        let mut r = request(1);
        r.request_id = bad.into();
        assert_eq!(b.admit(r).await.unwrap_err().code, Code::InvalidInput, "{bad}");
    }
    let mut r = request(1);
    r.scenario.limits.cpu = f64::NAN;
    assert!(b.admit(r).await.is_err());
    assert_eq!(b.count("runs").await, 0);
}

#[tokio::test]
async fn what_must_be_paid_for_does_not_start_unpaid() {
    let b = bench();
    let mut r = request(1);
    r.entitlement = Entitlement::Granted("standard".into());
    let e = b.admit(r).await.unwrap_err();
    assert_eq!((e.code, e.message.contains("not been paid")), (Code::Denied, true));
    assert_eq!((b.count("runs").await, b.count("spent_tokens").await), (0, 0));
}

#[test]
fn run_ids_are_ten_base32_characters() {
    let mut r = rng(3);
    for _ in 0..100 {
        let id = draw_run_id(&mut r);
        assert!(id.len() == 10 && id.bytes().all(|b| b.is_ascii_lowercase() || (b'2'..=b'7').contains(&b)), "{id}");
    }
    assert_ne!(draw_run_id(&mut r), draw_run_id(&mut r));
}

#[tokio::test]
async fn a_decision_can_be_looked_up_from_its_denial() {
    let b = bench();
    let mut r = request(1);
    r.subject = "mara".into();
    r.scrubber = Scrubber::new("/home/mara", "mara", "marabook");
    r.pin = "cd".repeat(32);
    let e = b.admit(r).await.unwrap_err();
    let id = e.details["decisions"][0].as_i64().unwrap();
    let kept = b.store.read(move |c| decisions::get(c, id)).await.unwrap();
    assert_eq!((kept.gate.as_str(), kept.answer.allow), ("spawn", false));
    assert_eq!(json!(kept.answer.reasons), e.details["reasons"]);
    assert_eq!(kept.answer.policy_digest, b.policy.digest());
    assert!(kept.answer.micros.is_some_and(|m| m > 0));
    assert_eq!(kept.occasion.lab.as_deref(), Some("ccna-ospf-single-area"));
    // Decided on the name, kept without it.
    assert_eq!(kept.answer.input["subject"], "[user]");
    let others = b.store.read(move |c| decisions::others(c, &kept)).await.unwrap();
    assert_eq!(
        others.iter().map(|k| k.gate.as_str()).collect::<Vec<_>>(),
        ["access", "training", "quota", "capabilities"]
    );
}
