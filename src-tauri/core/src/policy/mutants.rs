//! Is every rule exercised both ways? Each policy is broken in every way a slip could break it: a rule dropped, a condition
//! dropped, a number one off, a word replaced. Some case has to notice each; what none notices is not tested.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use std::ops::Range;
use std::path::PathBuf;

/// Read from the working tree, so that a policy and its cases can be worked on without building anew.
fn folder(sub: &str, ext: &str) -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../policies").join(sub);
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == ext))
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read_to_string(&path).unwrap()))
        .collect()
}

struct Mutant {
    file: String,
    at: Range<usize>,
    put: String,
}

/// Where breaking changes nothing, each with the reason.
const EQUIVALENT: &[(&str, &str, &str)] = &[];

/// Lines of the file with their byte offsets, comments left out.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    text.split_inclusive('\n')
        .map(move |line| {
            at += line.len();
            (at - line.len(), line.trim_end_matches('\n'))
        })
        .filter(|(_, line)| !line.trim_start().starts_with('#'))
}

/// String literals of a line, quotes and backticks left out.
fn strings(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(u8, usize)> = None;
    let bytes = line.as_bytes();
    for (i, byte) in bytes.iter().enumerate() {
        match open {
            None if matches!(byte, b'"' | b'`') => open = Some((*byte, i + 1)),
            Some((quote, from)) if *byte == quote && (quote == b'`' || bytes[i - 1] != b'\\') => {
                found.push(from..i);
                open = None;
            }
            _ => {}
        }
    }
    found
}

/// Integers of a line that stand outside its strings and words.
fn numbers(line: &str) -> Vec<Range<usize>> {
    let quoted = strings(line);
    let mut found = Vec::new();
    let mut from = None;
    for (i, c) in line.char_indices().chain([(line.len(), ' ')]) {
        let inside = quoted.iter().any(|q| q.contains(&i));
        match from {
            None if c.is_ascii_digit() && !inside => {
                let before = line[..i].chars().next_back().unwrap_or(' ');
                if !(before.is_alphanumeric() || matches!(before, '_' | '.')) {
                    from = Some(i);
                }
            }
            Some(start) if !c.is_ascii_digit() => {
                found.push(start..i);
                from = None;
            }
            _ => {}
        }
    }
    found
}

fn mutants(file: &str, text: &str) -> Vec<Mutant> {
    let mut all = Vec::new();
    let mut add = |at: Range<usize>, put: String| all.push(Mutant { file: file.to_owned(), at, put });
    for (start, _) in text.match_indices("\nreasons contains ") {
        let end = start + text[start + 1..].find("\n\n").map_or(text.len() - start, |i| i + 1);
        add(start..end, "\nreasons contains \"never\" if false".into());
    }
    for (at, line) in lines(text) {
        if line.starts_with("package")
            || line.starts_with("import")
            || line.starts_with("allow")
            || line.starts_with("decision")
        {
            continue;
        }
        for number in numbers(line) {
            let value: i64 = line[number.clone()].parse().unwrap();
            for other in [value - 1, value + 1] {
                add(at + number.start..at + number.end, other.to_string());
            }
        }
        // The words of a reason are compared by every case that expects it; those cases are what the first kind looks for.
        let head = line.starts_with("reasons contains").then(|| strings(line).into_iter().next()).flatten();
        for word in strings(line).into_iter().filter(|word| head.as_ref() != Some(word)) {
            add(at + word.start..at + word.end, "zz".into());
        }
        let condition = line.starts_with('\t') && !line.trim_end().ends_with(['{', ',']) && line.trim() != "}";
        if condition {
            add(at..at + line.len(), "\ttrue".into());
        }
    }
    all
}

/// What `mutant` makes of the policies, if they still load.
fn broken(all: &BTreeMap<String, String>, mutant: &Mutant) -> Option<Policy> {
    let mut changed = all.clone();
    changed.get_mut(&mutant.file)?.replace_range(mutant.at.clone(), &mutant.put);
    Policy::from_files(&changed).ok()
}

#[test]
fn no_rule_condition_number_or_word_can_change_unnoticed() {
    let all = folder("", "rego");
    let suites: Vec<cases::Suite> =
        folder("tests", "yaml").values().map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let policy = Policy::from_files(&all).unwrap();
    for suite in &suites {
        assert!(suite.cases.iter().any(|c| c.allow) && suite.cases.iter().any(|c| !c.allow), "{:?}", suite.gate);
        // What is no mutant must pass, else everything would count as noticed.
        let wrong: Vec<_> = cases::run(&policy, suite).into_iter().filter(|o| !o.ok).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    let list: Vec<Mutant> = all.iter().flat_map(|(file, text)| mutants(file, text)).collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    let alive = std::sync::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(mutant) = list.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let Some(policy) = broken(&all, mutant) else { continue };
                    let own = mutant.file.trim_end_matches(".rego");
                    let asked =
                        suites.iter().filter(|s| own == "vocabulary" || own == "action" || s.gate.name() == own);
                    let noticed = asked.into_iter().any(|s| s.cases.iter().any(|c| !cases::outcome(&policy, s, c).ok));
                    if !noticed {
                        alive.lock().unwrap().push(described(&all, mutant));
                    }
                }
            });
        }
    });
    let mut alive = alive.into_inner().unwrap();
    alive.retain(|(file, line, put)| !EQUIVALENT.contains(&(file, line, put)));
    alive.sort();
    assert!(alive.is_empty(), "{} of {} slips would go unnoticed: {alive:#?}", alive.len(), list.len());
    assert!(list.len() > 600, "{}", list.len());
}

/// The file, the changed line as it is now, and what was put there.
fn described(all: &BTreeMap<String, String>, mutant: &Mutant) -> (&'static str, &'static str, &'static str) {
    let text = &all[&mutant.file];
    let start = text[..mutant.at.start].rfind('\n').map_or(0, |i| i + 1);
    let end = text[mutant.at.start + 1..].find('\n').map_or(text.len(), |i| mutant.at.start + 1 + i);
    let old = &text[mutant.at.clone()];
    let line = format!("{} [{old}]", text[start..end.max(start)].trim());
    (leak(&mutant.file), leak(&line), leak(&mutant.put))
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
