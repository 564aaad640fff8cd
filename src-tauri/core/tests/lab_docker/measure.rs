//! Measurements: `cargo test -p forge-core --test lab_docker -- --ignored --nocapture measure`.

use crate::bed::*;

/// Start and stop against the floor: the same containers created and started, then removed, with nothing else done to them.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_start_and_stop_against_the_floor() {
    use futures_util::future::try_join_all;
    println!("nodes  floor_ms  ready_ms  ratio  floor_down_ms  stop_ms   steps");
    for count in [3, 10, 25] {
        for _ in 0..3 {
            let bed = Bed::new();
            let plan = bed.plan(ring(count)).await;
            let began = Instant::now();
            let ids: Vec<String> = try_join_all(plan.nodes.iter().map(|n| async {
                let id = bed.engine.create(&n.spec).await?;
                bed.engine.start(&id).await?;
                Ok::<_, Error>(id)
            }))
            .await
            .unwrap();
            let floor = began.elapsed().as_millis();
            let began = Instant::now();
            try_join_all(ids.iter().map(|id| bed.engine.remove(id))).await.unwrap();
            let floor_down = began.elapsed().as_millis();

            let steps = Steps::default();
            let began = Instant::now();
            lab::launch(bed.engine.clone(), &plan, &steps, &CancellationToken::new()).await.unwrap();
            let ready = began.elapsed().as_millis();
            let began = Instant::now();
            lab::stop(bed.engine.as_ref(), &bed.identity).await.unwrap();
            let stop = began.elapsed().as_millis();
            let steps = steps.seen.lock().unwrap();
            let steps: Vec<String> =
                steps.iter().filter(|s| s.state == StepState::Done).map(|s| format!("{} {}", s.name, s.ms)).collect();
            let ratio = ready as f64 / floor as f64;
            println!("{count:>5} {floor:>9} {ready:>9} {ratio:>6.2} {floor_down:>14} {stop:>8}   {}", steps.join(", "));
        }
    }
}

/// What watching 25 nodes costs: processor time of the sampler, over some seconds.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_telemetry() {
    use futures_util::StreamExt;
    let bed = Bed::new();
    let live = bed.launch(ring(25)).await;
    let mut samples = lab::telemetry(live.clone(), || 0).await.unwrap();
    let ticks = || {
        let of = |pid: &str| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let command = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
            let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
            let used: u64 = fields[11].parse::<u64>().ok()? + fields[12].parse::<u64>().ok()?;
            command.contains("Counters of all nodes").then_some(used)
        };
        std::fs::read_dir("/proc").unwrap().filter_map(|e| of(e.unwrap().file_name().to_str()?)).sum::<u64>()
    };
    samples.next().await.unwrap().unwrap();
    let (before, began) = (ticks(), Instant::now());
    for _ in 0..10 {
        assert_eq!(samples.next().await.unwrap().unwrap().nodes.len(), 25);
    }
    let percent = (ticks() - before) as f64 / began.elapsed().as_secs_f64();
    println!("telemetry of 25 nodes: {percent:.1} % of a core");
}
