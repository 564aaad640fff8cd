//! From the tree to types: a serde deserializer whose every error carries the place of the node it is about.

use super::problem::{Pos, Problem, did_you_mean};
use super::tree::{Key, Kind, Tree};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, Visitor, value::StrDeserializer};
use std::fmt;

/// Reads `tree` as a `T`. The problem names the file, the place and what was expected.
pub fn read<'t, T: Deserialize<'t>>(file: &str, tree: &'t Tree) -> Result<T, Problem> {
    T::deserialize(Reader(tree)).map_err(|e| Problem::new(file, e.at.unwrap_or(tree.at), e.message).maybe_hint(e.hint))
}

/// A value together with its place. Keeps its place only when read by [`read`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct At<T> {
    pub at: Pos,
    pub value: T,
}

const AT: &str = "$forge::At";

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Display> fmt::Display for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for V<T> {
            type Value = At<T>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a value with its place")
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<At<T>, A::Error> {
                let missing = || de::Error::custom("a value with its place is incomplete");
                let line = seq.next_element()?.ok_or_else(missing)?;
                let column = seq.next_element()?.ok_or_else(missing)?;
                let value = seq.next_element()?.ok_or_else(missing)?;
                Ok(At { at: Pos { line, column }, value })
            }
        }
        d.deserialize_tuple_struct(AT, 3, V(std::marker::PhantomData))
    }
}

/// An error on the way to types; the innermost place wins.
#[derive(Debug)]
pub struct Misfit {
    at: Option<Pos>,
    message: String,
    hint: Option<String>,
}

impl Misfit {
    fn or_at(mut self, at: Pos) -> Self {
        // Nodes made from drawn values have no place of their own (line 0): the text they replaced has.
        if at.line != 0 {
            self.at.get_or_insert(at);
        }
        self
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(msg: T) -> Self {
        Self { at: None, message: msg.to_string(), hint: None }
    }

    fn invalid_type(unexpected: de::Unexpected, expected: &dyn de::Expected) -> Self {
        let hint = matches!(
            unexpected,
            de::Unexpected::Float(_)
                | de::Unexpected::Unsigned(_)
                | de::Unexpected::Signed(_)
                | de::Unexpected::Bool(_)
        )
        .then(|| expected.to_string())
        .filter(|e| e.contains("string"))
        .map(|_| "Put it in quotes to make it text.".to_owned());
        Self { at: None, message: format!("expected {}, found {}", words(expected), found(unexpected)), hint }
    }

    fn invalid_value(unexpected: de::Unexpected, expected: &dyn de::Expected) -> Self {
        Self { at: None, message: format!("expected {}, found {}", words(expected), found(unexpected)), hint: None }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self {
            at: None,
            message: format!("there is no field “{field}” here; expected one of {}", expected.join(", ")),
            hint: did_you_mean(field, expected.iter().copied()).filter(|h| h.starts_with("Did")),
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            at: None,
            message: format!("“{variant}” is not known here; expected one of {}", expected.join(", ")),
            hint: did_you_mean(variant, expected.iter().copied()).filter(|h| h.starts_with("Did")),
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { at: None, message: format!("the field “{field}” is missing here"), hint: None }
    }
}

fn words(expected: &dyn de::Expected) -> String {
    let e = expected.to_string();
    match e.as_str() {
        "a string" => "text".into(),
        "a sequence" => "a list".into(),
        "a map" => "a mapping".into(),
        "u8" => format!("a whole number from 0 to {}", u8::MAX),
        "u16" => format!("a whole number from 0 to {}", u16::MAX),
        "u32" | "u64" | "usize" => "a whole number from 0 up".into(),
        "i32" | "i64" => "a whole number".into(),
        "f32" | "f64" => "a number".into(),
        "unit" => "nothing".into(),
        // What our types are called is nothing that an author has seen.
        _ if e.starts_with("struct ") || e.starts_with("internally tagged enum ") => "a mapping".into(),
        _ if e.starts_with("tuple ") || e.starts_with("an array ") => "a list".into(),
        _ if e.starts_with("enum ") || e == "variant identifier" => "a word".into(),
        _ => e,
    }
}

fn found(unexpected: de::Unexpected) -> String {
    match unexpected {
        de::Unexpected::Str(s) => format!("the text “{}”", s.chars().take(60).collect::<String>()),
        de::Unexpected::Unsigned(n) => format!("the number {n}"),
        de::Unexpected::Signed(n) => format!("the number {n}"),
        de::Unexpected::Float(n) => format!("the number {n}"),
        de::Unexpected::Bool(b) => format!("the boolean {b}"),
        de::Unexpected::Unit => "nothing".into(),
        de::Unexpected::Seq => "a list".into(),
        de::Unexpected::Map => "a mapping".into(),
        other => other.to_string(),
    }
}

#[derive(Clone, Copy)]
struct Reader<'t>(&'t Tree);

impl<'t> Reader<'t> {
    fn any<V: Visitor<'t>>(self, v: V) -> Result<V::Value, Misfit> {
        match &self.0.kind {
            Kind::Null => v.visit_unit(),
            Kind::Bool(b) => v.visit_bool(*b),
            Kind::Int(n) => v.visit_i64(*n),
            Kind::UInt(n) => v.visit_u64(*n),
            Kind::Float(n) => v.visit_f64(*n),
            Kind::Text(t) => v.visit_borrowed_str(t),
            Kind::List(items) => v.visit_seq(Items(items.iter())),
            Kind::Map(entries) => v.visit_map(Entries { rest: entries.iter(), value: None }),
        }
        .map_err(|e: Misfit| e.or_at(self.0.at))
    }
}

impl<'t> Deserializer<'t> for Reader<'t> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'t>>(self, v: V) -> Result<V::Value, Misfit> {
        self.any(v)
    }

    fn deserialize_option<V: Visitor<'t>>(self, v: V) -> Result<V::Value, Misfit> {
        match self.0.kind {
            Kind::Null => v.visit_none(),
            _ => v.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(self, _: &'static str, v: V) -> Result<V::Value, Misfit> {
        v.visit_newtype_struct(self).map_err(|e| e.or_at(self.0.at))
    }

    fn deserialize_tuple_struct<V: Visitor<'t>>(self, name: &'static str, _: usize, v: V) -> Result<V::Value, Misfit> {
        if name == AT { v.visit_seq(Placed { tree: self.0, step: 0 }) } else { self.any(v) }
    }

    /// Fields by name only: serde would also take them from a list, by a place that no author can know.
    fn deserialize_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Misfit> {
        if matches!(self.0.kind, Kind::Map(_)) {
            return self.any(v);
        }
        let message = format!("expected a mapping, found {}", self.0.what());
        Err(Misfit { at: None, message, hint: Some("Write its fields as `name: value`.".into()) }.or_at(self.0.at))
    }

    /// `name`, or a mapping with one key: `{name: {…}}`.
    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        v: V,
    ) -> Result<V::Value, Misfit> {
        let misfit = |message: String| Misfit { at: Some(self.0.at), message, hint: None };
        match &self.0.kind {
            Kind::Text(name) => v.visit_enum(Choice { name, at: self.0.at, body: None }),
            Kind::Map(entries) => match entries.as_slice() {
                [(key, body)] => v.visit_enum(Choice { name: &key.name, at: key.at, body: Some(body) }),
                _ => Err(misfit("expected a mapping with exactly one key that says which kind it is".into())),
            },
            _ => Err(misfit(format!("expected a name or a mapping with one key, found {}", self.0.what()))),
        }
        .map_err(|e: Misfit| e.or_at(self.0.at))
    }

    serde::forward_to_deserialize_any! {
        <W: Visitor<'t>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple map identifier ignored_any
    }
}

struct Items<'t>(std::slice::Iter<'t, Tree>);

impl<'t> de::SeqAccess<'t> for Items<'t> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        self.0.next().map(|item| seed.deserialize(Reader(item)).map_err(|e| e.or_at(item.at))).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

struct Entries<'t> {
    rest: std::slice::Iter<'t, (Key, Tree)>,
    value: Option<&'t Tree>,
}

impl<'t> de::MapAccess<'t> for Entries<'t> {
    type Error = Misfit;

    fn next_key_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = Some(value);
        let name: StrDeserializer<Misfit> = key.name.as_str().into_deserializer();
        seed.deserialize(name).map(Some).map_err(|e| e.or_at(key.at))
    }

    fn next_value_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<S::Value, Misfit> {
        match self.value.take() {
            Some(value) => seed.deserialize(Reader(value)).map_err(|e| e.or_at(value.at)),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

/// The three parts of an [`At`]: line, column, value.
struct Placed<'t> {
    tree: &'t Tree,
    step: u8,
}

impl<'t> de::SeqAccess<'t> for Placed<'t> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'t>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        self.step += 1;
        match self.step {
            1 => seed.deserialize(self.tree.at.line.into_deserializer()).map(Some),
            2 => seed.deserialize(self.tree.at.column.into_deserializer()).map(Some),
            3 => seed.deserialize(Reader(self.tree)).map(Some),
            _ => Ok(None),
        }
    }
}

struct Choice<'t> {
    name: &'t str,
    at: Pos,
    body: Option<&'t Tree>,
}

impl<'t> de::EnumAccess<'t> for Choice<'t> {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<(S::Value, Self), Misfit> {
        let name: StrDeserializer<Misfit> = self.name.into_deserializer();
        Ok((seed.deserialize(name).map_err(|e| e.or_at(self.at))?, self))
    }
}

impl<'t> de::VariantAccess<'t> for Choice<'t> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        match self.body.map(|b| &b.kind) {
            None | Some(Kind::Null) => Ok(()),
            Some(_) => {
                Err(Misfit { at: Some(self.at), message: format!("“{}” takes no fields", self.name), hint: None })
            }
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'t>>(self, seed: S) -> Result<S::Value, Misfit> {
        match self.body {
            Some(body) => seed.deserialize(Reader(body)).map_err(|e| e.or_at(body.at)),
            // `name` alone stands for `{name: {}}`.
            None => {
                let empty = Entries { rest: [].iter(), value: None };
                seed.deserialize(de::value::MapAccessDeserializer::new(empty)).map_err(|e| e.or_at(self.at))
            }
        }
    }

    fn tuple_variant<V: Visitor<'t>>(self, _: usize, v: V) -> Result<V::Value, Misfit> {
        match self.body {
            Some(body) => Reader(body).any(v),
            None => Err(de::Error::custom(format!("“{}” needs a list of values", self.name))),
        }
    }

    fn struct_variant<V: Visitor<'t>>(self, _: &'static [&'static str], v: V) -> Result<V::Value, Misfit> {
        match self.body {
            Some(body) => Reader(body).any(v),
            None => v.visit_map(Entries { rest: [].iter(), value: None }).map_err(|e: Misfit| e.or_at(self.at)),
        }
    }
}
