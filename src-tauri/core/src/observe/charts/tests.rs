#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
use super::*;
use crate::api::*;

const TITLES: [&str; 6] = [
    "Serve a zone and its reverse",
    "OSPF in a single area",
    "Harden an SSH server against a patient attacker who really tries",
    "VLANs & trunks <between> two \"switches\"",
    "漢字 lab 🙂",
    "Syslog",
];

fn results(n: usize) -> Vec<ResultSummary> {
    (0..n)
        .map(|i| ResultSummary {
            id: format!("{i:064x}"),
            run: "abcdefghij".into(),
            lab: format!("lab{}", i % 6),
            lab_title: TITLES[i % 6].into(),
            track: ["netplus", "ccna", "cissp"][i % 3].into(),
            version: "1.0.0".into(),
            at: 1_760_000_000_000 + i as i64 * 19_000_000,
            score: [1000, 2000, 1500, 3000, 2500, 3000, 2000][i % 7],
            max: 3000,
            duration_ms: 240_000 + (i as u64 * 7919 * 131) % 1_900_000,
            tier: TrustTier::SelfAttested,
            established: None,
            key_id: "k".into(),
            dir: "/x".into(),
        })
        .collect()
}

fn outcomes() -> Vec<CriterionOutcome> {
    use OutcomeKind::*;
    [(Pass, 2000, 2000), (Fail, 0, 1000), (Pass, 1500, 2000), (Error, 0, 1000), (NotChecked, 0, 4000)]
        .into_iter()
        .enumerate()
        .map(|(i, (outcome, points, max))| CriterionOutcome {
            id: format!("c{i}"),
            title: TITLES[i].into(),
            outcome,
            expected: String::new(),
            seen: String::new(),
            advice: String::new(),
            points,
            max,
            ms: 12,
        })
        .collect()
}

fn samples(n: i64) -> Vec<Telemetry> {
    let load = |name: &str, i: i64, base: f64| NodeLoad {
        node: name.into(),
        cpu_percent: base + 10.0 * ((i as f64) / 7.0 + base).sin().abs(),
        memory_bytes: 0,
        pids: 9,
    };
    (0..n)
        .map(|i| Telemetry {
            run: "r".into(),
            at: 1_760_000_000_000 + i * 1000,
            nodes: vec![
                load("r1", i, 4.0),
                load("ns1", i, 9.0),
                load("attacker", i, 21.0),
                load("h1", i, 0.2),
                load("h2", i, 0.1),
            ],
            links: vec![LinkLoad {
                link: "l1".into(),
                node: "r1".into(),
                interface: "eth1".into(),
                rx_bps: 0.0,
                tx_bps: 4e5 * (1.0 + (i as f64 / 9.0).sin()) + if i % 40 == 20 { 2e6 } else { 0.0 },
                rx_pps: 0.0,
                tx_pps: 0.0,
                up: true,
            }],
        })
        .collect()
}

/// All charts, full and empty, by name.
fn gallery(palette: &Palette) -> Vec<(&'static str, String)> {
    vec![
        ("scores", scores(&results(31), palette).unwrap()),
        ("scores-one", scores(&results(1), palette).unwrap()),
        ("scores-many", scores(&results(300), palette).unwrap()),
        ("scores-empty", scores(&[], palette).unwrap()),
        ("times", times(&results(31), palette).unwrap()),
        ("times-one", times(&results(1), palette).unwrap()),
        ("times-empty", times(&[], palette).unwrap()),
        ("criteria", criteria(&outcomes(), palette).unwrap()),
        ("criteria-empty", criteria(&[], palette).unwrap()),
        ("telemetry", telemetry(&samples(120), palette).unwrap()),
        ("telemetry-one", telemetry(&samples(1), palette).unwrap()),
        ("telemetry-empty", telemetry(&[], palette).unwrap()),
    ]
}

/// The number in an attribute.
fn number(tag: &str, name: &str) -> Option<f64> {
    let rest = tag.split_once(&format!("{name}=\""))?.1;
    rest.split_once('"')?.0.parse().ok()
}

#[test]
fn every_chart_is_a_named_self_contained_svg() {
    for palette in [&Palette::LIGHT, &Palette::DARK] {
        for (name, svg) in gallery(palette) {
            assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"), "{name}");
            assert!(svg.contains("role=\"img\"") && svg.contains("<title>") && svg.contains("<desc>"), "{name}");
            assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{name}: {svg}");
            for outside in ["<script", "<image", "<style", "href", "url(", "style=\""] {
                assert!(!svg.contains(outside), "{name} has {outside}");
            }
            assert!(name.contains("-one") || svg.contains("<text"), "{name}");
        }
    }
}

#[test]
fn no_label_leaves_the_picture() {
    for (name, svg) in gallery(&Palette::LIGHT) {
        let height = number(&svg, "height").unwrap();
        for text in svg.split("<text ").skip(1) {
            let (tag, rest) = text.split_once('>').unwrap();
            let words = rest.split_once("</text>").unwrap().0.trim().replace("&lt;", "<").replace("&quot;", "\"");
            let (x, y, size) =
                (number(tag, "x").unwrap(), number(tag, "y").unwrap(), number(tag, "font-size").unwrap());
            // A wide interface font: 0.62 em per letter.
            let width = words.chars().count() as f64 * size * 0.62;
            let (from, to) = match tag {
                t if t.contains("\"end\"") => (x - width, x),
                t if t.contains("\"middle\"") => (x - width / 2.0, x + width / 2.0),
                _ => (x, x + width),
            };
            assert!(from >= -4.0 && to <= f64::from(WIDTH) + 4.0, "{name}: “{words}” {from}..{to}");
            assert!(y >= size / 2.0 && y <= height - size / 2.0, "{name}: “{words}” at {y} of {height}");
        }
    }
}

#[test]
fn outcomes_have_words_and_values_and_empty_charts_say_how_to_fill_them() {
    let palette = &Palette::DARK;
    let svg = criteria(&outcomes(), palette).unwrap();
    for words in ["passed", "failed", "error", "not checked", "1.5 / 2", "2 of 5 passed, 3.5 of 10 points"] {
        assert!(svg.contains(words), "{words}");
    }
    assert!(svg.contains("&lt;between&gt;"));
    assert!(scores(&[], palette).unwrap().contains("once you have submitted a lab"));
    let svg = scores(&results(31), palette).unwrap();
    assert!(["Network+", "CCNA", "CISSP"].iter().all(|t| svg.contains(t)));
    assert!(times(&results(31), palette).unwrap().contains("median"));
}

/// WCAG 2.2: relative luminance contrast.
fn contrast(a: Colour, b: Colour) -> f64 {
    let luminance = |rgb: Colour| {
        let [_, r, g, b] = rgb.to_be_bytes().map(|v| {
            let v = f64::from(v) / 255.0;
            if v <= 0.04045 { v / 12.92 } else { ((v + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * r + 0.7152 * g + 0.0722 * b
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

#[test]
fn colours_can_be_read_and_series_are_never_outcomes() {
    for p in [Palette::LIGHT, Palette::DARK] {
        for text in [p.text, p.muted, p.accent, p.pass, p.warn, p.fail] {
            assert!(contrast(text, p.surface) >= 4.5, "{text:06x} {}", contrast(text, p.surface));
        }
        for mark in p.series {
            assert!(contrast(mark, p.surface) >= 3.0, "{mark:06x}");
            assert!(![p.pass, p.warn, p.fail].contains(&mark));
        }
    }
}

/// For looking at: `FORGE_CHARTS=<folder> cargo test -p forge-core charts`.
#[test]
fn gallery_for_the_eye() {
    let Some(dir) = std::env::var_os("FORGE_CHARTS").map(std::path::PathBuf::from) else { return };
    for (theme, palette) in [("light", &Palette::LIGHT), ("dark", &Palette::DARK)] {
        let charts: String = gallery(palette).into_iter().map(|(_, svg)| format!("<p>{svg}</p>")).collect();
        let page = format!("<body style=\"background:#{:06x};columns:2;width:1320px\">{charts}", palette.surface);
        std::fs::write(dir.join(format!("{theme}.html")), page).unwrap();
    }
}
