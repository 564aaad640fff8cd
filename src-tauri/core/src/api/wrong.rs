//! What is wrong with a message, in the API's own words: which member, and what it should be. A decoder's words name this program's
//! types and repeat the value, which may be a secret.

use serde::de::DeserializeOwned;
use serde_json::error::Category;

/// Why a message is not what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Where, as `criteria[2].id`; empty for the message as a whole.
    pub member: String,
    /// One sentence.
    pub why: String,
    /// It ended before it was whole.
    pub cut_short: bool,
}

/// A message as a `T`.
pub fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Wrong> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|e| of(e.path(), e.inner()))?;
    json.end().map_err(|e| spelled(&e))?;
    Ok(read)
}

/// The same, of what is JSON already.
pub fn from_value<T: DeserializeOwned>(value: serde_json::Value) -> Result<T, Wrong> {
    serde_path_to_error::deserialize(value).map_err(|e| of(e.path(), e.inner()))
}

/// What is wrong with a message that could not be read as a `T`.
pub fn why<T: DeserializeOwned>(bytes: &[u8]) -> String {
    from_slice::<T>(bytes).map_or_else(|wrong| wrong.why, |_| String::new())
}

fn of(path: &serde_path_to_error::Path, e: &serde_json::Error) -> Wrong {
    if e.classify() != Category::Data {
        return spelled(e);
    }
    let (path, said) = (path.to_string(), e.to_string());
    // Where it was found in the text says less than the member does.
    let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
    words(if path == "." { "" } else { &path }, said)
}

/// Not JSON at all, or only the beginning of some.
fn spelled(e: &serde_json::Error) -> Wrong {
    let cut_short = e.is_eof();
    let why = if cut_short {
        "It ends before it is whole.".to_owned()
    } else {
        format!("It is no JSON: line {}, character {} is wrong there.", e.line(), e.column())
    };
    Wrong { member: String::new(), why, cut_short }
}

/// What a decoder says about this member, in our words.
pub fn words(path: &str, said: &str) -> Wrong {
    let mut quoted = said.split('`').skip(1).step_by(2);
    let named = quoted.next().unwrap_or_default();
    let known: Vec<&str> = quoted.collect();
    let member = if said.contains(" field `") { inside(path, named) } else { path.to_owned() };
    let (it, list) = (subject(&member), known.join(", "));
    let why = if said.starts_with("missing field") {
        format!("{it} is missing.")
    } else if said.starts_with("duplicate field") {
        format!("{it} is given twice.")
    } else if said.starts_with("unknown field") && known.is_empty() {
        format!("{it} is not known here; nothing goes there.")
    } else if said.starts_with("unknown field") {
        format!("{it} is not known here; known are: {list}.")
    } else if said.starts_with("unknown variant") && !known.is_empty() {
        format!("{it} must be one of: {list}.")
    } else {
        let (found, wanted) = said.rsplit_once(", expected ").unwrap_or((said, ""));
        let wanted = match said {
            _ if is_number(said) => Some("a whole number that is not too large".to_owned()),
            "provided string was not `true` or `false`" => kind("a boolean"),
            _ => kind(wanted),
        };
        match (wanted, found.strip_prefix("invalid type: ").and_then(given)) {
            (Some(wanted), Some(found)) if !wanted.contains(found) => format!("{it} must be {wanted}, not {found}."),
            (Some(wanted), _) => format!("{it} must be {wanted}."),
            (None, _) => format!("{it} is not what it should be."),
        }
    };
    Wrong { member, why, cut_short: false }
}

/// A member of the one at `path`, which may name it already.
fn inside(path: &str, name: &str) -> String {
    let name: String = name.chars().take(60).collect();
    if path.is_empty() {
        name
    } else if path == name || path.ends_with(&format!(".{name}")) {
        path.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn subject(member: &str) -> String {
    if member.is_empty() { "The whole".to_owned() } else { format!("“{member}”") }
}

/// What is said of a number in an address, where everything is text.
fn is_number(said: &str) -> bool {
    ["invalid digit found in string", "cannot parse integer", "number too large", "number too small"]
        .iter()
        .any(|words| said.contains(words))
}

/// What was expected.
fn kind(wanted: &str) -> Option<String> {
    let most = |n: u64| Some(format!("a whole number from 0 to {n}"));
    let word = match wanted {
        "u8" => return most(u8::MAX.into()),
        "u16" => return most(u16::MAX.into()),
        "u32" => return most(u32::MAX.into()),
        "u64" | "usize" => "a whole number from 0 on",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a string" | "a borrowed string" | "string or map" | "a character" => "text",
        "a map" => "an object",
        "a sequence" => "a list",
        "null" | "unit" => "null",
        _ if ["struct ", "internally tagged enum", "adjacently tagged enum"].iter().any(|w| wanted.starts_with(w)) => {
            "an object"
        }
        _ if ["tuple ", "an array", "fewer elements", "a tuple"].iter().any(|w| wanted.starts_with(w)) => "a list",
        _ => return None,
    };
    Some(word.to_owned())
}

/// What was there instead: its kind, never itself.
fn given(found: &str) -> Option<&'static str> {
    const KINDS: [(&str, &str); 8] = [
        ("string", "text"),
        ("integer", "a number"),
        ("floating point", "a number"),
        ("boolean", "true or false"),
        ("map", "an object"),
        ("sequence", "a list"),
        ("null", "null"),
        ("unit", "null"),
    ];
    KINDS.iter().find(|(theirs, _)| found.starts_with(theirs)).map(|(_, ours)| *ours)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "snake_case")]
    #[allow(dead_code)]
    enum Colour {
        Red,
        DarkBlue,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        id: String,
        small: u8,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        title: String,
        count: u64,
        at: i64,
        hints: bool,
        colour: Colour,
        rows: Vec<Inner>,
    }

    fn why(change: impl Fn(&mut serde_json::Value)) -> Wrong {
        let mut good = serde_json::json!({
            "title": "t", "count": 1, "at": -1, "hints": true, "colour": "red", "rows": [{"id": "a", "small": 1}]
        });
        from_slice::<Outer>(good.to_string().as_bytes()).unwrap();
        change(&mut good);
        let read = from_slice::<Outer>(good.to_string().as_bytes()).unwrap_err();
        assert_eq!(from_value::<Outer>(good).unwrap_err(), read, "the same from text and from JSON");
        assert!(!read.cut_short);
        read
    }

    #[test]
    fn the_member_is_named_as_the_api_names_it() {
        let told = |change: &dyn Fn(&mut serde_json::Value)| {
            let wrong = why(change);
            (wrong.member, wrong.why)
        };
        let set = |path: &'static str, value: serde_json::Value| {
            move |v: &mut serde_json::Value| *v.pointer_mut(path).unwrap() = value.clone()
        };
        let put = |path: &'static str, name: &'static str| {
            move |v: &mut serde_json::Value| v.pointer_mut(path).unwrap()[name] = 1.into()
        };
        let cut = |v: &mut serde_json::Value| drop(v.as_object_mut().unwrap().remove("title"));
        let cut_inner = |v: &mut serde_json::Value| drop(v["rows"][0].as_object_mut().unwrap().remove("id"));
        type Change<'a> = &'a dyn Fn(&mut serde_json::Value);
        let cases: [(Change<'_>, &str, &str); 12] = [
            (&cut, "title", "“title” is missing."),
            (&cut_inner, "rows[0].id", "“rows[0].id” is missing."),
            (&put("", "x"), "x", "“x” is not known here; known are: title, count, at, hints, colour, rows."),
            (&put("/rows/0", "y"), "rows[0].y", "“rows[0].y” is not known here; known are: id, small."),
            (&set("/title", 7.into()), "title", "“title” must be text, not a number."),
            (&set("/count", (-7).into()), "count", "“count” must be a whole number from 0 on."),
            (&set("/at", "hunter2".into()), "at", "“at” must be a whole number, not text."),
            (
                &set("/rows/0/small", 300.into()),
                "rows[0].small",
                "“rows[0].small” must be a whole number from 0 to 255.",
            ),
            (&set("/hints", "hunter2".into()), "hints", "“hints” must be true or false, not text."),
            (&set("/colour", "hunter2".into()), "colour", "“colour” must be one of: red, dark_blue."),
            (&set("/rows", "hunter2".into()), "rows", "“rows” must be a list, not text."),
            (&set("/rows/0", serde_json::json!("hunter2")), "rows[0]", "“rows[0]” must be an object, not text."),
        ];
        for (change, member, words) in cases {
            assert_eq!(told(change), (member.to_owned(), words.to_owned()));
        }
        assert_eq!(why(|v| *v = serde_json::json!("hunter2")).why, "The whole must be an object, not text.");
    }

    #[test]
    fn a_command_tells_it_and_where() {
        let e = crate::api::decode::<Inner>("get_it", serde_json::json!({"id": 7, "small": 1})).unwrap_err();
        assert_eq!(e.message, "“get_it” was called with arguments it does not take. “id” must be text, not a number.");
        assert_eq!((e.code, &e.details["member"], e.hints.len()), (crate::error::Code::InvalidInput, &"id".into(), 1));
    }

    #[test]
    fn what_is_no_json_is_said_so() {
        let of = |text: &str| from_slice::<Outer>(text.as_bytes()).unwrap_err();
        assert!(of("{\"title\": ").cut_short && of("").cut_short);
        for text in ["{'title'}", "nonsense", "{\"title\" 1}"] {
            let wrong = of(text);
            assert!(!wrong.cut_short && wrong.member.is_empty(), "{wrong:?}");
        }
        let twice = of(r#"{"title": "a", "title": "b"}"#);
        assert_eq!(twice.why, "“title” is given twice.");
    }

    #[test]
    fn a_number_in_an_address_is_a_number() {
        assert_eq!(words("newest", "provided string was not `true` or `false`").why, "“newest” must be true or false.");
        assert_eq!(
            words("after", "invalid digit found in string").why,
            "“after” must be a whole number that is not too large."
        );
    }
}
