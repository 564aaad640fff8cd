//! From a scenario to a lab that is ready, or to nothing at all.

use crate::bed::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_is_what_its_scenario_says() {
    let bed = Bed::new();
    let steps = Steps::default();
    let plan = bed.plan(four()).await;
    let live = lab::launch(bed.engine.clone(), &plan, &steps, &CancellationToken::new()).await.unwrap();
    let done: Vec<String> =
        steps.seen.lock().unwrap().iter().filter(|s| s.state == StepState::Done).map(|s| s.name.clone()).collect();
    assert_eq!(done.iter().collect::<BTreeSet<_>>().len(), 6, "{done:?}");

    for (from, to) in [("n1", "10.0.1.2"), ("n4", "10.0.4.2"), ("n2", "192.168.7.3"), ("n3", "fd00:3::2")] {
        assert!(pings(&live, from, to).await, "{from} → {to}");
    }
    assert!(!pings(&live, "n1", "10.0.3.1").await, "there is no route to the far side");
    // The learner's own view: the same interfaces, ping without a capability of its own, names from the template.
    let (exit, seen) =
        bed.inside(&live, "n1", "ls /sys/class/net; ping -c1 -W1 peer; cat /proc/sys/net/ipv4/ip_forward").await;
    assert_eq!(exit, 0, "{seen}");
    assert!(seen.starts_with("eth1\neth2\nlan0\nlo\n"), "{seen}");
    assert!(seen.ends_with("0\n"), "a host forwards nothing: {seen}");
    let (_, owner) = bed.inside(&live, "n4", "stat -c '%U:%G %a' /srv/www/answer").await;
    assert_eq!(owner.trim(), "nobody:www-data 640");
    assert_eq!(live.read_file("n4", "/srv/www/answer", 100).await.unwrap().unwrap(), b"forty-two");
    assert_eq!(live.inside("n4", &["hostname".into()], LIMIT).await.unwrap().stdout.trim(), "n4");
    assert_eq!(live.inside("n1", &["true".into()], LIMIT).await.unwrap_err().code, Code::Denied);

    // Everything can be found again from the labels alone.
    let again = Live::adopt(bed.engine.clone(), bed.identity.clone(), plan.scenario.clone()).await.unwrap();
    assert_eq!(again.containers(), live.containers());
    assert!(pings(&again, "n2", "10.0.1.1").await);

    let questions = ["echo $NODE_PID", "exit 3", "pwd; echo $WORK"].map(String::from);
    let many = live.look_many(&From::Node("n1".into()), &questions, LIMIT).await.unwrap();
    assert!(many[0].stdout.trim().parse::<u32>().is_ok());
    assert_eq!(many[1].exit, 3);
    let lines: Vec<&str> = many[2].stdout.lines().collect();
    assert_eq!(lines[0], lines[1]);
    let gone = live.look(&From::Node("n1".into()), &format!("ls -d {}", lines[0]), &[], LIMIT).await.unwrap();
    assert_ne!(gone.exit, 0, "the scratch directory is removed");

    lab::stop(bed.engine.as_ref(), &bed.identity).await.unwrap();
    assert_eq!(bed.left().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_at_any_step_leaves_nothing() {
    for (name, state) in [
        ("create", StepState::Running),
        ("create", StepState::Done),
        ("start", StepState::Running),
        ("start", StepState::Done),
        ("wire", StepState::Running),
        ("wire", StepState::Done),
        ("startup", StepState::Running),
        ("ready", StepState::Running),
        ("isolation", StepState::Running),
        ("isolation", StepState::Done),
    ] {
        let bed = Bed::new();
        let cancel = CancellationToken::new();
        let steps = Steps { cancel_at: Some((name.into(), state, cancel.clone())), ..Default::default() };
        let outcome = lab::launch(bed.engine.clone(), &bed.plan(four()).await, &steps, &cancel).await;
        let error = outcome.err().unwrap_or_else(|| panic!("cancelled at {name} and yet ready"));
        assert_eq!(error, Error::cancelled(), "at {name} {state:?}");
        assert_eq!(bed.left().await, 0, "after cancelling at {name} {state:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_says_why_and_leaves_nothing() {
    type Case = (&'static str, fn(&mut Scenario), Code, &'static str);
    let cases: [Case; 3] = [
        ("startup", |s| s.nodes[1].startup = "echo no such thing >&2; exit 7".into(), Code::WrongState, "n2"),
        (
            "address",
            |s| s.links[0].endpoints[0].addresses.push("10.0.1.1/24".parse().unwrap()),
            Code::DockerFailed,
            "n1",
        ),
        (
            "owner",
            |s| {
                s.nodes[0].files.push(NodeFile {
                    path: "/srv/x".into(),
                    mode: 0o600,
                    owner: Some("nobody-here:root".into()),
                    content: vec![],
                })
            },
            Code::DockerFailed,
            "nobody-here",
        ),
    ];
    for (what, change, code, word) in cases {
        let bed = Bed::new();
        let mut scenario = ring(2);
        change(&mut scenario);
        let outcome =
            lab::launch(bed.engine.clone(), &bed.plan(scenario).await, &Steps::default(), &CancellationToken::new())
                .await;
        let error = outcome.err().unwrap_or_else(|| panic!("{what} did not fail"));
        assert_eq!(error.code, code, "{what}: {error:?}");
        assert!(error.message.contains(word), "{what}: {error:?}");
        if what == "startup" {
            assert!(error.hints.iter().any(|h| h.contains("no such thing")), "its log is shown: {error:?}");
        }
        assert_eq!(bed.left().await, 0, "after {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn impairments_hold_or_are_refused_before_anything_runs() {
    let bed = Bed::new();
    let mut scenario = ring(2);
    scenario.links[0].impairment = Some(Impairment { rate_kbit: Some(1000), ..Default::default() });
    scenario.links[1].mtu = Some(1300);
    let live = bed.launch(scenario).await;
    let n1 = From::Node("n1".into());
    let began = Instant::now();
    // 60 kB in each direction at 1 Mbit/s take about half a second; unshaped, nothing.
    let burst = live.look(&n1, "ping -q -n -c 50 -l 50 -s 1172 -W 3 10.0.1.2", &[], LIMIT).await.unwrap();
    assert!(began.elapsed() > Duration::from_millis(300), "{:?} {burst:?}", began.elapsed());
    let (_, mtu) =
        bed.inside(&live, "n1", "cat /sys/class/net/eth2/mtu; tc qdisc show dev eth1; ip link set eth1 mtu 1500").await;
    assert!(mtu.starts_with("1300") && !mtu.contains("tbf"), "the shaping is out of the node's reach: {mtu}");
    lab::restart_node(&live, "n2", LIMIT).await.unwrap();
    let began = Instant::now();
    live.look(&n1, "ping -q -n -c 50 -l 50 -s 1172 -W 3 10.0.1.2", &[], LIMIT).await.unwrap();
    assert!(began.elapsed() > Duration::from_millis(300), "shaped after a restart as well");
    let netem =
        live.look(&n1, "unshare -n tc qdisc add dev lo root netem limit 1", &[], LIMIT).await.unwrap().exit == 0;
    for impairment in [
        Impairment { delay_ms: Some(60), ..Default::default() },
        Impairment { loss_percent: Some(100.0), ..Default::default() },
    ] {
        let bed = Bed::new();
        let mut scenario = ring(2);
        scenario.links[0].impairment = Some(impairment.clone());
        let plan = bed.plan(scenario).await;
        match lab::launch(bed.engine.clone(), &plan, &Steps::default(), &CancellationToken::new()).await {
            Ok(live) => {
                let seen = live.look(&From::Node("n1".into()), "ping -n -c1 -W1 10.0.1.2", &[], LIMIT).await.unwrap();
                match impairment.loss_percent {
                    Some(_) => assert_ne!(seen.exit, 0, "{seen:?}"),
                    None => assert!(netem && seen.stdout.contains("time=1"), "{seen:?}"),
                }
            }
            Err(error) => {
                assert!(!netem);
                assert_eq!(error.code, Code::MachineLacks, "{error:?}");
                assert_eq!(bed.left().await, 0);
            }
        }
    }
}

/// One of the catalogue's own labs: ready, solvable with nothing but what its nodes have, and the judge's prefix is learned.
#[tokio::test(flavor = "multi_thread")]
async fn four_real_routers_speak_ospf_over_these_links() {
    let catalogue = Catalogue::load(&Sources::default());
    let lab = catalogue.get("ccna-ospf-single-area").unwrap();
    let bed = Bed::new();
    let scenario = lab.instantiate("seed").unwrap();
    let announced =
        |e: &Evidence| matches!(e.after, Some(Disturbance::Announce { .. })).then(|| e.after.clone().unwrap());
    let hidden = scenario.criteria.iter().flat_map(|c| &c.evidence).find_map(announced).unwrap();
    let Disturbance::Announce { prefix, .. } = hidden else { unreachable!() };
    let live = bed.launch(scenario).await;
    for (node, script) in lab.solution("seed").unwrap() {
        let (exit, said) = bed.inside(&live, &node, &script).await;
        assert_eq!(exit, 0, "{node}: {said}");
    }
    let r2 = From::Node("r2".into());
    let full = "vtysh --vty_socket /proc/$NODE_PID/root/run/frr -c 'show ip ospf neighbor' | grep -c Full";
    eventually("r2 is adjacent to both", || async {
        live.look(&r2, full, &[], LIMIT).await.unwrap().stdout.trim() == "2"
    })
    .await;
    let route = format!("ip route show {}", prefix.addr());
    live.disturb(&hidden).await.unwrap();
    eventually("the prefix is learned", || async {
        live.look(&r2, &route, &[], LIMIT).await.unwrap().stdout.contains("proto ospf")
    })
    .await;
    live.undo(&hidden).await.unwrap();
    eventually("and forgotten", || async { live.look(&r2, &route, &[], LIMIT).await.unwrap().stdout.is_empty() }).await;
    lab::restart_node(&live, "r3", LIMIT).await.unwrap();
    eventually("r3 has come back with what was written", || async {
        live.look(&r2, full, &[], LIMIT).await.unwrap().stdout.trim() == "2"
    })
    .await;
}
