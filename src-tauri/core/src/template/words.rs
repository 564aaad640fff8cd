//! Small notations of the language: durations, and fields that are a word or a mapping.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// `500ms`, `20s`, `2m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl std::str::FromStr for Span {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, String> {
        let wrong = || format!("expected a duration such as 500ms, 20s or 2m, found “{s}”");
        let digits = s.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = s.split_at_checked(digits).ok_or_else(wrong)?;
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let ms = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1000),
            "m" => number.checked_mul(60_000),
            _ => None,
        };
        ms.map(|ms| Self(Duration::from_millis(ms))).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "pattern": "^[0-9]+(ms|s|m)$", "description": "500ms, 20s or 2m"})
    }
}

/// Declares a field that is written as a word or as a mapping. Unlike serde's `untagged`, an error inside the mapping
/// keeps its place and its words.
macro_rules! either {
    ($(#[$meta:meta])* pub enum $name:ident { Short(At<$short:ty>), Long($long:ty) }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, JsonSchema)]
        #[schemars(untagged)]
        pub enum $name { Short(At<$short>), Long(Box<$long>) }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                // The place is kept by reading through `At` first; what lies below decides which form it is.
                let both = At::<$crate::template::words::WordOr<$long>>::deserialize(d)?;
                Ok(match both.value {
                    $crate::template::words::WordOr::Word(value) => Self::Short(At { at: both.at, value }),
                    $crate::template::words::WordOr::Map(long) => Self::Long(Box::new(long)),
                })
            }
        }
    };
}
pub(super) use either;

pub(super) enum WordOr<T> {
    Word(String),
    Map(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for WordOr<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for V<T> {
            type Value = WordOr<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("a word or a mapping")
            }

            fn visit_str<E>(self, v: &str) -> Result<WordOr<T>, E> {
                Ok(WordOr::Word(v.to_owned()))
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<WordOr<T>, A::Error> {
                T::deserialize(serde::de::value::MapAccessDeserializer::new(map)).map(WordOr::Map)
            }
        }
        d.deserialize_any(V(std::marker::PhantomData))
    }
}
