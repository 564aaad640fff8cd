//! The fuzz targets on a stable compiler: every reader of strangers' bytes meets seeded mutants of the committed corpora (bits
//! flipped, pieces cut, doubled, swapped and spliced, words that mean something put in). `FORGE_MUTANTS=100000` is what
//! `make fuzz` runs; the seed is fixed, so a failure comes again, and its bytes are told.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../fuzz/targets.rs"]
mod targets;

use std::path::Path;

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

const WORDS: [&str; 32] = [
    "\0",
    "\n",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    "{{",
    "}}",
    "-1",
    "0",
    "18446744073709551616",
    "1e999",
    "null",
    "true",
    "&a ",
    "*a",
    "!!binary ",
    "<<: ",
    ": ",
    "- ",
    "../",
    "\u{202e}",
    "\u{feff}",
    "NaN",
    "v4.public.",
    "0.0.0.0/0",
    "::/0",
    "ustar",
    "%s%n",
    "(a+)+$",
];

fn mutant(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = corpus[dice.below(corpus.len())].clone();
    for _ in 0..1 + dice.below(4) {
        let (at, length) = (dice.below(bytes.len() + 1), 1 + dice.below(64));
        let end = (at + length).min(bytes.len());
        match dice.below(8) {
            0 | 1 if !bytes.is_empty() => {
                let bit = at.min(bytes.len() - 1);
                bytes[bit] ^= 1 << dice.below(8);
            }
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let piece = bytes[at..end].to_vec();
                let times = if dice.below(50) == 0 { 200 } else { 1 };
                let to = dice.below(bytes.len() + 1);
                drop(bytes.splice(to..to, piece.repeat(times)));
            }
            5 => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                let to = (from + length * 4).min(other.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
            6 => drop(bytes.splice(at..at, WORDS[dice.below(WORDS.len())].bytes())),
            _ => {
                let value = dice.next() as u8;
                bytes[at..end].fill(value);
            }
        }
    }
    bytes
}

/// Peak resident memory of this process, MiB; None where the system does not say.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()? >> 10)
}

const MEMORY: u64 = 256;

type Target = fn(&[u8]);

#[test]
fn no_mutant_panics_is_accepted_or_fills_the_memory() {
    let count: usize = std::env::var("FORGE_MUTANTS").map_or(1_500, |n| n.parse().expect("a number"));
    let all: [(&str, Target); 6] = [
        ("template", targets::template),
        ("bundle", targets::bundle),
        ("sat", targets::sat),
        ("envelope", targets::envelope),
        ("call", targets::call),
        ("answers", targets::answers),
    ];
    for (name, target) in all {
        let began = std::time::Instant::now();
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus")).join(name);
        let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        let mut corpus: Vec<Vec<u8>> = files.iter().map(|f| std::fs::read(f).unwrap()).collect();
        if name == "sat" {
            corpus.push(targets::good_token());
        }
        assert!(!corpus.is_empty(), "{name} has no corpus");
        corpus.iter().for_each(|whole| target(whole));
        let mut dice = Dice(name.bytes().map(u64::from).sum());
        for round in 0..count {
            let bytes = mutant(&mut dice, &corpus);
            let caught = std::panic::catch_unwind(|| target(&bytes));
            assert!(caught.is_ok(), "{name}, mutant {round}: {}", bytes.escape_ascii());
        }
        let peak = peak();
        eprintln!("{name}: {count} mutants in {:.1} s, at most {peak:?} MiB", began.elapsed().as_secs_f64());
        assert!(peak.is_none_or(|mib| mib <= MEMORY), "{name} took {peak:?} MiB");
    }
}

/// The targets would tell: what was signed is accepted, so that a reader that refuses everything does not pass.
#[test]
fn what_is_whole_is_accepted() {
    use forge_core::verdict::{bundle, dsse};
    let read =
        |path: &str| std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(path)).unwrap();
    assert!(bundle::unpack(&read("bundle/golden.tar.zst")).unwrap().entries.contains_key("observations.json"));
    assert!(dsse::read(&read("envelope/golden.json")).is_ok());
    for name in ["start_lab", "check_run", "open_terminal", "solve_run"] {
        let text = read(&format!("call/{name}"));
        let args = text.split(|b| *b == b'\n').nth(1).unwrap();
        let caller = forge_core::api::Caller { correlation: "t".into(), instructor: true };
        forge_core::api::well_formed(&caller, name, serde_json::from_slice(args).unwrap()).unwrap();
    }
}
