//! JSON Schema of site.toml, made from the very keys the parser asks for, so that the two cannot drift.

use super::parse_components::{KINDS, by_kind};
use super::reader::{Holds, KeySpec, Reader, Section};
use super::{parse, parse_tariff, parse_wiring};
use serde_json::{Map, Value, json};

/// Draft 2020-12.
pub fn schema() -> Value {
    let mut root = object(&specs(parse::read));
    set(&mut root, "location", object(&specs(parse::location)));
    set(&mut root, "connection_point", object(&specs(parse::connection)));
    set(&mut root, "objective", object(&specs(|s| parse::objective(s, "EUR"))));
    set(&mut root, "timing", object(&specs(parse::timing)));
    set(&mut root, "telemetry", object(&specs(parse::telemetry)));
    set(
        &mut root,
        "tariff",
        object(&specs(|s| parse_tariff::tariff(s, chrono_tz::UTC, ""))),
    );
    set(&mut root, "twin", object(&specs(parse_wiring::twin)));
    set(&mut root, "circuits", named(object(&specs(parse::circuit))));
    set(&mut root, "devices", named(object(&specs(parse_wiring::device))));
    let kinds: Vec<Value> = KINDS.iter().map(|k| component(k)).collect();
    set(&mut root, "components", named(json!({ "oneOf": kinds })));
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Madang site file, schema site/1");
    root
}

/// The keys a reading function asks for.
fn specs<T>(read: impl Fn(&Section) -> T) -> Vec<KeySpec> {
    let reader = Reader::new("", "");
    let section = Section::blank(&reader);
    // Only the questions matter here, not the (empty) answer.
    let _answer = read(&section);
    section.specs()
}

fn component(kind: &str) -> Value {
    let mut own = specs(|s| by_kind(kind, s, "EUR"));
    own.extend(specs(|s| super::parse_components::component(s, "EUR")));
    let mut value = object(&own);
    value["properties"]["kind"] = json!({ "const": kind });
    value["title"] = json!(kind);
    value
}

fn object(specs: &[KeySpec]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for s in specs {
        let mut value = of(&s.holds);
        value["description"] = json!(s.doc);
        properties.insert(s.key.clone(), value);
        if s.required {
            required.push(s.key.clone());
        }
    }
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn of(holds: &Holds) -> Value {
    match holds {
        Holds::Quantity(example) => json!({ "type": "string", "examples": [example] }),
        Holds::Text => json!({ "type": "string" }),
        Holds::Words(words) => json!({ "enum": words }),
        Holds::Flag => json!({ "type": "boolean" }),
        Holds::Whole(low, high) => json!({ "type": "number", "minimum": low, "maximum": high }),
        Holds::List(inner) => json!({ "type": "array", "items": of(inner) }),
        Holds::Table | Holds::Named => json!({ "type": "object" }),
    }
}

fn set(root: &mut Value, key: &str, value: Value) {
    let description = root["properties"][key]["description"].clone();
    root["properties"][key] = value;
    root["properties"][key]["description"] = description;
}

fn named(inner: Value) -> Value {
    json!({ "type": "object", "additionalProperties": inner, "propertyNames": { "pattern": "^[a-z0-9-]{1,64}$" } })
}
