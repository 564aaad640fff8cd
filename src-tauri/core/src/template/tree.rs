//! YAML as a tree in which every node knows its place. Values are filled in here, before types are looked at, so
//! that a type error after filling in still points at the author's line.

use super::problem::{Pos, Problem};
use crate::error::{Code, Error, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Spanned, options::MergeKeyPolicy};
use std::fmt;

/// A lab.yaml may not be larger than this many bytes.
pub const MAX_BYTES: usize = 256 * 1024;

#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    pub at: Pos,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    List(Vec<Tree>),
    /// In the author's order; keys are unique (the parser refuses duplicates).
    Map(Vec<(Key, Tree)>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub at: Pos,
    pub name: String,
}

/// A lab's file as text, or the place where it stops being one.
pub fn text<'b>(file: &str, bytes: &'b [u8]) -> Result<&'b str, Problem> {
    std::str::from_utf8(bytes).map_err(|e| {
        let before = bytes.get(..e.valid_up_to()).unwrap_or_default();
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let tail = before.rsplit(|b| *b == b'\n').next().unwrap_or_default();
        let column = 1 + String::from_utf8_lossy(tail).chars().count();
        Problem::new(file, pos(line as u64, column as u64), "this is not UTF-8 text")
            .hint("Save the file as UTF-8 without other encodings in it.")
    })
}

impl Tree {
    /// Parses one YAML document. Bounded in size, depth, nodes and alias expansion, so that no input can make it
    /// slow or large. Errors: `TooLarge`, `TemplateInvalid` with file:line:column.
    pub fn parse(file: &str, bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_BYTES {
            return Err(Error::new(
                Code::TooLarge,
                format!("{file} has {} bytes; at most {MAX_BYTES} are read.", bytes.len()),
            )
            .hint("Move long texts into guide.md and configuration into files/.")
            .details(serde_json::json!({"file": file, "limit": MAX_BYTES, "actual": bytes.len()})));
        }
        let text = text(file, bytes)?;
        let spanned: Spanned<Raw> =
            serde_saphyr::from_str_with_options(text, options()).map_err(|e| yaml_error(file, &e))?;
        Ok(plant(spanned))
    }

    pub fn get(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(k, _)| k.name == name).map(|(_, v)| v),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(t) => Some(t),
            _ => None,
        }
    }

    pub fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            _ => &[],
        }
    }

    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// A name for the kind of node, for messages.
    pub fn what(&self) -> String {
        match &self.kind {
            Kind::Null => "nothing".into(),
            Kind::Bool(b) => format!("the boolean {b}"),
            Kind::Int(n) => format!("the number {n}"),
            Kind::UInt(n) => format!("the number {n}"),
            Kind::Float(n) => format!("the number {n}"),
            Kind::Text(t) => format!("the text “{}”", t.chars().take(60).collect::<String>()),
            Kind::List(_) => "a list".into(),
            Kind::Map(_) => "a mapping".into(),
        }
    }

    /// Rewrites every text below (and including) this node; a text may become any kind of scalar or list.
    pub fn fill(&self, with: &mut impl FnMut(Pos, &str) -> Kind) -> Self {
        let kind = match &self.kind {
            Kind::Text(t) => with(self.at, t).settle(self.at),
            Kind::List(items) => Kind::List(items.iter().map(|i| i.fill(with)).collect()),
            Kind::Map(entries) => Kind::Map(entries.iter().map(|(k, v)| (k.clone(), v.fill(with))).collect()),
            other => other.clone(),
        };
        Self { at: self.at, kind }
    }
}

impl Kind {
    /// Gives parts that came from a drawn value the place of the text they replaced.
    fn settle(self, at: Pos) -> Self {
        let settle = |t: Tree| Tree { at, kind: t.kind.settle(at) };
        match self {
            Self::List(items) => Self::List(items.into_iter().map(settle).collect()),
            Self::Map(entries) => {
                Self::Map(entries.into_iter().map(|(k, v)| (Key { at, name: k.name }, settle(v))).collect())
            }
            scalar => scalar,
        }
    }
}

impl From<serde_json::Value> for Kind {
    fn from(v: serde_json::Value) -> Self {
        use serde_json::Value;
        match v {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(b),
            Value::Number(n) => match (n.as_u64(), n.as_i64()) {
                (Some(u), _) => Self::UInt(u),
                (None, Some(i)) => Self::Int(i),
                _ => Self::Float(n.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(s) => Self::Text(s),
            Value::Array(items) => {
                Self::List(items.into_iter().map(|i| Tree { at: Pos::default(), kind: i.into() }).collect())
            }
            Value::Object(map) => Self::Map(
                map.into_iter()
                    .map(|(name, v)| (Key { at: Pos::default(), name }, Tree { at: Pos::default(), kind: v.into() }))
                    .collect(),
            ),
        }
    }
}

fn options() -> serde_saphyr::Options {
    let budget = serde_saphyr::budget! {
        max_events: 60_000,
        max_nodes: 30_000,
        max_depth: 32,
        flow_nesting_limit: 32,
        max_documents: 1,
        max_anchors: 64,
        max_aliases: 64,
        max_recorded_anchor_events: 30_000,
        max_recorded_anchor_bytes: 1_000_000,
        max_total_scalar_bytes: 2 * MAX_BYTES,
    };
    let mut options = serde_saphyr::options! {
        budget: budget,
        merge_keys: MergeKeyPolicy::Error,
        emit_comments: false,
        with_snippet: false,
        strict_booleans: true,
        reject_unsupported_tags: true,
    };
    options.alias_limits.max_total_replayed_events = 20_000;
    options.alias_limits.max_replay_stack_depth = 8;
    options.alias_limits.max_alias_expansions_per_anchor = 64;
    options
}

fn pos(line: u64, column: u64) -> Pos {
    Pos { line: u32::try_from(line).unwrap_or(u32::MAX), column: u32::try_from(column).unwrap_or(u32::MAX) }
}

fn yaml_error(file: &str, e: &serde_saphyr::Error) -> Error {
    use serde_saphyr::Error as Y;
    let at = e.location().map_or(Pos::START, |l| pos(l.line().max(1), l.column().max(1)));
    // An error inside an alias's expansion comes wrapped.
    let e = match e.without_snippet() {
        Y::AliasError { error, .. } => error.without_snippet(),
        plain => plain,
    };
    let problem = match e {
        Y::DuplicateMappingKey { key, .. } => Problem::new(
            file,
            at,
            format!("the key “{}” appears twice in the same mapping", key.as_deref().unwrap_or("?")),
        )
        .hint("Remove one of the two, or rename it."),
        Y::Budget { .. }
        | Y::AliasReplayLimitExceeded { .. }
        | Y::AliasExpansionLimitExceeded { .. }
        | Y::AliasReplayStackDepthExceeded { .. }
        | Y::AliasReplayCounterOverflow { .. } => {
            let sentence = format!(
                "{file}:{}:{}: the document is deeper, longer or expands further than a lab may: {e}",
                at.line, at.column
            );
            return Error::new(Code::TooLarge, sentence)
                .hint("A lab has at most 32 levels, 30000 nodes and 64 aliases.")
                .details(serde_json::json!({"problems": [{"file": file, "line": at.line, "column": at.column, "message": e.to_string(), "hint": null}]}));
        }
        Y::MergeKeyNotAllowed { .. } => Problem::new(file, at, "merge keys (<<) are not part of the template language")
            .hint("Write the fields out, or use a parameter."),
        Y::UnsupportedTag { tag, .. } => foreign_tag(file, at, tag),
        Y::Eof { .. } => Problem::new(file, at, "the file is empty; a lab was expected"),
        // Of this tag the parser knows more than that we do not take it.
        other if other.to_string().starts_with("!include") => foreign_tag(file, at, "!include"),
        other => Problem::new(file, at, format!("not valid YAML: {}", plain(&other.to_string())))
            .hint("Check indentation, quotes and brackets here and on the line above."),
    };
    problem.into()
}

fn foreign_tag(file: &str, at: Pos, tag: &str) -> Problem {
    let tag: String = tag.chars().take(60).collect();
    Problem::new(file, at, format!("the tag {tag} is not part of the template language"))
        .hint("Remove it. To make a value text, put it in quotes.")
}

/// The parser's words without its own position, which we print in front.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let cut = first.find(" at line ").or_else(|| first.find("error: line ").filter(|i| *i == 0));
    match cut {
        Some(0) | None => first.to_owned(),
        Some(i) => first.get(..i).unwrap_or(first).to_owned(),
    }
}

fn plant(s: Spanned<Raw>) -> Tree {
    let at = pos(s.referenced.line(), s.referenced.column());
    let kind = match s.value {
        Raw::Null => Kind::Null,
        Raw::Bool(b) => Kind::Bool(b),
        Raw::Int(n) => Kind::Int(n),
        Raw::UInt(n) => Kind::UInt(n),
        Raw::Float(n) => Kind::Float(n),
        Raw::Text(t) => Kind::Text(t),
        Raw::List(items) => Kind::List(items.into_iter().map(plant).collect()),
        Raw::Map(entries) => Kind::Map(
            entries
                .into_iter()
                .map(|(k, v)| {
                    let at = pos(k.referenced.line(), k.referenced.column());
                    (Key { at, name: k.value }, plant(v))
                })
                .collect(),
        ),
    };
    Tree { at, kind }
}

enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    UInt(u64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Raw, D::Error> {
        Raw::deserialize(d)
    }

    fn visit_bool<E>(self, v: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Raw, E> {
        Ok(u64::try_from(v).map_or(Raw::Int(v), Raw::UInt))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Raw, E> {
        Ok(Raw::UInt(v))
    }

    fn visit_f64<E>(self, v: f64) -> Result<Raw, E> {
        Ok(Raw::Float(v))
    }

    fn visit_str<E>(self, v: &str) -> Result<Raw, E> {
        Ok(Raw::Text(v.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}
