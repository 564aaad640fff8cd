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

pub struct Routes {
    router: Router<App>,
    generator: SchemaGenerator,
    paths: Map<String, Value>,
    /// (verb, path), as routed.
    pub listed: Vec<(&'static str, &'static str)>,
}

/// `()` where there is no JSON in that direction.
fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Option<Value> {
    (T::schema_name() != "null").then(|| generator.subschema_for::<T>().to_value())
}

impl Default for Routes {
    fn default() -> Self {
        let mut settings = SchemaSettings::openapi3();
        settings.definitions_path = "/components/schemas".into();
        Self { router: Router::new(), generator: settings.into_generator(), paths: Map::new(), listed: Vec::new() }
    }
}

impl Routes {
    /// Routes and describes. `In` and `Out` are what travels as JSON.
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
        let done = match schema::<Out>(&mut self.generator) {
            Some(schema) => json!({"description": "Done", "content": {"application/json": {"schema": schema}}}),
            None => json!({"description": "Done"}),
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
        if let Some(schema) = schema::<In>(&mut self.generator) {
            let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
            operation.insert("requestBody".into(), body);
        }
        let at = self.paths.entry(path).or_insert_with(|| json!({}));
        if let Some(verbs) = at.as_object_mut() {
            verbs.insert(verb.word().into(), operation.into());
        }
        self
    }

    /// The router, openapi.json, and what was routed.
    pub fn finish(mut self) -> (Router<App>, Value, Vec<(&'static str, &'static str)>) {
        let refusal = schema::<forge_core::board::Refusal>(&mut self.generator).unwrap_or_default();
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
