//! One table: what is routed is what is described. `openapi.json` is made from it.

use super::App;
use axum::Router;
use axum::handler::Handler;
use axum::routing::{MethodFilter, on};
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

#[derive(Clone, Copy, Debug)]
pub enum Verb {
    Get,
    Head,
    Put,
    Post,
    Patch,
}

impl Verb {
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Head => MethodFilter::HEAD,
            Self::Put => MethodFilter::PUT,
            Self::Post => MethodFilter::POST,
            Self::Patch => MethodFilter::PATCH,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Head => "head",
            Self::Put => "put",
            Self::Post => "post",
            Self::Patch => "patch",
        }
    }
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Open,
    Token,
}

/// Where the document itself is.
pub const DOCUMENT: &str = "/v1/openapi.json";

pub struct Routes {
    router: Router<App>,
    generator: SchemaGenerator,
    paths: Map<String, Value>,
    /// (verb, path), as routed.
    pub listed: Vec<(&'static str, &'static str)>,
}

/// Bodies that are no JSON of ours, as types, so that the table can name them: each has a media type.
macro_rules! raw {
    ($($(#[$doc:meta])* $name:ident = $media:literal;)*) => { $(
        $(#[$doc])*
        pub struct $name;
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                concat!("raw:", $media).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "format": "binary"})
            }
        }
    )* };
}

raw! {
    /// Part of an upload.
    Bytes = "application/octet-stream";
    Csv = "text/csv";
    /// One a line.
    Envelopes = "application/x-ndjson";
    Evidence = "application/zstd";
    /// A stream that does not end by itself.
    Events = "text/event-stream";
    /// One of several kinds, told by its name.
    File = "*/*";
    Metrics = "application/openmetrics-text";
    Page = "text/html";
    ScoreJson = "application/json";
    /// An envelope, or a form with the parts envelope, score and evidence.
    Submission = "submission";
}

/// A `T` a line.
pub struct Lines<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for Lines<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "lines".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}

/// What travels, by media type; `()` where nothing does.
fn content<T: JsonSchema>(generator: &mut SchemaGenerator) -> Option<Value> {
    let binary = json!({"type": "string", "format": "binary"});
    match T::schema_name().strip_prefix("raw:") {
        Some("submission") => {
            let parts = ["envelope", "score", "evidence"].map(|part| (part.to_owned(), binary.clone()));
            let form = json!({"type": "object", "required": ["envelope", "score", "evidence"], "properties": Map::from_iter(parts)});
            let envelope = json!({"type": "object", "required": ["payload", "payloadType", "signatures"], "properties": {
                "payload": {"type": "string"}, "payloadType": {"type": "string"},
                "signatures": {"type": "array", "minItems": 1, "maxItems": 1, "items": {"type": "object", "required": ["keyid", "sig"],
                    "properties": {"keyid": {"type": "string"}, "sig": {"type": "string"}}}}}});
            Some(json!({"application/json": {"schema": envelope}, "multipart/form-data": {"schema": form}}))
        }
        Some("application/json") => Some(json!({"application/json": {"schema": {"type": "object"}}})),
        Some(media) => Some(json!({media: {"schema": binary}})),
        None if T::schema_name() == "null" => None,
        None if T::schema_name() == "lines" => {
            Some(json!({"application/x-ndjson": {"schema": generator.subschema_for::<T>().to_value()}}))
        }
        None => Some(json!({"application/json": {"schema": generator.subschema_for::<T>().to_value()}})),
    }
}

impl Default for Routes {
    fn default() -> Self {
        let mut settings = SchemaSettings::openapi3();
        settings.definitions_path = "/components/schemas".into();
        Self { router: Router::new(), generator: settings.into_generator(), paths: Map::new(), listed: Vec::new() }
    }
}

impl Routes {
    /// Routes and describes. `In` and `Out` are what travels.
    pub fn add<In: JsonSchema, Out: JsonSchema, H, T>(
        mut self,
        verb: Verb,
        path: &'static str,
        door: Door,
        summary: &str,
        handler: H,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        self.router = self.router.route(path, on(verb.filter(), handler));
        self.listed.push((verb.word(), path));
        let parameters: Vec<Value> = path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split('}').next())
            .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
            .collect();
        let done = match content::<Out>(&mut self.generator) {
            Some(content) => json!({"description": "Done", "content": content}),
            None => json!({"description": "Done, without a body"}),
        };
        let mut operation = Map::new();
        operation.insert("summary".into(), summary.into());
        operation
            .insert("responses".into(), json!({"2XX": done, "default": {"$ref": "#/components/responses/Refusal"}}));
        if !parameters.is_empty() {
            operation.insert("parameters".into(), parameters.into());
        }
        if door == Door::Token {
            operation.insert("security".into(), json!([{"token": []}]));
        }
        if let Some(content) = content::<In>(&mut self.generator) {
            operation.insert("requestBody".into(), json!({"required": true, "content": content}));
        }
        let at = self.paths.entry(path).or_insert_with(|| json!({}));
        if let Some(verbs) = at.as_object_mut() {
            verbs.insert(verb.word().into(), operation.into());
        }
        self
    }

    /// Describes what else the route that was added last reads: (where, name, type).
    pub fn reading(mut self, more: &[(&str, &str, &str)]) -> Self {
        let Some((verb, path)) = self.listed.last().copied() else { return self };
        let operation = self.paths.get_mut(path).and_then(|verbs| verbs.get_mut(verb)).and_then(Value::as_object_mut);
        let parameters = operation.map(|o| o.entry("parameters").or_insert_with(|| json!([])));
        if let Some(parameters) = parameters.and_then(Value::as_array_mut) {
            let told =
                more.iter().map(|(place, name, kind)| json!({"name": name, "in": place, "schema": {"type": kind}}));
            parameters.extend(told);
        }
        self
    }

    /// The router, openapi.json, and what was routed.
    pub fn finish(mut self) -> (Router<App>, Value, Vec<(&'static str, &'static str)>) {
        let refusal = self.generator.subschema_for::<forge_core::board::Refusal>().to_value();
        let own = json!({"get": {"summary": "This document", "responses": {"2XX": {"description": "Done",
            "content": {"application/json": {"schema": {"type": "object"}}}}, "default": {"$ref": "#/components/responses/Refusal"}}}});
        self.paths.insert(DOCUMENT.into(), own);
        self.listed.push(("get", DOCUMENT));
        let document = json!({
            "openapi": "3.0.3",
            "info": {"title": "FrostGate Forge scoreboard", "version": env!("CARGO_PKG_VERSION"),
                "description": "Accepts signed verdicts and believes nothing in them that it has not checked. See docs/scoreboard.md."},
            "paths": self.paths,
            "components": {
                "schemas": self.generator.take_definitions(true),
                "responses": {"Refusal": {"description": "A no, with its reason", "content": {"application/json": {
                    "schema": {"type": "object", "required": ["error"], "properties": {"error": refusal}}}}}},
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            },
        });
        (self.router, document, self.listed)
    }
}
