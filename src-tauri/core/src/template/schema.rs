//! The language's JSON Schema (draft 2020-12), made from the types of [`super::model`], so that editors can help authors.

use super::model::LabFile;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

/// As `forge labs schema` prints it.
pub fn schema() -> Value {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let mut schema = generator.into_root_schema_for::<LabFile>().to_value();
    or_reference(&mut schema);
    shorthands(&mut schema);
    flat_form(&mut schema);
    schema
}

/// Wherever a number or a boolean stands, a text that is one `{{…}}` may stand too. Parts first, so that what is wrapped is
/// not looked at again.
fn or_reference(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(or_reference),
        Value::Object(object) => {
            object.values_mut().for_each(or_reference);
            let scalar = |t: &Value| matches!(t.as_str(), Some("integer" | "number" | "boolean"));
            let is_scalar = match object.get("type") {
                Some(Value::Array(types)) => types.iter().any(scalar),
                Some(one) => scalar(one),
                None => false,
            };
            if is_scalar {
                let strict = Value::Object(std::mem::take(object));
                let reference = json!({"type": "string", "pattern": "^\\{\\{[^{}]+\\}\\}$"});
                object.insert("anyOf".into(), json!([strict, reference]));
            }
        }
        _ => {}
    }
}

/// What `normal` brings into form before the types are read.
fn shorthands(schema: &mut Value) {
    if let Some(files) = schema.pointer_mut("/$defs/NodeSpec/properties/files") {
        let list = files.take();
        *files = json!({"anyOf": [{"type": "string"}, {"$ref": "#/$defs/FileSpec"}, list]});
    }
    if let Some(param) = schema.pointer_mut("/$defs/ParamSpec") {
        let tagged = param.take();
        let bare = ["name", "port", "vlan", "password", "ssh_keypair", "secret"];
        *param = json!({"anyOf": [{"enum": bare}, tagged]});
    }
}

/// The original language's flat form: the blocks of `spec` at the top level, one container as the assets.
fn flat_form(schema: &mut Value) {
    let part = |schema: &Value, at: &str| schema.pointer(at).cloned().unwrap_or(Value::Null);
    let mut properties = part(schema, "/$defs/Spec/properties");
    let mut container = part(schema, "/$defs/NodeSpec");
    if let Some(container) = container.as_object_mut() {
        container.remove("required");
    }
    let assets = json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["container"],
        "properties": {"container": container},
    });
    if let Some(properties) = properties.as_object_mut() {
        properties.insert("assets".into(), assets);
        properties.insert("metadata".into(), json!({"$ref": "#/$defs/Metadata"}));
    }
    let mut required = part(schema, "/$defs/Spec/required");
    if let Some(required) = required.as_array_mut() {
        required.push(json!("metadata"));
    }
    let flat = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "required": required,
    });
    if let Some(root) = schema.as_object_mut() {
        let mut full = serde_json::Map::new();
        for key in ["type", "properties", "required", "additionalProperties"] {
            if let Some(value) = root.remove(key) {
                full.insert(key.into(), value);
            }
        }
        root.insert("anyOf".into(), json!([full, flat]));
        root.insert("title".into(), json!("FrostGate Forge lab"));
    }
}
