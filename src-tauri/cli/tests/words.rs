//! What a person reads who gets it wrong: what happened, why and what to do, in words that nobody has to know a programming
//! language for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::Value;
use std::process::Command;

/// What libraries say of themselves, and how the language writes down what it holds.
const THEIRS: [&str; 16] = [
    "os error",
    "Os {",
    "reqwest",
    "hyper",
    "serde",
    "bollard",
    "client error",
    "Error(",
    "Error {",
    "Some(",
    "None",
    "u16",
    "struct",
    "::",
    "panicked",
    "unwrap",
];

/// Arguments, what the environment says, the exit code and what is said.
type Case<'a> = (&'a [&'a str], (&'a str, &'a str), i32, &'a str);

#[test]
fn errors_are_told_in_words_for_people() {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).display().to_string();
    let file = |name: &str, text: &[u8]| {
        std::fs::write(home.path().join(name), text).unwrap();
        at(name)
    };
    let profile = |allow: &str| {
        format!("apiVersion: frostgate.forge/v1\nkind: EgressProfile\nname: mine\ntitle: Mine\nallow: {allow}\n")
    };
    let (list, latin) = (file("list.yaml", b"- a\n"), file("latin.yaml", b"name: caf\xe9\n"));
    let word = file("word.yaml", profile("web").as_bytes());
    let entry = file("entry.yaml", profile("[web]").as_bytes());
    let port = file("port.yaml", profile("[{names: [a.example], ports: [443]}]").as_bytes());
    let tag = file("tag.yaml", profile("!all []").as_bytes());
    let nowhere = ("DOCKER_HOST", "tcp://127.0.0.1:1");
    let cases: [Case; 12] = [
        (
            &["--labs", &at("no-such-folder"), "labs"],
            nowhere,
            4,
            "no-such-folder is not a folder, so no labs can be read from it",
        ),
        (&["--labs", &list, "labs"], nowhere, 4, "is not a folder"),
        (&["egress", "approve", &at("none.yaml")], nowhere, 4, "There is no file"),
        (&["egress", "approve", home.path().to_str().unwrap()], nowhere, 1, "Is a directory"),
        (&["egress", "approve", &latin], nowhere, 2, "is not UTF-8 text"),
        (&["egress", "approve", &list], nowhere, 6, "expected a mapping, found a list"),
        (&["egress", "approve", &word], nowhere, 6, "expected a list, found the text “web”"),
        (&["egress", "approve", &entry], nowhere, 6, "expected a mapping, found the text “web”"),
        (&["egress", "approve", &port], nowhere, 6, "expected"),
        (&["egress", "approve", &tag], nowhere, 6, "the tag !all is not part"),
        (&["images"], nowhere, 5, "Docker cannot be reached: Connection refused."),
        (&["images"], ("DOCKER_HOST", "unix:///nowhere/docker.sock"), 5, "Docker cannot be reached"),
    ];
    for (args, (name, value), code, says) in cases {
        let mut forge = Command::new(env!("CARGO_BIN_EXE_forge"));
        forge.arg("--json").args(args).env("FORGE_HOME", home.path().join("home")).env(name, value);
        let out = forge.current_dir(home.path()).output().unwrap();
        let told: Value =
            serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{args:?}: no JSON ({e}): {out:?}"));
        let error = &told["error"];
        let message = error["message"].as_str().unwrap_or_else(|| panic!("{args:?}: {told}"));
        assert_eq!(out.status.code(), Some(code), "{args:?}: {told}");
        assert!(message.contains(says), "{args:?}: {told}");
        let hints: Vec<&str> = error["hints"].as_array().unwrap().iter().map(|h| h.as_str().unwrap()).collect();
        for theirs in THEIRS {
            let said = [message].into_iter().chain(hints.iter().copied()).find(|text| text.contains(theirs));
            assert_eq!(said, None, "{args:?} says “{theirs}”");
        }
    }
}
