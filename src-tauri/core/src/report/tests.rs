#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::api::{FullProof, Isolation, IsolationRow, IsolationState, LinkLoad, NodeLoad, ResultSummary, VerifyCheck};

const HOSTILE: [&str; 7] = [
    "<script>fetch('//evil')</script>",
    "\"><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    "</style><style>*{display:none}</style>",
    "</title></pre></dd><h1>100 points</h1>",
    "<!-- & &lt; &#x3c;script>",
    "<svg/onload=alert(1)><a href=\"javascript:alert(1)\">",
];

fn detail() -> ResultDetail {
    let criterion =
        |id: &str, title: &str, outcome, points, max, expected: &str, seen: &str, advice: &str| CriterionOutcome {
            id: id.into(),
            title: title.into(),
            outcome,
            expected: expected.into(),
            seen: seen.into(),
            advice: advice.into(),
            points,
            max,
            ms: 40,
        };
    let check = |name: &str, detail: &str| VerifyCheck { name: name.into(), ok: true, detail: detail.into() };
    ResultDetail {
        summary: ResultSummary {
            id: "7d0f6c1b0c9e5f2a4b8d3e6f7a1c2b3d4e5f60718293a4b5c6d7e8f901234567".into(),
            run: "k3v9qd2m7a".into(),
            lab: "netplus/dns-zone".into(),
            lab_title: "DNS zone and reverse".into(),
            track: "netplus".into(),
            version: "1.0.0".into(),
            at: 1_795_396_380_000,
            score: 6_500,
            max: 10_000,
            duration_ms: 1_395_000,
            tier: TrustTier::SelfAttested,
            established: None,
            key_id: "SHA256:3b1f".into(),
            dir: "/results/x".into(),
        },
        criteria: vec![
            criterion(
                "a",
                "www resolves to the web server",
                OutcomeKind::Pass,
                3000,
                3000,
                "www.ember.lab. A 10.20.0.10",
                "www.ember.lab. A 10.20.0.10",
                "",
            ),
            criterion(
                "b",
                "The reverse of the web server",
                OutcomeKind::Fail,
                0,
                2000,
                "10.0.20.10.in-addr.arpa. PTR www.ember.lab.",
                "NXDOMAIN from 10.20.0.53 (authoritative)",
                "The reverse zone answers, but has no record for 10. Look at the last octet of your PTR record’s name: it is relative to the zone.",
            ),
            criterion("c", "Strangers get no recursion", OutcomeKind::Pass, 3500, 4000, "REFUSED", "REFUSED", ""),
            criterion(
                "d",
                "The zone transfers to the secondary only",
                OutcomeKind::NotChecked,
                0,
                1000,
                "Transfer failed for 10.20.0.77",
                "",
                "This criterion was not checked: the secondary was stopped.",
            ),
        ],
        verified: VerifyReport {
            ok: true,
            key_id: "SHA256:3b1f0c7de2a94b58".into(),
            verdict_id: "7d0f6c1b0c9e5f2a4b8d3e6f7a1c2b3d4e5f60718293a4b5c6d7e8f901234567".into(),
            tier: Some(TrustTier::SelfAttested),
            checks: vec![
                check("Envelope", "DSSE, one signature"),
                check("Signature", "Ed25519 over verdict.pae"),
                check("score.json", "sha256 4f1c…"),
                check("evidence.tar.zst", "sha256 9a07…"),
            ],
        },
        openssl: "openssl pkeyutl -verify -pubin -inkey verdict.pub.pem -rawin -in verdict.pae -sigfile verdict.sig"
            .into(),
        isolation: Isolation {
            state: IsolationState::Isolated,
            detail: "No interface, route or name leads out of any node; 6 ways out were tried.".into(),
            at: Some(1_795_395_000_000),
            quick: vec![way(0, true, false)],
            full: Some(FullProof {
                at: 1_795_395_500_000,
                ms: 9_000,
                rows: (1..=40).map(|n| way(n, true, false)).collect(),
            }),
        },
        score_chart_svg: String::new(),
    }
}

fn way(n: usize, control: bool, escaped: bool) -> IsolationRow {
    IsolationRow {
        id: format!("way-{n}"),
        group: "IP".into(),
        technique: format!("Way number {n}"),
        control,
        escaped,
        detail: format!("heard nowhere, {n}"),
    }
}

fn samples() -> Vec<Telemetry> {
    (0..120)
        .map(|i| Telemetry {
            run: "r".into(),
            at: 1_795_395_000_000 + i * 1000,
            nodes: vec![NodeLoad { node: "ns1".into(), cpu_percent: 3.0 + (i % 13) as f64, memory_bytes: 1, pids: 1 }],
            links: vec![LinkLoad {
                link: "l".into(),
                node: "ns1".into(),
                interface: "eth0".into(),
                rx_bps: 0.0,
                tx_bps: 9e4 + (i % 17) as f64 * 4e3,
                rx_pps: 0.0,
                tx_pps: 0.0,
                up: true,
            }],
        })
        .collect()
}

fn page(detail: &ResultDetail) -> String {
    html(&Report { detail, telemetry: &samples(), version: "0.1.0", at: 1_795_396_400_000 }).unwrap()
}

#[test]
fn it_says_what_a_reader_needs() {
    let page = page(&detail());
    for words in [
        "DNS zone and reverse",
        "6.5 <small>of 10 points, 65 %",
        "2 of 4 passed",
        "✓ verifies",
        "Self-attested",
        "not that",
        "this verdict",
        "NXDOMAIN from 10.20.0.53",
        "REFUSED",
        "openssl pkeyutl -verify -pubin",
        "✓ isolated",
        "23 November 2026",
        "took 23 min",
        "– not checked",
        "evidence.tar.zst",
        "Load and traffic",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let mut bad = detail();
    bad.verified.ok = false;
    bad.verified.checks[1].ok = false;
    bad.isolation.state = IsolationState::Leaking;
    let page = super::tests::page(&bad);
    assert!(page.contains("✗ does not verify") && page.contains("✗ fails") && page.contains("✗ leaking"));
}

#[test]
fn each_way_out_is_shown_with_its_control() {
    let all = page(&detail());
    assert_eq!(all.matches("<tr><th scope=\"row\">").count(), 41);
    assert!(all.contains("By construction") && all.contains("40 ways out, tried 23 November 2026"));
    for n in 0..=40 {
        assert!(all.contains(&format!("Way number {n}<")) && all.contains(&format!("heard nowhere, {n}<")), "{n}");
    }
    assert_eq!(all.matches("✓ blocked").count(), 41);
    let mut bad = detail();
    let rows = &mut bad.isolation.full.as_mut().unwrap().rows;
    rows[0] = way(1, true, true);
    rows[1] = way(2, false, false);
    rows[2] = way(3, false, true);
    let all = page(&bad);
    let count = |words: &str| all.matches(words).count();
    assert_eq!((count("✗ escaped"), count("– not proven"), count("✗ did not work"), count("✓ blocked")), (2, 1, 2, 38));
    bad.isolation = Isolation::unknown("not proven");
    assert!(!page(&bad).contains("<table"));
}

#[test]
fn it_needs_nothing_and_may_run_nothing() {
    let page = page(&detail());
    let style = page.split_once("<style>").unwrap().1.split_once("</style>").unwrap().0;
    let hash = STANDARD.encode(Sha256::digest(style.as_bytes()));
    assert!(
        page.contains(&format!("default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'"))
    );
    for outside in ["<script", "<link", "<img", "<iframe", "src=", "href=", "url(", "@import", "style=\"", " on"] {
        let found = page.split('<').skip(1).any(|tag| {
            let tag = format!("<{}", tag.split_once('>').map_or(tag, |t| t.0));
            tag.contains(outside) && !tag.contains("aria-label") && !tag.starts_with("<meta")
        });
        assert!(!found, "{outside}");
    }
    assert!(!style.contains("url(") && !style.contains("@import"));
}

#[test]
fn hostile_strings_stay_strings() {
    let clean = page(&detail());
    let tags = |page: &str| page.matches('<').count();
    for hostile in HOSTILE {
        let mut d = detail();
        let s = &mut d.summary;
        for field in [&mut s.lab_title, &mut s.track, &mut s.version, &mut s.run, &mut s.lab, &mut s.dir] {
            *field = hostile.into();
        }
        for c in &mut d.criteria {
            for field in [&mut c.id, &mut c.title, &mut c.expected, &mut c.seen, &mut c.advice] {
                *field = hostile.into();
            }
        }
        d.verified.key_id = hostile.into();
        d.verified.verdict_id = hostile.into();
        for c in &mut d.verified.checks {
            c.name = hostile.into();
            c.detail = hostile.into();
        }
        d.openssl = hostile.into();
        d.isolation.detail = hostile.into();
        let full = d.isolation.full.as_mut().unwrap();
        for row in d.isolation.quick.iter_mut().chain(&mut full.rows) {
            for field in [&mut row.id, &mut row.group, &mut row.technique, &mut row.detail] {
                *field = hostile.into();
            }
        }
        let page = page(&d);
        let extra = 5; // fields that were empty in the clean page: two rows each for c and a, one for d
        assert!(tags(&page) <= tags(&clean) + extra * 6, "{hostile}");
        for bad in ["<script", "<img", "<h1>100", "<svg/", "<!--", "<a ", "javascript:alert(1)\">", "' onmouseover='"] {
            assert!(!page.contains(bad), "{bad} from {hostile}");
        }
        assert_eq!(page.matches("</style>").count(), 1);
        assert_eq!(page.matches("<h1>").count(), 1);
    }
}

#[test]
fn text_cannot_be_turned_around_hidden_or_endless() {
    let mut d = detail();
    d.criteria[0].seen = "\u{202e}dessap\u{2066} \u{200b}\u{0}\u{1b}[2J".into();
    d.criteria[1].seen = "é".repeat(100_000);
    let page = page(&d);
    assert!(
        !page
            .chars()
            .any(|c| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{0}' | '\u{1b}'))
    );
    assert!(page.contains("\u{fffd}dessap\u{fffd}"));
    assert!(page.contains("100000 characters in the evidence") && page.len() < 200_000);
}

#[test]
fn a_result_without_criteria_or_telemetry_is_a_page_too() {
    let mut d = detail();
    d.criteria.clear();
    let page = html(&Report { detail: &d, telemetry: &[], version: "0.1.0", at: i64::MAX }).unwrap();
    assert!(page.contains("This lab has no criteria") && !page.contains("Load and traffic"));
    assert!(page.contains("at an unknown time"));
}

/// For looking at: `FORGE_CHARTS=<folder> cargo test -p forge-core report`.
#[test]
fn report_for_the_eye() {
    let Some(dir) = std::env::var_os("FORGE_CHARTS").map(std::path::PathBuf::from) else { return };
    std::fs::write(dir.join("report.html"), page(&detail())).unwrap();
}
