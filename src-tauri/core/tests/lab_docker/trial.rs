//! The doctor's trial wiring leaves nothing, whatever becomes of whoever made it.

use crate::bed::*;
use forge_core::engine::{ContainerSpec, ContainerState};

async fn ends_empty(bed: &Bed, limit: Duration) {
    let until = Instant::now() + limit;
    while bed.left().await > 0 {
        assert!(Instant::now() < until, "still there after {limit:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_wires_and_leaves_nothing() {
    let bed = Bed::new();
    let life = Duration::from_secs(60);
    let cancel = CancellationToken::new();
    let found = lab::trial(bed.engine.clone(), &bed.identity.instance, &images(), life, &cancel).await.unwrap();
    assert!(found.ms > 0);
    assert_eq!(bed.left().await, 0);
}

/// As a killed process leaves it: everything runs, and nobody will ever come for it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_trial_leaves_ends_by_itself() {
    const LIFE: Duration = Duration::from_secs(8);
    let bed = Bed::new();
    let (engine, instance) = (bed.engine.clone(), bed.identity.instance.clone());
    let work = tokio::spawn(async move {
        let cancel = CancellationToken::new();
        lab::trial(engine, &instance, &images(), LIFE, &cancel).await
    });
    let ours = [(label::INSTANCE, &*bed.identity.instance)];
    let until = Instant::now() + LIMIT;
    loop {
        let there = bed.engine.list(&ours).await.unwrap();
        if there.len() == 3 && there.iter().all(|c| c.state == ContainerState::Running) {
            break;
        }
        assert!(!work.is_finished() && Instant::now() < until, "never seen at work: {there:?}");
    }
    work.abort();
    assert!(work.await.unwrap_err().is_cancelled());
    assert_eq!(bed.left().await, 3, "nobody cleans up");
    ends_empty(&bed, LIFE + Duration::from_secs(20)).await;
}

/// Killed between creating and starting: that has no end of its own, and the next trial of anybody takes it away.
#[tokio::test(flavor = "multi_thread")]
async fn what_never_started_is_pruned_once_it_is_old() {
    let bed = Bed::new();
    let labels = [(label::INSTANCE, &*bed.identity.instance), (label::TRIAL, "1")];
    let spec = |name: &str| ContainerSpec {
        name: format!("forge-{}-{name}", bed.identity.run),
        image: images()["host"].clone(),
        labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        command: ["--now", "sleep", "60"].map(String::from).into(),
        pids: 16,
        fleeting: true,
        ..ContainerSpec::default()
    };
    bed.engine.create(&spec("created")).await.unwrap();
    let running = bed.engine.create(&spec("running")).await.unwrap();
    bed.engine.start(&running).await.unwrap();
    bed.engine.prune(&labels, Duration::from_secs(600)).await.unwrap();
    assert_eq!(bed.left().await, 2, "another process may be about to start it");
    tokio::time::sleep(Duration::from_millis(2100)).await;
    bed.engine.prune(&labels, Duration::from_secs(1)).await.unwrap();
    let left = bed.engine.list(&labels).await.unwrap();
    assert_eq!(left.iter().map(|c| &*c.id).collect::<Vec<_>>(), [running.as_str()], "and what runs stays");
    bed.engine.remove(&running).await.unwrap();
    assert_eq!(bed.left().await, 0);
}
