//! Two hands at once on one run, at every moment that there is between them.

use super::*;

const CALM: Weather = Weather { crash: 0, refuse: 0, full: 0, slow: 0 };

/// A stop removes the nodes under a check: what that sees then says nothing about the learner's work, and costs no points.
#[test]
fn a_stop_that_overtakes_a_check_writes_nothing_of_it() {
    let shared = Shared::new();
    let (mut overtaken, mut blind) = (0, 0);
    for after in (0..400).step_by(4) {
        let (trace, outcome) = simulated(&shared, after, CALM, Dice(1), async |history| {
            history.begin(false)?;
            history.begin(false)?;
            let [checks, stops] = [0, 1].map(|i| history.processes[i].forge.clone());
            one(&checks, &history.told, "start", "it", None).await?;
            let run = history.told.borrow().requests["it"].clone();
            let all = CheckRun { run: run.clone(), criteria: vec![], gentle: false };
            let whole = checks.check_run(&me(), all.clone()).await?;
            assert!(whole.score > 0, "there is something to lose");
            let again = checks.clone();
            let check = tokio::task::spawn_local(async move { again.check_run(&me(), all).await });
            tokio::time::sleep(Duration::from_millis(after)).await;
            stops.stop_run(&me(), RunRequest { run: run.clone() }).await?;
            match check.await.map_err(Error::internal)? {
                Ok(report) => assert_eq!(report.score, whole.score, "what is told is what it saw"),
                Err(e) => {
                    assert_eq!(e.code, Code::WrongState, "{e}");
                    overtaken += 1;
                }
            }
            let kept = checks.run_row(&run).await?.last_check.unwrap();
            let of = |r: &CheckReport| r.criteria.iter().map(|c| (c.outcome, c.points)).collect::<Vec<_>>();
            assert_eq!((kept.score, of(&kept)), (whole.score, of(&whole)), "stopped {after} ms into a check");
            let events = checks.list_events(&me(), ListEvents { run: Some(run), since: 0, limit: None }).await?;
            blind += usize::from(events.iter().any(|e| e.kind == "check.outcome" && e.data["outcome"] == "error"));
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{e}\n{}", trace.join("\n")));
    }
    assert!(
        overtaken > 3 && blind > 0,
        "it must happen to be proven: overtaken {overtaken}, looked at nothing {blind}"
    );
}

#[test]
fn of_two_that_stop_a_run_at_once_one_is_told_that_it_did() {
    let shared = Shared::new();
    for after in (0..60).step_by(3) {
        let (trace, outcome) = simulated(&shared, after, CALM, Dice(1), async |history| {
            history.begin(false)?;
            history.begin(false)?;
            let [first, second] = [0, 1].map(|i| history.processes[i].forge.clone());
            one(&first, &history.told, "start", "it", None).await?;
            let run = history.told.borrow().requests["it"].clone();
            let ask = RunRequest { run: run.clone() };
            let (one, late) = (ask.clone(), async {
                tokio::time::sleep(Duration::from_millis(after)).await;
                second.stop_run(&me(), ask.clone()).await
            });
            let caller = me();
            let (a, b) = tokio::join!(first.stop_run(&caller, one), late);
            let (a, b) = (a?, b?);
            assert_eq!((a.stopped.len() + b.stopped.len(), a.already.len() + b.already.len()), (1, 1), "{a:?} {b:?}");
            let third = first.stop_run(&me(), ask).await?;
            assert_eq!((third.stopped, third.already), (vec![], vec![run]));
            let all = first.stop_all(&me(), Empty {}).await?;
            assert_eq!((all.stopped.len(), all.already.len()), (0, 0), "nothing is alive");
            Ok(())
        });
        outcome.unwrap_or_else(|e| panic!("{e}\n{}", trace.join("\n")));
    }
}

/// A failure is what a learner wants to read: cleaning up after it takes nothing from it.
#[test]
fn a_run_that_failed_stays_failed_with_its_reason_when_it_is_cleaned_up() {
    let shared = Shared::new();
    let (trace, outcome) = simulated(&shared, 1, CALM, Dice(1), async |history| {
        history.begin(false)?;
        let forge = history.processes[0].forge.clone();
        let why = "removed from outside: r1";
        let mut runs_of = Vec::new();
        for request in ["one", "all"] {
            one(&forge, &history.told, "start", request, None).await?;
            runs_of.push(history.told.borrow().requests[request].clone());
        }
        // Only then: a start looks after what others left.
        for run in runs_of.clone() {
            forge.store.write(move |tx| runs::failed(tx, &run, why, 1)).await?;
        }
        assert_eq!(history.world.runs().len(), 2, "both have containers yet");
        let row = async |run: &str| forge.run_row(run).await.map(|r| (r.state, r.reason));
        let [alone, other] = [0, 1].map(|i: usize| runs_of[i].clone());
        let ask = RunRequest { run: alone.clone() };
        let told = forge.stop_run(&me(), ask.clone()).await?;
        assert_eq!((told.stopped.len(), &told.cleared, told.already.len()), (0, &vec![alone.clone()], 0));
        assert_eq!(row(&alone).await?, (RunState::Failed, why.into()));
        assert_eq!(history.world.runs().into_keys().collect::<Vec<_>>(), [other.as_str()]);
        let again = forge.stop_run(&me(), ask).await?;
        assert_eq!((again.stopped.len(), again.cleared.len(), &again.already), (0, 0, &vec![alone.clone()]));
        let all = forge.stop_all(&me(), Empty {}).await?;
        assert_eq!((all.stopped.len(), &all.cleared, all.already.len()), (0, &vec![other.clone()], 0));
        assert_eq!(row(&other).await?, (RunState::Failed, why.into()));
        assert!(history.world.runs().is_empty());
        let all = forge.stop_all(&me(), Empty {}).await?;
        assert_eq!((all.stopped.len(), all.cleared.len(), all.already.len()), (0, 0, 0));
        let listed = forge.list_runs(&me(), ListRuns { all: true }).await?;
        assert!(listed.iter().all(|r| r.state == RunState::Failed && r.reason == why), "{listed:?}");
        Ok(())
    });
    outcome.unwrap_or_else(|e| panic!("{e}\n{}", trace.join("\n")));
}
