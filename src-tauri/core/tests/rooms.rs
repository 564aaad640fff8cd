//! The architecture, executable: which room may name which, and where each vendor crate lives.
//!
//! A room is a file or folder directly below `src/`. Imports go strictly downward; a vendor crate that appears outside
//! its room fails here, and so does a room that this table does not know (docs/architecture.md explains the levels).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

const ROOMS: &[(&str, u8)] = &[
    ("forge", 4),
    ("spawn", 3),
    ("lab", 3),
    ("check", 3),
    ("verdict", 3),
    ("terminal", 3),
    ("report", 3),
    ("sync", 3),
    ("engine", 2),
    ("observe", 2),
    ("policy", 2),
    ("template", 2),
    ("audit", 2),
    ("board", 2),
    ("scrub", 2),
    ("http", 2),
    ("keys", 1),
    ("store", 1),
    ("shell", 1),
    ("api", 0),
    ("canonical", 0),
    ("merkle", 0),
    ("error", 0),
    ("fault", 0),
];

/// Level-3 and level-2 rooms that meet on purpose, each with the reason.
const MEET: &[(&str, &str, &str)] = &[
    ("lab", "spawn", "a plan can only be made from a spent token, which spawn alone makes"),
    ("engine", "template", "the simulation's engine (engine/fake.rs, tests only) plays a scenario's nodes"),
    ("lab", "check", "lab implements the checks' view of a running lab (check::vantage)"),
    ("verdict", "check", "re-grading is judging again: check::judge, which is pure"),
    ("sync", "verdict", "what is sent is a results folder, which only the verdict's own reader may call whole"),
    ("report", "verdict", "the report words the trust tiers as the verdict defines them"),
];

/// Vendor crates and the rooms that may name them.
const VENDORS: &[(&str, &[&str])] = &[
    ("aws_lc_rs", &["canonical"]),
    ("bollard", &["engine"]),
    ("rusqlite", &["store"]),
    ("rusqlite_migration", &["store"]),
    ("regorus", &["policy"]),
    ("regorus_mimalloc", &["policy"]),
    // template: a lab's own SSH keys are drawn from its seed.
    ("ed25519_dalek", &["keys", "template"]),
    ("argon2", &["keys"]),
    ("chacha20poly1305", &["keys"]),
    ("keyring_core", &["keys"]),
    ("zbus_secret_service_keyring_store", &["keys"]),
    ("apple_native_keyring_store", &["keys"]),
    ("windows_native_keyring_store", &["keys"]),
    ("pasetors", &["spawn"]),
    ("reqwest", &["http"]),
    ("rustls", &["http"]),
    ("similar", &["template"]),
    ("serde_saphyr", &["template", "policy"]),
    // board: the scoreboard's API description is made from its types.
    ("schemars", &["template", "board"]),
    ("pulldown_cmark", &["template"]),
    ("plotters", &["observe"]),
    ("zstd", &["verdict"]),
    ("tracing_subscriber", &["observe"]),
    ("tracing_appender", &["observe"]),
];

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The source without comments and without what stands after its test module begins.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let end = text.find("#[cfg(test)]").unwrap_or(text.len());
    text[..end].lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

fn room_of(src: &Path, path: &Path) -> String {
    let first = path.strip_prefix(src).unwrap().components().next().unwrap();
    first.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Every `crate::<room>` a file names, in any spelling of `use` we write.
fn named(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        if at > 0 && (code.as_bytes()[at - 1].is_ascii_alphanumeric() || code.as_bytes()[at - 1] == b'$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = 0;
            for (i, c) in group.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => {
                        rooms.push(first_word(&group[start..i]));
                        break;
                    }
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        rooms.push(first_word(&group[start..i]));
                        start = i + 1;
                    }
                    _ => {}
                }
            }
        } else {
            rooms.push(first_word(rest));
        }
    }
    rooms.retain(|r| !r.is_empty());
    rooms
}

fn first_word(s: &str) -> String {
    s.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

#[test]
fn imports_go_downward_and_vendors_stay_home() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let level = |room: &str| ROOMS.iter().find(|(name, _)| *name == room).map(|(_, level)| *level);
    let mut broken = Vec::new();
    for (at, (room, _)) in ROOMS.iter().enumerate() {
        // Of two lines the first would count, and the other could say anything.
        if ROOMS[..at].iter().any(|(other, _)| other == room) {
            broken.push(format!("the room “{room}” is in the table twice"));
        }
    }
    for file in &files {
        let room = room_of(&src, file);
        if room == "lib" {
            continue;
        }
        let shown = file.strip_prefix(&src).unwrap().display();
        let Some(own) = level(&room) else {
            broken.push(format!("{shown}: the room “{room}” is not in the table"));
            continue;
        };
        let code = code(file);
        for other in named(&code) {
            let Some(theirs) = level(&other) else { continue };
            let meets = MEET.iter().any(|(a, b, _)| *a == room && *b == other);
            if other != room && theirs >= own && own != 0 && !meets {
                broken.push(format!("{shown}: {room} (level {own}) names {other} (level {theirs})"));
            }
        }
        for (vendor, homes) in VENDORS {
            let names_it = code.match_indices(vendor).any(|(at, _)| {
                let before = code[..at].chars().next_back();
                let after = &code[at + vendor.len()..];
                !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') && after.starts_with("::")
            });
            if names_it && !homes.contains(&room.as_str()) {
                broken.push(format!("{shown}: {vendor} lives in {homes:?}, not in {room}"));
            }
        }
    }
    assert!(broken.is_empty(), "the house rules are broken:\n{}", broken.join("\n"));
    assert!(files.len() > 10, "the walk found almost nothing: it would pass for the wrong reason");
}

#[test]
fn the_reader_sees_each_spelling() {
    let code = "use crate::{store::{Store, Tx}, api};\nlet x = crate::keys::Keys::open();\nuse crate::error::Error;";
    assert_eq!(named(code), ["store", "api", "keys", "error"]);
}
