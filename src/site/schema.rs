//! JSON Schema of site.toml and its reference for people, both made from the very keys the parser asks for, so that they
//! cannot drift from it.

use super::parse;
use super::reader::{Reader, Section};
use super::shape::{Holds, KeySpec, Shape, describe};
use serde_json::{Map, Value, json};

/// The keys of a whole site file.
fn shape() -> Shape {
    let reader = Reader::new("", "");
    let root = Section::blank(&reader);
    // Only the questions matter here, not the (empty) answer.
    let _nothing = parse::read(&root);
    root.shape()
}

/// Draft 2020-12.
pub fn schema() -> Value {
    let mut root = table(&shape());
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Madang site file, schema site/1");
    root
}

/// A table; where its keys depend on `kind`, one form for each word.
fn table(shape: &Shape) -> Value {
    if shape.forms.is_empty() {
        return object(&shape.keys);
    }
    let forms: Vec<Value> = shape.forms.iter().map(|(word, own)| form(shape, word, own)).collect();
    json!({ "oneOf": forms })
}

fn form(shape: &Shape, word: &str, own: &Shape) -> Value {
    let keys: Vec<KeySpec> = shape.keys.iter().chain(&own.keys).cloned().collect();
    let mut value = object(&keys);
    value["properties"]["kind"] = json!({ "const": word });
    value["title"] = json!(word);
    value
}

fn object(keys: &[KeySpec]) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let mut value = of(&key.holds, key);
        value["description"] = json!(key.doc);
        if let Some(default) = &key.default {
            value["default"] = typed(&key.holds, default);
        }
        properties.insert(key.key.clone(), value);
    }
    let required: Vec<&str> = keys.iter().filter(|k| k.required).map(|k| k.key.as_str()).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn of(holds: &Holds, key: &KeySpec) -> Value {
    match holds {
        Holds::Quantity(_) if key.inner.is_some() => {
            let alone = KeySpec {
                inner: None,
                ..key.clone()
            };
            json!({ "anyOf": [of(holds, &alone), table(&key.inner())] })
        }
        // A number and something behind it: a bare number is refused.
        Holds::Quantity(example) => {
            json!({ "type": "string", "pattern": r"^\s*[-+]?[0-9.]+([eE][-+]?[0-9]+)?\s*[^-+0-9.\s].*$", "examples": [example] })
        }
        Holds::Text => json!({ "type": "string" }),
        Holds::Words(words) => json!({ "enum": words }),
        Holds::Flag => json!({ "type": "boolean" }),
        Holds::Whole(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Holds::Number(low, high) => json!({ "type": "number", "minimum": low, "maximum": high }),
        Holds::List(inner) => json!({ "type": "array", "items": of(inner, key) }),
        Holds::Table => table(&key.inner()),
        Holds::Named => json!({
            "type": "object", "additionalProperties": table(&key.inner()), "propertyNames": { "pattern": "^[a-z0-9-]{1,64}$" }
        }),
        Holds::Rows => json!({ "type": "array", "items": table(&key.inner()) }),
        Holds::Texts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
    }
}

/// A default as the type it has in the file.
fn typed(holds: &Holds, default: &str) -> Value {
    match holds {
        Holds::Flag | Holds::Whole(..) | Holds::Number(..) => serde_json::from_str(default).unwrap_or(json!(default)),
        _ => json!(default),
    }
}

/// Every key as Markdown tables, a section each: the reference part of docs/site-file.md.
pub fn reference() -> String {
    let mut out = String::new();
    section(&mut out, "", "The file", "", &shape());
    out
}

fn section(out: &mut String, path: &str, title: &str, doc: &str, shape: &Shape) {
    *out += &format!("### {title}\n\n");
    if !doc.is_empty() {
        *out += &format!("{}.\n\n", capital(doc));
    }
    rows(out, &shape.keys);
    for (word, own) in &shape.forms {
        *out += &format!("With `kind = \"{word}\"`:\n\n");
        rows(out, &own.keys);
    }
    let forms = shape.forms.iter().flat_map(|(_, own)| &own.keys);
    for key in shape.keys.iter().chain(forms).filter(|k| k.inner.is_some()) {
        let path = match (path, &key.holds) {
            ("", Holds::Named) => format!("{}.<name>", key.key),
            ("", _) => key.key.clone(),
            (outer, Holds::Named) => format!("{outer}.{}.<name>", key.key),
            (outer, _) => format!("{outer}.{}", key.key),
        };
        let title = if key.holds == Holds::Rows {
            format!("`[[{path}]]`")
        } else {
            format!("`[{path}]`")
        };
        if key.holds != Holds::Texts {
            section(out, &path, &title, key.doc, &key.inner());
        }
    }
}

fn rows(out: &mut String, keys: &[KeySpec]) {
    if keys.is_empty() {
        *out += "No further keys.\n\n";
        return;
    }
    *out += "| Key | Meaning | Write | Default |\n|---|---|---|---|\n";
    for key in keys {
        let default = match (&key.default, key.required) {
            (_, true) => "needed".to_owned(),
            (Some(text), _) => format!("`{text}`"),
            (None, false) => "–".to_owned(),
        };
        let write = describe(&key.holds)
            .replace("write for example ", "")
            .replace("write ", "");
        let or = match (&key.holds, &key.inner) {
            (Holds::Quantity(_), Some(_)) => ", or a table",
            _ => "",
        };
        *out += &format!("| `{}` | {} | {write}{or} | {default} |\n", key.key, key.doc);
    }
    out.push('\n');
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |c| c.to_uppercase().chain(letters).collect())
}
