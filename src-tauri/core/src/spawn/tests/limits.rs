//! Quotas, the ceiling of the machine, and who is kept out.

use super::*;

#[tokio::test]
async fn quotas_count_what_is_alive() {
    let b = bench();
    let under_plan = |n: u64| {
        let mut r = request(n);
        r.entitlement = Entitlement::Plan("free".into());
        r.scenario.limits.cpu = 1.0;
        r
    };
    let (run, _) = new(b.admit(under_plan(1)).await.unwrap());
    let e = b.admit(under_plan(2)).await.unwrap_err();
    assert_eq!(e.details["gates"], json!(["quota"]));
    assert!(e.message.contains("Stop one first"), "{}", e.message);
    b.store.write(move |tx| runs::failed(tx, &run.run, "x", NOW)).await.unwrap();
    let mut later = under_plan(2);
    later.now = NOW + 61_000;
    assert!(matches!(b.admit(later).await, Ok(Admission::New(..))));
    let mut odd = request(9);
    odd.entitlement = Entitlement::Plan("gold".into());
    assert_eq!(b.admit(odd).await.unwrap_err().code, Code::Denied);
}

#[tokio::test]
async fn two_processes_cannot_both_take_the_last_place() {
    let b = bench();
    let other = Store::open(&b.home.path().join("forge.db")).unwrap();
    let last = |n: u64| {
        let mut r = request(n);
        r.entitlement = Entitlement::Plan("basic".into());
        r.scenario.limits.cpu = 1.5;
        r
    };
    let mut admitted = 0;
    let mut refused = Vec::new();
    let (x, y) = tokio::join!(b.admit(last(1)), admit(&other, &b.policy, &b.keys, last(2)));
    for outcome in [x, y] {
        match outcome {
            Ok(_) => admitted += 1,
            Err(e) => refused.push(e),
        }
    }
    assert_eq!((admitted, b.count("runs").await), (1, 1));
    assert!(refused[0].message.contains("3 of the 2 allowed"), "{}", refused[0].message);
}

#[tokio::test]
async fn the_machine_has_an_end_whoever_asks() {
    let b = bench();
    new(b.admit(request(1)).await.unwrap());
    let ask = |change: fn(&mut Request)| {
        let mut r = request(2);
        r.subject = "other".into();
        change(&mut r);
        r
    };
    for (change, word) in [
        ((|r| r.footprint.pids = 16_384) as fn(&mut Request), "16640 processes"),
        (|r| r.footprint.memory_mb = 6000, "All labs together would need 6512 MiB"),
        (|r| r.scenario.limits.cpu = 7.0, "promised 8.5 CPUs"),
        (|r| r.machine.disk_free_mb = Some(1279), "only 1279 MiB are"),
        (|r| r.machine.disk_floor_mb = 60_000, "60000 MiB of the disk must stay free"),
        (|r| r.machine.memory_free_mb = Some(255), "Only 255 MiB of this machine's memory are free"),
    ] {
        let e = b.admit(ask(change)).await.unwrap_err();
        assert_eq!(e.details["gates"], json!(["quota"]));
        assert!(e.message.contains(word), "{word}: {}", e.message);
    }
    assert!(matches!(b.admit(ask(|_| ())).await, Ok(Admission::New(..))));
}

#[tokio::test]
async fn a_blocked_subject_starts_nothing_until_it_is_let_in_again() {
    let b = bench();
    b.store.write(|tx| block(tx, "learner", " exam is over ", "c", NOW)).await.unwrap();
    let e = b.admit(request(1)).await.unwrap_err();
    assert!(e.message.contains("blocked from starting labs: exam is over. Ask"), "{}", e.message);
    let mut other = request(2);
    other.subject = "other".into();
    new(b.admit(other).await.unwrap());
    b.store.write(|tx| unblock(tx, "learner", "c", NOW)).await.unwrap();
    new(b.admit(request(1)).await.unwrap());
    let e = b.store.write(|tx| unblock(tx, "learner", "c", NOW)).await.unwrap_err();
    assert_eq!(e.code, Code::NotFound);
    // A block that comes later finds the runs that are alive.
    b.store.write(|tx| block(tx, "learner", "again", "c", NOW)).await.unwrap();
    let alive = b.store.read(crate::store::blocks::alive_runs).await.unwrap();
    let found: Vec<(&str, &str)> = alive.iter().map(|(run, b)| (run.as_str(), b.reason.as_str())).collect();
    assert_eq!(found, [(request(1).run.as_str(), "again")]);
    let kinds: Vec<String> = b.store.read(|c| Ok(newest(c)?.into_iter().map(|e| e.kind).collect())).await.unwrap();
    assert_eq!(kinds.iter().filter(|k| k.starts_with("subject.")).count(), 3);
    for (subject, reason) in [("", "x"), ("a b", "x"), ("a", ""), ("a", "x\ny"), ("a", &"x".repeat(201))] {
        let (subject, reason) = (subject.to_owned(), reason.to_owned());
        assert!(b.store.write(move |tx| block(tx, &subject, &reason, "c", NOW)).await.is_err());
    }
}

#[tokio::test]
async fn a_blocked_organisation_is_found_by_what_runs_for_it() {
    let b = bench();
    let mut other = request(2);
    (other.tenant, other.access.tenant) = ("elsewhere".into(), "elsewhere".into());
    new(b.admit(request(1)).await.unwrap());
    new(b.admit(other.clone()).await.unwrap());
    let tenant = format!("tenant:{}", request(1).tenant);
    let blocked = tenant.clone();
    b.store.write(move |tx| block(tx, &blocked, "not paid", "c", NOW)).await.unwrap();
    let alive = || b.store.read(crate::store::blocks::alive_runs);
    let found = alive().await.unwrap();
    assert_eq!(found.iter().map(|(run, b)| (run, &b.subject)).collect::<Vec<_>>(), [(&request(1).run, &tenant)]);
    // Its own block goes before that of its organisation, and each run is named once.
    b.store.write(|tx| block(tx, "learner", "cheated", "c", NOW)).await.unwrap();
    let found = alive().await.unwrap();
    let reasons: Vec<&str> = found.iter().map(|(_, b)| b.reason.as_str()).collect();
    assert_eq!((found.len(), reasons), (2, vec!["cheated", "cheated"]));
}

#[tokio::test]
async fn a_refusal_beside_a_hog_is_an_alert() {
    let b = bench();
    let mut hog = request(1);
    hog.footprint.memory_mb = 5000;
    new(b.admit(hog).await.unwrap());
    let mut r = request(2);
    r.subject = "other".into();
    r.footprint.memory_mb = 2000;
    let e = b.admit(r.clone()).await.unwrap_err();
    let unfair: Unfair = serde_json::from_value(e.details["unfair"].clone()).unwrap();
    assert_eq!(unfair, Unfair { holder: "learner".into(), refused: "other".into(), percent: 81 });
    let alerts = b.store.read(newest).await.unwrap();
    assert_eq!(alerts.iter().filter(|e| e.kind == "quota.unfair").count(), 1);
    // Refused for another reason, or in one's own way: no alert.
    r.footprint.memory_mb = 100;
    r.pin = "cd".repeat(32);
    assert!(b.admit(r).await.unwrap_err().details.get("unfair").is_none());
    let mut own = request(3);
    own.footprint.memory_mb = 2000;
    assert!(b.admit(own).await.unwrap_err().details.get("unfair").is_none());
}

#[tokio::test]
async fn the_ceilings_that_are_shown_are_the_policys() {
    let b = bench();
    let machine = request(1).machine;
    let practice = ceilings(&b.policy, &Entitlement::Practice, &machine).unwrap();
    assert_eq!(practice.limits.memory_mb, Some(6144.0));
    assert_eq!((practice.limits.per_day, practice.machine.pids), (None, Some(16_384.0)));
    assert_eq!((practice.machine.disk_floor_mb, practice.machine.memory_floor_mb), (Some(1024.0), Some(256.0)));
    let free = ceilings(&b.policy, &Entitlement::Plan("free".into()), &machine).unwrap();
    assert_eq!((free.limits.per_day, free.limits.at_once, free.limits.cpu), (Some(5.0), Some(1.0), Some(1.0)));
    assert_eq!(ceilings(&b.policy, &Entitlement::Plan("gold".into()), &machine).unwrap_err().code, Code::Denied);
}
